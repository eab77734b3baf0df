"""The queries of analytics.sql."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from ipaddress import ip_address
from typing import Any
from uuid import UUID, uuid4

import pytest

from blueprint.queries import queries
from tests.blueprint.rows import UNKNOWN, Run, values

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
ADA, BOB, CAY, DAN = (UUID(int=number) for number in range(1, 5))


def load(run: Run, *events: tuple[UUID | None, str, datetime | None], event_type: str = "step") -> int:
    """Store events of (user, name, time)."""
    count = len(events)
    loaded: int = run(
        queries.load_events,
        user_ids=[user_id for user_id, _, _ in events],
        session_ids=[None] * count,
        event_types=[event_type] * count,
        event_names=[name for _, name, _ in events],
        properties=[None] * count,
        occurred_ats=[occurred_at for _, _, occurred_at in events],
    )
    return loaded


def test_an_event_happens_now(run: Run) -> None:
    visit = uuid4()
    stored: Any = run(
        queries.record_event,
        user_id=ADA,
        session_id=visit,
        event_type="page",
        event_name="it's %s",
        properties={"a": [1, None]},
    )
    assert stored.occurred_at == run.now()
    (event,) = run(queries.list_events_of_user, user_id=ADA, max_rows=10)
    assert event.model_dump() == {
        "id": stored.id,
        "user_id": ADA,
        "session_id": visit,
        "event_type": "page",
        "event_name": "it's %s",
        "properties": {"a": [1, None]},
        "user_agent": None,
        "ip_address": None,
        "referer": None,
        "occurred_at": run.now(),
    }


def test_events_are_loaded_from_arrays(run: Run) -> None:
    assert run(queries.count_events) == 0
    loaded: int = run(
        queries.load_events,
        user_ids=[ADA, None, ADA],
        session_ids=[None, BOB, None],
        event_types=["a", "b", "c"],
        event_names=["x", "y", "z"],
        properties=[{"it's": "{1}"}, None, []],
        occurred_ats=[MONDAY, MONDAY, None],
    )
    assert loaded == 3
    assert run(queries.count_events) == 3
    rows: list[Any] = run(queries.list_events_of_user, user_id=ADA, max_rows=10)
    assert [(row.event_type, row.event_name, row.properties, row.occurred_at) for row in rows] == [
        ("c", "z", [], run.now()),
        ("a", "x", {"it's": "{1}"}, MONDAY),
    ]
    assert run.sql("SELECT event_type, session_id FROM analytics_events WHERE user_id IS NULL") == [("b", BOB)]


def test_arrays_of_many_thousands_are_one_statement(run: Run) -> None:
    assert load(run, *[(ADA, f"n{number}", None) for number in range(20_000)]) == 20_000
    assert run.sql("SELECT count(DISTINCT event_name) FROM analytics_events") == [(20_000,)]


def test_page_views_are_imported_as_a_web_server_logs_them(run: Run) -> None:
    views: list[dict[str, Any]] = [
        {
            "user_id": ADA,
            "session_id": uuid4(),
            "url": f"/p?q={number}&x='%s'",
            "user_agent": "Mozilla/5.0 (it's)",
            "ip_address": address,
            "referer": None,
            "occurred_at": MONDAY + timedelta(seconds=number),
        }
        for number, address in enumerate([ip_address("192.0.2.7"), "2001:db8::1", None])
    ]
    assert run(queries.import_page_views, views) == 3
    assert run(queries.import_page_views, []) == 0
    rows: list[Any] = run(queries.list_events_of_user, user_id=ADA, max_rows=10)
    assert [(row.event_type, row.event_name, row.properties, row.ip_address) for row in rows] == [
        ("page", "page_view", {"url": "/p?q=2&x='%s'"}, None),
        ("page", "page_view", {"url": "/p?q=1&x='%s'"}, ip_address("2001:db8::1")),
        ("page", "page_view", {"url": "/p?q=0&x='%s'"}, ip_address("192.0.2.7")),
    ]
    assert {row.session_id for row in rows} == {view["session_id"] for view in views}
    assert rows[0].user_agent == "Mozilla/5.0 (it's)"


def test_a_users_latest_events_come_first(run: Run) -> None:
    load(run, (ADA, "old", MONDAY), (ADA, "new", MONDAY + timedelta(days=1)), (BOB, "other", MONDAY))
    rows: list[Any] = run(queries.list_events_of_user, user_id=ADA, max_rows=10)
    assert [row.event_name for row in rows] == ["new", "old"]
    assert run(queries.list_events_of_user, user_id=ADA, max_rows=1) == rows[:1]
    assert run(queries.list_events_of_user, user_id=UNKNOWN, max_rows=10) == []


def test_events_per_day_and_type_with_the_days_without_any(run: Run) -> None:
    run.sql("SET LOCAL TIME ZONE 'Pacific/Auckland'")
    last_moment = timedelta(days=1, microseconds=-1)
    load(run, (None, "x", MONDAY), (None, "x", MONDAY + last_moment), event_type="page")
    load(run, (None, "x", MONDAY + timedelta(days=2) + last_moment), event_type="click")
    load(run, (None, "x", MONDAY - timedelta(microseconds=1)), event_type="page")
    load(run, (None, "x", MONDAY + timedelta(days=3)), event_type="later")
    days = [date(2026, 3, day) for day in (2, 3, 4)]
    rows: list[Any] = run(queries.count_events_per_day, first_day=days[0], last_day=days[2])
    assert [values(row) for row in rows] == [
        (days[0], "click", 0),
        (days[0], "page", 2),
        (days[1], "click", 0),
        (days[1], "page", 0),
        (days[2], "click", 1),
        (days[2], "page", 0),
    ]
    assert run(queries.count_events_per_day, first_day=days[1], last_day=days[1]) == []
    assert run(queries.count_events_per_day, first_day=days[2], last_day=days[0]) == []


def hours(number: float) -> datetime:
    return MONDAY + timedelta(hours=number)


def test_a_funnel_counts_who_got_how_far(run: Run) -> None:
    load(
        run,
        *[(ADA, name, hours(at)) for at, name in [(1, "visit"), (2, "sign_up"), (3, "publish")]],
        *[(BOB, name, hours(at)) for at, name in [(1, "sign_up"), (2, "visit"), (3, "visit"), (4, "sign_up")]],
        *[(CAY, name, hours(at)) for at, name in [(2, "publish"), (3, "visit")]],
        *[(DAN, name, hours(at)) for at, name in [(1, "sign_up"), (2, "publish")]],
        (None, "visit", hours(1)),
    )
    funnel: list[Any] = run(
        queries.get_funnel, event_names=["visit", "sign_up", "publish"], since=MONDAY, until=hours(24)
    )
    assert [row.model_dump() for row in funnel] == [
        {"step": 1, "event_name": "visit", "user_count": 3, "conversion": Decimal(1)},
        {"step": 2, "event_name": "sign_up", "user_count": 2, "conversion": Decimal("0.6667")},
        {"step": 3, "event_name": "publish", "user_count": 1, "conversion": Decimal("0.3333")},
    ]


def test_a_funnel_looks_at_what_is_within_its_time(run: Run) -> None:
    load(
        run, (ADA, "visit", hours(1)), (ADA, "sign_up", hours(3)), (BOB, "visit", hours(0)), (BOB, "sign_up", hours(1))
    )

    def counts(since: float, until: float) -> list[int]:
        rows: list[Any] = run(
            queries.get_funnel, event_names=["visit", "sign_up"], since=hours(since), until=hours(until)
        )
        return [row.user_count for row in rows]

    assert counts(0, 4) == [2, 2]
    assert counts(0, 3) == [2, 1]
    assert counts(1, 4) == [1, 1]
    assert counts(0.5, 1) == [0, 0]


def test_a_funnel_that_nobody_entered_converts_nobody(run: Run) -> None:
    load(run, (ADA, "sign_up", hours(1)))
    rows: list[Any] = run(queries.get_funnel, event_names=["visit", "sign_up"], since=MONDAY, until=hours(9))
    assert [values(row) for row in rows] == [
        (1, "visit", 0, 0),
        (2, "sign_up", 0, 0),
    ]
    assert run(queries.get_funnel, event_names=[], since=MONDAY, until=hours(9)) == []


def test_a_step_may_come_twice_in_a_funnel(run: Run) -> None:
    load(run, (ADA, "visit", hours(1)), (ADA, "visit", hours(2)), (BOB, "visit", hours(1)))
    rows: list[Any] = run(queries.get_funnel, event_names=["visit", "visit"], since=MONDAY, until=hours(9))
    assert [(row.step, row.user_count) for row in rows] == [(1, 2), (2, 1)]


def test_retention_follows_the_users_of_each_week(run: Run) -> None:
    run.sql("SET LOCAL TIME ZONE 'Pacific/Auckland'")
    weeks = [MONDAY + timedelta(weeks=number) for number in range(4)]
    end_of_sunday = timedelta(days=7, microseconds=-1)
    load(
        run,
        (ADA, "e", weeks[0]),
        (ADA, "e", weeks[0] + timedelta(days=1)),
        (ADA, "e", weeks[1]),
        (ADA, "e", weeks[3]),
        (BOB, "e", weeks[0] + end_of_sunday),
        (BOB, "e", weeks[1] + end_of_sunday),
        (CAY, "e", weeks[0]),
        (DAN, "e", weeks[2]),
        (None, "e", weeks[0]),
    )
    wednesday = date(2026, 3, 4)
    rows: list[Any] = run(queries.list_weekly_retention, first_day=wednesday, weeks=2)
    first, second = weeks[0].date(), weeks[2].date()
    assert [values(row) for row in rows] == [
        (first, 3, 0, 3, Decimal(1)),
        (first, 3, 1, 2, Decimal("0.6667")),
        (first, 3, 2, 0, Decimal(0)),
        (second, 1, 0, 1, Decimal(1)),
        (second, 1, 1, 0, Decimal(0)),
        (second, 1, 2, 0, Decimal(0)),
    ]
    # A user of an earlier week is not one of the week in which they come back.
    later: list[Any] = run(queries.list_weekly_retention, first_day=weeks[1].date(), weeks=0)
    assert [(row.cohort_week, row.cohort_size) for row in later] == [(second, 1)]


@pytest.mark.parametrize(("weeks_ago", "known"), [(0, 1), (2, 3)])
def test_retention_leaves_out_the_weeks_to_come(run: Run, weeks_ago: int, known: int) -> None:
    ((monday,),) = run.sql("SELECT date_trunc('week', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'")
    first = monday - timedelta(weeks=weeks_ago)
    load(run, (ADA, "e", first))
    rows: list[Any] = run(queries.list_weekly_retention, first_day=first.date(), weeks=5)
    assert [row.week_number for row in rows] == list(range(known))

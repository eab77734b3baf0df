"""The queries of sessions.sql."""

from __future__ import annotations

from contextlib import ExitStack, closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from blueprint.queries import LogLevel, LogLine, Session, SessionStatus, queries
from tests.blueprint.rows import (
    UNKNOWN,
    Run,
    new_session,
    new_user,
    new_users,
    started_session,
    values,
)


def stored(run: Run, session_id: UUID) -> Session:
    found: Session | None = run(queries.get_session_by_id, session_id=session_id)
    assert found is not None
    return found


def test_a_queued_session_waits(run: Run) -> None:
    ada = new_user(run)
    session: Session = run(
        queries.queue_session,
        user_id=ada.id,
        session_type="generation",
        input_data=[1, {"it's": None}],
        metadata="text",
    )
    assert session == Session(
        id=session.id,
        user_id=ada.id,
        session_type="generation",
        status=SessionStatus.PENDING,
        input_data=[1, {"it's": None}],
        output_data=None,
        metadata="text",
        tokens_used=None,
        cost_usd=None,
        duration_ms=None,
        quality_score=None,
        error_message=None,
        error_code=None,
        retry_count=0,
        created_at=run.now(),
        updated_at=run.now(),
        completed_at=None,
    )
    assert stored(run, session.id) == session
    assert run(queries.get_session_by_id, session_id=UNKNOWN) is None


def test_a_session_has_one_of_three_types(run: Run) -> None:
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        run(queries.queue_session, user_id=None, session_type="chat", input_data=None, metadata=None)
    assert caught.value.diag.constraint_name == "ai_sessions_session_type_check"


def test_the_oldest_waiting_session_is_taken_first(run: Run) -> None:
    now = run.now()
    newer = new_session(run, created_at=now - timedelta(hours=1))
    older = new_session(run, created_at=now - timedelta(hours=2))
    new_session(run, status="FAILED", created_at=now - timedelta(hours=3))
    claimed: list[Session] = [run(queries.claim_session) for _ in range(2)]
    assert [(session.id, session.status) for session in claimed] == [(older, "PROCESSING"), (newer, "PROCESSING")]
    assert run(queries.claim_session) is None


def test_workers_get_different_sessions_and_none_waits(database_url: str) -> None:
    with psycopg.connect(database_url) as conn:
        for _ in range(2):
            queries.queue_session(conn, user_id=None, session_type="analysis", input_data=None, metadata=None)
    with ExitStack() as stack:
        first, second, third = (
            stack.enter_context(closing(Run(database_url, asynchronous=asynchronous)))
            for asynchronous in (False, True, False)
        )
        for worker in (second, third):
            worker.sql("SET lock_timeout = '1s'")
        one: Session = first(queries.claim_session)
        other: Session = second(queries.claim_session)
        assert one.id != other.id
        assert third(queries.claim_session) is None
        first.sql("ROLLBACK")
        assert third(queries.claim_session).id == one.id


def test_a_started_session_runs_at_once(run: Run) -> None:
    ada = new_user(run)
    session = started_session(run, ada)
    assert (session.user_id, session.session_type, session.status) == (ada.id, "pipeline", SessionStatus.PROCESSING)
    assert (session.input_data, session.metadata) == ({"design": "d1"}, None)
    assert run(queries.claim_session) is None


def complete(run: Run, session_id: UUID) -> Session | None:
    session: Session | None = run(
        queries.complete_session,
        session_id=session_id,
        output_data={"pages": 2},
        tokens_used=321,
        cost_usd=Decimal("0.004100"),
        duration_ms=1500,
        quality_score=0.75,
    )
    return session


def fail(run: Run, session_id: UUID) -> Session | None:
    session: Session | None = run(
        queries.fail_session, session_id=session_id, error_message="no 'answer'", error_code="E1", duration_ms=7
    )
    return session


def test_a_session_ends_well_once(run: Run) -> None:
    session, other = started_session(run), started_session(run)
    completed = complete(run, session.id)
    assert completed == session.model_copy(
        update={
            "status": SessionStatus.COMPLETED,
            "output_data": {"pages": 2},
            "tokens_used": 321,
            "cost_usd": Decimal("0.0041"),
            "duration_ms": 1500,
            "quality_score": 0.75,
            "completed_at": run.now(),
        }
    )
    assert complete(run, session.id) is None
    assert fail(run, session.id) is None
    assert complete(run, new_session(run)) is None  # it waits still
    assert stored(run, session.id) == completed
    assert stored(run, other.id) == other


@pytest.mark.parametrize(("column", "value"), [("quality_score", 1.01), ("cost_usd", -1), ("tokens_used", -1)])
def test_an_outcome_is_within_its_range(run: Run, column: str, value: float) -> None:
    outcome: dict[str, Any] = {"output_data": None, "tokens_used": 1, "cost_usd": 1, "duration_ms": 1}
    session = started_session(run)
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        run(queries.complete_session, **{"session_id": session.id, "quality_score": 1, **outcome, column: value})
    assert caught.value.diag.constraint_name == f"ai_sessions_{column}_check"


def test_a_failed_session_is_tried_again_so_many_times(run: Run) -> None:
    session, other = started_session(run), started_session(run)
    assert run(queries.retry_session, session_id=session.id, max_attempts=2) is None  # it has not failed
    failed = fail(run, session.id)
    assert failed == session.model_copy(
        update={
            "status": SessionStatus.FAILED,
            "error_message": "no 'answer'",
            "error_code": "E1",
            "duration_ms": 7,
            "retry_count": 1,
        }
    )
    assert fail(run, session.id) is None
    assert stored(run, other.id) == other
    other_failed = fail(run, other.id)
    again: Session = run(queries.retry_session, session_id=session.id, max_attempts=2)
    assert again == session.model_copy(update={"status": SessionStatus.PENDING, "retry_count": 1})
    assert run(queries.claim_session).id == session.id
    second = fail(run, session.id)
    assert second is not None
    assert second.retry_count == 2
    assert run(queries.retry_session, session_id=session.id, max_attempts=2) is None
    assert stored(run, other.id) == other_failed


@pytest.mark.parametrize(
    ("status", "stopped"),
    [("PENDING", True), ("PROCESSING", True), ("COMPLETED", False), ("FAILED", False), ("CANCELLED", False)],
)
def test_a_session_that_waits_or_runs_can_be_stopped(run: Run, status: str, stopped: bool) -> None:
    session_id, other = new_session(run, status=status), started_session(run)
    session: Session | None = run(queries.cancel_session, session_id=session_id)
    assert (session is not None) is stopped
    assert stored(run, session_id).status == ("CANCELLED" if stopped else status)
    assert stored(run, other.id) == other


def test_an_import_can_be_run_again(run: Run) -> None:
    ada = new_user(run)
    rows: list[dict[str, Any]] = [
        {
            "session_id": uuid4(),
            "user_id": user_id,
            "session_type": "pipeline",
            "status": "COMPLETED",
            "tokens_used": tokens_used,
            "cost_usd": Decimal("1.5"),
            "created_at": run.now() - timedelta(days=400),
        }
        for user_id, tokens_used in [(ada.id, 10), (None, None)]
    ]
    assert run(queries.import_sessions, rows[:1]) == 1
    assert run(queries.import_sessions, [{**row, "status": "FAILED"} for row in rows]) == 1
    first, second = (stored(run, row["session_id"]) for row in rows)
    assert (first.user_id, first.status, first.tokens_used) == (ada.id, "COMPLETED", 10)
    assert (second.user_id, second.status, second.tokens_used) == (None, "FAILED", None)
    assert {first.created_at, second.created_at} == {run.now() - timedelta(days=400)}


def test_a_users_sessions_come_newest_first_of_one_type_or_all(run: Run) -> None:
    (ada, bob), now = new_users(run, "Ada", "Bob"), run.now()
    ids = [
        new_session(run, ada, session_type=kind, created_at=now - timedelta(hours=hours))
        for hours, kind in [(3, "pipeline"), (1, "analysis"), (2, "pipeline")]
    ]
    new_session(run, bob)

    def listed(session_type: str | None, max_rows: int = 10) -> list[UUID]:
        sessions: list[Session] = run(
            queries.list_sessions_of_user, user_id=ada.id, session_type=session_type, max_rows=max_rows
        )
        return [session.id for session in sessions]

    assert listed(None) == [ids[1], ids[2], ids[0]]
    assert listed(None, max_rows=2) == [ids[1], ids[2]]
    assert listed("pipeline") == [ids[2], ids[0]]
    assert listed("generation") == []


def test_sessions_are_counted_by_state_with_the_states_of_none(run: Run) -> None:
    assert run(queries.count_sessions) == 0
    for status in ("FAILED", "PENDING", "FAILED"):
        new_session(run, status=status)
    assert run(queries.count_sessions) == 3
    assert [values(row) for row in run(queries.count_sessions_by_status)] == [
        ("PENDING", 1),
        ("PROCESSING", 0),
        ("COMPLETED", 0),
        ("FAILED", 2),
        ("CANCELLED", 0),
    ]


def test_the_cost_of_each_day_in_utc_with_the_days_without_any(run: Run) -> None:
    run.sql("SET LOCAL TIME ZONE 'Pacific/Auckland'")
    first = datetime(2026, 3, 1, tzinfo=UTC)
    last_moment = timedelta(days=1, microseconds=-1)
    for moment, tokens_used, cost in [
        (first - timedelta(microseconds=1), 1000, "1000"),
        (first, 10, "0.5"),
        (first + last_moment, None, "0.25"),
        (first + timedelta(days=2) + last_moment, 7, None),
        (first + timedelta(days=3), 1000, "1000"),
    ]:
        new_session(run, created_at=moment, tokens_used=tokens_used, cost_usd=cost)
    days = {"first_day": date(2026, 3, 1), "last_day": date(2026, 3, 3)}
    assert [values(row) for row in run(queries.list_session_cost_per_day, **days)] == [
        (date(2026, 3, 1), 2, 10, Decimal("0.75")),
        (date(2026, 3, 2), 0, 0, Decimal(0)),
        (date(2026, 3, 3), 1, 7, Decimal(0)),
    ]
    assert run(queries.list_session_cost_per_day, first_day=date(2026, 3, 2), last_day=date(2026, 3, 1)) == []


def test_a_log_line_has_the_time_of_the_clock(run: Run) -> None:
    session = started_session(run)
    lines: list[LogLine] = [
        run(queries.append_log_line, session_id=session.id, level=level, message=message, context=context)
        for level, message, context in [("INFO", "it's %s", {"n": 1}), (LogLevel.FATAL, "end", None)]
    ]
    first, second = lines
    assert first == LogLine(
        id=first.id,
        session_id=session.id,
        level=LogLevel.INFO,
        message="it's %s",
        context={"n": 1},
        logged_at=first.logged_at,
        duration_ms=None,
        memory_usage_bytes=None,
        error_stack=None,
        error_code=None,
    )
    assert (second.level, second.context) == (LogLevel.FATAL, None)
    assert run.now() < first.logged_at < second.logged_at
    assert run(queries.list_log_lines, session_id=session.id) == [first, second]


def test_a_log_line_belongs_to_a_session(run: Run) -> None:
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        run(queries.append_log_line, session_id=UNKNOWN, level="INFO", message="m", context=None)


def append(run: Run, session_id: UUID, *lines: tuple[str, str]) -> None:
    run(
        queries.append_log_lines,
        session_id=session_id,
        levels=[level for level, _ in lines],
        messages=[message for _, message in lines],
        contexts=[None] * len(lines),
        logged_ats=[None] * len(lines),
    )


def test_many_log_lines_keep_their_order(run: Run) -> None:
    session, other = started_session(run), started_session(run)
    messages = [f'line {number}, it\'s "quoted", {{}}' for number in range(300)]
    levels = ["DEBUG", LogLevel.WARN, "ERROR"] * 100
    contexts = [None if number % 2 else {"number": number} for number in range(300)]
    appended: int = run(
        queries.append_log_lines,
        session_id=session.id,
        levels=levels,
        messages=messages,
        contexts=contexts,
        logged_ats=[None] * 300,
    )
    assert appended == 300
    lines: list[LogLine] = run(queries.list_log_lines, session_id=session.id)
    assert [line.message for line in lines] == messages
    assert [line.level for line in lines] == levels
    assert [line.context for line in lines[:3]] == [{"number": 0}, None, {"number": 2}]
    assert run(queries.count_log_lines) == 300
    assert run(queries.list_log_lines, session_id=other.id) == []


def test_log_lines_keep_times_that_are_known(run: Run) -> None:
    session, then = started_session(run), run.now() - timedelta(days=1)
    run(
        queries.append_log_lines,
        session_id=session.id,
        levels=["INFO", "INFO"],
        messages=["second", "first"],
        contexts=[None, None],
        logged_ats=[then, then - timedelta(hours=1)],
    )
    lines: list[LogLine] = run(queries.list_log_lines, session_id=session.id)
    assert [(line.message, line.logged_at) for line in lines] == [
        ("first", then - timedelta(hours=1)),
        ("second", then),
    ]


def test_no_log_lines_are_none(run: Run) -> None:
    session = started_session(run)
    appended: int = run(
        queries.append_log_lines, session_id=session.id, levels=[], messages=[], contexts=[], logged_ats=[]
    )
    assert appended == 0


def test_a_log_is_read_from_a_level_upwards(run: Run) -> None:
    session = started_session(run)
    append(run, session.id, *((level, level.lower()) for level in ("FATAL", "DEBUG", "WARN", "INFO", "ERROR")))

    def read(min_level: str | None) -> list[str]:
        lines: list[LogLine] = run(queries.list_log_lines, session_id=session.id, min_level=min_level)
        return [line.message for line in lines]

    assert read(None) == read("DEBUG") == ["fatal", "debug", "warn", "info", "error"]
    assert read(LogLevel.WARN) == ["fatal", "warn", "error"]
    assert read("FATAL") == ["fatal"]


def test_a_session_comes_with_its_log_nested(run: Run) -> None:
    ada = new_user(run)
    session, bare = started_session(run, ada), started_session(run)
    append(run, session.id, ("ERROR", 'it\'s "last"'), ("INFO", "first"))
    run.sql("UPDATE ai_logs SET logged_at = logged_at - interval '1 hour' WHERE level = 'INFO'")
    fail(run, session.id)
    row: Any = run(queries.get_session_with_log, session_id=session.id)
    assert (row.id, row.user_id, row.status, row.error_code, row.retry_count) == (session.id, ada.id, "FAILED", "E1", 1)
    assert (row.tokens_used, row.duration_ms, row.completed_at) == (None, 7, None)
    assert [(line.level, line.message) for line in row.log_lines] == [
        ("INFO", "first"),
        ("ERROR", 'it\'s "last"'),
    ]
    assert row.log_lines[1].logged_at >= run.now()
    assert run(queries.get_session_with_log, session_id=bare.id).log_lines == []
    assert run(queries.get_session_with_log, session_id=UNKNOWN) is None


def test_old_sessions_go_with_their_logs_once_they_have_ended(run: Run) -> None:
    now = run.now()
    long_ago, lately = now - timedelta(days=30, seconds=1), now - timedelta(days=30)
    gone = [new_session(run, status=status, created_at=long_ago) for status in ("COMPLETED", "FAILED", "CANCELLED")]
    kept = [
        new_session(run, status="PENDING", created_at=long_ago),
        new_session(run, status="PROCESSING", created_at=long_ago),
        new_session(run, status="COMPLETED", created_at=lately),
    ]
    for session_id in (gone[0], kept[0]):
        append(run, session_id, ("INFO", "m"))
    assert run(queries.delete_old_sessions, days=30) == 3
    assert {session_id for (session_id,) in run.sql("SELECT id FROM ai_sessions")} == set(kept)
    assert run.sql("SELECT session_id FROM ai_logs") == [(kept[0],)]

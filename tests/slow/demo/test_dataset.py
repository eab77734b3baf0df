"""The data set: the same rows for the same seed, in the numbers asked for, that fit together and look like life."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import psycopg
import pytest
from psycopg.rows import TupleRow

from blueprint.dataset import NOW, PASSWORD_HASH, SEED, Dataset, Sizes, load
from blueprint.demo.chance import OUTAGE_DAYS_AGO
from blueprint.demo.rows import EventRow
from blueprint.queries import queries
from blueprint.services import InvalidCredentialsError, sign_in
from rowsmith import Database
from rowsmith.testing.databases import fresh_database
from tests.harness.databases import MIGRATIONS

SMALL = Sizes().divided(20)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return Dataset(SMALL)


@pytest.fixture(scope="module")
def events(dataset: Dataset) -> list[EventRow]:
    return list(dataset.events())


@pytest.fixture(scope="module")
def loaded(server_url: str) -> Iterator[psycopg.Connection[TupleRow]]:
    """A connection to a database that holds the small data set, and gets nothing else."""
    with fresh_database(server_url, [MIGRATIONS]) as url, psycopg.connect(url) as conn:
        load(conn, SMALL)
        yield conn
        conn.rollback()


def rows(dataset: Dataset) -> dict[str, list[tuple[object, ...]]]:
    return {table.name: list(table.rows) for table in dataset.tables()}


# The same again


def test_the_same_rows_for_the_same_seed() -> None:
    assert rows(Dataset(SMALL, NOW, SEED)) == rows(Dataset(SMALL, NOW, SEED))


def test_other_rows_for_another_seed() -> None:
    mine, other = rows(Dataset(SMALL, NOW, SEED)), rows(Dataset(SMALL, NOW, SEED + 1))
    assert all(mine[table] != other[table] for table in mine)


def test_another_now_moves_the_rows_in_time(dataset: Dataset) -> None:
    later = Dataset(SMALL, NOW + timedelta(weeks=1))
    assert [user.email for user in later.users] == [user.email for user in dataset.users]
    assert [user.created_at - timedelta(weeks=1) for user in later.users] == [u.created_at for u in dataset.users]


# Sizes


@pytest.mark.parametrize("divisor", [1, 20])
def test_sizes(divisor: int) -> None:
    sizes = Sizes().divided(divisor)
    assert {name: len(found) for name, found in rows(Dataset(sizes)).items()} == asdict(sizes)


def test_full_sizes() -> None:
    sizes = Sizes()
    assert (sizes.users, sizes.projects, sizes.analytics_events) == (10_000, 20_000, 200_000)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"users": 0}, "every table needs at least one row"),
        ({"analytics_events": 3_499}, "at least 3500 are needed"),
        ({"ai_logs": 99}, "each of 100 sessions"),
        ({"template_reviews": 1_900}, "too few users and templates"),
        ({"project_collaborators": 50_000}, "too few projects"),
    ],
)
def test_impossible_sizes(changed: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sizes(**(asdict(SMALL) | changed))


# Loading


def test_load_reports_its_progress_and_counts(db: Database) -> None:
    reports: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    with db.transaction() as conn:
        counts = load(conn, SMALL, lambda table, done, total: reports[table].append((done, total)))
    assert counts == asdict(SMALL)
    assert list(reports) == list(counts)
    for table, total in counts.items():
        done = [number for number, _ in reports[table]]
        assert done == sorted(set(done))
        assert (done[0], done[-1]) == (0, total)
        assert {each for _, each in reports[table]} == {total}
    assert len(reports["analytics_events"]) > 10
    with db.connection() as conn:
        stored = {row.table_name: row.row_count for row in queries.count_all_rows(conn)}
    assert stored == counts | {"health_checks": 0}


def test_load_leaves_the_commit_to_the_caller(db: Database) -> None:
    with suppress(RuntimeError), db.transaction() as conn:
        load(conn, SMALL)
        raise RuntimeError
    with db.connection() as conn:
        assert queries.count_users(conn) == 0


@pytest.mark.parametrize("name", ["users", "module_templates", "template_reviews", "project_collaborators"])
def test_rows_are_stored_as_they_were_made(loaded: psycopg.Connection[TupleRow], dataset: Dataset, name: str) -> None:
    (table,) = [table for table in dataset.tables() if table.name == name]
    stored = loaded.execute(f"SELECT {', '.join(table.columns)} FROM {name} ORDER BY id".encode()).fetchall()
    assert stored == [tuple(row) for row in sorted(table.rows, key=lambda row: row[0])]


# What fits together; foreign keys and checks are the server's business


STRAYS = """
    SELECT FROM projects AS p JOIN users AS u ON u.id = p.user_id WHERE p.created_at < u.created_at;
    SELECT FROM projects AS p JOIN module_templates AS t ON t.id = p.template_id
        WHERE p.created_at < t.created_at OR NOT t.is_approved;
    SELECT FROM projects WHERE (status = 'PUBLISHED') <> (published_at IS NOT NULL);
    SELECT FROM projects WHERE published_at < created_at;
    SELECT FROM project_collaborators AS c JOIN projects AS p ON p.id = c.project_id WHERE p.user_id = c.user_id;
    SELECT FROM template_reviews AS r JOIN module_templates AS t ON t.id = r.template_id
        WHERE r.created_at < t.created_at;
    SELECT FROM module_templates AS t
        WHERE usage_count <> (SELECT count(*) FROM projects WHERE template_id = t.id);
    SELECT FROM ai_sessions AS s WHERE status = 'FAILED' AND NOT EXISTS
        (SELECT FROM ai_logs WHERE session_id = s.id AND level = 'ERROR' AND error_code = s.error_code);
    SELECT FROM ai_logs AS l JOIN ai_sessions AS s ON s.id = l.session_id WHERE l.logged_at < s.created_at;
    SELECT FROM notifications WHERE is_read <> (read_at IS NOT NULL);
    SELECT FROM notifications WHERE data ? 'project_id' AND NOT EXISTS
        (SELECT FROM projects WHERE id = (data ->> 'project_id')::uuid);
    SELECT FROM analytics_events WHERE properties ? 'project_id' AND NOT EXISTS
        (SELECT FROM projects WHERE id = (properties ->> 'project_id')::uuid);
    SELECT FROM analytics_events WHERE event_name <> 'page_view' AND user_id NOT IN (SELECT id FROM users);
    SELECT FROM users WHERE email !~ '@([a-z]+[.])?example[.](com|net|org)$';
    SELECT FROM users WHERE last_login_at < created_at
"""


@pytest.mark.parametrize("strays", [" ".join(query.split()) for query in STRAYS.split(";")])
def test_rows_fit_together(loaded: psycopg.Connection[TupleRow], strays: str) -> None:
    assert loaded.execute(strays.encode()).fetchall() == []


def test_nothing_happens_after_now(loaded: psycopg.Connection[TupleRow]) -> None:
    columns = loaded.execute(
        "SELECT table_name, column_name FROM information_schema.columns"
        " WHERE table_schema = 'public' AND data_type LIKE 'timestamp%' AND table_name IN"
        " (SELECT relname FROM pg_class WHERE relkind = 'r') AND column_name <> 'expires_at'"
        " AND table_name NOT LIKE '%yoyo%'"
    ).fetchall()
    assert len(columns) > 20
    for table, column in columns:
        (latest,) = loaded.execute(f"SELECT max({column}) FROM {table}".encode()).fetchone() or (None,)
        assert latest is None or latest <= NOW, f"{table}.{column}"


def test_nobody_can_sign_in(db: Database, default_db: Database) -> None:
    assert default_db is db
    with db.transaction() as conn:
        load(conn, SMALL)
        credentials = queries.get_credentials_by_email(conn, email="ada@example.com")
    assert credentials is not None
    assert credentials.password_hash == PASSWORD_HASH
    with pytest.raises(InvalidCredentialsError):
        sign_in(email="ada@example.com", password="")


# What it looks like


def test_sign_ups_grow(dataset: Dataset) -> None:
    ages = [(NOW - user.created_at).days for user in dataset.users]
    assert sum(age < 90 for age in ages) > 3 * sum(age > 540 - 90 for age in ages)


def test_few_do_most(dataset: Dataset) -> None:
    owned = Counter(project.user_id for project in dataset.projects)
    busiest = sum(count for _, count in owned.most_common(SMALL.users // 5))
    assert busiest > 0.5 * SMALL.projects
    assert owned[dataset.users[0].id] == max(owned.values())


def test_weekends_are_quiet(events: list[EventRow]) -> None:
    days = Counter(event.occurred_at.weekday() for event in events)
    assert max(days[5], days[6]) < 0.7 * min(days[day] for day in range(5))


def test_one_day_without_events(events: list[EventRow]) -> None:
    days = {event.occurred_at.date() for event in events}
    lately = [NOW.date() - timedelta(days=ago) for ago in range(60)]
    assert [day for day in lately if day not in days] == [NOW.date() - timedelta(days=OUTAGE_DAYS_AGO)]


def test_events_are_in_the_order_of_time(events: list[EventRow]) -> None:
    times = [event.occurred_at for event in events]
    assert times == sorted(times)


def test_the_funnel_narrows(loaded: psycopg.Connection[TupleRow]) -> None:
    names = ["page_view", "signup", "project_created", "project_published"]
    steps = queries.get_funnel(loaded, event_names=names, since=datetime(2020, 1, 1, tzinfo=UTC), until=NOW)
    counts = [step.user_count for step in steps]
    assert counts == sorted(counts, reverse=True)
    assert all(later < 0.9 * earlier for earlier, later in pairwise(counts))
    assert counts[-1] > 0.1 * counts[0]


def test_users_come_back_less_and_less(loaded: psycopg.Connection[TupleRow]) -> None:
    first_day = NOW.date() - timedelta(weeks=40)
    cells = queries.list_weekly_retention(loaded, first_day=first_day, weeks=8)
    back = Counter[int]()
    for cell in cells:
        back[cell.week_number] += cell.user_count
    assert back[0] > 3 * back[1] > 3 * back[8] > 0


def test_ratings_are_kind_on_the_whole() -> None:
    stars = Counter(review.rating for review in Dataset(Sizes()).reviews())
    assert stars[4] + stars[5] > 1.5 * (stars[1] + stars[2] + stars[3])
    assert set(stars) == {1, 2, 3, 4, 5}

"""The prepared statements of a connection: no more than may be, and the least recently used one goes first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from rowsmith import Database, load_queries
from rowsmith.queries.session import session_of
from rowsmith.wire import protocol
from tests.harness.databases import settings_for
from tests.harness.worlds import World
from tests.queries.test_call_counts import LOOKUP, RoundTrips

SQL = "\n".join(f"-- name: q{number}(v)$\nSELECT :v::int + {number};" for number in range(6))
NAMES = "SELECT statement FROM pg_prepared_statements WHERE name LIKE 'rowsmith%' ORDER BY statement"


class Few(World):
    """A connection that keeps three statements."""

    def __init__(self, url: str, queries: Any, *, asynchronous: bool, **options: Any) -> None:
        super().__init__(url, asynchronous=asynchronous, **options)
        self.queries = queries
        session_of(self.conn).most_statements = 3

    def use(self, *numbers: int) -> None:
        for number in numbers:
            assert self.call(getattr(self.queries, f"q{number}"), v=10) == 10 + number

    @property
    def kept(self) -> list[int]:
        """The queries whose statements the server has."""
        return [int(text.rpartition(" ")[2]) for (text,) in self.sql(NAMES)]


@pytest.fixture
def queries(tmp_path: Path) -> Any:
    (tmp_path / "q.sql").write_text(SQL)
    return load_queries(tmp_path)


@pytest.fixture(params=[False, True], ids=["threads", "tasks"])
def few(request: pytest.FixtureRequest, worker_database_url: str, queries: Any) -> Iterator[Few]:
    world = Few(worker_database_url, queries, asynchronous=request.param)
    yield world
    world.close()


def test_the_least_recently_used_statement_goes_first(few: Few) -> None:
    few.use(0, 1, 2)
    assert few.kept == [0, 1, 2]
    few.use(0, 3)
    assert few.kept == [0, 2, 3]
    few.use(2, 2, 0, 4, 5)
    assert few.kept == [0, 4, 5]
    few.use(1, 1, 0)
    assert few.kept == [0, 1, 5]


def test_it_goes_with_the_round_trip_that_prepares_the_next(few: Few, tmp_path: Path) -> None:
    few.use(0, 1, 2)
    with closing(RoundTrips(few.conn, tmp_path)) as trips:
        few.use(3)
        count, sent = trips.taken()
        assert (count, sent) == (2, ["Close", "Parse", "Describe", "Sync", *LOOKUP])
        few.use(3)
        assert trips.taken() == (1, LOOKUP)


def test_a_statement_that_is_gone_already_is_no_error(few: Few) -> None:
    few.use(0, 1, 2)
    few.sql("BEGIN")
    few.sql("DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$")
    few.use(3)
    few.sql("COMMIT")
    few.use(0, 1, 2, 3)


def test_in_a_transaction_and_after_a_statement_that_is_refused(few: Few, tmp_path: Path) -> None:
    (tmp_path / "bad.sql").write_text("-- name: bad()$\nSELECT nothing;")
    bad = load_queries(tmp_path / "bad.sql").bad
    few.use(0, 1, 2)
    for commands in [("BEGIN", "ROLLBACK"), ()]:
        for command in commands[:1]:
            few.sql(command)
        with pytest.raises(psycopg.errors.UndefinedColumn):
            few.call(bad)
        for command in commands[1:]:
            few.sql(command)
    few.sql("BEGIN")
    few.use(0, 1, 2, 3, 4, 5)
    few.sql("COMMIT")
    assert few.kept == [3, 4, 5]


def test_a_libpq_that_cannot_close_statements_deallocates_them(few: Few, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "_CAN_CLOSE", False)
    few.use(0, 1, 2, 3, 4)
    assert few.kept == [2, 3, 4]


def test_psycopgs_own_statements_do_not_count(few: Few) -> None:
    few.use(0, 1, 2)
    for number in range(4):
        for _ in range(6):
            few.sql(f"SELECT {number}, $1::int", 1)
    assert few.kept == [0, 1, 2]


def test_the_connections_of_a_pool_keep_as_many_as_the_settings_say(worker_database_url: str, queries: Any) -> None:
    settings = settings_for(worker_database_url, prepared_statements=2, min_connections=1, max_connections=1)
    with Database(settings) as database:
        for number in range(4):
            with database.connection() as conn:
                getattr(queries, f"q{number}")(conn, v=1)
        with database.connection() as conn:
            assert len(conn.execute(NAMES.encode()).fetchall()) == 2

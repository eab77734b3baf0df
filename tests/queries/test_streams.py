"""Streams: the rows of a query in constant memory, for threads and for tasks."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import psycopg
import pytest

from rowsmith import Database, load_queries
from rowsmith.queries.session import session_of

SQL = """
-- name: numbers(last)
SELECT i, repeat('x', 100) AS text FROM generate_series(1, :last::int) AS i;

-- name: inverses(last)
SELECT 1 / (:last::int - i) AS inverse FROM generate_series(1, :last::int) AS i;

-- name: count_cursors()$
SELECT count(*) FROM pg_cursors WHERE name LIKE 'rowsmith%';

-- name: count_statements()$
SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'FETCH%';

-- name: locked(last)
SELECT relname FROM pg_class LIMIT :last FOR UPDATE;
"""


@pytest.fixture
def queries(tmp_path: Path) -> Any:
    (tmp_path / "numbers.sql").write_text(SQL)
    return load_queries(tmp_path)


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(work())


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 3500])
def test_a_stream_gives_the_rows_of_the_call(queries: Any, db: Database, count: int) -> None:
    with db.transaction() as conn:
        assert list(queries.numbers.stream(conn, last=count)) == queries.numbers(conn, last=count)
        assert queries.count_cursors(conn) == queries.count_statements(conn) == 0

    async def work() -> None:
        async with db.transaction() as conn:
            rows = [row async for row in queries.numbers.stream(conn, last=count)]
            assert rows == await queries.numbers(conn, last=count)
            assert await queries.count_cursors(conn) == 0
        await db.aclose()

    run(work)


def test_other_statements_run_while_a_stream_is_read(queries: Any, db: Database) -> None:
    with db.transaction() as conn:
        sums = [
            (row.i, sum(inner.i for inner in queries.numbers.stream(conn, last=1200)))
            for row in queries.numbers.stream(conn, last=1500)
            if row.i % 500 == 0
        ]
        assert sums == [(500, 720600), (1000, 720600), (1500, 720600)]


def test_outside_a_transaction_the_statements_of_the_loop_stand_alone(
    queries: Any, db: Database, database_url: str
) -> None:
    with db.connection() as conn:
        conn.execute("CREATE TABLE kept (i int)")
        for row in queries.numbers.stream(conn, last=3000):
            conn.execute("INSERT INTO kept VALUES (%s)", [row.i])
            if row.i == 1100:
                break
        with psycopg.connect(database_url) as other:
            assert other.execute("SELECT count(*) FROM kept").fetchone() == (1100,)


def test_a_connection_that_is_not_in_autocommit_mode_begins_a_transaction(queries: Any, database_url: str) -> None:
    with psycopg.connect(database_url) as conn:
        assert len(list(queries.numbers.stream(conn, last=1001))) == 1001
        assert conn.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS


def test_with_closes_a_stream_that_is_left_early(queries: Any, db: Database) -> None:
    with db.connection() as conn:
        with queries.numbers.stream(conn, last=3000) as rows:
            assert next(iter(rows)).i == 1
            assert queries.count_cursors(conn) == 1
        assert queries.count_cursors(conn) == queries.count_statements(conn) == 0
        assert not session_of(conn).streams

    async def work() -> None:
        async with db.transaction() as conn:
            async with queries.numbers.stream(conn, last=3000) as rows:
                async for row in rows:
                    assert row.i == 1
                    break
            assert await queries.count_cursors(conn) == 0
        await db.aclose()

    run(work)


def test_a_stream_left_early_is_gone_when_its_connection_is_back_in_the_pool(queries: Any, database_url: str) -> None:
    with Database(database_url) as db:
        for _ in range(3):
            with db.connection() as conn:
                next(iter(queries.numbers.stream(conn, last=3000)))
            with db.transaction() as conn:
                next(iter(queries.numbers.stream(conn, last=3000)))
            with db.connection() as conn:
                assert queries.count_cursors(conn) == queries.count_statements(conn) == 0


def test_an_error_between_two_batches_is_named_with_its_query(queries: Any, db: Database) -> None:
    seen: list[int] = []
    with pytest.raises(psycopg.errors.DivisionByZero) as caught, db.transaction() as conn:
        seen.extend(row.inverse for row in queries.inverses.stream(conn, last=2500))
    assert len(seen) == 2000
    assert any("in query inverses" in note for note in caught.value.__notes__)
    with db.transaction() as conn:
        assert len(queries.numbers(conn, last=3)) == 3


def test_what_cannot_be_streamed_is_said(queries: Any, db: Database) -> None:
    with db.connection() as conn:
        with pytest.raises(psycopg.errors.FeatureNotSupported):
            list(queries.locked.stream(conn, last=3))
        with pytest.raises(TypeError, match=r"numbers\(\): missing parameter last"):
            queries.numbers.stream(conn)
        with pytest.raises(psycopg.NotSupportedError, match="pipeline"), conn.pipeline():
            list(queries.numbers.stream(conn, last=3))
    with pytest.raises(TypeError, match="takes a psycopg Connection"):
        queries.numbers.stream("conn", last=3)
    assert not hasattr(queries.count_cursors, "stream")


def test_a_batch_is_in_memory_and_not_the_result(queries: Any, db: Database) -> None:
    with db.transaction() as conn:
        stream = iter(queries.numbers.stream(conn, last=100_000))
        next(stream)
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            assert sum(1 for _ in stream) == 99_999
            peak = tracemalloc.get_traced_memory()[1] - before
        finally:
            tracemalloc.stop()
    assert peak < 2_000_000  # bytes; a batch is a hundredth of the 20 MB that the rows take together

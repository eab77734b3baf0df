"""A connection returns to the pool clean, whatever was done to its session, and in the ordinary case for free."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import IsolationLevel
from psycopg.rows import dict_row, tuple_row

from rowsmith import load_queries
from rowsmith.queries.typed import query, typed_queries
from tests.harness.drivers import AnyConnection, Driver, Observer, both_worlds, called, insert, small, sql
from tests.harness.network import Proxy

QUERIES = """
-- name: add(n)!
INSERT INTO items VALUES (:n::int);

-- name: items()
SELECT n FROM items ORDER BY n;

-- name: tell()$
SELECT current_setting('search_path');

-- name: confuse()!
SET search_path TO pg_catalog;

-- name: hold(key)$
SELECT pg_advisory_lock(:key::int)::text;

-- name: configure(value)$
SELECT set_config('app.tenant', :value::text, false);
"""
LEFT = """
    SELECT current_setting('search_path'), coalesce(current_setting('app.tenant', true), ''), current_user::text,
        (SELECT count(*) FROM pg_class WHERE relpersistence = 't'), current_setting('statement_timeout'),
        (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
        (SELECT count(*) FROM pg_listening_channels()), (SELECT count(*) FROM pg_cursors)
"""
DIRT = {
    "search_path": "SET search_path TO pg_catalog",
    "custom setting": "SELECT set_config('app.tenant', '42', false)",
    "setting": "SET statement_timeout = '7s'",
    "role": "SET ROLE pg_read_all_data",
    "session authorization": "SET SESSION AUTHORIZATION pg_read_all_data",
    "temporary table": "CREATE TEMP TABLE mine (n int)",
    "advisory lock": "SELECT pg_advisory_lock(7)",
    "shared advisory lock": "SELECT pg_advisory_lock_shared(8)",
    "listen": "LISTEN something",
    "cursor": "DECLARE held CURSOR WITH HOLD FOR SELECT 1",
    "in a function": "DO $$ BEGIN PERFORM set_config('search_path', 'pg_catalog', false); END $$",
}


@pytest.fixture
def queries(tmp_path: Path) -> Any:
    (tmp_path / "queries.sql").write_text(QUERIES)
    return load_queries(tmp_path)


@both_worlds
@pytest.mark.parametrize("block", ["connection", "transaction", "failing transaction"])
@pytest.mark.parametrize("dirt", DIRT)
def test_a_session_is_clean_again(driver: type[Driver], observer: Observer, dirt: str, block: str) -> None:
    here = driver(small(observer.url, max_connections=1))

    async def soil() -> int:
        async with here.connection() if block == "connection" else here.transaction() as conn:
            await sql(conn, DIRT[dirt])
            if block == "failing transaction":
                raise LookupError
            return conn.info.backend_pid

    async def body() -> None:
        async with here.connection() as conn:
            before, pid = await sql(conn, LEFT), conn.info.backend_pid
        try:
            await soil()
        except LookupError:
            assert block == "failing transaction"
        async with here.connection() as conn:
            assert await sql(conn, LEFT) == before
            assert conn.info.backend_pid == pid, "cleaned, not replaced"

    here.drive(body)


@both_worlds
@pytest.mark.parametrize("query", ["confuse", "hold", "configure"])
def test_a_query_that_changes_the_session(driver: type[Driver], observer: Observer, queries: Any, query: str) -> None:
    """Queries of files do not pass through psycopg's cursors; what they change is put back all the same."""
    here = driver(small(observer.url, max_connections=1))
    every: dict[str, dict[str, Any]] = {"confuse": {}, "hold": {"key": 7}, "configure": {"value": "42"}}
    values = every[query]

    async def body() -> None:
        async with here.connection() as conn:
            before = await sql(conn, LEFT)
        for _ in range(3):
            async with here.connection() as conn:
                await called(getattr(queries, query)(conn, **values))
            async with here.connection() as conn:
                assert await sql(conn, LEFT) == before

    here.drive(body)


async def _set(conn: AnyConnection, attribute: str, value: object) -> None:
    if attribute in ("row_factory", "prepare_threshold"):
        setattr(conn, attribute, value)
    else:
        await called(getattr(conn, f"set_{attribute}")(value))


@both_worlds
@pytest.mark.parametrize(
    ("attribute", "value", "clean"),
    [
        ("autocommit", False, True),
        ("row_factory", dict_row, tuple_row),
        ("isolation_level", IsolationLevel.SERIALIZABLE, None),
        ("read_only", True, None),
        ("deferrable", True, None),
        ("prepare_threshold", 0, 5),
    ],
)
def test_an_attribute_is_as_it_was(
    driver: type[Driver], observer: Observer, attribute: str, value: object, clean: object
) -> None:
    here = driver(small(observer.url, max_connections=1))

    async def body() -> None:
        async with here.connection() as conn:
            await _set(conn, attribute, value)
        async with here.connection() as conn:
            assert getattr(conn, attribute) == clean
            assert await sql(conn, "SELECT 1") == [(1,)]
        async with here.transaction() as conn:
            await insert(conn, 1)
        assert observer.stored() == [1]

    here.drive(body)


@both_worlds
def test_handlers_are_taken_off(driver: type[Driver], observer: Observer) -> None:
    here = driver(small(observer.url, max_connections=1))
    heard: list[str | None] = []

    async def body() -> None:
        async with here.connection() as conn:
            conn.add_notice_handler(lambda notice: heard.append(notice.message_primary))
            await sql(conn, "DO $$ BEGIN RAISE NOTICE 'one'; END $$")
        async with here.connection() as conn:
            await sql(conn, "DO $$ BEGIN RAISE NOTICE 'two'; END $$")
        assert heard == ["one"]

    here.drive(body)


@both_worlds
@pytest.mark.parametrize("abandoned", ["transaction", "aborted transaction", "copy"])
def test_what_is_left_half_done(driver: type[Driver], observer: Observer, abandoned: str) -> None:
    here = driver(small(observer.url, max_connections=1))

    async def leave(conn: AnyConnection) -> None:
        if abandoned == "copy":
            copy: Any = conn.cursor().copy("COPY (SELECT generate_series(1, 100000)) TO STDOUT")
            await called(getattr(copy, "__aenter__" if isinstance(conn, psycopg.AsyncConnection) else "__enter__")())
            return
        await sql(conn, "BEGIN")
        await insert(conn, 1)
        if abandoned == "aborted transaction":
            with pytest.raises(psycopg.errors.DivisionByZero):
                await sql(conn, "SELECT 1/0")

    async def body() -> None:
        async with here.connection() as conn:
            await leave(conn)
        assert observer.stored() == []
        assert await here.backend()
        assert observer.sessions("idle in transaction%") == 0

    here.drive(body)


class Declared:
    """What a generated module declares of two of the queries."""

    @query
    def tell(self) -> str | None: ...

    @query(writes="rows")
    def add(self, *, n: int) -> int:
        raise NotImplementedError


@both_worlds
def test_in_the_ordinary_case_it_costs_no_round_trip(driver: type[Driver], proxy: Proxy, tmp_path: Path) -> None:
    """A query is one round trip; a transaction of one has another for its COMMIT. Nothing is added at the return."""
    add, tell = QUERIES.partition("-- name: items()")[0], "-- name: tell()$\nSELECT current_setting('search_path');\n"
    (tmp_path / "typed.sql").write_text(add + tell)
    queries = typed_queries(Declared, __file__, {"": str(tmp_path)})
    here = driver(small(proxy.url, max_connections=1))

    async def reading() -> None:
        async with here.connection() as conn:
            await called(queries.tell(conn))

    async def writing() -> None:
        async with here.transaction() as conn:
            await called(queries.add(conn, n=1))

    async def body() -> None:
        await reading()
        await writing()
        for work, round_trips in ((reading, 1), (writing, 2)):
            proxy.forget()
            for _ in range(10):
                await work()
            sent = [chunk.data for chunk in proxy.chunks if chunk.sender == "client"]
            assert proxy.round_trips() == 10 * round_trips, sent

    here.drive(body)


@both_worlds
def test_prepared_statements_outlive_the_cleaning(driver: type[Driver], proxy: Proxy, queries: Any) -> None:
    here = driver(small(proxy.url, max_connections=1))

    async def body() -> None:
        for number in range(5):
            async with here.connection() as conn:
                await called(queries.add(conn, n=number))
                await sql(conn, "SET search_path TO public")
        assert proxy.sent(b"INSERT INTO items") <= 2, "described and prepared once"

    here.drive(body)

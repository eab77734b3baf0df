"""What a holder leaves in a connection does not reach the next one; statements that are proven clean pay nothing."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.adapt import Loader
from psycopg.types import TypeInfo
from psycopg.types.string import StrDumper

from rowsmith import copy_rows, load_queries
from rowsmith.errors import LockTimeoutError
from rowsmith.queries.typed import typed_queries
from tests.harness.drivers import AnyConnection, Driver, Observer, Tasks, both_worlds, called, small, sql
from tests.harness.network import Proxy
from tests.slow.faults.table import record

SCHEMA = """
    CREATE FUNCTION leak(value text) RETURNS text LANGUAGE sql AS $$ SELECT set_config('app.leak', value, false) $$;
    CREATE VIEW leaking AS SELECT set_config('app.leak', 'view', false) AS value;
    CREATE TABLE leaky (id int DEFAULT length(leak('default')), body text);
    CREATE FUNCTION leak_in_trigger() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM leak('trigger'); PERFORM pg_advisory_lock(9); RETURN NEW; END $$;
    CREATE TABLE triggered (id int);
    CREATE TRIGGER leak BEFORE INSERT ON triggered FOR EACH ROW EXECUTE FUNCTION leak_in_trigger();
"""
QUERIES = r"""
-- name: escaped()$
SELECT U&"\0073et_config"('app.leak', 'escaped', false);

-- name: settings()!
UPDATE pg_settings SET setting = '7s' WHERE name = 'statement_timeout';

-- name: view()$
SELECT value FROM leaking;

-- name: function()$
SELECT leak('function');

-- name: insert()!
INSERT INTO leaky (body) VALUES ('x');

-- name: trigger()!
INSERT INTO triggered VALUES (1);

-- name: lock_many()*!
SELECT pg_advisory_lock(10);

-- name: fail(n)$
SELECT pg_try_advisory_lock(11) AND 1 / (SELECT count(*) FROM leaky WHERE id = :n::int) = 1;

-- name: script()#
SET app.leak = 'script'; SELECT pg_advisory_lock(12);

-- name: rows()
SELECT leak('stream') AS value FROM generate_series(1, 3);
"""
LEFT = """
    SELECT coalesce(current_setting('app.leak', true), ''), current_setting('statement_timeout'),
        (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())
"""


@pytest.fixture
def observer(observer: Observer) -> Observer:
    observer.do(SCHEMA)
    return observer


@pytest.fixture
def queries(tmp_path: Path) -> Any:
    (tmp_path / "queries.sql").write_text(QUERIES)
    return load_queries(tmp_path)


async def left(here: Driver) -> tuple[Any, ...]:
    """What the next holder finds; its question leaves nothing, so that it cleans nothing up."""
    async with here.connection() as conn:
        result = conn.pgconn.exec_(LEFT.encode())
        return tuple(result.get_value(0, column) for column in range(result.nfields))


@both_worlds
@pytest.mark.parametrize("block", ["connection", "transaction"])
@pytest.mark.parametrize(
    "name", ["escaped", "settings", "view", "function", "insert", "trigger", "lock_many", "script", "rows"]
)
def test_what_a_query_leaves_is_cleaned(
    driver: type[Driver], observer: Observer, queries: Any, name: str, block: str
) -> None:
    here = driver(small(observer.url, max_connections=1))

    async def body() -> None:
        before, back = await left(here), 0.0
        for _ in range(2):  # described at first, prepared then
            async with here.connection() if block == "connection" else here.transaction() as conn:
                await called(getattr(queries, name)(conn, *([[{}, {}]] if name == "lock_many" else [])))
                back = time.monotonic()
            assert await left(here) == before
        record("settings and locks that a query has left in its session", "nothing", time.monotonic() - back)

    here.drive(body)


@both_worlds
def test_what_a_failed_query_leaves_is_cleaned(driver: type[Driver], observer: Observer, queries: Any) -> None:
    """A lock of the session outlives the error of the statement that has taken it."""
    here = driver(small(observer.url, max_connections=1))

    async def body() -> None:
        before = await left(here)
        for _ in range(2):
            async with here.connection() as conn:
                with pytest.raises(psycopg.errors.DivisionByZero):
                    await called(queries.fail(conn, n=0))
            assert await left(here) == before

    here.drive(body)


@both_worlds
@pytest.mark.parametrize("how", ["cursor", "query", "script"])
def test_statements_prepared_by_hand_are_gone(
    driver: type[Driver], observer: Observer, tmp_path: Path, how: str
) -> None:
    prepare = "PREPARE mine AS SELECT 1;"
    (tmp_path / "prepare.sql").write_text(
        f"-- name: query()!\n{prepare}\n\n-- name: script()#\n{prepare}\n\n-- name: one()$\nSELECT 1;\n"
    )
    queries, here = load_queries(tmp_path), driver(small(observer.url, max_connections=1))

    async def body() -> None:
        pid = await here.backend()
        for _ in range(3):
            async with here.connection() as conn:
                if how == "cursor":
                    await sql(conn, prepare)
                else:
                    await called(getattr(queries, how)(conn))
                assert await called(queries.one(conn)) == 1
        assert await here.backend() == pid

    here.drive(body)


@both_worlds
@pytest.mark.parametrize("end", ["read", "left early"])
def test_what_a_stream_leaves_is_cleaned(driver: type[Driver], observer: Observer, queries: Any, end: str) -> None:
    here = driver(small(observer.url, max_connections=1))

    async def read(conn: AnyConnection) -> None:
        async with here.enter(queries.rows.stream(conn)) as rows:
            if isinstance(conn, psycopg.AsyncConnection):
                async for _ in rows:
                    if end == "left early":
                        break
            else:
                for _ in rows:
                    if end == "left early":
                        break

    async def body() -> None:
        before = await left(here)
        async with here.connection() as conn:
            await read(conn)
        assert await left(here) == before

    here.drive(body)


@both_worlds
def test_what_a_copy_leaves_is_cleaned(driver: type[Driver], observer: Observer) -> None:
    here = driver(small(observer.url, max_connections=1))

    async def body() -> None:
        before = await left(here)
        async with here.connection() as conn:
            await called(copy_rows(conn, "triggered", [(1,)]))
        assert await left(here) == before

    here.drive(body)


def test_a_lock_that_was_granted_to_a_cancelled_task_is_released(observer: Observer) -> None:
    """The answer to the question for the lock arrives after the cancellation, and the connection goes on."""
    with Proxy(observer.url) as proxy:
        here = Tasks(small(proxy.url, max_connections=1))

        async def lock() -> None:
            async with here.db.advisory_lock("job"):
                pass

        async def body() -> None:
            before = await left(here)
            held = proxy.hold_after(b"pg_try_advisory_lock")
            task = asyncio.create_task(lock())
            await here.until(held.is_set)
            task.cancel()
            proxy.resume()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await left(here) == before

        here.drive(body)


@both_worlds
def test_a_lock_that_was_not_granted_leaves_nothing(driver: type[Driver], observer: Observer) -> None:
    here = driver(small(observer.url, max_connections=2))

    async def body() -> None:
        async with here.enter(here.db.advisory_lock("job")):
            with pytest.raises(LockTimeoutError):
                async with here.enter(here.db.advisory_lock("job", wait=0)):
                    pass

    here.drive(body)


class Shouting(Loader):
    """Reads every text in capitals."""

    def load(self, data: Any) -> str:
        return bytes(data).decode().upper()


class Whispering(StrDumper):
    """Writes every string in small letters."""

    def dump(self, obj: str) -> bytes:
        return obj.lower().encode()


def _loader(conn: AnyConnection) -> None:
    conn.adapters.register_loader("text", Shouting)


def _dumper(conn: AnyConnection) -> None:
    conn.adapters.register_dumper(str, Whispering)


def _type(conn: AnyConnection) -> None:
    TypeInfo("mine", 1234567, 1234568).register(conn)


def _prepared_max(conn: AnyConnection) -> None:
    conn.prepared_max = 1


@both_worlds
@pytest.mark.parametrize("change", [_loader, _dumper, _type, _prepared_max])
def test_what_is_registered_on_a_connection_stays_with_its_holder(
    driver: type[Driver], observer: Observer, change: Callable[[AnyConnection], None]
) -> None:
    here = driver(small(observer.url, max_connections=1))

    async def seen(conn: AnyConnection) -> tuple[Any, ...]:
        ((text,),) = await sql(conn, "SELECT %s::text", "Ada")
        return text, conn.adapters.types.get("mine"), conn.prepared_max

    async def body() -> None:
        async with here.connection() as conn:
            before, pid = await seen(conn), conn.info.backend_pid
        for _ in range(2):
            async with here.connection() as conn:
                change(conn)
                assert await seen(conn) != before
                back = time.monotonic()
            async with here.connection() as conn:
                assert await seen(conn) == before
                assert conn.info.backend_pid == pid
            record("adapters that were registered on a connection", "nothing", time.monotonic() - back)

    here.drive(body)


@both_worlds
def test_a_prepared_statement_forgets_the_adapters_of_another_holder(
    driver: type[Driver], observer: Observer, tmp_path: Path
) -> None:
    (tmp_path / "texts.sql").write_text("-- name: text(value)$\nSELECT :value::text;\n")
    texts, here = load_queries(tmp_path), driver(small(observer.url, max_connections=1))

    async def body() -> None:
        for _ in range(3):
            async with here.connection() as conn:
                assert await called(texts.text(conn, value="Ada")) == "Ada"
            async with here.connection() as conn:
                _loader(conn)
                assert await called(texts.text(conn, value="Ada")) == "ADA"

    here.drive(body)


# --- what it costs ---


@pytest.fixture
def proxy(observer: Observer) -> Iterator[Proxy]:
    with Proxy(observer.url) as proxy:
        yield proxy


@both_worlds
@pytest.mark.parametrize(("writes", "added"), [(False, 0), ("rows", 0), (True, 1)])
def test_only_what_is_not_proven_pays_for_a_reset(
    driver: type[Driver], proxy: Proxy, tmp_path: Path, writes: object, added: int
) -> None:
    (tmp_path / "queries.sql").write_text("-- name: items()$\nSELECT count(*)::int FROM items;\n")

    class Module:
        def items(self) -> int:
            raise NotImplementedError

    Module.items.__annotations__ = {"return": int}
    Module.items.__doc__ = None
    vars(Module)["items"].writes = writes
    queries, here = typed_queries(Module, __file__, {"": str(tmp_path)}), driver(small(proxy.url, max_connections=1))

    async def work() -> None:
        async with here.connection() as conn:
            assert await called(queries.items(conn)) == 0
            assert await called(queries.items(conn)) == 0

    async def body() -> None:
        await work()
        proxy.forget()
        for _ in range(5):
            await work()
        assert proxy.round_trips() == 5 * (2 + added)

    here.drive(body)

"""Threads and tasks, for tests whose body is the same in both, and what is stored in their database.

The body of such a test is a coroutine: `Tasks` runs it in an event loop, with `async with`; `Threads` steps through it
without one, with `with`. A body that hangs fails its test, with the stack of where it hangs.
"""
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, AbstractContextManager, suppress
from types import TracebackType
from typing import Any, TypeVar

import psycopg
import pytest
from psycopg import AsyncConnection, Connection
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

from rowsmith import Database, HealthCheck
from tests.harness.databases import settings_for
from tests.harness.pgbouncer import prepare_threshold
from tests.harness.waiting import PATIENCE, bounded, until, wait_until

AnyConnection = Connection[TupleRow] | AsyncConnection[TupleRow]
Body = Callable[[], Coroutine[Any, Any, Any]]
Work = Callable[[Any], Coroutine[Any, Any, Any]]
_T = TypeVar("_T")

NAME = "rowsmith-under-test"
MOST = 4
"""The connections of a small pool."""
TABLES = """
    CREATE TABLE items (n int NOT NULL);
    CREATE TABLE counter (n int NOT NULL);
    INSERT INTO counter VALUES (0);
    CREATE TABLE unique_at_commit (n int, UNIQUE (n) DEFERRABLE INITIALLY DEFERRED);
    CREATE TABLE slow_at_commit (n int);
    CREATE FUNCTION sleep_at_commit() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_sleep(30); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON slow_at_commit DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION sleep_at_commit();
"""
"""`items` has no key, so that work done twice shows."""


def small(url: str, **values: object) -> Database:
    """A database with a small pool."""
    defaults = {"application_name": NAME, "min_connections": 1, "max_connections": MOST, "pool_timeout": 5000}
    return Database(settings_for(url, **{**defaults, **values}))


async def sql(conn: AnyConnection, statement: str, *values: object) -> list[TupleRow]:
    """Run a statement on a connection of either kind, with psycopg's cursor; its rows."""
    cursor = conn.cursor()
    if isinstance(cursor, psycopg.AsyncCursor):
        await cursor.execute(statement.encode(), values or None)
        return await cursor.fetchall() if cursor.description else []
    cursor.execute(statement.encode(), values or None)
    return cursor.fetchall() if cursor.description else []


async def called(result: Any) -> Any:
    """What a query's call gives, in both worlds."""
    return await result if hasattr(result, "__await__") else result


async def insert(conn: AnyConnection, *numbers: int) -> None:
    for number in numbers:
        await sql(conn, "INSERT INTO items VALUES (%s)", number)


def step_through(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """The result of a coroutine that waits for nothing asynchronous."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: _T = stop.value
        return result
    coroutine.close()
    raise AssertionError("awaited something asynchronous")


class Observer:
    """A database with TABLES, seen from outside the library. It survives every fault: it connects again."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._conn: Connection[TupleRow] | None = None
        self.do(TABLES)

    def do(self, statement: str, *values: object) -> list[TupleRow]:
        with suppress(psycopg.OperationalError):
            return self._rows(statement, *values)
        self.close()
        return self._rows(statement, *values)

    def close(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    def _rows(self, statement: str, *values: object) -> list[TupleRow]:
        if self._conn is None:
            self._conn = psycopg.connect(self.url, autocommit=True, prepare_threshold=prepare_threshold())
        cursor = self._conn.execute(statement.encode(), values or None)
        return cursor.fetchall() if cursor.description else []

    def stored(self, table: str = "items") -> list[int]:
        return [n for (n,) in self.do(f"SELECT n FROM {table} ORDER BY n")]

    def sessions(self, state: str = "%") -> int:
        """How many sessions of the library are in a state."""
        query = """
            SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name = %s AND coalesce(state, '') LIKE %s
        """
        return int(self.do(query, NAME, state)[0][0])

    def runs(self, text: str) -> int:
        """How many sessions of the library run a statement in which this text occurs."""
        query = """
            SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s
                AND state = 'active' AND strpos(query, %s) > 0
        """
        return int(self.do(query, NAME, text)[0][0])

    def in_transaction(self) -> bool:
        """Whether a session of the library is in a transaction that wrote. If none is, nothing more can be stored."""
        query = "SELECT 1 FROM pg_stat_activity WHERE application_name = %s AND backend_xid IS NOT NULL"
        return bool(self.do(f"{query} AND datname = current_database()", NAME))

    def waits_for(self, backend: int) -> bool:
        """Whether a session waits for a lock that this server process holds."""
        return bool(self.do("SELECT 1 FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid))", backend))

    def end_sessions(self, pids: Iterable[int] | None = None) -> None:
        """End sessions of the library from the server's side (57P01), all or these; they have ended then."""
        which = "application_name = %s AND (%s::int[] IS NULL OR pid = ANY(%s::int[]))"
        chosen = None if pids is None else list(pids)
        query = f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {which}"
        self.do(f"{query} AND datname = current_database()", NAME, chosen, chosen)


class Started(ABC):
    """Work that was started beside the body."""

    @abstractmethod
    async def result(self, seconds: float = PATIENCE) -> Any: ...

    @property
    @abstractmethod
    def done(self) -> bool: ...


class Driver(ABC):
    """Runs the body of a test in one of the two worlds."""

    def __init__(self, db: Database, observer: Observer | None = None) -> None:
        self.db = db
        self._observer = observer

    @property
    def observer(self) -> Observer:
        assert self._observer is not None
        return self._observer

    @property
    def stored(self) -> list[int]:
        return self.observer.stored()

    @abstractmethod
    def drive(self, body: Body, seconds: float = PATIENCE) -> None:
        """Run the body in this world, then close the database; no connection may be in use any more."""

    @abstractmethod
    def enter(self, block: Any) -> AbstractAsyncContextManager[Any]:
        """A block of the library's, to be entered by `async with`."""

    @abstractmethod
    async def run(self, work: Work, **options: Any) -> Any:
        """`Database.run`, or `arun`."""

    @abstractmethod
    async def health(self, timeout: float = 5.0) -> HealthCheck: ...

    @abstractmethod
    def start(self, body: Body) -> Started:
        """Start work in a thread, or in a task."""

    @abstractmethod
    async def pause(self, seconds: float) -> None: ...

    def transaction(self, **options: Any) -> AbstractAsyncContextManager[AnyConnection]:
        return self.enter(self.db.transaction(**options))

    def connection(self) -> AbstractAsyncContextManager[AnyConnection]:
        return self.enter(self.db.connection())

    @abstractmethod
    async def until(self, condition: Callable[[], object]) -> None:
        """Until a condition holds."""

    async def backend(self) -> int:
        """The server process of some connection of the pool, which has answered."""
        async with self.connection() as conn:
            (row,) = await sql(conn, "SELECT pg_backend_pid()")
            return int(row[0])

    async def fill(self, count: int = MOST) -> set[int]:
        """Have so many connections in the pool, idle; their server processes."""
        blocks = [self.connection() for _ in range(count)]
        pids: set[int] = set()
        for block in blocks:
            pids.add((await block.__aenter__()).info.backend_pid)
        for block in blocks:
            await block.__aexit__(None, None, None)
        assert len(pids) == count
        return pids

    async def age(self, seconds: float = 10.0) -> None:
        """Let the connections of the pool, all of them idle, look older, and idle for longer."""
        every: list[Any] = [self.db._pool, *self.db._apools.values()]
        pools = [pool for pool in every if pool.opened]
        await self.until(lambda: all(len(pool._pool._pool) == pool._pool._nconns for pool in pools))
        for pool in pools:
            for conn in pool._pool._pool:
                conn.used_at -= seconds
                conn.opened_at -= seconds

    def let_circuit_half_open(self) -> None:
        """Let the time be over for which an open circuit stays open."""
        breaker, clock, seconds = self.db._breaker, self.db._breaker._clock, self.db.settings.breaker_reset / 1000
        breaker._clock = lambda: clock() + seconds

    async def recovered(self) -> float:
        """The time, on the monotonic clock, of the first success: a client that tries again, and again."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                await self.backend()
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                await self.pause(0.01)
            else:
                return time.monotonic()

    async def check_whole(self) -> None:
        """Every connection of the pool can be had, at the same time, and each is in order."""
        assert self.db.statistics()["connections_in_use"] == 0
        blocks = [self.connection() for _ in range(MOST)]
        pids: set[int] = set()
        entered = 0
        try:
            for block in blocks:
                conn = await block.__aenter__()
                entered += 1
                assert conn.info.transaction_status is TransactionStatus.IDLE
                await sql(conn, "SELECT 1")
                pids.add(conn.info.backend_pid)  # PgBouncer may give several clients one server process
        finally:
            for block in blocks[:entered]:
                await block.__aexit__(None, None, None)
        assert len(pids) == MOST


class _Awaited(AbstractAsyncContextManager[Any]):
    """A synchronous block, entered and left by `async with`, so that the body of a test is written once."""

    def __init__(self, block: AbstractContextManager[Any]) -> None:
        self._block = block

    async def __aenter__(self) -> Any:
        return self._block.__enter__()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return self._block.__exit__(exc_type, exc, traceback)


class _Thread(Started):
    def __init__(self, body: Body) -> None:
        self._future: Future[Any] = Future()
        self._thread = threading.Thread(target=self._run, args=(body,), daemon=True)
        self._thread.start()

    def _run(self, body: Body) -> None:
        try:
            self._future.set_result(step_through(body()))
        except BaseException as error:  # noqa: BLE001 - handed to the one who asks
            self._future.set_exception(error)

    async def result(self, seconds: float = PATIENCE) -> Any:
        self._thread.join(seconds)
        assert self._future.done(), "hung"
        return self._future.result()

    @property
    def done(self) -> bool:
        return self._future.done()


class Threads(Driver):
    """`with`, in threads without an event loop."""

    def drive(self, body: Body, seconds: float = PATIENCE) -> None:
        def main() -> None:
            with self.db:
                step_through(body())
                assert self.db.statistics()["connections_in_use"] == 0

        bounded(main, seconds)

    def enter(self, block: Any) -> AbstractAsyncContextManager[Any]:
        return _Awaited(block)

    async def run(self, work: Work, **options: Any) -> Any:
        return self.db.run(lambda conn: step_through(work(conn)), **options)

    async def health(self, timeout: float = 5.0) -> HealthCheck:
        return self.db.check_health(timeout=timeout)

    def start(self, body: Body) -> Started:
        return _Thread(body)

    async def pause(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - there is no event loop

    async def until(self, condition: Callable[[], object]) -> None:
        wait_until(condition)


class _Task(Started):
    def __init__(self, body: Body) -> None:
        self.task = asyncio.create_task(body())

    async def result(self, seconds: float = PATIENCE) -> Any:
        await asyncio.wait([self.task], timeout=seconds)
        assert self.task.done(), "hung"
        return self.task.result()

    @property
    def done(self) -> bool:
        return self.task.done()


class Tasks(Driver):
    """`async with`, in tasks of one event loop."""

    def drive(self, body: Body, seconds: float = PATIENCE) -> None:
        async def main() -> None:
            async with self.db, asyncio.timeout(seconds):
                await body()
                assert self.db.statistics()["connections_in_use"] == 0

        bounded(lambda: asyncio.run(main()), seconds + 5)

    def enter(self, block: Any) -> AbstractAsyncContextManager[Any]:
        entered: AbstractAsyncContextManager[Any] = block
        return entered

    async def run(self, work: Work, **options: Any) -> Any:
        call: Awaitable[Any] = self.db.arun(work, **options)
        return await call

    async def health(self, timeout: float = 5.0) -> HealthCheck:
        return await self.db.acheck_health(timeout=timeout)

    def start(self, body: Body) -> Started:
        return _Task(body)

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def until(self, condition: Callable[[], object]) -> None:
        await until(condition)


both_worlds = pytest.mark.parametrize("driver", [Threads, Tasks], ids=["sync", "async"])
"""For a test that is run with each of the two."""

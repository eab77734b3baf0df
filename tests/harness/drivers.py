"""Threads and tasks, for tests whose body is the same in both; what stands in the database; what was measured.

Nothing here waits without an end: a body that hangs fails its test, with the stack of where it hangs.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import TracebackType
from typing import Any, TypeVar

import psycopg
import pytest
from psycopg import AsyncConnection, Connection
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

from rowsmith import Database, HealthCheck
from tests.harness.databases import settings_for

AnyConnection = Connection[TupleRow] | AsyncConnection[TupleRow]
Body = Callable[[], Coroutine[Any, Any, Any]]
Work = Callable[[Any], Coroutine[Any, Any, Any]]
_T = TypeVar("_T")

NAME = "rowsmith-faults"
MOST = 4
"""The connections of a pool in these tests."""
PATIENCE = 40.0
"""Seconds after which a body counts as hung: far more than any takes."""
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


def database(url: str, **values: object) -> Database:
    """A database with a small pool that soon says when it has nothing to give."""
    defaults: dict[str, object] = {"min_connections": 1, "max_connections": MOST, "pool_timeout": 5000}
    return Database(settings_for(url, **{"application_name": NAME, **defaults, **values}))


async def sql(conn: AnyConnection, statement: str, *values: object) -> list[TupleRow]:
    """Run a statement on a connection of either kind, by psycopg's cursor; its rows."""
    cursor = conn.cursor()
    if isinstance(cursor, psycopg.AsyncCursor):
        await cursor.execute(statement.encode(), values or None)
        return await cursor.fetchall() if cursor.description else []
    cursor.execute(statement.encode(), values or None)
    return cursor.fetchall() if cursor.description else []


async def insert(conn: AnyConnection, *numbers: int) -> None:
    for number in numbers:
        await sql(conn, "INSERT INTO items VALUES (%s)", number)


def bounded(work: Callable[[], _T], seconds: float = PATIENCE) -> _T:
    """The result of `work`, in a thread of its own. One that hangs is a failure, and is left behind."""
    future: Future[_T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - handed to the test's thread
            future.set_exception(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if not future.done():
        frames = sys._current_frames()  # pyright: ignore[reportPrivateUsage] - the documented way
        stack = "".join(traceback.format_stack(frames[thread.ident or 0]))
        pytest.fail(f"hung for {seconds} s:\n{stack}")
    return future.result()


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
    """The same database, seen from outside the library, over a connection for each look: it survives every fault."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.do(TABLES)

    def do(self, statement: str, *values: object) -> list[TupleRow]:
        with psycopg.connect(self.url, autocommit=True) as conn:
            cursor = conn.execute(statement.encode(), values or None)
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

    def runs(self, text: str) -> bool:
        """Whether a session of the library runs a statement in which this text occurs."""
        query = """
            SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s
                AND state = 'active' AND strpos(query, %s) > 0
        """
        return bool(self.do(query, NAME, text))

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


class World(ABC):
    """One of the two."""

    def __init__(self, db: Database) -> None:
        self.db = db

    @abstractmethod
    def drive(self, body: Body, seconds: float = PATIENCE) -> None:
        """Run the body in this world, then close the database, from which nothing may be out any more."""

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

    async def until(self, condition: Callable[[], bool], seconds: float = 15) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            await self.pause(0.01)

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

    async def recovered(self) -> float:
        """The time, on the monotonic clock, of the first success: a client that tries again, and again."""
        deadline = time.monotonic() + 20
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
                pids.update(pid for (pid,) in await sql(conn, "SELECT pg_backend_pid()"))
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


class Threads(World):
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


class Tasks(World):
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


WORLDS: list[type[World]] = [Threads, Tasks]
both_worlds = pytest.mark.parametrize("world", WORLDS, ids=["sync", "async"])
"""For a test that is made for each of the two."""

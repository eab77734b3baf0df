"""A database: its pools, connections and transaction blocks, for threads and for tasks; and the default database."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

import psycopg_pool
from psycopg import AsyncConnection, Connection
from psycopg.rows import TupleRow

from rowsmith.blocks import Block, TransactionalBlock
from rowsmith.logs import configure
from rowsmith.pool.breaker import CircuitBreaker, CircuitState
from rowsmith.pool.forks import in_child, keep
from rowsmith.pool.health import HealthCheck, failed, utc_now
from rowsmith.pool.pool_async import CLOSED, AsyncLease, AsyncPool
from rowsmith.pool.pool_sync import Lease, Pool
from rowsmith.pool.probe_async import probe_async
from rowsmith.pool.probe_sync import probe_sync
from rowsmith.shutdown import Shutdown
from rowsmith.transactions.advisory_locks_async import AsyncAdvisoryLock, AsyncSessionLock, AsyncTransactionLock
from rowsmith.transactions.advisory_locks_sync import AdvisoryLock, SessionLock, TransactionLock
from rowsmith.transactions.block_async import AsyncTransactionBlock
from rowsmith.transactions.block_sync import TransactionBlock
from rowsmith.transactions.current import forget_open
from rowsmith.transactions.lock_requests import LockRequest, LockScope
from rowsmith.transactions.options import PLAIN, IsolationLevel, TransactionOptions, options_of
from rowsmith.transactions.retry_async import run_async
from rowsmith.transactions.retry_sync import run_sync
from rowsmith.wire.concurrency import AsyncWork, Work

if TYPE_CHECKING:  # pydantic-settings is slow to import: it is imported when the environment is read
    from rowsmith.settings import Settings

PROBE_SECONDS = 5.0
"""How long a health probe may take by default."""

_T = TypeVar("_T")


class Database(AbstractContextManager["Database"], AbstractAsyncContextManager["Database"]):
    """One PostgreSQL database: a pool for threads and a pool for each event loop, opened when they are first used.

    `settings` is a `Settings`, a URL (everything else then comes from the environment), or None for the environment
    alone. The last two raise SettingsError. There may be several databases. Use each as a context manager, or call
    `close()` (`await aclose()` if it was used from an event loop).

    Connections are psycopg connections. Each may be used by one thread or task at a time.
    """

    def __init__(self, settings: Settings | str | None = None) -> None:
        if settings is None or isinstance(settings, str):
            from rowsmith.settings import Settings  # noqa: PLC0415 - see above

            settings = Settings() if settings is None else Settings(database_url=settings)
        self.settings = settings
        self._name = str(settings.describe()["database"] or settings.application_name)
        self._closed, self._refusal = False, CLOSED
        self._begin()
        in_child(self._begin_anew)
        configure(settings)

    def _begin(self) -> None:
        self._breaker = CircuitBreaker(self.settings.breaker_failures, self.settings.breaker_reset / 1000, monotonic)
        self._pool = Pool(self.settings, self._name, self._breaker)
        self._apools: dict[asyncio.AbstractEventLoop, AsyncPool] = {}
        self._apools_lock = threading.Lock()

    def _begin_anew(self) -> None:
        """In a forked child: start with new pools, and without the parent's open transactions."""
        self._pool.abandon()
        keep(self._pool, self._apools)
        forget_open()
        self._begin()

    def __repr__(self) -> str:
        url = self.settings.describe()
        return f"<Database {url['database']} at {url['host'] or 'the default host'}>"

    def transaction(
        self,
        *,
        isolation: IsolationLevel | None = None,
        read_only: bool = False,
        deferrable: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> Block[Connection[TupleRow], AsyncConnection[TupleRow]]:
        """A block in one transaction: `with db.transaction() as conn:`, or `async with`.

        The block commits when it ends normally, and rolls back when any exception leaves it, including
        KeyboardInterrupt and CancelledError. A block inside a block of the same thread or task is a savepoint. The
        options are PostgreSQL's (manual, "SET TRANSACTION"), for the outermost block; by default the server decides.
        `settings` are configuration parameters for this transaction only: `{"app.tenant": "42"}`.

        BEGIN is sent together with the first statement. If the connection is lost while COMMIT runs, the outcome is
        looked up on the server, and is no error if the transaction was committed.

        Raises, when the block ends: ConnectionLostError if nothing was committed, CommitUnknownError if that cannot be
        told, TransactionAbortedError if an SQL error was caught inside the block, TransactionError if the transaction
        was ended by hand, and the server's errors at COMMIT, such as IntegrityError from a deferred constraint.
        """
        options = options_of(isolation, read_only, deferrable, settings)
        return TransactionalBlock(partial(self._block, options), partial(self._ablock, options))

    def run(
        self,
        work: Work[_T],
        *,
        isolation: IsolationLevel | None = None,
        read_only: bool = False,
        deferrable: bool = False,
        settings: Mapping[str, str] | None = None,
        attempts: int = 5,
        timeout: float | None = 30.0,
    ) -> _T:
        """Run `work(conn)` in a transaction and return its result. The whole transaction is retried if that is safe.

        That is after a serialization failure or a deadlock, after a table has changed under a prepared statement, and
        after the connection was lost while certainly nothing was committed. The pauses grow, with jitter. `work` may
        run up to `attempts` times, along with everything it does outside the database, in `timeout` seconds altogether
        (None: no limit). Inside an open transaction it runs in a savepoint, and is not retried.

        Raises what the last attempt raised. CommitUnknownError is never retried.
        """
        options = options_of(isolation, read_only, deferrable, settings)
        return run_sync(self, partial(self._block, options), work, attempts=attempts, timeout=timeout)

    async def arun(
        self,
        work: AsyncWork[_T],
        *,
        isolation: IsolationLevel | None = None,
        read_only: bool = False,
        deferrable: bool = False,
        settings: Mapping[str, str] | None = None,
        attempts: int = 5,
        timeout: float | None = 30.0,
    ) -> _T:
        """Like `run`, for a coroutine function, with the event loop's pool."""
        options = options_of(isolation, read_only, deferrable, settings)
        return await run_async(self, partial(self._ablock, options), work, attempts=attempts, timeout=timeout)

    def connection(self) -> Block[Connection[TupleRow], AsyncConnection[TupleRow]]:
        """A connection in autocommit mode, for a block: each statement is its own transaction.

        It is never the connection of a transaction block around it. Raises PoolTimeoutError.
        """
        return Block(self._lease, self._alease)

    def advisory_lock(
        self, name: str | int, *, scope: LockScope = "session", wait: float | None = None, shared: bool = False
    ) -> Block[AdvisoryLock, AsyncAdvisoryLock]:
        """An advisory lock for a block: one holder at a time, among all processes that use this database.

        `scope` says what holds the lock: a session, which is a connection of the pool, or a transaction. That is the
        open one, until it ends, or else one that the block opens and that transaction blocks inside it join. The lock
        is free when its holder ends, however that happens. `name` is any text, or a 64-bit number that is the key
        itself. `wait` is how long to wait, in seconds (None: without a limit; 0: not at all). `shared` allows other
        shared holders.

        Raises LockTimeoutError, and when the block ends normally ConnectionLostError if a session has lost the lock
        inside it, or what the end of a transaction raises. With the setting `pgbouncer` there is no session that could
        hold a lock, and that scope raises TransactionError.
        """
        request = LockRequest(name, wait, shared)
        if scope == "session":
            return Block(lambda: SessionLock(self._pool, request), lambda: AsyncSessionLock(self._apool(), request))
        return TransactionalBlock(
            lambda: TransactionLock(self._block(PLAIN), request),
            lambda: AsyncTransactionLock(self._ablock(PLAIN), request),
        )

    def shutdown_on_signals(
        self, grace: float = 10.0, signals: Sequence[signal.Signals] = (signal.SIGTERM, signal.SIGINT)
    ) -> Callable[[], None]:
        """Shut down in order when one of the signals arrives. Returns a function that undoes this. Main thread only.

        New work is refused with PoolClosed, running work has `grace` seconds to end, what is left is cancelled on the
        server, and the pools are closed. Then the signal has its former effect: the previous handler is called, or the
        process ends. A second signal does not wait.
        """
        return Shutdown(self, grace, signals).undo

    def refuse(self, reason: str) -> None:
        """Hand out no more connections: callers get PoolClosed, with `reason` as its message."""
        self._closed, self._refusal = True, reason
        for pool in self._pools():
            pool.refuse(reason)

    def cancel(self) -> None:
        """Cancel every statement that is running on this database's connections."""
        for pool in self._pools():
            pool.cancel()

    def check_health(self, *, timeout: float = PROBE_SECONDS) -> HealthCheck:
        """Probe the database with a SELECT 1, in `timeout` seconds at most. Never raises an Exception."""
        return replace(probe_sync(self._pool, timeout), circuit=self._breaker.state)

    async def acheck_health(self, *, timeout: float = PROBE_SECONDS) -> HealthCheck:
        """Like `check_health`, with the event loop's pool, or with that for threads if only that one is in use.

        So it is in an ASGI application whose endpoints are all synchronous.
        """
        own = self._apools.get(asyncio.get_running_loop())
        if self._pool.opened and not (own and own.opened):
            return await asyncio.to_thread(self.check_health, timeout=timeout)
        try:
            pool = self._apool()
        except psycopg_pool.PoolClosed as error:
            return failed(utc_now(), 0.0, error)
        return replace(await probe_async(pool, timeout), circuit=self._breaker.state)

    def statistics(self) -> dict[str, int]:
        """The figures of all pools, added up: those of psycopg_pool (see its documentation; times in ms), and
        `connections_in_use`. `circuit_open` (0 or 1) and `circuit_failures` (in a row) are the circuit breaker's.
        """
        total: Counter[str] = Counter()
        for pool in self._pools():
            total.update(pool.statistics())
        circuit = {"circuit_open": self._breaker.state is not CircuitState.CLOSED}
        return {**total, **circuit, "circuit_failures": self._breaker.failures}

    def close(self) -> None:
        """Close the pool for threads. Connections in use are closed when their blocks end."""
        self._closed = True
        self._pool.close()

    async def aclose(self) -> None:
        """Close the pool of this event loop, and the pool for threads."""
        pool = self._apools.pop(asyncio.get_running_loop(), None)
        if pool is not None:
            await pool.close()
        await asyncio.to_thread(self.close)

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    # What a database for tests does otherwise (`rowsmith.testing`).

    def _block(self, options: TransactionOptions) -> TransactionBlock:
        return TransactionBlock(self, self._pool, options)

    def _ablock(self, options: TransactionOptions) -> AsyncTransactionBlock:
        return AsyncTransactionBlock(self, self._apool(), options)

    def _lease(self) -> AbstractContextManager[Connection[TupleRow]]:
        return Lease(self._pool)

    def _alease(self) -> AbstractAsyncContextManager[AsyncConnection[TupleRow]]:
        return AsyncLease(self._apool())

    def _pools(self) -> list[Pool | AsyncPool]:
        return [self._pool, *self._apools.values()]

    def _apool(self) -> AsyncPool:
        """The running event loop's pool: asyncio's sockets and locks belong to one loop. Raises PoolClosed."""
        loop = asyncio.get_running_loop()
        pool = None if self._closed else self._apools.get(loop)
        return pool or self._new_apool(loop)

    def _new_apool(self, loop: asyncio.AbstractEventLoop) -> AsyncPool:
        with self._apools_lock:
            if self._closed:
                raise psycopg_pool.PoolClosed(self._refusal)
            for ended in [other for other in self._apools if other.is_closed()]:
                del self._apools[ended]  # its sockets close with the last reference to it
            if loop not in self._apools:
                self._apools[loop] = AsyncPool(self.settings, self._name, self._breaker)
            return self._apools[loop]


_lock = threading.Lock()
_held: list[Database | None] = [None]


def default_database() -> Database:
    """The database of this process, created from the environment when it is first used. Raises SettingsError."""
    with _lock:
        database = _held[0] = _held[0] or Database()
        return database


def has_default() -> bool:
    """Whether the default database has been created."""
    return _held[0] is not None


def replace_default(database: Database | None) -> Database | None:
    """Make `database` the default, and return the previous default, to be restored later. For tests."""
    with _lock:
        previous, _held[0] = _held[0], database
        return previous


def connection() -> Block[Connection[TupleRow], AsyncConnection[TupleRow]]:
    """`Database.connection` of the default database. Raises SettingsError."""
    return default_database().connection()


def transaction(
    *,
    isolation: IsolationLevel | None = None,
    read_only: bool = False,
    deferrable: bool = False,
    settings: Mapping[str, str] | None = None,
) -> Block[Connection[TupleRow], AsyncConnection[TupleRow]]:
    """`Database.transaction` of the default database. Raises SettingsError."""
    return default_database().transaction(
        isolation=isolation, read_only=read_only, deferrable=deferrable, settings=settings
    )


def check_health(*, timeout: float = PROBE_SECONDS) -> HealthCheck:
    """`Database.check_health` of the default database. Raises SettingsError."""
    return default_database().check_health(timeout=timeout)

"""A database: its pools, connections and transaction blocks, for threads and for tasks; and the default one."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import replace
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self, TypeVar

import psycopg_pool
from psycopg import AsyncConnection, Connection
from psycopg.rows import TupleRow

from rowsmith.errors import TransactionError
from rowsmith.logs import configure
from rowsmith.pool.breaker import CircuitBreaker, CircuitState
from rowsmith.pool.forks import in_child, keep
from rowsmith.pool.health import HealthCheck, failed, utc_now
from rowsmith.pool.pool_async import CLOSED, AsyncLease, AsyncPool
from rowsmith.pool.pool_sync import Lease, Pool
from rowsmith.pool.probe_async import probe_async
from rowsmith.pool.probe_sync import probe_sync
from rowsmith.shutdown import shutdown_on_signals
from rowsmith.transactions.advisory_locks_async import AsyncAdvisoryLock, AsyncSessionLock, AsyncTransactionLock
from rowsmith.transactions.advisory_locks_sync import AdvisoryLock, SessionLock, TransactionLock
from rowsmith.transactions.block_async import AsyncTransactionBlock
from rowsmith.transactions.block_sync import TransactionBlock
from rowsmith.transactions.current import forget_open
from rowsmith.transactions.lock_requests import LockRequest, LockScope
from rowsmith.transactions.options import PLAIN, IsolationLevel, options_of
from rowsmith.transactions.retry_async import run_async
from rowsmith.transactions.retry_sync import run_sync
from rowsmith.wire.concurrency import AsyncWork, Work

if TYPE_CHECKING:  # pydantic-settings is slow to import: it is imported when the environment is read
    from rowsmith.settings import Settings

PROBE_SECONDS = 5.0
"""How long a health probe may take, unless told."""

_S = TypeVar("_S")
_A = TypeVar("_A")
_T = TypeVar("_T")


class Block(Generic[_S, _A]):
    """A context manager for both worlds: `with` gives what is synchronous, `async with` what is not."""

    def __init__(
        self, enter: Callable[[], AbstractContextManager[_S]], aenter: Callable[[], AbstractAsyncContextManager[_A]]
    ) -> None:
        self._make, self._amake = enter, aenter
        self._entered: AbstractContextManager[_S] | None = None
        self._aentered: AbstractAsyncContextManager[_A] | None = None

    def __enter__(self) -> _S:
        self._check_free()
        self._entered = self._make()
        try:
            return self._entered.__enter__()
        except BaseException:
            self._entered = None
            raise

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        entered, self._entered = self._entered, None
        if entered is not None:
            entered.__exit__(exc_type, exc, traceback)

    async def __aenter__(self) -> _A:
        self._check_free()
        self._aentered = self._amake()
        try:
            return await self._aentered.__aenter__()
        except BaseException:
            self._aentered = None
            raise

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        entered, self._aentered = self._aentered, None
        if entered is not None:
            await entered.__aexit__(exc_type, exc, traceback)

    def _check_free(self) -> None:
        if self._entered is not None or self._aentered is not None:
            raise TransactionError("this block is entered already: call transaction() or connection() for each `with`")


class Database:
    """One PostgreSQL database: a pool for threads and one for each event loop, opened at their first use.

    `settings` are a `Settings`, a URL (all else then comes from the environment), or None for the environment alone;
    the last two raise SettingsError. Several databases live side by side. Use it as a context manager, or call
    `close()` (`await aclose()` where it was used from an event loop).

    A connection that is handed out is a psycopg connection, to be used by one thread or task at a time.
    """

    def __init__(self, settings: Settings | str | None = None) -> None:
        if settings is None or isinstance(settings, str):
            from rowsmith.settings import Settings  # noqa: PLC0415 - see above

            settings = Settings() if settings is None else Settings(database_url=settings)
        self.settings = settings
        self._name = str(self.settings.describe()["database"] or self.settings.application_name)
        self._breaker = CircuitBreaker(self.settings.breaker_failures, self.settings.breaker_reset / 1000, monotonic)
        self._pool = Pool(self.settings, self._name, self._breaker)
        in_child(self._begin_anew)
        self._apools: dict[asyncio.AbstractEventLoop, AsyncPool] = {}
        self._apools_lock = threading.Lock()
        self._closed, self._refusal = False, CLOSED
        configure(self.settings)

    def _begin_anew(self) -> None:
        """In a forked child: pools of its own, and none of the parent's open transactions."""
        self._pool.abandon()
        keep(self._pool, self._apools)
        forget_open()
        self._apools, self._apools_lock = {}, threading.Lock()
        self._breaker = CircuitBreaker(self.settings.breaker_failures, self.settings.breaker_reset / 1000, monotonic)
        self._pool = Pool(self.settings, self._name, self._breaker)

    def __repr__(self) -> str:
        place = self.settings.describe()
        return f"<Database {place['database']} at {place['host'] or 'the default host'}>"

    def transaction(
        self,
        *,
        isolation: IsolationLevel | None = None,
        read_only: bool = False,
        deferrable: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> Block[Connection[TupleRow], AsyncConnection[TupleRow]]:
        """A block in one transaction: `with db.transaction() as conn:`, or `async with`.

        It commits at its normal end, and rolls back when any exception leaves it, KeyboardInterrupt and
        CancelledError too. A block inside a block of the same thread or task is a savepoint of it. The options are
        PostgreSQL's (manual, "SET TRANSACTION"), for the outermost block; left out, the server's defaults hold.
        `settings` are configuration parameters that hold in this transaction only: `{"app.tenant": "42"}`.

        BEGIN is sent with the first statement. A connection that is lost while COMMIT runs is no error where the server
        did commit, which is found out.

        Raises, at its end: ConnectionLostError where nothing was committed, CommitUnknownError where that cannot be
        told, TransactionAbortedError where an SQL error was caught inside, TransactionError where the transaction was
        ended by hand, and what the server says to COMMIT, such as IntegrityError from a deferred constraint.
        """
        options = options_of(isolation, read_only, deferrable, settings)
        return Block(
            lambda: TransactionBlock(self, self._pool, options),
            lambda: AsyncTransactionBlock(self, self._apool(), options),
        )

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
        """What `work(conn)` gives, run in a transaction that is run again as a whole where that is safe.

        That is after a serialization failure or a deadlock, where a table was changed under a prepared statement, and
        where the connection was lost and nothing is committed for certain; pauses grow, with jitter. `work` may so run
        several times: what it does outside the database it does as often. `attempts` is how often at most, `timeout`
        the seconds for all of them (None: no limit). Inside an open transaction it is a savepoint of that, and not run
        again.

        Raises what the last attempt raised, CommitUnknownError among it, after which nothing is run again.
        """
        options = options_of(isolation, read_only, deferrable, settings)
        return run_sync(self, self._pool, work, options, attempts=attempts, timeout=timeout)

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
        """As `run`, for a coroutine function, over the event loop's own pool."""
        options = options_of(isolation, read_only, deferrable, settings)
        return await run_async(self, self._apool(), work, options, attempts=attempts, timeout=timeout)

    def connection(self) -> Block[Connection[TupleRow], AsyncConnection[TupleRow]]:
        """A connection in autocommit mode, for the length of the block: each statement is a transaction of its own.

        It is another connection than that of a transaction block around it. Raises PoolTimeoutError.
        """
        return Block(lambda: Lease(self._pool), lambda: AsyncLease(self._apool()))

    def advisory_lock(
        self, name: str | int, *, scope: LockScope = "session", wait: float | None = None, shared: bool = False
    ) -> Block[AdvisoryLock, AsyncAdvisoryLock]:
        """An advisory lock for the length of the block: one holder at a time of all processes on this database.

        By `scope` it is held by a session of its own, a connection of the pool, or by a transaction: the one that is
        open here, to its end, or else one that the block opens, which transaction blocks inside it join. It is free
        when that ends, however that happens. `name` may be any text, or a 64-bit number that is the key itself. `wait`
        is how long to wait, in seconds (None: until it is got; 0: not at all); `shared` lets other shared ones in.

        Raises LockTimeoutError, and at the block's normal end ConnectionLostError where a session lost the lock inside
        it, or what the end of a transaction raises. A session's lock raises TransactionError with `pgbouncer` set:
        there is no session to hold it.
        """
        request = LockRequest(name, wait, shared)
        if scope == "transaction":
            return Block(
                lambda: TransactionLock(TransactionBlock(self, self._pool, PLAIN), request),
                lambda: AsyncTransactionLock(AsyncTransactionBlock(self, self._apool(), PLAIN), request),
            )
        return Block(
            lambda: SessionLock(self._pool, request),
            lambda: AsyncSessionLock(self._apool(), request),
        )

    def shutdown_on_signals(
        self, grace: float = 10.0, signals: Sequence[signal.Signals] = (signal.SIGTERM, signal.SIGINT)
    ) -> Callable[[], None]:
        """End in order when one of the signals comes; what is returned takes that back. For the main thread.

        New work is refused with PoolClosed, work under way has `grace` seconds to end, what is left is cancelled on the
        server, the pools are closed. Then the signal does what it did before: the handler that was there is called, or
        the process ends by it. A second signal does not wait.
        """
        return shutdown_on_signals(self, grace, signals)

    def refuse(self, reason: str) -> None:
        """Give out no connections any more: who asks for one gets PoolClosed."""
        self._closed, self._refusal = True, reason
        self._pool.refuse(reason)
        for pool in list(self._apools.values()):
            pool.refuse(reason)

    def cancel(self) -> None:
        """Cancel every statement that is running on a connection of this database's pools."""
        self._pool.cancel()
        for pool in list(self._apools.values()):
            pool.cancel()

    def check_health(self, *, timeout: float = PROBE_SECONDS) -> HealthCheck:
        """Probe the database with a SELECT 1. Takes `timeout` seconds at most, and never raises."""
        return replace(probe_sync(self._pool, timeout), circuit=self._breaker.state)

    async def acheck_health(self, *, timeout: float = PROBE_SECONDS) -> HealthCheck:
        """As `check_health`, over the event loop's own pool."""
        try:
            pool = self._apool()
        except psycopg_pool.PoolClosed as error:
            return failed(utc_now(), 0.0, error)
        return replace(await probe_async(pool, timeout), circuit=self._breaker.state)

    def statistics(self) -> dict[str, int]:
        """The pools' figures, added up: psycopg_pool's own (see its manual), and `connections_in_use`.

        Of the circuit breaker `circuit_open` (0 or 1) and `circuit_failures`, those in a row.

        `pool_size`, `pool_available`, `requests_num`, `requests_waiting`, `connections_num` and so on; times in ms.
        """
        total: Counter[str] = Counter()
        total.update(self._pool.statistics())
        for pool in self._apools.values():
            total.update(pool.statistics())
        circuit = {"circuit_open": self._breaker.state is not CircuitState.CLOSED}
        return {**total, **circuit, "circuit_failures": self._breaker.failures}

    def close(self) -> None:
        """Close the threads' pool. A connection that is out is closed when its block ends."""
        self._closed = True
        self._pool.close()

    async def aclose(self) -> None:
        """Close the pool of this event loop, and the threads' pool."""
        pool = self._apools.pop(asyncio.get_running_loop(), None)
        if pool is not None:
            await pool.close()
        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def _apool(self) -> AsyncPool:
        """The running event loop's pool: sockets and locks of asyncio belong to the loop that they were made in.

        Raises PoolClosed.
        """
        loop = asyncio.get_running_loop()
        pool = None if self._closed else self._apools.get(loop)
        return pool or self._new_apool(loop)

    def _new_apool(self, loop: asyncio.AbstractEventLoop) -> AsyncPool:
        with self._apools_lock:
            if self._closed:
                raise psycopg_pool.PoolClosed(self._refusal)
            for ended in [other for other in self._apools if other.is_closed()]:
                del self._apools[ended]  # its sockets close with the last reference; nothing can await them any more
            if loop not in self._apools:
                self._apools[loop] = AsyncPool(self.settings, self._name, self._breaker)
            return self._apools[loop]


class _Default:
    """The database of this process, made from the environment when it is first asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._database: Database | None = None

    def get(self) -> Database:
        with self._lock:
            if self._database is None:
                self._database = Database()
            return self._database

    def replace(self, database: Database | None) -> Database | None:
        """Put another in its place, for tests; the one that was there."""
        with self._lock:
            previous, self._database = self._database, database
            return previous


_default = _Default()


def replace_default(database: Database | None) -> Database | None:
    """Make `database` the default one and give back the one that was, to be put back later. For tests."""
    return _default.replace(database)


def connection() -> Block[Connection[TupleRow], AsyncConnection[TupleRow]]:
    """`Database.connection` of the default database. Raises SettingsError where the environment is wrong."""
    return _default.get().connection()


def transaction(
    *,
    isolation: IsolationLevel | None = None,
    read_only: bool = False,
    deferrable: bool = False,
    settings: Mapping[str, str] | None = None,
) -> Block[Connection[TupleRow], AsyncConnection[TupleRow]]:
    """`Database.transaction` of the default database. Raises SettingsError where the environment is wrong."""
    return _default.get().transaction(
        isolation=isolation, read_only=read_only, deferrable=deferrable, settings=settings
    )


def check_health(*, timeout: float = PROBE_SECONDS) -> HealthCheck:
    """`Database.check_health` of the default database. Raises SettingsError where the environment is wrong."""
    return _default.get().check_health(timeout=timeout)

"""A pool: psycopg_pool's, opened lazily, that says why it has no connection and hands out only those that answer."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from copy import copy
from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg
import psycopg_pool
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool

from rowsmith.errors import Category, CircuitOpenError, PoolTimeoutError, is_transient
from rowsmith.pool.breaker import CircuitBreaker, CircuitState, backoff
from rowsmith.pool.checkouts import Checkouts
from rowsmith.pool.connection_async import AsyncPooledConnection
from rowsmith.pool.events import ConnectionEvents, explain, is_moved, logger
from rowsmith.wire.concurrency import (
    at_end_async,
    free_async,
    later_async,
    lock_async,
    putconn_async,
    sleep_async,
    uninterrupted_async,
    within_async,
)
from rowsmith.wire.deadlines import remaining, tidying, until
from rowsmith.wire.protocol import TRANSACTION_ID

if TYPE_CHECKING:  # slow to import, see rowsmith.database
    from rowsmith.settings import Settings

# psycopg_pool's own default is 300 s of doubling pauses: after an outage it would sleep while the server is back.
_RECONNECT_SECONDS = 4
_FRESH_SECONDS = 1.0
_CHECK_SECONDS = 2.0
_SUSPECT_SECONDS = 0.2
_AT_ONCE_SECONDS = 0.01
CLOSED = "this Database is closed. Create another one to continue"


class AsyncPool:
    """Connections of one database, at most `settings.max_connections` of them."""

    def __init__(self, settings: Settings, name: str, breaker: CircuitBreaker) -> None:
        self.settings = settings
        self.events = ConnectionEvents(name, breaker)
        self.events.wanted = lambda: bool(self._pool._waiting)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        self.checkouts = Checkouts(settings.leak_threshold / 1000)
        self.opened = self.closed = False
        self.can_ask_ids = True
        """Whether transactions may ask for their ids, by which the outcome of a lost COMMIT is looked up."""
        self._conninfo = settings.conninfo()
        self._kwargs = {
            "autocommit": True,
            # Behind a transaction pooler the next statement may run on a server process that never prepared it.
            "prepare_threshold": None if settings.pgbouncer else 5,
            "events": self.events,
            "prepared_statements": settings.prepared_statements,
        }
        self._pool = AsyncConnectionPool(
            self._conninfo,
            connection_class=AsyncPooledConnection,
            kwargs={**self._kwargs, "patient": True},
            min_size=settings.min_connections,
            max_size=settings.max_connections,
            timeout=settings.pool_timeout / 1000,
            max_lifetime=settings.max_lifetime / 1000,
            max_idle=settings.max_idle / 1000,
            reconnect_timeout=_RECONNECT_SECONDS,
            name=name,
            open=False,
        )
        self._timeout = settings.pool_timeout / 1000
        self._max_age = settings.max_lifetime / 1000
        self._opening = lock_async()
        self._attempt = 0
        self._failure: psycopg.Error | None = None
        self._forget_end: Callable[[], None] | None = None
        self._refusal = CLOSED
        self._abandoned = False
        self._suspect_at = -1.0
        self._later: Callable[[Callable[[], Any]], None] = later_async()
        self.events.lost = self._refill

    # --- opening ---

    async def open(self) -> None:
        """Open the pool, once, however many callers ask for it at the same time.

        A first connection is made and closed again, so that a wrong password or a server that is down raises that
        error, at once, instead of a timeout of the pool. Transient faults are retried `connect_retries` times.

        Raises psycopg.OperationalError, with a note that says what to do.
        """
        if self.opened:
            return
        attempt = self._attempt
        async with self._opening:
            if self.opened:
                return
            if attempt != self._attempt and self._failure is not None:
                raise _copied(self._failure)  # that of the attempt that this one waited for
            self._attempt += 1
            self._failure = None
            try:
                await self._try_out(await self._first_connection())
            except psycopg.Error as error:
                self._failure = _copied(error)
                raise
            self._forget_end = at_end_async(self._end)
            with until(None):  # the pool's workers start here, and the deadline is not for them
                await self._pool.open()
            self.opened = True
            if self.closed:  # meanwhile
                await self.close()
                raise psycopg_pool.PoolClosed(CLOSED)

    async def _first_connection(self) -> AsyncPooledConnection:
        pauses = backoff(self.settings.connect_retries, random.random)
        while True:
            try:
                return await self._connect_in_time()
            except psycopg.Error as error:
                pause = next(pauses, None)
                if pause is None or not is_transient(error):
                    explain(error, self._where())
                    raise
                await sleep_async(pause)

    async def _try_out(self, conn: AsyncPooledConnection) -> None:
        """See whether the server tells transaction ids, while an error does no harm, and close the connection."""
        try:
            await conn.command(TRANSACTION_ID)
        except psycopg.Error as error:
            if conn.closed:
                raise
            self.can_ask_ids = False
            logger.warning("%s cannot tell the outcome of a lost COMMIT: %s", self._where(), error)
        finally:
            await conn.close()

    # --- acquiring ---

    async def acquire(self, timeout: float | None = None) -> AsyncPooledConnection:
        """Take a connection that answers out of the pool, waiting up to `timeout` seconds (None: `pool_timeout`).

        It has to be returned with `release`. Raises PoolTimeoutError, CircuitOpenError, DeadlineExceededError,
        PoolClosed, and what `open` raises.
        """
        if self.closed:
            raise psycopg_pool.PoolClosed(self._refusal)
        start, left = monotonic(), remaining()
        if self.events.breaker.failures:
            await self._admit()
        if not self.opened:
            await self.open()
        limit = self._timeout if timeout is None else timeout
        end = start + (limit if left is None else min(limit, left))
        while True:
            conn = await self.ready_connection() or await self._waited_for(start, end)
            acquired = False
            try:
                if await self._is_usable(conn, end):
                    self.checkouts.add(conn, monotonic())
                    acquired = True
                    return conn
            finally:
                if not acquired:
                    self.checkouts.end(conn, monotonic())
                    await conn.close()
                    await putconn_async(self._pool, conn)
                    conn.lent = False
            if monotonic() >= end:
                raise self._too_late(start)

    async def _admit(self) -> None:
        """Fail at once while the circuit is open. After that, one caller tries to connect before all others."""
        breaker = self.events.breaker
        if breaker.state is CircuitState.CLOSED:
            return
        if wait := breaker.admit():
            failure = self.events.last_failure
            reason = failure.category if failure else Category.UNKNOWN
            raise CircuitOpenError(
                f"{self._where()} could not be reached {breaker.failures} times in a row"
                f"{f' ({reason}): {failure.message}' if failure else ''}. The next attempt is made in {wait:.1f} s",
                reason,
                wait,
            )
        async with self.direct_connection():
            pass

    async def ready_connection(self) -> AsyncPooledConnection | None:
        """A connection that is idle in the pool, None if there is none."""
        # Only psycopg_pool's own queue tells, and looking at it costs nothing.
        if not self._pool._pool:  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
            return None
        try:
            conn = await self._pool.getconn(_AT_ONCE_SECONDS)
        except psycopg_pool.PoolTimeout as error:  # another caller was faster
            _forget_frames(error)
            return None
        except BaseException as error:
            free_async(self._pool, error)
            raise
        conn.lent = True
        return conn

    async def _waited_for(self, start: float, end: float) -> AsyncPooledConnection:
        owner = self.checkouts.wait(self.settings.max_connections)
        try:
            return await self.next_connection(start, end)
        finally:
            self.checkouts.stop_waiting(owner)

    async def next_connection(self, start: float, end: float) -> AsyncPooledConnection:
        """The next connection that is released, or made. Raises PoolTimeoutError and DeadlineExceededError.

        `start` and `end` of the wait are seconds of the monotonic clock.
        """
        timeout = end - monotonic()
        # psycopg_pool leaves a client that KeyboardInterrupt took away in its queue, and gives it the next connection.
        try:
            conn = await uninterrupted_async(lambda: self._pool.getconn(timeout), self._pool.putconn)
        except psycopg_pool.PoolTimeout as error:
            _forget_frames(error)
            raise self._too_late(start) from error
        except BaseException as error:
            free_async(self._pool, error)
            raise
        conn.lent = True
        return conn

    async def _is_usable(self, conn: AsyncPooledConnection, end: float) -> bool:
        """Whether a connection is young enough and answers. One that was used a moment ago is not asked.

        The first that does not answer drains the pool, once: the others are as old. If another one was lost since they
        answered last, that was the first sign, and the question has little time.
        """
        now = monotonic()
        if conn.generation != self.events.generation or now - conn.opened_at > self._max_age:
            return False
        suspect = conn.used_at <= self._suspect_at
        if now - conn.used_at < _FRESH_SECONDS and not suspect:
            return not conn.closed
        try:
            with until(min(end, now + (_SUSPECT_SECONDS if suspect else _CHECK_SECONDS))):
                await conn.ping()
        except (psycopg.Error, TimeoutError) as error:
            if isinstance(error, psycopg.Error) or monotonic() - now >= _SUSPECT_SECONDS:  # or it had hardly any time
                self.events.unanswered(error)
                await self._drain(conn.generation)
            return False
        conn.used_at = monotonic()
        return True

    async def _drain(self, generation: int) -> None:
        """Replace every connection of a generation; those in use, when they are released."""
        if generation == self.events.generation:
            self.events.generation += 1
            await self._pool.drain()

    # --- releasing ---

    async def release(self, conn: AsyncPooledConnection, error: BaseException | None = None) -> None:
        """Return a connection, clean. One that is still in a transaction is rolled back, a broken one replaced.

        `error` is what ended its use: it may say that the other connections are of no use either.
        """
        now = monotonic()
        self.checkouts.end(conn, now)
        if self._abandoned:
            return
        try:
            if self.closed or conn.closed or conn.generation != self.events.generation:
                self._suspect_at = now if conn.broken else self._suspect_at
                await conn.close()
            else:
                conn.used_at = now
                await self._tidy(conn)
        finally:
            if isinstance(error, psycopg.Error) and is_moved(error, conn.pgconn):
                await self._drain(conn.generation)
            closed = conn.lent = conn.closed
            conn.uses += 1
            await putconn_async(self._pool, conn)
            if closed:
                conn.lent = False

    async def _tidy(self, conn: AsyncPooledConnection) -> None:
        try:
            if conn.pgconn.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
                logger.warning("a connection was released inside a transaction, which is rolled back")
                with tidying():
                    await conn.rollback()
            if conn.pgconn.transaction_status == TransactionStatus.IDLE:
                await conn.clean(server=not self.settings.pgbouncer)
        except (psycopg.Error, TimeoutError) as error:
            logger.warning("a connection could not be cleaned, and is closed: %s", error)
            await conn.close()

    def reclaim(self, conn: AsyncPooledConnection, use: int) -> None:
        """Replace a connection whose transaction block is gone without having ended. Whoever has it may still use it.

        `use` is the number that the connection had for the block. If it has another one, it was released, and is
        somebody else's now. The garbage collector may call this anywhere, so it waits for nothing.
        """
        if conn.uses == use and self.checkouts.end(conn, monotonic()) and not self._abandoned:
            self._later(lambda: self._replace(conn))

    async def _replace(self, conn: AsyncPooledConnection) -> None:
        logger.warning("a transaction block was abandoned: it is rolled back, and its connection is replaced")
        async with conn.lock:
            await conn.close()
        await self.release(conn)

    def _refill(self, conn: AsyncPooledConnection) -> None:
        """Replace a connection that nobody refers to any more. The garbage collector calls this."""
        self.checkouts.end(conn, monotonic())
        if not self._abandoned:
            conn.pgconn.finish()
            # So that psycopg's pool takes it back.
            conn._pool = self._pool  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
            self._later(lambda: self._return_lost(conn))

    async def _return_lost(self, conn: AsyncPooledConnection) -> None:
        logger.warning("a connection was lost by its holder, and is replaced")
        await self._pool.putconn(conn)

    # --- connections beside the pool ---

    @asynccontextmanager
    async def direct_connection(self) -> AsyncGenerator[AsyncPooledConnection]:
        """A new connection beside the pool, for a block. Raises psycopg.Error and TimeoutError."""
        conn = await self._connect_in_time()
        try:
            yield conn
        finally:
            await conn.close()

    async def _connect_in_time(self) -> AsyncPooledConnection:
        left = remaining()
        if left is None:
            return await self._connect()
        try:
            return await within_async(left, self._connect, _close)
        except TimeoutError:
            remaining()  # raises DeadlineExceededError
            raise

    async def _connect(self) -> AsyncPooledConnection:
        return await AsyncPooledConnection.connect(self._conninfo, **self._kwargs)

    # --- the end ---

    def abandon(self) -> None:
        """In a forked child: the connections are the parent's, and are left alone whatever becomes of this pool."""
        self._abandoned = True
        if self._forget_end is not None:
            self._forget_end()

    def refuse(self, reason: str) -> None:
        """Hand out no more connections; `reason` is the message of the PoolClosed that callers get."""
        self.closed, self._refusal = True, reason

    def cancel(self) -> None:
        """Cancel what is running on the connections in use."""
        for conn in self.checkouts:
            with suppress(psycopg.Error):
                conn.cancel()

    async def close(self, timeout: float = 5.0) -> None:
        """Close the pool for good. Connections in use are closed when they are released."""
        self.closed = self.events.ended = True
        if self._forget_end is not None:
            self._forget_end()
        await self._pool.close(timeout)

    async def _end(self) -> None:
        """Close the pool because the event loop, or the interpreter, is ending, and nobody waits for it any more."""
        try:
            await self.close()
        finally:
            in_use = {conn.pgconn for conn in self.checkouts}
            for pgconn in set(self.events.connections) - in_use:
                pgconn.finish()

    # --- what it says ---

    def statistics(self) -> dict[str, int]:
        """psycopg_pool's figures (see its documentation), and `connections_in_use`."""
        return {**self._pool.get_stats(), "connections_in_use": len(self.checkouts)}

    def _where(self) -> str:
        url = self.settings.describe()
        return f"database {url['database']} at {url['host'] or 'the default host'}, port {url['port'] or 5432}"

    def _too_late(self, start: float) -> PoolTimeoutError:
        """The error of a caller that waited since `start`. Raises DeadlineExceededError if its deadline has passed."""
        remaining()
        return self._timed_out(monotonic() - start)

    def _timed_out(self, waited: float) -> PoolTimeoutError:
        message = f"could not acquire a connection to {self._where()} within {waited:.1f} s: "
        if failure := self.events.last_failure:
            message += f"connecting fails ({failure.category}): {failure.message}"
            return PoolTimeoutError(message, failure.category)
        message += (
            f"{len(self.checkouts)} of {self.settings.max_connections} are in use. Hold connections for less time, or "
            "raise DB_MAX_CONNECTIONS. A block that acquires a second connection inside its first can wait for itself. "
            f"They are held by\n{self.checkouts.describe()}"
        )
        return PoolTimeoutError(message, Category.POOL_EXHAUSTED)


class AsyncLease:
    """A connection of a pool, for a block, in autocommit mode."""

    def __init__(self, pool: AsyncPool) -> None:
        self._pool = pool
        self._conn: Any = None

    async def __aenter__(self) -> AsyncPooledConnection:
        conn = self._conn = await self._pool.acquire()
        return conn

    async def __aexit__(self, exc_type: object, exc: BaseException | None, traceback: object) -> None:
        await self._pool.release(self._conn, exc)


def _forget_frames(error: psycopg_pool.PoolTimeout) -> None:
    """psycopg_pool's client keeps its error, and a frame of that the client, until the garbage collector comes.

    That would also keep the callers' frames, and a block that nobody else refers to.
    """
    if error.__context__ is not None:
        error.__context__.__traceback__ = None


def _copied(error: psycopg.Error) -> psycopg.Error:
    """The same error for another caller, who may add notes to it."""
    other = copy(error)
    if hasattr(error, "__notes__"):
        other.__notes__ = list(error.__notes__)
    return other


async def _close(conn: AsyncPooledConnection) -> None:
    await conn.close()

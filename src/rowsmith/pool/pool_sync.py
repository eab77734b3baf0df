# Generated from pool_async.py by tools/async_to_sync.py: change that file, then run `make format`.
"""A pool: psycopg_pool's, opened at the first use, with the reason when it has no connection to give."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from copy import copy
from time import monotonic, perf_counter
from types import TracebackType
from typing import TYPE_CHECKING

import psycopg
import psycopg_pool
from psycopg.pq import TransactionStatus
from psycopg.pq.abc import PGresult
from psycopg_pool import ConnectionPool

from rowsmith.errors import Category, CircuitOpenError, PoolTimeoutError, is_transient
from rowsmith.pool.breaker import CircuitBreaker, CircuitState, backoff
from rowsmith.pool.checkouts import Checkouts
from rowsmith.pool.connection_sync import PooledConnection
from rowsmith.pool.events import ConnectionEvents, explain, is_moved, logger, read_only_parameter
from rowsmith.pool.health import HealthCheck, failed, passed, utc_now
from rowsmith.queries.session import session_of
from rowsmith.wire.concurrency import (
    at_end_sync,
    lock_sync,
    putconn_sync,
    sleep_sync,
    uninterrupted_sync,
    within_sync,
)
from rowsmith.wire.deadlines import remaining, until
from rowsmith.wire.protocol import TRANSACTION_ID, command_tag

if TYPE_CHECKING:  # slow to import, see rowsmith.database
    from rowsmith.settings import Settings

# psycopg_pool's own default is 300 s of doubling pauses: after an outage it would sleep on while the server is back.
_RECONNECT_SECONDS = 4
_FRESH_SECONDS = 1.0
_CHECK_SECONDS = 2.0
_AT_ONCE_SECONDS = 0.01
CLOSED = "this Database was closed; make a new one to go on"


class Pool:
    """Connections of one database, at most `settings.max_connections` of them."""

    def __init__(self, settings: Settings, name: str, breaker: CircuitBreaker) -> None:
        self.settings = settings
        self.events = ConnectionEvents(name, breaker)
        self.events.wanted = lambda: bool(self._pool._waiting)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        self._conninfo = settings.conninfo()
        self._kwargs = {
            "autocommit": True,
            # Behind a transaction pooler the next statement may run on a server process that never prepared it.
            "prepare_threshold": None if settings.pgbouncer else 5,
            "events": self.events,
        }
        self._pool = ConnectionPool(
            self._conninfo,
            connection_class=PooledConnection,
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
        self.tells_ids = True
        """Whether transactions can learn their ids, by which the outcome of a COMMIT is found out."""
        self._opening = lock_sync()
        self._opened = self._closed = False
        self._attempt = 0
        self._failure: psycopg.Error | None = None
        self._forget_end: Callable[[], None] | None = None
        self._checkouts = Checkouts(settings.leak_threshold / 1000)
        self._refusal = CLOSED
        self._abandoned = False
        self._suspect_at = -1.0

    def open(self) -> None:
        """Open the pool, once, however many ask for it at the same time.

        A connection is made first and given up again, so that a wrong password or a server that is down is that
        error, at once, and not a timeout of the pool. Passing faults are tried again `connect_retries` times.

        Raises psycopg.OperationalError, with a note that says what to do.
        """
        if self._opened:
            return
        attempt = self._attempt
        with self._opening:
            if self._opened:
                return
            if attempt != self._attempt and self._failure is not None:
                raise _copied(self._failure)  # of the attempt that was waited for
            self._attempt += 1
            self._failure = None
            try:
                self._try_out(self._first_connection())
            except psycopg.Error as error:
                self._failure = _copied(error)
                raise
            self._forget_end = at_end_sync(self._end)
            with until(None):  # the pool's workers begin here, and a deadline is not theirs
                self._pool.open()
            self._opened = True
            if self._closed:  # meanwhile
                self.close()
                raise psycopg_pool.PoolClosed(CLOSED)

    def _try_out(self, conn: PooledConnection) -> None:
        """See whether the server tells ids, where an error does no harm, and close the connection."""
        try:
            _ask(conn, TRANSACTION_ID)
        except psycopg.Error as error:
            if conn.closed:
                raise
            self.tells_ids = False
            logger.warning("%s does not tell what became of a lost COMMIT: %s", self._where(), error)
        finally:
            conn.close()

    def acquire(self, timeout: float | None = None) -> PooledConnection:
        """A connection out of the pool that answers, waited for `timeout` seconds at most (None: `pool_timeout`).

        It has to go back with `release`. Raises PoolTimeoutError, CircuitOpenError, DeadlineExceededError, PoolClosed,
        and what `open` raises.
        """
        if self._closed:
            raise psycopg_pool.PoolClosed(self._refusal)
        start, left = monotonic(), remaining()
        if self.events.breaker.failures:
            self._admit()
        if not self._opened:
            self.open()
        limit = self.settings.pool_timeout / 1000 if timeout is None else timeout
        end = start + (limit if left is None else min(limit, left))
        conn = self._usable_connection(start, end)
        self._checkouts.add(conn, monotonic())
        return conn

    def _admit(self) -> None:
        """Fail at once while the circuit is open. The one that may try when its time is over tries by itself."""
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
        with self.direct_connection():
            pass

    def _usable_connection(self, start: float, end: float) -> PooledConnection:
        while True:
            conn = self._ready_connection() or self._waited_for(start, end)
            usable = False
            try:
                usable = self._usable(conn, end)
            finally:
                if not usable:
                    conn.close()
                    putconn_sync(self._pool, conn)
            if usable:
                return conn

    def _usable(self, conn: PooledConnection, end: float) -> bool:
        """Whether a connection is young enough and answers. One that has just been used is not asked.

        The first that does not answer takes those with it that are as old: the pool is drained, once.
        """
        now = monotonic()
        age = now - conn.opened_at
        if conn.generation != self.events.generation or age > self.settings.max_lifetime / 1000:
            return False
        if now - conn.used_at < _FRESH_SECONDS and conn.used_at > self._suspect_at:
            return not conn.closed
        try:
            with until(min(end, now + _CHECK_SECONDS)):
                _ask(conn)
        except (psycopg.Error, TimeoutError) as error:
            self.events.unanswered(error)
            self._drain(conn.generation)
            return False
        conn.used_at = monotonic()
        return True

    def _drain(self, generation: int) -> None:
        """Replace every connection of a generation; those that are out, when they come back."""
        if generation == self.events.generation:
            self.events.generation += 1
            self._pool.drain()

    def _ready_connection(self) -> PooledConnection | None:
        """A connection that need not be waited for; None where there is none.

        Only psycopg_pool's queue of ready ones tells, and asking that costs nothing.
        """
        if not self._pool._pool:  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
            return None
        try:
            return self._pool.getconn(_AT_ONCE_SECONDS)
        except psycopg_pool.PoolTimeout:  # another was faster
            return None

    def _waited_for(self, start: float, end: float) -> PooledConnection:
        owner = self._checkouts.ask(self.settings.max_connections)
        try:
            return self._getconn(start, end)
        finally:
            self._checkouts.asked(owner)

    def _getconn(self, start: float, end: float) -> PooledConnection:
        timeout = end - monotonic()
        # psycopg_pool leaves a client that KeyboardInterrupt took away in its queue, and gives it the next connection.
        try:
            return uninterrupted_sync(lambda: self._pool.getconn(timeout), self._pool.putconn)
        except psycopg_pool.PoolTimeout as error:
            remaining()
            raise self._timeout(monotonic() - start) from error

    def release(self, conn: PooledConnection, error: BaseException | None = None) -> None:
        """Put a connection back, clean. One that is still in a transaction is rolled back, a broken one replaced.

        `error` is what ended its use: it may say that the other connections are of no use either.
        """
        now = monotonic()
        self._checkouts.end(conn, now)
        if self._abandoned:
            return
        try:
            if self._closed or conn.closed or conn.generation != self.events.generation:
                self._suspect_at = now if conn.broken else self._suspect_at
                conn.close()
            else:
                conn.used_at = now
                self._tidy(conn)
        finally:
            if isinstance(error, psycopg.Error) and is_moved(error, conn.pgconn):
                self._drain(conn.generation)
            putconn_sync(self._pool, conn)

    def _tidy(self, conn: PooledConnection) -> None:
        try:
            if conn.pgconn.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
                logger.warning("a connection came back in a transaction, which is rolled back")
                conn.rollback()
            if conn.pgconn.transaction_status == TransactionStatus.IDLE:
                conn.clean(server=not self.settings.pgbouncer)
        except (psycopg.Error, TimeoutError) as error:
            logger.warning("a connection could not be put back as it was, and is closed: %s", error)
            conn.close()

    @contextmanager
    def direct_connection(self) -> Generator[PooledConnection]:
        """A new connection beside the pool, for the length of a block. Raises psycopg.Error and TimeoutError."""
        conn = self._connect_in_time()
        try:
            yield conn
        finally:
            conn.close()

    def abandon(self) -> None:
        """In a forked child: the connections are the parent's, and are left alone whatever becomes of this pool."""
        self._abandoned = True
        if self._forget_end is not None:
            self._forget_end()

    def refuse(self, reason: str) -> None:
        """Give out no connections any more; `reason` is the message of the PoolClosed that is raised."""
        self._closed, self._refusal = True, reason

    def cancel(self) -> None:
        """Cancel what is running on connections that are out."""
        for conn in self._checkouts:
            with suppress(psycopg.Error):
                conn.cancel()

    def close(self, timeout: float = 5.0) -> None:
        """Close the pool for good. Connections that are out are closed when they come back."""
        self._closed = self.events.ended = True
        if self._forget_end is not None:
            self._forget_end()
        self._pool.close(timeout)

    def _end(self) -> None:
        """Close the pool because the event loop, or the interpreter, is ending: nothing waits for it any more."""
        try:
            self.close()
        finally:
            in_use = {conn.pgconn for conn in self._checkouts}
            for pgconn in set(self.events.connections) - in_use:
                pgconn.finish()

    def statistics(self) -> dict[str, int]:
        """psycopg_pool's figures (see its manual), and `connections_in_use`."""
        return {**self._pool.get_stats(), "connections_in_use": len(self._checkouts)}

    def check_health(self, timeout: float) -> HealthCheck:
        """Probe the database with a SELECT 1, in `timeout` seconds at most. Never raises an Exception."""
        checked_at, start = utc_now(), perf_counter()
        try:
            self._probe(monotonic() + timeout)
        except Exception as error:  # noqa: BLE001 - the answer of a probe is a value
            return failed(checked_at, (perf_counter() - start) * 1000, error)
        return passed(checked_at, (perf_counter() - start) * 1000)

    def _probe(self, deadline: float) -> None:
        """Over an idle connection of the pool; over a new one where the pool has none, or a dead one."""
        if self._closed:
            raise psycopg_pool.PoolClosed(CLOSED)
        statistics = self.statistics()
        full = statistics["connections_in_use"] >= self.settings.max_connections
        if self._opened and (full or statistics.get("pool_available", 0) > 0):
            conn = self._ready_connection() or self._getconn(monotonic(), deadline)
            self._checkouts.add(conn, monotonic())
            try:
                self._check_writable(conn, deadline)
            except psycopg.OperationalError:
                if not conn.broken or deadline <= monotonic():
                    raise
            else:
                return
            finally:
                self.release(conn)
        with until(deadline):
            self._probe_directly(deadline)

    def _probe_directly(self, deadline: float) -> None:
        with self.direct_connection() as conn:
            self._check_writable(conn, deadline)

    def _check_writable(self, conn: PooledConnection, deadline: float) -> None:
        """Raises psycopg.Error where the server gives no answer in time, or cannot be written to and should be."""
        with until(deadline):
            read_only = self._why_read_only(conn)
        wanted = conn.info.get_parameters().get("target_session_attrs")
        if read_only and wanted not in ("read-only", "standby", "prefer-standby"):
            raise psycopg.errors.ReadOnlySqlTransaction(f"the server cannot be written to: {read_only} is on")

    def _why_read_only(self, conn: PooledConnection) -> str | None:
        """The parameter that makes the server read-only, None where none does."""
        if not self.settings.pgbouncer:
            _ask(conn)
            return read_only_parameter(conn.pgconn)
        # A pooler repeats to its clients what it heard of a server when they came: the one at work has to be asked.
        answer = _ask(conn, b"SHOW transaction_read_only")
        return "transaction_read_only" if answer.get_value(0, 0) == b"on" else None

    def _first_connection(self) -> PooledConnection:
        pauses = backoff(self.settings.connect_retries, random.random)
        while True:
            try:
                return self._connect_in_time()
            except psycopg.Error as error:
                pause = next(pauses, None)
                if pause is None or not is_transient(error):
                    explain(error, self._where())
                    raise
                sleep_sync(pause)

    def _connect_in_time(self) -> PooledConnection:
        left = remaining()
        if left is None:
            return self._connect()
        try:
            return within_sync(left, self._connect, _close)
        except TimeoutError:
            remaining()  # which raises DeadlineExceededError
            raise

    def _connect(self) -> PooledConnection:
        return PooledConnection.connect(self._conninfo, **self._kwargs)

    def _where(self) -> str:
        place = self.settings.describe()
        return f"database {place['database']} at {place['host'] or 'the default host'}, port {place['port'] or 5432}"

    def _timeout(self, waited: float) -> PoolTimeoutError:
        message = f"no connection to {self._where()} came free in {waited:.1f} s: "
        if failure := self.events.last_failure:
            message += f"none can be made ({failure.category}): {failure.message}"
            return PoolTimeoutError(message, failure.category)
        message += (
            f"{len(self._checkouts)} of {self.settings.max_connections} are in use. Hold them for less time, or raise "
            "DB_MAX_CONNECTIONS. A block that takes a second connection inside its first can wait for itself"
        )
        return PoolTimeoutError(message, Category.POOL_EXHAUSTED)


class Lease:
    """A connection of a pool, for the length of a block, in autocommit mode."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._conn: PooledConnection

    def __enter__(self) -> PooledConnection:
        self._conn = self._pool.acquire()
        return self._conn

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pool.release(self._conn, exc)


def _copied(error: psycopg.Error) -> psycopg.Error:
    """The same error for another caller, who may add notes of its own."""
    other = copy(error)
    if hasattr(error, "__notes__"):
        other.__notes__ = list(error.__notes__)
    return other


def _ask(conn: PooledConnection, question: bytes = b"SELECT 1") -> PGresult:
    """The server's answer. Raises psycopg.Error."""
    with conn.lock:
        answer = session_of(conn).wire.command(conn, question)
        command_tag(conn.pgconn, answer)
    return answer


def _close(conn: PooledConnection) -> None:
    conn.close()

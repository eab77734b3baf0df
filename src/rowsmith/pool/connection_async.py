"""The connections of a pool: psycopg's own, which also report events, observe deadlines and can be cleaned."""

# Private attributes of psycopg: nothing else tells that an adapter was registered on a connection.
# ruff: noqa: SLF001
# pyright: reportPrivateUsage=false
from __future__ import annotations

import random
from time import monotonic, perf_counter
from typing import Any, NamedTuple, Self, TypeVar

import psycopg
from psycopg import AsyncConnection
from psycopg.abc import PQGen
from psycopg.adapt import AdaptersMap
from psycopg.pq import PipelineStatus
from psycopg.pq.abc import PGresult
from psycopg.rows import TupleRow, tuple_row

from rowsmith.errors import is_transient
from rowsmith.pool.events import ConnectionEvents
from rowsmith.queries.commands import WatchedStatements
from rowsmith.queries.session import session_of
from rowsmith.wire.concurrency import lock_async, sleep_async
from rowsmith.wire.connection_async import recover_async
from rowsmith.wire.deadlines import current_end, exceeded, tidying
from rowsmith.wire.protocol import begin
from rowsmith.wire.transaction import Transaction

_T = TypeVar("_T")
_PATIENCE_SECONDS = 4.0
_PAUSE_SECONDS = 0.5
_CLEAN_SECONDS = 2.0
# The effect of DISCARD ALL (manual, "DISCARD") except for prepared statements, as one command.
_RESET = (
    b"RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; CLOSE ALL; UNLISTEN *; SELECT pg_advisory_unlock_all(); "
    b"DISCARD SEQUENCES; DISCARD TEMP"
)


class _MadeWith(NamedTuple):
    """How a connection was when it was made, as far as its holder can change it on this side."""

    cursor_factory: Any
    server_cursor_factory: Any
    prepare_threshold: int | None
    prepared_max: int
    adapters: AdaptersMap
    registered: tuple[object, ...]
    """What is registered in `adapters`."""

    @classmethod
    def of(cls, conn: AsyncConnection[Any]) -> _MadeWith:
        """What a new connection was made with."""
        prepared, adapters = conn._prepared, AdaptersMap(conn.adapters)
        return cls(
            conn.cursor_factory,
            conn.server_cursor_factory,
            prepared.prepare_threshold,
            prepared.prepared_max,
            adapters,
            _registered(adapters),
        )


class AsyncPooledConnection(AsyncConnection[TupleRow]):
    """A psycopg connection of a pool. It is in autocommit mode: transaction blocks send BEGIN themselves."""

    events: ConnectionEvents
    generation: int
    """The pool's generation when it was made."""
    opened_at: float
    used_at: float
    """When the server last answered, as far as the pool knows. Both are seconds of the monotonic clock."""
    pooled = False
    """Whether it is one of the pool's, and not beside it."""
    lent = False
    """Whether it is in use."""
    uses = 0
    """How often it was released. Another number means another holder."""
    made_with: _MadeWith
    """What `clean` restores."""

    @classmethod
    async def connect(cls, conninfo: str = "", **kwargs: Any) -> Self:
        """Connect, and report the outcome to `events` (one of the keyword arguments).

        `prepared_statements` (another one) is the most that the connection keeps.

        A `patient` attempt (another one) tries again, about twice a second, while the server cannot be reached and
        somebody needs a connection. psycopg_pool's own pauses double, and would go on after the server is back.
        """
        events: ConnectionEvents = kwargs.pop("events")
        patient: bool = kwargs.pop("patient", False)
        most: int = kwargs.pop("prepared_statements")
        patience = monotonic() + (_PATIENCE_SECONDS if patient else 0)
        while True:
            start, generation = perf_counter(), events.generation
            try:
                conn = await cls._resolved(conninfo, **kwargs)
                break
            except psycopg.Error as error:
                events.failed(error)
                wanted = patient and (events.wanted() or events.breaker.failures > 0)
                if events.ended or not is_transient(error) or not (wanted or monotonic() < patience):
                    raise
            await sleep_async(_PAUSE_SECONDS * random.uniform(0.2, 1))  # noqa: S311 - a pause is no secret
        conn.events, conn.generation, conn.pooled = events, generation, patient
        conn.lock = lock_async()
        conn.watch_statements()
        session_of(conn).most_statements = most
        conn.made_with = _MadeWith.of(conn)
        conn.opened_at = conn.used_at = monotonic()
        events.opened(conn.pgconn, (perf_counter() - start) * 1000)
        return conn

    @classmethod
    async def _resolved(cls, conninfo: str, **kwargs: Any) -> Self:
        try:
            return await super().connect(conninfo, **kwargs)
        except UnicodeError as error:  # a label is empty or longer than 63 characters (RFC 1035)
            raise psycopg.OperationalError(f"failed to resolve host: not a valid host name ({error})") from error

    def watch_statements(self) -> None:
        """Have a command that ends the transaction of a block noticed, when one of psycopg's cursors runs it."""
        self._prepared = WatchedStatements(session_of(self), self.prepare_threshold)

    def __del__(self, *_: Any) -> None:
        """Tell the pool if the connection was neither returned nor closed by it: an exception came at a bad moment."""
        if not self.pooled:
            super().__del__()
        elif (self.lent or not self.closed) and not self.events.ended:
            self.lent = False
            self.events.lost(self)

    async def close(self) -> None:
        """Close the connection, unless it is closed."""
        if not self.closed:
            self.events.closed(self.pgconn)
        await super().close()

    async def commit(self) -> None:
        """Commit, like psycopg. Raises ProgrammingError inside a transaction block, which commits when it ends."""
        self._check_outside_block("commit")
        await super().commit()

    async def rollback(self) -> None:
        """Roll back, like psycopg. Raises ProgrammingError inside a transaction block: raise an exception there."""
        self._check_outside_block("rollback")
        await super().rollback()

    async def command(self, text: bytes, *values: bytes) -> PGresult:
        """Run a command of the library's own, and return its result. Raises psycopg.Error.

        It leaves nothing in the session, and does not begin a transaction block that is still to begin.
        """
        async with self.lock:
            return await session_of(self).wire.command(self, text, *values)

    async def ping(self) -> None:
        """See whether the server answers. Raises psycopg.Error, and closes the connection if it does not."""
        async with self.lock:
            await session_of(self).wire.ping()

    async def synchronize(self) -> None:
        """In a pipeline, wait for the answers to what was sent. Only then the state of the transaction is known.

        Raises what a statement failed with.
        """
        if self.pgconn.pipeline_status != PipelineStatus.OFF:
            async with self.pipeline():  # psycopg synchronizes a pipeline when a nested one is entered
                pass

    async def wait(self, gen: PQGen[_T], interval: float = 0.1, timeout: float | None = None) -> _T:
        """Wait for a step of the protocol, like psycopg, but no longer than the deadline.

        BEGIN is sent first if it is still due: anything that waits belongs to the transaction block.
        """
        transaction = session_of(self).transaction
        if transaction is not None and not transaction.begun:
            await self._begin(transaction, interval, timeout)
        return await self._wait_in_time(gen, interval, timeout)

    async def begin(self) -> None:
        """Send BEGIN if it is still due in the transaction block. Raises psycopg.Error."""
        transaction = session_of(self).transaction
        if transaction is not None and not transaction.begun:
            async with self.lock:
                await self._begin(transaction, 0.1, None)

    async def _begin(self, transaction: Transaction, interval: float, timeout: float | None) -> None:
        if (how := transaction.start()) is None:
            return
        try:
            await self._wait_in_time(begin(self.pgconn, how), interval, timeout)
        except BaseException as error:
            await recover_async(self, error)
            raise
        finally:
            transaction.settle(self.pgconn)

    async def _wait_in_time(self, gen: PQGen[_T], interval: float, timeout: float | None) -> _T:
        end = current_end()
        if timeout is not None or end is None:
            return await super().wait(gen, interval, timeout)
        try:
            return await super().wait(gen, interval, max(end - monotonic(), 0))
        except psycopg.OperationalError as error:
            if monotonic() < end:
                raise
            late = exceeded()
            await recover_async(self, late)
            raise late from error

    async def forget_prepared(self) -> None:
        """After a rollback, deallocate what psycopg has prepared, as psycopg does itself after its own ROLLBACK.

        A statement may refer to a table or type that was rolled back, and that may be created again.
        """
        if self._prepared.clear():
            async with self.lock:
                await self.wait(self._prepared.maintain_gen(self))

    async def clean(self, *, server: bool) -> None:
        """Restore the state that the connection began with. Outside a transaction.

        The round trip to the server is made if something ran that may have left state in the session, and only if
        `server` says that the session belongs to this connection. Raises psycopg.Error, and TimeoutError after two
        seconds.
        """
        made_with, prepared = self.made_with, self._prepared
        self.row_factory = tuple_row
        self.cursor_factory, self.server_cursor_factory = made_with.cursor_factory, made_with.server_cursor_factory
        prepared.prepare_threshold, prepared.prepared_max = made_with.prepare_threshold, made_with.prepared_max
        if self._adapters is None or _registered(self._adapters) != made_with.registered:
            self._adapters = AdaptersMap(made_with.adapters)
        self._notice_handlers.clear()
        self._notify_handlers.clear()
        if not self._autocommit:
            await self.set_autocommit(True)
        if (self._isolation_level, self._read_only, self._deferrable) != (None, None, None):
            await self.set_isolation_level(None)
            await self.set_read_only(None)
            await self.set_deferrable(None)
        session = session_of(self)
        if server and (session.dirty or session.streams):
            with tidying(_CLEAN_SECONDS):
                await self.command(b"; ".join([_RESET, *(b"DEALLOCATE " + name for name in session.streams)]))
                if session.prepared_by_hand:
                    await self.command(b"DEALLOCATE ALL")
                    session.forget_all()
                    self._prepared.clear()
            session.dirty, session.prepared_by_hand, session.streams = False, False, set()

    def _start_query(self) -> PQGen[None]:
        # Every cursor of psycopg begins a statement here.
        session_of(self).note_cursor()
        return super()._start_query()

    def _check_outside_block(self, what: str) -> None:
        if session_of(self).transaction is not None:
            raise psycopg.ProgrammingError(
                f"{what}() inside a transaction block: the block commits when it ends, and rolls back on an exception. "
                "To undo a part of it, nest a `with transaction():`"
            )


def _registered(adapters: AdaptersMap) -> tuple[object, ...]:
    """What is registered. psycopg copies a map before it changes it, so unchanged maps are the same objects."""
    return adapters._loaders, adapters._dumpers, adapters._dumpers_by_oid, adapters.types._registry

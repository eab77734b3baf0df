"""The connections of a pool: psycopg's own, which report what happens to them and know a deadline."""

from __future__ import annotations

import random
from time import monotonic, perf_counter
from typing import Any, Self, TypeVar

import psycopg
from psycopg import AsyncConnection
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow, tuple_row

from rowsmith.errors import is_transient
from rowsmith.pool.events import ConnectionEvents
from rowsmith.queries.session import Session, session_of
from rowsmith.wire.concurrency import sleep_async
from rowsmith.wire.connection import AsyncWire, recover_async
from rowsmith.wire.deadlines import CURRENT, exceeded, until
from rowsmith.wire.protocol import begin, command_tag

_T = TypeVar("_T")
_PATIENCE_SECONDS = 4.0
_PAUSE_SECONDS = 0.5
_CLEAN_SECONDS = 2.0
# What DISCARD ALL does (manual, "DISCARD"), without the statements that are prepared, and as one command.
_RESET = (
    b"RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; CLOSE ALL; UNLISTEN *; SELECT pg_advisory_unlock_all(); "
    b"DISCARD SEQUENCES; DISCARD TEMP"
)


class AsyncPooledConnection(AsyncConnection[TupleRow]):
    """A psycopg connection of a rowsmith pool. It is in autocommit mode: transaction blocks say BEGIN themselves."""

    events: ConnectionEvents
    generation: int
    """The pool's generation that it is of."""
    opened_at: float
    used_at: float
    """When an answer last came over it, as far as the pool knows; both on the monotonic clock, in seconds."""
    made_with: tuple[Any, Any, int | None]
    """The cursors that it makes and the prepare_threshold, as they are put back by `clean`."""
    in_block: bool = False
    """Whether a transaction block is open here."""

    @classmethod
    async def connect(cls, conninfo: str = "", **kwargs: Any) -> Self:
        """Connect, and tell `events` (one of the keyword arguments) how that went.

        A `patient` attempt (another one) goes on, twice a second or so, while the server cannot be reached and somebody
        wants it: psycopg_pool's own pauses double, and would go on when the server is back.
        """
        events: ConnectionEvents = kwargs.pop("events")
        patient: bool = kwargs.pop("patient", False)
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
        conn.events, conn.generation = events, generation
        conn.made_with = conn.cursor_factory, conn.server_cursor_factory, conn.prepare_threshold
        conn.opened_at = conn.used_at = monotonic()
        events.opened(conn.pgconn, (perf_counter() - start) * 1000)
        return conn

    @classmethod
    async def _resolved(cls, conninfo: str, **kwargs: Any) -> Self:
        try:
            return await super().connect(conninfo, **kwargs)
        except UnicodeError as error:  # an empty label, or one of more than 63 characters (RFC 1035)
            raise psycopg.OperationalError(f"failed to resolve host: no host can have such a name ({error})") from error

    async def close(self) -> None:
        """Close the connection; does nothing where it is closed already."""
        if not self.closed:
            self.events.closed(self.pgconn)
        await super().close()

    async def commit(self) -> None:
        """Commit, as psycopg does. Raises ProgrammingError in a transaction block, whose end commits."""
        self._check_outside_block("commit")
        await super().commit()

    async def rollback(self) -> None:
        """Roll back, as psycopg does. Raises ProgrammingError in a transaction block: raise an exception there."""
        self._check_outside_block("rollback")
        await super().rollback()

    async def wait(self, gen: PQGen[_T], interval: float = 0.1, timeout: float | None = None) -> _T:
        """Wait for a step of the protocol, as psycopg does, and no longer than the deadline.

        A transaction block that has not begun on the server begins first: whatever waits is a part of it.
        """
        session = session_of(self)
        if session.begin is not None:
            how, session.begin = session.begin, None
            try:
                await self._wait_until_deadline(begin(self.pgconn, how), interval, timeout)
            except BaseException as error:
                await recover_async(self, error)
                if self.pgconn.transaction_status == TransactionStatus.IDLE:
                    session.begin = how  # it has not begun: what comes next must not run on its own
                raise
        return await self._wait_until_deadline(gen, interval, timeout)

    async def _wait_until_deadline(self, gen: PQGen[_T], interval: float, timeout: float | None) -> _T:
        end = CURRENT.get()
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

    async def clean(self, *, server: bool) -> None:
        """Bring the session back to how it began, for the next who gets the connection. Outside a transaction.

        On the server that takes a round trip, which is made where something ran that may have left traces, and only
        if `server` says that there is a session of one's own. Raises psycopg.Error, and TimeoutError after two seconds.
        """
        self.row_factory = tuple_row
        self.cursor_factory, self.server_cursor_factory, self.prepare_threshold = self.made_with
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
            with until(monotonic() + _CLEAN_SECONDS):
                await self._reset_session(session)

    async def _reset_session(self, session: Session[AsyncWire]) -> None:
        deallocate = [b"DEALLOCATE " + name for name in session.streams]
        async with self.lock:
            result = await session.wire.command(self, b"; ".join([_RESET, *deallocate]))
        command_tag(self.pgconn, result)
        session.dirty, session.streams = False, set()

    def _start_query(self) -> PQGen[None]:
        # Where every cursor of psycopg begins a statement: what it does to the session is not known here.
        session_of(self).dirty = True
        return super()._start_query()

    def _check_outside_block(self, what: str) -> None:
        if self.in_block:
            raise psycopg.ProgrammingError(
                f"{what}() inside a transaction block: the end of the block commits, an exception rolls back. To undo "
                "a part, nest a `with transaction():`"
            )

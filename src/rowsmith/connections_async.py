"""The connections of a pool: psycopg's own, which report what happens to them and know a deadline."""

from __future__ import annotations

from time import monotonic, perf_counter
from typing import Any, Self, TypeVar

import psycopg
from psycopg import AsyncConnection
from psycopg.abc import PQGen
from psycopg.rows import TupleRow

from rowsmith.events import ConnectionEvents
from rowsmith.queries.protocol import command
from rowsmith.queries.session import session_of

_T = TypeVar("_T")


class AsyncPooledConnection(AsyncConnection[TupleRow]):
    """A psycopg connection of a rowsmith pool. It is in autocommit mode: transaction blocks say BEGIN themselves."""

    events: ConnectionEvents
    deadline: float | None = None
    """The time, on the monotonic clock, by which any statement must have answered."""
    in_block: bool = False
    """Whether a transaction block is open here."""

    @classmethod
    async def connect(cls, conninfo: str = "", **kwargs: Any) -> Self:
        """Connect, and tell `events` (one of the keyword arguments) how that went."""
        events: ConnectionEvents = kwargs.pop("events")
        start = perf_counter()
        try:
            conn = await cls._resolved(conninfo, **kwargs)
        except psycopg.Error as error:
            events.failed(error)
            raise
        conn.events = events
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
            begin, session.begin = session.begin, None
            await self._wait_async(command(self.pgconn, begin), interval, timeout)
        return await self._wait_async(gen, interval, timeout)

    async def _wait_async(self, gen: PQGen[_T], interval: float, timeout: float | None) -> _T:
        if timeout is None and self.deadline is not None:
            timeout = max(self.deadline - monotonic(), 0)
        try:
            return await super().wait(gen, interval, timeout)
        except psycopg.OperationalError as error:
            if self.deadline is not None and monotonic() >= self.deadline:
                raise TimeoutError("the server did not answer in time") from error
            raise

    def _deallocate(self, name: bytes | None) -> PQGen[None]:
        # psycopg's own way to give up prepared statements; with no name it takes those of the session as well.
        if name is None:
            session_of(self).forget_all()
        return super()._deallocate(name)

    def _check_outside_block(self, what: str) -> None:
        if self.in_block:
            raise psycopg.ProgrammingError(
                f"{what}() inside a transaction block: the end of the block commits, an exception rolls back. To undo "
                "a part, nest a `with transaction():`"
            )

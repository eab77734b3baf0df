"""A stream: the rows of a query read through a server-side cursor, a batch at a time, in constant memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any, Generic, Self, TypeVar

import psycopg
from psycopg import AsyncConnection, AsyncRawCursor
from psycopg.pq import ExecStatus, PipelineStatus, TransactionStatus

from rowsmith.queries.failure import report
from rowsmith.queries.inference import infer_types, repeats_a_parameter
from rowsmith.queries.session import session_of
from rowsmith.queries.statement import BoundQuery, Statement
from rowsmith.wire.protocol import error_of, prepare

_T = TypeVar("_T")
_BATCH = 1000
"""The number of rows in memory at a time."""
_OPEN = (TransactionStatus.IDLE, TransactionStatus.INTRANS)


class AsyncStream(Generic[_T]):
    """The rows of a query, read as they are iterated over, once. Other statements may run in between.

    A stream belongs to the transaction that is open when it begins. In autocommit mode, PostgreSQL computes all rows
    first and keeps them. Use `with` to close a stream that is left early. Otherwise the end of the transaction closes
    it, or the connection's return to its pool.
    """

    def __init__(self, bound: BoundQuery, conn: AsyncConnection[Any], values: Sequence[Any]) -> None:
        self._bound = bound
        self._conn = conn
        self._session = session_of(conn)
        self._values = values
        self._fetching: Statement | None = None

    async def __aiter__(self) -> AsyncGenerator[_T]:
        """The rows, as a call of the query returns them. Raises psycopg.Error, with a note that names the query."""
        try:
            statement = self._fetching = await self._open()
            while rows := await self._fetch(statement):
                for row in rows:
                    yield row
            await self.close()
        except psycopg.Error as error:
            report(self._bound.query, error)
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, exc_type: object, exc: BaseException | None, traceback: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the cursor, if it is open. After an error, the end of the transaction does."""
        statement, self._fetching = self._fetching, None
        session = self._session
        if statement is not None and session.pgconn.transaction_status in _OPEN:
            async with self._conn.lock:
                await session.wire.command(self._conn, b"CLOSE %b; DEALLOCATE %b" % ((statement.name,) * 2))
            session.streams.discard(statement.name)

    async def _open(self) -> Statement:
        conn, session, pgconn = self._conn, self._session, self._session.pgconn
        if pgconn.pipeline_status != PipelineStatus.OFF:
            raise psycopg.NotSupportedError("a stream waits for its rows, and cannot be read in a pipeline")
        if self._bound.preparable is None and repeats_a_parameter(self._bound.query):
            async with conn.lock:
                typed = await conn.wait(infer_types(pgconn, self._bound.query, conn.info.encoding))
            self._bound.query = typed or self._bound.query
        name, transaction = session.name(), session.transaction
        alone = conn.autocommit and transaction is None and pgconn.transaction_status == TransactionStatus.IDLE
        declare = b"DECLARE %b NO SCROLL CURSOR %b FOR " % (name, b"WITH HOLD" if alone else b"")
        session.dirty |= not self._bound.clean
        with session.own_cursor():
            async with AsyncRawCursor(conn) as cursor:
                await cursor.execute(declare + self._bound.query.statement, self._values, prepare=False)
        session.streams.add(name)
        if transaction is not None:
            transaction.note_read(self._bound)
        async with conn.lock:
            description = await conn.wait(prepare(pgconn, name, b"FETCH FORWARD %d FROM %b" % (_BATCH, name)))
        return session.describe(self._bound, name, description)

    async def _fetch(self, statement: Statement) -> list[_T]:
        async with self._conn.lock:
            result = await self._session.wire.execute(self._conn, statement, ())
        if result.status != ExecStatus.TUPLES_OK:
            raise error_of(self._session.pgconn, result)
        rows: list[_T] = statement.make(statement.load(result))
        return rows

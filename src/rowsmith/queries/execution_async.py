"""The execution of a query on a connection: as a prepared statement if possible, or else by psycopg's cursor."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from time import perf_counter
from typing import Any

import psycopg
from psycopg import AsyncConnection, AsyncRawCursor
from psycopg.pq import ExecStatus, PipelineStatus, TransactionStatus
from psycopg.pq.abc import PGresult
from psycopg.rows import tuple_row

from rowsmith.queries.failure import logger, report
from rowsmith.queries.inference import infer_types
from rowsmith.queries.marks import Kind
from rowsmith.queries.session import SESSION, Session, session_of
from rowsmith.queries.statement import BoundQuery, Statement, check_sets, read
from rowsmith.values.dumpers import Sent, SentDumper
from rowsmith.wire.connection_async import AsyncWire, recover_async, recover_if_free_async
from rowsmith.wire.protocol import error_of, is_outdated, prepare, try_to_prepare

_TUPLES_OK, _COMMAND_OK = int(ExecStatus.TUPLES_OK), int(ExecStatus.COMMAND_OK)
_INTERRUPTIONS = (KeyboardInterrupt, asyncio.CancelledError, GeneratorExit)
_NEEDS_VALUES = {"42P18", "42P08", "42725", "42883", "42804", "42846"}
"""What PostgreSQL says if the type of a parameter has to come with its value (manual, "PostgreSQL Error Codes"): an
indeterminate or ambiguous type, no such function or operator, a mismatch."""


async def execute_async(bound: BoundQuery, conn: AsyncConnection[Any], values: Sequence[Any]) -> Any:
    """Run a query and return what its mark promises.

    `values` are in the order of `query.parameters`; for a `*!` query they are a sequence of such sequences, sent in one
    pipeline. Raises what psycopg raises, with a note that names the query, its file and line; RowCountError or
    ResultShapeError if the result does not fit the mark.
    """
    start = perf_counter() if logger.isEnabledFor(logging.DEBUG) else None
    try:
        session: Session[AsyncWire] = conn.__dict__.get(SESSION) or session_of(conn)
        async with conn.lock:
            session.dirty |= not bound.clean
            statement, transaction = session.ready(bound, conn), session.transaction
            data = None if statement is None else statement.dump(values)
            if statement is None or data is None:
                statement, loaded = await _Preparation(bound, conn, session, values).run()
            else:
                if transaction is not None and transaction.begun and bound.writes is False:
                    transaction = None  # a read does not concern it
                began = transaction is not None and not transaction.begun
                if transaction is None or not transaction.is_concerned(bound):
                    result = await session.wire.execute(conn, statement, data)
                else:
                    result = await session.wire.execute_in_transaction(conn, transaction, bound, statement, data)
                status = result.status
                if status == _TUPLES_OK or status == _COMMAND_OK:  # noqa: PLR1714, SIM109 - `in` takes twice as long
                    is_command = status == _COMMAND_OK and not bound.clean
                    if is_command or (transaction is not None and transaction.is_news(bound)):
                        session.note(bound, result, conn)
                    loaded = statement.load(result)
                else:
                    preparation = _Preparation(bound, conn, session, values, began=began)
                    statement, loaded = await preparation.run_again(statement, error_of(session.pgconn, result))
        if statement is None:
            returned = await _by_cursor(bound, conn, session, values)
        else:
            returned = None if loaded is None else statement.make(loaded)
    except Exception as error:
        report(bound.query, error)
        raise
    if start is not None:
        logger.debug("query %s: %.1f ms", bound.query.qualified_name, (perf_counter() - start) * 1000)
    return returned


class _Preparation:
    """An execution that prepares its statement first, or again after it has failed."""

    def __init__(
        self,
        bound: BoundQuery,
        conn: AsyncConnection[Any],
        session: Session[AsyncWire],
        values: Sequence[Any],
        *,
        began: bool = False,
    ) -> None:
        self._bound, self._conn, self._session, self._values = bound, conn, session, values
        self._began = began
        """Whether BEGIN was sent together with the statement."""
        self._again = False

    async def run(self) -> tuple[Statement | None, Any]:
        """Returns the prepared statement and what it has loaded; no statement if only a cursor can run the query now.

        Then nothing has run.
        """
        session, bound, conn = self._session, self._bound, self._conn
        try:
            while True:
                statement = session.ready(bound, conn) or await self._prepare()
                if statement is None or (data := statement.dump(self._values)) is None:
                    return None, None
                transaction = session.transaction
                self._began = transaction is not None and not transaction.begun
                if transaction is None or not transaction.is_concerned(bound):
                    result = await session.wire.execute(conn, statement, data)
                else:
                    result = await session.wire.execute_in_transaction(conn, transaction, bound, statement, data)
                if result.status in (_TUPLES_OK, _COMMAND_OK):
                    session.note(bound, result, conn)
                    return statement, statement.load(result)
                await self._renew(statement, error_of(session.pgconn, result))
        except _INTERRUPTIONS as interruption:
            await recover_async(conn, interruption)  # if it came in the middle of psycopg's own code
            raise

    async def run_again(self, statement: Statement, error: psycopg.Error) -> tuple[Statement | None, Any]:
        """Like `run`, after the statement has failed. Raises the error if it would fail again."""
        await self._renew(statement, error)
        return await self.run()

    async def _renew(self, statement: Statement, error: psycopg.Error) -> None:
        """Drop a statement that has failed, so that it is prepared again. Raises the error if that would not help.

        It helps once, and not in a transaction that the error has aborted.
        """
        session = self._session
        session.forget(self._bound, error)
        if self._again or not is_outdated(error) or not await self._is_undone():
            raise error
        self._again = True
        if not isinstance(error, psycopg.errors.InvalidSqlStatementName):  # the server still has it
            await session.wire.command(self._conn, b"DEALLOCATE " + statement.name)

    async def _is_undone(self) -> bool:
        """Whether a statement that failed has left nothing behind.

        That is so outside a transaction, and in one that began together with it, which is rolled back to begin again.
        """
        session = self._session
        if self._began and session.transaction is not None:
            await session.wire.command(self._conn, b"ROLLBACK")
            session.transaction.settle(session.pgconn)
        return session.pgconn.transaction_status == TransactionStatus.IDLE

    async def _prepare(self) -> Statement | None:
        """Prepare the query; None if that is not possible now, or if it needs the types of its values."""
        bound, conn, session = self._bound, self._conn, self._session
        if bound.preparable is False or not session.can_run_prepared(conn):
            return None
        name, pgconn, surplus = session.name(), session.pgconn, session.surplus()
        text = bound.query.encoded(conn.info.encoding)
        if bound.preparable:
            return await self._add(name, await conn.wait(prepare(pgconn, name, text, surplus)))
        try:
            description = await conn.wait(try_to_prepare(pgconn, name, text, surplus))
        except psycopg.Error as error:
            if isinstance(error, psycopg.errors.AmbiguousParameter):
                typed = await conn.wait(infer_types(pgconn, bound.query, conn.info.encoding))
                if typed is not None:
                    bound.query, bound.preparable = typed, True
                    return await self._prepare()
            transaction = session.transaction
            unbegun = transaction is not None and not transaction.begun
            if unbegun or pgconn.transaction_status == TransactionStatus.INERROR:
                raise  # the transaction could not begin, or nothing else can run in it
            if error.sqlstate in _NEEDS_VALUES:
                bound.preparable = False
            return None  # psycopg's cursor meets any other error too, unless the types of the values avoid it
        return await self._add(name, description)

    async def _add(self, name: bytes, description: PGresult) -> Statement:
        try:
            return self._session.add(self._bound, name, description)
        except Exception:  # it lacks columns that the row class needs
            await self._session.wire.command(self._conn, b"DEALLOCATE " + name)
            raise


async def _by_cursor(
    bound: BoundQuery, conn: AsyncConnection[Any], session: Session[AsyncWire], values: Sequence[Any]
) -> Any:
    with session.own_cursor():
        async with AsyncRawCursor(conn, row_factory=tuple_row) as cursor:
            try:
                if conn.pgconn.pipeline_status == PipelineStatus.OFF:
                    if bound.query.kind is Kind.EXECUTEMANY:
                        await _execute_many(bound, cursor, session, values)
                    else:
                        await _execute_cursor(bound, cursor, values)
                else:
                    async with conn.pipeline():  # the end of this inner block waits for the answer
                        await _execute_cursor(bound, cursor, values)
            except BaseException as error:
                session.note_unknown()
                if isinstance(error, _INTERRUPTIONS):
                    await recover_if_free_async(conn, error)
                raise
            result = cursor.pgresult
            if bound.query.kind is Kind.SCRIPT or result is None:
                session.note_unknown()
                return None if bound.query.kind is Kind.SCRIPT else cursor.rowcount
            session.note(bound, result, conn)
            return cursor.rowcount if bound.query.kind is Kind.EXECUTEMANY else read(bound, result, conn)


async def _execute_many(
    bound: BoundQuery, cursor: AsyncRawCursor[Any], session: Session[AsyncWire], values: Sequence[Any]
) -> None:
    """Store all sets of parameters, or none.

    Outside a transaction, psycopg's pipeline is one. But when an exception interrupts the pipeline, it is ended
    properly, which stores what was sent so far. So BEGIN and COMMIT are sent in it.
    """
    conn = cursor.connection
    if conn.autocommit and session.transaction is None and conn.pgconn.transaction_status == TransactionStatus.IDLE:
        command = AsyncRawCursor(conn)
        try:
            async with conn.pipeline():
                await command.execute(b"BEGIN", prepare=False)
                await _execute_cursor(bound, cursor, values)
                await command.execute(b"COMMIT", prepare=False)
        except BaseException:
            async with conn.lock:
                if conn.pgconn.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
                    await session.wire.command(conn, b"ROLLBACK")
            raise
    else:
        await _execute_cursor(bound, cursor, values)
    if conn.prepare_threshold is None:
        await _leave_pooler(conn, session)


async def _leave_pooler(conn: AsyncConnection[Any], session: Session[AsyncWire]) -> None:
    """Let PgBouncer take its server back after executemany().

    psycopg sends a Flush message behind the last Sync of a pipeline. If the answer to the Sync was quicker, PgBouncer
    keeps a server for this client until the client's next query ends: here, at once.
    """
    async with conn.lock:
        if conn.pgconn.transaction_status == TransactionStatus.IDLE:
            await session.wire.command(conn, b"SELECT")


async def _execute_cursor(bound: BoundQuery, cursor: AsyncRawCursor[Any], values: Sequence[Any]) -> None:
    text = bound.query.encoded(cursor.connection.info.encoding)
    if bound.query.kind is Kind.EXECUTEMANY:
        check_sets(cursor.connection, values)
        await cursor.executemany(text, values)
    elif bound.query.kind is Kind.SCRIPT:
        await cursor.execute(text)  # without values: only so may there be several statements
    else:
        if bound.sent_back:
            cursor.adapters.register_dumper(Sent, SentDumper)
        await cursor.execute(text, values)

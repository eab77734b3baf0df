"""The execution of a query on a connection: as a prepared statement where that can be, else by psycopg's cursor."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from time import perf_counter
from typing import Any

import psycopg
from psycopg import AsyncConnection, AsyncRawCursor
from psycopg.abc import Buffer
from psycopg.pq import ExecStatus, PipelineStatus, TransactionStatus
from psycopg.pq.abc import PGresult
from psycopg.rows import tuple_row

from rowsmith.queries.failure import logger, report
from rowsmith.queries.query import Kind, Query
from rowsmith.queries.session import Session
from rowsmith.queries.statement import BoundQuery, Statement, read
from rowsmith.wire.connection import AsyncWire, recover_async, recover_free_async
from rowsmith.wire.protocol import (
    Begin,
    command,
    error_of,
    is_outdated,
    is_plain,
    prepare,
    try_to_prepare,
)

_TUPLES_OK, _COMMAND_OK = int(ExecStatus.TUPLES_OK), int(ExecStatus.COMMAND_OK)
_IDLE = TransactionStatus.IDLE
_INTERRUPTIONS = (KeyboardInterrupt, asyncio.CancelledError, GeneratorExit)
_NEEDS_VALUES = {"42P18", "42P08", "42725", "42883", "42804", "42846"}
"""What PostgreSQL says where the type of a parameter has to come with its value (manual, "PostgreSQL Error Codes"):
indeterminate or ambiguous, no such function or operator, a mismatch."""


async def execute_async(
    bound: BoundQuery, conn: AsyncConnection[Any], session: Session[AsyncWire], values: Sequence[Any]
) -> Any:
    """Run the query; what it gives is said by its kind.

    `values` stand in the order of `query.parameters`; for a `*!` query they are a sequence of such sequences, sent in
    one pipeline. Raises what psycopg raises, with a note that names the query and its place; RowCountError or
    ResultShapeError where the result does not fit the mark.
    """
    start = perf_counter() if logger.isEnabledFor(logging.DEBUG) else None
    try:
        async with conn.lock:
            statement, loaded = await _prepared(bound, conn, session, values)
        if statement is None:
            given = await _by_cursor(bound, conn, session, values)
        else:
            given = None if loaded is None else statement.make(loaded)
    except Exception as error:
        report(bound.query, error)
        raise
    if start is not None:
        logger.debug("query %s: %.1f ms", bound.query.qualified_name, (perf_counter() - start) * 1000)
    return given


async def _prepared(
    bound: BoundQuery, conn: AsyncConnection[Any], session: Session[AsyncWire], values: Sequence[Any]
) -> tuple[Statement | None, Any]:
    """The prepared statement, and what it has loaded; no statement, with nothing run, where it cannot be one now."""
    again, unbegun = False, session.begin
    try:
        while (statement := session.ready(bound, conn) or await _prepare(bound, conn, session)) is not None and (
            data := statement.dump(values)
        ) is not None:
            begin, trace = session.begin, session.trace
            if begin is None and (trace is None or not bound.writes or not trace.wanted):
                result = await session.wire.execute(conn, statement, data)
            else:
                result = await _in_transaction(bound, conn, session, statement, data)
            status = result.status
            if status == _TUPLES_OK or status == _COMMAND_OK:  # noqa: PLR1714, SIM109 - half the time of `in`
                if status == _COMMAND_OK or bound.dirties or (trace is not None and bound not in trace.selects):
                    session.note(bound, result, conn)
                return statement, statement.load(result)
            error = error_of(session.pgconn, result)
            await _renew(bound, conn, session, statement, error=error, begin=begin, again=again)
            again = True
    except BaseException as raised:
        if isinstance(raised, _INTERRUPTIONS):
            await recover_async(conn, raised)  # where it came in the midst of psycopg's own code
        if session.pgconn.transaction_status == _IDLE:
            session.begin = unbegun  # what follows in the block must not run outside its transaction
        raise
    return None, None


async def _in_transaction(
    bound: BoundQuery,
    conn: AsyncConnection[Any],
    session: Session[AsyncWire],
    statement: Statement,
    data: Sequence[Buffer | None],
) -> PGresult:
    """Run the statement together with what begins its transaction, and what asks for its id where it writes."""
    begin, session.begin, trace = session.begin, None, session.trace
    traced = trace is not None and bound.writes and trace.wanted
    result, asked = await session.wire.execute_in_transaction(conn, begin, statement, data, traced=traced)
    if trace is not None and asked is not None:
        trace.learn(asked)
    return result


async def _renew(
    bound: BoundQuery,
    conn: AsyncConnection[Any],
    session: Session[AsyncWire],
    statement: Statement,
    *,
    error: psycopg.Error,
    begin: Begin | None,
    again: bool,
) -> None:
    """Give a statement up, to be prepared anew and run again. Raises the error where that would not help.

    It does not help `again`, nor in a transaction that the error has ended.
    """
    session.forget(bound, error)
    if again or not is_outdated(error) or not await _undone(conn, session, begin):
        raise error
    if not isinstance(error, psycopg.errors.InvalidSqlStatementName):  # then the server still has it
        begin, session.begin = session.begin, None
        await conn.wait(command(session.pgconn, b"DEALLOCATE " + statement.name))
        session.begin = begin


async def _undone(conn: AsyncConnection[Any], session: Session[AsyncWire], begin: Begin | None) -> bool:
    """Whether a statement that failed has left nothing behind; `begin` is the command that was sent together with it.

    Outside a transaction that is so, and in one that had only just begun, which begins anew.
    """
    if begin is None:
        return session.pgconn.transaction_status == _IDLE
    await conn.wait(command(session.pgconn, b"ROLLBACK"))
    session.begin = begin
    return True


async def _prepare(bound: BoundQuery, conn: AsyncConnection[Any], session: Session[AsyncWire]) -> Statement | None:
    """Prepare the query; None where that cannot be now, or where it needs the types of its values."""
    if bound.preparable is False or not session.takes(conn):
        return None
    name, pgconn = session.name(), session.pgconn
    text = bound.query.encoded(conn.info.encoding)
    if bound.preparable:
        return await _add(bound, conn, session, name, await conn.wait(prepare(pgconn, name, text)))
    try:
        description = await conn.wait(try_to_prepare(pgconn, name, text))
    except psycopg.Error as error:
        if session.begin is not None or pgconn.transaction_status == TransactionStatus.INERROR:
            raise  # the transaction could not begin, or nothing else can run in it
        if error.sqlstate in _NEEDS_VALUES:
            bound.preparable = False
        return None  # psycopg's cursor meets any other error too, and may get over it by the values' types
    return await _add(bound, conn, session, name, description)


async def _add(
    bound: BoundQuery, conn: AsyncConnection[Any], session: Session[AsyncWire], name: bytes, description: PGresult
) -> Statement:
    try:
        return session.add(bound, name, description)
    except Exception:  # it has not the columns that the row class wants
        await conn.wait(command(session.pgconn, b"DEALLOCATE " + name))
        raise


async def _by_cursor(
    bound: BoundQuery, conn: AsyncConnection[Any], session: Session[AsyncWire], values: Sequence[Any]
) -> Any:
    query, dirty = bound.query, session.dirty
    async with AsyncRawCursor(conn, row_factory=tuple_row) as cursor:
        try:
            if conn.pgconn.pipeline_status == PipelineStatus.OFF:
                await _send(query, cursor, values)
                if query.kind is Kind.EXECUTEMANY and conn.prepare_threshold is None:
                    await _leave_pooler(conn, session)
            else:
                async with conn.pipeline():  # the end of this inner block waits for the answer
                    await _send(query, cursor, values)
        except _INTERRUPTIONS as interruption:
            await recover_free_async(conn, interruption)
            raise
        if query.kind is Kind.SCRIPT:
            return None
        if not bound.dirties and cursor.pgresult is not None and is_plain(cursor.pgresult):
            session.dirty = dirty  # which a cursor sets, whatever it runs
        if query.kind is Kind.EXECUTEMANY or cursor.pgresult is None:
            return cursor.rowcount
        return read(bound, cursor.pgresult, conn)


async def _leave_pooler(conn: AsyncConnection[Any], session: Session[AsyncWire]) -> None:
    """Let PgBouncer take its server back after executemany().

    psycopg sends a Flush message behind the last Sync of a pipeline. If the answer to the Sync was quicker, PgBouncer
    keeps a server for this client until the client's next query ends. An empty query does.
    """
    async with conn.lock:
        if conn.pgconn.transaction_status == _IDLE:
            await session.wire.command(conn, b"")


async def _send(query: Query, cursor: AsyncRawCursor[Any], values: Sequence[Any]) -> None:
    text = query.encoded(cursor.connection.info.encoding)
    if query.kind is Kind.EXECUTEMANY:
        await cursor.executemany(text, values)
    elif query.kind is Kind.SCRIPT:
        await cursor.execute(text)  # without values: only so may there be several statements
    else:
        await cursor.execute(text, values)

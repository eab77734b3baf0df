"""The execution of a query on a connection."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any

from psycopg import AsyncConnection, AsyncRawCursor
from psycopg.pq import PipelineStatus
from psycopg.rows import BaseRowFactory

from rowsmith.queries.failure import logger, report
from rowsmith.queries.query import Kind, Query
from rowsmith.queries.rows import check_shape


async def execute_async(
    query: Query, conn: AsyncConnection[Any], values: Sequence[Any], rows: BaseRowFactory[Any]
) -> Any:
    """Run the query; what it gives is said by its kind.

    `values` stand in the order of `query.parameters`; for a `*!` query they are a sequence of such sequences, sent in
    one pipeline. Raises what psycopg raises, with a note that names the query and its place; RowCountError or
    ResultShapeError where the result does not fit the mark.
    """
    start = perf_counter()
    try:
        async with AsyncRawCursor(conn, row_factory=rows) as cursor:
            if conn.pgconn.pipeline_status == PipelineStatus.OFF:
                await _send_async(query, cursor, values)
            else:
                async with conn.pipeline():  # the end of this inner block waits for the answer
                    await _send_async(query, cursor, values)
            result = await _result_async(query, cursor)
    except Exception as error:
        report(query, error)
        raise
    logger.debug("query %s: %.1f ms", query.qualified_name, (perf_counter() - start) * 1000)
    return result


async def _send_async(query: Query, cursor: AsyncRawCursor[Any], values: Sequence[Any]) -> None:
    if query.kind is Kind.EXECUTEMANY:
        await cursor.executemany(query.statement, values)
    elif query.kind is Kind.SCRIPT:
        await cursor.execute(query.statement)  # without values: only so may there be several statements
    else:
        await cursor.execute(query.statement, values)


async def _result_async(query: Query, cursor: AsyncRawCursor[Any]) -> Any:
    if query.kind is Kind.SCRIPT:
        return None
    if query.kind is Kind.EXECUTEMANY:
        return cursor.rowcount
    check_shape(query, len(cursor.description or ()), cursor.rowcount, cursor.statusmessage)
    if query.kind is Kind.AFFECTED:
        return cursor.rowcount
    if query.kind is Kind.MANY:
        return await cursor.fetchall()
    return await cursor.fetchone()

"""COPY of rows into a table: the conversation with the server."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any

import psycopg
from psycopg import AsyncConnection, AsyncRawCursor
from psycopg.pq import PipelineStatus
from psycopg.rows import scalar_row

from rowsmith.copy.encoder import FIRST_ROWS, Encoder
from rowsmith.copy.failure import logger, report
from rowsmith.copy.records import iterate_async, take_async
from rowsmith.values.tables import FIND_TABLE, LIST_TABLES, Table, no_such_table, read_table


async def copy_rows_async(conn: AsyncConnection[Any], name: str, rows: Any, columns: Sequence[str] | None) -> int:
    """Write rows into the table of that name; how many were written. `rowsmith.copies.call.copy_rows` says the rest.

    `rows` is what `iterate_async` takes.
    """
    if conn.pgconn.pipeline_status != PipelineStatus.OFF:
        raise psycopg.NotSupportedError("copy_rows() inside conn.pipeline(): PostgreSQL has no COPY in a pipeline")
    start, table = perf_counter(), None
    source = iterate_async(rows)
    try:
        async with AsyncRawCursor(conn, row_factory=scalar_row) as cursor:
            table = await _find(cursor, name)
            table.pick(columns or ())  # also for no rows at all
            count = await _copy(cursor, name, table, source, columns)
    except Exception as error:
        report(name, table, error)
        raise
    logger.debug("copied %d rows into %s: %.1f ms", count, name, (perf_counter() - start) * 1000)
    return count


async def _find(cursor: AsyncRawCursor[Any], name: str) -> Table:
    await cursor.execute(FIND_TABLE, [name], prepare=False)
    if found := await cursor.fetchone():
        return read_table(found)
    await cursor.execute(LIST_TABLES, prepare=False)
    raise no_such_table(name, await cursor.fetchone())


async def _copy(
    cursor: AsyncRawCursor[Any], name: str, table: Table, source: Any, columns: Sequence[str] | None
) -> int:
    """`source` is what `take_async` takes."""
    rows = await take_async(source, FIRST_ROWS)
    if not rows:
        return 0
    encoder = Encoder(name, table, columns, rows, cursor)
    async with cursor.copy(encoder.statement) as copy:
        while rows:
            if data := encoder.add(rows):
                await copy.write(data)
            rows = await take_async(source, encoder.wanted)
        await copy.write(encoder.end())
    return cursor.rowcount

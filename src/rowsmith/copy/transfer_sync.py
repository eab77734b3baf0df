# Generated from transfer_async.py by tools/async_to_sync.py: change that file, then run `make format`.
"""A COPY of rows into a table: the conversation with the server."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any

import psycopg
from psycopg import Connection, RawCursor
from psycopg.pq import PipelineStatus
from psycopg.rows import scalar_row

from rowsmith.copy.encoder import FIRST_ROWS, Encoder, logger, report
from rowsmith.copy.records import iterate_sync, take_sync
from rowsmith.copy.tables import FIND_TABLE, Table, read_table


def copy_rows_sync(conn: Connection[Any], name: str, rows: Any, columns: Sequence[str] | None) -> int:
    """Write rows into a table, and return how many. `copy_rows` in `copy/call.py` says the rest."""
    if conn.pgconn.pipeline_status != PipelineStatus.OFF:
        raise psycopg.NotSupportedError("copy_rows() cannot run inside conn.pipeline(): pipeline mode has no COPY")
    start, table = perf_counter(), None
    source = iterate_sync(rows)
    try:
        with RawCursor(conn, row_factory=scalar_row) as cursor:
            cursor.execute(FIND_TABLE, [name], prepare=False)
            table = read_table(name, cursor.fetchone())
            if columns:  # they have to exist even if there are no rows
                table.choose(columns)
            count = _copy(cursor, name, table, source, columns)
    except Exception as error:
        report(name, table, error)
        raise
    logger.debug("copied %d rows into %s: %.1f ms", count, name, (perf_counter() - start) * 1000)
    return count


def _copy(cursor: RawCursor[Any], name: str, table: Table, rows: Any, columns: Sequence[str] | None) -> int:
    taken = take_sync(rows, FIRST_ROWS)
    if not taken:
        return 0
    encoder = Encoder(name, table, columns, taken, cursor)
    with cursor.copy(encoder.statement) as copy:
        while taken:
            if data := encoder.add(taken):
                copy.write(data)
            taken = take_sync(rows, encoder.wanted)
        copy.write(encoder.end())
    return cursor.rowcount

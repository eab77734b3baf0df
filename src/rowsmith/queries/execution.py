# Generated from execution_async.py by tools/async_to_sync.py: change that file, then run `make format`.
"""The execution of a query on a connection."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any

from psycopg import Connection, RawCursor
from psycopg.pq import PipelineStatus
from psycopg.rows import BaseRowFactory

from rowsmith.queries.failure import logger, report
from rowsmith.queries.query import Kind, Query
from rowsmith.queries.rows import check_shape


def execute(query: Query, conn: Connection[Any], values: Sequence[Any], rows: BaseRowFactory[Any]) -> Any:
    """Run the query; what it gives is said by its kind.

    `values` stand in the order of `query.parameters`; for a `*!` query they are a sequence of such sequences, sent in
    one pipeline. Raises what psycopg raises, with a note that names the query and its place; RowCountError or
    ResultShapeError where the result does not fit the mark.
    """
    start = perf_counter()
    try:
        with RawCursor(conn, row_factory=rows) as cursor:
            if conn.pgconn.pipeline_status == PipelineStatus.OFF:
                _send(query, cursor, values)
            else:
                with conn.pipeline():  # the end of this inner block waits for the answer
                    _send(query, cursor, values)
            result = _result(query, cursor)
    except Exception as error:
        report(query, error)
        raise
    logger.debug("query %s: %.1f ms", query.qualified_name, (perf_counter() - start) * 1000)
    return result


def _send(query: Query, cursor: RawCursor[Any], values: Sequence[Any]) -> None:
    if query.kind is Kind.EXECUTEMANY:
        cursor.executemany(query.statement, values)
    elif query.kind is Kind.SCRIPT:
        cursor.execute(query.statement)  # without values: only so may there be several statements
    else:
        cursor.execute(query.statement, values)


def _result(query: Query, cursor: RawCursor[Any]) -> Any:
    if query.kind is Kind.SCRIPT:
        return None
    if query.kind is Kind.EXECUTEMANY:
        return cursor.rowcount
    check_shape(query, len(cursor.description or ()), cursor.rowcount, cursor.statusmessage)
    if query.kind is Kind.AFFECTED:
        return cursor.rowcount
    if query.kind is Kind.MANY:
        return cursor.fetchall()
    return cursor.fetchone()

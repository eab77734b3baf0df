"""A call of a query, dispatched by its connection: a synchronous or an asynchronous one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import AsyncConnection, Connection

from rowsmith.queries.execution_async import execute_async
from rowsmith.queries.execution_sync import execute_sync
from rowsmith.queries.failure import report
from rowsmith.queries.session import SESSION, session_of
from rowsmith.queries.statement import BoundQuery
from rowsmith.queries.streams_async import AsyncStream
from rowsmith.queries.streams_sync import Stream

# isinstance() cannot tell pyright the row type of a connection; a query's rows do not depend on it.
# pyright: reportUnknownArgumentType=false


def run(bound: BoundQuery, conn: Any, values: Sequence[Any]) -> Any:
    """Run a query on a psycopg connection. Returns its result or, with an AsyncConnection, an awaitable of it.

    Raises TypeError for anything that is not a connection.
    """
    if isinstance(conn, Connection):
        return execute_sync(bound, conn, conn.__dict__.get(SESSION) or _session_of(bound, conn), values)
    if isinstance(conn, AsyncConnection):
        return execute_async(bound, conn, conn.__dict__.get(SESSION) or session_of(conn), values)
    raise _no_connection(bound, conn)


def _session_of(bound: BoundQuery, conn: Connection[Any]) -> Any:
    try:
        return session_of(conn)
    except psycopg.Error as error:  # it is closed
        report(bound.query, error)
        raise


def stream(bound: BoundQuery, conn: Any, values: Sequence[Any]) -> Any:
    """The rows of a query as a Stream, or with an AsyncConnection an AsyncStream. Raises as `run` does."""
    if isinstance(conn, Connection):
        return Stream[Any](bound, conn, session_of(conn), values)
    if isinstance(conn, AsyncConnection):
        return AsyncStream[Any](bound, conn, session_of(conn), values)
    raise _no_connection(bound, conn)


def _no_connection(bound: BoundQuery, conn: object) -> TypeError:
    return TypeError(
        f"{bound.query.name}() takes a psycopg Connection or AsyncConnection first, not {type(conn).__name__}. "
        "Get one from `with transaction() as conn:` or `with connection() as conn:`"
    )

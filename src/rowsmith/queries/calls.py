"""A call of a query: given to the execution for threads or to the one for tasks, by the kind of the connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection, Connection

from rowsmith.queries.execution import execute
from rowsmith.queries.execution_async import execute_async
from rowsmith.queries.session import SESSION, session_of
from rowsmith.queries.statement import BoundQuery


def run(bound: BoundQuery, conn: Any, values: Sequence[Any]) -> Any:
    """Run a query on a psycopg connection: its result, or with an AsyncConnection an awaitable of it.

    Raises TypeError for what is no connection.
    """
    if isinstance(conn, Connection):
        session = conn.__dict__.get(SESSION) or session_of(conn)  # pyright: ignore[reportUnknownArgumentType]
        return execute(bound, conn, session, values)  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(conn, AsyncConnection):
        session = conn.__dict__.get(SESSION) or session_of(conn)  # pyright: ignore[reportUnknownArgumentType]
        return execute_async(bound, conn, session, values)  # pyright: ignore[reportUnknownArgumentType]
    raise TypeError(
        f"{bound.query.name}() takes a psycopg Connection or AsyncConnection first, not {type(conn).__name__}. "
        "Get one from `with transaction() as conn:` or `with connection() as conn:`"
    )

"""The note on an error of a query: which query it was, in which file and line."""

from __future__ import annotations

import logging

import psycopg

from rowsmith.errors import RowsmithError
from rowsmith.findings import display_path
from rowsmith.queries.query import Query

logger = logging.getLogger("rowsmith.queries")


def report(query: Query, error: Exception) -> None:
    """Add the note to the error, and log that the query failed.

    The log has the SQLSTATE instead of the message, because PostgreSQL quotes values in its messages.
    """
    if not isinstance(error, RowsmithError):  # ours name the query in their message
        error.add_note(_note(query, error))
    code = getattr(error, "sqlstate", None) or type(error).__name__
    logger.error("query %s failed: %s (%s)", query.qualified_name, code, query.location)


def _note(query: Query, error: Exception) -> str:
    form = f" ({query.title})" if query.title else ""
    note = f"in query {query.qualified_name}, {query.location}{form}"
    position = error.diag.statement_position if isinstance(error, psycopg.Error) else None
    if position is None:
        return note
    # PostgreSQL counts characters from 1 (manual, "Error and Notice Message Fields", P).
    line, text, column = query.source.place(int(position) - 1)
    return f"{note}\n{display_path(query.file)}:{line}\n    {text}\n    {' ' * column}^"

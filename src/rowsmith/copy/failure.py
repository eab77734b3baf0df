"""The note on an error that a COPY met: which table, and which row."""

from __future__ import annotations

import logging

import psycopg

from rowsmith.values.tables import Table

logger = logging.getLogger("rowsmith.copying")


def report(name: str, table: Table | None, error: Exception) -> None:
    """Add the note to an error of psycopg's, and log that the COPY into the table, which the user calls so, failed.

    The log has the SQLSTATE and not the message: PostgreSQL quotes values in its messages, and a log is no place for
    them.
    """
    if isinstance(error, psycopg.Error):
        row = None if table is None else _row(table, error.diag.context or "")
        error.add_note(f"in copy_rows() into {name}" + ("" if row is None else f", row {row}"))
    code = getattr(error, "sqlstate", None) or type(error).__name__
    logger.error("copy into %s failed: %s", name, code)


def _row(table: Table, context: str) -> str | None:
    """The number of the row in PostgreSQL's CONTEXT: `COPY users, line 3, column email: "x"`.

    A row is a line, in both formats. The words are in the language of the server's messages.
    """
    begin = f"COPY {table.name}, "
    line = next((line for line in context.splitlines() if line.startswith(begin)), "")
    place = line.removeprefix(begin).partition(",")[0].partition(":")[0]
    return "".join(filter(str.isdecimal, place)) or None

"""The data of one COPY, made from its rows, and errors that name the row and the column."""

from __future__ import annotations

import logging
import re
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.abc import AdaptContext
from psycopg.sql import SQL, Identifier

from rowsmith.copy.formats import choose_format
from rowsmith.copy.records import Records, field_names
from rowsmith.copy.tables import Table

logger = logging.getLogger("rowsmith.copying")

FIRST_ROWS = 64
"""How many rows the format is chosen by."""
_MOST_ROWS = 512
_CHUNK_BYTES = 64 * 1024
"""How much data is sent at once, roughly. psycopg would split 128 KiB and more."""


class Encoder:
    """Makes the data of a COPY, chunk by chunk.

    `name` is what the user calls the table. `rows` are the first rows, at least one: they decide on the columns and the
    format, and are not written yet. `context` is the cursor of the COPY, on which dumpers are registered.

    Raises ValueError or TypeError for columns that do not exist, and for what is not a row.
    """

    def __init__(
        self, name: str, table: Table, columns: Sequence[str] | None, rows: list[Any], context: AdaptContext
    ) -> None:
        self._name = name
        self._done = 0
        with _located(f"copy_rows() into {name}: row 1"):
            fields = field_names(rows[0]) if columns is None else None
        self._columns = table.choose(columns, fields)
        names = [column.name for column in self._columns]
        self._records = Records(names, fields, [other for other in table.columns if other not in names])
        try:
            self._format = choose_format([column.type for column in self._columns], self._records.values(rows), context)
        except Exception:
            list(self._check(rows))
            raise
        self._data = bytearray(self._format.begin)
        options = SQL(" (FORMAT BINARY)" if self._format.binary else "")
        self.statement = SQL("COPY {} ({}) FROM STDIN{}").format(
            Identifier(table.schema, table.name), SQL(", ").join(map(Identifier, names)), options
        )
        """The statement that takes the data."""
        self.wanted = FIRST_ROWS
        """How many rows to add next, for about one chunk of data."""

    def add(self, rows: list[Any]) -> bytes | bytearray:
        """Add rows, and return the data to send: a chunk, or nothing yet. Errors name the row and the column."""
        size = len(self._data)
        try:
            self._format.write(self._records.values(rows), self._data)
        except Exception:
            self._explain(rows)
            raise
        self._done += len(rows)
        self.wanted = max(1, min(_MOST_ROWS, len(rows) * _CHUNK_BYTES // (len(self._data) - size + 1)))
        if len(self._data) < _CHUNK_BYTES // 2:
            return b""
        data, self._data = self._data, bytearray()
        return data

    def end(self) -> bytes | bytearray:
        """The rest of the data."""
        return self._data + self._format.end

    def _explain(self, rows: list[Any]) -> None:
        """Raise the error of the first row that is wrong, or of the first wrong value in it."""
        for place, values in self._check(rows):
            for index, (column, value) in enumerate(zip(self._columns, values, strict=True)):
                with _located(f"{place}, column {column.name} ({column.declared})"):
                    if value is not None:
                        self._format.check(index, value)

    def _check(self, rows: list[Any]) -> Iterator[tuple[str, Sequence[Any]]]:
        """The place of each row, for errors, and its values. Raises what is wrong with a row."""
        for number, row in enumerate(rows, self._done + 1):
            place = f"copy_rows() into {self._name}: row {number}"
            with _located(place):
                values = self._records.check(row)
            yield place, values


@contextmanager
def _located(place: str) -> Generator[None]:
    """Put the place of an error into its message, or, where it is not a TypeError or ValueError, into a note."""
    try:
        yield
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{place}: {error}") from error
    except Exception as error:
        error.add_note(place)
        raise


def report(name: str, table: Table | None, error: Exception) -> None:
    """Log that a COPY failed, and add a note to an error of psycopg's: the user's name of the table, and the row.

    The log has the SQLSTATE and not the message, because PostgreSQL quotes values in its messages.
    """
    if isinstance(error, psycopg.Error):
        # PostgreSQL says `COPY users, line 3, column email: "x"`, in any language. A line is a row, in both formats.
        begin = f"COPY {'' if table is None else re.escape(table.name)}, "
        line = re.search(rf"^{begin}[^,:\d]*(\d+)", error.diag.context or "", re.MULTILINE)
        error.add_note(f"in copy_rows() into {name}" + (f", row {line[1]}" if line else ""))
    code = getattr(error, "sqlstate", None) or type(error).__name__
    logger.error("copy into %s failed: %s", name, code)

"""The rows of one COPY as its data, and the errors that say which row and which column is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import psycopg
from psycopg.abc import AdaptContext
from psycopg.sql import SQL, Identifier

from rowsmith.copy.binary import BinaryFormat, are_for_binary, binary_way
from rowsmith.copy.records import Records, field_names
from rowsmith.copy.text import TextFormat
from rowsmith.values.tables import Column, Table

FIRST_ROWS = 64
"""How many rows are looked at before the format is chosen."""
_MOST_ROWS = 512
_CHUNK_BYTES = 64 * 1024
"""How much data is sent at once, more or less. From 128 KiB on, psycopg would cut it in pieces."""


class Encoder:
    """Makes the data of a COPY, chunk by chunk.

    `name` is what the user calls the table. `rows` are the first ones, of which there is one at least; they are only
    looked at. `context` is the COPY's cursor: dumpers are registered on it.

    Raises ValueError or TypeError for columns that are not there, and for rows that are no rows.
    """

    def __init__(
        self, name: str, table: Table, columns: Sequence[str] | None, rows: list[Any], context: AdaptContext
    ) -> None:
        self._name = name
        self._done = 0
        fields = self._fields(rows[0]) if columns is None else None
        self._columns = _chosen(table, columns, fields)
        names = [column.name for column in self._columns]
        self._records = Records(names, fields, [other for other in table.columns if other not in names])
        self._format = self._choose_format(table, rows, context)
        self._data = bytearray(self._format.begin)
        self.statement = SQL("COPY {} ({}) FROM STDIN{}").format(
            Identifier(table.schema, table.name), SQL(", ").join(map(Identifier, names)), SQL(self._format.options)
        )
        """The statement that the data is for."""
        self.wanted = FIRST_ROWS
        """How many rows to add next, for about one chunk of data."""

    def add(self, rows: list[Any]) -> bytes | bytearray:
        """Add rows; the data to be sent now, if it has come to a chunk.

        Raises TypeError or ValueError for a value that cannot be written, or what psycopg or the class of a row raises,
        with a note. After that, no more rows can be added.
        """
        size = len(self._data)
        try:
            self._format.write(self._records.values(rows), self._data)
        except Exception:
            self._explain(rows)
            raise
        self._done += len(rows)
        self.wanted = max(1, min(_MOST_ROWS, len(rows) * _CHUNK_BYTES // (len(self._data) - size + 1)))
        return self._taken() if len(self._data) > _CHUNK_BYTES // 2 else b""

    def end(self) -> bytes | bytearray:
        """The data that is left."""
        self._data += self._format.end
        return self._taken()

    def _taken(self) -> bytearray:
        data, self._data = self._data, bytearray()
        return data

    def _fields(self, row: Any) -> tuple[str, ...] | None:
        try:
            return field_names(row)
        except TypeError as error:
            raise TypeError(f"{self._place(1)} {error}") from None

    def _choose_format(self, table: Table, rows: list[Any], context: AdaptContext) -> BinaryFormat | TextFormat:
        """Text also where a value asks for it: texts for columns of other types, as a CSV file has, for example."""
        values = self._first_values(rows)
        ways = [binary_way(table, column.type, context.adapters) for column in self._columns]
        right = [way for way in ways if way is not None]
        if len(right) == len(ways) and are_for_binary(right, values, context.adapters):
            return BinaryFormat(right, context)
        return TextFormat(table, self._columns, context)

    def _first_values(self, rows: list[Any]) -> Sequence[Sequence[Any]]:
        with suppress(Exception):
            values = self._records.values(rows)
            if set(map(len, values)) == {len(self._columns)}:
                return values
        return [self._checked(self._place(number), row) for number, row in enumerate(rows, 1)]  # raises what is wrong

    def _explain(self, rows: list[Any]) -> None:
        """Raise what is wrong with the first wrong row, or with the first wrong value in it."""
        for number, row in enumerate(rows, self._done + 1):
            place = self._place(number)
            self._explain_values(place, self._checked(place, row))

    def _checked(self, place: str, row: Any) -> Sequence[Any]:
        try:
            return self._records.check(row)
        except TypeError as error:
            raise TypeError(f"{place} {error}") from error.__cause__
        except ValueError as error:
            raise ValueError(f"{place} {error}") from error.__cause__
        except Exception as error:
            error.add_note(place)
            raise

    def _explain_values(self, place: str, values: Sequence[Any]) -> None:
        for index, (column, value) in enumerate(zip(self._columns, values, strict=True)):
            try:
                if value is not None:
                    self._format.check(index, value)
            except psycopg.Error as error:
                error.add_note(f"{place}, column {column.name} ({column.declared})")
                raise
            except Exception as error:
                kind = TypeError if isinstance(error, TypeError) else ValueError
                raise kind(f"{place}, column {column.name} ({column.declared}): {error}") from error

    def _place(self, number: int) -> str:
        return f"copy_rows() into {self._name}: row {number}"


def _chosen(table: Table, columns: Sequence[str] | None, fields: Sequence[str] | None) -> list[Column]:
    """The columns to be written: those chosen, else those of the first row's fields, else those of a plain row.

    A model of a whole row has the generated columns as well, and they are not written. Raises ValueError.
    """
    if columns is not None:
        chosen = table.pick(columns)
    elif fields is not None:
        chosen = [column for column in table.pick(fields) if not column.generated]
    else:
        chosen = table.defaults
    if not chosen:
        raise ValueError(f"no columns of {table.name} to write")
    return chosen

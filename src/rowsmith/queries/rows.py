"""The rows of a query: how they are made of the values of its columns."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import NoneType
from typing import Any, get_args

import psycopg

from rowsmith.errors import QueryFileError, ResultShapeError
from rowsmith.findings import Finding, Rule
from rowsmith.queries.constructors import Constructor, of_class, of_exact, of_tuple, of_value
from rowsmith.queries.marks import ROWS, Kind
from rowsmith.queries.query import Query
from rowsmith.values.codecs import Context, codec, fields_of

Rows = Callable[[tuple[str, ...], Context], Constructor]
"""How the rows of a query are made, given the names of the columns and the connection that the values come from."""


def rows_of(query: Query, record_classes: Mapping[str, Any]) -> Rows:
    """The rows of a query without a generated module: its record class, called with the columns as keyword arguments.

    Without a record class they are named tuples. Raises QueryFileError if the record class is none of `record_classes`.
    """
    if query.kind is Kind.VALUE:
        return lambda _names, _context: of_value(None)
    if query.record_class is None:
        return lambda names, _context: of_tuple(_named_tuple(names), len(names))
    if query.record_class not in record_classes:
        known = ", ".join(sorted(record_classes)) or "none"
        message = f"{query.name} has the record class {query.record_class}, which is not in record_classes"
        hint = f"Given: {known}"
        raise QueryFileError([Finding(Rule.QUERY_FILE, query.file, query.line, message, hint)])
    make = record_classes[query.record_class]
    return lambda names, _context: of_class(make, names, {})


def exact_rows(query: Query, result: Any) -> tuple[Rows, list[str]]:
    """The rows of a generated module's query, by the annotation of its result; the columns that are enumerations."""
    if query.kind not in ROWS:
        return lambda _names, context: of_value(codec(result).reader(context)), []
    row = next(each for each in (*get_args(result), result) if each is not NoneType)
    fields = fields_of(row)

    def rows(names: Sequence[str], context: Context) -> Constructor:
        columns = [unmarked(name) for name in names]
        codecs = ((index, fields.get(name)) for index, name in enumerate(columns))
        reads = {index: read for index, codec in codecs if codec and (read := codec.reader(context))}
        try:
            return of_exact(row, columns, reads)
        except TypeError as error:
            raise ResultShapeError(
                f"{query.qualified_name} ({query.location}): {error}. The tables have changed since the module was "
                "generated: run `rowsmith generate`"
            ) from None

    return rows, [name for name, codec in fields.items() if codec.is_label]


@cache
def _named_tuple(names: tuple[str, ...]) -> type[tuple[Any, ...]]:
    fields = [_identifier(name) for name in names]
    try:
        return namedtuple("Row", fields)  # noqa: PYI024  # pyright: ignore[reportUntypedNamedTuple] - its types are not known
    except ValueError as error:
        raise psycopg.DataError(f"can't create a namedtuple row: {error}") from None


def _identifier(column: str) -> str:
    """A column's name as a field's, by the rules of psycopg's namedtuple_row."""
    name = column if column.isidentifier() or not column[0].isdigit() else f"f{column}"
    name = "".join(letter if f"a{letter}".isidentifier() else "_" for letter in name)
    return f"f{name}" if name.startswith("_") else name


def unmarked(name: str) -> str:
    """The name of a column, without the mark that says whether it can be NULL: `AS "total!"`.

    `?column?` is PostgreSQL's name for a column that has none.
    """
    return name[:-1] if name.endswith(("!", "?")) and name != "?column?" else name

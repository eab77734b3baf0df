"""The rows of a result: how each is read, and whether they fit the query's mark."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from psycopg.rows import BaseRowFactory, RowMaker, class_row, namedtuple_row, scalar_row

from rowsmith.errors import QueryFileError, ResultShapeError, RowCountError
from rowsmith.queries.conversions import Codec, Context
from rowsmith.queries.query import Kind, Query

_AT_MOST_ONE = {Kind.ONE: "^", Kind.VALUE: "$", Kind.RETURNING: "<!"}


def row_factory(query: Query, record_classes: Mapping[str, Any]) -> BaseRowFactory[Any]:
    """How a row of the query is built: its record class, called with the columns by name, else a named tuple.

    Raises QueryFileError if the record class is none of `record_classes`.
    """
    if query.kind is Kind.VALUE:
        return scalar_row
    if query.record_class is None:
        return namedtuple_row
    if query.record_class not in record_classes:
        known = ", ".join(sorted(record_classes)) or "none"
        fault = f"{query.location}: {query.name} has the record class {query.record_class}"
        raise QueryFileError([f"{fault}, which load_queries(record_classes=...) was not given. Given: {known}"])
    return class_row(record_classes[query.record_class])


def typed_row_factory(query: Query, row: Callable[..., Any] | None, codecs: Mapping[str, Codec]) -> BaseRowFactory[Any]:
    """How a row of a generated module's query is built: `row` called with the columns by name, each read by its codec.

    Without `row` it is the first value: that of a `$` query, or of one that returns no rows at all.
    """

    def factory(cursor: Any) -> RowMaker[Any]:
        if cursor.description is None:  # no rows come
            return tuple
        names = [unmarked(column.name) for column in cursor.description]
        if row is None:
            read = next(iter(codecs.values()), None)
            return _first_value(read, cursor)
        readers = [(index, codecs[name]) for index, name in enumerate(names) if name in codecs]
        return _row_by_name(row, names, readers, cursor)

    return factory


def _first_value(codec: Codec | None, cursor: Any) -> RowMaker[Any]:
    if codec is None:
        return lambda values: values[0]
    read, context = codec.read, Context(cursor.connection)
    return lambda values: None if values[0] is None else read(values[0], context)


def _row_by_name(
    row: Callable[..., Any], names: list[str], codecs: list[tuple[int, Codec]], cursor: Any
) -> RowMaker[Any]:
    if not codecs:
        return lambda values: row(**dict(zip(names, values, strict=True)))
    context = Context(cursor.connection)

    def make(values: Sequence[Any]) -> Any:
        columns = dict(zip(names, values, strict=True))
        for index, codec in codecs:
            if values[index] is not None:
                columns[names[index]] = codec.read(values[index], context)
        return row(**columns)

    return make


def unmarked(name: str) -> str:
    """The name of a column, without the mark that says whether it can be NULL: `AS "total!"`.

    `?column?` is PostgreSQL's name for a column that has none.
    """
    return name[:-1] if name.endswith(("!", "?")) and name != "?column?" else name


def check_shape(query: Query, columns: int, rows: int, status: str | None) -> None:
    """Raise RowCountError or ResultShapeError unless a result fits the query's mark.

    `columns` is 0 for a statement that returns no rows; `status` is its command tag, such as `UPDATE 1`. Asked before
    a row is read, so that a million rows are refused as quickly as two.
    """
    name = f"{query.qualified_name} ({query.location})"
    if query.kind is Kind.AFFECTED:
        if columns:
            raise ResultShapeError(f"{name} is marked ! but returns rows. Take no mark, ^, $ or <!")
    elif not columns:
        raise ResultShapeError(f"{name} returned no rows to read ({status}). Mark it with !")
    elif query.kind is Kind.VALUE and columns > 1:
        raise ResultShapeError(f"{name} is marked $ but returns {columns} columns. Mark it with ^")
    elif query.kind in _AT_MOST_ONE and rows > 1:
        raise RowCountError(
            f"{name} promises at most one row ({_AT_MOST_ONE[query.kind]}) but found {rows}. "
            "Narrow it down to a unique key, add LIMIT 1, or take no mark to get a list"
        )

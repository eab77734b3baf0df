"""The results of a query: what a call returns, by the query's mark, and whether the result fits the mark."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from psycopg.abc import Transformer
from psycopg.pq.abc import PGresult

from rowsmith.errors import ResultShapeError, RowCountError
from rowsmith.queries.marks import AT_MOST_ONE_ROW, MARKS, Kind, misfit
from rowsmith.queries.query import Query
from rowsmith.values.constructors import Constructor


def column_names(result: PGresult, encoding: str) -> tuple[str, ...]:
    """The names of a result's columns."""
    return tuple((result.fname(index) or b"").decode(encoding) for index in range(result.nfields))


class Reader(NamedTuple):
    """Turns a result into what a call of the query returns, in two steps.

    The first step holds the connection's lock. The second one may run the user's code, which may use the connection.
    """

    load: Callable[[PGresult], Any]
    """The values of the result, None if there is no row. Raises RowCountError or ResultShapeError if it does not fit
    the query's mark."""
    make: Callable[[Any], Any]
    """What the call returns, from these values."""


def reader(query: Query, transformer: Transformer, constructor: Constructor | None) -> Reader:
    """The reader of a query's results.

    `transformer` has the loaders of its columns; `constructor` is None for a statement that returns no rows.
    """
    if query.kind is Kind.AFFECTED and constructor is None:
        return Reader(affected, int)
    if constructor is None or query.kind is Kind.AFFECTED:
        return Reader(_misfit(query), int)
    if query.kind is Kind.MANY:
        return Reader(_many(transformer), constructor.rows)
    return Reader(_one(query, transformer), constructor.row)


def affected(result: PGresult) -> int:
    """The number of rows that a statement affected, -1 if its command tag has none."""
    count = result.command_tuples
    return -1 if count is None else count


def _many(transformer: Transformer) -> Callable[[PGresult], Any]:
    def load(result: PGresult) -> list[Any]:
        transformer.set_pgresult(result, set_loaders=False)
        try:
            return transformer.load_rows(0, result.ntuples, tuple)
        finally:
            transformer.set_pgresult(None, set_loaders=False)  # it would keep the result until the next one

    return load


def _one(query: Query, transformer: Transformer) -> Callable[[PGresult], Any]:
    misfit, set_result, load_row = _misfit(query), transformer.set_pgresult, transformer.load_row

    def load(result: PGresult) -> Any:
        if result.ntuples == 1:
            set_result(result, set_loaders=False)
            try:
                return load_row(0, tuple)
            finally:
                set_result(None, set_loaders=False)  # it would keep the result until the next one
        return None if result.ntuples == 0 else misfit(result)

    if query.kind is Kind.VALUE:
        return lambda result: load(result) if result.nfields == 1 else misfit(result)
    return load


def _misfit(query: Query) -> Callable[[PGresult], None]:
    def refuse(result: PGresult) -> None:
        check_shape(query, result.nfields, result.ntuples, (result.command_status or b"").decode())

    return refuse


def check_shape(query: Query, columns: int, rows: int, status: str) -> None:
    """Raise RowCountError or ResultShapeError unless a result fits the query's mark.

    `columns` is 0 for a statement that returns no rows; `status` is its command tag, such as `UPDATE 1`. Called before
    a row is read, so that a million rows are refused as quickly as two.
    """
    name = f"{query.qualified_name} ({query.location})"
    if found := misfit(query.kind, columns):
        tag = "" if columns else f" ({status})"
        raise ResultShapeError(f"{name} {found.message}{tag}. {found.hint}")
    if query.kind in AT_MOST_ONE_ROW and rows > 1:
        raise RowCountError(
            f"{name} promises at most one row ({MARKS[query.kind]}) but found {rows}. "
            "Narrow it down to a unique key, add LIMIT 1, or remove the mark to get a list"
        )

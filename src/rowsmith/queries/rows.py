"""The rows of a query: how they are made of the values of its columns."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from inspect import get_annotations
from itertools import chain, count, pairwise
from types import NoneType
from typing import Any, NamedTuple, NoReturn, get_args

import psycopg

from rowsmith.errors import QueryFileError, ResultShapeError, UnexpectedNullError
from rowsmith.findings import Finding, Rule
from rowsmith.queries.lexer import tokenize
from rowsmith.queries.marks import ROWS, Kind
from rowsmith.queries.query import Query, is_python_name
from rowsmith.values.codecs import Context, codec, fields_of, is_json, may_be_nested
from rowsmith.values.constructors import Constructor, Refusals, of_class, of_exact, of_tuple, of_value

VALUE = ""
"""The name of the only column of a query for one value, whatever it is called in the result."""
Rows = Callable[[tuple[str, ...], Context], Constructor]
"""How the rows of a query are made, given the names of the columns and the connection that the values come from."""


def rows_of(query: Query, record_classes: Mapping[str, Any]) -> Rows:
    """The rows of a query without a generated module: its record class, called with the columns as keyword arguments.

    Without a record class they are named tuples. Raises QueryFileError if the record class is none of `record_classes`.
    """
    if query.kind is Kind.VALUE:
        return lambda _names, _context: of_value(None, {})
    if query.record_class is None:
        return lambda names, _context: of_tuple(_named_tuple(_distinct(query, names)), len(names))
    if query.record_class not in record_classes:
        known = ", ".join(sorted(record_classes)) or "none"
        message = f"{query.name} has the record class {query.record_class}, which is not in record_classes"
        hint = f"Given: {known}"
        raise QueryFileError([Finding(Rule.QUERY_FILE, query.file, query.line, message, hint)])
    make = record_classes[query.record_class]
    return lambda names, _context: of_class(make, _named(query, names), {}, {})


class ExactRows(NamedTuple):
    """The rows of a generated module's query."""

    make: Rows
    enums: frozenset[str] = frozenset()
    """The columns that are enumerations."""
    nested: frozenset[str] = frozenset()
    """The columns whose values may be rows, or lists."""


def exact_rows(query: Query, result: Any) -> ExactRows:
    """The rows of a generated module's query, by the annotation of its result."""
    if query.kind not in ROWS:
        return _exact_values(query, result)
    row = next(each for each in (*get_args(result), result) if each is not NoneType)
    fields, annotations = fields_of(row), get_annotations(row, eval_str=True)

    def rows(names: Sequence[str], context: Context) -> Constructor:
        columns = field_names(names)
        codecs = ((index, fields.get(name)) for index, name in enumerate(columns))
        reads = {index: read for index, codec in codecs if codec and (read := codec.reader(context))}
        refusals = _refusals(query, names, [annotations.get(name, NoneType) for name in columns])
        try:
            return of_exact(row, columns, reads, refusals)
        except TypeError as error:
            raise ResultShapeError(
                f"{query.qualified_name} ({query.location}): {error}. The tables have changed since the module was "
                "generated: run `rowsmith generate`"
            ) from None

    enums = frozenset(name for name, codec in fields.items() if codec.is_label)
    return ExactRows(rows, enums, frozenset(name for name, each in annotations.items() if may_be_nested(each)))


def _exact_values(query: Query, result: Any) -> ExactRows:
    def rows(names: Sequence[str], context: Context) -> Constructor:
        return of_value(codec(result).reader(context), _refusals(query, names, [result]))

    return ExactRows(rows, nested=frozenset({VALUE} if may_be_nested(result) else ()))


def _refusals(query: Query, names: Sequence[str], annotations: Sequence[Any]) -> Refusals:
    """What raises for NULL in the columns that the query declares to be never NULL: `AS "first!"`.

    A column of a table may have such a name, too, and be NULL. Then it is no alias, and its annotation has None.
    """
    marked = [(index, unmarked(name)) for index, name in enumerate(names) if name.endswith("!")]
    return {
        index: partial(_refuse, query, name)
        for index, name in marked
        if not is_json(annotations[index])  # its null is None as well
        and (NoneType not in get_args(annotations[index]) or _is_alias(query, f'"{name}!"'))
    }


def _is_alias(query: Query, name: str) -> bool:
    words = [token.text for token in tokenize(query.sql) if not token.blank]
    return any(word.lower() == "as" and following == name for word, following in pairwise(words))


def _refuse(query: Query, name: str) -> NoReturn:
    raise UnexpectedNullError(
        f'{query.qualified_name} ({query.location}): the column {name} is NULL, but AS "{name}!" declares that it '
        "never is. Remove the mark, or leave out the row"
    )


def _named(query: Query, names: tuple[str, ...]) -> tuple[str, ...]:
    """The names of columns that become keyword arguments. Raises ResultShapeError if one has none."""
    if NO_NAME in names:
        raise ResultShapeError(
            f"{query.qualified_name} ({query.location}): column {names.index(NO_NAME) + 1} of the result has no name, "
            f"and the record class {query.record_class} needs one. Name it with AS"
        )
    return _distinct(query, names)


def _distinct(query: Query, names: tuple[str, ...]) -> tuple[str, ...]:
    """The names of columns. Raises ResultShapeError if two are the same, or two have none."""
    for number, name in enumerate(names, 1):
        if (first := names.index(name) + 1) != number:
            what = "have no name" if name == NO_NAME else f"are both named {name}"
            raise ResultShapeError(
                f"{query.qualified_name} ({query.location}): columns {first} and {number} of the result {what}. "
                "Name each with AS, so that a row can have both"
            )
    return names


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


NO_NAME = "?column?"
"""What PostgreSQL calls a column without a name."""


def field_names(columns: Sequence[str]) -> list[str]:
    """The names of a row's fields: those of the columns without their marks.

    If that is not a name in Python, `column_2` for the second column; if an earlier column has it, `id_2`.
    """
    names = [unmarked(column) for column in columns]
    taken = {name for name in names if _is_field(name)}
    seen = set[str]()
    for index, name in enumerate(names):
        if not _is_field(name):
            names[index] = _free(f"column_{index + 1}", taken)
        elif name in seen:
            names[index] = _free(name, taken)
        seen.add(name)
    return names


def _is_field(name: str) -> bool:
    is_dunder = name.startswith("__") and name.endswith("__")
    return is_python_name(name) and not is_dunder


def _free(name: str, taken: set[str]) -> str:
    """The name, or with the first number from 2 that makes it one which is not taken. It is taken then."""
    numbered = (f"{name}_{number}" for number in count(2))
    free = next(each for each in chain([name], numbered) if each not in taken)
    taken.add(free)
    return free


def unmarked(name: str) -> str:
    """The name of a column, without the mark that says whether it can be NULL: `AS "total!"`."""
    return name[:-1] if name.endswith(("!", "?")) and name != NO_NAME else name

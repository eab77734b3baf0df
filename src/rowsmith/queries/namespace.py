"""The queries object: query functions by name, sub-folders as attributes."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FunctionType
from typing import Any, Protocol, cast

from psycopg import AsyncConnection, Connection
from psycopg.rows import BaseRowFactory

from rowsmith.queries.conversions import Codec
from rowsmith.queries.execution import execute
from rowsmith.queries.execution_async import execute_async
from rowsmith.queries.loader import read_queries
from rowsmith.queries.query import Kind, Query, QueryFunction
from rowsmith.queries.rows import row_factory


def load_queries(path: str | Path, *, record_classes: Mapping[str, Any] | None = None) -> Queries:
    """Load a `.sql` file, or every one in a folder, into an object with a function for each query.

    `record_classes` gives the classes that `-- record_class: NAME` lines name: dataclasses, named tuples, pydantic
    models, anything that takes the columns as keyword arguments. `vars(module)` serves as well.

    Raises QueryFileError, which lists every fault with its file and line.
    """
    queries = Queries("queries")
    for query in read_queries(Path(path)):
        add_query(queries, query, bind(query, row_factory(query, record_classes or {})))
    return queries


class Queries:
    """Query functions by name: `queries.get_user_by_email(conn, email=...)`; a sub-folder is an attribute.

    A function takes a psycopg connection and the parameters by keyword. With a `Connection` it returns the result,
    with an `AsyncConnection` an awaitable of it. Iterating over the object gives every query in it.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        known = [member for member in vars(self) if not member.startswith("_")]
        near = difflib.get_close_matches(name, known, 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise AttributeError(f"{self._name} has no query {name!r}.{hint}", name=name, obj=self)

    def __iter__(self) -> Iterator[Query]:
        for member in vars(self).values():
            if isinstance(member, Queries):
                yield from member
            elif not isinstance(member, str):
                yield member.query

    def __repr__(self) -> str:
        return f"<Queries {self._name}: {', '.join(query.qualified_name for query in self)}>"


def add_query(queries: Queries, query: Query, function: QueryFunction) -> None:
    """Put a function in its place. The loader has seen to it that the place is free.

    No method of `Queries`: those would be hidden by a query of their name.
    """
    home = queries
    for part in query.namespace:
        home = vars(home).setdefault(part, Queries(part))
    vars(home)[query.name] = function


def bind(query: Query, rows: BaseRowFactory[Any], codecs: Mapping[str, Codec] | None = None) -> QueryFunction:
    """The function that runs the query. In a traceback it stands in the query file, at the query's line.

    `codecs` make of a parameter's value what psycopg is to be given.
    """
    values = _written(query, codecs) if codecs else _values
    function = _many(query, rows, values) if query.kind is Kind.EXECUTEMANY else _single(query, rows, values)
    function.__code__ = function.__code__.replace(
        co_filename=str(query.file),
        co_firstlineno=query.line - 1,  # the body, one line further down, is then at the name line
        co_name=query.name,
        co_qualname=query.qualified_name,
    )
    function.__name__ = query.name
    function.__qualname__ = query.qualified_name
    function.__doc__ = query.doc or None
    vars(function).update(__signature__=query.signature, query=query, sql=query.sql)
    return cast("QueryFunction", function)


def _single(query: Query, rows: BaseRowFactory[Any], values: _Values) -> FunctionType:
    def call(conn: object, /, **parameters: Any) -> Any:
        return _execute(query, conn, values(query, parameters), rows)

    return cast("FunctionType", call)


def _many(query: Query, rows: BaseRowFactory[Any], values: _Values) -> FunctionType:
    def call(conn: object, sets: Iterable[Mapping[str, Any]], /) -> Any:
        return _execute(query, conn, [values(query, one, index) for index, one in enumerate(sets)], rows)

    return cast("FunctionType", call)


def _execute(query: Query, conn: object, values: Sequence[Any], rows: BaseRowFactory[Any]) -> Any:
    # isinstance() cannot tell pyright the row type of the connection; the cursor of a query sets its own.
    if isinstance(conn, Connection):
        return execute(query, conn, values, rows)  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(conn, AsyncConnection):
        return execute_async(query, conn, values, rows)  # pyright: ignore[reportUnknownArgumentType]
    raise TypeError(
        f"{query.name}() takes a psycopg Connection or AsyncConnection first, not {type(conn).__name__}. "
        "Get one from `with transaction() as conn:` or `with connection() as conn:`"
    )


class _Values(Protocol):
    def __call__(self, query: Query, parameters: Mapping[str, Any], index: int | None = None) -> list[Any]: ...


def _written(query: Query, codecs: Mapping[str, Codec]) -> _Values:
    writers = [(index, codecs[name].write) for index, name in enumerate(query.parameters) if name in codecs]

    def written(query: Query, parameters: Mapping[str, Any], index: int | None = None) -> list[Any]:
        values = _values(query, parameters, index)
        for place, write in writers:
            if values[place] is not None:
                values[place] = write(values[place])
        return values

    return written


def _values(query: Query, parameters: Mapping[str, Any], index: int | None = None) -> list[Any]:
    """The values in the order of the query's parameters. Raises TypeError for a missing or an unknown one."""
    if len(parameters) == len(query.parameters):
        try:
            return [parameters[name] for name in query.parameters]
        except KeyError:
            pass  # reported below, with all else that does not fit
    place = "" if index is None else f" in set {index}"
    raise TypeError(f"{query.name}(){place}: {_mismatch(query, parameters)} ({query.location})")


def _mismatch(query: Query, parameters: Mapping[str, Any]) -> str:
    missing = [name for name in query.parameters if name not in parameters]
    unknown = [name for name in parameters if name not in query.parameters]
    faults = [f"missing parameter {', '.join(missing)}"] if missing else []
    for name in unknown:
        near = difflib.get_close_matches(name, missing or query.parameters, 1)
        faults.append(f"unknown parameter {name}" + (f" (did you mean {near[0]}?)" if near else ""))
    return f"{'; '.join(faults)}. It takes: {', '.join(query.parameters) or 'none'}"

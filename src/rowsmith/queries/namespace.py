"""The queries object: query functions by name, sub-folders as attributes."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from inspect import Signature
from operator import itemgetter
from pathlib import Path
from typing import Any, cast

from rowsmith.queries.calls import run, stream
from rowsmith.queries.marks import Kind
from rowsmith.queries.query import Query, QueryFunction
from rowsmith.queries.rows import rows_of
from rowsmith.queries.statement import BoundQuery
from rowsmith.values.codecs import Writer


def load_queries(path: str | Path, *, record_classes: Mapping[str, Any] | None = None) -> Queries:
    """Load a `.sql` file, or every one in a folder, into an object with a function for each query.

    `record_classes` has the classes that `-- record_class: NAME` lines name: dataclasses, named tuples, pydantic
    models, or anything else that takes the columns as keyword arguments. `vars(module)` works too.

    Raises QueryFileError, which lists every fault with its file and line.
    """
    from rowsmith.queries.loader import read_queries  # noqa: PLC0415 - with aiosql, which only reads files

    queries = Queries("queries")
    for query in read_queries(Path(path)):
        add_query(queries, query, bind(BoundQuery(query, rows_of(query, record_classes or {}))))
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
    """Add a query's function under its namespace. The loader has checked that the name is free.

    This is not a method of `Queries`: a query with its name would hide it.
    """
    home = queries
    for part in query.namespace:
        home = vars(home).setdefault(part, Queries(part))
    vars(home)[query.name] = function


def bind(
    bound: BoundQuery, signature: Signature | None = None, writers: Mapping[str, Writer] | None = None
) -> QueryFunction:
    """The function that runs the query. A traceback shows it in the query file, at the query's line.

    `writers` make the values of parameters, by their names, ready for psycopg.
    """
    query, values = bound.query, _values(bound.query, writers or {})

    def call(conn: Any, /, **parameters: Any) -> Any:
        return run(bound, conn, values(parameters))

    def call_stream(conn: Any, /, **parameters: Any) -> Any:
        return stream(bound, conn, values(parameters))

    def call_many(conn: Any, sets: Iterable[Mapping[str, Any]], /) -> Any:
        return run(bound, conn, [values(one, index) for index, one in enumerate(sets)])

    function: Any = call_many if query.kind is Kind.EXECUTEMANY else call
    if query.kind is Kind.MANY:
        function.stream = _placed(call_stream, query, signature)
    return cast("QueryFunction", _placed(function, query, signature))


def _placed(function: Any, query: Query, signature: Signature | None) -> Any:
    function.__code__ = function.__code__.replace(
        co_filename=str(query.file),
        co_firstlineno=query.line - 1,  # so that the body, one line below, is at the name line
        co_name=query.name,
        co_qualname=query.qualified_name,
    )
    function.__name__ = query.name
    function.__qualname__ = query.qualified_name
    function.__doc__ = query.doc or None
    function.__signature__, function.query, function.sql = signature or query.signature, query, query.sql
    return function


def _values(query: Query, writers: Mapping[str, Writer]) -> Callable[..., Sequence[Any]]:
    """The function that puts the values of a call in the order of the query's parameters, ready for psycopg.

    It raises TypeError for a missing or an unknown one.
    """
    names = query.parameters
    pick, count = _picker(names), len(names)
    writes = [(index, writers[name]) for index, name in enumerate(names) if name in writers]

    def values(parameters: Mapping[str, Any], index: int | None = None) -> Sequence[Any]:
        try:
            picked = pick(parameters)
        except KeyError:
            raise _mismatch(query, parameters, index) from None
        if len(parameters) != count:
            raise _mismatch(query, parameters, index)
        if not writes:
            return picked
        written = list(picked)
        for number, write in writes:
            if written[number] is not None:
                written[number] = write(written[number])
        return written

    return values


def _picker(names: Sequence[str]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    """A function that takes the values of these names out of a mapping, in this order."""
    if len(names) > 1:
        return itemgetter(*names)
    if not names:
        return lambda _: ()
    (name,) = names
    return lambda parameters: (parameters[name],)


def _mismatch(query: Query, parameters: Mapping[str, Any], index: int | None) -> TypeError:
    missing = [name for name in query.parameters if name not in parameters]
    unknown = [name for name in parameters if name not in query.parameters]
    faults = [f"missing parameter {', '.join(missing)}"] if missing else []
    for name in unknown:
        near = difflib.get_close_matches(name, missing or query.parameters, 1)
        faults.append(f"unknown parameter {name}" + (f" (did you mean {near[0]}?)" if near else ""))
    place = "" if index is None else f" in set {index}"
    takes = ", ".join(query.parameters) or "none"
    return TypeError(f"{query.name}(){place}: {'; '.join(faults)}. It takes: {takes} ({query.location})")

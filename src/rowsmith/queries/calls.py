"""The function of a query: called with a connection, synchronous or asynchronous, and the parameters by keyword."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache
from inspect import Parameter, Signature
from operator import itemgetter
from typing import Any, NoReturn, cast

from psycopg import AsyncConnection, Connection

from rowsmith.queries.choice import choice
from rowsmith.queries.execution_async import execute_async
from rowsmith.queries.execution_sync import execute_sync
from rowsmith.queries.forms import Forms
from rowsmith.queries.marks import Kind
from rowsmith.queries.pages import Chosen, Pager
from rowsmith.queries.pages_async import page_async, pages_async
from rowsmith.queries.pages_sync import page_sync, pages_sync
from rowsmith.queries.query import Query, QueryFunction
from rowsmith.queries.statement import BoundQuery
from rowsmith.queries.streams_async import AsyncStream
from rowsmith.queries.streams_sync import Stream
from rowsmith.values.codecs import Writer


def bind(
    bound: BoundQuery,
    signature: Signature | None = None,
    writers: Mapping[str, Writer] | None = None,
    pager: Pager | None = None,
) -> QueryFunction:
    """The function that runs the query. A traceback shows it in the query file, at the query's line.

    It returns the result or, with an AsyncConnection, an awaitable of it, and raises TypeError for anything that is
    not a connection. `writers` make the values of parameters, by their names, ready for psycopg; `pager` makes the
    pages of a query that has any.
    """
    query = bound.query
    if query.forms is not None:
        return _bind_forms(bound, query.forms, signature, writers or {}, pager)
    values = _values(query, writers or {})

    def call(conn: Any, /, **parameters: Any) -> Any:
        return _execute(conn.__class__)(bound, conn, values(parameters))

    def call_stream(conn: Any, /, **parameters: Any) -> Any:
        return _stream(conn.__class__)(bound, conn, values(parameters))

    def call_many(conn: Any, sets: Iterable[Mapping[str, Any]], /) -> Any:
        return _execute(conn.__class__)(bound, conn, [values(one, index) for index, one in enumerate(sets)])

    function: Any = call_many if query.kind is Kind.EXECUTEMANY else call
    if query.kind is Kind.MANY:
        function.stream = _placed(call_stream, query, signature)
    if pager is not None:
        _add_pages(function, pager, lambda parameters: (bound, values(parameters)))
    return cast("QueryFunction", _placed(function, query, signature))


def _add_pages(function: Any, pager: Pager, choose: Callable[[Mapping[str, Any]], Chosen]) -> None:
    """Give a query's function those for one page, and for all of them."""

    def page(conn: Any, /, size: int, after: str | None = None, **parameters: Any) -> Any:
        run = _of_kind(conn.__class__, page_sync, page_async)
        return run(pager, choose(parameters), conn, size, after)

    def pages(conn: Any, /, size: int, after: str | None = None, **parameters: Any) -> Any:
        run = _of_kind(conn.__class__, pages_sync, pages_async)
        return run(pager, choose(parameters), conn, size, after)

    function.pager, function.page, function.pages = pager, page, pages


def _bind_forms(
    bound: BoundQuery,
    forms: Forms,
    signature: Signature | None,
    writers: Mapping[str, Writer],
    pager: Pager | None,
) -> QueryFunction:
    query, chosen = bound.query, choice(bound, forms, writers)

    def choose(arguments: Mapping[str, Any]) -> Chosen:
        try:
            return chosen(**arguments)
        except TypeError:
            if _takes(query, arguments):
                raise
            raise _mismatch(query, arguments, None) from None

    def call(conn: Any, /, **arguments: Any) -> Any:
        form, values = choose(arguments)
        return _execute(conn.__class__)(form, conn, values)

    def call_stream(conn: Any, /, **arguments: Any) -> Any:
        form, values = choose(arguments)
        return _stream(conn.__class__)(form, conn, values)

    function: Any = call
    if query.kind is Kind.MANY:
        function.stream = _placed(call_stream, query, signature)
    if pager is not None:
        _add_pages(function, pager, choose)
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
    count = len(names)
    only = names[0] if count == 1 else None
    pick = cast("Callable[[object], tuple[Any, ...]]", itemgetter(*names) if count > 1 else tuple)
    writes = [(index, writers[name]) for index, name in enumerate(names) if name in writers]

    def values(parameters: Mapping[str, Any], index: int | None = None) -> Sequence[Any]:
        try:
            picked = pick(parameters) if only is None else (parameters[only],)
        except KeyError:
            raise _mismatch(query, parameters, index) from None
        except TypeError:
            raise _no_mapping(query, parameters, index) from None
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


def _takes(query: Query, given: Collection[str]) -> bool:
    """Whether a call may pass just these arguments."""
    arguments = query.arguments
    return arguments.keys() >= set(given) >= {name for name in arguments if arguments[name] is Parameter.empty}


def _mismatch(query: Query, given: Collection[str], index: int | None) -> TypeError:
    arguments = query.arguments
    missing = [name for name, default in arguments.items() if default is Parameter.empty and name not in given]
    unknown = [name for name in given if name not in arguments]
    faults = [f"missing parameter {', '.join(missing)}"] if missing else []
    for name in unknown:
        near = difflib.get_close_matches(name, missing or arguments, 1)
        faults.append(f"unknown parameter {name}" + (f" (did you mean {near[0]}?)" if near else ""))
    place = "" if index is None else f" in set {index}"
    takes = ", ".join(arguments) or "none"
    return TypeError(f"{query.name}(){place}: {'; '.join(faults)}. It takes: {takes} ({query.location})")


def _no_mapping(query: Query, parameters: object, index: int | None) -> TypeError:
    """The error about a set of parameters that has no names: aiosql takes tuples."""
    names = ", ".join(f'"{name}": ...' for name in query.parameters)
    return TypeError(
        f"{query.name}(): set {index} is a {type(parameters).__name__}, expected a mapping such as {{{names}}} "
        f"({query.location})"
    )


@cache
def _execute(kind: type) -> Callable[[BoundQuery, Any, Sequence[Any]], Any]:
    """What runs a query on connections of a class."""
    return _of_kind(kind, execute_sync, execute_async)


@cache
def _stream(kind: type) -> Callable[[BoundQuery, Any, Sequence[Any]], Any]:
    """What streams the rows of a query on connections of a class."""
    return _of_kind(kind, Stream[Any], AsyncStream[Any])


def _of_kind(kind: type, for_threads: Callable[..., Any], for_tasks: Callable[..., Any]) -> Callable[..., Any]:
    """The one for connections of a class, or what raises TypeError."""
    if issubclass(kind, Connection):
        return for_threads
    return for_tasks if issubclass(kind, AsyncConnection) else _refuse


def _refuse(bound: BoundQuery | Pager, conn: object, *_values: object) -> NoReturn:
    raise TypeError(
        f"{bound.query.name}() takes a psycopg Connection or AsyncConnection first, not {type(conn).__name__}. "
        "Get one from `with transaction() as conn:` or `with connection() as conn:`"
    )

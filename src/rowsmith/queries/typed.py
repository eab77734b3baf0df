"""What a generated module is made of: decorators for its queries, and the object with the functions that they declare.

    @query
    def get_user_by_email(self, *, email: str) -> User | None:
        \"""Find one user by e-mail address, without regard to case. (sql/users.sql, 3f2a91bc)\"""

The signature says what a call takes and returns, and `TypedQuery` adds the connection to it. The digest at the end says
which statement it was generated from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterable, Iterator, Mapping, Sequence
from inspect import Parameter, Signature, get_annotations
from pathlib import Path
from types import FunctionType, MappingProxyType
from typing import Any, Concatenate, Literal, Never, ParamSpec, Protocol, TypeVar, Union, get_args, overload

from psycopg import AsyncConnection, Connection

from rowsmith.errors import StaleModuleError
from rowsmith.findings import display_path
from rowsmith.queries.calls import bind
from rowsmith.queries.folders import Embedded, QueryFolder, folder_of_module
from rowsmith.queries.forms import NotGiven
from rowsmith.queries.inference import with_types
from rowsmith.queries.keyset import SortKey
from rowsmith.queries.loader import read_queries
from rowsmith.queries.marks import Kind
from rowsmith.queries.namespace import Queries, add_query
from rowsmith.queries.pages import Page, Pager
from rowsmith.queries.query import Query
from rowsmith.queries.rows import exact_rows
from rowsmith.queries.statement import BoundQuery
from rowsmith.queries.streams_async import AsyncStream
from rowsmith.queries.streams_sync import Stream
from rowsmith.values.codecs import Writer, codec

_GENERATE = "Run: rowsmith generate"
_P = ParamSpec("_P")
_R_co = TypeVar("_R_co", covariant=True)
_Row = TypeVar("_Row")
_NO_TYPES: Mapping[str, str] = MappingProxyType({})
Writes = bool | Literal["rows"]
"""What a query may change: nothing if it is False; `rows`, and nothing in its session; anything if it is True."""


class TypedQuery(Protocol[_P, _R_co]):
    """A query of a generated module: called with a connection and its parameters, it gives its result.

    With an AsyncConnection it gives an awaitable of that.
    """

    query: Query
    """Where it comes from, and what its file says of it."""
    sql: str
    """The statement as PostgreSQL receives it."""

    @overload
    def __call__(self, conn: Connection[Any], /, *args: _P.args, **kwargs: _P.kwargs) -> _R_co: ...

    @overload
    def __call__(
        self, conn: AsyncConnection[Any], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> Coroutine[Any, Any, _R_co]: ...


class TypedRowsQuery(TypedQuery[_P, list[_Row]], Protocol[_P, _Row]):
    """A query that gives a list of rows, or streams them."""

    @overload
    def stream(self, conn: Connection[Any], /, *args: _P.args, **kwargs: _P.kwargs) -> Stream[_Row]: ...

    @overload
    def stream(self, conn: AsyncConnection[Any], /, *args: _P.args, **kwargs: _P.kwargs) -> AsyncStream[_Row]: ...


class TypedPagesQuery(TypedRowsQuery[_P, _Row], Protocol[_P, _Row]):
    """A query that gives a list of rows, or a page of them at a time: its ORDER BY leaves no two rows in any order."""

    # Pass `size` and `after` by keyword. They are no keyword-only parameters because PEP 612 allows none beside a
    # ParamSpec.

    @overload
    def page(
        self, conn: Connection[Any], size: int, after: str | None = None, *args: _P.args, **kwargs: _P.kwargs
    ) -> Page[_Row]: ...

    @overload
    def page(
        self, conn: AsyncConnection[Any], size: int, after: str | None = None, *args: _P.args, **kwargs: _P.kwargs
    ) -> Coroutine[Any, Any, Page[_Row]]: ...

    @overload
    def pages(
        self, conn: Connection[Any], size: int, after: str | None = None, *args: _P.args, **kwargs: _P.kwargs
    ) -> Generator[Page[_Row]]: ...

    @overload
    def pages(
        self, conn: AsyncConnection[Any], size: int, after: str | None = None, *args: _P.args, **kwargs: _P.kwargs
    ) -> AsyncGenerator[Page[_Row]]: ...


@overload
def query(function: Callable[Concatenate[Any, _P], _R_co], /) -> TypedQuery[_P, _R_co]: ...


@overload
def query(
    *, writes: Writes = False, types: Mapping[str, str] = _NO_TYPES
) -> Callable[[Callable[Concatenate[Any, _P], _R_co]], TypedQuery[_P, _R_co]]: ...


def query(function: Any = None, /, *, writes: Writes = False, types: Mapping[str, str] = _NO_TYPES) -> Any:
    """Declare a query by the signature of its calls. Without `writes` it is proven to do nothing but read.

    `types` are those that the statement has to state for parameters, by name, as PostgreSQL writes them.
    """

    def declare(function: Any) -> Any:
        function.writes, function.types = writes, types
        return function  # `typed_queries` makes a query of it

    return declare if function is None else declare(function)


@overload
def rows(function: Callable[Concatenate[Any, _P], list[_Row]], /) -> TypedRowsQuery[_P, _Row]: ...


@overload
def rows(
    *, writes: Writes = False, types: Mapping[str, str] = _NO_TYPES
) -> Callable[[Callable[Concatenate[Any, _P], list[_Row]]], TypedRowsQuery[_P, _Row]]: ...


def rows(function: Any = None, /, *, writes: Writes = False, types: Mapping[str, str] = _NO_TYPES) -> Any:
    """Declare a query that returns a list of rows, as `query` does for others."""
    declare: Any = query(writes=writes, types=types)
    return declare if function is None else declare(function)


def pages(
    *keys: str | Mapping[str, Sequence[str]], writes: Writes = False, types: Mapping[str, str] = _NO_TYPES
) -> Callable[[Callable[Concatenate[Any, _P], list[_Row]]], TypedPagesQuery[_P, _Row]]:
    """Declare a query that returns a list of rows, or pages of them, as `query` does for others.

    `keys` are what it sorts by, each with its direction: `created_at desc`, `nick nulls last`, `(lower(name))`; or
    those of each ordering, by its name.
    """
    declare: Any = query(writes=writes, types=types)

    def declare_keys(function: Any) -> Any:
        function.orderings = [*keys[0].values()] if keys and isinstance(keys[0], Mapping) else [keys]
        return declare(function)

    return declare_keys


Queried = str | Mapping[str, str]
"""A folder of query files, relative to the generated module, or the texts of query files, by path."""


def typed_queries(declared: Any, file: str, found_in: Mapping[str, Queried]) -> Any:
    """The queries object of a generated module, an instance of what its class declares.

    `found_in` says by namespace where the SQL is (`""`: in none): the folder of its files, relative to the module's own
    `file`, or their texts.

    Raises StaleModuleError if the query files are not those that the module was generated from, and QueryFileError if
    they cannot be read.
    """
    functions = dict(_declared(declared, ""))
    module = declared.__module__
    folders = [each for space, queried in found_in.items() for each in _folders(module, file, space, queried)]
    plain = {query.qualified_name: query for query in read_queries(*folders)}
    found = {name: with_types(each, getattr(functions.get(name), "types", _NO_TYPES)) for name, each in plain.items()}
    _check(module, functions, found, folders)
    queries = Queries("queries")
    for name, each in found.items():
        annotations = get_annotations(functions[name], eval_str=True)
        made = exact_rows(each, annotations["return"])
        writes: Writes = getattr(functions[name], "writes", True)
        bound = BoundQuery(each, made.make, enums=made.enums, nested=made.nested, described=True, writes=writes)
        orderings = [[SortKey.parse(key) for key in keys] for keys in getattr(functions[name], "orderings", ())]
        pager = Pager(each, orderings, digest(each)) if orderings else None
        add_query(queries, each, bind(bound, _signature(each, annotations), _writers(each, annotations), pager))
    return queries


def digest(query: Query) -> str:
    """What tells a query from a changed one: comments and the line that it is on do not count."""
    facts: list[Any] = [
        query.kind,
        query.parameters,
        query.record_class,
        query.sql,
        *sorted(query.nullable),
        *query.nested_classes,
    ]
    if query.forms is not None:
        facts.append(query.forms.facts)
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:8]


def _folders(module: str, file: str, space: str, queried: Queried) -> Iterator[QueryFolder]:
    namespace = tuple(filter(None, space.split(".")))
    if isinstance(queried, str):
        yield folder_of_module(module, file, queried, namespace)
    else:
        yield from (QueryFolder(Path(path), namespace, Embedded(path, text)) for path, text in queried.items())


def _declared(namespace: type, prefix: str) -> Iterator[tuple[str, FunctionType]]:
    """The functions that a class and those inside it declare, by qualified name."""
    for name, member in vars(namespace).items():
        if isinstance(member, FunctionType) and not name.startswith("__"):
            yield f"{prefix}{name}", member
    for name, inner in get_annotations(namespace).items():
        yield from _declared(inner, f"{prefix}{name}.")


def _signature(query: Query, annotations: Mapping[str, Any]) -> Signature:
    plain = query.signature
    parameters = [
        each.replace(annotation=annotations.get(each.name, Parameter.empty)) for each in plain.parameters.values()
    ]
    return plain.replace(parameters=parameters, return_annotation=annotations["return"])


def _writers(query: Query, annotations: Mapping[str, Any]) -> dict[str, Writer]:
    """What makes the values of parameters ready for psycopg, by name; those that it takes as they are have none."""
    if query.kind is Kind.EXECUTEMANY:
        (sets,) = get_args(annotations["sets"])
        annotations = get_annotations(sets, eval_str=True)
    names = query.parameters if query.forms is None else query.forms.parameters
    return {name: write for name in names if (write := codec(_without_marker(annotations[name])).write)}


def _without_marker(annotation: Any) -> Any:
    """An annotation without NotGiven, which is never written."""
    members = [each for each in get_args(annotation) if each is not NotGiven]
    return Union[tuple(members)] if NotGiven in get_args(annotation) else annotation  # noqa: UP007 - of a list


def _check(
    module: str, functions: Mapping[str, FunctionType], found: Mapping[str, Query], folders: Iterable[QueryFolder]
) -> None:
    differences = {
        "changed": [name for name in found if name in functions and not _fits(functions[name], found[name])],
        "new": [name for name in found if name not in functions],
        "missing": [name for name in functions if name not in found],
    }
    if any(differences.values()):
        places = ", ".join(display_path(each.path if each.source else each.path.resolve()) for each in folders)
        named = "; ".join(f"{what}: {', '.join(names)}" for what, names in differences.items() if names)
        raise StaleModuleError(f"module {module} does not fit the queries in {places} ({named}). {_GENERATE}")


def _fits(function: FunctionType, query: Query) -> bool:
    doc = function.__doc__  # None under `python -OO`
    return doc is None or doc.rstrip().endswith(f"{digest(query)})")


def __getattr__(name: str) -> Never:
    """Where modules that an earlier version has generated come to."""
    if name == "load_typed_queries":
        raise StaleModuleError(f"this module was generated by an earlier version of rowsmith. {_GENERATE}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)

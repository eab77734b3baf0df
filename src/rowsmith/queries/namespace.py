"""The queries object: query functions by name, sub-folders as attributes."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rowsmith.queries.calls import bind
from rowsmith.queries.query import Query, QueryFunction
from rowsmith.queries.rows import rows_of
from rowsmith.queries.statement import BoundQuery

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable  # slow to import

    from rowsmith.queries.folders import QueryFolder


def load_queries(path: str | Path | Traversable, *, record_classes: Mapping[str, Any] | None = None) -> Queries:
    """Load a `.sql` file, or every one in a folder, into an object with a function for each query.

    A relative path starts at the working folder. For SQL inside a package, also in a zip file, pass
    `importlib.resources.files("app") / "sql"`.

    `record_classes` has the classes that `-- record_class: NAME` lines name: dataclasses, named tuples, pydantic
    models, or anything else that takes the columns as keyword arguments. `vars(module)` works too.

    Raises QueryFileError, which lists every fault with its file and line.
    """
    from rowsmith.queries.folders import given_folder  # noqa: PLC0415 - with the loader

    return _load(given_folder(path), record_classes or {})


def load_queries_from_text(text: str, *, record_classes: Mapping[str, Any] | None = None) -> Queries:
    """Load the text of a query file, as `load_queries` loads the file. Messages call the file `<text>`."""
    from rowsmith.queries.folders import Embedded, QueryFolder  # noqa: PLC0415 - with the loader

    return _load(QueryFolder(Path("<text>"), source=Embedded("<text>", text)), record_classes or {})


def _load(folder: QueryFolder, record_classes: Mapping[str, Any]) -> Queries:
    from rowsmith.queries.loader import read_queries  # noqa: PLC0415 - with aiosql, which only reads files

    queries = Queries("queries")
    for query in read_queries(folder):
        add_query(queries, query, bind(BoundQuery(query, rows_of(query, record_classes))))
    return queries


class Queries:
    """Query functions by name: `queries.get_user_by_email(conn, email=...)`; a sub-folder is an attribute.

    A function takes a psycopg connection and the parameters by keyword. With a `Connection` it returns the result,
    with an `AsyncConnection` an awaitable of it. Iterating over the object gives every query in it.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name == "available_queries":  # of aiosql; a query may have this name
            return sorted(query.qualified_name for query in self)
        known = [member for member in vars(self) if not member.startswith("_")]
        near, query = difflib.get_close_matches(name, known, 1), name.removesuffix("_cursor")
        if query != name and query in known:
            hint = f" Write {query}.stream(conn, ...) for its rows, or conn.execute({query}.sql) for a cursor"
        else:
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

"""The queries of a generated module: bound to its row classes, after it was made sure that they are still the same."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from rowsmith.errors import StaleModuleError
from rowsmith.findings import display_path
from rowsmith.queries.loader import read_queries
from rowsmith.queries.namespace import Queries, add_query, bind
from rowsmith.queries.query import Query
from rowsmith.queries.rows import exact_rows_of
from rowsmith.queries.statement import BoundQuery
from rowsmith.values.codecs import Codec, Enumeration


class TypedQuery(Protocol):
    """What a query of a generated module has besides its call."""

    query: Query
    """Where it comes from, and what its file says of it."""
    sql: str
    """The statement as PostgreSQL gets it."""


def load_typed_queries(
    *,
    folders: Mapping[str, Path],
    module: str,
    fingerprint: str,
    rows: Mapping[str, type],
    columns: Mapping[str, Mapping[str, Codec]],
    parameters: Mapping[str, Mapping[str, Codec]],
) -> Any:
    """The queries object of a generated module, of the type that the module declares for it.

    `folders` are those of the query files by namespace, `""` for those in none. `rows` has the row class of each query
    by its qualified name; `columns` and `parameters` the codecs of those that psycopg does not read or write as the
    module says. Raises StaleModuleError where the query files are not those that the module was made of, and
    QueryFileError where they cannot be read.
    """
    found = [query for namespace, folder in folders.items() for query in _read(folder, namespace)]
    if _digest(found) != fingerprint:
        places = ", ".join(display_path(folder.resolve()) for folder in folders.values())
        raise StaleModuleError(f"module {module} does not fit the queries in {places}: run `rowsmith generate`")
    queries = Queries("queries")
    for query in found:
        name = query.qualified_name
        codecs = columns.get(name, {})
        enums = [column for column, codec in codecs.items() if isinstance(codec, Enumeration)]
        made = exact_rows_of(query, rows.get(name), codecs)
        add_query(queries, query, bind(BoundQuery(query, made, enums=enums, described=True), parameters.get(name)))
    return queries


def _read(folder: Path, namespace: str) -> list[Query]:
    queries = read_queries(folder)
    if not namespace:
        return queries
    outer = tuple(namespace.split("."))
    return [dataclasses.replace(query, namespace=(*outer, *query.namespace)) for query in queries]


def fingerprint(queries: Iterable[Query]) -> str:
    """A digest of all that a generated module takes from the query files; comments and places do not count."""
    return _digest(queries)


def _digest(queries: Iterable[Query]) -> str:
    facts = sorted([q.qualified_name, q.kind, q.parameters, q.record_class, q.sql] for q in queries)
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

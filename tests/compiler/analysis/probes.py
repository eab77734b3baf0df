"""A probe: one query over a few tables of its own, described by the analysis and run on the server.

    probe("CREATE TABLE t (a int); INSERT INTO t VALUES (NULL)", "SELECT a FROM t", "a?")

`a?` can be NULL and was, in one row at least; `a!` is never NULL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from rowsmith.compiler.analysis.description import Describer, Description
from rowsmith.queries.marks import Kind
from rowsmith.queries.query import Query, Source

Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class Result:
    """What the analysis says of a query, and what the server gave for it."""

    said: Description
    columns: str
    """`a? b!`: which columns can be NULL by the analysis."""
    seen: str
    """The same by the rows: `a?` was NULL in one of them."""
    rows: int


def query_of(sql: str, parameters: Sequence[str] = ()) -> Query:
    """A query with `$1`, `$2`, ... for the parameters of these names."""
    return Query("probe", (), Kind.MANY, tuple(parameters), sql, "", None, Path("probe.sql"), 1, Source(sql, 1, 0, ()))


def run(conn: Connection, schema: str, sql: str, values: Sequence[str | None] = ()) -> Result:
    """Make the tables, describe the query, execute it, and undo all of it."""
    query = query_of(sql, [f"p{number}" for number in range(1, len(values) + 1)])
    with conn.transaction(force_rollback=True):
        conn.execute(schema.encode())
        said = Describer(conn).describe(query)
        result = conn.execute(sql.encode()).pgresult if not values else _run(conn, sql, values)
        assert result is not None
        nulls = {
            place
            for place in range(result.nfields)
            for row in range(result.ntuples)
            if result.get_value(row, place) is None
        }
    columns = " ".join(f"{column.name}{'?' if column.nullable else '!'}" for column in said.columns)
    seen = " ".join(f"{column.name}{'?' if place in nulls else '!'}" for place, column in enumerate(said.columns))
    return Result(said, columns, seen, result.ntuples)


def _run(conn: Connection, sql: str, values: Sequence[str | None]) -> psycopg.pq.abc.PGresult | None:
    return psycopg.RawCursor(conn).execute(sql.encode(), values).pgresult

"""Random rows: what a table may hold besides the few rows that its authors thought of.

Every row keeps the table's constraints: PostgreSQL refuses the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import psycopg
from psycopg import sql

from rowsmith.compiler.analysis.catalog import Catalog, Relation
from rowsmith.compiler.analysis.nodes import Node

Connection = psycopg.Connection[Any]

_ROWS = 8
_NULLS = 0.4
# By the category of the type (catalog/pg_type.h, TYPCATEGORY_*).
_VALUES = {
    "A": ("{}", "{NULL}"),
    "B": ("t", "f"),
    "D": ("2000-01-01", "infinity"),
    "N": ("0", "1", "2", "-1", "42"),
    "R": ("empty",),
    "S": ("", "a", "b", "1"),
    "T": ("0", "1 day"),
}
_BY_NAME = {
    "bytea": (r"\x00",),
    "json": ("{}", "[1]", "null"),
    "jsonb": ("{}", "[1]", "null"),
    "point": ("(0,1)",),
    "uuid": ("11111111-1111-4111-8111-111111111111",),
}
_TYPES = """
SELECT oid::int8, typcategory::text, typname::text,
       array(SELECT enumlabel::text FROM pg_enum WHERE enumtypid = t.oid ORDER BY enumsortorder)
FROM pg_type AS t
"""


class Values:
    """Values by type, as PostgreSQL writes them."""

    def __init__(self, conn: Connection) -> None:
        self._pools: dict[int, tuple[str, ...]] = {}
        for oid, category, name, labels in conn.execute(_TYPES).fetchall():
            self._pools[oid] = tuple(labels) or _BY_NAME.get(name) or _VALUES.get(category, ())

    def of(self, oid: int) -> tuple[str, ...]:
        """Some values of a type; none for a type that is not known here."""
        return self._pools.get(oid, ())


def tables(catalog: Catalog, tree: Node) -> list[Relation]:
    """The tables of a query, those behind its views included."""
    found: dict[int, Relation] = {}
    seen, waiting = set[int](), [tree]
    while waiting:
        for node in waiting.pop().walk():
            relid = node.integer("relid")
            if "rtekind" not in node.fields or relid in seen or relid not in catalog.relations:
                continue
            seen.add(relid)
            if (view := catalog.view(relid)) is not None:
                waiting.append(view)
            elif catalog.relations[relid].kind in ("r", "p"):
                found[relid] = catalog.relations[relid]
    return list(found.values())


def fill(conn: Connection, targets: Sequence[Relation], random: Random) -> None:
    """Add random rows to tables, in the transaction that is open."""
    values = Values(conn)
    conn.execute("SET CONSTRAINTS ALL IMMEDIATE; SET LOCAL standard_conforming_strings = on")
    inserts = [each for table in targets for each in _inserts(conn, table, values, random)]
    random.shuffle(inserts)
    blocks = [f"BEGIN {insert}; EXCEPTION WHEN others THEN NULL; END;" for insert in inserts]
    conn.execute(f"DO $rowsmith$ BEGIN {' '.join(blocks)} END $rowsmith$".encode())


def _inserts(conn: Connection, table: Relation, values: Values, random: Random) -> Iterator[str]:
    name = sql.Identifier(table.schema, table.name).as_string(conn)
    columns = [column for column in table.columns.values() if not column.generated]
    listed = ", ".join(sql.Identifier(column.name).as_string(conn) for column in columns)
    if not columns:
        return
    result = conn.pgconn.exec_(f"SELECT {listed} FROM {name} LIMIT 20".encode())
    pools: list[list[str | None]] = []
    for number, column in enumerate(columns):
        there = [result.get_value(row, number) for row in range(result.ntuples)]
        pool = {value.decode("utf-8", "replace") for value in there if value is not None}
        pools.append([*sorted(pool), *values.of(column.type)] or [None])
    for _ in range(_ROWS):
        row = [
            None if not column.required and random.random() < _NULLS else random.choice(pool)
            for column, pool in zip(columns, pools, strict=True)
        ]
        listing = ", ".join("NULL" if value is None else f"'{value.replace(chr(39), chr(39) * 2)}'" for value in row)
        yield f"INSERT INTO {name} ({listed}) OVERRIDING SYSTEM VALUE VALUES ({listing})"

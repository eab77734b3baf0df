"""What the server's catalogue says of relations, columns, types and functions; asked once, and kept."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from rowsmith.compiler.analysis import never_null
from rowsmith.compiler.analysis.nodes import Node, queries, read

FIRST_USER_OID = 16384
"""access/transam.h, FirstNormalObjectId: below it is what initdb made."""

# A column that is NOT NULL here can still be NULL where an inheritance child has dropped the constraint, where the
# constraint was never validated (18 and later), or where the rows are another server's.
_COLUMNS = """
WITH RECURSIVE family (root, relid) AS (
    SELECT oid, oid FROM pg_class WHERE relkind IN ('r', 'p')
    UNION ALL
    SELECT f.root, i.inhrelid FROM family AS f JOIN pg_inherits AS i ON i.inhparent = f.relid
), unproven AS (
    SELECT DISTINCT f.root, a.attname
    FROM family AS f
    JOIN pg_class AS c ON c.oid = f.relid
    JOIN pg_attribute AS a ON a.attrelid = f.relid AND a.attnum > 0
    WHERE f.relid <> f.root AND (NOT a.attnotnull OR c.relkind = 'f')
    UNION
    SELECT n.conrelid, a.attname
    FROM pg_constraint AS n
    JOIN pg_attribute AS a ON a.attrelid = n.conrelid AND a.attnum = ANY (n.conkey)
    WHERE n.contype = 'n' AND NOT n.convalidated
)
SELECT a.attrelid::int8, a.attnum, a.attname::text, a.atttypid::int8, a.attnotnull,
       c.relkind IN ('r', 'p', 'S') AND a.attnotnull AND u.root IS NULL,
       a.attnotnull AND c.relkind IN ('r', 'p', 'S')
           AND NOT EXISTS (SELECT FROM pg_constraint AS n WHERE n.conrelid = c.oid AND n.contype = 'n'
                           AND NOT n.convalidated AND a.attnum = ANY (n.conkey)),
       a.attgenerated <> '', d.adbin::text
FROM pg_attribute AS a
JOIN pg_class AS c ON c.oid = a.attrelid
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN unproven AS u ON u.root = a.attrelid AND u.attname = a.attname
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
ORDER BY a.attrelid, a.attnum
"""

# Row triggers that run before or instead of an INSERT or UPDATE (catalog/pg_trigger.h, TRIGGER_TYPE_*), on the relation
# or on what inherits from it.
_RELATIONS = """
WITH RECURSIVE family (root, relid) AS (
    SELECT oid, oid FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'f')
    UNION ALL
    SELECT f.root, i.inhrelid FROM family AS f JOIN pg_inherits AS i ON i.inhparent = f.relid
)
SELECT c.oid::int8, n.nspname::text, c.relname::text, c.relkind::text,
       EXISTS (SELECT FROM family AS f JOIN pg_trigger AS t ON t.tgrelid = f.relid
               WHERE f.root = c.oid AND t.tgtype & 1 <> 0 AND t.tgtype & (2 | 64) <> 0)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
"""

_FUNCTIONS = "SELECT oid::int8, proisstrict, provolatile = 'v' FROM pg_proc"

_OPERATORS = "SELECT oid::int8, oprcode::int8 FROM pg_operator"

# Volatile functions that have no effect, and stable ones that have one: they assign a transaction id, or read tables
# and views that do not appear in the query.
_HARMLESS = """
SELECT oid::int8 FROM pg_proc
WHERE pronamespace = 'pg_catalog'::regnamespace AND oid < 16384
  AND (proname IN ('clock_timestamp', 'gen_random_uuid', 'random', 'random_normal', 'timeofday', 'uuidv4', 'uuidv7')
       OR (provolatile <> 'v' AND proname NOT IN ('pg_current_xact_id', 'txid_current')
           AND proname !~ '^(cursor|database|query|schema|table)_to_xml'))
"""

# Tables with row security, and those that are foreign tables or have one among their descendants.
_GUARDED = """
WITH RECURSIVE guarded (oid) AS (
    SELECT oid FROM pg_class WHERE relkind = 'f'
    UNION
    SELECT inhparent FROM pg_inherits JOIN guarded ON inhrelid = oid
)
SELECT oid::int8 FROM guarded UNION SELECT oid::int8 FROM pg_class WHERE relrowsecurity
"""

_DOMAINS = "SELECT oid::int8 FROM pg_type WHERE typtype = 'd'"

_NOT_NULL_DOMAINS = "SELECT oid::int8 FROM pg_type WHERE typtype = 'd' AND typnotnull"

_ARRAYS = "SELECT oid::int8 FROM pg_type WHERE typcategory = 'A'"

_FAMILY = """
WITH builtin AS (
    SELECT oid, proname::text AS name, proname || '(' || oidvectortypes(proargtypes) || ')' AS signature
    FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace
)
SELECT oid::int8 FROM builtin WHERE (name = ANY (%s) OR signature = ANY (%s)) AND signature <> ALL (%s)
"""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a relation."""

    name: str
    type: int
    required: bool
    """Whether a NULL written to it is refused."""
    proven: bool
    """Whether no row of it, or of its inheritance children, can hold NULL."""
    proven_alone: bool
    """The same for `ONLY` the relation itself."""
    generated: bool
    """Whether its value is always computed, by `default`."""
    default: Node | None
    """The expression of its default."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, a view, or what else has columns."""

    schema: str
    name: str
    kind: str
    triggers: bool
    """Whether triggers may change a row before it is written."""
    columns: dict[int, Column]
    """By attribute number."""


class Catalog:
    """The catalogue of one database, as far as the analysis of queries asks for it."""

    def __init__(self, conn: psycopg.Connection[TupleRow]) -> None:
        self._conn = conn
        self._views: dict[int, Node | None] = {}
        self._bodies: dict[int, list[Node]] = {}

    @cached_property
    def relations(self) -> dict[int, Relation]:
        """Relations by OID."""
        found = {
            oid: Relation(schema, name, kind, triggers, {})
            for oid, schema, name, kind, triggers in self._rows(_RELATIONS)
        }
        for relid, number, name, of, required, proven, alone, generated, default in self._rows(_COLUMNS):
            tree = read(default) if default and relid >= FIRST_USER_OID else None
            expr = tree if isinstance(tree, Node) else None
            found[relid].columns[number] = Column(name, of, required, proven, alone, generated, expr)
        return found

    @cached_property
    def strict(self) -> frozenset[int]:
        """The functions that give NULL for a NULL argument."""
        return frozenset(oid for oid, strict, _ in self._functions if strict)

    @cached_property
    def volatile(self) -> frozenset[int]:
        """The functions that can give another value at each call."""
        return frozenset(oid for oid, _, volatile in self._functions if volatile)

    @cached_property
    def _functions(self) -> list[TupleRow]:
        return self._rows(_FUNCTIONS)

    @cached_property
    def operators(self) -> dict[int, int]:
        """The function behind each operator."""
        return dict(self._rows(_OPERATORS))

    @cached_property
    def harmless(self) -> frozenset[int]:
        """The functions that are known to have no effect besides their result. All of them are built in."""
        return frozenset(oid for (oid,) in self._rows(_HARMLESS))

    @cached_property
    def guarded(self) -> frozenset[int]:
        """The relations for whose rows the server may run code of the user's, or of another server."""
        return frozenset(oid for (oid,) in self._rows(_GUARDED))

    @cached_property
    def domains(self) -> frozenset[int]:
        """The domains."""
        return frozenset(oid for (oid,) in self._rows(_DOMAINS))

    @cached_property
    def not_null_domains(self) -> frozenset[int]:
        """The domains that are NOT NULL."""
        return frozenset(oid for (oid,) in self._rows(_NOT_NULL_DOMAINS))

    @cached_property
    def arrays(self) -> frozenset[int]:
        """The array types."""
        return frozenset(oid for (oid,) in self._rows(_ARRAYS))

    @cached_property
    def families(self) -> dict[str, frozenset[int]]:
        """The functions of each family of `compiler.total`, by its name there."""
        return {name: self._family(family) for name, family in never_null.FAMILIES.items()}

    @cached_property
    def aggregates(self) -> dict[int, str]:
        """Built-in aggregates of which it is known when they give NULL: `always`, `rows` or `values`."""
        return {oid: kind for kind, family in never_null.AGGREGATES.items() for oid in self._family(family)}

    def view(self, relid: int) -> Node | None:
        """The query of a view; None where the relation is none."""
        if relid not in self._views:
            rows = self._rows(
                "SELECT ev_action::text FROM pg_rewrite WHERE ev_class = %s AND rulename = '_RETURN'", relid
            )
            found = queries(rows[0][0]) if rows and self.relations[relid].kind == "v" else []
            self._views[relid] = found[0] if found else None
        return self._views[relid]

    def body(self, function: int) -> list[Node]:
        """The queries of a function that was written with BEGIN ATOMIC or RETURN; none for any other."""
        if function not in self._bodies:
            rows = self._rows(
                "SELECT prosqlbody::text FROM pg_proc WHERE oid = %s AND prosqlbody IS NOT NULL", function
            )
            self._bodies[function] = queries(rows[0][0]) if rows else []
        return self._bodies[function]

    def _family(self, family: never_null.Family) -> frozenset[int]:
        rows = self._rows(_FAMILY, family.names, family.signatures, family.excepted)
        return frozenset(oid for (oid,) in rows)

    def _rows(self, statement: str, *parameters: Any) -> list[TupleRow]:
        return self._conn.execute(statement.encode(), parameters or None).fetchall()

"""The types in the catalogue of a database, with those that they are made of, and the Python types of scalars."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import psycopg
from psycopg.rows import TupleRow, args_row

CODECS = "rowsmith.values.codecs"
# What an annotation may name, the module that it is imported from, and the built-in types that it stands for.
_PYTHON_TYPES = (
    ("bool", None, "bool"),
    ("int", None, "int2 int4 int8 oid"),
    ("float", None, "float4 float8"),
    ("bytes", None, "bytea"),
    ("Decimal", "decimal", "numeric"),
    ("date", "datetime", "date"),
    ("time", "datetime", "time timetz"),
    ("datetime", "datetime", "timestamp timestamptz"),
    ("timedelta", "datetime", "interval"),
    ("UUID", "uuid", "uuid"),
    ("Inet", CODECS, "inet"),
    ("Cidr", CODECS, "cidr"),
    ("JsonValue", "pydantic", "json jsonb"),
    ("Json", "psycopg.types.json", ""),
    ("Jsonb", "psycopg.types.json", ""),
    ("Range", "psycopg.types.range", ""),
    ("Multirange", "psycopg.types.multirange", ""),
)
MODULES = {name: module for name, module, _ in _PYTHON_TYPES if module}
"""The names that an annotation may use, besides the built-in ones, and the module of each."""
SCALARS = {pg_type: name for name, _, pg_types in _PYTHON_TYPES for pg_type in pg_types.split()}
"""The built-in types that psycopg does not return as text."""

_TYPES = b"""
SELECT t.oid::int8, n.nspname::text, t.typname::text, format_type(t.oid, NULL), t.typtype::text,
       coalesce(e.oid, t.typbasetype, 0)::int8, coalesce(r.rngsubtype, m.rngsubtype, 0)::int8, e.oid IS NOT NULL,
       array(SELECT l.enumlabel::text FROM pg_enum AS l WHERE l.enumtypid = t.oid ORDER BY l.enumsortorder),
       coalesce((SELECT json_object_agg(a.attname, a.atttypid::int8 ORDER BY a.attnum) FROM pg_attribute AS a
                 WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped), '{}')
FROM pg_type AS t
JOIN pg_namespace AS n ON n.oid = t.typnamespace
LEFT JOIN pg_type AS e ON e.typarray = t.oid
LEFT JOIN pg_range AS r ON r.rngtypid = t.oid
LEFT JOIN pg_range AS m ON m.rngmultitypid = t.oid
WHERE t.oid = ANY (%s)
"""


@dataclass(frozen=True, slots=True)
class PgType:
    """A type of the catalogue."""

    oid: int
    schema: str
    name: str
    formatted: str
    kind: str
    """b base, c composite, d domain, e enumeration, m multirange, p pseudo, r range"""
    inner: int
    """The element of an array, the base of a domain."""
    bound: int
    """The subtype of a range or multirange."""
    is_array: bool
    labels: list[str]
    attributes: Mapping[str, int]

    @property
    def parts(self) -> set[int]:
        """The OIDs of the types that it is made of."""
        return {self.inner, self.bound, *self.attributes.values()} - {0}


def fetch(conn: psycopg.Connection[TupleRow], oids: Iterable[int]) -> dict[int, PgType]:
    """These types and those that they are made of, by OID."""
    found: dict[int, PgType] = {}
    wanted = set(oids)
    while wanted:
        rows = conn.cursor(row_factory=args_row(PgType)).execute(_TYPES, [list(wanted)])
        found |= {each.oid: each for each in rows}
        wanted = {oid for each in found.values() for oid in each.parts} - found.keys()
    return found

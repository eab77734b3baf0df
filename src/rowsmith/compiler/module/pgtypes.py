"""The types in the catalogue of a database, with those that they are made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import psycopg
from psycopg.rows import TupleRow

_TYPES = """
SELECT t.oid::int8, n.nspname::text, t.typname::text, format_type(t.oid, NULL), t.typtype::text,
       coalesce(e.oid, t.typbasetype, 0)::int8, coalesce(r.rngsubtype, m.rngsubtype, 0)::int8, e.oid IS NOT NULL,
       array(SELECT l.enumlabel::text FROM pg_enum AS l WHERE l.enumtypid = t.oid ORDER BY l.enumsortorder),
       array(SELECT a.attname::text FROM pg_attribute AS a
             WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
       array(SELECT a.atttypid::int8 FROM pg_attribute AS a
             WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum)
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
    labels: tuple[str, ...]
    attributes: tuple[tuple[str, int], ...]


def fetch(conn: psycopg.Connection[TupleRow], oids: Iterable[int]) -> dict[int, PgType]:
    """These types and those that they are made of, by OID."""
    found: dict[int, PgType] = {}
    wanted = set(oids)
    while wanted:
        for oid, schema, name, formatted, kind, inside, bound, is_array, labels, names, types in conn.execute(
            _TYPES.encode(), [list(wanted)]
        ):
            attributes = tuple(zip(names, types, strict=True)) if kind == "c" else ()
            found[oid] = PgType(oid, schema, name, formatted, kind, inside, bound, is_array, tuple(labels), attributes)
        inner = {oid for each in found.values() for oid in (each.inner, each.bound, *dict(each.attributes).values())}
        wanted = inner - found.keys() - {0}
    return found

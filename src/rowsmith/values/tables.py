"""What the catalogue says of one table: its columns, and how their types are made of others."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

# Of types, only those are described whose values have a structure, with all that they are made of: domains, arrays,
# enumerations and composites. The answer is JSON as text, so that no loader of the connection has a part in it.
FIND_TABLE = """
WITH RECURSIVE attribute AS (
    SELECT a.attnum, a.attname, a.atttypid, format_type(a.atttypid, a.atttypmod) AS declared,
           a.attgenerated <> '' AS generated, a.attidentity = 'a' AS identity
    FROM pg_attribute AS a
    WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped
), part (oid) AS (
    SELECT atttypid FROM attribute
    UNION
    SELECT inner_type.oid
    FROM part
    JOIN pg_type AS t ON t.oid = part.oid
    CROSS JOIN LATERAL (
        SELECT t.typbasetype AS oid
        UNION ALL
        SELECT t.typelem WHERE t.typsubscript = 'array_subscript_handler'::regproc
        UNION ALL
        SELECT a.atttypid FROM pg_attribute AS a
        WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
    ) AS inner_type
    WHERE inner_type.oid <> 0
), structure AS (
    SELECT t.oid::int8, t.typtype, t.typbasetype::int8,
           CASE WHEN t.typsubscript = 'array_subscript_handler'::regproc THEN t.typelem::int8 ELSE 0 END AS element,
           (SELECT coalesce(json_agg(json_build_array(a.attname, a.atttypid::int8) ORDER BY a.attnum), '[]')
            FROM pg_attribute AS a
            WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) AS attributes
    FROM part JOIN pg_type AS t ON t.oid = part.oid
)
SELECT json_build_array(
    n.nspname, c.relname,
    (SELECT coalesce(json_agg(json_build_array(attname, atttypid::int8, declared, generated, identity)
                              ORDER BY attnum), '[]') FROM attribute),
    (SELECT coalesce(json_agg(json_build_array(oid, typtype, typbasetype, element, attributes)), '[]')
     FROM structure WHERE typtype IN ('d', 'e', 'c') OR element <> 0)
)::text
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.oid = to_regclass($1)
"""
"""One value, for `read_table`; no row if there is no such table. $1 is its name as SQL would have it."""

LIST_TABLES = """
SELECT coalesce(json_agg(c.oid::regclass::text), '[]')::text
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
"""
"""One value, for `no_such_table`."""


class Structure(NamedTuple):
    """A type whose values are made of others, or that stands for another one. Zero and () where it is not so."""

    kind: str
    """pg_type.typtype: d for a domain, e for an enumeration, c for a composite, b for an array."""
    base: int
    """The OID of the type that a domain is made of."""
    element: int
    """The OID of an array's element type."""
    attributes: Sequence[tuple[str, int]]
    """The names of a composite's attributes, and the OIDs of their types."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    name: str
    type: int
    """The OID of its type, which may be a domain."""
    declared: str
    """Its type as PostgreSQL writes it: `character varying(20)`."""
    generated: bool
    """Whether its value is always computed: nothing can be written to it."""
    identity: bool
    """Whether its value is GENERATED ALWAYS AS IDENTITY."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table, or what else rows can be written to. Immutable, so that it can be kept."""

    schema: str
    name: str
    columns: dict[str, Column]
    """By name, in the order of the table."""
    structures: dict[int, Structure]
    """By OID."""

    def resolve(self, oid: int) -> int:
        """The OID of the type that values are written as: a domain's base type, else the type itself."""
        while (structure := self.structures.get(oid)) is not None and structure.kind == "d":
            oid = structure.base
        return oid

    @property
    def defaults(self) -> list[Column]:
        """The columns that a row without names has: neither generated ones, nor GENERATED ALWAYS AS IDENTITY."""
        return [column for column in self.columns.values() if not column.generated and not column.identity]

    def pick(self, names: Iterable[str]) -> list[Column]:
        """The columns of these names. Raises ValueError for one that the table has not, or that is named twice."""
        picked: dict[str, Column] = {}
        for name in names:
            if name not in self.columns:
                fault = f"{self.name} has no column {name!r}{did_you_mean(name, self.columns)}"
                raise ValueError(f"{fault}. It has: {', '.join(self.columns)}")
            if name in picked:
                raise ValueError(f"column {name} of {self.name} is named twice")
            picked[name] = self.columns[name]
        return list(picked.values())


@lru_cache(maxsize=256)
def read_table(text: str) -> Table:
    """The table from what FIND_TABLE gives. What was read is kept by the very text, and so is never out of date."""
    schema, name, columns, structures = json.loads(text)
    return Table(
        schema,
        name,
        {column[0]: Column(*column) for column in columns},
        {oid: Structure(kind, base, element, attributes) for oid, kind, base, element, attributes in structures},
    )


def no_such_table(name: str, tables: Any) -> ValueError:
    """The error for a table that is not found; `tables` is what LIST_TABLES gives."""
    hint = did_you_mean(name, json.loads(tables))  # those that are not on the search_path have their schema
    return ValueError(f"there is no table {name}{hint}")


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """` (did you mean x?)`, or nothing where no name is near."""
    near = difflib.get_close_matches(str(name), list(known), 1)
    return f" (did you mean {near[0]}?)" if near else ""

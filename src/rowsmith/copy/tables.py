"""The table of a COPY, as the catalogue describes it: its columns, and what their types are made of."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from rowsmith.values.types import TEXT, TYPES, Type, array_of

FIND_TABLE = """
WITH RECURSIVE attribute AS NOT MATERIALIZED (
    SELECT attrelid, attnum, attname, atttypid, atttypmod, attgenerated, attidentity
    FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped
), type AS NOT MATERIALIZED (
    SELECT oid, typtype, typbasetype, typrelid,
           CASE typsubscript WHEN 'array_subscript_handler'::regproc THEN typelem ELSE 0 END AS element
    FROM pg_type
), part (oid) AS (
    SELECT atttypid FROM attribute WHERE attrelid = to_regclass($1)
    UNION
    SELECT inner_type.oid FROM part JOIN type USING (oid) CROSS JOIN LATERAL (
        VALUES (typbasetype), (element) UNION ALL SELECT atttypid FROM attribute WHERE attrelid = typrelid
    ) AS inner_type (oid) WHERE inner_type.oid <> 0
)
SELECT coalesce(
    (SELECT json_build_array(nspname, relname,
        (SELECT json_agg(json_build_array(
             attname, atttypid::int8, format_type(atttypid, atttypmod), attgenerated <> '', attidentity = 'a'
         ) ORDER BY attnum) FROM attribute WHERE attrelid = c.oid),
        (SELECT json_agg(json_build_array(
             oid::int8, typtype, typbasetype::int8, element::int8,
             (SELECT json_agg(json_build_array(attname, atttypid::int8) ORDER BY attnum)
              FROM attribute WHERE attrelid = typrelid)
         )) FROM part JOIN type USING (oid)))
     FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace WHERE c.oid = to_regclass($1)),
    (SELECT json_build_array(json_agg(c.oid::regclass::text))
     FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace
     WHERE relkind IN ('r', 'p', 'v', 'f') AND nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast'))
)::text
"""
"""Describes the table $1, for `read_table`: its columns and all types in them, or else the names of all tables.

The result is one text, which does not depend on the loaders of the connection.
"""


@dataclass(frozen=True, slots=True)
class ColumnType:
    """The type of a column, or of a part of its values. A domain is described as its base type."""

    oid: int
    fits: Type | None
    """Which values fit; None where psycopg decides: for composites, ranges, types of extensions."""
    is_enum: bool = False
    element: ColumnType | None = None
    """Of an array."""
    attributes: tuple[tuple[str, ColumnType], ...] = ()
    """Of a composite."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    name: str
    type: ColumnType
    declared: str
    """Its type as PostgreSQL writes it: `character varying(20)`."""
    generated: bool
    """Whether its value is always computed, so that none can be written."""
    identity: bool
    """Whether it is GENERATED ALWAYS AS IDENTITY."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table, or a view that can be written to."""

    schema: str
    name: str
    columns: dict[str, Column]
    """By name, in the order of the table."""

    def choose(self, names: Iterable[str] | None, fields: Iterable[str] | None = None) -> list[Column]:
        """The columns with these names, else those of a row with these fields, else those of a row without names.

        Without names, columns that PostgreSQL always generates are left out. Raises ValueError.
        """
        chosen: dict[str, Column] = {}
        for name in next(each for each in (names, fields, self.columns) if each is not None):
            if name not in self.columns:
                hint = did_you_mean(name, self.columns)
                raise ValueError(f"{self.name} has no column {name!r}{hint}. Its columns: {', '.join(self.columns)}")
            if name in chosen:
                raise ValueError(f"column {name} of {self.name} is named twice")
            column = self.columns[name]
            if names is not None or not (column.generated or (column.identity and fields is None)):
                chosen[name] = column
        if not chosen:
            raise ValueError(f"there are no columns of {self.name} to write")
        return list(chosen.values())


@lru_cache(maxsize=256)
def read_table(name: str, description: str) -> Table:
    """The table that FIND_TABLE describes, cached by what it says. Raises ValueError if there is none."""
    found = json.loads(description)
    if len(found) == 1:  # all tables; those that are not on the search_path with their schema
        raise ValueError(f"there is no table {name}{did_you_mean(name, found[0] or ())}")
    schema, table, columns, types = found
    parts = {oid: rest for oid, *rest in types or ()}

    def column_type(oid: int) -> ColumnType:
        kind, base, element_oid, attributes = parts[oid]
        if kind == "d":
            return column_type(base)
        if kind == "e":
            return ColumnType(oid, TYPES[TEXT], is_enum=True)
        if element_oid:
            element = column_type(element_oid)
            return ColumnType(oid, array_of(element.fits), element=element)
        return ColumnType(
            oid, TYPES.get(oid), attributes=tuple((name, column_type(part)) for name, part in attributes or ())
        )

    return Table(schema, table, {name: Column(name, column_type(oid), *rest) for name, oid, *rest in columns or ()})


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """` (did you mean x?)`, or nothing if no known name is similar."""
    similar = difflib.get_close_matches(str(name), list(known), 1)
    return f" (did you mean {similar[0]}?)" if similar else ""

"""PostgreSQL's types as Python's: the annotations of columns and parameters.

The catalogue is asked once for all types of all queries (`read_types`); what follows from that is pure.
"""

from __future__ import annotations

import builtins
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import psycopg
from psycopg.rows import TupleRow, args_row

from rowsmith.compiler.analysis.description import Description, Typed
from rowsmith.compiler.analysis.nested import Value, values_of
from rowsmith.compiler.module.overrides import CODECS, MODULES, SCALARS, Overrides, read_overrides
from rowsmith.compiler.module.source import camel, free_name, namespace_class
from rowsmith.errors import UnknownTypeError
from rowsmith.queries.query import Query

_OURS = {"Annotated": "typing", "From": CODECS, "Array": CODECS, "Iterable": "collections.abc"}
_TEXTS = frozenset({"citext"})
"""Types of extensions whose values are text."""
_PSEUDO = {"void": "None", "record": "tuple[str | None, ...]"}
"""PostgreSQL does not send the types of the columns of an anonymous row."""
_TYPES = b"""
SELECT t.oid::int8, n.nspname::text, t.typname::text, format_type(t.oid, NULL), t.typtype::text,
       coalesce(e.oid, t.typbasetype, 0)::int8, coalesce(r.rngsubtype, m.rngsubtype, 0)::int8, e.oid IS NOT NULL,
       array(SELECT l.enumlabel::text FROM pg_enum AS l WHERE l.enumtypid = t.oid ORDER BY l.enumsortorder),
       coalesce((SELECT json_object_agg(a.attname, a.atttypid::int8 ORDER BY a.attnum) FROM pg_attribute AS a
                 WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped), '{}'),
       EXISTS (SELECT FROM pg_cast AS k WHERE k.castsource = t.oid AND k.castfunc <> 0 AND t.oid >= 16384
               AND k.casttarget IN ('json'::regtype, 'jsonb'::regtype))
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
    casts_to_json: bool
    """Whether there is a function that makes JSON of it, as an extension's type may have."""

    @property
    def parts(self) -> set[int]:
        """The OIDs of the types that it is made of."""
        return {self.inner, self.bound, *self.attributes.values()} - {0}


def optional(annotation: str) -> str:
    """The annotation of what can be NULL."""
    return annotation if annotation == "None" or annotation.endswith(" | None") else f"{annotation} | None"


def plain(annotation: str) -> str:
    """An annotation as people write it: `list[Email]` for `list[Annotated[Email, From(str)]]`."""
    shorter = _FROM.sub(r"\1", annotation)
    return shorter if shorter == annotation else plain(shorter)


_FROM = re.compile(r"Annotated\[((?:(?!Annotated\[)[^()])*?), From\([^()]*\)\]")
"""A type of the user's, with what it is made of, which has no such type in it."""


def read_types(
    conn: psycopg.Connection[TupleRow],
    descriptions: Sequence[Description],
    overrides: Mapping[str, str] | None = None,
) -> Types:
    """Ask the catalogue for all types in the descriptions, and those inside them.

    Raises ModuleError if an override is not a type, or is for a type or column that does not exist.
    """
    chosen = read_overrides(conn, overrides or {})
    found: dict[int, PgType] = {}
    typed = [typed for each in descriptions for typed in (*each.parameters, *each.columns)]
    wanted = {each.oid for each in typed}
    wanted |= {value.oid for each in typed if each.shape for value in values_of(each.shape)}
    while wanted:
        rows = conn.cursor(row_factory=args_row(PgType)).execute(_TYPES, [list(wanted)])
        found |= {each.oid: each for each in rows}
        wanted = {oid for each in found.values() for oid in each.parts} - found.keys()
    return Types(found, chosen, [each.query for each in descriptions])


class Types:
    """The types of a database, and the annotations of parameters and columns."""

    def __init__(self, types: Mapping[int, PgType], overrides: Overrides, queries: Iterable[Query]) -> None:
        self._types = types
        self._overrides = overrides.annotations
        self.modules = {**MODULES, **_OURS, **overrides.modules}
        """The modules of the names that annotations import."""
        self.reserved = {"queries", *self.modules, *dir(builtins)}
        """The names that no class of the module may have. In the body of a class, a query hides a class of its name."""
        record_classes: set[str] = set()
        for query in queries:
            spaces = [query.namespace[:depth] for depth in range(len(query.namespace) + 1)]
            self.reserved |= {*query.namespace, query.name, *map(namespace_class, spaces)}
            record_classes.add(query.record_class or "")
        self._names = _class_names(types.values(), self.reserved | record_classes)
        self.own = {name: types[oid] for oid, name in self._names.items()}
        """The enumerations and composites, by the names of their classes."""

    def result(self, column: Typed) -> str:
        """The type of a column where it is not NULL. Raises UnknownTypeError."""
        return self._of(column.oid, column.origin, parameter=False)

    def value(self, value: Value) -> str:
        """The type of a value inside a row. Raises UnknownTypeError."""
        return self._of(value.oid, value.origin, parameter=False)

    def cast_to_json(self, oid: int) -> PgType | None:
        """The type, or a part of it, that has a cast to json of its own: a document has what that makes of it."""
        found = self._types[oid]
        parts = (self.cast_to_json(each) for each in sorted(found.parts))
        return found if found.casts_to_json else next(filter(None, parts), None)

    def is_chosen(self, typed: Typed) -> bool:
        """Whether the configuration says what the type of a column is."""
        return any(key in self._overrides for key in self._keys(typed.oid, typed.origin))

    def parameter(self, parameter: Typed) -> str:
        """The type of a parameter, besides None. Raises UnknownTypeError."""
        return self._of(parameter.oid, parameter.origin, parameter=True)

    def attributes(self, composite: PgType) -> dict[str, str]:
        """The types of a composite's attributes. Raises UnknownTypeError."""
        table = f"{composite.schema}.{composite.name}"  # if it is the type of a table's rows
        return {name: self._of(oid, f"{table}.{name}", parameter=False) for name, oid in composite.attributes.items()}

    def _keys(self, oid: int, origin: str | None) -> list[str]:
        """What the configuration may call a column and its type, the first one that it does counts."""
        found = self._types[oid]
        columns = [origin, origin.partition(".")[2]] if origin else []
        return [*columns, found.formatted, f"{found.schema}.{found.name}", found.name]

    def _of(self, oid: int, origin: str | None, *, parameter: bool) -> str:
        found = self._types[oid]
        for key in self._keys(oid, origin):
            if key in self._overrides:
                return self._override(self._overrides[key], found, parameter=parameter)
        return self._natural(found, parameter=parameter)

    def _natural(self, found: PgType, *, parameter: bool) -> str:
        if found.is_array:
            return _array(self._of(found.inner, None, parameter=parameter), parameter=parameter)
        match found.kind:
            case "b":
                return _scalar(found, parameter=parameter)
            case "d":
                return self._of(found.inner, None, parameter=parameter)
            case "e":
                return self._names[found.oid]
            case "c" if not self._contains(found.oid, found.oid):
                self.attributes(found)  # raises if one has an unsupported type
                return self._names[found.oid]
            case "r" | "m":
                name = "Range" if found.kind == "r" else "Multirange"
                return f"{name}[{self._of(found.bound, None, parameter=False)}]"
            case _ if found.name in _PSEUDO and not parameter:
                return _PSEUDO[found.name]
            case _:
                raise UnknownTypeError(found.formatted)

    def _contains(self, oid: int, wanted: int, seen: frozenset[int] = frozenset()) -> bool:
        """Whether a type has another in it: an array of itself within a composite."""
        inner = self._types[oid].parts - seen
        return wanted in inner or any(self._contains(each, wanted, seen | {oid}) for each in inner)

    def _override(self, annotation: str, found: PgType, *, parameter: bool) -> str:
        try:
            natural = self._natural(found, parameter=parameter)
        except UnknownTypeError:
            natural = "str"  # psycopg returns and accepts a type that it does not know as text
        return natural if plain(natural) == annotation else f"Annotated[{annotation}, From({natural})]"


def _array(item: str, *, parameter: bool) -> str:
    # To type checkers, a list of one type is not a list of a wider one, so a parameter names both.
    nullable = f"list[{optional(item)}]"
    return f"list[{item}] | {nullable}" if parameter and item != optional(item) else nullable


def _scalar(found: PgType, *, parameter: bool) -> str:
    if found.schema != "pg_catalog" and found.name not in _TEXTS:
        raise UnknownTypeError(found.formatted)
    natural = SCALARS.get(found.name, "str")
    # Wrapped, a value says which function dumps it, and tells JSON's null from NULL; a codec learns the type from it.
    return f"{natural} | {found.name.capitalize()}" if parameter and natural == "JsonValue" else natural


def _class_names(types: Iterable[PgType], taken: Collection[str]) -> dict[int, str]:
    """A class for each enumeration and composite. A name that is taken gets a `_`."""
    own = sorted((each for each in types if each.kind in "ec"), key=lambda each: (each.name, each.schema))
    frequency = Counter(each.name for each in own)
    names: dict[int, str] = {}
    for each in own:
        name = camel(each.name) if frequency[each.name] == 1 else camel(each.schema, each.name)
        names[each.oid] = free_name(name, {*taken, *names.values()})
    return names

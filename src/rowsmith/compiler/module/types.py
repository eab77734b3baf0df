"""PostgreSQL's types as Python's: the annotations of columns and parameters.

The catalogue is asked once for all types of all queries (`read_types`); what follows from that is pure.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterable, Mapping

import psycopg
from psycopg.rows import TupleRow

from rowsmith.compiler.analysis.description import Description, Typed
from rowsmith.compiler.module.overrides import CODECS, MODULES, Overrides, check_overrides, overriding, parse_override
from rowsmith.compiler.module.pgtypes import PgType, fetch

SCALARS = {
    "bool": "bool",
    "int2": "int",
    "int4": "int",
    "int8": "int",
    "oid": "int",
    "float4": "float",
    "float8": "float",
    "numeric": "Decimal",
    "bytea": "bytes",
    "date": "date",
    "time": "time",
    "timetz": "time",
    "timestamp": "datetime",
    "timestamptz": "datetime",
    "interval": "timedelta",
    "uuid": "UUID",
    "inet": "Inet",
    "cidr": "Cidr",
    "json": "JsonValue",
    "jsonb": "JsonValue",
}
"""The built-in types that psycopg does not return as text."""

_TEXTS = frozenset({"citext"})
"""Types of extensions whose values are text."""
_PSEUDO = {"void": "None", "record": "tuple[str | None, ...]"}
"""PostgreSQL does not send the types of the columns of an anonymous row."""

RESERVED = frozenset({"Queries", "queries"})
"""The names by which a generated module gives its queries."""


def optional(annotation: str) -> str:
    """The annotation of what can be NULL."""
    return annotation if annotation == "None" or annotation.endswith(" | None") else f"{annotation} | None"


def plain(annotation: str) -> str:
    """An annotation as people write it: `list[Email]` for `list[Annotated[Email, From(str)]]`."""
    shorter = _FROM.sub(r"\1", annotation)
    return shorter if shorter == annotation else plain(shorter)


_FROM = re.compile(r"Annotated\[((?:(?!Annotated\[)[^()])*?), From\([^()]*\)\]")
"""A type of the user's, with what it is made of, which has no such type in it."""


class UnsupportedError(Exception):
    """No Python type is known for a type; the message is the name of that type."""


def read_types(
    conn: psycopg.Connection[TupleRow], descriptions: Iterable[Description], overrides: Overrides | None = None
) -> Types:
    """Ask the catalogue for all types in the descriptions, and those inside them.

    Raises ModuleError if an override is not a type, or is for a type or column that does not exist.
    """
    descriptions = tuple(descriptions)
    if overrides:
        check_overrides(conn, overrides)
    found = fetch(conn, {typed.oid for each in descriptions for typed in (*each.parameters, *each.columns)})
    return Types(found, overrides or {}, _class_names(found, descriptions, overrides or {}))


class Types:
    """The types of a database, and the annotations of parameters and columns."""

    def __init__(self, types: Mapping[int, PgType], overrides: Overrides, names: Mapping[int, str]) -> None:
        self._types = types
        self._overrides = overrides
        self._names = names
        self.own = {name: types[oid] for oid, name in names.items()}
        """The enumerations and composites, by the names of their classes."""

    def result(self, column: Typed) -> str:
        """The type of a column where it is not NULL. Raises UnsupportedError."""
        return self._of(column.oid, column.origin, parameter=False)

    def parameter(self, parameter: Typed) -> str:
        """The type of a parameter, besides None. Raises UnsupportedError."""
        return self._of(parameter.oid, parameter.origin, parameter=True)

    def modules(self) -> dict[str, str]:
        """The modules of the names that annotations import."""
        ours = {"Annotated": "typing", "From": CODECS, "Array": CODECS, "Iterable": "collections.abc"}
        return MODULES | ours | overriding(self._overrides)

    def origins(self, oid: int) -> dict[str, str]:
        """The columns of a table, `schema.table.column` by their names, by the type of its rows."""
        row = self._types[oid]
        return {name: f"{row.schema}.{row.name}.{name}" for name, _ in row.attributes}

    def attributes(self, composite: PgType) -> dict[str, str]:
        """The types of a composite's attributes. Raises UnsupportedError."""
        origins = self.origins(composite.oid)  # if it is the type of a table's rows
        return {name: self._of(oid, origins[name], parameter=False) for name, oid in composite.attributes}

    def _of(self, oid: int, origin: str | None, *, parameter: bool) -> str:
        found = self._types[oid]
        columns = (origin, origin.partition(".")[2]) if origin else ()
        for key in (*columns, found.formatted, f"{found.schema}.{found.name}", found.name):
            if key in self._overrides:
                return self._override(key, found, parameter=parameter)
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
                raise UnsupportedError(found.formatted)

    def _contains(self, oid: int, wanted: int, seen: frozenset[int] = frozenset()) -> bool:
        """Whether a type has another in it: an array of itself within a composite."""
        found = self._types[oid]
        inner = {found.inner, found.bound, *dict(found.attributes).values()} - {0} - seen
        return wanted in inner or any(self._contains(each, wanted, seen | {oid}) for each in inner)

    def _override(self, key: str, found: PgType, *, parameter: bool) -> str:
        annotation, _ = parse_override(key, self._overrides[key])
        try:
            natural = self._natural(found, parameter=parameter)
        except UnsupportedError:
            natural = "str"  # psycopg returns and accepts a type that it does not know as text
        return natural if plain(natural) == annotation else f"Annotated[{annotation}, From({natural})]"


def _array(item: str, *, parameter: bool) -> str:
    # To type checkers, a list of one type is not a list of a wider one, so a parameter names both.
    nullable = f"list[{optional(item)}]"
    return f"list[{item}] | {nullable}" if parameter and item != optional(item) else nullable


def _scalar(found: PgType, *, parameter: bool) -> str:
    if found.schema != "pg_catalog" and found.name not in _TEXTS:
        raise UnsupportedError(found.formatted)
    natural = SCALARS.get(found.name, "str")
    # Wrapped, a value says which function dumps it, and tells JSON's null from NULL; a codec learns the type from it.
    return f"{natural} | {found.name.capitalize()}" if parameter and natural == "JsonValue" else natural


def camel(name: str) -> str:
    """`get_user` as the name of a class, `GetUser`."""
    words = re.split(r"[\W_]+", name)
    joined = "".join(word[:1].upper() + word[1:] for word in words)
    return joined if joined[:1].isalpha() else f"T{joined}"


def _class_names(
    types: Mapping[int, PgType], descriptions: Iterable[Description], overrides: Overrides
) -> dict[int, str]:
    """A class for each enumeration and composite. A name that is taken gets a `_`."""
    queries = [each.query for each in descriptions]
    taken = {name for query in queries for name in (query.record_class or "", query.name, *query.namespace)}
    taken |= MODULES.keys() | overriding(overrides).keys() | set(dir(builtins)) | RESERVED
    names: dict[int, str] = {}
    own = sorted((each for each in types.values() if each.kind in "ec"), key=lambda each: (each.name, each.schema))
    for each in own:
        same = [other for other in own if other.name == each.name]
        name = camel(each.name) if len(same) == 1 else camel(f"{each.schema}_{each.name}")
        while name in taken:
            name += "_"
        taken.add(name)
        names[each.oid] = name
    return names

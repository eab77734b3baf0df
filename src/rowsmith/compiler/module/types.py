"""PostgreSQL's types as Python's: what psycopg gives for a column, what a parameter takes, and who converts.

The catalogue is asked once for all types of all queries (`read_types`); what follows from that is pure.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import psycopg
from psycopg.pq import Format
from psycopg.rows import TupleRow

from rowsmith.compiler.analysis.description import Description, Typed
from rowsmith.compiler.module.overrides import MODULES, Overrides, check_overrides, parse_override
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
"""The built-in types that psycopg makes something else of than the text that PostgreSQL sends."""

RUNTIME = "codecs"
"""The module of the codecs, as a generated one imports it."""

_TEXTS = frozenset({"citext"})
"""Types of extensions that are texts."""

RESERVED = frozenset(
    {
        "Any", "AsyncConnection", "BaseModel", "Connection", "Coroutine", "Iterable", "Path", "Protocol", "Queries",
        "AsyncStream", "StrEnum", "Stream", "TypedDict", "TypedQuery",
    }
)  # fmt: skip
"""The other names of a generated module."""

_FIRST_OWN_OID = 16384  # transam.h, FirstNormalObjectId: below, an OID is the same in every database


@dataclass(frozen=True, slots=True)
class PythonType:
    """A type of Python's, as source text, and how its values are read and written."""

    expression: str
    """As an annotation has it: `list[UserRole | None]`."""
    imports: frozenset[tuple[str, str]]
    """The (module, name) pairs of the names in it and in the codec."""
    codec: str
    """The codec, as an expression; that of a composite is the module's own `_Name`."""
    reads: bool = False
    """Whether a column goes through the codec; else psycopg gives the value as it is to be."""
    writes: bool = False
    """Whether a parameter goes through the codec."""
    own: frozenset[int] = frozenset()
    """The enumerations and composites in it, which the module has to define."""

    def or_none(self) -> str:
        """The expression for what can be NULL."""
        return self.expression if self.expression == "None" else f"{self.expression} | None"


class UnsupportedError(Exception):
    """There is no Python type for a type; its message is the name of that one."""


def read_types(
    conn: psycopg.Connection[TupleRow], descriptions: Iterable[Description], overrides: Overrides | None = None
) -> Types:
    """Ask the catalogue for all types in the descriptions, and those inside them.

    Raises ModuleError where an override is no type, or names a type or column that there is not.
    """
    descriptions = tuple(descriptions)
    if overrides:
        check_overrides(conn, overrides)
    found = fetch(conn, {typed.oid for each in descriptions for typed in (*each.parameters, *each.columns)})
    return Types(found, overrides or {}, _class_names(found, descriptions))


class Types:
    """The types of a database, and the Python types of parameters and columns."""

    def __init__(self, types: Mapping[int, PgType], overrides: Overrides, names: Mapping[int, str]) -> None:
        self._types = types
        self._overrides = overrides
        self.class_names = names
        """The class of each enumeration and composite."""

    def result(self, column: Typed) -> PythonType:
        """What a column gives where it is not NULL. Raises UnsupportedError."""
        return self._of(column, parameter=False)

    def parameter(self, parameter: Typed) -> PythonType:
        """What a parameter takes, besides None. Raises UnsupportedError."""
        return self._of(parameter, parameter=True)

    def definition(self, oid: int) -> PgType:
        """An enumeration or a composite."""
        return self._types[oid]

    def attributes(self, oid: int) -> list[tuple[str, PythonType]]:
        """The attributes of a composite. Raises UnsupportedError."""
        return [(name, self._type(each, parameter=False)) for name, each in self._types[oid].attributes]

    def order(self, oids: Iterable[int]) -> list[int]:
        """Enumerations and composites by name, each after those that it is made of."""
        ordered: list[int] = []

        def add(oid: int) -> None:
            if self._types[oid].kind == "c":
                inner = {each for _, attribute in self.attributes(oid) for each in attribute.own}
                for each in sorted(inner - {oid}, key=self.class_names.__getitem__):
                    add(each)
            if oid not in ordered:
                ordered.append(oid)

        for oid in sorted(oids, key=lambda each: (self._types[each].kind != "e", self.class_names[each])):
            add(oid)
        return ordered

    def _of(self, typed: Typed, *, parameter: bool) -> PythonType:
        for key in _column_keys(typed.origin):
            if key in self._overrides:
                return self._override(key, typed.oid, parameter=parameter)
        return self._type(typed.oid, parameter=parameter)

    def _type(self, oid: int, *, parameter: bool) -> PythonType:
        found = self._types[oid]
        for key in (found.formatted, f"{found.schema}.{found.name}", found.name):
            if key in self._overrides:
                return self._override(key, oid, parameter=parameter)
        return self._natural(oid, parameter=parameter)

    def _natural(self, oid: int, *, parameter: bool) -> PythonType:
        found = self._types[oid]
        if found.is_array:
            return self._array(found, self._type(found.inner, parameter=parameter), parameter=parameter)
        match found.kind:
            case "b":
                return _scalar(found, parameter=parameter)
            case "d":
                return self._type(found.inner, parameter=parameter)
            case "e":
                name = self.class_names[oid]
                return PythonType(name, frozenset(), f"{RUNTIME}.Enumeration({name})", reads=True, own=frozenset({oid}))
            case "c":
                return self._composite(found)
            case "r" | "m":
                return self._range(found)
            case _:
                return _pseudo(found, parameter=parameter)

    def _array(self, found: PgType, item: PythonType, *, parameter: bool) -> PythonType:
        nullable = f"list[{item.or_none()}]"
        # A list of one type is none of a wider one to type checkers, so both are named.
        expression = (
            f"list[{item.expression}] | {nullable}" if parameter and nullable[5:-1] != item.expression else nullable
        )
        direct = found.oid < _FIRST_OWN_OID and _loaded(found.oid)
        return PythonType(
            expression,
            item.imports,
            f"{RUNTIME}.Array({item.codec})",
            item.reads or not direct,
            item.writes,
            item.own,
        )

    def _composite(self, found: PgType) -> PythonType:
        if any(oid == found.oid or self._contains(oid, found.oid) for _, oid in found.attributes):
            raise UnsupportedError(found.formatted)
        self.attributes(found.oid)  # raises where one is of a type that is not supported
        name = self.class_names[found.oid]
        return PythonType(name, frozenset(), f"_{name}", reads=True, writes=True, own=frozenset({found.oid}))

    def _contains(self, oid: int, wanted: int, seen: frozenset[int] = frozenset()) -> bool:
        """Whether a type has another in it: an array of itself within a composite."""
        found = self._types[oid]
        inner = {found.inner, found.bound, *dict(found.attributes).values()} - {0} - seen
        return wanted in inner or any(self._contains(each, wanted, seen | {oid}) for each in inner)

    def _range(self, found: PgType) -> PythonType:
        bound = self._type(found.bound, parameter=False)
        name, codec = ("Range", "RangeOf") if found.kind == "r" else ("Multirange", "MultirangeOf")
        direct = found.oid < _FIRST_OWN_OID and _loaded(found.oid)
        return PythonType(
            f"{name}[{bound.expression}]",
            bound.imports | {(MODULES[name], name)},
            f"{RUNTIME}.{codec}({bound.codec})",
            bound.reads or not direct,
            own=bound.own,
        )

    def _override(self, key: str, oid: int, *, parameter: bool) -> PythonType:
        expression, imports = parse_override(key, self._overrides[key])
        try:
            natural = self._natural(oid, parameter=parameter)
        except UnsupportedError:
            # What psycopg does not know it gives, and takes, as text.
            natural = PythonType("str", frozenset(), f"{RUNTIME}.Scalar({oid if oid < _FIRST_OWN_OID else 25})")
        if expression == natural.expression:
            return natural
        return PythonType(
            expression,
            imports,
            f"{RUNTIME}.Bound({expression}, {natural.codec})",
            reads=True,
            writes=natural.writes,
            own=natural.own,
        )


def _scalar(found: PgType, *, parameter: bool) -> PythonType:
    if found.schema != "pg_catalog":
        if found.name not in _TEXTS:
            raise UnsupportedError(found.formatted)
        return PythonType("str", frozenset(), f"{RUNTIME}.Scalar(25)")
    expression = SCALARS.get(found.name, "str")
    if found.name in ("json", "jsonb"):
        wrapper = found.name.capitalize()
        imports = {(MODULES["JsonValue"], "JsonValue")}
        if parameter:  # wrapped, it says which function dumps it, and tells JSON's null from NULL
            imports.add((MODULES[wrapper], wrapper))
            expression = f"{expression} | {wrapper}"
        return PythonType(expression, frozenset(imports), f"{RUNTIME}.{found.name}", writes=True)
    imported = frozenset({(MODULES[expression], expression)}) if expression in MODULES else frozenset[tuple[str, str]]()
    return PythonType(expression, imported, f"{RUNTIME}.Scalar({found.oid})")


def _pseudo(found: PgType, *, parameter: bool) -> PythonType:
    if parameter:
        raise UnsupportedError(found.formatted)
    match found.name:
        case "void":
            return PythonType("None", frozenset(), f"{RUNTIME}.void", reads=True)
        case "record":  # an anonymous row: PostgreSQL does not send the types of its columns
            return PythonType("tuple[str | None, ...]", frozenset(), f"{RUNTIME}.Scalar({found.oid})")
        case _:
            raise UnsupportedError(found.formatted)


def _loaded(oid: int) -> bool:
    return psycopg.adapters.get_loader(oid, Format.TEXT) is not None


def _column_keys(origin: str | None) -> list[str]:
    return [origin, origin.partition(".")[2]] if origin else []


def camel(name: str) -> str:
    """`get_user` as the name of a class, `GetUser`."""
    words = re.split(r"[\W_]+", name)
    joined = "".join(word[:1].upper() + word[1:] for word in words)
    return joined if joined[:1].isalpha() else f"T{joined}"


def _class_names(types: Mapping[int, PgType], descriptions: Iterable[Description]) -> dict[int, str]:
    """A class for each enumeration and composite. A name that a query gave, or an earlier type has, gets a `_`."""
    taken = {each.query.record_class or "" for each in descriptions} | MODULES.keys() | set(dir(builtins)) | RESERVED
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

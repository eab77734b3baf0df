"""Which Python values the columns of each type take in a COPY.

psycopg's binary dumpers for a given type trust that a value is of that type: they cut integers off, take any object for
a bool, and read the memory of whatever they are given for a time. Its text dumpers go by the value's type, and the
server reads what they write: a time zone that the column does not keep is dropped. By the rules here, which are the
same for both formats, a value is either stored as it is or refused.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Any, NamedTuple, SupportsFloat, SupportsIndex
from uuid import UUID

import psycopg
from psycopg import postgres
from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap, PyFormat
from psycopg.types.json import Json, Jsonb
from pydantic import TypeAdapter

from rowsmith.values.tables import Table

Dump = Callable[[Any], Buffer | None]
_ANYTHING = TypeAdapter[Any](Any)
_FIRST_USER_OID = 16384
"""access/transam.h, FirstNormalObjectId: the built-in types are below it."""


class Rule(NamedTuple):
    """What a column takes, besides None."""

    takes: str
    types: tuple[type, ...]
    fits: Callable[[Any], bool]
    """Whether a value is taken. One of `types` may still be none that the column can keep."""

    def put(self, value: Any) -> None:
        """Raise what `misfit` says, if a value does not fit."""
        if not self.fits(value):
            raise self.misfit(value)

    def misfit(self, value: object) -> Exception:
        """The error for a value that does not fit: TypeError, or ValueError where its type is a right one."""
        name = type(value).__qualname__
        if isinstance(value, self.types):
            return ValueError(f"takes {self.takes}, which this {name} is not")
        return TypeError(f"takes {self.takes}, not {name}")


def is_list(value: Any) -> bool:
    """isinstance() would make of Any a list of what pyright does not know."""
    return isinstance(value, list)


def oid_of(name: str) -> int:
    """The OID of a built-in type. psycopg's registry has them all, and they never change (pg_type.dat)."""
    return postgres.types[name].oid


JSON: Mapping[int, type[Json | Jsonb]] = {oid_of("json"): Json, oid_of("jsonb"): Jsonb}
"""The types of JSON, and by which class psycopg knows a value as one of them."""


def rule_for(table: Table, oid: int) -> Rule | None:
    """The rule of a type, or None where a value is left to psycopg: composites, ranges, types of extensions."""
    oid = table.resolve(oid)
    structure = table.structures.get(oid)
    if structure is None:
        return _RULES.get(oid)
    if structure.kind == "e":
        return _RULES[oid_of("text")]
    return _array(rule_for(table, structure.element)) if structure.element else None


@lru_cache(maxsize=64)
def _array(element: Rule | None) -> Rule:
    if element is None:
        return _of("a list", list)

    def fits(value: Any) -> bool:
        return is_list(value) and all(item is None or (fits if is_list(item) else element.fits)(item) for item in value)

    return Rule(f"a list, each element of it None or {element.takes}", (list,), fits)


def _of(takes: str, *types: type) -> Rule:
    def fits(value: Any) -> bool:
        return isinstance(value, types)

    return Rule(takes, types, fits)


def _integer(low: int, high: int) -> Rule:
    def fits(value: Any) -> bool:
        return isinstance(value, SupportsIndex) and low <= value.__index__() <= high

    return Rule(f"an int from {low} to {high}", (SupportsIndex,), fits)


def _fits_float(value: Any) -> bool:
    """Any number that a double can hold: a Decimal may be too large, or too small."""
    if isinstance(value, float):
        return True
    if not isinstance(value, (SupportsFloat, SupportsIndex)):
        return False
    try:
        return _is_kept(value, float(value))
    except OverflowError:
        return False


def _fits_real(value: Any) -> bool:
    try:
        return _fits_float(value) and _is_kept(float(value), struct.unpack("!f", struct.pack("!f", value))[0])
    except OverflowError:
        return False


def _is_kept(value: Any, written: float) -> bool:
    """Whether a number was at most rounded: it has become neither infinite nor zero."""
    return bool(value == written) if math.isinf(written) or written == 0 else True


def _fits_bool(value: Any) -> bool:
    return isinstance(value, int) and value in (0, 1)


def _fits_date(value: Any) -> bool:
    return isinstance(value, date) and not isinstance(value, datetime)


def _fits_time(value: Any) -> bool:
    return isinstance(value, time) and value.tzinfo is None


def _fits_timetz(value: Any) -> bool:
    return isinstance(value, time) and value.utcoffset() is not None


def _fits_timestamp(value: Any) -> bool:
    return _fits_moment(value) and value.tzinfo is None


def _fits_timestamptz(value: Any) -> bool:
    return _fits_moment(value) and value.utcoffset() is not None


def _fits_moment(value: Any) -> bool:
    # The class of pandas.NaT says that it is a datetime, and nothing else does.
    return isinstance(value, datetime) and value - value == timedelta(0)


_BY_NAME: dict[str, Rule] = {
    "bool": Rule("a bool", (bool,), _fits_bool),
    "int2": _integer(-(2**15), 2**15 - 1),
    "int4": _integer(-(2**31), 2**31 - 1),
    "int8": _integer(-(2**63), 2**63 - 1),
    "oid": _integer(0, 2**32 - 1),
    "float4": Rule("a float that a real can hold", (SupportsFloat, SupportsIndex), _fits_real),
    "float8": Rule("a float", (SupportsFloat, SupportsIndex), _fits_float),
    "numeric": _of("a Decimal or an int", Decimal, int),
    "text": _of("a str", str),
    "varchar": _of("a str", str),
    "bpchar": _of("a str", str),
    "name": _of("a str", str),
    "bytea": _of("bytes", bytes, bytearray, memoryview),
    "uuid": _of("a UUID", UUID),
    "inet": _of("an IP address or interface", IPv4Address, IPv6Address, IPv4Interface, IPv6Interface),
    "cidr": _of("an IP network", IPv4Network, IPv6Network),
    "date": Rule("a date that is no datetime", (date,), _fits_date),
    "time": Rule("a time without time zone", (time,), _fits_time),
    "timetz": Rule("a time with time zone", (time,), _fits_timetz),
    "timestamp": Rule("a datetime without time zone", (datetime,), _fits_timestamp),
    "timestamptz": Rule("a datetime with time zone", (datetime,), _fits_timestamptz),
    "interval": _of("a timedelta", timedelta),
    "json": _of("what JSON can hold", object),
    "jsonb": _of("what JSON can hold", object),
}
_RULES = {oid_of(name): rule for name, rule in _BY_NAME.items()}
NUMBERS = frozenset(map(oid_of, ("int2", "int4", "int8", "oid", "float4", "float8", "numeric")))


@lru_cache(maxsize=1024)
def is_stock(dumper: type) -> bool:
    """Whether what a dumper does is psycopg's, and not a user's.

    Not by the module of the class: that of a class which psycopg makes at run time, as for arrays, is `abc`.
    """
    home = next(cls for cls in dumper.__mro__ if "dump" in vars(cls))
    return home.__module__.partition(".")[0] in ("psycopg", "psycopg_binary", "psycopg_c")


def is_custom(adapters: AdaptersMap, kind: type) -> bool:
    """Whether a user has registered how the values of a class are written: a dumper, an enumeration, a composite."""
    try:
        dumper = adapters.get_dumper(kind, PyFormat.TEXT)
    except psycopg.ProgrammingError:  # there is none at all
        return False
    return dumper.oid >= _FIRST_USER_OID or not is_stock(dumper)


def with_json(dump: Dump) -> Dump:
    """`dump` of JSON, for all that pydantic can make JSON of: models, dataclasses, times, sets and more."""

    def dump_json(value: Any) -> Buffer | None:
        try:
            return dump(value)
        except TypeError:  # from json.dumps, or from what the user has set in its place
            if isinstance(value, (Json, Jsonb)):
                return dump(type(value)(_ANYTHING.dump_python(value.obj, mode="json"), value.dumps))
            return dump(_ANYTHING.dump_python(value, mode="json"))

    return dump_json

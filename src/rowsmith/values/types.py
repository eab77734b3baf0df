"""PostgreSQL's built-in types, and the Python values that each of them stores unchanged.

This is the one table for prepared statements (`values/dumpers.py`) and for COPY (`copy/formats.py`). To add a type, add
an entry to `_BY_NAME`, and edge values to `tests/values/test_type_table.py`, which sends them in all three ways. Types
without an entry work as well, as psycopg writes them. Annotations of columns are in `compiler/module/types.py`.

psycopg alone is not enough. Its binary dumpers trust their values: they cut integers off, take any object for a bool,
and read the memory of whatever they are given as a time. Its text dumpers go by the class of the value, and PostgreSQL
drops what the column cannot keep, such as a time zone.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Any, SupportsFloat, SupportsIndex, TypeGuard
from uuid import UUID

from psycopg import postgres
from psycopg.abc import Buffer
from psycopg.types.json import Json, Jsonb

Dump = Callable[[Any], Buffer | None]


@dataclass(eq=False)
class Type:
    """The values that a type stores unchanged. None is NULL, and fits every type."""

    expected: str
    """The values that fit, for error messages: `an int from -32768 to 32767`."""
    exact: tuple[type, ...]
    """The classes that stand for the type, the most frequent one first. Prepared statements write no others."""
    others: tuple[type, ...] = ()
    """Further classes that COPY writes."""
    usual: str = ""
    """The condition on which a `value` fits without a closer look, as Python source. By default, its class decides."""
    trusted: str = ""
    """The condition on which psycopg's binary dumper refuses what does not fit by itself. By default, `usual`."""
    fits: Callable[[Any], bool] | None = None
    """Whether a value of any class fits. None: all values of the classes above fit."""
    in_binary: bool = True
    """Whether prepared statements send it in binary."""
    dump: Dump | None = None
    """Our own binary dumper, where psycopg's is slow or cuts values off. For a value that does not fit it may raise."""

    def __post_init__(self) -> None:
        self.usual = self.usual or f"type(value) is {self.exact[0].__name__}"
        self.trusted = self.trusted or self.usual

    def takes(self, kind: type) -> bool:
        """Whether values of a class may fit."""
        return issubclass(kind, (*self.exact, *self.others))

    def checked(self, value: object) -> Any:
        """The value. Raises the error of `misfit` if it does not fit."""
        if not (self.fits(value) if self.fits else self.takes(type(value))):
            raise self.misfit(value)
        return value

    def misfit(self, value: object) -> Exception:
        """The error for a value that does not fit: a TypeError, or a ValueError where its class is right."""
        found = f"expected {self.expected}, found {type(value).__qualname__}"
        return ValueError(f"{found} {value!s:.40}") if self.takes(type(value)) else TypeError(found)


def array_of(element: Type | None) -> Type:
    """An array as a list. Lists in it are further dimensions. Without an element type, any element fits."""
    inner = element or _ANYTHING

    def fits(value: Any) -> bool:
        if is_list(value):
            map_list(lambda item: (array if is_list(item) else inner).checked(item), value)
        return is_list(value)

    array = Type("a list", (list,), usual="False", fits=fits)
    return array


def map_list(function: Callable[[Any], Any], values: list[Any]) -> list[Any]:
    """The results of a function for the elements; None stays None. An error is a ValueError that names the element."""
    results: list[Any] = []
    for number, value in enumerate(values, 1):
        try:
            results.append(None if value is None else function(value))
        except (TypeError, ValueError) as error:
            raise ValueError(f"element {number}: {error}") from error
    return results


def is_list(value: Any) -> TypeGuard[list[Any]]:
    """Unlike isinstance(), it tells pyright what is in the list."""
    return isinstance(value, list)


def _integer(code: str, low: int, high: int, trusted: str = "") -> Type:
    def fits(value: Any) -> bool:
        return isinstance(value, SupportsIndex) and low <= value.__index__() <= high

    usual, dump = f"type(value) is int and {low} <= value <= {high}", struct.Struct(code).pack
    return Type(f"an int from {low} to {high}", (int,), (SupportsIndex,), usual, trusted, fits, dump=dump)


def _rounds_to(code: str) -> Callable[[Any], bool]:
    """Whether a number is only rounded by a format of `struct`: it becomes neither infinite nor zero."""

    def fits(value: Any) -> bool:
        if not isinstance(value, _NUMBER):
            return False
        try:
            (written,) = struct.unpack(code, struct.pack(code, float(value)))
        except OverflowError:
            return False
        return bool(value == written) or not (math.isinf(written) or written == 0)

    return fits


def _clock(kind: type[time | datetime], *, zone: bool) -> Type:
    """Times and datetimes, with a time zone or without."""

    def fits(value: Any) -> bool:
        if not isinstance(value, kind) or (isinstance(value, datetime) and value - value != timedelta(0)):
            return False  # also pandas.NaT, which is an instance of datetime, but not a point in time
        return value.utcoffset() is not None if zone else value.tzinfo is None

    is_kind = f"type(value) is {kind.__name__}"
    usual = f"{is_kind} and value.{'utcoffset() is not None' if zone else 'tzinfo is None'}"
    # psycopg takes any object for a time. Of a datetime it checks the time zone, but not the class.
    trusted = is_kind if kind is datetime else usual
    return Type(f"a {kind.__name__} {'with' if zone else 'without'} a time zone", (kind,), (), usual, trusted, fits)


_NUMBER = (SupportsFloat, SupportsIndex)
_REAL = "type(value) is float and (value == 0 or 1e-37 < abs(value) < 3e38)"
_DOUBLE = struct.Struct("!d").pack
_ADDRESS = (IPv4Address, IPv6Address, IPv4Interface, IPv6Interface)
_NETWORK = (IPv4Network, IPv6Network)
_TEXT = Type("a str", (str,), trusted="True", in_binary=False)
_ANYTHING = Type("a value that JSON can hold", (object,), usual="False", trusted="True", in_binary=False)
_BY_NAME = {
    "bool": Type("a bool", (bool,), fits=lambda v: isinstance(v, int) and v in (0, 1)),
    "int2": _integer("!h", -(2**15), 2**15 - 1),
    "int4": _integer("!i", -(2**31), 2**31 - 1),
    "int8": _integer("!q", -(2**63), 2**63 - 1, trusted="True"),
    "oid": _integer("!I", 0, 2**32 - 1),
    "float4": Type("a number in the range of real", (float,), _NUMBER, _REAL, fits=_rounds_to("!f"), in_binary=False),
    "float8": Type("a number in the range of double precision", (float,), _NUMBER, fits=_rounds_to("!d"), dump=_DOUBLE),
    "numeric": Type("a Decimal or an int", (Decimal,), (int,), trusted="True", in_binary=False),
    **dict.fromkeys(("text", "varchar", "bpchar", "name"), _TEXT),
    "bytea": Type("bytes", (bytes, bytearray, memoryview), trusted="True"),
    "uuid": Type("a UUID", (UUID,), trusted="True", dump=lambda value: value.int.to_bytes(16)),
    "inet": Type("an IP address or interface", _ADDRESS, trusted="True", in_binary=False),
    "cidr": Type("an IP network", _NETWORK, trusted="True", in_binary=False),
    "date": Type("a date without a time", (date,), fits=lambda v: isinstance(v, date) and not isinstance(v, datetime)),
    "time": _clock(time, zone=False),
    "timetz": _clock(time, zone=True),
    "timestamp": _clock(datetime, zone=False),
    "timestamptz": _clock(datetime, zone=True),
    "interval": Type("a timedelta", (timedelta,)),
    **dict.fromkeys(("json", "jsonb"), _ANYTHING),
}
_OIDS = {name: postgres.types[name].oid for name in _BY_NAME}  # those of built-in types never change (pg_type.dat)
TYPES = {_OIDS[name]: entry for name, entry in _BY_NAME.items()}
"""By OID."""
CLASSES = {entry.exact[0].__name__: entry.exact[0] for entry in TYPES.values()}
"""The classes that the conditions name."""
JSON: Mapping[int, type[Json | Jsonb]] = {_OIDS["json"]: Json, _OIDS["jsonb"]: Jsonb}
"""The types of JSON, and the class by which psycopg knows a value as one of them."""
TEXT, BPCHAR, NUMERIC, UUID_OID = (_OIDS[name] for name in ("text", "bpchar", "numeric", "uuid"))

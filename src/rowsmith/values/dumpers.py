"""The dumpers of a prepared statement's parameters, and what they share with COPY.

psycopg's cursor chooses a type by the value, and tells the server. Here the server has told the type of the parameter,
and the value has to fit it. A value that does not plainly fit, by `values/types.py`, is left to psycopg's cursor.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Any, Self

import psycopg
from psycopg import postgres
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import AdaptersMap, PyFormat, Transformer
from psycopg.adapt import Dumper as _PsycopgDumper
from psycopg.pq import Format
from psycopg.types.json import Json, Jsonb

from rowsmith.values.types import NUMERIC, TYPES, Dump

_ELEMENTS = {info.array_oid: info.oid for info in postgres.types if info.array_oid}
_PSYCOPG = ("psycopg", "psycopg_binary", "psycopg_c")
_STRINGS = {postgres.types["text"].oid, postgres.types["varchar"].oid}
_FIRST_USER_OID = 16384  # FirstNormalObjectId in PostgreSQL's access/transam.h


class Sent(bytes):
    """A value in the binary form in which PostgreSQL has sent it, and the OID of its type."""

    oid: int

    def __new__(cls, data: bytes, oid: int) -> Self:
        """Of these bytes and this type."""
        value = super().__new__(cls, data)
        value.oid = oid
        return value


class SentDumper(_PsycopgDumper):
    """Sends such a value back through psycopg's cursor."""

    format = Format.BINARY

    def dump(self, obj: Sent) -> Buffer:
        """The bytes themselves."""
        return obj

    def get_key(self, obj: Sent, format: PyFormat) -> tuple[type, int]:  # type: ignore[override]  # noqa: A002 - psycopg's name
        """One dumper for each type."""
        return self.cls, obj.oid

    def upgrade(self, obj: Sent, format: PyFormat) -> Self:  # noqa: A002 - psycopg's names
        """The dumper of the value's type."""
        dumper = type(self)(self.cls)
        dumper.oid = obj.oid
        return dumper


class Dumper(dict[type, Dump]):
    """The functions that write the values of a parameter, by the class of the value. They raise if it does not fit."""

    def __init__(self, oid: int, context: AdaptContext) -> None:
        super().__init__()
        self._oid = oid
        self._type = TYPES.get(oid)
        self._transformer = Transformer(context)
        self._element: Dumper | None = Dumper(_ELEMENTS[oid], context) if oid in _ELEMENTS else None
        is_binary = self._type is not None and self._type.in_binary
        self.format: Format = Format(is_binary) if self._element is None else self._element.format

    def __missing__(self, kind: type) -> Dump:
        dump = self[kind] = self._find(kind)
        return dump

    def _find(self, kind: type) -> Dump:
        if kind is type(None):
            return lambda _: None
        if not is_stock(self._transformer.adapters.get_dumper(kind, PyFormat.AUTO)):
            return _unfit
        if self._element is not None and self.format is Format.BINARY:
            return _array(_ELEMENTS[self._oid], self._element) if kind is list else _unfit
        if self._type is not None and self._type.in_binary:
            return (self._type.dump or self._matching) if kind in self._type.exact else _unfit
        if kind is str:  # a shortcut: all values of this class have the same dumper, for any type
            return self._transformer.get_dumper("", PyFormat.TEXT).dump
        if kind is int and self._oid == NUMERIC:  # psycopg's dumpers for an int are for other types
            return lambda value: str(value).encode()
        return self._matching

    def _matching(self, value: Any) -> Buffer | None:
        """Write by psycopg's dumper for the value, if that is for the parameter's type, or, as for a str, for any."""
        dumper = self._transformer.get_dumper(value, PyFormat.from_pq(self.format))
        return dumper.dump(value) if dumper.oid in (self._oid, 0) else _unfit(value)


class SentBack(Dumper):
    """The dumper of a parameter whose values are `Sent`."""

    def __init__(self, oid: int, context: AdaptContext) -> None:
        super().__init__(oid, context)
        self.format = Format.BINARY

    def _find(self, kind: type) -> Dump:
        return self._same if kind is Sent else _unfit

    def _same(self, value: Sent) -> Buffer:
        # varchar is text to an operator. What has another type, such as a domain, is sent by psycopg's cursor, with it.
        return value if value.oid == self._oid or {value.oid, self._oid} == _STRINGS else _unfit(value)


def dump_function(dumpers: Sequence[Dumper]) -> Callable[[Sequence[Any]], list[Buffer | None] | None]:
    """A function that dumps the values of all parameters, and returns None if one of them does not fit."""

    def dump(values: Sequence[Any]) -> list[Buffer | None] | None:
        try:
            return list(map(_dump, dumpers, values))
        except Exception:  # noqa: BLE001 - psycopg's cursor knows how, or raises its own error
            return None

    def dump_one(values: Sequence[Any]) -> list[Buffer | None] | None:
        value = values[0]
        try:
            return [dumper[type(value)](value)]
        except Exception:  # noqa: BLE001 - as above
            return None

    if len(dumpers) != 1:
        return dump
    dumper = dumpers[0]
    return dump_one


def _dump(dumper: Dumper, value: Any) -> Buffer | None:
    return dumper[type(value)](value)


def _unfit(value: object) -> Buffer:
    raise TypeError(f"{type(value).__qualname__} is left to psycopg's cursor")


def _array(oid: int, element: Dumper) -> Dump:
    """Writes a list of elements of a type as an array of one dimension (array_recv in PostgreSQL's arrayfuncs.c)."""
    head, length = struct.Struct("!iiIii").pack, struct.Struct("!i").pack
    empty, null = struct.pack("!iiI", 0, 0, oid), length(-1)

    def dump(values: list[Any]) -> bytes:
        if not values:
            return empty
        parts: list[Buffer] = [head(1, None in values, oid, len(values), 1)]
        for value in values:
            data = element[type(value)](value)
            parts += (null,) if data is None else (length(len(data)), data)
        return b"".join(parts)

    return dump


@lru_cache(maxsize=1024)
def is_stock(dumper: type) -> bool:
    """Whether a dumper is psycopg's own. The module of those that it makes at run time, as for arrays, is `abc`."""
    home = next(cls for cls in dumper.__mro__ if "dump" in vars(cls))
    package, home_package = (cls.__module__.partition(".")[0] for cls in (dumper, home))
    return home_package in _PSYCOPG and package in (*_PSYCOPG, "abc")


def is_custom(adapters: AdaptersMap, kind: type) -> bool:
    """Whether a user has registered how a class is written: by a dumper, as an enumeration or as a composite."""
    try:
        dumper = adapters.get_dumper(kind, PyFormat.TEXT)
    except psycopg.ProgrammingError:  # there is none
        return False
    return dumper.oid >= _FIRST_USER_OID or not is_stock(dumper)


def dump_json(dump: Dump, value: Any) -> Buffer | None:
    """Write a value as JSON by psycopg's `dump`, if need be by way of pydantic: models, dataclasses, times, sets."""
    try:
        return dump(value)
    except TypeError:  # by json.dumps, or by the function that the user has set
        if isinstance(value, (Json, Jsonb)):
            return dump(type(value)(_dump_python()(value.obj, mode="json"), value.dumps))
        return dump(_dump_python()(value, mode="json"))


@cache
def _dump_python() -> Callable[..., Any]:
    from pydantic import TypeAdapter  # noqa: PLC0415 - slow to import, and seldom needed

    return TypeAdapter[Any](Any).dump_python

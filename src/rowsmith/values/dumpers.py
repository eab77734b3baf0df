"""The dumpers of a prepared statement's parameters: from a Python value to the bytes of the parameter's own type.

psycopg chooses a type by the value, and tells the server; here the server has told the type, and the value has to fit
it. Where it does not fit without a doubt, `Unfit` says so, and the value is left to psycopg and its rules.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from operator import attrgetter
from typing import Any
from uuid import UUID

from psycopg import postgres
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import Format

Dump = Callable[[Any], Buffer | None]


class Unfit(Exception):  # noqa: N818 - no error: it sends a value the other way
    """A value that is not written as the parameter's type here."""


class Dumper(dict[type, Dump]):
    """How the values of one parameter are written, by their exact type; each type is looked into once."""

    def __init__(self, oid: int, context: AdaptContext) -> None:
        super().__init__()
        self._oid = oid
        self._transformer = Transformer(context)
        self._element: Dumper | None = Dumper(_ELEMENTS[oid], context) if oid in _ELEMENTS else None
        binary = oid in _BINARY or (self._element is not None and self._element.format is Format.BINARY)
        self.format: Format = Format.BINARY if binary else Format.TEXT

    def __missing__(self, kind: type) -> Dump:
        dump = self[kind] = self._find(kind)
        return dump

    def _find(self, kind: type) -> Dump:
        if kind is type(None):
            return _null
        if not is_stock(self._transformer.adapters.get_dumper(kind, PyFormat.AUTO)):
            return _unfit
        if self.format is Format.BINARY:
            if kind is list and self._element is not None:
                return _array(_ELEMENTS[self._oid], self._element)
            types, dump = _BINARY.get(self._oid, _NOTHING)
            return (dump or self._matching) if kind in types else _unfit
        if kind is str:  # most often; its dumper is the same for every value, and of no type
            return self._transformer.get_dumper("", PyFormat.TEXT).dump
        if kind is int and self._oid == _oid("numeric"):
            return lambda value: str(value).encode()
        return self._matching

    def _matching(self, value: Any) -> Buffer | None:
        """By psycopg's dumper for the value, where that is one of this type or, as that of str, of none."""
        dumper = self._transformer.get_dumper(value, PyFormat.from_pq(self.format))
        if dumper.oid not in (self._oid, 0):
            raise Unfit
        return dumper.dump(value)


def dump_function(dumpers: Sequence[Dumper]) -> Callable[[Sequence[Any]], list[Buffer | None] | None]:
    """The function that dumps the values of all parameters; it gives None where one does not fit."""

    def dump(values: Sequence[Any]) -> list[Buffer | None] | None:
        try:
            return [dumper[type(value)](value) for dumper, value in zip(dumpers, values, strict=True)]
        except Exception:  # noqa: BLE001 - whatever is wrong, psycopg's cursor has a way, or an error of its own
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


def is_stock(adapter: type) -> bool:
    """Whether a dumper or loader is psycopg's own, and not one that a user registered."""
    return adapter.__module__.partition(".")[0] in ("psycopg", "psycopg_binary", "psycopg_c")


def _null(_: object) -> None:
    return None


def _unfit(_: object) -> Buffer:
    raise Unfit


def _array(oid: int, element: Dumper) -> Dump:
    """A list as an array of one dimension, of values of an element's type (array_recv in PostgreSQL's arrayfuncs.c)."""
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


def _oid(name: str) -> int:
    return postgres.types[name].oid


# psycopg's registry has every built-in type; their OIDs never change (pg_type.dat).
_ELEMENTS = {info.array_oid: info.oid for info in postgres.types if info.array_oid}
_NOTHING: tuple[frozenset[type], Dump | None] = (frozenset(), None)
# Of numbers, psycopg's dumpers of a given width cut off what is too large for it; struct raises an error.
_BINARY: dict[int, tuple[frozenset[type], Dump | None]] = {
    _oid("bool"): (frozenset({bool}), None),
    _oid("int2"): (frozenset({int}), struct.Struct("!h").pack),
    _oid("int4"): (frozenset({int}), struct.Struct("!i").pack),
    _oid("int8"): (frozenset({int}), struct.Struct("!q").pack),
    _oid("oid"): (frozenset({int}), struct.Struct("!I").pack),
    _oid("float8"): (frozenset({float}), struct.Struct("!d").pack),
    _oid("bytea"): (frozenset({bytes, bytearray, memoryview}), None),
    _oid("uuid"): (frozenset({UUID}), attrgetter("bytes")),
    _oid("date"): (frozenset({date}), None),
    _oid("time"): (frozenset({time}), None),
    _oid("timetz"): (frozenset({time}), None),
    _oid("timestamp"): (frozenset({datetime}), None),
    _oid("timestamptz"): (frozenset({datetime}), None),
    _oid("interval"): (frozenset({timedelta}), None),
}
"""The types of Python that a binary parameter takes, by its OID, and how; None: as psycopg does. Others are text."""

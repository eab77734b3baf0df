"""COPY's binary format: each value by psycopg's dumper for the column's type, or by one in its place that is right.

The format: https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import repeat
from typing import Any, LiteralString, NamedTuple

import psycopg
from psycopg import abc

# Not part of psycopg's interface: whatever is, is called through Python once for each row.
from psycopg._copy_base import format_row_binary
from psycopg.adapt import AdaptersMap, Dumper, Transformer
from psycopg.pq import Format

from rowsmith.copy.functions import any_of, function
from rowsmith.values.rules import JSON, Dump, Rule, is_custom, is_stock, oid_of, rule_for, with_json
from rowsmith.values.tables import Structure, Table

Rows = Sequence[Sequence[Any]]


class Way(NamedTuple):
    """How the values of a column are written."""

    oid: int
    """That by which psycopg finds the dumper."""
    rule: Rule | None = None
    """None where the dumper is a user's own."""
    dumper: type[abc.Dumper] | None = None
    """What is to be registered in the place of psycopg's own."""
    odd: str | None = None
    """Where the dumper takes more than is right: the condition, in Python, on which a `value` is put to the rule."""


class BinaryFormat:
    """Writes rows in the binary format."""

    options: LiteralString = " (FORMAT BINARY)"
    begin = b"PGCOPY\n\xff\r\n\0" + bytes(8)
    end = b"\xff\xff"

    def __init__(self, ways: Sequence[Way], context: abc.AdaptContext) -> None:
        self._ways = ways
        self._context = context
        for dumper in {way.dumper for way in ways if way.dumper is not None}:
            context.adapters.register_dumper(None, dumper)
        self._transformer = self._for([way.oid for way in ways])
        is_odd = any_of((index, way.odd) for index, way in enumerate(ways) if way.odd)
        self._odd_rows = function(f"lambda rows: [row for row in rows if {is_odd}]", datetime=datetime)

    def write(self, rows: Rows, out: bytearray) -> None:
        """Append rows. Raises what is wrong with a value, and may then have appended some of them."""
        for row in self._odd_rows(rows):
            for way, value in zip(self._ways, row, strict=True):
                if way.odd and way.rule and value is not None:
                    way.rule.put(value)
        any(map(format_row_binary, rows, repeat(self._transformer), repeat(out)))  # each call returns None

    def check(self, index: int, value: Any) -> None:
        """Raise what is wrong with a column's value, which is not None: TypeError, ValueError or psycopg.Error."""
        oid, rule, *_ = self._ways[index]
        if rule is not None:
            rule.put(value)
        format_row_binary((value,), self._for([oid]), bytearray())

    def _for(self, oids: Sequence[int]) -> abc.Transformer:
        transformer = Transformer(self._context)
        transformer.set_dumper_types(oids, Format.BINARY)
        return transformer


def are_for_binary(ways: Sequence[Way], rows: Rows, adapters: AdaptersMap) -> bool:
    """Whether no value asks for text: none is a text for a column of another type, none has a dumper of the user's.

    Such a dumper is sure to write text, by the class of the value; for the column's type there may be none.
    """
    columns = [set(map(type, column)) for column in zip(*rows, strict=True)]
    custom = {kind for kind in set[type]().union(*columns) if is_custom(adapters, kind)}
    return not any(
        kind in custom or (issubclass(kind, str) and not issubclass(str, rule.types))
        for (_, rule, *_), kinds in zip(ways, columns, strict=True)
        if rule is not None
        for kind in kinds
    )


def binary_way(table: Table, oid: int, adapters: AdaptersMap) -> Way | None:
    """How the values of a type are written in binary, or None where there is no right dumper for it."""
    oid = table.resolve(oid)
    rule, structure, found = rule_for(table, oid), table.structures.get(oid), _by_oid(adapters, oid)
    if structure is not None and structure.kind == "e":
        # A label is sent as text is. Where the enumeration is registered, psycopg goes by the class of the value.
        return Way(_TEXT, rule) if found is None else None
    if found is None:
        return Way(_TEXT, rule) if oid == _BPCHAR else None
    if not is_stock(found):
        return Way(oid)
    if rule is None or (structure is not None and not _has_right_elements(table, structure, adapters)):
        return None
    return _stock_way(oid, rule, found)


def _stock_way(oid: int, rule: Rule, found: type[abc.Dumper]) -> Way:
    if oid in _RIGHT or oid in _ODD:
        return Way(oid, rule, _UuidDumper if oid == _UuidDumper.oid else None, _ODD.get(oid))
    return Way(oid, rule, _wrapped(found, with_json) if oid in JSON else _guarded(found, rule))


def _has_right_elements(table: Table, array: Structure, adapters: AdaptersMap) -> bool:
    """Whether an array has elements of a built-in type; not of JSON, where a list would be taken for a dimension."""
    found = _by_oid(adapters, array.element)
    is_simple = array.element not in table.structures and array.element not in JSON
    return is_simple and found is not None and is_stock(found)


def _by_oid(adapters: AdaptersMap, oid: int) -> type[abc.Dumper] | None:
    try:
        return adapters.get_dumper_by_oid(oid, Format.BINARY)
    except psycopg.ProgrammingError:
        return None


class _UuidDumper(Dumper):
    """Does what psycopg's own does, a tenth quicker: of all values in a row, a uuid takes the longest."""

    oid = oid_of("uuid")
    format = Format.BINARY

    def dump(self, obj: Any) -> abc.Buffer | None:
        number: int = obj.int
        return number.to_bytes(16)


_TEXT, _BPCHAR = oid_of("text"), oid_of("bpchar")
_RIGHT = frozenset(map(oid_of, ("text", "varchar", "name", "bytea", "int8", "numeric", "uuid", "inet", "cidr")))
"""Types whose dumper refuses by itself what does not fit."""
_KIND = "type(value) is not {} and value is not None"
_RANGE = "value is not None and not {} <= value <= {}"  # no comparison, or the dumper, refuses what is no integer
_ODD: Mapping[int, str] = {
    oid_of("bool"): _KIND.format("bool"),
    oid_of("int2"): _RANGE.format(-(2**15), 2**15 - 1),
    oid_of("int4"): _RANGE.format(-(2**31), 2**31 - 1),
    oid_of("float8"): _KIND.format("float"),
    oid_of("timestamp"): _KIND.format("datetime"),
    oid_of("timestamptz"): _KIND.format("datetime"),
}
"""Types whose dumper does not, and that are too frequent for a detour through Python with each value: see `Way.odd`."""


@lru_cache(maxsize=128)
def _guarded(inner: type[abc.Dumper], rule: Rule) -> type[abc.Dumper]:
    """The same dumper, to which only those values get that fit."""

    def guard(dump: Dump) -> Dump:
        def guarded(value: Any) -> abc.Buffer | None:
            rule.put(value)
            return dump(value)

        return guarded

    return _wrapped(inner, guard)


@lru_cache(maxsize=128)
def _wrapped(inner: type[abc.Dumper], wrap: Callable[[Dump], Dump]) -> type[abc.Dumper]:
    """The same dumper with something around its `dump`. Those in C cannot be subclassed."""

    class Wrapped(Dumper):
        oid = inner.oid
        format = inner.format

        def __init__(self, cls: type, context: abc.AdaptContext | None = None) -> None:
            super().__init__(cls, context)
            self._dump = wrap(inner(cls, context).dump)

        def dump(self, obj: Any) -> abc.Buffer | None:
            return self._dump(obj)

    return Wrapped

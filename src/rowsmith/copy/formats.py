"""COPY's two formats: rows as bytes.

In binary, psycopg's dumper for the column's type writes a value. In text, psycopg's dumper for the value's own class
does, which may be a user's, and PostgreSQL reads it. See https://www.postgresql.org/docs/current/sql-copy.html.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import cache, partial
from itertools import repeat
from typing import Any, NamedTuple, cast

import psycopg
from psycopg import abc, pq

# Not part of psycopg's interface. Everything that is goes through Python once for each row.
from psycopg._copy_base import format_row_binary, format_row_text
from psycopg.adapt import Dumper, PyFormat, Transformer

from rowsmith.copy.records import Records, Rows, compiled
from rowsmith.copy.tables import ColumnType
from rowsmith.values.dumpers import dump_json, is_custom, is_stock
from rowsmith.values.types import BPCHAR, CLASSES, JSON, TEXT, UUID_OID, Dump, Type, is_list, map_list

Convert = Callable[[Any], Any]


class Converter(NamedTuple):
    """What is done with the values of a column before psycopg writes them. None stays None."""

    call: Convert
    """Converts a value. Raises TypeError or ValueError for one that does not fit."""
    known: str = "False"
    """The condition on which a `value` is left as it is, as Python source."""
    oid: int = 0
    """The type whose dumper writes the result, in the binary format."""


class Format:
    """Writes rows in one of the formats."""

    def __init__(self, converters: Sequence[Converter], context: abc.AdaptContext, *, binary: bool) -> None:
        self.binary = binary
        self.begin, self.end = (b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff") if binary else (b"", b"")
        self._converters = converters
        self._converted = _row_function(converters)
        self._format_row = format_row_binary if binary else format_row_text
        self._transformer: abc.Transformer = Transformer(context)
        if binary:
            for dumper in (_RAW, _UUID):
                context.adapters.register_dumper(None, dumper)
            self._transformer.set_dumper_types([converter.oid for converter in converters], pq.Format.BINARY)

    def write(self, rows: Rows, out: bytearray) -> None:
        """Append rows. Raises what is wrong with a value, and may then have appended some of them."""
        any(map(self._format_row, self._converted(rows), repeat(self._transformer), repeat(out)))  # each returns None

    def check(self, index: int, value: Any) -> None:
        """Raise what is wrong with a column's value, which is not None: TypeError, ValueError or psycopg.Error."""
        row = [None] * len(self._converters)
        row[index] = self._converters[index].call(value)
        self._format_row(row, self._transformer, bytearray())


def choose_format(columns: Sequence[ColumnType], rows: Rows, context: abc.AdaptContext) -> Format:
    """Binary if all columns, and all values in these rows, allow it. Dumpers are registered on the context."""
    classes = [set(map(type, values)) for values in zip(*rows, strict=True)]
    found = [_in_binary(column, kinds, context) for column, kinds in zip(columns, classes, strict=True)]
    binary = [converter for converter in found if converter is not None]
    if len(binary) == len(columns):
        return Format(binary, context, binary=True)
    return Format([_in_text(column, context) for column in columns], context, binary=False)


def _row_function(converters: Sequence[Converter]) -> Callable[[Rows], Rows]:
    """The function that converts all values of rows.

    psycopg writes a value in some 20 ns, and a call for each value would take longer. So it is one expression, compiled
    for the columns, that calls only for values that are not known.
    """
    names = [f"v{index}" for index in range(len(converters))]
    known = [f"({each.known} or value is None)".replace("value", v) for v, each in zip(names, converters, strict=True)]
    results = [f"{v} if {condition} else call_{v}({v})" for v, condition in zip(names, known, strict=True)]
    calls = {f"call_{v}": each.call for v, each in zip(names, converters, strict=True)}
    row = f"({', '.join(results)},)"
    if all(each.known != "False" for each in converters):
        row = f"row if {' and '.join(known)} else {row}"
    return compiled(f"[{row} for row in rows for {', '.join(names)}, in [row]]", CLASSES | calls)


def _in_binary(column: ColumnType, classes: Collection[type[Any]], context: abc.AdaptContext) -> Converter | None:
    """The converter for values of these classes, or None if only the text format is right."""
    adapters, fits, element = context.adapters, column.fits, column.element
    try:
        dumper = adapters.get_dumper_by_oid(column.oid, pq.Format.BINARY)
    except psycopg.ProgrammingError:  # there is none
        dumper = None
    if dumper is not None and column.is_enum:  # a registered one, whose dumper goes by the class of the value
        return None
    if dumper is not None and not is_stock(dumper):
        return Converter(_same, "True", column.oid)
    # A str is for PostgreSQL to read, as in a CSV file. A user's dumper for a class may be for the text format alone.
    if fits is None or any((issubclass(k, str) and not fits.takes(str)) or is_custom(adapters, k) for k in classes):
        return None
    if dumper is None:
        return Converter(fits.checked, fits.trusted, TEXT) if column.is_enum or column.oid == BPCHAR else None
    if column.oid in JSON:
        return Converter(partial(dump_json, dumper(object, context).dump), oid=_RAW.oid)
    if element is not None and (element.is_enum or element.fits is None or element.oid in (BPCHAR, *JSON)):
        return None
    return Converter(fits.checked, fits.trusted, _UUID.oid if column.oid == UUID_OID else column.oid)


def _own_dumper(number: int, dump: Callable[[Any], abc.Buffer | None]) -> type[abc.Dumper]:
    """A dumper by a number that is not the OID of a type, so that psycopg's own stay in place."""
    return type("OwnDumper", (Dumper,), {"oid": number, "format": pq.Format.BINARY, "dump": staticmethod(dump)})


_RAW = _own_dumper(1, lambda data: data)
_UUID = _own_dumper(2, lambda value: value.int.to_bytes(16))  # does what psycopg's does, and is faster


def _in_text(column: ColumnType, context: abc.AdaptContext) -> Converter:
    """The converter to values whose text by psycopg is read as the column's type.

    A value with a user's dumper is left alone, and so is a str, which PostgreSQL reads. In JSON, a str is a value.
    """
    usual = "False" if column.fits is None else column.fits.usual
    return Converter(_text_call(column, context), usual if column.oid in JSON else f"{usual} or isinstance(value, str)")


def _text_call(kind: ColumnType, context: abc.AdaptContext, *, in_list: bool = False) -> Convert:
    is_custom_class: Callable[[type], bool] = cache(partial(is_custom, context.adapters))
    convert: Convert
    if wrapper := JSON.get(kind.oid):
        convert = partial(_json_text, context.adapters.get_dumper(wrapper, PyFormat.TEXT)(wrapper, context).dump)
    elif kind.fits is not None and kind.element is not None:
        convert = _list_call(kind.fits, kind.element, context)
    elif kind.attributes:
        names, parts = zip(*kind.attributes, strict=True)
        convert = partial(_composite, Records(names, None, ()), [_text_call(part, context) for part in parts])
    elif kind.fits is not None:
        convert = partial(_scalar, kind.fits, in_list=in_list)
    else:
        return _same
    stays: tuple[type[object], ...] = () if kind.oid in JSON else (str,)

    def call(value: object) -> Any:
        return value if isinstance(value, stays) or is_custom_class(type(value)) else convert(value)

    return call


def _same(value: Any) -> Any:
    return value


def _json_text(dump: Dump, value: Any) -> str | None:
    data = dump_json(dump, value)
    return None if data is None else str(data, "utf-8")


def _list_call(fits: Type, element: ColumnType, context: abc.AdaptContext) -> Convert:
    convert = _text_call(element, context, in_list=True)

    def convert_item(item: Any) -> Any:  # in JSON, a list in the list is an element, else a dimension
        return convert_list(item) if is_list(item) and element.oid not in JSON else convert(item)

    def convert_list(value: Any) -> list[Any]:
        if not is_list(value):
            raise fits.misfit(value)
        return map_list(convert_item, value)

    return convert_list


def _scalar(fits: Type, value: Any, *, in_list: bool) -> Any:
    fits.checked(value)
    if not fits.takes(int):
        return value
    if isinstance(value, bool):  # which psycopg would write as t or f
        value = int(value)
    return str(value) if in_list else value  # psycopg refuses a list of an int and a float


def _composite(records: Records, converts: Sequence[Convert], value: Any) -> tuple[Any, ...]:
    """A tuple, which psycopg writes as a composite."""
    row = tuple(cast("Sequence[Any]", value)) if isinstance(value, tuple) else value  # a named tuple goes by position
    try:
        (values,) = records.values([row])
        return tuple([None if item is None else convert(item) for convert, item in zip(converts, values, strict=True)])
    except Exception:
        records.check(row)
        raise

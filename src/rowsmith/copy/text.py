"""COPY's text format: each value by psycopg's dumper for its own class, a user's included, and read by PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from itertools import repeat
from typing import Any, LiteralString, cast
from uuid import UUID

from psycopg import abc

# Not part of psycopg's interface: whatever is, is called through Python once for each row.
from psycopg._copy_base import format_row_text
from psycopg.adapt import PyFormat, Transformer
from pydantic import BaseModel

from rowsmith.copy.functions import any_of, function
from rowsmith.values.rules import JSON, NUMBERS, Dump, Rule, is_custom, is_list, oid_of, rule_for, with_json
from rowsmith.values.tables import Column, Table

Write = Callable[[Any], Any]


class TextFormat:
    """Writes rows in the text format."""

    options: LiteralString = ""
    begin = end = b""

    def __init__(self, table: Table, columns: Sequence[Column], context: abc.AdaptContext) -> None:
        self._transformer = Transformer(context)
        writers = _Writers(table, self._transformer)
        self._writes = [writers.find(column.type) for column in columns]
        odd = [_odd(table, column.type) for column in columns]
        is_odd = any_of((index, condition) for index, condition in enumerate(odd) if condition)
        self._always = [(index, self._writes[index]) for index, condition in enumerate(odd) if condition is None]
        otherwise = "partly(row)" if self._always else "row"
        self._written = function(
            f"lambda rows: [wholly(row) if {is_odd} else {otherwise} for row in rows]",
            **_KINDS,
            wholly=self._wholly_written,
            partly=self._partly_written,
        )

    def write(self, rows: Sequence[Sequence[Any]], out: bytearray) -> None:
        """Append rows. Raises what is wrong with a value, and may then have appended some of them."""
        if set(map(len, rows)) != {len(self._writes)}:
            raise ValueError("rows of several lengths")
        any(map(format_row_text, self._written(rows), repeat(self._transformer), repeat(out)))  # each call returns None

    def _wholly_written(self, row: Sequence[Any]) -> Sequence[Any]:
        return [None if value is None else write(value) for write, value in zip(self._writes, row, strict=True)]

    def _partly_written(self, row: Sequence[Any]) -> Sequence[Any]:
        values = list(row)
        for index, write in self._always:
            if values[index] is not None:
                values[index] = write(values[index])
        return values

    def check(self, index: int, value: Any) -> None:
        """Raise what is wrong with a column's value, which is not None: TypeError, ValueError or psycopg.Error."""
        format_row_text((self._writes[index](value),), self._transformer, bytearray())


def _odd(table: Table, oid: int) -> str | None:
    """The condition on which a value is not left as it is, "" if there is none, or None where it never is."""
    oid = table.resolve(oid)
    structure = table.structures.get(oid)
    if structure is not None:
        return "value is not None and not isinstance(value, str)" if structure.kind == "e" else None
    return _ODD.get(oid) if rule_for(table, oid) is not None else ""


_KINDS = {kind.__name__: kind for kind in (date, datetime, time, timedelta, Decimal, UUID)}
_ODD = {
    oid_of(name): f"value is not None and type(value) is not str and ({condition})"
    for name, condition in {
        "bool": "type(value) is not bool",
        "int2": f"type(value) is not int or not {-(2**15)} <= value < {2**15}",
        "int4": f"type(value) is not int or not {-(2**31)} <= value < {2**31}",
        "int8": f"type(value) is not int or not {-(2**63)} <= value < {2**63}",
        "float8": "type(value) is not float",
        "numeric": "type(value) is not Decimal",
        "text": "True",
        "varchar": "True",
        "bpchar": "True",
        "bytea": "type(value) is not bytes",
        "uuid": "type(value) is not UUID",
        "date": "type(value) is not date",
        "time": "type(value) is not time or value.tzinfo is not None",
        "timestamp": "type(value) is not datetime or value.tzinfo is not None",
        "timestamptz": "type(value) is not datetime or value.utcoffset() is None",
        "interval": "type(value) is not timedelta",
    }.items()
}
"""The conditions on which it is not plain that a value fits, and that there is nothing to be done with it."""


class _Writers:
    """Functions that make of a value, which is not None, one whose text by psycopg is read as the column's type.

    A value with a dumper of the user's is left alone, and so is a text: it is PostgreSQL's to read. For a column of
    JSON a text is a value like others.
    """

    def __init__(self, table: Table, transformer: abc.Transformer) -> None:
        self._table = table
        self._transformer = transformer
        self._custom: dict[type, bool] = {}

    def find(self, oid: int) -> Write:
        """The function for a type. It raises TypeError or ValueError for what does not fit."""
        oid = self._table.resolve(oid)
        structure, rule = self._table.structures.get(oid), rule_for(self._table, oid)
        if wrapper := JSON.get(oid):
            return partial(self._json, with_json(self._transformer.get_dumper(wrapper(None), PyFormat.TEXT).dump))
        if structure is not None and structure.element and rule is not None:
            return self._unless_left_alone(self._array(rule, self._table.resolve(structure.element)))
        if structure is not None and structure.attributes:
            writes = {name: self.find(attribute) for name, attribute in structure.attributes}
            return self._unless_left_alone(partial(_composite, writes))
        if oid in NUMBERS and rule is not None:
            return self._unless_left_alone(partial(_number, rule))
        return _same if rule is None else self._unless_left_alone(partial(_scalar, rule))

    def _array(self, rule: Rule, element: int) -> Write:
        number = rule_for(self._table, element) if element in NUMBERS else None
        if number is not None:  # as texts, for psycopg refuses a list of an int and a float
            write = self._unless_left_alone(lambda value: str(_number(number, value)))
        else:
            write = self.find(element)
        return partial(_array, rule, write, nested=element not in JSON)

    def _unless_left_alone(self, write: Write) -> Write:
        def unless_left_alone(value: Any) -> Any:
            return value if isinstance(value, str) or self._is_custom(value) else write(value)

        return unless_left_alone

    def _is_custom(self, value: object) -> bool:
        kind = type(value)
        if kind not in self._custom:
            self._custom[kind] = is_custom(self._transformer.adapters, kind)
        return self._custom[kind]

    def _json(self, dump: Dump, value: Any) -> Any:
        if self._is_custom(value):
            return value
        data = dump(value)
        return None if data is None else str(data, "utf-8")


def _same(value: Any) -> Any:
    return value


def _scalar(rule: Rule, value: Any) -> Any:
    rule.put(value)
    return value


def _number(rule: Rule, value: Any) -> Any:
    rule.put(value)
    return int(value) if isinstance(value, bool) else value  # else it would be written as t or f


def _array(rule: Rule, write: Write, value: Any, *, nested: bool) -> Any:
    """`nested` says whether a list in the list is a further dimension; of JSON it is an element."""
    if not is_list(value):
        raise rule.misfit(value)

    def written(item: Any) -> Any:
        if item is None:
            return None
        return _array(rule, write, item, nested=nested) if nested and is_list(item) else write(item)

    try:
        return list(map(written, value))
    except (TypeError, ValueError) as error:
        raise rule.misfit(value) from error


def _composite(writes: Mapping[str, Write], value: Any) -> tuple[Any, ...]:
    """A tuple, as which psycopg writes composites, of a tuple, a mapping, a dataclass or a pydantic model."""
    if isinstance(value, tuple):
        values = cast("Sequence[Any]", value)
    elif isinstance(value, Mapping):
        values = list(map(cast("Mapping[str, Any]", value).__getitem__, writes))
    elif isinstance(value, BaseModel) or is_dataclass(value):
        values = [getattr(value, name) for name in writes]
    else:
        raise TypeError(f"takes a tuple or a model of {', '.join(writes)}, not {type(value).__qualname__}")
    if len(values) != len(writes):
        raise ValueError(f"takes a tuple of {', '.join(writes)}, and not one of length {len(values)}")
    return tuple(None if item is None else write(item) for write, item in zip(writes.values(), values, strict=True))

"""Rows of many kinds, as sequences of values in the order of the columns.

A row is a sequence, a mapping, a dataclass or a pydantic model. What is found out about a class of rows is kept, so
that nothing is done for each of them but the reading itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterable, AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from keyword import iskeyword
from operator import attrgetter, itemgetter
from typing import Any, cast

from pydantic import BaseModel

from rowsmith.copy.functions import function
from rowsmith.values.tables import did_you_mean

Read = Callable[[list[Any]], Sequence[Sequence[Any]]]


def iterate_sync(rows: Iterable[Any]) -> Iterator[Any]:
    """The iterator over rows. Raises TypeError for what is one row, or none at all."""
    if isinstance(rows, (str, bytes, Mapping, BaseModel)):
        raise TypeError(f"copy_rows() takes an iterable of rows, not one {type(cast('object', rows)).__qualname__}")
    return iter(rows)


def iterate_async(rows: Iterable[Any] | AsyncIterable[Any]) -> Iterator[Any] | AsyncIterator[Any]:
    """The same, of asynchronous iterables as well."""
    return aiter(rows) if isinstance(rows, AsyncIterable) else iterate_sync(rows)


def take_sync(rows: Iterator[Any], count: int) -> list[Any]:
    """The next rows, at most so many; none at the end."""
    return list(islice(rows, count))


async def take_async(rows: Iterator[Any] | AsyncIterator[Any], count: int) -> list[Any]:
    """The same, from what `iterate_async` gives."""
    if not isinstance(rows, AsyncIterator):
        return take_sync(rows, count)
    taken: list[Any] = []
    async for row in rows:
        taken.append(row)
        if len(taken) == count:
            break
    return taken


def field_names(row: object) -> tuple[str, ...] | None:
    """The names of a row's fields, or None for a sequence without names. Raises TypeError for what is no row."""
    return tuple(cast("Mapping[str, Any]", row)) if isinstance(row, Mapping) else _names_of(type(row))


def _names_of(kind: type[Any]) -> tuple[str, ...] | None:
    if issubclass(kind, BaseModel):
        return tuple(kind.model_fields)
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind))
    if issubclass(kind, tuple):
        return cast("tuple[str, ...] | None", getattr(cast("Any", kind), "_fields", None))
    if issubclass(kind, Sequence) and not issubclass(kind, (str, bytes, bytearray, memoryview)):
        return None
    raise TypeError(
        f"is no row, but {kind.__qualname__}. A row is a sequence, a mapping, a dataclass or a pydantic model"
    )


class Records:
    """Reads the values of rows.

    `fields` are the names that the fields of a row may have, those of the columns among them; None where the columns
    were chosen, so that what else a row has is left alone. `others` are columns that are not written.
    """

    def __init__(self, columns: Sequence[str], fields: Collection[str] | None, others: Sequence[str]) -> None:
        self._columns = tuple(columns)
        self._fields = fields
        self._others = others
        self._reads: dict[type[Any], Read] = {}

    def values(self, rows: list[Any]) -> Sequence[Sequence[Any]]:
        """The values of each row in the order of the columns; of a sequence without names all, however many.

        Raises, besides what `check` raises, KeyError or AttributeError, and anything from the code of a row's class.
        """
        kinds = set[type[Any]](map(type, rows))
        if len(kinds) == 1:
            return self._read(kinds.pop())(rows)
        reads = zip(map(self._read, map(type, rows)), rows, strict=True)
        return [read([row])[0] for read, row in reads]

    def check(self, row: Any) -> Sequence[Any]:
        """The values of a row. Raises TypeError or ValueError for what is wrong with it."""
        try:
            (values,) = self.values([row])
        except (AttributeError, KeyError) as error:
            if isinstance(row, Mapping):
                self._check_names(cast("Mapping[str, Any]", row), row.__contains__, error)
            else:
                self._check_names((), partial(hasattr, row), error)
            raise
        if len(values) != len(self._columns):
            others = f" (to write {', '.join(self._others)}, name the columns)" if self._others else ""
            names = f"{', '.join(self._columns)}{others}"
            raise ValueError(f"has {len(values)} values for {len(self._columns)} columns: {names}")
        return values

    def _read(self, kind: type[Any]) -> Read:
        if kind not in self._reads:
            self._reads[kind] = self._find(kind)
        return self._reads[kind]

    def _find(self, kind: type[Any]) -> Read:
        if issubclass(kind, Mapping):
            return self._mappings
        names = _names_of(kind)
        if names is None or (names == self._columns and issubclass(kind, tuple)):
            return _same
        self._check_names(names, lambda name: name in names or hasattr(kind, name))
        if issubclass(kind, BaseModel) and set(self._columns) <= set(names):
            return _variables(self._columns)
        return _attributes(self._columns)

    def _mappings(self, rows: list[Any]) -> Sequence[Sequence[Any]]:
        if self._fields is not None and set(map(len, rows)) != {len(self._columns)}:
            for row in rows:
                self._check_names(row, row.__contains__)
        return _items(self._columns)(rows)

    def _check_names(self, names: Iterable[str], has: Callable[[str], bool], cause: Exception | None = None) -> None:
        """Raise ValueError if there is a name too many among the names, or a column missing."""
        for name in names:
            if self._fields is not None and name not in self._fields:
                raise ValueError(f"has a field {name!r}, which the first row has not{did_you_mean(name, self._fields)}")
        if missing := [name for name in self._columns if not has(name)]:
            raise ValueError(f"has no field {', '.join(missing)}") from cause


def _same(rows: list[Any]) -> Sequence[Sequence[Any]]:
    return rows


def _items(names: tuple[str, ...]) -> Read:
    """Reads mappings."""
    if len(names) == 1:
        return lambda rows: [(row[names[0]],) for row in rows]
    get = cast("Callable[[Any], tuple[Any, ...]]", itemgetter(*names))
    return lambda rows: list(map(get, rows))


def _variables(names: tuple[str, ...]) -> Read:
    """Reads pydantic models by their variables: three times as quick as by their attributes."""
    items, variables = _items(names), attrgetter("__dict__")
    return lambda rows: items(list(map(variables, rows)))


def _attributes(names: tuple[str, ...]) -> Read:
    """Reads objects by their attributes, with a function made for these names: `attrgetter` takes twice as long."""
    if not all(name.isidentifier() and not iskeyword(name) for name in names):
        return lambda rows: [tuple(getattr(row, name) for name in names) for row in rows]
    values = ", ".join(f"row.{name}" for name in names)
    return cast("Read", function(f"lambda rows: [({values},) for row in rows]"))

"""Rows of all kinds, as sequences of values in the order of the columns.

A row is a sequence, a mapping, a dataclass or a pydantic model. How to read a class of rows is found out once.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import AsyncIterable, AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import islice
from keyword import iskeyword
from operator import attrgetter
from typing import Any, cast

from rowsmith.copy.tables import did_you_mean

Rows = Sequence[Sequence[Any]]
Read = Callable[[list[Any]], Rows]

iterate_sync = iter


def iterate_async(rows: Iterable[Any] | AsyncIterable[Any]) -> Iterator[Any] | AsyncIterator[Any]:
    """The iterator over rows."""
    return aiter(rows) if isinstance(rows, AsyncIterable) else iter(rows)


def take_sync(rows: Iterator[Any], count: int) -> list[Any]:
    """The next rows, at most `count`; an empty list at the end."""
    return list(islice(rows, count))


async def take_async(rows: Iterator[Any] | AsyncIterator[Any], count: int) -> list[Any]:
    """The same, from the result of `iterate_async`."""
    if not isinstance(rows, AsyncIterator):
        return take_sync(rows, count)
    taken: list[Any] = []
    async for row in rows:
        taken.append(row)
        if len(taken) == count:
            break
    return taken


def is_model(value: object) -> bool:
    """Whether a value is a pydantic model. pydantic is not imported for that: without it there are no models."""
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and isinstance(value, pydantic.BaseModel)


def field_names(row: object) -> tuple[str, ...] | None:
    """The names of a row's fields, or None for a sequence without names. Raises TypeError for what is not a row."""
    kind: Any = type(row)
    if isinstance(row, Mapping):
        return tuple(cast("Mapping[str, Any]", row))
    if is_model(row):
        return tuple(kind.model_fields)
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind))
    if isinstance(row, tuple):
        return getattr(kind, "_fields", None)
    if isinstance(row, Sequence) and not isinstance(row, (str, bytes, bytearray, memoryview)):
        return None
    raise TypeError(f"expected a sequence, a mapping, a dataclass or a pydantic model, found {kind.__qualname__}")


class Records:
    """Reads the values of rows.

    `fields` are the names of the first row's fields, and no row may have others. It is None if the user has chosen the
    columns: then other fields are ignored. `others` are columns that are not written.
    """

    def __init__(self, columns: Sequence[str], fields: Collection[str] | None, others: Sequence[str]) -> None:
        self._columns = tuple(columns)
        self._fields = fields
        self._others = others
        self._items = _reader(self._columns, lambda name: f"row[{name!r}]")
        self._reads: dict[type[Any], Read] = {}

    def values(self, rows: list[Any]) -> Rows:
        """The values of each row in the order of the columns. A wrong row may cause any error: `check` explains it."""
        if len(set(map(type, rows))) == 1:
            return self._read(rows[0])(rows)
        return [self._read(row)([row])[0] for row in rows]

    def check(self, row: Any) -> Sequence[Any]:
        """The values of a row. Raises TypeError or ValueError for what is wrong with it."""
        names = field_names(row)
        if names is not None:
            self._refuse_others(names)
            has_field = row.__contains__ if isinstance(row, Mapping) else partial(hasattr, row)
            if missing := [name for name in self._columns if not has_field(name)]:
                raise ValueError(f"found no field {', '.join(missing)}")
        (values,) = self.values([row])
        if len(values) != len(self._columns):
            expected = f"{len(self._columns)} values ({', '.join(self._columns)})"
            others = f" (to write {', '.join(self._others)}, name the columns)" if self._others else ""
            raise ValueError(f"expected {expected}, found {len(values)}{others}")
        return values

    def _read(self, row: object) -> Read:
        kind = type(row)
        if kind not in self._reads:
            self._reads[kind] = self._find(row)
        return self._reads[kind]

    def _find(self, row: object) -> Read:
        if isinstance(row, Mapping):
            return self._mappings
        names = field_names(row)
        if names is None or (names == self._columns and isinstance(row, tuple)):
            return lambda rows: rows
        self._refuse_others(names)
        if is_model(row) and set(self._columns) <= set(names):
            # By its `__dict__`, which is three times as fast as by its attributes.
            return lambda rows: self._items(map(attrgetter("__dict__"), rows))
        return _reader(self._columns, _attribute)

    def _mappings(self, rows: list[Any]) -> Rows:
        if self._fields is not None and set(map(len, rows)) != {len(self._columns)}:
            for row in rows:
                self._refuse_others(row)
        return self._items(rows)

    def _refuse_others(self, names: Iterable[str]) -> None:
        for name in names:
            if self._fields is not None and name not in self._fields:
                hint = did_you_mean(name, self._fields)
                raise ValueError(f"found a field {name!r}, which the first row does not have{hint}")


def _reader(names: Sequence[str], source: Callable[[str], str]) -> Callable[[Iterable[Any]], Rows]:
    return compiled(f"[({', '.join(map(source, names))},) for row in rows]", {})


def _attribute(name: str) -> str:
    return f"row.{name}" if name.isidentifier() and not iskeyword(name) else f"getattr(row, {name!r})"


def compiled(result: str, names: dict[str, Any]) -> Callable[[Any], Any]:
    """The function of `rows` that has this result, an expression in Python. `names` are its globals."""
    return cast("Callable[[Any], Any]", eval(_compile(f"lambda rows: {result}"), names))  # noqa: S307 - see the callers


_compile = lru_cache(maxsize=512)(partial(compile, filename="<a function of a COPY>", mode="eval"))

"""The constructors of rows: functions made for a row class and the columns of a result.

The rows of a generated module are not validated: PostgreSQL has typed the values. Only columns with a codec are
converted. As in the standard library's `dataclasses` and `collections.namedtuple`, the function for a shape is written
as source and compiled, once for each shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from functools import cache
from inspect import get_annotations
from types import CodeType
from typing import Any, NamedTuple, NoReturn, TypeAlias

Values = Sequence[Any]
Refusals: TypeAlias = Mapping[int, Callable[[], NoReturn]]
"""For each column that is never NULL, because its name says so, what raises the error if it is."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the values of a column on a connection, from what psycopg returns for them."""

    read: Callable[[Any], Any]
    only_text: bool = False
    """Whether it reads texts alone: any other value is as it should be."""

    def __call__(self, value: Any) -> Any:
        """The value, read if it has to be."""
        return value if value is None or (self.only_text and not isinstance(value, str)) else self.read(value)


class Constructor(NamedTuple):
    """Makes rows of a result's values."""

    row: Callable[[Values], Any]
    """One row, of the values of its columns."""
    rows: Callable[[Iterable[Values]], list[Any]]
    """Many rows."""


def of_class(
    make: Callable[..., Any], names: Sequence[str], reads: Mapping[int, Reader], refusals: Refusals
) -> Constructor:
    """By calling `make` with the columns as keyword arguments."""
    pairs = ", ".join(f"{name!r}: c{index}" for index, name in enumerate(names))
    return _compiled(_columns(len(names)), f"row = make(**{{{pairs}}})", reads, refusals, make=make)


def of_tuple(make: type[tuple[Any, ...]], width: int) -> Constructor:
    """As named tuples."""
    columns = _columns(width)
    return _compiled(columns, f"row = make._make(({', '.join(columns)},))", {}, {}, make=make)


def of_value(read: Reader | None, refusals: Refusals) -> Constructor:
    """The value of the only column."""
    return _compiled(_columns(1), "row = c0", {} if read is None else {0: read}, refusals)


def of_exact(make: type[Any], names: Sequence[str], reads: Mapping[int, Reader], refusals: Refusals) -> Constructor:
    """A class of a generated module, without calling its constructor. Columns that are not fields are left out.

    Raises TypeError if a field is not a column.
    """
    fields = get_annotations(make)
    if missing := [name for name in fields if name not in names]:
        raise TypeError(f"the result has no column {', '.join(missing)}, a field of {make.__name__}")
    places = {name: names.index(name) for name in fields}
    if not is_dataclass(make):
        return _of_model(make, places, _columns(len(names)), reads, refusals)
    if make.__bases__ == (object,) and set(vars(make).get("__slots__", ())) == set(fields):
        return _of_slots(make, places, _columns(len(names)), reads, refusals)
    return of_class(make, names, reads, refusals)


def _of_model(
    make: type[Any], places: Mapping[str, int], columns: list[str], reads: Mapping[int, Reader], refusals: Refusals
) -> Constructor:
    """A pydantic model by its four slots: what validation would leave in them, for values that need none."""
    values = ", ".join(f"{name!r}: c{place}" for name, place in places.items())

    from pydantic import BaseModel  # noqa: PLC0415 - a module of dataclasses needs no pydantic

    slots = ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
    setters = {f"set{index}": vars(BaseModel)[slot].__set__ for index, slot in enumerate(slots)}
    made = f"row = new(make); set0(row, {{{values}}}); set1(row, fields.copy()); set2(row, None); set3(row, None)"
    return _compiled(columns, made, reads, refusals, make=make, new=object.__new__, fields=set(places), **setters)


def _of_slots(
    make: type[Any], places: Mapping[str, int], columns: list[str], reads: Mapping[int, Reader], refusals: Refusals
) -> Constructor:
    """A slotted dataclass.

    The constructor of a frozen one sets each field with `object.__setattr__`, which takes most of the time of a row. So
    a row begins as a `mould`, a class with the same slots that is not frozen: plain assignment takes a sixth of the
    time. Then its class is replaced.
    """
    mould = type(make.__name__, (), {"__slots__": tuple(places)})
    for name, place in places.items():
        columns[place] = f"row.{name}"
    return _compiled(columns, "row.__class__ = make", reads, refusals, before="row = mould()", make=make, mould=mould)


def _columns(width: int) -> list[str]:
    return [f"c{index}" for index in range(width)]


def _compiled(
    columns: Sequence[str],
    after: str,
    reads: Mapping[int, Reader],
    refusals: Refusals,
    *,
    before: str = "pass",
    **names: Any,
) -> Constructor:
    """Compile the functions: `before`, put the values in the columns' places, read those that need it, `after`."""
    steps = [before, f"{', '.join(columns)}, = values"]
    steps += [f"if {columns[index]} is None: refuse{index}()" for index in refusals]
    for index, reader in reads.items():
        column = columns[index]
        condition = f"{column}.__class__ is str" if reader.only_text else f"{column} is not None"
        steps.append(f"if {condition}: {column} = read{index}({column})")
    space = {**names, **{f"read{index}": reader.read for index, reader in reads.items()}}
    space |= {f"refuse{index}": refuse for index, refuse in refusals.items()}
    exec(_code((*steps, after)), space)  # noqa: S102 - of names of fields and numbers of columns alone
    return Constructor(space["row"], space["rows"])


@cache
def _code(steps: tuple[str, ...]) -> CodeType:
    text = "\n".join([
        "def row(values):",
        *(f"    {step}" for step in steps),
        "    return row",
        "def rows(tuples):",
        "    result = []",
        "    add = result.append",
        "    for values in tuples:",
        *(f"        {step}" for step in steps),
        "        add(row)",
        "    return result",
    ])  # fmt: skip

    return compile(text, "<a row constructor of rowsmith>", "exec")

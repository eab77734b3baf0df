"""Values between PostgreSQL and Python if psycopg alone does not return, or accept, what an annotation says.

psycopg knows the built-in types. A database's own types (enumerations, composites, their arrays and ranges) have OIDs
that differ from database to database, and their values arrive as PostgreSQL's text. How such a text is read, and how a
parameter is written, follows from the annotation in the generated module: `codec` finds it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import cache
from inspect import get_annotations
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from types import NoneType, UnionType
from typing import Annotated, Any, TypeAlias, TypeVar, Union, get_args, get_origin
from uuid import UUID

from psycopg import postgres
from psycopg.abc import AdaptContext
from psycopg.adapt import Transformer
from psycopg.pq import Format
from psycopg.types.json import Json, Jsonb
from psycopg.types.multirange import Multirange, MultirangeLoader
from psycopg.types.range import Range

_T = TypeVar("_T")

Inet: TypeAlias = IPv4Address | IPv6Address | IPv4Interface | IPv6Interface
"""What psycopg returns for an `inet`: an address if the netmask is that of a single host, else an interface."""
Cidr: TypeAlias = IPv4Network | IPv6Network
Array: TypeAlias = list[_T] | list[_T | None]
"""A parameter that is an array: to type checkers, a list of one type is not a list of a wider one."""
Writer: TypeAlias = Callable[[Any], Any]
"""Makes the value of a parameter, other than None, ready for psycopg."""


@dataclass(frozen=True, slots=True)
class From:
    """In `Annotated[Settings, From(JsonValue)]`: a type of the user's, which pydantic makes of the other type."""

    annotation: Any


class Context:
    """The connection that a value comes from: its encoding, and psycopg's loaders with its settings."""

    def __init__(self, context: AdaptContext) -> None:
        self.transformer = Transformer(context)
        self.encoding = self.transformer.encoding

    def load(self, oid: int, text: str) -> Any:
        """The value of a built-in type, from its text."""
        return self.transformer.get_loader(oid, Format.TEXT).load(text.encode(self.encoding))


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the values of a column on a connection, from what psycopg returns for them."""

    read: Callable[[Any], Any]
    only_text: bool = False
    """Whether it reads texts alone: any other value is as it should be."""

    def __call__(self, value: Any) -> Any:
        """The value, read if it has to be."""
        return value if value is None or (self.only_text and not isinstance(value, str)) else self.read(value)


Load: TypeAlias = Callable[[str, Context], Any]


@dataclass(frozen=True, slots=True)
class Codec:
    """How the values of an annotation are read and written. None is never handed to its functions: it is NULL."""

    load: Load
    """The value from PostgreSQL's text."""
    reader: Callable[[Context], Reader | None]
    """What reads a column; None if psycopg returns the right values."""
    write: Writer | None = None
    """What writes a parameter; None if psycopg accepts the values."""
    is_label: bool = False
    """Whether the type is an enumeration."""


def _of_text(load: Load, write: Writer | None = None) -> Codec:
    """A type that psycopg does not know, whose values arrive as text."""
    return Codec(load, lambda context: Reader(lambda text: load(text, context), only_text=True), write)


def _scalar(type_name: str, write: Writer | None = None) -> Codec:
    """A built-in type, which psycopg reads by itself."""
    oid = postgres.types[type_name].oid
    return Codec(lambda text, context: context.load(oid, text), lambda _: None, write)


def _moment(type_name: str) -> Codec:
    """A `time` or `timestamp`, or its sibling with a time zone, whose text ends with an offset."""
    plain, zoned = _scalar(type_name).load, _scalar(f"{type_name}tz").load
    return Codec(lambda text, context: (zoned if _OFFSET.search(text) else plain)(text, context), lambda _: None)


_OFFSET = re.compile(r":.*[-+][\d:]+( BC)?$")


class _ByLabel(dict[str, StrEnum]):
    """Members by their label: a lookup takes a tenth of the time of a call of the enumeration."""

    def __init__(self, members: type[StrEnum]) -> None:
        super().__init__({member.value: member for member in members})
        self._members = members

    def __missing__(self, label: str) -> StrEnum:
        return self._members(label)  # raises the right error for a label that is new on the server


def _enumeration(members: type[StrEnum]) -> Codec:
    find = _ByLabel(members).__getitem__
    return Codec(lambda text, _: find(text), lambda _: Reader(find), is_label=True)


def _json(wrapper: type[Json | Jsonb]) -> Codec:
    """json or jsonb. `wrapper` is the class by which psycopg knows a value as JSON; a wrapped value is left alone."""
    return _scalar(
        wrapper.__name__.lower(), lambda value: value if isinstance(value, (Json, Jsonb)) else wrapper(value)
    )


def _validated(annotation: Any, inner: Codec, *, is_json: bool) -> Codec:
    """A type of the user's: pydantic makes it of what `inner` gives, and makes JSON of it for a parameter."""
    from pydantic import TypeAdapter  # noqa: PLC0415 - slow to import, for users who have such a type

    adapter = TypeAdapter[Any](annotation)
    validate, dump, write = adapter.validate_python, adapter.dump_python, inner.write

    def reader(context: Context) -> Reader:
        read = inner.reader(context)
        return Reader((lambda value: validate(read(value))) if read else validate)

    def write_json(value: Any) -> Any:
        return write(value if isinstance(value, (Json, Jsonb)) else dump(value, mode="json")) if write else value

    return Codec(lambda text, context: validate(inner.load(text, context)), reader, write_json if is_json else write)


def _array(item: Codec) -> Codec:
    """An array. psycopg returns those that it knows as lists, others as text."""
    write = item.write

    def load(text: str, context: Context) -> Any:
        def element(value: Any) -> Any:
            if value is None:
                return None
            if isinstance(value, str):
                return item.load(value, context)
            return [element(each) for each in value]  # the array itself, or a further dimension of it

        return element(context.load(_TEXT_ARRAY, text))

    def reader(context: Context) -> Reader:
        read = item.reader(context)
        if read is None:
            return Reader(lambda text: load(text, context), only_text=True)
        return Reader(lambda value: load(value, context) if isinstance(value, str) else [*map(read, value)])

    def write_each(values: Any) -> Any:
        return [None if value is None or write is None else write(value) for value in values]

    return Codec(load, reader, write and write_each)


def _composite(model: Any) -> Codec:
    """A composite type as a class with its attributes, in their order. psycopg writes a tuple as a composite."""
    fields = fields_of(model)

    def load(text: str, context: Context) -> Any:
        pairs = zip(fields.items(), context.load(_RECORD, text), strict=True)
        return model(**{name: None if value is None else each.load(value, context) for (name, each), value in pairs})

    def write(value: Any) -> tuple[Any, ...]:
        given = ((getattr(value, name), each.write) for name, each in fields.items())
        return tuple(write(each) if write and each is not None else each for each, write in given)

    return _of_text(load, write)


class _TextMultirange(MultirangeLoader[str]):
    subtype_oid = postgres.types["text"].oid


def _multirange(bound: Codec) -> Codec:
    """A multirange type of the database's own; psycopg reads the built-in ones."""

    def each(found: Range[str], context: Context) -> Range[Any]:
        lower, upper = (None if end is None else bound.load(end, context) for end in (found.lower, found.upper))
        return Range[Any](lower, upper, found.bounds)

    def load(text: str, context: Context) -> Any:
        found = _TextMultirange(_TextMultirange.subtype_oid, context.transformer).load(text.encode(context.encoding))
        return Multirange[Any]([each(one, context) for one in found])

    return _of_text(load)


def _range(bound: Codec) -> Codec:
    """The same for a range, which is a multirange of one."""
    load = _multirange(bound).load
    return _of_text(
        lambda text, context: Range[Any](empty=True) if text == "empty" else load(f"{{{text}}}", context)[0]
    )


_RECORD, _TEXT_ARRAY = postgres.types["record"].oid, postgres.types["text"].array_oid
# An annotation that stands for several types has the one whose loader reads the texts of all.
_SCALARS: Mapping[Any, Codec] = {
    None: Codec(lambda _text, _: None, lambda _: Reader(lambda _: None)),
    bool: _scalar("bool"),
    int: _scalar("int8"),
    float: _scalar("float8"),
    Decimal: _scalar("numeric"),
    str: _scalar("text"),
    bytes: _scalar("bytea"),
    date: _scalar("date"),
    time: _moment("time"),
    datetime: _moment("timestamp"),
    timedelta: _scalar("interval"),
    UUID: _scalar("uuid"),
    frozenset(get_args(Inet)): _scalar("inet"),
    frozenset(get_args(Cidr)): _scalar("cidr"),
    tuple[str | None, ...]: _scalar("record"),  # an anonymous row: PostgreSQL does not send the types of its columns
}
_CONTAINERS: Mapping[Any, Callable[[Codec], Codec]] = {list: _array, Range: _range, Multirange: _multirange}


@cache
def codec(annotation: Any) -> Codec:
    """The codec of an annotation in a generated module, the same with and without `| None`.

    For an `Array[T]` it is that of the list which may hold NULLs. A json or jsonb parameter has psycopg's wrapper:
    `JsonValue | Jsonb`.
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        others = [each for each in arguments if each is not NoneType]
        wrapper = next((each for each in others if each in (Json, Jsonb)), None)
        return _SCALARS.get(frozenset(others)) or (_json(wrapper) if wrapper else codec(others[-1]))
    if origin is Annotated:
        inner = arguments[1].annotation
        return _validated(arguments[0], codec(inner), is_json=not {Json, Jsonb}.isdisjoint(get_args(inner)))
    if origin in _CONTAINERS:
        return _CONTAINERS[origin](codec(arguments[0]))
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return _enumeration(annotation)
    if isinstance(annotation, type):
        return _composite(annotation)
    return _json(Jsonb)  # pydantic's JsonValue, which is no class


def is_json(annotation: Any) -> bool:
    """Whether an annotation is that of a json or jsonb column: pydantic's JsonValue, with or without `| None`."""
    parts = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return any(get_origin(each) is None and not isinstance(each, type) for each in parts)


@cache
def fields_of(model: Any) -> Mapping[str, Codec]:
    """The codecs of a class's fields, by their names."""
    return {name: codec(annotation) for name, annotation in get_annotations(model, eval_str=True).items()}

"""Values between PostgreSQL and Python where psycopg alone does not give, or take, what an annotation says.

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
from psycopg.types.range import Range, RangeLoader

_T = TypeVar("_T")

Inet: TypeAlias = IPv4Address | IPv6Address | IPv4Interface | IPv6Interface
"""What psycopg makes of an `inet`: an address where the netmask is that of a single host, else an interface."""
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
    """Reads the values of a column, other than None, from what psycopg makes of them."""

    read: Callable[[Any], Any]
    only_text: bool = False
    """Whether it reads texts alone: any other value is as it should be."""

    def __call__(self, value: Any) -> Any:
        """The value, read if it has to be."""
        return value if value is None or (self.only_text and not isinstance(value, str)) else self.read(value)


def _of_text(load: Callable[[str, Context], Any], context: Context) -> Reader:
    return Reader(lambda text: load(text, context), only_text=True)


class Codec:
    """How the values of an annotation are read and written. None is never handed to a codec: it is NULL."""

    def load(self, text: str, context: Context) -> Any:
        """The value from PostgreSQL's text."""
        raise NotImplementedError

    def reader(self, context: Context) -> Reader | None:
        """What reads a column on a connection; None where psycopg gives its values as they should be."""
        return _of_text(self.load, context)

    @property
    def writer(self) -> Writer | None:
        """What writes a parameter; None where psycopg takes its values as they are."""
        return None


class Scalar(Codec):
    """A built-in type, which psycopg reads and writes by itself."""

    def __init__(self, type_name: str) -> None:
        self.oid = postgres.types[type_name].oid

    def load(self, text: str, context: Context) -> Any:
        return context.load(self.oid, text)

    def reader(self, context: Context) -> None:
        return None


class Moment(Scalar):
    """A `time` or `timestamp`, or its sibling with a time zone, whose text ends with an offset."""

    def __init__(self, type_name: str) -> None:
        super().__init__(type_name)
        self.zoned = Scalar(f"{type_name}tz")

    def load(self, text: str, context: Context) -> Any:
        return self.zoned.load(text, context) if _OFFSET.search(text) else super().load(text, context)


_OFFSET = re.compile(r":.*[-+][\d:]+( BC)?$")


class Void(Codec):
    """The result of a function that returns `void`: an empty text, which stands for nothing."""

    def reader(self, context: Context) -> Reader:
        return Reader(lambda _: None)


class Enumeration(Codec):
    """An enumeration. Its members are texts, and psycopg writes them as such."""

    def __init__(self, members: type[StrEnum]) -> None:
        self.members = members

    def load(self, text: str, context: Context) -> StrEnum:
        return self.members(text)

    def reader(self, context: Context) -> Reader:
        return Reader(_ByLabel(self.members).__getitem__)


class _ByLabel(dict[str, StrEnum]):
    """Members by their label: a lookup takes a tenth of the time of a call of the enumeration."""

    def __init__(self, members: type[StrEnum]) -> None:
        super().__init__({member.value: member for member in members})
        self._members = members

    def __missing__(self, label: str) -> StrEnum:
        return self._members(label)  # raises the right error for a label that is new on the server


class JsonText(Scalar):
    """json or jsonb. `wrapper` is the class by which psycopg knows a value as JSON; a wrapped value is left alone."""

    def __init__(self, wrapper: type[Json | Jsonb]) -> None:
        super().__init__(wrapper.__name__.lower())
        self.wrapper = wrapper

    @property
    def writer(self) -> Writer:
        return lambda value: value if isinstance(value, (Json, Jsonb)) else self.wrapper(value)


class Validated(Codec):
    """A type of the user's: pydantic makes it of what `inner` gives, and makes JSON of it for a parameter."""

    def __init__(self, annotation: Any, inner: Codec) -> None:
        from pydantic import TypeAdapter  # noqa: PLC0415 - a module of dataclasses may need no pydantic

        self.adapter = TypeAdapter[Any](annotation)
        self.inner = inner

    def load(self, text: str, context: Context) -> Any:
        return self.adapter.validate_python(self.inner.load(text, context))

    def reader(self, context: Context) -> Reader:
        validate, reader = self.adapter.validate_python, self.inner.reader(context)
        return Reader((lambda value: validate(reader(value))) if reader else validate)

    @property
    def writer(self) -> Writer | None:
        write, dump = self.inner.writer, self.adapter.dump_python
        if write is None or not isinstance(self.inner, JsonText):
            return write
        return lambda value: write(value if isinstance(value, (Json, Jsonb)) else dump(value, mode="json"))


class ArrayOf(Codec):
    """An array. psycopg gives those that it knows as lists, others as text."""

    def __init__(self, item: Codec) -> None:
        self.item = item

    def load(self, text: str, context: Context) -> Any:
        def element(item: Any) -> Any:
            if item is None:
                return None
            if isinstance(item, str):
                return self.item.load(item, context)
            return [element(each) for each in item]  # the array itself, or a further dimension of it

        return element(context.load(_TEXT_ARRAY, text))

    def reader(self, context: Context) -> Reader:
        read = self.item.reader(context)
        if read is None:
            return _of_text(self.load, context)
        return Reader(lambda value: self.load(value, context) if isinstance(value, str) else [*map(read, value)])

    @property
    def writer(self) -> Writer | None:
        write = self.item.writer
        return (lambda values: [None if value is None else write(value) for value in values]) if write else None


class Composite(Codec):
    """A composite type as a class with its attributes, in their order. psycopg writes a tuple as a composite."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.fields = fields_of(model)

    def load(self, text: str, context: Context) -> Any:
        pairs = zip(self.fields.items(), context.load(_RECORD, text), strict=True)
        return self.model(**{
            name: None if value is None else codec.load(value, context) for (name, codec), value in pairs
        })  # fmt: skip

    @property
    def writer(self) -> Writer:
        writers = [(name, codec.writer) for name, codec in self.fields.items()]

        def write(value: Any) -> tuple[Any, ...]:
            given = ((getattr(value, name), writer) for name, writer in writers)
            return tuple(writer(each) if writer and each is not None else each for each, writer in given)

        return write


class _TextRange(RangeLoader[str]):
    subtype_oid = postgres.types["text"].oid


class _TextMultirange(MultirangeLoader[str]):
    subtype_oid = postgres.types["text"].oid


class RangeOf(Codec):
    """A range type of the database's own; psycopg reads the built-in ones."""

    def __init__(self, bound: Codec) -> None:
        self.bound = bound

    def load(self, text: str, context: Context) -> Any:
        found = _TextRange(_TextRange.subtype_oid, context.transformer).load(text.encode(context.encoding))
        return self._with_bounds(found, context)

    def _with_bounds(self, found: Range[str], context: Context) -> Range[Any]:
        if found.isempty:
            return Range[Any](empty=True)
        lower, upper = (None if each is None else self.bound.load(each, context) for each in (found.lower, found.upper))
        return Range[Any](lower, upper, found.bounds)


class MultirangeOf(RangeOf):
    """A multirange type of the database's own."""

    def load(self, text: str, context: Context) -> Any:
        found = _TextMultirange(_TextRange.subtype_oid, context.transformer).load(text.encode(context.encoding))
        return Multirange[Any]([self._with_bounds(each, context) for each in found])


_RECORD, _TEXT_ARRAY = postgres.types["record"].oid, postgres.types["text"].array_oid
# An annotation that stands for several types has the one whose loader reads the texts of all.
_SCALARS: Mapping[Any, Codec] = {
    None: Void(),
    bool: Scalar("bool"),
    int: Scalar("int8"),
    float: Scalar("float8"),
    Decimal: Scalar("numeric"),
    str: Scalar("text"),
    bytes: Scalar("bytea"),
    date: Scalar("date"),
    time: Moment("time"),
    datetime: Moment("timestamp"),
    timedelta: Scalar("interval"),
    UUID: Scalar("uuid"),
    frozenset(get_args(Inet)): Scalar("inet"),
    frozenset(get_args(Cidr)): Scalar("cidr"),
    tuple[str | None, ...]: Scalar("record"),  # an anonymous row: PostgreSQL does not send the types of its columns
}
_CONTAINERS: Mapping[Any, Callable[[Codec], Codec]] = {list: ArrayOf, Range: RangeOf, Multirange: MultirangeOf}


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
        return _SCALARS.get(frozenset(others)) or (JsonText(wrapper) if wrapper else codec(others[-1]))
    if origin is Annotated:
        return Validated(arguments[0], codec(arguments[1].annotation))
    if origin in _CONTAINERS:
        return _CONTAINERS[origin](codec(arguments[0]))
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return Enumeration(annotation)
    if isinstance(annotation, type):
        return Composite(annotation)
    return JsonText(Jsonb)  # pydantic's JsonValue, which is no class


@cache
def fields_of(model: Any) -> Mapping[str, Codec]:
    """The codecs of a class's fields, by their names."""
    return {name: codec(annotation) for name, annotation in get_annotations(model, eval_str=True).items()}

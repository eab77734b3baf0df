"""Values between PostgreSQL and Python where psycopg alone does not give, or take, what a generated module promises.

psycopg knows the built-in types. A database's own ones (enumerations, composites, domains in arrays, ranges) have OIDs
that differ from database to database, and reach Python as PostgreSQL's text. A codec reads that text by the structure
that the generated module spells out, with psycopg's own loaders for the parts.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Any, TypeAlias

from psycopg.abc import AdaptContext
from psycopg.adapt import Transformer
from psycopg.pq import Format
from psycopg.types.json import Json, Jsonb
from psycopg.types.multirange import Multirange, MultirangeLoader
from psycopg.types.range import Range, RangeLoader

Inet: TypeAlias = IPv4Address | IPv6Address | IPv4Interface | IPv6Interface
"""What psycopg makes of an `inet`: an address where the netmask is that of one host, else an interface."""
Cidr: TypeAlias = IPv4Network | IPv6Network

# pg_type.dat of PostgreSQL: the OIDs of built-in types never change.
_RECORD, _TEXT_ARRAY, _TEXT = 2249, 1009, 25


class Context:
    """The connection that a value comes from: its encoding, and psycopg's loaders with its settings."""

    def __init__(self, context: AdaptContext) -> None:
        self.transformer = Transformer(context)
        self.encoding = self.transformer.encoding

    def load(self, oid: int, text: str) -> Any:
        """The value of a built-in type, from its text."""
        return self.transformer.get_loader(oid, Format.TEXT).load(text.encode(self.encoding))


class Codec:
    """A type of PostgreSQL as its Python type. None is never handed to a codec: it is NULL wherever it stands."""

    def load(self, text: str, context: Context) -> Any:
        """The value from PostgreSQL's text."""
        raise NotImplementedError

    def read(self, value: Any, context: Context) -> Any:
        """The value from what psycopg made of a column."""
        return value

    def reader(self, context: Context) -> Callable[[Any], Any]:
        """`read`, for the values of a connection."""
        return lambda value: self.read(value, context)

    def write(self, value: Any) -> Any:
        """What psycopg is given for a parameter."""
        return value


class Scalar(Codec):
    """A built-in type that psycopg reads and writes by itself."""

    def __init__(self, oid: int) -> None:
        self.oid = oid

    def load(self, text: str, context: Context) -> Any:
        return context.load(self.oid, text)


class Void(Codec):
    """What a function that returns `void` gives: an empty text, which stands for nothing."""

    def read(self, value: Any, context: Context) -> None:
        return None


class Enumeration(Codec):
    """An enumeration. Its members are texts, as which psycopg writes them."""

    def __init__(self, members: type[StrEnum]) -> None:
        self.members = members

    def load(self, text: str, context: Context) -> StrEnum:
        return self.members(text)

    def read(self, value: Any, context: Context) -> StrEnum:
        return self.members(value)

    def reader(self, context: Context) -> Callable[[Any], Any]:
        return _ByLabel(self.members).__getitem__


class _ByLabel(dict[str, StrEnum]):
    """Members by their label: looking one up takes a tenth of the time of a call of the enumeration."""

    def __init__(self, members: type[StrEnum]) -> None:
        super().__init__({member.value: member for member in members})
        self._members = members

    def __missing__(self, label: str) -> StrEnum:
        return self._members(label)  # which raises the error that fits, for a label that is new on the server


class JsonText(Codec):
    """json or jsonb. `wrapper` is the class by which psycopg knows a value as JSON; a value in it is left alone."""

    def __init__(self, oid: int, wrapper: type[Json | Jsonb]) -> None:
        self.oid = oid
        self.wrapper = wrapper

    def load(self, text: str, context: Context) -> Any:
        return context.load(self.oid, text)

    def write(self, value: Any) -> Any:
        return value if isinstance(value, (Json, Jsonb)) else self.wrapper(value)


json = JsonText(114, Json)
jsonb = JsonText(3802, Jsonb)
void = Void()


class Bound(Codec):
    """A type of the user's: validated by pydantic from what `inner` gives. JSON is dumped by pydantic as well."""

    def __init__(self, annotation: Any, inner: Codec) -> None:
        from pydantic import TypeAdapter  # noqa: PLC0415 - slow to import, for users who have such a type

        self.adapter = TypeAdapter[Any](annotation)
        self.inner = inner

    def load(self, text: str, context: Context) -> Any:
        return self.adapter.validate_python(self.inner.load(text, context))

    def read(self, value: Any, context: Context) -> Any:
        return self.adapter.validate_python(self.inner.read(value, context))

    def write(self, value: Any) -> Any:
        if isinstance(self.inner, JsonText) and not isinstance(value, (Json, Jsonb)):
            value = self.adapter.dump_python(value, mode="json")
        return self.inner.write(value)


class Array(Codec):
    """An array. One that psycopg knows is a list already, of which each element is read; else it is text."""

    def __init__(self, item: Codec) -> None:
        self.item = item

    def load(self, text: str, context: Context) -> list[Any]:
        return self._each(context.load(_TEXT_ARRAY, text), context)

    def read(self, value: Any, context: Context) -> list[Any]:
        if isinstance(value, str):
            return self.load(value, context)
        return [None if item is None else self.item.read(item, context) for item in value]

    def write(self, value: Any) -> Any:
        return [None if item is None else self.item.write(item) for item in value]

    def _each(self, items: list[Any], context: Context) -> list[Any]:
        # Read as an array of texts, so a list in it is a further dimension.
        return [None if item is None else self._element(item, context) for item in items]

    def _element(self, item: str | list[Any], context: Context) -> Any:
        return self._each(item, context) if isinstance(item, list) else self.item.load(item, context)


class Composite(Codec):
    """A composite type as a model, made of its attributes by name. psycopg writes a tuple as a composite."""

    def __init__(self, model: Callable[..., Any], fields: dict[str, Codec]) -> None:
        self.model = model
        self.fields = fields

    def load(self, text: str, context: Context) -> Any:
        values = context.load(_RECORD, text)
        pairs = zip(self.fields.items(), values, strict=True)
        return self.model(**{
            name: None if value is None else codec.load(value, context) for (name, codec), value in pairs
        })  # fmt: skip

    def read(self, value: Any, context: Context) -> Any:
        return self.load(value, context)

    def write(self, value: Any) -> Any:
        values = ((getattr(value, name), codec) for name, codec in self.fields.items())
        return tuple(None if field is None else codec.write(field) for field, codec in values)


class _TextRange(RangeLoader[str]):
    subtype_oid = _TEXT


class _TextMultirange(MultirangeLoader[str]):
    subtype_oid = _TEXT


class RangeOf(Codec):
    """A range type of the database's own; psycopg reads the built-in ones."""

    def __init__(self, bound: Codec) -> None:
        self.bound = bound

    def load(self, text: str, context: Context) -> Range[Any]:
        found = _TextRange(_TEXT, context.transformer).load(text.encode(context.encoding))
        return _with_bounds(found, self.bound, context)

    def read(self, value: Any, context: Context) -> Any:
        return self.load(value, context) if isinstance(value, str) else value


class MultirangeOf(RangeOf):
    """A multirange type of the database's own."""

    def load(self, text: str, context: Context) -> Any:
        found = _TextMultirange(_TEXT, context.transformer).load(text.encode(context.encoding))
        return Multirange[Any]([_with_bounds(each, self.bound, context) for each in found])


def _with_bounds(found: Range[str], bound: Codec, context: Context) -> Range[Any]:
    if found.isempty:
        return Range[Any](empty=True)
    lower, upper = (None if text is None else bound.load(text, context) for text in (found.lower, found.upper))
    return Range[Any](lower, upper, found.bounds)

"""Values between PostgreSQL and Python if psycopg alone does not return, or accept, what an annotation says.

psycopg knows the built-in types. A database's own types (enumerations, composites, their arrays and ranges) have OIDs
that differ from database to database, and their values arrive as PostgreSQL's text. How such a text is read, and how a
parameter is written, follows from the annotation in the generated module: `codec` finds it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from enum import StrEnum
from functools import cache, cached_property, partial
from inspect import get_annotations
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from operator import itemgetter
from types import NoneType, UnionType
from typing import Annotated, Any, TypeAlias, TypeVar, Union, get_args, get_origin
from uuid import UUID

import psycopg
from psycopg import postgres
from psycopg.abc import AdaptContext
from psycopg.adapt import Transformer
from psycopg.pq import Format
from psycopg.types.json import Json, Jsonb
from psycopg.types.multirange import Multirange, MultirangeLoader
from psycopg.types.range import Range

from rowsmith.errors import ResultShapeError
from rowsmith.values.constructors import Constructor, Reader, of_exact
from rowsmith.values.documents import by_first, iso_datetime, parser, with_floats
from rowsmith.values.types import is_list

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
    """The connection that a value comes from: its encoding, its time zone, and psycopg's loaders with its settings."""

    def __init__(self, context: AdaptContext) -> None:
        self.transformer = Transformer(context)
        self.encoding = self.transformer.encoding
        self._connection = context.connection

    def loader(self, oid: int) -> Load:
        """What reads a built-in type from its text."""
        load, encoding = self.transformer.get_loader(oid, Format.TEXT).load, self.encoding
        return lambda text: load(text.encode(encoding))

    @cached_property
    def zone(self) -> tzinfo:
        """The session's time zone, which psycopg gives to every `timestamptz`."""
        return self._connection.info.timezone if self._connection else UTC


Load: TypeAlias = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Codec:
    """How the values of an annotation are read and written. None is never handed to its functions: it is NULL."""

    text: Callable[[Context], Load]
    """What reads PostgreSQL's text, also that of a JSON document which stands for the value."""
    reader: Callable[[Context], Reader | None]
    """What reads a column; None if psycopg returns the right values."""
    write: Writer | None = None
    """What writes a parameter; None if psycopg accepts the values."""
    document: Callable[[Context], Load | None] = lambda _: None
    """What reads the value from a parsed JSON document; None if it is there as it should be."""
    documents: Callable[[Context], Callable[[Sequence[Any]], list[Any]]] | None = None
    """The same for many values at once, if that is faster."""
    is_label: bool = False
    """Whether the type is an enumeration."""
    is_exact: bool = False
    """Whether a float would lose digits of it: the numbers of a JSON document are parsed as Decimal."""
    may_be_list: bool = False
    """Whether a list in a JSON document may be a value, and not a further dimension of an array."""


def _of_text(text: Callable[[Context], Load], write: Writer | None = None) -> Codec:
    """A type that psycopg does not know, whose values arrive as text, in JSON as well."""
    return Codec(text, lambda context: Reader(text(context), only_text=True), write, text)


def _scalar(type_name: str, document: Load | None = None) -> Codec:
    """A built-in type, which psycopg reads by itself. By default, a JSON document has the same text as a column."""
    oid = postgres.types[type_name].oid
    return Codec(
        lambda context: context.loader(oid),
        lambda _: None,
        document=lambda context: document or Reader(context.loader(oid), only_text=True),
    )


def _as_it_is(type_name: str) -> Codec:
    """A built-in type whose values JSON has, too."""
    return replace(_scalar(type_name), document=_unread)


def _of_builtin_text(type_name: str) -> Codec:
    """A built-in type whose values JSON has as text."""
    scalar = _scalar(type_name)
    return replace(scalar, document=scalar.text)


def _unread(_: Context) -> None:
    """A value in a JSON document that is as it should be."""


def _moment(type_name: str) -> Codec:
    """A `time` or `timestamp`, or its sibling with a time zone, whose text ends with an offset."""
    plain, zoned = (_scalar(name).text for name in (type_name, f"{type_name}tz"))

    def text(context: Context) -> Load:
        load, load_zoned = plain(context), zoned(context)
        return lambda text: (load_zoned if _OFFSET.search(text) else load)(text)

    return Codec(text, lambda _: None, document=text)


_OFFSET = re.compile(r":.*[-+][\d:]+( BC)?$")


def _iso_moment(context: Context) -> Load:
    """A `timestamp` or `timestamptz` in a JSON document."""
    return iso_datetime(context.zone)


class _ByLabel(dict[str, StrEnum]):
    """Members by their label: a lookup takes a tenth of the time of a call of the enumeration."""

    def __init__(self, members: type[StrEnum]) -> None:
        super().__init__({member.value: member for member in members})
        self._members = members

    def __missing__(self, label: str) -> StrEnum:
        return self._members(label)  # raises the right error for a label that is new on the server


def _enumeration(members: type[StrEnum]) -> Codec:
    find = _ByLabel(members).__getitem__
    return Codec(lambda _: find, lambda _: Reader(find), document=lambda _: find, is_label=True)


def _json(wrapper: type[Json | Jsonb]) -> Codec:
    """json or jsonb. `wrapper` is the class by which psycopg knows a value as JSON; a wrapped value is left alone."""

    def wrapped(value: Any) -> Any:
        return value if isinstance(value, (Json, Jsonb)) else wrapper(value)

    return replace(_scalar(wrapper.__name__.lower(), with_floats), write=wrapped, may_be_list=True)


def _validated(annotation: Any, inner: Codec, *, is_json: bool) -> Codec:
    """A type of the user's: pydantic makes it of what `inner` gives, and makes JSON of it for a parameter."""
    from pydantic import TypeAdapter  # noqa: PLC0415 - slow to import, for users who have such a type

    adapter = TypeAdapter[Any](annotation)
    validate, dump, write = adapter.validate_python, adapter.dump_python, inner.write

    def after(read: Load | None) -> Load:
        return (lambda value: validate(read(value))) if read else validate

    def write_json(value: Any) -> Any:
        return write(value if isinstance(value, (Json, Jsonb)) else dump(value, mode="json")) if write else value

    return Codec(
        lambda context: after(inner.text(context)),
        lambda context: Reader(after(inner.reader(context))),
        write_json if is_json else write,
        lambda context: after(inner.document(context)),
        is_exact=inner.is_exact,
        may_be_list=inner.may_be_list,
    )


def _array(item: Codec) -> Codec:
    """An array. psycopg returns those that it knows as lists, others as text."""
    write = item.write

    def text(context: Context) -> Load:
        split, load = context.loader(_TEXT_ARRAY), item.text(context)

        def element(value: Any) -> Any:
            if isinstance(value, str):
                return load(value)
            return None if value is None else [*map(element, value)]  # a further dimension

        return by_first("[", lambda text: [*map(element, split(text))], lambda: _parsed(array, context))

    def reader(context: Context) -> Reader:
        read, load = item.reader(context), text(context)
        if read is None:
            return Reader(load, only_text=True)
        return Reader(lambda value: load(value) if isinstance(value, str) else [*map(read, value)])

    def write_each(values: Any) -> Any:
        return [None if value is None or write is None else write(value) for value in values]

    array = Codec(text, reader, write and write_each, partial(_list, item), is_exact=item.is_exact, may_be_list=True)
    return array


def _list(item: Codec, context: Context) -> Load | None:
    """What reads an array from a list in a JSON document."""
    read, read_all = item.document(context), item.documents(context) if item.documents else None
    if read is None:
        return None

    def element(value: Any) -> Any:
        if is_list(value) and not item.may_be_list:
            return [*map(element, value)]
        return None if value is None else read(value)

    if read_all is None:
        return lambda values: [*map(element, values)]
    return lambda values: [*map(element, values)] if None in values else read_all(values)


def _composite(model: Any) -> Codec:
    """A row as a class with its attributes: of a composite type, in their order, or a JSON object.

    psycopg writes a tuple as a composite.
    """
    fields = fields_of(model)
    names = [*fields]

    def made(reads: Iterable[Load | None]) -> Constructor:
        readers = (
            (index, read if isinstance(read, Reader) else read and Reader(read)) for index, read in enumerate(reads)
        )
        return of_exact(model, names, {index: reader for index, reader in readers if reader}, {})

    def text(context: Context) -> Load:
        split, make = context.loader(_RECORD), made(each.text(context) for each in fields.values()).row

        def load(text: str) -> Any:
            values = split(text)
            if len(values) != len(names):
                raise _changed(f"a row has {len(values)} columns, {model.__name__} {len(names)}")
            return make(values)

        return by_first("{", load, lambda: _parsed(composite, context))

    def documents(context: Context) -> Callable[[Sequence[Any]], list[Any]]:
        make, values = made(each.document(context) for each in fields.values()).rows, _values_of(names)

        def read(documents: Sequence[Any]) -> list[Any]:
            try:
                return make(map(values, documents))
            except KeyError as error:
                raise _changed(f"a row has no {error.args[0]}, a field of {model.__name__}") from None

        return read

    def document(context: Context) -> Load:
        read = documents(context)
        return lambda document: read((document,))[0]

    def write(value: Any) -> tuple[Any, ...]:
        given = ((getattr(value, name), each.write) for name, each in fields.items())
        return tuple(write(each) if write and each is not None else each for each, write in given)

    is_exact = any(each.is_exact for each in fields.values())
    composite = replace(_of_text(text, write), document=document, documents=documents, is_exact=is_exact)
    return composite


def _values_of(names: Sequence[str]) -> Callable[[Mapping[str, Any]], Sequence[Any]]:
    return itemgetter(*names) if len(names) > 1 else lambda document: [document[name] for name in names]


def _changed(what: str) -> ResultShapeError:
    return ResultShapeError(f"{what}. The tables have changed since the module was generated: run `rowsmith generate`")


def _parsed(codec: Codec, context: Context) -> Load:
    """What reads the text of a JSON document."""
    read, parse = codec.document(context), parser(exact=codec.is_exact)
    if read is None:
        return parse

    def load(text: str) -> Any:
        try:
            return read(parse(text))
        except (ValueError, OverflowError) as error:  # such as infinity, or a year before 1 or after 9999
            raise psycopg.DataError(f"a value in a JSON document has no equal in Python: {error}") from None

    return load


class _TextMultirange(MultirangeLoader[str]):
    subtype_oid = postgres.types["text"].oid


def _multirange(bound: Codec) -> Codec:
    """A multirange type of the database's own; psycopg reads the built-in ones."""

    def text(context: Context) -> Load:
        load, split = bound.text(context), _TextMultirange(_TextMultirange.subtype_oid, context.transformer).load

        def each(found: Range[str]) -> Range[Any]:
            lower, upper = (None if end is None else load(end) for end in (found.lower, found.upper))
            return Range[Any](lower, upper, found.bounds)

        return lambda text: Multirange[Any]([*map(each, split(text.encode(context.encoding)))])

    return _of_text(text)


def _range(bound: Codec) -> Codec:
    """The same for a range, which is a multirange of one."""
    multirange = _multirange(bound).text

    def text(context: Context) -> Load:
        load = multirange(context)
        return lambda text: Range[Any](empty=True) if text == "empty" else load(f"{{{text}}}")[0]

    return _of_text(text)


_RECORD, _TEXT_ARRAY = postgres.types["record"].oid, postgres.types["text"].array_oid
# An annotation that stands for several types has the one whose loader reads the texts of all.
_SCALARS: Mapping[Any, Codec] = {
    None: Codec(lambda _: lambda _: None, lambda _: Reader(lambda _: None)),
    bool: _as_it_is("bool"),
    int: _scalar("int8"),  # JSON has oid as text
    float: _scalar("float8", float),
    Decimal: replace(_scalar("numeric", Decimal), is_exact=True),
    str: _as_it_is("text"),
    bytes: _of_builtin_text("bytea"),
    date: _scalar("date", date.fromisoformat),
    time: _moment("time"),
    datetime: replace(_moment("timestamp"), document=_iso_moment),
    timedelta: _of_builtin_text("interval"),
    UUID: _of_builtin_text("uuid"),
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


def may_be_nested(annotation: Any) -> bool:
    """Whether a JSON document, or an anonymous row, can carry the values of an annotation: models, and lists."""
    if get_origin(annotation) in (Union, UnionType):
        return any(may_be_nested(each) for each in get_args(annotation) if each is not NoneType)
    is_model = isinstance(annotation, type) and annotation not in _SCALARS and not issubclass(annotation, StrEnum)
    return get_origin(annotation) is list or (is_model and get_origin(annotation) is None)


@cache
def fields_of(model: Any) -> Mapping[str, Codec]:
    """The codecs of a class's fields, by their names."""
    return {name: codec(annotation) for name, annotation in get_annotations(model, eval_str=True).items()}

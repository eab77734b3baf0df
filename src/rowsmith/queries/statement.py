"""A statement: a query that was prepared on a connection, and what it takes to send it and to read its result."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from copy import copy
from typing import Any, Literal

from psycopg import BaseConnection, abc, postgres
from psycopg.adapt import AdaptersMap, PyFormat, Transformer
from psycopg.pq import Format
from psycopg.pq.abc import PGresult
from psycopg.types.multirange import MultirangeInfo
from psycopg.types.range import RangeInfo
from psycopg.types.string import TextBinaryLoader

from rowsmith.queries.marks import Kind
from rowsmith.queries.query import Query
from rowsmith.queries.results import column_names, reader
from rowsmith.queries.rows import VALUE, Rows, field_names
from rowsmith.values.codecs import Context
from rowsmith.values.dumpers import Dumper, SentBack, dump_function
from rowsmith.values.types import JSON


class BoundQuery:
    """A query, and how its rows are made."""

    def __init__(
        self,
        query: Query,
        rows: Rows,
        *,
        enums: Collection[str] = (),
        nested: Collection[str] = (),
        described: bool = False,
        writes: bool | Literal["rows"] = True,
    ) -> None:
        self.query = query
        self.rows = rows
        self.enums = frozenset(enums)
        """The columns whose type is an enumeration of the database."""
        self.nested = frozenset(nested)
        """The columns whose values may be rows, or lists. JSON and anonymous rows of them are read from their text."""
        single = query.kind not in (Kind.EXECUTEMANY, Kind.SCRIPT)
        self.preparable: bool | None = (described or None) if single else False
        """Whether it can be prepared: PostgreSQL knows the types of its parameters without their values. None if the
        server was not asked yet."""
        self.writes: bool | None = None if writes else False
        """Whether it writes; None if it is not known: a SELECT may call a function that does."""
        self.sent_back: range = range(0)
        """The parameters, by index, whose values are `Sent`: the sort keys of a page."""
        self.unread = 0
        """How many columns at the end, before the last one, are not read: they were added to sort by."""
        self.clean = writes is not True
        """Whether it is proven to leave nothing in the session (`compiler/analysis/session_effects.py`)."""

    def of(self, form: Query) -> BoundQuery:
        """The same for one of the query's forms."""
        bound = copy(self)
        bound.query = form
        return bound


class Link:
    """The context of a connection's loaders and dumpers. It does not keep the connection alive."""

    def __init__(self, adapters: AdaptersMap, connection: Any) -> None:
        self.adapters = AdaptersMap(adapters)
        self.connection = connection


class Statement:
    """A prepared statement of one connection."""

    __slots__ = (
        "_description",
        "_names",
        "dump",
        "encoding",
        "format",
        "formats",
        "load",
        "make",
        "name",
        "settings",
        "used",
        "zone",
    )

    def __init__(
        self, name: bytes, description: PGresult, bound: BoundQuery, link: Link, names: tuple[str, ...] | None = None
    ) -> None:
        self.name = name
        self.used = 0
        """When it was used last, counted in uses of any statement of the connection."""
        self._description = description
        dumpers = [
            (SentBack if index in bound.sent_back else Dumper)(description.param_type(index), link)
            for index in range(description.nparams)
        ]
        self.formats = [dumper.format for dumper in dumpers]
        self.dump = dump_function(dumpers)
        """Dumps the values of the parameters; None if one has to be dumped by psycopg's cursor."""
        transformer = Transformer(link)
        if names is None:
            names = column_names(description, transformer.encoding)
        self._names = names
        oids = _oids(description, bound)
        self.format = _format(oids, [name in bound.enums for name in names], link.adapters)
        nested = _set_loaders(transformer, bound, names, oids, self.format)
        constructor = bound.rows(names, Context(link)) if names else None
        self.load, self.make = reader(bound.query, transformer, constructor)
        """The two steps of a Reader."""
        status = link.connection.pgconn.parameter_status
        # PostgreSQL reports these settings whenever they change (protocol, ParameterStatus). psycopg's loaders and
        # dumpers look at them once, when they are created.
        self.encoding = status(b"client_encoding")
        self.zone = status(b"TimeZone") if _ZONED.intersection(oids) else None
        """None if no column depends on it."""
        reads_text = nested or self.format is Format.TEXT
        self.settings = [(name, status(name)) for name in _TEXT_SETTINGS] if reads_text else []

    def renewed(self, bound: BoundQuery, link: Link) -> Statement:
        """The same statement, with the connection's current adapters and settings."""
        statement = Statement(self.name, self._description, bound, link, self._names)
        statement.used = self.used
        return statement


def check_sets(conn: BaseConnection[Any], sets: Iterable[Sequence[Any]]) -> None:
    """Raise what psycopg raises for a value that it cannot send, before any set of parameters is sent.

    psycopg dumps each set when its turn comes, and those before it are stored if the connection is in autocommit mode.
    """
    dump = Transformer(conn).dump_sequence
    for values in sets:
        dump(values, [PyFormat.AUTO] * len(values))


def read(bound: BoundQuery, result: PGresult, conn: BaseConnection[Any]) -> Any:
    """What the query returns, from the result of a cursor. Raises RowCountError and ResultShapeError."""
    transformer = Transformer(Link(conn.adapters, conn) if bound.nested else conn)
    transformer.set_pgresult(result)
    names = column_names(result, transformer.encoding)
    if bound.nested or bound.unread:
        _set_loaders(transformer, bound, names, _oids(result, bound), Format(result.fformat(0)))
    load, make = reader(bound.query, transformer, bound.rows(names, Context(conn)) if names else None)
    values = load(result)
    return None if values is None else make(values)


def _oids(result: PGresult, bound: BoundQuery) -> list[int]:
    """The types of a result's columns; for those that are not read, one that any bytes are of."""
    last = result.nfields - 1
    unread = range(last - bound.unread, last) if bound.unread else ()
    return [_BYTES if index in unread else result.ftype(index) for index in range(result.nfields)]


_BYTES = 0
"""No type: psycopg then gives text as a str, and binary data as bytes."""


def _with_arrays(*names: str) -> frozenset[int]:
    """The OIDs of built-in types and of arrays of them."""
    found = [postgres.types[name] for name in names]
    return frozenset([*(info.oid for info in found), *(info.array_oid for info in found)])


_TEXT_SETTINGS = (b"TimeZone", b"DateStyle", b"IntervalStyle")
_ZONED = _with_arrays("timestamptz", "tstzrange", "tstzmultirange")

# Of the types that psycopg reads in both formats, these have the same value in both. Not among them: float4, whose text
# is the shortest number that stands for the same value (0.1) while its bytes are that value (0.10000000149011612);
# record, whose text does not tell the types of its columns.
_SAME = _with_arrays(
    "bool", "bpchar", "bytea", "cidr", "date", "float8", "inet", "int2", "int4", "int8", "interval", "json",
    "jsonb", "name", "numeric", "oid", "text", "time", "timetz", "timestamp", "timestamptz", "uuid", "varchar",
    "int4range", "int8range", "numrange", "daterange", "tsrange", "tstzrange",
    "int4multirange", "int8multirange", "nummultirange", "datemultirange", "tsmultirange", "tstzmultirange",
)  # fmt: skip


_STOCK = AdaptersMap(types=postgres.types)
"""psycopg's adapters before anybody registers one."""
postgres.register_default_adapters(_STOCK)
_PARTS = {
    **{info.array_oid: info.oid for info in postgres.types if info.array_oid},
    **{info.oid: info.subtype_oid for info in postgres.types if isinstance(info, RangeInfo)},
    **{info.oid: info.range_oid for info in postgres.types if isinstance(info, MultirangeInfo)},
}
"""The type of the values in an array, a range or a multirange."""


_LABELS = _STOCK.get_loader(postgres.types["text"].oid, Format.BINARY)
"""psycopg's loader of text, which may be in C."""
_TEXTS = [
    loader for each in (Format.TEXT, Format.BINARY) if (loader := _STOCK.get_loader(postgres.types["text"].oid, each))
]


def _is_stock(oid: int | None, adapters: AdaptersMap) -> bool:
    while oid is not None:
        for each in (Format.TEXT, Format.BINARY):
            loader = adapters.get_loader(oid, each)
            if loader is None or loader is not _STOCK.get_loader(oid, each):
                return False
        oid = _PARTS.get(oid)
    return True


def _set_loaders(
    transformer: abc.Transformer, bound: BoundQuery, names: Sequence[str], oids: Sequence[int], format_: Format
) -> bool:
    """Set the loaders of a result's columns. Returns whether there are nested ones, which are left as text."""
    nested = [VALUE in bound.nested or name in bound.nested for name in field_names(names)] if bound.nested else []
    carried = {index for index, each in enumerate(nested) if each and oids[index] in _CARRIERS}
    if carried:
        for loader in _TEXTS:
            transformer.adapters.register_loader(_TEXT_ALONE, loader)
    oids = [_TEXT_ALONE if index in carried else oid for index, oid in enumerate(oids)]
    transformer.set_loader_types(oids, format_)
    return bool(carried)


_CARRIERS = frozenset([*JSON, *(postgres.types["record"].oid, postgres.types["record"].array_oid)])
"""The types whose values are read by the annotation alone, where it is that of a row or a list."""
_TEXT_ALONE = 2**32 - 1
"""Stands for the type of a column that is left as text, and for no type of the server."""


def _format(oids: Sequence[int], enums: Sequence[bool], adapters: AdaptersMap) -> Format:
    """Binary, unless psycopg, or a loader of the user's, would return another value for the text of a column."""
    for oid, enum in zip(oids, enums, strict=True):
        if oid == _BYTES:
            continue
        text, binary = (adapters.get_loader(oid, each) for each in (Format.TEXT, Format.BINARY))
        if enum and text is None and binary in (None, _LABELS):
            adapters.register_loader(oid, _LABELS or TextBinaryLoader)
        elif oid not in _SAME or not _is_stock(oid, adapters):
            return Format.TEXT
    return Format.BINARY

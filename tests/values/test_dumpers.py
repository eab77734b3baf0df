"""The values of parameters: the server gets the same as from psycopg's own cursor, and the same values are refused.

A parameter of a prepared statement has the type that the server inferred, where psycopg's cursor sends the type that it
chose by the value. The same values go both ways here. Where the two may differ is said at `REFUSED_BY_PSYCOPG`.
"""

from __future__ import annotations

import array
import enum
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg.adapt import Dumper, PyFormat
from psycopg.pq import Format
from psycopg.types.json import Json, Jsonb, JsonbDumper, set_json_dumps
from psycopg.types.multirange import Multirange
from psycopg.types.numeric import Float8, Int4, Int8
from psycopg.types.range import Range
from psycopg.types.string import StrDumper

from rowsmith import load_queries
from tests.harness.databases import new_database
from tests.harness.examples import examples, share
from tests.harness.worlds import World, outcome, told

SCHEMA = """
CREATE DOMAIN whole AS int CHECK (VALUE <> 3);
CREATE TYPE mood AS ENUM ('ok', 'a');
CREATE TYPE pair AS (number int, word text);
"""

TYPES = [
    "bool", "int2", "int4", "int8", "oid", "float4", "float8", "numeric", "numeric(5,2)", "text", "varchar",
    "varchar(3)", "char(3)", '"char"', "name", "bytea", "date", "time", "timetz", "timestamp", "timestamptz",
    "interval", "uuid", "inet", "cidr", "macaddr", "json", "jsonb", "xml", "money", "bit(3)", "point", "regclass",
    "int4range", "int8range", "numrange", "daterange", "tsrange", "tstzrange", "int4multirange", "tstzmultirange",
    "tsvector", "whole", "mood", "pair",
]  # fmt: skip

EXPRESSIONS = [
    "1 + :v", "1.5 + :v", "'a' || :v", "1 = ANY(:v)", "'a' = ANY(:v)", "COALESCE(:v, 'x')",
    "date '2024-01-05' - :v", "5 / :v", "(5 / :v)::text", "array_length(:v, 1)", """'{"a": [1, 2]}'::jsonb -> :v""",
    """'{"a": 1}'::jsonb @> :v""", "(SELECT count(*) FROM (SELECT 1 LIMIT :v) AS few)", "pg_typeof(:v)::text",
    "greatest(:v, 1)", "round(:v)", "round(:v, 1)", "length(:v)", "abs(:v)", "power(2, :v)", "to_char(:v, 'YYYY')",
    ":v LIKE 'a%'", "0.1::float4 = :v", "upper(:v)", "extract(year FROM :v)", ":v > 1", "1::int2 + :v",
    "(SELECT sum(x) FROM unnest(:v) AS x)",
    "(SELECT sum(x) FROM unnest(:v::int[]) AS x)", "make_interval(days => :v)", "jsonb_build_object('a', :v)",
    "to_jsonb(:v)", "format('%s', :v)", "ARRAY[1, :v]", "ARRAY[:v]", "CASE WHEN true THEN :v ELSE 1 END",
    "int4range(1, :v)", "3 <@ :v", "'2024-01-01'::timestamp < :v", "'2024-01-01'::date = :v", ":v::text::int",
    "1::oid = :v", "1.5::numeric = :v", "1.5::float8 = :v", "1::int8 = :v", "'ok'::mood = :v",
    "'192.0.2.1'::inet = :v", "'x'::bytea = :v", "substring('abc' FROM :v)", "'abc' ~ :v", "chr(:v)", "mod(7, :v)",
    "concat(:v, 'x')", "nullif(:v, 1)", "nullif(:v, 'x')", "left('abc', :v)", "'abc' = :v", "'a'::char(3) = :v",
    ":v AND true", ":v = :v", "md5(:v)", "date_trunc('day', :v)", ":v::timestamptz::text", "age(:v, '2024-01-01')",
    ":v - interval '1 day'", ":v IS NULL", ":v",
]  # fmt: skip


class Number(enum.IntEnum):
    ONE = 1


class Label(enum.StrEnum):
    OK = "ok"


class Text(str, enum.Enum):  # noqa: UP042 - an enumeration of an older kind, which is no StrEnum
    OK = "ok"


class Plain(enum.Enum):
    OK = "ok"


class Str(str):
    __slots__ = ()


class Int(int):
    pass


class Float(float):
    pass


class Bytes(bytes):
    pass


class List(list[Any]):
    pass


class Datetime(datetime):
    pass


class Number10(Decimal):
    pass


class Id(UUID):
    pass


BERLIN = ZoneInfo("Europe/Berlin")
OBJECT = object()
SCALARS: list[Any] = [
    None, True, False, 0, 1, -1, 32767, 32768, -32769, 2**31 - 1, 2**31, -(2**31) - 1, 2**32 - 1, 2**32, 2**63 - 1,
    2**63, -(2**63) - 1, 10**30, 10**5000, 16777217, 2**53 + 1,
    0.0, 1.0, 1.5, -0.0, float("nan"), float("inf"), 1e39, 1e-50, 0.1,
    Decimal("1.50"), Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), Decimal("1E+400"), Decimal("-0"),
    "", "a", "1", "1.5", "true", "2024-01-01", "a\0b", "é", "\ud800", "x" * 1000, "{1,2}", "{}", "[1,2)", "null", "ok",
    "1 day", b"", b"\x00\xff", bytearray(b"ab"), memoryview(b"ab"), memoryview(b"abcd")[::2],
    memoryview(array.array("i", [1, 2])), Bytes(b"x"),
    date(2024, 2, 29), date.max, date.min, time(10, 11, 12, 13), time(10, tzinfo=UTC), time(10, tzinfo=BERLIN),
    time(10, tzinfo=timezone(timedelta(hours=2, minutes=30, seconds=15))),
    datetime(2024, 1, 2, 3, 4, 5, 6), datetime.max, datetime.min, datetime(2024, 1, 1, tzinfo=UTC),  # noqa: DTZ001, DTZ901
    datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN), datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=BERLIN),
    datetime(2024, 3, 31, 2, 30, tzinfo=BERLIN), datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC),
    datetime.max.replace(tzinfo=timezone(timedelta(hours=-5))),
    datetime.min.replace(tzinfo=timezone(timedelta(hours=5))),
    datetime(1850, 1, 1, tzinfo=ZoneInfo("Europe/Amsterdam")),
    timedelta(days=-3, seconds=5, microseconds=7), timedelta.max, timedelta.min, timedelta(0), timedelta.resolution,
    UUID(int=7), Id(int=7), ip_address("192.0.2.1"), ip_interface("192.0.2.1/24"), ip_network("192.0.2.0/24"),
    ip_address("::1"), {"a": 1}, Json({"a": [1]}), Jsonb({"a": [1]}), Jsonb(None),
    Range(1, 5), Range(empty=True), Range(None, None), Range(Decimal("1.5"), None), Range(date(2024, 1, 1), None),
    Range("a", "b"), Range(2**40, None), Range(datetime(2024, 1, 1), None),  # noqa: DTZ001
    Range(datetime(2024, 1, 1, tzinfo=UTC), None),
    Multirange([Range(1, 2)]), Multirange([]),
    Number.ONE, Label.OK, Text.OK, Plain.OK, Str("ok"), Int(5), Float(1.5), List([1]), Datetime(2024, 1, 1),
    Number10("1.5"), Int4(5), Int8(5), Float8(1.5), (), (1, 2), ("a", None), OBJECT, 1j, {1}, frozenset[int](), ...,
    range(3),
]  # fmt: skip
ELEMENTS: list[Any] = [
    1, 1.5, True, "a", "ok", b"x", Decimal("1.5"), date(2024, 1, 1), datetime(2024, 1, 1),  # noqa: DTZ001
    datetime(2024, 1, 1, tzinfo=UTC), time(1), timedelta(1), UUID(int=1), ip_address("192.0.2.1"),
    Jsonb({"a": 1}), Range(1, 2), Label.OK, Number.ONE,
    Plain.OK, 2**31, 2**63, 2**70, 'é"\\,{}', "NULL", "", "a\0",
]  # fmt: skip
LISTS: list[Any] = [
    [], [None], [None, None], [[]], [[], []], [[1, 2], [3, 4]], [[1], [2, 3]], [[1, None]], [["a"]], [[None]], [[[1]]],
    [1, 2.5], [1, Decimal("1.5")], [1, "a"], [True, 1], [1, True], [1, 2**40], [2**40, 1], [2**70, 1], [32768, 1],
    [datetime(2024, 1, 1), datetime(2024, 1, 1, tzinfo=UTC)], [date(2024, 1, 1), datetime(2024, 1, 1)],  # noqa: DTZ001
    [1, None, 3], [None, 1], ["a", None], [{"a": 1}], [(1, 2)], [OBJECT], [1.0, float("nan")], [0.1, 1e39],
    list(range(1000)), ["x" * 100] * 100, [Label.OK, "a"], ["a", Label.OK], [Number.ONE, 2], [2, Number.ONE],
    [Str("a"), "b"], [b"a", bytearray(b"b")], [1, [2]], [[1], 2], [time(1), time(1, tzinfo=UTC)],
    *([each] for each in ELEMENTS), *([each, None] for each in ELEMENTS), *([[each]] for each in ELEMENTS),
]  # fmt: skip
ALL = [*SCALARS, *LISTS]

REFUSED_BY_PSYCOPG = {
    ("float4", repr(1e-50)),  # it sends a float8, which is too small for the server's cast
    ("float4[]", repr([1, 2.5])),  # a list "of mixed types"
    ("float8[]", repr([1, 2.5])),
}
"""Values that fit the type of the parameter, and that psycopg refuses."""


@pytest.fixture(scope="module")
def types_url(server_url: str) -> Iterator[str]:
    """The URL of a database with the types of these tests."""
    with new_database(server_url) as url:
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(SCHEMA)
        yield url


@pytest.fixture(scope="module", params=["sync", "async"])
def world(request: pytest.FixtureRequest, types_url: str) -> Iterator[World]:
    """A connection in autocommit mode."""
    world = World(types_url, asynchronous=request.param == "async")
    yield world
    world.close()


@pytest.fixture(scope="module")
def queries(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A query for each type, for arrays of it, and for each expression."""
    parts: list[str] = []
    for index, name in enumerate(TYPES):
        parts.append(f"-- name: scalar_{index}(v)$\nSELECT :v::{name};")
        parts.append(f"-- name: array_{index}(v)$\nSELECT :v::{name}[];")
    parts += [f"-- name: expression_{index}(v)$\nSELECT {text};" for index, text in enumerate(EXPRESSIONS)]
    path = tmp_path_factory.mktemp("dumpers") / "dumpers.sql"
    path.write_text("\n\n".join(parts))
    return load_queries(path)


def differences(world: World, query: Any, values: Sequence[Any]) -> dict[str, tuple[Any, Any]]:
    """The results of the query and of psycopg's cursor by value, where they differ."""
    found: dict[str, tuple[Any, Any]] = {}
    for value in values:
        given, expected = outcome(world.call, query, v=value), outcome(world.value, query.sql, value)
        if given != expected:
            found[repr(value)] = given, expected
    return found


def sample(world: World, values: Sequence[Any], number: int) -> Sequence[Any]:
    """All of the values for threads, some of them for tasks: values are written by the same code."""
    return share(values if world.runner is None else values[number % 5 :: 5], 8, number)


@pytest.mark.parametrize("index", range(len(TYPES)), ids=TYPES)
def test_a_value_is_written_as_psycopg_writes_it(world: World, queries: Any, index: int) -> None:
    refused: set[tuple[str, str]] = set()
    for name, query in (
        (TYPES[index], getattr(queries, f"scalar_{index}")),
        (f"{TYPES[index]}[]", getattr(queries, f"array_{index}")),
    ):
        values = sample(world, ALL, index)
        found = differences(world, query, values)
        refused |= {(name, value) for value, (_, expected) in found.items() if expected[0] == "raises"}
        wrong = {value: pair for value, pair in found.items() if pair[1][0] != "raises" or pair[0][0] == "raises"}
        assert wrong == {}, name
    assert refused <= REFUSED_BY_PSYCOPG


@pytest.mark.parametrize("index", range(len(EXPRESSIONS)), ids=EXPRESSIONS)
def test_a_value_means_what_it_means_with_psycopg(world: World, queries: Any, index: int) -> None:
    """The type that a value is sent as decides which operator or function it is for."""
    query = getattr(queries, f"expression_{index}")
    assert differences(world, query, sample(world, ALL, index)) == {}


@pytest.mark.parametrize("within", ["BEGIN", "BEGIN READ ONLY"])
def test_a_value_means_the_same_within_a_transaction(world: World, queries: Any, within: str) -> None:
    for index in share(range(len(EXPRESSIONS)), 4):
        query = getattr(queries, f"expression_{index}")
        for value in (1, "a", None, [1], OBJECT, 1.5):
            expected = outcome(world.value, query.sql, value)
            world.sql(within)
            try:
                assert outcome(world.call, query, v=value) == expected, EXPRESSIONS[index]
                if expected[0] != "raises":
                    assert world.value("SELECT 1") == 1
            finally:
                world.sql("ROLLBACK")


# --- any values of a type ---

_MOMENTS = st.datetimes(
    timezones=st.sampled_from([UTC, BERLIN, ZoneInfo("America/St_Johns"), timezone(timedelta(hours=-11, seconds=7))]),
    min_value=datetime(2, 1, 1),  # noqa: DTZ001 - hypothesis wants it so
    max_value=datetime(9998, 1, 1),  # noqa: DTZ001
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text("aé\\\"'"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=5,
)
_SETTINGS = settings(
    max_examples=examples(40),
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
STRATEGIES: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "int2": st.integers(-(2**16), 2**16),
    "int4": st.integers(-(2**32), 2**32),
    "int8": st.integers(-(2**64), 2**64),
    "oid": st.integers(-10, 2**33),
    "float4": st.floats(width=32) | st.floats(),
    "float8": st.floats(),
    "numeric": st.decimals(allow_nan=True) | st.integers(),
    "text": st.text(),
    "bytea": st.binary(),
    "date": st.dates(),
    "time": st.times(),
    "timetz": st.times(timezones=st.sampled_from([UTC, timezone(timedelta(hours=3, seconds=1))])),
    "timestamp": st.datetimes(),
    "timestamptz": _MOMENTS,
    "interval": st.timedeltas(),
    "uuid": st.uuids(),
    "inet": st.ip_addresses(),
    "jsonb": _JSON.map(Jsonb),
    "json": _JSON.map(Json),
}


@pytest.fixture(scope="module")
def sync_world(types_url: str) -> Iterator[World]:
    """A connection for threads, in a time zone that has summer time."""
    world = World(types_url, asynchronous=False)
    world.sql("SET TIME ZONE 'America/New_York'")
    yield world
    world.close()


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("as_list", [False, True])
def test_any_value_comes_back_as_with_psycopg(sync_world: World, queries: Any, name: str, *, as_list: bool) -> None:
    query = getattr(queries, f"{'array' if as_list else 'scalar'}_{TYPES.index(name)}")
    values = STRATEGIES[name]

    @_SETTINGS
    @given(st.lists(values | st.none(), max_size=5) if as_list else values)
    def check(value: Any) -> None:
        found = differences(sync_world, query, [value])
        for given_, expected in found.values():
            # A small float becomes a float4 that is 0, and numbers of both kinds are of one type in a list.
            assert expected[0] == "raises"
            assert given_[0] != "raises"
            assert name in ("float4", "float8", "numeric")

    check()


@example(["\0"])
@_SETTINGS
@given(st.lists(st.text('a,"\\{} \tNULéx'), max_size=6))
def test_any_text_in_a_list_comes_back(sync_world: World, queries: Any, value: list[str]) -> None:
    query = getattr(queries, f"array_{TYPES.index('text')}")
    if any("\0" in each for each in value):
        with pytest.raises(psycopg.DataError):
            sync_world.call(query, v=value)
    else:
        assert sync_world.call(query, v=value) == value


def test_a_list_may_be_large(world: World, queries: Any) -> None:
    for name, item in (("int4", 7), ("text", "x" * 50), ("float8", 1.5), ("numeric", Decimal("1.5")), ("bytea", b"x")):
        value = [item] * examples(200_000)
        query = getattr(queries, f"array_{TYPES.index(name)}")
        assert world.call(query, v=value) == value


def test_a_wrong_value_is_refused_each_time_and_a_right_one_accepted(world: World, queries: Any) -> None:
    query = getattr(queries, f"scalar_{TYPES.index('int4')}")
    for _ in range(3):
        assert world.call(query, v=5) == 5
        with pytest.raises(psycopg.errors.NumericValueOutOfRange):
            world.call(query, v=2**31)
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            world.call(query, v="five")
        with pytest.raises(psycopg.ProgrammingError, match="cannot adapt type 'object'"):
            world.call(query, v=OBJECT)
        assert world.call(query, v="6") == 6


# --- dumpers registered by a user ---


class Doubled(Dumper):
    """Writes a number twice as large as it is."""

    def dump(self, obj: Any) -> bytes:
        return str(obj * 2).encode()


class Shouted(Dumper):
    """Writes a text in capitals. Like psycopg's dumper for str, it has no type."""

    def dump(self, obj: Any) -> bytes:
        return str(obj).upper().encode()


class Binary(Dumper):
    """Writes a number as an int4, one larger than it is."""

    format = Format.BINARY
    oid = psycopg.postgres.types["int4"].oid

    def dump(self, obj: Any) -> bytes:
        return (int(obj) + 1).to_bytes(4, "big")


class Endless(Dumper):
    """An example from psycopg's documentation: the last day of the calendar is infinity."""

    oid = psycopg.postgres.types["date"].oid

    def dump(self, obj: date) -> bytes:
        return b"infinity" if obj == date.max else str(obj).encode()


class AsText(Dumper):
    """Writes anything as text."""

    oid = psycopg.postgres.types["text"].oid

    def dump(self, obj: Any) -> bytes:
        return f"<{obj}>".encode()


def _upper_json(value: Any) -> str:
    return json.dumps(value).upper()


def _register(*pairs: tuple[Any, type[Dumper]]) -> Callable[[Any], None]:
    def register(conn: Any) -> None:
        for kind, dumper in pairs:
            conn.adapters.register_dumper(kind, dumper)

    return register


ADAPTERS: dict[str, Callable[[Any], object]] = {
    "int": _register((int, Doubled)),
    "int, binary": _register((int, Binary)),
    "int, both": _register((int, Doubled), (int, Binary)),
    "float": _register((float, Doubled)),
    "Decimal": _register((Decimal, Doubled)),
    "Decimal, binary": _register((Decimal, Binary)),
    "str": _register((str, Shouted)),
    "str, psycopg's typed one": _register((str, StrDumper)),
    "subclass": _register((Str, Shouted), (Int, Doubled)),
    "enumeration": _register((Label, Shouted), (Number, Doubled)),
    "date": _register((date, Endless)),
    "by name": _register(("datetime.date", Endless), ("decimal.Decimal", AsText)),
    "dict": _register((dict, JsonbDumper)),
    "object": _register((object, AsText)),
    "uuid": _register((UUID, AsText)),
    "list": _register((list, AsText)),
    "bool": _register((bool, AsText)),
    "json": lambda conn: set_json_dumps(_upper_json, conn),
}
ADAPTED: dict[str, list[Any]] = {
    "int4": [1, Int(5), Number.ONE, True, "7", [1, 2], 2**40],
    "int8": [1, 2**40, Decimal("1.5")],
    "float8": [1.5, 2, Decimal("1.5")],
    "numeric": [Decimal("1.5"), 3, 1.5, Number10("1.5"), "2"],
    "text": ["a", Str("b"), Label.OK, 5, UUID(int=1), OBJECT, date.max, Decimal("1.5"), True],
    "mood": ["ok", Label.OK, Str("ok")],
    "date": [date.max, date(2024, 1, 1), "2024-01-01"],
    "uuid": [UUID(int=1), str(UUID(int=1))],
    "jsonb": [{"a": 1}, Jsonb({"a": "b"}), '{"a": 1}'],
    "json": [{"a": 1}, Json({"a": "b"})],
    "bool": [True, False],
    "numrange": [Range(Decimal("1.5"), None), Range(1, 2)],
    "daterange": [Range(date(2024, 1, 1), date.max)],
}
ADAPTED_LISTS: dict[str, list[Any]] = {
    "int4": [[1, 2], [Int(5)], [Number.ONE], [None, 1], [True], []],
    "numeric": [[Decimal("1.5"), None], [1, 2], [1.5]],
    "text": [["a", None], [Str("b")], [Label.OK], [OBJECT], [5]],
    "mood": [["ok"], [Label.OK]],
    "date": [[date.max], [date(2024, 1, 1), None]],
    "uuid": [[UUID(int=1)]],
    "jsonb": [[{"a": 1}], [Jsonb({"a": "b"})]],
    "bool": [[True, None]],
    "numrange": [[Range(Decimal("1.5"), None)]],
}


def adapted(world: World, queries: Any) -> dict[str, tuple[Any, Any]]:
    """What differs from psycopg's cursor, except for what only psycopg refuses."""
    found: dict[str, tuple[Any, Any]] = {}
    for kind, cases in (("scalar", ADAPTED), ("array", ADAPTED_LISTS)):
        for name, values in [*cases.items()] if world.runner is None else share([*cases.items()], 4):
            query = getattr(queries, f"{kind}_{TYPES.index(name)}")
            for value, pair in differences(world, query, values).items():
                if pair[1][0] != "raises" or pair[0][0] == "raises":
                    found[f"{name} {value}"] = pair
    return found


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("used", [False, True])
def test_a_registered_dumper_is_used_as_psycopg_uses_it(
    types_url: str, queries: Any, world: World, adapter: str, *, used: bool
) -> None:
    own = World(types_url, asynchronous=world.runner is not None)
    try:
        if used:
            assert adapted(own, queries) == {}
        ADAPTERS[adapter](own.conn)
        assert adapted(own, queries) == {}
        assert adapted(own, queries) == {}
    finally:
        own.close()


def test_a_dumper_registered_for_every_connection_is_used(types_url: str, queries: Any, world: World) -> None:
    original = psycopg.adapters.get_dumper(date, PyFormat.TEXT), psycopg.adapters.get_dumper(date, PyFormat.BINARY)
    try:
        psycopg.adapters.register_dumper(date, Endless)
        own = World(types_url, asynchronous=world.runner is not None)
        assert own.conn.adapters  # they are copied when they are first used
    finally:
        for dumper in original[::-1]:
            psycopg.adapters.register_dumper(date, dumper)
    try:
        query = getattr(queries, f"array_{TYPES.index('date')}")
        assert adapted(own, queries) == {}
        with pytest.raises(psycopg.DataError):  # infinity, which psycopg does not read
            own.call(query, v=[date.max])
    finally:
        own.close()
    query = getattr(queries, f"scalar_{TYPES.index('date')}")
    assert told(world.call(query, v=date.max)) == told(date.max)

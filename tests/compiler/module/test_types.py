"""The types: every one is what the module says it is, as a parameter and as a result, on a real server."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.types.json import Jsonb
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range

from rowsmith.compiler.module.models import Models
from rowsmith.compiler.module.overrides import SCALARS as PSYCOPG_MAKES
from rowsmith.errors import ModuleError, UnknownTypeError
from tests.harness.databases import new_database
from tests.harness.modules import module

# A type, what the module calls it, and values of it.
SCALARS: list[tuple[str, str, list[Any]]] = [
    ("bool", "bool", [True, False]),
    ("int2", "int", [-7, 32767]),
    ("int4", "int", [0, 2**31 - 1]),
    ("int8", "int", [1, 2**63 - 1]),
    ("oid", "int", [2**32 - 1]),
    ("float4", "float", [1.5, float("inf")]),
    ("float8", "float", [0.1, -1e300]),
    ("numeric", "Decimal", [Decimal("1.50"), Decimal("Infinity"), Decimal("-0.000001")]),
    ("text", "str", ["", "a'b\"c\\d\n{é}"]),
    ("varchar(10)", "str", ["a"]),
    ("char(3)", "str", ["abc"]),
    ('"char"', "str", ["x"]),
    ("name", "str", ["a name"]),
    ("bytea", "bytes", [b"", b"\x00\xff"]),
    ("date", "date", [date(2024, 2, 29), date.max]),
    ("time", "time", [time(23, 59, 59, 999999)]),
    ("timetz", "time", [time(10, tzinfo=timezone(timedelta(hours=2)))]),
    ("timestamp", "datetime", [datetime(2024, 1, 2, 3, 4, 5, 6)]),  # noqa: DTZ001 - a timestamp has no time zone
    ("timestamptz", "datetime", [datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=UTC)]),
    ("interval", "timedelta", [timedelta(days=-3, seconds=5, microseconds=7)]),
    ("uuid", "UUID", [UUID(int=7)]),
    ("inet", "Inet", [ip_address("192.0.2.1"), ip_interface("192.0.2.1/24"), ip_address("2001:db8::1"),
                      ip_interface("2001:db8::1/64")]),
    ("cidr", "Cidr", [ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")]),
    ("macaddr", "str", ["08:00:2b:01:02:03"]),
    ("money", "str", ["$12.50"]),
    ("bit(3)", "str", ["101"]),
    ("varbit", "str", ["10101"]),
    ("json", "JsonValue", [{"a": [1, None, "x"]}, "text", 1.5]),
    ("jsonb", "JsonValue", [{"a": [1, None, "x"]}, ["[1,2]"], True]),
    ("jsonpath", "str", ['$."a"']),
    ("tsvector", "str", ["'a' 'b'"]),
    ("tsquery", "str", ["'a' & 'b'"]),
    ("point", "str", ["(1,2)"]),
    ("polygon", "str", ["((0,0),(1,1),(2,2))"]),
    ("regclass", "str", ["pg_class"]),
    ("pg_lsn", "str", ["0/1"]),
    ("xid8", "str", ["7"]),
    ("int4range", "Range[int]", [Range(1, 5), Range(empty=True), Range(None, 5)]),
    ("int8range", "Range[int]", [Range(1, 2**40)]),
    ("numrange", "Range[Decimal]", [Range(Decimal("1.5"), None, "(]")]),
    ("daterange", "Range[date]", [Range(date(2024, 1, 1), date(2024, 2, 1))]),
    ("tsrange", "Range[datetime]", [Range(datetime(2024, 1, 1), None)]),  # noqa: DTZ001 - as above
    ("tstzrange", "Range[datetime]", [Range(datetime(2024, 1, 1, tzinfo=UTC), None)]),
    ("int4multirange", "Multirange[int]", [Multirange([Range(1, 2), Range(5, None)])]),
    ("datemultirange", "Multirange[date]", [Multirange([Range(date(2024, 1, 1), date(2024, 2, 1))])]),
    ("title", "str", ["a domain"]),
    ("price", "Decimal", [Decimal("1.5")]),
    ("citext", "str", ["MiXed"]),
    ("label_range", "Range[str]", [Range("a", 'b,"'), Range(empty=True), Range("a", None, "(]")]),
    ("label_multirange", "Multirange[str]", [Multirange([Range("a", "b"), Range("x", None)])]),
]  # fmt: skip

# citext as its extension makes it, as far as a type goes: the embedded server comes without.
SCHEMA = """
CREATE TYPE citext;
CREATE FUNCTION citextin(cstring) RETURNS citext LANGUAGE internal IMMUTABLE STRICT AS 'textin';
CREATE FUNCTION citextout(citext) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
CREATE TYPE citext (INPUT = citextin, OUTPUT = citextout, LIKE = text);
CREATE TYPE odd;
CREATE FUNCTION oddin(cstring) RETURNS odd LANGUAGE internal IMMUTABLE STRICT AS 'textin';
CREATE FUNCTION oddout(odd) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
CREATE TYPE odd (INPUT = oddin, OUTPUT = oddout, LIKE = text);
CREATE DOMAIN title AS text;
CREATE DOMAIN price AS numeric CHECK (VALUE > 0);
CREATE TYPE odd_pair AS (odd odd);
CREATE DOMAIN odd_domain AS odd;
CREATE TYPE mood AS ENUM ('happy', 'not so happy', 'not-so-happy', '1st', '', '+', 'é"{},\\');
CREATE TYPE label_range AS RANGE (subtype = text, multirange_type_name = label_multirange);
CREATE TYPE mood_range AS RANGE (subtype = mood);
CREATE TYPE address AS (street text, house int, since timestamptz, feeling mood, tags text[], extra jsonb, price price);
CREATE TYPE person AS (name text, home address, others address[], moods mood[]);
CREATE TABLE things (id int PRIMARY KEY, settings jsonb NOT NULL, tags text[] NOT NULL, lists jsonb[], ratio numeric);
"""


@pytest.fixture(scope="module")
def typed_conn(server_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to a database with types of its own."""
    with new_database(server_url) as url, psycopg.connect(url, autocommit=True) as conn:
        conn.execute(SCHEMA)
        yield conn


@pytest.fixture(params=["pydantic", "dataclass"])
def models(request: pytest.FixtureRequest) -> Models:
    """The kind of the row models."""
    return "dataclass" if request.param == "dataclass" else "pydantic"


def same(result: Any, value: Any) -> bool:
    """Equal, and of the very same types all through."""
    kind: type[Any] = value.__class__
    if result.__class__ is not kind:
        return False
    if kind is list or kind is Multirange:
        return len(result) == len(value) and all(map(same, result, value))
    if kind is dict:
        return result.keys() == value.keys() and all(same(result[key], value[key]) for key in result)
    if kind is Range:
        return result == value and same(result.lower, value.lower) and same(result.upper, value.upper)
    return bool(result == value)


def test_every_type_is_as_promised_both_ways(
    typed_conn: psycopg.Connection[Any], tmp_path: Path, models: Models
) -> None:
    parts: list[str] = []
    for index, (pg_type, _, _) in enumerate(SCALARS):
        parts.append(f"-- name: value_{index}(value)$\nSELECT :value::{pg_type};")
        parts.append(f"-- name: row_{index}(value)^\nSELECT :value::{pg_type} AS value, 1 AS one;")
        parts.append(f"-- name: array_{index}(value)$\nSELECT :value::{pg_type}[];")
        parts.append(f"-- name: array_row_{index}(value)^\nSELECT :value::{pg_type}[] AS value, 1 AS one;")
    found = module(typed_conn, "\n\n".join(parts), tmp_path, models=models)
    text = (tmp_path / f"queries_{models}.py").read_text()
    for index, (pg_type, expression, values) in enumerate(SCALARS):
        row = text[text.index(f"class Row{index}Row") :].split("\n\n\n")[0]
        assert re.search(rf"    value: {re.escape(expression)}( \| None)?\n", row), (pg_type, row)
        array = text[text.index(f"class ArrayRow{index}Row") :].split("\n\n\n")[0]
        assert re.search(rf"    value: {re.escape(f'list[{expression} | None]')}( \| None)?\n", array), (pg_type, array)
        for value in values:
            result = getattr(found.queries, f"value_{index}")(typed_conn, value=value)
            assert same(result, value), (pg_type, value, result)
            result = getattr(found.queries, f"row_{index}")(typed_conn, value=value).value
            assert same(result, value), (pg_type, value, result)
        several = [*values, None]
        for name in ("array", "array_row"):
            given = getattr(found.queries, f"{name}_{index}")(typed_conn, value=several)
            result = given if name == "array" else given.value
            assert same(result, several), (pg_type, several, result)
            assert getattr(found.queries, f"{name}_{index}")(typed_conn, value=[]) is not None


def test_every_type_is_the_same_inside_a_composite(
    typed_conn: psycopg.Connection[Any], tmp_path: Path, models: Models
) -> None:
    """psycopg returns a composite as text: each attribute is read by its annotation."""
    attributes = [(f"v{index}", pg_type, values) for index, (pg_type, _, values) in enumerate(SCALARS)]
    with typed_conn.transaction(force_rollback=True):
        columns = ", ".join(f"{name} {type_}" for name, type_, _ in attributes)
        typed_conn.execute(f"CREATE TYPE everything AS ({columns})".encode())
        names, types = [name for name, _, _ in attributes], [f":{name}::{type_}" for name, type_, _ in attributes]
        sql = f"-- name: one({', '.join(names)})$\nSELECT ROW({', '.join(types)})::everything;"
        found = module(typed_conn, sql, tmp_path, models=models)
        for which in range(max(len(values) for _, _, values in attributes)):
            given = {name: values[min(which, len(values) - 1)] for name, _, values in attributes}
            result = found.queries.one(typed_conn, **given)
            for name, pg_type, _ in attributes:
                assert same(getattr(result, name), given[name]), (pg_type, getattr(result, name))
        empty = found.queries.one(typed_conn, **dict.fromkeys(names))
        assert [getattr(empty, name) for name in names] == [None] * len(names)


def test_every_built_in_type_that_is_not_listed_is_text(typed_conn: psycopg.Connection[Any]) -> None:
    rows = typed_conn.execute(
        """SELECT t.typname::text, t.oid::int8 FROM pg_type AS t
        WHERE t.typnamespace = 'pg_catalog'::regnamespace AND t.typtype = 'b'
          AND NOT EXISTS (SELECT FROM pg_type AS e WHERE e.typarray = t.oid)"""
    ).fetchall()
    assert len(rows) > 60
    for name, oid in rows:
        loader = psycopg.adapters.get_loader(oid, psycopg.pq.Format.TEXT)
        text = loader is None or loader.__name__ in ("TextLoader", "StrLoader")
        assert text is (PSYCOPG_MAKES.get(name, "str") == "str"), (name, loader)


def test_enumerations(typed_conn: psycopg.Connection[Any], tmp_path: Path, models: Models) -> None:
    sql = """
-- name: one(value)$
SELECT :value::mood;

-- name: row(value)^
SELECT :value::mood AS value, ARRAY[:value::mood, NULL] AS list, mood_range(:value::mood, NULL) AS range;

-- name: several(value)$
SELECT :value::mood[];

-- name: ranges(value)$
SELECT :value::mood_range;
"""
    found = module(typed_conn, sql, tmp_path, models=models)
    mood = found.Mood
    assert [(each.name, each.value) for each in mood] == [
        ("HAPPY", "happy"), ("NOT_SO_HAPPY", "not so happy"), ("NOT_SO_HAPPY_2", "not-so-happy"),
        ("VALUE_1ST", "1st"), ("VALUE", ""), ("VALUE_2", "+"), ("É", 'é"{},\\'),
    ]  # fmt: skip
    for each in mood:
        assert found.queries.one(typed_conn, value=each) is each
        row = found.queries.row(typed_conn, value=each)
        assert row.value is each
        assert row.list == [each, None]
        assert row.list[0] is each
        assert row.range.lower is each
    assert same(found.queries.several(typed_conn, value=[*mood, None]), [*mood, None])
    assert same(found.queries.ranges(typed_conn, value=Range(mood.HAPPY, None)), Range(mood.HAPPY, None))


def test_an_enumeration_named_like_a_name_of_the_module(
    typed_conn: psycopg.Connection[Any], tmp_path: Path, models: Models
) -> None:
    sql = '-- name: one(list, value)$\nSELECT :value::app."array" FROM unnest(:list::int[]);'
    with typed_conn.transaction(force_rollback=True):
        typed_conn.execute("CREATE SCHEMA app; CREATE TYPE app.\"array\" AS ENUM ('a')")
        found = module(typed_conn, sql, tmp_path, models=models)
        assert found.queries.one(typed_conn, list=[1], value="a") is found.Array_.A


def test_composites(typed_conn: psycopg.Connection[Any], tmp_path: Path, models: Models) -> None:
    sql = """
-- name: one(value)$
SELECT :value::person;

-- name: row(value)^
SELECT :value::person AS value, ARRAY[:value::person] AS list;

-- name: several(value)$
SELECT :value::person[];
"""
    found = module(typed_conn, sql, tmp_path, models=models)
    address = found.Address(
        street='a, "b"\\', house=None, since=datetime(2024, 1, 1, tzinfo=UTC), feeling=found.Mood.NOT_SO_HAPPY,
        tags=["a", None, ""], extra={"a": [1, "(,)"]}, price=Decimal("2.5"),
    )  # fmt: skip
    empty = found.Address(street=None, house=None, since=None, feeling=None, tags=None, extra=None, price=None)
    person = found.Person(name="", home=address, others=[empty, None, address], moods=[found.Mood.VALUE, None])
    result = found.queries.one(typed_conn, value=person)
    assert result == person
    assert type(result.home.price) is Decimal
    assert result.home.feeling is found.Mood.NOT_SO_HAPPY
    assert result.moods[0] is found.Mood.VALUE
    row = found.queries.row(typed_conn, value=person)
    assert row.value == person
    assert row.list == [person]
    assert found.queries.several(typed_conn, value=[person, None]) == [person, None]


def test_void_and_record(typed_conn: psycopg.Connection[Any], tmp_path: Path, models: Models) -> None:
    sql = """
-- name: notify(text)$
SELECT pg_notify('channel', :text);

-- name: row()^
SELECT pg_notify('channel', 'x') AS nothing, ROW(1, NULL, 'x') AS something;
"""
    found = module(typed_conn, sql, tmp_path, models=models)
    assert found.queries.notify(typed_conn, text="x") is None
    row = found.queries.row(typed_conn)
    assert row.nothing is None
    assert row.something == found.Something(f1=1, f2=None, f3="x")


def test_json_is_wrapped_on_its_way_unless_it_is(typed_conn: psycopg.Connection[Any], tmp_path: Path) -> None:
    sql = "-- name: add(id, settings, lists)<!\nINSERT INTO things VALUES (:id, :settings, '{}', :lists) RETURNING *;"
    found = module(typed_conn, sql, tmp_path)
    row = found.queries.add(typed_conn, id=1, settings=Jsonb({"a": 1}), lists=[{"b": 1}, Jsonb(None), None])
    assert row.settings == {"a": 1}
    assert row.lists == [{"b": 1}, None, None]
    with pytest.raises(psycopg.errors.NotNullViolation):  # None is NULL, not JSON's null
        found.queries.add(typed_conn, id=2, settings=None, lists=None)


BOUND = """
from typing import Any
from pydantic import BaseModel


class Settings(BaseModel):
    theme: str
    size: int = 3
"""


def test_columns_and_types_can_be_bound(
    typed_conn: psycopg.Connection[Any], tmp_path: Path, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"bound_{models}.py").write_text(BOUND)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    sql = """
-- name: clear()!
DELETE FROM things;

-- name: add(id, settings, tags, ratio, lists)<!
INSERT INTO things (id, settings, tags, ratio, lists) VALUES (:id, :settings, :tags, :ratio, :lists)
RETURNING id, settings, tags, ratio, lists;

-- name: settings_of(id)$
SELECT settings FROM things WHERE id = :id;

-- name: echo(value)$
SELECT :value::odd;
"""
    overrides = {
        "things.settings": f"bound_{models}:Settings",
        "public.things.tags": "list[str]",
        "things.ratio": "float",
        "things.lists": "list[dict[str, int]]",
        "odd": "str",
    }
    found = module(typed_conn, sql, tmp_path, models=models, overrides=overrides)
    text = (tmp_path / f"queries_{models}.py").read_text()
    assert "        settings: Annotated[Settings, From(JsonValue | Jsonb)],\n" in text
    assert "        tags: Annotated[list[str], From(Array[str])],\n" in text
    assert "    settings: Annotated[Settings, From(JsonValue)]\n" in text
    assert "    ratio: Annotated[float, From(Decimal)] | None\n" in text
    settings = found.Settings(theme="dark")
    found.queries.clear(typed_conn)
    row = found.queries.add(typed_conn, id=7, settings=settings, tags=["a"], ratio=0.5, lists=[{"a": 1}])
    assert row.settings == settings
    assert same(row.tags, ["a"])
    assert same(row.ratio, 0.5)
    assert same(row.lists, [{"a": 1}])
    assert found.queries.settings_of(typed_conn, id=7) == settings
    assert found.queries.echo(typed_conn, value="x") == "x"
    with pytest.raises(ValueError, match="validation error"):  # a NULL where the binding says there is none
        found.queries.add(typed_conn, id=8, settings=settings, tags=["a", None], ratio=0.5, lists=None)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"thing.settings": "str"}, 'types: "thing.settings" is neither a type nor a table.column of the database'),
        (
            {"odd": "Settings"},
            'types: "odd" = "Settings": Settings is not a built-in type. Write "app.types:Settings" for',
        ),
        ({"odd": "list["}, 'types: "odd" = "list[" is not a type'),
        (
            {"odd": "app.types:Name", "mood": "app.other:Name"},
            'types: "mood" = "app.other:Name": another type is called Name. Give one another name',
        ),
        ({"odd": "app.types:Decimal"}, 'types: "odd" = "app.types:Decimal": another type is called Decimal.'),
        ({"odd": "app.types:"}, 'types: "odd" = "app.types:": expected a type such as "str" or "app.types:Name"'),
    ],
)
def test_an_override_that_cannot_be_is_refused(
    typed_conn: psycopg.Connection[Any], tmp_path: Path, overrides: dict[str, str], message: str
) -> None:
    with pytest.raises(ModuleError) as caught:
        module(typed_conn, "-- name: one()$\nSELECT 1;", tmp_path, overrides=overrides)
    assert message in str(caught.value)


@pytest.mark.parametrize("column", ["ARRAY['x'::odd]", "ROW('x'::odd)::odd_pair", "'x'::odd_domain"])
def test_an_unknown_type_is_named(typed_conn: psycopg.Connection[Any], tmp_path: Path, column: str) -> None:
    with pytest.raises(
        UnknownTypeError, match=r"no Python type is known for odd\. Name one in \[tool\.rowsmith\.types\]"
    ):
        module(typed_conn, f"-- name: one()^\nSELECT {column} AS value;", tmp_path)


def test_models_are_values(typed_conn: psycopg.Connection[Any], tmp_path: Path, models: Models) -> None:
    found = module(typed_conn, "-- name: one()^\nSELECT 1 AS a, 'x'::text AS b;", tmp_path, models=models)
    row = found.queries.one(typed_conn)
    assert row == found.OneRow(a=1, b="x")
    assert len({row, found.queries.one(typed_conn)}) == 1
    with pytest.raises((dataclasses.FrozenInstanceError, ValueError)):
        row.a = 2

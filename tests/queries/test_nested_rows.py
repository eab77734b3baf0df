"""Rows inside rows: a value in a row of JSON, in a whole row, or in an array of rows is that of the column itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import is_dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache, partial
from inspect import get_annotations
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from rowsmith.compiler.module.models import Models
from rowsmith.errors import ResultShapeError
from rowsmith.values.types import is_list
from tests.harness.databases import new_database
from tests.harness.modules import module
from tests.harness.worlds import World, told

SCHEMA = """
CREATE EXTENSION IF NOT EXISTS hstore;
CREATE TYPE mood AS ENUM ('ok', 'not "ok"', 'é');
CREATE DOMAIN word AS text;
CREATE DOMAIN moment AS timestamptz;
CREATE TYPE pair AS (number numeric, word text, feeling mood, at moment);
CREATE TYPE moods AS RANGE (SUBTYPE = mood);
"""

# --- every type ---

_DIGITS = st.decimals(allow_nan=False, allow_infinity=False).map(lambda value: f"{value:f}")
_YEARS = st.integers(1, 9999)
_DATES = st.dates().map(str)
_CLOCKS = st.times().map(str)
_MOMENTS = st.datetimes().map(str)
_OFFSETS = st.sampled_from(["", "+00", "+05:30", "-03:30", "+14"])
_ENDLESS = st.sampled_from(["infinity", "-infinity", "0044-03-15 BC", "10000-01-01", "epoch"])
_WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
_FLOATS = st.floats().map(repr) | st.sampled_from(["NaN", "Infinity", "-0", "1e-320", "1e308"])
_DOCUMENTS = st.sampled_from([
    "null", "[]", "{}", "1.10", "1e2", "12345678901234567890", '{"a": [1, 2.5, {"b": null}], "a": 3}', '"\\u00e9"',
    "[[1], [2]]", "0.1", "-0.0", '"NaN"',
])  # fmt: skip


def _ranges(ends: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Ranges of two ends, or without."""
    whole = ends.map(lambda end: f'["{end}","{end}"]')
    return whole | ends.map(lambda end: f'["{end}",)') | ends.map(lambda end: f'(,"{end}")') | st.just("empty")


def _several(each: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return each.map(lambda one: f"{{{one}}}") | st.just("{}")


_INTEGERS = {f"int{size}": st.integers(-(2 ** (8 * size - 1)), 2 ** (8 * size - 1) - 1).map(str) for size in (2, 4, 8)}
_SMALL = st.integers(-(2**31), 2**31 - 2).map(str)
TYPES: dict[str, st.SearchStrategy[str]] = {
    "bool": st.sampled_from(["t", "f"]),
    **_INTEGERS,
    "oid": st.integers(0, 2**32 - 1).map(str),
    "float4": st.floats(width=32).map(repr) | st.sampled_from(["NaN", "-Infinity", "1e-45"]),
    "float8": _FLOATS,
    "numeric": _DIGITS | st.sampled_from(["NaN", "1.10", "12345678901234567890.123456789012345", "1e5000", "-1e-4000"]),
    "numeric(8,2)": st.decimals(-999999, 999999, places=2).map(str),
    "money": st.integers(-(10**10), 10**10).map(str),
    "text": _WORDS,
    "varchar(20)": _WORDS,
    "char(14)": _WORDS,
    "name": _WORDS,
    '"char"': st.sampled_from(["", "a", "é"]),
    "word": _WORDS,
    "bytea": st.binary(max_size=8).map(lambda value: f"\\x{value.hex()}"),
    "uuid": st.uuids().map(str),
    "date": _DATES | _ENDLESS,
    "time": _CLOCKS | st.just("24:00"),
    "timetz": st.tuples(_CLOCKS, _OFFSETS).map("".join),
    "timestamp": _MOMENTS | _ENDLESS,
    "timestamptz": st.tuples(_MOMENTS, _OFFSETS).map("".join) | _ENDLESS,
    "moment": st.tuples(_MOMENTS, _OFFSETS).map("".join),
    "interval": st.timedeltas().map(lambda value: f"{value.days} days {value.seconds}.{value.microseconds:06} seconds")
    | st.sampled_from(["1 year 2 mons", "-1 mon +3 days -04:05:06.7", "0"]),
    "json": _DOCUMENTS,
    "jsonb": _DOCUMENTS,
    "inet": st.ip_addresses().map(str) | st.sampled_from(["10.0.0.1/8", "::1/64"]),
    "cidr": st.sampled_from(["10.0.0.0/8", "::/0", "192.168.0.1"]),
    "macaddr": st.just("08:00:2b:01:02:03"),
    "bit(3)": st.just("101"),
    "varbit": st.text("01", max_size=9),
    "point": st.just("(1.5,-2)"),
    "tsvector": st.just("'a':1 'b c'"),
    "pg_lsn": st.just("16/B374D848"),
    "int4range": _ranges(_SMALL),
    "int8range": _ranges(_SMALL),
    "numrange": _ranges(_DIGITS),
    "daterange": _ranges(st.dates().filter(lambda day: day.year < 9999).map(str)),
    "tsrange": _ranges(_MOMENTS),
    "tstzrange": _ranges(_MOMENTS.map(lambda moment: f"{moment}+00")),
    "moods": _ranges(st.sampled_from(["ok", "é"])),
    "nummultirange": _several(_ranges(_DIGITS)),
    "tstzmultirange": _several(_ranges(_MOMENTS.map(lambda moment: f"{moment}+00"))),
    "mood": st.sampled_from(["ok", 'not "ok"', "é"]),
    "pair": st.sampled_from(['(1.10,"a ""b"", c",é,2026-03-01 12:00:00+02)', "(,,,)", "(NaN,,ok,)"]),
}
QUERIES = """
-- name: plain_{name}()^
SELECT id, value, list FROM sample_{name};

-- name: json_{name}()^
SELECT to_json(s) AS row FROM sample_{name} AS s;

-- name: jsonb_{name}()^
SELECT jsonb_build_object('id', s.id, 'value', s.value, 'list', s.list) AS row FROM sample_{name} AS s;

-- name: record_{name}()^
SELECT s AS row FROM sample_{name} AS s;

-- name: anonymous_{name}()^
SELECT s AS row FROM (SELECT id, value, list FROM sample_{name}) AS s;

-- name: collected_{name}()^
SELECT (SELECT coalesce(json_agg(s), '[]') FROM sample_{name} AS s) AS rows;

-- name: array_{name}()^
SELECT ARRAY(SELECT s FROM sample_{name} AS s) AS rows;

-- name: inside_{name}()^
SELECT x AS outermost FROM (SELECT (SELECT jsonb_agg(s) FROM sample_{name} AS s) AS rows, 1 AS n) AS x;
"""


@cache
def _name(type_: str) -> str:
    return "".join(char if char.isalnum() else "_" for char in type_)


@pytest.fixture(scope="module")
def place(server_url: str) -> Iterator[str]:
    """The URL of a database with a table for each type."""
    with new_database(server_url) as url:
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(SCHEMA)
            for each in TYPES:
                table = f"CREATE TABLE sample_{_name(each)} (id int NOT NULL, value {each}, list {each}[])"
                conn.execute(table.encode())
        yield url


@pytest.fixture(scope="module", params=["pydantic", "dataclass"])
def models(request: pytest.FixtureRequest) -> Models:
    """The kind of the row classes."""
    return "dataclass" if request.param == "dataclass" else "pydantic"


@pytest.fixture(scope="module")
def samples(place: str, models: Models, tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The generated module of `QUERIES`, with the class of a row of each type called after the type."""
    sql = "".join(QUERIES.format(name=_name(each)) for each in TYPES)
    for name in map(_name, TYPES):
        for query, column in (
            *((each, "row") for each in ("json", "jsonb", "record", "anonymous")),
            *((each, "rows") for each in ("collected", "array")),
            ("inside", "outermost.rows"),
        ):
            start = f"-- name: {query}_{name}()^\n"
            sql = sql.replace(start, f"{start}-- record_class: {column} = Sample_{name}\n")
        start = f"-- name: inside_{name}()^\n"
        sql = sql.replace(start, f"{start}-- record_class: outermost = Outer_{name}\n")
    with psycopg.connect(place, autocommit=True) as conn:
        return module(conn, sql, tmp_path_factory.mktemp(models), models=models)


@pytest.fixture(scope="module", params=["sync", "async"])
def world(request: pytest.FixtureRequest, place: str) -> Iterator[World]:
    """A connection in autocommit mode."""
    world = World(place, asynchronous=request.param == "async")
    yield world
    world.close()


def exactly(value: Any) -> object:
    """A value as it can be compared: with the types of all its parts. But -0.0 is 0.0, as it is to Python."""
    if is_list(value):
        return [*map(exactly, value)]
    if isinstance(value, (BaseModel, type(None))) or is_dataclass(value):
        names = get_annotations(type(value))
        return type(value).__name__, {name: exactly(getattr(value, name)) for name in names}
    return told(value + 0.0 if isinstance(value, float) else value)


def document(value: Any) -> Any:
    """A JSON document as it can be compared: 100 is 100.0, which jsonb does not tell apart."""
    if is_list(value):
        return [*map(document, value)]
    if isinstance(value, dict):
        return {key: document(each) for key, each in cast("dict[str, Any]", value).items()}
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return repr(float(value) + 0.0) if is_number else value


def values(row: Any, type_: str) -> dict[str, Any]:
    """The fields of a row by name."""
    compared: Callable[[Any], Any] = document if type_.startswith("json") else exactly
    return {name: compared(getattr(row, name)) for name in ("id", "value", "list")}


def attempt(call: Callable[[], Any]) -> Any:
    """What a call gives, or the class of psycopg's error."""
    try:
        return call()
    except psycopg.Error as error:
        return type(error)


@pytest.mark.parametrize("type_", TYPES)
@given(data=st.data())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_value_in_a_row_is_that_of_the_column(
    world: World, samples: ModuleType, type_: str, data: st.DataObject
) -> None:
    value = data.draw(st.none() | TYPES[type_])
    check(world, samples, type_, value)


def _nested(read: Callable[[str], Any], query: str, rows: str, type_: str) -> list[dict[str, Any]]:
    found = attrgetter(rows)(read(query))
    return [values(each, type_) for each in (found if rows.endswith("rows") else [found])]


READS = {
    **dict.fromkeys(("json", "jsonb", "record", "anonymous"), "row"),
    **dict.fromkeys(("collected", "array"), "rows"),
    "inside": "outermost.rows",
}
"""Where the row, or the list of rows, is that a query reads."""


def check(world: World, samples: ModuleType, type_: str, value: str | None) -> None:
    """Store a value, and a list with it and NULL, and read them in every way."""
    queries, name = samples.queries, _name(type_)

    def read(query: str) -> Any:
        return world.call(getattr(queries, f"{query}_{name}"))

    world.sql(f"TRUNCATE sample_{name}")
    stored = f"CAST(CAST($1 AS text) AS {type_})"
    try:
        world.sql(f"INSERT INTO sample_{name} VALUES (1, {stored}, ARRAY[{stored}, NULL])", value)
    except psycopg.DataError:
        return  # it is no value of the type
    plain = attempt(lambda: values(read("plain"), type_))
    for query, rows in READS.items():
        found = attempt(partial(_nested, read, query, rows, type_))
        # What cannot be read in a column cannot be read in a row.
        assert found == ([plain] if isinstance(plain, dict) else plain), query


# --- a parent with its children ---

FAMILY = """
CREATE TABLE users (id int PRIMARY KEY, name text NOT NULL, seen timestamptz);
CREATE TABLE projects (
    id int PRIMARY KEY, owner_id int, cost numeric NOT NULL, length interval NOT NULL, digest bytea NOT NULL,
    born date NOT NULL
);
CREATE TABLE tags (id bigint PRIMARY KEY, project_id int NOT NULL, label text NOT NULL, note text);
INSERT INTO users VALUES (1, 'Ädä', '2026-03-01 12:00+00');
INSERT INTO projects VALUES
    (1, 1, 12345678901234567890.10, '1 mon 2 days', '\\x00ff', '2026-02-03'), (2, NULL, 'NaN', '0', '', '0001-01-01');
INSERT INTO tags VALUES (9007199254740993, 1, 'new', NULL), (2, 1, 'it''s "old"', 'n');
"""
PROJECTS = """
-- name: get_project(id)^
SELECT p.id, u AS owner,
       (SELECT coalesce(jsonb_agg(tag ORDER BY tag.label DESC), '[]')
          FROM (SELECT t.id, t.label, t.note FROM tags t WHERE t.project_id = p.id) AS tag) AS tags
  FROM projects p LEFT JOIN users u ON u.id = p.owner_id
 WHERE p.id = :id;

-- name: list_projects()
SELECT p.id, to_jsonb(p) AS project, to_json(u) AS owner,
       ARRAY(SELECT tag FROM (SELECT t.id, t.label, t.note FROM tags t WHERE t.project_id = p.id) AS tag
              ORDER BY tag.label DESC) AS tags
  FROM projects p LEFT JOIN users u ON u.id = p.owner_id ORDER BY p.id;

-- name: tags_of(id)$
-- record_class: Tag
SELECT coalesce(json_agg(tag ORDER BY tag.label DESC), '[]')
  FROM (SELECT t.id, t.label, t.note FROM tags t WHERE t.project_id = :id) AS tag;

-- name: owner_of(id)$
-- record_class: owner = Owner
SELECT u AS owner FROM users u JOIN projects p ON p.owner_id = u.id WHERE p.id = :id;

-- name: owners()
SELECT jsonb_agg(u) AS owners, array_agg(u) AS also FROM projects p LEFT JOIN users u ON u.id = p.owner_id;

-- name: add_tag(project_id, label)<!
INSERT INTO tags AS t (id, project_id, label) VALUES (7, :project_id, :label)
RETURNING t AS added, to_jsonb(t) AS tag_row;

-- name: raw(id)^
-- record_class: tags = JsonValue
SELECT jsonb_agg(t) AS tags FROM tags t WHERE t.project_id = :id;
"""


@pytest.fixture(scope="module")
def home(server_url: str) -> Iterator[str]:
    """The URL of a database with projects, their owners and their tags."""
    with new_database(server_url) as url:
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(FAMILY.encode())
        yield url


@pytest.fixture(scope="module")
def projects(home: str, models: Models, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The generated module of `PROJECTS`."""
    with psycopg.connect(home, autocommit=True) as conn:
        return module(conn, PROJECTS, tmp_path_factory.mktemp(models), models=models)


@pytest.fixture(params=["sync", "async"])
def at_home(request: pytest.FixtureRequest, home: str) -> Iterator[World]:
    """A connection in autocommit mode."""
    world = World(home, asynchronous=request.param == "async")
    yield world
    world.close()


def described(projects: Any) -> dict[str, dict[str, str]]:
    """The fields of the classes of a module, as they are written."""
    fields: dict[str, str] = {}
    lines = Path(projects.__file__).read_text().partition("class Queries")[0].splitlines()
    found: dict[str, dict[str, str]] = {}
    for line in lines:
        name, colon, annotation = line.strip().partition(": ")
        if line.startswith("class "):
            found[line.split()[1].partition("(")[0].rstrip(":")] = fields = {}
        elif line.startswith("    ") and colon:
            fields[name] = annotation
    return found


def test_the_types_of_rows_in_rows(projects: Any) -> None:
    found = described(projects)
    assert found["Owner"] == {"id": "int", "name": "str", "seen": "datetime | None"}
    assert found["Tag"] == {"id": "int", "label": "str", "note": "str | None"}
    assert found["GetProjectRow"] == {"id": "int", "owner": "Owner | None", "tags": "list[Tag]"}
    assert found["ListProjectsRow"] == {
        "id": "int",
        "project": "Project",
        "owner": "Owner | None",
        "tags": "list[Tag]",
    }
    assert found["OwnersRow"] == {"owners": "list[Owner | None] | None", "also": "list[Also | None] | None"}
    assert found["RawRow"] == {"tags": "JsonValue | None"}


def test_a_parent_comes_with_its_children(at_home: World, projects: Any) -> None:
    one, two = (at_home.call(projects.queries.get_project, id=number) for number in (1, 2))
    tags = [
        projects.Tag(id=9007199254740993, label="new", note=None),
        projects.Tag(id=2, label='it\'s "old"', note="n"),
    ]
    owner = projects.Owner(id=1, name="Ädä", seen=datetime(2026, 3, 1, 12, tzinfo=UTC))
    assert one == projects.GetProjectRow(id=1, owner=owner, tags=tags)
    assert two == projects.GetProjectRow(id=2, owner=None, tags=[])
    first, second = at_home.call(projects.queries.list_projects)
    assert (first.owner, first.tags) == (owner, tags)
    assert (second.owner, second.tags) == (None, [])
    assert (first.project.cost, first.project.digest) == (Decimal("12345678901234567890.10"), b"\x00\xff")
    assert (first.project.length, first.project.born) == (timedelta(days=32), date(2026, 2, 3))
    assert second.project.cost.is_nan()
    assert at_home.call(projects.queries.tags_of, id=1) == tags
    assert at_home.call(projects.queries.tags_of, id=2) == []
    assert at_home.call(projects.queries.owner_of, id=1) == owner
    assert at_home.call(projects.queries.owner_of, id=2) is None
    (found,) = at_home.call(projects.queries.owners)
    assert sorted(found.owners, key=repr) == sorted([owner, None], key=repr)
    assert len(found.also) == len(found.owners)
    assert at_home.call(projects.queries.raw, id=1).tags[0]["label"] == "new"


def test_the_rows_of_a_statement_that_writes(at_home: World, projects: Any) -> None:
    at_home.sql("BEGIN")
    row = at_home.call(projects.queries.add_tag, project_id=1, label="added")
    at_home.sql("ROLLBACK")
    assert (row.added.id, row.added.label, row.added.note) == (7, "added", None)
    assert row.tag_row.label == "added"


def test_rows_are_the_same_through_a_cursor_and_a_stream(at_home: World, projects: Any, home: str) -> None:
    expected = [told(repr(each)) for each in at_home.call(projects.queries.list_projects)]
    unprepared = World(home, asynchronous=at_home.runner is not None, prepare_threshold=None)
    with closing(unprepared):
        assert [told(repr(each)) for each in unprepared.call(projects.queries.list_projects)] == expected
        assert unprepared.call(projects.queries.tags_of, id=1) == at_home.call(projects.queries.tags_of, id=1)
    stream = projects.queries.list_projects.stream(at_home.conn)
    assert [told(repr(each)) for each in _streamed(at_home, stream)] == expected


def _streamed(world: World, stream: Any) -> list[Any]:
    async def collect() -> list[Any]:
        return [row async for row in stream]

    return world.run(collect()) if world.runner else list(stream)


@pytest.mark.parametrize(
    "setting",
    [
        "DateStyle TO 'German, DMY'",
        "DateStyle TO 'SQL, MDY'",
        "TimeZone TO 'Asia/Kathmandu'",
        "bytea_output TO 'escape'",
        "client_encoding TO 'LATIN1'",
    ],
)
def test_rows_do_not_depend_on_the_settings_of_the_session(at_home: World, projects: Any, setting: str) -> None:
    before = at_home.call(projects.queries.list_projects)
    at_home.sql(f"SET {setting}")  # the statement is prepared already
    after = at_home.call(projects.queries.list_projects)
    assert [(row.owner, row.tags) for row in after] == [(row.owner, row.tags) for row in before]
    assert [repr(row.project) for row in after] == [repr(row.project) for row in before]
    assert str(after[0].owner.seen.tzinfo) == at_home.value("SHOW TimeZone")


def test_a_row_that_has_lost_a_column_is_refused(at_home: World, projects: Any) -> None:
    at_home.sql("BEGIN")
    at_home.sql("ALTER TABLE users RENAME seen TO gone")
    with pytest.raises(ResultShapeError, match=r"a row has no seen, a field of Owner.*rowsmith generate"):
        at_home.call(projects.queries.list_projects)
    at_home.sql("ROLLBACK")

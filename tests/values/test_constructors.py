"""Rows: made without their classes' own constructors, and in every respect as those would have made them."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import importlib.util
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from uuid import uuid4

import psycopg
import pytest
from psycopg.pq import TransactionStatus
from pydantic import BaseModel, ValidationError

from rowsmith import errors, load_queries
from rowsmith.compiler.analysis.description import Describer
from rowsmith.compiler.module.models import Models
from rowsmith.compiler.module.render import render
from rowsmith.compiler.module.types import read_types
from rowsmith.queries.loader import read_queries
from tests.harness.databases import new_database
from tests.harness.waiting import PATIENCE
from tests.harness.worlds import World, outcome, told

SCHEMA = """
CREATE TYPE mood AS ENUM ('ok', 'not ok', 'é');
CREATE TYPE pair AS (number int, word text, feeling mood);
CREATE DOMAIN word AS text;
CREATE DOMAIN moment AS timestamptz;
CREATE TABLE thing (
  id int PRIMARY KEY, label text NOT NULL, price numeric, tags text[], data jsonb, born date, feeling mood,
  feelings mood[], settings jsonb, pair pair
);
INSERT INTO thing VALUES
  (1, 'a', 1.50, '{x,NULL}', '{"k": [1]}', '2024-02-29', 'ok', '{ok,NULL}', '{"theme": "dark"}', (1, 'w', 'é')),
  (2, 'b', 'NaN', '{}', 'null', NULL, 'é', '{}', '{"theme": "light", "size": 7}', NULL),
  (3, 'c', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
"""

SQL = """
-- name: list_things()
SELECT id, label, price, tags, data, born, feeling, feelings, pair FROM thing ORDER BY id;

-- name: get_thing(id)^
SELECT id, label, price, tags, data, born, feeling, feelings, pair FROM thing WHERE id = :id;

-- name: get_short(id)^
SELECT label FROM thing WHERE id = :id;

-- name: get_plain(id)^
SELECT label, id, price FROM thing WHERE id = :id;

-- name: label_of(id)$
SELECT label FROM thing WHERE id = :id;

-- name: feeling_of(id)$
SELECT feeling FROM thing WHERE id = :id;

-- name: feelings_of(id)$
SELECT feelings FROM thing WHERE id = :id;

-- name: pair_of(id)$
SELECT pair FROM thing WHERE id = :id;

-- name: rename(id, label)!
UPDATE thing SET label = :label WHERE id = :id;
"""

BOUND = """
from pydantic import BaseModel


class Settings(BaseModel):
    theme: str
    size: int = 3
"""

CHANGING = """
-- name: everything()
SELECT * FROM changing ORDER BY id;

-- name: one_thing(id)^
SELECT * FROM changing WHERE id = :id;

-- name: add(id, label)<!
INSERT INTO changing (id, label) VALUES (:id, :label) RETURNING *;

-- name: count()$
SELECT count(*) FROM changing;
"""


def generated(url: str, sql: str, folder: Path, models: Models, overrides: dict[str, str] | None = None) -> ModuleType:
    """The module that is generated for a query file's text."""
    queries = folder / "sql"
    queries.mkdir(exist_ok=True)
    (queries / "queries.sql").write_text(sql)
    output = folder / f"generated_{uuid4().hex}.py"
    with psycopg.connect(url, autocommit=True) as conn:
        describer = Describer(conn)
        descriptions = [describer.describe(query) for query in read_queries(queries)]
        types = read_types(conn, descriptions, overrides)
    text = render(descriptions, types, output=output, folders={"": queries}, root=folder, models=models)
    output.write_text(text)
    spec = importlib.util.spec_from_file_location(output.stem, output)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[output.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def place(server_url: str) -> Iterator[str]:
    """The URL of a database of these tests."""
    with new_database(server_url) as url:
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(SCHEMA)
        yield url


@pytest.fixture(scope="module", params=["pydantic", "dataclass"])
def models(request: pytest.FixtureRequest) -> Models:
    """The kind of the row classes."""
    return "dataclass" if request.param == "dataclass" else "pydantic"


@pytest.fixture(scope="module")
def module(place: str, models: Models, tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The generated module of `SQL`."""
    return generated(place, SQL, tmp_path_factory.mktemp(models), models)


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest, place: str) -> Iterator[Callable[..., World]]:
    """Makes connections, closed at the end of the test."""
    with ExitStack() as stack:

        def connect(url: str = place) -> World:
            return stack.enter_context(closing(World(url, asynchronous=request.param == "async")))

        yield connect


@pytest.fixture
def world(connect: Callable[..., World]) -> World:
    """A connection in autocommit mode."""
    return connect()


# --- rows of a generated module ---


def made_twice(row: Any) -> tuple[Any, Any]:
    """Two rows of the same values, made by the row's class."""
    kind: Any = row.__class__
    values = {name: getattr(row, name) for name in names(row)}
    return kind(**values), kind(**values)


def rows_of(world: World, module: ModuleType) -> list[Any]:
    """Rows as queries give them."""
    queries = module.queries
    return [
        *world.call(queries.list_things),
        *(world.call(queries.get_thing, id=number) for number in (1, 2, 3)),
        world.call(queries.get_short, id=1),
        world.call(queries.get_plain, id=1),
    ]


def names(row: Any) -> list[str]:
    """The fields of a row, in their order."""
    kind: Any = row.__class__
    return list(kind.model_fields if issubclass(kind, BaseModel) else kind.__dataclass_fields__)


def test_a_row_is_in_every_respect_as_its_class_makes_it(world: World, module: ModuleType) -> None:
    for row in rows_of(world, module):
        made, other = made_twice(row)
        assert row.__class__ is made.__class__
        assert isinstance(row, type(made))
        assert repr(row) == repr(made)
        assert str(row) == str(made)
        assert row == made
        assert made == row
        assert (row != other) is False
        assert [told(getattr(row, name)) for name in names(row)] == [told(getattr(made, name)) for name in names(made)]
        assert outcome(hash, row) == outcome(hash, made)  # a list has none
        assert set(dir(row)) == set(dir(made))
        assert row != 1


def test_a_row_is_copied_and_pickled_as_its_class_makes_it(world: World, module: ModuleType) -> None:
    copies: list[Callable[[Any], Any]] = [copy.copy, copy.deepcopy, repickled]
    for row in rows_of(world, module):
        made, _ = made_twice(row)
        for each in copies:
            assert each(row).__class__ is row.__class__
            assert repr(each(row)) == repr(each(made)) == repr(row)
            assert (each(row) == row) is (each(made) == made)  # NaN is equal to itself alone, and not to its copy
        assert outcome(hash, copy.copy(row)) == outcome(hash, row)


def repickled(row: Any) -> Any:
    """Pickled and back."""
    return pickle.loads(pickle.dumps(row))  # noqa: S301 - what this test has just written


def test_a_model_knows_its_fields_and_nothing_else(world: World, place: str, tmp_path: Path) -> None:
    module = generated(place, SQL, tmp_path, "pydantic")
    for row in rows_of(world, module):
        made, _ = made_twice(row)
        assert row.model_fields_set == made.model_fields_set == set(names(row))
        assert row.model_extra is made.model_extra is None
        assert row.__pydantic_private__ is made.__pydantic_private__ is None
        assert list(row.__dict__) == list(made.__dict__)
        assert repr(row.model_dump()) == repr(made.model_dump())
        assert row.model_dump(exclude_unset=True).keys() == made.model_dump(exclude_unset=True).keys()
        assert row.model_dump_json() == made.model_dump_json()
        assert repr(row.model_copy(update={"label": "new"})) == repr(made.model_copy(update={"label": "new"}))
        assert repr(row.model_copy(deep=True)) == repr(made)
        kind: Any = row.__class__
        assert repr(kind.model_validate(row.model_dump())) == repr(made)
        assert repr(kind.model_validate(row)) == repr(made)
        with pytest.raises(ValidationError):
            row.label = "new"
        with pytest.raises(ValidationError):
            del row.label
    one, other = world.call(module.queries.get_short, id=1), world.call(module.queries.get_short, id=1)
    one.model_fields_set.clear()  # each row has a set of its own
    assert other.model_fields_set == world.call(module.queries.get_short, id=1).model_fields_set == {"label"}


def test_a_dataclass_is_frozen_and_has_slots(world: World, place: str, tmp_path: Path) -> None:
    module = generated(place, SQL, tmp_path, "dataclass")
    for row in rows_of(world, module):
        made, _ = made_twice(row)
        assert not hasattr(row, "__dict__")
        assert sys.getsizeof(row) == sys.getsizeof(made)
        assert set(row.__slots__) == set(names(row))
        assert repr(dataclasses.asdict(row)) == repr(dataclasses.asdict(made))
        assert repr(dataclasses.astuple(row)) == repr(dataclasses.astuple(made))
        assert repr(dataclasses.replace(row, label="new")) == repr(dataclasses.replace(made, label="new"))
        assert [field.name for field in dataclasses.fields(row)] == names(made)
        with pytest.raises(dataclasses.FrozenInstanceError):
            row.label = "new"
        with pytest.raises(dataclasses.FrozenInstanceError):
            del row.label
        with pytest.raises((AttributeError, TypeError)):
            row.something_else = 1


def test_a_row_is_of_the_values_that_are_there(world: World, module: ModuleType) -> None:
    first, second, third = world.call(module.queries.list_things)
    assert (first.id, first.label, first.price, first.tags) == (1, "a", Decimal("1.50"), ["x", None])
    assert (first.data, first.born, first.feeling) == ({"k": [1]}, date(2024, 2, 29), module.Mood.OK)
    assert first.feeling is module.Mood.OK
    assert first.feelings == [module.Mood.OK, None]
    assert (first.pair.number, first.pair.word, first.pair.feeling) == (1, "w", module.Mood("é"))
    assert (second.price.is_nan(), second.data, second.feelings, second.pair) == (True, None, [], None)
    assert [getattr(third, name) for name in names(third)] == [3, "c", *[None] * 7]
    assert world.call(module.queries.feeling_of, id=2) is module.Mood("é")
    assert world.call(module.queries.feeling_of, id=3) is None
    assert world.call(module.queries.feeling_of, id=9) is None
    assert world.call(module.queries.feelings_of, id=1) == [module.Mood.OK, None]
    assert world.call(module.queries.pair_of, id=1).word == "w"
    assert world.call(module.queries.get_thing, id=9) is None
    assert world.call(module.queries.rename, id=9, label="x") == 0


def test_a_query_of_a_generated_module_gives_the_same_by_a_cursor(place: str, module: ModuleType, world: World) -> None:
    """In a pipeline, and behind a transaction pooler."""
    expected = repr(world.call(module.queries.list_things))
    world.conn.prepare_threshold = None
    assert repr(world.call(module.queries.list_things)) == expected
    with psycopg.connect(place, autocommit=True) as conn, conn.pipeline():
        assert repr(module.queries.list_things(conn)) == expected


# --- columns that a query declares to be never NULL ---

DECLARED = """
-- name: listed(least)
SELECT id, born AS "born!", feeling AS "feeling!", price FROM thing WHERE id >= :least ORDER BY id DESC;

-- name: one(id)^
SELECT id, upper(nullif(label, 'b')) AS "label!", feelings AS "feelings!" FROM thing WHERE id = :id;

-- name: returned(id)<!
UPDATE thing SET id = id WHERE id = :id RETURNING born AS "born!";

-- name: value(id)$
SELECT born AS "born!" FROM thing WHERE id = :id;

-- name: latest()$
SELECT max(born) AS "latest!" FROM thing WHERE id > 1;

-- name: document(id)^
SELECT data AS "data!", 1 AS "one!" FROM thing WHERE id = :id;

-- name: star()
SELECT * FROM odd;

-- name: odd()$
SELECT "ok!" FROM odd;
"""


@pytest.fixture(scope="module")
def declared(place: str, models: Models, tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The generated module of `DECLARED`."""
    with psycopg.connect(place, autocommit=True) as conn:
        conn.execute('CREATE TABLE IF NOT EXISTS odd ("ok!" int); TRUNCATE odd; INSERT INTO odd VALUES (NULL)')
    return generated(place, DECLARED, tmp_path_factory.mktemp(models), models)


@pytest.mark.parametrize("by_cursor", [False, True])
@pytest.mark.parametrize(
    "case",
    [
        ("listed", {"least": 1}, "born"),
        ("one", {"id": 2}, "label"),
        ("one", {"id": 3}, "feelings"),
        ("returned", {"id": 2}, "born"),
        ("value", {"id": 3}, "born"),
        ("latest", {}, "latest"),
    ],
)
def test_null_under_a_mark_is_an_error(
    declared: ModuleType, world: World, case: tuple[str, Any, str], by_cursor: bool
) -> None:
    name, values, column = case
    query = getattr(declared.queries, name)
    if by_cursor:
        world.conn.prepare_threshold = None
    for _ in range(2):
        with pytest.raises(errors.UnexpectedNullError) as raised:
            world.call(query, **values)
        location = query.query.location
        assert str(raised.value) == (
            f'{name} ({location}): the column {column} is NULL, but AS "{column}!" declares that it never is. '
            "Remove the mark, or leave out the row"
        )
        assert world.status == TransactionStatus.IDLE


def test_null_under_a_mark_is_an_error_of_a_stream(declared: ModuleType, place: str) -> None:
    with psycopg.connect(place) as conn, pytest.raises(errors.UnexpectedNullError, match="the column born is NULL"):
        list(declared.queries.listed.stream(conn, least=1))

    async def read() -> None:
        async with await psycopg.AsyncConnection.connect(place) as conn:
            async for _ in declared.queries.listed.stream(conn, least=1):
                pass

    with pytest.raises(errors.UnexpectedNullError, match="the column born is NULL"):
        asyncio.run(read())


def test_what_is_not_null_under_a_mark_is_read(declared: ModuleType, world: World) -> None:
    queries = declared.queries
    assert world.call(queries.listed, least=4) == []
    assert world.call(queries.one, id=1).label == "A"
    assert world.call(queries.one, id=4) is None
    assert world.call(queries.returned, id=1).born == world.call(queries.value, id=1) == date(2024, 2, 29)
    assert world.call(queries.value, id=4) is None
    assert world.call(queries.document, id=2).data is None  # JSON's null


def test_a_column_of_a_table_may_be_named_like_a_mark(declared: ModuleType, world: World) -> None:
    assert [row.ok for row in world.call(declared.queries.star)] == [None]
    assert world.call(declared.queries.odd) is None


# --- what has changed since the module was generated ---


@pytest.fixture
def changing(place: str, models: Models, tmp_path: Path) -> Iterator[ModuleType]:
    """The generated module of `CHANGING`, over a table that the test changes."""
    with psycopg.connect(place, autocommit=True) as conn:
        conn.execute("CREATE TABLE changing (id int PRIMARY KEY, label text NOT NULL)")
        conn.execute("INSERT INTO changing VALUES (1, 'a'), (2, 'b')")
        yield generated(place, CHANGING, tmp_path, models)
        conn.execute("DROP TABLE changing")


def test_a_column_that_is_new_is_left_out(changing: ModuleType, world: World) -> None:
    queries = changing.queries
    before, one = world.call(queries.everything), world.call(queries.one_thing, id=1)
    world.sql("ALTER TABLE changing ADD COLUMN extra int DEFAULT 7")
    for _ in range(2):
        assert world.call(queries.everything) == before
        assert world.call(queries.one_thing, id=1) == one
    world.sql("ALTER TABLE changing DROP COLUMN label")
    world.sql("ALTER TABLE changing ADD COLUMN label text NOT NULL DEFAULT 'z'")  # now behind the new one
    assert [row.label for row in world.call(queries.everything)] == ["z", "z"]
    added = world.call(queries.add, id=3, label="c")
    assert (added.id, added.label, hasattr(added, "extra")) == (3, "c", False)


def test_a_column_that_is_missing_is_a_clear_error(changing: ModuleType, world: World) -> None:
    queries = changing.queries
    world.call(queries.everything)
    world.sql("ALTER TABLE changing RENAME COLUMN label TO name")
    for _ in range(3):
        with pytest.raises(errors.ResultShapeError) as raised:
            world.call(queries.everything)
        message = str(raised.value)
        assert "everything (" in message
        assert "the result has no column label, a field of EverythingRow" in message
        assert "run `rowsmith generate`" in message
        assert world.status == TransactionStatus.IDLE
    assert world.call(queries.count) == 2
    statements = world.value("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%SELECT *%'")
    assert statements <= 2  # the old one, and the one that told of the change
    world.sql("ALTER TABLE changing RENAME COLUMN name TO label")
    assert [row.label for row in world.call(queries.everything)] == ["a", "b"]


def test_a_label_that_is_new_is_a_clear_error(place: str, models: Models, tmp_path: Path, world: World) -> None:
    name = f"fresh_{uuid4().hex}"
    world.sql(f"CREATE TYPE {name} AS ENUM ('old')")
    sql = f"""
-- name: scalar(v)$
SELECT :v::text::{name};
-- name: row(v)^
SELECT :v::text::{name} AS label, 1 AS one;
-- name: several(v)$
SELECT ARRAY[:v::text::{name}];
-- name: several_rows(v)
SELECT ARRAY[:v::text::{name}] AS labels, 1 AS one;
"""
    queries = generated(place, sql, tmp_path, models).queries
    calls = [queries.scalar, queries.row, queries.several, queries.several_rows]
    for query in calls:
        world.call(query, v="old")
    world.sql(f"ALTER TYPE {name} ADD VALUE 'new'")
    for query in calls * 2:
        with pytest.raises(ValueError, match="'new' is not a valid") as raised:
            world.call(query, v="new")
        assert "in query" in raised.value.__notes__[0]
        assert world.call(query, v="old") is not None
    assert world.status == TransactionStatus.IDLE


# --- columns of the user's own types ---


def test_a_column_bound_to_a_model_is_validated(
    place: str, models: Models, tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"bound_{uuid4().hex}"
    (tmp_path / f"{name}.py").write_text(BOUND)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    sql = """
-- name: get(id)^
SELECT id, settings FROM thing WHERE id = :id;
-- name: settings_of(id)$
SELECT settings FROM thing WHERE id = :id;
-- name: list_all()
SELECT id, settings FROM thing ORDER BY id;
"""
    module = generated(place, sql, tmp_path, models, {"thing.settings": f"{name}:Settings"})
    dark = module.Settings(theme="dark")
    assert world.call(module.queries.get, id=1).settings == dark
    assert world.call(module.queries.get, id=2).settings == module.Settings(theme="light", size=7)
    assert world.call(module.queries.get, id=3).settings is None
    assert world.call(module.queries.settings_of, id=1) == dark
    world.sql("BEGIN")
    world.sql("""UPDATE thing SET settings = '{"theme": 5}' WHERE id = 1""")
    for query, values in ((module.queries.get, {"id": 1}), (module.queries.settings_of, {"id": 1})):
        for _ in range(2):
            with pytest.raises(ValidationError) as raised:
                world.call(query, **values)
            assert "in query" in raised.value.__notes__[0]
    with pytest.raises(ValidationError):
        world.call(module.queries.list_all)
    assert world.status == TransactionStatus.INTRANS  # it was no error of the server's
    world.sql("ROLLBACK")
    assert world.call(module.queries.get, id=1).settings == dark


# --- rows of load_queries ---

HOSTILE = [
    "a b",
    "class",
    "1st",
    "é",
    "_x",
    "a'b",
    'a"b',
    "a\\b",
    "{}",
    "values",
    "row",
    "self",
    "c0",
    "*",
    "x\ny",
    "!",
]


class Bag:
    """Takes any columns."""

    def __init__(self, /, **columns: object) -> None:
        self.columns = columns


@dataclass
class Item:
    number: int
    label: str = "none"


class ItemTuple(NamedTuple):
    number: int
    label: str = "none"


class Strict(BaseModel):
    number: int
    label: str


class Keeps:
    """Has made all its rows by its own constructor."""

    made = 0

    def __init__(self, number: int, label: str) -> None:
        self.number, self.label = number, label
        type(self).made += 1


RECORDS = """
-- name: bag()^
-- record_class: Row
SELECT {columns};

-- name: items()
-- record_class: Row
SELECT i AS number, 'x' || i AS label FROM generate_series(1, 3) AS i;

-- name: first()^
-- record_class: Row
SELECT 1 AS number;

-- name: twice()^
-- record_class: Row
SELECT 1 AS number, 2 AS number, 'x' AS label;

-- name: wrong()^
-- record_class: Row
SELECT 'one' AS number, 'x' AS label;
"""


def records(folder: Path, row: Any) -> Any:
    """The queries of `RECORDS` with a record class."""
    columns = ", ".join(f"{index} AS " + '"{}"'.format(name.replace('"', '""')) for index, name in enumerate(HOSTILE))
    (folder / "records.sql").write_text(RECORDS.replace("{columns}", columns))
    return load_queries(folder / "records.sql", record_classes={"Row": row})


def test_the_names_of_columns_are_names_and_no_code(tmp_path: Path, world: World) -> None:
    queries = records(tmp_path, Bag)
    for _ in range(2):
        assert world.call(queries.bag).columns == {name: index for index, name in enumerate(HOSTILE)}


@pytest.mark.parametrize("row", [Item, ItemTuple, Strict, Keeps])
def test_a_record_class_is_called_for_each_row(tmp_path: Path, world: World, row: Any) -> None:
    queries = records(tmp_path, row)
    Keeps.made = 0
    for number in (1, 2):
        items = world.call(queries.items)
        assert [(item.number, item.label) for item in items] == [(1, "x1"), (2, "x2"), (3, "x3")]
        assert {type(item) for item in items} == {row}
        assert row is not Keeps or Keeps.made == 3 * number
    with pytest.raises(errors.ResultShapeError, match="columns 1 and 2 of the result are both named number"):
        world.call(queries.twice)  # a keyword argument is given once, so one of them would be lost


def test_a_record_class_has_its_defaults_and_its_errors(tmp_path: Path, world: World) -> None:
    for row in (Item, ItemTuple):
        assert world.call(records(tmp_path, row).first) == row(1, "none")
    queries = records(tmp_path, Strict)
    for _ in range(2):
        with pytest.raises(ValidationError) as raised:
            world.call(queries.wrong)
        assert "in query wrong" in raised.value.__notes__[0]
        with pytest.raises(ValidationError):
            world.call(queries.first)
        assert world.value("SELECT 1") == 1


class Curious:
    """Asks the database more, when it is made."""

    conn: psycopg.Connection[Any]

    def __init__(self, number: int, label: str) -> None:
        self.answer = self.conn.execute("SELECT %s::text || %s", [number, label]).fetchone()


def test_a_record_class_may_use_the_connection(tmp_path: Path, place: str) -> None:
    """As it may where psycopg's row factories make the rows: the lock of the connection is free by then."""
    queries, made = records(tmp_path, Curious), list[Any]()
    with psycopg.connect(place, autocommit=True) as conn:
        Curious.conn = conn

        def fetch() -> None:
            with suppress(RuntimeError):  # of a lock that was released by another
                made.extend(queries.items(conn))

        thread = threading.Thread(target=fetch)
        thread.start()
        thread.join(PATIENCE)
        waits = thread.is_alive()
        if waits:
            conn.lock.release()  # which it waits for, and holds itself
        thread.join()
    assert not waits
    assert [item.answer for item in made] == [("1x1",), ("2x2",), ("3x3",)]


# --- values and counts ---

COMMANDS = [
    "CREATE TEMP TABLE counted (id int)", "INSERT INTO counted SELECT generate_series(1, 5)",
    "UPDATE counted SET id = id + 1 WHERE id > 3", "UPDATE counted SET id = 1 WHERE false", "DELETE FROM counted",
    "SELECT 1 FROM counted", "SET work_mem = '4MB'", "CREATE INDEX ON counted (id)", "LISTEN x", "NOTIFY x",
    "ANALYZE counted", "DO $$BEGIN END$$", "TRUNCATE counted",
    "MERGE INTO counted AS c USING (VALUES (1)) AS v (id) ON c.id = v.id WHEN NOT MATCHED THEN INSERT VALUES (v.id)",
    "CREATE TEMP TABLE copied AS SELECT 1 FROM generate_series(1, 4)", "DROP TABLE counted", "DISCARD TEMP",
]  # fmt: skip


def test_a_statement_affects_as_many_rows_as_psycopg_says(tmp_path: Path, connect: Callable[..., World]) -> None:
    sql = "\n\n".join(f"-- name: command_{index}()!\n{text};" for index, text in enumerate(COMMANDS))
    (tmp_path / "commands.sql").write_text(sql)
    queries = load_queries(tmp_path / "commands.sql")
    by_query, by_cursor = connect(), connect()
    for index, text in enumerate(COMMANDS):
        if text.startswith("SELECT"):
            with pytest.raises(errors.ResultShapeError, match="is marked ! but returns rows"):
                by_query.call(getattr(queries, f"command_{index}"))
            continue
        count = by_cursor.run(by_cursor.conn.execute(text.encode())).rowcount
        assert by_query.call(getattr(queries, f"command_{index}")) == count, text


# --- the values of every type ---

EXPRESSIONS = r"""
NULL::int4 | true | (-32768)::int2 | 2147483647::int4 | (-9223372036854775808)::int8 | 4294967295::oid
0.1::float4 | 1e38::float4 | 'nan'::float4 | '-inf'::float4 | 0.1::float8 | 'NaN'::float8 | '-Infinity'::float8
-0.0::float8 | 5e-324::float8 | 1.7976931348623157e308::float8
1.50 | 0.00 | 'NaN'::numeric | 'Infinity'::numeric | '-Infinity'::numeric | 1e-16383::numeric | 1e131071::numeric
-0.000001 | 12345678901234567890.12345678901234567890 | 100000000::numeric | 1e4 | 0.0001 | 10000.0001
repeat('9', 3000)::numeric | 1.0000000000000000000000000000 | '' | 'é€😀' | E'\n\t\\' | 'abc'::varchar(2)
'a'::char(5) | 'x'::"char" | '\101'::"char" | 'some name'::name
'\x00ff'::bytea | ''::bytea | 'infinity'::date | '-infinity'::date | '0001-01-01'::date | '0001-01-01 BC'::date
'9999-12-31'::date | '10000-01-01'::date | '2024-02-29'::date | '24:00:00'::time | '00:00'::time
'23:59:59.999999'::time | '10:00:00+02:30:15'::timetz | '24:00:00-05'::timetz | '00:00:00.000001+15:59:59'::timetz
'10:00-15:59:59'::timetz | '10:00+00'::timetz | 'infinity'::timestamp | '-infinity'::timestamp
'0001-01-01 00:00'::timestamp | '0044-03-15 BC'::timestamp | '9999-12-31 23:59:59.999999'::timestamp
'10000-01-01'::timestamp | '1999-12-31 23:59:59.999999'::timestamp | 'infinity'::timestamptz
'-infinity'::timestamptz | '0044-03-15 00:00+00 BC'::timestamptz | '2024-03-31 01:30+00'::timestamptz
'2024-10-27 00:30+00'::timestamptz | '2024-10-27 01:30+00'::timestamptz | '1850-01-01 00:00+00'::timestamptz
'1 year 2 mons'::interval | '-1 year -2 mons'::interval | '1 day -00:00:01'::interval
'-1 days +02:03:04.000005'::interval | '178000000 years'::interval | '1 mon -1 day'::interval
'100000 hours'::interval | '-0.000001 sec'::interval | '999999999 days'::interval | '1000000000 days'::interval
'13 mons -400 days 25 hours'::interval | '-5 mons'::interval | '2562047788 hours'::interval
'00000000-0000-0000-0000-000000000007'::uuid | '192.0.2.1'::inet | '192.0.2.1/24'::inet | '0.0.0.0/0'::inet
'::1'::inet | '2001:db8::1/64'::inet | '::ffff:192.0.2.1'::inet | '192.0.2.1/32'::inet | '::/0'::inet
'192.0.2.0/24'::cidr | '2001:db8::/32'::cidr | '192.0.2.1'::cidr | '::1'::cidr | '0.0.0.0/0'::cidr
'08:00:2b:01:02:03'::macaddr | '08:00:2b:01:02:03:04:05'::macaddr8 | '12.5'::money | '101'::bit(3) | '10101'::varbit
'<a/>'::xml | '{"a": [1, 1.0, 1e400, "x", null]}'::json | '{"a":1,"a":2}'::json | 'null'::json | 'null'::jsonb
'{"a": [1, 1.0, 12345678901234567890, "é"]}'::jsonb | '"x"'::jsonb | '[]'::jsonb | '1.10'::jsonb | '$.a'::jsonpath
'a b'::tsvector | 'a & b'::tsquery | '(1,2)'::point | '((0,0),(1,1))'::box | 'pg_class'::regclass | '0/1'::pg_lsn
'7'::xid8 | '1'::xid | '(0,1)'::tid | '1 2'::int2vector | '1 2'::oidvector | 'int4'::regtype
'10:20:10'::pg_snapshot | '<(1,2),3>'::circle | 'pg_catalog'::regnamespace | ROW(1, NULL, 'x') | ROW()
ROW(ARRAY[1, 2], '2020-01-01'::date) | int4range(1, 5) | int4range(NULL, 5) | 'empty'::int4range | '(,)'::int4range
int8range(1, 1099511627776) | numrange(1.5, NULL, '(]') | '[NaN,NaN]'::numrange
daterange('2024-01-01', '2024-02-01') | daterange('-infinity', 'infinity') | daterange('2024-01-01', 'infinity')
tsrange('2024-01-01', NULL) | tsrange('2024-01-01 10:00', '2024-01-02 10:00:00.5', '[]')
tsrange('-infinity', 'infinity') | tstzrange('2024-01-01 00:00+00', NULL)
tstzrange('2024-03-31 01:30+00', '2024-10-27 01:30+00', '[]') | '{[1,2),[5,)}'::int4multirange
'{}'::int4multirange | '{[1.5,2.5]}'::nummultirange | '{[2024-01-01,2024-02-01)}'::datemultirange
'{}'::tstzmultirange | '{[2024-01-01 00:00+00,2024-02-01 00:00+00)}'::tstzmultirange
'{[1,1099511627776)}'::int8multirange | '{[2024-01-01,2024-02-01]}'::tsmultirange | ARRAY[1, NULL, 3] | '{}'::int4[]
'{{1,2},{3,NULL}}'::int4[] | '[2:3]={7,8}'::int4[] | '[0:1][5:6]={{1,2},{3,4}}'::int8[]
ARRAY['a,"b"\\', '', NULL, 'NULL']::text[] | ARRAY[1.5, 'NaN']::numeric[]
ARRAY['2024-03-31 01:30+00']::timestamptz[] | ARRAY['infinity']::date[] | ARRAY['\x00'::bytea, NULL]
ARRAY['{"a":1}']::jsonb[] | ARRAY['{"a":1}']::json[] | ARRAY['192.0.2.1/24']::inet[] | ARRAY[int4range(1, 2), 'empty']
ARRAY[0.1]::float4[] | ARRAY['x', NULL]::"char"[] | ARRAY['(1,2)']::point[]
ARRAY['((0,0),(1,1))', '((0,0),(2,2))']::box[] | ARRAY[ROW(1, 2)] | ARRAY['10:00+02']::timetz[]
ARRAY['1 mon']::interval[] | ARRAY[true, NULL] | ARRAY['a'::name] | ARRAY['a'::varchar] | ARRAY['a'::char(3)]
ARRAY['00000000-0000-0000-0000-000000000007']::uuid[] | ARRAY['{[1,2)}']::int4multirange[] | ARRAY[1]::oid[]
ARRAY['24:00']::time[] | ARRAY[1e300]::float8[] | ARRAY[daterange('2024-01-01', '2024-02-01')] | ARRAY[12]::money[]
'{{{1}}}'::int2[] | ARRAY['192.0.0.0/16']::cidr[] | 'a'::word | ARRAY['a']::word[] | 'ok'::mood
'2024-01-01 00:00+00'::timestamptz::moment | ARRAY['ok', 'é']::mood[] | ROW(1, 'x', 'ok')::pair
ARRAY[ROW(1, 'x', 'ok')::pair] | pg_notify('x', 'y') | 'x'::regtype::text | 1 / 0
"""
TEXTS = [text.strip() for line in EXPRESSIONS.strip().splitlines() for text in line.split(" | ")]
SESSIONS = [
    "SET TIME ZONE 'UTC'", "SET TIME ZONE 'America/New_York'", "SET TIME ZONE 'Europe/Berlin'",
    "SET TIME ZONE 'Asia/Kolkata'", "SET TIME ZONE 'Pacific/Kiritimati'", "SET TIME ZONE 5.5",
    "SET IntervalStyle = 'iso_8601'", "SET bytea_output = 'escape'", "SET client_encoding = 'SQL_ASCII'",
]  # fmt: skip


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A query for each of the expressions."""
    path = tmp_path_factory.mktemp("values") / "values.sql"
    path.write_text("\n\n".join(f"-- name: value_{index}()$\nSELECT {text};" for index, text in enumerate(TEXTS)))
    return load_queries(path)


@pytest.mark.parametrize("session", SESSIONS)
def test_a_value_is_read_as_psycopg_reads_it(world: World, values: Any, session: str) -> None:
    """psycopg's cursor reads text, a query reads bytes where these give the same. Errors are of the same class."""
    world.sql(session)
    wrong: dict[str, tuple[Any, Any]] = {}
    for index, text in enumerate(TEXTS):
        query = getattr(values, f"value_{index}")
        if not text.isascii() and session.endswith("'SQL_ASCII'"):
            continue  # psycopg writes the text of a statement in the encoding of the client, and cannot here
        given, expected = outcome(world.call, query), outcome(world.value, query.sql)
        if given != expected and not (session.startswith("SET IntervalStyle") and expected[0] == "raises"):
            wrong[text] = given, expected
    assert wrong == {}


@pytest.mark.parametrize("text", ["''", r"'\200'", r"'\377'", "'é'", r"'\000'"])
def test_the_bytes_of_a_char_are_read_as_psycopg_reads_them(tmp_path: Path, world: World, text: str) -> None:
    """The type `"char"` is a byte: one that is no letter, or no byte at all, has a text of its own."""
    sql = f'-- name: one()$\nSELECT {text}::"char";\n\n-- name: several()$\nSELECT ARRAY[{text}, \'x\']::"char"[];'
    (tmp_path / "char.sql").write_text(sql)
    queries = load_queries(tmp_path / "char.sql")
    for query in (queries.one, queries.several):
        assert outcome(world.call, query) == outcome(world.value, query.sql)

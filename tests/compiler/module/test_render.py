"""The typed module: its text, what it refuses to be made of, and that a call gives what it promises."""

from __future__ import annotations

import asyncio
import collections.abc
import inspect
import os
import random
import stat
import subprocess
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import is_dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pydantic
import pytest
from psycopg.types.json import Jsonb

from blueprint import dataset
from rowsmith.compiler.analysis.description import Describer
from rowsmith.compiler.module.models import Models
from rowsmith.compiler.module.render import GENERATED, render, write_module
from rowsmith.compiler.module.types import read_types
from rowsmith.errors import ModuleError, QueryFileError, StaleModuleError
from rowsmith.queries.loader import read_queries
from rowsmith.queries.marks import Kind
from tests.harness.databases import ROOT
from tests.harness.modules import database, load, module, source

HERE = Path(__file__).parent
SQL = ROOT / "sql"
CHECKERS = {
    "ruff check": ["ruff", "check", "--isolated", "--line-length", "120", "--select", "F,I,E501,W,UP"],
    "ruff format": ["ruff", "format", "--isolated", "--line-length", "120", "--target-version", "py311", "--diff"],
    "mypy": ["mypy", "--strict", "--cache-dir", os.devnull, "--config-file", os.devnull],
}


@pytest.fixture(params=["pydantic", "dataclass"])
def models(request: pytest.FixtureRequest) -> Models:
    """The kind of the row models."""
    return "dataclass" if request.param == "dataclass" else "pydantic"


@pytest.fixture(scope="module")
def golden_conn(server_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to a database with the schema of the small module."""
    with database(server_url, None) as url, psycopg.connect(url, autocommit=True) as conn:
        conn.execute((HERE / "golden_schema.sql").read_text().encode())
        yield conn


def golden(conn: psycopg.Connection[Any], folder: Path, models: Models) -> str:
    """The text of the small module."""
    (folder / "sql").mkdir()
    (folder / "sql" / "golden.sql").write_text((HERE / "golden.sql").read_text())
    return source(conn, folder / "sql", folder / "queries.py", models=models)


# --- the text ---


def test_the_whole_text_of_a_small_module(golden_conn: psycopg.Connection[Any], tmp_path: Path, models: Models) -> None:
    text = golden(golden_conn, tmp_path, models)
    expected = HERE.parent / "snapshots" / f"module-{models}.txt"
    if os.environ.get("ROWSMITH_UPDATE_SNAPSHOTS"):
        expected.write_text(text)
    assert text == expected.read_text()


def check(command: list[str], folder: Path) -> None:
    """Run a checker over a folder from within it, where neither the project's configuration nor its folders count."""
    done = subprocess.run(
        [sys.executable, "-m", *command, "."], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


ODD = """
-- name: shadows()^
-- record_class: Decimal
SELECT 1.5 AS decimal, current_date AS date, current_date AS other, 1 AS int, 2 AS more,
       'x'::text AS str, 'y'::text AS s,
       ARRAY[1] AS list, ARRAY['a'] AS lists, true AS bool, 'good'::mood AS mood, '[1,2)'::int4range AS range,
       ROW(1, ARRAY['a'])::pair AS pair;

-- name: conn(conn, self)!
DELETE FROM users WHERE name = :conn OR name = :self;

-- name: list(list, date)
SELECT id, date, list FROM users WHERE list = :list AND date = :date;

-- name: a_long_name(one, two, three, four, five, six, seven, eight)!
-- {comment}
DELETE FROM users WHERE name IN (:one, :two, :three, :four, :five, :six, :seven, :eight);

-- name: import_users(date, list)*!
INSERT INTO users (name, date, list) VALUES ('x', :date, :list);

-- name: nothing()*!
DELETE FROM users WHERE false;
"""


def test_checkers_find_nothing_in_a_module(
    golden_conn: psycopg.Connection[Any], conn: psycopg.Connection[Any], tmp_path: Path
) -> None:
    golden_conn.execute("CREATE TYPE pair AS (int int, list text[])")
    odd = ODD.format(comment="a word " * 40)
    for kind in typing.get_args(Models):
        folder = tmp_path / f"of_{kind}"  # as "pydantic", it would count as that package
        folder.mkdir()
        (folder / f"blueprint_{kind}.py").write_text(source(conn, SQL, folder / "x.py", models=kind))
        module(golden_conn, odd, folder, models=kind).__name__  # noqa: B018 - that it can be imported
        (folder / f"queries_{kind}.py").rename(folder / f"odd_{kind}.py")
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict", "pythonVersion": "3.11"}')
    for command in CHECKERS.values():
        check(command, tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--pythonpath", sys.executable], cwd=tmp_path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_the_text_does_not_depend_on_the_order_of_the_queries(conn: psycopg.Connection[Any], tmp_path: Path) -> None:
    describer = Describer(conn)
    descriptions = [describer.describe(query) for query in read_queries(SQL)]

    def text() -> str:
        known = read_types(conn, descriptions)
        return render(descriptions, known, output=tmp_path / "x.py", folders={"": SQL}, root=SQL.parent)

    first = text()
    for seed in range(3):
        random.Random(seed).shuffle(descriptions)  # noqa: S311 - an order, no secret
        assert text() == first


def test_paths_are_those_from_the_module(golden_conn: psycopg.Connection[Any], tmp_path: Path) -> None:
    (tmp_path / "sql" / "inner").mkdir(parents=True)
    (tmp_path / "sql" / "inner" / "a.sql").write_text("-- name: one()$\nSELECT 1;")
    (tmp_path / "billing").mkdir()
    (tmp_path / "billing" / "b.sql").write_text("-- name: two()^\nSELECT 2 AS two;")
    describer = Describer(golden_conn)
    queries = read_queries(tmp_path / "sql")
    queries += [replace(query, namespace=("billing",)) for query in read_queries(tmp_path / "billing")]
    descriptions = [describer.describe(query) for query in queries]
    for place in ("x.py", "src/app/x.py"):
        output = tmp_path / place
        output.parent.mkdir(parents=True, exist_ok=True)
        folders = {"": tmp_path / "sql", "billing": tmp_path / "billing"}
        types_ = read_types(golden_conn, descriptions)
        output.write_text(render(descriptions, types_, output=output, folders=folders, root=tmp_path))
        found = load(output)
        assert found.queries.inner.one(golden_conn) == 1
        assert found.queries.billing.two(golden_conn) == found.BillingTwoRow(two=2)
        assert "sql/inner/a.sql:1" in output.read_text()


# --- what is refused ---

TWO_SHAPES = """
-- name: a()^
-- record_class: User
SELECT 1 AS id, 'x'::text AS name;

-- name: b()
-- record_class: User
SELECT 1 AS id, 2 AS name, true AS is_active;
"""
TWO_SHAPES_REFUSED = """\
record_class User stands for two shapes, of
    a ({file}:2) and
    b ({file}:6):
    name: str in the first, int in the second
    is_active: absent in the first, bool in the second"""
TWICE_UNNAMED = """\
{file}:1: a: column "?column?" cannot be an attribute in Python. Name it with AS
{file}:1: a: there are two columns ?column?. Rename one with AS"""
NO_FIELD = '{file}:1: a: column "model_dump" cannot be a field of a pydantic model, which uses that name itself. Use AS'


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        (TWO_SHAPES, TWO_SHAPES_REFUSED),
        ("-- name: a()\nSELECT 1, 2;", TWICE_UNNAMED),
        ("-- name: a()\nSELECT 1 AS model_dump;", NO_FIELD),
        ("-- name: a()\nDELETE FROM users;", "{file}:1: a returns no rows. Mark it with !, or add RETURNING"),
        ("-- name: a()$\nSELECT 1, 2;", "{file}:1: a is marked $ but returns 2 columns. Mark it with ^"),
        ("-- name: a()!\nSELECT 1;", "{file}:1: a is marked ! but returns rows. Remove the mark, or use ^, $ or <!"),
        (
            "-- name: a()^\n-- record_class: Queries\nSELECT 1 AS a;",
            "{file}:1: a: Queries cannot be the name of a record class",
        ),
    ],
)
def test_what_no_module_can_be_made_of(
    golden_conn: psycopg.Connection[Any], tmp_path: Path, sql: str, message: str
) -> None:
    with pytest.raises(ModuleError) as caught:
        module(golden_conn, sql, tmp_path)
    assert str(caught.value) == message.replace("{file}", f"{tmp_path}/sql/queries.sql")


def test_a_shared_model_is_as_wide_as_its_widest_query(
    golden_conn: psycopg.Connection[Any], tmp_path: Path, models: Models
) -> None:
    sql = (
        "-- name: a()^\n-- record_class: Thing\nSELECT 1 AS id, 'x'::text AS name;\n\n"
        "-- name: b()^\n-- record_class: Thing\nSELECT nullif(1, 1) AS id, 'x'::text AS name;\n\n"
        '-- name: c()^\n-- record_class: Thing\nSELECT 1 AS "id!", NULL::text AS "name!";\n\n'
        '-- name: d()^\nSELECT count(*) AS "total?" FROM users;\n'
    )
    found = module(golden_conn, sql, tmp_path, models=models)
    text = (tmp_path / f"queries_{models}.py").read_text()
    assert "    id: int | None\n    name: str\n" in text
    assert "    total: int | None\n" in text
    assert found.queries.b(golden_conn) == found.Thing(id=None, name="x")
    assert found.queries.d(golden_conn).total is not None  # the mark is no part of the name


def test_what_always_gives_a_row_is_never_none(golden_conn: psycopg.Connection[Any], tmp_path: Path) -> None:
    golden_conn.execute(
        """CREATE TABLE plain (id int PRIMARY KEY, parent int REFERENCES plain);
        CREATE TABLE guarded (id int);
        CREATE FUNCTION drop_it() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
        CREATE TRIGGER guard BEFORE INSERT ON guarded FOR EACH ROW EXECUTE FUNCTION drop_it();
        CREATE TABLE parted (id int) PARTITION BY LIST (id);
        CREATE VIEW seen AS SELECT * FROM guarded"""
    )
    statements = {
        "INSERT INTO plain (id) VALUES (1) RETURNING id": True,
        "WITH other AS (DELETE FROM users) INSERT INTO plain (id) VALUES (1) RETURNING id": True,
        "INSERT INTO plain (id) VALUES (1) ON CONFLICT DO NOTHING RETURNING id": False,
        "INSERT INTO plain (id) SELECT 1 WHERE random() < 0.5 RETURNING id": False,
        "INSERT INTO plain (id) SELECT id FROM guarded RETURNING id": False,
        "INSERT INTO plain (id) VALUES (generate_series(1, 0)) RETURNING id": False,
        "INSERT INTO guarded VALUES (1) RETURNING id": False,
        "INSERT INTO parted VALUES (1) RETURNING id": False,
        "INSERT INTO seen VALUES (1) RETURNING id": False,
        "UPDATE plain SET parent = NULL WHERE id = 1 RETURNING id": False,
        "SELECT count(*) AS total FROM plain": True,
        "SELECT count(*) AS total FROM plain GROUP BY id": False,
        "SELECT 1 AS one": True,
        "SELECT 1 AS one WHERE false": False,
    }
    parts = [f"-- name: q{index}()<!\n{statement};" for index, statement in enumerate(statements)]
    found = module(golden_conn, "\n\n".join(parts), tmp_path)
    for query in read_queries(tmp_path / "sql"):
        _, result, _ = promise(typing.get_type_hints(found.Queries)[query.name])
        assert (type(None) not in typing.get_args(result)) is statements[query.sql], query.sql


# --- the file ---


def test_a_module_is_written_once_and_only_over_its_like(tmp_path: Path) -> None:
    path = tmp_path / "queries.py"
    text = f'{GENERATED} from the queries in sql."""\n'
    assert write_module(path, text)
    assert not write_module(path, text)
    assert write_module(path, text + "é\n")
    assert path.read_text(encoding="utf-8") == text + "é\n"
    path.write_text("import mine\n")
    with pytest.raises(ModuleError, match=r"queries\.py was not generated by rowsmith, and is left as it is"):
        write_module(path, text)
    assert path.read_text() == "import mine\n"
    assert [each.name for each in tmp_path.iterdir()] == ["queries.py"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "queries.py"
    text = f'{GENERATED} from the queries in sql."""\n'
    write_module(path, text)

    def fail(_self: Path, _target: Path) -> Path:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="no space left"):
        write_module(path, text + "\n")
    assert path.read_text() == text
    assert [each.name for each in tmp_path.iterdir()] == ["queries.py"]


def test_a_module_that_no_longer_fits_is_refused_at_import(
    golden_conn: psycopg.Connection[Any], tmp_path: Path
) -> None:
    module(golden_conn, "-- name: one(a)$\nSELECT :a::int;", tmp_path)
    output, sql = tmp_path / "queries_pydantic.py", tmp_path / "sql" / "queries.sql"
    sql.write_text("\n-- name: one(a)$\n-- A comment changes nothing.\nSELECT :a::int;")
    load(output)
    for changed in (
        "-- name: one(a)$\nSELECT :a::int8;",
        "-- name: one(b)$\nSELECT :b::int;",
        "-- name: one(a)\nSELECT :a::int;",
        "-- name: two(a)$\nSELECT :a::int;",
        "-- name: one(a)$\nSELECT :a::int;\n\n-- name: two()$\nSELECT 2;",
    ):
        sql.write_text(changed)
        with pytest.raises(StaleModuleError) as caught:
            load(output)
        message = str(caught.value)
        assert message.startswith("module queries_pydantic_")
        assert message.endswith(f" does not fit the queries in {tmp_path}/sql: run `rowsmith generate`")
    sql.unlink()
    (tmp_path / "sql").rmdir()
    with pytest.raises(QueryFileError, match="there is no such file or folder"):
        load(output)


# --- a call gives what the module promises ---


def conforms(value: Any, annotation: Any) -> bool:
    """Whether a value is of a type, exactly and all through: a str is no StrEnum, an int no bool."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in (None, type(None)):
        return value is None
    if origin in (typing.Union, types.UnionType):
        return any(conforms(value, each) for each in arguments)
    if origin is list:
        return value.__class__ is list and all(conforms(each, arguments[0]) for each in value)
    if annotation is pydantic.JsonValue:
        return value is None or type(value) in (bool, int, float, str, list, dict)
    hints: dict[str, Any] = {}
    if is_dataclass(annotation) or hasattr(annotation, "model_fields"):
        hints = typing.get_type_hints(annotation)
    return type(value) is annotation and all(conforms(getattr(value, name), hint) for name, hint in hints.items())


def promise(function: type) -> tuple[dict[str, Any], Any, Any]:
    """What a query's class says: the types of its parameters, of its result, and of what its coroutine gives."""
    # What stands for an overloaded function in a class is a dummy, which does not know its name.
    named = types.SimpleNamespace(__module__=function.__module__, __qualname__=f"{function.__qualname__}.__call__")
    overloads = typing.get_overloads(typing.cast("Callable[..., object]", named))
    sync, other = (typing.get_type_hints(each) for each in overloads)
    result, coroutine = sync.pop("return"), other.pop("return")
    assert typing.get_origin(coroutine) is collections.abc.Coroutine
    del sync["conn"]
    given = typing.get_args(coroutine)[2]
    return sync, result, type(None) if given is None else given


class Arguments:
    """Values for the parameters of blueprint's queries, by name where one has to be there, else by type."""

    def __init__(self, conn: psycopg.Connection[Any]) -> None:
        def ids(table: str) -> list[UUID]:
            return [row[0] for row in conn.execute(f"SELECT id FROM {table} ORDER BY id LIMIT 2".encode())]

        self.known: dict[str, Any] = {
            "user_id": ids("users")[0], "to_user_id": ids("users")[1], "author_id": ids("users")[0],
            "project_id": ids("projects")[0], "template_id": ids("module_templates")[0],
            "session_id": ids("ai_sessions")[0], "api_key_id": ids("api_keys")[0],
            "notification_id": ids("notifications")[0], "user_ids": ids("users"), "session_type": "analysis",
            "first_day": date(2020, 1, 1), "last_day": date(2020, 1, 9), "rating": 3, "days": 10_000, "weeks": 600,
            "html": "<p>", "slug": "a-slug", "email": "grace@example.com", "max_rows": 5, "page_size": 5,
        }  # fmt: skip

    def of(self, name: str, annotation: Any) -> Any:
        if name in self.known:
            return self.known[name]
        if typing.get_origin(annotation) in (typing.Union, types.UnionType):
            return self.of("", typing.get_args(annotation)[0])
        if typing.get_origin(annotation) is list:
            return [self.of("", typing.get_args(annotation)[0]) for _ in range(2)]
        if annotation is pydantic.JsonValue:
            return {}
        if isinstance(annotation, type) and issubclass(annotation, StrEnum):
            return next(iter(annotation))
        values: Mapping[Any, Any] = {
            str: "x", int: 1, bool: True, float: 0.5, Decimal: Decimal("1.5"), UUID: UUID(int=1),
            date: date(2024, 1, 1), datetime: datetime(2030, 1, 1, tzinfo=UTC), Jsonb: Jsonb({}),
        }  # fmt: skip
        return values.get(annotation)


@pytest.fixture(scope="module")
def filled_url(server_url: str, template: str) -> Iterator[str]:
    """A migrated database with rows in every table."""
    with database(server_url, template) as url:
        with psycopg.connect(url) as conn:
            dataset.load(conn, dataset.Sizes().divided(150))
        yield url


def test_every_query_of_blueprint_gives_what_its_type_says(filled_url: str, tmp_path: Path, models: Models) -> None:
    with psycopg.connect(filled_url) as conn:
        output = tmp_path / "queries.py"
        output.write_text(source(conn, SQL, output, models=models))
        found = load(output)
        arguments = Arguments(conn)
        given: dict[str, object] = {}
        refused: list[str] = []
        for query in read_queries(SQL):
            hint = typing.get_type_hints(found.Queries)[query.name]
            parameters, result, later = promise(hint)
            assert result == later
            if query.kind is Kind.EXECUTEMANY:
                continue
            values = {name: arguments.of(name, each) for name, each in parameters.items()}
            try:
                with conn.transaction(force_rollback=True):
                    value = getattr(found.queries, query.name)(conn, **values)
            except psycopg.Error as error:
                refused.append(f"{query.name}: {error}")
                continue
            assert conforms(value, result), (query.name, result, value)
            given[query.name] = value
        assert len(refused) < 8, refused
        assert sum(value not in (None, [], 0) for value in given.values()) > 70, given


def test_an_async_connection_gives_the_same(filled_url: str, tmp_path: Path, models: Models) -> None:
    with psycopg.connect(filled_url) as conn:
        output = tmp_path / "queries.py"
        output.write_text(source(conn, SQL, output, models=models))
        found = load(output)
        expected = found.queries.list_active_users(conn, days=10_000)
        assert len(expected) > 3
        assert type(expected[0].role) is found.UserRole

    async def ask() -> Any:
        async with await psycopg.AsyncConnection.connect(filled_url) as conn:
            call = found.queries.list_active_users(conn, days=10_000)
            assert inspect.iscoroutine(call)
            return await call

    assert asyncio.run(ask()) == expected


def test_a_call_knows_its_query(golden_conn: psycopg.Connection[Any], tmp_path: Path) -> None:
    found = module(golden_conn, "-- name: one(a)$\n-- Doc.\nSELECT :a::int;", tmp_path)
    function: Callable[..., Any] = found.queries.one
    assert found.queries.one.sql == "SELECT $1::int"
    assert found.queries.one.query.qualified_name == "one"
    assert inspect.signature(function).parameters.keys() == {"conn", "a"}
    with pytest.raises(TypeError, match="unknown parameter b"):
        function(golden_conn, b=1)

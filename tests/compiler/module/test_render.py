"""The typed module: its text, what it refuses to be made of, and that a call gives what it promises."""

from __future__ import annotations

import asyncio
import inspect
import os
import pydoc
import random
import stat
import subprocess
import sys
import traceback
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import is_dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from functools import cache
from inspect import get_annotations
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pydantic
import pytest
from psycopg.types.json import Jsonb

from blueprint import dataset
from rowsmith.compiler.analysis.description import Describer
from rowsmith.compiler.analysis.forms import describe
from rowsmith.compiler.module.models import Models
from rowsmith.compiler.module.render import GENERATED, render, write_module
from rowsmith.compiler.module.types import read_types
from rowsmith.errors import ModuleError, QueryFileError, StaleModuleError
from rowsmith.queries.loader import read_queries
from rowsmith.queries.marks import Kind
from rowsmith.testing.databases import fresh_database
from tests.harness.databases import MIGRATIONS, ROOT, new_database
from tests.harness.modules import load, module, source

HERE = Path(__file__).parent
SQL = ROOT / "sql"


@pytest.fixture(params=["pydantic", "dataclass"])
def models(request: pytest.FixtureRequest) -> Models:
    """The kind of the row models."""
    return "dataclass" if request.param == "dataclass" else "pydantic"


@pytest.fixture(scope="module")
def golden_conn(server_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to a database with the schema of the small module."""
    with new_database(server_url) as url, psycopg.connect(url, autocommit=True) as conn:
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


def test_the_text_does_not_depend_on_the_order_of_the_queries(conn: psycopg.Connection[Any], tmp_path: Path) -> None:
    describer = Describer(conn)
    descriptions = [describe(describer, query) for query in read_queries(SQL)]

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
    descriptions = [describe(describer, query) for query in queries]
    for place in ("x.py", "src/app/x.py"):
        output = tmp_path / place
        output.parent.mkdir(parents=True, exist_ok=True)
        folders = {"": tmp_path / "sql", "billing": tmp_path / "billing"}
        types_ = read_types(golden_conn, descriptions)
        output.write_text(render(descriptions, types_, output=output, folders=folders, root=tmp_path))
        found = load(output)
        assert found.queries.inner.one(golden_conn) == 1
        assert found.queries.billing.two(golden_conn) == found.BillingTwoRow(two=2)
        assert '"""(sql/inner/a.sql, ' in output.read_text()


HIDDEN = "\u202e\u2066\u200f\u2028\x0c\x0b"
"""Bidirectional and control characters, which PostgreSQL takes in a comment."""


@pytest.mark.parametrize("embed", [False, True])
def test_no_character_of_the_text_hides_another(
    golden_conn: psycopg.Connection[Any], tmp_path: Path, models: Models, *, embed: bool
) -> None:
    (tmp_path / "sql").mkdir()
    name = "q\n\r\u202eimport os\udcff.sql"
    (tmp_path / "sql" / name).write_text(f"-- name: f()^\n-- Doc {HIDDEN} \\u202e.\nSELECT 1 AS x;")
    text = source(golden_conn, tmp_path / "sql", tmp_path / "queries.py", models=models, embed=embed)
    assert all(char == "\n" or char.isprintable() for char in text)
    (tmp_path / "queries.py").write_text(text, encoding="utf-8")
    found = load(tmp_path / "queries.py")
    assert "import os" not in text.splitlines()
    assert found.Queries.f.__doc__.startswith("Doc \u202e\u2066\u200f    \\u202e. (sql/q")
    assert found.queries.f(golden_conn).x == 1


def test_names_are_those_that_python_reads(
    golden_conn: psycopg.Connection[Any], tmp_path: Path, models: Models
) -> None:
    """Python takes `ª` for `a`."""
    with golden_conn.transaction(force_rollback=True):
        golden_conn.execute("CREATE TYPE letter AS ENUM ('A', '\N{MATHEMATICAL BOLD CAPITAL A}', 'a\u202eb')")
        found = module(golden_conn, "-- name: f()^\nSELECT 'A'::letter AS a, 2 AS ª;", tmp_path, models=models)
        assert [each.name for each in found.Letter] == ["A", "A_2", "A_B"]
        row = found.queries.f(golden_conn)
        assert (row.a, row.column_2) == ("A", 2)


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
NO_FIELD = '{file}:1: a: column "model_dump" cannot be a field of a pydantic model, which uses that name. Use AS'
NO_RECORD_CLASS = "{file}:1: a: %s cannot be the name of a record class"


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        (TWO_SHAPES, TWO_SHAPES_REFUSED),
        ("-- name: a()\nSELECT 1 AS model_dump;", NO_FIELD),
        *(
            (f"-- name: a()^\n-- record_class: {name}\nSELECT 1 AS a;", NO_RECORD_CLASS % name)
            for name in ("Queries", "class", "a", "Decimal", "list")
        ),
    ],
)
def test_what_no_module_can_be_made_of(
    golden_conn: psycopg.Connection[Any], tmp_path: Path, sql: str, message: str
) -> None:
    with pytest.raises(ModuleError) as caught:
        module(golden_conn, sql, tmp_path)
    assert str(caught.value) == message.replace("{file}", f"{tmp_path}/sql/queries.sql")


def test_columns_without_a_usable_name_have_one_in_the_row(
    golden_conn: psycopg.Connection[Any], tmp_path: Path, models: Models
) -> None:
    sql = """
-- name: unnamed()
SELECT 1, 2 AS id, 3 AS id, 4 AS id_2, 5 AS "two words", 6 AS "class", 7 AS column_1, 8, 9 AS "id?";

-- name: starred()^
SELECT a.*, b.* FROM (SELECT 1 AS id, 'ok'::text) AS a, (SELECT 2 AS id, 3) AS b;
"""
    found = module(golden_conn, sql, tmp_path, models=models)
    row: Any = found.queries.unnamed(golden_conn)[0]
    fields = ["column_1_2", "id", "id_3", "id_2", "column_5", "column_6", "column_1", "column_8", "id_4"]
    assert get_annotations(row.__class__, eval_str=True) == dict.fromkeys(fields, int) | {"id_4": int | None}
    assert [getattr(row, field) for field in fields] == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    starred = found.queries.starred(golden_conn)
    assert (starred.id, starred.text, starred.id_2, starred.column_4) == (1, "ok", 2, 3)
    assert next(iter(found.queries.unnamed.stream(golden_conn))) == row


def test_a_parameter_marked_in_the_name_line_may_be_none(
    golden_conn: psycopg.Connection[Any], tmp_path: Path, models: Models
) -> None:
    sql = """
-- name: page(size?, least)
SELECT n FROM generate_series(:least::int, 3) AS n ORDER BY n LIMIT :size;

-- name: appended(tag?)$
SELECT array_append('{a}', :tag::text) AS "tags!";

-- name: upper_of(word?)$
SELECT upper(:word::text);

-- name: listen(channel?)!
CALL shout(:channel);

-- name: add(name?)*!
INSERT INTO shouts VALUES (upper(:name));
"""
    golden_conn.execute("DROP TABLE IF EXISTS shouts; CREATE TABLE shouts (name text)")
    golden_conn.execute(
        "CREATE OR REPLACE PROCEDURE shout(name text) LANGUAGE sql AS $$ INSERT INTO shouts VALUES (name) $$"
    )
    found = module(golden_conn, sql, tmp_path, models=models)
    text = (tmp_path / f"queries_{models}.py").read_text()
    for signature in (
        "def page(self, *, size: int | None, least: int) -> list[PageRow]:",
        "def appended(self, *, tag: str | None) -> list[str | None]:",
        "def upper_of(self, *, word: str | None) -> str | None:",
        "def listen(self, *, channel: str | None) -> int:",
        "class AddParameters(TypedDict):\n    name: str | None\n",
    ):
        assert signature in text
    queries = found.queries
    assert [row.n for row in queries.page(golden_conn, size=None, least=2)] == [2, 3]
    assert queries.appended(golden_conn, tag=None) == ["a", None]
    assert queries.upper_of(golden_conn, word=None) is None
    queries.listen(golden_conn, channel=None)
    queries.add(golden_conn, [{"name": None}])
    assert golden_conn.execute("SELECT * FROM shouts").fetchall() == [(None,), (None,)]
    (tmp_path / "sql" / "queries.sql").write_text(sql.replace("word?", "word"))
    with pytest.raises(StaleModuleError, match="upper_of"):
        load(tmp_path / f"queries_{models}.py")


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
        result = inspect.signature(getattr(found.queries, query.name)).return_annotation
        assert (type(None) not in typing.get_args(result)) is statements[query.sql], query.sql


# --- the file ---


def test_a_module_is_written_once_and_only_over_its_like(tmp_path: Path) -> None:
    path = tmp_path / "queries.py"
    text = f'"""{GENERATED} from the queries in sql."""\n'
    assert write_module(path, text)
    assert not write_module(path, text)
    assert write_module(path, text + "é\n")
    assert path.read_text(encoding="utf-8") == text + "é\n"
    path.write_text("import mine\n")
    with pytest.raises(ModuleError, match=r"queries\.py was not generated by rowsmith and was left unchanged"):
        write_module(path, text)
    assert path.read_text() == "import mine\n"
    assert [each.name for each in tmp_path.iterdir()] == ["queries.py"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "queries.py"
    text = f'"""{GENERATED} from the queries in sql."""\n'
    write_module(path, text)

    def fail(_self: Path, _target: Path) -> Path:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="no space left"):
        write_module(path, text + "\n")
    assert path.read_text() == text
    assert [each.name for each in tmp_path.iterdir()] == ["queries.py"]


TWO = "-- name: one(a)$\n-- Doc.\nSELECT :a::int;\n\n-- name: other()^\n-- record_class: Row\nSELECT 1 AS n;\n"


def test_a_module_that_no_longer_fits_is_refused_at_import(
    golden_conn: psycopg.Connection[Any], tmp_path: Path
) -> None:
    module(golden_conn, TWO, tmp_path)
    output, sql = tmp_path / "queries_pydantic.py", tmp_path / "sql" / "queries.sql"
    for same in ("\n\n" + TWO, TWO.replace("Doc", "Another comment")):
        sql.write_text(same)
        load(output)
    for changed, named in (
        (TWO.replace("int", "int8"), "changed: one"),
        (TWO.replace("(a)", "(b)").replace(":a", ":b"), "changed: one"),
        (TWO.replace("one(a)$", "one(a)"), "changed: one"),
        (TWO.replace("Row", "Record"), "changed: other"),
        (TWO.replace("1 AS", "2 AS").replace("int", "text"), "changed: one, other"),
        (TWO.replace("one(a)", "three(a)"), "new: three; missing: one"),
        (f"{TWO}\n-- name: two()$\nSELECT 2;", "new: two"),
    ):
        sql.write_text(changed)
        with pytest.raises(StaleModuleError) as caught:
            load(output)
        message = str(caught.value)
        assert message.startswith("module queries_pydantic_")
        expected = f" does not fit the queries in {tmp_path}/sql ({named}). Run: rowsmith generate"
        assert message.endswith(expected), message
    sql.unlink()
    (tmp_path / "sql").rmdir()
    with pytest.raises(QueryFileError, match="there is no such file or folder"):
        load(output)


@pytest.mark.parametrize(
    "line",
    ["from rowsmith.queries.typed import TypedQuery, load_typed_queries", "from rowsmith.queries import conversions"],
)
def test_a_module_of_an_earlier_version_says_what_to_do(tmp_path: Path, line: str) -> None:
    (tmp_path / "outdated.py").write_text(f"{line}\n")
    with pytest.raises(StaleModuleError, match=r"earlier version of rowsmith\. Run: rowsmith generate"):
        load(tmp_path / "outdated.py")


def test_a_module_without_docstrings_is_taken_as_it_is(golden_conn: psycopg.Connection[Any], tmp_path: Path) -> None:
    """`python -OO` leaves no docstrings, and so no digests."""
    module(golden_conn, "-- name: one(a)$\nSELECT :a::int;", tmp_path)
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import queries_pydantic as m; print(m.queries.one.sql)"
    )
    command = [sys.executable, "-OO", "-c", program]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "SELECT $1::int\n"


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
        if typing.get_origin(annotation) is typing.Literal:
            return typing.get_args(annotation)[0]
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
def filled_url(server_url: str) -> Iterator[str]:
    """A migrated database with rows in every table."""
    with fresh_database(server_url, [MIGRATIONS]) as url:
        with psycopg.connect(url) as conn:
            dataset.load(conn, dataset.Sizes().divided(150))
        yield url


@pytest.fixture(scope="module")
def blueprint(filled_url: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Models], types.ModuleType]:
    """Makes blueprint's module, once for each kind of row models."""

    @cache
    def make(models: Models) -> types.ModuleType:
        output = tmp_path_factory.mktemp("blueprint") / "queries.py"
        with psycopg.connect(filled_url) as conn:
            output.write_text(source(conn, SQL, output, models=models))
        return load(output)

    return make


def test_every_query_of_blueprint_gives_what_its_type_says(
    filled_url: str, blueprint: Callable[[Models], types.ModuleType], models: Models
) -> None:
    with psycopg.connect(filled_url) as conn:
        found = blueprint(models)
        arguments = Arguments(conn)
        given: dict[str, object] = {}
        refused: list[str] = []
        for query in read_queries(SQL):
            function = getattr(found.queries, query.name)
            hints = inspect.get_annotations(getattr(found.Queries, query.name))
            result = hints.pop("return")
            assert inspect.signature(function).return_annotation == result
            if query.kind is Kind.EXECUTEMANY:
                continue
            values = {name: arguments.of(name, each) for name, each in hints.items()}
            try:
                with conn.transaction(force_rollback=True):
                    value = function(conn, **values)
            except psycopg.Error as error:
                refused.append(f"{query.name}: {error}")
                continue
            assert conforms(value, result), (query.name, result, value)
            given[query.name] = value
        assert len(refused) < 8, refused
        assert sum(value not in (None, [], 0) for value in given.values()) > 70, given


def test_an_async_connection_gives_the_same(
    filled_url: str, blueprint: Callable[[Models], types.ModuleType], models: Models
) -> None:
    with psycopg.connect(filled_url) as conn:
        found = blueprint(models)
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
    sql = "-- name: one(a)$\n-- Doc.\nSELECT :a::int;\n\n-- name: two(b)\nSELECT :b::text AS b;"
    found = module(golden_conn, sql, tmp_path)
    assert found.queries.one.sql == "SELECT $1::int"
    assert found.queries.one.query.qualified_name == "one"
    for function in (found.queries.two, found.queries.two.stream):
        assert inspect.signature(function) == inspect.signature(found.queries.two)
    assert str(inspect.signature(found.queries.one)) == "(conn, /, *, a: int) -> int"
    text = pydoc.plain(pydoc.render_doc(found.queries.one))
    assert text.endswith("one(conn, /, *, a: int) -> int\n    Doc.\n")
    with pytest.raises(TypeError, match="unknown parameter b"):
        found.queries.one(golden_conn, b=1)
    with pytest.raises(psycopg.errors.InvalidTextRepresentation) as caught:
        found.queries.one(golden_conn, a="x")
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert [(each.filename, each.lineno) for each in frames if each.name == "one"] == [
        (str(tmp_path / "sql" / "queries.sql"), 1)
    ]


def test_a_folder_is_a_class_inside(golden_conn: psycopg.Connection[Any], tmp_path: Path, models: Models) -> None:
    files = {
        "top.sql": "-- name: top()$\nSELECT 1;",
        "reports/roles.sql": "-- name: by_role()^\nSELECT 2 AS n;",
        "reports/daily/sums.sql": "-- name: sums()\nSELECT 3 AS n;",
    }
    for name, text in files.items():
        file = tmp_path / "sql" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    output = tmp_path / "queries.py"
    output.write_text(source(golden_conn, tmp_path / "sql", output, models=models))
    found = load(output)
    assert found.queries.top(golden_conn) == 1
    assert found.queries.reports.by_role(golden_conn) == found.ReportsByRoleRow(n=2)
    assert found.queries.reports.daily.sums(golden_conn) == [found.ReportsDailySumsRow(n=3)]
    assert inspect.get_annotations(found.Queries) == {"reports": found.Queries.ReportsQueries}
    (tmp_path / "sql/reports/daily/sums.sql").write_text("-- name: sums()\nSELECT 4 AS n;")
    with pytest.raises(StaleModuleError, match=r"\(changed: reports\.daily\.sums\)"):
        load(output)


# --- merging ---

FIRST = "-- name: first()^\nSELECT 1 AS a;\n"
SECOND = "\n-- name: second()^\nSELECT 2 AS a;\n"
THIRD = "\n-- name: third()^\nSELECT 3 AS a;\n"
NEW = "\n-- name: new()^\n-- A new one.\nSELECT 4 AS a;\n"
NEWER = "\n-- name: newer(n)^\nSELECT :n::int AS b;\n"
BASE = {"a.sql": FIRST + SECOND + THIRD, "b.sql": THIRD.replace("third", "fourth").lstrip()}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"a.sql": FIRST + SECOND + THIRD + NEW}, {"b.sql": BASE["b.sql"] + NEWER}),
        ({"a.sql": FIRST + SECOND + THIRD + NEW}, {"b.sql": NEWER.lstrip() + "\n" + BASE["b.sql"]}),
        ({"a.sql": FIRST.replace("1", "10") + SECOND + THIRD}, {"a.sql": FIRST + SECOND + THIRD.replace("3", "30")}),
        ({"a.sql": FIRST.replace("1", "10") + SECOND + THIRD}, {"a.sql": FIRST + SECOND.replace("2", "20") + THIRD}),
        ({"a.sql": FIRST + NEW + SECOND + THIRD}, {"a.sql": FIRST + SECOND.replace("2 AS a", "'2' AS b") + THIRD}),
        ({"a.sql": FIRST + NEW + SECOND + THIRD}, {"a.sql": FIRST.replace("1 AS a", "'1' AS b") + SECOND + THIRD}),
        ({"a.sql": FIRST + NEW + SECOND + THIRD}, {"a.sql": FIRST + SECOND + NEWER + THIRD}),
        ({"a.sql": FIRST + THIRD}, {"a.sql": FIRST + SECOND + THIRD.replace("3", "30")}),
    ],
)
@pytest.mark.parametrize("embed", [False, True])
def test_branches_that_touch_different_queries_merge(
    golden_conn: psycopg.Connection[Any],
    tmp_path: Path,
    models: Models,
    ours: dict[str, str],
    theirs: dict[str, str],
    *,
    embed: bool,
) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=base"]
        done = subprocess.run(["git", *identity, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def generated() -> str:
        return source(golden_conn, tmp_path / "sql", tmp_path / "queries.py", models=models, embed=embed)

    def commit(files: dict[str, str]) -> None:
        for name, text in files.items():
            (tmp_path / "sql" / name).write_text(text)
        (tmp_path / "queries.py").write_text(generated())
        git("add", ".")
        git("commit", "-m", "a change")

    (tmp_path / "sql").mkdir()
    git("init")
    commit(BASE)
    git("checkout", "-b", "theirs")
    commit(theirs)
    git("checkout", "base")
    commit(ours)
    git("merge", "theirs")
    assert (tmp_path / "queries.py").read_text() == generated()
    load(tmp_path / "queries.py")


def test_a_comment_changes_its_own_docstring_alone(golden_conn: psycopg.Connection[Any], tmp_path: Path) -> None:
    module(golden_conn, TWO, tmp_path)
    before = (tmp_path / "queries_pydantic.py").read_text().splitlines()
    module(golden_conn, f"-- A comment above.\n\n{TWO.replace('Doc.', 'Another comment.')}", tmp_path)
    after = (tmp_path / "queries_pydantic.py").read_text().splitlines()
    assert len(before) == len(after)
    (changed,) = (pair for pair in zip(before, after, strict=True) if pair[0] != pair[1])
    assert changed[0].startswith('        """Doc. (')
    assert changed[1].replace("Another comment.", "Doc.") == changed[0]


# --- whole rows ---

PERSON = """
CREATE TABLE person (id int PRIMARY KEY, gone int, mother int, name text NOT NULL, born timestamptz);
ALTER TABLE person DROP gone;
INSERT INTO person VALUES (1, NULL, 'Ada', '2020-01-01 12:00+02'), (2, 1, 'a "b", c', NULL)
"""
CHILDREN = """
-- name: get_child(id)^
SELECT child.id, older AS parent FROM person AS child LEFT JOIN person AS older ON older.id = child.mother
WHERE child.id = :id;
"""
PEOPLE = "-- name: get_person(id)^\n-- record_class: Person\nSELECT {columns} FROM person WHERE id = :id;"


def whole_rows(
    conn: psycopg.Connection[Any], folder: Path, columns: str, models: Models, overrides: dict[str, str] | None = None
) -> types.ModuleType:
    """The module of a query for whole rows and, in a later file, one for these columns."""
    (folder / "sql").mkdir(exist_ok=True)
    (folder / "sql" / "people.sql").write_text(PEOPLE.format(columns=columns))
    return module(conn, CHILDREN, folder, models=models, overrides=overrides, file="children.sql")


def test_a_whole_row_is_of_the_record_class_of_its_table(
    golden_conn: psycopg.Connection[Any], tmp_path: Path, models: Models
) -> None:
    with golden_conn.transaction(force_rollback=True):
        golden_conn.execute(PERSON)
        found = whole_rows(golden_conn, tmp_path, "name, id, mother, born", models)
        assert not hasattr(found, "Parent")
        ada = found.queries.get_person(golden_conn, id=1)
        child = found.queries.get_child(golden_conn, id=2)
        assert child == found.GetChildRow(id=2, parent=ada)
        assert child.parent.born.tzinfo is not None
        assert found.queries.get_child(golden_conn, id=1) == found.GetChildRow(id=1, parent=None)


@pytest.mark.parametrize(
    "columns", ['id, mother, name, born AS "born!"', "id, mother, name, now() AS born", "id, mother, name", "*, 1 AS n"]
)
def test_a_record_class_that_is_not_of_every_row_is_not_used(
    golden_conn: psycopg.Connection[Any], tmp_path: Path, models: Models, columns: str
) -> None:
    with golden_conn.transaction(force_rollback=True):
        golden_conn.execute(PERSON)
        found = whole_rows(golden_conn, tmp_path, columns, models)
        assert found.queries.get_child(golden_conn, id=2).parent == found.Parent(
            id=1, mother=None, name="Ada", born=datetime(2020, 1, 1, 10, tzinfo=UTC)
        )

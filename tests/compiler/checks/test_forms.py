"""Queries with optional lines and orderings, as `rowsmith check` and `rowsmith generate` see them."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import pytest

from rowsmith import NOT_GIVEN, errors
from rowsmith.compiler.analysis.description import Describer, Description
from rowsmith.compiler.analysis.forms import analyzed, describe
from rowsmith.queries.loader import read_queries
from tests.harness.databases import new_database
from tests.harness.modules import load, module
from tests.harness.projects import SCHEMA, assert_snapshot, project, rowsmith

SEARCH = """\
-- name: search(org, nick, deleted)
SELECT id, nick
  FROM users
 WHERE true
   AND org_id = :org            -- if: org
   AND nick = :nick             -- if: nick
   AND deleted_at IS NULL       -- unless: deleted
 ORDER BY id                    -- order: oldest
 ORDER BY nick, id              -- order: nick
;
"""
FAULTS = """\
-- name: nothing_given(id, nick, email)!
UPDATE users SET
       nick = :nick,     -- if given: nick
       email = :email    -- if given: email
 WHERE id = :id;

-- name: misspelt(org, nick)
SELECT id FROM users
 WHERE true
   AND org = :org        -- if: org
   AND nick = :nick      -- if: nick
;

-- name: wrong_ordering()
SELECT id FROM users
 ORDER BY idd            -- order: id
 ORDER BY nick           -- order: nick
;

-- name: columns(with_nick)
SELECT id
     , nick              -- if: with_nick
  FROM users;

-- name: types_of_columns(exact)
SELECT number::int8 AS n -- unless: exact
SELECT number AS n       -- if: exact
  FROM users;

-- name: types_of_a_parameter(n, text)
SELECT id FROM users
 WHERE number = :n       -- unless: text
 WHERE number::text = :n -- if: text
;

-- name: always_wrong(org)
SELECT idd FROM users
 WHERE org_id = :org     -- if: org
;

-- name: in_one_form(id)^
SELECT id, u.*           -- if: id
SELECT id, id            -- unless: id
  FROM users AS u
 WHERE id = :id          -- if: id
;

-- name: at_most_one(id, org)^
SELECT nick FROM users
 WHERE true
   AND id = :id          -- if: id
   AND org_id = :org     -- if: org
;

-- name: no_values(id, org)!
INSERT INTO users
-- if: org
(id, email, org_id, number) VALUES (:id, '', :org, 1)
-- end
-- unless: org
(id, email, number) VALUES (:id, '', 1)
-- end
;
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def conn(server_url: str) -> Generator[psycopg.Connection[Any]]:
    with new_database(server_url) as url, psycopg.connect(url, autocommit=True) as conn:
        conn.execute(SCHEMA.encode())
        conn.execute("INSERT INTO users VALUES (1, 'a', 'x', 1, 1), (2, 'b', NULL, 1, 2), (3, 'c', 'y', 2, 3)")
        conn.execute("UPDATE users SET deleted_at = now() WHERE id = 3")
        yield conn


@pytest.fixture
def said(conn: psycopg.Connection[Any], tmp_path: Path) -> Callable[[str], Description]:
    """What the server says of the text of a query."""

    def ask(text: str) -> Description:
        (tmp_path / "q.sql").write_text(text)
        (query,) = read_queries(tmp_path / "q.sql")
        return describe(Describer(conn), query)

    return ask


def test_each_fault_of_a_form(folder: Path, server_url: str) -> None:
    project(folder, FAULTS)
    done = rowsmith("check", "--database-url", server_url)
    assert done.exit_code == 1
    assert_snapshot("forms", done.output, server_url)


MISTAKES = """\
-- name: by_column(column)
SELECT id FROM users ORDER BY :column;

-- name: by_columns(column, org)
SELECT id FROM users
 WHERE org_id = :org AND nick = :column
 ORDER BY id, (:column::text) COLLATE "C" DESC;

-- name: by_column_of_some(column)
SELECT id FROM users
 ORDER BY :column::text   -- if: column
;

-- name: in_list(ids)
SELECT id FROM users WHERE id IN :ids;

-- name: not_in_list(ids, org)
SELECT id FROM users WHERE org_id = :org AND id NOT IN :ids ORDER BY id;

-- name: prefix(part)
SELECT id FROM users WHERE nick LIKE :part%;

-- name: contains(org, part)
SELECT id FROM users WHERE org_id = :org AND (nick ILIKE %:part% OR id = 1);

-- name: suffix(part)
SELECT id FROM users WHERE nick LIKE %:part ORDER BY id;

-- name: begins(part)
SELECT id FROM users WHERE (nick LIKE :part%) ORDER BY id;

-- name: quoted(part)
SELECT id FROM users WHERE nick LIKE '%:part%';

-- name: fine(kind, part, ids, direction)
SELECT id, :kind::text AS kind, id % 2 AS odd FROM users
 WHERE nick LIKE :part || '%' AND id IN (SELECT unnest(:ids::int[]))
 ORDER BY kind, id * :direction, CASE WHEN :kind = 'nick' THEN nick END, 1;
"""


def test_what_a_parameter_cannot_be(folder: Path, server_url: str) -> None:
    project(folder, MISTAKES)
    done = rowsmith("check", "--database-url", server_url)
    assert done.exit_code == 1
    assert_snapshot("mistakes", done.output, server_url)


def many(names: int, line: str = "") -> str:
    parameters = [f"p{number}" for number in range(names)]
    lines = "\n".join(f"   AND id <> :{name} -- if: {name}" for name in parameters)
    return f"-- name: many({', '.join(parameters)})\nSELECT id FROM users\n WHERE true\n{lines}\n{line};"


def test_a_query_with_too_many_forms_is_to_be_split(folder: Path, server_url: str) -> None:
    project(folder, many(12, " ORDER BY id -- order: id\n ORDER BY nick -- order: nick\n"))
    done = rowsmith("check", "--database-url", server_url)
    assert done.exit_code == 1
    assert_snapshot("too-many-forms", done.output, server_url)


def test_the_forms_that_are_only_prepared_are_checked_as_well(folder: Path, server_url: str) -> None:
    # Three names together: a form that is not analyzed, but prepared.
    project(folder, many(9, "-- if: p0, p1, p2\nAND idd = 1\n-- unless: p8\nAND true\n-- end\n-- end\n"))
    done = rowsmith("check", "--database-url", server_url)
    assert done.exit_code == 1
    assert 'column "idd" does not exist' in done.output
    assert "in the form with p0, p1, p2, without p3, p4, p5, p6, p7, p8 (and 63 other forms)" in done.output


def test_which_forms_are_analyzed(tmp_path: Path) -> None:
    def numbers(text: str) -> list[int]:
        (tmp_path / "q.sql").write_text(text)
        (query,) = read_queries(tmp_path / "q.sql")
        assert query.forms is not None
        return [*analyzed(query.forms)]

    assert numbers(many(8)) == [*range(256)]
    found = numbers(many(9))
    assert len(found) == len({*found}) == 1 + 1 + 9 + 9 + 36
    assert {0, 511, 1, 256, 510, 255, 3, 384} <= {*found}
    ordered = numbers(many(8, "ORDER BY 1 -- order: a\nORDER BY 2 -- order: b\n"))
    assert len(ordered) == 2 * (1 + 1 + 8 + 8 + 28)
    assert {0, 256, 511, 257} <= {*ordered}


def test_what_may_be_null_in_one_form_may_be_null(said: Callable[[str], Description]) -> None:
    found = said(
        "-- name: f(nick, title)\nSELECT u.id, u.nick, p.title FROM users AS u\n"
        "LEFT JOIN posts AS p ON p.author_id = u.id\nWHERE true\nAND u.nick = :nick -- if: nick\n"
        "AND p.title = :title -- if: title\n;"
    )
    assert [(column.name, column.nullable) for column in found.columns] == [
        ("id", False),
        ("nick", True),
        ("title", True),
    ]
    assert [(each.name, each.nullable) for each in found.parameters] == [("nick", True), ("title", True)]
    proven = {each.query.title: [column.nullable for column in each.columns] for each in found.forms}
    assert proven == {
        "without nick, title": [False, True, True],
        "with nick, without title": [False, False, True],
        "with title, without nick": [False, True, False],
        "with nick, title": [False, False, False],
    }


def test_a_parameter_that_lines_depend_on_is_not_null_in_them(said: Callable[[str], Description]) -> None:
    found = said("-- name: f(a)\nSELECT :a::text AS a -- if: a\nSELECT 'x'::text AS a -- unless: a\n;")
    assert [column.nullable for column in found.columns] == [False]
    found = said("-- name: f(a)\nSELECT :a::text AS a, 1\n + 1 -- if: a\nAS n\n;")
    assert [column.nullable for column in found.columns] == [True, False]
    assert [each.nullable for each in found.parameters] == [True]


def test_reads_and_writes_are_those_of_every_form(said: Callable[[str], Description]) -> None:
    found = said(
        "-- name: f(id, nick, log)!\nUPDATE users SET number = number,\n nick = :nick -- if given: nick\n"
        "FROM posts -- if: log\nWHERE users.id = :id\nAND posts.author_id = users.org_id -- if: log\n;"
    )
    assert found.writes == ("public.users.nick", "public.users.number")
    assert "public.posts.author_id" in found.reads
    assert not found.only_reads
    assert found.clean
    assert [(each.name, each.pg_type, each.nullable, each.origin) for each in found.parameters] == [
        ("id", "integer", False, None),
        ("nick", "text", True, "public.users.nick"),
        ("log", "boolean", False, None),
    ]


def test_one_row_has_to_be_proven_of_every_form(said: Callable[[str], Description]) -> None:
    text = "-- name: f(id)^\nSELECT count(*) AS n FROM users\nGROUP BY id -- if: by\n;"
    assert not said(text.replace("f(id)", "f(by)")).one_row
    assert said("-- name: f(by)^\nSELECT count(*) AS n FROM users\nWHERE id > 1 -- if: by\n;").one_row


def test_what_is_ignored_in_one_form_is_ignored(folder: Path, server_url: str) -> None:
    text = "-- name: f(id)^\nSELECT nick FROM users\n-- rowsmith: ignore many-rows (one, by contract)\n"
    project(folder, f"{text}WHERE id = :id -- if: id\n;")
    done = rowsmith("check", "--database-url", server_url)
    assert done.output.endswith("nothing to report\n"), done.output


def test_describe_has_the_flags(folder: Path, server_url: str) -> None:
    project(folder, SEARCH)
    (found,) = json.loads(rowsmith("describe", "--json", "--database-url", server_url).output)["queries"]
    assert found["params"] == [
        {"name": "org", "pg_type": "integer", "python": "int", "nullable": True},
        {"name": "nick", "pg_type": "text", "python": "str", "nullable": True},
        {"name": "deleted", "pg_type": "boolean", "python": "bool", "nullable": False},
    ]


@pytest.fixture
def generated(conn: psycopg.Connection[Any], tmp_path: Path) -> ModuleType:
    patch = """
-- name: patch(id, nick, email)<!
UPDATE users
   SET number = number,
       nick = :nick,     -- if given: nick
       email = :email    -- if given: email
 WHERE id = :id
RETURNING id, nick, email;
"""
    return module(conn, SEARCH + patch, tmp_path)


def test_the_typed_functions_choose_their_forms(conn: psycopg.Connection[Any], generated: ModuleType) -> None:
    queries = generated.queries
    with conn.transaction(force_rollback=True):
        for _ in range(2):
            assert [row.id for row in queries.search(conn)] == [1, 2]
            assert [row.id for row in queries.search(conn, org=2)] == []
            assert [row.id for row in queries.search(conn, org=2, deleted=True)] == [3]
            assert [row.id for row in queries.search(conn, nick="x", org=None)] == [1]
            assert [row.id for row in queries.search(conn, deleted=True, order_by="nick")] == [1, 3, 2]
        assert queries.patch(conn, id=1).nick == "x"
        assert queries.patch(conn, id=1, email="z", nick=NOT_GIVEN).email == "z"
        assert queries.patch(conn, id=1, nick=None).nick is None
        with pytest.raises(TypeError, match="missing parameter id"):
            queries.patch(conn, nick="x")


def test_a_module_is_out_of_date_when_a_form_changes(
    conn: psycopg.Connection[Any], generated: ModuleType, tmp_path: Path
) -> None:
    file = tmp_path / "sql" / "queries.sql"
    for old, new in [("-- unless: deleted", "-- if: deleted"), ("-- order: nick", "-- order: nicks")]:
        text = file.read_text()
        file.write_text(text.replace(old, new))
        with pytest.raises(errors.StaleModuleError, match=r"\(changed: search\)"):
            load(Path(str(generated.__file__)))
        file.write_text(text)

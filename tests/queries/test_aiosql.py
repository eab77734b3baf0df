"""Files and calls that were written for aiosql: what works as it does there, and the messages about the rest."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import TupleRow

import rowsmith
from rowsmith import errors, load_queries, load_queries_from_text
from rowsmith.queries.namespace import Queries

Connection = psycopg.Connection[TupleRow]


def load(folder: Path, text: str, **classes: Any) -> Queries:
    (folder / "q.sql").write_text(text)
    return load_queries(folder / "q.sql", record_classes=classes)


@pytest.fixture
def pairs(conn: Connection) -> Connection:
    """A connection with a table."""
    conn.execute("CREATE TEMPORARY TABLE pairs (id int PRIMARY KEY, name text NOT NULL)")
    return conn


# --- what works as it does there ---


def test_the_list_of_parameters_is_optional_for_many_and_returning(tmp_path: Path, pairs: Connection) -> None:
    queries = load(
        tmp_path,
        "-- name: add-many*!\nINSERT INTO pairs (id, name) VALUES (:id, :name);\n"
        "-- name: add<!\nINSERT INTO pairs (id, name) VALUES (:id, upper(:name)) RETURNING name, id;\n"
        "-- name: clear#\nDELETE FROM pairs;\n",
    )
    assert queries.add_many(pairs, [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]) == 2
    assert queries.add(pairs, id=3, name="c") == ("C", 3)
    assert queries.add.query.parameters == ("id", "name")
    assert queries.clear(pairs) is None


@pytest.mark.parametrize("mark", ["", "^", "$", "!"])
def test_with_other_marks_the_message_has_the_list_to_write(tmp_path: Path, mark: str) -> None:
    with pytest.raises(errors.QueryFileError, match=r"f has no parameter list\. Write f\(b, a\)"):
        load(tmp_path, f"-- name: f{mark}\nSELECT :b, :a, :b")


def test_the_names_of_the_queries(tmp_path: Path) -> None:
    (tmp_path / "blogs").mkdir()
    (tmp_path / "blogs" / "blogs.sql").write_text("-- name: get-all()\nSELECT 1 AS one;")
    (tmp_path / "q.sql").write_text("-- name:get_all  ( )  ^  \nSELECT 1 AS one;\n--name : -dash()\nSELECT 2 AS two;")
    queries = load_queries(tmp_path)
    assert queries.available_queries == ["_dash", "blogs.get_all", "get_all"]
    assert queries.blogs.available_queries == ["blogs.get_all"]
    (tmp_path / "q.sql").write_text("-- name: available_queries()$\nSELECT 1;")
    assert load_queries(tmp_path).available_queries.query.name == "available_queries"


def test_percent_signs_colons_and_quotes_in_sql(tmp_path: Path, conn: Connection) -> None:
    queries = load(
        tmp_path,
        "-- name: modulo(a, b)$\n-- A percent sign is not doubled.\nSELECT :a::int % :b::int;\n"
        "-- name: quotes()$\nSELECT '''doubled'' :x %s' AS \"\"\"a\"\" :b\";\n"
        "-- name: near(one,two)^\nSELECT :one::text,:two::text AS comma;\n"
        "-- name: empty()$\n/* nothing */ SELECT 'a' WHERE false;\n",
    )
    assert queries.modulo(conn, a=7, b=3) == 1
    assert queries.quotes(conn) == "'doubled' :x %s"
    assert queries.near(conn, one="a", two="b") == ("a", "b")
    assert queries.empty(conn) is None
    assert queries.modulo.__doc__ == "A percent sign is not doubled."
    assert queries.modulo.sql == "SELECT $1::int % $2::int"


def test_queries_of_a_text(conn: Connection) -> None:
    text = "-- name: pair(id)^\n-- record_class: Pair\n-- One pair.\nSELECT :id::int AS id, 'a' AS name;"
    queries = load_queries_from_text(text, record_classes={"Pair": Pair})
    assert queries.pair(conn, id=3) == Pair(3, "a")
    assert queries.pair.query.location == "<text>:1"
    with pytest.raises(errors.QueryFileError, match="<text>:2: f uses :x, which is not in its parameter list"):
        load_queries_from_text("-- name: f()\nSELECT :x")


# --- what does not, with the form that works ---


def test_text_before_the_first_query_is_a_fault_unless_it_is_a_comment(tmp_path: Path) -> None:
    assert load(tmp_path, "-- About users.\n\n-- name: f()\nSELECT 1;").available_queries == ["f"]
    with pytest.raises(errors.QueryFileError, match=r"q\.sql:1: this text is before the name line .* or make it a com"):
        load(tmp_path, "About users.\n-- name: f()\nSELECT 1;")


def test_names_of_aiosql_are_led_to_those_of_rowsmith(tmp_path: Path) -> None:
    for name, ours in {"from_path": "load_queries(path)", "from_str": "load_queries_from_text(text)"}.items():
        with pytest.raises(AttributeError, match=re.escape(f"has no attribute '{name}'. Write {ours}")):
            getattr(rowsmith, name)
    queries = load(tmp_path, "-- name: users()\nSELECT 1;")
    with pytest.raises(AttributeError, match=r"no query 'users_cursor'\. Write users\.stream\(conn, \.\.\.\) for its"):
        queries.users_cursor  # noqa: B018 - the look-up is what fails


def test_tuples_for_a_query_of_many_are_refused(tmp_path: Path, pairs: Connection) -> None:
    queries = load(tmp_path, "-- name: add*!\nINSERT INTO pairs VALUES (:id, :name);")
    with pytest.raises(TypeError) as raised:
        queries.add(pairs, [{"id": 1, "name": "a"}, (2, "b")])
    assert str(raised.value).startswith(
        'add(): set 1 is a tuple, expected a mapping such as {"id": ..., "name": ...} ('
    )


@dataclass
class Pair:
    id: int
    name: str = ""


SAME_NAMES = {
    "SELECT 1 AS id, 2 AS name, 3 AS id": "columns 1 and 3 of the result are both named id. Name each with AS",
    "SELECT 1 + 1, 2, 3 AS name": "columns 1 and 2 of the result have no name. Name each with AS",
}


@pytest.mark.parametrize("sql", SAME_NAMES)
@pytest.mark.parametrize("record_class", ["", "-- record_class: Pair\n"])
def test_two_columns_with_one_name_are_a_fault(tmp_path: Path, conn: Connection, sql: str, record_class: str) -> None:
    """With a record class, one of them used to be dropped."""
    queries = load(tmp_path, f"-- name: f()^\n{record_class}{sql}", Pair=Pair)
    with pytest.raises(errors.ResultShapeError) as raised:
        queries.f(conn)
    assert str(raised.value).startswith("f (")
    if not record_class or "both named" in SAME_NAMES[sql]:
        assert SAME_NAMES[sql] in str(raised.value)


def test_a_record_class_needs_the_name_of_each_column(tmp_path: Path, conn: Connection) -> None:
    queries = load(tmp_path, "-- name: f()^\n-- record_class: Pair\nSELECT 1 AS id, 'a' || 'b'", Pair=Pair)
    with pytest.raises(errors.ResultShapeError, match="column 2 of the result has no name, and the record class Pair"):
        queries.f(conn)

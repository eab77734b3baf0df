"""What the module refuses of rows inside rows, and what it says then."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from rowsmith.errors import ModuleError
from tests.harness.databases import new_database
from tests.harness.modules import module

SCHEMA = """
CREATE TYPE odd AS (a int);
CREATE FUNCTION odd_to_json(odd) RETURNS json IMMUTABLE LANGUAGE sql AS $$ SELECT '1'::json $$;
CREATE CAST (odd AS json) WITH FUNCTION odd_to_json(odd);
CREATE TABLE tags (id int NOT NULL, label text, kind odd);
"""
FAULTS = {
    "two shapes of one name": (
        """
        -- name: one()
        SELECT jsonb_agg(t) AS tags FROM (SELECT id FROM tags) AS t;

        -- name: two()
        SELECT jsonb_build_object('id', label) AS tag FROM tags;
        """,
        [
            "record_class Tag stands for two shapes, of",
            "one (queries.sql:2), column tags and",
            "two (queries.sql:5), column tag:",
            "id: int in the first, str in the second",
            "Choose another name for one of them: -- record_class: tag = TagRow",
        ],
    ),
    "a record class with other columns": (
        """
        -- name: one()
        -- record_class: Tag
        SELECT id, label FROM tags;

        -- name: two()
        SELECT jsonb_agg(t) AS tags FROM (SELECT id FROM tags) AS t;
        """,
        ["record_class Tag stands for two shapes, of", "label: str in the first, absent in the second"],
    ),
    "a class for no column": (
        """
        -- name: one()
        -- record_class: labels = Label
        SELECT jsonb_agg(t) AS tags FROM (SELECT id FROM tags) AS t;
        """,
        ["queries.sql:2: one: record_class: labels = Label is for no column", "Columns with rows: tags"],
    ),
    "a class that is no name": (
        """
        -- name: one()
        -- record_class: tags = list
        SELECT jsonb_agg(t) AS tags FROM (SELECT id FROM tags) AS t;
        """,
        ["queries.sql:2: one: list cannot be the name of a record class"],
    ),
    "a field that pydantic uses": (
        """
        -- name: one()
        SELECT jsonb_build_object('copy', id) AS tag FROM tags;
        """,
        ['queries.sql:2: one, column tag: column "copy" cannot be a field of a pydantic model'],
    ),
    "a cast to json of its own": (
        """
        -- name: one()
        SELECT jsonb_build_object('id', id, 'kind', kind) AS tag FROM tags;
        """,
        [
            "queries.sql:2: one, column tag.kind: odd has its own cast to json, from which its values cannot be",
            "Cast it to text inside the document, or return it as a column",
        ],
    ),
    "rows without names in two orders": (
        """
        -- name: one()
        SELECT t AS tag FROM (SELECT id, label FROM tags) AS t;

        -- name: two()
        SELECT t AS tag FROM (SELECT label, id FROM tags) AS t;
        """,
        ["two, column tag: Tag has the order id, label elsewhere"],
    ),
}


@pytest.fixture(scope="module")
def conn(server_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to a database with the tables."""
    with new_database(server_url) as url, psycopg.connect(url, autocommit=True) as conn:
        conn.execute(SCHEMA)
        yield conn


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_refused(conn: psycopg.Connection[Any], tmp_path: Path, fault: str) -> None:
    sql, expected = FAULTS[fault]
    text = "\n".join(line.removeprefix("        ") for line in sql.splitlines())
    with pytest.raises(ModuleError) as caught:
        module(conn, text, tmp_path)
    message = str(caught.value).replace(f"{tmp_path / 'sql'}/", "")
    missing = [part for part in expected if part not in message]
    assert not missing, message


@pytest.mark.parametrize(
    "expression",
    [
        "jsonb_build_object(label, id)",  # a key that is no constant
        "jsonb_build_object('first-name', id)",
        "jsonb_build_object('id', id, 'id', label)",
        "to_jsonb(id)",
        "jsonb_object_agg(label, id)",
        "jsonb_strip_nulls(to_jsonb(t))",
    ],
)
def test_other_documents_stay_documents(conn: psycopg.Connection[Any], tmp_path: Path, expression: str) -> None:
    group = "GROUP BY id" if "agg" in expression else ""
    found = module(conn, f"-- name: one()\nSELECT {expression} AS tag FROM tags AS t {group};", tmp_path)
    assert "JsonValue" in str(found.OneRow.__annotations__["tag"])

"""The generated module against the server's catalogue, and the queries against the tests."""

from __future__ import annotations

import ast
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import TupleRow
from pydantic import BaseModel, JsonValue

from blueprint import queries
from rowsmith.queries.loader import read_queries
from tests.harness.databases import ROOT

TABLES: dict[type[BaseModel], str] = {
    queries.User: "users",
    queries.Credentials: "users",
    queries.ApiKey: "api_keys",
    queries.Template: "module_templates",
    queries.Review: "template_reviews",
    queries.Project: "projects",
    queries.Collaborator: "project_collaborators",
    queries.Session: "ai_sessions",
    queries.LogLine: "ai_logs",
    queries.Notification: "notifications",
}

PYTHON_TYPES: dict[str, Any] = {
    "bool": bool,
    "float8": float,
    "int2": int,
    "int4": int,
    "int8": int,
    "jsonb": JsonValue,
    "numeric": Decimal,
    "text": str,
    "_text": list[str | None],
    "timestamptz": datetime,
    "uuid": UUID,
}
"""By the name of the PostgreSQL type. An enumeration is the StrEnum of its name."""


def class_of(enumeration: str) -> str:
    return enumeration.title().replace("_", "")


def test_every_record_class_is_checked() -> None:
    named = {query.record_class for query in read_queries(ROOT / "sql")} - {None}
    assert named == {model.__name__ for model in TABLES}


@pytest.mark.parametrize("model", TABLES, ids=lambda model: model.__name__)
def test_a_model_has_the_types_and_nulls_of_its_table(
    conn: psycopg.Connection[TupleRow], model: type[BaseModel]
) -> None:
    rows = conn.execute(
        "SELECT column_name, udt_name, is_nullable = 'YES' FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name = %s",
        [TABLES[model]],
    ).fetchall()
    columns = {name: (pg_type, nullable) for name, pg_type, nullable in rows}
    for name, field in model.model_fields.items():
        pg_type, nullable = columns[name]
        python = PYTHON_TYPES.get(pg_type) or getattr(queries, class_of(pg_type))
        assert field.annotation == (python | None if nullable else python), name
        assert field.is_required(), name


def test_the_enumerations_are_those_of_the_server(conn: psycopg.Connection[TupleRow]) -> None:
    rows = conn.execute(
        "SELECT t.typname, array_agg(e.enumlabel::text ORDER BY e.enumsortorder)"
        " FROM pg_type AS t JOIN pg_enum AS e ON e.enumtypid = t.oid GROUP BY t.typname"
    ).fetchall()
    classes = {value for value in vars(queries).values() if isinstance(value, type) and issubclass(value, StrEnum)}
    assert {class_of(name): labels for name, labels in rows} == {
        each.__name__: [member.value for member in each] for each in classes - {StrEnum}
    }


def test_every_query_is_run_by_a_test_in_both_worlds() -> None:
    """Each stands in a `run(queries.NAME, ...)` in this folder: the fixture `run` is of both worlds."""
    tested: set[str] = set()
    for file in Path(__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Name(id="run"), args=[ast.Attribute(value=ast.Name(id="queries"), attr=name), *_]
                ):
                    tested.add(name)
                case _:
                    pass
    assert tested == {query.qualified_name for query in read_queries(ROOT / "sql")}
    assert len(tested) >= 121

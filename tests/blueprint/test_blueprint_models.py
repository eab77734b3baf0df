"""The models against the server's catalogue, and the queries against the tests."""

from __future__ import annotations

import ast
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import TupleRow
from pydantic import TypeAdapter, ValidationError

from blueprint import models
from blueprint.queries import queries

TABLES: dict[type[models.Row], str] = {
    models.User: "users",
    models.Credentials: "users",
    models.ApiKey: "api_keys",
    models.Template: "module_templates",
    models.Review: "template_reviews",
    models.Project: "projects",
    models.Collaborator: "project_collaborators",
    models.Session: "ai_sessions",
    models.LogLine: "ai_logs",
    models.Notification: "notifications",
}

PYTHON_TYPES: dict[str, Any] = {
    "bool": bool,
    "float8": float,
    "int2": int,
    "int4": int,
    "int8": int,
    "numeric": Decimal,
    "text": str,
    "_text": list[str],
    "timestamptz": datetime,
    "uuid": UUID,
}
"""By the name of the PostgreSQL type. An enumeration is the StrEnum of its name; jsonb is what the model says."""


def class_of(enumeration: str) -> str:
    return enumeration.title().replace("_", "")


def test_every_record_class_is_checked() -> None:
    assert {query.record_class for query in queries} - {None} == {model.__name__ for model in TABLES}


@pytest.mark.parametrize("model", TABLES, ids=lambda model: model.__name__)
def test_a_model_has_the_types_and_nulls_of_its_table(
    conn: psycopg.Connection[TupleRow], model: type[models.Row]
) -> None:
    rows = conn.execute(
        "SELECT column_name, udt_name, is_nullable = 'YES' FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name = %s",
        [TABLES[model]],
    ).fetchall()
    columns = {name: (pg_type, nullable) for name, pg_type, nullable in rows}
    for name, field in model.model_fields.items():
        pg_type, nullable = columns[name]
        if pg_type == "jsonb":
            assert accepts_none(field.annotation) is nullable, name
            continue
        python = PYTHON_TYPES.get(pg_type) or getattr(models, class_of(pg_type))
        assert field.annotation == (python | None if nullable else python), name
        assert field.is_required(), name


def accepts_none(annotation: Any) -> bool:
    try:
        TypeAdapter(annotation).validate_python(None)
    except ValidationError:
        return False
    return True


def test_the_enumerations_are_those_of_the_server(conn: psycopg.Connection[TupleRow]) -> None:
    rows = conn.execute(
        "SELECT t.typname, array_agg(e.enumlabel::text ORDER BY e.enumsortorder)"
        " FROM pg_type AS t JOIN pg_enum AS e ON e.enumtypid = t.oid GROUP BY t.typname"
    ).fetchall()
    classes = {value for value in vars(models).values() if isinstance(value, type) and issubclass(value, StrEnum)}
    assert {class_of(name): labels for name, labels in rows} == {
        each.__name__: [member.value for member in each] for each in classes - {StrEnum}
    }


def test_a_column_too_many_or_too_few_is_an_error() -> None:
    now = datetime.now(UTC)
    columns: dict[str, Any] = {
        "id": UUID(int=1),
        "template_id": UUID(int=2),
        "user_id": UUID(int=3),
        "rating": 5,
        "comment": None,
        "is_approved": True,
        "created_at": now,
        "updated_at": now,
    }
    assert models.Review.model_validate(columns).rating == 5
    with pytest.raises(ValidationError, match="stars"):
        models.Review.model_validate({**columns, "stars": 5})
    del columns["comment"]
    with pytest.raises(ValidationError, match="comment"):
        models.Review.model_validate(columns)


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
    assert tested == {query.qualified_name for query in queries}
    assert len(tested) >= 121

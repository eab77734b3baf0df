"""Projects of others: a schema and queries on it, in a transaction that is undone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import psycopg

from rowsmith.compiler.analysis.description import Description
from rowsmith.compiler.module.models import contents
from rowsmith.compiler.module.types import read_types
from rowsmith.errors import ModuleError
from rowsmith.server.scratch import create_database, drop_database
from tests.conformance.cases import Project, statements
from tests.conformance.judge import Connection, Figures, Judge

_ROUNDS = 12


def run_projects(projects: Iterable[Project], server_url: str, figures: Figures) -> None:
    """Describe the queries of the projects, and run each on random rows."""
    url = create_database(server_url, f"rowsmith_{uuid4().hex[:12]}", "template0")
    try:
        with psycopg.connect(url) as conn:
            for project in projects:
                with conn.transaction(force_rollback=True):
                    _run(project, conn, figures)
    finally:
        drop_database(url, server_url)


def _run(project: Project, conn: Connection, figures: Figures) -> None:
    for tokens in statements(project.schema):
        try:
            with conn.transaction():
                conn.execute("".join(token.text for token in tokens).encode())
        except psycopg.Error:  # some cases are about a schema that is wrong, or need an extension
            continue
    judge = Judge(conn, figures)
    found = [judge.try_out(replace(query, place=f"{project.name}: {query.place}"), _ROUNDS)
             for query in project.queries]  # fmt: skip
    figures.projects += 1
    fault = _fault(conn, [each for each in found if each is not None])
    if fault is not None:
        figures.without_module.append((fault, project.name))


def _fault(conn: Connection, descriptions: list[Description]) -> str | None:
    """What prevents the typed module of these queries."""
    named = [
        replace(each, query=replace(each.query, name=f"query_{number}", file=Path("query.sql"), line=number))
        for number, each in enumerate(descriptions)
        if each.columns
    ]
    try:
        contents(named, read_types(conn, named), "pydantic")
    except ModuleError as error:
        return str(error)
    return None

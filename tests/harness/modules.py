"""Typed modules for tests: made of SQL on a database, written to a folder, imported."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import psycopg

from rowsmith.compiler.analysis.description import Describer
from rowsmith.compiler.analysis.forms import describe
from rowsmith.compiler.module.models import Models
from rowsmith.compiler.module.render import render
from rowsmith.compiler.module.types import read_types
from rowsmith.queries.loader import read_queries


def source(
    conn: psycopg.Connection[Any],
    folder: Path,
    output: Path,
    *,
    models: Models = "pydantic",
    overrides: Mapping[str, str] | None = None,
    root: Path | None = None,
    embed: bool = False,
) -> str:
    """The text of the module for the query files of a folder. Paths are relative to `root`, or to what it is in."""
    describer = Describer(conn)
    descriptions = [describe(describer, query) for query in read_queries(folder)]
    types = read_types(conn, descriptions, overrides)
    root = root or folder.parent
    return render(descriptions, types, output=output, folders={"": folder}, root=root, models=models, embed=embed)


def load(path: Path) -> ModuleType:
    """Import a module from its file, under a name of its own."""
    name = f"{path.stem}_{uuid4().hex[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def module(
    conn: psycopg.Connection[Any],
    sql: str,
    folder: Path,
    *,
    models: Models = "pydantic",
    overrides: Mapping[str, str] | None = None,
    file: str = "queries.sql",
) -> ModuleType:
    """The module for the text of a query file, and those that are in `folder` already."""
    queries = folder / "sql"
    queries.mkdir(exist_ok=True)
    (queries / file).write_text(sql)
    output = folder / f"queries_{models}.py"
    output.write_text(source(conn, queries, output, models=models, overrides=overrides))
    return load(output)

"""The descriptions of queries as JSON, for editors and tools: `rowsmith describe --json`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from rowsmith.compiler.analysis.description import Description, Typed
from rowsmith.compiler.module.types import Types, UnsupportedError, plain


def as_json(descriptions: Iterable[Description], types: Types, root: Path) -> dict[str, Any]:
    """`{"queries": [...]}`. The path of a file below the project's root folder is relative to it."""
    return {"queries": [_query(description, types, root) for description in descriptions]}


def _query(description: Description, types: Types, root: Path) -> dict[str, Any]:
    query, file = description.query, description.query.file
    return {
        "name": query.name,
        "namespace": list(query.namespace),
        "file": str(file.relative_to(root) if file.is_relative_to(root) else file),
        "line": query.line,
        "kind": query.kind.value,
        "params": [_typed(each, types.parameter) for each in description.parameters],
        "columns": [_typed(each, types.result) for each in description.columns],
        "reads": list(description.reads),
        "writes": list(description.writes),
    }


def _typed(typed: Typed, python_type: Callable[[Typed], str]) -> dict[str, Any]:
    """`python` is the type besides None; null if none is known, which `check` reports."""
    try:
        python = plain(python_type(typed))
    except UnsupportedError:
        python = None
    return {"name": typed.name, "pg_type": typed.pg_type, "python": python, "nullable": typed.nullable}

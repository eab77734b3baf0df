"""What the commands print: findings, descriptions, errors, and on a terminal the progress."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rowsmith.compiler.analysis.description import Description, Typed
from rowsmith.compiler.checks.findings import render
from rowsmith.compiler.module.types import Types, plain
from rowsmith.errors import RowsmithError, UnknownTypeError
from rowsmith.findings import Finding, Severity

_WIDTH_OF_A_FILE = 160
_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow"}


class Screen:
    """Standard output for results, standard error for everything else."""

    def __init__(self) -> None:
        self._out = Console(soft_wrap=True, highlight=False, markup=False)
        if not self._out.is_terminal:
            self._out.width = _WIDTH_OF_A_FILE
        self._err = Console(soft_wrap=True, highlight=False, markup=False, stderr=True)
        self._status = self._err.status("")

    def busy(self) -> AbstractContextManager[object]:
        """Show the latest `note` during the block, if standard error is a terminal."""
        return self._status

    def note(self, text: str) -> None:
        """Say what is being done."""
        self._status.update(Text(text))

    def line(self, text: str = "", style: str = "") -> None:
        """Print a line of the result."""
        self._out.print(Text(text, style))

    def findings(self, findings: Iterable[Finding], *, aside: bool = False) -> None:
        """Print each finding and an empty line; `aside`: to standard error."""
        console = self._err if aside else self._out
        for finding in findings:
            first, newline, rest = render(finding).partition("\n")
            text = Text(first, "bold")
            text.highlight_words([f": {finding.severity}: "], _STYLES[finding.severity])
            console.print(text.append(newline + rest, "not bold"), end="\n\n")

    def error(self, error: BaseException) -> None:
        """Print why the command could not run: the message and page of our own errors, the traceback of others."""
        if isinstance(error, RowsmithError):
            text = f"{error}\nSee {error.page}"
        else:
            text = "".join(traceback.format_exception(error))
        self._err.print(Text(text.rstrip(), "red"))

    def descriptions(self, descriptions: Iterable[Description]) -> None:
        """Print a table of the queries."""
        table = Table("query", "kind", "parameters", "columns", show_lines=True)
        for each in descriptions:
            name = Text(each.query.qualified_name, "bold").append(f"\n{each.query.location}", "dim not bold")
            table.add_row(name, each.query.kind.value, _listed(each.parameters), _listed(each.columns))
        self._out.print(table, soft_wrap=False)

    def json(self, descriptions: Iterable[Description], types: Types, root: Path) -> None:
        """Print `{"queries": [...]}`. The path of a file below the project's root folder is relative to it."""
        click.echo(json.dumps({"queries": [_as_json(each, types, root) for each in descriptions]}, indent=2))


def _listed(typed: Iterable[Typed]) -> Text:
    lines = [
        Text(each.name).append(f" {each.pg_type}", "cyan").append(" or NULL" if each.nullable else "", "dim")
        for each in typed
    ]
    return Text("\n").join(lines)


def _as_json(description: Description, types: Types, root: Path) -> dict[str, Any]:
    query, file = description.query, description.query.file
    return {
        "name": query.name,
        "namespace": list(query.namespace),
        "file": str(file.relative_to(root) if file.is_relative_to(root) else file),
        "line": query.line,
        "kind": query.kind.value,
        "params": [_typed_json(each, types.parameter) for each in description.parameters],
        "columns": [_typed_json(each, types.result) for each in description.columns],
        "reads": list(description.reads),
        "writes": list(description.writes),
    }


def _typed_json(typed: Typed, python_type: Callable[[Typed], str]) -> dict[str, Any]:
    """`python` is the type besides None; null if none is known, which `check` reports."""
    try:
        python = plain(python_type(typed))
    except UnknownTypeError:
        python = None
    return {"name": typed.name, "pg_type": typed.pg_type, "python": python, "nullable": typed.nullable}

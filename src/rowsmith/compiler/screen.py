"""What the commands print: findings, descriptions, errors, and on a terminal the progress."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from contextlib import AbstractContextManager

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rowsmith.compiler.analysis.description import Description, Typed
from rowsmith.compiler.checks.findings import render
from rowsmith.errors import RowsmithError
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
        """Print why the command could not run: for our own errors the message, for others the traceback."""
        text = str(error) if isinstance(error, RowsmithError) else "".join(traceback.format_exception(error))
        self._err.print(Text(text.rstrip(), "red"))

    def descriptions(self, descriptions: Iterable[Description]) -> None:
        """Print a table of the queries."""
        table = Table("query", "kind", "parameters", "columns", show_lines=True)
        for each in descriptions:
            name = Text(each.query.qualified_name, "bold").append(f"\n{each.query.location}", "dim not bold")
            table.add_row(name, each.query.kind.value, _listed(each.parameters), _listed(each.columns))
        self._out.print(table, soft_wrap=False)


def _listed(typed: Iterable[Typed]) -> Text:
    lines = [
        Text(each.name).append(f" {each.pg_type}", "cyan").append(" or NULL" if each.nullable else "", "dim")
        for each in typed
    ]
    return Text("\n").join(lines)

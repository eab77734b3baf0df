"""The table of faults: what each test has seen of one, for docs/reliability.md."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_VARIABLE = "ROWSMITH_FAULT_TABLE"


class Row(NamedTuple):
    """What one test has seen of one fault."""

    fault: str
    seen: str
    recovery_ms: float | None
    test: str


def record(fault: str, seen: str | BaseException, recovery: float | None = None) -> None:
    """Append a row to the file that ROWSMITH_FAULT_TABLE names, if it does; `recovery` in seconds."""
    if path := os.environ.get(_VARIABLE):
        test = os.environ.get("PYTEST_CURRENT_TEST", "").partition(" (")[0]
        milliseconds = None if recovery is None else round(max(recovery, 0) * 1000, 1)
        text = seen if isinstance(seen, str) else described(seen)
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(Row(fault, text, milliseconds, test)._asdict()) + "\n")


def described(error: BaseException) -> str:
    """An error for the table: its class, its SQLSTATE where it has one, and its category."""
    sqlstate = getattr(error, "sqlstate", None)
    category = getattr(error, "category", None)
    parts = [str(part) for part in (sqlstate, category) if part]
    return f"`{type(error).__name__}`" + (f" ({', '.join(parts)})" if parts else "")


def read_rows(path: Path) -> list[Row]:
    """What was recorded."""
    return [Row(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def render(rows: Iterable[Row]) -> str:
    """The Markdown table: a line for each fault, of the slowest recovery there was, and the test that shows it."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.fault, []).append(row)
    lines = ["| fault | what a caller sees | back after, threads | back after, tasks | test |", "|---|---|---|---|---|"]
    for fault, group in found.items():
        seen = ", ".join(dict.fromkeys(row.seen for row in group))
        tests = ", ".join(dict.fromkeys(f"`{row.test.rpartition('::')[2].partition('[')[0]}`" for row in group))
        lines.append(f"| {fault} | {seen} | {_slowest(group, 'sync')} | {_slowest(group, 'async')} | {tests} |")
    return "\n".join(lines) + "\n"


def _slowest(group: list[Row], world: str) -> str:
    """Of the tests of one world; a test that is made for neither stands under threads."""
    times = [row.recovery_ms for row in group if row.recovery_ms is not None and _world_of(row) == world]
    return f"{max(times):.0f} ms" if times else "—"


def _world_of(row: Row) -> str:
    parameters = row.test.partition("[")[2].rstrip("]").split("-")
    return "async" if "async" in parameters else "sync"

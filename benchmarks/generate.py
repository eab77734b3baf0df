"""Write the typed modules of rowsmith's contenders: one with dataclasses, and one with pydantic models.

`rowsmith generate` writes one module for a project. This writes two for the same queries.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import get_args

from rowsmith.compiler.checks import findings
from rowsmith.compiler.checks.check import Report
from rowsmith.compiler.commands import preventing, staleness
from rowsmith.compiler.module.render import render, write_module
from rowsmith.compiler.project import Models, Project
from rowsmith.compiler.workbench import Workbench
from rowsmith.queries.loader import QueryFolder

FOLDER = Path(__file__).parent
PROJECT = Project(
    root=FOLDER.parent,
    query_folders=(QueryFolder(FOLDER / "sql"),),
    migrations=(FOLDER.parent / "migrations",),
    output=None,
    models="dataclass",
    types={},
)


def main(arguments: list[str]) -> int:
    """Write the modules. Returns exit code 1 if a query has a fault or, with --check, a module is stale, else 0."""
    with Workbench() as workbench:
        report = workbench.examiner(PROJECT.migrations).examine(PROJECT)
    faults = [findings.render(finding) for finding in preventing(report)]
    for models in get_args(Models) if not faults else ():
        output = FOLDER / f"{models}_queries.py"
        text = _module(report, output, models)
        if "--check" not in arguments:
            write_module(output, text)
        elif staleness(output, text):
            faults.append(f"{output.name} is stale: run `python -m benchmarks.generate`")
    sys.stderr.writelines(f"{fault}\n" for fault in faults)
    return 1 if faults else 0


def _module(report: Report, output: Path, models: Models) -> str:
    return render(
        report.descriptions,
        report.types,
        output=output,
        folders={"": FOLDER / "sql"},
        root=PROJECT.root,
        models=models,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

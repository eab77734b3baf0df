"""The commands that ask a scratch database: generate, check and describe. Each returns its exit code.

0: well, or warnings alone; 1: findings; 2: could not run (a RowsmithError, which the command line prints).
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, strftime
from types import FrameType

import click

from rowsmith.compiler.checks.check import Report
from rowsmith.compiler.checks.findings import summary
from rowsmith.compiler.description_json import as_json
from rowsmith.compiler.generation import module_text, output_of, preventing, staleness
from rowsmith.compiler.module.render import write_module
from rowsmith.compiler.project import Project, ProjectError, configuration_file
from rowsmith.compiler.screen import Screen
from rowsmith.compiler.watch import watch
from rowsmith.compiler.workbench import Workbench
from rowsmith.errors import ModuleError, ServerError
from rowsmith.findings import Finding, Rule, Severity, count_of, display_path

_FOUND = 1
_TERMINATED = 128 + signal.SIGTERM


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command works."""

    folder: Path
    """The project is the nearest from here upwards."""
    database_url: str | None = None
    """The server to make the scratch database on; None: the embedded one."""


def generate(place: Place, *, checking: bool = False, watching: bool = False) -> int:
    """Write the typed module, or with `checking` only say whether it is as it would be written."""
    screen = Screen()
    with _workbench(place, screen) as workbench:

        def run() -> int:
            began = perf_counter()
            project, report = _examine(place, workbench, screen)
            output = output_of(project)
            findings = preventing(report)
            text = "" if findings else module_text(project, report)
            if checking and not findings:
                findings = _present(staleness(output, text))
            screen.findings(findings, aside=True)
            if findings:
                return _FOUND
            written = not checking and write_module(output, text)
            said = f"written in {perf_counter() - began:.1f} s" if written else "up to date"
            screen.line(f"{display_path(output)}: {count_of(len(report.queries), 'query')}, {said}", "bold")
            return 0

        return _watch(place, workbench, screen, run) if watching else run()


def check(place: Place, *, strict: bool = False, watching: bool = False) -> int:
    """Print what is wrong with queries, migrations and module. `strict`: a warning is a finding, too."""
    screen = Screen()
    with _workbench(place, screen) as workbench:

        def run() -> int:
            began = perf_counter()
            project, report = _examine(place, workbench, screen)
            findings = (*report.findings, *_module_findings(project, report))
            screen.findings(findings)
            screen.line(summary(findings, report.queries, perf_counter() - began), "bold")
            return _exit_code(findings, strict=strict)

        return _watch(place, workbench, screen, run, module=True) if watching else run()


def describe(place: Place, *, json_wanted: bool = False) -> int:
    """Print what the server says of every query; those that it refuses go to standard error."""
    screen = Screen()
    with _workbench(place, screen) as workbench:
        project, report = _examine(place, workbench, screen)
    if json_wanted:
        click.echo(json.dumps(as_json(report.descriptions, report.types, project.root), indent=2))
    else:
        screen.descriptions(report.descriptions)
    missing = [finding for finding in report.findings if finding.rule in (Rule.QUERY_FILE, Rule.REFUSED)]
    screen.findings(missing, aside=True)
    return _exit_code(missing)


def _module_findings(project: Project, report: Report) -> tuple[Finding, ...]:
    """What is wrong with the module, where the project has one and the queries allow it."""
    if project.output is None or preventing(report):
        return ()
    try:
        return _present(staleness(project.output, module_text(project, report)))
    except ModuleError as error:
        return (Finding(Rule.MODULE, project.output, None, str(error)),)


def _present(finding: Finding | None) -> tuple[Finding, ...]:
    return () if finding is None else (finding,)


def _examine(place: Place, workbench: Workbench, screen: Screen) -> tuple[Project, Report]:
    project = Project.load(place.folder)
    with screen.busy():
        examiner = workbench.examiner(project.migrations)
        report = examiner.examine(project, lambda number, count: screen.note(f"query {number} of {count}"))
    return project, report


def _exit_code(findings: Iterable[Finding], *, strict: bool = False) -> int:
    return _FOUND if any(strict or finding.severity is Severity.ERROR for finding in findings) else 0


@contextmanager
def _workbench(place: Place, screen: Screen) -> Generator[Workbench]:
    """The workbench; being terminated ends the block, so that its database is dropped."""

    def end(_signal: int, _frame: FrameType | None) -> None:
        sys.exit(_TERMINATED)

    before = signal.signal(signal.SIGTERM, end)
    try:
        with Workbench(place.database_url, screen.note) as workbench:
            yield workbench
    finally:
        signal.signal(signal.SIGTERM, before)


def _watch(place: Place, workbench: Workbench, screen: Screen, run: Callable[[], int], *, module: bool = False) -> int:
    """Run at each change until Ctrl-C; `module`: of the module, too. The database stays as long as it serves."""

    def attempt() -> None:
        try:
            run()
        except Exception as error:  # noqa: BLE001 - whatever is wrong now may be right after the next change
            screen.error(error)
            if isinstance(error, ServerError):
                workbench.clear()
        screen.line(f"{strftime('%H:%M:%S')} watching for changes; Ctrl-C ends it", "dim")

    try:
        watch(lambda: _places(place.folder, module=module), attempt)
    except KeyboardInterrupt:
        return 0


def _places(folder: Path, *, module: bool) -> list[Path]:
    """The files and folders whose change matters."""
    file = configuration_file(folder)
    root = folder if file is None else file.parent
    configuration = root / "pyproject.toml"
    try:
        project = Project.load(folder)
    except ProjectError:
        return [configuration, root / "sql", root / "migrations"]
    output = [project.output] if module and project.output else []
    return [configuration, *(each.path for each in project.query_folders), *project.migrations, *output]

"""The commands that need a scratch database: generate, check and describe. Each returns its exit code.

0: success, or nothing but warnings; 1: findings; 2: could not run (a RowsmithError, which the command line prints).
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from itertools import zip_longest
from pathlib import Path
from time import perf_counter, strftime

from rowsmith.compiler.checks.check import Report
from rowsmith.compiler.checks.findings import summary
from rowsmith.compiler.module.render import is_generated, render, write_module
from rowsmith.compiler.project import Project, ProjectError, configuration_file
from rowsmith.compiler.screen import Screen
from rowsmith.compiler.watch import watch
from rowsmith.compiler.workbench import Workbench
from rowsmith.errors import PAGES, ModuleError, ServerError
from rowsmith.findings import Finding, Rule, Severity, count_of, display_path

_FOUND = 1
_TERMINATED = 128 + signal.SIGTERM
_PREVENTING = frozenset({Rule.QUERY_FILE, Rule.REFUSED, Rule.FORMS, Rule.MARK, Rule.UNKNOWN_TYPE})
_GENERATE = "Run: rowsmith generate"

Command = Callable[[Screen, Project, Report, float], int]
"""Prints what it has to say about a report, and about the time since its making began; returns the exit code."""


def run(command: Command, database_url: str | None, *, watching: bool = False, module: bool = False) -> int:
    """Run the command once, or at every change until Ctrl-C; `module`: of the generated module, too.

    It works on the project that the working folder is in, and on the server of `database_url` (None: the one that the
    configuration names, or the embedded one).
    """
    screen = Screen()
    with ExitStack() as stack:
        # SIGTERM ends the block as well, so that the scratch database is dropped.
        before = signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit(_TERMINATED))
        stack.callback(signal.signal, signal.SIGTERM, before)
        workbench = stack.enter_context(Workbench(database_url, screen.note))

        def once() -> int:
            began, project = perf_counter(), Project.load(Path.cwd())
            with screen.busy():
                examiner = workbench.examiner(project.migrations, project.server)
                report = examiner.examine(project, lambda number, count: screen.note(f"query {number} of {count}"))
            return command(screen, project, report, began)

        def attempt() -> None:
            try:
                once()
            except Exception as error:  # noqa: BLE001 - whatever is wrong now may be right after the next change
                screen.error(error)
                if isinstance(error, ServerError):
                    workbench.clear()
            screen.line(f"{strftime('%H:%M:%S')} watching for changes; press Ctrl-C to stop", "dim")

        if not watching:
            return once()
        try:
            watch(partial(_watched, module=module), attempt)
        except KeyboardInterrupt:
            return 0


def generate(screen: Screen, project: Project, report: Report, began: float, *, checking: bool) -> int:
    """Write the typed module, or with `checking` only say whether it is up to date."""
    output = output_of(project)
    findings = preventing(report)
    text = "" if findings else module_text(project, report)
    if checking and not findings:
        findings = tuple(filter(None, [staleness(output, text)]))
    screen.findings(findings, aside=True)
    if findings:
        return _FOUND
    written = not checking and write_module(output, text)
    said = f"written in {perf_counter() - began:.1f} s" if written else "up to date"
    screen.line(f"{display_path(output)}: {count_of(len(report.queries), 'query')}, {said}", "bold")
    return 0


def check(screen: Screen, project: Project, report: Report, began: float, *, strict: bool) -> int:
    """Print what is wrong with queries, migrations and module. With `strict`, a warning fails, too."""
    findings = list(report.findings)
    if project.output is not None and not preventing(report):
        try:
            findings += filter(None, [staleness(project.output, module_text(project, report))])
        except ModuleError as error:
            findings.append(Finding(Rule.MODULE, project.output, None, str(error)))
    screen.findings(findings)
    if findings:
        screen.line(f"See {PAGES}/rules.md")
    screen.line(summary(findings, report.queries, perf_counter() - began), "bold")
    return _exit_code(findings, strict=strict)


def describe(screen: Screen, project: Project, report: Report, _began: float, *, json_wanted: bool) -> int:
    """Print what the server says about every query; the ones that it refuses go to standard error."""
    if json_wanted:
        screen.json(report.descriptions, report.types, project.root)
    else:
        screen.descriptions(report.descriptions)
    missing = [finding for finding in report.findings if finding.rule in (Rule.QUERY_FILE, Rule.REFUSED)]
    screen.findings(missing, aside=True)
    return _exit_code(missing)


def _exit_code(findings: Iterable[Finding], *, strict: bool = False) -> int:
    return _FOUND if any(strict or finding.severity is Severity.ERROR for finding in findings) else 0


def _watched(*, module: bool) -> list[Path]:
    """The files and folders whose changes matter."""
    file = configuration_file(Path.cwd()) or Path.cwd() / "pyproject.toml"
    try:
        project = Project.load(file.parent)
    except ProjectError:
        return [file, file.parent / "sql", file.parent / "migrations"]
    output = [project.output] if module and project.output else []
    return [file, *(each.path for each in project.query_folders), *project.migrations, *output]


# --- the module ---


def preventing(report: Report) -> tuple[Finding, ...]:
    """The findings that prevent the module: it would lack a query, or contain one that always fails."""
    return tuple(finding for finding in report.findings if finding.rule in _PREVENTING)


def output_of(project: Project) -> Path:
    """The path of the module. Raises ProjectError if the configuration does not set it."""
    if project.output is None:
        fault = 'output is not set: expected the path of the module to generate, such as output = "src/app/queries.py"'
        raise ProjectError(configuration_file(project.root), [fault])
    return project.output


def module_text(project: Project, report: Report) -> str:
    """The text of the module, if no finding prevents it. Raises ModuleError if the queries do not fit in one module."""
    output = output_of(project)
    return render(
        report.descriptions,
        report.types,
        output=output,
        folders={".".join(folder.namespace): folder.path for folder in project.query_folders},
        root=project.root,
        models=project.models,
        embed=project.embed,
    )


def staleness(output: Path, text: str) -> Finding | None:
    """What is wrong with the file, which should have this text; None if it has."""
    try:
        present = output.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Finding(Rule.STALE_MODULE, output, None, "the module does not exist yet", _GENERATE)
    except UnicodeDecodeError:
        present = "not text"
    if present == text:
        return None
    if not is_generated(present):
        hint = "Move it away, or name another file as output in [tool.rowsmith]"
        return Finding(Rule.STALE_MODULE, output, None, "rowsmith did not generate this file", hint)
    there, wanted = present.split("\n"), text.split("\n")
    number = next(number for number, (is_, should_be) in enumerate(zip_longest(there, wanted), 1) if is_ != should_be)
    message = "the module does not match the queries and the migrations"
    return Finding(Rule.STALE_MODULE, output, number, message, _GENERATE, source="".join(there[number - 1 : number]))

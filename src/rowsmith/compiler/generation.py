"""The typed module of a project: its text, whether the file is up to date, and what prevents it."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path

from rowsmith.compiler.checks.check import Report
from rowsmith.compiler.module.render import is_generated, render
from rowsmith.compiler.project import Project, ProjectError, configuration_file
from rowsmith.findings import Finding, Rule

_PREVENTING = frozenset({Rule.QUERY_FILE, Rule.REFUSED, Rule.MARK, Rule.UNKNOWN_TYPE})
_GENERATE = "Run: rowsmith generate"


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

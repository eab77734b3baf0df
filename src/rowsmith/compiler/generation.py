"""The typed module of a project: its text, whether the file still is that, and what prevents it."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path

from rowsmith.compiler.checks.check import Report
from rowsmith.compiler.module.render import is_generated, render
from rowsmith.compiler.project import Project, ProjectError, configuration_file
from rowsmith.findings import Finding, Rule

_PREVENTING = frozenset({Rule.QUERY_FILE, Rule.REFUSED, Rule.MARK, Rule.DUPLICATE_COLUMN, Rule.UNKNOWN_TYPE})
_GENERATE = "Run: rowsmith generate"


def preventing(report: Report) -> tuple[Finding, ...]:
    """The findings with which there is no module: it would lack a query, or hold one that always fails."""
    return tuple(finding for finding in report.findings if finding.rule in _PREVENTING)


def output_of(project: Project) -> Path:
    """The place of the module. Raises ProjectError where the configuration names none."""
    if project.output is None:
        fault = 'output is not set: expected the path of the module to generate, such as output = "src/app/queries.py"'
        raise ProjectError(configuration_file(project.root), [fault])
    return project.output


def module_text(project: Project, report: Report) -> str:
    """The module, of queries with nothing that prevents it. Raises ModuleError where they do not fit in one."""
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
    """What is wrong with the file, which should have this text; None if nothing."""
    try:
        present = output.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Finding(Rule.STALE_MODULE, output, None, "there is no such module yet", _GENERATE)
    except UnicodeDecodeError:
        present = "not text"
    if present == text:
        return None
    if not is_generated(present):
        hint = "Move it away, or name another file as output in [tool.rowsmith]"
        return Finding(Rule.STALE_MODULE, output, None, "the file is not one that rowsmith generated", hint)
    there, wanted = present.split("\n"), text.split("\n")
    number = next(number for number, (is_, should_be) in enumerate(zip_longest(there, wanted), 1) if is_ != should_be)
    message = "the module is not what the queries and the migrations give"
    return Finding(Rule.STALE_MODULE, output, number, message, _GENERATE, source="".join(there[number - 1 : number]))

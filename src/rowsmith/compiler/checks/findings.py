"""Findings about queries: how they are made, and how they are printed.

The first line has the place, the severity, what is wrong, and the rule; then come the line of the file with a caret,
the query, and a hint, as far as they are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sized

from rowsmith.findings import Finding, Rule, Severity, count_of, display_path, excerpt
from rowsmith.queries.query import Query


def at_query(
    rule: Rule, query: Query, message: str, hint: str | None = None, severity: Severity = Severity.ERROR
) -> Finding:
    """A finding about a query as a whole: at its name line."""
    source = _line(query)
    column = max(0, source.find(query.name.replace("_", "-")), source.find(query.name)) if source else None
    return Finding(rule, query.file, query.line, message, hint, severity, query.qualified_name, source, column)


def at_position(
    rule: Rule,
    query: Query,
    position: int | None,
    message: str,
    hint: str | None = None,
    *,
    severity: Severity = Severity.ERROR,
) -> Finding:
    """A finding at a 0-based offset in the query's statement; at its name line if there is none."""
    if position is None:
        return at_query(rule, query, message, hint, severity)
    line, source, column = query.source.place(position)
    column = min(column, len(source))
    return Finding(rule, query.file, line, message, hint, severity, query.qualified_name, source, column)


def _line(query: Query) -> str | None:
    """The text of the name line; None if the file is gone."""
    try:
        return query.file.read_text(encoding="utf-8-sig").split("\n")[query.line - 1].rstrip()
    except (OSError, IndexError):
        return None


def render(finding: Finding) -> str:
    """The finding as a person reads it: the place, what is wrong, the line with a caret, the query, the hint."""
    numbers = (finding.line, None if finding.column is None else finding.column + 1)
    place = ":".join([display_path(finding.file), *(str(number) for number in numbers if number is not None)])
    first, *more = finding.message.splitlines()
    lines = [f"{place}: {finding.severity}: {first} [{finding.rule}]", *(f"  {line}" for line in more)]
    lines += excerpt(finding)
    if finding.query is not None:
        lines.append(f"  query: {finding.query}")
    if finding.hint is not None:
        lines.append("  hint: " + "\n        ".join(finding.hint.splitlines()))
    return "\n".join(lines)


def summary(findings: Iterable[Finding], queries: Sized, seconds: float) -> str:
    """The last line: `121 queries checked in 0.9 s: 1 error, 2 warnings`."""
    severities = [finding.severity for finding in findings]
    counts = [count_of(number, severity) for severity in Severity if (number := severities.count(severity))]
    return f"{count_of(len(queries), 'query')} checked in {seconds:.1f} s: {', '.join(counts) or 'nothing to report'}"

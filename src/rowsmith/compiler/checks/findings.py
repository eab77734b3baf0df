"""Findings: what is wrong, where, and what to do about it; and the one form in which they are printed.

The first line has the place, the severity, what is wrong, and the rule; then come the line of the file with a caret,
the query, and a hint, as far as they are known.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sized
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from rowsmith.queries.query import Query, display_path


class Severity(StrEnum):
    """Whether a finding fails the build."""

    ERROR = "error"
    WARNING = "warning"


class Rule(StrEnum):
    """The rules, by the names that `-- rowsmith: ignore` takes."""

    QUERY_FILE = "query-file"
    """The file does not follow the format; its queries are not known."""
    REFUSED = "refused"
    """The migrated schema refuses the query."""
    MARK = "mark"
    """What the statement returns does not fit the mark: every call would raise."""
    DUPLICATE_COLUMN = "duplicate-column"
    """Two columns of a row have one name."""
    SELECT_STAR = "select-star"
    """The columns of the row are those that the table happens to have."""
    MANY_ROWS = "many-rows"
    """A query for one row, which nothing limits to one."""
    UNKNOWN_TYPE = "unknown-type"
    """A type that has no Python type."""
    MODULE = "module"
    """The queries do not fit in one typed module: rows of one record class differ, a name is none in Python."""
    STALE_MODULE = "stale-module"
    """The generated module is not what the queries give."""
    IGNORE = "ignore"
    """A `-- rowsmith:` line that cannot be read, or silences nothing."""


IGNORABLE = frozenset({Rule.SELECT_STAR, Rule.MANY_ROWS})
"""The rules that a query may be excepted from. The others are about what cannot work at all."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    rule: Rule
    file: Path
    line: int | None
    """From 1; None where it is about the file as a whole."""
    message: str
    hint: str | None = None
    severity: Severity = Severity.ERROR
    query: str | None = None
    """The qualified name of the query that it is about."""
    source: str | None = None
    """The line's text."""
    column: int | None = None
    """Where in it, in characters from 0."""

    @property
    def order(self) -> tuple[str, int, int, str]:
        """Findings are printed in this order: by file and place."""
        return str(self.file), self.line or 0, self.column or 0, self.rule


def at_query(rule: Rule, query: Query, message: str, hint: str | None = None) -> Finding:
    """A finding about a query as a whole: at its name line."""
    return Finding(rule, query.file, query.line, message, hint, query=query.qualified_name)


def at_position(rule: Rule, query: Query, position: int, message: str, hint: str | None = None) -> Finding:
    """A finding at a 0-based offset in the query's statement."""
    line, source, column = query.source.place(position)
    name = query.qualified_name
    return Finding(rule, query.file, line, message, hint, query=name, source=source, column=min(column, len(source)))


def render(finding: Finding) -> str:
    """The finding as a person reads it: the place, what is wrong, the line with a caret, the hint."""
    place = [display_path(finding.file)]
    if finding.line is not None:
        place.append(str(finding.line))
        if finding.column is not None:
            place.append(str(finding.column + 1))
    first, *more = finding.message.splitlines()
    lines = [f"{':'.join(place)}: {finding.severity}: {first} [{finding.rule}]", *(f"  {line}" for line in more)]
    if finding.source is not None:
        lines += _excerpt(finding.source, finding.line, finding.column)
    if finding.query is not None:
        lines.append(f"  query: {finding.query}")
    if finding.hint is not None:
        lines.append("  hint: " + "\n        ".join(finding.hint.splitlines()))
    return "\n".join(lines)


def summary(findings: Iterable[Finding], queries: Sized, seconds: float) -> str:
    """The last line: `121 queries checked in 0.9 s: 1 error, 2 warnings`."""
    severities = [finding.severity for finding in findings]
    numbers = {severity: severities.count(severity) for severity in Severity}
    counts = [f"{number} {severity}{'s' * (number > 1)}" for severity, number in numbers.items() if number]
    found = ", ".join(counts) or "nothing to report"
    return f"{count_of(queries)} checked in {seconds:.1f} s: {found}"


def count_of(queries: Sized) -> str:
    """`1 query`, `121 queries`."""
    return f"{len(queries)} {'query' if len(queries) == 1 else 'queries'}"


def _excerpt(source: str, line: int | None, column: int | None) -> list[str]:
    number = "" if line is None else str(line)
    lines = [f"    {number} | {source}"]
    if column is not None:
        lines.append(f"    {' ' * len(number)} | {_space(source[:column])}^")
    return lines


def _space(text: str) -> str:
    """As much blank space as the text takes on a screen: a tab stays one, a wide character takes two places."""
    return "".join("\t" if char == "\t" else " " * _width(char) for char in text)


def _width(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1

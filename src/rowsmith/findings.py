"""Findings: what is wrong with the queries of a project, where, and what to do about it."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

# Control characters but the tab, as their pictures: a terminal would obey them.
_VISIBLE = {code: 0x2400 + code for code in range(32) if code != ord("\t")} | {127: 0x2421}


class Severity(StrEnum):
    """Whether a finding fails the build."""

    ERROR = "error"
    WARNING = "warning"


class Rule(StrEnum):
    """The rules, by the names that `-- rowsmith: ignore` takes."""

    QUERY_FILE = "query-file"
    """A query file does not follow the format."""
    REFUSED = "refused"
    """PostgreSQL refuses the query with the migrated schema."""
    FORMS = "forms"
    """The forms of a query with optional lines differ in their columns, or are too many."""
    MARK = "mark"
    """What the statement returns does not fit the mark: every call would raise."""
    ONE_COLUMN = "one-column"
    """A query for the returned row, which has one column: aiosql would return its value."""
    COLUMN_NAME = "column-name"
    """A row cannot use the name of a column, or another column has it."""
    CONSTANT_ORDER = "constant-order"
    """ORDER BY a parameter: every row has the same value, so the rows are in no order."""
    SELECT_STAR = "select-star"
    """The columns of the row are whatever columns the table has."""
    MANY_ROWS = "many-rows"
    """A query for one row, which nothing limits to one."""
    UNSTABLE_ORDER = "unstable-order"
    """Rows that ORDER BY leaves in any order. The query then has no pages."""
    NULL_COMPARISON = "null-comparison"
    """A comparison with NULL, which is never true."""
    CANNOT_SUCCEED = "cannot-succeed"
    """PostgreSQL accepts the query, but it fails whenever it runs, or as soon as it meets a row."""
    UNKNOWN_TYPE = "unknown-type"
    """A PostgreSQL type for which no Python type is known."""
    MODULE = "module"
    """The queries do not fit in one typed module: rows of a record class differ, a name is not valid in Python."""
    STALE_MODULE = "stale-module"
    """The generated module differs from what the queries give now."""
    IGNORE = "ignore"
    """A `-- rowsmith:` comment that cannot be read, or ignores nothing."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `str()` of it is one line: `file:line: message. hint`."""

    rule: Rule
    file: Path
    line: int | None
    """From 1; None if it is about the file as a whole."""
    message: str
    hint: str | None = None
    severity: Severity = Severity.ERROR
    query: str | None = None
    """The qualified name of the query that it is about."""
    source: str | None = None
    """The text of the line."""
    column: int | None = None
    """Where in the line, in characters from 0."""

    def __str__(self) -> str:
        place = display_path(self.file) if self.line is None else f"{display_path(self.file)}:{self.line}"
        return f"{place}: {'. '.join(filter(None, [self.message, self.hint]))}"


def excerpt(finding: Finding) -> list[str]:
    """The line of the file with a caret below the column; nothing if the finding has no line."""
    if finding.source is None:
        return []
    margin = f"    {finding.line} | "
    lines = [margin + finding.source.translate(_VISIBLE)]
    if finding.column is not None:
        before = "".join("\t" if char == "\t" else " " * _width(char) for char in finding.source[: finding.column])
        lines.append(f"{' ' * (len(margin) - 2)}| {before}^")
    return lines


def _width(char: str) -> int:
    """The columns that a character takes on a terminal."""
    return 0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in ("W", "F"))


def display_path(path: Path) -> str:
    """The path as a person in the working folder would write it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def count_of(number: int, noun: str) -> str:
    """`1 query`, `121 queries`."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"

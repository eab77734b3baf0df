"""`-- rowsmith: ignore RULE (reason)`: a comment of a query that silences one rule for it.

The reason is required, so that the next reader knows it. A line that silences nothing is a finding itself, so that none
outlives its cause.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from rowsmith.compiler.checks.findings import IGNORABLE, Finding, Rule
from rowsmith.queries.lexer import Token, TokenKind, tokenize
from rowsmith.queries.query import Query

_PREFIX = "rowsmith:"
_FORM = "Write: -- rowsmith: ignore RULE (reason)"


@dataclass(frozen=True, slots=True)
class _Directive:
    """A `-- rowsmith:` line."""

    file: Path
    line: int
    source: str
    column: int
    text: str
    """What stands behind `rowsmith:`."""
    query: str | None
    """The qualified name of the query in whose comments it stands; None above the first one."""

    def finding(self, message: str, hint: str | None = _FORM) -> Finding:
        return Finding(
            Rule.IGNORE, self.file, self.line, message, hint,
            query=self.query, source=self.source, column=self.column,
        )  # fmt: skip


def apply_ignores(queries: Sequence[Query], findings: Iterable[Finding]) -> list[Finding]:
    """The findings that no line silences, and those about the lines themselves."""
    silenced: dict[tuple[str, Rule], _Directive] = {}
    left: list[Finding] = []
    for directive in _directives(queries):
        parsed = _parse(directive)
        if isinstance(parsed, Finding):
            left.append(parsed)
            continue
        earlier = silenced.setdefault((directive.query or "", parsed), directive)
        if earlier is not directive:
            left.append(directive.finding(f"{parsed} is silenced already, in line {earlier.line}", "Remove the line"))
    used: set[tuple[str, Rule]] = set()
    refused: set[str | None] = set()
    for finding in findings:
        if finding.rule is Rule.REFUSED:
            refused.add(finding.query)
        key = (finding.query or "", finding.rule)
        if key in silenced:
            used.add(key)
        else:
            left.append(finding)
    for (query, rule), directive in silenced.items():
        if (query, rule) not in used and query not in refused:  # of a refused query nothing else is known
            left.append(directive.finding(f"{rule} finds nothing in {query}", "Remove the line"))
    return left


def without_directives(doc: str) -> str:
    """A query's documentation without these lines."""
    return "\n".join(line for line in doc.split("\n") if not line.strip().startswith(_PREFIX)).strip("\n")


def _parse(directive: _Directive) -> Rule | Finding:
    word, _, rest = directive.text.strip().partition(" ")
    name, _, reason = rest.strip().partition(" ")
    reason = reason.strip()
    ignorable = sorted(IGNORABLE)
    if word != "ignore":
        return directive.finding(f"{word or 'nothing'!r} is no instruction to rowsmith")
    if directive.query is None:
        return directive.finding("the line stands above the first query", "Move it below the name line of its query")
    if name not in ignorable:
        near = get_close_matches(name, ignorable, 1)
        known = f"Did you mean {near[0]}?" if near else f"The rules that can be ignored are {', '.join(ignorable)}"
        return directive.finding(f"{name!r} is no rule that can be ignored", known)
    if not (reason.startswith("(") and reason.endswith(")") and reason[1:-1].strip()):
        return directive.finding(f"to ignore {name} takes a reason, in parentheses")
    return Rule(name)


def _directives(queries: Sequence[Query]) -> Iterator[_Directive]:
    by_file: dict[Path, list[Query]] = {}
    for query in queries:
        by_file.setdefault(query.file, []).append(query)
    for file, those in by_file.items():
        yield from _in_file(file, sorted(those, key=lambda query: query.line))


def _in_file(file: Path, queries: Sequence[Query]) -> Iterator[_Directive]:
    text = file.read_text(encoding="utf-8-sig")
    if _PREFIX not in text:
        return
    starts = [query.line for query in queries]
    for token in tokenize(text):
        if (instruction := _instruction(token)) is not None:
            before = text.rfind("\n", 0, token.start) + 1
            line = text.count("\n", 0, token.start) + 1
            index = bisect_right(starts, line) - 1
            yield _Directive(
                file=file,
                line=line,
                source=text[before:].partition("\n")[0].rstrip(),
                column=token.start - before,
                text=instruction,
                query=queries[index].qualified_name if index >= 0 else None,
            )


def _instruction(token: Token) -> str | None:
    comment = token.text[2:].strip() if token.kind is TokenKind.LINE_COMMENT else ""
    return comment.removeprefix(_PREFIX) if comment.startswith(_PREFIX) else None

"""Comparisons with NULL, `name = NULL`, which are never true: the server accepts them, and finds no row."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from rowsmith.compiler.checks.findings import at_position
from rowsmith.compiler.checks.trial import Trial
from rowsmith.findings import Finding, Rule, Severity
from rowsmith.queries.lexer import tokenize
from rowsmith.queries.marks import Kind
from rowsmith.queries.query import Query


def null_comparisons(query: Query, trial: Trial) -> Iterator[Finding]:
    """The comparisons of a query. An assignment, `SET name = NULL`, is none: there the server refuses IS NULL."""
    if query.kind is Kind.SCRIPT:
        return
    sql, tokens = query.sql, [token for token in tokenize(query.sql) if not token.blank]
    for index, (operator, null) in enumerate(pairwise(tokens)):
        begin, text = operator.start, operator.text
        if null.text.lower() != "null" or text not in ("=", ">") or index == 0:
            continue
        before = tokens[index - 1]
        if before.end == begin and before.text in ("<", "!"):
            begin, text = before.start, f"{before.text}{text}"
        test = {"=": "IS NULL", "<>": "IS NOT NULL", "!=": "IS NOT NULL"}.get(text)
        if test and trial.objection(query, f"{sql[:begin]} {test} {sql[null.end :]}") is None:
            message = f"a comparison with NULL, {text} NULL, is never true"
            yield at_position(Rule.NULL_COMPARISON, query, begin, message, f"Write {test}", severity=Severity.WARNING)

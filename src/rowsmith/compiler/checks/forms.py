"""Findings about the forms of a query: each is reported once, with the first form that it is about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from rowsmith.compiler.analysis.forms import MOST
from rowsmith.compiler.checks.findings import at_query
from rowsmith.findings import Finding, Rule, count_of
from rowsmith.queries.forms import Forms
from rowsmith.queries.query import Query


def too_many(query: Query, forms: Forms) -> Finding | None:
    """A query with more forms than PostgreSQL is asked about."""
    if forms.count <= MOST:
        return None
    counts = [count_of(len(forms.switches), "optional name")] if forms.switches else []
    counts += [count_of(len(forms.orderings), "ordering")] if forms.orderings else []
    message = f"the query has {forms.count} forms ({' and '.join(counts)}), and at most {MOST} can be checked"
    return at_query(Rule.FORMS, query, message, "Split it into several queries, or let one name govern several lines")


def in_forms(found: Iterable[tuple[Query, Finding]], count: int) -> Iterator[Finding]:
    """Each finding once, naming the first form that has it, unless all of so many have it."""
    titles: dict[Finding, list[str]] = {}
    for form, finding in found:
        titles.setdefault(finding, []).append(form.title)
    for finding, those in titles.items():
        if len(those) == count:
            yield finding
        else:
            others = f" (and {count_of(len(those) - 1, 'other form')})" if len(those) > 1 else ""
            yield replace(finding, message=f"{finding.message}\nin the form {those[0]}{others}")

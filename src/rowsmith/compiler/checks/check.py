"""The check: what the server says about each query of a project, and everything that is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg
from psycopg.rows import TupleRow

from rowsmith.compiler.analysis.description import Describer, Description
from rowsmith.compiler.analysis.forms import ask, differences, merged
from rowsmith.compiler.checks.findings import at_query
from rowsmith.compiler.checks.forms import in_forms, too_many
from rowsmith.compiler.checks.ignores import apply_ignores
from rowsmith.compiler.checks.impossible import Impossible
from rowsmith.compiler.checks.lint import lint, unknown_types
from rowsmith.compiler.checks.null_comparisons import null_comparisons
from rowsmith.compiler.checks.refusals import Refusals
from rowsmith.compiler.checks.trial import Trial
from rowsmith.compiler.module.types import Types, read_types
from rowsmith.compiler.project import FILE, Project, ProjectError
from rowsmith.errors import ServerError
from rowsmith.findings import Finding, Rule
from rowsmith.queries.forms import Forms
from rowsmith.queries.loader import read
from rowsmith.queries.query import Query

Progress = Callable[[int, int], None]
"""Called before each query with its number, from 1, and how many there are."""


@dataclass(frozen=True, slots=True)
class Report:
    """The result of checking the queries of a project."""

    queries: tuple[Query, ...]
    """All that could be read."""
    descriptions: tuple[Description, ...]
    """Of the queries that the server accepts, in the same order."""
    types: Types
    """The Python types of their parameters and columns."""
    findings: tuple[Finding, ...]
    """Sorted by file and line."""


class Examiner:
    """Asks one migrated database about queries. It changes nothing there, so it can be used any number of times."""

    def __init__(self, conn: psycopg.Connection[TupleRow]) -> None:
        self._conn = conn
        self._describer = Describer(conn)
        self._trial = Trial(conn)
        self._refusals = Refusals(conn, self._trial)
        self._impossible = Impossible(conn, self._describer.catalog)

    @property
    def lost(self) -> bool:
        """Whether the connection is lost, so that another examiner is needed."""
        return self._conn.closed

    def examine(self, project: Project, progress: Progress = lambda _number, _count: None) -> Report:
        """Read the queries of the project and ask about each.

        Raises ServerError if the connection is lost, ModuleError if a type in the configuration is wrong, ProjectError
        if a function in it does not exist.
        """
        unknown = {
            "never-null": self._describer.catalog.declare(project.never_null),
            "keeps-session": self._describer.session_effects.declare(project.keeps_session),
        }
        if faults := [
            f"{key}: the migrations create no function {each}"
            for key, signatures in unknown.items()
            for each in signatures
        ]:
            raise ProjectError(project.root / FILE, faults)
        queries, findings, instructions = read(project.query_folders)
        descriptions: list[Description] = []
        for number, query in enumerate(queries, 1):
            progress(number, len(queries))
            try:
                description, found = self._ask(query)
            except psycopg.Error as error:
                raise ServerError(f"The connection to the scratch database was lost: {error}") from error
            except Exception as error:
                error.add_note(f"in query {query.qualified_name}, {query.location}")
                raise
            findings += found
            if description is not None:
                descriptions.append(description)
        types = read_types(self._conn, descriptions, project.types)
        findings += (finding for description in descriptions for finding in unknown_types(description, types))
        found = sorted(apply_ignores(instructions, findings), key=_order)
        return Report(tuple(queries), tuple(descriptions), types, tuple(found))

    def _ask(self, query: Query) -> tuple[Description | None, list[Finding]]:
        """What the server says about a query, None if it refuses it, and what is wrong with it.

        Raises psycopg.Error if the connection is lost.
        """
        if query.forms is not None:
            return self._ask_forms(query, query.forms)
        try:
            description = self._describer.describe(query)
        except psycopg.Error as error:
            if self._conn.closed:
                raise
            return None, [*self._refusals.findings(query, error)]
        return description, [*self._findings(description)]

    def _ask_forms(self, query: Query, forms: Forms) -> tuple[Description | None, list[Finding]]:
        if (finding := too_many(query, forms)) is not None:
            return None, [finding]
        answers = ask(self._describer, query, forms)
        if answers.refused:
            refused = answers.refused
            refusals = [(form, each) for form, error in refused for each in self._refusals.findings(form, error)]
            return None, [*in_forms(refusals, forms.count)]
        for message, hint in differences((*answers.described, *answers.prepared)):
            return None, [at_query(Rule.FORMS, query, message, hint)]
        found = [(each.query, finding) for each in answers.described for finding in self._findings(each)]
        return merged(forms, answers), [*in_forms(found, len(answers.described))]

    def _findings(self, description: Description) -> Iterator[Finding]:
        yield from lint(description, self._describer.cardinality)
        yield from null_comparisons(description.query, self._trial)
        yield from self._impossible.findings(description)


def _order(finding: Finding) -> tuple[str, int, int, str]:
    return str(finding.file), finding.line or 0, finding.column or 0, finding.rule

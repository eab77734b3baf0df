"""The check: what the server says about each query of a project, and everything that is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import psycopg
from psycopg.rows import TupleRow

from rowsmith.compiler.analysis.cardinality import Cardinality
from rowsmith.compiler.analysis.description import Describer, Description
from rowsmith.compiler.analysis.unique_indexes import UniqueIndexes
from rowsmith.compiler.checks.ignores import apply_ignores
from rowsmith.compiler.checks.impossible import Impossible
from rowsmith.compiler.checks.lint import lint, unknown_types
from rowsmith.compiler.checks.null_comparisons import null_comparisons
from rowsmith.compiler.checks.refusals import Refusals
from rowsmith.compiler.checks.trial import Trial
from rowsmith.compiler.module.types import Types, read_types
from rowsmith.compiler.project import FILE, Project, ProjectError
from rowsmith.errors import ServerError
from rowsmith.findings import Finding
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
        self._cardinality = Cardinality(self._describer.catalog, UniqueIndexes(conn))
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
                description = self._describer.describe(query)
            except psycopg.Error as error:
                if self._conn.closed:
                    raise ServerError(f"The connection to the scratch database was lost: {error}") from error
                findings += self._refusals.findings(query, error)
                continue
            except Exception as error:
                error.add_note(f"in query {query.qualified_name}, {query.location}")
                raise
            descriptions.append(description)
            findings += lint(description, self._cardinality)
            findings += null_comparisons(description.query, self._trial)
            findings += self._impossible.findings(description)
        types = read_types(self._conn, descriptions, project.types)
        findings += (finding for description in descriptions for finding in unknown_types(description, types))
        found = sorted(apply_ignores(instructions, findings), key=_order)
        return Report(tuple(queries), tuple(descriptions), types, tuple(found))


def _order(finding: Finding) -> tuple[str, int, int, str]:
    return str(finding.file), finding.line or 0, finding.column or 0, finding.rule

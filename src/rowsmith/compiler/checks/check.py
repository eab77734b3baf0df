"""Everything that is known of a project's queries: what the server says of each, and all that is wrong with them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.rows import TupleRow

from rowsmith.compiler.analysis.cardinality import Cardinality
from rowsmith.compiler.analysis.catalog import Catalog
from rowsmith.compiler.analysis.description import Describer, Description
from rowsmith.compiler.analysis.nodes import Node
from rowsmith.compiler.analysis.unique_indexes import UniqueIndexes
from rowsmith.compiler.checks.findings import Finding, Rule, at_position, at_query
from rowsmith.compiler.checks.ignores import apply_ignores, without_directives
from rowsmith.compiler.checks.lint import lint, unknown_types
from rowsmith.compiler.module.types import Types, read_types
from rowsmith.compiler.project import Project, QueryFolder
from rowsmith.errors import QueryFileError, ServerError
from rowsmith.queries.loader import read_queries
from rowsmith.queries.query import Query, display_path

Progress = Callable[[int, int], None]
"""Called before each query with its number, from 1, and how many there are."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was found out about the queries of a project."""

    queries: tuple[Query, ...]
    """All that could be read."""
    descriptions: tuple[Description, ...]
    """Those of the queries that the server takes, in the same order."""
    types: Types
    """The Python types of their parameters and columns."""
    findings: tuple[Finding, ...]
    """By file and line."""


class Examiner:
    """Asks one migrated database about queries. Nothing in it changes, so one serves for any number of runs."""

    def __init__(self, conn: psycopg.Connection[TupleRow]) -> None:
        self._conn = conn
        self._describer = _Describer(conn)
        self._cardinality = Cardinality(self._describer.catalog, UniqueIndexes(conn))

    @property
    def lost(self) -> bool:
        """Whether the connection is gone, so that another one is needed."""
        return self._conn.closed

    def examine(self, project: Project, progress: Progress = lambda _number, _count: None) -> Report:
        """Read the project's queries and ask about each.

        Raises ServerError where the connection is lost, ModuleError where the configuration names a type wrongly.
        """
        queries, findings = read_project(project)
        descriptions: list[Description] = []
        for number, query in enumerate(queries, 1):
            progress(number, len(queries))
            try:
                description = self._describer.describe(query)
            except psycopg.Error as error:
                if self._conn.closed:
                    raise ServerError(f"The connection to the scratch database was lost: {error}") from error
                findings.append(self._refusal(query, error))
                continue
            except Exception as error:
                error.add_note(f"in query {query.qualified_name}, {query.location}")
                raise
            descriptions.append(description)
            findings += lint(description, self._describer.tree, self._cardinality)
        types = read_types(self._conn, descriptions, project.types)
        findings += (finding for description in descriptions for finding in unknown_types(description, types))
        found = sorted(apply_ignores(queries, findings), key=lambda finding: finding.order)
        return Report(tuple(queries), tuple(descriptions), types, tuple(found))

    def _refusal(self, query: Query, error: psycopg.Error) -> Finding:
        """What PostgreSQL said, where it said so; its positions count characters from 1."""
        said = error.diag
        message = "\n".join(filter(None, [said.message_primary or str(error).strip(), said.message_detail]))
        hint = said.message_hint or _hint(query, error)
        if said.statement_position is None or self._describer.parsing:
            return at_query(Rule.REFUSED, query, message, hint)
        return at_position(Rule.REFUSED, query, int(said.statement_position) - 1, message, hint)


def _hint(query: Query, error: psycopg.Error) -> str | None:
    """Where the server has no hint: a parameter by its name, for the message has its number."""
    if isinstance(error, (psycopg.errors.IndeterminateDatatype, psycopg.errors.AmbiguousParameter)):
        for number, name in enumerate(query.parameters, 1):
            if (error.diag.message_primary or "").endswith(f" ${number}"):
                return f"${number} is :{name}. Say what it is with a cast, such as :{name}::text"
    return None


class _Describer(Describer):
    """Keeps the analysed tree of the last query."""

    tree: Node | None = None
    parsing: bool = False
    """Whether it came to the step whose statement is not the query alone: positions there are not the query's."""

    @property
    def catalog(self) -> Catalog:
        return self._catalog

    def describe(self, query: Query) -> Description:
        self.tree, self.parsing = None, False
        return super().describe(query)

    def _parse(self, query: Query, parameters: list[int], *, returns: bool) -> Node | None:
        self.parsing = True
        self.tree = super()._parse(query, parameters, returns=returns)
        self.parsing = False
        return self.tree


def read_project(project: Project) -> tuple[list[Query], list[Finding]]:
    """The queries of a project, and the faults of its query files; of a file with a fault, none."""
    queries: list[Query] = []
    findings: list[Finding] = []
    for folder in project.query_folders:
        try:
            found = read_queries(folder.path)
        except QueryFileError as error:
            found = _sound_files(folder.path)
            findings += (_fault(folder, fault) for fault in error.faults)
        for each in found:
            namespace, doc = (*folder.namespace, *each.namespace), without_directives(each.doc)
            queries.append(dataclasses.replace(each, namespace=namespace, doc=doc))
    return _unique(queries, findings), findings


def _sound_files(folder: Path) -> list[Query]:
    """The queries of those files in a folder that have no fault, each read for itself."""
    queries: list[Query] = []
    for file in sorted(folder.rglob("*.sql")):
        parts = file.relative_to(folder).parts
        if any(part.startswith(".") for part in parts):
            continue
        try:
            queries += (dataclasses.replace(query, namespace=parts[:-1]) for query in read_queries(file))
        except QueryFileError:
            continue  # the folder's own error has it
    return queries


def _fault(folder: QueryFolder, fault: str) -> Finding:
    """A fault of the loader, `file:line: message`, as a finding."""
    files = sorted(map(display_path, folder.path.rglob("*")), key=len, reverse=True)
    for name in files:
        if fault.startswith(f"{name}:"):
            number, _, message = fault[len(name) + 1 :].partition(": ")
            if number.isdecimal():
                return Finding(Rule.QUERY_FILE, Path(name).absolute(), int(number), message, source=_line(name, number))
            return Finding(Rule.QUERY_FILE, Path(name).absolute(), None, fault[len(name) + 1 :].strip())
    return Finding(Rule.QUERY_FILE, folder.path, None, fault)


def _line(file: str, number: str) -> str | None:
    lines = Path(file).read_text(encoding="utf-8-sig", errors="replace").split("\n")
    return lines[int(number) - 1].rstrip() if int(number) <= len(lines) else None


def _unique(queries: Sequence[Query], findings: list[Finding]) -> list[Query]:
    """The queries without those whose name is taken: a component's and a folder's can meet."""
    first: dict[str, Query] = {}
    namespaces = {query.namespace[: depth + 1] for query in queries for depth in range(len(query.namespace))}
    faulty = {(finding.file, finding.line) for finding in findings}
    for query in queries:
        earlier = first.setdefault(query.qualified_name, query)
        message = ""
        if earlier is not query:
            message = f"{query.qualified_name} is defined already, at {earlier.location}"
        elif (*query.namespace, query.name) in namespaces:
            message = f"{query.qualified_name} is the name of a folder or a component of queries, too"
        if message and (query.file, query.line) not in faulty:
            findings.append(Finding(Rule.QUERY_FILE, query.file, query.line, message))
    return list(first.values())

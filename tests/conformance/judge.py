"""The judge: describes statements, and compares what it was told with what the server then returns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import psycopg
from psycopg.pq import ExecStatus, TransactionStatus

from rowsmith.compiler.analysis.cardinality import Cardinality
from rowsmith.compiler.analysis.catalog import Catalog, Relation
from rowsmith.compiler.analysis.description import Describer, Description
from rowsmith.compiler.analysis.unique_indexes import UniqueIndexes
from rowsmith.queries.lexer import TokenKind, UnterminatedError, tokenize
from rowsmith.queries.marks import Kind
from rowsmith.queries.query import Query, Source
from tests.conformance.random_rows import Values, fill, tables

Connection = psycopg.Connection[Any]

# After another command, what is known of the catalog may be out of date.
_HARMLESS = ("SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "FETCH", "COPY", "EXPLAIN", "SHOW", "DECLARE", "CLOSE")


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement of others, and where it comes from."""

    sql: str
    place: str
    """A script, or the name of a case."""
    parameters: int = 0


@dataclass(slots=True)
class Answer:
    """What the server returned for a statement."""

    rows: int = 0
    nulls: set[int] = field(default_factory=set[int])
    """The columns that were NULL in one of the rows, by number from 0."""
    tags: list[str] = field(default_factory=list[str])
    """The command tags: more than one if there were several statements."""
    error: str | None = None
    """The SQLSTATE and the message, if the server refused the statement."""

    def add_row(self, row: Sequence[object]) -> None:
        """Take note of a row."""
        self.rows += 1
        self.nulls.update(number for number, value in enumerate(row) if value is None)


@dataclass(slots=True)
class Figures:
    """What was counted."""

    statements: int = 0
    refused: int = 0
    """By PostgreSQL, when they were executed."""
    described: int = 0
    """Accepted by PostgreSQL, and described."""
    columns: int = 0
    """Of the statements that were described and that returned rows."""
    never_null: int = 0
    """Those of them that are said to be never NULL."""
    timid: int = 0
    """Those of them that are said to be NULL, and never were."""
    random: int = 0
    """How many statements ran on random rows as well."""
    projects: int = 0
    without_module: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """What prevents the typed module of a project, and its name."""
    left_out: Counter[str] = field(default_factory=Counter[str])
    """Accepted by PostgreSQL, but not given to the analysis: why."""
    without_tree: list[tuple[str, Statement]] = field(default_factory=list[tuple[str, Statement]])
    """Queries that were described, but of whose columns nothing can be proven: why."""
    failures: list[tuple[str, Statement]] = field(default_factory=list[tuple[str, Statement]])
    """Accepted by PostgreSQL and given to the analysis, which raised: what, and for which statement."""
    wrong: list[tuple[str, Statement]] = field(default_factory=list[tuple[str, Statement]])
    """What was said of a statement and is not true."""


class Judge:
    """Judges the statements of one connection, in the order in which they run."""

    def __init__(self, conn: Connection, figures: Figures) -> None:
        self.conn = conn
        self.figures = figures
        self._describer: Describer | None = None
        self._cardinality: Cardinality | None = None
        self._random = Random(0)
        self._built_in: dict[str, Any] = {}

    def describe(self, statement: Statement) -> Description | Exception | str:
        """A description, the error of the analysis, or why the statement is not given to it."""
        if self.conn.info.transaction_status == TransactionStatus.INERROR:
            return "in an aborted transaction"
        sql = _bare(statement.sql)
        if _first_word(sql) not in _GIVEN:
            return "other commands"
        names = tuple(f"p{number}" for number in range(1, statement.parameters + 1))
        query = Query("case", (), Kind.MANY, names, sql, "", None, Path(), 1, Source(sql, 1, 0, ()))
        with self._aside():
            if self._describer is not None:
                try:
                    return self._describer.describe(query)
                except Exception:  # noqa: BLE001 - perhaps the catalog has changed
                    self.forget()
            self._describer = Describer(self.conn)
            self._keep_families(self._describer.catalog)
            self._cardinality = Cardinality(self._describer.catalog, UniqueIndexes(self.conn))
            try:
                return self._describer.describe(query)
            except psycopg.errors.ReadOnlySqlTransaction:
                return "in a read-only transaction"
            except Exception as error:  # noqa: BLE001 - this is what is looked for
                self.forget()
                return error

    def try_out(self, statement: Statement, rounds: int) -> Description | None:
        """Describe a statement with parameters, and run it on random values and rows so many times."""
        self.figures.statements += 1
        said = self.describe(statement)
        if isinstance(said, str):
            self.figures.left_out[said] += 1
        elif isinstance(said, Exception) and not self._is_accepted(statement):
            self.figures.refused += 1
        elif isinstance(said, Exception):
            self.figures.failures.append((_reason(said), statement))
        else:
            self.figures.described += 1
            self._look_for_tree(statement, said)
            seen = set[int]()
            rows = sum(self._run_on_random_rows(statement, said, seen) for _ in range(rounds))
            self._count(said, rows, seen)
            return said
        return None

    def _look_for_tree(self, statement: Statement, said: Description) -> None:
        """Take note of a query whose tree the server does not show."""
        sql = _bare(statement.sql)
        if said.tree is not None or _first_word(sql) not in _QUERIES or statement.parameters:
            return
        returns = "SETOF record" if said.columns else "void"
        body = f"CREATE FUNCTION pg_temp.rowsmith_query() RETURNS {returns} LANGUAGE sql BEGIN ATOMIC {sql}\n; END"
        try:
            with self._aside():
                self.conn.execute(body.encode())
        except psycopg.Error as error:
            self.figures.without_tree.append((_reason(error), statement))

    def _is_accepted(self, statement: Statement) -> bool:
        with self._aside():
            return self.conn.pgconn.prepare(b"", _bare(statement.sql).encode()).status == ExecStatus.COMMAND_OK

    def _count(self, said: Description, rows: int, nulls: set[int]) -> None:
        if rows:
            never = sum(not column.nullable for column in said.columns)
            self.figures.columns += len(said.columns)
            self.figures.never_null += never
            self.figures.timid += sum(
                column.nullable for number, column in enumerate(said.columns) if number not in nulls
            )

    def _keep_families(self, catalog: Catalog) -> None:
        """Ask for the built-in functions once only: that takes longer than all the rest."""
        for name in ("families", "aggregates"):
            if name not in self._built_in:
                self._built_in[name] = getattr(catalog, name)
            vars(catalog)[name] = self._built_in[name]

    def forget(self) -> None:
        """Read the catalog anew for the next statement."""
        self._describer = self._cardinality = None

    def record(self, statement: Statement, said: Description | Exception | str, answer: Answer) -> None:
        """Count a statement that ran."""
        figures = self.figures
        figures.statements += 1
        if answer.error is not None:
            figures.refused += 1
        elif len(answer.tags) != 1:
            figures.left_out["several statements, or none"] += 1
        elif isinstance(said, str):
            figures.left_out[said] += 1
        elif isinstance(said, Exception):
            figures.failures.append((_reason(said), statement))
        else:
            figures.described += 1
            self._look_for_tree(statement, said)
            self._compare(statement, said, answer)
            seen = set(answer.nulls)
            rows = answer.rows + (self._run_on_random_rows(statement, said, seen) if self._tables(said) else 0)
            self._count(said, rows, seen)
        if any(tag.split()[0] not in _HARMLESS for tag in answer.tags):
            self.forget()

    def _run_on_random_rows(self, statement: Statement, said: Description, seen: set[int]) -> int:
        """Run a statement on random rows in its tables, and undo it. Returns how many rows it had.

        The columns that were NULL are added to `seen`.
        """
        if said.tree is None or not said.columns or self.conn.info.transaction_status == TransactionStatus.INERROR:
            return 0
        answer, targets = Answer(), self._tables(said)
        with suppress(psycopg.Error), self._aside():
            self.conn.execute("SET LOCAL statement_timeout = '3s'")
            values = self._values(said)
            if targets:
                fill(self.conn, targets, self._random)
            result = self.conn.pgconn.exec_params(_bare(statement.sql).encode(), values)
            if result.status == ExecStatus.TUPLES_OK:
                self.figures.random += 1
                for row in range(result.ntuples):
                    answer.add_row([result.get_value(row, column) for column in range(result.nfields)])
                seen |= answer.nulls
                self._compare(statement, said, answer, ", on random rows")
        return answer.rows

    def _tables(self, said: Description) -> list[Relation]:
        return tables(self._describer.catalog, said.tree) if said.tree and self._describer else []

    def _values(self, said: Description) -> list[bytes | None]:
        """Values for the parameters; None for some of those that accept it."""
        pools = Values(self.conn) if said.parameters else None
        found: list[bytes | None] = []
        for parameter in said.parameters:
            choices = pools.of(parameter.oid) if pools else ()
            none = parameter.nullable and self._random.random() < 0.3
            found.append(None if none or not choices else self._random.choice(choices).encode())
        return found

    def _compare(self, statement: Statement, said: Description, answer: Answer, where: str = "") -> None:
        """Take note of everything that was said of a statement and is not true."""
        columns = [f"{number + 1} ({said.columns[number].name})" for number in sorted(answer.nulls)
                   if number < len(said.columns) and not said.columns[number].nullable]  # fmt: skip
        found = [f"column {each} was NULL" for each in columns]
        if said.columns and said.one_row and answer.rows != 1:
            found.append(f"{answer.rows} rows instead of exactly one")
        elif answer.rows > 1 and self._at_most_one(said):
            found.append(f"{answer.rows} rows instead of at most one")
        self.figures.wrong += [(f"{each}{where}", statement) for each in found]

    def _at_most_one(self, said: Description) -> bool:
        return said.tree is not None and self._cardinality is not None and self._cardinality.at_most_one(said.tree)

    @contextmanager
    def _aside(self) -> Generator[None]:
        """In a transaction, or a savepoint, that is undone; whatever the script has set for its session."""
        with self.conn.transaction(force_rollback=True):
            self.conn.execute("SET LOCAL client_encoding = 'UTF8'; SET LOCAL statement_timeout = '60s'")
            yield


_QUERIES = ("(", "delete", "insert", "merge", "select", "table", "update", "values", "with")
_GIVEN = (*_QUERIES, "call", "execute", "explain", "fetch", "show")
"""The first words of the statements that are described. All other commands have neither parameters nor columns."""


def _first_word(sql: str) -> str:
    try:
        return next((token.text.lower() for token in tokenize(sql) if not token.blank), "")
    except UnterminatedError:
        return ""


def _bare(sql: str) -> str:
    """The statement without what the loader leaves out: a semicolon, white space and comments at the end."""
    try:
        tokens = list(tokenize(sql))
    except UnterminatedError:  # it reads backslashes otherwise: standard_conforming_strings is off
        return sql.strip().removesuffix(";")
    while tokens and (tokens[-1].blank or tokens[-1].kind is TokenKind.SEMICOLON):
        tokens.pop()
    return "".join(token.text for token in tokens)


def _reason(error: Exception) -> str:
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        return f"{error.sqlstate} {error.diag.message_primary}"
    return f"{type(error).__name__}: {error}"

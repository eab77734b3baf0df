"""Soundness as a property: queries composed by hypothesis, run over every state of the corpus's database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, reject, settings

from rowsmith.compiler.analysis.description import Describer
from rowsmith.compiler.analysis.forms import describe
from rowsmith.queries.loader import read_queries
from rowsmith.queries.query import Query
from rowsmith.server.scratch import create_database, drop_database
from tests.compiler.analysis.composing import SCHEMA, Composed, adapting, queries, statements
from tests.compiler.analysis.probes import Connection, query_of
from tests.compiler.analysis.truth import create_schema, state_scripts
from tests.harness.examples import examples

# What the server does not accept of what was composed: an aggregate within an aggregate, a column outside of GROUP BY,
# a view that cannot be written so, or what is newer than it.
_NOT_A_QUERY = (
    psycopg.errors.GroupingError,
    psycopg.errors.DatatypeMismatch,
    psycopg.errors.AmbiguousFunction,
    psycopg.errors.InvalidRecursion,
    psycopg.errors.FeatureNotSupported,
    psycopg.errors.ObjectNotInPrerequisiteState,
)
_NEWER = (psycopg.errors.SyntaxError, psycopg.errors.UndefinedTable)
# What a statement may answer instead of rows.
_REFUSALS = (
    psycopg.errors.IntegrityError,
    psycopg.errors.DataError,
    psycopg.errors.CardinalityViolation,
    psycopg.errors.FeatureNotSupported,
    psycopg.errors.WithCheckOptionViolation,
    psycopg.errors.InternalError_,  # the planner of 18.4: "no relation entry for relid 1"
)


class Databases:
    """A database in each of the states, and what came of the queries."""

    def __init__(self, conns: list[Connection]) -> None:
        self.conns = conns
        self.describer = Describer(conns[0])
        self.seen: Counter[str] = Counter()

    def check(self, composed: Composed, *, newer: bool = False) -> None:
        """Describe a query, and run it in every state."""
        sql, _ = composed
        try:
            said = self.describer.describe(query_of(sql))
        except _NOT_A_QUERY:
            reject()
        except _NEWER:
            if self.conns[0].info.server_version < 180000 and newer:
                reject()
            raise
        self.seen["queries"] += 1
        never = [place for place, column in enumerate(said.columns) if not column.nullable]
        self.seen["columns called NOT NULL"] += len(never)
        for conn in self.conns if never else ():
            try:
                with conn.transaction(force_rollback=True):
                    result = conn.execute(sql.encode()).pgresult
            except _REFUSALS:
                continue
            assert result is not None
            self.seen["rows"] += result.ntuples
            for place in never:
                seen = [result.get_value(row, place) for row in range(result.ntuples)]
                assert None not in seen, f"{said.columns[place].name} was NULL in: {sql}"

    def check_forms(self, query: Query) -> None:
        """Describe every form of a query, and run it in every state with several values of its parameters."""
        try:
            said = describe(self.describer, query)
        except (*_NOT_A_QUERY, psycopg.errors.AmbiguousColumn):
            reject()
        self.seen["forms"] += len(said.forms)
        for form in said.forms:
            of_all = [place for place, column in enumerate(said.columns) if not column.nullable]
            never = [place for place, column in enumerate(form.columns) if not column.nullable]
            assert {*of_all} <= {*never}
            values = ("1", "0") if form.query.not_none else (None,)
            for conn, value in product(self.conns if never else (), values):
                cursor = psycopg.RawCursor(conn)
                try:
                    with conn.transaction(force_rollback=True):
                        cursor.execute(form.query.statement, [value] * len(form.query.parameters) or None)
                        result = cursor.pgresult
                except _REFUSALS:
                    continue
                assert result is not None
                for place in never:
                    seen = [result.get_value(row, place) for row in range(result.ntuples)]
                    assert None not in seen, f"{form.columns[place].name} was NULL {form.query.title} in: {query.sql}"


@pytest.fixture(scope="module")
def databases(server_url: str, figures: list[str]) -> Iterator[Databases]:
    """A connection for each state: to a database that is in it."""
    with ExitStack() as stack:
        conns: list[Connection] = []
        for _, script in state_scripts():
            url = create_database(server_url, f"rowsmith_{uuid4().hex[:12]}")
            stack.callback(drop_database, url, server_url)
            conn = stack.enter_context(psycopg.connect(url))
            create_schema(conn)
            conn.execute(SCHEMA.encode())
            conn.execute("SET jit = off")  # it compiles for a second what runs for a millisecond
            conn.commit()
            stack.callback(conn.rollback)
            conn.execute(script.encode())  # not committed: a state may break a constraint that is deferred
            conns.append(conn)
        found = Databases(conns)
        yield found
        figures.append("composed: " + ", ".join(f"{count} {what}" for what, count in found.seen.items()))


_settings = settings(
    deadline=None,
    derandomize=True,  # a suite that fails is to fail again
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


@settings(_settings, max_examples=examples(400))
@given(composed=queries())
def test_no_composed_query_yields_null_where_none_was_said_to_be(databases: Databases, composed: Composed) -> None:
    databases.check(composed)


@settings(_settings, max_examples=examples(200))
@given(composed=statements())
def test_no_composed_statement_returns_null_where_none_was_said_to_be(databases: Databases, composed: Composed) -> None:
    databases.check(composed, newer=True)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The query file that each example writes."""
    return tmp_path_factory.mktemp("composed") / "q.sql"


@settings(_settings, max_examples=examples(100))
@given(text=adapting())
def test_no_form_of_a_composed_query_yields_null_where_none_was_said_to_be(
    databases: Databases, file: Path, text: str
) -> None:
    file.write_text(text)
    (query,) = read_queries(file)
    databases.check_forms(query)

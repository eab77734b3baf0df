"""Soundness as a property: queries composed by hypothesis, run over every state of the corpus's database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from rowsmith.compiler.analysis.description import Describer
from rowsmith.queries.marks import Kind
from rowsmith.queries.query import Query, Source
from rowsmith.server.scratch import create_database, drop_database
from tests.compiler.analysis.truth import Connection, create_schema, state_scripts
from tests.harness.examples import examples

TABLES = {
    "author": {"int": ["id"], "text": ["name", "nick"], "bool": []},
    "book": {
        "int": ["id", "author_id", "editor_id", "pages", "stock"],
        "text": ["title", "subtitle"],
        "bool": ["in_print", "loaned"],
    },
    "review": {"int": ["book_id", "author_id", "stars"], "text": ["body"], "bool": []},
    "publisher": {"int": ["id"], "text": ["name"], "bool": []},
}
KINDS = ("int", "text", "bool")
LITERALS = {
    "int": ["0", "1", "2", "NULL::int4"],
    "text": ["''", "'a'", "'bob'", "NULL::text"],
    "bool": ["true", "false"],
}
Columns = dict[str, list[str]]
"""The columns at hand, by kind."""


@st.composite
def source(draw: st.DrawFn, depth: int) -> tuple[str, Columns]:
    """Something for FROM, and the columns that it has."""
    text, columns = draw(relation("a", depth))
    for alias in draw(st.sampled_from([[], ["b"], ["b", "c"]])):
        other, more = draw(relation(alias, depth))
        join = draw(st.sampled_from(["JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN"]))
        equal = f"{draw(st.sampled_from(columns['int']))} = {draw(st.sampled_from(more['int']))}"
        columns = {kind: columns[kind] + more[kind] for kind in KINDS}
        # The planner knows how to do a full join on an equality only.
        other_condition = equal if join == "FULL JOIN" else draw(expression("bool", columns, 1))
        condition = "" if join == "CROSS JOIN" else f" ON {draw(st.sampled_from([equal, other_condition]))}"
        text = f"{text} {join} {other}{condition}"
    return text, columns


@st.composite
def relation(draw: st.DrawFn, alias: str, depth: int) -> tuple[str, Columns]:
    """A table, or a sub-query, under an alias."""
    if depth > 0 and draw(st.integers(0, 3)) == 0:
        text, columns = draw(plain(depth - 1))
        return f"({text}) AS {alias}", {kind: [f"{alias}.{name}" for name in columns[kind]] for kind in KINDS}
    table = draw(st.sampled_from(sorted(TABLES)))
    return f"{table} AS {alias}", {kind: [f"{alias}.{name}" for name in TABLES[table][kind]] for kind in KINDS}


@st.composite
def expression(draw: st.DrawFn, kind: str, columns: Columns, depth: int) -> str:
    """An expression of a kind over the columns at hand."""
    leaves = st.sampled_from([*columns[kind] * 3, *LITERALS[kind]])
    if depth <= 0:
        return draw(leaves)
    forms = {
        "int": ["{int} + {int}", "coalesce({int}, {int})", "nullif({int}, {int})", "greatest({int}, {int})",
                "CASE WHEN {bool} THEN {int} ELSE {int} END", "CASE WHEN {bool} THEN {int} END", "length({text})",
                "abs({int})", "(SELECT count(*)::int4 FROM book AS s WHERE s.id = {int})",
                "(SELECT max(s.id) FROM book AS s WHERE s.author_id = {int})",
                "CASE {int} WHEN {int} THEN {int} ELSE 0 END"],
        "text": ["{text} || {text}", "lower({text})", "coalesce({text}, {text})", "nullif({text}, {text})",
                 "concat({text}, {text})", "substring({text} FROM 'a.')", "left({text}, {int})",
                 "CASE WHEN {bool} THEN {text} ELSE {text} END", "split_part({text}, 'b', 1)", "({int})::text"],
        "bool": ["{int} = {int}", "{int} < {int}", "{text} <> {text}", "{text} LIKE {text}", "{text} IS NOT NULL",
                 "{int} IS NULL", "NOT ({bool})", "({bool} AND {bool})", "({bool} OR {bool})", "{int} IN (1, {int})",
                 "{int} NOT IN (1, {int})", "({bool}) IS TRUE", "({bool}) IS NOT TRUE", "{int} IS DISTINCT FROM {int}",
                 "EXISTS (SELECT FROM author AS s WHERE s.id = {int})", "{int} = ANY (ARRAY[{int}, 1])",
                 "{int} <> ALL (ARRAY[{int}])",
                 "{int} IN (SELECT s.author_id FROM book AS s)", "{int} BETWEEN 0 AND {int}",
                 "EXISTS (SELECT FROM author AS s LEFT JOIN book AS t ON t.id = s.id WHERE s.id = {int})"],
    }  # fmt: skip
    form = draw(st.sampled_from([*forms[kind], "leaf"]))
    text = form if form != "leaf" else f"{{{kind}}}"
    for each in KINDS:
        while (hole := f"{{{each}}}") in text:
            text = text.replace(hole, draw(expression(each, columns, depth - 1)), 1)
    return text


@st.composite
def plain(draw: st.DrawFn, depth: int) -> tuple[str, Columns]:
    """A SELECT of three columns, one of each kind."""
    text, columns = draw(source(depth))
    exprs = {kind: draw(expression(kind, columns, 2)) for kind in KINDS}
    where = f" WHERE {draw(expression('bool', columns, 2))}" if draw(st.booleans()) else ""
    names: Columns = {kind: [f"c_{kind}"] for kind in KINDS}
    return f"SELECT {', '.join(f'{exprs[kind]} AS c_{kind}' for kind in KINDS)} FROM {text}{where}", names


@st.composite
def grouped(draw: st.DrawFn, depth: int) -> tuple[str, Columns]:
    """Aggregates over groups, or over all rows."""
    text, columns = draw(source(depth))
    keys = [draw(expression("int", columns, 1)), draw(expression("text", columns, 1))]
    keys = [f"coalesce({key}, NULL)" if key in LITERALS["int"] + LITERALS["text"] else key for key in keys]
    grouping = draw(st.sampled_from(["", "{0}, {1}", "ROLLUP ({0}, {1})", "GROUPING SETS (({0}), ({1}), ({0}, {1}))"]))
    value, word = draw(expression("int", columns, 1)), draw(expression("text", columns, 1))
    wanted = [f"sum({value})", f"count({value})", f"max({word})", f"array_agg({value})", f"bool_and({value} > 0)",
              f"max({word}) FILTER (WHERE {value} > 0)", f"coalesce(sum({value}), 0)"]  # fmt: skip
    if grouping:
        wanted += [*keys, f"coalesce({keys[1]}, '-')"]
    chosen = draw(st.lists(st.sampled_from(wanted), min_size=1, max_size=5, unique=True))
    having = f" HAVING {draw(st.sampled_from(wanted[:3]))} IS NOT NULL" if draw(st.booleans()) else ""
    where = f" WHERE {draw(expression('bool', columns, 2))}" if draw(st.booleans()) else ""
    by = f" GROUP BY {grouping.format(*keys)}" if grouping else ""
    listed = ", ".join(f"{each} AS c{number}" for number, each in enumerate(chosen))
    return f"SELECT {listed} FROM {text}{where}{by}{having}", {}


@st.composite
def windowed(draw: st.DrawFn, depth: int) -> tuple[str, Columns]:
    """Window functions."""
    text, columns = draw(source(depth))
    value, word = draw(expression("int", columns, 1)), draw(expression("text", columns, 1))
    frames = [
        "",
        " ROWS BETWEEN 1 PRECEDING AND 1 PRECEDING",
        " ROWS BETWEEN 1 PRECEDING AND CURRENT ROW",
        " ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING EXCLUDE CURRENT ROW",
    ]
    frame = draw(st.sampled_from(frames))
    over = f"OVER (PARTITION BY {word} ORDER BY {value}{frame})"
    plain_over = f"OVER (ORDER BY {word})"
    calls = [f"row_number() {plain_over}", f"lag({value}) {plain_over}", f"lag({value}, 1, 0) {plain_over}",
             f"sum({value}) {over}", f"count({value}) {over}", f"first_value({word}) {over}",
             f"lead({word}, 1, 'z') {plain_over}", f"max({word}) {over}", f"last_value({value}) {over}"]  # fmt: skip
    chosen = draw(st.lists(st.sampled_from(calls), min_size=1, max_size=4, unique=True))
    where = f" WHERE {draw(expression('bool', columns, 2))}" if draw(st.booleans()) else ""
    return f"SELECT {', '.join(f'{each} AS c{n}' for n, each in enumerate(chosen))} FROM {text}{where}", {}


@st.composite
def combined(draw: st.DrawFn, depth: int) -> tuple[str, Columns]:
    """Two SELECTs in one, or one in WITH."""
    left, names = draw(plain(depth))
    right, _ = draw(plain(depth))
    if draw(st.booleans()):
        operator = draw(st.sampled_from(["UNION", "UNION ALL", "INTERSECT", "EXCEPT"]))
        return f"{left} {operator} {right}", {}
    columns = {kind: [f"w.{name}" for name in names[kind]] for kind in KINDS}
    where = draw(expression("bool", columns, 2))
    kept = draw(st.sampled_from(["", "MATERIALIZED "]))
    return f"WITH w AS {kept}({left}) SELECT w.c_int, w.c_text, w.c_bool FROM w WHERE {where}", {}


@pytest.fixture(scope="module")
def databases(server_url: str) -> Iterator[list[Connection]]:
    """A connection for each state: to a database that is in it."""
    with ExitStack() as stack:
        conns: list[Connection] = []
        for _, script in state_scripts():
            url = create_database(server_url, f"rowsmith_{uuid4().hex[:12]}")
            stack.callback(drop_database, url, server_url)
            conn = stack.enter_context(psycopg.connect(url))
            create_schema(conn)
            stack.callback(conn.rollback)
            conn.execute(script.encode())  # not committed: a state may break a constraint that is deferred
            conns.append(conn)
        yield conns


@settings(
    max_examples=examples(400),
    deadline=None,
    derandomize=True,  # a suite that fails is to fail again
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
@given(composed=st.one_of(plain(1), plain(2), grouped(1), windowed(1), combined(1)))
def test_no_composed_query_yields_null_where_none_was_said_to_be(
    databases: list[Connection], composed: tuple[str, Columns]
) -> None:
    sql, _ = composed
    query = Query("composed", (), Kind.MANY, (), sql, "", None, Path("composed.sql"), 1, Source(sql, 1, 0, ()))
    try:
        said = _describer(databases[0]).describe(query)
    except (psycopg.errors.GroupingError, psycopg.errors.DatatypeMismatch):
        assume(False)
        raise
    for conn in databases:
        with conn.transaction(force_rollback=True):
            result = conn.execute(sql.encode()).pgresult
        assert result is not None
        for place, column in enumerate(said.columns):
            if not column.nullable:
                seen = [result.get_value(row, place) for row in range(result.ntuples)]
                assert None not in seen, f"{column.name} was NULL in: {sql}"


_DESCRIBERS: dict[int, Describer] = {}


def _describer(conn: Connection) -> Describer:
    """One for each connection: it keeps the catalogue."""
    return _DESCRIBERS.setdefault(id(conn), Describer(conn))

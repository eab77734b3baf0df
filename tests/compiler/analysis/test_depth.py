"""Queries as deep as the server takes them: no limit of Python's, and a cost that grows as the query does."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest

from rowsmith.compiler.analysis.cardinality import Cardinality
from rowsmith.compiler.analysis.description import Describer, Description
from rowsmith.compiler.analysis.nullability import Prover
from rowsmith.compiler.analysis.unique_indexes import UniqueIndexes
from tests.compiler.analysis.probes import Connection, query_of
from tests.harness.databases import new_database

SCHEMA = """
CREATE TABLE t (id int PRIMARY KEY, x int, s text);
CREATE VIEW v0 AS SELECT id, x FROM t;
CREATE VIEW w0 AS SELECT id, x FROM t;
"""


def nested(before: str, inside: str, after: str) -> Callable[[int], str]:
    """A query in which something is around itself so many times."""
    return lambda n: f"SELECT {before * n}{inside}{after * n} AS c FROM t"


def left_joins(n: int) -> str:
    joins = "".join(f" LEFT JOIN t AS t{i} ON t{i}.id = t{i - 1}.x" for i in range(1, n))
    return f"SELECT t0.id, t{n - 1}.x FROM t AS t0{joins} WHERE t{n - 1}.x > 0 AND t0.id = 1"


def nested_left_joins(n: int) -> str:
    text = f"t AS t{n}"
    for i in reversed(range(n)):
        text = f"t AS t{i} LEFT JOIN {f'({text})' if i < n - 1 else text} ON t{i + 1}.id = t{i}.x"
    return f"SELECT t0.id, t{n}.id AS x FROM {text}"


def full_joins(n: int) -> str:
    joins = "".join(f" FULL JOIN (SELECT id FROM t) AS t{i} USING (id)" for i in range(1, n))
    return f"SELECT id AS c FROM (SELECT id FROM t) AS t0{joins}"


def subselects(n: int) -> str:
    return f"SELECT x AS c FROM {'(SELECT x FROM ' * n}t{''.join(f') AS s{i}' for i in range(n))} WHERE x > 0"


def laterals(n: int) -> str:
    text = "SELECT t.x FROM t AS u WHERE u.x = t.x"
    for i in range(n):
        text = f"SELECT s{i}.x FROM t AS u, LATERAL ({text}) AS s{i} WHERE u.id = t.id"
    return f"SELECT s.x AS c FROM t, LATERAL ({text}) AS s"


QUERIES: dict[str, tuple[Callable[[int], str], int, str]] = {
    # name: the query by its depth, a depth, and what is true of its columns
    "chained operators": (lambda n: f"SELECT {' || '.join(['s'] * n)} AS c FROM t WHERE s = 'a'", 1000, "c!"),
    "chained operators in a condition": (lambda n: f"SELECT s FROM t WHERE {' || '.join(['s'] * n)} = 'a'", 1000, "s!"),
    "calls": (nested("upper(", "coalesce(s, '')", ")"), 500, "c!"),
    "coalesce": (nested("coalesce(x, ", "1", ")"), 500, "c!"),
    "case": (nested("CASE WHEN x > 0 THEN ", "x", " ELSE 0 END"), 300, "c!"),
    "case in ELSE": (nested("CASE WHEN x IS NULL THEN 0 ELSE ", "x", " END"), 300, "c!"),
    "not": (lambda n: f"SELECT x AS c FROM t WHERE {'NOT (' * n}x IS NOT NULL{')' * n}", 500, "c!"),
    "and, or": (lambda n: f"SELECT x AS c FROM t WHERE {'(x > 0 AND (x > 1 OR ' * n}x < 5{'))' * n}", 150, "c!"),
    "conditions": (lambda n: f"SELECT x AS c FROM t WHERE {'(x = 1 OR x = 2) AND ' * n}true", 1000, "c!"),
    "scalar subqueries": (nested("(SELECT ", "count(*) FROM t", ")"), 150, "c!"),
    "exists": (
        lambda n: f"SELECT x AS c FROM t WHERE {'EXISTS (SELECT FROM t AS u WHERE ' * n}t.x = 1{')' * n}", 150, "c!",
    ),
    "exists of the query around it": (
        lambda n: "SELECT t0.x AS c FROM t AS t0 WHERE "
        + "".join(f"EXISTS (SELECT FROM t AS t{i} WHERE t{i}.x = t{i - 1}.x AND " for i in range(1, n))
        + "true" + ")" * (n - 1), 100, "c!",
    ),
    "subselects": (subselects, 300, "c!"),
    "laterals": (laterals, 30, "c!"),
    "windows": (
        lambda n: f"SELECT x, w FROM {'(SELECT x, sum(x) OVER () AS w FROM ' * n}t"
        f"{''.join(f') AS s{i}' for i in range(n))} WHERE x > 0", 100, "x! w?",
    ),
    "common table expressions": (
        lambda n: "WITH c0 AS (SELECT x FROM t WHERE x > 0)"
        + "".join(f", c{i} AS (SELECT a.x FROM c{i - 1} AS a, c{i - 1} AS b)" for i in range(1, n))
        + f" SELECT x AS c FROM c{n - 1}", 300, "c!",
    ),
    "union": (lambda n: " UNION ALL ".join(["SELECT id AS c FROM t"] * n), 1000, "c!"),
    "values": (lambda n: f"SELECT c FROM (VALUES {', '.join(['(1)'] * n)}) AS v (c)", 2000, "c!"),
    "a list": (lambda n: f"SELECT x AS c FROM t WHERE x IN ({', '.join(['1'] * n)})", 2000, "c!"),
    "left joins": (left_joins, 200, "id! x!"),
    "nested left joins": (nested_left_joins, 60, "id! x?"),
    "full joins": (full_joins, 30, "c!"),
    "views that join the one below twice": (lambda n: f"SELECT id, x FROM v{n} WHERE x > 0", 10, "id! x!"),
    "views": (lambda n: f"SELECT id, x FROM w{n} WHERE x > 0", 100, "id! x!"),
}  # fmt: skip


@pytest.fixture(scope="module")
def conn(server_url: str) -> Iterator[Connection]:
    """A connection to a database with the tables of these queries."""
    with new_database(server_url) as url, psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SCHEMA.encode())
        for i in range(1, 13):
            join = f"SELECT a.id, b.x FROM v{i - 1} AS a JOIN v{i - 1} AS b ON b.id = a.id"
            connection.execute(f"CREATE VIEW v{i} AS {join}".encode())
        for i in range(1, 201):
            connection.execute(f"CREATE VIEW w{i} AS SELECT id, x FROM w{i - 1}".encode())
        yield connection


@pytest.fixture(scope="module")
def describer(conn: Connection) -> Describer:
    """One for all queries: it keeps the catalog."""
    return Describer(conn)


def columns(said: Description) -> str:
    return " ".join(f"{each.name}{'?' if each.nullable else '!'}" for each in said.columns)


@pytest.mark.parametrize("name", QUERIES)
def test_no_query_is_too_deep(describer: Describer, conn: Connection, name: str) -> None:
    of_depth, depth, expected = QUERIES[name]
    said = describer.describe(query_of(of_depth(depth)))
    assert columns(said) == expected
    assert said.tree is not None
    Cardinality(describer.catalog, UniqueIndexes(conn)).at_most_one(said.tree)


@pytest.mark.parametrize("name", QUERIES)
def test_twice_the_query_takes_twice_the_questions(describer: Describer, name: str) -> None:
    of_depth, depth, _ = QUERIES[name]
    depth = min(depth, 100)
    half, whole = questions(describer, of_depth(depth // 2)), questions(describer, of_depth(depth))
    assert whole <= 2.2 * half


def questions(describer: Describer, sql: str) -> int:
    """How many questions are answered to describe a query."""
    tree = describer.describe(query_of(sql)).tree
    assert tree is not None
    prover = Prover(describer.catalog)
    prover.outputs(tree)
    return len(prover.memory)


def test_the_deepest_query_that_the_server_accepts_is_described(describer: Describer, conn: Connection) -> None:
    """Of some depths it refuses to store the tree: then nothing is proven."""

    def accepted(depth: int) -> bool:
        prepared = conn.pgconn.prepare(b"", chain(depth).encode())
        return prepared.status == psycopg.pq.ExecStatus.COMMAND_OK

    def chain(depth: int) -> str:
        return f"SELECT {' || '.join(['s'] * depth)} AS c FROM t WHERE s IS NOT NULL"

    deepest, too_deep = 1000, 100_000
    while too_deep - deepest > 100:
        middle = (deepest + too_deep) // 2
        deepest, too_deep = (middle, too_deep) if accepted(middle) else (deepest, middle)
    said = describer.describe(query_of(chain(deepest)))
    assert columns(said) == ("c!" if said.tree else "c?")


def test_a_table_of_wide_joins_has_one_row(describer: Describer, conn: Connection) -> None:
    tree = describer.describe(query_of(left_joins(100))).tree
    assert tree is not None
    assert Cardinality(describer.catalog, UniqueIndexes(conn)).at_most_one(tree)

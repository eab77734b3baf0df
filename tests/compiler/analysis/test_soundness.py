"""What can be NULL is not called otherwise: queries that were once, or that are close to one that was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import psycopg
import pytest

from tests.compiler.analysis.probes import Connection, run
from tests.harness.databases import cloned

T_AND_U = """
CREATE TABLE t (id int PRIMARY KEY, a int, x text, y int);
CREATE TABLE u (k int, nn int NOT NULL);
INSERT INTO t VALUES (1, NULL, NULL, NULL), (2, 2, 'b', 2);
INSERT INTO u VALUES (2, 2), (NULL, 5);
"""


class Case(NamedTuple):
    """A query over a schema, what is true of its columns, and from which version of the server on."""

    schema: str
    sql: str
    columns: str
    since: int = 15
    values: tuple[str | None, ...] = ()


CASES = {
    # An upsert may read the row that is there.
    "an upsert that reads the old row": Case(
        "CREATE TABLE hits (page text PRIMARY KEY, n int); INSERT INTO hits VALUES ('a', NULL)",
        "INSERT INTO hits VALUES ($1, 1) ON CONFLICT (page) DO UPDATE SET n = hits.n + 1 RETURNING n",
        "n?",
        values=("a",),
    ),
    "an upsert of a column that is known not to be NULL": Case(
        "CREATE TABLE hits (page text PRIMARY KEY, n int); INSERT INTO hits VALUES ('a', 1)",
        "INSERT INTO hits VALUES ($1, 1) ON CONFLICT (page) DO UPDATE SET n = hits.n + 1 WHERE hits.n > 0 RETURNING n",
        "n!",
        values=("a",),
    ),
    # Whole rows of an upsert.
    "an upsert of the whole row": Case(
        "CREATE TABLE t (id int PRIMARY KEY, j jsonb); INSERT INTO t VALUES (1, '{}')",
        "INSERT INTO t (id, j) VALUES ($1, '{}') ON CONFLICT (id) DO UPDATE SET j = to_jsonb(excluded) RETURNING j",
        "j!",
        values=("1",),
    ),
    # Whole rows and system columns in a view.
    "an insert into a view of whole rows": Case(
        "CREATE TABLE t (id int, x int); CREATE VIEW v AS SELECT id, t AS whole FROM t",
        "INSERT INTO v (id) VALUES ($1) RETURNING id, whole",
        "id? whole!",
        values=(None,),
    ),
    "an insert into a view of a view of whole rows": Case(
        "CREATE TABLE t (id int, x int); CREATE VIEW v AS SELECT id, t AS whole, x + 1 AS more FROM t;"
        "CREATE VIEW w AS SELECT id AS one, whole AS two, more FROM v",
        "INSERT INTO w (one) VALUES ($1) RETURNING w AS it, w.*",
        "it! one? two! more?",
        values=(None,),
    ),
    "an insert into a view of system columns": Case(
        "CREATE TABLE t (id int, x int); CREATE VIEW v AS SELECT id, ctid, tableoid FROM t",
        "INSERT INTO v (id) VALUES ($1) RETURNING *",
        "id? ctid! tableoid!",
        values=(None,),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def conn(server_url: str) -> Iterator[Connection]:
    """A connection to a database with nothing in it."""
    with cloned(server_url, None) as url, psycopg.connect(url) as connection:
        yield connection


@pytest.mark.parametrize("name", CASES)
def test_what_can_be_null(conn: Connection, name: str) -> None:
    case = CASES[name]
    if conn.info.server_version < case.since * 10000:
        pytest.skip(f"PostgreSQL {case.since} and later")
    result = run(conn, case.schema, case.sql, case.values)
    assert result.columns == case.columns
    assert result.seen == case.columns

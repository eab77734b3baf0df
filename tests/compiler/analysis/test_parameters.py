"""Which parameters accept None: where a value ends up, and where NULL means something."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from rowsmith.compiler.analysis.description import Describer
from tests.compiler.analysis.probes import Connection, query_of
from tests.harness.databases import new_database

SCHEMA = """
CREATE TABLE a (x text, h text);
CREATE TABLE b (h text NOT NULL, n text);
CREATE TABLE listing (id int, items text[]);
INSERT INTO a VALUES ('x', 'h');
INSERT INTO listing VALUES (1, '{a}');
CREATE FUNCTION lenient(a int, b text) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION strict(a int) RETURNS int STRICT LANGUAGE sql AS 'SELECT 1';
CREATE PROCEDURE proc(a int, b text) LANGUAGE sql AS 'SELECT 1';
"""
QUERIES = {
    # Through RETURNING of a query in WITH.
    "WITH c AS (INSERT INTO a (x, h) VALUES ($1, $2) RETURNING h) INSERT INTO b (h) SELECT h FROM c": "? !",
    "WITH c AS (INSERT INTO a (x, h) VALUES ($1, $2) RETURNING h) INSERT INTO b (h) VALUES ((SELECT h FROM c))": "? !",
    "WITH c AS (INSERT INTO a (h, x) VALUES ($2, $1) RETURNING x, h),"
    " d AS (INSERT INTO b (h, n) SELECT h, x FROM c RETURNING *) SELECT * FROM d": "? !",
    "WITH c AS (UPDATE a SET x = $1, h = x || $2 RETURNING h) INSERT INTO b (h) SELECT h FROM c": "? !",
    "WITH c AS (UPDATE a SET x = $1, h = $2 RETURNING lower(x) AS l) INSERT INTO b (h) SELECT l FROM c": "! ?",
    "WITH c AS (INSERT INTO a AS s (x, h) VALUES ($1, $2) RETURNING (SELECT s.h) AS h)"
    " INSERT INTO b (h) SELECT h FROM c": "? !",
    # Through subqueries beside one another, and joins.
    "INSERT INTO b (h) SELECT s.v FROM (SELECT $1::text AS k) AS t, LATERAL (SELECT t.k AS v) AS s": "!",
    "INSERT INTO b (h) SELECT v FROM (SELECT $1::text AS v) AS s JOIN (SELECT $1::text AS v) AS t USING (v)": "!",
    "INSERT INTO b (h, n) VALUES (coalesce($1, $2), nullif($3, ''))": "? ! ?",
    # Where NULL means something.
    "SELECT x FROM a LIMIT $1 OFFSET $2": "? ?",
    "SELECT x FROM a ORDER BY x FETCH FIRST $1 ROWS WITH TIES": "!",
    "UPDATE listing SET items = array_append(items, $1)": "?",
    "UPDATE listing SET items = items || $1::text": "?",
    "UPDATE listing SET items = ARRAY[$1, $2]": "? ?",
    "UPDATE listing SET items = array_remove(items, $1)": "?",
    "SELECT concat('a', $1::text) || format('%s', $2::text), int4range($3, $4), greatest(1, $5)": "? ? ? ? ?",
    "SELECT jsonb_build_object($1::text, $2::text)": "! ?",
    # Functions and procedures of one's own.
    "SELECT lenient($1, $2), strict($3)": "? ? !",
    "SELECT lenient(b => $1, a => $2)": "? ?",
    "CALL proc($1, $2)": "? ?",
    "/* by name */ call proc(b => $1, a => 1)": "?",
    # It has to mean something wherever it is used.
    "INSERT INTO b (h, n) VALUES ($1, lenient(1, $1)::text)": "!",
    "SELECT x FROM a WHERE x = $1 OR lenient(1, $1) = 2": "!",
    "INSERT INTO b (h, n) SELECT 'h', lenient(1, $1)::text LIMIT $2": "? ?",
}


@pytest.fixture(scope="module")
def conn(server_url: str) -> Iterator[Connection]:
    """A connection to a database with these tables."""
    with new_database(server_url) as url, psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SCHEMA.encode())
        yield connection


@pytest.mark.parametrize("sql", QUERIES)
def test_which_parameters_accept_none(conn: Connection, sql: str) -> None:
    expected = QUERIES[sql].split()
    names = [f"p{number}" for number in range(1, len(expected) + 1)]
    said = Describer(conn).describe(query_of(sql, names)).parameters
    assert ["?" if each.nullable else "!" for each in said] == expected
    # The server takes NULL for all that accept it, while the others have values.
    values = [None if mark == "?" else "1" for mark in expected]
    with conn.transaction(force_rollback=True):
        psycopg.RawCursor(conn).execute(sql.encode(), values)


# Without those in which NULL finds no row, or has a remedy.
REFUSING = [sql for sql, marks in QUERIES.items() if "INTO b" in sql and "!" in marks and "USING" not in sql]


@pytest.mark.parametrize("sql", [sql for sql in REFUSING if "coalesce" not in sql])
def test_the_server_refuses_none_for_the_others(conn: Connection, sql: str) -> None:
    marks = QUERIES[sql].split()
    values = ["1" if mark == "?" else None for mark in marks]
    with pytest.raises(psycopg.errors.NotNullViolation), conn.transaction(force_rollback=True):
        psycopg.RawCursor(conn).execute(sql.encode(), values)

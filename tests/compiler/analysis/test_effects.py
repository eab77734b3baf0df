"""Queries that are proven to do nothing but read, and those that are not: against the server's own opinion."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from rowsmith.compiler.analysis.description import Describer
from rowsmith.queries.loader import read_queries
from rowsmith.server.scratch import create_database, drop_database
from tests.compiler.analysis.truth import Connection

SCHEMA = """
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE DOMAIN short AS text CHECK (length(VALUE) < 10);
CREATE TABLE notes (id int PRIMARY KEY, body text, mood mood, tags text[], doc jsonb, at timestamptz);
CREATE SEQUENCE numbers;
CREATE VIEW happy_notes AS SELECT * FROM notes WHERE mood = 'happy';
CREATE VIEW nested AS SELECT h.id, n.body FROM happy_notes h JOIN notes n USING (id);
CREATE FUNCTION noted(int) RETURNS int LANGUAGE sql AS 'INSERT INTO notes (id) VALUES ($1) RETURNING id';
CREATE FUNCTION plain(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1';
CREATE OPERATOR === (leftarg = int, rightarg = int, function = int4eq);
CREATE AGGREGATE own_sum (int) (sfunc = int4pl, stype = int, initcond = '0');
CREATE VIEW numbered AS SELECT nextval('numbers') AS n, id FROM notes;
CREATE VIEW behind AS SELECT id FROM numbered;
CREATE TABLE tenants (id int);
ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
CREATE FOREIGN DATA WRAPPER nothing;
CREATE SERVER away FOREIGN DATA WRAPPER nothing;
CREATE FOREIGN TABLE remote (id int) SERVER away;
CREATE TABLE parent (id int);
CREATE FOREIGN TABLE child () INHERITS (parent) SERVER away;
"""

READS = [
    "SELECT 1",
    "VALUES (1, 'a')",
    "TABLE notes",
    "SELECT * FROM notes WHERE id = :n::int ORDER BY at DESC, body LIMIT 3",
    "SELECT mood, count(*), max(at), array_agg(body ORDER BY id) FROM notes GROUP BY mood HAVING count(*) > 1",
    "SELECT id, rank() OVER (PARTITION BY mood ORDER BY at) FROM notes",
    "WITH RECURSIVE t (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT n FROM t",
    "SELECT a.id FROM notes a LEFT JOIN LATERAL (SELECT b.body FROM notes b WHERE b.id = a.id) c ON true",
    "SELECT id FROM notes WHERE EXISTS (SELECT FROM happy_notes h WHERE h.id = notes.id) AND body ILIKE 'a%'",
    "SELECT * FROM nested",
    "SELECT doc ->> 'a', tags[1], doc @> '{}', 'a' = ANY (tags), coalesce(body, ''), lower(body) FROM notes",
    "SELECT id FROM notes UNION SELECT 2 EXCEPT SELECT 3",
    "SELECT random(), clock_timestamp(), now(), gen_random_uuid(), current_user, current_setting('work_mem')",
    "SELECT (id, body) = (1, 'a'), nullif(id, 1), id IS DISTINCT FROM 2, greatest(id, 3) FROM notes",
    "SELECT jsonb_agg(n ORDER BY n.id) FROM notes n",
    "SELECT g FROM generate_series(1, 3) AS g, unnest(ARRAY[1, 2]) AS u",
    "SELECT id FROM notes TABLESAMPLE system (10)",
    "SELECT last_value FROM numbers",
    "SELECT mood::text, 1::text, '2026-01-01'::date FROM notes",
]
OTHERS = [
    "INSERT INTO notes (id) VALUES (1)",
    "UPDATE notes SET body = 'x' RETURNING id",
    "DELETE FROM notes",
    "WITH gone AS (DELETE FROM notes RETURNING id) SELECT count(*) FROM gone",
    "SELECT id FROM notes FOR UPDATE",
    "SELECT id FROM (SELECT id FROM notes FOR SHARE) AS locked",
    "SELECT nextval('numbers')",
    "SELECT setval('numbers', 4)",
    "SELECT id FROM notes ORDER BY nextval('numbers')",
    "SELECT noted(1)",
    "SELECT id FROM notes WHERE noted(id) = 1",
    "SELECT plain(1)",
    "SELECT id FROM notes WHERE id === 1",
    "SELECT own_sum(id) FROM notes",
    "SELECT own_sum(id) OVER () FROM notes",
    "SELECT n FROM numbered",
    "SELECT id FROM behind",
    "SELECT id FROM tenants",
    "SELECT id FROM remote",
    "SELECT id FROM parent",
    "SELECT :word::text::short",
    "SELECT set_config('work_mem', '4MB', false)",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_try_advisory_xact_lock(1)",
    "SELECT pg_notify('a', 'b')",
    "SELECT txid_current()",
    "SELECT pg_current_xact_id()",
    "SELECT query_to_xml('SELECT nextval(''numbers'')', true, true, '')",
    "SELECT table_to_xml('numbered', true, true, '')",
    "SELECT pg_sleep(0)",
    "SELECT lo_create(0)",
    "SELECT * FROM ts_stat('SELECT to_tsvector(body) FROM notes')",
    "SELECT pg_terminate_backend(0)",
]


@pytest.fixture(scope="module")
def conn(server_url: str) -> Iterator[Connection]:
    """A connection to a database with the schema."""
    url = create_database(server_url, f"rowsmith_{uuid4().hex[:12]}")
    try:
        with psycopg.connect(url) as connection:
            connection.execute(SCHEMA)
            connection.commit()
            yield connection
    finally:
        drop_database(url, server_url)


def only_reads(conn: Connection, sql: str, folder: Path) -> bool:
    """What the analysis says of a statement."""
    names = [word for word in ("n", "word") if f":{word}" in sql.replace("::", "")]
    (folder / "one.sql").write_text(f"-- name: one({', '.join(names)})\n{sql};\n")
    (query,) = read_queries(folder)
    return Describer(conn).describe(query).only_reads


@pytest.mark.parametrize("sql", READS)
def test_a_query_that_only_reads_is_proven(conn: Connection, tmp_path: Path, sql: str) -> None:
    assert only_reads(conn, sql, tmp_path)
    conn.rollback()
    conn.execute("SET TRANSACTION READ ONLY")
    conn.execute(sql.replace(":n::int", "1").encode())
    assert conn.execute("SELECT pg_current_xact_id_if_assigned()").fetchone() == (None,)
    conn.rollback()


@pytest.mark.parametrize("sql", OTHERS)
def test_any_other_query_is_not(conn: Connection, tmp_path: Path, sql: str) -> None:
    assert not only_reads(conn, sql, tmp_path)

"""Statements that are proven to leave nothing in a session, and those that are not."""

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

SCHEMA = r"""
CREATE SCHEMA app;
CREATE FUNCTION app.leak(text) RETURNS text LANGUAGE sql AS $$ SELECT set_config('app.leak', $1, false) $$;
CREATE FUNCTION app.leak_parsed(text) RETURNS text LANGUAGE sql RETURN set_config('app.leak', $1, false);
CREATE FUNCTION app.leak_behind(text) RETURNS text LANGUAGE sql RETURN app.leak($1);
CREATE FUNCTION app.leak_stable(text) RETURNS text STABLE LANGUAGE plpgsql AS
    $$ BEGIN RETURN set_config('app.leak', $1, false); END $$;
CREATE FUNCTION app.leak_if(text) RETURNS bool IMMUTABLE LANGUAGE sql AS $$ SELECT app.leak($1) IS NOT NULL $$;
CREATE FUNCTION app.leak_trigger() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM set_config('app.leak', 'x', false); RETURN NEW; END $$;
CREATE FUNCTION app.take_lock() RETURNS bool LANGUAGE sql AS $$ SELECT pg_try_advisory_lock(1) $$;
CREATE FUNCTION app.dynamic(text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE $1; END $$;
CREATE FUNCTION app.leak_int(int, int) RETURNS bool LANGUAGE sql AS $$ SELECT app.leak('x') IS NOT NULL $$;

CREATE FUNCTION app.words(text[]) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT array_to_string($1, ' ') $$;
CREATE FUNCTION app.twice(n int) RETURNS int LANGUAGE sql RETURN n * 2;
CREATE FUNCTION app.named(first text, last text = 'x') RETURNS TABLE (full_name text) LANGUAGE sql AS
    'SELECT first || last';
CREATE FUNCTION app.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.at = now(); RETURN NEW; END $$;
CREATE FUNCTION app.recursive(n int) RETURNS int LANGUAGE sql AS 'SELECT 0';
CREATE OR REPLACE FUNCTION app.recursive(n int) RETURNS int LANGUAGE sql AS
    'SELECT CASE WHEN n > 0 THEN app.recursive(n - 1) ELSE 0 END';

CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE DOMAIN short AS text CHECK (length(VALUE) < 10);
CREATE DOMAIN leaking AS text CHECK (app.leak_if(VALUE));
CREATE TYPE pair AS (a int, b short);
CREATE TYPE leaking_pair AS (a int, b leaking);
CREATE TYPE textrange AS RANGE (subtype = text);
CREATE FUNCTION app.length(float8, float8) RETURNS float8 IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN $2 - $1; END $$;
CREATE TYPE leaking_range AS RANGE (subtype = float8, subtype_diff = app.length);
CREATE TYPE cast_leaks AS ENUM ('a');
CREATE FUNCTION app.leak_json(cast_leaks) RETURNS json LANGUAGE sql AS $$ SELECT to_json(app.leak('x')) $$;
CREATE CAST (cast_leaks AS json) WITH FUNCTION app.leak_json;
CREATE TABLE casts (id int, c cast_leaks);

CREATE TABLE owners (id serial PRIMARY KEY, name text UNIQUE);
CREATE TABLE notes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner int REFERENCES owners ON DELETE CASCADE,
    body text DEFAULT 'x' CHECK (length(body) < 100),
    upper_body text GENERATED ALWAYS AS (upper(body)) STORED,
    mood mood, code short, pair pair, tags text[], at timestamptz DEFAULT now()
);
CREATE INDEX ON notes (lower(body)) WHERE body <> '';
CREATE VIEW happy_notes AS SELECT * FROM notes WHERE mood = 'happy';
CREATE TABLE parts (id int, n int) PARTITION BY RANGE (id);
CREATE TABLE part_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE TABLE words (id int, body text, search tsvector);
CREATE TRIGGER search BEFORE INSERT ON words FOR EACH ROW
    EXECUTE FUNCTION tsvector_update_trigger(search, 'pg_catalog.english', body);
CREATE TABLE tenants (id int, owner text);
ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON tenants USING (owner = current_setting('app.owner', true));

CREATE VIEW leaking_view AS SELECT set_config('search_path', 'x', false) AS path;
CREATE VIEW locking_view AS SELECT pg_advisory_lock(7) IS NULL AS locked, id FROM notes;
CREATE VIEW behind_view AS SELECT id FROM locking_view;
CREATE TABLE default_leaks (id int, body text DEFAULT app.leak('x'));
CREATE TABLE default_sets (id int, body text DEFAULT set_config('app.leak', 'x', false));
CREATE TABLE check_leaks (id int, body text CHECK (app.leak_if(body)));
CREATE TABLE generated_leaks (id int, body text, yes bool GENERATED ALWAYS AS (app.leak_if(body)) STORED);
CREATE TABLE index_leaks (id int, body text);
CREATE INDEX ON index_leaks (app.leak_if(body));
CREATE TABLE partial_leaks (id int, body text);
CREATE INDEX ON partial_leaks (id) WHERE app.leak_if(body);
CREATE TABLE domain_leaks (id int, body leaking);
CREATE TABLE trigger_leaks (id int);
CREATE TRIGGER leaks BEFORE INSERT OR UPDATE OR DELETE ON trigger_leaks
    FOR EACH ROW EXECUTE FUNCTION app.leak_trigger();
CREATE VIEW trigger_leaks_view AS SELECT * FROM trigger_leaks;
CREATE TABLE statement_leaks (id int);
CREATE TRIGGER leaks AFTER INSERT ON statement_leaks FOR EACH STATEMENT EXECUTE FUNCTION app.leak_trigger();
CREATE TABLE when_leaks (id int, body text);
CREATE TRIGGER leaks BEFORE UPDATE ON when_leaks FOR EACH ROW WHEN (app.leak_if(OLD.body))
    EXECUTE FUNCTION suppress_redundant_updates_trigger();
CREATE VIEW instead_leaks AS SELECT 1 AS id;
CREATE TRIGGER leaks INSTEAD OF INSERT ON instead_leaks FOR EACH ROW EXECUTE FUNCTION app.leak_trigger();
CREATE TABLE rule_leaks (id int);
CREATE RULE leaks AS ON DELETE TO rule_leaks DO ALSO SELECT app.leak('x');
CREATE TABLE policy_leaks (id int, body text);
ALTER TABLE policy_leaks ENABLE ROW LEVEL SECURITY;
CREATE POLICY leaks ON policy_leaks USING (app.leak_if(body));
CREATE TABLE parents (id int PRIMARY KEY);
CREATE TABLE children (id int PRIMARY KEY REFERENCES parents ON DELETE CASCADE);
CREATE TABLE grandchildren (id int REFERENCES children ON DELETE SET NULL);
CREATE TRIGGER leaks AFTER UPDATE ON grandchildren FOR EACH ROW EXECUTE FUNCTION app.leak_trigger();
CREATE TABLE part_leaks (id int) PARTITION BY RANGE (id);
CREATE TABLE part_leaks_1 PARTITION OF part_leaks FOR VALUES FROM (0) TO (10);
CREATE TRIGGER leaks BEFORE INSERT ON part_leaks_1 FOR EACH ROW EXECUTE FUNCTION app.leak_trigger();
CREATE TABLE touched (id int, at timestamptz);
CREATE TRIGGER touch BEFORE UPDATE ON touched FOR EACH ROW EXECUTE FUNCTION app.touch();
CREATE OPERATOR === (leftarg = int, rightarg = int, function = app.leak_int);
CREATE AGGREGATE own_sum (int) (sfunc = int4pl, stype = int, initcond = '0');
CREATE CAST (mood AS int) WITH INOUT;
CREATE FOREIGN DATA WRAPPER nothing;
CREATE SERVER away FOREIGN DATA WRAPPER nothing;
CREATE FOREIGN TABLE remote (id int) SERVER away;
"""

CLEAN = [
    "SELECT 1",
    "SELECT current_setting('search_path'), random(), clock_timestamp(), gen_random_uuid(), pg_is_in_recovery()",
    "SELECT id FROM notes FOR UPDATE SKIP LOCKED",
    "SELECT nextval('owners_id_seq')",
    "SELECT currval('owners_id_seq')",
    "SELECT pg_advisory_xact_lock(1), pg_try_advisory_xact_lock_shared(2)",
    "SELECT pg_notify('a', 'b')",
    "SELECT name, setting FROM pg_settings",
    "SELECT * FROM pg_stat_activity",
    "SELECT pg_total_relation_size('notes')",
    "INSERT INTO owners (name) VALUES ('a') ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id",
    "INSERT INTO notes (body, mood, code, pair, tags) VALUES (:body::text, 'sad', 'x', '(1,x)', '{}') RETURNING *",
    "INSERT INTO notes (pair) VALUES (:pair::pair)",
    "UPDATE notes SET body = body || 'x' WHERE id = 1",
    "UPDATE happy_notes SET body = 'x'",
    "DELETE FROM notes WHERE id = 1",
    "DELETE FROM owners WHERE id = 1",
    "WITH gone AS (DELETE FROM notes RETURNING id) SELECT count(*) FROM gone",
    "MERGE INTO notes AS n USING owners AS o ON n.owner = o.id WHEN MATCHED THEN UPDATE SET body = o.name",
    "INSERT INTO parts VALUES (1, 2)",
    "INSERT INTO words (id, body) VALUES (1, 'x')",
    "SELECT * FROM tenants",
    "UPDATE tenants SET id = 1",
    "SELECT app.words(tags), app.twice(1) FROM notes",
    "SELECT * FROM app.named('a')",
    "SELECT app.recursive(3)",
    "INSERT INTO touched VALUES (1)",
    "SELECT id FROM index_leaks",
    "SELECT lo_create(0)",
    "SELECT to_json(n), to_jsonb(mood) FROM notes AS n",
    "SELECT mood::text::mood, ARRAY['sad']::mood[], '[a,b)'::textrange FROM notes",
]
OTHERS = [
    "SELECT set_config('app.leak', 'x', false)",
    """SELECT U&"\\0073et_config"('search_path', 'x', false)""",
    "SELECT pg_catalog.set_config('app.leak', 'x', true)",
    "UPDATE pg_settings SET setting = 'x' WHERE name = 'app.leak'",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_try_advisory_lock(1)",
    "SELECT pg_advisory_unlock_all()",
    "SELECT setseed(0.5)",
    "SELECT app.leak('x')",
    "SELECT app.leak_parsed('x')",
    "SELECT app.leak_behind('x')",
    "SELECT app.leak_stable('x')",
    "SELECT id FROM notes WHERE app.leak_if(body)",
    "SELECT id FROM notes ORDER BY app.leak(body)",
    "SELECT app.take_lock()",
    "SELECT app.dynamic('SET search_path = x')",
    "SELECT * FROM leaking_view",
    "SELECT id FROM locking_view",
    "SELECT id FROM behind_view",
    "INSERT INTO default_leaks (id) VALUES (1)",
    "INSERT INTO default_sets (id) VALUES (1)",
    "INSERT INTO check_leaks VALUES (1, 'x')",
    "UPDATE check_leaks SET id = 2",
    "INSERT INTO generated_leaks VALUES (1, 'x')",
    "INSERT INTO index_leaks VALUES (1, 'x')",
    "INSERT INTO partial_leaks VALUES (1, 'x')",
    "INSERT INTO domain_leaks VALUES (1, 'x')",
    "INSERT INTO trigger_leaks VALUES (1)",
    "UPDATE trigger_leaks_view SET id = 2",
    "WITH new AS (INSERT INTO trigger_leaks VALUES (1) RETURNING id) SELECT id FROM new",
    "INSERT INTO statement_leaks VALUES (1)",
    "UPDATE when_leaks SET id = 2",
    "INSERT INTO instead_leaks VALUES (1)",
    "DELETE FROM rule_leaks",
    "SELECT id FROM policy_leaks",
    "INSERT INTO policy_leaks VALUES (1, 'x')",
    "DELETE FROM parents",
    "INSERT INTO part_leaks VALUES (1)",
    "UPDATE touched SET id = 2",
    "SELECT id FROM notes WHERE 1 === 1",
    "SELECT own_sum(1)",
    "SELECT :word::leaking",
    "SELECT 'x'::leaking",
    "SELECT :pair::leaking_pair",
    "SELECT ARRAY[:word]::leaking[]",
    "SELECT * FROM json_to_recordset('[]') AS t (a int, b leaking)",
    "SELECT json_populate_record(NULL::leaking_pair, '{}')",
    "SELECT id FROM remote",
    "SELECT :word::leaking_range",
    "SELECT to_json(c) FROM casts AS c",
    "SELECT jsonb_build_object('c', c) FROM casts",
    "SELECT query_to_xml('SELECT app.leak(''x'')', true, true, '')",
    "SELECT * FROM ts_stat('SELECT app.leak(''x'')')",
    "SELECT ts_rewrite('a'::tsquery, 'SELECT app.leak(''x'')::tsquery, ''b''::tsquery')",
    "SET search_path = app",
    "LISTEN something",
    "CREATE TEMP TABLE mine AS SELECT 1 AS n",
    "LOCK TABLE notes",
]


@pytest.fixture(scope="module")
def conn(server_url: str) -> Iterator[Connection]:
    """A connection to a database with the schema."""
    url = create_database(server_url, f"rowsmith_{uuid4().hex[:12]}")
    try:
        with psycopg.connect(url) as connection:
            connection.execute(SCHEMA.encode())
            connection.commit()
            yield connection
    finally:
        drop_database(url, server_url)


def is_clean(conn: Connection, sql: str, folder: Path, *, declared: str | None = None) -> bool:
    """What the analysis says of a statement."""
    names = [
        word for word in ("body", "pair", "word") if f" :{word}" in sql or f"(:{word}" in sql or f"[:{word}" in sql
    ]
    (folder / "one.sql").write_text(f"-- name: one({', '.join(names)})\n{sql};\n")
    (query,) = read_queries(folder)
    describer = Describer(conn)
    if declared:
        assert describer.session_effects.declare([declared]) == []
    return describer.describe(query).clean


@pytest.mark.parametrize("sql", CLEAN)
def test_a_statement_that_leaves_nothing_is_proven(conn: Connection, tmp_path: Path, sql: str) -> None:
    assert is_clean(conn, sql, tmp_path)
    conn.rollback()


@pytest.mark.parametrize("sql", OTHERS)
def test_any_other_statement_is_not(conn: Connection, tmp_path: Path, sql: str) -> None:
    assert not is_clean(conn, sql, tmp_path)
    conn.rollback()


def test_a_function_that_reads_a_type_by_its_name(conn: Connection, tmp_path: Path) -> None:
    if conn.info.server_version >= 160000:
        assert not is_clean(conn, "SELECT pg_input_is_valid('x', 'leaking')", tmp_path)
    conn.rollback()


EXTENSIONS = {
    "citext": "SELECT 'a'::citext = 'A'::citext, replace('a'::citext, 'a', 'b'), :word::citext",
    "pg_trgm": "SELECT similarity(body, 'a'), body % 'b' FROM notes ORDER BY body <-> 'c'",
    "pgcrypto": "SELECT crypt('a', gen_salt('bf')), gen_random_bytes(4), digest('a', 'sha256')",
    "uuid-ossp": "SELECT uuid_generate_v4()",
}


@pytest.mark.parametrize("name", EXTENSIONS)
def test_functions_of_extensions(conn: Connection, tmp_path: Path, name: str) -> None:
    if not conn.execute("SELECT 1 FROM pg_available_extensions WHERE name = %s", [name]).fetchone():
        pytest.skip(f"this PostgreSQL comes without {name}")
    conn.execute(f'CREATE EXTENSION "{name}"'.encode())
    assert is_clean(conn, EXTENSIONS[name], tmp_path)
    conn.rollback()


def test_what_sets_the_limit_of_pg_trgm_is_not_proven(conn: Connection, tmp_path: Path) -> None:
    """An extension has settings, too."""
    if not conn.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'").fetchone():
        pytest.skip("this PostgreSQL comes without pg_trgm")
    conn.execute("CREATE EXTENSION pg_trgm")
    assert not is_clean(conn, "SELECT set_limit(0.5)", tmp_path)
    conn.rollback()


def test_a_function_that_is_declared_is_believed(conn: Connection, tmp_path: Path) -> None:
    assert is_clean(conn, "UPDATE touched SET id = 2", tmp_path, declared="app.touch()")
    assert not is_clean(conn, "INSERT INTO trigger_leaks VALUES (1)", tmp_path, declared="app.touch()")
    assert Describer(conn).session_effects.declare(["app.nothing()"]) == ["app.nothing()"]
    conn.rollback()

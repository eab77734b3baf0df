"""Databases for tests: a template for the same migrations, clearing, and schemas for roles that may create no more."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from rowsmith import Database
from rowsmith.server.scratch import replace_database
from rowsmith.testing import NotATestDatabaseError, clear_database
from rowsmith.testing.databases import fresh_database, settings_for
from tests.harness.databases import new_database
from tests.harness.projects import write

pytestmark = pytest.mark.not_pooled("databases are made on the server itself")

SEEDED = """
CREATE TABLE roles (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text, upper text GENERATED ALWAYS AS (upper(name)) STORED
);
INSERT INTO roles (name) VALUES ('admin'), ('user');
CREATE TABLE users (id serial PRIMARY KEY, role_id int NOT NULL REFERENCES roles, "first name" json);
CREATE TABLE parts (id int, day date) PARTITION BY RANGE (day);
CREATE TABLE parts_default PARTITION OF parts DEFAULT;
CREATE SEQUENCE numbers START 5;
"""
STATE = """
SELECT (SELECT json_agg(r ORDER BY id)::text FROM roles AS r), (SELECT count(*) FROM users),
    (SELECT count(*) FROM parts),
    (SELECT last_value FROM pg_sequences WHERE sequencename = 'numbers' AND schemaname = current_schema())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, {"0001.seeded.sql": SEEDED})
    return tmp_path


@pytest.fixture
def fresh(server_url: str, folder: Path) -> Iterator[Callable[[], str]]:
    """Makes new databases."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(fresh_database(server_url, [folder]))


def templates(server_url: str) -> set[str]:
    with psycopg.connect(server_url) as conn:
        found = conn.execute("SELECT datname FROM pg_database WHERE datname LIKE 'rowsmith\\_template\\_%'").fetchall()
    return {name for (name,) in found}


def state(url: str) -> object:
    with psycopg.connect(url) as conn:
        return conn.execute(STATE).fetchall()


def change(url: str) -> None:
    with psycopg.connect(url) as conn:
        conn.execute("INSERT INTO roles (name) VALUES ('other')")
        conn.execute("UPDATE roles SET name = 'changed' WHERE name = 'user'")
        conn.execute("INSERT INTO users (role_id) SELECT id FROM roles")
        conn.execute("INSERT INTO parts VALUES (1, '2026-01-01')")
        conn.execute("SELECT nextval('numbers')")


def test_the_same_migrations_have_one_template(server_url: str, folder: Path, fresh: Callable[[], str]) -> None:
    one = fresh()
    made = templates(server_url)
    assert fresh() != one
    assert templates(server_url) == made
    write(folder, {"0002.more.sql": "CREATE TABLE more ();"})
    with psycopg.connect(fresh()) as conn:
        conn.execute("SELECT FROM more")
    assert len(templates(server_url) - made) == 1


def test_databases_are_dropped(server_url: str, folder: Path) -> None:
    with fresh_database(server_url, [folder]) as url:
        pass
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(url)


def test_a_migration_that_fails_leaves_nothing(server_url: str, folder: Path) -> None:
    before = templates(server_url)
    write(folder, {"0002.wrong.sql": "CREATE TABEL x ();"})
    with pytest.raises(psycopg.errors.SyntaxError), fresh_database(server_url, [folder]):
        pass
    assert templates(server_url) == before


def test_what_a_run_that_was_killed_has_left_is_dropped(server_url: str, fresh: Callable[[], str]) -> None:
    old = f"rowsmith_test_1_{os.urandom(6).hex()}"
    with psycopg.connect(server_url, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {old}".encode())
        fresh()
        assert conn.execute("SELECT FROM pg_database WHERE datname = %s", [old]).fetchall() == []


def test_clearing_puts_back_what_the_migrations_have_stored(fresh: Callable[[], str]) -> None:
    url = fresh()
    with Database(settings_for(url)) as database:
        before = state(url)
        assert clear_database(database) == 0
        change(url)
        assert state(url) != before
        assert clear_database(database) == 3
        assert state(url) == before
        with psycopg.connect(url) as conn:
            assert conn.execute("INSERT INTO roles (name) VALUES ('next') RETURNING id").fetchall() == [(3,)]
            assert conn.execute("INSERT INTO users (role_id) VALUES (1) RETURNING id").fetchall() == [(1,)]
            assert conn.execute("SELECT nextval('numbers')").fetchall() == [(5,)]


def test_sequences_start_again_after_a_rollback(fresh: Callable[[], str]) -> None:
    url = fresh()
    with Database(settings_for(url)) as database, psycopg.connect(url) as conn:
        for _ in range(2):
            assert conn.execute("INSERT INTO users (role_id) VALUES (1) RETURNING id").fetchall() == [(1,)]
            conn.rollback()
            assert clear_database(database) == 0


def test_other_databases_are_not_cleared(server_url: str) -> None:
    with new_database(server_url) as url, Database(settings_for(url)) as database:
        with psycopg.connect(url) as conn:
            conn.execute("CREATE TABLE precious AS SELECT 1 AS id")
        with pytest.raises(NotATestDatabaseError, match=r"not made by rowsmith\.testing, and nothing in it was"):
            clear_database(database)
        with psycopg.connect(url) as conn:
            assert conn.execute("SELECT * FROM precious").fetchall() == [(1,)]


def test_a_role_that_may_not_create_databases_has_schemas(server_url: str, folder: Path) -> None:
    role = f"limited_{os.urandom(4).hex()}"
    with psycopg.connect(server_url, autocommit=True) as conn, new_database(server_url) as url:
        conn.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'p'".encode())
        database = url.rpartition("/")[2].partition("?")[0]
        conn.execute(f"GRANT CREATE ON DATABASE {database} TO {role}".encode())
        limited = replace_database(url.replace("postgres@", f"{role}:p@", 1), database)
        limited += f"{'&' if '?' in limited else '?'}options={quote('-c statement_timeout=9s')}"
        with fresh_database(limited, [folder]) as one, fresh_database(limited, [folder]) as other:
            before = state(one)
            change(one)
            assert (state(one) == before, state(other) == before) == (False, True)
            with Database(settings_for(one)) as db:
                assert clear_database(db) == 3
                with db.transaction() as inner:
                    assert inner.execute("SHOW statement_timeout").fetchall() == [("9s",)]
            assert state(one) == before
        with psycopg.connect(url) as left:
            query = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'rowsmith%'"
            assert left.execute(query).fetchall() == []
            left.execute(f"DROP OWNED BY {role}; REVOKE CREATE ON DATABASE {database} FROM {role}".encode())
        conn.execute(f"DROP ROLE {role}".encode())

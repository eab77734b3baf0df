"""Settings of a transaction, and row-level security by them: nobody sees what is another tenant's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from rowsmith import Database, load_queries
from rowsmith.errors import TransactionError
from tests.harness.databases import settings_for

QUERIES = """
-- name: tenant()$
SELECT current_setting('app.tenant', true);

-- name: notes()
SELECT tenant, body FROM note ORDER BY body;

-- name: add(body)!
INSERT INTO note (body) VALUES (:body);

-- name: steal(body, tenant)!
INSERT INTO note (body, tenant) VALUES (:body, :tenant);
"""

SCHEMA = """
CREATE TABLE note (tenant text NOT NULL DEFAULT current_setting('app.tenant'), body text NOT NULL);
ALTER TABLE note ENABLE ROW LEVEL SECURITY;
ALTER TABLE note FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON note USING (tenant = nullif(current_setting('app.tenant', true), ''));
"""


@pytest.fixture
def queries(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Queries that know of tenants, and nothing of how they are told."""
    file = tmp_path_factory.mktemp("sql") / "notes.sql"
    file.write_text(QUERIES)
    return load_queries(file)


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    """A database with notes of two tenants, over a single connection, as a role that row-level security is for."""
    role = f"tenant_{uuid4().hex[:12]}"
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute(SCHEMA)
        owner.execute("INSERT INTO note VALUES ('1', 'of one'), ('2', 'of two')")
        owner.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
        owner.execute(sql.SQL("GRANT SELECT, INSERT ON note TO {}").format(sql.Identifier(role)))
        url = f"{database_url}{'&' if '?' in database_url else '?'}options=-c%20role%3D{role}"
        with Database(settings_for(url, min_connections=1, max_connections=1)) as database:
            yield database
        owner.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))
        owner.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def bodies(queries: Any, conn: psycopg.Connection[Any]) -> list[str]:
    return [note.body for note in queries.notes(conn)]


def test_a_setting_holds_in_its_transaction_and_no_longer(db: Database, queries: Any) -> None:
    with db.transaction(settings={"app.tenant": "1"}) as conn:
        assert queries.tenant(conn) == "1"
        with db.transaction() as inner:
            assert queries.tenant(inner) == "1"
    with db.transaction() as conn:  # on the same session, the only one
        assert not queries.tenant(conn)
    with db.connection() as conn:
        assert not queries.tenant(conn)
    with pytest.raises(psycopg.errors.DivisionByZero), db.transaction(settings={"app.tenant": "2"}) as conn:
        conn.execute("SELECT 1 / 0")
    with db.transaction() as conn:
        assert not queries.tenant(conn)


def test_a_tenant_sees_and_writes_its_own(db: Database, queries: Any) -> None:
    for tenant, own in (("1", "of one"), ("2", "of two")):
        with db.transaction(settings={"app.tenant": tenant}) as conn:
            assert bodies(queries, conn) == [own]
            assert queries.add(conn, body="new") == 1
            with pytest.raises(psycopg.errors.InsufficientPrivilege), db.transaction():
                queries.steal(conn, body="stolen", tenant="3")
        with db.transaction(settings={"app.tenant": tenant}) as conn:
            assert bodies(queries, conn) == ["new", own]


def test_without_its_setting_a_transaction_sees_and_writes_nothing(db: Database, queries: Any) -> None:
    for settings in (None, {}, {"app.tenant": ""}):
        with db.transaction(settings=settings) as conn:
            assert bodies(queries, conn) == []
            with pytest.raises(psycopg.Error), db.transaction():
                queries.add(conn, body="of nobody")
    with db.transaction(settings={"app.tenant": "1"}) as conn:  # and once a session has had one, it is the same again
        queries.tenant(conn)
    with db.transaction() as conn:
        assert bodies(queries, conn) == []
        with pytest.raises(psycopg.errors.InsufficientPrivilege), db.transaction():
            queries.steal(conn, body="of nobody", tenant="1")


def test_tasks_and_retried_functions_have_settings_too(db: Database, queries: Any) -> None:
    assert db.run(lambda conn: bodies(queries, conn), settings={"app.tenant": "2"}) == ["of two"]

    async def main() -> None:
        async with db.transaction(settings={"app.tenant": "1"}) as conn:
            assert [note.body for note in await queries.notes(conn)] == ["of one"]
        async with db.transaction() as conn:
            assert await queries.notes(conn) == []

        async def fetch(conn: psycopg.AsyncConnection[Any]) -> list[Any]:
            notes: list[Any] = await queries.notes(conn)
            return notes

        assert len(await db.arun(fetch, settings={"app.tenant": "1"})) == 1
        await db.aclose()

    asyncio.run(main())


def test_tenants_of_many_threads_do_not_mix(database_url: str, queries: Any) -> None:
    with Database(settings_for(database_url, min_connections=2, max_connections=2)) as db:

        def ask(number: int) -> bool:
            settings = {"app.tenant": str(number)} if number % 3 else None
            with db.transaction(settings=settings) as conn:
                return (queries.tenant(conn) or "") == (str(number) if number % 3 else "")

        with ThreadPoolExecutor(8) as threads:
            assert all(threads.map(ask, range(300)))


@pytest.mark.parametrize("value", ["it's", "'); DROP TABLE note; --", "$1", "%s", "a\nb", "é✓", "\\"])
def test_a_value_is_a_parameter(db: Database, queries: Any, value: str) -> None:
    with db.transaction(settings={"app.tenant": value}, isolation="serializable", read_only=True) as conn:
        assert queries.tenant(conn) == value
        assert queries.notes(conn) == []


def test_several_settings_and_those_of_postgresql(db: Database) -> None:
    with db.transaction(settings={"app.tenant": "1", "app.user": "7", "statement_timeout": "50ms"}) as conn:
        row = conn.execute("SELECT current_setting('app.tenant'), current_setting('app.user')").fetchone()
        assert row == ("1", "7")
        with pytest.raises(psycopg.errors.QueryCanceled), db.transaction():
            conn.execute("SELECT pg_sleep(5)")


def test_a_setting_that_cannot_be_is_an_error_before_anything_runs(db: Database, queries: Any) -> None:
    with pytest.raises(psycopg.errors.UndefinedObject), db.transaction(settings={"no_such_setting": "1"}) as conn:
        queries.tenant(conn)
    with db.transaction() as conn:
        assert bodies(queries, conn) == []
    wrong: Any = {"app.tenant": 42}
    with pytest.raises(TypeError, match=r"'app.tenant' is 42, but names and values are str"):
        db.transaction(settings=wrong)
    with pytest.raises(ValueError, match="NUL"):
        db.transaction(settings={"app.tenant": "a\0b"})


def test_a_nested_block_cannot_have_another_tenant(db: Database) -> None:
    with (
        db.transaction(settings={"app.tenant": "1"}),
        pytest.raises(TransactionError, match="outermost"),
        db.transaction(settings={"app.tenant": "2"}),
    ):
        pytest.fail("was entered")

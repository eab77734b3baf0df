"""The fixtures for tests: what a test does is gone after it, and the blocks in it are savepoints."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, cast

import psycopg
import pytest
from psycopg.rows import TupleRow

import rowsmith
from rowsmith import Database
from rowsmith.errors import TransactionAbortedError, TransactionError
from rowsmith.testing.databases import fresh_database, settings_for
from rowsmith.testing.isolated_database import IsolatedDatabase
from tests.harness.databases import MIGRATIONS

pytestmark = pytest.mark.not_pooled("the fixtures connect to the server itself")

ADD = "INSERT INTO things VALUES (%s, %s)"


@pytest.fixture(scope="module")
def things(server_url: str) -> Any:
    """A database for tests, with a constraint that is checked at COMMIT."""
    with fresh_database(server_url, [MIGRATIONS]) as url:
        with psycopg.connect(url) as conn:
            conn.execute("""
                CREATE TABLE things (
                    id int PRIMARY KEY, part_of int REFERENCES things DEFERRABLE INITIALLY DEFERRED
                )
            """)
        yield IsolatedDatabase(settings_for(url))


def stored(database: Database) -> list[int]:
    """What is committed, seen from outside."""
    with psycopg.connect(database.settings.conninfo()) as conn:
        return [number for (number,) in conn.execute("SELECT id FROM things ORDER BY id").fetchall()]


def seen(conn: psycopg.Connection[TupleRow]) -> list[int]:
    return [number for (number,) in conn.execute("SELECT id FROM things ORDER BY id").fetchall()]


async def seen_by(conn: psycopg.AsyncConnection[TupleRow]) -> list[int]:
    cursor = await conn.execute("SELECT id FROM things ORDER BY id")
    return [number for (number,) in await cursor.fetchall()]


def in_a_thread(work: Callable[[], object]) -> None:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


def test_blocks_are_savepoints_of_a_transaction_that_is_rolled_back(things: IsolatedDatabase) -> None:
    def add(number: int) -> None:
        with things.transaction() as conn:
            conn.execute(ADD, [number, None])

    def fail(conn: psycopg.Connection[TupleRow]) -> None:
        conn.execute(ADD, [6, None])
        raise ZeroDivisionError

    with things.isolated() as conn:
        add(1)
        in_a_thread(lambda: add(2))
        things.run(lambda conn: conn.execute(ADD, [3, None]))
        with things.connection() as autocommit:
            autocommit.execute(ADD, [4, None])
        with things.transaction(), things.transaction() as inner:
            inner.execute(ADD, [5, None])
        assert seen(conn) == [1, 2, 3, 4, 5]
        with pytest.raises(psycopg.errors.UniqueViolation):
            add(1)
        with pytest.raises(ZeroDivisionError):
            things.run(fail)
        assert seen(conn) == [1, 2, 3, 4, 5]
        assert stored(things) == []
    assert stored(things) == []
    add(7)  # outside, a block is a transaction
    assert stored(things) == [7]
    with psycopg.connect(things.settings.conninfo()) as other:
        other.execute("TRUNCATE things")


def test_in_tasks(things: IsolatedDatabase) -> None:
    async def add(number: int) -> None:
        async with things.transaction() as conn:
            await conn.execute(ADD, [number, None])
            await asyncio.sleep(0)  # the others wait until the block has ended
            await conn.execute(ADD, [number + 10, None])

    async def body() -> None:
        async with things.aisolated() as conn:
            await asyncio.gather(*(add(number) for number in range(5)))
            assert await seen_by(conn) == [*range(5), *range(10, 15)]
            with pytest.raises(psycopg.errors.UniqueViolation):
                await add(1)
            async with things.connection() as autocommit:
                await autocommit.execute(ADD, [20, None])
            assert len(await seen_by(conn)) == 11
        assert stored(things) == []

    asyncio.run(body())


@pytest.mark.parametrize("world", ["threads", "tasks"])
def test_what_commit_would_refuse_is_refused(things: IsolatedDatabase, world: str) -> None:
    async def body() -> None:
        async with things.aisolated() as conn:
            for _ in range(2):  # the constraint stays deferred
                with pytest.raises(psycopg.errors.ForeignKeyViolation):
                    async with things.transaction() as inner:
                        await inner.execute(ADD, [1, 2])
                async with things.transaction() as inner:
                    await inner.execute(ADD, [1, 2])
                    await inner.execute(ADD, [2, None])
                await conn.execute("DELETE FROM things")

    if world == "tasks":
        asyncio.run(body())
        return
    with things.isolated() as conn:
        for _ in range(2):
            with pytest.raises(psycopg.errors.ForeignKeyViolation), things.transaction() as inner:
                inner.execute(ADD, [1, 2])
            with things.transaction() as inner:
                inner.execute(ADD, [1, 2])
                inner.execute(ADD, [2, None])
            conn.execute("DELETE FROM things")


def test_the_options_of_a_transaction(things: IsolatedDatabase) -> None:
    """Settings and READ ONLY end with the block; an isolation level has no effect."""

    def tenant(conn: psycopg.Connection[TupleRow]) -> object:
        return conn.execute("SELECT coalesce(current_setting('app.tenant', true), '')").fetchall()

    with things.isolated() as conn:
        with things.transaction(isolation="serializable", settings={"app.tenant": "42"}) as inner:
            assert tenant(inner) == [("42",)]
        assert tenant(conn) == [("",)]
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), things.transaction(read_only=True) as inner:
            inner.execute(ADD, [1, None])
        with things.transaction(read_only=True) as inner:
            inner.execute("SELECT 1")
        with things.transaction() as inner:
            inner.execute(ADD, [1, None])
            with pytest.raises(TransactionError, match="pass them to the outermost block"):
                things.transaction(read_only=True).__enter__()


def test_a_swallowed_error_is_one_here_as_well(things: IsolatedDatabase) -> None:
    def swallow(conn: psycopg.Connection[TupleRow]) -> None:
        conn.execute(ADD, [1, None])
        with pytest.raises(psycopg.errors.UniqueViolation):
            conn.execute(ADD, [1, None])

    with things.isolated() as conn:
        with pytest.raises(TransactionAbortedError):
            things.run(swallow)
        assert seen(conn) == []


def test_a_commit_by_hand_is_an_error_here_as_well(things: IsolatedDatabase) -> None:
    def commit(conn: psycopg.Connection[TupleRow]) -> None:
        conn.execute(ADD, [1, None])
        conn.execute("COMMIT")

    with things.isolated(), pytest.raises(TransactionError, match="ended inside its block"):
        things.run(commit)
    with psycopg.connect(things.settings.conninfo()) as other:
        other.execute("TRUNCATE things")


def test_blocks_that_wait_for_each_other(things: IsolatedDatabase) -> None:
    """A thread that waits, in a block, for another one's block would wait for ever."""
    with (
        IsolatedDatabase(things.settings.model_copy(update={"pool_timeout": 200})) as database,
        cast("IsolatedDatabase", database).isolated(),
        database.transaction(),
        pytest.raises(TransactionError, match=r"not free within 0\.2 s"),
    ):
        in_a_thread(lambda: database.transaction().__enter__())


def test_blocks_of_the_other_world(things: IsolatedDatabase) -> None:
    async def asynchronous() -> None:
        async with things.transaction():
            pass

    with things.isolated(), pytest.raises(TransactionError, match="cannot join the transaction of rowsmith_conn"):
        asyncio.run(asynchronous())

    async def body() -> None:
        async with things.aisolated():
            with pytest.raises(TransactionError, match="cannot join the transaction of rowsmith_aconn"):
                things.transaction().__enter__()
            with pytest.raises(TransactionError, match="belongs to the test's event loop"):
                await asyncio.to_thread(asyncio.run, asynchronous())

    asyncio.run(body())


# --- the fixtures themselves ---

USERS = "SELECT count(*) FROM users"
ADD_USER = "INSERT INTO users (email, name, password_hash) VALUES ('ada@example.com', 'Ada', 'x') RETURNING id"


@pytest.mark.parametrize("_round", range(2))
def test_a_connection_that_is_rolled_back(rowsmith_conn: psycopg.Connection[TupleRow], _round: int) -> None:
    assert rowsmith_conn.execute(USERS).fetchall() == [(0,)]
    with rowsmith.transaction() as conn:  # the default database
        conn.execute(ADD_USER)
    assert rowsmith_conn.execute(USERS).fetchall() == [(1,)]


@pytest.mark.parametrize("_round", range(2))
def test_a_database_that_is_cleared(rowsmith_db: Database, _round: int) -> None:
    with rowsmith.transaction() as conn:
        assert conn.execute(USERS).fetchall() == [(0,)]
        conn.execute(ADD_USER)
    with rowsmith_db.connection() as conn:
        assert conn.execute(USERS).fetchall() == [(1,)]


async def _adds_a_user(conn: psycopg.AsyncConnection[TupleRow]) -> None:
    assert await (await conn.execute(USERS)).fetchall() == [(0,)]
    async with rowsmith.transaction() as inner:
        await inner.execute(ADD_USER)
    assert await (await conn.execute(USERS)).fetchall() == [(1,)]


@pytest.mark.asyncio
@pytest.mark.parametrize("_round", range(2))
async def test_with_pytest_asyncio(rowsmith_aconn: psycopg.AsyncConnection[TupleRow], _round: int) -> None:
    await _adds_a_user(rowsmith_aconn)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("_round", range(2))
async def test_with_anyio(rowsmith_aconn: psycopg.AsyncConnection[TupleRow], _round: int) -> None:
    await _adds_a_user(rowsmith_aconn)

"""Faults that the server reports: conflicts, deadlocks, timeouts, constraints; and what `run()` makes of them."""

# ruff: noqa: PT012 - what raises is the end of a block, and a block is more than one statement

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from rowsmith import load_queries
from rowsmith.errors import ConnectionLostError, TransactionAbortedError
from tests.harness.drivers import MOST, Driver, Observer, both_worlds, insert, small, sql
from tests.slow.faults.table import record

LATE = 10.0


@pytest.fixture(autouse=True)
def accounts(observer: Observer) -> None:
    observer.do("CREATE TABLE accounts (id int PRIMARY KEY, balance int); INSERT INTO accounts VALUES (1, 10), (2, 10)")


@pytest.fixture
def here(driver: type[Driver], observer: Observer) -> Driver:
    return driver(small(observer.url))


def balances(observer: Observer) -> list[int]:
    return [balance for (balance,) in observer.do("SELECT balance FROM accounts ORDER BY id")]


# --- conflicts ---


@both_worlds
def test_serialization_failure_in_a_statement(here: Driver, observer: Observer) -> None:
    """Another changes the row between the snapshot and the UPDATE."""
    attempts: list[int] = []

    async def work(conn: Any) -> None:
        attempts.append(1)
        await sql(conn, "SELECT balance FROM accounts WHERE id = 1")
        if len(attempts) % 2 == 1:
            observer.do("UPDATE accounts SET balance = balance + 100 WHERE id = 1")
        await sql(conn, "UPDATE accounts SET balance = balance - 1 WHERE id = 1")

    async def body() -> None:
        with pytest.raises(psycopg.errors.SerializationFailure) as caught:
            async with here.transaction(isolation="repeatable read") as conn:
                await work(conn)
        assert balances(observer) == [110, 10]
        start = time.monotonic()
        attempts.clear()
        await here.run(work, isolation="repeatable read")
        assert len(attempts) == 2
        assert balances(observer) == [209, 10]
        await here.check_whole()
        record("serialization failure in a statement", caught.value, 0)
        record("serialization failure in a statement, `run()`", "nothing: it is retried", time.monotonic() - start)

    here.drive(body)


@both_worlds
def test_serialization_failure_at_commit(here: Driver, observer: Observer) -> None:
    """Write skew: each reads what the other writes, and the one that commits first wins."""
    attempts: list[int] = []

    async def work(conn: Any) -> None:
        attempts.append(1)
        await sql(conn, "SELECT sum(balance) FROM accounts")
        if len(attempts) % 2 == 1:
            with psycopg.connect(observer.url) as other:
                other.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
                other.execute("SELECT sum(balance) FROM accounts")
                other.execute("UPDATE accounts SET balance = balance + 100 WHERE id = 2")
                await sql(conn, "UPDATE accounts SET balance = balance - 1 WHERE id = 1")
                other.commit()
        else:
            await sql(conn, "UPDATE accounts SET balance = balance - 1 WHERE id = 1")
        ended.append(1)

    ended: list[int] = []

    async def body() -> None:
        with pytest.raises(psycopg.errors.SerializationFailure) as caught:
            async with here.transaction(isolation="serializable") as conn:
                await work(conn)
        assert ended == [1], "it was COMMIT that failed"
        assert balances(observer) == [10, 110]
        attempts.clear()
        start = time.monotonic()
        await here.run(work, isolation="serializable")
        assert len(attempts) == 2
        assert balances(observer) == [9, 210]
        await here.check_whole()
        record("serialization failure at COMMIT", caught.value, 0)
        record("serialization failure at COMMIT, `run()`", "nothing: it is retried", time.monotonic() - start)

    here.drive(body)


@both_worlds
def test_deadlock(here: Driver, observer: Observer) -> None:
    """Two take two rows in two orders. The server picks ours, which looks first."""
    attempts: list[int] = []
    change = "UPDATE accounts SET balance = balance + 1 WHERE id = %s"

    async def work(conn: Any) -> None:
        attempts.append(1)
        await sql(conn, "SET LOCAL deadlock_timeout = '50ms'")
        if len(attempts) % 2 == 0:
            await others[-1].result()  # it would be a second deadlock
            await sql(conn, change, 1)
            await sql(conn, change, 2)
            return
        await sql(conn, change, 1)
        other = here.start(lambda: _cross(here))
        await here.until(lambda: observer.waits_for(conn.info.backend_pid))
        try:
            await sql(conn, change, 2)
        finally:
            others.append(other)

    others: list[Any] = []

    async def body() -> None:
        with pytest.raises(psycopg.errors.DeadlockDetected) as caught:
            async with here.transaction() as conn:
                await work(conn)
        await others.pop().result()
        assert balances(observer) == [11, 11]
        attempts.clear()
        start = time.monotonic()
        await here.run(work)
        await others.pop().result()
        assert len(attempts) == 2
        assert balances(observer) == [13, 13]
        await here.check_whole()
        record("deadlock", caught.value, 0)
        record("deadlock, `run()`", "nothing: it is retried", time.monotonic() - start)

    here.drive(body)


async def _cross(here: Driver) -> None:
    """The other side of a deadlock, which is patient; as another client of the same pool."""
    async with here.transaction() as conn:
        await sql(conn, "SET LOCAL deadlock_timeout = '20s'")
        await sql(conn, "UPDATE accounts SET balance = balance + 1 WHERE id = 2")
        await sql(conn, "UPDATE accounts SET balance = balance + 1 WHERE id = 1")


# --- timeouts ---


@both_worlds
def test_statement_timeout(driver: type[Driver], observer: Observer) -> None:
    here = driver(small(observer.url, statement_timeout=200))

    async def body() -> None:
        start = time.monotonic()
        with pytest.raises(psycopg.errors.QueryCanceled, match="statement timeout") as caught:
            async with here.transaction() as conn:
                await insert(conn, 1)
                await sql(conn, "SELECT pg_sleep(20)")
        assert time.monotonic() - start < LATE
        assert observer.stored() == []
        back = time.monotonic()
        await here.backend()
        record("statement timeout", caught.value, time.monotonic() - back)
        await here.check_whole()

    here.drive(body)


@both_worlds
def test_a_commit_may_take_longer_than_waiting_for_a_connection(driver: type[Driver], observer: Observer) -> None:
    """Constraints of a large transaction are checked at COMMIT. Only a deadline limits that, and none is set here.

    (Nor does statement_timeout: PostgreSQL stops that clock before it commits.)
    """
    observer.do("""
        CREATE OR REPLACE FUNCTION sleep_at_commit() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_sleep(1.2); RETURN NULL; END $$
    """)
    here = driver(small(observer.url, pool_timeout=400, statement_timeout=300))

    async def body() -> None:
        async with here.transaction() as conn:
            await insert(conn, 1)
            await sql(conn, "INSERT INTO slow_at_commit VALUES (1)")
        assert observer.stored() == [1]
        await here.check_whole()

    here.drive(body)


@both_worlds
def test_lock_timeout(driver: type[Driver], observer: Observer) -> None:
    here = driver(small(observer.url, lock_timeout=200))

    async def body() -> None:
        with psycopg.connect(observer.url) as other:
            other.execute("UPDATE accounts SET balance = 0 WHERE id = 1")
            start = time.monotonic()
            with pytest.raises(psycopg.errors.LockNotAvailable, match="lock timeout") as caught:
                async with here.transaction() as conn:
                    await insert(conn, 1)
                    await sql(conn, "UPDATE accounts SET balance = 1 WHERE id = 1")
            assert time.monotonic() - start < LATE
            other.rollback()
        assert observer.stored() == []
        back = time.monotonic()
        await here.backend()
        record("lock timeout", caught.value, time.monotonic() - back)
        await here.check_whole()

    here.drive(body)


@both_worlds
@pytest.mark.parametrize("then", ["statement", "commit"])
def test_idle_in_transaction_timeout(driver: type[Driver], observer: Observer, then: str) -> None:
    """The server has ended the session: at the next statement, or at the end of the block, that is an error."""
    here = driver(small(observer.url, idle_in_transaction_timeout=200))

    async def body() -> None:
        with pytest.raises(psycopg.Error) as caught:
            async with here.transaction() as conn:
                await insert(conn, 1)
                session = conn.info.backend_pid
                await here.until(lambda: not observer.do("SELECT 1 FROM pg_stat_activity WHERE pid = %s", session))
                if then == "statement":
                    await insert(conn, 2)
        assert isinstance(caught.value, ConnectionLostError) or caught.value.sqlstate == "25P03"
        assert observer.stored() == []
        back = time.monotonic()
        recovery = await here.recovered() - back
        assert recovery < LATE
        record(f"idle timeout, at the next {then}", caught.value, recovery)
        await here.check_whole()

    here.drive(body)


@both_worlds
def test_timeouts_cost_no_round_trip_and_hold_in_every_session(driver: type[Driver], observer: Observer) -> None:
    values = {"statement_timeout": 5001, "lock_timeout": 4001, "idle_in_transaction_timeout": 6001}
    here = driver(small(observer.url, **values))

    async def body() -> None:
        for _ in range(2):
            async with here.connection() as conn:
                rows = await sql(
                    conn,
                    "SELECT name, setting, source FROM pg_settings WHERE name IN ('statement_timeout', 'lock_timeout', "
                    "'idle_in_transaction_session_timeout') ORDER BY name",
                )
            assert rows == [
                ("idle_in_transaction_session_timeout", "6001", "client"),
                ("lock_timeout", "4001", "client"),
                ("statement_timeout", "5001", "client"),
            ]

    here.drive(body)


# --- constraints and definitions ---


@both_worlds
def test_deferred_constraint_at_commit(here: Driver, observer: Observer) -> None:
    """It is an error of the block's end, and of the data: not retried."""
    attempts: list[int] = []

    async def work(conn: Any) -> None:
        attempts.append(1)
        await insert(conn, 1)
        await sql(conn, "INSERT INTO unique_at_commit VALUES (1), (1)")

    async def body() -> None:
        with pytest.raises(psycopg.errors.UniqueViolation) as caught:
            async with here.transaction() as conn:
                await work(conn)
        attempts.clear()
        with pytest.raises(psycopg.errors.UniqueViolation):
            await here.run(work)
        assert attempts == [1]
        assert observer.stored() == []
        assert observer.stored("unique_at_commit") == []
        await here.check_whole()
        record("deferred constraint at COMMIT", caught.value, 0)

    here.drive(body)


@both_worlds
@pytest.mark.parametrize("change", ["ADD COLUMN note text", "ALTER COLUMN n TYPE bigint", "DROP COLUMN extra"])
def test_ddl_under_a_prepared_statement(here: Driver, observer: Observer, tmp_path: Path, change: str) -> None:
    """Outside a transaction the statement is prepared anew, and nobody sees it."""
    observer.do("ALTER TABLE items ADD COLUMN extra int; INSERT INTO items VALUES (1, 2)")
    (tmp_path / "queries.sql").write_text("-- name: everything()\nSELECT * FROM items;\n")
    queries = load_queries(tmp_path)

    async def call(conn: Any) -> list[Any]:
        result = queries.everything(conn)
        rows: list[Any] = await result if hasattr(result, "__await__") else result
        return list(rows)

    async def body() -> None:
        for _ in range(7):
            async with here.connection() as conn:
                assert len(await call(conn)) == 1
        observer.do(f"ALTER TABLE items {change}")
        start = time.monotonic()
        async with here.connection() as conn:
            after = await call(conn)
        assert len(after) == 1
        assert len(await here.run(call)) == 1
        record("DDL under a prepared statement", "nothing: it is prepared again", time.monotonic() - start)
        await here.check_whole()

    here.drive(body)


@both_worlds
def test_ddl_under_a_prepared_statement_in_a_transaction(
    driver: type[Driver], observer: Observer, tmp_path: Path
) -> None:
    """0A000 aborts the transaction. The next one on the connection is in order."""
    here = driver(small(observer.url, max_connections=1))
    observer.do("INSERT INTO items VALUES (1)")
    (tmp_path / "queries.sql").write_text("-- name: everything()\nSELECT * FROM items;\n")
    queries = load_queries(tmp_path)

    async def call(conn: Any) -> int:
        await sql(conn, "SELECT 1")
        result = queries.everything(conn)
        return len(list(await result if hasattr(result, "__await__") else result))

    async def body() -> None:
        async with here.transaction() as conn:
            assert await call(conn) == 1
        observer.do("ALTER TABLE items ADD COLUMN note text")
        outcome: BaseException | None = None
        try:
            async with here.transaction() as conn:
                assert await call(conn) == 1
        except psycopg.errors.FeatureNotSupported as error:
            outcome = error
        async with here.transaction() as conn:
            assert await call(conn) == 1
        record("DDL under a prepared statement, in a transaction", outcome or "nothing", 0)
        observer.do("ALTER TABLE items DROP COLUMN note")
        start = time.monotonic()
        assert await here.run(call) == 1
        took = time.monotonic() - start
        record("DDL under a prepared statement, `run()`", "nothing: it is retried", took)

    here.drive(body)


# --- run() ---


@both_worlds
def test_run_gives_what_the_work_gives(here: Driver, observer: Observer) -> None:
    async def work(conn: Any) -> str:
        await insert(conn, 1)
        return "done"

    async def body() -> None:
        assert await here.run(work) == "done"
        assert observer.stored() == [1]

    here.drive(body)


@both_worlds
def test_run_gives_up_after_its_attempts(here: Driver, observer: Observer) -> None:
    attempts: list[int] = []

    async def work(conn: Any) -> None:
        attempts.append(1)
        await insert(conn, 1)
        await sql(conn, "DO $$ BEGIN RAISE EXCEPTION 'conflict' USING ERRCODE = '40001'; END $$")

    async def body() -> None:
        with pytest.raises(psycopg.errors.SerializationFailure):
            await here.run(work, attempts=3)
        assert len(attempts) == 3
        with pytest.raises(psycopg.errors.SerializationFailure):
            await here.run(work, attempts=1)
        assert len(attempts) == 4
        assert observer.stored() == []
        await here.check_whole()

    here.drive(body)


@both_worlds
def test_run_gives_up_when_its_time_is_over(here: Driver, observer: Observer) -> None:
    """The error is that of the last attempt, or of the deadline; never both silent and late."""

    async def work(conn: Any) -> None:
        await insert(conn, 1)
        await sql(conn, "DO $$ BEGIN RAISE EXCEPTION 'conflict' USING ERRCODE = '40001'; END $$")

    async def body() -> None:
        start = time.monotonic()
        with pytest.raises((psycopg.errors.SerializationFailure, TimeoutError)):
            await here.run(work, attempts=1000, timeout=0.7)
        assert time.monotonic() - start < 0.7 + LATE
        assert observer.stored() == []
        start = time.monotonic()
        with pytest.raises((psycopg.OperationalError, TimeoutError)):
            await here.run(lambda conn: sql(conn, "SELECT pg_sleep(20)"), timeout=0.5)
        assert time.monotonic() - start < 0.5 + LATE
        await here.until(lambda: observer.runs("pg_sleep") == 0)
        await here.check_whole()

    here.drive(body, 15)


@both_worlds
@pytest.mark.parametrize("error", [ValueError("no"), psycopg.errors.UniqueViolation("no"), KeyboardInterrupt()])
def test_run_retries_nothing_else(here: Driver, observer: Observer, error: BaseException) -> None:
    attempts: list[int] = []

    async def work(conn: Any) -> None:
        attempts.append(1)
        await insert(conn, 1)
        raise error

    async def body() -> None:
        with pytest.raises(type(error)) as caught:
            await here.run(work)
        assert caught.value is error
        assert attempts == [1]
        assert observer.stored() == []
        await here.check_whole()

    here.drive(body)


@both_worlds
def test_run_inside_a_transaction_is_a_savepoint(here: Driver, observer: Observer) -> None:
    """What fails inside is retried as a whole by the outer run(), never by the inner one."""
    outer: list[int] = []
    inner: list[int] = []

    async def inside(conn: Any) -> None:
        inner.append(1)
        await insert(conn, 2)
        if len(inner) == 1:
            await sql(conn, "DO $$ BEGIN RAISE EXCEPTION 'conflict' USING ERRCODE = '40001'; END $$")

    async def work(conn: Any) -> None:
        outer.append(1)
        await insert(conn, 1)
        await here.run(inside)

    async def body() -> None:
        await here.run(work)
        assert (len(outer), len(inner)) == (2, 2)
        assert observer.stored() == [1, 2]
        with pytest.raises(ZeroDivisionError):
            async with here.transaction() as conn:
                await insert(conn, 3)
                await here.run(inside)
                raise ZeroDivisionError
        assert observer.stored() == [1, 2]
        await here.check_whole()

    here.drive(body)


@both_worlds
def test_run_is_no_cover_for_a_swallowed_error(here: Driver, observer: Observer) -> None:
    attempts: list[int] = []

    async def work(conn: Any) -> None:
        attempts.append(1)
        await insert(conn, 1)
        with pytest.raises(psycopg.errors.DivisionByZero):
            await sql(conn, "SELECT 1/0")

    async def body() -> None:
        with pytest.raises(TransactionAbortedError):
            await here.run(work)
        assert attempts == [1]
        assert observer.stored() == []

    here.drive(body)


@both_worlds
def test_many_who_conflict_all_get_through(driver: type[Driver], observer: Observer) -> None:
    """Serializable increments of one row by all at once: each is done, exactly once."""
    here = driver(small(observer.url, pool_timeout=20_000))

    async def work(conn: Any) -> None:
        ((balance,),) = await sql(conn, "SELECT balance FROM accounts WHERE id = 1")
        await sql(conn, "UPDATE accounts SET balance = %s WHERE id = 1", balance + 1)

    async def one() -> None:
        for _ in range(5):
            await here.run(work, isolation="serializable", attempts=100)

    async def body() -> None:
        callers = [here.start(one) for _ in range(2 * MOST)]
        for caller in callers:
            await caller.result()
        assert balances(observer) == [10 + 10 * MOST, 10]
        await here.check_whole()

    here.drive(body)

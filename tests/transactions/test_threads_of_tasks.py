"""Blocks in a thread that a task waits for while it has a transaction open: refused before anything waits."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio.to_thread
import pytest
from starlette.concurrency import run_in_threadpool

from rowsmith import Database
from rowsmith.errors import TransactionError
from tests.harness.drivers import Observer, insert, small
from tests.harness.waiting import PATIENCE, bounded

Work = Callable[[], None]
InThread = Callable[[Work], Awaitable[Any]]

LOCK = "LOCK TABLE items IN ACCESS EXCLUSIVE MODE"
"""After it, whatever uses the table waits for the end of the transaction."""


async def in_a_copied_context(work: Work) -> None:
    context = contextvars.copy_context()
    await asyncio.get_running_loop().run_in_executor(None, context.run, work)


async def in_a_deeper_call(work: Work) -> None:
    async def inner() -> None:
        await asyncio.to_thread(work)

    async with asyncio.timeout(PATIENCE):
        await inner()


async def in_a_task(work: Work) -> None:
    await asyncio.create_task(asyncio.to_thread(work))


async def in_a_task_of_anyio(work: Work) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.to_thread.run_sync, work)


async def beside_a_thread_that_is_waited_for(work: Work) -> None:
    beside = asyncio.create_task(asyncio.to_thread(work))
    await asyncio.to_thread(lambda: None)
    await beside


def everywhere(*ways: InThread) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("in_thread", ways, ids=lambda way: f"{way.__module__}.{way.__name__}")


WAYS = (asyncio.to_thread, anyio.to_thread.run_sync, run_in_threadpool, in_a_copied_context, in_a_deeper_call)
"""Those in which the task waits for the thread."""


@pytest.fixture
def db(observer: Observer) -> Database:
    return small(observer.url)


def play(db: Database, body: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with db:
            await body()

    bounded(lambda: asyncio.run(main()))


@everywhere(*WAYS)
@pytest.mark.parametrize("how", ["transaction", "run", "advisory_lock"])
def test_a_block_in_a_thread_that_the_task_waits_for_is_refused(
    db: Database, observer: Observer, in_thread: InThread, how: str
) -> None:
    def work() -> None:
        if how == "run":
            db.run(lambda conn: conn.execute("INSERT INTO items VALUES (2)"))
        else:
            block: Any = db.transaction() if how == "transaction" else db.advisory_lock("name", scope="transaction")
            with block:
                pytest.fail("it was opened")

    async def body() -> None:
        async with db.transaction() as conn:
            await insert(conn, 1)
            await conn.execute(LOCK)
            with pytest.raises(TransactionError) as raised:
                await in_thread(work)
            place = "test_threads_of_tasks.py:"
            assert str(raised.value).startswith("the block in work, ")
            assert place in str(raised.value)
            assert "runs in a thread, and the task that waits for this thread has a transaction" in str(raised.value)
        assert db.statistics()["connections_in_use"] == 0

    play(db, body)
    assert observer.stored() == [1]


@everywhere(*WAYS)
def test_a_block_held_by_a_context_manager_is_noticed_too(db: Database, in_thread: InThread) -> None:
    @asynccontextmanager
    async def unit_of_work() -> AsyncGenerator[None]:
        async with db.transaction():
            yield

    def work() -> None:
        with db.transaction():
            pytest.fail("it was opened")

    async def body() -> None:
        async with unit_of_work():
            with pytest.raises(TransactionError, match=r"in work, .*(waits for this thread|for the same request)"):
                await in_thread(work)

    play(db, body)


def test_a_block_that_was_opened_in_another_thread_for_the_task_is_noticed_too(db: Database) -> None:
    """As by a synchronous dependency of FastAPI, which is entered in a thread, in a context that is gone."""

    @contextmanager
    def dependency() -> Generator[None]:
        with db.transaction():
            yield

    def work() -> None:
        with db.transaction():
            pytest.fail("it was opened")

    async def body() -> None:
        held = dependency()
        await anyio.to_thread.run_sync(held.__enter__)
        try:
            with pytest.raises(TransactionError, match=r"in work, .* would be a second connection .* dependency, "):
                await asyncio.to_thread(work)
        finally:
            await anyio.to_thread.run_sync(held.__exit__, None, None, None)

    play(db, body)


@everywhere(in_a_task, in_a_task_of_anyio, beside_a_thread_that_is_waited_for)
def test_work_in_a_task_of_its_own_has_a_transaction_of_its_own(
    db: Database, observer: Observer, in_thread: InThread
) -> None:
    def work() -> None:
        with db.transaction() as conn:
            conn.execute("INSERT INTO items VALUES (2)")

    async def rolled_back() -> None:
        async with db.transaction() as conn:
            await insert(conn, 1)
            await in_thread(work)
            raise ValueError("rolled back")

    with pytest.raises(ValueError, match="rolled back"):
        play(db, rolled_back)
    assert observer.stored() == [2]


@everywhere(*WAYS)
def test_what_is_no_block_of_the_same_database_is_not_refused(
    db: Database, observer: Observer, in_thread: InThread
) -> None:
    other = small(observer.url)

    def beside() -> None:
        with db.connection() as conn:
            conn.execute("INSERT INTO items VALUES (2)")
        with other, other.transaction() as conn:
            conn.execute("INSERT INTO items VALUES (3)")

    def afterwards() -> None:
        with db.transaction() as conn:
            conn.execute("INSERT INTO items VALUES (4)")

    async def body() -> None:
        async with db.transaction() as conn:
            await insert(conn, 1)
            await in_thread(beside)
        await in_thread(afterwards)

    play(db, body)
    assert sorted(observer.stored()) == [1, 2, 3, 4]


def test_the_thread_may_be_faster_than_the_task(observer: Observer) -> None:
    """A new thread often runs before the task that has started it has begun to wait."""

    def once() -> None:
        db = small(observer.url)

        def work() -> None:
            with db.transaction():
                pytest.fail("it was opened")

        async def body() -> None:
            async with db.transaction():
                for _ in range(50):
                    with pytest.raises(TransactionError, match="runs in a thread"):
                        await asyncio.to_thread(work)

        play(db, body)

    for _ in range(10):  # each with an executor that has no threads yet
        once()

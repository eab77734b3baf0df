"""Blocks that do not end, and blocks that an exception interrupts at a bad moment."""

from __future__ import annotations

import gc
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any
from weakref import ReferenceType, ref

import pytest
from psycopg.pq import TransactionStatus

from rowsmith import Database, load_queries
from rowsmith.errors import PoolTimeoutError, TransactionError
from rowsmith.pool.checkouts import Checkouts
from rowsmith.pool.connection_sync import PooledConnection
from rowsmith.transactions.current import OpenTransaction
from tests.harness.drivers import Driver, Observer, both_worlds, insert, small
from tests.harness.interruptions import interrupted_at, stepping
from tests.harness.waiting import wait_until

SQL = """
-- name: add(n)!
INSERT INTO items VALUES (:n);

-- name: look()$
SELECT count(*) FROM items;
"""
PACKAGES = ("rowsmith", "psycopg", "psycopg_pool")


# --- values from outside ---


@both_worlds
@pytest.mark.parametrize("value", ["\ud800", "a\0b"])
def test_a_setting_that_cannot_be_sent_takes_no_connection(
    driver: type[Driver], observer: Observer, value: str
) -> None:
    here = driver(small(observer.url))

    async def body() -> None:
        for _ in range(10):
            with pytest.raises(ValueError, match=r"app\.tenant"):
                async with here.transaction(settings={"app.tenant": value}):
                    pytest.fail("the block was entered")
        await here.check_whole()

    here.drive(body)


# --- blocks that nobody ends ---


@both_worlds
def test_no_block_joins_one_that_was_abandoned(
    driver: type[Driver], observer: Observer, caplog: pytest.LogCaptureFixture
) -> None:
    here = driver(small(observer.url, max_connections=1))

    async def body() -> None:
        block = here.transaction()
        conn = await block.__aenter__()
        await insert(conn, 1)
        with caplog.at_level(logging.WARNING, "rowsmith"):
            del block, conn
            async with here.transaction() as other:  # of the only connection
                await insert(other, 2)
        assert observer.stored() == [2]
        assert "a transaction block was abandoned" in caplog.text

    here.drive(body)


def test_a_wait_that_ended_in_vain_keeps_no_frames(observer: Observer) -> None:
    """They would keep what called for a connection: a block that is abandoned later, say."""

    def fail(db: Database) -> ReferenceType[object]:
        thing = Observed()
        with pytest.raises(PoolTimeoutError), db.connection():
            pytest.fail("the only connection was in use")
        return ref(thing)

    with small(observer.url, max_connections=1, pool_timeout=50) as db, db.connection():
        gc.collect()
        gc.disable()
        try:
            with ThreadPoolExecutor() as threads:
                thing = threads.submit(fail, db).result()
            assert thing() is None
        finally:
            gc.enable()


class Observed:
    """Something that a frame refers to."""


@both_worlds
def test_a_block_that_is_not_kept_closes_its_connection(driver: type[Driver], observer: Observer) -> None:
    """`conn = db.transaction().__enter__()`: the block is gone at once, and its transaction with it."""
    here = driver(small(observer.url))

    async def body() -> None:
        conn = await here.transaction().__aenter__()
        await here.until(lambda: conn.closed)
        async with here.transaction() as other:
            assert other is not conn
            await insert(other, 1)
        assert observer.stored() == [1]
        await here.check_whole()

    here.drive(body)


async def abandon_a_savepoint(here: Driver) -> None:
    async with here.transaction() as conn:
        await insert(conn, 1)
        inner = here.transaction()
        await inner.__aenter__()
        del inner
        await insert(conn, 2)


@both_worlds
def test_a_savepoint_that_was_abandoned_dooms_its_transaction(driver: type[Driver], observer: Observer) -> None:
    here = driver(small(observer.url))

    async def body() -> None:
        with pytest.raises(TransactionError, match="ended before a block inside it"):
            await abandon_a_savepoint(here)
        assert observer.stored() == []
        await here.check_whole()

    here.drive(body)


@both_worlds
@pytest.mark.parametrize("step", [(OpenTransaction, "enter_block"), (Checkouts, "add")])
def test_a_connection_whose_block_cannot_begin_is_given_back(
    driver: type[Driver], observer: Observer, monkeypatch: pytest.MonkeyPatch, step: tuple[type[Any], str]
) -> None:
    """Also while somebody keeps the exception, and with it the frames that refer to the connection."""
    here = driver(small(observer.url, max_connections=1))

    def interrupt(*_: object) -> None:
        raise InjectedError

    async def body() -> None:
        original = getattr(*step)
        monkeypatch.setattr(*step, interrupt)
        with pytest.raises(InjectedError) as caught:
            async with here.transaction():
                pytest.fail("the block was entered")
        monkeypatch.setattr(*step, original)
        async with here.transaction() as conn:
            await insert(conn, 1)
        assert observer.stored() == [1]
        assert caught.value.__traceback__ is not None

    here.drive(body)


@both_worlds
def test_a_lost_connection_is_replaced(driver: type[Driver], observer: Observer) -> None:
    here = driver(small(observer.url, max_connections=1))

    async def body() -> None:
        for _ in range(3):
            block = here.connection()
            conn = await block.__aenter__()
            del block, conn
        async with here.connection() as conn:
            await insert(conn, 1)
        assert observer.stored() == [1]
        await here.until(lambda: observer.sessions() == 1)

    here.drive(body)


def test_a_block_that_is_given_up_late_leaves_the_next_holder_alone(observer: Observer) -> None:
    """An exception came after its connection was released: it is somebody else's."""
    with small(observer.url, max_connections=1) as db:
        pool = db._pool  # pyright: ignore[reportPrivateUsage]
        with db.transaction() as conn:
            assert isinstance(conn, PooledConnection)
            use = conn.uses
        with db.transaction() as other:
            assert other is conn
            pool.reclaim(conn, use)
            other.execute("INSERT INTO items VALUES (1)")
            assert db.statistics()["connections_in_use"] == 1
    assert observer.stored() == [1]


# --- exceptions at a bad moment ---


class InjectedError(Exception):
    """What a signal's handler raises, such as the soft time limit of a job."""


class Interrupted:
    """Blocks in this thread that are interrupted, and what is stored in the end."""

    def __init__(self, observer: Observer, queries: Any) -> None:
        self.observer = observer
        self.queries = queries
        self.db: Database = small(observer.url, max_connections=2)
        self.number = 0

    def insert(self) -> None:
        """Store the number, in a transaction with a savepoint."""
        with self.db.transaction() as conn:
            conn.execute("INSERT INTO items VALUES (%s)", [self.number])
            with self.db.transaction():
                conn.execute("SELECT 1")

    def query(self) -> None:
        """Store the number by a query, whose statement is sent in one pipeline with BEGIN."""
        with self.db.transaction() as conn:
            self.queries.add(conn, n=self.number)
            self.queries.look(conn)

    def lease(self) -> None:
        with self.db.connection() as conn:
            conn.execute("SELECT 1")

    def lock(self) -> None:
        with self.db.advisory_lock("a"):
            pass

    def guard(self) -> None:
        """Store the number, in the transaction of a lock."""
        with self.db.advisory_lock("a", scope="transaction"), self.db.transaction() as conn:
            conn.execute("INSERT INTO items VALUES (%s)", [self.number])

    def run(self) -> None:
        self.db.run(lambda conn: conn.execute("SELECT 1"))

    def store(self) -> None:
        """A new block stores what it is told to."""
        self.number += 1
        with self.db.transaction() as conn:
            conn.execute("INSERT INTO items VALUES (%s)", [self.number])
        assert self.observer.stored().count(self.number) == 1
        self.number += 1

    def check(self) -> None:
        """Every connection can be acquired, a new block stores what it is told to, and nothing was stored twice."""
        self.number += 1
        with self.db.transaction() as one:
            one.execute("INSERT INTO items VALUES (%s)", [self.number])
            with self.db.connection() as other:
                assert other.info.transaction_status is TransactionStatus.IDLE
        assert self.observer.stored().count(self.number) == 1
        self.number += 1


def drop(_: object) -> None:
    """Forget an exception that Python has dropped."""


@pytest.fixture
def interrupted(observer: Observer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Interrupted]:
    """Nothing is logged meanwhile: interrupted there, a handler of Python's logging may stay locked for ever.

    Python drops an exception that comes in a finalizer. pytest would keep it, and with it frames and connections.
    """
    logging.disable()
    monkeypatch.setattr(sys, "unraisablehook", drop)
    (tmp_path / "items.sql").write_text(SQL)
    made = Interrupted(observer, load_queries(tmp_path))
    with made.db:
        yield made
        wait_until(lambda: made.db.statistics()["connections_in_use"] == 0)
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("error", [KeyboardInterrupt, InjectedError])
@pytest.mark.parametrize(
    "work", [Interrupted.insert, Interrupted.query, Interrupted.lease, Interrupted.lock, Interrupted.run]
)
def test_an_exception_at_any_step_loses_nothing(
    interrupted: Interrupted, work: Callable[[Interrupted], None], error: type[BaseException]
) -> None:
    interrupted.check()
    number, reached = 0, True
    while reached:
        number += 1
        reached = interrupted_at(number, lambda: work(interrupted), packages=PACKAGES, error=error)
        stored = interrupted.observer.stored()
        assert len(stored) == len(set(stored))
        interrupted.check()
    assert number > 50


@pytest.mark.parametrize("work", [Interrupted.insert, Interrupted.run])
def test_a_block_in_the_handler_of_an_interruption_is_one_of_its_own(
    interrupted: Interrupted, work: Callable[[Interrupted], None]
) -> None:
    """The exception is alive there, and with it the frames of what it has interrupted."""
    interrupted.check()
    number, reached = 0, True
    while reached:
        number += 1
        with stepping(number, packages=PACKAGES, error=InjectedError) as step:
            try:
                work(interrupted)
            except InjectedError:
                interrupted.store()
        reached = step.reached
        interrupted.check()


@pytest.mark.parametrize("work", [Interrupted.insert, Interrupted.query, Interrupted.run, Interrupted.guard])
def test_no_block_joins_one_whose_interruption_is_kept(
    interrupted: Interrupted, work: Callable[[Interrupted], None]
) -> None:
    """As by a reference cycle: the exception refers to the frames of what it has interrupted."""
    interrupted.check()
    number, reached = 0, True
    while reached:
        number += 1
        kept: Exception | None = None
        with stepping(number, packages=PACKAGES, error=InjectedError) as step:
            try:
                work(interrupted)
            except InjectedError as error:
                kept = error
        reached = step.reached
        interrupted.store()
        del kept
        interrupted.check()


@pytest.mark.parametrize("error", [KeyboardInterrupt, InjectedError])
def test_a_signal_at_any_moment_loses_nothing(interrupted: Interrupted, error: type[BaseException]) -> None:
    came = threading.Event()

    def interrupt(*_: object) -> None:
        came.set()
        raise error

    chance = Random(1)  # noqa: S311 - for variety alone
    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(300):
            try:
                came.clear()
                signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.00001, 0.004))
                while not came.is_set():
                    interrupted.insert()
                    interrupted.number += 1
            except error:
                pass
            interrupted.check()
    finally:
        signal.signal(signal.SIGALRM, previous)
    stored = interrupted.observer.stored()
    assert len(stored) == len(set(stored))

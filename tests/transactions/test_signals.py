"""Blocks interrupted by a real signal, whose handler raises or cancels a task: none is lost, and no connection.

`make signals` interrupts 10,000 in threads and in tasks, `ROWSMITH_SIGNALS` says how many; `make test` a few.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

import pytest

from rowsmith import Database, load_queries
from tests.harness.drivers import AnyConnection, Observer, Tasks, insert, small
from tests.harness.examples import examples
from tests.harness.waiting import SOON, until, wait_until

COUNT = int(os.environ.get("ROWSMITH_SIGNALS") or examples(500))
MOST = 3
_LONGEST_SECONDS = 0.003
"""A block takes about as long."""


class SoftLimitError(Exception):
    """What the soft time limit of a job raises."""


class Alarm:
    """A timer's signal, whose handler does something once, at a random moment."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act
        self._chance = Random(1)  # noqa: S311 - for variety alone
        self.came = threading.Event()

    def __call__(self, *_: object) -> None:
        self.came.set()
        self._act()

    def set(self) -> None:
        self.came.clear()
        signal.setitimer(signal.ITIMER_REAL, self._chance.uniform(0.00001, _LONGEST_SECONDS))


@contextmanager
def alarm(act: Callable[[], None]) -> Generator[Alarm]:
    made = Alarm(act)
    previous = signal.signal(signal.SIGALRM, made)
    try:
        yield made
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


class Books:
    """What the blocks have said, to be compared with what is stored."""

    def __init__(self) -> None:
        self.number = 0
        self.done: set[int] = set()
        """The numbers of blocks that have ended without an error."""

    def check(self, observer: Observer, interrupted: int) -> None:
        stored = observer.stored()
        assert len(stored) == len(set(stored)), "stored twice"
        lost = self.done - set(stored)
        assert not lost, f"{len(lost)} of {len(self.done)} blocks are lost, after {interrupted} interruptions"


def drop(_: object) -> None:
    """Forget an exception that Python has dropped, with the frames that it keeps."""


@pytest.fixture(autouse=True)
def silence(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Interrupted in logging, a handler of Python's may stay locked for ever."""
    monkeypatch.setattr(sys, "unraisablehook", drop)
    logging.disable()
    gc.freeze()
    yield
    gc.unfreeze()
    logging.disable(logging.NOTSET)


def store(db: Database, books: Books) -> None:
    books.number += 1
    number = books.number
    with db.transaction() as conn:
        conn.execute("INSERT INTO items VALUES (%s)", [number])
        with db.transaction():
            conn.execute("SELECT 1")
    books.done.add(number)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SoftLimitError])
def test_blocks_of_a_thread(observer: Observer, error: type[BaseException]) -> None:
    books, interrupted = Books(), 0

    def act() -> None:
        raise error

    with small(observer.url, max_connections=MOST) as db, alarm(act) as timer:
        while interrupted < COUNT // 2:
            try:
                timer.set()
                while not timer.came.is_set():
                    store(db, books)
            except error:
                with suppress(error):  # the handler of an interruption stores something, too
                    store(db, books)
            interrupted += 1
            store(db, books)
        books.check(observer, interrupted)
        check_whole(db)


def check_whole(db: Database) -> None:
    gc.collect()
    wait_until(lambda: db.statistics()["connections_in_use"] == 0)
    blocks = [db.connection() for _ in range(MOST)]
    pids = {block.__enter__().info.backend_pid for block in blocks}
    for block in blocks:
        block.__exit__(None, None, None)
    assert len(pids) == MOST


async def astore(here: Tasks, books: Books) -> None:
    books.number += 1
    number = books.number
    async with here.transaction() as conn:
        await insert(conn, number)
        async with here.transaction():
            await conn_of(conn).execute("SELECT 1")
    books.done.add(number)


def conn_of(conn: AnyConnection) -> Any:
    return conn


async def acheck_whole(here: Tasks) -> None:
    gc.collect()  # a task and its exception refer to each other
    await until(lambda: here.db.statistics()["connections_in_use"] == 0)
    blocks = [here.connection() for _ in range(MOST)]
    pids = {(await block.__aenter__()).info.backend_pid for block in blocks}
    for block in blocks:
        await block.__aexit__(None, None, None)
    assert len(pids) == MOST


def test_tasks_that_are_cancelled_at_any_moment(observer: Observer) -> None:
    """The handler of the signal cancels the task, as asyncio does on the first Ctrl-C."""
    books, interrupted = Books(), 0
    here = Tasks(small(observer.url, max_connections=MOST), observer)
    tasks: list[asyncio.Task[None]] = []

    async def work(timer: Alarm) -> None:
        while not timer.came.is_set():
            await astore(here, books)

    async def main(timer: Alarm) -> None:
        nonlocal interrupted
        async with here.db:
            while interrupted < COUNT:
                tasks[:] = [asyncio.create_task(work(timer))]
                timer.set()
                with suppress(asyncio.CancelledError):
                    await asyncio.wait_for(asyncio.shield(tasks[0]), SOON)
                interrupted += 1
                await astore(here, books)
            books.check(observer, interrupted)
            await acheck_whole(here)

    with alarm(lambda: void(tasks[0].cancel())) as timer:
        asyncio.run(main(timer))


class Stop(BaseException):
    """What the handler of a signal raises in a task. An `except Exception` does not swallow it."""


class Strike:
    """What a handler does: raise an exception, in a step of a task."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None

    def __call__(self) -> None:
        if self.task is None:
            return
        if asyncio.current_task(self.task.get_loop()) is not self.task or is_spared(sys._getframe(1)):  # pyright: ignore[reportPrivateUsage]
            signal.setitimer(signal.ITIMER_REAL, 0.00002)
        else:
            self.task = None
            raise Stop


SPARED = ("weakref.py", "selectors.py", "selector_events.py")


def is_spared(frame: FrameType | None) -> bool:
    """Whether Python would drop an exception, or asyncio's selector and the kernel would disagree for ever."""
    while frame is not None:
        if frame.f_code.co_name in ("__del__", "left") or frame.f_code.co_filename.endswith(SPARED):
            return True
        frame = frame.f_back
    return False


def test_tasks_in_which_a_handler_raises(observer: Observer, tmp_path: Path) -> None:
    """Also while asyncio's own code, except its selector, is at work for them. Nothing hangs, and no block is lost.

    Each program has a pool of its own: now and then CPython 3.11 keeps such an exception for ever, though nothing
    refers to it, and with it the connection.
    """
    (tmp_path / "items.sql").write_text("-- name: add(n)!\nINSERT INTO items VALUES (:n);\n")
    queries: Any = load_queries(tmp_path)
    books, strike, interrupted = Books(), Strike(), 0

    async def once(here: Tasks) -> None:
        books.number += 1
        number = books.number
        async with here.transaction() as conn:
            await queries.add(conn, n=number)
            async with here.transaction():
                await conn_of(conn).execute("SELECT 1")
        books.done.add(number)

    async def work(here: Tasks) -> None:
        while True:
            await once(here)

    async def main(timer: Alarm) -> None:
        here = Tasks(small(observer.url, max_connections=10), observer)
        async with here.db:
            for _ in range(20):
                await asyncio.wait_for(once(here), SOON)
                strike.task = task = asyncio.create_task(work(here))
                timer.set()
                with suppress(Stop):
                    await asyncio.wait_for(asyncio.shield(task), SOON)
                del task
                gc.collect()  # a task and its exception refer to each other

    with alarm(strike) as timer:
        while interrupted < COUNT // 5:
            asyncio.run(main(timer))
            interrupted += 20
    books.check(observer, interrupted)


def void(_: object) -> None:
    """For a lambda."""


def test_interrupted_programs_of_asyncio(observer: Observer) -> None:
    """KeyboardInterrupt out of `asyncio.run`: each run has a pool of its own, and leaves no session behind."""
    books, interrupted = Books(), 0

    async def main(timer: Alarm) -> None:
        async with small(observer.url, max_connections=MOST) as db:
            here = Tasks(db, observer)
            await astore(here, books)
            timer.set()
            while not timer.came.is_set():
                await astore(here, books)

    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with alarm(interrupt) as timer:
        while interrupted < max(COUNT // 50, 10):
            with suppress(KeyboardInterrupt):
                asyncio.run(main(timer))
            interrupted += 1
    books.check(observer, interrupted)
    wait_until(lambda: observer.sessions() == 0)

"""Exceptions that come at a bad moment in a task: from the handler of a signal, at any step of the library's code."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from psycopg.pq import TransactionStatus

from rowsmith import load_queries
from tests.harness.drivers import Observer, Tasks, insert, small, sql
from tests.harness.examples import all_wanted
from tests.harness.interruptions import stepping

SQL = """
-- name: add(n)!
INSERT INTO items VALUES (:n);

-- name: look()$
SELECT count(*) FROM items;
"""
PACKAGES = ("rowsmith", "psycopg", "psycopg_pool")


class InjectedError(Exception):
    """What a signal's handler raises, such as the soft time limit of a job."""


class InjectedExit(BaseException):
    """What ends a program."""


class Interrupted:
    """Blocks in tasks that are interrupted, and what is stored in the end."""

    def __init__(self, observer: Observer, queries: Any) -> None:
        self.observer = observer
        self.queries = queries
        self.here = Tasks(small(observer.url, max_connections=2), observer)
        self.number = 0

    async def insert(self) -> None:
        """Store the number, in a transaction with a savepoint."""
        async with self.here.transaction() as conn:
            await insert(conn, self.number)
            async with self.here.transaction():
                await sql(conn, "SELECT 1")

    async def query(self) -> None:
        """Store the number by a query, whose statement is sent in one pipeline with BEGIN."""
        async with self.here.transaction() as conn:
            await self.queries.add(conn, n=self.number)
            await self.queries.look(conn)

    async def lease(self) -> None:
        async with self.here.connection() as conn:
            await sql(conn, "SELECT 1")

    async def lock(self) -> None:
        async with self.here.db.advisory_lock("a"):
            pass

    async def guard(self) -> None:
        """Store the number, in the transaction of a lock."""
        async with self.here.db.advisory_lock("a", scope="transaction"), self.here.transaction() as conn:
            await insert(conn, self.number)

    async def run(self) -> None:
        await self.here.run(lambda conn: sql(conn, "SELECT 1"))

    async def store(self) -> None:
        """A new block stores what it is told to."""
        self.number += 1
        async with self.here.transaction() as conn:
            await insert(conn, self.number)
        assert self.observer.stored().count(self.number) == 1
        self.number += 1

    async def check(self) -> None:
        """Every connection can be acquired, a new block stores what it is told to, and nothing was stored twice."""
        self.number += 1
        async with self.here.transaction() as one:
            await insert(one, self.number)
            async with self.here.connection() as other:
                assert other.info.transaction_status is TransactionStatus.IDLE
        stored = self.observer.stored()
        assert stored.count(self.number) == 1
        assert len(stored) == len(set(stored))
        self.number += 1


Work = Callable[[Interrupted], Awaitable[None]]


def drop(_: object) -> None:
    """Forget an exception that Python has dropped."""


@pytest.fixture
def interrupted(observer: Observer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Interrupted:
    monkeypatch.setattr(sys, "unraisablehook", drop)
    (tmp_path / "items.sql").write_text(SQL)
    return Interrupted(observer, load_queries(tmp_path))


@pytest.mark.parametrize("error", [InjectedExit, InjectedError])
@pytest.mark.parametrize(
    "work", [Interrupted.insert, Interrupted.query, Interrupted.lease, Interrupted.lock, Interrupted.run]
)
def test_an_exception_at_any_step_of_a_task_loses_nothing(
    interrupted: Interrupted, work: Work, error: type[BaseException]
) -> None:
    async def attempt(number: int) -> bool:
        with stepping(number, packages=PACKAGES, error=error, task=asyncio.current_task()) as step, suppress(error):
            await work(interrupted)
        return step.reached

    async def body() -> None:
        await interrupted.check()
        stride = 1 if all_wanted() else 5
        number, reached = (stride > 1) * (3 if error is InjectedError else 1), True
        while reached:
            number += stride
            reached = await asyncio.create_task(attempt(number))
            await interrupted.check()
        assert number > 50

    logging.disable()  # interrupted there, a handler of Python's logging may stay locked for ever
    try:
        interrupted.here.drive(body)
    finally:
        logging.disable(logging.NOTSET)


@pytest.mark.parametrize("work", [Interrupted.insert, Interrupted.query, Interrupted.run, Interrupted.guard])
def test_no_block_of_a_task_joins_one_whose_interruption_is_kept(interrupted: Interrupted, work: Work) -> None:
    """As by a reference cycle: the exception refers to the frames of what it has interrupted."""

    async def attempt(number: int) -> bool:
        kept: Exception | None = None
        with stepping(number, packages=PACKAGES, error=InjectedError, task=asyncio.current_task()) as step:
            try:
                await work(interrupted)
            except InjectedError as error:
                kept = error
        await interrupted.store()
        del kept
        return step.reached

    async def body() -> None:
        await interrupted.check()
        stride = 1 if all_wanted() else 5
        number, reached = int(stride > 1), True
        while reached:
            number += stride
            reached = await asyncio.create_task(attempt(number))
            await interrupted.check()
        assert number > 50

    logging.disable()
    try:
        interrupted.here.drive(body)
    finally:
        logging.disable(logging.NOTSET)

"""Deadlines over a black hole: whatever the library is doing when packets begin to vanish, the block ends in time."""

# ruff: noqa: PT012 - what raises is the end of a block, and a block is more than one statement

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

import rowsmith
from rowsmith import copy_rows, load_queries
from rowsmith.errors import CommitUnknownError, DeadlineExceededError, RowsmithError
from rowsmith.wire.deadlines import CURRENT
from tests.harness.drivers import AnyConnection, Driver, Observer, both_worlds, called, insert, small, sql
from tests.harness.network import Proxy
from tests.harness.waiting import PATIENCE
from tests.slow.faults.table import record

DEADLINE = 0.5
GRACE = 0.2
"""The time that a server has, once the deadline is over, to take a cancel request."""
BUSY = 0.5
"""What a busy machine may add. The faults were a second and more."""
QUERIES = """
-- name: add(n)!
INSERT INTO items VALUES (:n::int);

-- name: numbers()
SELECT n FROM generate_series(1, 10) AS n;
"""


@pytest.fixture
def queries(tmp_path: Path) -> Any:
    (tmp_path / "queries.sql").write_text(QUERIES)
    return load_queries(tmp_path)


def let_deadline_pass() -> None:
    """The innermost deadline is over now, as if its time had passed."""
    limit = CURRENT.get()
    assert limit is not None
    CURRENT.set(limit._replace(end=time.monotonic()))


class Work:
    """Kinds of work, each over a network that stops passing anything on in the middle of it."""

    def __init__(self, here: Driver, proxy: Proxy, queries: Any) -> None:
        self.here, self.proxy, self.queries = here, proxy, queries

    async def query(self) -> None:
        async with self.here.connection() as conn:
            await called(self.queries.add(conn, n=1))
            self.proxy.stall()
            await called(self.queries.add(conn, n=2))

    async def cursor(self) -> None:
        async with self.here.connection() as conn:
            self.proxy.stall()
            await sql(conn, "SELECT 1")

    async def begin(self) -> None:
        async with self.here.transaction() as conn:
            self.proxy.stall()
            await called(self.queries.add(conn, n=1))

    async def savepoint(self) -> None:
        async with self.here.transaction() as conn:
            await insert(conn, 1)
            self.proxy.stall()
            async with self.here.transaction():
                pass

    async def commit(self) -> None:
        async with self.here.transaction() as conn:
            await insert(conn, 1)
            self.proxy.stall()

    async def commit_alone(self) -> None:
        """The second time it is known that the query writes: the transaction's id is asked for together with it."""
        for last in (False, True):
            async with self.here.transaction() as conn:
                await called(self.queries.add(conn, n=1))
                if last:
                    self.proxy.stall()

    async def commit_of_a_query(self) -> None:
        async with self.here.transaction() as conn:
            await called(self.queries.numbers(conn))
            self.proxy.stall()

    async def rollback(self) -> None:
        async with self.here.transaction() as conn:
            await insert(conn, 1)
            self.proxy.stall()
            raise LookupError

    async def cleaning(self) -> None:
        async with self.here.connection() as conn:
            await sql(conn, "SET search_path = pg_catalog")
            self.proxy.stall()

    async def unfinished(self) -> None:
        """A transaction by hand, which is rolled back when the connection is released."""
        async with self.here.connection() as conn:
            await sql(conn, "BEGIN")
            self.proxy.stall()

    async def copy(self) -> None:
        async with self.here.transaction() as conn:
            self.proxy.stall()
            await called(copy_rows(conn, "items", [(1,)]))

    async def stream(self) -> None:
        async with self.here.transaction() as conn, self.here.enter(self.queries.numbers.stream(conn)) as rows:
            if isinstance(conn, psycopg.AsyncConnection):
                async for _ in rows:
                    self.proxy.stall()
            else:
                for _ in rows:
                    self.proxy.stall()

    async def lock(self) -> None:
        async with self.here.enter(self.here.db.advisory_lock("job")):
            self.proxy.stall()

    async def check(self) -> None:
        await self.here.age()
        self.proxy.stall()
        await self.here.backend()

    async def run(self) -> None:
        async def work(conn: AnyConnection) -> None:
            await insert(conn, 1)
            self.proxy.stall()

        await self.here.run(work)


WORK = [name for name in vars(Work) if not name.startswith("_")]


@both_worlds
@pytest.mark.parametrize("name", WORK)
def test_a_black_hole(driver: type[Driver], proxy: Proxy, queries: Any, name: str) -> None:
    here = driver(small(proxy.url))
    work = getattr(Work(here, proxy, queries), name)

    async def body() -> None:
        await here.fill()
        start, outcome = time.monotonic(), None
        try:
            with rowsmith.deadline(DEADLINE):
                await work()
        except (RowsmithError, psycopg.Error, LookupError) as error:
            outcome = error
        took = time.monotonic() - start
        assert took < DEADLINE + GRACE + BUSY
        assert isinstance(outcome, LookupError) == (name == "rollback"), "the error of the block is the one to see"
        proxy.resume()
        back = time.monotonic()
        recovery = await here.recovered() - back
        await here.check_whole()
        if name == "commit_alone":
            assert isinstance(outcome, CommitUnknownError)
            assert isinstance(outcome.transaction_id, int)
            record("black hole at COMMIT, with a deadline", outcome, recovery)

    here.drive(body)


@both_worlds
def test_the_next_call_after_a_black_hole(driver: type[Driver], proxy: Proxy) -> None:
    """Every old connection is dead, and none says so. The first one lost is a sign; the second is asked briefly."""
    here = driver(small(proxy.url))

    async def body() -> None:
        before = await here.fill()
        with pytest.raises(DeadlineExceededError), rowsmith.deadline(DEADLINE):
            async with here.connection() as conn:
                proxy.hold_links()
                await sql(conn, "SELECT 1")
        start = time.monotonic()
        with rowsmith.deadline(2 * GRACE + BUSY):
            assert await here.backend() not in before
        took = time.monotonic() - start
        assert took < 2 * GRACE + BUSY
        for _ in before:
            assert await here.backend() not in before
        await here.check_whole()
        record("black hole that swallows every connection: the next call", "nothing", took)

    here.drive(body)


@both_worlds
@pytest.mark.parametrize("way", ["block", "run"])
def test_a_deadline_that_passes_before_commit(driver: type[Driver], observer: Observer, way: str) -> None:
    """Nothing is committed, and the connection is as good as before."""
    here = driver(small(observer.url, max_connections=1))

    async def work(conn: AnyConnection) -> None:
        await insert(conn, 1)
        let_deadline_pass()

    async def body() -> None:
        pid = await here.backend()
        with pytest.raises(DeadlineExceededError), rowsmith.deadline(PATIENCE):
            if way == "run":
                await here.run(work)
            else:
                async with here.transaction() as conn:
                    await work(conn)
        assert observer.stored() == []
        assert await here.backend() == pid

    here.drive(body)


@both_worlds
def test_an_error_after_the_deadline_is_seen(driver: type[Driver], observer: Observer) -> None:
    here = driver(small(observer.url, max_connections=1))

    async def body() -> None:
        pid = await here.backend()
        with pytest.raises(LookupError), rowsmith.deadline(PATIENCE):
            async with here.transaction() as conn:
                await insert(conn, 1)
                let_deadline_pass()
                raise LookupError
        assert observer.stored() == []
        assert await here.backend() == pid

    here.drive(body)


@both_worlds
def test_a_call_that_has_no_time_left_proves_nothing(driver: type[Driver], proxy: Proxy) -> None:
    """An idle connection that does not answer at once may still be a good one: the others are kept."""
    here = driver(small(proxy.url))

    async def body() -> None:
        before = await here.fill()
        await here.age()
        proxy.latency = 0.05
        for _ in range(2):
            with pytest.raises(DeadlineExceededError), rowsmith.deadline(0.02):
                await here.backend()
        proxy.calm()
        assert await here.backend() in before

    here.drive(body)

"""The pool: stale connections, checks, age, exhaustion, waiting in turn, leaks, and the circuit breaker."""

# ruff: noqa: PT012 - what raises is the end of a block, and a block is more than one statement

from __future__ import annotations

import logging
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from functools import partial

import psycopg
import pytest

import rowsmith
from rowsmith.errors import Category, CircuitOpenError, DeadlineExceededError, PoolTimeoutError, category
from tests.harness.drivers import MOST, Driver, Observer, Started, both_worlds, insert, small, sql
from tests.harness.network import Proxy
from tests.harness.waiting import PATIENCE
from tests.slow.faults.table import record

LATE = 10.0


# --- stale connections ---


@both_worlds
def test_one_dead_connection_drains_the_pool(driver: type[Driver], proxy: Proxy, observer: Observer) -> None:
    """Of four that have died, the first to be looked at stands for all: one failed check, and no pause."""
    here = driver(small(proxy.url))

    async def body() -> None:
        await here.fill()
        await here.age()
        observer.end_sessions()
        proxy.forget()
        back = time.monotonic()
        await here.backend()
        took = time.monotonic() - back
        assert took < 5, "psycopg_pool would pause between one and the next"
        assert proxy.sent(b"SELECT 1\0") <= 1
        await here.check_whole()
        record("four dead idle connections", "nothing", took)

    here.drive(body)


@both_worlds
def test_many_who_find_dead_connections_drain_once(driver: type[Driver], proxy: Proxy, observer: Observer) -> None:
    here = driver(small(proxy.url))

    async def body() -> None:
        dead = await here.fill()
        await here.age()
        observer.end_sessions()
        before = proxy.clients
        calls = [here.start(here.backend) for _ in range(20)]
        pids = {await call.result(PATIENCE) for call in calls}
        assert not pids & dead
        assert proxy.clients - before <= 2 * MOST
        await here.check_whole()

    here.drive(body)


@both_worlds
def test_a_connection_that_was_used_just_now_is_not_checked(driver: type[Driver], proxy: Proxy) -> None:
    here = driver(small(proxy.url))

    async def body() -> None:
        await here.backend()
        proxy.forget()
        for _ in range(10):
            async with here.connection() as conn:
                conn.info.backend_pid  # noqa: B018 - nothing is asked of the server
        assert proxy.round_trips() == 0
        await here.age()
        async with here.connection():
            pass
        assert proxy.round_trips() == 1

    here.drive(body)


@both_worlds
def test_sessions_ended_a_moment_ago_are_an_error_once(driver: type[Driver], proxy: Proxy, observer: Observer) -> None:
    """57P01: not checked, so the first caller sees it; it drains the pool, and the second does not."""
    here = driver(small(proxy.url))

    async def body() -> None:
        await here.fill()
        observer.end_sessions()
        back = time.monotonic()
        with pytest.raises(psycopg.OperationalError) as caught:
            await here.backend()
        for _ in range(2 * MOST):
            await here.backend()
        record("sessions ended (57P01) a moment after use", caught.value, time.monotonic() - back)
        await here.check_whole()

    here.drive(body)


@both_worlds
def test_an_old_connection_is_not_handed_out(driver: type[Driver], proxy: Proxy) -> None:
    here = driver(small(proxy.url, max_lifetime=1000))

    async def body() -> None:
        old = await here.fill()
        await here.age()
        for _ in range(MOST):
            assert await here.backend() not in old
        await here.check_whole()

    here.drive(body)


# --- exhaustion ---


@both_worlds
def test_exhaustion(driver: type[Driver], observer: Observer) -> None:
    here = driver(small(observer.url, pool_timeout=500))

    async def hold(release: list[bool]) -> None:
        async with here.connection():
            await here.until(lambda: bool(release))

    async def body() -> None:
        release: list[bool] = []
        holders = [here.start(lambda: hold(release)) for _ in range(MOST)]
        await here.until(lambda: here.db.statistics()["connections_in_use"] == MOST)
        start = time.monotonic()
        with pytest.raises(PoolTimeoutError, match=f"{MOST} of {MOST} are in use") as caught:
            await here.backend()
        assert 0.4 < time.monotonic() - start < LATE
        assert caught.value.category is Category.POOL_EXHAUSTED
        assert here.db.statistics()["circuit_failures"] == 0, "a full pool says nothing of the server"
        release.append(True)
        back = time.monotonic()
        await here.backend()
        record("exhaustion", caught.value, time.monotonic() - back)
        for holder in holders:
            await holder.result()
        await here.check_whole()

    here.drive(body)


@both_worlds
def test_first_come_first_served(driver: type[Driver], observer: Observer) -> None:
    here = driver(small(observer.url, min_connections=1, max_connections=1))

    async def wait_in_line(number: int) -> None:
        async with here.transaction() as conn:
            order.append(number)
            await insert(conn, number)

    order: list[int] = []

    async def body() -> None:
        waiting: list[Started] = []
        async with here.connection():
            for number in range(12):
                waiting.append(here.start(partial(wait_in_line, number)))
                # The queue of the pool has it before the next one comes.
                await here.until(lambda: here.db.statistics().get("requests_waiting", 0) > number)  # noqa: B023
        for each in waiting:
            await each.result()
        assert order == list(range(12))
        assert observer.stored() == order

    here.drive(body)


@both_worlds
def test_a_block_that_waits_for_itself_is_recognised(driver: type[Driver], observer: Observer) -> None:
    here = driver(small(observer.url, min_connections=1, max_connections=1, pool_timeout=20_000))

    async def body() -> None:
        start = time.monotonic()
        async with here.transaction() as conn:
            await insert(conn, 1)
            with pytest.raises(PoolTimeoutError, match="deadlock") as caught:
                async with here.connection():
                    pytest.fail("there is no second connection")
        assert time.monotonic() - start < LATE
        assert caught.value.category is Category.POOL_EXHAUSTED
        assert observer.stored() == [1]
        assert await here.backend()
        record("`connection()` inside the last connection's block", caught.value, 0.0)

    here.drive(body)


@both_worlds
def test_blocks_that_wait_for_each_other_are_recognised(driver: type[Driver], observer: Observer) -> None:
    """Each of four has one connection and wants another: the last to ask is told, and the others then go on."""
    here = driver(small(observer.url, pool_timeout=20_000))
    failed: list[PoolTimeoutError] = []
    held: list[int] = []

    async def greedy(number: int) -> None:
        async with here.transaction() as conn:
            await insert(conn, number)
            held.append(number)
            await here.until(lambda: len(held) == MOST)
            try:
                async with here.connection():
                    pass
            except PoolTimeoutError as error:
                failed.append(error)

    async def body() -> None:
        start = time.monotonic()
        all_of_them = [here.start(partial(greedy, number)) for number in range(MOST)]
        for each in all_of_them:
            await each.result()
        assert time.monotonic() - start < LATE
        assert failed
        assert all("deadlock" in str(error) for error in failed)
        assert observer.stored() == list(range(MOST))
        await here.check_whole()

    here.drive(body)


@both_worlds
def test_waiting_for_one_who_will_come_back_is_no_deadlock(driver: type[Driver], observer: Observer) -> None:
    here = driver(small(observer.url, min_connections=2, max_connections=2))

    async def brief() -> None:
        async with here.connection() as conn:
            await sql(conn, "SELECT pg_sleep(0.3)")

    async def body() -> None:
        other = here.start(brief)
        await here.until(lambda: observer.runs("pg_sleep") == 1)
        async with here.connection(), here.connection() as conn:
            assert await sql(conn, "SELECT 1") == [(1,)]
        await other.result()

    here.drive(body)


@both_worlds
def test_a_leaked_connection_is_logged(
    driver: type[Driver], observer: Observer, caplog: pytest.LogCaptureFixture
) -> None:
    here = driver(small(observer.url, leak_threshold=200))

    async def the_one_who_leaks(stack: AsyncExitStack) -> None:
        await stack.enter_async_context(here.connection())

    def told() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.name == "rowsmith.pool"]

    async def body() -> None:
        with caplog.at_level(logging.WARNING, "rowsmith.pool"):
            await here.backend()
            assert told() == []
            async with AsyncExitStack() as stack:
                await the_one_who_leaks(stack)
                while not told():
                    await here.backend()  # somebody else, who goes on
        (message,) = told()
        assert "the_one_who_leaks" in message
        assert "test_faults_pool.py" in message
        await here.check_whole()
        record("leaked connection", "a log record with the stack that acquired it", 0.0)

    here.drive(body)


# --- the circuit breaker ---


@both_worlds
def test_circuit_breaker(driver: type[Driver], proxy: Proxy) -> None:
    """Opens after N failures, fails at once while open, lets one through when its time has come, closes on success."""
    here = driver(small(proxy.url, breaker_failures=3, breaker_reset=60_000, pool_timeout=60_000))

    async def body() -> None:
        assert here.db.statistics()["circuit_open"] == 0
        proxy.refuse = True
        for number in range(3):
            assert here.db.statistics()["circuit_failures"] == number
            with pytest.raises(psycopg.OperationalError) as first:
                await here.backend()
            assert not isinstance(first.value, CircuitOpenError)
        assert here.db.statistics()["circuit_open"] == 1
        came = proxy.clients
        start = time.monotonic()
        with pytest.raises(CircuitOpenError) as caught:
            await here.backend()
        assert time.monotonic() - start < LATE
        assert proxy.clients == came, "no attempt was made"
        assert 0 < caught.value.retry_after <= 60
        assert timedelta() < caught.value.retry_at - datetime.now(UTC) <= timedelta(seconds=60)
        assert caught.value.category is not None
        here.let_circuit_half_open()
        with pytest.raises(psycopg.OperationalError) as probe:  # half open: one attempt, which fails
            await here.backend()
        assert not isinstance(probe.value, CircuitOpenError)
        with pytest.raises(CircuitOpenError):
            await here.backend()
        proxy.refuse = False
        here.let_circuit_half_open()
        back = time.monotonic()
        recovery = await here.recovered() - back
        assert recovery < LATE
        assert here.db.statistics()["circuit_open"] == 0
        assert here.db.statistics()["circuit_failures"] == 0
        assert (await here.health()).circuit == "closed"
        record("circuit open", caught.value, recovery)

    here.drive(body)


@both_worlds
def test_circuit_in_health(driver: type[Driver], proxy: Proxy) -> None:
    here = driver(small(proxy.url, breaker_failures=2, breaker_reset=60_000))

    async def body() -> None:
        assert (await here.health()).circuit == "closed"
        proxy.refuse = True
        for _ in range(2):
            with pytest.raises(psycopg.OperationalError):
                await here.backend()
        answer = await here.health(1)
        assert not answer.healthy
        assert answer.circuit in ("open", "half-open")
        assert answer.as_dict()["circuit"] == answer.circuit
        here.let_circuit_half_open()
        proxy.refuse = False
        await here.recovered()
        assert (await here.health()).circuit == "closed"

    here.drive(body)


@both_worlds
def test_half_open_lets_one_through(driver: type[Driver], proxy: Proxy) -> None:
    here = driver(small(proxy.url, breaker_failures=1, breaker_reset=60_000, connection_timeout=60_000))

    async def one() -> BaseException | None:
        try:
            await here.backend()
        except psycopg.OperationalError as error:
            return error
        return None

    async def body() -> None:
        proxy.refuse = True
        assert await one() is not None
        proxy.refuse = False
        proxy.stall()
        here.let_circuit_half_open()
        came = proxy.clients
        calls = [here.start(one) for _ in range(10)]
        await here.until(lambda: sum(call.done for call in calls) == 9 and proxy.clients > came)
        assert proxy.clients == came + 1
        proxy.resume()
        outcomes = [await call.result() for call in calls]
        assert sum(outcome is None for outcome in outcomes) == 1
        assert sum(isinstance(outcome, CircuitOpenError) for outcome in outcomes) == 9
        assert await one() is None

    here.drive(body)


@both_worlds
@pytest.mark.parametrize("statement", ["SELECT 1/0", "SELECT nothing", "SELECT pg_sleep(5)"])
def test_only_connectivity_counts(driver: type[Driver], observer: Observer, statement: str) -> None:
    here = driver(small(observer.url, breaker_failures=2, statement_timeout=50))

    async def body() -> None:
        for _ in range(4):
            with pytest.raises(psycopg.Error):
                async with here.connection() as conn:
                    await sql(conn, statement)
        assert here.db.statistics()["circuit_failures"] == 0
        assert here.db.statistics()["circuit_open"] == 0

    here.drive(body)


# --- deadlines ---


@both_worlds
def test_deadline_while_waiting_for_a_connection(driver: type[Driver], observer: Observer) -> None:
    here = driver(small(observer.url, max_connections=1))

    async def hold(release: list[bool]) -> None:
        async with here.connection():
            await here.until(lambda: bool(release))

    async def body() -> None:
        release: list[bool] = []
        holder = here.start(lambda: hold(release))
        await here.until(lambda: here.db.statistics()["connections_in_use"] == 1)
        start = time.monotonic()
        with pytest.raises(DeadlineExceededError) as caught, rowsmith.deadline(0.3):
            await here.backend()
        assert 0.2 < time.monotonic() - start < LATE
        assert category(caught.value) is Category.TIMEOUT
        release.append(True)
        await holder.result()
        assert await here.backend()

    here.drive(body)


@both_worlds
@pytest.mark.parametrize("block", ["connection", "transaction"])
def test_deadline_in_a_statement(driver: type[Driver], observer: Observer, block: str) -> None:
    """It is cancelled on the server as well."""
    here = driver(small(observer.url))

    async def body() -> None:
        await here.backend()
        start = time.monotonic()
        with pytest.raises(DeadlineExceededError), rowsmith.deadline(1.5):
            async with here.connection() if block == "connection" else here.transaction() as conn:
                await insert(conn, 1)
                await sql(conn, "SELECT pg_sleep(20)")
        assert 0.2 < time.monotonic() - start < LATE
        await here.until(lambda: observer.runs("pg_sleep") == 0)
        assert observer.stored() == ([1] if block == "connection" else [])
        assert await here.backend()
        await here.check_whole()

    here.drive(body)


@both_worlds
def test_a_caught_deadline_leaves_the_connection_usable_or_closed(driver: type[Driver], observer: Observer) -> None:
    here = driver(small(observer.url))

    async def body() -> None:
        async with here.connection() as conn:
            with pytest.raises(DeadlineExceededError), rowsmith.deadline(0.2):
                await sql(conn, "SELECT pg_sleep(20)")
            if not conn.closed:
                assert await sql(conn, "SELECT 1") == [(1,)]
        await here.check_whole()

    here.drive(body)


@both_worlds
def test_of_nested_deadlines_the_earlier_holds(driver: type[Driver], observer: Observer) -> None:
    here = driver(small(observer.url))

    async def body() -> None:
        for outer, inner in ((0.2, 20), (20, 0.2)):
            start = time.monotonic()
            with pytest.raises(DeadlineExceededError), rowsmith.deadline(outer), rowsmith.deadline(inner):
                async with here.connection() as conn:
                    await sql(conn, "SELECT pg_sleep(30)")
            assert time.monotonic() - start < LATE
        with rowsmith.deadline(20):
            with pytest.raises(DeadlineExceededError), rowsmith.deadline(0):
                await here.backend()
            assert await here.backend(), "the inner one is over, and so is its limit"
        await here.check_whole()

    here.drive(body)

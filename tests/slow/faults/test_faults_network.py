"""The network fails: black holes, resets, slowness, refusals. A caller learns of it in time; the next call works."""

# ruff: noqa: PT012 - what raises is the end of a block, and a block is more than one statement

from __future__ import annotations

import time

import psycopg
import pytest

import rowsmith
from rowsmith import Database
from rowsmith.errors import Category, DeadlineExceededError, PoolTimeoutError, category
from tests.harness.databases import settings_for
from tests.harness.drivers import NAME, Driver, Observer, both_worlds, insert, small, sql
from tests.harness.network import Proxy, closed_port
from tests.harness.waiting import PATIENCE
from tests.slow.faults.table import record

LATE = 10.0
"""Seconds that nothing may take here, where a deadline is a few tenths of a second."""


@both_worlds
def test_black_hole_in_a_query(driver: type[Driver], proxy: Proxy, observer: Observer) -> None:
    here = driver(small(proxy.url))

    async def body() -> None:
        await here.backend()
        start = time.monotonic()
        with pytest.raises(DeadlineExceededError) as caught, rowsmith.deadline(0.5):
            async with here.transaction() as conn:
                await insert(conn, 1)
                proxy.stall()
                await insert(conn, 2)
        assert 0.4 < time.monotonic() - start < LATE
        assert category(caught.value) is Category.TIMEOUT
        proxy.resume()
        back = time.monotonic()
        recovery = await here.recovered() - back
        assert recovery < LATE
        await here.until(lambda: observer.sessions("idle in transaction%") == 0)
        assert observer.stored() == []
        await here.check_whole()
        record("black hole in a query, with a deadline", caught.value, recovery)

    here.drive(body)


@both_worlds
def test_black_hole_in_a_check(driver: type[Driver], proxy: Proxy) -> None:
    """A connection that was idle is asked first whether it lives; that question has a deadline of its own."""
    here = driver(small(proxy.url, pool_timeout=1500, connection_timeout=2000))

    async def body() -> None:
        await here.fill()
        await here.age()
        proxy.stall()
        start = time.monotonic()
        with pytest.raises(PoolTimeoutError) as caught:
            await here.backend()
        assert time.monotonic() - start < 1.5 + LATE
        assert caught.value.category is Category.TIMEOUT, str(caught.value)
        proxy.resume()
        back = time.monotonic()
        recovery = await here.recovered() - back
        assert recovery < LATE
        await here.check_whole()
        record("black hole while an idle connection is checked", caught.value, recovery)

    here.drive(body)


@both_worlds
@pytest.mark.parametrize("limit", ["deadline", "connection_timeout"])
def test_black_hole_at_connect(driver: type[Driver], proxy: Proxy, limit: str) -> None:
    here = driver(small(proxy.url, connection_timeout=2000, connect_retries=3 if limit == "deadline" else 0))

    async def body() -> None:
        proxy.stall()
        start = time.monotonic()
        expected = DeadlineExceededError if limit == "deadline" else psycopg.OperationalError
        with pytest.raises(expected) as caught, rowsmith.deadline(0.5 if limit == "deadline" else 30):
            await here.backend()
        assert time.monotonic() - start < (0.5 if limit == "deadline" else 2) + LATE
        assert category(caught.value) is Category.TIMEOUT
        proxy.resume()
        back = time.monotonic()
        recovery = await here.recovered() - back
        assert recovery < LATE
        record(f"black hole while connecting, limited by {limit}", caught.value, recovery)

    here.drive(body)


@both_worlds
def test_slow_network(driver: type[Driver], proxy: Proxy, observer: Observer) -> None:
    """Slow is not dead: the answers come, whole, and no connection is given up for it."""
    here = driver(small(proxy.url))

    async def body() -> None:
        pids = await here.fill(2)
        await here.age()  # so that it is checked, too
        proxy.latency, proxy.bytes_per_second = 0.05, 200_000
        start = time.monotonic()
        async with here.transaction() as conn:
            assert conn.info.backend_pid in pids
            await insert(conn, 1)
            ((text,),) = await sql(conn, "SELECT string_agg(n::text, ',') FROM generate_series(1, 20000) n")
        took = time.monotonic() - start
        assert text == ",".join(map(str, range(1, 20001)))
        assert 0.5 < took < 20
        assert observer.stored() == [1]
        proxy.calm()
        back = time.monotonic()
        assert await here.backend() in pids
        record("slow network (50 ms, 200 kB/s)", "the answer, late", time.monotonic() - back)

    here.drive(body)


@both_worlds
@pytest.mark.parametrize("fault", ["reset", "close", "slow close"])
def test_cut_in_a_query(driver: type[Driver], proxy: Proxy, observer: Observer, fault: str) -> None:
    here = driver(small(proxy.url))
    pids: list[int] = []

    async def query() -> None:
        async with here.transaction() as conn:
            pids.append(conn.info.backend_pid)
            await insert(conn, 1)
            await sql(conn, "SELECT pg_sleep(20)")

    async def body() -> None:
        await here.fill()
        work = here.start(query)
        await here.until(lambda: observer.runs("pg_sleep") == 1)
        proxy.resets = fault == "reset"
        back = time.monotonic()
        if fault == "slow close":
            proxy.close_slowly(0.3)
            back += 0.3
        else:
            proxy.cut_all()
        with pytest.raises(psycopg.OperationalError) as caught:
            await work.result(PATIENCE)
        recovery = await here.recovered() - back
        assert recovery < LATE
        observer.end_sessions(pids)  # the server itself notices only when it writes
        assert observer.stored() == []
        await here.check_whole()
        record(f"{fault} in a query", caught.value, recovery)

    here.drive(body)


@both_worlds
@pytest.mark.parametrize("fault", ["reset", "close"])
def test_cut_with_an_idle_pool(driver: type[Driver], proxy: Proxy, fault: str) -> None:
    """A client sees nothing of it, when the connections have been idle long enough to be looked at."""
    here = driver(small(proxy.url))

    async def body() -> None:
        before = await here.fill()
        await here.age()
        proxy.resets = fault == "reset"
        proxy.cut_all()
        back = time.monotonic()
        assert await here.backend() not in before
        recovery = time.monotonic() - back
        assert recovery < LATE
        await here.check_whole()
        record(f"{fault} with an idle pool", "nothing", recovery)

    here.drive(body)


@both_worlds
@pytest.mark.parametrize(
    ("sqlstate", "message", "expected"),
    [
        ("57P03", "the database system is starting up", Category.STARTING),
    ],
)
def test_refused_for_a_while(
    driver: type[Driver], proxy: Proxy, sqlstate: str, message: str, expected: Category
) -> None:
    """At the first use and with a pool that has lost its connections: the reason is told, and both come back."""
    first = driver(small(proxy.url))
    proxy.refusal = (sqlstate, message)

    async def at_start() -> None:
        with pytest.raises(psycopg.OperationalError, match=message) as caught:
            await first.backend()
        assert category(caught.value) is expected
        assert (await first.health()).category is expected
        proxy.calm()
        back = time.monotonic()
        recovery = await first.recovered() - back
        assert recovery < LATE
        record(f"{sqlstate} at the first use", caught.value, recovery)

    first.drive(at_start)
    later = driver(small(proxy.url, pool_timeout=700))

    async def with_a_pool() -> None:
        await later.fill()
        proxy.refusal = (sqlstate, message)
        await later.age()
        proxy.cut_all()
        with pytest.raises(PoolTimeoutError, match=message) as caught:
            await later.backend()
        assert caught.value.category is expected
        proxy.calm()
        back = time.monotonic()
        recovery = await later.recovered() - back
        assert recovery < LATE
        await later.check_whole()
        record(f"{sqlstate} for a pool that has lost its connections", caught.value, recovery)

    later.drive(with_a_pool)


@both_worlds
def test_connecting_at_start_is_tried_again(driver: type[Driver], proxy: Proxy) -> None:
    """connect_retries further attempts, for a fault that passes: the caller sees none."""
    here = driver(small(proxy.url, connect_retries=3))

    async def body() -> None:
        proxy.refusal = ("57P03", "the database system is starting up")
        work = here.start(here.backend)
        await here.until(lambda: proxy.clients >= 1)
        proxy.calm()
        assert await work.result(PATIENCE)

    here.drive(body)


@both_worlds
def test_dns_failure(driver: type[Driver], observer: Observer, monkeypatch: pytest.MonkeyPatch) -> None:
    """libpq reads PGHOST at each connection, so that a name can begin to resolve."""
    with Proxy(observer.url) as proxy:
        login = proxy.url.partition("@")[0]
        database_name = proxy.url.rpartition("/")[2]
        monkeypatch.setenv("PGHOST", "no-such-host.invalid")
        here = driver(Database(settings_for(f"{login}@:{proxy.port}/{database_name}", application_name=NAME)))

        async def body() -> None:
            with pytest.raises(psycopg.OperationalError) as caught:
                await here.backend()
            assert category(caught.value) is Category.DNS
            assert (await here.health()).category is Category.DNS
            monkeypatch.setenv("PGHOST", "127.0.0.1")
            back = time.monotonic()
            recovery = await here.recovered() - back
            assert recovery < LATE
            record("DNS failure", f"`{type(caught.value).__name__}` (dns)", recovery)

        here.drive(body)


@both_worlds
def test_several_hosts(driver: type[Driver], proxy: Proxy, observer: Observer) -> None:
    """The first does not listen, the second is read-only, the third is the primary."""
    name = proxy.url.rpartition("/")[2].partition("?")[0]
    login = proxy.url.partition("@")[0]
    with closed_port() as closed, Proxy(observer.url) as other:
        hosts = f"127.0.0.1:{closed},127.0.0.1:{other.port},127.0.0.1:{proxy.port}"
        url = f"{login}@{hosts}/{name}?target_session_attrs=read-write&sslmode=disable&gssencmode=disable"
        here = driver(small(url))
        other.refusal = ("57P03", "the database system is starting up")

        async def body() -> None:
            await here.backend()
            assert proxy.clients > 0
            before = proxy.clients
            other.calm()
            proxy.refuse = True
            await here.age()
            proxy.cut_all()
            back = time.monotonic()
            await here.recovered()
            assert other.clients > 0
            assert proxy.clients >= before
            record("failover to another host of the URL", "nothing", time.monotonic() - back)

        here.drive(body)


@both_worlds
def test_target_session_attrs(driver: type[Driver], observer: Observer) -> None:
    """A server that has become read-only is not connected to; it is again once it can be written to."""
    name = observer.do("SELECT current_database()")[0][0]
    separator = "&" if "?" in observer.url else "?"
    here = driver(small(f"{observer.url}{separator}target_session_attrs=read-write", pool_timeout=1000))

    async def body() -> None:
        await here.fill()
        observer.do(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        observer.end_sessions()
        with pytest.raises(psycopg.OperationalError) as caught:
            await here.backend()
            await here.backend()
        assert category(caught.value) in (Category.READ_ONLY, Category.STARTING)
        with psycopg.connect(observer.url, autocommit=True) as conn:
            conn.execute("SET default_transaction_read_only = off")
            conn.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only".encode())
        back = time.monotonic()
        recovery = await here.recovered() - back
        assert recovery < LATE

    here.drive(body)


@both_worlds
def test_a_demoted_primary_drains_the_pool(driver: type[Driver], proxy: Proxy, observer: Observer) -> None:
    """25006: every connection of the pool leads to what is now a standby, so all are given up at the first."""
    name = observer.do("SELECT current_database()")[0][0]
    here = driver(small(proxy.url))

    async def body() -> None:
        observer.do(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        before = await here.fill()
        with psycopg.connect(observer.url, autocommit=True) as conn:
            conn.execute("SET default_transaction_read_only = off")
            conn.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only".encode())
        back = time.monotonic()
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction) as caught:
            async with here.transaction() as conn:
                await insert(conn, 1)
        for number in range(8):
            async with here.transaction() as conn:
                assert conn.info.backend_pid not in before
                await insert(conn, number)
        assert observer.stored() == list(range(8))
        await here.check_whole()
        record("demoted primary", caught.value, time.monotonic() - back)

    here.drive(body)

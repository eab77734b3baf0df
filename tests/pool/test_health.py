"""Health probes against servers and networks in every state; and what an error or a pause means, as pure functions."""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

import rowsmith
from rowsmith import Database, HealthCheck
from rowsmith.errors import HINTS, Category, PoolTimeoutError, TransactionAbortedError, category, is_transient
from rowsmith.pool.breaker import backoff
from rowsmith.pool.health import failed, passed
from tests.harness.databases import settings_for
from tests.harness.network import Proxy, black_hole, closed_port, refusing_server, url_at
from tests.harness.pgbouncer import cancels_and_leaves, connected, is_between, renew_sessions
from tests.harness.waiting import PATIENCE, SOON, wait_until

SECRET = "pa55-w0rd-of-the-test"
QUESTION = b"SHOW transaction_read_only" if is_between() else b"SELECT 1"
"""What a probe sends."""

Probe = Callable[..., HealthCheck]


async def idle(db: Database) -> None:
    """Until the event loop's pool has an idle connection."""
    await asyncio.sleep(0)
    while db.statistics()["pool_available"] < 1:  # noqa: ASYNC110 - the pool tells nobody
        await asyncio.sleep(0.01)


def in_a_thread(db: Database, **options: Any) -> HealthCheck:
    return db.check_health(**options)


def in_a_task(db: Database, **options: Any) -> HealthCheck:
    """Over the pool of an event loop of its own, which has no connection yet."""

    async def main() -> HealthCheck:
        try:
            return await db.acheck_health(**options)
        finally:
            await db.aclose()

    return asyncio.run(main())


def in_a_thread_with_a_pool(db: Database, **options: Any) -> HealthCheck:
    """As `in_a_thread`, over a connection of the pool."""
    with db.connection():
        pass
    wait_until(lambda: db.statistics()["pool_available"] >= 1)
    return db.check_health(**options)


def in_a_task_with_a_pool(db: Database, **options: Any) -> HealthCheck:
    """As `in_a_task`, over a connection of the pool."""

    async def main() -> HealthCheck:
        async with db:
            async with db.connection():
                pass
            await idle(db)
            return await db.acheck_health(**options)

    return asyncio.run(main())


@pytest.fixture(params=[in_a_thread, in_a_task])
def probe(request: pytest.FixtureRequest) -> Probe:
    kind: Probe = request.param
    return kind


PATIENT = {"pool_timeout": 60_000, "connection_timeout": 60_000}
"""Longer than SOON: a probe that keeps no deadline is seen."""


def small(url: str, **values: object) -> Database:
    return Database(settings_for(url, **{"min_connections": 1, "max_connections": 2, **PATIENT, **values}))


def unhealthy(probe: Probe, url: str, **options: Any) -> HealthCheck:
    """The answer for a database that cannot be used, in all the ways it says so."""
    start = time.monotonic()
    with small(url) as db:
        answer = probe(db, **options)
    assert time.monotonic() - start < SOON
    assert not answer.healthy
    assert answer.category is not None
    assert answer.error
    assert "\n" not in answer.error
    assert answer.hint == HINTS.get(answer.category)
    assert SECRET not in repr(answer)
    json.dumps(answer.as_dict())
    return answer


def no_probe_left() -> bool:
    """Whether no thread is left of a probe that gave up."""
    return not any(thread.name.startswith("rowsmith-") for thread in threading.enumerate())


def wait_until_alone(url: str) -> None:
    """Until nobody else is connected to the database."""
    wait_until(lambda: connected(url) == 0)


# --- healthy ---


def test_a_live_server_is_healthy(empty_database_url: str, probe: Probe) -> None:
    with small(empty_database_url) as db:
        before = datetime.now(UTC)
        answer = probe(db)
        after = datetime.now(UTC)
    assert answer.healthy
    assert (answer.category, answer.error, answer.hint) == (None, None, None)
    assert before <= answer.checked_at <= after
    assert answer.checked_at.utcoffset() == timedelta(0)
    assert 0 < answer.latency_ms <= (after - before).total_seconds() * 1000 + 1


def test_a_probe_uses_the_pool_and_leaves_it_as_it_was(empty_database_url: str) -> None:
    with small(empty_database_url) as db:
        assert db.check_health().healthy
        assert db.statistics()["requests_num" if "requests_num" in db.statistics() else "pool_available"] == 0
        with db.connection() as conn:
            pid = conn.info.backend_pid
        wait_until(lambda: db.statistics()["pool_available"] >= 1)
        made = db.statistics()["connections_num"]
        for _ in range(5):
            assert db.check_health().healthy
        assert db.statistics()["connections_num"] == made
        assert db.statistics()["connections_in_use"] == 0
        with db.connection() as conn:
            assert conn.execute("SELECT 1").fetchone() == (1,)
            assert conn.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
        assert pid


def test_a_probe_inside_a_transaction_does_not_join_it(empty_database_url: str) -> None:
    with small(empty_database_url) as db:

        def aborted() -> None:
            with db.transaction() as conn:
                with suppress(psycopg.Error):
                    conn.execute("SELECT 1 / 0")
                assert db.check_health(timeout=PATIENCE).healthy

        with pytest.raises(TransactionAbortedError):
            aborted()

        async def main() -> None:
            async with db, db.transaction() as aconn:
                assert (await db.acheck_health(timeout=PATIENCE)).healthy
                assert await (await aconn.execute("SELECT 1")).fetchone() == (1,)

        asyncio.run(main())


def test_the_answer_as_json(empty_database_url: str, probe: Probe) -> None:
    with small(empty_database_url) as db:
        answer = probe(db)
    decoded = json.loads(json.dumps(answer.as_dict()))
    assert set(decoded) == {"healthy", "latency_ms", "checked_at", "category", "error", "hint", "circuit"}
    assert decoded["healthy"] is True
    assert datetime.fromisoformat(decoded["checked_at"]) == answer.checked_at
    assert decoded["latency_ms"] == round(answer.latency_ms, 2)
    unwell = failed(answer.checked_at, 12.345, psycopg.OperationalError("timeout expired\n  at once"))
    assert json.loads(json.dumps(unwell.as_dict())) == {
        "healthy": False,
        "latency_ms": 12.35 if round(12.345, 2) == 12.35 else 12.34,
        "checked_at": answer.checked_at.isoformat(),
        "category": "timeout",
        "error": "timeout expired at once",
        "hint": HINTS[Category.TIMEOUT],
        "circuit": "closed",
    }


def test_the_default_deadline_is_in_the_signatures() -> None:
    for function in (rowsmith.check_health, Database.check_health, Database.acheck_health):
        assert inspect.signature(function).parameters["timeout"].default == 5.0


# --- each category ---


def test_auth(server_tcp_url: str | None, probe: Probe) -> None:
    if server_tcp_url is None:
        pytest.skip("no URL that needs a password")
    where = conninfo_to_dict(server_tcp_url)
    host, port = str(where["host"]), int(where["port"] or 5432)
    for wrong in ({"password": SECRET}, {"user": "no_such_role", "password": SECRET}):
        assert unhealthy(probe, url_at(server_tcp_url, host, port, **wrong)).category is Category.AUTH


@pytest.mark.parametrize(
    "host", ["no-such-host.invalid", "two..dots", "x" * 64], ids=["unknown", "empty-label", "long-label"]
)
def test_dns(probe: Probe, host: str) -> None:
    assert unhealthy(probe, f"postgresql://ada:{SECRET}@{host}/app").category is Category.DNS


def test_a_resolver_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()

    def getaddrinfo(*_: object, **__: object) -> None:
        answered.wait(PATIENCE)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    db = small(f"postgresql://ada:{SECRET}@db.example/app")

    async def main() -> HealthCheck:
        start = time.monotonic()
        answer = await db.acheck_health(timeout=0.3)
        assert time.monotonic() - start < SOON
        answered.set()
        await db.aclose()
        return answer

    start = time.monotonic()
    assert db.check_health(timeout=0.3).category is Category.TIMEOUT
    assert time.monotonic() - start < SOON
    assert asyncio.run(main()).category is Category.TIMEOUT
    wait_until(no_probe_left)


def test_refused_port(probe: Probe) -> None:
    with closed_port() as port:
        assert unhealthy(probe, f"postgresql://ada:{SECRET}@127.0.0.1:{port}/app").category is Category.REFUSED


def test_refused_socket(probe: Probe, tmp_path: Path) -> None:
    assert unhealthy(probe, f"postgresql://ada@/app?host={tmp_path}").category is Category.REFUSED


@pytest.mark.parametrize("timeout", [0.3, 1.0])
def test_timeout_black_hole(probe: Probe, timeout: float) -> None:
    with black_hole() as port:
        answer = unhealthy(probe, f"postgresql://ada:{SECRET}@127.0.0.1:{port}/app", timeout=timeout)
    assert answer.category is Category.TIMEOUT
    assert answer.latency_ms >= timeout * 1000 - 1


def test_timeout_of_two_addresses(probe: Probe) -> None:
    """The deadline is for all addresses together."""
    with black_hole() as one, black_hole() as other:
        url = f"postgresql://ada@127.0.0.1:{one},127.0.0.1:{other}/app"
        assert unhealthy(probe, url, timeout=0.4).category is Category.TIMEOUT


@pytest.mark.parametrize("timeout", [0, -1, 0.0001])
def test_no_time_at_all(empty_database_url: str, probe: Probe, timeout: float) -> None:
    with small(empty_database_url) as db:
        answer = probe(db, timeout=timeout)
        assert answer.category in (Category.TIMEOUT, None)
        assert db.statistics()["connections_in_use"] == 0
    with black_hole() as port:
        assert unhealthy(probe, f"postgresql://ada@127.0.0.1:{port}/app", timeout=timeout).category is Category.TIMEOUT


@pytest.mark.parametrize(
    ("sqlstate", "message", "expected"),
    [
        ("57P03", "the database system is starting up", Category.STARTING),
        ("57P03", "the database system is shutting down", Category.STARTING),
        ("57P03", "the database system is in recovery mode", Category.STARTING),
        ("57P03", "the database system is not yet accepting connections", Category.STARTING),
        ("53300", "sorry, too many clients already", Category.SATURATED),
        (
            "53300",
            "remaining connection slots are reserved for roles with the SUPERUSER attribute",
            Category.SATURATED,
        ),
        ("53300", 'too many connections for database "app"', Category.SATURATED),
        ("53300", 'too many connections for role "ada"', Category.SATURATED),
        ("28P01", 'password authentication failed for user "ada"', Category.AUTH),
        ("28000", 'role "ada" does not exist', Category.AUTH),
        ("28000", 'role "ada" is not permitted to log in', Category.AUTH),
        ("28000", 'no pg_hba.conf entry for host "127.0.0.1", user "ada", database "app"', Category.AUTH),
        ("42501", 'permission denied for database "app"', Category.AUTH),
        ("3D000", 'database "app" does not exist', Category.UNKNOWN),
        ("55000", 'database "app" is not currently accepting connections', Category.UNKNOWN),
        ("XX000", "something new", Category.UNKNOWN),
    ],
)
def test_what_a_server_says_at_the_door(probe: Probe, sqlstate: str, message: str, expected: Category) -> None:
    with refusing_server(sqlstate, message) as port:
        answer = unhealthy(probe, f"postgresql://ada:{SECRET}@127.0.0.1:{port}/app")
    assert answer.category is expected
    assert message in str(answer.error)


def test_a_server_that_hangs_up(probe: Probe, empty_database_url: str) -> None:
    with Proxy(empty_database_url) as proxy:
        proxy.refuse = True
        assert unhealthy(probe, proxy.url).category is Category.REFUSED


@contextmanager
def role(url: str, attributes: str) -> Generator[str]:
    """A role that may log in, with these attributes; the URL with its name."""
    name = f"rowsmith_{uuid4().hex[:12]}"
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{SECRET}' {attributes}".encode())
        try:
            yield _with_role(url, name)
        finally:
            conn.execute(f"DROP ROLE {name}".encode())


def _with_role(url: str, name: str) -> str:
    scheme, _, rest = url.partition("://")
    login, at, place = rest.rpartition("@")
    return f"{scheme}://{name}:{SECRET}@{place if at else login}"


def test_saturated_role(probe: Probe, empty_database_url: str) -> None:
    with role(empty_database_url, "CONNECTION LIMIT 0") as url:
        answer = unhealthy(probe, url)
    assert answer.category is Category.SATURATED
    assert answer.error is not None
    assert "too many connections for role" in answer.error


def test_saturated_database(probe: Probe, empty_database_url: str) -> None:
    with role(empty_database_url, "") as url, psycopg.connect(empty_database_url, autocommit=True) as conn:
        conn.execute(f'ALTER DATABASE "{conn.info.dbname}" CONNECTION LIMIT 0'.encode())
        assert unhealthy(probe, url).category is Category.SATURATED
        conn.execute(f'ALTER DATABASE "{conn.info.dbname}" CONNECTION LIMIT -1'.encode())
        with small(url) as db:
            assert probe(db).healthy


def test_pool_exhausted_in_threads(empty_database_url: str) -> None:
    with small(empty_database_url) as db:
        with db.connection(), db.connection():
            start = time.monotonic()
            answer = db.check_health(timeout=0.3)
            assert time.monotonic() - start < SOON
            assert answer.category is Category.POOL_EXHAUSTED
            assert answer.hint == HINTS[Category.POOL_EXHAUSTED]
            assert "2 of 2 are in use" in str(answer.error)
        assert db.check_health(timeout=PATIENCE).healthy


def test_pool_exhausted_in_tasks(empty_database_url: str) -> None:
    async def main() -> None:
        async with small(empty_database_url) as db:
            async with db.connection(), db.transaction():
                start = time.monotonic()
                answer = await db.acheck_health(timeout=0.3)
                assert time.monotonic() - start < SOON
                assert answer.category is Category.POOL_EXHAUSTED
            assert (await db.acheck_health(timeout=PATIENCE)).healthy

    asyncio.run(main())


def test_a_probe_waits_for_a_connection_that_comes_free_in_time(empty_database_url: str) -> None:
    with small(empty_database_url) as db, ExitStack() as stack:
        stack.enter_context(db.connection())
        stack.enter_context(db.connection())
        with ThreadPoolExecutor(1) as executor:
            answer = executor.submit(db.check_health, timeout=PATIENCE)
            wait_until(lambda: db.statistics().get("requests_waiting") == 1)
            stack.close()
            assert answer.result().healthy


@pytest.mark.parametrize("probe", [in_a_thread, in_a_thread_with_a_pool, in_a_task, in_a_task_with_a_pool])
def test_read_only(probe: Probe, empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        conn.execute(f'ALTER DATABASE "{conn.info.dbname}" SET default_transaction_read_only = on'.encode())
    renew_sessions(empty_database_url)
    assert unhealthy(probe, empty_database_url).category is Category.READ_ONLY
    separator = "&" if "?" in empty_database_url else "?"
    for wanted in ("read-only", "any"):
        with small(f"{empty_database_url}{separator}target_session_attrs={wanted}") as db:
            assert probe(db).healthy is (wanted == "read-only")


def test_read_only_where_the_url_asks_for_more(probe: Probe, empty_database_url: str) -> None:
    """Here it is libpq that refuses the server."""
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        conn.execute(f'ALTER DATABASE "{conn.info.dbname}" SET default_transaction_read_only = on'.encode())
    renew_sessions(empty_database_url)
    separator = "&" if "?" in empty_database_url else "?"
    answer = unhealthy(probe, f"{empty_database_url}{separator}target_session_attrs=read-write")
    assert answer.category is Category.READ_ONLY


# --- a network that fails under a pool ---


def stalled_in_a_thread(proxy: Proxy) -> HealthCheck:
    with small(proxy.url) as db:
        with db.connection():
            pass
        wait_until(lambda: db.statistics()["pool_available"] >= 1)
        proxy.stall()
        start = time.monotonic()
        answer = db.check_health(timeout=0.4)
        assert time.monotonic() - start < SOON
        proxy.resume()
        _check_usable(db)
        assert db.check_health().healthy
    return answer


def stalled_in_a_task(proxy: Proxy) -> HealthCheck:
    async def main() -> HealthCheck:
        async with small(proxy.url) as db:
            async with db.connection():
                pass
            await idle(db)
            proxy.stall()
            start = time.monotonic()
            answer = await db.acheck_health(timeout=0.4)
            assert time.monotonic() - start < SOON
            proxy.resume()
            async with db.connection() as one, db.connection() as other:
                for conn in (one, other):
                    assert await (await conn.execute("SELECT 1")).fetchone() == (1,)
            assert (await db.acheck_health()).healthy
            assert db.statistics()["connections_in_use"] == 0
        return answer

    return asyncio.run(main())


def _check_usable(db: Database) -> None:
    with db.connection() as one, db.connection() as other:
        for conn in (one, other):
            assert conn.execute("SELECT 1").fetchone() == (1,)
            assert conn.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
    assert db.statistics()["connections_in_use"] == 0


@cancels_and_leaves
@pytest.mark.parametrize("scenario", [stalled_in_a_thread, stalled_in_a_task])
def test_packets_dropped_under_an_idle_connection(
    empty_database_url: str, scenario: Callable[[Proxy], HealthCheck]
) -> None:
    with Proxy(empty_database_url) as proxy:
        answer = scenario(proxy)
    assert answer.category is Category.TIMEOUT


@cancels_and_leaves
def test_probes_in_an_outage_pile_nothing_up(empty_database_url: str) -> None:
    with Proxy(empty_database_url) as proxy, small(proxy.url) as db:
        with db.connection():
            pass
        proxy.stall()
        start = time.monotonic()
        with ThreadPoolExecutor(8) as executor:
            probes = [executor.submit(db.check_health, timeout=0.3) for _ in range(8)]
            answers = [probe.result() for probe in probes]
        assert time.monotonic() - start < SOON
        assert all(answer.category in (Category.TIMEOUT, Category.POOL_EXHAUSTED) for answer in answers)
        proxy.resume()
        wait_until(no_probe_left)
        assert db.statistics()["connections_in_use"] == 0
        _check_usable(db)
    wait_until_alone(empty_database_url)


def test_a_probe_does_not_wait_for_a_pool_that_is_being_opened(empty_database_url: str) -> None:
    with Proxy(empty_database_url) as proxy, small(proxy.url) as db, ThreadPoolExecutor(1) as executor:
        proxy.stall()
        opening = executor.submit(in_a_thread_with_a_pool, db)
        proxy.wait_for_clients(1)
        start = time.monotonic()
        assert db.check_health(timeout=0.3).category is Category.TIMEOUT
        assert time.monotonic() - start < SOON
        proxy.resume()
        assert opening.result().healthy
    wait_until_alone(empty_database_url)


def test_an_interrupted_probe_leaves_nothing_behind(empty_database_url: str) -> None:
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    main_thread = threading.get_ident()

    def interrupt() -> None:
        proxy.wait_for_clients(1)
        signal.pthread_kill(main_thread, signal.SIGINT)

    try:
        with Proxy(empty_database_url) as proxy, small(proxy.url) as db, ThreadPoolExecutor(1) as executor:
            proxy.stall()
            executor.submit(interrupt)
            with pytest.raises(KeyboardInterrupt):
                db.check_health(timeout=5)
            proxy.resume()
            wait_until(no_probe_left)
            assert db.check_health().healthy
            gc.collect()
    finally:
        signal.signal(signal.SIGINT, previous)
    wait_until_alone(empty_database_url)


@pytest.mark.parametrize("after", [False, True], ids=["not-arrived", "not-answered"])
def test_a_probe_whose_select_is_held_back(empty_database_url: str, after: bool) -> None:
    with Proxy(empty_database_url) as proxy, small(proxy.url) as db:
        for opened in (False, True):  # over a connection of its own, and over one of the pool
            if opened:
                with db.connection():
                    pass
                wait_until(lambda: db.statistics()["pool_available"] >= 1)
            sprung = proxy.hold_after(QUESTION) if after else proxy.hold_before(QUESTION)
            start = time.monotonic()
            answer = db.check_health(timeout=0.3)
            assert time.monotonic() - start < SOON
            assert answer.category is Category.TIMEOUT
            assert sprung.is_set()
            proxy.resume()
            _check_usable(db)


def end_others(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("""
            SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
        """)


def test_a_dead_idle_connection_is_not_a_dead_server(empty_database_url: str) -> None:
    with small(empty_database_url) as db:
        with db.connection(), db.connection():
            pass
        for _ in range(3):
            end_others(empty_database_url)
            assert db.check_health(timeout=PATIENCE).healthy
        assert db.statistics()["connections_in_use"] == 0

    async def main() -> None:
        async with small(empty_database_url) as db:
            async with db.connection(), db.connection():
                pass
            for _ in range(3):
                await asyncio.to_thread(end_others, empty_database_url)
                assert (await db.acheck_health(timeout=PATIENCE)).healthy
            assert db.statistics()["connections_in_use"] == 0

    asyncio.run(main())


def test_a_cancelled_probe_leaves_the_pool_whole(empty_database_url: str) -> None:
    async def main() -> None:
        with Proxy(empty_database_url) as proxy:
            async with small(proxy.url) as db:
                async with db.connection():
                    pass
                await idle(db)
                sprung = proxy.hold_after(QUESTION)
                task = asyncio.create_task(db.acheck_health(timeout=5))
                await asyncio.to_thread(sprung.wait, 5)
                task.cancel()
                asyncio.get_running_loop().call_later(0.1, proxy.resume)
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert (await db.acheck_health()).healthy
                async with db.connection(), db.connection():
                    pass
                assert db.statistics()["connections_in_use"] == 0

    asyncio.run(main())


def test_a_closed_database_is_not_healthy(empty_database_url: str, probe: Probe) -> None:
    db = small(empty_database_url)
    with db.connection():
        pass
    db.close()
    answer = probe(db)
    assert not answer.healthy
    assert "closed" in str(answer.error)


# --- errors and pauses, without a server ---


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (psycopg.errors.InvalidPassword("x"), Category.AUTH),
        (psycopg.errors.InvalidAuthorizationSpecification("x"), Category.AUTH),
        (psycopg.errors.InsufficientPrivilege("x"), Category.AUTH),
        (psycopg.errors.TooManyConnections("x"), Category.SATURATED),
        (psycopg.errors.CannotConnectNow("x"), Category.STARTING),
        (psycopg.errors.AdminShutdown("x"), Category.STARTING),
        (psycopg.errors.CrashShutdown("x"), Category.STARTING),
        (psycopg.errors.ReadOnlySqlTransaction("x"), Category.READ_ONLY),
        (psycopg.errors.ConnectionTimeout("x"), Category.TIMEOUT),
        (psycopg.errors.UniqueViolation("x"), Category.UNKNOWN),
        (psycopg.OperationalError("connection failed: fe_sendauth: no password supplied"), Category.AUTH),
        (psycopg.OperationalError('FATAL:  role "ada" does not exist'), Category.AUTH),
        (psycopg.OperationalError('FATAL:  password authentication failed for user "ada"'), Category.AUTH),
        (psycopg.OperationalError('FATAL:  Peer authentication failed for user "ada"'), Category.AUTH),
        (psycopg.OperationalError('FATAL:  too many connections for role "ada"'), Category.SATURATED),
        (psycopg.OperationalError("FATAL:  sorry, too many clients already"), Category.SATURATED),
        (psycopg.OperationalError('could not translate host name "x" to address: ...'), Category.DNS),
        (psycopg.OperationalError("failed to resolve host 'x': [Errno -3] Temporary failure"), Category.DNS),
        (psycopg.OperationalError("FATAL:  the database system is starting up"), Category.STARTING),
        (psycopg.OperationalError("server at 127.0.0.1 failed: Connection refused"), Category.REFUSED),
        (psycopg.OperationalError("socket .s.PGSQL.1 failed: No such file or directory"), Category.REFUSED),
        (psycopg.OperationalError("connection timeout expired"), Category.TIMEOUT),
        (psycopg.OperationalError("Connection timed out"), Category.TIMEOUT),
        (psycopg.OperationalError('FATAL:  database "app" does not exist'), Category.UNKNOWN),
        (psycopg.OperationalError(""), Category.UNKNOWN),
        (PoolTimeoutError("x", Category.POOL_EXHAUSTED), Category.POOL_EXHAUSTED),
        (PoolTimeoutError("x", Category.DNS), Category.DNS),
        (TimeoutError(), Category.TIMEOUT),
        (OSError("Connection refused"), Category.UNKNOWN),
        (ValueError("Connection refused"), Category.UNKNOWN),
    ],
    ids=lambda value: repr(value) if isinstance(value, BaseException) else str(value),
)
def test_the_category_of_an_error(error: BaseException, expected: Category) -> None:
    assert category(error) is expected


def test_which_faults_pass() -> None:
    passing = {each for each in Category if is_transient(PoolTimeoutError("", each))}
    assert passing == {
        Category.REFUSED,
        Category.TIMEOUT,
        Category.STARTING,
        Category.SATURATED,
        Category.DNS,
    }


def test_there_is_a_hint_for_each_category_but_unknown() -> None:
    assert set(HINTS) == set(Category) - {Category.UNKNOWN}
    assert all(hint and hint[0].isupper() and hint.endswith((".", "?")) for hint in HINTS.values())


@given(st.text())
def test_any_text_has_a_category_and_one_line(text: str) -> None:
    error = psycopg.OperationalError(text)
    assert category(error) in Category
    answer = failed(datetime.now(UTC), 1.0, error)
    assert answer.error
    assert len(answer.error.splitlines()) <= 1
    json.dumps(answer.as_dict())


def test_an_error_without_text_is_named() -> None:
    assert failed(datetime.now(UTC), 1.0, TimeoutError()).error == "no answer (TimeoutError)"
    assert passed(datetime.now(UTC), 1.0).healthy


@pytest.mark.parametrize(
    ("retries", "random", "pauses"),
    [
        (0, 1.0, []),
        (1, 1.0, [0.2]),
        (6, 1.0, [0.2, 0.4, 0.8, 1.6, 2.0, 2.0]),
        (3, 0.5, [0.1, 0.2, 0.4]),
        (4, 0.0, [0.0, 0.0, 0.0, 0.0]),
    ],
)
def test_backoff(retries: int, random: float, pauses: list[float]) -> None:
    assert list(backoff(retries, lambda: random)) == pytest.approx(pauses)


def test_backoff_asks_for_each_random_number_when_it_is_due() -> None:
    numbers = iter([0.25, 0.75])
    pauses = backoff(5, lambda: next(numbers), first=1.0, most=10.0)
    assert next(pauses) == pytest.approx(0.25)
    assert next(pauses) == pytest.approx(1.5)


@given(
    retries=st.integers(0, 2000),
    numbers=st.randoms(use_true_random=False),
    first=st.floats(0.001, 10),
    most=st.floats(0.001, 60),
)
def test_backoff_is_bounded(retries: int, numbers: Any, first: float, most: float) -> None:
    pauses = list(backoff(retries, numbers.random, first=first, most=most))
    assert len(pauses) == retries
    assert all(0 <= pause <= most for pause in pauses)
    assert all(pause <= first * 2.0**attempt for attempt, pause in enumerate(pauses[:100]))

"""rowsmith behind a real PgBouncer in transaction mode, where each transaction may run in another of its sessions.

What is special there. That all else holds as well is seen by running the other tests behind one, with `--pgbouncer`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg._pipeline_base import BasePipeline
from psycopg.conninfo import conninfo_to_dict

from blueprint.queries import queries
from rowsmith import Database, migrations
from rowsmith.errors import Category, MigrationError, category
from tests.harness.databases import MIGRATIONS, settings_for
from tests.harness.network import Proxy, url_at
from tests.harness.pgbouncer import (
    LOOPBACK,
    PREPARES_SINCE,
    PgBouncer,
    administer,
    clients,
    find_program,
    pgbouncer,
    version,
)

SERVERS = 3
"""The sessions of the server behind each PgBouncer here, fewer than there are clients."""
CLIENTS = 8
TURNS = 25
PROGRAM = find_program()
PREPARED = [0, 100] if PROGRAM is not None and version(PROGRAM) >= PREPARES_SINCE else [0]
"""max_prepared_statements"""


@pytest.fixture(scope="session")
def program() -> Path:
    if PROGRAM is None:
        pytest.skip("there is no pgbouncer (Debian: apt-get install pgbouncer)")
    return PROGRAM


@pytest.fixture(scope="session", params=PREPARED, ids=["unprepared", "prepared"][: len(PREPARED)])
def bouncer(request: pytest.FixtureRequest, program: Path, server_url: str) -> Iterator[PgBouncer]:
    """One that does not know of prepared statements and, where the version can, one that follows them."""
    with pgbouncer(program, server_url, servers=SERVERS, prepared=request.param) as bouncer:
        yield bouncer


@pytest.fixture
def url(bouncer: PgBouncer, database_url: str) -> str:
    """A migrated database of the test's own, through PgBouncer. All its sessions are there, and take turns."""
    url = bouncer.url(database_url)
    bouncer.warm(url)
    return url


@pytest.fixture
def db(url: str, bouncer: PgBouncer) -> Iterator[Database]:
    with pooled(url) as database:
        yield database
    assert clients(url) == 0


def pooled(url: str, **values: object) -> Database:
    """A database whose pool has more connections than PgBouncer has sessions."""
    return Database(settings_for(url, pgbouncer=True, max_connections=CLIENTS, **values))


def backend(conn: psycopg.Connection[Any]) -> int:
    """The server process of the session at work; the one that the client knows is PgBouncer's invention."""
    ((number,),) = conn.execute("SELECT pg_backend_pid()").fetchall()
    return int(number)


def in_every_session(url: str, statement: str) -> list[list[Any]]:
    """The rows of a statement in each of the sessions behind PgBouncer."""
    with ExitStack() as stack:
        conns = [stack.enter_context(psycopg.connect(url)) for _ in range(SERVERS)]
        return [conn.execute(statement.encode()).fetchall() for conn in conns]  # each holds its session meanwhile


def wait_until(url: str, statement: str, number: int) -> None:
    """Until a statement gives this number."""
    deadline = time.monotonic() + 10
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as conn:
        while conn.execute(statement.encode()).fetchone() != (number,):
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.01)


def by_all_clients(work: Callable[[int], None]) -> None:
    """Do work in as many threads as the pool has connections, with the number of each."""
    with ThreadPoolExecutor(CLIENTS) as executor:
        list(executor.map(work, range(CLIENTS)))


# --- what the tests stand on ---


def test_one_client_has_many_sessions_and_one_session_has_many_clients(url: str) -> None:
    with ExitStack() as stack:
        conns = [stack.enter_context(psycopg.connect(url, autocommit=True)) for _ in range(CLIENTS)]
        seen = [{backend(conn) for _ in range(SERVERS)} for conn in conns]
    assert [len(backends) for backends in seen] == [SERVERS] * CLIENTS
    assert len(set[int]().union(*seen)) == SERVERS


def test_what_psycopg_prepares_is_lost_where_pgbouncer_does_not_follow_it(bouncer: PgBouncer, url: str) -> None:
    """Why DB_PGBOUNCER is there."""

    def repeat() -> None:
        with psycopg.connect(url, autocommit=True) as conn:
            for _ in range(TURNS):
                conn.execute("SELECT %s::int", [1])

    if bouncer.prepared:
        repeat()
    else:
        with pytest.raises(psycopg.errors.InvalidSqlStatementName):
            repeat()


def test_session_settings_are_refused_at_the_door(url: str) -> None:
    """Why DB_PGBOUNCER is there, too. PgBouncer has `options` since 1.20, for the settings that it knows."""
    with (
        Database(settings_for(url, pgbouncer=False)) as database,
        pytest.raises(psycopg.OperationalError, match="unsupported startup parameter"),
        database.connection(),
    ):
        pytest.fail("was entered")


def test_it_is_gone_at_the_end_of_its_block(program: Path, server_url: str) -> None:
    with pgbouncer(program, server_url) as bouncer:
        assert administer(bouncer.console, "SHOW VERSION")
    with pytest.raises(psycopg.OperationalError, match="Connection refused"):
        administer(bouncer.console, "SHOW VERSION")


# --- queries ---


def test_a_query_that_is_run_often_is_never_prepared(db: Database, url: str) -> None:
    def work(_: int) -> None:
        for _ in range(TURNS):
            with db.connection() as conn:
                assert queries.count_users(conn) == 0
                assert queries.get_user_by_email(conn, email="ada@example.com") is None

    by_all_clients(work)
    assert in_every_session(url, "SELECT name FROM pg_prepared_statements") == [[]] * SERVERS


def test_sets_of_parameters_are_never_prepared(db: Database, url: str) -> None:
    """psycopg's executemany prepares at once."""

    def work(number: int) -> None:
        for _ in range(TURNS):
            with db.connection() as conn:
                assert queries.import_reviews(conn, []) == 0
                assert queries.import_page_views(conn, [page_view(str(number))] * 2) == 2

    by_all_clients(work)
    with db.connection() as conn:
        assert queries.count_events(conn) == CLIENTS * TURNS * 2
    assert in_every_session(url, "SELECT name FROM pg_prepared_statements") == [[]] * SERVERS


def test_a_client_that_has_sent_sets_of_parameters_keeps_no_session(
    db: Database, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """psycopg sends a Flush message behind the last Sync of a pipeline: it may come when PgBouncer has ended that."""
    communicate = BasePipeline._communicate_gen  # pyright: ignore[reportPrivateUsage]

    def communicate_slowly(self: BasePipeline) -> Any:
        yield from communicate(self)
        time.sleep(0.05)

    monkeypatch.setattr(BasePipeline, "_communicate_gen", communicate_slowly)
    with ExitStack() as stack:
        for _ in range(SERVERS):
            conn = stack.enter_context(db.connection())
            assert queries.import_page_views(conn, [page_view("/")]) == 1
        assert in_every_session(url, "SELECT 1") == [[(1,)]] * SERVERS


def page_view(url: str) -> Any:
    others = ("user_id", "session_id", "user_agent", "ip_address", "referer")
    return {"url": url, "occurred_at": "2026-01-01Z", **dict.fromkeys(others)}


def test_tasks_share_the_sessions_as_well(db: Database) -> None:
    async def work() -> None:
        for _ in range(TURNS):
            async with db.transaction() as conn:
                await queries.record_health_check(conn, status="fine")
            async with db.connection() as conn:
                await queries.count_users(conn)

    async def main() -> None:
        async with db:
            async with asyncio.TaskGroup() as group:
                for _ in range(CLIENTS):
                    group.create_task(work())
            async with db.connection() as conn:
                assert len(await queries.list_health_checks(conn, max_rows=1000)) == CLIENTS * TURNS

    asyncio.run(main())


def test_a_script_of_several_statements_is_one_transaction_in_one_session(db: Database, url: str) -> None:
    with db.connection() as conn:
        queries.analyze_tables(conn)
    assert in_every_session(url, "SELECT 1") == [[(1,)]] * SERVERS


# --- transactions ---


def test_a_block_keeps_its_session_to_its_end(db: Database) -> None:
    def work(_: int) -> None:
        for _ in range(TURNS):
            with db.transaction() as conn:
                first = backend(conn)
                with db.transaction() as nested:
                    assert backend(nested) == first
                assert backend(conn) == first

    by_all_clients(work)


def test_no_work_is_lost_or_done_twice(db: Database) -> None:
    def work(number: int) -> None:
        for turn in range(TURNS):
            with suppress(ZeroDivisionError), db.transaction() as conn:
                queries.record_health_check(conn, status=f"{number} {turn}")
                with suppress(ZeroDivisionError), db.transaction():
                    queries.record_health_check(conn, status="never")
                    raise ZeroDivisionError
                if turn % 5 == 0:
                    raise ZeroDivisionError

    by_all_clients(work)
    with db.connection() as conn:
        stored = [row.status for row in queries.list_health_checks(conn, max_rows=1000)]
    assert sorted(stored) == sorted(f"{n} {turn}" for n in range(CLIENTS) for turn in range(TURNS) if turn % 5)


def test_what_a_transaction_asks_for_is_gone_with_it(db: Database, url: str) -> None:
    for _ in range(SERVERS):
        with db.transaction(isolation="serializable", read_only=True, deferrable=True) as conn:
            assert conn.execute("SHOW transaction_isolation").fetchall() == [("serializable",)]
    for name, default in (("isolation", "read committed"), ("read_only", "off"), ("deferrable", "off")):
        assert in_every_session(url, f"SHOW transaction_{name}") == [[(default,)]] * SERVERS


def test_a_client_that_is_lost_in_a_block_is_rolled_back(db: Database, url: str) -> None:
    for _ in range(SERVERS):
        with pytest.raises(psycopg.OperationalError), db.transaction() as conn:  # noqa: PT012 - it is the end that raises
            queries.record_health_check(conn, status="lost")
            conn.pgconn.finish()
    with db.connection() as conn:
        assert queries.list_health_checks(conn, max_rows=10) == []
    open_ones = "datname = current_database() AND state LIKE 'idle in transaction%'"
    wait_until(url, f"SELECT count(*) FROM pg_stat_activity WHERE {open_ones}", 0)


def test_sessions_that_are_replaced_between_transactions_are_not_missed(db: Database, bouncer: PgBouncer) -> None:
    """As in an upgrade of the server, or a failover."""
    with db.connection() as conn:
        before = backend(conn)
        administer(bouncer.console, "RECONNECT")
        after = {backend(conn) for _ in range(SERVERS)}
    assert before not in after


def test_a_cancelled_task_stops_its_own_statement_and_no_other(db: Database, url: str) -> None:
    ours = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    running = f"{ours} AND state = 'active' AND query = 'SELECT pg_sleep(31)'"

    async def sleep(seconds: int) -> None:
        async with db.transaction() as conn:
            await queries.record_health_check(conn, status=str(seconds))
            await conn.execute(f"SELECT pg_sleep({seconds})".encode())

    async def main() -> None:
        async with db:
            cancelled, other = asyncio.create_task(sleep(31)), asyncio.create_task(sleep(1))
            await asyncio.to_thread(wait_until, url, running, 1)
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
            await asyncio.to_thread(wait_until, url, running, 0)
            await other
            async with db.connection() as conn:
                assert [row.status for row in await queries.list_health_checks(conn, max_rows=10)] == ["1"]

    asyncio.run(main())


# --- health, and what PgBouncer says ---


def test_a_database_behind_it_is_healthy_in_both_worlds(db: Database) -> None:
    for _ in range(SERVERS):
        assert db.check_health().healthy

    async def main() -> None:
        async with db:
            for _ in range(SERVERS):
                assert (await db.acheck_health()).healthy
                async with db.connection():
                    pass

    asyncio.run(main())


def set_read_only(bouncer: PgBouncer, url: str, default: str) -> None:
    """Make a database read-only by default, or no more, in new sessions."""
    with psycopg.connect(bouncer.direct(url)) as conn:
        conn.execute("SET TRANSACTION READ WRITE")
        conn.execute(f'ALTER DATABASE "{conn.info.dbname}" SET default_transaction_read_only = {default}'.encode())
    administer(bouncer.console, "RECONNECT")


def test_a_server_that_became_read_only_is_seen_and_one_that_is_so_no_more(
    db: Database, url: str, bouncer: PgBouncer
) -> None:
    """As after a failover to a standby: the pool of the program stays, the sessions behind PgBouncer are new."""

    async def main() -> None:
        async with db, db.connection():  # the pools are open
            for default, expected in (("off", None), ("on", Category.READ_ONLY), ("off", None)):
                set_read_only(bouncer, url, default)
                assert (await db.acheck_health()).category is expected
                assert db.check_health().category is expected

    with db.connection():
        asyncio.run(main())


def test_a_server_that_may_be_read_only_is_healthy(db: Database, url: str, bouncer: PgBouncer) -> None:
    set_read_only(bouncer, url, "on")
    assert db.check_health().category is Category.READ_ONLY
    with pooled(f"{url}&target_session_attrs=read-only") as reader:
        assert reader.check_health().healthy


@contextmanager
def nobody_behind(program: Path, server_url: str) -> Generator[str]:
    proxy = Proxy(server_url)
    with pgbouncer(program, proxy.url) as bouncer:
        url = bouncer.url(server_url)
        with proxy, psycopg.connect(url) as conn:
            conn.execute("SELECT 1")
        with pooled(
            url
        ) as database:  # who comes first waits; the others are told that an attempt to connect has failed
            database.check_health(timeout=0.5)
        yield url


@contextmanager
def all_in_use(program: Path, server_url: str) -> Generator[str]:
    with pgbouncer(program, server_url, servers=1, query_wait_timeout=1) as bouncer:
        url = bouncer.url(server_url)
        with psycopg.connect(url) as conn:
            conn.execute("SELECT 1")
            yield url


@contextmanager
def no_place_left(program: Path, server_url: str) -> Generator[str]:
    with pgbouncer(program, server_url, max_client_conn=1) as bouncer:
        url = bouncer.url(server_url)
        with first_place(url):
            yield url


def first_place(url: str) -> psycopg.Connection[Any]:
    """A connection, once there is a place for it: a client that has left keeps its place for a moment."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return psycopg.connect(url)
        except psycopg.OperationalError:
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.01)


@contextmanager
def nobody_of_that_name(program: Path, server_url: str) -> Generator[str]:
    with pgbouncer(program, server_url) as bouncer:
        url = bouncer.url(server_url)
        yield url_at(url, LOOPBACK, int(conninfo_to_dict(url)["port"] or 0), user="no_such_role", password="x")


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (nobody_behind, Category.REFUSED),
        (all_in_use, Category.SATURATED),
        (no_place_left, Category.SATURATED),
        (nobody_of_that_name, Category.AUTH),
    ],
)
def test_what_pgbouncer_says_has_a_category(program: Path, server_url: str, fault: Any, expected: Category) -> None:
    with fault(program, server_url) as url, pooled(url) as database:
        assert database.check_health(timeout=5).category is expected
        with pytest.raises(psycopg.Error) as caught, database.connection() as conn:
            conn.execute("SELECT 1")
        assert category(caught.value) is expected


# --- migrations ---


def test_a_migration_run_is_refused_and_leaves_no_lock_behind(bouncer: PgBouncer, empty_database_url: str) -> None:
    url = bouncer.url(empty_database_url)
    bouncer.warm(url)
    settings = settings_for(url, pgbouncer=True)
    for run in (migrations.apply, migrations.pending):
        with pytest.raises(MigrationError, match="MIGRATION_DATABASE_URL"):
            run(settings, [MIGRATIONS])
    with psycopg.connect(bouncer.direct(url)) as conn:
        held = "SELECT l.pid FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database"
        of_ours = "l.locktype = 'advisory' AND d.datname = current_database()"
        assert conn.execute(f"{held} WHERE {of_ours}".encode()).fetchall() == []


def test_a_migration_run_goes_past_it(bouncer: PgBouncer, empty_database_url: str) -> None:
    url = bouncer.url(empty_database_url)
    settings = settings_for(url, pgbouncer=True, migration_database_url=bouncer.direct(url))
    assert migrations.apply(settings, [MIGRATIONS])
    with pooled(url) as database, database.connection() as conn:
        assert queries.count_users(conn) == 0

"""A standby: read from in transactions, and promoted when its primary is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from rowsmith import load_queries
from rowsmith.errors import Category
from rowsmith.server.scratch import create_database, replace_database
from tests.harness.drivers import AnyConnection, Driver, Observer, both_worlds, insert, small, sql
from tests.harness.servers import FaultyServer, faulty_server, standby_of
from tests.harness.waiting import wait_until
from tests.slow.faults.table import record

QUERIES = """
-- name: count_items()$
SELECT count(*) FROM items;

-- name: add_item(n)!
INSERT INTO items VALUES (:n);
"""


@pytest.fixture
def primary(pytestconfig: pytest.Config) -> Iterator[FaultyServer]:
    with faulty_server(pytestconfig.getoption("--pg-bin")) as server:
        yield server


@pytest.fixture
def standby(primary: FaultyServer, pytestconfig: pytest.Config) -> Iterator[FaultyServer]:
    with standby_of(primary, pytestconfig.getoption("--pg-bin")) as server:
        with psycopg.connect(primary.url, autocommit=True) as conn:
            conn.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            conn.execute("ALTER SYSTEM SET synchronous_commit = remote_apply")
            conn.execute("SELECT pg_reload_conf()")
            wait_until(lambda: conn.execute("SELECT FROM pg_stat_replication WHERE sync_state = 'sync'").rowcount == 1)
        yield server


@pytest.fixture
def queries(tmp_path: Path) -> Any:
    (tmp_path / "items.sql").write_text(QUERIES)
    return load_queries(tmp_path)


async def ask(here: Driver, query: Any, **parameters: object) -> Any:
    """What a query gives in a transaction, in either world."""
    async with here.transaction() as conn:
        result = query(conn, **parameters)
        return await result if hasattr(result, "__await__") else result


@both_worlds
def test_transactions_that_read_run_on_a_standby(
    driver: type[Driver], primary: FaultyServer, standby: FaultyServer, queries: Any
) -> None:
    url = create_database(primary.url, "replicated")
    with closing(Observer(url)) as observer:
        observer.do("INSERT INTO items VALUES (1), (2)")
    here = driver(small(replace_database(standby.url, "replicated")))

    async def body() -> None:
        for _ in range(3):
            assert await ask(here, queries.count_items) == 2
            async with here.transaction() as conn:
                assert await sql(conn, "SELECT max(n) FROM items") == [(2,)]
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            await ask(here, queries.add_item, n=3)
        assert await ask(here, queries.count_items) == 2
        health = await here.health()
        assert not health.healthy
        assert health.category is Category.READ_ONLY
        await here.check_whole()

    here.drive(body)


@both_worlds
def test_failover_to_a_standby_that_is_promoted(
    driver: type[Driver], primary: FaultyServer, standby: FaultyServer
) -> None:
    """Two hosts in the URL, and `target_session_attrs=read-write`: work goes on where it can be written to."""
    create_database(primary.url, "replicated")
    url = replace_database(primary.url, "replicated")
    hosts = f"{_host(primary)},{_host(standby)}"
    two = url.replace(_host(primary), hosts) + "?target_session_attrs=read-write"
    here = driver(small(two, connection_timeout=5000))

    async def body() -> None:
        for number in range(1, 21):
            await here.run(partial(_add, number))
        primary.kill()
        observer.url = replace_database(standby.url, "replicated")
        observer.do("SELECT pg_promote()")
        promoted = time.monotonic()
        await here.run(partial(_add, 1000))
        record("failover to a promoted standby, in `run()`", "nothing: it is retried", time.monotonic() - promoted)
        assert observer.stored() == [*range(1, 21), 1000]
        await here.check_whole()

    with closing(Observer(url)) as observer:
        here.drive(body)


async def _add(number: int, conn: AnyConnection) -> None:
    await insert(conn, number)


def _host(server: FaultyServer) -> str:
    return server.url.rpartition("@")[2].partition("/")[0]

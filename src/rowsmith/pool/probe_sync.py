# Generated from probe_async.py by tools/async_to_sync.py: change that file, then run `make format`.
"""The health probe: a `SELECT 1` on a pool's database, within a deadline."""

from __future__ import annotations

from time import monotonic, perf_counter

import psycopg
import psycopg_pool

from rowsmith.pool.connection_sync import PooledConnection
from rowsmith.pool.events import read_only_parameter
from rowsmith.pool.health import HealthCheck, failed, passed, utc_now
from rowsmith.pool.pool_sync import CLOSED, Pool
from rowsmith.wire.deadlines import until


def probe_sync(pool: Pool, timeout: float) -> HealthCheck:
    """Probe the database, in `timeout` seconds at most. Never raises an Exception."""
    checked_at, start = utc_now(), perf_counter()
    try:
        _probe(pool, monotonic() + timeout)
    except Exception as error:  # noqa: BLE001 - the outcome of a probe is a value
        return failed(checked_at, (perf_counter() - start) * 1000, error)
    return passed(checked_at, (perf_counter() - start) * 1000)


def _probe(pool: Pool, end: float) -> None:
    """Over an idle connection of the pool, or a new one if the pool has none, or a dead one."""
    if pool.closed:
        raise psycopg_pool.PoolClosed(CLOSED)
    statistics = pool.statistics()
    full = statistics["connections_in_use"] >= pool.settings.max_connections
    if pool.opened and (full or statistics.get("pool_available", 0) > 0):
        conn = pool.ready_connection() or pool.next_connection(monotonic(), end)
        pool.checkouts.add(conn, monotonic())
        try:
            _check_writable(pool, conn, end)
        except psycopg.OperationalError:
            if not conn.broken or end <= monotonic():
                raise
        else:
            return
        finally:
            pool.release(conn)
    with until(end):
        with pool.direct_connection() as conn:
            _check_writable(pool, conn, end)


def _check_writable(pool: Pool, conn: PooledConnection, end: float) -> None:
    """Raises psycopg.Error if the server does not answer in time, or is read-only and should not be."""
    with until(end):
        read_only = _why_read_only(pool, conn)
    wanted = conn.info.get_parameters().get("target_session_attrs")
    if read_only and wanted not in ("read-only", "standby", "prefer-standby"):
        raise psycopg.errors.ReadOnlySqlTransaction(f"the server cannot be written to: {read_only} is on")


def _why_read_only(pool: Pool, conn: PooledConnection) -> str | None:
    """The parameter that makes the server read-only, None if it is not."""
    if not pool.settings.pgbouncer:
        conn.command(b"SELECT 1")
        return read_only_parameter(conn.pgconn)
    # A pooler repeats to its clients what a server once reported: the one at work has to be asked.
    answer = conn.command(b"SHOW transaction_read_only")
    return "transaction_read_only" if answer.get_value(0, 0) == b"on" else None

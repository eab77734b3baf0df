"""The lock of a migration run: one run at a time on a database.

There are two advisory locks. The run itself holds the first on a connection that does nothing else. The session that
runs a migration holds the second. So a run whose process was killed holds up the next one for as long as its last
statement goes on in the server, although its first connection has ended.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import psycopg
from psycopg.rows import TupleRow

from rowsmith.migrations.failure import RefusedError

LOCK_SECONDS = 600.0
"""How long a run waits for another one, in seconds: a migration may take long."""
POLL_SECONDS = 0.25
# Every run on a database has to use the same numbers. The first is the letters of "rowsmith".
RUN = int.from_bytes(b"rowsmith")
SESSION = RUN + 1
_LONGEST_QUERY = 100

_HELD = b"""
    SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND (classid::bigint << 32) + objid::bigint = %s
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_HOLDER = (
    b"""
    SELECT pid, application_name || to_char(backend_start, '", since "HH24:MI:SS'), state = 'active', query
    FROM pg_stat_activity WHERE pid IN (%b)
"""
    % _HELD
)
_HELD_HERE = _HELD + b" AND pid = pg_backend_pid()"

Connection = psycopg.Connection[TupleRow]


def acquire(conn: Connection, seconds: float, tell: Callable[[str], None]) -> None:
    """Acquire the lock of the run, and wait for what is left of an earlier one. Says once for whom it waits.

    The locks are polled: a session that waits inside pg_advisory_lock holds a snapshot, for which CREATE INDEX
    CONCURRENTLY would wait in turn. Raises RefusedError after `seconds`.
    """
    _wait(conn, RUN, "another migration run", seconds, tell)
    # Whoever runs a migration checks that its run still holds the first lock after it has acquired the second one. So
    # nobody begins now.
    _wait(conn, SESSION, "the last statement of a migration run that was killed", seconds, tell)
    release(conn, SESSION)


def try_acquire(conn: Connection, key: int) -> bool:
    """Acquire a lock if it is free."""
    row = conn.execute("SELECT pg_try_advisory_lock(%s)", [key]).fetchone()
    return row is not None and bool(row[0])


def release(conn: Connection, key: int) -> None:
    """Release a lock; do nothing if the connection, and the lock with it, is lost."""
    if not conn.closed:
        conn.execute("SELECT pg_advisory_unlock(%s)", [key])


def is_held(conn: Connection) -> bool:
    """Whether this connection still holds the lock of the run."""
    try:
        return conn.execute(_HELD_HERE, [RUN]).fetchone() is not None
    except psycopg.OperationalError:
        return False


def _wait(conn: Connection, key: int, whom: str, seconds: float, tell: Callable[[str], None]) -> None:
    deadline, told = time.monotonic() + seconds, None
    while not try_acquire(conn, key):
        pid, holder = _holder(conn, key)
        if time.monotonic() > deadline:
            raise RefusedError(f"after {seconds:.0f} s {whom} still held the lock: {holder}")
        if pid is not None and pid != told:
            hint = f". To end it: SELECT pg_terminate_backend({pid})" if key == SESSION else ""
            tell(f"waiting for {whom}: {holder}{hint}")
            told = pid
        time.sleep(POLL_SECONDS)


def _holder(conn: Connection, key: int) -> tuple[int | None, str]:
    """The process id of the lock's holder, and what is known about it."""
    row = conn.execute(_HOLDER, [key]).fetchone()
    if row is None:
        return None, "it has just ended"
    pid, client, active, query = row  # if the role may not see other sessions, all but the first are NULL
    text = re.split("['$]", " ".join((query or "").split()))[0]  # no literal, which may be a password
    work = f", which runs {text[:_LONGEST_QUERY].strip()}" if active else ""
    return pid, f"server process {pid}{f' ({client})' if client else ''}{work}"

# Generated from advisory_locks_async.py by tools/async_to_sync.py: change that file, then run `make format`.
"""Advisory locks: PostgreSQL's locks of a number, held by a session (manual, "Advisory Locks")."""

from __future__ import annotations

import hashlib
import random
from time import monotonic
from types import TracebackType
from typing import Self

import psycopg

from rowsmith.concurrency import sleep
from rowsmith.connections import PooledConnection
from rowsmith.deadlines import remaining
from rowsmith.errors import ConnectionLostError, LockTimeoutError, TransactionError
from rowsmith.pool import Pool

_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0
_BITS = 2**63


def lock_key(name: str | int) -> int:
    """The number of a lock: the first eight bytes of the name's SHA-256, signed; a number is taken as it is."""
    if isinstance(name, int):
        if not -_BITS <= name < _BITS:
            raise ValueError(f"{name} is no 64-bit number, as PostgreSQL's advisory locks have")
        return name
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


class AdvisoryLock:
    """A lock, for one `async with`. It is asked for again and again: a session that waits for a lock inside the server
    makes CREATE INDEX CONCURRENTLY wait for it, and statement_timeout would end the wait.
    """

    def __init__(self, pool: Pool, key: int, name: str, wait: float | None, *, shared: bool) -> None:
        self._pool = pool
        self._key = key
        self._name = name
        self._wait = wait
        self._suffix = "_shared" if shared else ""
        self._conn: PooledConnection

    def __enter__(self) -> Self:
        if self._pool.settings.pgbouncer:
            raise TransactionError(
                "behind a transaction pooler there is no session that could hold an advisory lock: take it in a "
                "transaction, with SELECT pg_advisory_xact_lock(...)"
            )
        self._conn = self._pool.take()
        try:
            self._get()
        except BaseException as error:
            self._pool.give(self._conn, error)
            raise
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        lost = False
        try:
            lost = not self._ask(f"SELECT pg_advisory_unlock{self._suffix}(%s)")
        except psycopg.Error:
            self._conn.close()
            lost = True
        except BaseException:
            self._conn.close()  # which frees the lock
            raise
        finally:
            self._pool.give(self._conn, exc)
        if lost and exc is None:
            raise ConnectionLostError(
                f"the advisory lock {self._name!r} was lost inside its block, with its connection"
            )

    def is_held(self) -> bool:
        """Whether the server still holds it for this block. Takes a round trip."""
        try:
            return self._ask(
                "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() "
                "AND granted AND objsubid = 1 AND (classid::bigint << 32) | objid::bigint = %s)"
            )
        except psycopg.Error:
            return False

    def _get(self) -> None:
        end = None if self._wait is None else monotonic() + self._wait
        pause = _PAUSE_SECONDS
        while not self._ask(f"SELECT pg_try_advisory_lock{self._suffix}(%s)"):
            left = None if end is None else end - monotonic()
            if left is not None and left <= 0:
                raise LockTimeoutError(f"the advisory lock {self._name!r} is held by another session")
            longest = min(each for each in (pause, left, remaining()) if each is not None)
            sleep(longest * random.uniform(0.5, 1))  # noqa: S311 - a pause is no secret
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _ask(self, question: str) -> bool:
        cursor = self._conn.execute(question.encode(), [self._key], prepare=False)
        row = cursor.fetchone()
        return row is not None and bool(row[0])

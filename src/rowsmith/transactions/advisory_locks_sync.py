# Generated from advisory_locks_async.py by tools/async_to_sync.py: change that file, then run `make format`.
"""Advisory locks: PostgreSQL's locks of a number, held by a session or a transaction (manual, "Advisory Locks")."""

from __future__ import annotations

import random
import sys
from time import monotonic
from types import TracebackType
from typing import Self

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow

from rowsmith.errors import ConnectionLostError, LockTimeoutError, TransactionError
from rowsmith.pool.pool_sync import Pool
from rowsmith.queries.session import session_of
from rowsmith.transactions.block_sync import TransactionBlock
from rowsmith.transactions.lock_requests import LockRequest
from rowsmith.wire.concurrency import sleep_sync
from rowsmith.wire.deadlines import remaining

_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0


class AdvisoryLock:
    """A lock that is asked for again and again: a session that waits for a lock inside the server makes CREATE INDEX
    CONCURRENTLY wait for it, and statement_timeout would end the wait.
    """

    _conn: Connection[TupleRow]

    def __init__(self, request: LockRequest) -> None:
        self._request = request
        self._key = request.key

    def is_held(self) -> bool:
        """Whether the server still holds it for this block. Takes a round trip."""
        try:
            return self._ask(
                "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() "
                "AND granted AND objsubid = 1 AND (classid::bigint << 32) | objid::bigint = %s)"
            )
        except psycopg.Error:
            return False

    def _get(self, function: str) -> None:
        wait = self._request.wait
        end = None if wait is None else monotonic() + wait
        pause = _PAUSE_SECONDS
        while not self._ask(self._request.function(function)):
            left = None if end is None else end - monotonic()
            if left is not None and left <= 0:
                raise LockTimeoutError(f"the advisory lock {self._request.name!r} is held by another session")
            longest = min(each for each in (pause, left, remaining()) if each is not None)
            sleep_sync(longest * random.uniform(0.5, 1))  # noqa: S311 - a pause is no secret
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _ask(self, question: str) -> bool:
        session = session_of(self._conn)
        dirty = session.dirty
        cursor = self._conn.execute(question.encode(), [self._key], prepare=False)
        session.dirty = dirty  # which a cursor sets: what is held ends with the block
        row = cursor.fetchone()
        return row is not None and bool(row[0])


class SessionLock(AdvisoryLock):
    """A lock for one `async with`, held by a session of its own: a connection of the pool."""

    def __init__(self, pool: Pool, request: LockRequest) -> None:
        super().__init__(request)
        self._pool = pool

    def __enter__(self) -> Self:
        if self._pool.settings.pgbouncer:
            raise TransactionError(
                "behind a transaction pooler there is no session that could hold an advisory lock: take it with "
                "scope='transaction'"
            )
        self._conn = self._own = self._pool.acquire()
        try:
            self._get("pg_try_advisory_lock")
        except BaseException as error:
            self._pool.release(self._own, error)
            raise
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        lost = False
        try:
            lost = not self._ask(self._request.function("pg_advisory_unlock"))
        except psycopg.Error:
            self._conn.close()
            lost = True
        except BaseException:
            self._conn.close()  # which frees the lock
            raise
        finally:
            self._pool.release(self._own, exc)
        if lost and exc is None:
            raise ConnectionLostError(
                f"the advisory lock {self._request.name!r} was lost inside its block, with its connection"
            )


class TransactionLock(AdvisoryLock):
    """A lock held by a transaction, for one `async with`: by the one that is open, else by one of the block's own."""

    def __init__(self, block: TransactionBlock, request: LockRequest) -> None:
        super().__init__(request)
        self._block = block

    def __enter__(self) -> Self:
        self._conn = self._block.__enter__()
        try:
            self._get("pg_try_advisory_xact_lock")
        except BaseException:
            self._block.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._block.__exit__(exc_type, exc, traceback)

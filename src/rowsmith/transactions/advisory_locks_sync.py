# Generated from advisory_locks_async.py by tools/async_to_sync.py: change that file, then run `make format`.
"""Advisory locks: PostgreSQL's locks on a number, held by a session or a transaction (manual, "Advisory Locks")."""

from __future__ import annotations

import random
import sys
from time import monotonic
from typing import Self

import psycopg

from rowsmith.errors import ConnectionLostError, LockTimeoutError, TransactionError
from rowsmith.pool.connection_sync import PooledConnection
from rowsmith.pool.pool_sync import Pool
from rowsmith.queries.session import session_of
from rowsmith.transactions.block_sync import TransactionBlock
from rowsmith.transactions.current import Statement
from rowsmith.transactions.lock_requests import LockRequest
from rowsmith.wire.concurrency import sleep_sync
from rowsmith.wire.deadlines import remaining, tidying

_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0
_IS_HELD = (
    b"SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() "
    b"AND granted AND objsubid = 1 AND (classid::bigint << 32) | objid::bigint = $1)"
)


class AdvisoryLock:
    """An advisory lock that is held for a block.

    It is polled: a session that waits for a lock inside the server would make CREATE INDEX CONCURRENTLY wait for it,
    and statement_timeout would end the wait.
    """

    _conn: PooledConnection

    def __init__(self, request: LockRequest) -> None:
        self._request = request
        self._key = str(request.key).encode()

    def is_held(self) -> bool:
        """Whether the server still holds it for this block. Takes a round trip."""
        try:
            return self._ask(_IS_HELD)
        except psycopg.Error:
            return False

    def _acquire(self, function: str) -> None:
        wait = self._request.wait
        end = None if wait is None else monotonic() + wait
        pause = _PAUSE_SECONDS
        while not self._ask(self._request.statement(function)):
            left = None if end is None else end - monotonic()
            if left is not None and left <= 0:
                raise LockTimeoutError(
                    f"the advisory lock {self._request.name!r} could not be acquired within {wait:g} s: it is held by "
                    "another session"
                )
            longest = min(each for each in (pause, left, remaining()) if each is not None)
            sleep_sync(longest * random.uniform(0.5, 1))  # noqa: S311 - a pause is no secret
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _ask(self, question: bytes) -> bool:
        self._conn.synchronize()
        self._conn.begin()
        answer = self._conn.command(question, self._key)
        return answer.get_value(0, 0) == b"t"


class SessionLock(AdvisoryLock):
    """A lock held by a session: a connection of the pool for the length of the block."""

    def __init__(self, pool: Pool, request: LockRequest) -> None:
        super().__init__(request)
        self._pool = pool

    def __enter__(self) -> Self:
        if self._pool.settings.pgbouncer:
            raise TransactionError(
                "behind a transaction pooler no session can hold an advisory lock: pass scope='transaction'"
            )
        self._conn = self._pool.acquire()
        try:
            self._acquire("pg_try_advisory_lock")
        except BaseException as error:
            session_of(self._conn).note_unknown()  # the server may have granted the lock, and the answer was not read
            self._pool.release(self._conn, error)
            raise
        return self

    def __exit__(self, exc_type: object, exc: BaseException | None, traceback: object) -> None:
        lost = False
        try:
            with tidying():
                lost = not self._ask(self._request.statement("pg_advisory_unlock"))
        except psycopg.Error:
            self._conn.close()
            lost = True
        except BaseException:
            self._conn.close()  # which frees the lock
            raise
        finally:
            self._pool.release(self._conn, exc)
        if lost and exc is None:
            raise ConnectionLostError(f"the advisory lock {self._request.name!r} was lost inside its block")


class TransactionLock(AdvisoryLock):
    """A lock held by a transaction: the one that is open, or else one that the block opens."""

    statement: Statement = None

    def __init__(self, block: TransactionBlock, request: LockRequest) -> None:
        super().__init__(request)
        self._block = block

    def __enter__(self) -> Self:
        self._block.statement = self.statement
        self._conn = self._block.__enter__()
        try:
            self._acquire("pg_try_advisory_xact_lock")
        except BaseException:
            self._block.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, exc_type: object, exc: BaseException | None, traceback: object) -> None:
        self._block.__exit__(exc_type, exc, traceback)

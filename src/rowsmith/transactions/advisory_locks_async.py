"""Advisory locks: PostgreSQL's locks of a number, held by a session or a transaction (manual, "Advisory Locks")."""

from __future__ import annotations

import random
import sys
from time import monotonic
from types import TracebackType
from typing import Self

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from rowsmith.errors import ConnectionLostError, LockTimeoutError, TransactionError
from rowsmith.pool.pool_async import AsyncPool
from rowsmith.queries.session import session_of
from rowsmith.transactions.block_async import AsyncTransactionBlock
from rowsmith.transactions.lock_requests import LockRequest
from rowsmith.wire.concurrency import sleep_async
from rowsmith.wire.deadlines import remaining

_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0


class AsyncAdvisoryLock:
    """A lock that is asked for again and again: a session that waits for a lock inside the server makes CREATE INDEX
    CONCURRENTLY wait for it, and statement_timeout would end the wait.
    """

    _conn: AsyncConnection[TupleRow]

    def __init__(self, request: LockRequest) -> None:
        self._request = request
        self._key = request.key

    async def is_held(self) -> bool:
        """Whether the server still holds it for this block. Takes a round trip."""
        try:
            return await self._ask(
                "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() "
                "AND granted AND objsubid = 1 AND (classid::bigint << 32) | objid::bigint = %s)"
            )
        except psycopg.Error:
            return False

    async def _get(self, function: str) -> None:
        wait = self._request.wait
        end = None if wait is None else monotonic() + wait
        pause = _PAUSE_SECONDS
        while not await self._ask(self._request.function(function)):
            left = None if end is None else end - monotonic()
            if left is not None and left <= 0:
                raise LockTimeoutError(f"the advisory lock {self._request.name!r} is held by another session")
            longest = min(each for each in (pause, left, remaining()) if each is not None)
            await sleep_async(longest * random.uniform(0.5, 1))  # noqa: S311 - a pause is no secret
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def _ask(self, question: str) -> bool:
        session = session_of(self._conn)
        dirty = session.dirty
        cursor = await self._conn.execute(question.encode(), [self._key], prepare=False)
        session.dirty = dirty  # which a cursor sets: what is held ends with the block
        row = await cursor.fetchone()
        return row is not None and bool(row[0])


class AsyncSessionLock(AsyncAdvisoryLock):
    """A lock for one `async with`, held by a session of its own: a connection of the pool."""

    def __init__(self, pool: AsyncPool, request: LockRequest) -> None:
        super().__init__(request)
        self._pool = pool

    async def __aenter__(self) -> Self:
        if self._pool.settings.pgbouncer:
            raise TransactionError(
                "behind a transaction pooler there is no session that could hold an advisory lock: take it with "
                "scope='transaction'"
            )
        self._conn = self._own = await self._pool.acquire()
        try:
            await self._get("pg_try_advisory_lock")
        except BaseException as error:
            await self._pool.release(self._own, error)
            raise
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        lost = False
        try:
            lost = not await self._ask(self._request.function("pg_advisory_unlock"))
        except psycopg.Error:
            await self._conn.close()
            lost = True
        except BaseException:
            await self._conn.close()  # which frees the lock
            raise
        finally:
            await self._pool.release(self._own, exc)
        if lost and exc is None:
            raise ConnectionLostError(
                f"the advisory lock {self._request.name!r} was lost inside its block, with its connection"
            )


class AsyncTransactionLock(AsyncAdvisoryLock):
    """A lock held by a transaction, for one `async with`: by the one that is open, else by one of the block's own."""

    def __init__(self, block: AsyncTransactionBlock, request: LockRequest) -> None:
        super().__init__(request)
        self._block = block

    async def __aenter__(self) -> Self:
        self._conn = await self._block.__aenter__()
        try:
            await self._get("pg_try_advisory_xact_lock")
        except BaseException:
            await self._block.__aexit__(*sys.exc_info())
            raise
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._block.__aexit__(exc_type, exc, traceback)

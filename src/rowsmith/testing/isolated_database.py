"""The database of a test: an ordinary `Database`, until a test has a connection that is rolled back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager

from psycopg import AsyncConnection, Connection
from psycopg.rows import TupleRow

from rowsmith.database import Database
from rowsmith.errors import TransactionError
from rowsmith.testing.isolation_async import AsyncIsolatedBlock, AsyncIsolation
from rowsmith.testing.isolation_sync import IsolatedBlock, Isolation
from rowsmith.transactions.block_async import AsyncTransactionBlock
from rowsmith.transactions.block_sync import TransactionBlock
from rowsmith.transactions.options import PLAIN, TransactionOptions


class IsolatedDatabase(Database):
    """A `Database` whose blocks can be made savepoints of one transaction, which is rolled back."""

    _isolation: Isolation | None = None
    _aisolation: tuple[asyncio.AbstractEventLoop, AsyncIsolation] | None = None

    @contextmanager
    def isolated(self) -> Generator[Connection[TupleRow]]:
        """A connection in a transaction that is rolled back. In the block, all `with` blocks are savepoints of it."""
        isolation = Isolation(self, self._pool)
        with isolation as conn:
            self._isolation = isolation
            try:
                yield conn
            finally:
                self._isolation = None

    @asynccontextmanager
    async def aisolated(self) -> AsyncGenerator[AsyncConnection[TupleRow]]:
        """The same for `async with`, in the event loop that runs."""
        isolation = AsyncIsolation(self, self._apool())
        async with isolation as conn:
            self._aisolation = asyncio.get_running_loop(), isolation
            try:
                yield conn
            finally:
                self._aisolation = None

    def _block(self, options: TransactionOptions) -> TransactionBlock:
        if self._isolation is not None:
            return IsolatedBlock(self, self._isolation, options)
        if self._aisolation is not None:
            raise _other_world("with", "rowsmith_aconn", "rowsmith_conn")
        return super()._block(options)

    def _ablock(self, options: TransactionOptions) -> AsyncTransactionBlock:
        if self._aisolation is not None:
            loop, isolation = self._aisolation
            if loop is not asyncio.get_running_loop():
                raise TransactionError(
                    "the transaction of rowsmith_aconn belongs to the test's event loop, and this block is in another "
                    "one, as that of Starlette's TestClient. Use a client in the same loop, such as httpx.AsyncClient "
                    "with an ASGITransport, or test with rowsmith_db alone, which is emptied after each test"
                )
            return AsyncIsolatedBlock(self, isolation, options)
        if self._isolation is not None:
            raise _other_world("async with", "rowsmith_conn", "rowsmith_aconn")
        return super()._ablock(options)

    def _lease(self) -> AbstractContextManager[Connection[TupleRow]]:
        return super()._lease() if self._isolation is None and self._aisolation is None else self._block(PLAIN)

    def _alease(self) -> AbstractAsyncContextManager[AsyncConnection[TupleRow]]:
        return super()._alease() if self._isolation is None and self._aisolation is None else self._ablock(PLAIN)


def _other_world(block: str, fixture: str, other: str) -> TransactionError:
    return TransactionError(
        f"`{block}` cannot join the transaction of {fixture}, whose connection is of the other kind. Use {other}, or "
        "rowsmith_db alone, which is emptied after each test"
    )

"""A transaction block: the rules of `transactions`, carried out on a connection."""

from __future__ import annotations

import logging
from types import TracebackType

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from rowsmith.connections_async import AsyncPooledConnection
from rowsmith.errors import TransactionError
from rowsmith.pool_async import AsyncPool
from rowsmith.transactions import (
    OpenTransaction,
    OpenTransactions,
    TransactionOptions,
    check_commit,
    current_owner,
    ending,
    savepoint,
)

logger = logging.getLogger("rowsmith.transactions")


class AsyncTransactionBlock:
    """One `with transaction():`, for one use: a transaction, or a savepoint where the owner has one open."""

    def __init__(self, pool: AsyncPool, transactions: OpenTransactions, options: TransactionOptions) -> None:
        self._pool = pool
        self._transactions = transactions
        self._options = options

    async def __aenter__(self) -> AsyncConnection[TupleRow]:
        self._owner = current_owner()
        outer = self._transactions.get(self._owner)
        self._depth = 0 if outer is None else outer.depth + 1
        if outer is None:
            self._conn = await self._begin()
            self._transactions[self._owner] = OpenTransaction(self._conn)
        else:
            self._conn = self._joined(outer)
            await self._conn.execute(savepoint(self._depth), prepare=False)
            outer.depth = self._depth
        return self._conn

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if exc_type is None:
                await self._end()
            else:
                await self._undo()
        finally:
            if self._depth == 0:
                del self._transactions[self._owner]
                self._conn.in_block = False
                await self._pool.give(self._conn)
            else:
                self._transactions[self._owner].depth = self._depth - 1

    async def _begin(self) -> AsyncPooledConnection:
        conn = await self._pool.take()
        try:
            await conn.execute(self._options.begin(), prepare=False)
        except BaseException:
            await self._pool.give(conn)
            raise
        conn.in_block = True
        return conn

    def _joined(self, outer: OpenTransaction) -> AsyncPooledConnection:
        if self._options != TransactionOptions():
            raise TransactionError(
                "a nested transaction() is a savepoint of the one around it, which has isolation, read_only and "
                "deferrable for both: give them to the outermost block"
            )
        if not isinstance(outer.connection, AsyncPooledConnection):
            raise TransactionError(
                "`with transaction():` and `async with transaction():` are nested in one task. They use connections "
                "of different kinds, and cannot share a transaction: use one kind for both"
            )
        return outer.connection

    async def _end(self) -> None:
        end = ending(self._depth, self._conn.info.transaction_status, failed=False)
        status: str | None = None
        for command in end.commands:
            status = (await self._conn.execute(command, prepare=False)).statusmessage
        if end.error is not None:
            raise end.error
        if self._depth == 0:
            check_commit(status)

    async def _undo(self) -> None:
        """Roll back. An error in that is logged: the one that ended the block is the one to see."""
        try:
            for command in ending(self._depth, self._conn.info.transaction_status, failed=True).commands:
                await self._conn.execute(command, prepare=False)
        except psycopg.Error as error:
            logger.warning("the rollback of a transaction block failed: %s", error)

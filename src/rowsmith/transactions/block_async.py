"""A transaction block: the rules of `transactions`, carried out on a connection."""

from __future__ import annotations

import logging
from contextlib import suppress
from types import TracebackType

import psycopg
from psycopg import AsyncConnection
from psycopg.pq import PipelineStatus
from psycopg.rows import TupleRow

from rowsmith.errors import TransactionError
from rowsmith.pool.connection_async import AsyncPooledConnection
from rowsmith.pool.pool_async import AsyncPool
from rowsmith.queries.session import Session, Trace, session_of
from rowsmith.transactions.commit_async import commit_async
from rowsmith.transactions.rules import (
    COMMIT,
    PLAIN,
    Ending,
    OpenTransaction,
    TransactionOptions,
    begin_open,
    check_commit,
    disorder,
    end_open,
    ending,
    find_open,
    savepoint,
)
from rowsmith.wire.connection import AsyncWire

logger = logging.getLogger("rowsmith.transactions")


class AsyncTransactionBlock:
    """One `with transaction():`, for one use: a transaction, or a savepoint where the owner has one open."""

    def __init__(self, database: object, pool: AsyncPool, options: TransactionOptions) -> None:
        self._database = database
        self._pool = pool
        self._options = options

    @property
    def entered(self) -> bool:
        """Whether it has had a connection."""
        return hasattr(self, "_conn")

    @property
    def lost(self) -> bool:
        """Whether it has lost its connection. What a lost COMMIT did is told by an error of its own."""
        return self.entered and self._conn.closed

    async def __aenter__(self) -> AsyncConnection[TupleRow]:
        outer = find_open(self._database)
        if outer is None:
            self._conn = await self._pool.acquire()
            self._session = self._begin()
            self._transaction = begin_open(self._database, self._conn)
            self._depth = 0
        else:
            self._conn = self._joined(outer)
            self._session = session_of(self._conn)
            self._transaction = outer
            self._check_not_doomed()
            self._depth = outer.depth = outer.depth + 1
        # Counted before anything is awaited: a block around this one that ends meanwhile has to know of it.
        self._transaction.blocks += 1
        if outer is not None:
            await self._begin_nested()
        return self._conn

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        transaction = self._transaction
        if transaction.foreign:
            return
        transaction.doomed |= transaction.depth > self._depth
        # From here on nobody joins it, also while the commands of its end are under way.
        transaction.ended |= self._depth == 0 and not transaction.doomed
        try:
            if transaction.doomed:
                await self._end_doomed(exc_type)
            elif exc_type is None:
                await self._end()
            else:
                await self._undo(self._depth)
        except BaseException as error:
            await self._leave(error)
            raise
        await self._leave(exc)

    async def _leave(self, error: BaseException | None) -> None:
        """Count the block out; the last one gives the connection back."""
        transaction = self._transaction
        transaction.depth = self._depth - 1
        transaction.blocks -= 1
        if transaction.blocks == 0:
            end_open(transaction)
            self._conn.in_block = False
            self._session.trace = None
            await self._pool.release(self._conn, error)

    async def _begin_nested(self) -> None:
        try:
            await _settle(self._conn)
            await _run(self._conn, savepoint(self._depth))
            self._check_not_doomed()
        except BaseException as error:
            try:
                if self._transaction.doomed:
                    await self._end_doomed(type(error))
            finally:
                await self._leave(error)
            raise

    def _begin(self) -> Session[AsyncWire]:
        """BEGIN goes to the server together with the first statement."""
        session = session_of(self._conn)
        session.begin, session.trace = self._options.begin, Trace(wanted=self._pool.tells_ids)
        self._conn.in_block = True
        return session

    def _check_not_doomed(self) -> None:
        if self._transaction.doomed:
            raise disorder()

    def _joined(self, outer: OpenTransaction) -> AsyncPooledConnection:
        if self._options != PLAIN:
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
        if self._conn.pgconn.pipeline_status != PipelineStatus.OFF:
            await self._settle_or_undo()
        end = self._ending(self._depth, failed=False)
        status = await self._finish(end)
        if end.close:
            await self._conn.close()
        if end.error is not None:
            raise end.error
        if self._depth == 0:
            check_commit(status)

    async def _settle_or_undo(self) -> None:
        try:
            await _settle(self._conn)
        except BaseException:
            await self._undo(self._depth)
            raise

    async def _undo(self, depth: int) -> None:
        """Roll back. An error in that is logged: the one that ended the block is the one to see."""
        try:
            with suppress(psycopg.Error):
                await _settle(self._conn)
            end = self._ending(depth, failed=True)
            await _run(self._conn, *end.commands)
            if end.close:
                await self._conn.close()
        except psycopg.Error as error:
            logger.warning("the rollback of a transaction block failed: %s", error)

    async def _finish(self, end: Ending) -> str | None:
        """Carry out how the block ends; the tag of the last command."""
        trace = self._session.trace
        if end.commands == (COMMIT,) and trace is not None and self._conn.pgconn.pipeline_status == PipelineStatus.OFF:
            return await commit_async(self._conn, self._pool, trace, read_only=self._options.read_only)
        return await _run(self._conn, *end.commands)

    def _ending(self, depth: int, *, failed: bool) -> Ending:
        session = self._session
        begun, session.begin = session.begin is None, None
        return ending(depth, session.pgconn.transaction_status, failed=failed, begun=begun)

    async def _end_doomed(self, exc_type: type[BaseException] | None) -> None:
        """A block ended before one inside it. Others may be at work on the connection: the last to leave rolls back."""
        if self._transaction.blocks == 1:
            await self._undo(0)
        if exc_type is None:
            raise disorder()


async def _run(conn: AsyncPooledConnection, *commands: bytes) -> str | None:
    """Run commands that have no parameters; the command tag of the last one.

    By a cursor, which looks after a pipeline, and after what psycopg itself has prepared, given up after a rollback.
    """
    session = session_of(conn)
    dirty, tag = session.dirty, None
    for text in commands:
        tag = (await conn.execute(text, prepare=False)).statusmessage
    session.dirty = dirty  # which a cursor sets, whatever it runs
    return tag


async def _settle(conn: AsyncPooledConnection) -> None:
    """In a pipeline, wait for the answers to what was sent: only then is the state of the transaction known.

    psycopg synchronizes a pipeline when a nested one is entered. Raises what a statement failed with.
    """
    if conn.pgconn.pipeline_status != PipelineStatus.OFF:
        async with conn.pipeline():
            pass

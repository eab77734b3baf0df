# Generated from block_async.py by tools/async_to_sync.py: change that file, then run `make format`.
"""A transaction block: the rules carried out on a connection."""

from __future__ import annotations

import logging
from contextlib import suppress

import psycopg
from psycopg.pq import PipelineStatus

from rowsmith.errors import DeadlineExceededError, TransactionError
from rowsmith.pool.connection_sync import PooledConnection
from rowsmith.pool.pool_sync import Pool
from rowsmith.transactions.commit_sync import commit_sync
from rowsmith.transactions.current import (
    OpenTransaction,
    Statement,
    add_open,
    find_open,
    other_kind,
    remove_open,
)
from rowsmith.transactions.options import PLAIN, TransactionOptions
from rowsmith.transactions.rules import COMMIT, Ending, check_commit, disorder, ending, iterated, savepoint
from rowsmith.wire.deadlines import tidying
from rowsmith.wire.protocol import command_tag

logger = logging.getLogger("rowsmith.transactions")


class TransactionBlock:
    """One `async with transaction():`, for one use: a transaction, or a savepoint if its owner has one open."""

    _conn: PooledConnection
    _transaction: OpenTransaction
    _depth: int
    statement: Statement = None
    entered = False
    """Whether it had a connection."""
    lost = False
    """Whether it has lost its connection. What a lost COMMIT did is told by an error of its own."""
    _left = False

    def __init__(self, database: object, pool: Pool, options: TransactionOptions) -> None:
        self._database = database
        self._pool = pool
        self._options = options

    def __del__(self) -> None:
        if self.entered and not self._left:
            self.give_up()

    def __enter__(self) -> PooledConnection:
        try:
            outer = find_open(self._database)
            if outer is None:
                self._open()
            else:
                self._join(outer)
        except BaseException:
            self.give_up()
            raise
        return self._conn

    def __exit__(self, exc_type: object, exc: BaseException | None, traceback: object) -> None:
        transaction = self._transaction
        try:
            if transaction.foreign:
                return
            transaction.end_block(self._depth)
            try:
                if transaction.doomed:
                    self._end_doomed(failed=exc_type is not None)
                elif exc_type is None:
                    self._end()
                else:
                    self._undo(self._depth)
            except BaseException as error:
                self._leave(error)
                raise
            self._leave(exc)
        finally:
            if not self._left:
                self.give_up()

    # --- the beginning ---

    def _open(self) -> None:
        """Acquire a connection. BEGIN is sent together with the first statement."""
        pool, begin = self._pool, self._options.begin
        conn = self._conn = pool.acquire()
        try:
            transaction = OpenTransaction(self._database, conn, begin, wants_id=pool.can_ask_ids, reclaim=pool.reclaim)
            transaction.session.transaction = self._transaction = transaction
            self._depth = transaction.enter_block(self.statement)
            self.entered = True
            add_open(transaction)
        except BaseException:  # its traceback refers to the connection, and may live for long
            conn.pgconn.finish()
            pool.reclaim(conn, conn.uses)
            raise

    def _join(self, outer: OpenTransaction) -> None:
        """Begin a savepoint in a transaction."""
        if outer.is_iterated_over():
            raise iterated()
        self._conn = self._connection_of(outer)
        self._transaction = outer
        self._check_not_doomed()
        # Before anything is awaited: a block around it may end meanwhile.
        self._depth = outer.enter_block(self.statement)
        self.entered = True
        try:
            self._conn.begin()
            self._conn.synchronize()
            self._send(savepoint(self._depth))
            self._check_not_doomed()
        except BaseException as error:
            try:
                if outer.doomed:
                    self._end_doomed(failed=True)
            finally:
                self._leave(error)
            raise

    def _connection_of(self, outer: OpenTransaction) -> PooledConnection:
        if self._options != PLAIN:
            raise TransactionError(
                "a nested transaction() is a savepoint of the transaction around it, which decides isolation, "
                "read_only, deferrable and settings: pass them to the outermost block"
            )
        if not isinstance(outer.connection, PooledConnection):
            raise other_kind(outer)
        return outer.connection

    def _check_not_doomed(self) -> None:
        if self._transaction.doomed:
            raise disorder()

    # --- the end ---

    def _end(self) -> None:
        """Commit, or release the savepoint. Raises an error if the rules have one."""
        conn = self._conn
        in_pipeline = conn.pgconn.pipeline_status != PipelineStatus.OFF
        if in_pipeline:
            try:
                conn.synchronize()
            except BaseException:
                self._undo(self._depth)
                raise
        end = self._ending(self._depth, failed=False)
        if in_pipeline or end.commands != (COMMIT,):
            tag = self._send(*end.commands)
        else:
            tag = self._commit_in_time()
        if end.close:
            self._conn.close()
        if end.error is not None:
            raise end.error
        if self._depth == 0:
            check_commit(tag)

    def _commit_in_time(self) -> str:
        """Commit, or roll back if there is no time left for it. Returns the command tag."""
        try:
            return commit_sync(self._conn, self._pool, self._transaction, read_only=self._options.read_only)
        except DeadlineExceededError:
            self._undo(self._depth)
            raise

    def _undo(self, depth: int) -> None:
        """Roll back. An error is logged: the one that ended the block is the one to see."""
        try:
            with tidying():
                with suppress(psycopg.Error):
                    self._conn.synchronize()
                end = self._ending(depth, failed=True)
                self._send(*end.commands)
            if end.close:
                self._conn.close()
        except (psycopg.Error, DeadlineExceededError) as error:
            logger.warning("the rollback of a transaction block failed: %s", error)

    def _end_doomed(self, *, failed: bool) -> None:
        """End a block of a transaction whose blocks ended in disorder. The last one to leave rolls back."""
        if self._transaction.is_last_block:
            self._undo(0)
        if not failed:
            raise disorder()

    def _leave(self, error: BaseException | None) -> None:
        """Count the block out. The last one releases the connection, to which it does not refer any more."""
        self.lost = error is not None and self._conn.closed
        if self._transaction.leave_block(self._depth):
            remove_open(self._transaction)
            self._transaction.session.transaction = None
            self._pool.release(self._conn, error)
        del self._conn
        self._left = True

    def give_up(self) -> None:
        """Give up the transaction of a block that has not ended and never will. No other block joins it.

        An exception came at a bad moment, or nobody refers to the block any more.
        """
        if self.entered and not self._left and not self._transaction.foreign:
            self._left = True
            self._transaction.abandon_block(self._depth)

    # --- commands ---

    def _ending(self, depth: int, *, failed: bool) -> Ending:
        status, transaction = self._conn.pgconn.transaction_status, self._transaction
        return ending(depth, status, failed=failed, begun=transaction.begun, by_hand=transaction.ended_by_hand)

    def _send(self, *commands: bytes) -> str | None:
        """Run commands. Returns the tag of the last one."""
        tag, undoes = None, False
        for text in commands:
            tag = command_tag(self._conn.command(text))
            undoes = undoes or tag == "ROLLBACK"
        if undoes:
            self._conn.forget_prepared()
        return tag

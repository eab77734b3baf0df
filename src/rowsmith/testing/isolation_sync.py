# Generated from isolation_async.py by tools/async_to_sync.py: change that file, then run `make format`.
"""The transaction of a test, which is rolled back: every block of the code under test is a savepoint of it."""

from __future__ import annotations

from psycopg.pq import TransactionStatus

from rowsmith.errors import TransactionError
from rowsmith.pool.connection_sync import PooledConnection
from rowsmith.pool.pool_sync import Pool
from rowsmith.transactions.block_sync import TransactionBlock
from rowsmith.transactions.current import OpenTransaction, find_open, lend, take_back
from rowsmith.transactions.options import PLAIN, TransactionOptions
from rowsmith.wire.concurrency import acquire_sync, lock_sync

# Deferred constraints say now what they would say at COMMIT. Afterwards they are as deferred as before.
_CHECK = b"SAVEPOINT rowsmith_test; SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK TO rowsmith_test; RELEASE rowsmith_test"


class RolledBack(Exception):  # noqa: N818 - it is no error
    """Why the transaction of a test is not committed."""


class Isolation:
    """The transaction of a test. Blocks join it one at a time, from whichever thread or task they are in."""

    _transaction: OpenTransaction

    def __init__(self, database: object, pool: Pool) -> None:
        self._database, self.pool = database, pool
        self._block = TransactionBlock(database, pool, PLAIN)
        self._lock = lock_sync()

    def __enter__(self) -> PooledConnection:
        conn = self._block.__enter__()
        transaction = find_open(self._database)
        assert transaction is not None  # noqa: S101 - it is the one that the block has just opened
        self._transaction = transaction
        take_back(transaction)
        return conn

    def __exit__(self, *exc_info: object) -> None:
        self._block.__exit__(RolledBack, RolledBack(), None)

    def join(self) -> None:
        """Let blocks of this thread or task join the transaction, when no other one is in a block of it."""
        seconds = self.pool.settings.pool_timeout / 1000
        if not acquire_sync(self._lock, seconds):
            raise TransactionError(
                f"the transaction of the test was not free within {seconds:g} s: another thread or task is in a block "
                "of it. Blocks that wait for each other need connections of their own: test them with rowsmith_db, and "
                "without a connection that is rolled back"
            )
        lend(self._transaction)

    def leave(self) -> None:
        """End what `join` has begun."""
        take_back(self._transaction)
        self._lock.release()


class IsolatedBlock(TransactionBlock):
    """A block of the code under test: a savepoint where it would be a transaction. Isolation levels have no effect."""

    def __init__(self, database: object, isolation: Isolation, options: TransactionOptions) -> None:
        nested = find_open(database) is not None
        super().__init__(database, isolation.pool, options if nested else PLAIN)
        self._isolation = None if nested else isolation
        self._wanted = options
        self._before: list[tuple[str, str]] = []

    def __enter__(self) -> PooledConnection:
        if self._isolation is None:
            return super().__enter__()
        self._isolation.join()
        try:
            conn = super().__enter__()
            try:
                self._begin(conn)
            except BaseException as error:
                super().__exit__(type(error), error, None)
                raise
        except BaseException:
            self._isolation.leave()
            raise
        return conn

    def __exit__(self, exc_type: object, exc: BaseException | None, traceback: object) -> None:
        if self._isolation is None:
            return super().__exit__(exc_type, exc, traceback)
        try:
            if exc_type is None and self._conn.pgconn.transaction_status == TransactionStatus.INTRANS:
                try:
                    self._commit(self._conn)
                except BaseException as error:
                    super().__exit__(type(error), error, None)
                    raise
            super().__exit__(exc_type, exc, traceback)
        finally:
            self._isolation.leave()

    def _begin(self, conn: PooledConnection) -> None:
        """What BEGIN would do, as far as a savepoint can."""
        for name, value in self._wanted.settings:
            cursor = conn.execute("SELECT coalesce(current_setting(%s, true), '')", [name])
            self._before += [(name, before) for (before,) in cursor.fetchall()]
            conn.execute("SELECT set_config(%s, %s, true)", [name, value])
        if self._wanted.read_only:  # until the savepoint ends
            conn.execute("SET LOCAL transaction_read_only = on")

    def _commit(self, conn: PooledConnection) -> None:
        """What COMMIT would do, but for the storing."""
        if not self._wanted.read_only:
            conn.execute(_CHECK)
        for name, value in self._before:
            conn.execute("SELECT set_config(%s, %s, true)", [name, value])

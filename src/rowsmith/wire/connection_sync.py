# Generated from connection_async.py by tools/async_to_sync.py: change that file, then run `make format`.
"""A connection's socket: statements and commands sent to the server, and their answers awaited.

The calls of libpq are those of psycopg's own generators (psycopg/generators.py), without a generator and without what a
cursor keeps. What is rare, an answer in several parts or an interruption, is left to psycopg's own functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import Connection, generators
from psycopg.abc import Buffer
from psycopg.pq import TransactionStatus
from psycopg.pq.abc import PGresult

from rowsmith.errors import DeadlineExceededError
from rowsmith.wire.concurrency import hold_if_free_sync
from rowsmith.wire.deadlines import GRACE_SECONDS
from rowsmith.wire.protocol import (
    Prepared,
    collect,
    decisive,
    deliver_notifies,
    drain,
    leave_pipeline,
    read_on,
    rest,
    send_command,
    send_id_and_commit,
    send_in_transaction,
    succeeded,
)
from rowsmith.wire.readiness import Readiness
from rowsmith.wire.transaction import Effect, Transaction

_CANCEL_SECONDS = 5.0
_ACTIVE = TransactionStatus.ACTIVE
_TUPLES_OK = 2


class Wire:
    """A connection's socket, for the holder of the connection's lock.

    If a wait is interrupted, the statement is cancelled on the server. The connection can then be used again, or is
    closed.
    """

    def __init__(self, conn: Connection[Any]) -> None:
        self._pgconn = conn.pgconn
        self._readable = Readiness(conn).wait

    def execute(self, conn: Connection[Any], statement: Prepared, values: Sequence[Buffer | None]) -> PGresult:
        """Run a prepared statement. Returns its result, which may be an error."""
        pgconn, readable = self._pgconn, self._readable
        try:
            pgconn.send_query_prepared(statement.name, values, statement.formats, statement.format)
            if pgconn.flush():  # more than the socket takes at once
                return decisive(conn.wait(generators.execute(pgconn)))
            readable()
            pgconn.consume_input()
            while pgconn.is_busy():
                readable()
                pgconn.consume_input()
            result, second = pgconn.get_result(), None
            if result is None or pgconn.is_busy() or (second := pgconn.get_result()) is not None:
                return conn.wait(rest(pgconn, result, second))
        except BaseException as error:
            recover_sync(conn, error)
            raise
        if notify := pgconn.notifies():
            deliver_notifies(pgconn, notify)
        return result

    def execute_in_transaction(
        self,
        conn: Connection[Any],
        transaction: Transaction,
        query: Effect,
        statement: Prepared,
        values: Sequence[Buffer | None],
    ) -> PGresult:
        """Run a query's prepared statement in one round trip with what the transaction needs: BEGIN, if it was not sent
        yet, and the question for its id, if the query writes. Returns the statement's result, or the first error.
        """
        ask_id = transaction.asks_id(query)
        pgconn, how = self._pgconn, transaction.start()
        try:
            parts = send_in_transaction(pgconn, how, statement, values, ask_id=ask_id)
            if pgconn.flush():
                conn.wait(generators.send(pgconn))
            results: list[PGresult] = []
            self._receive(parts, results)
            leave_pipeline(pgconn)
        except BaseException as error:
            recover_sync(conn, error)
            leave_pipeline(pgconn)  # if nothing was sent yet, or everything was read
            raise
        finally:
            if how is not None:
                transaction.settle(pgconn)
        if ask_id and len(results) == parts and results[-2].status == _TUPLES_OK:
            transaction.learn(results.pop(-2))
        return decisive(results)

    def commit(self, conn: Connection[Any], answers: list[PGresult]) -> PGresult:
        """Ask for the transaction's id and commit, in one round trip. Each answer is kept as soon as it arrives.

        Raises psycopg.Error if either failed.
        """
        pgconn = self._pgconn
        try:
            parts = send_id_and_commit(pgconn)
            pgconn.flush()
            self._receive(parts, answers)
            leave_pipeline(pgconn)
        except BaseException as error:
            recover_sync(conn, error)
            leave_pipeline(pgconn)
            raise
        return succeeded(pgconn, answers)

    def command(self, conn: Connection[Any], text: bytes, *values: bytes) -> PGresult:
        """Run a command of the library's own. Raises psycopg.Error.

        It does not begin a transaction that is still to begin.
        """
        pgconn = self._pgconn
        results: list[PGresult] = []
        try:
            parts = send_command(pgconn, text, values)
            pgconn.flush()
            self._receive(parts, results)
        except BaseException as error:
            recover_sync(conn, error)
            raise
        return succeeded(pgconn, results)

    def ping(self) -> None:
        """See whether the server answers. Raises psycopg.Error.

        If it does not, the connection is closed at once: there is nothing to cancel.
        """
        pgconn = self._pgconn
        results: list[PGresult] = []
        try:
            pgconn.send_query(b"SELECT 1")
            pgconn.flush()
            self._receive(1, results)
            succeeded(pgconn, results)
        except BaseException:
            pgconn.finish()
            raise

    def _receive(self, parts: int, results: list[PGresult]) -> None:
        """Append the results as they arrive; `parts` is the number of answers to expect."""
        pgconn = self._pgconn
        while parts:
            if pgconn.is_busy():
                self._readable()
                if not read_on(pgconn, results):
                    return
            parts = collect(pgconn, results, parts)
        if notify := pgconn.notifies():
            deliver_notifies(pgconn, notify)


def recover_sync(conn: Connection[Any], cause: BaseException) -> None:
    """Cancel what is running and read its answer, as psycopg does when its own wait is interrupted.

    If that fails the connection is closed: what the server would answer next is not known.
    """
    if conn.pgconn.transaction_status != _ACTIVE:
        return
    if isinstance(cause, GeneratorExit):  # the task ends here, and nothing can be awaited any more
        conn.pgconn.finish()
        return
    seconds = GRACE_SECONDS if isinstance(cause, DeadlineExceededError) else _CANCEL_SECONDS
    try:
        conn.cancel_safe(timeout=seconds)
        conn.wait(drain(conn.pgconn), timeout=seconds)
    except BaseException as error:
        conn.pgconn.finish()
        if not isinstance(error, Exception):
            raise


def recover_if_free_sync(conn: Connection[Any], cause: BaseException) -> None:
    """Like `recover_async`, for callers that do not hold the connection's lock. Does nothing if somebody else does."""
    with hold_if_free_sync(conn.lock) as held:
        if held:
            recover_sync(conn, cause)

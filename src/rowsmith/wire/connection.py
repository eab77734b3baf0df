"""The wire: one prepared statement sent and its answer waited for, for threads and for tasks.

The calls of libpq are those of psycopg's own generators (psycopg/generators.py), without a generator and without all
that a cursor keeps. What is rare, an answer in several parts or an interruption, is handed to psycopg's own functions.
"""

from __future__ import annotations

import math
import select
import weakref
from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection, Connection, generators
from psycopg.abc import Buffer
from psycopg.pq import ConnStatus, PGnotify, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult

from rowsmith.errors import DeadlineExceededError
from rowsmith.wire.deadlines import CURRENT, remaining
from rowsmith.wire.protocol import (
    Begin,
    Prepared,
    answered,
    collect,
    decisive,
    drain,
    go_on,
    leave_pipeline,
    rest,
    send_in_transaction,
    send_traced_commit,
)
from rowsmith.wire.readiness import Arrival

# As long as psycopg: a signal that comes just before a wait begins is seen when that wait ends.
_INTERVAL_MS = 100
_CANCEL_SECONDS = 5.0
# After a deadline nobody waits any longer; a server that can be reached cancels in a few milliseconds.
_LATE_CANCEL_SECONDS = 0.2
_ACTIVE = TransactionStatus.ACTIVE


class Wire:
    """A connection's socket, for the thread that holds the connection's lock.

    Each method gives a result, which may be an error of the server's. When its wait is interrupted, the statement is
    cancelled on the server, and the connection is then as good as before, or closed.
    """

    def __init__(self, conn: Connection[Any]) -> None:
        self._pgconn = conn.pgconn
        poll = select.poll()
        poll.register(conn.pgconn.socket, select.POLLIN)
        self._poll = poll.poll

    def execute(self, conn: Connection[Any], statement: Prepared, values: Sequence[Buffer | None]) -> PGresult:
        """Run a prepared statement."""
        pgconn, end = self._pgconn, CURRENT.get()
        poll = self._poll if end is None else self._poll_until
        try:
            pgconn.send_query_prepared(statement.name, values, statement.formats, statement.format)
            if pgconn.flush():  # more than the socket takes at once
                return decisive(conn.wait(generators.execute(pgconn)))
            while not poll(_INTERVAL_MS):
                if pgconn.status == ConnStatus.BAD:  # closed by another thread, and its number may be in use again
                    break
            pgconn.consume_input()
            while pgconn.is_busy():
                poll(_INTERVAL_MS)
                pgconn.consume_input()
            result, second = pgconn.get_result(), None
            if result is None or pgconn.is_busy() or (second := pgconn.get_result()) is not None:
                return conn.wait(rest(pgconn, result, second))
        except BaseException as error:
            recover_sync(conn, error)
            raise
        if notify := pgconn.notifies():
            _consume_notifies(pgconn, notify)
        return result

    def execute_in_transaction(
        self,
        conn: Connection[Any],
        how: Begin | None,
        statement: Prepared,
        values: Sequence[Buffer | None],
        *,
        traced: bool,
    ) -> tuple[PGresult, PGresult | None]:
        """Run a prepared statement in one round trip with what begins its transaction, and what asks for its id.

        Gives its result, and that of the question, None where it was not asked. An error of the question is the result:
        it has aborted the transaction.
        """
        pgconn = self._pgconn
        try:
            parts = send_in_transaction(pgconn, how, statement, values, traced=traced)
            if pgconn.flush():
                conn.wait(generators.send(pgconn))
            results = self._receive(parts)
            leave_pipeline(pgconn)
        except BaseException as error:
            recover_sync(conn, error)
            leave_pipeline(pgconn)  # where nothing was sent yet, or all was read
            raise
        asked = results.pop(-2) if traced and answered(results, parts) else None
        return decisive(results), asked

    def traced_commit(self, conn: Connection[Any], answers: list[PGresult]) -> None:
        """Commit, with a question for the transaction's id before; the answers are kept as they come."""
        pgconn = self._pgconn
        try:
            send_traced_commit(pgconn)
            pgconn.flush()
            self._receive(3, answers)
            leave_pipeline(pgconn)
        except BaseException as error:
            recover_sync(conn, error)
            leave_pipeline(pgconn)  # where nothing was sent yet, or all was read
            raise

    def command(self, conn: Connection[Any], text: bytes) -> PGresult:
        """Run a command without parameters."""
        try:
            self._pgconn.send_query(text)
            self._pgconn.flush()
            return decisive(self._receive(1))
        except BaseException as error:
            recover_sync(conn, error)
            raise

    def _receive(self, parts: int, into: list[PGresult] | None = None) -> list[PGresult]:
        """The results of so many commands; the end of a pipeline is one of them."""
        pgconn = self._pgconn
        results: list[PGresult] = [] if into is None else into
        poll = self._poll if CURRENT.get() is None else self._poll_until
        while parts := collect(pgconn, results, parts):
            if poll(_INTERVAL_MS) and not go_on(pgconn, results):
                return results
        if notify := pgconn.notifies():
            _consume_notifies(pgconn, notify)
        return results

    def _poll_until(self, interval: int) -> list[tuple[int, int]]:
        left = remaining()
        return self._poll(interval if left is None else min(interval, math.ceil(left * 1000)))


class AsyncWire:
    """A connection's socket, for the task that holds the connection's lock; else as `Wire`.

    What interrupts a task is its cancellation.
    """

    def __init__(self, conn: AsyncConnection[Any]) -> None:
        self._pgconn = conn.pgconn
        self._arrival = Arrival(conn.pgconn)
        weakref.finalize(conn, self._arrival.close).atexit = False

    async def execute(
        self, conn: AsyncConnection[Any], statement: Prepared, values: Sequence[Buffer | None]
    ) -> PGresult:
        """Run a prepared statement."""
        pgconn, arrival = self._pgconn, self._arrival
        try:
            pgconn.send_query_prepared(statement.name, values, statement.formats, statement.format)
            if pgconn.flush():
                return decisive(await conn.wait(generators.execute(pgconn)))
            await arrival
            pgconn.consume_input()
            while pgconn.is_busy():
                await arrival
                pgconn.consume_input()
            result, second = pgconn.get_result(), None
            if result is None or pgconn.is_busy() or (second := pgconn.get_result()) is not None:
                return await conn.wait(rest(pgconn, result, second))
        except BaseException as error:
            await recover_async(conn, error)
            raise
        if notify := pgconn.notifies():
            _consume_notifies(pgconn, notify)
        return result

    async def execute_in_transaction(
        self,
        conn: AsyncConnection[Any],
        how: Begin | None,
        statement: Prepared,
        values: Sequence[Buffer | None],
        *,
        traced: bool,
    ) -> tuple[PGresult, PGresult | None]:
        """Run a prepared statement in one round trip with what begins its transaction, and what asks for its id.

        Gives its result, and that of the question, None where it was not asked. An error of the question is the result:
        it has aborted the transaction.
        """
        pgconn = self._pgconn
        try:
            parts = send_in_transaction(pgconn, how, statement, values, traced=traced)
            if pgconn.flush():
                await conn.wait(generators.send(pgconn))
            results = await self._receive(parts)
            leave_pipeline(pgconn)
        except BaseException as error:
            await recover_async(conn, error)
            leave_pipeline(pgconn)
            raise
        asked = results.pop(-2) if traced and answered(results, parts) else None
        return decisive(results), asked

    async def traced_commit(self, conn: AsyncConnection[Any], answers: list[PGresult]) -> None:
        """Commit, with a question for the transaction's id before; the answers are kept as they come."""
        pgconn = self._pgconn
        try:
            send_traced_commit(pgconn)
            pgconn.flush()
            await self._receive(3, answers)
            leave_pipeline(pgconn)
        except BaseException as error:
            await recover_async(conn, error)
            leave_pipeline(pgconn)
            raise

    async def command(self, conn: AsyncConnection[Any], text: bytes) -> PGresult:
        """Run a command without parameters."""
        try:
            self._pgconn.send_query(text)
            self._pgconn.flush()
            return decisive(await self._receive(1))
        except BaseException as error:
            await recover_async(conn, error)
            raise

    async def _receive(self, parts: int, into: list[PGresult] | None = None) -> list[PGresult]:
        pgconn = self._pgconn
        results: list[PGresult] = [] if into is None else into
        while parts := collect(pgconn, results, parts):
            await self._arrival
            if not go_on(pgconn, results):
                return results
        if notify := pgconn.notifies():
            _consume_notifies(pgconn, notify)
        return results


def _consume_notifies(pgconn: PGconn, first: PGnotify) -> None:
    notify: PGnotify | None = first
    while notify:
        if pgconn.notify_handler:
            pgconn.notify_handler(notify)
        notify = pgconn.notifies()


def recover_sync(conn: Connection[Any], cause: BaseException) -> None:
    """Cancel what is running and read its answer, as psycopg does where its own wait is interrupted.

    Where that cannot be done the connection is closed: what the server would answer next is not known.
    """
    if conn.pgconn.transaction_status != _ACTIVE:
        return
    seconds = _LATE_CANCEL_SECONDS if isinstance(cause, DeadlineExceededError) else _CANCEL_SECONDS
    try:
        conn.cancel_safe(timeout=seconds)
        conn.wait(drain(conn.pgconn), timeout=seconds)
    except BaseException as error:
        conn.pgconn.finish()
        if not isinstance(error, Exception):
            raise


def recover_free_sync(conn: Connection[Any], cause: BaseException) -> None:
    """As `recover_sync`, for who does not hold the connection's lock: unless another thread is at work."""
    if conn.lock.acquire(blocking=False):
        try:
            recover_sync(conn, cause)
        finally:
            conn.lock.release()


async def recover_async(conn: AsyncConnection[Any], cause: BaseException) -> None:
    """As `recover_sync`. Where the task ends for good (GeneratorExit), nothing can be awaited any more."""
    if conn.pgconn.transaction_status != _ACTIVE:
        return
    if isinstance(cause, GeneratorExit):
        conn.pgconn.finish()
        return
    seconds = _LATE_CANCEL_SECONDS if isinstance(cause, DeadlineExceededError) else _CANCEL_SECONDS
    try:
        await conn.cancel_safe(timeout=seconds)
        await conn.wait(drain(conn.pgconn), timeout=seconds)
    except BaseException as error:
        conn.pgconn.finish()
        if not isinstance(error, Exception):
            raise


async def recover_free_async(conn: AsyncConnection[Any], cause: BaseException) -> None:
    """As `recover_free_sync`; by tasks."""
    if not conn.lock.locked():
        async with conn.lock:  # at once
            await recover_async(conn, cause)

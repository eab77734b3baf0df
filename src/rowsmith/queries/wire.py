"""The wire: one prepared statement sent and its answer waited for, for threads and for tasks.

The calls of libpq are those of psycopg's own generators (psycopg/generators.py), without a generator and without all
that a cursor keeps. What is rare, an answer in several parts or an interruption, is handed to psycopg's own functions.
"""

from __future__ import annotations

import select
from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection, Connection, generators
from psycopg.abc import Buffer
from psycopg.pq import PGnotify, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult

from rowsmith.queries.arrival import Arrival
from rowsmith.queries.protocol import decisive, rest
from rowsmith.queries.statement import Statement

# As long as psycopg: a signal that comes just before a wait begins is seen when that wait ends.
_INTERVAL_MS = 100
_CANCEL_SECONDS = 5.0
_ACTIVE = TransactionStatus.ACTIVE


class Wire:
    """A connection's socket, for the thread that holds the connection's lock."""

    def __init__(self, pgconn: PGconn) -> None:
        self._pgconn = pgconn
        poll = select.poll()
        poll.register(pgconn.socket, select.POLLIN)
        self._poll = poll.poll

    def exchange(self, conn: Connection[Any], statement: Statement, values: Sequence[Buffer | None]) -> PGresult:
        """Run a prepared statement; its result, which may be an error of the server's.

        When the wait is interrupted, the statement is cancelled on the server, and the connection is then as good as
        before, or closed.
        """
        pgconn, poll = self._pgconn, self._poll
        try:
            pgconn.send_query_prepared(statement.name, values, statement.formats, statement.format)
            if pgconn.flush():  # more than the socket takes at once
                return decisive(conn.wait(generators.execute(pgconn)))
            while not poll(_INTERVAL_MS):
                pass
            pgconn.consume_input()
            while pgconn.is_busy():
                poll(_INTERVAL_MS)
                pgconn.consume_input()
            result = pgconn.get_result()
            if result is None or pgconn.is_busy() or pgconn.get_result() is not None:
                return conn.wait(rest(pgconn, result))
        except BaseException:
            _recover(conn)
            raise
        if notify := pgconn.notifies():
            _consume_notifies(pgconn, notify)
        return result


class AsyncWire:
    """A connection's socket, for the task that holds the connection's lock."""

    def __init__(self, pgconn: PGconn) -> None:
        self._pgconn = pgconn
        self._arrival = Arrival(pgconn)

    async def exchange(
        self, conn: AsyncConnection[Any], statement: Statement, values: Sequence[Buffer | None]
    ) -> PGresult:
        """As `Wire.exchange`. What interrupts a task is its cancellation."""
        pgconn, arrival = self._pgconn, self._arrival
        try:
            pgconn.send_query_prepared(statement.name, values, statement.formats, statement.format)
            if pgconn.flush():
                return decisive(await conn.wait(generators.execute(pgconn)))
            with arrival:
                await arrival
                pgconn.consume_input()
                while pgconn.is_busy():
                    await arrival
                    pgconn.consume_input()
            result = pgconn.get_result()
            if result is None or pgconn.is_busy() or pgconn.get_result() is not None:
                return await conn.wait(rest(pgconn, result))
        except BaseException:
            await _arecover(conn)
            raise
        if notify := pgconn.notifies():
            _consume_notifies(pgconn, notify)
        return result


def _consume_notifies(pgconn: PGconn, first: PGnotify) -> None:
    notify: PGnotify | None = first
    while notify:
        if pgconn.notify_handler:
            pgconn.notify_handler(notify)
        notify = pgconn.notifies()


def _recover(conn: Connection[Any]) -> None:
    """Cancel what is running and read its answer, as psycopg does where its own wait is interrupted."""
    if conn.pgconn.transaction_status != _ACTIVE:
        return
    try:
        conn.cancel_safe(timeout=_CANCEL_SECONDS)
        conn.wait(generators.fetch_many(conn.pgconn), timeout=_CANCEL_SECONDS)
    except BaseException as error:
        conn.pgconn.finish()  # interrupted again: what the server would answer next is not known
        if not isinstance(error, Exception):
            raise


async def _arecover(conn: AsyncConnection[Any]) -> None:
    if conn.pgconn.transaction_status != _ACTIVE:
        return
    try:
        await conn.cancel_safe(timeout=_CANCEL_SECONDS)
        await conn.wait(generators.fetch_many(conn.pgconn), timeout=_CANCEL_SECONDS)
    except BaseException as error:
        conn.pgconn.finish()
        if not isinstance(error, Exception):
            raise

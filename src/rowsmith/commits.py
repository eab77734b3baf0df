# Generated from commits_async.py by tools/async_to_sync.py: change that file, then run `make format`.
"""A COMMIT, and what became of one whose answer was lost.

PostgreSQL remembers for a long time how each transaction that wrote has ended, and tells it by the transaction's id
(manual, "Transaction ID and Snapshot Information Functions", pg_xact_status). So the id is learnt before COMMIT is
sent: with a statement that is known to write, else by a question of its own; where nothing but SELECTs ran, together
with COMMIT.
"""

from __future__ import annotations

import logging
import random
from time import monotonic

import psycopg
from psycopg.pq.abc import PGresult

from rowsmith.concurrency import sleep
from rowsmith.connections import PooledConnection
from rowsmith.deadlines import CURRENT, until
from rowsmith.errors import CommitUnknownError, ConnectionLostError
from rowsmith.pool import Pool
from rowsmith.queries.protocol import TRANSACTION_ID, command_tag, decisive, transaction_id
from rowsmith.queries.session import Trace, session_of

logger = logging.getLogger("rowsmith.transactions")

_GRACE_SECONDS = 1.0
"""What a COMMIT, and finding out about it, is given beyond a deadline: to be cut off in it is the worst place."""
_PATIENCE_SECONDS = 0.5
"""How long a transaction may be in progress on a connection that is gone before its server process is ended."""
_PAUSE_SECONDS = 0.05


def commit(conn: PooledConnection, pool: Pool, trace: Trace) -> str:
    """Commit; the command tag, ROLLBACK where the server had aborted the transaction.

    Where the connection is lost meanwhile, it is found out what became of the transaction: one that was committed
    returns normally. Raises ConnectionLostError where it was not, CommitUnknownError where that cannot be told, and
    psycopg.Error for what the server says to COMMIT.
    """
    seconds = pool.settings.pool_timeout / 1000
    deadline = CURRENT.get()
    end = monotonic() + seconds if deadline is None else max(deadline, monotonic() + _GRACE_SECONDS)
    with until(end):
        if trace.transaction_id is None and (trace.wrote or session_of(conn).touched):
            trace.transaction_id = _ask(conn)
        answers: list[PGresult] = []
        try:
            _send(conn, trace, answers)
            return command_tag(conn.pgconn, decisive(answers))
        except (psycopg.OperationalError, TimeoutError) as error:
            if not conn.closed:
                raise
            if trace.transaction_id is None and answers:
                trace.transaction_id = transaction_id(answers[0])
                if trace.transaction_id is None:
                    return "COMMIT"  # of nothing: without an id nothing was written
            _resolve(pool, trace.transaction_id, error, end)
            return "COMMIT"


def _ask(conn: PooledConnection) -> int | None:
    try:
        with conn.lock:
            result = session_of(conn).wire.command(conn, TRANSACTION_ID)
        command_tag(conn.pgconn, result)
    except (psycopg.OperationalError, TimeoutError) as error:
        if not conn.closed:
            raise
        raise ConnectionLostError("the connection was lost before COMMIT: nothing was committed") from error
    return transaction_id(result)


def _send(conn: PooledConnection, trace: Trace, answers: list[PGresult]) -> None:
    with conn.lock:
        wire = session_of(conn).wire
        if trace.transaction_id is None and not trace.wrote:
            wire.traced_commit(conn, answers)
        else:
            answers.append(wire.command(conn, b"COMMIT"))


def _resolve(pool: Pool, xid: int | None, error: Exception, end: float) -> None:
    """Return where the transaction was committed. Raises ConnectionLostError or CommitUnknownError."""
    status = None if xid is None else _status(pool, xid, end)
    logger.warning("COMMIT resolved: %s (transaction %s)", status or "unknown", xid)
    if status == "committed":
        return
    if status == "aborted":
        raise ConnectionLostError(
            "the connection was lost while COMMIT ran, and the server rolled back: nothing was committed"
        ) from error
    raise CommitUnknownError(
        "the connection was lost while COMMIT ran, and whether the server committed is not known. "
        + (f"Ask it with SELECT pg_xact_status('{xid}')" if xid else "The transaction has no id that is known"),
        xid,
    ) from error


def _status(pool: Pool, xid: int, end: float) -> str | None:
    """How the transaction ended; None where that cannot be told in time."""
    patience = monotonic() + _PATIENCE_SECONDS
    while monotonic() < end:
        try:
            with pool.direct_connection() as conn:
                status = _asked_status(conn, xid)
                if status != "in progress":
                    return status
                if monotonic() > patience:
                    _end_process(conn, xid)
        except (psycopg.errors.InvalidParameterValue, psycopg.errors.UndefinedFunction):
            return None  # an id that the server has not given yet: it is another server, or one that was put back
        except (psycopg.OperationalError, TimeoutError):
            pass  # not there yet
        sleep(_PAUSE_SECONDS * random.uniform(1, 4))  # noqa: S311 - a pause is no secret
    return None


def _asked_status(conn: PooledConnection, xid: int) -> str | None:
    row = (conn.execute("SELECT pg_xact_status(%s::text::xid8)", [str(xid)], prepare=False)).fetchone()
    return None if row is None else row[0]


def _end_process(conn: PooledConnection, xid: int) -> None:
    """End the server process that still works for the connection that is gone; either way its transaction ends."""
    conn.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_xid = %s::text::xid",
        [str(xid & 0xFFFFFFFF)],
        prepare=False,
    )

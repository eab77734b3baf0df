# Generated from commit_async.py by tools/async_to_sync.py: change that file, then run `make format`.
"""A COMMIT, and what became of one whose answer was lost.

PostgreSQL remembers for a long time how each transaction that wrote has ended, and tells it by the transaction's id
(manual, "Transaction ID and Snapshot Information Functions", pg_xact_status). So the id is learnt before COMMIT is
sent: with a statement that is known to write, else by a question of its own; where nothing but SELECTs ran, together
with COMMIT.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from time import monotonic

import psycopg
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from rowsmith.errors import CommitUnknownError, ConnectionLostError
from rowsmith.pool.connection_sync import PooledConnection
from rowsmith.pool.pool_sync import Pool
from rowsmith.queries.session import Session, Trace, session_of
from rowsmith.transactions.rules import COMMIT
from rowsmith.wire.concurrency import sleep_sync
from rowsmith.wire.connection import Wire
from rowsmith.wire.deadlines import CURRENT, until
from rowsmith.wire.protocol import TRANSACTION_ID, Mark, command_tag, decisive

logger = logging.getLogger("rowsmith.transactions")

_GRACE_SECONDS = 1.0
"""What a COMMIT, and finding out about it, is given beyond a deadline: to be cut off in it is the worst place."""
_PATIENCE_SECONDS = 0.5
"""How long a transaction may be in progress on a connection that is gone before its server process is ended."""
_PAUSE_SECONDS = 0.05


def commit_sync(conn: PooledConnection, pool: Pool, trace: Trace, *, read_only: bool) -> str:
    """Commit; the command tag, ROLLBACK where the server had aborted the transaction.

    Where the connection is lost meanwhile, it is found out what became of the transaction: one that was committed
    returns normally, and so does one that wrote nothing. Raises ConnectionLostError where it was not committed,
    CommitUnknownError where that cannot be told, and psycopg.Error for what the server says to COMMIT.
    """
    deadline = CURRENT.get()
    if deadline is None:
        return _carry_out(conn, pool, trace, read_only=read_only)
    with until(max(deadline, monotonic() + _GRACE_SECONDS)):
        return _carry_out(conn, pool, trace, read_only=read_only)


def _carry_out(conn: PooledConnection, pool: Pool, trace: Trace, *, read_only: bool) -> str:
    session = session_of(conn)
    if trace.wanted and not read_only and (trace.wrote or session.dirty):
        trace.learn(_ask(conn, session))
    answers: list[PGresult] = []
    traced = trace.wanted and not read_only and not trace.asked
    try:
        with conn.lock:
            if traced:
                session.wire.traced_commit(conn, answers)
            else:
                answers.append(session.wire.command(conn, COMMIT))
        tag = command_tag(conn.pgconn, decisive(answers))
    except (psycopg.Error, TimeoutError) as error:
        # A COMMIT that is answered after its deadline has been cancelled, and may have come before that.
        if not conn.closed and not isinstance(error, TimeoutError):
            raise
        if traced and answers and answers[0].status == ExecStatus.FATAL_ERROR:  # COMMIT was not reached
            if not conn.closed:
                raise
            raise ConnectionLostError("the session was ended before COMMIT: nothing was committed") from error
        if traced:
            _learn(trace, answers)
        if not read_only and (trace.identified or not trace.asked):
            _resolve(pool, trace.mark, error)
        return COMMIT.decode()
    if traced:
        _learn(trace, answers)
    return tag


def _learn(trace: Trace, answers: Sequence[PGresult]) -> None:
    """Keep what came back together with a COMMIT."""
    if answers:
        trace.learn(answers[0])
    if trace.identified:
        for bound in trace.selects:
            bound.writes = True  # one of them does, and from now on the id is asked for with it


def _ask(conn: PooledConnection, session: Session[Wire]) -> PGresult:
    try:
        with conn.lock:
            result = session.wire.command(conn, TRANSACTION_ID)
        command_tag(conn.pgconn, result)
    except (psycopg.Error, TimeoutError) as error:
        if not conn.closed:
            raise
        raise ConnectionLostError("the connection was lost before COMMIT: nothing was committed") from error
    return result


def _resolve(pool: Pool, trace: Mark | None, error: Exception) -> None:
    """Return where the transaction was committed. Raises ConnectionLostError, CommitUnknownError, or a late error."""
    deadline = CURRENT.get()
    seconds = pool.settings.pool_timeout / 1000
    end = monotonic() + seconds if deadline is None else max(deadline, monotonic() + _GRACE_SECONDS)
    with until(end):
        status = None if trace is None else _status(pool, trace, end)
    xid = None if trace is None else trace.transaction_id
    logger.warning("COMMIT resolved: %s (transaction %s)", status or "unknown", xid)
    if status == "committed":
        return
    if status == "aborted" and isinstance(error, TimeoutError):
        raise error
    if status == "aborted":
        raise ConnectionLostError(
            "the connection was lost while COMMIT ran, and the server rolled back: nothing was committed"
        ) from error
    raise CommitUnknownError(
        "the connection was lost while COMMIT ran, and whether the server committed is not known. "
        + (f"Ask it with SELECT pg_xact_status('{xid}')" if xid else "The transaction has no id that is known"),
        xid,
    ) from error


def _status(pool: Pool, trace: Mark, end: float) -> str | None:
    """How the transaction ended, `committed` or `aborted`; None where that cannot be told in time."""
    patience = monotonic() + _PATIENCE_SECONDS
    while monotonic() < end:
        try:
            with pool.direct_connection() as conn:
                status = _asked_status(conn, trace, end_it=monotonic() > patience)
        except psycopg.errors.InsufficientPrivilege:
            return None
        except (psycopg.Error, TimeoutError):
            status = "in progress"  # the server is not there yet
        if status != "in progress":
            return status
        sleep_sync(_PAUSE_SECONDS * random.uniform(1, 4))  # noqa: S311 - a pause is no secret
    return None


def _asked_status(conn: PooledConnection, trace: Mark, *, end_it: bool) -> str | None:
    """What became of the transaction, as far as the server can say it of that very one.

    A server that crashes forgets the ids that it gave since its last flush, and gives them again; after a failover the
    new primary may do the same. The checkpoint at the end of the recovery, the only one whose REDO point is its own
    place, tells up to where they were known: below, the id is still that transaction's; above, nothing was left of it.
    """
    xid = str(trace.transaction_id)
    facts = (conn.execute(_FACTS, {"xid": xid, "at": trace.at}, prepare=False)).fetchone()
    timeline, crashed, first, known = facts or ("", True, False, False)
    if timeline == trace.timeline and crashed and first and not known:
        return "aborted"
    own = timeline == trace.timeline and (not crashed or (first and known))
    try:
        row = (conn.execute("SELECT pg_xact_status(%s::text::xid8)", [xid], prepare=False)).fetchone()
        status = row[0] if row else None
    except psycopg.errors.InvalidParameterValue:  # an id that was not given yet, so that nothing is left of it
        return "aborted" if timeline == trace.timeline else None
    if status == "in progress" and own and end_it:
        conn.execute(_END, {"xid": xid, "pid": trace.process}, prepare=False)
    return status if own or status == "aborted" else None


_FACTS = """
    SELECT left(pg_walfile_name(pg_current_wal_insert_lsn()), 8),
           pg_stat_get_bgwriter_stat_reset_time() > %(at)s::timestamptz,
           redo_lsn = checkpoint_lsn
               AND checkpoint_time >= date_trunc('second', pg_stat_get_bgwriter_stat_reset_time()),
           %(xid)s::numeric < split_part(next_xid, ':', 1)::numeric * 4294967296 + split_part(next_xid, ':', 2)::numeric
    FROM pg_control_checkpoint()
"""
"""The timeline; whether the server crashed since (statistics begin anew with the recovery: manual, "The Cumulative
Statistics System"); whether its last checkpoint is the one at the end of the recovery; whether that knows the id."""
_END = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE pid = %(pid)s AND backend_xid = (%(xid)s::text::numeric %% 4294967296)::text::xid
"""
"""Ends the server process that still works for the connection that is gone; either way its transaction ends."""

"""A COMMIT, and the outcome of one whose answer was lost.

PostgreSQL remembers for a long time how each transaction that wrote has ended, and tells it by the transaction's id
(manual, "Transaction ID and Snapshot Information Functions", pg_xact_status). So the id is learned before COMMIT is
sent: together with a query that is known to write, or else by a question before COMMIT, or, if there were only SELECTs
that may have called functions, together with COMMIT.
"""

from __future__ import annotations

import logging
import random
from time import monotonic

import psycopg
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from rowsmith.errors import CommitUnknownError, ConnectionLostError
from rowsmith.pool.connection_async import AsyncPooledConnection
from rowsmith.pool.pool_async import AsyncPool
from rowsmith.transactions.current import OpenTransaction
from rowsmith.transactions.rules import COMMIT
from rowsmith.wire.concurrency import sleep_async
from rowsmith.wire.deadlines import GRACE_SECONDS, current_end, remaining, until
from rowsmith.wire.protocol import TRANSACTION_ID, command_tag
from rowsmith.wire.transaction import Identity

logger = logging.getLogger("rowsmith.transactions")

_PATIENCE_SECONDS = 0.5
"""How long a transaction may stay in progress on a lost connection before its server process is terminated."""
_PAUSE_SECONDS = 0.05


async def commit_async(
    conn: AsyncPooledConnection, pool: AsyncPool, transaction: OpenTransaction, *, read_only: bool
) -> str:
    """Commit. Returns the command tag, ROLLBACK if the server had aborted the transaction.

    If the connection is lost meanwhile, the outcome is looked up: a transaction that was committed, or wrote nothing,
    returns normally. Raises ConnectionLostError if it was not committed, CommitUnknownError if that cannot be told,
    DeadlineExceededError if there was no time for it, and psycopg.Error for what the server says to COMMIT.
    """
    remaining()
    session = transaction.session
    wants_id = transaction.wants_id and not read_only
    if wants_id and transaction.wrote:
        await _ask_id(conn, transaction)
    asks = wants_id and bool(transaction.unproven) and not transaction.answered
    answers: list[PGresult] = []
    try:
        async with conn.lock:
            if asks:
                result = await session.wire.commit(conn, answers)
            else:
                result = await session.wire.command(conn, COMMIT)
    except (psycopg.Error, TimeoutError) as error:
        # A COMMIT that is answered after its deadline was cancelled, possibly before it took effect.
        if not conn.closed and not isinstance(error, TimeoutError):
            raise
        if answers and answers[0].status == ExecStatus.FATAL_ERROR:  # COMMIT was not reached
            if not conn.closed:
                raise
            raise ConnectionLostError("the session was ended before COMMIT: nothing was committed") from error
        if answers:
            transaction.learn_at_commit(answers[0])
        if not read_only and _may_have_written(transaction):
            await _resolve(pool, transaction.identity, error)
        return COMMIT.decode()
    if answers:
        transaction.learn_at_commit(answers[0])
    return command_tag(result)


def _may_have_written(transaction: OpenTransaction) -> bool:
    if transaction.identity is not None:
        return transaction.identity.transaction_id is not None
    return transaction.wrote or bool(transaction.unproven)


async def _ask_id(conn: AsyncPooledConnection, transaction: OpenTransaction) -> None:
    try:
        transaction.learn(await conn.command(TRANSACTION_ID))
    except (psycopg.Error, TimeoutError) as error:
        if not conn.closed:
            raise
        raise ConnectionLostError("the connection was lost before COMMIT: nothing was committed") from error


async def _resolve(pool: AsyncPool, identity: Identity | None, error: Exception) -> None:
    """Return if the transaction was committed. Raises ConnectionLostError, CommitUnknownError, or a late error."""
    deadline = current_end()
    end = monotonic() + pool.settings.pool_timeout / 1000
    if deadline is not None:
        end = min(end, deadline + GRACE_SECONDS)
    with until(end):
        status = None if identity is None else await _status(pool, identity, end)
    xid = None if identity is None else identity.transaction_id
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
        "the connection was lost while COMMIT ran, and it is not known whether the server committed. "
        + (f"To find out, run SELECT pg_xact_status('{xid}')" if xid else "The transaction's id is not known"),
        xid,
    ) from error


async def _status(pool: AsyncPool, identity: Identity, end: float) -> str | None:
    """How the transaction ended, `committed` or `aborted`; None if that cannot be told in time."""
    patience = monotonic() + _PATIENCE_SECONDS
    while monotonic() < end:
        try:
            async with pool.direct_connection() as conn:
                status = await _ask_status(conn, identity, terminate=monotonic() > patience)
        except psycopg.errors.InsufficientPrivilege:
            return None
        except (psycopg.Error, TimeoutError):
            status = "in progress"  # the server is not back yet
        if status != "in progress":
            return status
        await sleep_async(_PAUSE_SECONDS * random.uniform(1, 4))  # noqa: S311 - a pause is no secret
    return None


async def _ask_status(conn: AsyncPooledConnection, identity: Identity, *, terminate: bool) -> str | None:
    """The outcome of the transaction, if the server can tell that of this very transaction.

    A server that crashes forgets the ids that it assigned since its last flush, and assigns them again; so may the new
    primary after a failover. The checkpoint at the end of recovery, the only one whose REDO point is its own position,
    tells up to where ids were known. Below that, the id is still that transaction's. Above, nothing was left of it.
    """
    xid = str(identity.transaction_id)
    facts = await (await conn.execute(_FACTS, {"xid": xid, "at": identity.at}, prepare=False)).fetchone()
    timeline, crashed, first, known = facts or ("", True, False, False)
    if timeline == identity.timeline and crashed and first and not known:
        return "aborted"
    own = timeline == identity.timeline and (not crashed or (first and known))
    try:
        row = await (await conn.execute("SELECT pg_xact_status(%s::text::xid8)", [xid], prepare=False)).fetchone()
        status = row[0] if row else None
    except psycopg.errors.InvalidParameterValue:  # an id that was not assigned yet: nothing is left of it
        return "aborted" if timeline == identity.timeline else None
    if status == "in progress" and own and terminate:
        await conn.execute(_TERMINATE, {"xid": xid, "pid": identity.process}, prepare=False)
    return status if own or status == "aborted" else None


_FACTS = """
    SELECT left(pg_walfile_name(pg_current_wal_insert_lsn()), 8),
           pg_stat_get_bgwriter_stat_reset_time() > %(at)s::timestamptz,
           redo_lsn = checkpoint_lsn
               AND checkpoint_time >= date_trunc('second', pg_stat_get_bgwriter_stat_reset_time()),
           %(xid)s::numeric < split_part(next_xid, ':', 1)::numeric * 4294967296 + split_part(next_xid, ':', 2)::numeric
    FROM pg_control_checkpoint()
"""
"""The timeline; whether the server has crashed since (statistics are reset by recovery: manual, "The Cumulative
Statistics System"); whether its last checkpoint is the one at the end of recovery; whether that one knows the id."""
_TERMINATE = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE pid = %(pid)s AND backend_xid = (%(xid)s::text::numeric %% 4294967296)::text::xid
"""
"""Terminates the server process that still works for the lost connection. Either way its transaction ends."""

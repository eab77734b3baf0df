"""The rules of transaction blocks, without I/O: which commands begin and end a block, and when an end is an error."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import psycopg
from psycopg import AsyncConnection, Connection
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

from rowsmith.errors import (
    CommitUnknownError,
    ConnectionLostError,
    DeadlineExceededError,
    TransactionAbortedError,
    TransactionError,
    category,
    is_transient,
)
from rowsmith.wire.concurrency import Owner, current_owner
from rowsmith.wire.protocol import Begin, is_replanned

IsolationLevel = Literal["read uncommitted", "read committed", "repeatable read", "serializable"]
_LEVELS = ("read uncommitted", "read committed", "repeatable read", "serializable")

COMMIT = b"COMMIT"


@dataclass(frozen=True)
class TransactionOptions:
    """How a transaction is to run (manual, "BEGIN" and "SET TRANSACTION"). None and False: as the server has it."""

    isolation: IsolationLevel | None = None
    read_only: bool = False
    deferrable: bool = False
    settings: tuple[tuple[str, str], ...] = ()
    """Names and values that hold in the transaction only."""

    def __post_init__(self) -> None:
        if self.isolation is not None and self.isolation not in _LEVELS:
            raise ValueError(f"isolation={self.isolation!r} is not one of: {', '.join(_LEVELS)}")
        if self.deferrable and not (self.read_only and self.isolation == "serializable"):
            raise ValueError("deferrable=True has a meaning only with isolation='serializable' and read_only=True")

    @cached_property
    def begin(self) -> Begin:
        """How the transaction begins."""
        words = ["BEGIN"]
        if self.isolation is not None:
            words.append(f"ISOLATION LEVEL {self.isolation.upper()}")
        if self.read_only:
            words.append("READ ONLY")
        if self.deferrable:
            words.append("DEFERRABLE")
        return Begin(" ".join(words).encode(), tuple(word.encode() for pair in self.settings for word in pair))


PLAIN = TransactionOptions()


def savepoint(depth: int) -> bytes:
    """The command that begins the block of a depth; the outermost one, of depth 0, is the transaction itself."""
    return b"SAVEPOINT rowsmith_%d" % depth


class Ending(NamedTuple):
    """How a block ends: the commands to send, whether to close the connection, then the error to raise."""

    commands: tuple[bytes, ...] = ()
    error: Exception | None = None
    close: bool = False


_NOTHING, _COMMITTED = Ending(), Ending((COMMIT,))


def ending(depth: int, status: int, *, failed: bool, begun: bool = True) -> Ending:
    """How the block of a depth ends, where the connection has the status and the block raised (`failed`) or not.

    `status` is a psycopg.pq.TransactionStatus. A transaction in which no statement ran has not `begun`.
    """
    if not begun:
        return _NOTHING
    if status == TransactionStatus.INTRANS and not failed and not depth:
        return _COMMITTED
    if status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
        if failed:
            return Ending(_undo(depth))
        if status == TransactionStatus.INERROR:
            return Ending(_undo(depth), _aborted())
        return Ending((b"RELEASE SAVEPOINT rowsmith_%d" % depth,))
    if status == TransactionStatus.ACTIVE:
        # No command can be sent, so a savepoint cannot be undone: without a connection nothing of it is committed.
        return Ending(error=None if failed else _still_running(), close=True)
    if failed:
        return _NOTHING
    if status == TransactionStatus.IDLE:
        return Ending(error=_ended_inside())
    return Ending(
        error=ConnectionLostError("the connection was lost inside a transaction block: nothing was committed")
    )


def check_commit(status: str | None) -> None:
    """Raise TransactionAbortedError where the server answered COMMIT with a rollback; `status` is the command tag."""
    if status == "ROLLBACK":
        raise _aborted()


def disorder() -> TransactionError:
    """The error of a transaction whose blocks do not end in the reverse order of their beginning."""
    return TransactionError(
        "a transaction block ended before one inside it, such as that of a generator that was left half-way: the whole "
        "transaction is rolled back. End blocks in the reverse order of their beginning"
    )


def checked_settings(settings: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    """The settings of a transaction. Raises TypeError for a value that is no text: PostgreSQL knows no other."""
    pairs = tuple((settings or {}).items())
    for name, value in pairs:
        if not isinstance(name, str) or not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(
                f"settings: {name!r} is {value!r}. Names and values are texts, as in {{'app.tenant': '42'}}"
            )
        if "\0" in name + value:
            raise ValueError(f"settings: {name!r} holds a NUL character, which PostgreSQL's texts cannot")
    return pairs


_RETRIED = {"40001", "40P01"}
"""serialization_failure, deadlock_detected: the whole transaction may succeed when it runs again (manual,
"Serialization Failure Handling")."""


def retry_reason(error: Exception, *, entered: bool, lost: bool) -> str | None:
    """Why a transaction that ended with an error may be run again as a whole; None where it may not.

    `entered`: whether it had a connection; `lost`: whether it lost that before it sent COMMIT.
    """
    if isinstance(error, (CommitUnknownError, DeadlineExceededError)):
        return None
    if isinstance(error, psycopg.Error) and error.sqlstate in _RETRIED:
        return str(error.sqlstate)
    if isinstance(error, psycopg.Error) and is_replanned(error):
        return "a change of a table under a prepared statement"
    if isinstance(error, ConnectionLostError) or (lost and isinstance(error, psycopg.OperationalError)):
        return "a lost connection"
    if not entered and is_transient(error):
        return f"a failed connection ({category(error)})"
    return None


def _undo(depth: int) -> tuple[bytes, ...]:
    if depth == 0:
        return (b"ROLLBACK",)
    return b"ROLLBACK TO SAVEPOINT rowsmith_%d" % depth, b"RELEASE SAVEPOINT rowsmith_%d" % depth


def _aborted() -> TransactionAbortedError:
    return TransactionAbortedError(
        "a statement in this transaction block failed and its error was caught inside the block. PostgreSQL aborts a "
        "transaction at the first error, so the block was rolled back. To go on after an error, put the statement "
        "that may fail in a nested `with transaction():` and catch the error around that"
    )


def _ended_inside() -> TransactionError:
    return TransactionError(
        "the transaction was ended inside its block, by COMMIT or ROLLBACK: what ran after that ran on its own. Leave "
        "the end to the block; to undo a part, nest a `with transaction():`"
    )


def _still_running() -> TransactionError:
    return TransactionError(
        "the block ended while a statement was still running on its connection (a COPY or a stream not read to its "
        "end): nothing was committed, and the connection is closed"
    )


@dataclass(slots=True, eq=False)
class OpenTransaction:
    """A transaction that is open on a connection."""

    database: object
    connection: Connection[TupleRow] | AsyncConnection[TupleRow]
    owner: Owner
    depth: int = 0
    """The number of savepoints in it: 0 in the outermost block."""
    blocks: int = 0
    """The number of blocks that have not ended."""
    doomed: bool = False
    """Whether a block ended before one inside it. Nothing of the transaction is committed then."""
    ended: bool = False
    foreign: bool = False
    """Whether it is that of the process that this one was forked from."""


_open: ContextVar[tuple[OpenTransaction, ...]] = ContextVar("rowsmith_open_transactions", default=())


def find_open(database: object) -> OpenTransaction | None:
    """The transaction that a block opened here joins; None where it begins one of its own.

    It is one that is open in this context, and whose owner is the task or thread that asks. A context alone is
    inherited by the tasks that are started inside a block; and a thread of a pool alone may have been left, with the
    block still open, to run the work of a stranger.
    """
    transactions = _open.get()
    owner = current_owner() if transactions else None
    for transaction in reversed(transactions):
        if transaction.database is database and transaction.owner is owner and not transaction.ended:
            return transaction
    return None


def begin_open(database: object, connection: Connection[TupleRow] | AsyncConnection[TupleRow]) -> OpenTransaction:
    """Note that a transaction was begun, for `find_open`."""
    transaction = OpenTransaction(database, connection, current_owner())
    _open.set((*_still_open(), transaction))
    return transaction


def end_open(transaction: OpenTransaction) -> None:
    """Note that it has ended; in whichever context that is."""
    transaction.ended = True
    _open.set(_still_open())


def forget_open() -> None:
    """In a forked child: what is open is the parent's."""
    for transaction in _open.get():
        transaction.foreign = True
    _open.set(())


def _still_open() -> tuple[OpenTransaction, ...]:
    """Those of this context; a block may have been ended in another."""
    found = _open.get()
    return tuple([transaction for transaction in found if not transaction.ended]) if found else found

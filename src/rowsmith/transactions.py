"""The rules of transaction blocks, without I/O: which commands begin and end a block, and when an end is an error."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import psycopg
from psycopg import AsyncConnection, Connection
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

from rowsmith.errors import TransactionAbortedError, TransactionError

IsolationLevel = Literal["read uncommitted", "read committed", "repeatable read", "serializable"]
_LEVELS = ("read uncommitted", "read committed", "repeatable read", "serializable")

Owner = asyncio.Task[Any] | threading.Thread
"""Who a transaction belongs to: the task that opened it or, outside an event loop, the thread."""


@dataclass(frozen=True, slots=True)
class TransactionOptions:
    """How a transaction is to run (manual, "BEGIN" and "SET TRANSACTION"). None and False: as the server has it."""

    isolation: IsolationLevel | None = None
    read_only: bool = False
    deferrable: bool = False

    def __post_init__(self) -> None:
        if self.isolation is not None and self.isolation not in _LEVELS:
            raise ValueError(f"isolation={self.isolation!r} is not one of: {', '.join(_LEVELS)}")
        if self.deferrable and not (self.read_only and self.isolation == "serializable"):
            raise ValueError("deferrable=True has a meaning only with isolation='serializable' and read_only=True")

    def begin(self) -> bytes:
        """The command that begins the transaction."""
        words = ["BEGIN"]
        if self.isolation is not None:
            words.append(f"ISOLATION LEVEL {self.isolation.upper()}")
        if self.read_only:
            words.append("READ ONLY")
        if self.deferrable:
            words.append("DEFERRABLE")
        return " ".join(words).encode()


def savepoint(depth: int) -> bytes:
    """The command that begins the block of a depth; the outermost one, of depth 0, is the transaction itself."""
    return b"SAVEPOINT rowsmith_%d" % depth


class Ending(NamedTuple):
    """How a block ends: the commands to send, then the error to raise."""

    commands: tuple[bytes, ...] = ()
    error: Exception | None = None


def ending(depth: int, status: TransactionStatus, *, failed: bool) -> Ending:
    """How the block of a depth ends, where the connection has the status and the block raised (`failed`) or not."""
    if status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
        if failed:
            return Ending(_undo(depth))
        if status is TransactionStatus.INERROR:
            return Ending(_undo(depth), _aborted())
        return Ending((b"RELEASE SAVEPOINT rowsmith_%d" % depth if depth else b"COMMIT",))
    if failed:
        return Ending()
    if status is TransactionStatus.IDLE:
        return Ending(error=TransactionError(
            "the transaction was ended inside its block, by COMMIT or ROLLBACK: what ran after that ran on its own. "
            "Leave the end to the block; to undo a part, nest a `with transaction():`"
        ))  # fmt: skip
    if status is TransactionStatus.ACTIVE:
        return Ending(error=TransactionError(
            "the block ended while a statement was still running on its connection (a COPY or a stream not read to "
            "its end): nothing was committed, and the connection is closed"
        ))  # fmt: skip
    return Ending(
        error=psycopg.OperationalError("the connection was lost inside a transaction block: nothing was committed")
    )


def check_commit(status: str | None) -> None:
    """Raise TransactionAbortedError where the server answered COMMIT with a rollback; `status` is the command tag."""
    if status == "ROLLBACK":
        raise _aborted()


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


@dataclass(slots=True)
class OpenTransaction:
    """A transaction that is open on a connection; `depth` counts the savepoints in it."""

    connection: Connection[TupleRow] | AsyncConnection[TupleRow]
    depth: int = 0


OpenTransactions = dict[Owner, OpenTransaction]
"""The open transactions of one database.

A nested block joins the transaction of its own task or thread and of no other: the owner is looked up here, and not
inherited, as a context variable would be by the tasks and threads that are started inside a block.
"""


def current_owner() -> Owner:
    """The running task, or the current thread where no event loop runs."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return task or threading.current_thread()

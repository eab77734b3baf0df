"""The rules of transaction blocks, without I/O: how a block ends, when that is an error, and when to retry.

The outermost block is the transaction, of depth 0. A block inside it is a savepoint, named after its depth.
"""

from __future__ import annotations

from typing import NamedTuple

import psycopg
from psycopg.pq import TransactionStatus

from rowsmith.errors import (
    CommitUnknownError,
    ConnectionLostError,
    DeadlineExceededError,
    TransactionAbortedError,
    TransactionError,
    category,
    is_transient,
)
from rowsmith.wire.protocol import is_replanned

COMMIT = b"COMMIT"
_RETRIED = {"40001", "40P01"}
"""serialization_failure, deadlock_detected: the transaction as a whole may succeed when it runs again (manual,
"Serialization Failure Handling")."""


class Ending(NamedTuple):
    """How a block ends: the commands to send, whether to close the connection, then the error to raise."""

    commands: tuple[bytes, ...] = ()
    error: Exception | None = None
    close: bool = False


_NOTHING, _COMMITTED = Ending(), Ending((COMMIT,))


def savepoint(depth: int) -> bytes:
    """The command that begins the nested block of a depth."""
    return b"SAVEPOINT rowsmith_%d" % depth


def ending(depth: int, status: int, *, failed: bool, begun: bool = True, by_hand: bool = False) -> Ending:
    """How the block of a depth ends, given the connection's status and whether an exception has left the block.

    `status` is a psycopg.pq.TransactionStatus. A transaction in which no statement ran has not `begun`. If a command
    has ended it `by_hand`, the one that is open now is another.
    """
    if not begun:
        return _NOTHING
    match status:
        case TransactionStatus.INTRANS | TransactionStatus.INERROR if by_hand:
            return Ending(() if depth else _undo(0), None if failed else _ended_inside())
        case TransactionStatus.INTRANS if not failed:
            return Ending((b"RELEASE SAVEPOINT rowsmith_%d" % depth,)) if depth else _COMMITTED
        case TransactionStatus.INTRANS | TransactionStatus.INERROR:
            return Ending(_undo(depth), None if failed else _aborted())
        case TransactionStatus.ACTIVE:
            # No command can be sent, so a savepoint cannot be undone. Without a connection nothing is committed.
            return Ending(error=None if failed else _still_running(), close=True)
        case TransactionStatus.IDLE:
            return _NOTHING if failed else Ending(error=_ended_inside())
        case _:
            return _NOTHING if failed else Ending(error=_lost())


def check_commit(tag: str | None) -> None:
    """Raise TransactionAbortedError if the server answered COMMIT with the command tag ROLLBACK."""
    if tag == "ROLLBACK":
        raise _aborted()


def retry_reason(error: Exception, *, entered: bool, lost: bool) -> str | None:
    """Why a transaction that ended with an error may be run again as a whole; None if it may not.

    `entered`: whether it had a connection; `lost`: whether it lost it before it sent COMMIT.
    """
    if isinstance(error, (CommitUnknownError, DeadlineExceededError)):
        return None
    if isinstance(error, psycopg.Error) and error.sqlstate in _RETRIED:
        return str(error.sqlstate)
    if isinstance(error, psycopg.Error) and is_replanned(error):
        return "a table changed under a prepared statement"
    if isinstance(error, ConnectionLostError) or (lost and isinstance(error, psycopg.OperationalError)):
        return "the connection was lost"
    if not entered and is_transient(error):
        return f"connecting failed ({category(error)})"
    return None


def disorder() -> TransactionError:
    """The error of blocks that did not end in the reverse order of their beginning."""
    return TransactionError(
        "a transaction block ended before a block inside it, such as that of a generator that was not run to its end: "
        "the whole transaction is rolled back. End blocks in the reverse order of their beginning"
    )


def iterated() -> TransactionError:
    """The error of a block in a loop over a generator that holds a block of its own."""
    return TransactionError(
        "the code that iterates over a generator opens a block while a transaction block inside the generator is "
        "open. It would be a savepoint of the generator's transaction, and be rolled back if the loop ends early. Read "
        "the rows before the loop, as by list(...)"
    )


def nested_kinds(where: str) -> TransactionError:
    """The error of `with` and `async with` blocks inside each other; `where` may say where they are."""
    return TransactionError(
        f"`with transaction():` and `async with transaction():` are nested in one task{where}. Their connections are "
        "of different kinds and cannot share a transaction: use one kind for both"
    )


def second_connection(first: str, second: str) -> TransactionError:
    """The error of a block that would be a second connection of a request, which waits for the first for ever."""
    return TransactionError(
        f"the block in {second} would be a second connection inside the transaction that {first} holds open for the "
        "same request. It cannot join that one, which was opened in another thread or with another kind of "
        "block, and would wait for its locks. Use rowsmith.fastapi.Transaction as the dependency (AsyncTransaction in "
        "an asynchronous endpoint): blocks in the endpoint are then savepoints. For work that must be committed by "
        "itself, start a task, or use connection()"
    )


def waited_for(where: str) -> TransactionError:
    """The error of a block in a thread, which a task with an open transaction waits for."""
    return TransactionError(
        f"the block in {where} runs in a thread, and the task that waits for this thread has a transaction open. The "
        "block would be a second connection, which may wait for the locks of the first for ever. It cannot join that "
        "transaction, because a connection is used by one thread or task at a time. Do this work in the task, or after "
        "its transaction. For work that must be committed by itself, start a task: "
        "asyncio.create_task(asyncio.to_thread(...)), or use connection()"
    )


def _undo(depth: int) -> tuple[bytes, ...]:
    if not depth:
        return (b"ROLLBACK",)
    return b"ROLLBACK TO SAVEPOINT rowsmith_%d" % depth, b"RELEASE SAVEPOINT rowsmith_%d" % depth


def _aborted() -> TransactionAbortedError:
    return TransactionAbortedError(
        "a statement in this transaction block failed and its error was caught inside the block. PostgreSQL aborts a "
        "transaction at the first error, so the block was rolled back. To continue after an error, put the statement "
        "that may fail in a nested `with transaction():` and catch the error around that"
    )


def _ended_inside() -> TransactionError:
    return TransactionError(
        "the transaction was ended inside its block, by COMMIT or ROLLBACK: later statements ran outside of it. Let "
        "the block end the transaction. To undo a part of it, nest a `with transaction():`"
    )


def _still_running() -> TransactionError:
    return TransactionError(
        "the block ended while a statement was still running on its connection (a COPY or a stream that was not read "
        "to its end): nothing was committed, and the connection is closed"
    )


def _lost() -> ConnectionLostError:
    return ConnectionLostError("the connection was lost inside a transaction block: nothing was committed")

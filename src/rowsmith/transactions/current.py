"""The open transactions: which of them a block joins, and how many blocks each one has."""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from types import FrameType
from typing import Any
from weakref import ref

from psycopg import AsyncConnection, Connection
from psycopg.rows import TupleRow

from rowsmith.pool.checkouts import is_ours
from rowsmith.queries.session import Session, session_of
from rowsmith.wire.concurrency import Owner, current_owner
from rowsmith.wire.protocol import Begin
from rowsmith.wire.transaction import Transaction

_CONTEXTLIB = contextlib.__file__


class OpenTransaction(Transaction):
    """A transaction and its blocks: the outermost one, of depth 0, and one for each savepoint."""

    def __init__(
        self,
        database: object,
        connection: Connection[TupleRow] | AsyncConnection[TupleRow],
        begin: Begin,
        *,
        wants_id: bool,
    ) -> None:
        super().__init__(begin, wants_id=wants_id)
        self.database = database
        self._connection = ref(connection)
        self.session: Session[Any] = session_of(connection)
        self.owner: Owner | None = current_owner()
        self._generator = _generator_of_block()
        self.doomed = False
        """Whether a block ended before one inside it. Then nothing of the transaction is committed."""
        self.ended = False
        """Whether its end has begun: nobody joins it any more."""
        self.foreign = False
        """Whether it belongs to the process that this one was forked from."""
        self._depth = -1
        self._blocks = 0

    @property
    def connection(self) -> Connection[TupleRow] | AsyncConnection[TupleRow] | None:
        """None if nobody refers to it any more. The transaction does not keep it: its blocks do."""
        return self._connection()

    @property
    def is_open(self) -> bool:
        """Whether a block can join it. After an exception at a bad moment it may have lost its connection."""
        return not self.ended and self._connection() is not None

    def note_opener(self) -> None:
        """Note which code has opened it, if that is another than the one that has made it."""
        self._generator = _generator_of_block()

    def enter_block(self) -> int:
        """Count a block in. Returns its depth."""
        self._depth += 1
        self._blocks += 1
        return self._depth

    def end_block(self, depth: int) -> None:
        """Note that the block of a depth is about to end. If a block inside it is open, the transaction is doomed."""
        self.doomed |= self._depth > depth
        self.ended |= depth == 0 and not self.doomed

    def leave_block(self, depth: int) -> bool:
        """Count a block out, after its commands were sent. Returns whether it was the last one."""
        self._depth = depth - 1
        self._blocks -= 1
        if self._blocks == 0:
            self._generator = None  # or its frames would be kept until this context opens another transaction
        return self._blocks == 0

    def is_iterated_over(self) -> bool:
        """Whether the running code iterates over a generator that has opened the transaction.

        Then the block is not around that code, though it is open: the generator is suspended. A generator that is a
        context manager or a fixture of pytest is not iterated over: what has advanced it to its `yield` has returned.
        """
        if self._generator is None:
            return False
        # Without the frame of this function, which would refer to itself, and keep all of them until it is collected.
        running = set(_frames(sys._getframe(1)))  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - the documented way
        generator, consumer = self._generator
        return generator not in running and consumer in running

    def abandon_block(self) -> bool:
        """Count out a block that is gone without having ended. Returns whether it was the last one."""
        self.doomed = True
        self._blocks -= 1
        if self._blocks <= 0:
            self.ended, self._generator = True, None
        return self._blocks <= 0

    @property
    def is_last_block(self) -> bool:
        """Whether only one block is left. Others may still be at work on the connection."""
        return self._blocks == 1


_GENERATORS = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


def _generator_of_block() -> tuple[FrameType, FrameType] | None:
    """If the block that is being opened is in a generator: the generator's frame, and that of what iterates over it."""
    opener: FrameType | None = sys._getframe(3)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - the documented way
    # contextlib has ExitStack.
    while opener is not None and (is_ours(file := opener.f_code.co_filename) or file == _CONTEXTLIB):
        opener = opener.f_back
    if opener is None or not opener.f_code.co_flags & _GENERATORS:
        return None
    return opener, next(frame for frame in _frames(opener) if not frame.f_code.co_flags & _GENERATORS)


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    """A frame, and those that have called it, from the innermost outwards."""
    while frame is not None:
        yield frame
        frame = frame.f_back


_open: ContextVar[tuple[OpenTransaction, ...]] = ContextVar("rowsmith_open_transactions", default=())


def find_open(database: object) -> OpenTransaction | None:
    """The transaction that a block opened here joins; None if it begins one of its own.

    It is open in this context, and its owner is the current task or thread. The context alone would be inherited by
    tasks that are started inside a block. The thread alone may be one of a pool that was left with a block open.
    """
    transactions = _open.get()
    owner = current_owner() if transactions else None
    for transaction in reversed(transactions):
        if transaction.database is database and transaction.owner is owner and transaction.is_open:
            return transaction
    return None


def interrupted_at_their_end() -> Iterator[object]:
    """What was about to end when the exception came that is being handled: blocks, and whatever else was at hand.

    A signal's handler may raise as `__exit__` is called, before any of its code runs. The block looks open for as long
    as the traceback refers to it.
    """
    error = sys.exc_info()[1]
    while error is not None:
        traceback = error.__traceback__
        while traceback is not None:
            frame, traceback = traceback.tb_frame, traceback.tb_next
            if frame.f_code.co_name in ("__exit__", "__aexit__") and is_ours(frame.f_code.co_filename):
                for each in frame.f_locals.values():
                    entered = getattr(each, "_entered", each)  # by rowsmith.blocks.Block
                    yield getattr(entered, "_block", entered)  # of an advisory lock
        error = error.__context__


def add_open(transaction: OpenTransaction) -> None:
    """Make it known to `find_open`."""
    _open.set((*_still_open(), transaction))


def end_open(transaction: OpenTransaction) -> None:
    """Note that it has ended, in whichever context that is."""
    transaction.ended = True
    _open.set(_still_open())


def lend(transaction: OpenTransaction) -> None:
    """Let blocks that are opened here join a transaction that was opened elsewhere, until `take_back`."""
    transaction.owner = current_owner()
    transaction.note_opener()
    add_open(transaction)


def take_back(transaction: OpenTransaction) -> None:
    """Let no block join a transaction, wherever it is opened."""
    transaction.owner = None
    _open.set(tuple([each for each in _still_open() if each is not transaction]))


def forget_open() -> None:
    """In a forked child: what is open belongs to the parent."""
    for transaction in _open.get():
        transaction.foreign = True
    _open.set(())


def _still_open() -> tuple[OpenTransaction, ...]:
    """The open transactions of this context. One may have ended in another context."""
    found = _open.get()
    return tuple([transaction for transaction in found if not transaction.ended]) if found else found

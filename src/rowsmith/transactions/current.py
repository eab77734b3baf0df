"""The open transactions: which of them a block joins, and how many blocks each one has."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import sys
from collections.abc import Callable, Generator, Iterator
from contextvars import ContextVar
from pathlib import Path
from types import CodeType, FrameType, FunctionType, MethodType
from typing import Any
from weakref import ReferenceType, ref

from psycopg import AsyncConnection, Connection
from psycopg.rows import TupleRow

from rowsmith.errors import TransactionError
from rowsmith.findings import display_path
from rowsmith.pool.checkouts import is_ours
from rowsmith.pool.connection_async import AsyncPooledConnection
from rowsmith.pool.connection_sync import PooledConnection
from rowsmith.queries.session import Session, session_of
from rowsmith.transactions.rules import nested_kinds, second_connection, waited_for
from rowsmith.wire.concurrency import Owner, current_owner, waiting, waits_for_this_thread
from rowsmith.wire.protocol import Begin
from rowsmith.wire.transaction import Transaction

_CONTEXTLIB = contextlib.__file__
Statement = ReferenceType[MethodType] | None
"""To what the running `with` statement of a block alone refers (`TransactionalBlock`). None if there is none."""


class OpenTransaction(Transaction):
    """A transaction and its blocks: the outermost one, of depth 0, and one for each savepoint."""

    def __init__(
        self,
        database: object,
        connection: PooledConnection | AsyncPooledConnection,
        begin: Begin,
        *,
        wants_id: bool,
        reclaim: Callable[[Any, int], object],
    ) -> None:
        super().__init__(begin, wants_id=wants_id)
        self.database = database
        self._connection = ref(connection)
        self._reclaim, self._use = reclaim, connection.uses
        """Has the pool replace the connection, unless its use has ended."""
        self.session: Session[Any] = session_of(connection)
        self.owner: Owner | None = current_owner()
        self.of_request = False
        """Whether it is a request's. Then blocks in the threads that the owner, a task, waits for join it, too."""
        self.endpoint: FunctionType | None = None
        self.generators: dict[int, tuple[FrameType, FrameType | None]] = {}
        """Of the blocks that are in a generator, by their depth: its frame, and that of what iterates over it.

        No frame of what iterates if the generator is a context manager: it would keep the manager alive.
        """
        self.doomed = False
        """Whether a block ended before one inside it. Then nothing of the transaction is committed."""
        self.ended = False
        """Whether its end has begun: nobody joins it any more."""
        self.foreign = False
        """Whether it belongs to the process that this one was forked from."""
        self._depth = -1
        self._blocks: dict[int, Statement] = {}
        """Its blocks by their depth, each with its `with` statement, if that is known and not about to end."""

    @property
    def connection(self) -> PooledConnection | AsyncPooledConnection | None:
        """None if nobody refers to it any more. The transaction does not keep it: its blocks do."""
        return self._connection()

    @property
    def is_open(self) -> bool:
        """Whether a block can join it. After an exception at a bad moment it may have lost blocks or its connection."""
        connection = self._connection()
        return not self.ended and bool(self._blocks) and connection is not None and connection.lent

    def note_opener(self) -> None:
        """Note which code has opened it, if that is another than the one that has made it."""
        if (generator := _generator_of_block()) is not None:
            self.generators[0] = generator

    def enter_block(self, statement: Statement) -> int:
        """Count a block in. Returns its depth."""
        if (generator := _generator_of_block()) is not None:
            self.generators[self._depth + 1] = generator
        self._depth += 1
        # One that is gone already was never that of a running statement.
        self._blocks[self._depth] = None if statement is None or statement() is None else statement
        return self._depth

    def end_block(self, depth: int) -> None:
        """Note that the block of a depth is about to end. If a block inside it is open, the transaction is doomed."""
        self._blocks[depth] = None
        self.doomed |= self._depth > depth
        self.ended |= depth == 0 and not self.doomed

    def leave_block(self, depth: int) -> bool:
        """Count a block out, after its commands were sent. Returns whether it was the last one."""
        self._depth = depth - 1
        del self._blocks[depth]
        if self.generators:  # or their frames would be kept until this context opens another transaction
            self.generators.pop(depth, None)
        self.ended |= not self._blocks
        return not self._blocks

    def is_iterated_over(self) -> bool:
        """Whether the running code iterates over a generator that has opened a block of the transaction.

        Then the block is not around that code, though it is open: the generator is suspended. A generator that is a
        context manager or a fixture of pytest is not iterated over: what has advanced it to its `yield` has returned.
        """
        if not self.generators:
            return False
        # Without the frame of this function, which would refer to itself, and keep all of them until it is collected.
        running = set(_frames(sys._getframe(1)))  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - the documented way
        return any(generator not in running and consumer in running for generator, consumer in self.generators.values())

    @property
    def holder(self) -> FrameType | None:
        """The generator that holds its block open for other code, as a context manager: a dependency of FastAPI."""
        generator, consumer = self.generators.get(0, (None, None))
        return generator if consumer is None else None

    def abandon_block(self, depth: int) -> None:
        """Count out the block of a depth, which has not ended and never will. With the last one, all of it ends."""
        self.doomed = True
        self._blocks.pop(depth, None)
        self.generators.pop(depth, None)
        if self._blocks:
            return
        self.ended = True
        _held.pop(self, None)
        if self.session.transaction is self:
            self.session.transaction = None
        if (connection := self._connection()) is not None:
            self._reclaim(connection, self._use)

    def abandon_left(self) -> None:
        """Count out the blocks whose `with` statements were left without having ended them.

        An exception that comes as `__exit__` is called, before any of its code runs, leaves a block like that.
        """
        for depth, statement in list(self._blocks.items()):
            if statement is not None and statement() is None:
                self.abandon_block(depth)

    @property
    def is_last_block(self) -> bool:
        """Whether only one block is left. Others may still be at work on the connection."""
        return len(self._blocks) == 1


_GENERATORS = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


def _generator_of_block() -> tuple[FrameType, FrameType | None] | None:
    """What `OpenTransaction.generators` has of the block that is being opened. None if it is not in a generator."""
    opener: FrameType | None = sys._getframe(3)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - the documented way
    # contextlib has ExitStack.
    while opener is not None and (is_ours(file := opener.f_code.co_filename) or file == _CONTEXTLIB):
        opener = opener.f_back
    if opener is None or not opener.f_code.co_flags & _GENERATORS:
        return None
    consumer = next(frame for frame in _frames(opener) if not frame.f_code.co_flags & _GENERATORS)
    return opener, None if consumer.f_code.co_filename == _CONTEXTLIB else consumer


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    """A frame, and those that have called it, from the innermost outwards."""
    while frame is not None:
        yield frame
        frame = frame.f_back


_open: ContextVar[tuple[OpenTransaction, ...]] = ContextVar("rowsmith_open_transactions", default=())
_held: dict[OpenTransaction, Any] = {}
"""The transactions that a context manager holds open, such as a dependency of FastAPI, and for which task that is."""


def find_open(database: object) -> OpenTransaction | None:
    """The transaction that a block opened here joins; None if it begins one of its own.

    It is open in this context, and its owner is the current task or thread. The context alone would be inherited by
    tasks that are started inside a block. The thread alone may be one of a pool that was left with a block open. A
    request's transaction is also joined in a thread that the request's task waits for.

    Raises TransactionError if a dependency of the same request holds a transaction that cannot be joined, or if a task
    that holds one waits for this thread.
    """
    if transactions := _open.get():
        owner = current_owner()
        for transaction in reversed(transactions):
            joins = transaction.owner is owner or (transaction.of_request and transaction.owner is waiting())
            if joins and transaction.database is database:
                if transaction.owner is owner:  # elsewhere `__exit__` may be about to begin
                    transaction.abandon_left()
                if transaction.is_open:
                    return transaction
    if _held:
        _check_not_held(database)
    for transaction in transactions:
        if transaction.database is database and transaction.is_open and _is_waited_for_by(transaction.owner):
            raise waited_for(_caller())
    return None


def add_open(transaction: OpenTransaction) -> None:
    """Make it known to `find_open`."""
    _open.set((*_still_open(), transaction))
    if transaction.generators:  # which is rare
        _hold(transaction)


def remove_open(transaction: OpenTransaction) -> None:
    """Let no block that is opened in this context join it."""
    if _held:
        _held.pop(transaction, None)
    _open.set(tuple([each for each in _open.get() if each is not transaction]))


@contextlib.contextmanager
def of_request(
    connection: Connection[TupleRow] | AsyncConnection[TupleRow], endpoint: FunctionType | None
) -> Generator[None]:
    """For a `with`: make the transaction of a connection that of the request that the running task handles.

    Blocks join it in this task, and in the threads that the task waits for. The task has a cancel scope of its own.
    """
    transaction = session_of(connection).transaction
    assert isinstance(transaction, OpenTransaction)  # noqa: S101 - the caller has just opened it
    transaction.owner, transaction.of_request, transaction.endpoint = current_owner(), True, endpoint
    remove_open(transaction)
    _open.set((*_still_open(), transaction))
    try:
        yield
    finally:
        remove_open(transaction)


def other_kind(outer: OpenTransaction) -> TransactionError:
    """The error of a block whose connection is of another kind than that of the transaction around it."""
    where = ""
    if outer.endpoint is not None:
        code = outer.endpoint.__code__
        where = f" ({_place(code, code.co_firstlineno)} has the request's transaction, and {_caller()} opens a block)"
    return nested_kinds(where)


def lend(transaction: OpenTransaction) -> None:
    """Let blocks that are opened here join a transaction that was opened elsewhere, until `take_back`."""
    transaction.owner = current_owner()
    transaction.note_opener()
    add_open(transaction)


def take_back(transaction: OpenTransaction) -> None:
    """Let no block join a transaction, wherever it is opened."""
    transaction.owner = None
    remove_open(transaction)


def forget_open() -> None:
    """In a forked child: what is open belongs to the parent."""
    for transaction in _open.get():
        transaction.foreign = True
    _open.set(())


def _hold(transaction: OpenTransaction) -> None:
    if transaction.holder is not None and (request := waiting()) is not None:
        _held[transaction] = request


def _check_not_held(database: object) -> None:
    """Raise an error if a context manager holds a transaction open around this code, as seen from the waiting task.

    FastAPI enters and leaves a synchronous dependency in other threads and contexts than those of the endpoint, so the
    context does not tell. The generator of the dependency is suspended meanwhile.
    """
    request = waiting()
    for transaction, other in list(_held.items()):
        if transaction.database is not database or not transaction.is_open:
            continue
        if other is not request and not (request is None and _is_waited_for_by(other)):
            continue
        if (holder := transaction.holder) is not None and holder.f_back is None:
            raise second_connection(_place(holder.f_code, holder.f_lineno), _caller())


def _is_waited_for_by(owner: Owner | None) -> bool:
    return isinstance(owner, asyncio.Task) and waits_for_this_thread(owner)


def _caller() -> str:
    """Where this package was called."""
    frames = _frames(sys._getframe(1))  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - the documented way
    frame = next(frame for frame in frames if not is_ours(frame.f_code.co_filename))
    return _place(frame.f_code, frame.f_lineno)


def _place(code: CodeType, line: int) -> str:
    return f"{code.co_name}, {display_path(Path(code.co_filename))}:{line},"


def _still_open() -> tuple[OpenTransaction, ...]:
    """The open transactions of this context. One may have ended in another context."""
    found = _open.get()
    return tuple([transaction for transaction in found if not transaction.ended]) if found else found

"""What a program of blocks must do: a small model of PostgreSQL's transactions, and of blocks as they are documented.

It never calls the library. Each method returns the fault that the real call must raise, None if it must succeed. A
fault is an SQLSTATE, or the name of one of the library's errors.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from enum import Enum

Fault = str | None
NO_TRANSACTION, ABORTED, NO_SAVEPOINT, READ_ONLY, DIVISION = "25P01", "25P02", "3B001", "25006", "22012"
DISORDER = OPTIONS = ITERATED = ENDED = "TransactionError"
CAUGHT = "TransactionAbortedError"


class State(Enum):
    """Of a session."""

    IDLE = 0
    OPEN = 1
    FAILED = 2


@dataclass
class Session:
    """A session of PostgreSQL, and the rows that it has inserted but not committed."""

    stored: set[int]
    state: State = State.IDLE
    read_only: bool = False
    levels: list[tuple[str, set[int]]] = field(default_factory=list[tuple[str, set[int]]])
    """The transaction, then its savepoints: the name of each, and the rows inserted since."""

    @property
    def pending(self) -> set[int]:
        return {row for _, rows in self.levels for row in rows}

    def insert(self, row: int) -> Fault:
        if self.state is State.FAILED:
            return ABORTED
        if self.read_only and self.state is State.OPEN:
            return self._fail(READ_ONLY)
        (self.levels[-1][1] if self.levels else self.stored).add(row)
        return None

    def divide_by_zero(self) -> Fault:
        return self._fail(ABORTED if self.state is State.FAILED else DIVISION)

    def command(self, text: str) -> Fault:
        """Run commands, separated by semicolons, up to the first that fails."""
        for part in text.split("; "):
            match part.split():
                case ["BEGIN", *_]:
                    fault = self.begin()
                case ["COMMIT"]:
                    fault = self.end(commit=True)
                case ["ROLLBACK"]:
                    fault = self.end(commit=False)
                case ["COMMIT" | "ROLLBACK" as how, "AND", "CHAIN"]:
                    fault = self.chain(commit=how == "COMMIT")
                case ["SAVEPOINT", name]:
                    fault = self.savepoint(name)
                case ["ROLLBACK", "TO", name]:
                    fault = self.roll_back_to(name)
                case ["RELEASE", name]:
                    fault = self.release(name)
                case _:
                    raise AssertionError(part)
            if fault:
                return fault
        return None

    def begin(self, *, read_only: bool = False) -> Fault:
        if self.state is State.FAILED:
            return ABORTED
        if self.state is State.IDLE:
            self.state, self.levels, self.read_only = State.OPEN, [("", set())], read_only
        return None  # a second BEGIN is a warning

    def end(self, *, commit: bool) -> Fault:
        if commit and self.state is State.OPEN:
            self.stored |= self.pending
        self.state, self.levels, self.read_only = State.IDLE, [], False
        return None

    def chain(self, *, commit: bool) -> Fault:
        if self.state is State.IDLE:
            return NO_TRANSACTION
        read_only = self.read_only
        self.end(commit=commit)
        return self.begin(read_only=read_only)

    def savepoint(self, name: str) -> Fault:
        if fault := self._fault_of_savepoint():
            return fault
        self.levels.append((name, set()))
        return None

    def roll_back_to(self, name: str) -> Fault:
        if self.state is State.IDLE:
            return NO_TRANSACTION
        if (at := self._find(name)) is None:
            return self._fail(NO_SAVEPOINT)
        self.levels[at:] = [(name, set())]
        self.state = State.OPEN
        return None

    def release(self, name: str) -> Fault:
        if fault := self._fault_of_savepoint():
            return fault
        if (at := self._find(name)) is None:
            return self._fail(NO_SAVEPOINT)
        for _, rows in self.levels[at:]:
            self.levels[at - 1][1].update(rows)
        del self.levels[at:]
        return None

    def _fault_of_savepoint(self) -> Fault:
        return {State.IDLE: NO_TRANSACTION, State.FAILED: ABORTED, State.OPEN: None}[self.state]

    def _find(self, name: str) -> int | None:
        return next((at for at in range(len(self.levels) - 1, 0, -1) if self.levels[at][0] == name), None)

    def _fail(self, fault: str) -> str:
        if self.state is State.OPEN:
            self.state = State.FAILED
        return fault


def _ends_transaction(text: str) -> bool:
    return any(part.split()[0] in ("COMMIT", "ROLLBACK") and " TO " not in part for part in text.split("; "))


@dataclass
class Transaction:
    """A transaction of blocks. The first is the transaction, each other one a savepoint."""

    session: Session
    owner: Hashable
    read_only: bool
    blocks: list[Block] = field(default_factory=list["Block"])
    """Those that are open, from the outermost inwards."""
    depth: int = -1
    begun: bool = False
    by_hand: bool = False
    doomed: bool = False
    uncertain: bool = False
    """Whether something was interrupted in it. Then what the blocks say decides what is stored."""


@dataclass(eq=False)
class Loop:
    """A loop over a generator."""

    suspended: bool = False
    running: bool = True
    """Whether the code that iterates is running."""


@dataclass(eq=False)
class Block:
    """A block of a transaction."""

    transaction: Transaction
    depth: int
    generator: Loop | None
    """What iterates over the generator that has opened it, if one has."""
    rows: set[int] = field(default_factory=set[int])
    """Those inserted in it that may be stored, once something was interrupted."""

    @property
    def savepoint(self) -> str:
        return f"rowsmith_{self.depth}"


class Model:
    """All sessions and transactions of a program."""

    def __init__(self) -> None:
        self.stored: set[int] = set()
        self.perhaps: set[int] = set()
        """Rows that may be stored or not: an interruption came while they were inserted or committed."""
        self.together: list[set[int]] = []
        """Rows of which all are stored or none, of a COMMIT that was interrupted."""
        self.transactions: list[Transaction] = []

    def differences(self, found: list[int]) -> list[str]:
        """How what is stored differs from what must be."""
        stored = set(found)
        wrong: list[str] = []
        if len(found) != len(stored):
            wrong.append(f"stored twice: {found}")
        allowed = self.stored.union(self.perhaps, *self.together)
        if lost := self.stored - stored - self.perhaps:
            wrong.append(f"lost: {sorted(lost)}")
        if strange := stored - allowed:
            wrong.append(f"stored, but rolled back: {sorted(strange)}")
        wrong += [
            f"stored in part: {rows & stored} of {rows}" for rows in self.together if rows & stored not in (set(), rows)
        ]
        return wrong

    # --- blocks ---

    def open_transaction(self, owner: Hashable) -> Transaction | None:
        """The one that a block joins."""
        return next((each for each in reversed(self.transactions) if each.owner == owner and each.blocks), None)

    def enter(
        self, owner: Hashable, *, plain: bool = True, read_only: bool = False, generator: Loop | None = None
    ) -> tuple[Block | None, Fault]:
        """Enter a block of a transaction. Returns the block, or the fault."""
        outer = self.open_transaction(owner)
        if outer is None:
            made = Transaction(Session(self.stored), owner, read_only)
            self.transactions.append(made)
            return self._enter_block(made, generator), None
        loops = [block.generator for block in outer.blocks if block.generator is not None]
        if any(loop.suspended and loop.running for loop in loops):
            return None, ITERATED
        if not plain:
            return None, OPTIONS
        if outer.doomed:
            return None, DISORDER
        if outer.uncertain:
            return self._enter_block(outer, generator), None
        self.begin(outer)
        if fault := outer.session.savepoint(f"rowsmith_{outer.depth + 1}"):
            return None, fault
        return self._enter_block(outer, generator), None

    def _enter_block(self, transaction: Transaction, generator: Loop | None) -> Block:
        transaction.depth += 1
        block = Block(transaction, transaction.depth, generator)
        transaction.blocks.append(block)
        return block

    def exit(self, block: Block, *, failed: bool) -> Fault:
        """End a block."""
        transaction = block.transaction
        transaction.doomed |= transaction.depth > block.depth
        if transaction.doomed:
            if transaction.blocks == [block]:
                transaction.session.end(commit=False)
            fault = None if failed else DISORDER
        else:
            fault = self._end(block, failed=failed)
        self._leave(block)
        return fault

    def _end(self, block: Block, *, failed: bool) -> Fault:
        transaction, session = block.transaction, block.transaction.session
        if not transaction.begun:
            return None
        fault: Fault = None
        if session.state is State.IDLE:
            fault = ENDED
        elif transaction.by_hand:
            fault = ENDED
            if block.depth == 0:
                session.end(commit=False)
        elif session.state is State.OPEN and not failed:
            return session.release(block.savepoint) if block.depth else session.end(commit=True)
        elif block.depth == 0:
            session.end(commit=False)
            fault = CAUGHT
        else:
            fault = session.roll_back_to(block.savepoint) or session.release(block.savepoint) or CAUGHT
        return None if failed else fault

    def _leave(self, block: Block) -> None:
        transaction = block.transaction
        transaction.depth = block.depth - 1
        transaction.blocks.remove(block)
        if not transaction.blocks:
            transaction.session.end(commit=False)

    def abandon(self, block: Block) -> None:
        """A block is gone without having ended."""
        transaction = block.transaction
        transaction.doomed = True
        transaction.blocks.remove(block)
        if not transaction.blocks:
            transaction.session.end(commit=False)

    # --- statements ---

    def begin(self, transaction: Transaction) -> None:
        """BEGIN is sent together with the first statement."""
        if not transaction.begun:
            transaction.begun = True
            transaction.session.begin(read_only=transaction.read_only)

    def run(self, where: Transaction | Session, statement: Callable[[Session], Fault], text: str = "") -> Fault:
        """Run a statement in a transaction, or on a connection of its own. A text is that of a command by hand."""
        if isinstance(where, Session):
            return statement(where)
        self.begin(where)
        fault = statement(where.session)
        where.by_hand |= not fault and _ends_transaction(text)
        return fault

    # --- interruptions ---

    def interrupt(self, transaction: Transaction) -> None:
        """Something was interrupted in a transaction: from now on, what its blocks say decides what is stored."""
        if transaction.uncertain:
            return
        transaction.uncertain = True
        session, blocks = transaction.session, transaction.blocks
        if transaction.by_hand or len(session.levels) > len(blocks):
            self.perhaps |= session.pending  # levels are not those of the blocks
        else:
            for block, (_, rows) in zip(blocks, session.levels, strict=False):
                block.rows |= rows
        session.end(commit=False)

    def leave(self, block: Block, *, acknowledged: bool, interrupted: bool) -> None:
        """End a block of a transaction in which something was interrupted, as the real one has ended."""
        transaction = block.transaction
        outer = transaction.blocks[: transaction.blocks.index(block)]
        if acknowledged:
            (outer[-1].rows if outer else self.stored).update(block.rows)
        elif interrupted and outer:
            self.perhaps |= block.rows
        elif interrupted and block.rows:
            self.together.append(block.rows)
        self._leave(block)

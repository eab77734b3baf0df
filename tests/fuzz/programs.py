"""Random programs of blocks. A program is a tuple of steps, and its repr is Python that makes it again."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

COMMANDS = (
    "COMMIT",
    "ROLLBACK",
    "COMMIT AND CHAIN",
    "ROLLBACK AND CHAIN",
    "BEGIN",
    "ROLLBACK; BEGIN",
    "COMMIT; BEGIN",
    "SAVEPOINT a",
    "ROLLBACK TO a",
    "RELEASE a",
    "SAVEPOINT a; ROLLBACK TO a",
)


@dataclass(frozen=True)
class Step:
    """Something that a program does."""


Program = tuple[Step, ...]


# --- steps without steps inside ---


@dataclass(frozen=True)
class Insert(Step):
    """Insert a row with a number that no other row has, by psycopg's cursor or a query of the library."""

    query: bool = False


@dataclass(frozen=True)
class Divide(Step):
    """A statement that fails."""

    query: bool = False


@dataclass(frozen=True)
class Command(Step):
    """A command by hand."""

    text: str


@dataclass(frozen=True)
class Raise(Step):
    """An error of the application, an Exception or not."""

    base: bool = False


@dataclass(frozen=True)
class Finish(Step):
    """Close the generator that was left suspended last, here or in a thread or task of its own."""

    beside: bool = False


# --- steps with steps inside ---


@dataclass(frozen=True)
class Block(Step):
    """A block of a transaction, or of a lock that a transaction holds."""

    steps: Program
    isolation: str | None = None
    read_only: bool = False
    lock: bool = False


@dataclass(frozen=True)
class Lease(Step):
    """A block of a connection in autocommit mode, or of a lock that a session holds."""

    steps: Program
    lock: bool = False


@dataclass(frozen=True)
class Run(Step):
    """A function of a connection, run in a transaction."""

    steps: Program
    isolation: str | None = None


@dataclass(frozen=True)
class Stack(Step):
    """Several blocks of a transaction in an ExitStack."""

    steps: Program
    blocks: int


@dataclass(frozen=True)
class Manager(Step):
    """A context manager made of a generator that holds a block."""

    steps: Program


@dataclass(frozen=True)
class Iterate(Step):
    """A loop over a generator that holds a block. The generator yields between its own steps."""

    steps: Program
    inside: Program
    """The generator's own, which come before each of its two yields."""
    end: str
    """`exhaust` the generator, `break` and close it, or `leave` it suspended until a Finish or the end."""


@dataclass(frozen=True)
class Abandon(Step):
    """A block that is entered and never left."""

    steps: Program


@dataclass(frozen=True)
class Swallow(Step):
    """Catch each Exception, or each BaseException."""

    steps: Program
    base: bool = False


@dataclass(frozen=True)
class Beside(Step):
    """Steps in a thread or task of their own, which are waited for."""

    steps: Program


@dataclass(frozen=True)
class Interrupt(Step):
    """An exception comes from outside meanwhile: at a step of the code of the library (see `interruptions`).

    0: the task is cancelled, where it next waits.
    """

    steps: Program
    moment: int


ENDS = ("exhaust", "break", "leave")
_LEVELS = (None, "repeatable read", "serializable")

_leaf: st.SearchStrategy[Step] = st.one_of(
    st.builds(Insert, st.booleans()),
    st.builds(Divide, st.booleans()),
    st.builds(Command, st.sampled_from(COMMANDS)),
    st.builds(Raise, st.booleans()),
    st.builds(Finish, st.booleans()),
)


def _around(step: st.SearchStrategy[Step]) -> st.SearchStrategy[Step]:
    steps = _steps(step)
    return st.one_of(
        st.builds(Block, steps),
        st.builds(Block, steps, st.sampled_from(_LEVELS), st.booleans(), st.booleans()),
        st.builds(Swallow, steps, st.booleans()),
        st.builds(Run, steps, st.sampled_from(_LEVELS)),
        st.builds(Iterate, steps, _steps(_leaf, 2), st.sampled_from(ENDS)),
        st.builds(Iterate, steps, _steps(step, 2), st.sampled_from(ENDS)),
        st.builds(Manager, steps),
        st.builds(Stack, steps, st.integers(1, 3)),
        st.builds(Lease, steps, st.booleans()),
        st.builds(Abandon, steps),
        st.builds(Beside, steps),
        st.builds(Interrupt, steps, st.one_of(st.just(0), st.integers(1, 400))),
    )


def _steps(step: st.SearchStrategy[Step], most: int = 4) -> st.SearchStrategy[Program]:
    return st.lists(step, max_size=most).map(tuple)


programs: st.SearchStrategy[Program] = _steps(
    st.recursive(st.builds(Insert, st.booleans()) | _leaf, _around, max_leaves=25), 6
)

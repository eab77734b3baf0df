"""A deadline: the moment by which all work of a block has to be done, whatever takes the time."""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from time import monotonic
from typing import NamedTuple
from weakref import ReferenceType, ref

from rowsmith.errors import DeadlineExceededError

GRACE_SECONDS = 0.2
"""How long it may take to tidy up once a deadline has passed. A server that can be reached needs a few milliseconds."""


class _Limit(NamedTuple):
    end: float | None
    """In seconds of the monotonic clock; None: no deadline."""
    block: ReferenceType[until]
    """If it is gone, an exception came before it could end, and the limit outside applies again."""
    outside: _Limit | None


CURRENT: ContextVar[_Limit | None] = ContextVar("rowsmith_deadline", default=None)
"""The deadline of this thread or task. None: there is none, which is all that the fast path looks at."""


@contextmanager
def deadline(seconds: float) -> Generator[None]:
    """Limit all work with databases inside: waiting for a connection, connecting, every statement.

    Use `with deadline(2.5):` in synchronous and asynchronous code. What is running when the time is over raises
    DeadlineExceededError, and a statement is cancelled on the server. Of nested deadlines the earliest applies. An
    infinite one changes nothing. A task that outlives the block is not limited any more. Raises ValueError for NaN.
    """
    if math.isnan(seconds):
        raise ValueError("deadline(nan): expected a number of seconds")
    with until(earliest(monotonic() + seconds)):
        yield


class until:  # noqa: N801 - a context manager, called like a function
    """Set the deadline to a moment of the monotonic clock, earlier or later than the current one; None: no deadline."""

    __slots__ = ("__weakref__", "_end", "_token")
    _token: Token[_Limit | None]

    def __init__(self, end: float | None) -> None:
        self._end = end

    def __enter__(self) -> None:
        self._token = CURRENT.set(_Limit(self._end, ref(self), _live()))

    def __exit__(self, *_: object) -> None:
        CURRENT.reset(self._token)


def tidying(seconds: float = math.inf) -> until:
    """A block that tidies up, for so many seconds: until the deadline, but with a moment even if that has passed."""
    now = monotonic()
    end = earliest(now + seconds)
    return until(None if end is None else max(end, now + GRACE_SECONDS))


def current_end() -> float | None:
    """The deadline, in seconds of the monotonic clock; None if there is none."""
    limit = _live()
    return None if limit is None else limit.end


def _live() -> _Limit | None:
    limit = CURRENT.get()
    while limit is not None and limit.block() is None:
        limit = limit.outside
        CURRENT.set(limit)
    return limit


def earliest(end: float) -> float | None:
    """The deadline or this moment, whichever is earlier; None if both are infinite."""
    outer = current_end()
    end = end if outer is None else min(end, outer)
    return None if end == math.inf else end


def remaining() -> float | None:
    """The seconds that are left, None without a deadline. Raises DeadlineExceededError if none are left."""
    end = None if CURRENT.get() is None else current_end()
    if end is None:
        return None
    left = end - monotonic()
    if left <= 0:
        raise exceeded()
    return left


def exceeded() -> DeadlineExceededError:
    """The error of a deadline that has passed."""
    return DeadlineExceededError("the time of `with deadline(...)` is over")

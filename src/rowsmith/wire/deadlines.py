"""A deadline: the moment by which all work of a block has to be done, whatever takes the time."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic

from rowsmith.errors import DeadlineExceededError

CURRENT: ContextVar[float | None] = ContextVar("rowsmith_deadline", default=None)
"""The deadline of this thread or task, on the monotonic clock in seconds."""


@contextmanager
def deadline(seconds: float) -> Generator[None]:
    """Limit all work with databases inside: waiting for a connection, connecting, every statement.

    Use `with deadline(2.5):` in synchronous and asynchronous code. What is running when the time is over raises
    DeadlineExceededError, and a statement is cancelled on the server. Of nested deadlines the earliest applies.
    """
    end = monotonic() + seconds
    outer = CURRENT.get()
    with until(end if outer is None else min(end, outer)):
        yield


@contextmanager
def until(end: float | None) -> Generator[None]:
    """Set the deadline to a moment of the monotonic clock, earlier or later than the current one; None: no deadline."""
    token = CURRENT.set(end)
    try:
        yield
    finally:
        CURRENT.reset(token)


def remaining() -> float | None:
    """The seconds that are left, None without a deadline. Raises DeadlineExceededError if none are left."""
    end = CURRENT.get()
    if end is None:
        return None
    left = end - monotonic()
    if left <= 0:
        raise exceeded()
    return left


def exceeded() -> DeadlineExceededError:
    """The error of a deadline that has passed."""
    return DeadlineExceededError("the time of `with deadline(...)` is over")

"""What a contender is: a library at work, on connections of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from operator import attrgetter
from typing import Any, ClassVar
from uuid import UUID

from benchmarks import data

POOL = 10
"""Connections of a pool, all open from the start."""

_VALUES = attrgetter(*data.USER_FIELDS)


class LeftOutError(Exception):
    """The contender has no honest form of this work. The message is the reason, for the table."""


class Contender:
    """A library at work. The methods of an asynchronous one are coroutine functions.

    A method that a contender does not have raises LeftOutError. Each opens what it needs in `open`, prepares its
    statements, and takes no shortcut that an application could not take.
    """

    name: ClassVar[str]
    asynchronous: ClassVar[bool] = False
    imports: ClassVar[str] = ""
    """What an application imports to do this; nothing where another contender stands for the same library."""

    def __init__(self, url: str) -> None:
        self.url = url

    def open(self) -> Any:
        """Connect."""

    def close(self) -> Any:
        """Let go of every connection."""

    def look_up(self, key: UUID) -> Any:
        """One user by key, on a connection of its own in autocommit mode."""
        raise LeftOutError

    def read(self, most: int) -> Any:
        """The first so many users, by key, all of them at once."""
        raise LeftOutError

    def create(self, email: str, name: str) -> Any:
        """A new user: the row that RETURNING gives back, with what the server filled in."""
        raise LeftOutError

    def transact(self, key: UUID) -> Any:
        """In one transaction, of a pool: read a user, record an event, read the user again. Gives both."""
        raise LeftOutError

    def load(self) -> Any:
        """Insert `data.events()`, as fast as the library can."""
        raise LeftOutError

    def look_up_pooled(self, key: UUID) -> Any:
        """One user by key, on a connection of a pool of POOL, from any thread or task."""
        raise LeftOutError

    def stream(self) -> Any:
        """Read `list_users_tenfold` without holding it in memory: how many rows, and the last."""
        raise LeftOutError

    def users(self, result: Any) -> list[data.Row]:
        """The values of the users in a result, to be compared: not measured."""
        rows: list[Any] = [result] if hasattr(result, "id") else list(result)
        return list(map(_VALUES, rows))


def drained(rows: Iterable[Any]) -> tuple[int, Any]:
    """How many rows there are, and the last."""
    return deque(enumerate(rows, 1), maxlen=1).pop()

"""The interface of a contender: a library, used on its own connections."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from operator import attrgetter
from typing import Any, ClassVar
from uuid import UUID

from benchmarks import data

POOL = 10
"""The number of connections in a pool. All are open from the start."""

_VALUES = attrgetter(*data.USER_FIELDS)


class LeftOutError(Exception):
    """The library has no proper way to do this work. The message is the reason, for the table."""


class Contender:
    """A library that does the work of the benchmark. If it is async, the methods are coroutine functions.

    A method that a contender does not have raises LeftOutError. A contender connects in `open`, uses prepared
    statements, and takes no shortcuts that an application could not take.
    """

    name: ClassVar[str]
    asynchronous: ClassVar[bool] = False
    imports: ClassVar[str] = ""
    """The import statement of an application. Empty if another contender of the same library has it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def open(self) -> Any:
        """Connect."""

    def close(self) -> Any:
        """Close all connections."""

    def look_up(self, key: UUID) -> Any:
        """Find one user by key, on a connection in autocommit mode that is kept open."""
        raise LeftOutError

    def read(self, most: int) -> Any:
        """List the first `most` users, by key, all at once."""
        raise LeftOutError

    def nest(self, most: int) -> Any:
        """List the first `most` users, by key, each with a list of their API keys, `keys`."""
        raise LeftOutError

    def create(self, email: str, name: str) -> Any:
        """Create a user. Returns the row from RETURNING, with the columns that the server fills in."""
        raise LeftOutError

    def transact(self, key: UUID) -> Any:
        """In one transaction on a pool: find a user, record an event, find the user again. Returns both users."""
        raise LeftOutError

    def read_thrice(self, key: UUID) -> Any:
        """In one transaction on a pool: find the same user three times. Returns the three."""
        raise LeftOutError

    def load(self) -> Any:
        """Insert `data.events()`, as fast as the library can."""
        raise LeftOutError

    def look_up_pooled(self, key: UUID) -> Any:
        """Find one user by key, on a connection from a pool of POOL, from any thread or task."""
        raise LeftOutError

    def stream(self) -> Any:
        """Read `list_users_tenfold` without keeping it in memory. Returns the number of rows, and the last row."""
        raise LeftOutError

    def users(self, result: Any) -> list[data.Row]:
        """The values of the users in a result, for the comparison. This is not measured."""
        rows: list[Any] = [result] if hasattr(result, "id") else list(result)
        return list(map(_VALUES, rows))


def drained(rows: Iterable[Any]) -> tuple[int, Any]:
    """Read all rows. Returns their number, and the last one."""
    return deque(enumerate(rows, 1), maxlen=1).pop()

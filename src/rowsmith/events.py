"""The events of a pool's connections: logged, and the last failure kept, since the pool itself hides it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from weakref import WeakSet

import psycopg
from psycopg.pq.abc import PGconn

from rowsmith.errors import HINTS, Category, category

logger = logging.getLogger("rowsmith.connections")


@dataclass(frozen=True, slots=True)
class ConnectFailure:
    """An attempt to connect that failed."""

    category: Category
    message: str
    """What libpq or the server said, on one line; no password is in it."""


class ConnectionEvents:
    """What a pool's connections tell. Safe under threads: each event is one assignment and one log record."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.last_failure: ConnectFailure | None = None
        """The latest failure, None once a connection was made after it."""
        self.connections: WeakSet[PGconn] = WeakSet()
        """Every connection that was made and is still referred to, open or closed."""

    def opened(self, pgconn: PGconn, milliseconds: float) -> None:
        """A connection was made."""
        self.last_failure = None
        self.connections.add(pgconn)
        logger.info("%s: connection opened, server process %d, %.1f ms", self._name, pgconn.backend_pid, milliseconds)

    def failed(self, error: psycopg.Error) -> None:
        """A connection could not be made."""
        failure = self.last_failure = ConnectFailure(category(error), " ".join(str(error).split()))
        logger.error("%s: connection failed (%s): %s", self._name, failure.category, failure.message)

    def closed(self, pgconn: PGconn) -> None:
        """A connection is being closed from this side."""
        logger.info("%s: connection closed, server process %d", self._name, pgconn.backend_pid)


def explain(error: psycopg.Error, where: str) -> None:
    """Add a note to an error met while connecting: to what, why as far as known, and what to do."""
    reason = category(error)
    error.add_note(f"cannot connect to {where} ({reason}). {HINTS.get(reason, '')}".rstrip())

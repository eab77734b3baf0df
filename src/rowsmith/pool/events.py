"""The events of a pool's connections: logged, and the last failure kept, which psycopg_pool hides."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

import psycopg
from psycopg.pq import ConnStatus
from psycopg.pq.abc import PGconn

from rowsmith.errors import HINTS, Category, category, is_transient
from rowsmith.pool.breaker import CircuitBreaker

logger = logging.getLogger("rowsmith.connections")


@dataclass(frozen=True, slots=True)
class ConnectFailure:
    """A failed attempt to connect."""

    category: Category
    message: str
    """What libpq or the server said, on one line, without a password."""


class ConnectionEvents:
    """What happens to a pool's connections. Safe under threads: each event is one assignment and one log record."""

    def __init__(self, name: str, breaker: CircuitBreaker) -> None:
        self._name = name
        self.breaker = breaker
        self.generation = 0
        """How often the pool was drained. A connection of an earlier generation is not used any more."""
        self.ended = False
        """Whether the pool is closed, so that no connection is needed any more."""
        self.wanted: Callable[[], bool] = lambda: False
        """Whether a caller is waiting for a connection."""
        self.lost: Callable[[Any], None] = lambda _: None
        """Called with a connection of the pool that nobody refers to any more, though it was not returned."""
        self.last_failure: ConnectFailure | None = None
        """The latest failure, None after a connection was made."""
        self.connections: WeakSet[PGconn] = WeakSet()
        """Every connection that was made and is still referred to, open or closed."""

    def opened(self, pgconn: PGconn, milliseconds: float) -> None:
        """A connection was made."""
        self.last_failure = None
        self.breaker.succeeded()
        self.connections.add(pgconn)
        logger.info("%s: connection opened, server process %d, %.1f ms", self._name, pgconn.backend_pid, milliseconds)

    def failed(self, error: psycopg.Error) -> None:
        """An attempt to connect failed."""
        if is_transient(error):
            self.breaker.failed()
        failure = self.last_failure = ConnectFailure(category(error), " ".join(str(error).split()))
        logger.error("%s: connection failed (%s): %s", self._name, failure.category, failure.message)

    def unanswered(self, error: Exception) -> None:
        """A connection that was idle does not answer."""
        failure = self.last_failure = ConnectFailure(category(error), "an idle connection does not answer")
        logger.warning("%s: %s (%s); the pool is drained", self._name, failure.message, failure.category)

    def closed(self, pgconn: PGconn) -> None:
        """A connection is being closed from this side."""
        logger.info("%s: connection closed, server process %d", self._name, pgconn.backend_pid)


def explain(error: psycopg.Error, where: str) -> None:
    """Add a note to an error met while connecting: to what, why as far as it is known, and what to do."""
    reason = category(error)
    error.add_note(f"cannot connect to {where} ({reason}). {HINTS.get(reason, '')}".rstrip())


def is_moved(error: psycopg.Error, pgconn: PGconn) -> bool:
    """Whether an error says that the server is stopping or has become read-only, which concerns all connections."""
    if isinstance(error, (psycopg.errors.AdminShutdown, psycopg.errors.CrashShutdown)):
        return True
    return isinstance(error, psycopg.errors.ReadOnlySqlTransaction) and read_only_parameter(pgconn) is not None


def read_only_parameter(pgconn: PGconn) -> str | None:
    """The parameter that makes the server read-only, None if it is not.

    The server reports both when a session starts and when they change (protocol, ParameterStatus).
    """
    for parameter in ("in_hot_standby", "default_transaction_read_only"):
        if pgconn.status == ConnStatus.OK and pgconn.parameter_status(parameter.encode()) == b"on":
            return parameter
    return None

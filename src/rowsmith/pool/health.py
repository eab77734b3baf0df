"""The outcome of a health probe, and how an error becomes one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from rowsmith.errors import HINTS, Category, category
from rowsmith.pool.breaker import CircuitState


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """The outcome of one probe, a `SELECT 1`."""

    healthy: bool
    latency_ms: float
    """From the call to the answer, including the wait for a connection."""
    checked_at: datetime
    """When the probe started, in UTC."""
    category: Category | None = None
    """Why the database is not healthy; None if it is."""
    error: str | None = None
    """What psycopg or the server said, on one line, without a password."""
    hint: str | None = None
    """What to do about it."""
    circuit: CircuitState = CircuitState.CLOSED
    """The circuit breaker's state after the probe. A probe is made in every state."""

    def as_dict(self) -> dict[str, object]:
        """The fields as JSON values, the time in ISO 8601."""
        return {
            "healthy": self.healthy,
            "latency_ms": round(self.latency_ms, 2),
            "checked_at": self.checked_at.isoformat(),
            "category": self.category,
            "error": self.error,
            "hint": self.hint,
            "circuit": self.circuit,
        }


def passed(checked_at: datetime, latency_ms: float) -> HealthCheck:
    """The database answered."""
    return HealthCheck(True, latency_ms, checked_at)


def failed(checked_at: datetime, latency_ms: float, error: BaseException) -> HealthCheck:
    """The database did not answer in time, or cannot do its work."""
    reason = category(error)
    text = " ".join(str(error).split()) or f"no answer ({type(error).__name__})"
    return HealthCheck(False, latency_ms, checked_at, reason, text, HINTS.get(reason))


def utc_now() -> datetime:
    """The current time, in UTC."""
    return datetime.now(UTC)

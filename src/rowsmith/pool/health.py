"""The answer of a health probe, and how an error becomes one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from rowsmith.errors import HINTS, Category, category
from rowsmith.pool.breaker import CircuitState


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """What one probe, a `SELECT 1`, found."""

    healthy: bool
    latency_ms: float
    """From the call to the answer, the wait for a connection included."""
    checked_at: datetime
    """When the probe began, in UTC."""
    category: Category | None = None
    """Why it is not healthy; None where it is."""
    error: str | None = None
    """What psycopg or the server said, one line; no password is in it."""
    hint: str | None = None
    """What a person can do about it."""
    circuit: CircuitState = CircuitState.CLOSED
    """The circuit breaker's state after the probe. A probe asks the database whatever that is."""

    def as_dict(self) -> dict[str, object]:
        """The fields as JSON takes them, the time in ISO 8601."""
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
    """The database did not answer, or not in time, or cannot do what it is there for."""
    reason = category(error)
    text = " ".join(str(error).split()) or f"no answer ({type(error).__name__})"
    return HealthCheck(False, latency_ms, checked_at, reason, text, HINTS.get(reason))


def utc_now() -> datetime:
    """The time, with its zone."""
    return datetime.now(UTC)

"""When to try again and when not to: the schedule of retries and the circuit breaker.

There is no I/O here: the clock and the source of randomness are passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from threading import Lock


def backoff(retries: int, random: Callable[[], float], *, first: float = 0.2, most: float = 2.0) -> Iterator[float]:
    """The pauses, in seconds, before each retry: exponential, capped, with full jitter.

    `random` returns a number from 0 to 1. Full jitter spreads the retries of many processes that failed at the same
    moment (M. Brooker, "Exponential Backoff And Jitter", 2015).
    """
    for attempt in range(retries):
        yield min(most, first * 2**attempt) * random()


class CircuitState(StrEnum):
    """What a circuit breaker allows."""

    CLOSED = "closed"
    """everything"""
    OPEN = "open"
    """nothing, until `reset` seconds are over"""
    HALF_OPEN = "half-open"
    """one attempt, after which it closes or opens again"""


class CircuitBreaker:
    """Counts failures in a row, and after `failures` of them refuses attempts for a while. Thread-safe.

    `clock` returns seconds; `reset` is how long the circuit stays open, in seconds.
    """

    def __init__(self, failures: int, reset: float, clock: Callable[[], float]) -> None:
        self._most = failures
        self._reset = reset
        self._clock = clock
        self._lock = Lock()
        self.failures = 0
        """The number of failures in a row."""
        self._opened_at: float | None = None
        self._probe_at: float | None = None

    @property
    def state(self) -> CircuitState:
        """The current state."""
        if self._opened_at is None:
            return CircuitState.CLOSED
        return CircuitState.OPEN if self._clock() < self._opened_at + self._reset else CircuitState.HALF_OPEN

    def admit(self) -> float:
        """0 if an attempt may be made, or else the seconds until the next one may.

        In the half-open state the first caller may make the attempt. The others wait for its outcome or, if there is
        none, for another `reset` seconds.
        """
        with self._lock:
            if self._opened_at is None:
                return 0.0
            now = self._clock()
            since = self._opened_at if self._probe_at is None else self._probe_at
            if now >= since + self._reset:
                self._probe_at = now
                return 0.0
            return since + self._reset - now

    def succeeded(self) -> None:
        """The database was reached."""
        if self.failures or self._opened_at is not None:
            with self._lock:
                self.failures, self._opened_at, self._probe_at = 0, None, None

    def failed(self) -> None:
        """The database could not be reached."""
        with self._lock:
            self.failures += 1
            if self.failures >= self._most:
                probing = self._probe_at is not None
                if self._opened_at is None or probing:
                    self._opened_at, self._probe_at = self._clock(), None

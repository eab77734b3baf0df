"""When to try again: pure functions and values, the randomness passed in."""

from __future__ import annotations

from collections.abc import Callable, Iterator


def backoff(retries: int, random: Callable[[], float], *, first: float = 0.2, most: float = 2.0) -> Iterator[float]:
    """The pauses, in seconds, before each of so many retries: exponential, capped, with full jitter.

    `random` gives a number from 0 to 1. Full jitter spreads the retries of many processes that failed at one moment
    evenly (M. Brooker, "Exponential Backoff And Jitter", 2015).
    """
    for attempt in range(retries):
        yield min(most, first * 2**attempt) * random()

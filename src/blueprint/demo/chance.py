"""Repeatable randomness: draws from a seeded generator, and a calendar of how much happens on each day."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import accumulate
from random import Random
from typing import TypeVar
from uuid import UUID

from blueprint.demo import words

HISTORY_DAYS = 548
OUTAGE_DAYS_AGO = 9
"""How many days ago the outage was. No events were collected on that day."""

_T = TypeVar("_T")


class Calendar:
    """The days of the history. Activity grows from month to month, and is lower on weekends."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._days = [now.date() - timedelta(days=ago) for ago in range(HISTORY_DAYS, -1, -1)]
        today: float = (now - self._midnight(now.date())) / timedelta(days=1)
        self._weights = [
            math.exp(2.2 * number / HISTORY_DAYS) * words.WEEKDAYS[day.weekday()]
            for number, day in enumerate(self._days)
        ]
        self._weights[-1] *= today
        self.start = self._midnight(self._days[0])
        self.outage = now.date() - timedelta(days=OUTAGE_DAYS_AGO)

    def moments(self, rng: Random, count: int) -> list[datetime]:
        """`count` points in time, in no particular order."""
        return [self.moment(rng, day) for day in rng.choices(self._days, self._weights, k=count)]

    def moment(self, rng: Random, day: date) -> datetime:
        """A point in time on this day, most likely in the afternoon, and not in the future."""
        midnight = self._midnight(day)
        return midnight + (self.end(day) - midnight) * rng.triangular(0, 1, 0.6)

    def end(self, day: date) -> datetime:
        """The end of the day, or now if that is earlier."""
        return min(self._midnight(day) + timedelta(days=1, microseconds=-1), self._now)

    def shares(self, count: int) -> Iterator[tuple[date, int]]:
        """Distribute `count` over the days, with 0 for the day of the outage."""
        weights = [0 if day == self.outage else weight for day, weight in zip(self._days, self._weights, strict=True)]
        done, total = 0, sum(weights)
        for day, summed in zip(self._days, accumulate(weights), strict=True):
            share = round(count * min(summed / total, 1.0)) - done
            done += share
            yield day, share

    @staticmethod
    def _midnight(day: date) -> datetime:
        return datetime.combine(day, time(), UTC)


def stream(seed: int, name: str) -> Random:
    """A separate generator for each name."""
    return Random(f"{seed} {name}")  # noqa: S311 - repeatable, not secret


def chance(rng: Random, probability: float) -> bool:
    """Return True with this probability."""
    return rng.random() < probability


def weighted(rng: Random, weights: dict[_T, int]) -> _T:
    """One of the keys, drawn by weight."""
    return rng.choices(tuple(weights), tuple(weights.values()))[0]


def draw_uuid(rng: Random) -> UUID:
    """A UUID in the format of version 4, from the seeded generator."""
    return UUID(int=rng.getrandbits(128), version=4)


def draw_between(rng: Random, start: datetime, end: datetime) -> datetime:
    """A point in time between two, more likely an early one. Returns `start` if `end` is not after it."""
    return start + max(end - start, timedelta(0)) * math.pow(rng.random(), 1.5)


def zipf(count: int, exponent: float) -> list[float]:
    """Cumulative weights: the n-th item is drawn n ** exponent times less often than the first."""
    return list(accumulate(1 / n**exponent for n in range(1, count + 1)))


def draw_distinct(draw: Callable[[], _T], count: int) -> list[_T]:
    """`count` different results of `draw`, in the order of their first appearance."""
    found: dict[_T, None] = {}
    while len(found) < count:
        found[draw()] = None
    return list(found)


def slug(text: str, joint: str = "-") -> str:
    """The words in lower-case ASCII letters, as in URLs."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return joint.join(plain.lower().split())

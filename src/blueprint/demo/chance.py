"""Chance, repeatable: draws from a seeded generator, and the calendar that says how much happens on which day."""

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
"""The day on which no events were collected."""

_T = TypeVar("_T")


class Calendar:
    """The days of the history: more happens from month to month, and less at the weekend."""

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
        """So many moments, in no order."""
        return [self.moment(rng, day) for day in rng.choices(self._days, self._weights, k=count)]

    def moment(self, rng: Random, day: date) -> datetime:
        """A moment of the day, most likely in the afternoon, and not after now."""
        midnight = self._midnight(day)
        return midnight + (self.end(day) - midnight) * rng.triangular(0, 1, 0.6)

    def end(self, day: date) -> datetime:
        """The last moment of the day, or now."""
        return min(self._midnight(day) + timedelta(days=1, microseconds=-1), self._now)

    def shares(self, count: int) -> Iterator[tuple[date, int]]:
        """How much of a number falls to each day; nothing to the day of the outage."""
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
    """A generator of its own for each name."""
    return Random(f"{seed} {name}")  # noqa: S311 - made to be repeated, not to be secret


def chance(rng: Random, probability: float) -> bool:
    """True with this probability."""
    return rng.random() < probability


def weighted(rng: Random, weights: dict[_T, int]) -> _T:
    """One of the keys, each as likely as its weight says."""
    return rng.choices(tuple(weights), tuple(weights.values()))[0]


def draw_uuid(rng: Random) -> UUID:
    """A UUID of version 4, but for its randomness."""
    return UUID(int=rng.getrandbits(128), version=4)


def draw_between(rng: Random, start: datetime, end: datetime) -> datetime:
    """A moment between two, the earlier the likelier; the first where the second is not after it."""
    return start + max(end - start, timedelta(0)) * math.pow(rng.random(), 1.5)


def zipf(count: int, exponent: float) -> list[float]:
    """Summed weights: the n-th is chosen n ** exponent times less often than the first."""
    return list(accumulate(1 / n**exponent for n in range(1, count + 1)))


def draw_distinct(draw: Callable[[], _T], count: int) -> list[_T]:
    """So many different results of `draw`, in the order of their first appearance."""
    found: dict[_T, None] = {}
    while len(found) < count:
        found[draw()] = None
    return list(found)


def slug(text: str, joint: str = "-") -> str:
    """The words in small ASCII letters, as in URLs."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return joint.join(plain.lower().split())

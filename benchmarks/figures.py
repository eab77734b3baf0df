"""Figures: what was measured of each contender in each round, their medians and spread, and the ratios between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import NamedTuple


class Spread(NamedTuple):
    """The median, and the quartiles below and above it."""

    median: float
    low: float
    high: float


@dataclass
class Outcome:
    """What was measured in one workload."""

    rounds: dict[str, list[dict[str, float]]] = field(default_factory=dict[str, list[dict[str, float]]])
    """By contender, the figures of each round by name. Times in seconds, memory in MB."""
    left_out: dict[str, str] = field(default_factory=dict[str, str])
    """By contender that did not take part, the reason."""

    @property
    def count(self) -> int:
        """How many rounds there were."""
        return max(map(len, self.rounds.values()), default=0)

    def add(self, contender: str, figures: dict[str, float]) -> None:
        """Note the figures of one more round."""
        self.rounds.setdefault(contender, []).append(figures)

    def spread(self, contender: str, figure: str) -> Spread:
        """Of one figure, over the rounds."""
        return spread([each[figure] for each in self.rounds[contender]])

    def ratio(self, contender: str, base: str, figure: str = "cpu") -> Spread:
        """Of the contender's figure to the other's in the same round, over the rounds.

        The two were measured within a fraction of a second, so a machine that changes its speed changes both.
        """
        pairs = zip(self.rounds[contender], self.rounds[base], strict=True)
        return spread([one[figure] / other[figure] for one, other in pairs])


def spread(values: Sequence[float]) -> Spread:
    """The median and the quartiles."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, _, high = quantiles(values, n=4, method="inclusive")
    return Spread(median(values), low, high)


def digits(number: float) -> str:
    """Three digits that count, or all those before the point."""
    places = max(0, 2 - len(f"{abs(number):.0f}") + 1)
    return f"{number:,.{min(places, 2)}f}"


def duration(seconds: float) -> str:
    """In milliseconds from one on, else in microseconds."""
    milliseconds = seconds * 1e3
    return f"{digits(milliseconds)} ms" if milliseconds >= 1 else f"{digits(milliseconds * 1e3)} µs"

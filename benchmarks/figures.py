"""Figures: the measurements of each contender in each round, their medians and quartiles, and their ratios."""

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
    """The measurements of one workload."""

    rounds: dict[str, list[dict[str, float]]] = field(default_factory=dict[str, list[dict[str, float]]])
    """For each contender, the figures of each round by name. Times in seconds, memory in MB."""
    left_out: dict[str, str] = field(default_factory=dict[str, str])
    """For each contender that did not take part, the reason."""

    @property
    def count(self) -> int:
        """The number of rounds."""
        return max(map(len, self.rounds.values()), default=0)

    def add(self, contender: str, figures: dict[str, float]) -> None:
        """Add the figures of another round."""
        self.rounds.setdefault(contender, []).append(figures)

    def spread(self, contender: str, figure: str) -> Spread:
        """The spread of a figure over all rounds."""
        return spread([each[figure] for each in self.rounds[contender]])

    def ratio(self, contender: str, base: str, figure: str = "cpu") -> Spread:
        """The ratio of the contender's figure to that of `base` in the same round, over all rounds.

        The two were measured within a fraction of a second, so if the machine's speed changes, both change.
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
    """The number with three significant digits, or with all digits before the decimal point."""
    places = max(0, 2 - len(f"{abs(number):.0f}") + 1)
    return f"{number:,.{min(places, 2)}f}"


def duration(seconds: float) -> str:
    """The time in milliseconds, or in microseconds if it is less than one millisecond."""
    milliseconds = seconds * 1e3
    return f"{digits(milliseconds)} ms" if milliseconds >= 1 else f"{digits(milliseconds * 1e3)} µs"

"""The targets: ratios of client CPU time, measured in one run, that rowsmith should not exceed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.figures import Outcome, Spread

FLOOR = "floor: libpq, no decoding"
DATACLASS, PYDANTIC, ASYNC = "rowsmith, dataclass", "rowsmith, pydantic", "rowsmith async, dataclass"
OPTIONAL_LINES, BY_HAND = "rowsmith, optional lines", "rowsmith, written by hand"
STREAMING = (DATACLASS, PYDANTIC)
STREAM_MEGABYTES = 64


@dataclass(frozen=True)
class Target:
    """The client CPU time of a contender should be at most `limit` times that of `base`."""

    workload: str
    contender: str
    limit: float
    base: str


TARGETS = (
    Target("lookup", DATACLASS, 1.5, FLOOR),
    Target("lookup", DATACLASS, 0.45, "aiosql, dataclass"),
    Target("lookup", DATACLASS, 0.6, "asyncpg, dataclass"),
    Target("lookup", PYDANTIC, 1.6, FLOOR),
    Target("lookup", PYDANTIC, 0.5, "psycopg, pydantic"),
    Target("lookup", ASYNC, 0.7, "asyncpg, dataclass"),
    Target("read-1000", DATACLASS, 1.35, "psycopg, tuples"),
    Target("read-1000", PYDANTIC, 0.5, "psycopg, pydantic"),
    Target("nested", PYDANTIC, 0.5, "SQLAlchemy ORM"),
    Target("nested", PYDANTIC, 0.6, "psycopg, two queries into pydantic"),
    Target("transaction", DATACLASS, 0.5, "psycopg, dataclass"),
    Target("transaction-reads", DATACLASS, 0.6, "psycopg, dataclass"),
    Target("bulk", DATACLASS, 1.15, "psycopg, dataclass"),
    Target("search-3", OPTIONAL_LINES, 1.1, BY_HAND),
)


@dataclass(frozen=True)
class Verdict:
    """A target, and whether it was met."""

    what: str
    limit: str
    measured: Spread | None
    """None if it was not measured, because rowsmith cannot do this yet."""
    unit: str
    met: bool


def verdicts(outcomes: Mapping[str, Outcome], titles: Mapping[str, str]) -> list[Verdict]:
    """The verdicts about the workloads that were measured. `titles` are the titles of the workloads, by name."""
    found = [_verdict(target, outcomes[target.workload], titles) for target in TARGETS if target.workload in outcomes]
    if "stream" in outcomes:
        found += [_memory(contender, outcomes["stream"], titles) for contender in STREAMING]
    return found


def _verdict(target: Target, outcome: Outcome, titles: Mapping[str, str]) -> Verdict:
    ratio = outcome.ratio(target.contender, target.base) if target.contender in outcome.rounds else None
    return Verdict(
        what=f"{titles[target.workload]}: {target.contender} / {target.base}",
        limit=f"{target.limit:.2f}",
        measured=ratio,
        unit="",
        met=ratio is not None and ratio.median <= target.limit,
    )


def _memory(contender: str, outcome: Outcome, titles: Mapping[str, str]) -> Verdict:
    memory = outcome.spread(contender, "memory") if contender in outcome.rounds else None
    return Verdict(
        what=f"{titles['stream']}: {contender}, memory above the start",
        limit=f"under {STREAM_MEGABYTES} MB",
        measured=memory,
        unit=" MB",
        met=memory is not None and memory.high < STREAM_MEGABYTES,
    )

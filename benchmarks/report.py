"""The report: Markdown tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from benchmarks.contenders.contender import Contender
from benchmarks.figures import Outcome, Spread, digits
from benchmarks.targets import ASYNC, BY_HAND, DATACLASS, FLOOR, Verdict

_METHOD = """\
Client CPU is the CPU time of the whole client process with all its threads, without the server. Each workload is
measured in rounds. In each round every contender does a short batch of the same work, and the order changes from round
to round. Figures are medians over the rounds, with the quartiles in brackets. Ratios are computed from client CPU
within each round, and their median is reported. Before a workload is timed, the result of every contender is compared
with the data, field by field."""


class Column(NamedTuple):
    """A column of figures."""

    title: str
    figure: str
    shown: Callable[[float], str]


def _microseconds(seconds: float) -> str:
    return digits(seconds * 1e6)


def _milliseconds(seconds: float) -> str:
    return digits(seconds * 1e3)


_CPU_MICRO = Column("client CPU, µs", "cpu", _microseconds)
_SHORT = (_CPU_MICRO, Column("wall, µs", "wall", _microseconds))
_LONG = (Column("client CPU, ms", "cpu", _milliseconds), Column("wall, ms", "wall", _milliseconds))
_SEARCH = (_CPU_MICRO, Column("server CPU, µs", "server", _microseconds), Column("wall, µs", "wall", _microseconds))
_CROWD = (
    Column("lookups/s", "rate", digits),
    Column("p50, ms", "p50", _milliseconds),
    Column("p99, ms", "p99", _milliseconds),
    _CPU_MICRO,
)
COLUMNS: Mapping[str, Sequence[Column]] = {
    "lookup": _SHORT,
    "read-10": _SHORT,
    "read-1000": _SHORT,
    "read-100000": _LONG,
    "nested": _SHORT,
    "insert": _SHORT,
    "transaction": _SHORT,
    "transaction-reads": _SHORT,
    "bulk": _LONG,
    "threads": _CROWD,
    "tasks": _CROWD,
    "search-0": _SEARCH,
    "search-3": _SEARCH,
    "search-8": _SEARCH,
    "import": _LONG,
    "stream": (Column("memory, MB", "memory", digits), *_LONG),
}
"""The columns of each workload."""


def markdown(
    facts: Mapping[str, str],
    outcomes: Mapping[str, Outcome],
    titles: Mapping[str, str],
    verdicts: Sequence[Verdict],
    contenders: Iterable[type[Contender]],
) -> str:
    """The whole report. `titles` are the titles of the workloads, by name."""
    parts = [
        "# Benchmark",
        _METHOD,
        _table(["measured on", ""], facts.items(), ":---"),
        "## Contenders",
        _contenders(contenders),
    ]
    if verdicts:
        parts += ["## Targets", _targets(verdicts)]
    for name, outcome in outcomes.items():
        parts += [f"## {titles[name]}", *_workload(name, outcome)]
    return "\n\n".join(parts) + "\n"


def as_json(
    facts: Mapping[str, str], outcomes: Mapping[str, Outcome], titles: Mapping[str, str], verdicts: Sequence[Verdict]
) -> str:
    """The same figures: times in seconds, memory in MB."""
    workloads = {
        name: {
            "title": titles[name],
            "rounds": outcome.count,
            "contenders": {
                contender: {figure: outcome.spread(contender, figure)._asdict() for figure in rounds[0]}
                for contender, rounds in outcome.rounds.items()
            },
            "left_out": outcome.left_out,
        }
        for name, outcome in outcomes.items()
    }
    targets = [
        {
            "target": each.what,
            "limit": each.limit,
            "measured": each.measured and each.measured._asdict(),
            "met": each.met,
        }
        for each in verdicts
    ]
    return json.dumps({"machine": facts, "targets": targets, "workloads": workloads}, indent=2) + "\n"


def _contenders(contenders: Iterable[type[Contender]]) -> str:
    return _table(["contender", "how"], ((each.name, each.__doc__ or "") for each in contenders), ":---")


def _targets(verdicts: Iterable[Verdict]) -> str:
    rows = [
        (
            each.what,
            each.limit if each.unit else f"at most {each.limit}",
            "not available yet" if each.measured is None else _spread(each.measured, lambda x: f"{x:.2f}") + each.unit,
            "met" if each.met else "**missed**",
        )
        for each in verdicts
    ]
    return _table(["target", "limit", "measured", ""], rows)


def _workload(name: str, outcome: Outcome) -> list[str]:
    columns, bases = COLUMNS[name], _bases(outcome)
    head = ["", *(column.title for column in columns), *(f"CPU x {base.partition(':')[0]}" for base in bases)]
    rows = [
        (
            contender,
            *(_spread(outcome.spread(contender, column.figure), column.shown) for column in columns),
            *(f"{outcome.ratio(contender, base).median:.2f}" for base in bases),
        )
        for contender in outcome.rounds
    ]
    notes = [f"{contender}: {reason}." for contender, reason in outcome.left_out.items() if reason]
    return [
        _table(head, rows),
        " ".join(
            [
                f"{outcome.count} {'round' if outcome.count == 1 else 'rounds'}.",
                *(["Left out:", *notes] if notes else []),
            ]
        ),
    ]


def _bases(outcome: Outcome) -> list[str]:
    """The contenders that the others are compared with: the floor, and rowsmith (async, if all of them are async); of
    the ways to write a search, the one without optional lines.
    """
    ours = DATACLASS if DATACLASS in outcome.rounds else ASYNC
    return [base for base in (FLOOR, ours, BY_HAND) if base in outcome.rounds]


def _spread(spread: Spread, shown: Callable[[float], str]) -> str:
    if spread.low == spread.high:  # a single round
        return shown(spread.median)
    return f"{shown(spread.median)} ({shown(spread.low)}-{shown(spread.high)})"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], others: str = "---:") -> str:
    """A Markdown table. `others` is the alignment of all columns but the first, by default that of figures."""
    lines = [head, [":---", *(others for _ in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)

"""The command: measure, print the report, and write it to files."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from benchmarks import chart, machine, measurement, processes, report, search, throughput
from benchmarks.database import filled_database
from benchmarks.figures import Outcome
from benchmarks.stage import CONTENDERS, Stage
from benchmarks.targets import STREAMING, verdicts
from benchmarks.throughput import CROWDS
from benchmarks.workloads import WORKLOADS

_FILTERS = (0, 3, 8)
_SEARCH_SECONDS = 15
TITLES = (
    {each.name: each.title for each in (*WORKLOADS, *CROWDS)}
    | {f"search-{number}": f"A search with {number} of 8 filters" for number in _FILTERS}
    | {"import": "Import time"}
    | {"stream": "A million rows, streamed"}
)
_QUICK = 0.01
"""The share of the full run's time that a smoke run takes."""
_IMPORT_ROUNDS, _STREAM_ROUNDS = 15, 2


@dataclass(frozen=True)
class _Task:
    name: str
    run: Callable[[Callable[[float], None]], Outcome]
    """Measures, and calls its argument with the share that is done, from 0 to 1."""


def main() -> int:
    """Run the benchmark. Returns exit code 0, even if targets are missed."""
    arguments = _arguments()
    logging.getLogger("sqlspec").setLevel(logging.CRITICAL)  # it logs an error for psycopg's %s
    effort = _QUICK if arguments.quick else 1.0
    with filled_database() as url:
        with Stage(url) as stage:
            facts = machine.facts(stage.conn)
            outcomes = _run(_on_stage(stage, effort), arguments.only)
        outcomes |= _run(_searches(url, effort), arguments.only)
        outcomes |= _run(_in_processes(url, quick=arguments.quick), arguments.only)
    found = verdicts(outcomes, TITLES)
    text = report.markdown(facts, outcomes, TITLES, found, CONTENDERS)
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "results.md").write_text(text, encoding="utf-8")
    (arguments.output / "results.json").write_text(report.as_json(facts, outcomes, TITLES, found), encoding="utf-8")
    if any(panel in outcomes for panel in chart.PANELS):
        (arguments.output / "benchmark.svg").write_text(chart.svg(outcomes, TITLES, facts), encoding="utf-8")
    console = Console()
    console.print(Markdown(text) if console.is_terminal else text, soft_wrap=not console.is_terminal, highlight=False)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Compare rowsmith with other libraries.")
    parser.add_argument("--quick", action="store_true", help="a smoke run: every workload, but only a few rounds")
    parser.add_argument(
        "--only", action="append", choices=list(TITLES), metavar="WORKLOAD", help=f"one of {', '.join(TITLES)}"
    )
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent / "results", metavar="DIR", help="where to write the files"
    )
    return parser.parse_args()


def _on_stage(stage: Stage, effort: float) -> list[_Task]:
    """What is measured in this process."""
    return [
        *(_Task(each.name, partial(measurement.measure, stage, each, each.seconds * effort)) for each in WORKLOADS),
        *(_Task(each.name, partial(throughput.measure, stage, each, each.seconds * effort)) for each in CROWDS),
    ]


def _searches(url: str, effort: float) -> list[_Task]:
    """What is measured on connections of its own."""
    return [
        _Task(f"search-{number}", partial(search.measure, url, number, _SEARCH_SECONDS * effort)) for number in _FILTERS
    ]


def _in_processes(url: str, *, quick: bool) -> list[_Task]:
    """What is measured in separate processes, while nothing else runs."""
    imports, streams = (1, 1) if quick else (_IMPORT_ROUNDS, _STREAM_ROUNDS)
    names = [each.name for each in CONTENDERS if not quick or each.name in STREAMING]
    return [
        _Task("import", partial(processes.measure_imports, imports)),
        _Task("stream", partial(processes.measure_streams, url, names, streams)),
    ]


def _run(tasks: list[_Task], only: list[str] | None) -> dict[str, Outcome]:
    outcomes: dict[str, Outcome] = {}
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        for task in tasks:
            if only is None or task.name in only:
                shown = progress.add_task(TITLES[task.name], total=1.0)
                outcomes[task.name] = task.run(partial(_show, progress, shown))
    return outcomes


def _show(progress: Progress, task: TaskID, share: float) -> None:
    progress.update(task, completed=share)


if __name__ == "__main__":
    sys.exit(main())

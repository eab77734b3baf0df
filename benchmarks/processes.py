"""Measurements in separate processes: the time of an import, and the memory of a stream.

    python -m benchmarks.processes NAME URL

streams with the contender of this name and prints the figures as JSON.
"""

from __future__ import annotations

import gc
import json
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from time import perf_counter, process_time

from benchmarks import data
from benchmarks.contenders.contender import LeftOutError
from benchmarks.figures import Outcome
from benchmarks.stage import CONTENDERS, Stage

_ROOT = Path(__file__).parent.parent
_LEFT_OUT = 3
"""Exit code if a contender cannot stream. The reason is printed."""
_MEGABYTE = 1e6


class ProcessError(Exception):
    """A process of the benchmark failed."""


def measure_imports(rounds: int, progress: Callable[[float], None]) -> Outcome:
    """Measure the time that importing each library adds to an empty program, in this number of rounds."""
    statements = [contender.imports for contender in CONTENDERS if contender.imports]
    outcome = Outcome({statement: [] for statement in statements})
    random = Random(rounds)  # noqa: S311 - the same in every run
    for statement in statements:
        _python("-c", statement)  # so that the modules are compiled
    for number in range(rounds):
        empty = _python("-c", "pass")
        random.shuffle(statements)
        for statement in statements:
            figures = _python("-c", statement)
            outcome.add(statement, {key: figures[key] - empty[key] for key in figures})
        progress((number + 1) / rounds)
    return outcome


def measure_streams(url: str, names: Sequence[str], rounds: int, progress: Callable[[float], None]) -> Outcome:
    """Measure the memory that streaming a million rows adds, in a new process for each contender and round."""
    outcome = Outcome()
    for number in range(rounds):
        for index, name in enumerate(names):
            result = _run("-m", "benchmarks.processes", name, url)
            if result.returncode == _LEFT_OUT:
                outcome.left_out[name] = result.stdout.strip()
            elif result.returncode:
                raise ProcessError(f"{name} cannot stream:\n{result.stderr}")
            else:
                outcome.add(name, json.loads(result.stdout))
            progress((number + (index + 1) / len(names)) / rounds)
    return outcome


def stream(name: str, url: str) -> dict[str, float]:
    """Stream in this process. `memory` is the peak memory use, minus that before the first row, in MB."""
    with Stage(url, [each for each in CONTENDERS if each.name == name]) as stage:
        (contender,) = stage.contenders
        gc.collect()
        before = _reset_peak()
        wall, cpu = perf_counter(), process_time()
        count, last = stage.call(contender, contender.stream)
        wall, cpu = perf_counter() - wall, process_time() - cpu
        memory = (_peak() - before) / _MEGABYTE
    row = contender.users(last)[-1]
    if count != data.STREAMED or row != data.user(row[0].int):
        raise ProcessError(f"{name} streamed {count} rows, expected {data.STREAMED}. The last row is {row}")
    return {"memory": memory, "cpu": cpu, "wall": wall}


def _reset_peak() -> int:
    """Reset the peak of memory use, if the system can (proc(5), clear_refs). Returns the peak, in bytes."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> int:
    """The peak of memory use, in bytes."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        found = None
    if found:
        return int(found[1]) * 1024
    # In kilobytes, or in bytes on macOS (getrusage(2)).
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _python(*arguments: str) -> dict[str, float]:
    """Run Python with these arguments. Returns the `cpu` and `wall` time in seconds."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter()
    result = _run(*arguments)
    wall, after = perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if result.returncode:
        raise ProcessError(result.stderr)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu": cpu, "wall": wall}


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=_ROOT)  # noqa: S603 - Python itself


def main(arguments: Sequence[str]) -> int:
    """Stream, and print the figures, or why the contender cannot stream."""
    try:
        figures = stream(*arguments)
    except LeftOutError as reason:
        sys.stdout.write(f"{reason}\n")
        return _LEFT_OUT
    sys.stdout.write(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

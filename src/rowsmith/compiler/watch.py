"""Watching files: by asking for their times and sizes, which needs no package and works on every file system."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NoReturn

POLL_SECONDS = 0.2
_SUFFIXES = (".sql", ".py", ".toml")

State = Mapping[Path, tuple[int, int]]
"""The time and the size of each file."""


def state(places: Iterable[Path]) -> State:
    """The state of files, and of the SQL and Python files in folders. What is not there is not in it."""
    found: dict[Path, tuple[int, int]] = {}
    for place in places:
        for file in place.rglob("*") if place.is_dir() else [place]:
            try:
                if file.suffix in _SUFFIXES and "__pycache__" not in file.parts:
                    known = file.stat()
                    found[file] = known.st_mtime_ns, known.st_size
            except OSError:
                continue  # removed while we looked
    return found


def watch(
    places: Callable[[], Iterable[Path]], run: Callable[[], None], sleep: Callable[[float], None] = time.sleep
) -> NoReturn:
    """Run at once, and again whenever a file changes; without end, until `run` or `sleep` raises.

    The state is taken before each run: what changes during it is seen after it.
    """
    last: State | None = None
    while True:
        now = state(places())
        if now != last:
            last = now
            run()
        sleep(POLL_SECONDS)

"""Watching files, by polling their times and sizes: this needs no package and works on every file system."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn

_POLL_SECONDS = 0.2
_SUFFIXES = (".sql", ".py", ".toml")


def watch(places: Callable[[], Iterable[Path]], run: Callable[[], None]) -> NoReturn:
    """Run at once, and again whenever a file changes, until `run` raises or Ctrl-C is pressed.

    The state is taken before each run, so that a change during a run causes another one.
    """
    last: dict[Path, tuple[int, int]] | None = None
    while True:
        now = state(places())
        if now != last:
            last = now
            run()
        time.sleep(_POLL_SECONDS)


def state(places: Iterable[Path]) -> dict[Path, tuple[int, int]]:
    """The time and the size of each file, and of the SQL and Python files in each folder."""
    found: dict[Path, tuple[int, int]] = {}
    for place in places:
        for file in place.rglob("*") if place.is_dir() else [place]:
            try:
                if file.suffix in _SUFFIXES and "__pycache__" not in file.parts:
                    known = file.stat()
                    found[file] = known.st_mtime_ns, known.st_size
            except OSError:
                continue  # removed in the meantime
    return found

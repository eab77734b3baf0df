"""A fuzzer that is led by coverage, for as long as one likes. It is no part of the suite: `pip install atheris` first.

    python -m tests.queries.fuzz_atheris query-file [FOLDER] [-max_total_time=60]

The target is `query-file`, `lexer`, `settings` or `url`; what follows is for libFuzzer. FOLDER keeps the inputs that
reach new code. An input that breaks a check is written to a file, `crash-...`, which is tried again in FOLDER's place.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

try:
    atheris: Any = importlib.import_module("atheris")
except ImportError:
    sys.exit("There is no atheris here. Run: pip install atheris")

atheris.enabled_hooks.add("str")
with atheris.instrument_imports(include=["rowsmith", "aiosql"]):
    from tests.queries.bad_input import SECRET, VARIABLES, check_lexer, check_query_file, check_settings


def query_file(data: bytes) -> None:
    """A query file of these bytes, and one in which they follow a name line."""
    check_query_file(data, FOLDER)
    check_query_file(b"-- name: f(a)\nSELECT :a " + data, FOLDER)


def lexer(data: bytes) -> None:
    check_lexer(data.decode("utf-8", "replace"))


def settings(data: bytes) -> None:
    """An environment of `VARIABLE=value` pairs, one for each line."""
    lines = data.replace(b"\0", b"").decode("utf-8", "replace").split("\n")
    check_settings({"DATABASE_URL": "postgresql://h/db", **dict(zip(VARIABLES[1:], lines, strict=False))})


def url(data: bytes) -> None:
    """A URL with a password, and these bytes around it."""
    before, _, behind = data.replace(b"\0", b"").decode("utf-8", "replace").partition("\n")
    check_settings({"DATABASE_URL": f"{before}ada:{SECRET}@{behind}"})
    check_settings({"DATABASE_URL": f"postgresql://ada:{before}{SECRET}@{behind}"})


TARGETS: dict[str, Callable[[bytes], None]] = {
    "query-file": query_file,
    "lexer": lexer,
    "settings": settings,
    "url": url,
}
# One for all runs: libFuzzer ends the process without a chance to remove it.
FOLDER = Path(tempfile.gettempdir()) / "rowsmith-fuzz"

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(__doc__)
    atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[sys.argv[1]])
    atheris.Fuzz()

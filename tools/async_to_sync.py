"""Write the synchronous twin of each `*_async.py` module, so that no code is kept twice by hand.

    python tools/async_to_sync.py            write the twins
    python tools/async_to_sync.py --check    exit 1 if one of them is stale

The twin differs in names only: `async` and `await` go, and the words of WORDS are exchanged. The way is the one of
httpcore and of psycopg itself.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tokenize
from pathlib import Path

ROOT = Path(__file__).parent.parent
WORDS = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "asynccontextmanager": "contextmanager",
}
"""Further words. `AsyncName` becomes `Name`, and `name_async` becomes `name_sync`."""
DROPPED = {"async", "await"}


def twin(source: str, name: str) -> str:
    """The synchronous form of a module's text; `name` is the file it comes from."""
    note = f"# Generated from {name} by tools/async_to_sync.py: change that file, then run `make format`.\n"
    lines = source.splitlines(keepends=True)
    edits: list[tuple[int, int, int, str]] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        (row, start), (_, end) = token.start, token.end
        if token.type == tokenize.NAME and token.string in DROPPED:
            after = lines[row - 1][end:]
            edits.append((row, start, end + len(after) - len(after.lstrip(" ")), ""))
        elif token.type == tokenize.NAME and (word := _word(token.string)) != token.string:
            edits.append((row, start, end, word))
    for row, start, end, word in reversed(edits):
        line = lines[row - 1]
        lines[row - 1] = line[:start] + word + line[end:]
    return _formatted(note + "".join(lines))


def _formatted(source: str) -> str:
    """Names of another length break lines and sort imports elsewhere: ruff puts both right."""
    for command in (["check", "--select", "I", "--fix", "--quiet"], ["format", "--quiet"]):
        run = [sys.executable, "-m", "ruff", *command, "--stdin-filename", "src/rowsmith/twin.py", "-"]
        source = subprocess.run(run, input=source, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    return source


def _word(name: str) -> str:
    if name.endswith("_async"):
        return f"{name.removesuffix('_async')}_sync"
    return WORDS.get(name, name.removeprefix("Async"))


def main() -> int:
    """Exit code 0, or 1 where --check found a stale twin."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only say which twins are stale")
    check = parser.parse_args().check
    stale = 0
    for source in sorted((ROOT / "src").rglob("*_async.py")):
        target = source.with_name(source.name.replace("_async.py", "_sync.py"))
        text = twin(source.read_text(), source.name)
        if target.exists() and target.read_text() == text:
            continue
        stale += 1
        if check:
            print(f"{target.relative_to(ROOT)} does not match {source.name}: run `make format`", file=sys.stderr)
        else:
            target.write_text(text)
            print(f"wrote {target.relative_to(ROOT)}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())

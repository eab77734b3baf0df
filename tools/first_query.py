"""The first hour, in seconds: run the commands of the README's quick start in an empty folder, and print their times.

    python tools/first_query.py

They end with a typed query on the embedded server. HOME is an empty folder, too; pip's cache and its settings in the
environment are kept. rowsmith is installed from a wheel of this repository, which is built first. The script fails only
if a command fails: how long they take depends on the machine, on what else it does, and on the cache.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).parent.parent
GOAL = 45
"""Seconds for all commands, on a quiet machine, if pip has every package in its cache."""
BLOCK = re.compile(r"takes three commands:\n\n((?:    .+\n)+)")


def commands(readme: str) -> list[str]:
    """The commands of the quick start."""
    found = BLOCK.search(readme)
    if found is None:
        raise SystemExit("README.md has no block of commands after `takes three commands:`")
    return [line.strip() for line in found[1].splitlines()]


def run(command: str, folder: Path, environment: Mapping[str, str]) -> float:
    """Run a command in a shell. Returns how long it took, in seconds. Ends the script if it fails."""
    began = perf_counter()
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(f"$ {command}\n{done.stdout}\nfailed with exit code {done.returncode}")
    return perf_counter() - began


def clean_environment() -> dict[str, str]:
    """What PATH and pip need of the environment, and nothing else."""
    return {name: value for name, value in os.environ.items() if name.startswith("PIP_") or name in ("PATH", "LANG")}


def environment_of(home: Path, wheels: Path, cache: str) -> dict[str, str]:
    """The environment of a new user, with a Python of their own, and a package index that has rowsmith."""
    places = " ".join(filter(None, [str(wheels), os.environ.get("PIP_FIND_LINKS")]))
    path = f"{home / 'python' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return clean_environment() | {"PATH": path, "HOME": str(home), "PIP_FIND_LINKS": places, "PIP_CACHE_DIR": cache}


def cpu_seconds() -> float:
    """The CPU time of all commands so far, which other work on the machine does not lengthen much."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Run the commands, and print how long each took."""
    pip = [sys.executable, "-m", "pip"]
    cache = subprocess.run([*pip, "cache", "dir"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    with tempfile.TemporaryDirectory(prefix="rowsmith-first-query-") as name:
        home, wheels, folder = (Path(name, each) for each in ("home", "wheels", "folder"))
        home.mkdir()
        folder.mkdir()
        subprocess.run([*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", wheels, ROOT], check=True)
        subprocess.run([sys.executable, "-m", "venv", home / "python"], check=True)
        environment = environment_of(home, wheels, cache)
        total, cpu_before = 0.0, cpu_seconds()
        for command in commands((ROOT / "README.md").read_text(encoding="utf-8")):
            took = run(command, folder, environment)
            total += took
            print(f"{took:6.1f} s  {command}", flush=True)
        cpu = cpu_seconds() - cpu_before
    print(f"{total:6.1f} s  in total, {cpu:.1f} s of CPU time. The goal is {GOAL} s with a warm cache of pip.")


if __name__ == "__main__":
    main()

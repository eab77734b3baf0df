"""Servers that a test starts itself: fixtures, as a pytest plugin, and a look at their processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

import psycopg
import pytest

from rowsmith.errors import ServerError
from rowsmith.server.embedded import Server
from rowsmith.server.programs import find_binaries
from tests.harness.waiting import wait_until

QUICK = {"fsync": "off"}


@pytest.fixture(scope="module")
def binaries(pytestconfig: pytest.Config) -> Path:
    try:
        return find_binaries(pytestconfig.getoption("--pg-bin"))
    except ServerError as error:
        pytest.skip(str(error))


@pytest.fixture
def place() -> Generator[Path]:
    """A folder that the server's user can enter and write to; tmp_path is private, and root's if we are root."""
    with tempfile.TemporaryDirectory(prefix="rowsmith-test-") as name:
        Path(name).chmod(0o777)
        yield Path(name)


@pytest.fixture
def server(place: Path, binaries: Path) -> Generator[Server]:
    """A server that is not started yet. Nothing runs after the test, whatever it does."""
    server = Server(place / "project" / "data", binaries)
    yield server
    pid = pid_of(server) if server.running else None
    server.stop()
    # pg_ctl has waited until the pid file was gone, which is a little earlier.
    wait_until(lambda: pid is None or not alive(pid))
    wait_until(lambda: processes(place) == {})


def pid_of(server: Server) -> int:
    return int((server.data / "postmaster.pid").read_text().split()[0])


def alive(pid: int) -> bool:
    """Whether the process is running. One that has ended, and that nobody has waited for, is not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # macOS has no /proc; on Linux it ended in between
        return not Path("/proc/self").exists()


def processes(folder: Path) -> dict[int, str]:
    """The processes with this folder in their command line."""
    listing = subprocess.run(["ps", "-A", "-ww", "-o", "pid=,args="], capture_output=True, text=True, check=True)
    found = (line.split(maxsplit=1) for line in listing.stdout.splitlines() if str(folder) in line)
    return {int(pid): command for pid, command in found}


def copied(binaries: Path, target: Path) -> Path:
    """The bin folder of a copy of this installation, with the libraries that a wheel keeps next to its package."""
    package = binaries.parents[1]
    for folder in (binaries.parent, Path(f"{package}.libs"), package / ".dylibs"):
        if folder.is_dir():
            shutil.copytree(folder, target / folder.relative_to(package.parent))
    return target / binaries.relative_to(package.parent)


def run(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as conn:
        cursor = conn.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def python(script: str, *arguments: str | Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )

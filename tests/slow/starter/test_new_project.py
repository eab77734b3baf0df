"""A new project as its author finds it: `rowsmith new DIR`, then `make test`, with Python and make alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.projects import rowsmith


def test_everything_is_green_at_once(tmp_path: Path, wheels: Path) -> None:
    new = subprocess.run(
        [sys.executable, "-m", "rowsmith", "new", "shop"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert new.returncode == 0, new.stderr
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "TEST_", "DATABASE"))}
    made = subprocess.run(
        ["make", "test", f"PYTHON={sys.executable}"],
        cwd=tmp_path / "shop",
        env=kept | {"PIP_FIND_LINKS": str(wheels)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    assert "3 queries checked" in made.stdout
    assert "Success: no issues found" in made.stdout
    assert "0 errors, 0 warnings" in made.stdout
    assert "1 passed" in made.stdout


@pytest.mark.parametrize("framework", ["none", "fastapi", "flask"])
def test_types_and_tests_of_each_framework(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, framework: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert rowsmith("new", "shop", "--framework", framework).exit_code == 0
    monkeypatch.chdir(tmp_path / "shop")
    assert (f'"rowsmith[{framework}]"' in Path("pyproject.toml").read_text()) is (framework != "none")
    for command in (["mypy"], ["pyright", "--pythonpath", sys.executable], ["pytest", "-q"]):
        run = subprocess.run(
            [sys.executable, "-m", *command], env={"PYTHONPATH": "src"}, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stdout

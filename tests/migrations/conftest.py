"""The fixtures of the tests of migrations."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.databases import ROOT
from tests.harness.waiting import PATIENCE
from tests.migrations.running import Yoyo


@pytest.fixture
def yoyo(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> Yoyo:
    """Runs yoyo's own command in a folder, with DATABASE_URL set."""
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    monkeypatch.delenv("MIGRATION_DATABASE_URL", raising=False)

    def run(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "yoyo", *arguments]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE)

    return run

"""The tutorial, from an empty folder on, with `make` and a virtual environment of the new project's own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.harness.databases import ROOT, new_database
from tests.harness.pages import Player


def test_the_tutorial(tmp_path: Path, wheels: Path, server_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with new_database(server_url) as url:
        player = Player(ROOT / "docs" / "tutorial.md", tmp_path, server_url, url)
        with player.at_home(monkeypatch):
            monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
            monkeypatch.setenv("PYTHON", sys.executable)
            player.play()

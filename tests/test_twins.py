"""The synchronous twins are what the generator makes of their sources."""

from __future__ import annotations

import subprocess
import sys

from tests.harness.databases import ROOT


def test_no_twin_is_stale() -> None:
    done = subprocess.run(
        [sys.executable, "tools/async_to_sync.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")

"""The table of faults: recorded where a file is named, and rendered from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rowsmith.errors import Category, PoolTimeoutError
from tests.slow.faults.table import Row, described, read_rows, record, render


def test_nothing_is_recorded_unless_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ROWSMITH_FAULT_TABLE", raising=False)
    monkeypatch.chdir(tmp_path)
    record("a fault", "an error", 0.1)
    assert list(tmp_path.iterdir()) == []


def test_rows_are_recorded_and_rendered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ROWSMITH_FAULT_TABLE", str(tmp_path / "rows"))
    record("a fault", PoolTimeoutError("no", Category.REFUSED), 0.1234)
    record("another", "nothing")
    rows = read_rows(tmp_path / "rows")
    this = "tests/slow/faults/test_faults_table.py::test_rows_are_recorded_and_rendered"
    assert [row[:3] for row in rows] == [
        ("a fault", "`PoolTimeoutError` (refused)", 123.4),
        ("another", "nothing", None),
    ]
    assert all(row.test.endswith(this.rpartition("/")[2]) for row in rows)
    lines = render(rows).splitlines()
    assert lines[2:] == [
        "| a fault | `PoolTimeoutError` (refused) | 123 ms | — | `test_rows_are_recorded_and_rendered` |",
        "| another | nothing | — | — | `test_rows_are_recorded_and_rendered` |",
    ]


def test_the_slowest_of_each_world_is_told() -> None:
    rows = [
        Row("a fault", "an error", 10, "test_it[stop-sync]"),
        Row("a fault", "an error", 30, "test_it[kill-sync]"),
        Row("a fault", "an error", 20, "test_it[stop-async]"),
    ]
    assert render(rows).splitlines()[2:] == ["| a fault | an error | 30 ms | 20 ms | `test_it` |"]


def test_an_error_is_described_with_what_tells_it_from_others() -> None:
    assert described(ValueError("no")) == "`ValueError`"

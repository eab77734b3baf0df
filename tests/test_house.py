"""The house: which module is in which room, and that imports run downwards only. docs/design.md has the table."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.harness.databases import ROOT

PACKAGE = ROOT / "src" / "rowsmith"
DESIGN = (ROOT / "docs" / "design.md").read_text()
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")


@cache
def rooms() -> dict[str, int]:
    """The floor of each room of the table, counted from the top; a module above the rooms is one by itself."""
    table = DESIGN.partition("| room | what is in it |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1] for line in table.splitlines()[2:]]
    return {name: floor for floor, row in enumerate(rows) for name in re.findall("`([^`]+)`", row)}


def room_of(module: Path) -> str:
    """The innermost room that a module is in."""
    parts = module.relative_to(PACKAGE).with_suffix("").parts
    return next(name for end in range(len(parts), 0, -1) if (name := "/".join(parts[:end])) in rooms())


def imported(module: Path) -> set[Path]:
    """The modules of the package that a module imports, wherever in it."""
    found: set[Path] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        files = (PACKAGE.parent / Path(*name.split(".")).with_suffix(".py") for name in names if name)
        found |= {file for file in files if file in MODULES}
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_import_points_upward(module: Path) -> None:
    floor = rooms()[room_of(module)]
    upward = [str(other.relative_to(PACKAGE)) for other in imported(module) if rooms()[room_of(other)] < floor]
    assert not upward


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_table_names_every_module(module: Path) -> None:
    stem = module.stem.removesuffix("_async").removesuffix("_sync")
    assert f"`{stem}`" in DESIGN

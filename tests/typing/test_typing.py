"""The types of a generated module, as mypy and pyright see them: what is right passes, what is wrong is refused."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import get_args

import psycopg
import pytest

from rowsmith.compiler.analysis.description import Describer
from rowsmith.compiler.analysis.forms import describe
from rowsmith.compiler.module.models import Models
from rowsmith.compiler.module.render import render
from rowsmith.compiler.module.types import read_types
from rowsmith.queries.loader import read_queries
from rowsmith.server.scratch import create_database, drop_database
from tests.harness.examples import share

HERE = Path(__file__).parent
USAGES = ("right_usage.py", "wrong_usage.py")
CHECKERS = {
    "mypy": ["mypy", "--strict", "--cache-dir", os.devnull, "--config-file", os.devnull, "--hide-error-context"],
    "pyright": ["pyright", "--pythonpath", sys.executable],
}


@pytest.fixture(scope="module", params=share(get_args(Models), 2))
def folder(request: pytest.FixtureRequest, server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a module, `app`, and its usages."""
    place = tmp_path_factory.mktemp(f"of_{request.param}")
    url = create_database(server_url, f"rowsmith_typing_{request.param}_{os.getpid()}")
    try:
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute((HERE / "schema.sql").read_text().encode())
            describer = Describer(conn)
            descriptions = [describe(describer, query) for query in read_queries(HERE / "sql")]
            types = read_types(conn, descriptions)
        output = place / "app.py"
        folders = {"": HERE / "sql"}
        output.write_text(render(descriptions, types, output=output, folders=folders, root=HERE, models=request.param))
    finally:
        drop_database(url, server_url)
    # Kept under another suffix: the project's own checks are not to find what is wrong in them.
    for usage in USAGES:
        (place / usage).write_text((HERE / f"{usage}.txt").read_text())
    (place / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict", "pythonVersion": "3.11"}')
    return place


@cache
def refused(checker: str, folder: Path) -> dict[str, dict[int, str]]:
    """What a checker says of the usages, by file and line; where it says several things, the first."""
    command = [sys.executable, "-m", *CHECKERS[checker], *USAGES]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    found = re.findall(r"(\w+\.py):(\d+):(?:\d+)?(.*error: .*)", done.stdout)
    assert done.returncode == (1 if found else 0), done.stdout + done.stderr
    return {usage: {int(line): message for file, line, message in reversed(found) if file == usage} for usage in USAGES}


@pytest.mark.parametrize("checker", CHECKERS)
def test_each_type_is_the_one_that_is_said(checker: str, folder: Path) -> None:
    assert refused(checker, folder)["right_usage.py"] == {}


@pytest.mark.parametrize("checker", CHECKERS)
def test_each_wrong_usage_is_refused(checker: str, folder: Path) -> None:
    lines = (folder / "wrong_usage.py").read_text().splitlines()
    wrong = {number: line.strip() for number, line in enumerate(lines, 1) if "# wrong: " in line}
    assert len(wrong) > 30
    said = refused(checker, folder)["wrong_usage.py"]
    assert [line for number, line in wrong.items() if number not in said] == []
    assert {number: message for number, message in said.items() if number not in wrong} == {}


def test_mypy_names_a_misspelt_parameter(folder: Path) -> None:
    lines = (folder / "wrong_usage.py").read_text().splitlines()
    (number,) = (number for number, line in enumerate(lines, 1) if line.endswith("# wrong: a misspelt parameter"))
    message = refused("mypy", folder)["wrong_usage.py"][number]
    assert 'Unexpected keyword argument "emial"' in message
    assert 'did you mean "email"?' in message

"""A service whose wheel is installed into an empty environment: its queries are there, wherever the SQL was."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.harness.databases import ROOT
from tests.harness.projects import rowsmith, write

PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "service"
version = "1"

[tool.hatch.build.targets.wheel]
packages = ["src/service"]

[tool.rowsmith]
output = "src/service/queries.py"
"""
SETUPTOOLS = """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "service"
version = "1"

[tool.setuptools.package-data]
service = ["sql/**/*.sql"]

[tool.rowsmith]
output = "src/service/queries.py"
"""
IN_PACKAGE = 'sql = "src/service/sql"\n'
SQL = "-- name: get_number(number)$\nSELECT :number::int;\n"
SHOW = "from service.queries import queries as q; print(q.get_number.sql, q.get_number.query.location)"


def service(folder: Path, configuration: str, server_url: str, *, sql: str = "sql") -> None:
    """A project in the working folder, with its module."""
    write(
        folder,
        {
            "pyproject.toml": configuration,
            "src/service/__init__.py": "",
            "migrations/0001.none.sql": "SELECT 1;",
            f"{sql}/all.sql": SQL,
            f"{sql}/inner/more.sql": SQL,
        },
    )
    done = rowsmith("generate", "--database-url", server_url)
    assert done.exit_code == 0, done.output


def installed(project: Path, environment: Path, *options: str) -> Path:
    """The Python of an environment that has the project, and the packages of the environment that the tests run in."""
    venv.create(environment, symlinks=True)
    python = environment / "bin" / "python"
    site = Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))
    (site / "ours.pth").write_text(f"{sysconfig.get_path('purelib')}\n{ROOT / 'src'}\n")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", *options, str(project)], check=True)
    return python


def show(python: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([python, "-c", SHOW], cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_a_wheel_with_the_sql_in_its_module(project: Path, tmp_path: Path, server_url: str) -> None:
    service(project, f"{PYPROJECT}embed = true\n", server_url)
    done = show(installed(project, tmp_path / "environment"), tmp_path)
    assert (done.stdout, done.stderr) == ("SELECT $1::int sql/all.sql:1\n", "")


@pytest.mark.parametrize("configuration", [PYPROJECT, SETUPTOOLS], ids=["hatchling", "setuptools"])
def test_a_wheel_with_the_sql_in_its_package(
    project: Path, tmp_path: Path, server_url: str, configuration: str
) -> None:
    service(project, configuration + IN_PACKAGE, server_url, sql="src/service/sql")
    python = installed(project, tmp_path / "environment")
    done = show(python, tmp_path)
    site = sysconfig.get_path("purelib", vars={"base": "environment"})
    assert (done.stdout, done.stderr) == (f"SELECT $1::int {site}/service/sql/all.sql:1\n", "")


def test_a_wheel_without_the_sql_says_what_to_do(project: Path, tmp_path: Path, server_url: str) -> None:
    service(project, PYPROJECT, server_url)
    done = show(installed(project, tmp_path / "environment"), tmp_path)
    assert done.returncode == 1
    assert "/sql: there is no such file or folder. The module service.queries reads its SQL from there" in done.stderr
    assert "set embed = true in [tool.rowsmith] and run: rowsmith generate" in done.stderr


def test_an_editable_installation_reads_the_sql_of_the_project(project: Path, tmp_path: Path, server_url: str) -> None:
    service(project, PYPROJECT, server_url)
    done = show(installed(project, tmp_path / "environment", "--editable"), tmp_path)
    assert (done.stdout, done.stderr) == ("SELECT $1::int project/sql/all.sql:1\n", "")

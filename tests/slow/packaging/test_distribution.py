"""What is released: the sdist and the wheel, and the first commands of a user."""

from __future__ import annotations

import re
import subprocess
import sys
from email import message_from_string
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.harness.databases import ROOT
from tools import check_release, first_query

HOME_PAGE = "https://github.com/rowsmith/rowsmith/"


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--quiet", "--outdir", folder, ROOT], check=True)
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> ZipFile:
    (path,) = dist.glob("*.whl")
    return ZipFile(path)


def test_the_sdist_and_the_wheel_pass_the_tests(dist: Path) -> None:
    """Some of them, which together need every part: the server, the compiler, the starter's files, another process."""
    files = ["tests/test_cli.py", "tests/queries/test_folders.py", "tests/compiler/test_generate.py", "tests/starter"]
    done = subprocess.run(
        [ROOT / "tools" / "test_dist", dist, "-q", "-n", "2", *files],
        env=first_query.clean_environment() | {"PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(r"^\d+ passed", done.stdout, re.MULTILINE)) == 2, done.stdout


def test_the_wheel_has_the_files_of_the_package_alone(wheel: ZipFile) -> None:
    package = ROOT / "src" / "rowsmith"
    files = [path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {f"rowsmith/{path.relative_to(package).as_posix()}" for path in files} == {
        name for name in wheel.namelist() if ".dist-info/" not in name
    }


def test_the_links_of_the_long_description_lead_into_the_repository(wheel: ZipFile) -> None:
    (name,) = [name for name in wheel.namelist() if name.endswith("/METADATA")]
    metadata = message_from_string(wheel.read(name).decode())
    links: list[str] = re.findall(r"\]\(([^)#]+)[^)]*\)", str(metadata.get_payload()))
    assert [link for link in links if not link.startswith("https://")] == []
    raw = HOME_PAGE.replace("github.com", "raw.githubusercontent.com")
    release = re.compile(rf"(?:{HOME_PAGE}blob|{raw[:-1]})/v{metadata['Version']}/(.+)")
    paths = [found[1] for link in links if (found := release.fullmatch(link))]
    assert len(paths) > 5
    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert metadata.get_all("Project-URL")


def test_a_release_has_the_version_of_its_tag_and_is_in_the_changelog() -> None:
    pyproject, changelog = '[project]\nversion = "1.2.0"\n', "## [Unreleased]\n\n## [1.2.0] - 2026-11-22\n"
    assert check_release.faults("v1.2.0", pyproject, changelog) == []
    assert check_release.faults("v1.2.1", pyproject, changelog) == [
        "the tag is v1.2.1, but pyproject.toml has version 1.2.0: expected the tag v1.2.0"
    ]
    assert check_release.faults("v1.2.0", pyproject, "## [Unreleased]\n") == [
        "CHANGELOG.md has no section for 1.2.0: expected a line `## [1.2.0] - YYYY-MM-DD`"
    ]


def test_the_first_query_takes_three_commands() -> None:
    """.ci/run runs them."""
    commands = first_query.commands((ROOT / "README.md").read_text())
    assert commands == ["pip install 'rowsmith[all]'", "rowsmith new shop", "cd shop && make test"]

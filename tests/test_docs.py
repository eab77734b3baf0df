"""Every snippet of the README and of the documentation's pages runs.

tests/harness/pages.py says how those of a page run. Those of the tutorial run in tests/slow/starter. In the README, a
block whose first line names a file is that file. Then the shell blocks run, then the Python blocks, each in the order
of the document, in one project folder. `make` is not run from inside the suite: that its targets exist is.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import traceback
from collections.abc import Iterator
from contextlib import chdir
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import rowsmith as rowsmith_package
from rowsmith import errors
from rowsmith.findings import Rule
from rowsmith.server.embedded import project_data_folder
from rowsmith.settings import Settings, variable_name
from rowsmith.testing.databases import fresh_database
from tests.harness.databases import ROOT
from tests.harness.pages import Player, on_server, snippets
from tests.harness.projects import rowsmith

README, DESIGN = ROOT / "README.md", ROOT / "docs" / "design.md"
REFERENCE = ROOT / "docs" / "reference"
PACKAGE = ROOT / "src" / "rowsmith"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
TUTORIAL = ROOT / "docs" / "tutorial.md"
PAGES = [page for page in DOCUMENTS if page.name == "index.md" or page.parent.parent == ROOT / "docs"]


def label(document: Path) -> str:
    """The name of a document in the names of tests."""
    return str(document.relative_to(ROOT))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The README's project: its files are written, and its shell blocks have run."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "app").mkdir()
    build(README, folder)
    yield folder
    shell("rowsmith server stop", folder)
    shutil.rmtree(project_data_folder(folder).parent, ignore_errors=True)


def shell(script: str, folder: Path) -> str:
    """Run a script with our commands on PATH and none of our variables; what it exported last stays for the next."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DB_", "DATABASE_"))}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    environment["PYTHONPATH"] = str(folder)
    script = f"set -eu\n[ ! -f .env.sh ] || . ./.env.sh\n{script}\nexport -p | grep DATABASE_URL > .env.sh || true\n"
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    return done.stdout


def write_files(document: Path, folder: Path) -> None:
    """Write the files of a document."""
    for snippet in snippets(document):
        if snippet.file:
            (folder / snippet.file).parent.mkdir(parents=True, exist_ok=True)
            (folder / snippet.file).write_text(snippet.text)


def build(document: Path, folder: Path) -> None:
    """Write the files of a document, and run its shell blocks."""
    write_files(document, folder)
    for snippet in snippets(document):
        if snippet.language == "sh":
            lines = [line for line in snippet.text.splitlines() if not line.startswith("make ")]
            shell("\n".join(lines), folder)


def play(document: Path, folder: Path) -> str:
    """Run the Python blocks of a document as one program; what it prints."""
    blocks = [snippet.text for snippet in snippets(document) if snippet.language == "python" and not snippet.file]
    (folder / "snippets.py").write_text("\n".join(blocks))
    return shell("python -W error snippets.py", folder)


def test_the_snippets_of_the_readme_run(project: Path) -> None:
    printed = play(README, project).splitlines()
    assert printed == [
        "Ada",
        *[line for line in printed if line.startswith("id=1 email=")],
        "in query create_user, sql/users.sql:8",
    ]


def test_the_module_in_the_readme_is_the_one_that_is_generated(project: Path) -> None:
    (shown,) = [snippet.text for snippet in snippets(README) if snippet.language == "py"]
    generated = (project / "app" / "queries.py").read_text()
    for part in shown.split("\n\n"):
        assert part.strip("\n") in generated


def test_the_finding_in_the_readme_is_the_one_that_is_reported(project: Path) -> None:
    (shown,) = [snippet.text for snippet in snippets(README) if snippet.language == "text"]
    file = project / "sql" / "reports.sql"
    file.write_text("-- name: count_sign_ups(since)$\nSELECT count(*) FROM users WHERE create_at >= :since;\n")
    try:
        printed = shell("rowsmith check || true", project)
        assert shown in printed, printed
    finally:
        file.unlink()


@pytest.fixture(scope="module")
def beginning(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The guide's project as each page finds it: its files and its typed module."""
    folder = tmp_path_factory.mktemp("beginning")
    (folder / "app").mkdir()
    write_files(ROOT / "docs" / "guide" / "index.md", folder)
    configuration = folder / "pyproject.toml"
    configuration.write_text(on_server(configuration.read_text(), server_url))
    with chdir(folder):
        assert rowsmith("generate").exit_code == 0
    return folder


@pytest.mark.parametrize("page", PAGES, ids=label)
@pytest.mark.usefixtures("default_logging")
def test_the_snippets_of_a_page_run(
    page: Path, beginning: Path, server_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "shop"
    shutil.copytree(beginning, folder)
    with fresh_database(server_url, [folder / "migrations"]) as url:
        player = Player(page, folder, server_url, url)
        with player.at_home(monkeypatch):
            player.play()


def test_the_readme_names_make_targets_that_exist() -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for document in (README, ROOT / "CONTRIBUTING.md"):
        named = re.findall(r"^\s*make (\w+)", document.read_text(), re.MULTILINE)
        assert named
        assert set(named) <= set(targets)


@pytest.mark.parametrize("document", [README, REFERENCE / "environment.md"], ids=label)
def test_the_environment_table_is_that_of_the_settings(document: Path) -> None:
    rows = dict(re.findall(r"^\| ([A-Z_]+) \| (\w+) \|", document.read_text(), re.MULTILINE))
    fields = {variable_name(name): field for name, field in Settings.model_fields.items()}
    assert set(rows) == set(fields)
    for variable, shown in rows.items():
        if shown not in ("required", "DATABASE_URL"):
            assert str(fields[variable].default).lower() == shown


@pytest.mark.parametrize("document", DOCUMENTS, ids=label)
def test_links_inside_the_repository_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", document.read_text()):
        assert (document.parent / target).exists(), target


def find(path: str) -> Path | None:
    """The file or folder of the repository or of the library; None if there is none of that path."""
    return next((found for base in (ROOT, PACKAGE) if (found := base / path).exists()), None)


@pytest.mark.parametrize("document", sorted({*DOCUMENTS} - {*PAGES, TUTORIAL}), ids=label)
def test_the_paths_in_a_document_exist(document: Path) -> None:
    prose = re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    named = re.findall(r"`((?:benchmarks|docs|src|tests|tools)/[\w./-]+)`", prose)
    if document == DESIGN:  # in the others, another path may be one of the reader's project
        named += re.findall(r"`([\w./-]+\.py)`", prose)
    assert not [path for path in named if find(path) is None]


def test_what_the_design_looks_for_in_a_file_is_there() -> None:
    claims = re.findall(r"((?:`[\w.]+`(?:, | and ))*`[\w.]+`)\sin\s`([\w./-]+\.py)`", DESIGN.read_text())
    assert len(claims) > 20
    for names, path in claims:
        for name in re.findall(r"\w+", names.replace(" and ", " ")):
            defined = rf"^\s*(async def|def|class) {name}\b|^\s*(self\.)?{name}\b.* = "
            assert re.search(defined, (PACKAGE / path).read_text(), re.MULTILINE), (name, path)


def test_each_error_has_a_page_and_each_page_an_error() -> None:
    for module in ("compiler.project", "starter.starter", "testing.databases"):
        import_module(f"rowsmith.{module}")
    pages = {errors.RowsmithError.page} | {each.page for each in subclasses(errors.RowsmithError)}
    folder = ROOT / "docs" / "errors"
    assert pages | {f"{errors.PAGES}/rules.md"} == {f"{errors.PAGES}/{page.name}" for page in folder.iterdir()}


def subclasses(base: type[errors.RowsmithError]) -> Iterator[type[errors.RowsmithError]]:
    """Those of the library, whatever else the suite defines."""
    for each in base.__subclasses__():
        if each.__module__.startswith("rowsmith."):
            yield each
            yield from subclasses(each)


def test_each_rule_has_a_section_and_each_section_a_rule() -> None:
    sections = re.findall(r"^## (.*)$", (ROOT / "docs" / "errors" / "rules.md").read_text(), re.MULTILINE)
    assert sections == list(Rule)


@pytest.mark.parametrize("error", [errors.RowCountError("two"), errors.PoolTimeoutError("none", errors.Category.DNS)])
def test_the_traceback_of_an_error_names_its_page(error: errors.RowsmithError) -> None:
    assert "".join(traceback.format_exception_only(error)).endswith(f"\nSee {error.page}\n")


def test_an_error_of_a_users_own_has_the_page_of_its_base() -> None:
    class OursError(errors.TransactionError):
        pass

    assert OursError.page == errors.TransactionError.page


def test_the_reference_lists_the_public_names() -> None:
    listed = re.findall(r"^::: rowsmith\.(\w+)$", (REFERENCE / "rowsmith.md").read_text(), re.MULTILINE)
    assert sorted([*listed, "errors"]) == sorted(rowsmith_package.__all__)


@pytest.mark.parametrize("page", [*PAGES, TUTORIAL], ids=label)
def test_no_code_on_a_page_is_outside_of_a_fence(page: Path) -> None:
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    indented = re.findall(r"^    (?!options:)\S.*$", prose, re.MULTILINE)  # the options are those of mkdocstrings
    assert not indented


def test_every_page_is_in_the_navigation() -> None:
    def pages(entries: list[Any]) -> Iterator[str]:
        for entry in entries:
            if isinstance(entry, str):
                yield entry
            else:
                (below,) = entry.values()
                yield from pages(below)

    listed = list(pages(tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]))
    assert sorted(listed) == sorted(str(page.relative_to(ROOT / "docs")) for page in ROOT.glob("docs/**/*.md"))

"""`rowsmith new` and `rowsmith init`: what they write, and that nothing is overwritten."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.harness.projects import rowsmith, write

PYPROJECT = '[project]\nname = "my-shop"\nversion = "1"\n'


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def test_a_new_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = rowsmith("new", "some/my-shop")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "Next: cd some/my-shop && make test"
    files = contents(tmp_path / "some/my-shop")
    assert {"Makefile", ".gitignore", ".env.example", "yoyo.ini", "src/my_shop/queries.py"} <= set(files)
    assert "def get_user_by_email(self, *, email: str) -> User | None:" in files["src/my_shop/queries.py"]
    assert not any("$package" in text or "$name" in text for text in files.values())
    monkeypatch.chdir(tmp_path / "some/my-shop")
    assert rowsmith("check").exit_code == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [("full", "exists and is not an empty folder"), ("7up", "'7up' cannot name a Python package")],
)
def test_a_folder_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {"full/precious.txt": "here"})
    done = rowsmith("new", name)
    assert done.exit_code == 2
    assert message in done.stderr
    assert contents(tmp_path) == {"full/precious.txt": "here"}


def test_a_project_that_exists_keeps_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = {
        "pyproject.toml": PYPROJECT,
        "src/my_shop/__init__.py": "",
        "src/other/__init__.py": "",
        "tests/conftest.py": "# mine\n",
        "Makefile": "# mine\n",
    }
    write(tmp_path, given)
    done = rowsmith("init")
    assert (done.exit_code, done.stderr) == (0, "")
    files = contents(tmp_path)
    assert {name: files[name] for name in given if name != "pyproject.toml"} == {
        name: text for name, text in given.items() if name != "pyproject.toml"
    }
    assert files["pyproject.toml"].startswith(PYPROJECT)
    assert 'output = "src/my_shop/queries.py"' in files["pyproject.toml"]
    assert "list_users" in files["src/my_shop/queries.py"]
    assert "kept   tests/conftest.py, which was there" in done.stdout
    assert 'pytest_plugins = ["rowsmith.testing"]' in done.stdout
    again = rowsmith("init")
    assert again.exit_code == 0
    assert contents(tmp_path) == files
    assert "wrote" not in again.stdout


def test_a_project_with_migrations_is_given_no_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    schema = {"migrations/0001.mine.sql": "CREATE TABLE users (id int);"}
    write(tmp_path, {"pyproject.toml": PYPROJECT, "my_shop/__init__.py": "", **schema})
    assert rowsmith("init").exit_code == 0
    files = contents(tmp_path)
    assert sorted(name for name in files if name.startswith(("migrations/", "sql/"))) == [*schema, "sql/example.sql"]
    assert "def get_server_time(self) -> datetime:" in files["my_shop/queries.py"]


def test_what_init_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = rowsmith("init")
    assert done.exit_code == 2
    assert (
        f"{tmp_path} has no pyproject.toml. Run this in a project, or `rowsmith new DIR` for a new one" in done.stderr
    )
    write(tmp_path, {"pyproject.toml": PYPROJECT, "one/__init__.py": "", "two/__init__.py": ""})
    done = rowsmith("init")
    assert done.exit_code == 2
    assert "which package is to have the typed module? Found: one, two" in done.stderr
    assert set(contents(tmp_path)) == {"pyproject.toml", "one/__init__.py", "two/__init__.py"}
    write(tmp_path, {"pyproject.toml": f'{PYPROJECT}[tool.rowsmith]\noutput = "two/typed.py"\n'})
    assert rowsmith("init").exit_code == 0
    files = contents(tmp_path)
    assert "list_users" in files["two/typed.py"]
    assert files[".gitattributes"] == "two/typed.py linguist-generated=true\n"
    help_of_make = subprocess.run(["make"], capture_output=True, text=True, check=True)
    assert "make generate  write two/typed.py again" in help_of_make.stdout

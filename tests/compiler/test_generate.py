"""`rowsmith generate`, and what `check` says of a module that is stale."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.harness.projects import assert_snapshot, project, rowsmith, watching, write

CONFIGURATION = '[tool.rowsmith]\noutput = "app/queries.py"\n'
QUERIES = """\
-- name: get_user(id)^
-- Find one user.
SELECT id, email, nick FROM users WHERE id = :id;

-- name: any_user()^
-- Find whichever comes first.
-- rowsmith: ignore many-rows (the table has one row)
SELECT id FROM users;
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that has no module yet; the working folder."""
    project(tmp_path, QUERIES, CONFIGURATION)
    (tmp_path / "app").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_module_is_written_and_checked(folder: Path, server_url: str) -> None:
    module = folder / "app/queries.py"
    server = ("--database-url", server_url)
    missing = rowsmith("check", *server)
    assert missing.exit_code == 1
    assert_snapshot("module-missing", missing.output, server_url)
    assert rowsmith("generate", "--check", *server).exit_code == 1
    assert not module.exists()

    done = rowsmith("generate", *server)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith("app/queries.py: 2 queries, written in ")
    text = module.read_text()
    assert "Find whichever comes first." in text
    assert "rowsmith: ignore" not in text
    compile(text, str(module), "exec")

    assert rowsmith("generate", *server).stdout == "app/queries.py: 2 queries, up to date\n"
    assert rowsmith("generate", "--check", *server).exit_code == 0
    assert rowsmith("check", *server).exit_code == 0

    write(folder, {"migrations/0002.null.sql": "ALTER TABLE users ALTER COLUMN email DROP NOT NULL;\n"})
    stale = rowsmith("check", *server)
    assert stale.exit_code == 1
    assert "the module does not match the queries and the migrations [stale-module]" in stale.output
    stale = rowsmith("generate", "--check", *server)
    assert stale.exit_code == 1
    assert module.read_text() == text
    assert rowsmith("generate", *server).exit_code == 0
    assert module.read_text() != text


def test_a_module_that_embeds_its_sql_is_stale_after_any_change(folder: Path, server_url: str) -> None:
    server = ("--database-url", server_url)
    write(folder, {"pyproject.toml": f"{CONFIGURATION}embed = true\n"})
    assert rowsmith("generate", *server).exit_code == 0
    text = (folder / "app/queries.py").read_text()
    assert QUERIES in text
    assert rowsmith("generate", *server).stdout == "app/queries.py: 2 queries, up to date\n"
    assert rowsmith("check", *server).exit_code == 0
    for changed in (f"-- A comment moves the lines.\n{QUERIES}", QUERIES.replace("= :id", "= (:id)")):
        write(folder, {"sql/queries.sql": changed})
        stale = rowsmith("check", *server)
        assert stale.exit_code == 1
        assert "the module does not match the queries and the migrations [stale-module]" in stale.output
    write(folder, {"sql/queries.sql": QUERIES, "pyproject.toml": CONFIGURATION})
    assert rowsmith("check", *server).exit_code == 1
    assert rowsmith("generate", *server).exit_code == 0
    assert "SELECT id" not in (folder / "app/queries.py").read_text()


def test_nothing_is_written_over_another_file(folder: Path, server_url: str) -> None:
    write(folder, {"app/queries.py": "precious = True\n"})
    done = rowsmith("generate", "--database-url", server_url)
    assert done.exit_code == 2
    assert_snapshot("module-not-ours", done.output, server_url)
    assert (folder / "app/queries.py").read_text() == "precious = True\n"
    done = rowsmith("check", "--database-url", server_url)
    assert done.exit_code == 1
    assert_snapshot("module-not-ours-checked", done.output, server_url)


def test_nothing_is_written_while_a_query_has_a_fault(folder: Path, server_url: str) -> None:
    write(folder, {"sql/more.sql": "-- name: wrong()\nSELECT emial FROM users;\n-- name: fine()^\nTABLE users;\n"})
    done = rowsmith("generate", "--database-url", server_url)
    assert done.exit_code == 1
    assert done.stdout == ""
    assert_snapshot("generate-refused", done.stderr, server_url)
    assert not (folder / "app/queries.py").exists()


def test_queries_that_fit_in_no_module(folder: Path, server_url: str) -> None:
    files = {
        "sql/more.sql": """\
-- name: one()
-- record_class: User
SELECT id FROM users;
-- name: two()
-- record_class: User
SELECT email FROM users;
"""
    }
    write(folder, files)
    done = rowsmith("check", "--database-url", server_url)
    assert done.exit_code == 1
    assert_snapshot("no-module", done.output, server_url)
    done = rowsmith("generate", "--database-url", server_url)
    assert done.exit_code == 2
    assert "record_class User stands for two shapes" in done.stderr


def test_without_an_output(folder: Path, server_url: str) -> None:
    write(folder, {"pyproject.toml": ""})
    done = rowsmith("generate", "--database-url", server_url)
    assert done.exit_code == 2
    assert_snapshot("no-output", done.output, server_url)
    assert rowsmith("check", "--database-url", server_url).exit_code == 0


def test_watching_writes_the_module_again(folder: Path, server_url: str) -> None:
    module = folder / "app/queries.py"
    with watching(server_url, "generate") as watched:
        assert "written in" in watched.round()[-1]
        assert "find_user" not in module.read_text()
        write(folder, {"sql/queries.sql": QUERIES.replace("get_user", "find_user")})
        assert "written in" in watched.round()[-1]
        assert "find_user" in module.read_text()
        kept = module.read_text()
        write(folder, {"sql/queries.sql": QUERIES.replace("nick", "nock")})
        assert 'column "nock" does not exist' in watched.round()[0]
        assert module.read_text() == kept
        assert watched.end(signal.SIGINT) == 0

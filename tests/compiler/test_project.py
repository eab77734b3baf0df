"""The configuration: what is read, from where, and every fault at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from rowsmith.compiler.project import Project, ProjectError, ServerChoice
from rowsmith.queries.folders import QueryFolder
from rowsmith.server import programs
from tests.harness.projects import assert_snapshot, project, rowsmith, write


def test_the_defaults(tmp_path: Path) -> None:
    write(tmp_path, {"pyproject.toml": "[project]\nname = 'app'\n", "sql/a.sql": "", "migrations/a.sql": ""})
    (tmp_path / "src").mkdir()
    assert Project.load(tmp_path / "src") == Project(
        root=tmp_path,
        query_folders=(QueryFolder(tmp_path / "sql"),),
        migrations=(tmp_path / "migrations",),
        output=None,
        models="pydantic",
        types={},
    )


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    write(tmp_path, {"sql/a.sql": "", "migrations/a.sql": ""})
    (tmp_path / "pyproject.toml").write_bytes(b'\xef\xbb\xbf[tool.rowsmith]\nmodels = "dataclass"\n')
    assert Project.load(tmp_path).models == "dataclass"


def test_everything_is_read(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "pyproject.toml": """
                [tool.rowsmith]
                sql = "db/sql"
                migrations = ["db/migrations", "db/more"]
                components = ["src/app/components/*", "src/extra"]
                output = "src/app/queries.py"
                models = "dataclass"
                never-null = ["app.slugify(text)"]
                keeps-session = ["set_updated_at()"]
                database-url = "postgresql://localhost/postgres"
                pg-bin = "pg/bin"
                [tool.rowsmith.types]
                citext = "str"
                "projects.settings" = "app.types:ProjectSettings"
            """,
            "db/sql/a.sql": "",
            "db/migrations/a.sql": "",
            "db/more/a.sql": "",
            "src/app/components/notes/sql/a.sql": "",
            "src/app/components/billing/sql/a.sql": "",
            "src/app/components/billing/migrations/a.sql": "",
            "src/app/components/no_component/a.py": "",
            "src/extra/migrations/a.sql": "",
        },
    )
    components = tmp_path / "src/app/components"
    assert Project.load(tmp_path) == Project(
        root=tmp_path,
        query_folders=(
            QueryFolder(tmp_path / "db/sql"),
            QueryFolder(components / "billing/sql", ("billing",)),
            QueryFolder(components / "notes/sql", ("notes",)),
        ),
        migrations=(
            tmp_path / "db/migrations",
            tmp_path / "db/more",
            components / "billing/migrations",
            tmp_path / "src/extra/migrations",
        ),
        output=tmp_path / "src/app/queries.py",
        models="dataclass",
        types={"citext": "str", "projects.settings": "app.types:ProjectSettings"},
        never_null=("app.slugify(text)",),
        keeps_session=("set_updated_at()",),
        server=ServerChoice("postgresql://localhost/postgres", tmp_path / "pg/bin"),
    )
    assert ServerChoice.load(components / "billing") == Project.load(tmp_path).server


def test_the_server_may_be_chosen_before_there_are_queries(tmp_path: Path) -> None:
    """For `rowsmith server`, and for pytest."""
    assert ServerChoice.load(tmp_path) == ServerChoice()
    write(tmp_path, {"pyproject.toml": "[tool.rowsmith]\noutput = 'nowhere'\npg-bin = '/pg/bin'\n"})
    assert ServerChoice.load(tmp_path) == ServerChoice(pg_bin=Path("/pg/bin"))
    write(tmp_path, {"pyproject.toml": "[tool.rowsmith]\noutput = 'nowhere'\npg-bin = 1\n"})
    with pytest.raises(ProjectError) as caught:
        ServerChoice.load(tmp_path)
    assert [fault.partition(":")[0] for fault in caught.value.faults] == ["pg-bin is 1"]


def test_commands_use_the_server_of_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server_url: str
) -> None:
    project(tmp_path, "-- name: f()$\nSELECT 1;\n", f'[tool.rowsmith]\ndatabase-url = "{server_url}"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(programs, "_WHEELS", ())
    assert rowsmith("check").exit_code == 0
    project(tmp_path, "-- name: f()$\nSELECT 1;\n", '[tool.rowsmith]\npg-bin = "no/bin"\n')
    done = rowsmith("check")
    assert done.exit_code == 2
    assert f"{tmp_path / 'no/bin'} is not the bin folder of a PostgreSQL server" in done.stderr


def test_an_extension_that_the_embedded_server_comes_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path, "-- name: f()$\nSELECT 1;\n", "")
    write(tmp_path, {"migrations/0000.crypto.sql": 'CREATE EXTENSION "uuid-ossp";'})
    monkeypatch.chdir(tmp_path)
    done = rowsmith("check")
    assert done.exit_code == 2
    assert done.stderr.startswith(
        'migrations/0000.crypto.sql:1: PostgreSQL refuses the migration: extension "uuid-ossp" is not available\n'
    )
    assert "\nhint: The embedded PostgreSQL comes without it." in done.stderr
    assert "gen_random_uuid() needs no extension" in done.stderr


def test_components_alone_are_enough(tmp_path: Path) -> None:
    """The default folders may be missing if components have their own; folders that are named may not."""
    files = {"pyproject.toml": '[tool.rowsmith]\ncomponents = ["parts/*"]\n', "parts/a/sql/a.sql": ""}
    write(tmp_path, {**files, "parts/a/migrations/a.sql": ""})
    loaded = Project.load(tmp_path)
    assert loaded.query_folders == (QueryFolder(tmp_path / "parts/a/sql", ("a",)),)
    assert loaded.migrations == (tmp_path / "parts/a/migrations",)


def test_every_fault_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server_url: str) -> None:
    monkeypatch.chdir(tmp_path)
    write(
        tmp_path,
        {
            "pyproject.toml": """
                [tool.rowsmith]
                sql = "querys"
                migration = ["migrations"]
                migrations = "migrations"
                components = ["parts/*", "nowhere/*", "/absolute/*"]
                output = "src/queries"
                models = "attrs"
                colour = true
                [tool.rowsmith.types]
                citext = ""
                ltree = 1
            """,
            "parts/my-part/sql/a.sql": "",
            "parts/class/sql/a.sql": "",
        },
    )
    done = rowsmith("check", "--database-url", server_url)
    assert done.exit_code == 2
    assert_snapshot("configuration", done.output, server_url)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[tool]\nrowsmith = 1\n", "rowsmith is 1: expected a table"),
        ("[tool.rowsmith]\ntypes = []\n", "types is []: expected a table, [tool.rowsmith.types]"),
        ("[tool.rowsmith]\nsql = ''\n", "sql is '': expected the folder of the query files, such as sql = \"sql\""),
        ("[tool.rowsmith]\nmigrations = [1]\n", "migrations is [1]: expected a list of folders"),
        ("[tool.rowsmith]\nnever-null = 1\n", "never-null is 1: expected a list of functions"),
        ("[tool.rowsmith]\nkeeps-session = 1\n", "keeps-session is 1: expected a list of functions"),
        ("[tool.rowsmith]\nnever_null = []\n", "never_null is not a key: did you mean never-null?"),
        ("[tool.rowsmith]\npg-bin = 1\n", "pg-bin is 1: expected a folder of programs"),
        ("[tool.rowsmith]\ndatabase-url = ['a:b']\n", "database-url is not a text: expected the URL of a server"),
        ("[tool.rowsmith]\nmodels = []\n", 'models is []: expected "pydantic" or "dataclass"'),
        ("[tool.rowsmith\n", "the file cannot be read as TOML"),
        ("", "sql: there is no folder 'sql' (the default) next to pyproject.toml"),
    ],
)
def test_faults(tmp_path: Path, text: str, fault: str) -> None:
    write(tmp_path, {"pyproject.toml": text})
    with pytest.raises(ProjectError) as caught:
        Project.load(tmp_path)
    assert any(fault in each for each in caught.value.faults), caught.value.faults


def test_two_components_of_one_name(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "pyproject.toml": '[tool.rowsmith]\ncomponents = ["a/*", "b/*", "*/notes"]\n',
            "a/notes/sql/a.sql": "",
            "a/notes/migrations/a.sql": "",
            "b/notes/sql/a.sql": "",
        },
    )
    with pytest.raises(ProjectError, match="components: a/notes and b/notes have the same name"):
        Project.load(tmp_path)


def test_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server_url: str) -> None:
    monkeypatch.chdir(tmp_path)
    done = rowsmith("check")
    assert done.exit_code == 2
    assert_snapshot("no-project", done.output, server_url)

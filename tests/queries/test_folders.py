"""Where query files are: relative to the working folder, in a package, in a zip file, or in the generated module."""

from __future__ import annotations

import subprocess
import sys
import zipapp
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from zipfile import ZipFile

import psycopg
import pytest

from rowsmith import load_queries
from rowsmith.errors import QueryFileError, StaleModuleError
from tests.harness.databases import new_database
from tests.harness.modules import load, source
from tests.harness.projects import write

USERS = """\
-- A file begins with a comment, sometimes.

-- name: get_number(number)$
-- One number, and "back\\slashes".
SELECT :number::int;

-- name: fail(length)$
SELECT 1 / (length('a\\b' || $$\"\"\"$$ || '\t\u202e\r\n') - :length);
"""
REPORTS = '-- name: two()$\nSELECT 2; -- and a quote at the end of the file: "'
ELSEWHERE = Path(sys.prefix)
"""A folder that none of the projects is in."""
FILES = {"app/__init__.py": "", "app/sql/users.sql": USERS, "app/sql/reports/all.sql": REPORTS}


@pytest.fixture(scope="module")
def conn(server_url: str) -> Iterator[psycopg.Connection[Any]]:
    with new_database(server_url) as url, psycopg.connect(url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def project(conn: psycopg.Connection[Any], tmp_path: Path) -> Path:
    """A project whose package has its SQL, and a module that reads it from there."""
    root = tmp_path / "project"
    write(root, FILES)
    generate(conn, root)
    return root


def generate(conn: psycopg.Connection[Any], root: Path, *, embed: bool = False, output: str = "app/queries.py") -> Path:
    path = root / output
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source(conn, root / "app/sql", path, root=root, embed=embed), newline="\n")
    return path


def zipped(root: Path, target: Path) -> Path:
    """The folder as a zip file."""
    with ZipFile(target, "w") as archive:
        for file in sorted(root.rglob("*")):
            archive.write(file, file.relative_to(root))
    return target


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in another process, from another working folder."""
    command = [sys.executable, "-W", "error", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def program(place: Path, code: str) -> str:
    return f"import sys; sys.path.insert(0, {str(place)!r}); {code}"


def check(module: ModuleType, conn: psycopg.Connection[Any], location: str) -> None:
    """Its queries run, and their errors name the file and the line."""
    assert module.queries.get_number(conn, number=3) == 3
    assert module.queries.reports.two(conn) == 2
    assert module.queries.get_number.query.location == f"{location}/users.sql:3"
    with pytest.raises(psycopg.errors.DivisionByZero) as raised:
        module.queries.fail(conn, length=10)
    assert raised.value.__notes__[0] == f"in query fail, {location}/users.sql:7"


SHOW = "from app.queries import queries; print(queries.get_number.query.location); print(queries.reports.two.sql)"


def test_a_module_reads_the_sql_of_its_package(project: Path, conn: psycopg.Connection[Any]) -> None:
    check(load(project / "app/queries.py"), conn, str(project / "app/sql"))


def test_the_same_in_a_zip_file_on_the_path(project: Path, tmp_path: Path) -> None:
    archive = zipped(project, tmp_path / "app.zip")
    done = run(tmp_path, "-c", program(archive, SHOW))
    assert (done.stdout, done.stderr) == ("app.zip/app/sql/users.sql:3\nSELECT 2\n", "")


def test_a_module_in_an_inner_package_reads_the_sql_of_the_outer_one(
    project: Path, conn: psycopg.Connection[Any], tmp_path: Path
) -> None:
    write(project, {"app/data/__init__.py": "", "app/data/access/__init__.py": ""})
    generate(conn, project, output="app/data/access/queries.py")
    archive = zipped(project, tmp_path / "app.zip")
    for place in (project, archive):
        done = run(tmp_path, "-c", program(place, SHOW.replace("app.queries", "app.data.access.queries")))
        assert (done.stdout.splitlines()[-1:], done.stderr) == (["SELECT 2"], "")


@pytest.mark.parametrize("embed", [False, True])
def test_a_zipapp(project: Path, conn: psycopg.Connection[Any], tmp_path: Path, embed: bool) -> None:
    generate(conn, project, embed=embed)
    write(project, {"__main__.py": SHOW})
    if embed:
        (project / "app/sql").rename(tmp_path / "elsewhere")
    zipapp.create_archive(project, tmp_path / "app.pyz")
    done = run(ELSEWHERE, str(tmp_path / "app.pyz"))
    place = "app" if embed else f"{tmp_path}/app.pyz/app"
    assert (done.stdout, done.stderr) == (f"{place}/sql/users.sql:3\nSELECT 2\n", "")


@pytest.mark.parametrize("packed", [False, True])
def test_load_queries_reads_a_resource(project: Path, tmp_path: Path, packed: bool) -> None:
    place = zipped(project, tmp_path / "app.zip") if packed else project
    code = (
        'from importlib.resources import files; from rowsmith import load_queries; q = load_queries(files("app") / {})'
    )
    show = "print(*(query.location for query in q))"
    done = run(ELSEWHERE, "-c", program(place, f"{code.format(repr('sql'))}; {show}"))
    sql = f"{place}/app/sql"
    assert (done.stdout, done.stderr) == (f"{sql}/users.sql:3 {sql}/users.sql:7 {sql}/reports/all.sql:1\n", "")
    done = run(ELSEWHERE, "-c", program(place, f"{code.format(repr('sql/users.sql'))}; {show}"))
    assert (done.stdout, done.stderr) == (f"{sql}/users.sql:3 {sql}/users.sql:7\n", "")
    done = run(ELSEWHERE, "-c", program(place, f"{code.format(repr('gone'))}; {show}"))
    assert (
        f"{place}/app/gone: there is no such file or folder. If it belongs to a package, check that the " in done.stderr
    )


def test_load_queries_reads_a_package_without_an_init_file(project: Path, tmp_path: Path) -> None:
    code = (
        "from importlib.resources import files; from rowsmith import load_queries; q = load_queries(files('app.sql'))"
    )
    done = run(tmp_path, "-c", program(project, f"{code}; print(*(query.location for query in q))"))
    sql = "project/app/sql"
    assert (done.stdout, done.stderr) == (f"{sql}/users.sql:3 {sql}/users.sql:7 {sql}/reports/all.sql:1\n", "")


# --- the SQL in the module ---


def test_an_embedded_module_needs_no_files(
    project: Path, conn: psycopg.Connection[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = generate(conn, project, embed=True)
    (project / "app/sql").rename(tmp_path / "elsewhere")
    for folder in (project, tmp_path):
        monkeypatch.chdir(folder)
        check(load(module), conn, "app/sql")


def test_an_embedded_module_keeps_every_character_of_a_file(project: Path, conn: psycopg.Connection[Any]) -> None:
    module = load(generate(conn, project, embed=True))
    assert vars(module)["_SQL"] == {"": {"app/sql/users.sql": USERS}, "reports": {"app/sql/reports/all.sql": REPORTS}}


def test_an_embedded_module_with_other_line_breaks_is_the_same(project: Path, conn: psycopg.Connection[Any]) -> None:
    text = generate(conn, project, embed=True).read_text()
    with_crlf = REPORTS.replace("\n", "\r\n")
    (project / "app/sql/reports/all.sql").write_bytes(b"\xef\xbb\xbf" + with_crlf.encode())
    assert generate(conn, project, embed=True).read_text() == text


def test_an_embedded_module_is_the_other_module_and_its_sql(project: Path, conn: psycopg.Connection[Any]) -> None:
    plain = (project / "app/queries.py").read_text()
    embedded = generate(conn, project, embed=True).read_text()
    assert embedded.partition("# The query files, so ")[0] == plain.partition("queries: Queries = ")[0]
    assert embedded.endswith("}\n\nqueries: Queries = typed_queries(Queries, __file__, _SQL)\n")


def test_an_embedded_module_whose_sql_was_edited_by_hand_is_refused(
    project: Path, conn: psycopg.Connection[Any]
) -> None:
    module = generate(conn, project, embed=True)
    module.write_text(module.read_text().replace("SELECT 2;", "SELECT 3;"))
    with pytest.raises(StaleModuleError, match=r"does not fit the queries in .*app/sql/reports/all\.sql.*reports\.two"):
        load(module)


def test_a_module_without_queries_embeds_nothing(conn: psycopg.Connection[Any], tmp_path: Path) -> None:
    write(tmp_path, {"app/sql/empty.sql": "-- nothing yet\n"})
    module = generate(conn, tmp_path, embed=True)
    assert module.read_text().endswith("\nqueries: Queries = typed_queries(Queries, __file__, {})\n")
    assert list(load(module).queries) == []


# --- what is missing ---


def test_a_module_that_was_deployed_without_its_sql_says_what_to_do(project: Path, tmp_path: Path) -> None:
    (project / "app/sql").rename(tmp_path / "elsewhere")
    for place in (project, zipped(project, tmp_path / "app.zip")):
        done = run(ELSEWHERE, "-c", program(place, SHOW))
        assert done.returncode == 1
        assert done.stderr.partition("\nSee ")[0].endswith(
            f"{place}/app/sql: there is no such file or folder. The module app.queries reads its SQL from there. "
            "To deploy it without the folder, set embed = true in [tool.rowsmith] and run: rowsmith generate. "
            "Or move the folder into the package, as package data"
        )


def test_a_relative_path_that_leads_nowhere_says_where_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for given in ("sql", Path("sql")):
        with pytest.raises(QueryFileError) as raised:
            load_queries(given)
        assert str(raised.value) == (
            "1 fault in the query files\nsql: there is no such file or folder. A relative path starts at the working "
            f'folder, {tmp_path}. Name the folder independently of it: Path(__file__).parent / "sql", or '
            'importlib.resources.files("app") / "sql" if the package app has it'
        )


def test_links_and_the_working_folder_do_not_matter(
    project: Path, conn: psycopg.Connection[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "app/sql").rename(tmp_path / "real")
    (project / "app/sql").symlink_to(tmp_path / "real")
    (tmp_path / "link").symlink_to(project)
    for folder in (tmp_path, project, Path("/")):
        monkeypatch.chdir(folder)
        module = load(tmp_path / "link/app/queries.py")
        assert module.queries.get_number(conn, number=1) == 1
        location = module.queries.get_number.query.location
        assert (folder / location) == tmp_path / "link/app/sql/users.sql:3"

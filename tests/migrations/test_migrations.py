"""Migrations: yoyo's own commands with an ordinary URL, `apply`, and what our backend does differently."""

# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false

from __future__ import annotations

import os
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from yoyo import read_migrations

from rowsmith import Settings, errors, migrations
from rowsmith.server.programs import find_binaries
from tests.harness.databases import MIGRATIONS, ROOT, settings_for
from tests.harness.waiting import PATIENCE
from tests.migrations.running import Yoyo, write

ALL = sorted(path.stem for path in MIGRATIONS.glob("*.sql") if not path.name.endswith(".rollback.sql"))


@pytest.fixture
def pg_dump(pytestconfig: pytest.Config) -> Path:
    """A pg_dump that is at least as new as the server."""
    return find_binaries(pytestconfig.getoption("--pg-bin")) / "pg_dump"


def dump(pg_dump: Path, url: str) -> list[str]:
    """The schema as SQL, without yoyo's tables and without the random key that pg_dump prints in each run."""
    command = [str(pg_dump), "--schema-only", "--exclude-table=*yoyo*", f"--dbname={url}"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [line for line in text.splitlines() if "restrict" not in line]


def relations(url: str) -> list[str]:
    """Every table, type and function of the schema `public` except yoyo's."""
    with psycopg.connect(url) as conn:
        return [
            name
            for (name,) in conn.execute(
                "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace"
                " UNION ALL SELECT typname FROM pg_type WHERE typnamespace = 'public'::regnamespace"
                " UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
            )
            if "yoyo" not in name
        ]


def test_yoyo_applies_lists_and_rolls_back_from_the_root(yoyo: Yoyo, empty_database_url: str, pg_dump: Path) -> None:
    for arguments in (["list"], ["apply"], ["list"]):
        done = yoyo(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[:2] for line in done.stdout.splitlines()[2:]] == [["A", name] for name in ALL]
    first = dump(pg_dump, empty_database_url)
    assert any("CREATE TABLE public.users" in line for line in first)

    assert yoyo("rollback", "--all").returncode == 0
    assert relations(empty_database_url) == []
    assert yoyo("apply").returncode == 0
    assert dump(pg_dump, empty_database_url) == first


def test_apply_does_what_yoyo_does_and_says_how_far_it_is(empty_database_url: str) -> None:
    settings = settings_for(empty_database_url)
    seen: list[tuple[int, int, str]] = []
    assert migrations.pending(settings, [MIGRATIONS]) == ALL

    def progress(number: int, count: int, name: str) -> None:
        seen.append((number, count, name))

    assert migrations.apply(settings, [MIGRATIONS], progress) == ALL
    assert seen == [(number, len(ALL), name) for number, name in enumerate(ALL, 1)]
    assert migrations.pending(settings, [MIGRATIONS]) == migrations.apply(settings, [MIGRATIONS]) == []


def test_the_migration_role_has_its_own_url(
    yoyo: Yoyo, monkeypatch: pytest.MonkeyPatch, empty_database_url: str
) -> None:
    monkeypatch.setenv("MIGRATION_DATABASE_URL", empty_database_url)
    monkeypatch.setenv("DATABASE_URL", "postgresql://runtime@127.0.0.1:1/none")
    assert yoyo("list").returncode == 0


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (None, "DATABASE_URL is not set"),
        ("mysql://u:hush@h/d", "has the scheme 'mysql'"),
        ("postgresql://u:hush@127.0.0.1:1/d", "cannot connect to d (refused)"),
    ],
)
def test_without_a_database_yoyo_says_so_in_a_line_and_no_traceback(
    yoyo: Yoyo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str | None, message: str
) -> None:
    write(tmp_path, {"yoyo.ini": (ROOT / "yoyo.ini").read_text()})
    if url is None:
        monkeypatch.delenv("DATABASE_URL")
    else:
        monkeypatch.setenv("DATABASE_URL", url)
    done = yoyo("apply", folder=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert "hush" not in done.stderr


def test_a_failed_migration_is_rolled_back_whole_and_named(empty_database_url: str, tmp_path: Path) -> None:
    write(
        tmp_path, {"0001.a.sql": "CREATE TABLE a (x int);", "0002.b.sql": "CREATE TABLE b (x int);\nSELECT nonsense;"}
    )
    settings = settings_for(empty_database_url)
    with pytest.raises(psycopg.errors.UndefinedColumn) as raised:
        migrations.apply(settings, [tmp_path])
    assert "in migration 0002.b, apply (" in raised.value.__notes__[0]
    assert relations(empty_database_url) == ["a", "a", "_a"]
    assert migrations.pending(settings, [tmp_path]) == ["0002.b"]


def test_a_migration_and_its_mark_are_one_transaction(empty_database_url: str, tmp_path: Path) -> None:
    """The mark is refused, as in a crash between the two: then there is no table either."""
    settings = settings_for(empty_database_url)
    write(tmp_path, {"0001.a.sql": "CREATE TABLE a (x int);"})
    migrations.apply(settings, [tmp_path])
    with psycopg.connect(empty_database_url) as conn:
        conn.execute("ALTER TABLE _yoyo_migration ADD CHECK (migration_id <> '0002.b') NOT VALID")
    write(tmp_path, {"0002.b.sql": "CREATE TABLE b (x int);"})
    with pytest.raises(psycopg.errors.CheckViolation):
        migrations.apply(settings, [tmp_path])
    assert "b" not in relations(empty_database_url)


def test_a_rollback_without_a_file_is_refused(yoyo: Yoyo, tmp_path: Path, empty_database_url: str) -> None:
    config = f"[DEFAULT]\ndatabase = rowsmith://env\nsources = {tmp_path}\nbatch_mode = on\n"
    write(tmp_path, {"yoyo.ini": config, "0001.a.sql": "CREATE TABLE a (x int);"})
    assert yoyo("apply", folder=tmp_path).returncode == 0
    done = yoyo("rollback", folder=tmp_path)
    assert done.returncode == 2
    assert "0001.a cannot be rolled back: there is no 0001.a.rollback.sql" in done.stderr
    assert "A " in yoyo("list", folder=tmp_path).stdout
    assert "a" in relations(empty_database_url)


def test_two_runs_at_once_apply_each_migration_once(empty_database_url: str, tmp_path: Path) -> None:
    write(tmp_path, {"0001.a.sql": "CREATE TABLE a (x int); SELECT pg_sleep(0.3);"})
    settings = settings_for(empty_database_url)
    applied: list[list[str]] = []
    runs = [threading.Thread(target=lambda: applied.append(migrations.apply(settings, [tmp_path]))) for _ in range(3)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert sorted(applied) == [[], [], ["0001.a"]]


def test_the_lock_of_a_run_that_was_killed_is_gone(yoyo: Yoyo, tmp_path: Path) -> None:
    config = f"[DEFAULT]\ndatabase = rowsmith://env\nsources = {tmp_path}\nbatch_mode = on\n"
    write(tmp_path, {"yoyo.ini": config, "0001.a.sql": "SELECT pg_sleep(60);"})
    killed = subprocess.Popen([sys.executable, "-m", "yoyo", "apply"], cwd=tmp_path)
    sleeping = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as conn:
        while not conn.execute(f"SELECT 1 {sleeping}".encode()).fetchone():
            assert killed.poll() is None
        killed.kill()
        killed.wait()
        conn.execute(f"SELECT pg_terminate_backend(pid) {sleeping}".encode())
    write(tmp_path, {"0001.a.sql": "CREATE TABLE a (x int);"})
    assert yoyo("apply", folder=tmp_path).returncode == 0


def test_a_lock_that_is_held_too_long_is_an_error_naming_its_holder(empty_database_url: str) -> None:
    held, freed = threading.Event(), threading.Event()
    backend = migrations.open_backend(settings_for(empty_database_url, application_name="the-first"))
    other = migrations.open_backend(settings_for(empty_database_url))

    def hold() -> None:
        with backend, backend.lock():
            held.set()
            freed.wait(PATIENCE)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(PATIENCE)
    with other, pytest.raises(errors.MigrationError, match=r"server process \d+ \(the-first, since"), other.lock(0.1):
        pass
    freed.set()
    thread.join()


def test_indexes_are_built_concurrently_while_another_run_waits(empty_database_url: str, tmp_path: Path) -> None:
    """A run that waited inside the server would make CREATE INDEX CONCURRENTLY wait for it, for ever."""
    write(
        tmp_path,
        {
            "0001.a.sql": "CREATE TABLE a (x int); SELECT pg_sleep(0.3);",
            "0002.i.sql": "-- transactional: false\nCREATE INDEX CONCURRENTLY a_x ON a (x);",
        },
    )
    settings = settings_for(empty_database_url)
    runs = [threading.Thread(target=migrations.apply, args=(settings, [tmp_path])) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join(PATIENCE)
    assert "a_x" in relations(empty_database_url)


def test_every_migration_has_a_rollback_and_depends_on_the_one_before() -> None:
    for before, name in pairwise(ALL):
        assert f"-- depends: {before}" in (MIGRATIONS / f"{name}.sql").read_text()
    assert all((MIGRATIONS / f"{name}.rollback.sql").exists() for name in ALL)


@pytest.mark.parametrize("path", sorted(MIGRATIONS.glob("*.sql")), ids=lambda path: path.name)
def test_a_non_transactional_file_holds_one_statement(path: Path) -> None:
    """One that fails half-way could not be applied again."""
    text = path.read_text()
    if "-- transactional: false" in text:
        code = [line for line in text.splitlines() if not line.startswith("--")]
        assert "".join(code).count(";") == 1


def rolled_back(settings: Settings, folder: Path) -> None:
    """Roll every migration back, as yoyo's own command does it."""
    with migrations.open_backend(settings) as opened, opened.lock():
        backend: Any = opened
        backend.rollback_migrations(backend.to_rollback(read_migrations(str(folder))))


SESSIONS = {
    "as pg_dump writes it": "SELECT pg_catalog.set_config('search_path', '', false);",
    "search_path": "SET search_path = '';",
    "a role": "SET ROLE {role};",
    "another session user": "SET SESSION AUTHORIZATION {role};",
    "read only": "SET default_transaction_read_only = on;",
    "strings": "SET standard_conforming_strings = off;",
}
"""What a migration may do to its session, and that has nothing to do with what rowsmith writes after it."""


@pytest.mark.parametrize("transactional", ["true", "false"])
@pytest.mark.parametrize("state", SESSIONS.values(), ids=SESSIONS)
def test_a_migration_may_leave_its_session_changed(
    empty_database_url: str, tmp_path: Path, state: str, transactional: str
) -> None:
    role = f"rowsmith_{uuid4().hex[:8]}"
    state = f"-- transactional: {transactional}\n{state.format(role=role)}"
    up, down = f"{state}\nSELECT 'up';", f"{state}\nSELECT 'down';"
    write(tmp_path, {"0001.a.sql": up, "0001.a.rollback.sql": down})
    write(tmp_path, {"0002.b.sql": "CREATE TABLE b (x int);", "0002.b.rollback.sql": "DROP TABLE b;"})
    settings = settings_for(empty_database_url)
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        conn.execute(f"CREATE ROLE {role}".encode())
        try:
            assert migrations.apply(settings, [tmp_path]) == ["0001.a", "0002.b"]
            assert migrations.pending(settings, [tmp_path]) == []
            rolled_back(settings, tmp_path)
            assert migrations.apply(settings, [tmp_path]) == ["0001.a", "0002.b"]
        finally:
            conn.execute(f"DROP ROLE {role}".encode())


def test_a_dump_is_a_migration(yoyo: Yoyo, empty_database_url: str, tmp_path: Path, pg_dump: Path) -> None:
    with psycopg.connect(empty_database_url) as conn:
        conn.execute("CREATE TABLE notes (id serial, text text); INSERT INTO notes (text) VALUES ('it''s; one')")
    command = [str(pg_dump), "--inserts", f"--dbname={empty_database_url}"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    dumped = "\n".join(line for line in lines if not line.startswith("\\"))  # psql's own commands
    write(tmp_path, {"0001.a.sql": f"DROP TABLE notes;\n{dumped}", "0002.b.sql": "ALTER TABLE notes ADD y int"})
    done = yoyo("apply", "--batch", "--database=rowsmith://env", str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(" s\n")
    with psycopg.connect(empty_database_url) as conn:
        assert conn.execute("SELECT * FROM notes").fetchall() == [(1, "it's; one", None)]
        assert conn.execute("SELECT nextval('notes_id_seq')").fetchall() == [(2,)]


def test_the_results_of_a_migration_are_not_printed(
    empty_database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    up, down = "CREATE SEQUENCE s;\nSELECT setval('s', 5);", "SELECT 'down'"
    write(tmp_path, {"0001.a.sql": up, "0001.a.rollback.sql": down})
    settings = settings_for(empty_database_url)
    assert migrations.apply(settings, [tmp_path]) == ["0001.a"]
    rolled_back(settings, tmp_path)
    assert migrations.pending(settings, [tmp_path]) == ["0001.a"]
    assert capsys.readouterr() == ("", "")

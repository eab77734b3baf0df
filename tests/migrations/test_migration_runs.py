"""Runs of migrations: one at a time, on connections that may be lost, and what they say."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import TupleRow

from rowsmith import errors, migrations
from rowsmith.migrations import lock
from tests.harness.databases import settings_for
from tests.harness.waiting import PATIENCE, wait_until
from tests.migrations.running import Yoyo, exists, rows, write

GATE = 77
"""An advisory lock that a test holds, and that a migration waits for."""
WAIT = f"SELECT pg_advisory_xact_lock({GATE}), 'hush';"
SHOWN = f"SELECT pg_advisory_xact_lock({GATE}),"
"""What another run says of it: a literal may be a password."""


@pytest.fixture
def gate(empty_database_url: str) -> Iterator[psycopg.Connection[TupleRow]]:
    """A connection that holds GATE."""
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        conn.execute("SELECT pg_advisory_lock(%s)", [GATE])
        yield conn


def release(gate: psycopg.Connection[TupleRow]) -> None:
    gate.execute("SELECT pg_advisory_unlock(%s)", [GATE])


def waits(gate: psycopg.Connection[TupleRow]) -> bool:
    """Whether a session waits for the gate."""
    return bool(gate.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").fetchall())


def end_holder(gate: psycopg.Connection[TupleRow]) -> None:
    """End the session that holds the lock of the run; it has ended then."""
    ended = gate.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory' AND objid::bigint = %s",
        [lock.RUN & 0xFFFFFFFF],
    ).fetchall()
    assert ended == [(True,)]


@contextmanager
def yoyo_apply(folder: Path) -> Generator[subprocess.Popen[str]]:
    """yoyo's command, running."""
    command = [sys.executable, "-m", "yoyo", "apply", "--database=rowsmith://env", "."]
    with subprocess.Popen(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


# --- the lock ---


@pytest.mark.parametrize("transactional", ["true", "false"])
def test_a_run_that_has_lost_its_lock_starts_no_other_migration(
    empty_database_url: str, tmp_path: Path, gate: psycopg.Connection[TupleRow], transactional: str
) -> None:
    directive = f"-- transactional: {transactional}\n"
    write(tmp_path, {"0001.a.sql": f"{directive}{WAIT}", "0002.b.sql": f"{directive}CREATE TABLE b (x int);"})
    settings = settings_for(empty_database_url)

    with ThreadPoolExecutor() as pool:
        first = pool.submit(migrations.apply, settings, [tmp_path])
        wait_until(lambda: waits(gate))
        end_holder(gate)
        second = pool.submit(migrations.apply, settings, [tmp_path])
        wait_until(lambda: session_of_second(gate))
        release(gate)
        with pytest.raises(
            errors.MigrationError, match=r"lock of this migration run is lost.* 0002\.b was not started"
        ):
            first.result(PATIENCE)
        assert second.result(PATIENCE) == ["0002.b"]
    assert rows(empty_database_url, "SELECT migration_id FROM _yoyo_log ORDER BY 1") == [("0001.a",), ("0002.b",)]


def session_of_second(gate: psycopg.Connection[TupleRow]) -> bool:
    """Whether another run has the first lock again."""
    query = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid::bigint = %s"
    return bool(gate.execute(query, [lock.RUN & 0xFFFFFFFF]).fetchall())


def test_the_next_run_waits_for_the_last_statement_of_a_killed_one_and_says_so(
    empty_database_url: str, tmp_path: Path, gate: psycopg.Connection[TupleRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The statement is not transactional: the run that was killed had not recorded it, so it runs again afterwards."""
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    write(tmp_path, {"0001.a.sql": f"-- transactional: false\n{WAIT}"})
    with yoyo_apply(tmp_path) as killed:
        wait_until(lambda: waits(gate))
    with yoyo_apply(tmp_path) as second:
        assert second.stderr is not None
        said = second.stderr.readline()
        assert re.fullmatch(
            r"waiting for the last statement of a migration run that was killed: server process (\d+) "
            rf"\(rowsmith, since \d\d:\d\d:\d\d\), which runs {re.escape(SHOWN)}\. "
            r"To end it: SELECT pg_terminate_backend\(\1\)\n",
            said,
        )
        release(gate)
        output, more = second.communicate(timeout=PATIENCE)
    assert killed.returncode < 0
    assert (second.returncode, more) == (0, "")
    assert re.match(r"applied 0001\.a in \d+\.\d\d s\n1 migration applied in \d+\.\d s\n$", output)


def test_a_run_that_waits_for_another_one_says_so_once(
    empty_database_url: str, tmp_path: Path, gate: psycopg.Connection[TupleRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    write(tmp_path, {"0001.a.sql": WAIT})
    with yoyo_apply(tmp_path) as first:
        wait_until(lambda: waits(gate))
        with yoyo_apply(tmp_path) as second:
            assert second.stderr is not None
            said = second.stderr.readline()
            assert said.startswith("waiting for another migration run: server process ")
            release(gate)
            assert second.communicate(timeout=PATIENCE) == ("nothing to apply\n", "")
        assert first.communicate(timeout=PATIENCE)[1] == ""


def test_an_idle_session_timeout_of_the_server_does_not_count(empty_database_url: str, tmp_path: Path) -> None:
    database = empty_database_url.partition("?")[0].rpartition("/")[2]
    setting = "SELECT current_setting('idle_session_timeout')"
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        conn.execute(f"ALTER DATABASE {database} SET idle_session_timeout = '1h'".encode())
    assert rows(empty_database_url, setting) == [("1h",)]
    with migrations.open_backend(settings_for(empty_database_url)) as backend, backend.lock(), backend.copy() as other:
        backends: list[Any] = [backend, other]  # yoyo has no annotations
        assert [each.connection.execute(setting).fetchall() for each in backends] == [[("0",)], [("0",)]]


# --- indexes ---

BUILD = "-- transactional: false\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS {} ON a (x);"
INVALID = (
    "the index public.{0} is invalid, because a CREATE INDEX CONCURRENTLY has failed. Run it again after\n"
    "    DROP INDEX CONCURRENTLY public.{0}"
)


@pytest.mark.parametrize("name", ["a_x", '"A ""x"', "A_long" + "g" * 70])
def test_an_invalid_index_is_named_and_never_recorded(empty_database_url: str, tmp_path: Path, name: str) -> None:
    settings = settings_for(empty_database_url)
    with psycopg.connect(empty_database_url) as conn:
        conn.execute("CREATE TABLE a (x int); INSERT INTO a VALUES (1), (1)")
    write(tmp_path, {"0001.i.sql": BUILD.format(name)})
    with pytest.raises(psycopg.errors.UniqueViolation) as failed:
        migrations.apply(settings, [tmp_path])
    shown = name if name.startswith('"') else name.lower()[:63]
    assert failed.value.__notes__[0].endswith(f"^\n{INVALID.format(shown)}")

    for text in (BUILD.format(name), f"CREATE INDEX IF NOT EXISTS {name} ON a (x);"):
        write(tmp_path, {"0001.i.sql": text})
        with pytest.raises(errors.MigrationError) as refused:
            migrations.apply(settings, [tmp_path])
        assert str(refused.value) == f"0001.i is not recorded: {INVALID.format(shown)}"
        assert migrations.pending(settings, [tmp_path]) == ["0001.i"]

    write(tmp_path, {"0000.other.sql": "CREATE TABLE other (x int);"})
    assert migrations.pending(settings, [tmp_path]) == ["0000.other", "0001.i"]
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        conn.execute("DELETE FROM a")
        conn.execute(f"DROP INDEX CONCURRENTLY public.{shown}".encode())
    assert migrations.apply(settings, [tmp_path]) == ["0000.other", "0001.i"]


def test_a_file_may_drop_what_an_earlier_run_has_left(empty_database_url: str, tmp_path: Path) -> None:
    settings = settings_for(empty_database_url)
    with psycopg.connect(empty_database_url) as conn:
        conn.execute("CREATE TABLE a (x int); INSERT INTO a VALUES (1), (1)")
    create = BUILD.format("a_x").partition("\n")[2]
    write(tmp_path, {"0001.i.sql": f"-- transactional: false\nDROP INDEX CONCURRENTLY IF EXISTS a_x;\n{create}"})
    for _ in range(2):
        with pytest.raises(psycopg.errors.UniqueViolation):
            migrations.apply(settings, [tmp_path])
    write(tmp_path, {"0000.b.sql": "CREATE TABLE b (x int); CREATE INDEX b_x ON b (x);"})
    with pytest.raises(psycopg.errors.UniqueViolation):
        migrations.apply(settings, [tmp_path])
    assert exists(empty_database_url, "b_x")  # the invalid one was another's
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        conn.execute("DELETE FROM a")
    assert migrations.apply(settings, [tmp_path]) == ["0001.i"]


def test_an_index_on_a_partitioned_table_may_be_invalid(empty_database_url: str, tmp_path: Path) -> None:
    text = "CREATE TABLE p (x int) PARTITION BY LIST (x); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);"
    write(tmp_path, {"0001.p.sql": f"{text} CREATE INDEX p_x ON ONLY p (x);"})
    assert migrations.apply(settings_for(empty_database_url), [tmp_path]) == ["0001.p"]


# --- what a run says ---


def test_every_command_says_what_it_did_and_how_long_it_took(tmp_path: Path, yoyo: Yoyo) -> None:
    write(tmp_path, {"1.a.sql": "CREATE TABLE a (x int);", "2.b.py": "from yoyo import step\nstep('SELECT 1')\n"})
    write(tmp_path, {"1.a.rollback.sql": "DROP TABLE a;"})

    def said(*command: str) -> list[str]:
        done = yoyo(*command, "--database=rowsmith://env", ".", folder=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        return [re.sub(r"\d+\.\d+ s$", "T s", line) for line in done.stdout.splitlines()]

    assert said("apply") == ["applied 1.a in T s", "applied 2.b in T s", "2 migrations applied in T s"]
    assert said("apply") == ["nothing to apply"]
    assert said("rollback", "--all") == ["rolled back 2.b in T s", "rolled back 1.a in T s"]
    assert said("mark") == []
    assert said("apply") == ["nothing to apply"]
    assert said("unmark") == []
    assert said("apply", "--revision", "1.a") == ["applied 1.a in T s", "1 migration applied in T s"]
    assert said("reapply")[:2] == ["rolled back 1.a in T s", "applied 1.a in T s"]
    assert [line.split() for line in said("list")[2:]] == [["A", "1.a", "."], ["U", "2.b", "."]]


def test_a_migration_that_is_not_one_can_be_listed(tmp_path: Path, yoyo: Yoyo) -> None:
    write(tmp_path, {"1.a.sql": "COMMIT;"})
    done = yoyo("list", "--database=rowsmith://env", ".", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[2].split() == ["U", "1.a", "."]

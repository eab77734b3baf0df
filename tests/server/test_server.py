"""The servers that rowsmith starts, and the pytest plugin that provides one for a test session."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

import rowsmith.server.programs
from rowsmith.errors import ServerError
from rowsmith.server.embedded import Server, project_data_folder, temporary_server
from rowsmith.server.programs import find_binaries
from rowsmith.server.scratch import create_database, drop_database, replace_database
from rowsmith.testing import session_server
from tests.harness.waiting import wait_until

QUICK = {"fsync": "off"}
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run PostgreSQL as another user")


@pytest.fixture(scope="module")
def binaries(pytestconfig: pytest.Config) -> Path:
    try:
        return find_binaries(pytestconfig.getoption("--pg-bin"))
    except ServerError as error:
        pytest.skip(str(error))


@pytest.fixture
def place() -> Generator[Path]:
    """A folder that the server's user can enter and write to; tmp_path is private, and root's if we are root."""
    with tempfile.TemporaryDirectory(prefix="rowsmith-test-") as name:
        Path(name).chmod(0o777)
        yield Path(name)


@pytest.fixture
def server(place: Path, binaries: Path) -> Generator[Server]:
    """A server that is not started yet. Nothing runs after the test, whatever it does."""
    server = Server(place / "project" / "data", binaries)
    yield server
    pid = pid_of(server) if server.running else None
    server.stop()
    assert pid is None or not alive(pid)
    assert processes(place) == {}


def pid_of(server: Server) -> int:
    return int((server.data / "postmaster.pid").read_text().split()[0])


def alive(pid: int) -> bool:
    """Whether the process is running. One that has ended, and that nobody has waited for, is not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # macOS has no /proc; on Linux it ended in between
        return not Path("/proc/self").exists()


def processes(folder: Path) -> dict[int, str]:
    """The processes with this folder in their command line."""
    listing = subprocess.run(["ps", "-A", "-ww", "-o", "pid=,args="], capture_output=True, text=True, check=True)
    found = (line.split(maxsplit=1) for line in listing.stdout.splitlines() if str(folder) in line)
    return {int(pid): command for pid, command in found}


def copied(binaries: Path, target: Path) -> Path:
    """The bin folder of a copy of this installation, with the libraries that a wheel keeps next to its package."""
    package = binaries.parents[1]
    for folder in (binaries.parent, Path(f"{package}.libs"), package / ".dylibs"):
        if folder.is_dir():
            shutil.copytree(folder, target / folder.relative_to(package.parent))
    return target / binaries.relative_to(package.parent)


def run(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as conn:
        cursor = conn.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def python(script: str, *arguments: str | Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


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
    assert not alive(pid)
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


def test_two_processes_start_it_at_once_and_it_outlives_them(server: Server) -> None:
    script = """if True:
        import sys; from pathlib import Path; from rowsmith.server.embedded import Server
        Server(Path(sys.argv[1]), Path(sys.argv[2])).start(options={"fsync": "off"})
        print(Path(sys.argv[1], "postmaster.pid").read_text().split()[0])"""
    starters = [python(script, server.data, server.binaries) for _ in range(2)]
    # communicate() returns at the end of the pipe: the server does not keep its starter's output open.
    pids = [starter.communicate(timeout=20)[0].strip() for starter in starters]
    assert [starter.returncode for starter in starters] == [0, 0]
    assert pids == [str(pid_of(server))] * 2
    assert os.getsid(pid_of(server)) != os.getsid(0)
    assert run(server.url(), "SELECT 1") == [(1,)]


def test_data_survives_a_restart(server: Server) -> None:
    server.start(options=QUICK)
    run(server.url(), "CREATE TABLE kept AS SELECT 42 AS answer")
    server.stop()
    server.start(options=QUICK)
    assert run(server.url(), "SELECT answer FROM kept") == [(42,)]


def test_the_pid_file_of_a_killed_server_deceives_nobody(server: Server) -> None:
    server.start(options=QUICK)
    run(server.url(), "CREATE TABLE kept AS SELECT 42 AS answer")
    killed = pid_of(server)
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: not server.running)
    assert pid_of(server) == killed, "the pid file is stale"
    server.stop()
    server.start(options=QUICK)
    assert pid_of(server) != killed
    assert run(server.url(), "SELECT answer FROM kept") == [(42,)]


@pytest.mark.parametrize(
    ("name", "fits"),
    [('it\'s $HOME "2" `id` é; \\n', True), ("a, b", False), ("d" * 100, False)],
    ids=["signs", "comma", "long"],
)
def test_any_path_will_do(place: Path, binaries: Path, name: str, fits: bool) -> None:
    server = Server(place / name / "data", binaries)
    server.start(options=QUICK)
    try:
        assert run(server.url(), "SELECT 1") == [(1,)]
        sockets = Path((server.data / "postmaster.pid").read_text().splitlines()[4])
        assert (sockets == server.data) == fits
        assert sockets.stat().st_mode & 0o777 == 0o700
        assert sockets.stat().st_uid == server.data.stat().st_uid
    finally:
        server.stop()
    assert sockets.exists() == fits
    assert processes(place) == {}


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
        assert time.monotonic() - started < 10


# What is refused


def test_a_folder_that_is_not_postgresql_s_is_left_alone(server: Server) -> None:
    server.data.mkdir(parents=True)
    (server.data / "thesis.txt").write_text("mine")
    with pytest.raises(ServerError, match=r"neither empty nor a PostgreSQL data folder"):
        server.start()
    assert [path.name for path in server.data.iterdir()] == ["thesis.txt"]


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
    monkeypatch.setattr(rowsmith.server.programs, "_WHEEL", "no_such_package")
    with pytest.raises(ServerError, match=r"is not installed\. Run: pip install 'rowsmith\[embedded\]', or give"):
        find_binaries()


def test_the_newest_of_the_wheel_is_taken_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, version in {"pginstall": "9.6.24", "pginstall2": "18.4", "pginstall9": "16.14"}.items():
        folder = tmp_path / "some_wheel" / name / "bin"
        folder.mkdir(parents=True)
        for program in ("initdb", "pg_ctl", "postgres"):
            (folder / program).write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")
            (folder / program).chmod(0o755)
    (tmp_path / "some_wheel" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(rowsmith.server.programs, "_WHEEL", "some_wheel")
    assert find_binaries() == tmp_path / "some_wheel" / "pginstall2" / "bin"


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


# Users


@root_only
def test_an_ordinary_user_runs_it_as_itself(place: Path, binaries: Path) -> None:
    # It becomes the user only after its imports: the interpreter may be in a folder that only root can enter.
    script = """if True:
        import json, os, sys; from pathlib import Path
        from rowsmith.server.programs import find_binaries
        from rowsmith.server.embedded import Server, project_data_folder, temporary_server
        os.setgroups([]); os.setgid(65534); os.setuid(65534)
        server = Server(project_data_folder(Path(sys.argv[1])), find_binaries(sys.argv[2]))
        server.start(options={"fsync": "off"})
        with temporary_server(server.binaries) as temporary:
            assert server.running and temporary.running
        print(json.dumps([str(server.data), server.data.stat().st_uid, oct(server.data.stat().st_mode)]))
        server.stop()"""
    if not all(folder.stat().st_mode & 0o001 for folder in (binaries, *binaries.parents)):
        binaries = copied(binaries, place / "install")
    process = python(script, place, binaries, HOME=str(place), XDG_STATE_HOME="", TMPDIR=str(place))
    data, uid, mode = json.loads(process.communicate(timeout=20)[0])
    assert process.returncode == 0
    assert Path(data).is_relative_to(place / ".local" / "state" / "rowsmith")
    assert (uid, mode) == (65534, "0o40700")
    assert processes(place) == {}


@root_only
def test_root_runs_it_as_another_user(server: Server) -> None:
    server.start(options=QUICK)
    assert server.data.stat().st_uid != 0
    assert server.data.stat().st_mode & 0o777 == 0o700


@root_only
def test_a_data_folder_that_the_server_s_user_cannot_reach(place: Path, binaries: Path) -> None:
    place.chmod(0o700)
    with pytest.raises(ServerError, match=r"(?s)initdb could not create .* as the user .* must be able to enter"):
        Server(place / "data", binaries).start()
    assert list(place.glob("*data*/*")) == []


@root_only
def test_programs_that_only_root_can_reach_are_copied_once(
    place: Path, binaries: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, private = place / "cache", place / "private"
    private.mkdir(mode=0o700)
    programs = copied(binaries, private / "install")
    monkeypatch.setattr(rowsmith.server.programs, "_ROOT_CACHE", cache)

    def running(programs: Path) -> list[str]:
        with temporary_server(programs) as server:
            return list(processes(server.data).values())

    mask = os.umask(0o077)
    try:
        with ThreadPoolExecutor() as pool:
            seen = list(pool.map(running, [programs] * 2))
    finally:
        os.umask(mask)
    (copy,) = cache.iterdir()
    assert all(any(line.startswith(f"{copy}/") for line in lines) for lines in seen)
    assert private.stat().st_mode & 0o777 == 0o700


# Temporary servers


def test_temporary_servers_live_side_by_side_and_leave_nothing(binaries: Path) -> None:
    with temporary_server(binaries) as one, temporary_server(binaries, options={"work_mem": "77MB"}) as two:
        assert one.data != two.data
        assert run(one.url(), "SHOW fsync") == [("off",)]
        assert run(two.url(), "SHOW work_mem") == [("77MB",)]
        left = [(server.data, pid_of(server)) for server in (one, two)]
    for data, pid in left:
        assert not data.parent.exists()
        assert not alive(pid)


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


TEMPORARY = """if True:
    import sys, time; from pathlib import Path; from rowsmith.server.embedded import temporary_server
    with temporary_server(Path(sys.argv[1]), port=0) as server:
        print(Path(server.data, "postmaster.pid").read_text().split()[0], flush=True)
        time.sleep(60)"""


def test_a_temporary_server_ends_with_a_killed_parent(place: Path, binaries: Path) -> None:
    with python(TEMPORARY, binaries, TMPDIR=str(place)) as parent:
        assert parent.stdout is not None
        server = int(parent.stdout.readline())
        (watchdog,) = (pid for pid, command in processes(place).items() if command.startswith("/bin/sh"))
        os.kill(watchdog, signal.SIGTERM)  # as at a logout; it keeps running
        os.killpg(parent.pid, signal.SIGKILL)
    wait_until(lambda: not list(place.iterdir()))
    assert not alive(server)
    wait_until(lambda: processes(place) == {})


def test_a_forked_child_does_not_keep_it(place: Path, binaries: Path) -> None:
    script = """if True:
        import os, sys, time; from pathlib import Path; from rowsmith.server.embedded import temporary_server
        with temporary_server(Path(sys.argv[1])):
            if os.fork() == 0:
                time.sleep(60)
        print("ended", flush=True)"""
    with python(script, binaries, TMPDIR=str(place)) as parent:
        assert parent.stdout is not None
        started = time.monotonic()
        assert parent.stdout.readline() == "ended\n"
        assert time.monotonic() - started < 30
        assert processes(place) == {}
        os.killpg(parent.pid, signal.SIGKILL)


@pytest.mark.parametrize("moment", ["data.new-*/data", "data/server.log"])
def test_a_parent_killed_while_it_starts_leaves_nothing(place: Path, binaries: Path, moment: str) -> None:
    with python(TEMPORARY, binaries, TMPDIR=str(place)) as parent:
        wait_until(lambda: bool(list(place.glob(f"rowsmith-*/{moment}"))), step=0)
        parent.kill()
    wait_until(lambda: not list(place.iterdir()))
    wait_until(lambda: processes(place) == {})


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
        assert str(run(server_url, "SHOW server_version")[0][0]).startswith(given.version)


def test_a_given_url_that_fails_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_DATABASE_URL", "postgresql://u@/x?host=/no/such/folder")
    with pytest.raises(ServerError, match="TEST_DATABASE_URL is set, but connecting failed"), session_server():
        pass


def test_a_role_that_may_not_create_databases_is_refused(server_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    role = f"limited_{os.getpid()}"
    run(server_url, f"CREATE ROLE {role} LOGIN PASSWORD 'p'")
    try:
        monkeypatch.setenv("TEST_DATABASE_URL", server_url.replace("postgres@", f"{role}:p@"))
        with pytest.raises(ServerError, match=f"ALTER ROLE {role} CREATEDB"), session_server():
            pass
    finally:
        run(server_url, f"DROP ROLE {role}")


def nested_pytest(place: Path, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the tests in this folder with the plugin, in a new process."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "TEST_DATABASE"))}
    command = [sys.executable, "-m", "pytest", "-p", "rowsmith.testing", "-p", "no:cacheprovider", "-W", "error"]
    return subprocess.run(
        [*command, "--rootdir", place, *arguments, place],
        env=kept | {"TMPDIR": str(place)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_workers_share_one_server_and_nothing_stays(place: Path, binaries: Path) -> None:
    (place / "test_it.py").write_text(
        """if True:
        import psycopg, pytest
        @pytest.mark.parametrize("number", range(4))
        def test_it(server_url, worker_id, number):
            with psycopg.connect(server_url) as conn:
                print(f"<{worker_id} {conn.execute('SELECT pg_postmaster_start_time()').fetchone()[0]}>")
        """
    )
    shared = nested_pytest(place, "-n", "2", "-rP", "--pg-bin", binaries)
    assert shared.returncode == 0
    assert f"(--pg-bin {binaries})" in shared.stdout
    seen = {line.strip("<>") for line in shared.stdout.splitlines() if line.startswith("<gw")}
    assert {line[:3] for line in seen} == {"gw0", "gw1"}
    assert len({line[4:] for line in seen}) == 1
    assert not list(place.glob("rowsmith*"))
    assert processes(place / "rowsmith") == {}
    assert nested_pytest(place, "--collect-only", "--pg-bin", "/no/such/folder").returncode == 0


def test_without_any_server_each_rung_is_explained(place: Path) -> None:
    (place / "conftest.py").write_text("from rowsmith.server import programs; programs._WHEEL = 'no_such_package'")
    result = nested_pytest(place, DOCKER_HOST=f"unix://{place}/no.sock")
    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert "Traceback" not in result.stderr
    lines = [line.strip() for line in result.stderr.splitlines() if line]
    assert lines[0].startswith("ERROR: No PostgreSQL for the tests. Provide any one of these:")
    for number, rung in enumerate(
        ("TEST_DATABASE_URL: not set", "--pg-bin DIR", "embedded wheel", "testcontainers"), 1
    ):
        assert lines[number].startswith(f"{number}. {rung}")
    assert "pip install 'rowsmith[embedded]'" in lines[3]

"""Servers that rowsmith starts: whose processes they are, and that none is left when their parent is killed."""

from __future__ import annotations

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import rowsmith.server.programs
from rowsmith.errors import ServerError
from rowsmith.server.embedded import Server, temporary_server
from tests.harness.local_servers import QUICK, alive, copied, pid_of, processes, python, run
from tests.harness.waiting import PATIENCE, wait_until

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run PostgreSQL as another user")


def test_two_processes_start_it_at_once_and_it_outlives_them(server: Server) -> None:
    script = """if True:
        import sys; from pathlib import Path; from rowsmith.server.embedded import Server
        Server(Path(sys.argv[1]), Path(sys.argv[2])).start(options={"fsync": "off"})
        print(Path(sys.argv[1], "postmaster.pid").read_text().split()[0])"""
    starters = [python(script, server.data, server.binaries) for _ in range(2)]
    # communicate() returns at the end of the pipe: the server does not keep its starter's output open.
    pids = [starter.communicate(timeout=PATIENCE)[0].strip() for starter in starters]
    assert [starter.returncode for starter in starters] == [0, 0]
    assert pids == [str(pid_of(server))] * 2
    assert os.getsid(pid_of(server)) != os.getsid(0)
    assert run(server.url(), "SELECT 1") == [(1,)]


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
    wait_until(lambda: processes(place) == {})


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
    data, uid, mode = json.loads(process.communicate(timeout=PATIENCE)[0])
    assert process.returncode == 0
    assert Path(data).is_relative_to(place / ".local" / "state" / "rowsmith")
    assert (uid, mode) == (65534, "0o40700")
    wait_until(lambda: processes(place) == {})


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


def test_temporary_servers_live_side_by_side_and_leave_nothing(binaries: Path) -> None:
    with temporary_server(binaries) as one, temporary_server(binaries, options={"work_mem": "77MB"}) as two:
        assert one.data != two.data
        assert run(one.url(), "SHOW fsync") == [("off",)]
        assert run(two.url(), "SHOW work_mem") == [("77MB",)]
        left = [(server.data, pid_of(server)) for server in (one, two)]
    assert not any(data.parent.exists() for data, _ in left)
    wait_until(lambda: not any(alive(pid) for _, pid in left))


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
    wait_until(lambda: not alive(server))
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
        wait_until(lambda: processes(place) == {})
        os.killpg(parent.pid, signal.SIGKILL)


@pytest.mark.parametrize("moment", ["data.new-*/data", "data/server.log"])
def test_a_parent_killed_while_it_starts_leaves_nothing(place: Path, binaries: Path, moment: str) -> None:
    with python(TEMPORARY, binaries, TMPDIR=str(place)) as parent:
        wait_until(lambda: bool(list(place.glob(f"rowsmith-*/{moment}"))), step=0)
        parent.kill()
    wait_until(lambda: not list(place.iterdir()))
    wait_until(lambda: processes(place) == {})

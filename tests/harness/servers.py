"""A server that tests stop, kill and start again, on the same port and the same data.

What it has said is committed survives a crash of its processes: `synchronous_commit` is on. Only `fsync` is off, which
guards against the crash of a machine.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

from rowsmith.server.embedded import Server, temporary_server
from rowsmith.server.programs import account_for, find_binaries, run, usable
from tests.harness.waiting import PATIENCE, wait_until

MAX_CONNECTIONS = 20
_OPTIONS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "on",
    "max_connections": str(MAX_CONNECTIONS),
    "restart_after_crash": "on",
    "shared_buffers": "16MB",
}


class FaultyServer:
    """A server of the tests' own, on a TCP port that stays the same."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.url = server.tcp_url()
        self.socket_url = server.url()
        self.data = server.data
        self._port = int(self.url.rpartition(":")[2].partition("/")[0])

    def stop(self) -> None:
        """Stop it as an administrator does: sessions are ended with 57P01."""
        self._server.stop()

    def start(self) -> None:
        self._server.start(self._port, _OPTIONS)

    def ensure_running(self) -> None:
        """Whatever a test has done to it."""
        self.start()
        wait_until(self.answers)

    def kill(self) -> None:
        """Kill the postmaster with SIGKILL; its children see that and leave, committing nothing more."""
        pid = int((self.data / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not self._server.running)

    def kill_backend(self, pid: int) -> None:
        """Kill one session's process with SIGKILL: the postmaster ends all others (57P02), recovers, and goes on."""
        os.kill(pid, signal.SIGKILL)

    def answers(self) -> bool:
        """Whether a session can be had, by a client that has nothing to do with the library."""
        with suppress(psycopg.OperationalError), psycopg.connect(self.url, connect_timeout=2):
            return True
        return False


class Return(threading.Thread):
    """Watches for the server's return; `at` is the time, on the monotonic clock, of the first session."""

    def __init__(self, server: FaultyServer) -> None:
        super().__init__(name="return", daemon=True)
        self._server = server
        self._at = 0.0
        self.start()

    def run(self) -> None:
        deadline = time.monotonic() + 30
        while not self._at and time.monotonic() < deadline:
            if self._server.answers():
                self._at = time.monotonic()
            time.sleep(0.005)

    @property
    def at(self) -> float:
        self.join(PATIENCE)
        assert self._at, "the server did not return"
        return self._at


@contextmanager
def faulty_server(pg_bin: str | Path | None = None) -> Generator[FaultyServer]:
    """A server in a temporary folder, gone at the end of the block."""
    with temporary_server(find_binaries(pg_bin), port=0, options=_OPTIONS) as server:
        faulty = FaultyServer(server)
        yield faulty


@contextmanager
def standby_of(primary: FaultyServer, pg_bin: str | Path | None = None) -> Generator[FaultyServer]:
    """A standby of a server, to which it replicates synchronously, so that a failover loses nothing."""
    binaries, data = find_binaries(pg_bin), primary.data.parent / "standby"
    account = account_for(primary.data)
    program = usable(binaries, account) / "pg_basebackup"
    command: list[str | Path] = [program, "-D", data, "-d", primary.socket_url, "-R", "-c", "fast", "--no-sync"]
    result = run(command, account, seconds=60)
    assert result.returncode == 0, result.stdout
    server = Server(data, binaries)
    server.start(0, {**_OPTIONS, "hot_standby": "on"})
    try:
        yield FaultyServer(server)
    finally:
        server.stop()

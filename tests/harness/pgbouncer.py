"""A PgBouncer in transaction mode, in front of the server of the tests.

As a pytest plugin it adds `--pgbouncer`: the databases of the fixtures are then reached through one, DB_PGBOUNCER is
true, and a test that is marked `not_pooled` is skipped with the reason that the mark gives. PgBouncer refuses to run as
root: for root it runs as the user that PostgreSQL runs as.

Sources: the manual of PgBouncer, "Configuration" (pgbouncer.ini) and "Usage" (the admin console).
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from rowsmith.server.programs import account_for, environment, give
from rowsmith.server.scratch import replace_database

SERVERS = 5
"""The server connections of each database: the most that one test holds at once, and one to look on."""
LOOPBACK = "127.0.0.1"
_CONSOLE = "pgbouncer"
_SECONDS = 10
PREPARES_SINCE = (1, 21)
"""From this version on it knows max_prepared_statements, and follows prepared statements from server to server."""
# Its standard input is a pipe from the tests: it goes on when they have died, however that was.
_WATCHDOG = 'read -r _; kill -9 "$1" 2>/dev/null'


@dataclass(frozen=True)
class PgBouncer:
    """A PgBouncer that runs."""

    console: str
    """The URL of its admin console. As all its URLs it holds a password."""
    upstream: str
    """The URL of the server behind it."""
    servers: int
    """The server connections that it opens to each database, at most."""
    prepared: int
    """How many prepared statements it follows from one server connection to another; 0: none."""

    def url(self, database_url: str) -> str:
        """The URL of the same database, through PgBouncer."""
        return replace_database(self.console, str(conninfo_to_dict(database_url)["dbname"]))

    def direct(self, pooled_url: str) -> str:
        """The URL of the same database, past PgBouncer."""
        return replace_database(self.upstream, str(conninfo_to_dict(pooled_url)["dbname"]))

    def warm(self, url: str) -> None:
        """Open all server connections to a database: from then on each transaction runs on another than the last."""
        with ExitStack() as stack:
            for _ in range(self.servers):
                conn = stack.enter_context(psycopg.connect(url))
                conn.execute("SELECT 1")  # each holds its transaction, and with that a server connection


def administer(url: str, command: str) -> list[dict[str, Any]]:
    """Run a command, such as SHOW CLIENTS, on the admin console of the PgBouncer that a URL leads to."""
    with psycopg.connect(replace_database(url, _CONSOLE), autocommit=True) as conn:
        cursor = conn.cursor(row_factory=dict_row).execute(command.encode())
        return cursor.fetchall() if cursor.description else []


def clients(url: str) -> int:
    """How many clients are connected to a database through PgBouncer."""
    name = conninfo_to_dict(url)["dbname"]
    return sum(client["database"] == name for client in administer(url, "SHOW CLIENTS"))


def find_program(given: str | None = None) -> Path | None:
    """PgBouncer's program: the one that is given, else the system's; None where there is none."""
    # Debian has it in /usr/sbin, which is not on everybody's path.
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"
    found = shutil.which(given or "pgbouncer", path=path)
    return None if found is None else Path(found)


def version(program: Path) -> tuple[int, ...]:
    """As PgBouncer says it: (1, 18, 0)."""
    said = subprocess.run([program, "--version"], capture_output=True, check=True, text=True).stdout
    number = re.search(r"PgBouncer (\d+)\.(\d+)\.(\d+)", said)
    assert number, said
    return tuple(map(int, number.groups()))


@contextmanager
def pgbouncer(
    program: Path, upstream: str, *, servers: int = SERVERS, prepared: int = 0, **others: int
) -> Generator[PgBouncer]:
    """Run a PgBouncer for a block, on a free port of 127.0.0.1, in front of the server of a URL.

    `servers` is its default_pool_size, `prepared` its max_prepared_statements; `others` are settings by their own
    names. It is killed at the end of the block, or when this process has died.
    """
    account = account_for()
    where = conninfo_to_dict(upstream)
    user, password = str(where["user"]), str(where.get("password") or secrets.token_urlsafe(12))
    folder = Path(tempfile.mkdtemp(prefix="rowsmith-pgbouncer-"))
    try:
        port = _free_port()
        console = f"postgresql://{quote(user, safe='')}:{quote(password, safe='')}@{LOOPBACK}:{port}/{_CONSOLE}"
        bouncer = PgBouncer(f"{console}?sslmode=disable&gssencmode=disable", upstream, servers, prepared)
        users, ini, log = folder / "users.txt", folder / "pgbouncer.ini", folder / "log"
        users.write_text(f'"{user}" "{password}"\n')
        settings: dict[str, object] = {"listen_port": port, "auth_file": users, "auth_user": user, "admin_users": user}
        settings |= {"default_pool_size": servers, **others}
        if version(program) >= PREPARES_SINCE:
            settings["max_prepared_statements"] = prepared
        ini.write_text(_configuration(where, settings))
        give(account, folder, users, ini)
        with (
            log.open("wb") as output,
            subprocess.Popen(
                [program, ini],
                cwd="/",
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C in the terminal is for the tests, which end it
                user=account.uid,
                group=account.gid,
                extra_groups=account.groups,
            ) as process,
            subprocess.Popen(
                ["/bin/sh", "-c", _WATCHDOG, "sh", str(process.pid)], stdin=subprocess.PIPE, start_new_session=True
            ),
        ):
            try:
                _wait_until_ready(bouncer, process, log)
                yield bouncer
            finally:
                process.kill()
    finally:
        shutil.rmtree(folder)


def _configuration(where: Mapping[str, object], settings: Mapping[str, object]) -> str:
    server = {"host": where.get("host") or "localhost", "port": where.get("port") or 5432}
    target = " ".join(f"{name}='{value}'" for name, value in server.items())
    settings = {
        "listen_addr": LOOPBACK,
        "unix_socket_dir": "",
        "pool_mode": "transaction",
        "auth_type": "scram-sha-256",
        # The server connection that was idle for the longest time comes next, where the default takes the last one
        # again: so state that is left in a session is not met by the same client, but by another.
        "server_round_robin": 1,
        "max_client_conn": 1000,
        "query_wait_timeout": _SECONDS,
        "server_login_retry": 1,
        **settings,
    }
    lines = [f"{name} = {value}" for name, value in settings.items()]
    return "\n".join(["[databases]", f"* = {target}", "[pgbouncer]", *lines, ""])


def _wait_until_ready(bouncer: PgBouncer, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _SECONDS
    while True:
        try:
            administer(bouncer.console, "SHOW VERSION")
        except psycopg.OperationalError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PgBouncer did not start: {error}\n{log.read_text()}") from error
            time.sleep(0.01)
        else:
            return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


# --- for tests that run with and without it ---


cancels_and_leaves = pytest.mark.not_pooled(
    "it can end when a client leaves while its cancellation is under way (PgBouncer's issues 801 and 822)",
    before=(1, 21),
)
"""Seen with Debian 12's 1.18; the last report is of 1.19.1."""


def is_between() -> bool:
    """Whether the databases of the fixtures are reached through a PgBouncer."""
    return os.environ.get("DB_PGBOUNCER") == "true"


def prepare_threshold() -> int | None:
    """psycopg's argument of that name, for a test that connects by itself: behind a pooler nothing is prepared."""
    return None if is_between() else 5


def connected(url: str) -> int:
    """How many are connected to a database, besides the one that asks."""
    if is_between():
        return clients(url)
    with psycopg.connect(url, autocommit=True) as conn:
        others = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        return conn.execute(others.encode()).rowcount


def renew_sessions(url: str) -> None:
    """Let a new connection have a new session, with what has become the default of its database."""
    if is_between():
        administer(url, "RECONNECT")


# --- the plugin ---


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --pgbouncer."""
    group = parser.getgroup("rowsmith")
    group.addoption("--pgbouncer", action="store_true", help="run the tests through a PgBouncer in transaction mode")


def pytest_configure(config: pytest.Config) -> None:
    """Make the settings of the tests those of a program behind a transaction pooler, where that was asked for."""
    config.addinivalue_line(
        "markers", "not_pooled(reason, before=None): cannot pass behind a PgBouncer, or behind one before that version"
    )
    if config.getoption("--pgbouncer"):
        if find_program() is None:
            raise pytest.UsageError("--pgbouncer: no such program. Install it (Debian: apt-get install pgbouncer)")
        os.environ["DB_PGBOUNCER"] = "true"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what cannot pass behind a transaction pooler."""
    mark, program = item.get_closest_marker("not_pooled"), find_program()
    if mark is None or program is None or not item.config.getoption("--pgbouncer"):
        return
    before: tuple[int, ...] | None = mark.kwargs.get("before")
    if before is None or version(program) < before:
        pytest.skip(f"behind PgBouncer: {mark.args[0]}")


@pytest.fixture(scope="session")
def pooled(pytestconfig: pytest.Config, server_url: str) -> Iterator[Callable[[str], str]]:
    """From a database's URL to that by which the tests reach it: the same one or, with --pgbouncer, through that."""
    program = find_program()
    if program is None or not pytestconfig.getoption("--pgbouncer"):
        yield lambda url: url
        return
    with pgbouncer(program, server_url) as bouncer:

        def through(url: str) -> str:
            bouncer.warm(bouncer.url(url))
            return bouncer.url(url)

        yield through

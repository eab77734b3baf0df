"""The embedded PostgreSQL server: for development, for the demo, for tests and for `rowsmith generate`.

It is run by PostgreSQL's own programs (`programs`) and identified by its data folder alone. Everything else (whether it
is running, its socket, its port) is read from that folder, so that every process finds the same. The server listens on
a Unix socket that only its own user can open, and on 127.0.0.1 if a port is requested; on no other address.

Sources: the PostgreSQL manual, "Creating a Database Cluster", "Starting the Database Server", pg_ctl, initdb.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shlex
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import psycopg

from rowsmith.errors import ServerError
from rowsmith.server import programs
from rowsmith.server.programs import Account, as_account, run, usable

if sys.platform != "win32":  # importing this module works everywhere; using it on Windows raises ServerError
    import fcntl

_START_SECONDS = 30
_INITDB_SECONDS = 120
_LOG = "server.log"
_PASSWORD = "rowsmith.password"  # noqa: S105 - the name of a file
# sun_path holds 104 bytes on macOS and 108 on Linux, the closing NUL included (unix(4), unix(7)).
_SOCKET_PATH_BYTES = 103
_ROOT_STATE = Path("/var/lib/rowsmith")
_SHORT_FOLDER = Path("/tmp")  # noqa: S108 - for sockets: TMPDIR may be as long as the path that did not fit
_MEMORY = Path("/dev/shm")  # noqa: S108 - Linux's file system in memory; folders in it are made by mkdtemp
_PLENTY_BYTES = 2 * 2**30
_SOCKET_ONLY_PORT = 5432  # without TCP it is only part of the name of the socket
_BUILTIN_LOCALE_SINCE = (17, 0)
DISPOSABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_wal_size": "256MB"}
"""The options of a server whose data nobody needs after a crash of the machine."""
# Worth another try: a killed server is not quite gone, because its children are still ending, or because nobody has
# waited for it yet and its process id still exists. Or another program has taken the port that was free a moment ago.
_PASSING_FAULTS = ("pre-existing shared memory block", 'lock file "postmaster.pid" already exists')
_PORT_TAKEN = "could not create any TCP/IP sockets"
# Its standard input is a pipe from its owner: it acts on a line, or when the owner has died. It takes more than one
# round if an initdb or a start was running at that moment, and is still writing to the folder.
_WATCHDOG = """
trap '' HUP INT TERM
read -r _
for _ in 1 2 3 4 5 6 7 8 9 10; do
    "$1" stop -s -w -m immediate -D "$2/data"
    rm -rf "$2" "$3"
    [ -e "$2" ] || exit 0
    sleep 0.2
done
"""


class _Postmaster(NamedTuple):
    """What a running server writes to its postmaster.pid (manual, "Database File Layout")."""

    port: int
    socket_folder: str
    address: str
    ready: bool


def project_data_folder(project: Path) -> Path:
    """Where the development server of the project in this folder keeps its data. Creates nothing.

    It is below XDG_STATE_HOME (default ~/.local/state); for root below /var/lib, which the server's user can enter.
    """
    project = project.resolve()
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", project.name)[:40] or "project"
    state = _ROOT_STATE
    if os.geteuid() != 0:
        given = Path(os.environ.get("XDG_STATE_HOME", ""))
        # The XDG base directory specification says to ignore a relative path.
        state = (given if given.is_absolute() else Path.home() / ".local" / "state") / "rowsmith"
    return state / f"{name}-{hashlib.sha256(os.fsencode(project)).hexdigest()[:10]}" / "data"


def kept_data_folder(development: Path, binaries: Path) -> Path:
    """Where the server that is kept for the tests of a project has its data: next to that of its development server."""
    return development.with_name(f"tests-{programs.version(binaries)[0]}")


class Server:
    """The PostgreSQL server on a data folder, run with the programs in a bin folder.

    Its superuser is `postgres`, who needs no password on the socket, and a generated one (SCRAM) on TCP.
    """

    def __init__(self, data: Path, binaries: Path) -> None:
        self.data, self.binaries = data.absolute(), binaries
        self._account = programs.account_for(self.data)

    def start(self, port: int | None = None, options: Mapping[str, str] | None = None) -> None:
        """Start the server, with new data if there is none, and wait up to 30 seconds until it accepts connections.

        It outlives this process. A server that is already running is left as it is, whatever its options. With a
        `port` (0: any free one) it also listens on 127.0.0.1. `options` are settings of postgresql.conf; those about
        where the server listens are ignored.

        Raises ServerError if it does not start, with the end of its log; if the data folder is not PostgreSQL's, or of
        another major version; if it is already running without that port.
        """
        with self._locked():
            running = self._postmaster()
            if running is None:
                self._launch(port, dict(options or {}))
            elif port is None or (running.address and port in {0, running.port}):
                self._wait_until_ready()
            else:
                where = f"on port {running.port}" if running.address else "on its socket only"
                raise ServerError(
                    f"The server in {self.data} is already running and listens {where}, not on port {port or '(any)'}. "
                    "Stop it first, then start it with the port."
                )

    def stop(self) -> None:
        """Stop the server if it is running, rolling back open transactions ("fast"), and wait until it has ended.

        Raises ServerError if it is still running after 30 seconds.
        """
        if not self.data.parent.is_dir():
            return
        with self._locked():
            if self._postmaster() is None:
                return
            result = self._pg_ctl("stop", "-m", "fast")
            if result.returncode != 0:
                raise ServerError(f"The server in {self.data} did not stop: {result.stdout.strip()}")
            if (folder := _socket_folder(self.data)) != self.data:
                with suppress(OSError):  # it is gone already, or in use
                    folder.rmdir()

    @property
    def running(self) -> bool:
        """Whether the server is running: its socket accepts connections. A pid file left by a crash does not count."""
        return self._postmaster() is not None

    def url(self, database: str = "postgres") -> str:
        """The URL of a database, over the socket. Raises ServerError if the server is not running."""
        running = self._require_running()
        port = "" if running.port == _SOCKET_ONLY_PORT else f"&port={running.port}"
        host = quote(os.fsencode(running.socket_folder), safe="")
        return f"postgresql://postgres@/{quote(database, safe='')}?host={host}{port}"

    def tcp_url(self, database: str = "postgres") -> str:
        """The URL of a database, over TCP with the password. Raises ServerError if the server has no TCP port."""
        running = self._require_running()
        if not running.address:
            raise ServerError(
                f"The server in {self.data} listens on its socket only. Stop it, then start it with a port."
            )
        try:
            password = (self.data / _PASSWORD).read_text().strip()
        except FileNotFoundError as error:
            raise ServerError(f"{self.data} was not created by rowsmith: there is no {_PASSWORD} in it.") from error
        return f"postgresql://postgres:{password}@127.0.0.1:{running.port}/{quote(database, safe='')}"

    def _postmaster(self) -> _Postmaster | None:
        """What the running server says about itself; None if none is running."""
        try:
            lines = (self.data / "postmaster.pid").read_text(errors="replace").splitlines()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except PermissionError as error:
            raise ServerError(f"{self.data} belongs to another user: {error}") from error
        _pid, _data, _started, port, folder, address, *rest = [*lines, "", "", "", "", "", ""]
        if not all(re.fullmatch(r"\s*-?[0-9]+\s*", line) for line in (*lines[:1], *lines[2:4])):
            raise ServerError(
                f"{self.data / 'postmaster.pid'} is not what PostgreSQL writes there (its process id, the data folder, "
                "the time, the port). Make sure that no server runs in this folder, then remove the file."
            )
        if not folder:  # written last: the server is not listening yet, or never did
            return None
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1)
            try:
                probe.connect(str(Path(folder, f".s.PGSQL.{port}")))
            except (FileNotFoundError, ConnectionRefusedError):
                return None
            except (BlockingIOError, TimeoutError):
                pass  # a busy server, whose queue is full
        ready = len(rest) > 1 and rest[1].strip() == "ready"
        return _Postmaster(int(port), folder, address.strip(), ready)

    def _require_running(self) -> _Postmaster:
        running = self._postmaster()
        if running is None:
            raise ServerError(f"No server is running in {self.data}. Start it first: rowsmith server start")
        return running

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self._require_running().ready:
            if time.monotonic() > deadline:
                raise ServerError(
                    f"The server in {self.data} is running, but did not accept connections within {_START_SECONDS} s. "
                    "It may be recovering from a crash. The end of its log:\n" + "\n".join(self._log()[-20:])
                )
            time.sleep(0.05)

    @contextmanager
    def _locked(self) -> Generator[None]:
        """Let one process at a time start or stop this server. The kernel releases the lock of a process that dies."""
        try:
            programs.make_folder(self.data.parent)
            path = self.data.with_name(f"{self.data.name}.lock")
            with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)) as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise ServerError(f"Cannot use the data folder {self.data}: {error}") from error

    def _has_data(self) -> bool:
        """Whether the folder contains data for these programs; False for a new or empty one."""
        version_file = self.data / "PG_VERSION"
        if not version_file.is_file():
            if self.data.exists() and (not self.data.is_dir() or any(self.data.iterdir())):
                raise ServerError(
                    f"{self.data} is neither empty nor a PostgreSQL data folder (no PG_VERSION). Choose another folder."
                )
            return False
        found, expected = version_file.read_text().strip(), str(programs.version(self.binaries)[0])
        if found != expected:
            raise ServerError(
                f"{self.data} holds data of PostgreSQL {found}, but {self.binaries} is PostgreSQL {expected}. Use the "
                f"programs of version {found}, or move the folder away to start with an empty one."
            )
        return True

    def _create_data(self, *, durable: bool) -> None:
        """Run initdb next to the data folder and move the result there, so that it is complete or not there at all."""
        with tempfile.TemporaryDirectory(dir=self.data.parent, prefix=f"{self.data.name}.new-") as name:
            staged, password = Path(name, "data"), Path(name, "password")
            password.touch(mode=0o600)
            password.write_text(secrets.token_urlsafe(24))
            programs.give(self._account, password, Path(name))
            locale = ["--encoding=UTF8", "--locale=C"]
            if programs.version(self.binaries) >= _BUILTIN_LOCALE_SINCE:
                locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
            elif sys.platform == "linux":  # macOS has no C.UTF-8
                locale.append("--lc-ctype=C.UTF-8")
            initdb = usable(self.binaries, self._account) / "initdb"
            command: list[str | Path] = [
                *(initdb, "-D", staged, "-U", "postgres", f"--pwfile={password}"),
                *("--auth-local=trust", "--auth-host=scram-sha-256", "--no-instructions", *locale),
                *([] if durable else ["--no-sync"]),
            ]
            result = run(command, self._account, seconds=_INITDB_SECONDS)
            if result.returncode != 0:
                who = as_account(self._account)
                raise ServerError(f"initdb could not create the data folder {self.data}{who}:\n{result.stdout}")
            password.rename(staged / _PASSWORD)
            staged.rename(self.data)

    def _launch(self, port: int | None, options: dict[str, str]) -> None:
        """Start postgres with pg_ctl, which detaches it from our terminal; on new data if there is none."""
        if not self._has_data():
            self._create_data(durable=options.get("fsync") != "off")
        if (folder := _socket_folder(self.data)) != self.data:
            _private_folder(folder, self._account)
        options |= {"listen_addresses": "" if port is None else "127.0.0.1", "unix_socket_directories": str(folder)}
        deadline = time.monotonic() + _START_SECONDS
        while True:
            options["port"] = str(_SOCKET_ONLY_PORT if port is None else port or _free_port())
            arguments = ["-D", str(self.data), *(f"--{name}={value}" for name, value in options.items())]
            written = len(self._log())
            result = self._pg_ctl("start", "-l", _LOG, "-o", shlex.join(arguments))
            if result.returncode == 0:
                return
            log = "\n".join(self._log()[written:][-20:])
            passing = any(fault in log for fault in _PASSING_FAULTS) or (port == 0 and _PORT_TAKEN in log)
            if not passing or time.monotonic() > deadline:
                raise ServerError(
                    f"The server in {self.data} did not start{as_account(self._account)}. "
                    f"The end of its log, {self.data / _LOG}:\n{log or result.stdout.strip()}"
                )
            time.sleep(0.2)

    def _pg_ctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run pg_ctl and wait for the outcome."""
        # The folder is passed as PGDATA and as the working folder: pg_ctl does not quote -D and -l in a shell command.
        program = usable(self.binaries, self._account) / "pg_ctl"
        command: list[str | Path] = [program, *arguments, "-w", "-t", str(_START_SECONDS)]
        return run(command, self._account, seconds=_START_SECONDS + 15, folder=self.data)

    def _log(self) -> list[str]:
        log = self.data / _LOG
        return log.read_text(errors="replace").splitlines() if log.exists() else []


@contextmanager
def temporary_server(
    binaries: Path, *, port: int | None = None, options: Mapping[str, str] | None = None, start: bool = True
) -> Generator[Server]:
    """A server on new data in a temporary folder, for tests: fast, not crash-safe, removed at the end of the block.

    It is also removed if this process dies, even by SIGKILL. Any number can run at once. The folder is in memory if
    enough is free (on Linux, 2 GiB); for much data, set TMPDIR to a folder on a disk. `port` and `options` are those of
    Server.start, which says what is raised. Without `start`, the block or another process is to start it, with the
    options DISPOSABLE.
    """
    account = programs.account_for()
    folder = Path(tempfile.mkdtemp(prefix="rowsmith-", dir=_temporary_root(account)))
    programs.give(account, folder)
    server = Server(folder / "data", binaries)
    program = usable(binaries, account) / "pg_ctl"
    with subprocess.Popen(
        ["/bin/sh", "-c", _WATCHDOG, "sh", program, folder, _socket_folder(server.data)],
        cwd="/",
        env=programs.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C in the terminal must not reach it
        user=account.uid,
        group=account.gid,
        extra_groups=account.groups,
    ) as watchdog:
        try:
            if start:
                server.start(port, DISPOSABLE | dict(options or {}))
            yield server
        finally:
            if watchdog.stdin is not None:
                # Closing the pipe, as Popen does next, is not enough while a forked child has it open.
                with suppress(BrokenPipeError):
                    os.write(watchdog.stdin.fileno(), b"\n")
    if folder.exists():
        raise ServerError(
            f"The temporary server in {folder} could not be removed. Stop what is using it, then remove the folder."
        )


def extension_hint(error: psycopg.Error) -> str | None:
    """What to do about an extension that the embedded server comes without; None for any other error."""
    # The server speaks English (programs.environment), whatever the user's language is.
    extension = (error.diag.message_primary or "").removesuffix(" is not available")
    if error.sqlstate != "0A000" or not extension.startswith('extension "'):
        return None
    builtin = " gen_random_uuid() needs no extension." if extension.endswith(('"uuid-ossp"', '"pgcrypto"')) else ""
    return (
        "The embedded PostgreSQL comes without it. Use one that has it: in [tool.rowsmith], the URL of a server as "
        f"`database-url` (it may be in a container), or the bin folder of an installed one as `pg-bin`.{builtin}"
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _socket_folder(data: Path) -> Path:
    """The data folder, or a short one derived from its path if that is too long for a socket or contains a comma."""
    # libpq and unix_socket_directories take a comma as the end of the first of several folders.
    if len(os.fsencode(data / ".s.PGSQL.65535")) <= _SOCKET_PATH_BYTES and "," not in str(data):
        return data
    return _SHORT_FOLDER / f"rowsmith-{hashlib.sha256(os.fsencode(data)).hexdigest()[:16]}"


def _private_folder(folder: Path, account: Account) -> None:
    """Create a folder in a shared place. Raises ServerError if somebody else has put one there."""
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        programs.give(account, folder)
    found = folder.lstat()
    owner = os.geteuid() if account.uid is None else account.uid
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or found.st_mode & 0o077:
        raise ServerError(
            f"{folder} is not a private folder of the server's user (uid {owner}), as it should be. Remove it."
        )


def _temporary_root(account: Account) -> Path:
    """TMPDIR if it is set, else memory if enough is free, else the usual temporary folder; /tmp if that is private.

    Copying a small database took twenty times as long on a disk as in memory, even without fsync.
    """
    given = os.environ.get("TMPDIR")
    for folder in [Path(given)] if given else [_MEMORY, Path(tempfile.gettempdir())]:
        if folder == _MEMORY and not (folder.is_dir() and shutil.disk_usage(folder).free > _PLENTY_BYTES):
            continue
        if run(["/bin/sh", "-c", 'cd "$1" && test -w .', "sh", folder], account).returncode == 0:
            return folder
    return _SHORT_FOLDER

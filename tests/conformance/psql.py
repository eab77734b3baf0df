"""Scripts, as psql runs them: psql itself splits them into statements, and a server in between sees each one.

The server in between speaks PostgreSQL's protocol (manual, "Frontend/Backend Protocol"). It hands psql's bytes to a
connection of psycopg's and back, and uses this connection between the statements.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import ExecStatus

from tests.conformance.judge import Answer, Connection

Hook = Callable[[Connection, str], Callable[[Answer], None]]
"""Called with each statement before it runs. It returns what is called with the answer."""

_CANCEL, _SSL, _GSSAPI = 80877102, 80877103, 80877104
_PARAMETERS = (
    "server_version",
    "server_encoding",
    "client_encoding",
    "is_superuser",
    "session_authorization",
    "DateStyle",
    "IntervalStyle",
    "TimeZone",
    "integer_datetimes",
    "standard_conforming_strings",
)
_PORT = 5432
_ANSWERED = (b"Q", b"F", b"S")  # Query, FunctionCall, Sync: after each of them the server says when it is ready
_HEAD = 5  # the kind of a message and its length


def run_script(
    psql: Path, script: Path, url: str, hook: Hook, *, environment: Mapping[str, str], seconds: float
) -> bool:
    """Run a script through psql, as pg_regress does, and call the hook for its statements.

    Returns False if it took too long.
    """
    with tempfile.TemporaryDirectory(prefix="rowsmith-psql-") as folder:
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(f"{folder}/.s.PGSQL.{_PORT}")
        listening.listen()
        threading.Thread(target=_accept, args=(listening, url, hook), daemon=True).start()
        target = conninfo_to_dict(url)
        user, database = str(target.get("user", "postgres")), str(target["dbname"])
        options = ["-X", "-q", "-h", folder, "-p", str(_PORT), "-U", user, "-d", database, "-f", str(script)]
        process = subprocess.Popen(
            [psql, *options], env=os.environ | environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL, cwd=folder,
        )  # fmt: skip
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        finally:
            process.kill()
            process.wait()
            listening.close()
        return True


def _accept(listening: socket.socket, url: str, hook: Hook) -> None:
    while True:
        try:
            client, _ = listening.accept()
        except OSError:  # closed
            return
        threading.Thread(target=_serve, args=(client, url, hook), daemon=True).start()


def _serve(client: socket.socket, url: str, hook: Hook) -> None:
    try:
        with client:
            startup = _startup(client)
            if startup is not None:
                _Session(client, url, startup, hook).run()
    except (ConnectionError, psycopg.OperationalError, struct.error):  # psql has gone, or the server has
        return


def _startup(client: socket.socket) -> dict[str, str] | None:
    """The parameters of the startup message; None if there is none."""
    while True:
        length, code = struct.unpack("!II", _exactly(client, 8))
        rest = _exactly(client, length - 8)
        if code in (_SSL, _GSSAPI):
            client.sendall(b"N")
        elif code == _CANCEL:
            return None
        else:
            words = rest.decode().split("\0")
            return dict(zip(words[::2], words[1::2], strict=False))


class _Session:
    """psql on one side, a connection of psycopg's on the other."""

    def __init__(self, client: socket.socket, url: str, startup: Mapping[str, str], hook: Hook) -> None:
        self._client = client
        self._hook = hook
        options = [startup.get("options", "")]
        options += [f"-c {name}={value.replace(' ', chr(92) + ' ')}" for name, value in startup.items()
                    if name not in ("user", "database", "options", "replication", "")]  # fmt: skip
        try:
            self._conn = psycopg.connect(
                url, user=startup["user"], dbname=startup["database"], options=" ".join(options), autocommit=True
            )
        except psycopg.OperationalError as error:
            self._send(b"E", b"SFATAL\0C08000\0M" + str(error).encode() + b"\0\0")
            raise
        self._conn.prepare_threshold = None

    def run(self) -> None:
        """Serve psql until it leaves."""
        self._greet()
        with self._conn:
            while (message := _message(self._client)) is not None and message[:1] != b"X":
                if message[:1] != b"Q":
                    self._relay(message)
                    continue
                after = self._hook(self._conn, message[5:-1].decode("utf-8", "replace"))
                after(self._relay(message))

    def _greet(self) -> None:
        self._send(b"R", struct.pack("!I", 0))
        for name in _PARAMETERS:
            value = self._conn.pgconn.parameter_status(name.encode())
            self._send(b"S", name.encode() + b"\0" + (value or b"") + b"\0")
        self._send(b"K", struct.pack("!II", 0, 0))
        self._send(b"Z", b"I")

    def _send(self, kind: bytes, content: bytes) -> None:
        self._client.sendall(kind + struct.pack("!I", len(content) + 4) + content)

    def _relay(self, message: bytes) -> Answer:
        """Hand a message on, with those that follow, until the server is ready for the next query."""
        server = socket.socket(fileno=os.dup(self._conn.pgconn.socket))
        answer, left = Answer(), b""
        try:
            server.setblocking(True)
            server.sendall(message)
            expected, is_synced = int(message[:1] in _ANSWERED), message[:1] in _ANSWERED
            while expected or not is_synced:
                for ready in select.select([server, self._client], [], [])[0]:
                    if ready is self._client:
                        if (message := _message(self._client) or b"X\0\0\0\4")[:1] == b"X":
                            raise ConnectionError("psql has gone")
                        server.sendall(message)
                        if message[:1] not in (b"d", b"c", b"f"):
                            is_synced = message[:1] in _ANSWERED
                            expected += is_synced
                    else:
                        if not (read := server.recv(1 << 16)):
                            raise ConnectionError("the server has gone")
                        self._client.sendall(read)
                        messages, left = _split(left + read)
                        for kind, content in messages:
                            expected -= kind == b"Z"
                            _note(answer, kind, content)
        finally:
            server.setblocking(False)
            server.close()
        # libpq learns from the answer in which state the transaction is now.
        if self._conn.pgconn.exec_(b"").status == ExecStatus.FATAL_ERROR:
            raise ConnectionError("the server has gone")
        return answer


def _note(answer: Answer, kind: bytes, content: bytes) -> None:
    if kind == b"D":
        answer.add_row(list(_values(content)))
    elif kind == b"C":
        answer.tags.append(content[:-1].decode())
    elif kind == b"E":
        fields = {each[:1]: each[1:].decode("utf-8", "replace") for each in content.split(b"\0") if each}
        answer.error = f"{fields.get(b'C')} {fields.get(b'M')}"


def _values(content: bytes) -> Iterator[bytes | None]:
    """The values of a DataRow message: their text, or None for NULL."""
    position = 2
    for _ in range(struct.unpack_from("!H", content)[0]):
        (length,) = struct.unpack_from("!i", content, position)
        yield None if length < 0 else content[position + 4 : position + 4 + length]
        position += 4 + max(length, 0)


def _split(data: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """The complete messages, each with its kind, and what is left."""
    messages: list[tuple[bytes, bytes]] = []
    while len(data) >= _HEAD and len(data) > (length := struct.unpack_from("!I", data, 1)[0]):
        messages.append((data[:1], data[_HEAD : length + 1]))
        data = data[length + 1 :]
    return messages, data


def _message(client: socket.socket) -> bytes | None:
    """The next message as it is; None if psql has closed the connection."""
    try:
        head = _exactly(client, _HEAD)
    except ConnectionError:
        return None
    return head + _exactly(client, struct.unpack("!I", head[1:])[0] - 4)


def _exactly(client: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        if not (read := client.recv(length - len(data))):
            raise ConnectionError("psql has gone")
        data += read
    return data

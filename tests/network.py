"""The network between a program and its server, made to fail: a proxy that stalls, black holes, servers that refuse.

All of it runs in the test process and listens on loopback only. The server behind a proxy is the real one.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple, Self
from urllib.parse import quote, urlencode

from psycopg.conninfo import conninfo_to_dict

_LOOPBACK = "127.0.0.1"
# What a client may ask before it sends its startup packet (manual, "Message Formats", SSLRequest and GSSENCRequest).
_ENCRYPTION_REQUESTS = (80877103, 80877104)


def url_at(url: str, host: str, port: int, **options: str) -> str:
    """The URL with another host and port, and libpq options of the test's own. The password, if any, stays."""
    parts = {key: str(value) for key, value in conninfo_to_dict(url).items() if value is not None}
    login = quote(options.pop("user", parts.get("user", "")), safe="")
    if password := options.pop("password", parts.get("password")):
        login += f":{quote(password, safe='')}"
    return f"postgresql://{login}@{host}:{port}/{quote(parts.get('dbname', ''), safe='')}?{urlencode(options)}"


class _Link:
    """One client of a proxy, and its connection to the server."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server = client, server
        self.held = False
        self.unsent = b""  # from the client, held back

    def close(self) -> None:
        self.client.close()
        self.server.close()


class _Trap(NamedTuple):
    text: bytes
    after: bool
    sprung: threading.Event


class Proxy:
    """Passes bytes on between clients on a TCP port and the server of a URL, until it is told to hold them."""

    def __init__(self, url: str) -> None:
        parts = conninfo_to_dict(url)
        host, port = str(parts.get("host") or "localhost"), int(parts.get("port") or 5432)
        self._upstream = f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, port)
        self._listener = socket.create_server((_LOOPBACK, 0))
        # Without encryption: a trap looks for the text of a command.
        self.port: int = self._listener.getsockname()[1]
        self.url = url_at(url, _LOOPBACK, self.port, sslmode="disable", gssencmode="disable")
        self.clients = 0
        """How many have come, in all."""
        self.refuse = False
        """Whether new connections are closed at once."""
        self._links: list[_Link] = []
        self._traps: list[_Trap] = []
        self._stalled = self._ended = False
        self._lock = threading.Lock()
        self._waker, self._wakened = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self._wake()
        self._thread.join(5)
        for each in (self._listener, self._waker, self._wakened):
            each.close()
        for link in self._links:
            link.close()
        assert not self._thread.is_alive()

    def wait_for_clients(self, number: int) -> None:
        """Until so many clients have come, in all."""
        deadline = time.monotonic() + 10
        while self.clients < number:
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.005)

    def stall(self) -> None:
        """Pass nothing on any more, on old connections and on new ones: a firewall that drops packets."""
        with self._lock:
            self._stalled = True

    def hold_before(self, command: bytes) -> threading.Event:
        """Hold this command back, and all that follows on its connection; the event says when it came."""
        return self._set_trap(command, after=False)

    def hold_after(self, command: bytes) -> threading.Event:
        """Pass this command on, and hold back what the server answers; the event says when it came."""
        return self._set_trap(command, after=True)

    def resume(self) -> None:
        """Pass on what was held back, and all that follows."""
        with self._lock:
            self._stalled = False
            self._traps.clear()
            for link in self._links:
                link.held = False
                if link.unsent:
                    link.server.sendall(link.unsent)
                    link.unsent = b""
        self._wake()

    def cut(self) -> None:
        """Close the connections that are held, in both directions."""
        with self._lock:
            self._drop(*(link for link in self._links if link.held or self._stalled))
        self._wake()

    def _set_trap(self, command: bytes, *, after: bool) -> threading.Event:
        sprung = threading.Event()
        with self._lock:
            self._traps.append(_Trap(command, after, sprung))
        return sprung

    def _wake(self) -> None:
        self._waker.send(b"!")

    def _run(self) -> None:
        while not self._ended:
            with self._lock:
                sources = {} if self._stalled else dict(self._sources())
            ready, _, _ = select.select([self._wakened, self._listener, *sources], [], [], 5)
            with self._lock:
                for source in ready:
                    if source is self._wakened:
                        source.recv(64)
                    elif source is self._listener:
                        self._accept()
                    elif not self._stalled and (link := sources[source]) in self._links:
                        self._pass_on(source, link)

    def _sources(self) -> Iterator[tuple[socket.socket, _Link]]:
        for link in self._links:
            if not link.held:
                yield link.client, link
                yield link.server, link

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        self.clients += 1
        if self.refuse:
            client.close()
            return
        server = socket.socket(socket.AF_UNIX if isinstance(self._upstream, str) else socket.AF_INET)
        server.connect(self._upstream)
        self._links.append(_Link(client, server))

    def _pass_on(self, source: socket.socket, link: _Link) -> None:
        try:
            data = source.recv(65536)
            if not data:
                self._drop(link)
            elif source is link.server:
                link.client.sendall(data)
            else:
                self._from_client(link, data)
        except OSError:
            self._drop(link)

    def _from_client(self, link: _Link, data: bytes) -> None:
        trap = next((trap for trap in self._traps if trap.text in data), None)
        if trap is not None:
            self._traps.remove(trap)
            link.held = True
        if trap is None or trap.after:
            link.server.sendall(data)
        else:
            link.unsent = data
        if trap is not None:
            trap.sprung.set()

    def _drop(self, *links: _Link) -> None:
        for link in links:
            self._links.remove(link)
            link.close()


@contextmanager
def closed_port() -> Generator[int]:
    """A port where nobody listens, kept from others for the length of the block."""
    with socket.socket() as bound:
        bound.bind((_LOOPBACK, 0))
        yield bound.getsockname()[1]


@contextmanager
def black_hole() -> Generator[int]:
    """A port where connections are accepted, by the kernel, and nobody ever answers."""
    with socket.create_server((_LOOPBACK, 0)) as listener:
        yield listener.getsockname()[1]


@contextmanager
def refusing_server(sqlstate: str, message: str) -> Generator[int]:
    """A port where every startup packet is answered with this error, as PostgreSQL does it, and the connection closed.

    For the states that a server of the tests cannot well be brought into. (Manual, "Message Formats", ErrorResponse.)
    """
    fields = {b"S": "FATAL", b"V": "FATAL", b"C": sqlstate, b"M": message}
    body = b"".join(code + text.encode() + b"\0" for code, text in fields.items()) + b"\0"
    answer = b"E" + (len(body) + 4).to_bytes(4, "big") + body

    def serve() -> None:
        with suppress(OSError):  # the listener is closed
            while True:
                client, _ = listener.accept()
                with client, suppress(OSError):
                    client.settimeout(5)
                    while _startup_code(client) in _ENCRYPTION_REQUESTS:
                        client.sendall(b"N")
                    client.sendall(answer)

    with socket.create_server((_LOOPBACK, 0)) as listener:
        thread = threading.Thread(target=serve, name="refusing-server", daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(6)


def _startup_code(client: socket.socket) -> int:
    """The number that says what the client wants: its protocol version, or encryption."""
    length = int.from_bytes(client.recv(4, socket.MSG_WAITALL), "big")
    return int.from_bytes(client.recv(length - 4, socket.MSG_WAITALL)[:4], "big")

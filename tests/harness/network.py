"""The network between a program and its server, made to fail: a proxy with faults, black holes, servers that refuse.

All of it runs in the test process and listens on loopback only. The server behind a proxy is the real one.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Self
from urllib.parse import quote, urlencode

from psycopg.conninfo import conninfo_to_dict

LOOPBACK = "127.0.0.1"
_PATIENCE = 30
"""Seconds after which something that should have happened counts as missing."""
# What a client may ask before it sends its startup packet (manual, "Message Formats", SSLRequest and GSSENCRequest).
_ENCRYPTION_REQUESTS = (80877103, 80877104)
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close() sends RST

Side = Literal["client", "server"]


def url_at(url: str, host: str, port: int, **options: str) -> str:
    """The URL with another host and port, and more libpq options. The password, if any, stays."""
    parts = {key: str(value) for key, value in conninfo_to_dict(url).items() if value is not None}
    login = quote(options.pop("user", parts.get("user", "")), safe="")
    if password := options.pop("password", parts.get("password")):
        login += f":{quote(password, safe='')}"
    return f"postgresql://{login}@{host}:{port}/{quote(parts.get('dbname', ''), safe='')}?{urlencode(options)}"


class Chunk(NamedTuple):
    """What was read at once from one side of a link."""

    link: int
    sender: Side
    data: bytes


class Link:
    """One client of a proxy, and its connection to the server."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client, self.server = client, server
        self.pumps: list[asyncio.Task[None]] = []
        self.reply_lost: threading.Event | None = None
        """Set when the server's next answer has come: the link is cut instead of passing it on."""
        self.parted = False
        """Whether the client's side has been cut and the server's side has not."""
        self._open = asyncio.Event()
        self._open.set()

    @property
    def held(self) -> bool:
        return not self._open.is_set()

    def hold(self) -> None:
        """Pass nothing on, in either direction."""
        self._open.clear()

    def release(self) -> None:
        """Pass on what was held, and all that follows."""
        self._open.set()

    async def flowing(self) -> None:
        """Until the link is not held."""
        await self._open.wait()

    def cut_client(self, *, reset: bool = False) -> None:
        """Close the client's side at once, with RST instead of FIN if `reset`."""
        if reset:
            self._reset()
        self.client.transport.abort()

    def cut(self, *, reset: bool = False) -> None:
        """Close both sides at once."""
        self.cut_client(reset=reset)
        self.server.transport.abort()
        for pump in self.pumps:
            pump.cancel()

    async def close(self, *, reset: bool) -> None:
        """Close both sides when what was passed on has been sent."""
        for pump in self.pumps:
            pump.cancel()
        await asyncio.gather(*self.pumps, return_exceptions=True)
        if reset:
            self._reset()
        for writer in (self.client, self.server):
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _reset(self) -> None:
        if not self.client.is_closing():
            connection: socket.socket = self.client.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


class _Trap(NamedTuple):
    """A rule: hold the link at a command."""

    text: bytes
    after: bool
    sprung: threading.Event


@dataclass
class _Cut:
    """A rule: cut the link at a command, or after so many bytes of one side."""

    text: bytes = b""
    lose_reply: bool = False
    sender: Side = "client"
    bytes_left: int | None = None
    sprung: threading.Event = field(default_factory=threading.Event)


class Proxy:
    """Passes bytes on between clients on a TCP port and the server of a URL, until it is told to do otherwise.

    It recognises commands by their text in what a client sends, so its links are not encrypted. All of it runs in one
    event loop, in a thread of its own. A method returns when what it asks for has happened.
    """

    def __init__(self, url: str) -> None:
        parts = conninfo_to_dict(url)
        host, port = str(parts.get("host") or "localhost"), int(parts.get("port") or 5432)
        self._upstream = f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, port)
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = url_at(url, LOOPBACK, self.port, sslmode="disable", gssencmode="disable")
        self.clients = 0
        """How many have connected, in all."""
        self.refuse = False
        """Whether new connections are closed at once."""
        self.refusal: tuple[str, str] | None = None
        """The SQLSTATE and the message that new connections are answered with, as by a server that is not ready."""
        self.latency = 0.0
        """Seconds that every chunk is under way, in each direction."""
        self.bytes_per_second: float | None = None
        self.resets = False
        """Whether links are cut with RST instead of FIN."""
        self.chunks: list[Chunk] = []
        """All that was read since `forget`."""
        self.links: list[Link] = []
        self._traps: list[_Trap] = []
        self._cuts: list[_Cut] = []
        self._serving: set[asyncio.Task[None]] = set()
        self._failures: list[dict[str, Any]] = []
        self._came = threading.Condition()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(_PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(_PATIENCE)
        assert not self._thread.is_alive()
        assert not self._failures, self._failures

    def do(self, action: Callable[[], object]) -> None:
        """Do something in the proxy's thread, and wait until it is done."""

        async def call() -> None:
            action()
            for _ in range(3):  # asyncio closes sockets in a later turn of its loop
                await asyncio.sleep(0)

        asyncio.run_coroutine_threadsafe(call(), self._loop).result(_PATIENCE)

    # --- faults ---

    def stall(self) -> None:
        """Pass nothing on, on old connections and on new ones: a firewall that drops packets."""
        self.do(self._flowing.clear)

    def hold_links(self) -> None:
        """Pass nothing on any more on the links there are. New ones are not concerned."""

        def hold() -> None:
            for link in self.links:
                link.hold()

        self.do(hold)

    def resume(self) -> None:
        """Pass on what was held, and all that follows."""

        def resume() -> None:
            self._traps.clear()
            self._flowing.set()
            for link in self.links:
                link.release()

        self.do(resume)

    def calm(self) -> None:
        """Pass on what was held; no more faults on links to come."""
        self.latency, self.bytes_per_second, self.refusal, self.refuse = 0.0, None, None, False
        self.do(self._cuts.clear)
        self.resume()

    def hold_before(self, command: bytes) -> threading.Event:
        """Hold this command, and all that follows on its connection; the event says when it came."""
        return self._set_trap(command, after=False)

    def hold_after(self, command: bytes) -> threading.Event:
        """Pass this command on, and hold what the server answers; the event says when it came."""
        return self._set_trap(command, after=True)

    def lose_reply(self, command: bytes) -> threading.Event:
        """Pass this command on, wait for its answer, and cut the link instead of passing that on."""
        return self._add(_Cut(command, lose_reply=True))

    def cut_before(self, command: bytes) -> threading.Event:
        """Cut the link when this command comes: the server never receives it."""
        return self._add(_Cut(command))

    def cut_after(self, count: int, sender: Side) -> threading.Event:
        """Cut the link after so many more bytes of this side."""
        return self._add(_Cut(sender=sender, bytes_left=count))

    def cut(self) -> None:
        """Cut the links that are held."""
        self.do(lambda: self._cut(link for link in self.links if link.held or not self._flowing.is_set()))

    def cut_all(self) -> None:
        """Cut every link."""
        self.do(lambda: self._cut(self.links))

    def close_slowly(self, seconds: float) -> None:
        """Pass nothing on any more on the links there are, and cut them later."""

        def close() -> None:
            links = list(self.links)
            for link in links:
                link.hold()
            self._loop.call_later(seconds, self._cut, links)

        self.do(close)

    def part(self) -> None:
        """Cut the held links on the client's side alone: the server knows nothing of it, and gets the rest later."""

        def part() -> None:
            for link in self.links:
                if link.held:
                    link.parted = True
                    link.cut_client()

        self.do(part)

    def deliver_late(self) -> None:
        """Pass on what the parted links hold."""

        def deliver() -> None:
            for link in self.links:
                if link.parted:
                    link.release()

        self.do(deliver)

    # --- what was seen ---

    def wait_for_clients(self, number: int) -> None:
        """Until so many clients have connected, in all."""
        with self._came:
            assert self._came.wait_for(lambda: self.clients >= number, _PATIENCE), "waited in vain"

    def forget(self) -> None:
        """Forget what was passed on."""
        self.chunks = []

    def sent(self, text: bytes) -> int:
        """How many chunks of clients have this text in them."""
        return sum(chunk.sender == "client" and text in chunk.data for chunk in self.chunks)

    def round_trips(self) -> int:
        """How many times a client sent and then waited for an answer."""
        turns = 0
        last: dict[int, Side] = {}
        for chunk in self.chunks:
            turns += chunk.sender == "client" and last.get(chunk.link) != "client"
            last[chunk.link] = chunk.sender
        return turns

    def bytes_of(self, sender: Side) -> int:
        """How many bytes one side has sent."""
        return sum(len(chunk.data) for chunk in self.chunks if chunk.sender == sender)

    # --- in the proxy's thread ---

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(lambda _, context: self._failures.append(context))
        self._flowing, self._ended = asyncio.Event(), asyncio.Event()
        self._flowing.set()
        server = await asyncio.start_server(self._accept, sock=self._listener)
        self._ready.set()
        await self._ended.wait()
        server.close()
        self._cut(self.links)
        for serving in self._serving:
            serving.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _set_trap(self, command: bytes, *, after: bool) -> threading.Event:
        trap = _Trap(command, after, threading.Event())
        self.do(lambda: self._traps.append(trap))
        return trap.sprung

    def _add(self, cut: _Cut) -> threading.Event:
        self.do(lambda: self._cuts.append(cut))
        return cut.sprung

    def _cut(self, links: Iterable[Link]) -> None:
        for link in list(links):
            link.cut(reset=self.resets)

    def _accept(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        serving = asyncio.create_task(self._serve(reader, client))
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        with self._came:
            self.clients += 1
            self._came.notify_all()
        if self.refusal is not None:
            await _refuse(reader, client, *self.refusal)
            return
        try:
            answers, server = await self._connect()
        except OSError:
            client.transport.abort()
            return
        link = Link(client, server)
        self.links.append(link)
        link.pumps += [
            asyncio.create_task(self._pump(link, "client", reader)),
            asyncio.create_task(self._pump(link, "server", answers)),
        ]
        await asyncio.wait(link.pumps, return_when=asyncio.FIRST_COMPLETED)
        await link.close(reset=self.resets)
        self.links.remove(link)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.refuse:
            raise ConnectionRefusedError
        if isinstance(self._upstream, str):
            return await asyncio.open_unix_connection(self._upstream)
        return await asyncio.open_connection(*self._upstream)

    async def _pump(self, link: Link, sender: Side, reader: asyncio.StreamReader) -> None:
        """Pass on what one side sends, until one of them ends the link, or a rule does."""
        with suppress(OSError):
            while data := await reader.read(65536):
                self.chunks.append(Chunk(id(link), sender, data))
                if self.latency or self.bytes_per_second:
                    await asyncio.sleep(self.latency + len(data) / (self.bytes_per_second or float("inf")))
                await self.flow(link)
                go_on = await (self.from_client(link, data) if sender == "client" else self.from_server(link, data))
                if not go_on:
                    return
            await self.flow(link)
        if link.parted:
            await self._ended.wait()

    async def flow(self, link: Link) -> None:
        """Until neither the link nor the whole network is held."""
        while link.held or not self._flowing.is_set():
            await link.flowing()
            await self._flowing.wait()

    async def from_client(self, link: Link, data: bytes) -> bool:
        """Pass on what a client has sent, as the rules say; whether the link goes on."""
        data, cut = self._up_to_cut("client", data)
        if trap := next((trap for trap in self._traps if trap.text in data), None):
            self._traps.remove(trap)
            link.hold()
            if trap.after:
                await send(link.server, data)
            trap.sprung.set()
            await self.flow(link)
            if trap.after:
                return True
        if cut is not None and cut.lose_reply:
            link.reply_lost = cut.sprung
            cut = None
        await send(link.server, data)
        return not _sprung(cut)

    async def from_server(self, link: Link, data: bytes) -> bool:
        """Pass on what the server has sent; whether the link goes on."""
        if link.reply_lost is not None:
            link.reply_lost.set()
            return False
        data, cut = self._up_to_cut("server", data)
        await send(link.client, data)
        return not _sprung(cut)

    def _up_to_cut(self, sender: Side, data: bytes) -> tuple[bytes, _Cut | None]:
        """What is passed on of this data, and the rule that applies to it, which is used up; bytes are counted."""
        for cut in self._cuts:
            if cut.sender != sender:
                continue
            if cut.bytes_left is None:
                if cut.text in data:
                    self._cuts.remove(cut)
                    return (data if cut.lose_reply else b""), cut
            elif cut.bytes_left <= len(data):
                self._cuts.remove(cut)
                return data[: cut.bytes_left], cut
            else:
                cut.bytes_left -= len(data)
        return data, None


def _sprung(cut: _Cut | None) -> bool:
    """Whether a rule cuts the link now, which its event is told."""
    if cut is not None:
        cut.sprung.set()
    return cut is not None


async def send(to: asyncio.StreamWriter, data: bytes) -> None:
    """Write to one side of a link, and wait while it takes nothing. Raises OSError if it has closed."""
    if data:
        to.write(data)
        await to.drain()


async def _refuse(reader: asyncio.StreamReader, client: asyncio.StreamWriter, sqlstate: str, message: str) -> None:
    """Answer a startup packet with an error, and hang up. (Manual, "Message Formats", ErrorResponse.)"""
    fields = {b"S": "FATAL", b"V": "FATAL", b"C": sqlstate, b"M": message}
    body = b"".join(code + text.encode() + b"\0" for code, text in fields.items()) + b"\0"
    try:
        while await _startup_code(reader) in _ENCRYPTION_REQUESTS:
            await send(client, b"N")
        await send(client, b"E" + (len(body) + 4).to_bytes(4, "big") + body)
        client.close()
        await client.wait_closed()
    except (OSError, asyncio.IncompleteReadError):
        pass  # the client has gone
    finally:
        client.transport.abort()


async def _startup_code(reader: asyncio.StreamReader) -> int:
    """The number that says what the client wants: its protocol version, or encryption."""
    length = int.from_bytes(await reader.readexactly(4), "big")
    return int.from_bytes((await reader.readexactly(length - 4))[:4], "big")


@contextmanager
def refusing_server(sqlstate: str, message: str) -> Generator[int]:
    """A port where every startup packet is answered with this error, and the connection closed.

    For the states that a server of the tests cannot well be brought into.
    """
    with Proxy("postgresql://") as proxy:
        proxy.refusal = (sqlstate, message)
        yield proxy.port


@contextmanager
def closed_port() -> Generator[int]:
    """A port where nobody listens, kept from others for the length of the block."""
    with socket.socket() as bound:
        bound.bind((LOOPBACK, 0))
        yield bound.getsockname()[1]


@contextmanager
def black_hole() -> Generator[int]:
    """A port where connections are accepted, by the kernel, and nobody ever answers."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        yield listener.getsockname()[1]

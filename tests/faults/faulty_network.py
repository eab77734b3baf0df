"""A worse network: the proxy of `network.py`, which also is slow, resets, loses replies, hangs up, and counts.

Commands are recognised by their text in what a client sends; the links are not encrypted.
"""

from __future__ import annotations

import heapq
import itertools
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Self

from network import Proxy, _Link, _startup_code  # pyright: ignore[reportPrivateUsage]

_ENCRYPTION_REQUESTS = (80877103, 80877104)
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close() sends RST


class Chunk(NamedTuple):
    """What was read at once from one side of a link."""

    link: int
    sender: Literal["client", "server"]
    data: bytes


@dataclass
class _Cut:
    """A rule: cut the link at a command, or after so many bytes of one direction."""

    text: bytes = b""
    lose_reply: bool = False
    sender: Literal["client", "server"] = "client"
    bytes_left: int | None = None
    sprung: threading.Event = field(default_factory=threading.Event)


class FaultyProxy(Proxy):
    """A `Proxy` with the faults that take more than holding bytes back."""

    clients: int

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.latency = 0.0
        """Seconds that every chunk is under way, in each direction."""
        self.bytes_per_second: float | None = None
        self.refusal: tuple[str, str] | None = None
        """The SQLSTATE and the message that new connections are answered with, as a server does that cannot yet."""
        self.resets = False
        """Whether cut links end with RST, not with FIN."""
        self.chunks: list[Chunk] = []
        """All that was passed on since `forget`."""
        self._cuts: list[_Cut] = []
        self._replies: dict[int, _Cut] = {}
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._free_at: dict[tuple[int, str], float] = {}
        self._changed = threading.Condition()
        self._courier = threading.Thread(target=self._deliver, name="courier", daemon=True)
        self._answering: list[threading.Thread] = []
        self._parted: list[_Link] = []

    def __enter__(self) -> Self:
        self._courier.start()
        return super().__enter__()

    def __exit__(self, *reason: object) -> None:
        super().__exit__(*reason)
        with self._changed:
            self._changed.notify_all()
        self._courier.join(5)
        for thread in self._answering:
            thread.join(6)
        for link in self._parted:
            link.close()

    # --- faults ---

    def lose_reply(self, command: bytes) -> threading.Event:
        """Pass this command on, wait for its answer, and cut the link in place of passing that on."""
        return self._add(_Cut(command, lose_reply=True))

    def cut_before(self, command: bytes) -> threading.Event:
        """Cut the link when this command comes: the server never gets it."""
        return self._add(_Cut(command))

    def cut_after(self, count: int, sender: Literal["client", "server"]) -> threading.Event:
        """Cut the link after so many more bytes of this side."""
        return self._add(_Cut(sender=sender, bytes_left=count))

    def cut_all(self) -> None:
        """Cut every link."""
        with self._lock:
            self._drop(*list(self._links))
        self._wake()

    def close_slowly(self, seconds: float) -> None:
        """Pass nothing on any more on the links there are, and cut them later."""
        with self._lock:
            links = list(self._links)
            for link in links:
                link.held = True
        self._wake()
        self._later(time.monotonic() + seconds, lambda: self._drop(*(each for each in links if each in self._links)))

    def part(self) -> None:
        """Cut the held links on the client's side alone: the server knows nothing of it, and gets the rest later."""
        with self._lock:
            parted = [link for link in self._links if link.held]
            for link in parted:
                self._links.remove(link)
                link.client.close()
            self._parted += parted
        self._wake()

    def deliver_late(self) -> None:
        """Pass on what the parted links held back."""
        for link in self._parted:
            with suppress(OSError):
                link.server.sendall(link.unsent)
                link.unsent = b""

    def calm(self) -> None:
        """No more faults, for links to come."""
        with self._lock:
            self._cuts.clear()
            self._replies.clear()
        self.latency, self.bytes_per_second, self.refusal, self.refuse = 0.0, None, None, False
        self.resume()

    # --- what was seen ---

    def forget(self) -> None:
        self.chunks = []

    def sent(self, text: bytes) -> int:
        """How many chunks of clients have this text in them."""
        return sum(chunk.sender == "client" and text in chunk.data for chunk in self.chunks)

    def round_trips(self) -> int:
        """How many times a client sent and then waited for an answer."""
        turns = 0
        last: dict[int, str] = {}
        for chunk in self.chunks:
            turns += chunk.sender == "client" and last.get(chunk.link) != "client"
            last[chunk.link] = chunk.sender
        return turns

    def bytes_of(self, sender: Literal["client", "server"]) -> int:
        return sum(len(chunk.data) for chunk in self.chunks if chunk.sender == sender)

    # --- how ---

    def _add(self, cut: _Cut) -> threading.Event:
        with self._lock:
            self._cuts.append(cut)
        return cut.sprung

    def _accept(self) -> None:
        if self.refusal is None:
            super()._accept()
            return
        client, _ = self._listener.accept()
        self.clients += 1
        thread = threading.Thread(target=_refuse, args=(client, *self.refusal), daemon=True)
        thread.start()
        self._answering.append(thread)

    def _pass_on(self, source: socket.socket, link: _Link) -> None:
        try:
            data = source.recv(65536)
        except OSError:
            data = b""
        sender: Literal["client", "server"] = "server" if source is link.server else "client"
        self.chunks.append(Chunk(id(link), sender, data))
        delay = self._delay(link, sender, len(data))
        if delay or self._free_at.get((id(link), sender), 0) > time.monotonic():
            self._later(time.monotonic() + delay, lambda: self._arrive(link, sender, data))
        else:
            self._arrive(link, sender, data)

    def _delay(self, link: _Link, sender: str, size: int) -> float:
        """How long these bytes are under way: not earlier than those before them."""
        now = time.monotonic()
        start = max(now, self._free_at.get((id(link), sender), 0))
        self._free_at[id(link), sender] = start + size / self.bytes_per_second if self.bytes_per_second else start
        return self._free_at[id(link), sender] - now + self.latency

    def _arrive(self, link: _Link, sender: Literal["client", "server"], data: bytes) -> None:
        """Called under the lock."""
        if link not in self._links:
            return
        if not data or (sender == "server" and self._reply_is_lost(link)):
            self._drop(link)
            return
        try:
            self._forward(link, sender, data)
        except OSError:
            self._drop(link)

    def _forward(self, link: _Link, sender: Literal["client", "server"], data: bytes) -> None:
        cut = next((cut for cut in self._cuts if self._concerns(cut, sender, data)), None)
        if cut is None or cut.lose_reply:
            self._send(link, sender, data)
        elif cut.bytes_left is not None:
            self._send(link, sender, data[: cut.bytes_left])
        if cut is None:
            return
        self._cuts.remove(cut)
        if cut.lose_reply:
            self._replies[id(link)] = cut
        else:
            self._drop(link)
            cut.sprung.set()

    def _concerns(self, cut: _Cut, sender: str, data: bytes) -> bool:
        """Whether the time of the cut has come; bytes are counted on the way."""
        if cut.sender != sender:
            return False
        if cut.bytes_left is None:
            return cut.text in data
        if cut.bytes_left <= len(data):
            return True
        cut.bytes_left -= len(data)
        return False

    def _reply_is_lost(self, link: _Link) -> bool:
        cut = self._replies.pop(id(link), None)
        if cut is not None:
            cut.sprung.set()
        return cut is not None

    def _send(self, link: _Link, sender: str, data: bytes) -> None:
        if sender == "server":
            link.client.sendall(data)
        else:
            self._from_client(link, data)

    def _drop(self, *links: _Link) -> None:
        if self.resets:
            for link in links:
                with suppress(OSError):
                    link.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        super()._drop(*links)

    def _later(self, due: float, action: Callable[[], None]) -> None:
        with self._changed:
            heapq.heappush(self._due, (due, next(self._numbers), action))
            self._changed.notify_all()

    def _deliver(self) -> None:
        while not self._ended:
            with self._changed:
                now = time.monotonic()
                if not self._due or self._due[0][0] > now:
                    self._changed.wait(self._due[0][0] - now if self._due else 1)
                    continue
                action = heapq.heappop(self._due)[2]
            with self._lock:
                action()
            self._wake()


def _refuse(client: socket.socket, sqlstate: str, message: str) -> None:
    """Answer a startup packet with an error. (Manual, "Message Formats", ErrorResponse.)"""
    fields = {b"S": "FATAL", b"V": "FATAL", b"C": sqlstate, b"M": message}
    body = b"".join(code + text.encode() + b"\0" for code, text in fields.items()) + b"\0"
    with client, suppress(OSError):
        client.settimeout(5)
        while _startup_code(client) in _ENCRYPTION_REQUESTS:
            client.sendall(b"N")
        client.sendall(b"E" + (len(body) + 4).to_bytes(4, "big") + body)

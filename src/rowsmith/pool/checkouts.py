"""The connections that are out of a pool: who has them, since when, and from where in the program."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from time import monotonic
from types import CodeType, FrameType
from typing import Any

from psycopg import BaseConnection

from rowsmith.errors import Category, PoolTimeoutError
from rowsmith.wire.concurrency import Owner, current_owner

logger = logging.getLogger("rowsmith.pool")

_HERE = str(Path(__file__).parent.parent)
_FRAMES = 5


_Stack = Sequence[tuple[CodeType, int]]
"""Pieces of code, and the place in each: the number of a byte, of which the line is found when it is asked for."""


@dataclass(slots=True)
class _Checkout:
    owner: Owner
    since: float
    stack: _Stack
    reported: bool = False

    def place(self) -> str:
        """The stack, as a traceback has it."""
        return "\n".join(
            f'  File "{code.co_filename}", line {_line(code, place)}, in {code.co_name}' for code, place in self.stack
        )


class Checkouts:
    """Counts connections out and in. Each step is one of a dictionary, which is safe under threads.

    `threshold` is the time, in seconds, after which one that is out is logged, with the stack that took it; 0: never.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._checkouts: dict[BaseConnection[Any], _Checkout] = {}
        self._waiting: set[Owner] = set()
        self._due = 0.0 if threshold else math.inf
        """When the oldest that was not reported will be out for too long, at the earliest."""

    def __len__(self) -> int:
        return len(self._checkouts)

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._checkouts))

    def wait(self, most: int) -> Owner:
        """Note who waits for one more connection, of `most` in all, until `asked`.

        Raises PoolTimeoutError, at once, where all are out and with owners who wait for one more themselves.
        """
        if (now := monotonic()) >= self._due:
            self._report(now)
        owner = current_owner()
        self._waiting.add(owner)  # before it looks: of two that wait for each other, the second sees the first
        owners = [checkout.owner for checkout in list(self._checkouts.values())]
        if owner in owners and len(owners) >= most and all(each in self._waiting for each in owners):
            self._waiting.discard(owner)
            raise PoolTimeoutError(
                f"deadlock: all {most} connections are in use, by those who wait for another one, this one among "
                "them. A block takes a second connection inside its first: use the first, or raise "
                "DB_MAX_CONNECTIONS",
                Category.POOL_EXHAUSTED,
            )
        return owner

    def stop_waiting(self, owner: Owner) -> None:
        """It waits no more."""
        self._waiting.discard(owner)

    def add(self, conn: BaseConnection[Any], now: float) -> None:
        """A connection goes out."""
        if now >= self._due:
            self._report(now)
        self._checkouts[conn] = _Checkout(current_owner(), now, _stack())

    def end(self, conn: BaseConnection[Any], now: float) -> None:
        """A connection comes back."""
        if now >= self._due:
            self._report(now)
        self._checkouts.pop(conn, None)

    def _report(self, now: float) -> None:
        """Log what has been out for too long; the oldest come first."""
        self._due = now + self._threshold
        for conn, checkout in list(self._checkouts.items()):
            if now - checkout.since < self._threshold:
                self._due = checkout.since + self._threshold
                return
            if not checkout.reported:
                checkout.reported = True
                logger.warning(
                    "a connection (server process %d) has been in use for %.1f s. It was taken here:\n%s",
                    conn.pgconn.backend_pid if not conn.closed else 0,
                    now - checkout.since,
                    checkout.place(),
                )


def _stack() -> _Stack:
    """Where the program took a connection: its innermost frames outside this package, without holding on to them."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - the documented way
    found: list[tuple[CodeType, int]] = []
    while frame is not None and len(found) < _FRAMES:
        code = frame.f_code
        if not _is_ours(code.co_filename):
            found.append((code, frame.f_lasti))
        frame = frame.f_back
    return found


@cache
def _is_ours(file: str) -> bool:
    return file.startswith(_HERE)


def _line(code: CodeType, place: int) -> int:
    return next((line for start, end, line in code.co_lines() if start <= place < end and line), code.co_firstlineno)

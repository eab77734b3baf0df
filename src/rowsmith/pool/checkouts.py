"""The connections in use: who acquired them, when, and where in the program."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Iterator
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

_PACKAGE = str(Path(__file__).parent.parent)
_FRAMES = 5


@dataclass(slots=True)
class _Checkout:
    owner: Owner
    since: float
    """Seconds of the monotonic clock."""
    stack: list[tuple[CodeType, int]]
    """Code, and an offset in its bytes: the line is looked up when it is needed."""
    reported: bool = False

    def traceback(self) -> str:
        return "\n".join(
            f'  File "{code.co_filename}", line {_line(code, offset)}, in {code.co_name}' for code, offset in self.stack
        )


class Checkouts:
    """Counts connections out and in. Each step is one of a dictionary, which is safe under threads.

    A connection in use for longer than `threshold` seconds is logged, with the stack that acquired it (0: never).
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._checkouts: dict[BaseConnection[Any], _Checkout] = {}
        self._waiting: set[Owner] = set()
        self._due = 0.0 if threshold else math.inf
        """When the oldest one that was not reported reaches the threshold, at the earliest."""

    def __len__(self) -> int:
        return len(self._checkouts)

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._checkouts))

    def wait(self, most: int) -> Owner:
        """Note that the caller waits for a connection, one of `most`, until `stop_waiting`.

        Raises PoolTimeoutError, at once, if all are in use by callers that wait for another one themselves.
        """
        if (now := monotonic()) >= self._due:
            self._report(now)
        owner = current_owner()
        self._waiting.add(owner)  # before it looks: of two that wait for each other, the second sees the first
        owners = [checkout.owner for checkout in list(self._checkouts.values())]
        if owner in owners and len(owners) >= most and all(each in self._waiting for each in owners):
            self._waiting.discard(owner)
            raise PoolTimeoutError(
                f"deadlock: all {most} connections are in use by callers that wait for another one, this caller among "
                "them. A block acquires a second connection inside its first: use the first, or raise "
                "DB_MAX_CONNECTIONS",
                Category.POOL_EXHAUSTED,
            )
        return owner

    def stop_waiting(self, owner: Owner) -> None:
        """Note that the caller does not wait any more."""
        self._waiting.discard(owner)

    def add(self, conn: BaseConnection[Any], now: float) -> None:
        """Note that a connection was acquired."""
        if now >= self._due:
            self._report(now)
        self._checkouts[conn] = _Checkout(current_owner(), now, _stack())

    def end(self, conn: BaseConnection[Any], now: float) -> None:
        """Note that a connection was released."""
        if now >= self._due:
            self._report(now)
        self._checkouts.pop(conn, None)

    def _report(self, now: float) -> None:
        """Log the connections that have reached the threshold. The oldest ones come first."""
        self._due = now + self._threshold
        for conn, checkout in list(self._checkouts.items()):
            if now - checkout.since < self._threshold:
                self._due = checkout.since + self._threshold
                return
            if not checkout.reported:
                checkout.reported = True
                logger.warning(
                    "a connection (server process %d) has been in use for %.1f s. It was acquired here:\n%s",
                    conn.pgconn.backend_pid if not conn.closed else 0,
                    now - checkout.since,
                    checkout.traceback(),
                )


def _stack() -> list[tuple[CodeType, int]]:
    """The innermost frames outside this package, without holding on to them."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - the documented way
    found: list[tuple[CodeType, int]] = []
    while frame is not None:
        code = frame.f_code
        if not _is_ours(code.co_filename):
            found.append((code, frame.f_lasti))
            if len(found) == _FRAMES:
                break
        frame = frame.f_back
    return found


@cache
def _is_ours(file: str) -> bool:
    return file.startswith(_PACKAGE)


def _line(code: CodeType, offset: int) -> int:
    return next((line for start, end, line in code.co_lines() if start <= offset < end and line), code.co_firstlineno)

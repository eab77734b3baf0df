"""The arrival of an answer, as a task can await it.

A task that awaits an `asyncio.Future` is resumed by the loop's next turn, which asks the operating system once more
what has happened. An `Arrival` resumes it in the turn that saw the answer: half of the time that a statement costs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any, Self

from psycopg.pq import ConnStatus
from psycopg.pq.abc import PGconn

from rowsmith.deadlines import exceeded, remaining

_Wake = Callable[["Arrival"], object]
_HEARTBEAT_SECONDS = 0.5


class Arrival:
    """Something to read at a connection's socket. It is awaited inside a `with` of it, by one task at a time.

    Raises DeadlineExceededError where the task's deadline comes first.

    It is a future as far as a task asks (`_asyncio_future_blocking` and the methods of asyncio.Future that a task
    calls: Lib/asyncio/tasks.py), for any number of waits.
    """

    _asyncio_future_blocking = False

    def __init__(self, pgconn: PGconn) -> None:
        self._pgconn = pgconn
        self._loop: asyncio.AbstractEventLoop
        self._socket = -1
        self._wake: _Wake | None = None
        self._context: Context | None = None
        self._error: BaseException | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._heartbeat: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        left = remaining()
        self._loop = asyncio.get_running_loop()
        self._socket = self._pgconn.socket
        self._loop.add_reader(self._socket, self._arrived)
        if left is not None:
            self._timer = self._loop.call_later(left, self._expire)
        if self._heartbeat is None:
            self._heartbeat = self._loop.call_later(_HEARTBEAT_SECONDS, self._beat)
        return self

    def __exit__(self, *_: object) -> None:
        # Before anything closes the socket: the next one may get its number, and the loop would take it for this one.
        self._loop.remove_reader(self._socket)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def __await__(self) -> Generator[Any, None, None]:
        self._asyncio_future_blocking = True
        yield self
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _arrived(self) -> None:
        wake, self._wake = self._wake, None
        if wake is not None and self._context is not None:
            self._context.run(wake, self)

    def _expire(self) -> None:
        if self._wake is not None:
            self._error = exceeded()
            self._arrived()

    def _beat(self) -> None:
        """A socket that another task closes is never ready: look after it from time to time."""
        self._heartbeat = None
        if self._wake is None:
            return
        if self._pgconn.status == ConnStatus.BAD:
            self._loop.call_soon(self._arrived)
        else:
            self._heartbeat = self._loop.call_later(_HEARTBEAT_SECONDS, self._beat)

    # --- what a task calls ---

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def add_done_callback(self, wake: _Wake, *, context: Context) -> None:
        self._wake, self._context = wake, context

    def result(self) -> None:
        return None

    def cancel(self, msg: Any | None = None) -> bool:
        wake, self._wake = self._wake, None
        if wake is None:
            return False  # it has arrived, and the task is about to run
        self._error = asyncio.CancelledError() if msg is None else asyncio.CancelledError(msg)
        self._loop.call_soon(wake, self, context=self._context)
        return True

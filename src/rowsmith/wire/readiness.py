"""Waiting until there is something to read from a connection's socket, for threads and for tasks.

A task that awaits an `asyncio.Future` is resumed in the loop's next turn, which asks the operating system once more
what has happened; and a socket that is watched for one answer only is registered and removed again each time.
`AsyncReadiness` resumes the task in the turn that saw the answer, and goes on watching: half of what a statement costs.
"""

from __future__ import annotations

import asyncio
import math
import os
import select
import weakref
from collections.abc import Callable, Generator
from contextlib import suppress
from time import monotonic
from typing import Any, Self

from psycopg import AsyncConnection, Connection
from psycopg.pq import ConnStatus

from rowsmith.wire.deadlines import CURRENT, current_end, exceeded, remaining

# As long as psycopg: a signal that comes just before a wait begins is seen when that wait ends.
_INTERVAL_MS = 100
_HEARTBEAT_SECONDS = 0.5


class Readiness:
    """Something to read from a connection's socket, for one thread at a time."""

    def __init__(self, conn: Connection[Any]) -> None:
        self._pgconn = conn.pgconn
        poll = select.poll()
        poll.register(conn.pgconn.socket, select.POLLIN)
        self._poll = poll.poll

    def wait(self) -> None:
        """Wait. Also ends if another thread closes the connection. Raises DeadlineExceededError."""
        while not self._poll(_INTERVAL_MS if CURRENT.get() is None else self._milliseconds_left()):
            if self._pgconn.status == ConnStatus.BAD:  # the number of its socket may be in use again
                return

    def _milliseconds_left(self) -> int:
        left = remaining()
        return _INTERVAL_MS if left is None else min(_INTERVAL_MS, math.ceil(left * 1000))


class AsyncReadiness:
    """Something to read from a connection's socket, awaited by one task at a time, any number of times.

    To a task it is a future (`_asyncio_future_blocking`, and the methods of asyncio.Future that a task calls:
    Lib/asyncio/tasks.py). As the task registers, only functions in C are called: an exception that the handler of a
    signal raises there would never reach the task, and the task would wait for ever.
    """

    _asyncio_future_blocking = False
    get_loop = staticmethod(asyncio.get_running_loop)
    result = staticmethod([].clear)
    """Returns None."""

    def __init__(self, conn: AsyncConnection[Any]) -> None:
        self._pgconn = conn.pgconn
        # A duplicate of the socket: when libpq closes its own, the next socket gets that number, and the loop would
        # take it for the one that it watches.
        self._socket = -1
        self._loop: asyncio.AbstractEventLoop | None = None
        """The one that watches the socket."""
        self._registered: asyncio.Future[Any] | None = None
        """Keeps the callback of the task that waits, and is never done."""
        self.add_done_callback: Callable[..., object] | None = None
        self._error: BaseException | None = None
        self._heartbeat: asyncio.TimerHandle | None = None
        weakref.finalize(conn, self.close).atexit = False

    def wait(self) -> Self:
        """To be awaited. Also ends if another task closes the connection. Raises DeadlineExceededError."""
        return self

    def __await__(self) -> Generator[Any, None, None]:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._watch(loop)
        end = None if CURRENT.get() is None else current_end()
        if self._heartbeat is None:
            self._heartbeat = loop.call_later(_HEARTBEAT_SECONDS, self._beat)
        timer = None if end is None else loop.call_later(end - monotonic(), self._expire)
        error: BaseException | None = None
        try:
            registered: asyncio.Future[Any] = asyncio.Future(loop=loop)
            self._registered, self.add_done_callback = registered, registered.add_done_callback
            self._asyncio_future_blocking = True
            yield self
        finally:
            self._registered = self.add_done_callback = None
            error, self._error = self._error, None  # also if the task was cancelled a second time
            if timer is not None:
                timer.cancel()
        if error is not None:
            raise error

    def close(self) -> None:
        """Stop watching the socket."""
        self._leave()
        if self._heartbeat is not None:  # it would keep the connection's socket for a while
            self._heartbeat.cancel()
            self._heartbeat = None
        if self._socket >= 0:
            socket, self._socket = self._socket, -1
            os.close(socket)

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        self._leave()
        if self._socket < 0:
            self._socket = os.dup(self._pgconn.socket)
        loop.add_reader(self._socket, self._arrived)
        self._loop = loop

    def _leave(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None:
            with suppress(RuntimeError):  # the loop is closed
                loop.remove_reader(self._socket)

    def _arrived(self) -> None:
        registered: Any = self._registered
        if registered is not None:
            ((wake, context),) = registered._callbacks  # noqa: SLF001
            # It refers to the task, and the task to its exception.
            self._registered = self.add_done_callback = None
            context.run(wake, self)
        elif self._pgconn.status == ConnStatus.BAD:
            self.close()
        else:  # for psycopg's own wait, or for nobody yet: it stays readable, and the loop would call again and again
            self._leave()

    def _expire(self) -> None:
        if self._registered is not None:
            self._error = exceeded()
            self._arrived()

    def _beat(self) -> None:
        """Look from time to time whether another task has closed the connection: then no answer comes any more."""
        self._heartbeat = None
        if self._registered is None or self._loop is None:
            return
        if self._pgconn.status == ConnStatus.BAD:
            self._arrived()
        else:
            self._heartbeat = self._loop.call_later(_HEARTBEAT_SECONDS, self._beat)

    # --- called by the task ---

    def cancel(self, msg: Any | None = None) -> bool:
        if self._registered is None or self._error is not None or self._loop is None:
            return False  # the task is about to run
        self._error = asyncio.CancelledError() if msg is None else asyncio.CancelledError(msg)
        self._loop.call_soon(self._arrived)
        return True

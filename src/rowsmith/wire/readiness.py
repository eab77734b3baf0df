"""The arrival of an answer, as a task can await it.

A task that awaits an `asyncio.Future` is resumed by the loop's next turn, which asks the operating system once more
what has happened, and a socket that is watched for one answer alone is registered and taken out again each time. An
`Arrival` resumes the task in the turn that saw the answer, and goes on watching: half of what a statement costs.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Generator
from contextlib import suppress
from contextvars import Context
from time import monotonic
from typing import Any

from psycopg.pq import ConnStatus
from psycopg.pq.abc import PGconn

from rowsmith.wire.deadlines import CURRENT, exceeded

_Wake = Callable[["Arrival"], object]
_HEARTBEAT_SECONDS = 0.5


class Arrival:
    """Something to read at a connection's socket, awaited by one task at a time, for any number of times.

    It is a future as far as a task asks (`_asyncio_future_blocking` and the methods of asyncio.Future that a task
    calls: Lib/asyncio/tasks.py). Raises DeadlineExceededError where the task's deadline comes first.
    """

    _asyncio_future_blocking = False

    def __init__(self, pgconn: PGconn) -> None:
        self._pgconn = pgconn
        # A number of our own for the socket: when libpq closes its one, the next socket gets that, and the loop would
        # take it for the one that it watches.
        self._socket = -1
        self._loop: asyncio.AbstractEventLoop | None = None
        """The one that watches the socket, None where none does."""
        self._wake: _Wake | None = None
        self._context: Context | None = None
        self._error: BaseException | None = None
        self._heartbeat: asyncio.TimerHandle | None = None

    def __await__(self) -> Generator[Any, None, None]:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._watch(loop)
        end = CURRENT.get()
        timer = None if end is None else loop.call_later(end - monotonic(), self._expire)
        self._asyncio_future_blocking = True
        error: BaseException | None = None
        try:
            yield self
        finally:
            error, self._error = self._error, None  # also where the task was cancelled a second time
            if timer is not None:
                timer.cancel()
        if error is not None:
            raise error

    def close(self) -> None:
        """Watch the socket no more."""
        self._leave()
        if self._heartbeat is not None:  # which would keep the connection's socket for a while
            self._heartbeat.cancel()
            self._heartbeat = None
        if self._socket >= 0:
            os.close(self._socket)
            self._socket = -1

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        self._leave()
        if self._socket < 0:
            self._socket = os.dup(self._pgconn.socket)
        loop.add_reader(self._socket, self._arrived)
        self._loop = loop

    def _leave(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None:
            with suppress(RuntimeError):  # of a loop that is closed
                loop.remove_reader(self._socket)

    def _arrived(self) -> None:
        wake, self._wake = self._wake, None
        if wake is not None and self._context is not None:
            self._context.run(wake, self)
        elif self._pgconn.status == ConnStatus.BAD:
            self.close()
        else:  # for psycopg's own wait, or for nobody yet: it stays readable, and the loop would call again and again
            self._leave()

    def _expire(self) -> None:
        if self._wake is not None:
            self._error = exceeded()
            self._arrived()

    def _beat(self) -> None:
        """A connection that another task closes gives no answer any more: look after it from time to time."""
        self._heartbeat = None
        if self._wake is None or self._loop is None:
            return
        if self._pgconn.status == ConnStatus.BAD:
            self._arrived()
        else:
            self._heartbeat = self._loop.call_later(_HEARTBEAT_SECONDS, self._beat)

    # --- what a task calls ---

    def get_loop(self) -> asyncio.AbstractEventLoop | None:
        return self._loop

    def add_done_callback(self, wake: _Wake, *, context: Context) -> None:
        self._wake, self._context = wake, context
        if self._heartbeat is None and self._loop is not None:
            self._heartbeat = self._loop.call_later(_HEARTBEAT_SECONDS, self._beat)

    def result(self) -> None:
        return None

    def cancel(self, msg: Any | None = None) -> bool:
        wake, self._wake = self._wake, None
        if wake is None or self._loop is None:
            return False  # it has arrived, and the task is about to run
        self._error = asyncio.CancelledError() if msg is None else asyncio.CancelledError(msg)
        self._loop.call_soon(wake, self, context=self._context)
        return True

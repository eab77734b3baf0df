"""What a synchronous module and its asynchronous twin need under two names: locks, sleep, a call with a deadline."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

_T = TypeVar("_T")

alock = asyncio.Lock
lock = threading.Lock
asleep = asyncio.sleep
sleep = time.sleep


async def awithin(seconds: float, call: Callable[[], Awaitable[_T]], discard: Callable[[_T], object]) -> _T:
    """The result of `call`, or TimeoutError after so many seconds. `discard` is for the thread's twin, `within`."""
    del discard  # a cancelled connection attempt leaves nothing behind
    return await asyncio.wait_for(call(), seconds)


def within(seconds: float, call: Callable[[], _T], discard: Callable[[_T], object]) -> _T:
    """The result of `call`, or TimeoutError after so many seconds.

    For calls that cannot be interrupted: libpq looks up a host name in C, and waits there. The call runs in a thread
    of its own; when it ends too late, its result is given to `discard`.
    """
    future: Future[_T] = Future()

    def run() -> None:
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
            future.set_exception(error)
        else:
            future.set_result(result)

    def too_late(finished: Future[_T]) -> None:
        with suppress(Exception):
            discard(finished.result())

    threading.Thread(target=run, name="rowsmith-within", daemon=True).start()
    try:
        return future.result(seconds)
    except TimeoutError:
        future.add_done_callback(too_late)
        raise

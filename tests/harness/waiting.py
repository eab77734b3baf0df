"""Waiting for events. No test waits for time to pass: the deadlines here are only reached where something hangs."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

import pytest

PATIENCE = 60.0
"""Seconds after which something counts as hung: far more than anything takes, on a busy machine too."""
SOON = 20.0
"""Seconds: more than what a test expects can take, and less than what it waits for in vain."""
_STEP = 0.005
"""Seconds between two looks at a condition."""
_T = TypeVar("_T")


def wait_until(condition: Callable[[], object], seconds: float = PATIENCE, step: float = _STEP) -> None:
    """Until a condition holds. It is looked at again and again."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(step)


async def until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """The same, in an event loop that goes on meanwhile."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(_STEP)


def bounded(work: Callable[[], _T], seconds: float = PATIENCE) -> _T:
    """The result of `work`, in a thread of its own. If it hangs, the test fails with the stack of where it hangs."""
    future: Future[_T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - handed to the test's thread
            future.set_exception(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if not future.done():
        frames = sys._current_frames()  # pyright: ignore[reportPrivateUsage] - the documented way
        pytest.fail(f"hung for {seconds} s:\n{''.join(traceback.format_stack(frames[thread.ident or 0]))}")
    return future.result()

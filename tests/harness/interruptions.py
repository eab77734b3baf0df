"""Exceptions that come from outside, at any step of the code: what a handler of a signal raises."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from opcode import opname
from operator import attrgetter, itemgetter
from types import CodeType, FrameType

CALLED_BY_THE_LOOP = ("get_loop", "add_done_callback", "cancel")
"""Methods of what a task waits for. asyncio calls them outside of its coroutines, though it is the current task."""


AWAITS = "GET_AWAITABLE"
"""What comes after the call of a coroutine function, of which no code has run.

Python looks for signals there only as `async with` calls `__aexit__`. If a handler raises then, no code of `__aexit__`
runs, and an asyncio.Lock stays locked for ever: no library can help it.
"""


class Step:
    """Raises an exception at one step of the Python code of some packages, for `sys.settrace`.

    A step is where the interpreter looks for signals: as a function begins, as a generator goes on, and after a call of
    a function that is not Python's (manual of the `signal` module, "Execution of Python signal handlers"). It does not
    look as a coroutine goes on after `await`.

    With a `task`, only its steps count: not those of other tasks, nor what the event loop calls. An exception comes up
    in the coroutine that is running then, and the event loop gives it to the task.
    """

    def __init__(
        self,
        number: int,
        packages: tuple[str, ...],
        error: type[BaseException],
        task: asyncio.Task[object] | None = None,
    ) -> None:
        self._left = number
        self._task = task
        self._packages = packages
        self._error = error
        self.reached = False
        self._called: FrameType | None = None

    def __call__(self, frame: FrameType, event: str, _: object) -> Step | None:
        if frame.f_globals.get("__name__", "").split(".")[0] not in self._packages:
            return None
        if self._task is not None and not _is_step_of_task(frame.f_code, self._task):
            return None
        frame.f_trace_opcodes = True
        called = event == "opcode" and self._called is frame and opname[frame.f_code.co_code[frame.f_lasti]] != AWAITS
        if called or (event == "call" and not _goes_on(frame)):
            self._left -= 1
        self._called = None
        if self._left == 0:
            self.reached = True
            raise self._error
        if event == "opcode" and opname[frame.f_code.co_code[frame.f_lasti]].startswith("CALL"):
            self._called = frame
        return self


def _is_step_of_task(code: CodeType, task: asyncio.Task[object]) -> bool:
    return asyncio.current_task(task.get_loop()) is task and code.co_name not in CALLED_BY_THE_LOOP


def _goes_on(frame: FrameType) -> bool:
    """Whether a frame goes on after `yield from` or `await` (Python's documentation of `dis`, RESUME)."""
    code, at = frame.f_code.co_code, frame.f_lasti
    return at >= 0 and opname[code[at]] == "RESUME" and code[at + 1] & 3 >= 2


@contextmanager
def stepping(
    number: int,
    *,
    packages: tuple[str, ...] = ("rowsmith", "psycopg"),
    error: type[BaseException] = KeyboardInterrupt,
    task: asyncio.Task[object] | None = None,
) -> Generator[Step]:
    """A block that is interrupted at that step, if it has as many: one of this thread, or of one of its tasks."""
    step, previous = Step(number, packages, error, task), sys.gettrace()
    try:
        sys.settrace(step)
        yield step
    finally:
        sys.settrace(previous)


def interrupted_at(
    number: int,
    work: Callable[[], object],
    *,
    packages: tuple[str, ...] = ("rowsmith", "psycopg"),
    error: type[BaseException] = KeyboardInterrupt,
) -> bool:
    """Whether the work of this thread has as many steps; it is interrupted there."""
    with stepping(number, packages=packages, error=error) as step, suppress(error):
        work()
    return step.reached


class Striker:
    """A thread that raises an exception in others, at moments of time and not at steps, and without tracing them.

    It is raised where the interpreter looks for signals, in code of the packages.
    """

    def __init__(self, packages: tuple[str, ...], error: type[BaseException]) -> None:
        self._packages, self._error = packages, error
        self._targets: set[_Target] = set()
        self._striking = threading.Lock()
        self.strikes = 0

    def run(self, ended: threading.Event) -> None:
        """Strike, until the event is set."""
        while not ended.wait(0.0005):
            now = time.monotonic()
            for target in list(self._targets):
                if now >= target.due:
                    with self._striking:
                        self._strike(target)

    @contextmanager
    def striking(self, seconds: float, task: asyncio.Task[object] | None = None) -> Generator[None]:
        """A block of this thread, or of one of its tasks, that is struck once after so many seconds, if it is still
        running then.
        """
        target = _Target(threading.get_ident(), time.monotonic() + seconds, task)
        self._targets.add(target)
        try:
            yield
        finally:
            self._targets.discard(target)
            with self._striking:  # if it is being struck, it is in here, and not afterwards
                pass

    def _strike(self, target: _Target) -> None:
        if target not in self._targets or not self._is_ours(*_position(target.thread), target.task):
            return
        self._targets.discard(target)
        thread, error = ctypes.c_ulong(target.thread), ctypes.py_object(self._error)
        self.strikes += ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, error)

    def _is_ours(self, names: dict[str, object], code: CodeType, at: int, task: asyncio.Task[object] | None) -> bool:
        if str(names.get("__name__")).split(".")[0] not in self._packages:
            return False
        return task is None or (_is_step_of_task(code, task) and _next_operation(code, at) != AWAITS)


class _Target:
    """What is to be struck, and when."""

    def __init__(self, thread: int, due: float, task: asyncio.Task[object] | None) -> None:
        self.thread, self.due, self.task = thread, due, task


def _position(thread: int) -> tuple[dict[str, object], CodeType, int]:
    """The global names, the code and the place in it that a thread has reached.

    All in one call of a function in C: no other thread runs meanwhile, and nobody is left with a frame, which would
    keep what its variables refer to.
    """
    frames = map(itemgetter(thread), iter(sys._current_frames, None))  # pyright: ignore[reportPrivateUsage]
    gc.disable()  # the interpreter holds a lock meanwhile, which a finalizer may need that starts a thread
    try:
        return next(map(attrgetter("f_globals", "f_code", "f_lasti"), frames))
    finally:
        gc.enable()


def _next_operation(code: CodeType, at: int) -> str:
    operations, at = code.co_code, at + 2
    while at < len(operations) and opname[operations[at]] == "CACHE":
        at += 2
    return opname[operations[at]] if at < len(operations) else ""

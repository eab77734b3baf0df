"""Exceptions that come from outside, at any step of the code: what a handler of a signal raises."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from opcode import opname
from types import FrameType


class Step:
    """Raises an exception at one step of the Python code of some packages, for `sys.settrace`.

    A step is where the interpreter looks for signals: as a function begins, and after a call of one that is not
    Python's (manual of the `signal` module, "Execution of Python signal handlers").
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
        if self._task is not None and asyncio.current_task() is not self._task:
            return None
        frame.f_trace_opcodes = True
        if event == "call" or (event == "opcode" and self._called is frame):
            self._left -= 1
        self._called = None
        if self._left == 0:
            self.reached = True
            raise self._error
        if event == "opcode" and opname[frame.f_code.co_code[frame.f_lasti]].startswith("CALL"):
            self._called = frame
        return self


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

"""Blocks for threads and for tasks: what `db.transaction()` and its siblings return."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, Generic, TypeVar

from rowsmith.errors import TransactionError

_S = TypeVar("_S")
_A = TypeVar("_A")


class Block(Generic[_S, _A]):
    """A context manager: `with` enters the synchronous one, `async with` the asynchronous one."""

    def __init__(
        self, make: Callable[[], AbstractContextManager[_S]], amake: Callable[[], AbstractAsyncContextManager[_A]]
    ) -> None:
        self._make, self._amake = make, amake
        self._entered: Any = None

    def __enter__(self) -> _S:
        if self._entered is not None:
            raise _entered_twice()
        self._entered = block = self._make()
        try:
            return block.__enter__()
        except BaseException:
            self._entered = None
            raise

    def __exit__(self, *exc_info: object) -> None:
        entered, self._entered = self._entered, None
        entered.__exit__(*exc_info)

    async def __aenter__(self) -> _A:
        if self._entered is not None:
            raise _entered_twice()
        self._entered = block = self._amake()
        try:
            return await block.__aenter__()
        except BaseException:
            self._entered = None
            raise

    async def __aexit__(self, *exc_info: object) -> None:
        entered, self._entered = self._entered, None
        await entered.__aexit__(*exc_info)


def _entered_twice() -> TransactionError:
    return TransactionError("this block is entered already: call transaction() or connection() for each `with`")

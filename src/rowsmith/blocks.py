"""Blocks for threads and for tasks: what `db.transaction()` and its siblings return."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import TracebackType
from typing import Generic, TypeVar

from rowsmith.errors import TransactionError

_S = TypeVar("_S")
_A = TypeVar("_A")


class Block(Generic[_S, _A]):
    """A context manager: `with` enters the synchronous one, `async with` the asynchronous one."""

    def __init__(
        self, enter: Callable[[], AbstractContextManager[_S]], aenter: Callable[[], AbstractAsyncContextManager[_A]]
    ) -> None:
        self._make, self._amake = enter, aenter
        self._entered: AbstractContextManager[_S] | None = None
        self._aentered: AbstractAsyncContextManager[_A] | None = None

    def __enter__(self) -> _S:
        self._check_free()
        self._entered = self._make()
        try:
            return self._entered.__enter__()
        except BaseException:
            self._entered = None
            raise

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        entered, self._entered = self._entered, None
        if entered is not None:
            entered.__exit__(exc_type, exc, traceback)

    async def __aenter__(self) -> _A:
        self._check_free()
        self._aentered = self._amake()
        try:
            return await self._aentered.__aenter__()
        except BaseException:
            self._aentered = None
            raise

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        entered, self._aentered = self._aentered, None
        if entered is not None:
            await entered.__aexit__(exc_type, exc, traceback)

    def _check_free(self) -> None:
        if self._entered is not None or self._aentered is not None:
            raise TransactionError("this block is entered already: call transaction() or connection() for each `with`")

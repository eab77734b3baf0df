"""Blocks for threads and for tasks: what `db.transaction()` and its siblings return."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import MethodType
from typing import Any, Generic, TypeVar
from weakref import ReferenceType, ref

from rowsmith.errors import TransactionError

_S = TypeVar("_S")
_A = TypeVar("_A")
_T = TypeVar("_T")


class Block(Generic[_S, _A]):
    """A context manager: `with` enters the synchronous one, `async with` the asynchronous one."""

    def __init__(
        self, make: Callable[[], AbstractContextManager[_S]], amake: Callable[[], AbstractAsyncContextManager[_A]]
    ) -> None:
        self._make, self._amake = make, amake
        self._entered: Any = None
        self.statement: ReferenceType[MethodType] | None = None
        """To what a running `with` statement alone refers. None if the block was entered by hand."""

    def __enter__(self) -> _S:
        if self._entered is not None:
            raise _entered_twice()
        block: Any = self._make()
        self._entered = block
        block.statement = self.statement
        try:
            given: _S = block.__enter__()
        except BaseException:
            self._entered = None
            raise
        return given

    def __exit__(self, *exc_info: object) -> None:
        entered, self._entered, self.statement = self._entered, None, None
        entered.__exit__(*exc_info)

    async def __aenter__(self) -> _A:
        if self._entered is not None:
            raise _entered_twice()
        block: Any = self._amake()
        self._entered = block
        block.statement = self.statement
        try:
            given: _A = await block.__aenter__()
        except BaseException:
            self._entered = None
            raise
        return given

    async def __aexit__(self, *exc_info: object) -> None:
        entered, self._entered, self.statement = self._entered, None, None
        await entered.__aexit__(*exc_info)


class _Watched:
    """A method `__exit__` or `__aexit__` whose object knows how long a `with` statement will still call it.

    A statement looks the method up before it enters the block, and keeps what it has found on the stack of its frame,
    where nothing else refers to it. When the statement is left, in whatever way, that is gone; an exception that comes
    before any code of the method has run cannot keep it alive.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __get__(self, block: Any, owner: type) -> Any:
        if block is None:
            return self._function
        method = MethodType(self._function, block)
        block.statement = ref(method)
        return method


def _watching(kind: type[_T]) -> type[_T]:
    for name in ("__exit__", "__aexit__"):
        setattr(kind, name, _Watched(getattr(kind, name)))
    return kind


@_watching
class TransactionalBlock(Block[_S, _A]):
    """A block that later blocks join, for as long as its `with` statement runs."""


def _entered_twice() -> TransactionError:
    return TransactionError("this block is entered already: call transaction() or connection() for each `with`")

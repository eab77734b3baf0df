"""What threads and tasks do differently: locks, pauses, timeouts, interruptions, and the end of a program."""

from __future__ import annotations

import _thread
import asyncio
import atexit
import sys
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import Context, ContextVar
from types import FrameType, MethodType, coroutine
from typing import Any, Protocol, TypeVar
from weakref import ReferenceType, WeakMethod, ref

from psycopg import AsyncConnection, Connection
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, ConnectionPool

_T = TypeVar("_T")
_C = TypeVar("_C", bound=AsyncConnection[Any])
_S = TypeVar("_S", bound=Connection[Any])
_R_co = TypeVar("_R_co", covariant=True)


class Work(Protocol[_R_co]):
    """A function of a connection in a transaction."""

    def __call__(self, conn: Connection[TupleRow], /) -> _R_co: ...


class AsyncWork(Protocol[_R_co]):
    """A coroutine function of a connection in a transaction."""

    def __call__(self, conn: AsyncConnection[TupleRow], /) -> Awaitable[_R_co]: ...


Owner = asyncio.Task[Any] | threading.Thread
"""Who a transaction or a connection belongs to: the task that opened it or, outside an event loop, the thread."""

_waiting: set[asyncio.Task[None]] = set()
_here: ContextVar[object] = ContextVar("rowsmith_here", default=None)


class _Left:
    """The `__aexit__` of AsyncLock. What a statement finds is on the stack of its frame, and gone when it is left."""

    def __get__(self, lock: AsyncLock | None, owner: type) -> Callable[..., Awaitable[None]]:
        if lock is None:
            return _leave
        method = MethodType(_leave, lock)
        lock.statement = ref(method, lock.left)
        return method


class AsyncLock(asyncio.Lock):
    """An asyncio.Lock that is free again once its `async with` is left, in whatever way.

    If the handler of a signal raises an exception as `__aexit__` is called, none of its code runs.
    """

    statement: _Statement | None = None
    """The last one that was entered."""
    _holder: _Statement | None = None
    _locked: bool
    _waiters: deque[asyncio.Future[Any]] | None

    async def __aenter__(self) -> None:
        statement = self.statement
        if self._locked or self._waiters:
            await self.acquire()
        else:
            self._locked = True
        self._holder = statement

    __aexit__: Any = _Left()

    def left(self, statement: _Statement) -> None:
        """Release the lock if the statement holds it."""
        if self._holder is statement:
            self._holder, self._locked = None, False
            if self._waiters:
                self._wake_up_first()  # type: ignore[attr-defined]


async def _leave(lock: AsyncLock, *_: object) -> None:
    holder = lock._holder  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    if holder is not None:
        lock.left(holder)


_Statement = ReferenceType[MethodType]

lock_async = AsyncLock
lock_sync = threading.Lock
sleep_async = asyncio.sleep
sleep_sync = time.sleep


async def acquire_async(lock: asyncio.Lock, seconds: float) -> bool:
    """Acquire a lock, unless that takes longer than so many seconds; whether it was acquired."""
    try:
        return await asyncio.wait_for(lock.acquire(), seconds)
    except TimeoutError:
        return False


def acquire_sync(lock: threading.Lock, seconds: float) -> bool:
    """Acquire a lock, unless that takes longer than so many seconds; whether it was acquired."""
    return lock.acquire(timeout=seconds)


@asynccontextmanager
async def hold_if_free_async(lock: asyncio.Lock) -> AsyncGenerator[bool]:
    """Hold a lock for a block, if that is possible at once; whether it is held."""
    if lock.locked():
        yield False
    else:
        async with lock:
            yield True


@contextmanager
def hold_if_free_sync(lock: threading.Lock) -> Generator[bool]:
    """Hold a lock for a block, if that is possible at once; whether it is held."""
    held = lock.acquire(blocking=False)
    try:
        yield held
    finally:
        if held:
            lock.release()


async def within_async(seconds: float, call: Callable[[], Awaitable[_T]], discard: Callable[[_T], object]) -> _T:
    """The result of `call`. Raises TimeoutError after so many seconds. `discard` is for its twin, `within_sync`."""
    del discard  # a cancelled connection attempt leaves nothing behind
    return await asyncio.wait_for(call(), seconds)


def at_end_async(method: Callable[[], Awaitable[object]]) -> Callable[[], None]:
    """Have a method awaited when the event loop ends, if its object still exists. Returns what undoes this.

    `asyncio.run` ends a loop by cancelling its tasks and waiting for them. A worker of psycopg_pool that is cancelled
    while it connects takes that for a failed attempt and goes on, so the program would hang: pools must be closed.
    """
    reference = WeakMethod(method)
    undone = asyncio.Event()

    async def wait() -> None:
        try:
            await undone.wait()
        except asyncio.CancelledError:
            call = reference()
            with suppress(asyncio.CancelledError):  # the workers are being cancelled too
                if call is not None:
                    await call()
            raise

    task = asyncio.create_task(wait(), name="rowsmith-at-end")
    _waiting.add(task)  # an event loop only has weak references to its tasks
    task.add_done_callback(_waiting.discard)
    return undone.set


def at_end_sync(method: Callable[[], object]) -> Callable[[], None]:
    """Have a method called when the interpreter ends, if its object still exists. Returns what undoes this."""
    reference = WeakMethod(method)

    def run() -> None:
        if (call := reference()) is not None:
            call()

    atexit.register(run)
    return lambda: atexit.unregister(run)


def within_sync(seconds: float | None, call: Callable[[], _T], discard: Callable[[_T], object]) -> _T:
    """The result of `call`. Raises TimeoutError after so many seconds (None: never).

    For calls that cannot be interrupted, since libpq looks up host names in C. The call runs in another thread. If it
    ends too late, its result is passed to `discard`.
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

    thread = threading.Thread(target=run, name="rowsmith-within", daemon=True)
    try:
        thread.start()  # which waits, and can be interrupted as well
        return future.result(seconds)
    except BaseException:
        if not future.done() or future.exception() is None:
            future.add_done_callback(too_late)
        raise


async def putconn_async(pool: AsyncConnectionPool[_C], conn: _C) -> None:
    """Return a connection to psycopg's pool.

    psycopg_pool loses it if the task is cancelled while `putconn` waits for the pool's lock or for a client. It hardly
    ever waits. If it does, it runs on in a task of its own, and the cancellation is raised afterwards.
    """
    putting = pool.putconn(conn)
    try:
        waited_for = putting.send(None)
    except StopIteration:  # returned without a wait
        return
    except BaseException as error:
        free_async(pool, error)
        raise
    task = asyncio.ensure_future(_go_on(putting, waited_for))
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
    task.result()
    if cancelled is not None:
        raise cancelled


def free_async(pool: AsyncConnectionPool[Any], error: BaseException) -> None:
    """Release the lock of psycopg's pool if an error came in the step that has locked it, and was to release it.

    Nothing waits while it holds that lock. So it is another task's only for one that was cancelled as it waited for it.
    See `AsyncLock`.
    """
    lock = pool._lock  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    if lock.locked() and not isinstance(error, asyncio.CancelledError):
        lock.release()


def free_sync(pool: ConnectionPool[Any], error: BaseException) -> None:
    """Nothing: as the lock of a thread is released, no signal is looked for."""


async def _go_on(begun: Coroutine[Any, Any, None], waited_for: Any) -> None:
    await _rest(begun, waited_for)


@coroutine
def _rest(begun: Coroutine[Any, Any, None], waited_for: Any) -> Generator[Any, Any, None]:
    """The rest of a coroutine whose first step was made by hand and has reached a wait."""
    with suppress(StopIteration):
        while True:
            try:
                answer = yield waited_for
            except BaseException as error:  # noqa: BLE001 - the coroutine handles it
                waited_for = begun.throw(error)
            else:
                waited_for = begun.send(answer)


def putconn_sync(pool: ConnectionPool[_S], conn: _S) -> None:
    """Return a connection to psycopg's pool. Nothing cancels a thread."""
    pool.putconn(conn)


async def uninterrupted_async(call: Callable[[], Awaitable[_T]], discard: Callable[[_T], object]) -> _T:
    """The result of `call`. A task is cancelled where it waits, and nothing else interrupts it."""
    del discard
    return await call()


def uninterrupted_sync(call: Callable[[], _T], discard: Callable[[_T], object]) -> _T:
    """The result of `call`, if it would lose something when KeyboardInterrupt is raised inside it.

    Only the main thread gets KeyboardInterrupt. There the call runs in another thread. If the wait for it is
    interrupted, its result is passed to `discard`.
    """
    if threading.current_thread() is not threading.main_thread():
        return call()
    return within_sync(None, call, discard)


def later_async() -> Callable[[Callable[[], Coroutine[Any, Any, object]]], None]:
    """What has a coroutine function called by the running event loop, soon. The garbage collector may call it."""
    loop = asyncio.get_running_loop()
    running: set[asyncio.Task[object]] = set()

    def start(call: Callable[[], Coroutine[Any, Any, object]]) -> None:
        task = loop.create_task(call())
        running.add(task)
        task.add_done_callback(running.discard)

    def later(call: Callable[[], Coroutine[Any, Any, object]]) -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(start, call)

    return later


def later_sync() -> Callable[[Callable[[], object]], None]:
    """What has a function called by another thread, soon. The garbage collector may call it.

    The collector may run in the middle of `threading`, while its locks are held. `_thread` has none.
    """

    def start(call: Callable[[], object]) -> None:
        threading.Thread(target=call, name="rowsmith-later", daemon=True).start()

    def later(call: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the interpreter is ending
            _thread.start_new_thread(start, (call,))

    return later


def current_owner() -> Owner:
    """The running task, or the current thread if no event loop is running."""
    # asyncio.current_task() alone would raise an error if none is running.
    loop = asyncio._get_running_loop()  # noqa: SLF001
    task = None if loop is None else asyncio.current_task(loop)
    return task or threading.current_thread()


def waiting() -> object:
    """The running task or, in a worker thread of anyio, the task that waits for it; None in any other thread.

    FastAPI and Starlette run synchronous code in such threads. A task in a task group may have no cancel scope except
    the group's, which does not tell the tasks of the group apart. Then it is that scope.
    """
    owner = current_owner()
    if not isinstance(owner, threading.Thread):
        return owner
    # anyio has no public names for this.
    anyio = sys.modules.get("anyio._core._eventloop")
    scope = None if anyio is None else getattr(anyio.threadlocals, "current_cancel_scope", None)
    task: object = getattr(scope, "_host_task", None)
    in_group: bool = task in getattr(scope, "_tasks", ()) and bool(getattr(scope, "_child_scopes", None))
    return scope if in_group else task


def waits_for_this_thread(task: asyncio.Task[Any]) -> bool:
    """Whether a task waits for the function that this thread runs in a copy of the task's context.

    `asyncio.to_thread`, anyio, Starlette and asgiref make such a copy. It is in a local variable of their coroutine,
    which the task awaits. To recognize it, a context variable is set here, and looked up there.
    """
    if asyncio._get_running_loop() is task.get_loop():  # noqa: SLF001 - as in current_owner
        return False
    token = _here.set(object())
    try:
        mark = _here.get()
        for frame in _frames_of(task):
            for value in frame.f_locals.values():
                if isinstance(value, Context) and value.get(_here) is mark:
                    return True
    finally:
        _here.reset(token)
    return False


def _frames_of(task: asyncio.Task[Any]) -> Generator[FrameType]:
    """The frames of a task of another thread: of what it runs, while it has not begun to wait, and what it awaits."""
    if asyncio.current_task(task.get_loop()) is task:
        for running in sys._current_frames().values():  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - documented
            frame: FrameType | None = running
            while frame is not None:
                yield frame
                frame = frame.f_back
    awaited: Any = task.get_coro()
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None)
        if frame is not None:
            yield frame
        awaited = getattr(awaited, "cr_await", None)

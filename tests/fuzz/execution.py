"""Programs of blocks executed, in a thread or in a task, beside the model of what they must do.

Each call of the library is made first, then the model is asked what it must have done.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Hashable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import count
from typing import Any

from tests.fuzz import programs as p
from tests.fuzz.model import Block, Fault, Loop, Model, Session, Transaction
from tests.harness.drivers import AnyConnection, Driver, Tasks, insert, sql, step_through
from tests.harness.interruptions import Step

PACKAGES = ("rowsmith", "psycopg", "psycopg_pool")


class ApplicationError(Exception):
    """An Exception of the application."""


class ApplicationExit(BaseException):
    """A BaseException of the application."""


class Interruption(BaseException):
    """What a signal's handler raises."""


class Mismatch(BaseException):
    """The library did something other than the model."""


@dataclass
class Place:
    """Where the statements of some steps run."""

    conn: AnyConnection | None = None
    on: Transaction | Session | None = None
    uncertain: bool = False
    """Whether something was interrupted on a connection in autocommit mode."""


class Execution:
    """One run of a program."""

    def __init__(self, here: Driver, queries: Any, numbers: Iterator[int]) -> None:
        self._here = here
        self._queries = queries
        self._numbers = numbers
        self._locks = count()
        self._suspended: list[tuple[Loop, Any]] = []
        self._cancelling = False
        self._owner: ContextVar[Hashable] = ContextVar("owner", default=0)
        self._owners = count(1)
        self.model = Model()
        self.mismatch: str | None = None

    async def run(self, program: p.Program) -> None:
        """Run a program; what it raises in the end is its own affair."""
        for step in program:
            await self._swallow(p.Swallow((step,), base=True), Place())
        while self._suspended:
            with contextlib.suppress(Exception):
                await self._close_last()

    # --- comparing ---

    def _is_outside(self, error: BaseException | None) -> bool:
        return isinstance(error, Interruption) or (isinstance(error, asyncio.CancelledError) and self._cancelling)

    def _compare(self, what: str, fault: Fault, error: BaseException | None) -> None:
        """Raise what the library has raised, and Mismatch if the model expects something else."""
        found = None if error is None else getattr(error, "sqlstate", None) or type(error).__name__
        if found != fault:
            self.mismatch = (
                self.mismatch or f"{what}: expected {fault or 'success'}, found {found or 'success'}: {error}"
            )
            raise Mismatch(self.mismatch) from error
        if error is not None:
            raise error

    # --- steps ---

    async def _steps(self, steps: p.Program, place: Place) -> None:
        for step in steps:
            await self._step(step, place)

    async def _step(self, step: p.Step, place: Place) -> None:
        await getattr(self, f"_{type(step).__name__.lower()}")(step, place)

    async def _raise(self, step: p.Raise, _place: Place) -> None:
        raise ApplicationExit if step.base else ApplicationError

    async def _finish(self, step: p.Finish, _place: Place) -> None:
        await (self._in_another(self._close_last) if step.beside else self._close_last())

    async def _insert(self, step: p.Insert, place: Place) -> None:
        if place.conn is None:
            return
        row, conn = next(self._numbers), place.conn

        async def call() -> None:
            if step.query:
                await self._query("put", conn, n=row)
            else:
                await insert(conn, row)

        await self._statement(place, lambda session: session.insert(row), call, row=row)

    async def _divide(self, step: p.Divide, place: Place) -> None:
        if (conn := place.conn) is not None:
            await self._statement(
                place,
                Session.divide_by_zero,
                lambda: self._query("divide", conn) if step.query else sql(conn, "SELECT 1/0"),
            )

    async def _query(self, name: str, conn: AnyConnection, **values: int) -> None:
        called = getattr(self._queries, name)(conn, **values)
        if isinstance(self._here, Tasks):
            await called

    async def _command(self, step: p.Command, place: Place) -> None:
        conn, text = place.conn, step.text
        if conn is not None and not self._is_uncertain(place):
            await self._statement(place, lambda session: session.command(text), lambda: sql(conn, text), text=text)

    def _is_uncertain(self, place: Place) -> bool:
        return place.uncertain or (isinstance(place.on, Transaction) and place.on.uncertain)

    async def _statement(
        self,
        place: Place,
        statement: Callable[[Session], Fault],
        call: Callable[[], Coroutine[Any, Any, object]],
        *,
        row: int | None = None,
        text: str = "",
    ) -> None:
        assert place.on is not None
        error = await _outcome(call)
        model, on = self.model, place.on
        rows: set[int] = set() if row is None else {row}
        if error is not None and self._is_outside(error):
            session = on.session if isinstance(on, Transaction) else on
            model.perhaps |= rows | (session.pending if text or session is on else set())
            if isinstance(on, Transaction):
                model.interrupt(on)
            else:
                session.end(commit=False)
                place.uncertain = True
            raise error
        if not self._is_uncertain(place):
            self._compare(text or ("INSERT" if rows else "division"), model.run(on, statement, text), error)
        elif error is not None:
            raise error
        elif isinstance(on, Transaction):
            on.blocks[-1].rows |= rows
        else:
            model.perhaps |= rows

    # --- blocks ---

    def _entered(
        self, error: BaseException | None, *, plain: bool = True, read_only: bool = False, generator: Loop | None = None
    ) -> Block:
        """The block that was entered; raises if it was not."""
        owner = self._owner.get()
        outer = self.model.open_transaction(owner)
        if self._is_outside(error) or (error is not None and outer is not None and outer.uncertain):
            if outer is not None:
                self.model.interrupt(outer)
            assert error is not None
            raise error
        block, fault = self.model.enter(owner, plain=plain, read_only=read_only, generator=generator)
        self._compare("entering a block", fault, error)
        assert block is not None
        return block

    def _left(self, block: Block, error: BaseException | None, reason: BaseException | None) -> None:
        """A block was left: `reason` is what its steps have raised, `error` what leaving it has."""
        uncertain = block.transaction.uncertain
        if self._is_outside(error) or uncertain:
            self.model.interrupt(block.transaction)
            acknowledged = error is None and reason is None
            self.model.leave(block, acknowledged=acknowledged, interrupted=self._is_outside(error) and reason is None)
            if error is not None:
                raise error
        else:
            self._compare("leaving a block", self.model.exit(block, failed=reason is not None), error)

    async def _block(self, step: p.Block, _place: Place) -> None:
        async with self._entered_block(step) as inner:
            await self._steps(step.steps, inner)

    async def _stack(self, step: p.Stack, place: Place) -> None:
        async with AsyncExitStack() as stack:
            for _ in range(step.blocks):
                place = await stack.enter_async_context(self._entered_block(p.Block(())))
            await self._steps(step.steps, place)

    @asynccontextmanager
    async def _entered_block(self, step: p.Block) -> AsyncGenerator[Place]:
        if step.lock:
            real: Any = self._here.db.advisory_lock(f"t{next(self._locks)}", scope="transaction")
        else:
            real = self._here.db.transaction(isolation=step.isolation, read_only=step.read_only)  # type: ignore[arg-type]
        entered, error = await _result(self._here.enter(real).__aenter__)
        plain = step.lock or (step.isolation is None and not step.read_only)
        block = self._entered(error, plain=plain, read_only=step.read_only and not step.lock)
        if step.lock:
            self.model.begin(block.transaction)
        async with self._leaving(block, self._here.enter(real)):
            yield Place() if step.lock else Place(entered, block.transaction)

    @asynccontextmanager
    async def _leaving(self, block: Block, real: AbstractAsyncContextManager[Any]) -> AsyncGenerator[None]:
        try:
            yield
        except BaseException as reason:
            self._left(block, await _exit(real, reason), reason)
            raise
        else:
            self._left(block, await _exit(real, None), None)

    async def _lease(self, step: p.Lease, _place: Place) -> None:
        db = self._here.db
        real = self._here.enter(db.advisory_lock(f"s{next(self._locks)}") if step.lock else db.connection())
        conn, error = await _result(real.__aenter__)
        self._plain("entering a lease", error)
        session = Session(self.model.stored)
        try:
            await self._steps(step.steps, Place() if step.lock else Place(conn, session))
        except BaseException as reason:
            self._plain("leaving a lease", await _exit(real, reason))
            raise
        else:
            self._plain("leaving a lease", await _exit(real, None))
        finally:
            session.end(commit=False)

    def _plain(self, what: str, error: BaseException | None) -> None:
        """Raise what came from outside. Nothing else may."""
        if self._is_outside(error):
            assert error is not None
            raise error
        self._compare(what, None, error)

    async def _run(self, step: p.Run, _place: Place) -> None:
        blocks: list[Block] = []
        reasons: list[BaseException | None] = []
        plain = step.isolation is None

        async def work(conn: AnyConnection) -> int:
            for block in blocks:  # of an attempt before
                self._left(block, reasons[-1], reasons[-1])
            block = self._entered(None, plain=plain)
            blocks[:] = [block]
            reasons.append(None)
            try:
                await self._steps(step.steps, Place(conn, block.transaction))
            except BaseException as reason:
                reasons[-1] = reason
                raise
            return 42

        result, error = await _result(lambda: self._here.run(work, isolation=step.isolation))
        if not blocks:
            self._entered(error, plain=plain)
        reason = reasons[-1]
        self._left(blocks[0], None if error is reason else error, reason)
        if error is not None:
            raise error
        assert result == 42

    async def _abandon(self, step: p.Abandon, _place: Place) -> None:
        real = self._here.transaction()
        conn, error = await _result(real.__aenter__)
        block = self._entered(error)
        try:
            await self._steps(step.steps, Place(conn, block.transaction))
        finally:
            if block.transaction.uncertain:
                self.model.leave(block, acknowledged=False, interrupted=False)
            else:
                self.model.abandon(block)
            del real

    # --- generators ---

    def _rows(self, steps: p.Program, loop: Loop, yields: int) -> Generator[Place]:
        """A generator that holds a block."""
        real = self._here.db.transaction()
        error: BaseException | None = None
        conn: Any = None
        try:
            conn = real.__enter__()
        except BaseException as caught:  # noqa: BLE001 - compared
            error = caught
        block = self._entered(error, generator=loop)
        place = Place(conn, block.transaction)
        try:
            for _ in range(yields):
                step_through(self._steps(steps, place))
                loop.suspended = True
                try:
                    yield place
                finally:
                    loop.suspended = False
        except BaseException as reason:
            self._left(block, step_through(_exit(self._here.enter(real), reason)), reason)
            raise
        else:
            self._left(block, step_through(_exit(self._here.enter(real), None)), None)

    async def _arows(self, steps: p.Program, loop: Loop, yields: int) -> AsyncGenerator[Place]:
        """An asynchronous one."""
        real = self._here.db.transaction()
        error: BaseException | None = None
        conn: Any = None
        try:
            conn = await real.__aenter__()
        except BaseException as caught:  # noqa: BLE001 - compared
            error = caught
        block = self._entered(error, generator=loop)
        place = Place(conn, block.transaction)
        try:
            for _ in range(yields):
                await self._steps(steps, place)
                loop.suspended = True
                try:
                    yield place
                finally:
                    loop.suspended = False
        except BaseException as reason:
            self._left(block, await _exit(real, reason), reason)
            raise
        else:
            self._left(block, await _exit(real, None), None)

    async def _manager(self, step: p.Manager, _place: Place) -> None:
        async with self._managed() as inner:
            await self._steps(step.steps, inner)

    @asynccontextmanager
    async def _managed(self) -> AsyncGenerator[Place]:
        loop = Loop(running=False)
        if isinstance(self._here, Tasks):
            async with asynccontextmanager(self._arows)((), loop, 1) as place:
                yield place
        else:
            with contextmanager(self._rows)((), loop, 1) as place:
                yield place

    async def _iterate(self, step: p.Iterate, place: Place) -> None:
        loop = Loop()
        generator: Any
        left = False
        if isinstance(self._here, Tasks):
            generator = self._arows(step.inside, loop, 2)
            advance: Callable[[], Any] = generator.__anext__
        else:
            generator = self._rows(step.inside, loop, 2)
            advance = generator.__next__
        try:
            while True:
                try:
                    _ = await advance() if isinstance(self._here, Tasks) else advance()
                except (StopIteration, StopAsyncIteration):
                    left = True
                    break
                left = step.end == "leave"
                await self._steps(step.steps, place)
                if step.end != "exhaust":
                    break
        finally:
            if step.end == "leave":
                self._suspended.append((loop, generator))
            elif not left:
                await self._close(generator)
            loop.running = False

    async def _close_last(self) -> None:
        if self._suspended:
            _, generator = self._suspended.pop()
            await self._close(generator)

    async def _close(self, generator: Any) -> None:
        if isinstance(self._here, Tasks):
            await generator.aclose()
        else:
            generator.close()

    # --- what comes from outside ---

    async def _swallow(self, step: p.Swallow, place: Place) -> None:
        interrupted = False
        try:
            await self._steps(step.steps, place)
        except (Mismatch, GeneratorExit):
            raise
        except BaseException as error:
            if not step.base and not isinstance(error, Exception):
                raise
            interrupted = self._is_outside(error)
        if interrupted:
            gc.collect()  # the frames in its traceback refer to blocks that could not end, and here also to itself

    async def _beside(self, step: p.Beside, _place: Place) -> None:
        await self._in_another(lambda: self._steps(step.steps, Place()))

    async def _in_another(self, body: Callable[[], Coroutine[Any, Any, object]]) -> None:
        async def owned() -> None:
            self._owner.set(next(self._owners))
            await body()

        if not isinstance(self._here, Tasks):
            await self._here.start(owned).result()
            return
        task = asyncio.create_task(owned())
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            while not task.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([task])
            raise
        task.result()

    async def _interrupt(self, step: p.Interrupt, place: Place) -> None:
        if step.moment and not isinstance(self._here, Tasks):
            previous = sys.gettrace()
            sys.settrace(Step(step.moment, PACKAGES, Interruption))
            try:
                await self._steps(step.steps, place)
            finally:
                sys.settrace(previous)
        elif isinstance(self._here, Tasks):
            task = asyncio.current_task()
            assert task is not None
            self._cancelling = True
            task.cancel()
            try:
                await self._steps(step.steps, place)
            finally:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(0)  # if nothing has waited yet


async def _exit(block: AbstractAsyncContextManager[Any], reason: BaseException | None) -> BaseException | None:
    """Leave a block. Returns what that raises."""
    try:
        await block.__aexit__(None if reason is None else type(reason), reason, None)
    except BaseException as error:  # noqa: BLE001 - compared with what the model expects
        return error
    return None


async def _outcome(call: Callable[[], Coroutine[Any, Any, object]]) -> BaseException | None:
    return (await _result(call))[1]


async def _result(call: Callable[[], Coroutine[Any, Any, Any]]) -> tuple[Any, BaseException | None]:
    try:
        return await call(), None
    except BaseException as error:  # noqa: BLE001 - compared with what the model expects
        return None, error

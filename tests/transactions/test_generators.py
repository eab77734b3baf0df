"""A block in a generator is not around the code that iterates over the generator."""

from __future__ import annotations

import gc
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Any
from weakref import ref

import pytest

from rowsmith import Database
from rowsmith.errors import TransactionError
from tests.harness.drivers import Observer, Tasks, insert, small

REFUSED = "iterates over a generator"


@pytest.fixture
def db(observer: Observer) -> Iterator[Database]:
    with small(observer.url) as db:
        yield db


def rows(db: Database) -> Iterator[int]:
    with db.transaction() as conn:
        conn.execute("INSERT INTO items VALUES (1)")
        yield from range(3)


def stacked_rows(db: Database) -> Iterator[int]:
    with ExitStack() as stack:
        stack.enter_context(db.transaction()).execute("INSERT INTO items VALUES (1)")
        yield from range(3)


def passed_on(db: Database) -> Iterator[int]:
    for row in rows(db):  # noqa: UP028 - the loop is the subject
        yield row


@pytest.mark.parametrize("generator", [rows, stacked_rows, passed_on])
def test_a_block_in_a_loop_over_a_generator_is_refused(db: Database, observer: Observer, generator: Any) -> None:
    def loop() -> None:
        for row in generator(db):
            with db.transaction() as conn:
                conn.execute("INSERT INTO items VALUES (%s)", [10 + row])
            break

    with pytest.raises(TransactionError, match=REFUSED):
        loop()
    assert observer.stored() == []


def test_nor_is_one_inside_a_block_around_the_loop(db: Database, observer: Observer) -> None:
    """The generator's block is a savepoint then, and ends with the generator."""

    def loop() -> None:
        for row in rows(db):
            with db.transaction() as conn:
                conn.execute("INSERT INTO items VALUES (%s)", [10 + row])
            break

    with pytest.raises(TransactionError, match=REFUSED), db.transaction():
        loop()
    assert observer.stored() == []
    with db.transaction():
        for row in list(rows(db)):
            with db.transaction() as conn:
                conn.execute("INSERT INTO items VALUES (%s)", [10 + row])
    assert observer.stored() == [1, 10, 11, 12]


def test_what_the_generator_itself_opens_is_a_savepoint(db: Database, observer: Observer) -> None:
    def nested() -> Iterator[int]:
        with db.transaction():
            yield 1
            with db.transaction() as conn:
                conn.execute("INSERT INTO items VALUES (1)")
            yield 2

    assert list(nested()) == [1, 2]
    assert observer.stored() == [1]


def test_a_savepoint_in_a_generator_keeps_no_frames(db: Database) -> None:
    """They would keep what their variables refer to, until the garbage collector comes: an abandoned block, say."""

    class Thing:
        pass

    def nested() -> Iterator[ref[Thing]]:
        with db.transaction():
            thing = Thing()
            with db.transaction():
                pass
            yield ref(thing)

    gc.collect()
    gc.disable()
    try:
        (thing,) = list(nested())
        assert thing() is None
    finally:
        gc.enable()


def test_a_context_manager_is_joined(db: Database, observer: Observer) -> None:
    @contextmanager
    def unit() -> Generator[Any]:
        with db.transaction() as conn:
            yield conn

    @contextmanager
    def outer() -> Generator[Any]:
        with unit() as conn:
            yield conn

    for block in (unit, outer):
        with block() as conn, db.transaction() as inner:
            assert inner is conn
            inner.execute("INSERT INTO items VALUES (1)")
    assert observer.stored() == [1, 1]


def test_a_fixture_is_joined(unit: Any, db: Database, observer: Observer) -> None:
    with db.transaction() as conn:
        assert conn is unit


@pytest.fixture
def unit(db: Database) -> Iterator[Any]:
    with db.transaction() as conn:
        yield conn


def test_in_tasks(observer: Observer) -> None:
    here = Tasks(small(observer.url))

    async def arows() -> AsyncGenerator[int]:
        async with here.transaction() as conn:
            await insert(conn, 1)
            yield 1
            yield 2

    @asynccontextmanager
    async def aunit() -> AsyncGenerator[Any]:
        async with here.transaction() as conn:
            yield conn

    async def loop() -> None:
        generator = arows()
        try:
            async for _ in generator:
                async with here.transaction() as conn:
                    await insert(conn, 2)
                break
        finally:
            await generator.aclose()

    async def body() -> None:
        with pytest.raises(TransactionError, match=REFUSED):
            await loop()
        async with aunit() as conn, here.transaction() as inner:
            assert inner is conn
            await insert(inner, 3)
        assert observer.stored() == [3]
        await here.check_whole()

    here.drive(body)

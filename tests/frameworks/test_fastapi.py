"""FastAPI: the request's transaction, in endpoints of both kinds, and what must not join it."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import copy_context
from functools import partial
from typing import Annotated, Any

import anyio
import anyio.from_thread
import anyio.to_thread
import httpx2
import psycopg
import pytest
from fastapi import Depends, FastAPI, HTTPException
from psycopg import AsyncConnection, Connection
from psycopg.rows import TupleRow
from starlette.requests import Request
from starlette.responses import Response

from rowsmith import Database, transaction
from rowsmith.database import has_default, replace_default
from rowsmith.errors import TransactionError
from rowsmith.fastapi import AsyncTransaction, Transaction, in_transaction_async, in_transaction_sync, lifespan
from tests.harness.drivers import Observer, small
from tests.harness.waiting import PATIENCE, bounded


@pytest.fixture
def db(observer: Observer) -> Iterator[Database]:
    """The default database. Its sessions never wait for a lock: a block that waits for another fails its test."""
    database = small(observer.url)
    previous = replace_default(database)
    yield database
    replace_default(previous)


def insert(conn: Connection[TupleRow], number: int) -> None:
    conn.execute("INSERT INTO items VALUES (%s)", [number])


def call(app: FastAPI, method: str = "POST", *, raising: bool = False) -> httpx2.Response:
    """The response of the application to a request for `/`, with its lifespan around it."""

    async def main() -> httpx2.Response:
        transport = httpx2.ASGITransport(app, raise_app_exceptions=raising)
        client = httpx2.AsyncClient(transport=transport, base_url="http://app")
        async with app.router.lifespan_context(app), client:
            return await client.request(method, "/")

    return bounded(lambda: asyncio.run(main()))


def app_of(endpoint: Callable[..., Any], **options: Any) -> FastAPI:
    app = FastAPI(**options)
    app.post("/")(endpoint)
    return app


async def pass_on(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """A middleware. Starlette runs the application behind it in a task group."""
    return await call_next(request)


# --- the request's transaction ---


def test_a_block_in_a_synchronous_endpoint_is_a_savepoint_of_the_request(db: Database, observer: Observer) -> None:
    def endpoint(conn: Transaction) -> None:
        insert(conn, 1)
        with transaction() as inner:
            assert inner is conn
            insert(inner, 2)
        with suppress(ZeroDivisionError), db.transaction() as inner:
            insert(inner, 3)
            _ = 1 / 0
        assert observer.stored() == []

    assert call(app_of(endpoint)).status_code == 200
    assert observer.stored() == [1, 2]


def test_a_block_in_an_asynchronous_endpoint_is_a_savepoint_of_the_request(db: Database, observer: Observer) -> None:
    async def endpoint(conn: AsyncTransaction) -> None:
        await conn.execute("INSERT INTO items VALUES (1)")
        async with transaction() as inner:
            assert inner is conn
        with suppress(ZeroDivisionError):
            async with db.transaction() as inner:
                await inner.execute("INSERT INTO items VALUES (2)")
                _ = 1 / 0

    assert call(app_of(endpoint)).status_code == 200
    assert observer.stored() == [1]


def test_dependencies_and_the_endpoint_share_the_transaction(db: Database, observer: Observer) -> None:
    def user(conn: Transaction) -> int:
        insert(conn, 1)
        with transaction() as inner:
            assert inner is conn
        return conn.info.backend_pid

    def endpoint(conn: Transaction, pid: Annotated[int, Depends(user, scope="function")]) -> None:
        assert conn.info.backend_pid == pid
        assert db.run(lambda inner: inner is conn)

    assert call(app_of(endpoint)).status_code == 200
    assert observer.stored() == [1]


def test_behind_a_middleware_that_starts_a_task_group(db: Database, observer: Observer) -> None:
    def endpoint(conn: Transaction) -> None:
        with transaction() as inner:
            assert inner is conn
            insert(inner, 1)

    app = app_of(endpoint)
    app.middleware("http")(pass_on)
    assert call(app).status_code == 200
    assert observer.stored() == [1]


def test_behind_a_dependency_with_a_scope_of_its_own(db: Database, observer: Observer) -> None:
    async def limited() -> AsyncGenerator[None]:
        with anyio.fail_after(PATIENCE):
            yield

    def endpoint(conn: Transaction, _limit: Annotated[None, Depends(limited)]) -> None:
        with transaction() as inner:
            assert inner is conn
            insert(inner, 1)

    assert call(app_of(endpoint)).status_code == 200
    assert observer.stored() == [1]


@pytest.mark.parametrize("error", [HTTPException(409), ValueError("no")], ids=["HTTPException", "another"])
def test_an_exception_rolls_back(db: Database, observer: Observer, error: Exception) -> None:
    def endpoint(conn: Transaction) -> None:
        insert(conn, 1)
        raise error

    assert call(app_of(endpoint)).status_code == (409 if isinstance(error, HTTPException) else 500)
    assert observer.stored() == []
    assert db.statistics()["connections_in_use"] == 0


def test_what_commit_refuses_is_not_acknowledged(db: Database, observer: Observer) -> None:
    def endpoint(conn: Transaction) -> None:
        conn.execute("INSERT INTO unique_at_commit VALUES (1), (1)")

    async def aendpoint(conn: AsyncTransaction) -> None:
        await conn.execute("INSERT INTO unique_at_commit VALUES (1), (1)")

    assert call(app_of(endpoint)).status_code == 500
    assert call(app_of(aendpoint)).status_code == 500
    assert observer.stored("unique_at_commit") == []


def test_another_database_and_options(observer: Observer) -> None:
    other = small(observer.url)
    reading = in_transaction_sync(other, read_only=True)
    serializable = in_transaction_async(other, isolation="serializable")

    def endpoint(conn: Annotated[Connection[TupleRow], reading]) -> str:
        with other.transaction() as inner:
            assert inner is conn
        return str(conn.execute("SHOW transaction_read_only").fetchall()[0][0])

    async def aendpoint(conn: Annotated[AsyncConnection[TupleRow], serializable]) -> str:
        cursor = await conn.execute("SHOW transaction_isolation")
        return str((await cursor.fetchall())[0][0])

    with other:
        assert call(app_of(endpoint)).json() == "on"
        assert call(app_of(aendpoint)).json() == "serializable"


# --- what must not join it ---


def test_threads_that_the_endpoint_starts_do_not_join(db: Database, observer: Observer) -> None:
    def endpoint(conn: Transaction) -> None:
        def work() -> None:
            with transaction() as other:
                assert other is not conn
                insert(other, 1)
                own.append(other)

        own: list[object] = []
        inheriting = partial(copy_context().run, work)  # as some builds of Python 3.14 do
        for target in (work, inheriting):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
        assert len(own) == 2
        insert(conn, 2)
        raise HTTPException(409)

    assert call(app_of(endpoint)).status_code == 409
    assert observer.stored() == [1, 1]


def test_tasks_that_the_endpoint_starts_do_not_join(db: Database, observer: Observer) -> None:
    async def work(conn: object) -> None:
        async with transaction() as other:
            assert other is not conn
            await other.execute("INSERT INTO items VALUES (1)")

    def work_in_thread(conn: object) -> None:
        with transaction() as other:
            assert other is not conn
            insert(other, 2)

    async def aendpoint(conn: AsyncTransaction) -> None:
        await asyncio.create_task(work(conn))
        await asyncio.create_task(anyio.to_thread.run_sync(work_in_thread, conn))
        async with anyio.create_task_group() as group:
            group.start_soon(work, conn)
            group.start_soon(anyio.to_thread.run_sync, work_in_thread, conn)
        raise HTTPException(409)

    def endpoint(conn: Transaction) -> None:
        anyio.from_thread.run(work, conn)
        raise HTTPException(409)

    assert call(app_of(aendpoint)).status_code == 409
    assert observer.stored() == [1, 1, 2, 2]
    assert call(app_of(endpoint)).status_code == 409
    assert observer.stored() == [1, 1, 1, 2, 2]


def test_a_connection_inside_the_transaction_is_another_one(db: Database) -> None:
    def endpoint(conn: Transaction) -> None:
        with db.connection() as other:
            assert other is not conn

    assert call(app_of(endpoint)).status_code == 200


def test_a_request_does_not_join_the_one_before(db: Database, observer: Observer) -> None:
    def endpoint(conn: Transaction) -> int:
        insert(conn, 1)
        return conn.info.backend_pid

    def plain() -> None:
        with transaction() as conn:
            insert(conn, 2)
            assert observer.stored() == [1]

    app = app_of(endpoint)
    app.get("/")(plain)
    assert call(app).status_code == 200
    assert call(app, "GET").status_code == 200
    assert observer.stored() == [1, 2]


# --- a second connection inside the first ---


def dependency() -> Generator[Connection[TupleRow]]:
    with transaction() as conn:
        yield conn


async def adependency() -> AsyncGenerator[AsyncConnection[TupleRow]]:
    async with transaction() as conn:
        yield conn


def check_refused(app: FastAPI, *parts: str) -> None:
    with pytest.raises(TransactionError) as caught:
        call(app, raising=True)
    assert all(part in str(caught.value) for part in parts), str(caught.value)


@pytest.mark.parametrize("middleware", [False, True], ids=["plain", "middleware"])
@pytest.mark.parametrize("held", [dependency, adependency])
def test_a_block_behind_a_dependency_of_ones_own_is_refused(
    db: Database, observer: Observer, held: Callable[[], object], *, middleware: bool
) -> None:
    def endpoint(_conn: Annotated[Any, Depends(held)]) -> None:
        with transaction() as other:
            insert(other, 1)

    app = app_of(endpoint)
    if middleware:
        app.middleware("http")(pass_on)
    check_refused(app, "second connection", f"{held.__name__}, ", "endpoint, ", "test_fastapi.py:")
    assert observer.stored() == []
    assert db.statistics()["connections_in_use"] == 0


def test_a_block_of_the_other_kind_is_refused(db: Database) -> None:
    def endpoint(_conn: AsyncTransaction) -> None:
        with transaction():
            pass

    async def aendpoint(_conn: Transaction) -> None:
        async with transaction():
            pass

    async def behind_own(_conn: Annotated[object, Depends(dependency)]) -> None:
        async with transaction():
            pass

    check_refused(app_of(endpoint), "endpoint, ", "test_fastapi.py:", "different kinds")
    check_refused(app_of(aendpoint), "aendpoint, ", "test_fastapi.py:", "different kinds")
    check_refused(app_of(behind_own), "dependency, ", "behind_own, ", "second connection")


def test_work_of_its_own_behind_a_dependency_is_not_refused(db: Database, observer: Observer) -> None:
    @asynccontextmanager
    async def unit_of_work() -> AsyncGenerator[AsyncConnection[TupleRow]]:
        async with transaction() as conn:
            yield conn

    def work(number: int) -> None:
        with transaction() as conn:
            insert(conn, number)

    async def endpoint() -> None:
        async with unit_of_work():
            await asyncio.create_task(anyio.to_thread.run_sync(work, 1))
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.to_thread.run_sync, work, 2)
                group.start_soon(anyio.to_thread.run_sync, work, 3)

    assert call(app_of(endpoint)).status_code == 200
    assert observer.stored() == [1, 2, 3]


def test_a_context_manager_that_holds_a_block_is_not_refused_outside_of_requests(
    db: Database, observer: Observer
) -> None:
    held = contextmanager(dependency)

    def main() -> None:
        with db, held() as conn:
            insert(conn, 1)
            with transaction() as inner:
                assert inner is conn

    bounded(main)
    assert observer.stored() == [1]


# --- the lifespan ---


def test_the_lifespan_closes_the_database(observer: Observer) -> None:
    database = small(observer.url)

    async def endpoint(conn: Annotated[AsyncConnection[TupleRow], in_transaction_async(database)]) -> None:
        await conn.execute("SELECT 1")

    assert call(app_of(endpoint, lifespan=lifespan(database))).status_code == 200
    with pytest.raises(psycopg.OperationalError, match="closed"), database.connection():
        pass
    assert observer.sessions() == 0


def test_the_lifespan_closes_the_default_database_if_it_has_made_it(
    observer: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", observer.url)
    previous = replace_default(None)
    try:
        assert call(app_of(lambda: None, lifespan=lifespan())).status_code == 200
        assert not has_default()
    finally:
        replace_default(previous)


def test_the_lifespan_leaves_the_database_of_a_test_open(db: Database) -> None:
    assert call(app_of(lambda: None, lifespan=lifespan())).status_code == 200
    assert has_default()
    with db.connection() as conn:
        conn.execute("SELECT 1")

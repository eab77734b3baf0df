"""FastAPI: a lifespan, dependencies that are a request's transaction, and routes for health checks."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import FunctionType
from typing import Annotated, Any

try:
    from fastapi import APIRouter, Depends, FastAPI
    from fastapi.concurrency import contextmanager_in_threadpool
except ModuleNotFoundError as missing:
    message = f"rowsmith.fastapi needs {missing.name}. Run: pip install 'rowsmith[fastapi]'"
    raise ModuleNotFoundError(message, name=missing.name) from None
from psycopg import AsyncConnection, Connection
from psycopg.rows import TupleRow
from starlette.requests import HTTPConnection

from rowsmith.database import PROBE_SECONDS, Database, default_database, has_default, replace_default
from rowsmith.starlette import health_routes
from rowsmith.transactions.current import of_request
from rowsmith.transactions.options import IsolationLevel


def lifespan(database: Database | None = None) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """A lifespan that closes the database at the end: `FastAPI(lifespan=lifespan())`.

    None stands for the default database, which is left open if it existed before the application started.
    """

    @asynccontextmanager
    async def run(app: FastAPI) -> AsyncGenerator[None]:
        del app
        if database is None and has_default():
            yield
            return
        async with database or default_database():
            yield
        if database is None:
            replace_default(None)

    return run


def in_transaction_sync(
    database: Database | None = None, *, isolation: IsolationLevel | None = None, read_only: bool = False
) -> Any:
    """A dependency for synchronous endpoints: a connection in a transaction, which is the request's.

    It commits after the endpoint has returned and before the response is sent, so an error of COMMIT is a response of
    status 500. An exception, such as HTTPException, rolls it back. A `with transaction():` in the endpoint is a
    savepoint. None stands for the default database; the options are those of `Database.transaction`.
    """

    async def request_transaction(request: HTTPConnection) -> AsyncGenerator[Connection[TupleRow]]:
        block = (database or default_database()).transaction(isolation=isolation, read_only=read_only)
        async with contextmanager_in_threadpool(block) as conn:
            with of_request(conn, _endpoint(request)):
                yield conn

    return Depends(request_transaction, scope="function")


def in_transaction_async(
    database: Database | None = None, *, isolation: IsolationLevel | None = None, read_only: bool = False
) -> Any:
    """Like `in_transaction_sync`, for asynchronous endpoints, where an `async with transaction():` is a savepoint."""

    async def request_transaction(request: HTTPConnection) -> AsyncGenerator[AsyncConnection[TupleRow]]:
        block = (database or default_database()).transaction(isolation=isolation, read_only=read_only)
        async with block as conn:
            with of_request(conn, _endpoint(request)):
                yield conn

    return Depends(request_transaction, scope="function")


Transaction = Annotated[Connection[TupleRow], in_transaction_sync()]
"""The parameter of a synchronous endpoint: a connection in the request's transaction, of the default database."""
AsyncTransaction = Annotated[AsyncConnection[TupleRow], in_transaction_async()]
"""The same for an asynchronous endpoint."""


def health_router(database: Database | None = None, *, timeout: float = PROBE_SECONDS) -> APIRouter:
    """The routes of `rowsmith.starlette.health_routes`: `app.include_router(health_router())`."""
    return APIRouter(routes=health_routes(database, timeout=timeout))


def _endpoint(request: HTTPConnection) -> FunctionType | None:
    """The function that handles the request, if it is one."""
    endpoint = inspect.unwrap(request.scope["endpoint"])
    return endpoint if isinstance(endpoint, FunctionType) else None

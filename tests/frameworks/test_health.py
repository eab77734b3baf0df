"""The health checks that load balancers ask for, of FastAPI, Starlette and Flask."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from flask import Flask
from starlette.applications import Starlette

from rowsmith import Database
from rowsmith.fastapi import health_router
from rowsmith.flask import health_blueprint
from rowsmith.starlette import health_routes
from tests.harness.databases import settings_for
from tests.harness.drivers import Observer, small
from tests.harness.network import black_hole, closed_port
from tests.harness.waiting import PATIENCE, bounded

Answers = dict[str, tuple[int, dict[str, Any]]]
PATHS = ("/health", "/health/ready", "/health/live")


def asgi(app: Any, database: Database) -> Answers:
    async def main() -> Answers:
        client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://app")
        async with database, client:
            responses = {path: await client.get(path) for path in PATHS}
            assert all(response.headers["cache-control"] == "no-store" for response in responses.values())
            return {path: (response.status_code, response.json()) for path, response in responses.items()}

    return bounded(lambda: asyncio.run(main()))


def fastapi(database: Database) -> Answers:
    app = FastAPI()
    app.include_router(health_router(database, timeout=2))
    assert "/health" not in app.openapi()["paths"]
    return asgi(app, database)


def starlette(database: Database) -> Answers:
    return asgi(Starlette(routes=health_routes(database, timeout=2)), database)


def flask(database: Database) -> Answers:
    app = Flask("test")
    app.register_blueprint(health_blueprint(database, timeout=2))
    with database:
        responses = {path: app.test_client().get(path) for path in PATHS}
        assert all(response.headers["cache-control"] == "no-store" for response in responses.values())
        return {path: (response.status_code, json.loads(response.data)) for path, response in responses.items()}


frameworks = pytest.mark.parametrize("answers_of", [fastapi, starlette, flask])


@frameworks
def test_a_database_that_answers(observer: Observer, answers_of: Callable[[Database], Answers]) -> None:
    answers = answers_of(small(observer.url))
    assert [answers[path][0] for path in PATHS] == [200, 200, 200]
    assert answers["/health/ready"][1]["healthy"] is True
    assert answers["/health/live"][1] == {"healthy": True}


@frameworks
@pytest.mark.parametrize(("port_of", "category"), [(closed_port, "refused"), (black_hole, "timeout")])
def test_a_database_that_does_not_answer(
    port_of: Any, category: str, answers_of: Callable[[Database], Answers]
) -> None:
    with port_of() as port:
        answers = answers_of(Database(settings_for(f"postgresql://app:s3cret@127.0.0.1:{port}/app")))
    assert [answers[path][0] for path in PATHS] == [503, 503, 200]
    assert answers["/health/ready"][1]["category"] == category
    assert "s3cret" not in str(answers)


def test_the_pool_that_the_application_uses_is_the_one_that_is_checked(observer: Observer) -> None:
    """Each pool in turn has no connection left, which only a check of that pool finds out."""
    database = small(observer.url, max_connections=1)

    async def category(timeout: float) -> object:
        transport = httpx2.ASGITransport(Starlette(routes=health_routes(database, timeout=timeout)))
        async with httpx2.AsyncClient(transport=transport, base_url="http://app") as client:
            return (await client.get("/health")).json()["category"]

    async def main() -> None:
        async with database:
            assert await category(PATIENCE) is None
            with database.connection():  # as in a synchronous endpoint
                assert await category(0.1) == "pool_exhausted"
            assert await category(PATIENCE) is None
            async with database.connection():
                assert await category(0.1) == "pool_exhausted"
            assert await category(PATIENCE) is None

    bounded(lambda: asyncio.run(main()))


def test_rowsmith_imports_no_framework() -> None:
    code = "import sys, rowsmith; print(sorted({'fastapi', 'starlette', 'flask', 'anyio'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"

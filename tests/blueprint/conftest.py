"""The fixture of the tests of blueprint's queries."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager

import pytest

from tests.blueprint.rows import Run, async_run, sync_run

Opener = Callable[[str], AbstractContextManager[Run]]


@pytest.fixture(params=[pytest.param(sync_run, id="sync"), pytest.param(async_run, id="async")])
def run(request: pytest.FixtureRequest, worker_database_url: str) -> Generator[Run]:
    """Runs queries in a transaction that is rolled back: over a Connection, then over an AsyncConnection."""
    opener: Opener = request.param
    with opener(worker_database_url) as run:
        yield run

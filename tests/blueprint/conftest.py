"""The fixture of the tests of blueprint's queries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.blueprint.rows import Run


@pytest.fixture(params=["sync", "async"])
def run(request: pytest.FixtureRequest, worker_database_url: str) -> Iterator[Run]:
    """Runs queries in a transaction, which the end of its connection rolls back: for threads, then for tasks."""
    with closing(Run(worker_database_url, asynchronous=request.param == "async")) as run:
        yield run

"""The databases of the suite: clones of one migrated template, on the server that the library's own plugin provides."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from psycopg.rows import TupleRow

from rowsmith import Database, logs
from rowsmith.database import replace_default
from rowsmith.testing.databases import fresh_database
from tests.harness.databases import MIGRATIONS, empty, new_database, settings_for
from tests.harness.drivers import Observer
from tests.harness.examples import register_profiles
from tests.harness.pgbouncer import is_between, prepare_threshold

register_profiles()
pytest_plugins = ["rowsmith.testing", "tests.harness.pgbouncer", "tests.harness.local_servers"]

FIGURES = pytest.StashKey[list[str]]()


def pytest_configure() -> None:
    """Ctrl-C works in the tests of it, also where a shell began the run in the background, which ignores the signal."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def worker_empty_database_url(server_url: str) -> Iterator[str]:
    """A database for this worker, for one test after the other."""
    with new_database(server_url) as url:
        yield url


@pytest.fixture
def empty_database_url(request: pytest.FixtureRequest, server_url: str, pooled: Callable[[str], str]) -> Iterator[str]:
    """A database with nothing in it, which no other test uses at the same time."""
    if is_between():  # PgBouncer keeps its sessions from test to test
        with new_database(server_url) as url:
            yield pooled(url)
    else:
        url = request.getfixturevalue("worker_empty_database_url")
        empty(url)
        yield url


@pytest.fixture
def observer(empty_database_url: str) -> Iterator[Observer]:
    """A database with a few tables, seen from outside the library."""
    with closing(Observer(empty_database_url)) as observer:
        yield observer


@pytest.fixture
def database_url(server_url: str, pooled: Callable[[str], str]) -> Iterator[str]:
    """A database of the test's own, migrated and empty: for what commits."""
    with fresh_database(server_url, [MIGRATIONS]) as url:
        yield pooled(url)


@pytest.fixture(scope="session")
def worker_database_url(rowsmith_url: str, pooled: Callable[[str], str]) -> str:
    """A migrated database for this worker: for tests that roll back, or that leave nothing behind."""
    return pooled(rowsmith_url)


@pytest.fixture
def default_logging() -> Iterator[None]:
    """The library's loggers as they are in a new process, and afterwards as they were."""
    defaults: logging.Logger = vars(logs)["_defaults"]
    level, handlers = defaults.level, defaults.handlers
    defaults.setLevel(logging.ERROR)
    defaults.handlers = []
    yield
    defaults.handlers = handlers
    defaults.setLevel(level)


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    """A `Database` on the test's own database."""
    with Database(settings_for(database_url)) as database:
        yield database


@pytest.fixture
def default_db(db: Database) -> Iterator[Database]:
    """`db`, which is also what `rowsmith.transaction()` and its siblings use."""
    previous = replace_default(db)
    yield db
    replace_default(previous)


@pytest.fixture
def conn(worker_database_url: str) -> Generator[psycopg.Connection[TupleRow]]:
    """A connection in a transaction that is rolled back after the test."""
    with psycopg.connect(worker_database_url, prepare_threshold=prepare_threshold()) as connection:
        yield connection
        connection.rollback()


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> list[str]:
    """Lines to be printed at the end of the run, also where a worker of pytest-xdist has measured them."""
    return pytestconfig.stash.setdefault(FIGURES, [])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over the figures of a worker that has ended."""
    node.config.stash.setdefault(FIGURES, []).extend(node.workeroutput.get("figures", []))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the figures."""
    for line in config.stash.get(FIGURES, list[str]()):
        terminalreporter.write_line(line)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the figures of a worker to the controller."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["figures"] = session.config.stash.get(FIGURES, list[str]())

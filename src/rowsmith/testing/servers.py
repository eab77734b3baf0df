"""The server of a test session: the first one available, started when a test asks for it."""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path

import psycopg

from rowsmith.compiler.project import ServerChoice
from rowsmith.errors import ServerError
from rowsmith.server.embedded import DISPOSABLE, Server, kept_data_folder, project_data_folder, temporary_server
from rowsmith.server.programs import find_binaries, version
from rowsmith.server.scratch import libpq_url

_IMAGE = "postgres:18-alpine"
_EMBEDDED, _CONTAINER = "embedded wheel", f"testcontainers, {_IMAGE}"
_OPTIONS = {"max_connections": "300"}  # each worker of pytest-xdist has pools of its own


@dataclass(frozen=True)
class SessionServer:
    """The server of one test session. A URL may contain a password: do not print it."""

    rung: str
    """Which one of the list in `rowsmith.testing` it is, in words."""
    given: str | None = None
    """The URL of one that runs already."""
    data: Path | None = None
    """The data folder of one that is started when its URL is asked for, by whichever process is the first."""
    binaries: Path | None = None

    @cached_property
    def url(self) -> str:
        """Raises ServerError if the server does not start, or if connecting fails."""
        if self.given is None:
            return self._started.url()
        try:
            psycopg.connect(self.given).close()
        except psycopg.Error as error:
            raise ServerError(f"{self.rung} is set, but connecting failed: {error}") from error
        return self.given

    @cached_property
    def tcp_url(self) -> str | None:
        """A URL with which a wrong password fails, if there is one."""
        return self.given or self._started.tcp_url()

    @cached_property
    def _started(self) -> Server:
        assert self.data is not None  # noqa: S101 - or there is a URL
        assert self.binaries is not None  # noqa: S101 - as above
        server = Server(self.data, self.binaries)
        server.start(0, DISPOSABLE | _OPTIONS)
        return server

    def __str__(self) -> str:
        if self.binaries is None:
            return f"PostgreSQL ({self.rung})"
        return "PostgreSQL {}.{} ({})".format(*version(self.binaries), self.rung)


@contextmanager
def session_server(
    pg_bin: str | None = None, project: Path | None = None, *, keep: bool = False
) -> Generator[SessionServer]:
    """The first available server of the list in `rowsmith.testing`.

    If it is started for the session, it ends with the block, unless `keep` is set: then it is one for all sessions of
    the project, and goes on running. The configuration is that of the folder `project`. Raises ServerError, which says
    for each one why it is not available, and ProjectError for a configuration with faults.
    """
    if url := os.environ.get("TEST_DATABASE_URL"):
        yield SessionServer("TEST_DATABASE_URL", libpq_url(url))
        return
    choice = ServerChoice() if project is None else ServerChoice.load(project)
    if pg_bin is None and choice.database_url is not None:
        yield SessionServer("database-url", libpq_url(choice.database_url))
        return
    with ExitStack() as stack:
        kept = project if keep else None
        if pg_bin is not None:
            yield stack.enter_context(_own(f"--pg-bin {pg_bin}", pg_bin, kept))
        elif choice.pg_bin is not None:
            yield stack.enter_context(_own(f"pg-bin {choice.pg_bin}", choice.pg_bin, kept))
        else:
            yield _first(stack, kept)


def _first(stack: ExitStack, kept: Path | None) -> SessionServer:
    failures = ["TEST_DATABASE_URL: not set", "--pg-bin DIR: not given", "[tool.rowsmith]: no database-url, no pg-bin"]
    for rung, server in ((_EMBEDDED, _own(_EMBEDDED, None, kept)), (_CONTAINER, _container())):
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


@contextmanager
def _own(rung: str, pg_bin: str | Path | None, kept: Path | None) -> Generator[SessionServer]:
    """A server of the session's own, or the one that is kept for the project in a folder."""
    binaries = find_binaries(pg_bin)
    if kept is not None:
        data = kept_data_folder(project_data_folder(kept), binaries)
        yield SessionServer(f"{rung}, kept running", data=data, binaries=binaries)
        return
    with temporary_server(binaries, start=False) as server:
        yield SessionServer(rung, data=server.data, binaries=binaries)


@contextmanager
def _container() -> Generator[SessionServer]:
    postgres = import_module("testcontainers.community.postgres")  # optional, slow to import, the last resort
    settings = {**DISPOSABLE, **_OPTIONS}
    command = " ".join(["postgres", *(f"-c {name}={value}" for name, value in settings.items())])
    with postgres.PostgresContainer(_IMAGE, username="postgres", driver=None).with_command(command) as container:
        yield SessionServer(_CONTAINER, container.get_connection_url())

"""The workbench: a scratch database that is created, migrated, asked about queries, and dropped.

It is on the server of a URL, whose role may CREATE DATABASE, or on an embedded server that lives as long as the
workbench. Asking changes nothing in the database, so it is kept until the migrations change (`--watch`).
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, redirect_stdout
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow
from pydantic import SecretStr

from rowsmith import migrations
from rowsmith.compiler.checks.check import Examiner
from rowsmith.compiler.project import EMBEDDED, ServerChoice
from rowsmith.compiler.watch import state
from rowsmith.errors import MigrationError, RowsmithError, ServerError
from rowsmith.findings import display_path
from rowsmith.server.embedded import extension_hint, temporary_server
from rowsmith.server.programs import find_binaries
from rowsmith.server.scratch import create_database, drop_database, libpq_url
from rowsmith.settings import Settings


class Workbench(AbstractContextManager["Workbench"]):
    """Scratch databases on one server. A context manager: it ends by dropping the database and stopping the server.

    `progress` is told what is being done, before it is: `starting PostgreSQL`.
    """

    def __init__(self, database_url: str | None = None, progress: Callable[[str], None] = lambda _: None) -> None:
        self._given_url = database_url
        self._server_url: str | None = None
        self._choice = EMBEDDED
        self._progress = progress
        self._server, self._database = ExitStack(), ExitStack()
        self._examiner: Examiner | None = None
        self._migrated: Mapping[Path, Any] = {}

    def __exit__(self, *exc_info: object) -> None:
        self.clear()

    def examiner(self, folders: Sequence[Path], choice: ServerChoice = EMBEDDED) -> Examiner:
        """Asks a database with every migration of the folders: the same one as before if none has changed.

        It is on the server that `choice` names, unless a URL was given to the workbench.

        Raises ServerError if there is no database to be had, and MigrationError, with the file and what the server
        said, if a migration cannot be applied.
        """
        if choice != self._choice:
            self.clear()
            self._choice = choice
        found = state(folders)
        if self._examiner is None or self._examiner.lost or found != self._migrated:
            self._drop()
            self._examiner, self._migrated = Examiner(self._create(folders)), found
        return self._examiner

    def clear(self) -> None:
        """Drop the database and stop the server, so that the next examiner gets new ones."""
        try:
            self._drop()
        finally:
            self._server_url = None
            self._server.close()

    def _drop(self) -> None:
        self._examiner = None
        self._database.close()

    def _create(self, folders: Sequence[Path]) -> psycopg.Connection[TupleRow]:
        if self._server_url is None:
            self._server_url = self._running_url or self._start_server()
        self._progress("creating a scratch database")
        url = _scratch_database(self._server_url)
        self._database.callback(drop_database, url, self._server_url)
        if folders:
            self._migrate(url, folders)
        self._progress("connecting")
        conn = self._database.enter_context(psycopg.connect(libpq_url(url), autocommit=True))
        conn.read_only = False  # even if a migration has set default_transaction_read_only for the role or database
        return conn

    @property
    def _running_url(self) -> str | None:
        """The URL of a server that runs already; None if one has to be started."""
        return self._given_url or self._choice.database_url

    def _start_server(self) -> str:
        self._progress("starting PostgreSQL")
        return self._server.enter_context(temporary_server(find_binaries(self._choice.pg_bin))).url()

    def _migrate(self, url: str, folders: Sequence[Path]) -> None:
        place = "the migrations"

        def follow(number: int, count: int, migration: str) -> None:
            nonlocal place
            files = [folder / f"{migration}{suffix}" for folder in folders for suffix in (".sql", ".py")]
            place = next((display_path(file) for file in files if file.is_file()), migration)
            self._progress(f"migration {number} of {count}, {migration}")

        # Made so, settings read nothing of the environment: not a wrong variable, not another database's URL.
        settings = Settings.model_construct(database_url=SecretStr(url))
        try:
            with redirect_stdout(sys.stderr):  # a migration in Python may print; standard output is for the result
                migrations.apply(settings, folders, follow)
        except RowsmithError:
            raise
        except psycopg.Error as error:
            hint = extension_hint(error) if self._running_url is None else None
            raise MigrationError(migrations.refusal(error, hint)) from None
        except Exception as error:  # a migration in Python raises what it likes, and yoyo's errors have no common root
            raise MigrationError(f"{place}: {type(error).__name__}: {error}") from error


def _scratch_database(server_url: str) -> str:
    name = f"rowsmith_scratch_{secrets.token_hex(6)}"
    try:
        return create_database(server_url, name)
    except ValueError as error:
        raise ServerError(f"Cannot create a scratch database: {error}") from None
    except psycopg.Error as error:
        hint = ""
        if isinstance(error, psycopg.errors.InsufficientPrivilege):
            role = conninfo_to_dict(libpq_url(server_url)).get("user", "...")
            hint = f". As a superuser, run ALTER ROLE {role} CREATEDB, or leave out --database-url"
        raise ServerError(f"Cannot create a scratch database: {_said(error)}{hint}") from None


def _said(error: psycopg.Error) -> str:
    """What the server said, or libpq if there was none."""
    return error.diag.message_primary or str(error).strip()

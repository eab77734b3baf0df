"""The workbench: a scratch database that is made, migrated, asked about queries, and dropped.

It stands on the server of a URL, whose role may CREATE DATABASE, or on an embedded server that lives as long as the
workbench. Nothing that is asked changes the database, so it serves until the migrations change (`--watch`).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow

from rowsmith import migrations
from rowsmith.compiler.checks.check import Examiner
from rowsmith.errors import MigrationError, RowsmithError, ServerError
from rowsmith.findings import display_path
from rowsmith.server.scratch import create_database, drop_database, libpq_url, replace_database
from rowsmith.settings import Settings

Progress = Callable[[str], None]
"""Told what is being done, before it is: `starting PostgreSQL`."""


def _silent(_: str) -> None: ...


class Workbench:
    """Scratch databases on one server. A context manager: at its end the database is dropped, the server stopped."""

    def __init__(self, database_url: str | None = None, progress: Progress = _silent) -> None:
        self._given_url = database_url
        self._progress = progress
        self._stack = ExitStack()
        self._database = ExitStack()
        self._server_url: str | None = None
        self._examiner: Examiner | None = None
        self._fingerprint: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def examiner(self, folders: Sequence[Path]) -> Examiner:
        """Asks a database that has every migration of the folders: the one from before where none has changed.

        Raises ServerError where no database can be had, and MigrationError, with the file and what the server said,
        where a migration cannot be applied.
        """
        fingerprint = _fingerprint(folders)
        if self._examiner is None or self._examiner.lost or fingerprint != self._fingerprint:
            self._drop()
            self._examiner = Examiner(self._make(folders))
            self._fingerprint = fingerprint
        return self._examiner

    def clear(self) -> None:
        """Let go of the database and of the server, to begin anew: after a fault of theirs."""
        try:
            self._drop()
        finally:
            self._server_url = None
            self._stack.close()

    def _make(self, folders: Sequence[Path]) -> psycopg.Connection[TupleRow]:
        server_url = self._server()
        url = self._create(server_url)
        self._database.callback(drop_database, url, server_url)
        if folders:
            self._migrate(url, folders)
        self._progress("connecting")
        return self._database.enter_context(psycopg.connect(libpq_url(url), autocommit=True))

    def _drop(self) -> None:
        self._examiner = self._fingerprint = None
        self._database.close()

    def _server(self) -> str:
        if self._server_url is None:
            if self._given_url is None:
                self._progress("starting PostgreSQL")
                self._server_url = self._stack.enter_context(_embedded_server())
            else:
                self._server_url = self._given_url
        return self._server_url

    def _create(self, server_url: str) -> str:
        self._progress("creating a scratch database")
        name = f"rowsmith_scratch_{secrets.token_hex(6)}"
        try:
            replace_database(server_url, name)  # a URL that is none is known before there is anything to drop
            return create_database(server_url, name)
        except ValueError as error:
            raise ServerError(f"The URL of the server to make a scratch database on: {error}") from None
        except psycopg.errors.InsufficientPrivilege as error:
            role = conninfo_to_dict(libpq_url(server_url)).get("user", "...")
            raise ServerError(
                f"No scratch database: {_said(error)}. Run as a superuser: ALTER ROLE {role} CREATEDB, or leave "
                "--database-url out to use the embedded server."
            ) from None
        except psycopg.Error as error:
            raise ServerError(f"No scratch database: {_said(error)}") from None

    def _migrate(self, url: str, folders: Sequence[Path]) -> None:
        applied: list[str] = []

        def follow(number: int, count: int, migration: str) -> None:
            applied.append(migration)
            self._progress(f"migration {number} of {count}, {migration}")

        try:
            migrations.apply(_settings(url), folders, follow)
        except RowsmithError:
            raise
        except psycopg.Error as error:
            raise MigrationError(_refusal(error, folders, applied)) from None
        except Exception as error:  # a migration in Python raises what it likes, and yoyo has no root of its errors
            place = _file(folders, applied[-1]) if applied else "the migrations"
            raise MigrationError(f"{place}: {type(error).__name__}: {error}") from error


@contextmanager
def _embedded_server() -> Generator[str]:
    from rowsmith.server.embedded import temporary_server  # noqa: PLC0415 - as above
    from rowsmith.server.programs import find_binaries  # noqa: PLC0415 - only who has no server needs it

    with temporary_server(find_binaries()) as server:
        yield server.url()


def _settings(url: str) -> Settings:
    """Settings that nothing of the environment can reach: not a wrong variable, not another database's URL."""
    fields = {name: field.default for name, field in Settings.model_fields.items() if not field.is_required()}
    return Settings(**{**fields, "database_url": url, "_env_file": None})


def _fingerprint(folders: Sequence[Path]) -> str:
    """Changes when a file in the folders does."""
    digest = hashlib.sha256()
    for folder in folders:
        for file in sorted(file for file in folder.rglob("*") if file.is_file() and file.suffix in (".sql", ".py")):
            digest.update(f"{file}\0{len(content := file.read_bytes())}\0".encode())
            digest.update(content)
    return digest.hexdigest()


def _refusal(error: psycopg.Error, folders: Sequence[Path], applied: Sequence[str]) -> str:
    place = _file(folders, applied[-1]) if applied else "the migrations"
    hint = error.diag.message_hint
    return f"{place}: PostgreSQL refuses the migration: {_said(error)}" + (f"\nhint: {hint}" if hint else "")


def _file(folders: Sequence[Path], migration: str) -> str:
    files = [folder / f"{migration}{suffix}" for folder in folders for suffix in (".sql", ".py")]
    return next((display_path(file) for file in files if file.is_file()), migration)


def _said(error: psycopg.Error) -> str:
    """What the server said, or libpq where there was none."""
    return error.diag.message_primary or str(error).strip()

"""The demo's database: on a temporary server, or on the server of DATABASE_URL."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic, sleep

import psycopg

from rowsmith import Settings
from rowsmith.server.embedded import temporary_server
from rowsmith.server.programs import find_binaries
from rowsmith.server.scratch import create_database, drop_database, libpq_url

# The user's relations: they belong neither to the system nor to an extension.
_RELATIONS = """
    SELECT c.oid::regclass::text
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND n.nspname <> 'information_schema'
      AND n.nspname NOT LIKE 'pg\\_%'
      AND NOT EXISTS (
          SELECT FROM pg_depend AS d
          WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
      )
    ORDER BY 1
"""
_SHOWN = 5
_ENDING_SECONDS = 5.0  # after a second Ctrl-C, the server may still be shutting down


class DemoError(Exception):
    """The demo cannot run. The message says what to do."""


@dataclass(frozen=True)
class DemoDatabase:
    """An empty database for the demo."""

    settings: Settings
    description: str
    farewell: Callable[[], str]
    """Returns a sentence about what is left of it, to be printed at the end of the demo."""


@contextmanager
def demo_database() -> Generator[DemoDatabase]:
    """An empty database. Whatever was created for the demo is dropped at the end of the block.

    Raises DemoError, SettingsError, ServerError and psycopg.Error.
    """
    if "DATABASE_URL" not in os.environ:
        with _embedded() as database:
            yield database
        return
    settings = Settings(_env_file=None)
    # The role that may run DDL creates everything, and therefore owns it.
    url = (settings.migration_database_url or settings.database_url).get_secret_value()
    with psycopg.connect(settings.conninfo("migration")) as conn:
        name, version = conn.info.dbname, _version(conn)
        row = conn.execute("SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
        may_create = row is not None and bool(row[0])
        relations = [str(relation) for (relation,) in conn.execute(_RELATIONS)]
    if may_create:
        with _scratch(url, version) as database:
            yield database
    elif relations:
        raise DemoError(_not_empty(name, relations))
    else:
        yield DemoDatabase(
            _settings(url),
            f"the empty database {name} of DATABASE_URL, {version}",
            lambda: f"The tables of the demo are still in the database {name}, so you can look at them.",
        )


@contextmanager
def _embedded() -> Generator[DemoDatabase]:
    with temporary_server(find_binaries()) as server:
        url = server.url()
        with psycopg.connect(url) as conn:
            version = _version(conn)

        def farewell() -> str:
            deadline = monotonic() + _ENDING_SECONDS
            while (exists := server.running or server.data.exists()) and monotonic() < deadline:
                sleep(0.05)
            if exists:
                return f"The temporary server could not be removed. Its folder is {server.data}."
            return "The temporary server was stopped and its folder removed."

        yield DemoDatabase(_settings(url), f"a temporary {version} server, on a Unix socket", farewell)


@contextmanager
def _scratch(server_url: str, version: str) -> Generator[DemoDatabase]:
    name = f"rowsmith_demo_{secrets.token_hex(4)}"
    url = create_database(server_url, name)

    def farewell() -> str:
        with psycopg.connect(libpq_url(server_url)) as conn:
            left = conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
        return f"The database {name} {'still exists' if left else 'was dropped'}. No other database was changed."

    try:
        description = f"the new database {name} on the server of DATABASE_URL, {version}"
        yield DemoDatabase(_settings(url), description, farewell)
    finally:
        drop_database(url, server_url)


def _settings(url: str) -> Settings:
    """Settings for this URL only, so that neither .env nor MIGRATION_DATABASE_URL can name another database."""
    return Settings(database_url=url, migration_database_url=url, application_name="rowsmith demo", _env_file=None)


def _version(conn: psycopg.Connection) -> str:
    return f"PostgreSQL {(conn.info.parameter_status('server_version') or '?').split()[0]}"


def _not_empty(database: str, relations: list[str]) -> str:
    more = len(relations) - _SHOWN
    listed = ", ".join(relations[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
    return (
        f"The database {database} of DATABASE_URL is not empty: it contains {listed}. The demo does not change it.\n"
        "Set DATABASE_URL to an empty database, or use a role that may create databases (ALTER ROLE ... CREATEDB). If "
        "DATABASE_URL is not set, the demo starts a temporary server."
    )

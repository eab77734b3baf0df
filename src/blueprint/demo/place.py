"""Where the demo runs: on a server of its own, or in a database of its own beside the one of DATABASE_URL."""

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

# The relations that belong to nobody: neither to the system nor to an extension.
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
_ENDING_SECONDS = 5.0  # a second Ctrl-C leaves the server while it is still ending


class DemoError(Exception):
    """The demo cannot run here. The message says what to do about it."""


@dataclass(frozen=True)
class Place:
    """An empty database for the demo."""

    settings: Settings
    description: str
    """Where it is, in words."""
    farewell: Callable[[], str]
    """What is left of it; to be asked when all is over."""


@contextmanager
def find_place() -> Generator[Place]:
    """The database to run in. What is made for the demo is gone at the end of the block.

    Raises DemoError, SettingsError, ServerError and psycopg.Error.
    """
    if "DATABASE_URL" not in os.environ:
        with _embedded() as place:
            yield place
        return
    settings = Settings(_env_file=None)
    # The role that may run DDL makes everything here, and so owns it.
    url = (settings.migration_database_url or settings.database_url).get_secret_value()
    with psycopg.connect(settings.conninfo("migration")) as conn:
        database, version = conn.info.dbname, _version(conn)
        row = conn.execute("SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
        may_create = row is not None and bool(row[0])
        relations = [str(name) for (name,) in conn.execute(_RELATIONS)]
    if may_create:
        with _scratch(url, version) as place:
            yield place
    elif relations:
        raise DemoError(_not_empty(database, relations))
    else:
        yield Place(
            _settings(url),
            f"the empty database {database} of DATABASE_URL, {version}",
            lambda: f"The tables of the demo are in the database {database}: they were made for you to look at.",
        )


@contextmanager
def _embedded() -> Generator[Place]:
    with temporary_server(find_binaries()) as server:
        url = server.url()
        with psycopg.connect(url) as conn:
            version = _version(conn)

        def farewell() -> str:
            deadline = monotonic() + _ENDING_SECONDS
            while (there := server.running or server.data.exists()) and monotonic() < deadline:
                sleep(0.05)
            if there:
                return f"The temporary server is still there, in {server.data}."
            return "The temporary server has ended and its folder is removed: nothing is left running."

        yield Place(_settings(url), f"a temporary {version} of its own, on a Unix socket", farewell)


@contextmanager
def _scratch(server_url: str, version: str) -> Generator[Place]:
    name = f"rowsmith_demo_{secrets.token_hex(4)}"
    url = create_database(server_url, name)

    def farewell() -> str:
        with psycopg.connect(libpq_url(server_url)) as conn:
            left = conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
        return f"The database {name} is {'still there' if left else 'dropped again'}; no other was touched."

    try:
        yield Place(_settings(url), f"the new database {name} beside that of DATABASE_URL, {version}", farewell)
    finally:
        drop_database(url, server_url)


def _settings(url: str) -> Settings:
    """Settings for this URL alone: neither a .env file nor a MIGRATION_DATABASE_URL may lead elsewhere."""
    return Settings(database_url=url, migration_database_url=url, application_name="rowsmith demo", _env_file=None)


def _version(conn: psycopg.Connection) -> str:
    return f"PostgreSQL {(conn.info.parameter_status('server_version') or '?').split()[0]}"


def _not_empty(database: str, relations: list[str]) -> str:
    more = len(relations) - _SHOWN
    listed = ", ".join(relations[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
    return (
        f"The database {database} of DATABASE_URL is not empty: it holds {listed}. The demo leaves it as it is.\n"
        "Give DATABASE_URL an empty database, or a role that may create one (ALTER ROLE ... CREATEDB); without "
        "DATABASE_URL, the demo starts a server of its own."
    )

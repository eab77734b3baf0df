"""The databases of tests: clones of a template with every migration, or schemas where no database can be created."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from time import time
from urllib.parse import quote
from uuid import uuid4

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow
from psycopg.sql import SQL, Composed, Identifier
from pydantic import SecretStr

from rowsmith import migrations
from rowsmith.database import Database
from rowsmith.errors import RowsmithError
from rowsmith.server.scratch import create_database, drop_database, libpq_url, replace_database
from rowsmith.settings import Settings

_HELPERS = "rowsmith_testing"
"""The schema that only a database of tests has. For a schema of tests, it is the end of the name."""
_TEMPLATE, _CLONE = "rowsmith_template_", "rowsmith_test_"
_TEMPLATES_KEPT = 10
_OLD = SQL(
    "SELECT datname FROM pg_database WHERE starts_with(datname, {}) AND pg_has_role(datdba, 'USAGE') "
    "ORDER BY oid DESC OFFSET {}"
)
"""Templates of migrations that have changed since."""
_LEFT_SECONDS = 24 * 60 * 60
_LEFT = SQL(
    "SELECT datname FROM pg_database AS d WHERE pg_has_role(datdba, 'USAGE') "
    "AND CASE WHEN starts_with(datname, {}) THEN split_part(substr(datname, {}), '_', 1)::int8 < {} END "
    "AND NOT EXISTS (SELECT FROM pg_stat_activity AS a WHERE a.datname = d.datname)"
)
"""Databases of runs that were killed: their names contain the time at which they were made."""
_LOCK_SECONDS = 10


class NotATestDatabaseError(RowsmithError):
    """`clear_database` was called for a database that `rowsmith.testing` has not made."""


def settings_for(url: str) -> Settings:
    """Settings with this URL alone: whatever the environment says is about other databases."""
    return Settings.model_construct(database_url=SecretStr(url))


@contextmanager
def fresh_database(server_url: str, folders: Sequence[Path]) -> Generator[str]:
    """The URL of a new database with every migration of the folders, dropped at the end of the block.

    It is a clone of a template, which is made once for the same migrations. Where the role may not create databases, it
    is a new schema in the database of the URL.

    Raises MigrationError and psycopg.Error if a migration cannot be applied.
    """
    with psycopg.connect(libpq_url(server_url), autocommit=True) as conn:
        query = "SELECT FROM pg_roles WHERE rolname = current_user AND (rolcreatedb OR rolsuper)"
        creates = bool(conn.execute(query).fetchall())
        url = _clone(conn, server_url, folders) if creates else server_url
    if not creates:
        with _schema(server_url, folders) as url:
            yield url
        return
    try:
        yield url
    finally:
        drop_database(url, server_url)


def clear_database(database: Database) -> int:
    """Make the tables of a test's database hold what they held after its migrations. Returns how many did not.

    What the migrations have put into them is put back, and sequences start again. Raises NotATestDatabaseError for any
    database that `rowsmith.testing` has not made, and psycopg.errors.LockNotAvailable if a transaction that is still
    open uses one of the tables.
    """
    with psycopg.connect(database.settings.conninfo(), autocommit=True) as conn:
        query = "SELECT nspname FROM pg_namespace WHERE nspname IN (%s, current_schema() || '_' || %s)"
        found = conn.execute(query, [_HELPERS, _HELPERS]).fetchone()
        if found is None:
            raise NotATestDatabaseError(
                f"{database!r} was not made by rowsmith.testing, and nothing in it was changed: clear_database is for "
                "the databases of the fixtures rowsmith_db and rowsmith_url"
            )
        conn.execute(f"SET lock_timeout = '{_LOCK_SECONDS}s'".encode())
        try:
            ((changed,),) = conn.execute(SQL("SELECT {}.clear()").format(Identifier(found[0]))).fetchall()
        except psycopg.errors.LockNotAvailable as error:
            error.add_note("a transaction that the test has left open still uses a table of the database")
            raise
        return int(changed)


# --- templates ---


def _clone(conn: psycopg.Connection[TupleRow], server_url: str, folders: Sequence[Path]) -> str:
    """The URL of a new database, a copy of the template."""
    conn.execute("SELECT pg_advisory_lock(hashtext(%s))", [_TEMPLATE])  # the server frees it if this process dies
    _drop(conn, server_url, _LEFT.format(_CLONE, len(_CLONE) + 1, int(time()) - _LEFT_SECONDS))
    return create_database(server_url, _new_name(), _template(conn, server_url, folders))


def _new_name() -> str:
    return f"{_CLONE}{int(time())}_{uuid4().hex[:12]}"


def _template(conn: psycopg.Connection[TupleRow], server_url: str, folders: Sequence[Path]) -> str:
    """The name of the template for these migrations. It is made if there is none."""
    name = _TEMPLATE + _digest(folders)
    if not conn.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchall():
        _drop(conn, server_url, _OLD.format(_TEMPLATE, _TEMPLATES_KEPT - 1))
        draft = _new_name()
        url = create_database(server_url, draft)
        try:
            _migrate(url, folders, _HELPERS, schema=None)
            conn.execute(SQL("ALTER DATABASE {} RENAME TO {}").format(Identifier(draft), Identifier(name)))
        except BaseException:
            drop_database(url, server_url)
            raise
    return name


def _digest(folders: Sequence[Path]) -> str:
    """A digest of everything that decides what the template holds."""
    digest = hashlib.sha256(_helpers().encode())
    for number, folder in enumerate(folders):
        for file in sorted(folder.glob("*")):
            if file.suffix in {".sql", ".py"}:
                content = file.read_bytes()
                digest.update(f"{number} {file.name} {len(content)} ".encode() + content)
    return digest.hexdigest()[:16]


def _drop(conn: psycopg.Connection[TupleRow], server_url: str, found: Composed) -> None:
    """Drop the databases that a query finds."""
    for (name,) in conn.execute(found).fetchall():
        drop_database(replace_database(server_url, name), server_url)


def _migrate(url: str, folders: Sequence[Path], helpers: str, schema: str | None) -> None:
    migrations.apply(settings_for(url), folders)
    with psycopg.connect(libpq_url(url)) as conn:
        conn.execute(SQL("CREATE SCHEMA {0}; SET LOCAL search_path = {0}").format(Identifier(helpers)))
        conn.execute(_helpers().encode())
        conn.execute("UPDATE scope SET schema = %s", [schema])
        conn.execute("SELECT keep_seeds()")


def _helpers() -> str:
    return resources.files(__package__ or __name__).joinpath("helpers.sql").read_text(encoding="utf-8")


# --- schemas ---


@contextmanager
def _schema(server_url: str, folders: Sequence[Path]) -> Generator[str]:
    """The URL of a new schema: it is the first one of the search_path, in which the migrations are applied."""
    name = f"{_CLONE}{uuid4().hex[:12]}"
    helpers = f"{name}_{_HELPERS}"
    given = conninfo_to_dict(libpq_url(server_url)).get("options") or ""
    options = quote(f"{given} -c search_path={name},public".strip())
    url = f"{server_url}{'&' if '?' in server_url else '?'}options={options}"
    with psycopg.connect(libpq_url(server_url), autocommit=True) as conn:
        conn.execute(SQL("CREATE SCHEMA {}").format(Identifier(name)))
    try:
        _migrate(url, folders, helpers, schema=name)
        yield url
    finally:
        with psycopg.connect(libpq_url(server_url), autocommit=True) as conn:
            conn.execute("SET client_min_messages = warning")
            conn.execute(SQL("DROP SCHEMA IF EXISTS {}, {} CASCADE").format(Identifier(name), Identifier(helpers)))

"""Databases of the tests, on the server that the library's own plugin provides."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg

from rowsmith import Settings
from rowsmith.server.scratch import create_database, drop_database

ROOT = Path(__file__).parents[2]
MIGRATIONS = ROOT / "migrations"


@contextmanager
def new_database(server_url: str) -> Generator[str]:
    """The URL of an empty database, dropped at the end."""
    url = create_database(server_url, f"rowsmith_{uuid4().hex[:12]}")
    try:
        yield url
    finally:
        drop_database(url, server_url)


def empty(url: str) -> None:
    """Make a database as good as new: end the sessions that are left in it, and drop all that it holds."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("SET default_transaction_read_only = off")  # a test may have made that the database's default
        conn.execute("""
            SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()
        """)
        conn.execute(f'ALTER DATABASE "{conn.info.dbname}" RESET ALL'.encode())
        rows = conn.execute("SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema)'").fetchall()
        for (schema,) in rows:
            conn.execute(f'DROP SCHEMA "{schema}" CASCADE'.encode())
        conn.execute("CREATE SCHEMA public AUTHORIZATION pg_database_owner; GRANT USAGE ON SCHEMA public TO PUBLIC")


def settings_for(url: str, **values: object) -> Settings:
    """Settings for a test: nothing from a .env file, and no second attempt to connect."""
    return Settings(database_url=url, _env_file=None, **{"connect_retries": 0, **values})

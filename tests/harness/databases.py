"""Databases of the tests: clones of one migrated template, on the server that the library's own plugin provides."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from rowsmith import Settings
from rowsmith.server.scratch import create_database, drop_database

ROOT = Path(__file__).parents[2]
MIGRATIONS = ROOT / "migrations"


@contextmanager
def cloned(server_url: str, template: str | None) -> Generator[str]:
    """The URL of a new database, a copy of the template or empty, dropped at the end."""
    url = create_database(server_url, f"rowsmith_{uuid4().hex[:12]}", template)
    try:
        yield url
    finally:
        drop_database(url, server_url)


def settings_for(url: str, **values: object) -> Settings:
    """Settings for a test: nothing from a .env file, and no second attempt to connect."""
    return Settings(database_url=url, _env_file=None, **{"connect_retries": 0, **values})

"""Migrations: plain-SQL files, applied by yoyo over a backend of our own.

`yoyo apply` uses the backend with `database = rowsmith://env` in yoyo.ini, and so does `apply` below.
"""

# yoyo has no annotations, so pyright knows no type that comes from it:
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from glob import escape
from pathlib import Path

from yoyo import default_migration_table
from yoyo.connections import DatabaseURI

from rowsmith.migrations.backend import RowsmithBackend
from rowsmith.migrations.failure import refusal
from rowsmith.settings import Settings

__all__ = ["Progress", "RowsmithBackend", "apply", "open_backend", "pending", "refusal"]

Progress = Callable[[int, int, str], None]
"""Called before each migration with its number, from 1, the number of migrations, and its id."""


def apply(settings: Settings, sources: Sequence[Path], progress: Progress | None = None) -> list[str]:
    """Apply every migration of the folders that is not applied yet, in order. Returns the ids of those it applied.

    Raises psycopg.Error with a note that names the migration, its file and the line. Raises MigrationError if a folder
    does not exist, if a file cannot be a migration, if another run holds the lock, or if a migration has left an
    invalid index.
    """
    with open_backend(settings) as backend, backend.lock():
        todo = backend.to_apply(backend.read_migrations(*_patterns(sources)))
        for number, migration in enumerate(todo, 1):
            if progress:
                progress(number, len(todo), migration.id)
            backend.apply_one(migration)
        if todo:
            backend.run_post_apply(todo)
        return [migration.id for migration in todo]


def pending(settings: Settings, sources: Sequence[Path]) -> list[str]:
    """The ids of the migrations that are not applied yet, in order. Raises like `apply`."""
    with open_backend(settings) as backend:
        return [migration.id for migration in backend.to_apply(backend.read_migrations(*_patterns(sources)))]


def open_backend(settings: Settings) -> RowsmithBackend:
    """A backend with a connection of its own. A context manager, which closes it."""
    uri = DatabaseURI("rowsmith", None, None, "settings", None, None, {})
    backend = RowsmithBackend(uri, default_migration_table, settings)
    backend.init_database()
    return backend


def _patterns(folders: Sequence[Path]) -> list[str]:
    """The folders as yoyo takes them: as patterns."""
    return [escape(str(folder)) for folder in folders]

"""Migrations: plain-SQL files, applied by yoyo over a backend of our own.

The backend is used by `yoyo apply`, with `database = rowsmith://env` in yoyo.ini, and by `apply` below. Its URL comes
from the settings (MIGRATION_DATABASE_URL, else DATABASE_URL), and it connects with psycopg 3. Unlike yoyo's own:

- the lock is an advisory lock, which ends with its holder's connection; yoyo's is a row, which outlives a killed run;
- a transactional migration and its mark are one transaction, so that a crash cannot leave one without the other;
- a rollback without a rollback file is refused; yoyo would mark the migration as rolled back and change nothing;
- the rows of a SELECT in a migration are not printed.
"""

# yoyo has no annotations, so pyright knows no type that comes from it:
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import logging
import socket
import time
import uuid
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from getpass import getuser
from os import getuid
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import TupleRow
from yoyo import default_migration_table, read_migrations
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.connections import DatabaseURI
from yoyo.scripts.main import InvalidArgument

from rowsmith.errors import MigrationError, SettingsError
from rowsmith.pool.events import explain
from rowsmith.settings import Settings

logger = logging.getLogger("rowsmith.migrations")

LOCK_SECONDS = 600.0
"""How long a run waits for another one, in seconds: a migration may take long."""
_POLL_SECONDS = 0.25
# Every run on a database has to use the same number: these are the letters of "rowsmith".
_LOCK_KEY = int.from_bytes(b"rowsmith")

# To what they were when the session began. RESET ALL leaves out the users.
_RESET_SESSION = "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL"

Progress = Callable[[int, int, str], None]
"""Called before each migration with its number, from 1, the number of migrations, and its id."""


def apply(settings: Settings, sources: Sequence[Path], progress: Progress | None = None) -> list[str]:
    """Apply every migration of the folders that is not applied yet, in order. Returns the ids of those it applied.

    Raises psycopg.Error with a note that names the migration, and MigrationError if another run holds the lock.
    """
    with open_backend(settings) as backend, backend.lock():
        todo = list(backend.to_apply(read_migrations(*map(str, sources))))
        for number, migration in enumerate(todo, 1):
            if progress:
                progress(number, len(todo), migration.id)
            backend.apply_one(migration)
        return [migration.id for migration in todo]


def pending(settings: Settings, sources: Sequence[Path]) -> list[str]:
    """The ids of the migrations that are not applied yet, in order."""
    with open_backend(settings) as backend:
        return [migration.id for migration in backend.to_apply(read_migrations(*map(str, sources)))]


def open_backend(settings: Settings) -> RowsmithBackend:
    """A backend with a connection of its own. A context manager, which closes it."""
    uri = DatabaseURI("rowsmith", None, None, "settings", None, None, {})
    backend = RowsmithBackend(uri, default_migration_table, settings)
    backend.init_database()
    return backend


class RefusedError(MigrationError, InvalidArgument):  # type: ignore[misc]  # yoyo has no annotations
    """A MigrationError that yoyo's command line prints as one line, without a traceback."""


class _StepCursor(psycopg.Cursor[TupleRow]):
    """A cursor without a description: yoyo prints the rows of a statement that has one."""

    @property
    def description(self) -> None:
        """None."""


class RowsmithBackend(PostgresqlPsycopgBackend):  # type: ignore[misc]  # yoyo has no annotations
    """yoyo's backend for psycopg 3, with the differences listed above."""

    record: Callable[[], None] | None = None
    """What to write to the open transaction before it commits."""
    _is_locked: bool = False

    def __init__(self, dburi: DatabaseURI, migration_table: str, settings: Settings | None = None) -> None:
        self._settings = settings
        super().__init__(dburi, migration_table)

    def connect(self, dburi: DatabaseURI) -> psycopg.Connection:
        """Connect as the migration role. On yoyo's command line an error is a message without a traceback."""
        try:
            settings = self._settings or Settings()
        except SettingsError as error:
            raise InvalidArgument(str(error)) from None
        try:
            return psycopg.connect(settings.conninfo("migration"), autocommit=True)
        except psycopg.OperationalError as error:
            explain(error, str(settings.describe("migration")["database"]))
            if self._settings is not None:
                raise
            raise InvalidArgument("\n".join([str(error), *error.__notes__])) from None

    def init_database(self) -> None:
        """Does nothing else: yoyo would try whether DDL can be rolled back, and create a table for its lock."""
        self.has_transactional_ddl = True

    def copy(self) -> RowsmithBackend:
        """A second connection: yoyo runs each migration on a new one."""
        other = RowsmithBackend(self.uri, self.migration_table, self._settings)
        other.has_transactional_ddl = True
        other._internal_schema_updated = True
        return other

    def cursor(self) -> _StepCursor:
        """A cursor that runs a statement of a migration."""
        return _StepCursor(self.connection)

    @contextmanager
    def lock(self, timeout: float = LOCK_SECONDS) -> Generator[None]:
        """Allow one migration run at a time on this database. Waits for another one, up to `timeout` seconds.

        The lock is polled: a session that waits inside pg_advisory_lock holds a snapshot, for which CREATE INDEX
        CONCURRENTLY would wait in turn. Raises MigrationError on a timeout, and behind a transaction pooler.
        """
        if self._is_locked:
            yield
            return
        self._check_session()
        deadline = time.monotonic() + timeout
        while not self._try_lock():
            if time.monotonic() > deadline:
                raise RefusedError(f"after {timeout:.0f} s another migration run still held the lock: {self._holder()}")
            logger.info("waiting for another migration run: %s", self._holder())
            time.sleep(_POLL_SECONDS)
        self._is_locked = True
        try:
            yield
        finally:
            self._is_locked = False
            if not self.connection.closed:
                self.connection.execute("SELECT pg_advisory_unlock(%s)", [_LOCK_KEY])

    def break_lock(self) -> None:
        """Raises InvalidArgument: there is nothing to break."""
        raise InvalidArgument("there is no lock to break: it ends with the connection that holds it")

    def apply_one(self, migration: Any, force: bool = False, mark: bool = True) -> None:
        """Apply one migration and mark it; if it is transactional, in one transaction."""
        logger.info("applying %s", migration.id)
        self._process(migration, "apply", force, mark)

    def rollback_one(self, migration: Any, force: bool = False) -> None:
        """Roll one migration back and remove its mark. Raises MigrationError if it has no rollback file."""
        rollback = Path(migration.path).with_suffix(".rollback.sql")
        if migration.is_raw_sql() and not rollback.exists():
            raise RefusedError(
                f"{migration.id} cannot be rolled back: there is no {rollback.name}. Write one, or undo the migration "
                f"by hand and run `yoyo unmark --revision {migration.id}`"
            )
        logger.info("rolling back %s", migration.id)
        self._process(migration, "rollback", force, mark=True)

    def commit(self) -> None:
        """Commit, with the record of the migration in the same transaction."""
        record, self.record = self.record, None
        if record is not None:
            self.reset_session()
            record()
        super().commit()

    def get_log_data(self, migration: Any = None, operation: str = "apply") -> dict[str, Any]:
        """yoyo's log entry, without looking up the full name of this host in the DNS, which can hang."""
        return {
            "id": str(uuid.uuid1()),
            "migration_id": migration and migration.id,
            "migration_hash": migration and migration.hash,
            "username": _user(),
            "hostname": socket.gethostname(),
            "created_at_utc": datetime.now(UTC).replace(tzinfo=None),
            "operation": operation,
        }

    def _process(self, migration: Any, direction: str, force: bool, mark: bool) -> None:
        self.ensure_internal_schema_updated()
        migration.load()
        with self.copy() as backend:
            record = partial(backend.write_record, migration, direction, mark)
            if migration.use_transactions:
                backend.record = record
            try:
                migration.process_steps(backend, direction, force=force)
            except psycopg.Error as error:
                error.add_note(f"in migration {migration.id}, {direction} ({migration.path})")
                raise
            if not migration.use_transactions:
                backend.reset_session()
                with backend.transaction():
                    record()

    def write_record(self, migration: Any, direction: str, mark: bool) -> None:
        """Log that a migration was applied or rolled back, and mark or unmark it."""
        self.log_migration(migration, direction)
        if mark and direction == "apply":
            self.mark_one(migration, log=False)
        elif mark:
            self.unmark_one(migration, log=False)

    def reset_session(self) -> None:
        """Undo what a migration has set: a dump leaves an empty search_path, in which yoyo's tables are not found."""
        self.connection.execute(_RESET_SESSION)

    def _check_session(self) -> None:
        """Raise MigrationError behind a transaction pooler: the next statement may run in a session without the lock.

        DB_PGBOUNCER is about DATABASE_URL, and MIGRATION_DATABASE_URL may lead past the pooler. So the process ids are
        compared, which a pooler makes up for its clients.
        """
        if not (self._settings or Settings()).pgbouncer:
            return
        row = self.connection.execute("SELECT pg_backend_pid()", prepare=False).fetchone()
        if row[0] != self.connection.info.backend_pid:
            raise RefusedError(
                "migrations cannot run through a transaction pooler, which keeps no session for the lock. Set "
                "MIGRATION_DATABASE_URL to the URL of the server. If this pooler keeps a session for each client, "
                "run the migrations with DB_PGBOUNCER=false"
            )

    def _try_lock(self) -> bool:
        row = self.connection.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK_KEY]).fetchone()
        return bool(row[0])

    def _holder(self) -> str:
        row = self.connection.execute(
            "SELECT a.pid, a.application_name, a.backend_start"
            " FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid AND a.datid = l.database"
            " WHERE l.locktype = 'advisory' AND l.granted"
            " AND (l.classid::bigint << 32) + l.objid::bigint = %s",
            [_LOCK_KEY],
        ).fetchone()
        return "just ended" if row is None else f"server process {row[0]} ({row[1]}, since {row[2]:%H:%M:%S})"


def _user() -> str:
    """The user who migrates; in a container the user id often has no name."""
    try:
        return getuser()
    except (KeyError, OSError):
        return f"uid {getuid()}"

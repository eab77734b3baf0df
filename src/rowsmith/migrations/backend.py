"""The backend of yoyo that applies migrations.

Its URL comes from the settings (MIGRATION_DATABASE_URL, else DATABASE_URL), and it connects with psycopg 3. Unlike
yoyo's own:

- the lock is an advisory lock, which ends with its holder's connection; yoyo's is a row, which outlives a killed run;
- a transactional migration and its mark are one transaction, so that a crash cannot leave one without the other;
- a rollback without a rollback file is refused; yoyo would mark the migration as rolled back and change nothing;
- a migration that leaves an invalid index is not marked as applied;
- the log keeps a digest of each file, so that an edited one is noticed;
- the rows of a SELECT in a migration are not printed.
"""

# yoyo has no annotations, so pyright knows no type that comes from it:
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import logging
import socket
import sys
import time
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from getpass import getuser
from os import getuid
from typing import Any, Self

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.connections import DatabaseURI
from yoyo.exceptions import BadMigration
from yoyo.scripts import migrate as yoyo_commands
from yoyo.scripts.main import InvalidArgument
from yoyo.topologicalsort import CycleError

from rowsmith.errors import SettingsError
from rowsmith.findings import Finding, count_of, display_path, excerpt
from rowsmith.migrations import files, lock
from rowsmith.migrations.failure import Failure, RefusedError, add_failure, refusal
from rowsmith.migrations.indexes import check_indexes, invalid_indexes, way_out
from rowsmith.pool.events import explain
from rowsmith.settings import Settings

logger = logging.getLogger("rowsmith.migrations")

# To what they were when the session began. RESET ALL leaves out the users.
_RESET_SESSION = "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL"
_APPLIED = """
    SELECT m.migration_id, m.migration_hash, (
        SELECT l.comment FROM {0.log_table_quoted} AS l
        WHERE l.migration_hash = m.migration_hash AND l.operation IN ('apply', 'mark')
        ORDER BY l.created_at_utc DESC LIMIT 1
    )
    FROM {0.migration_table_quoted} AS m ORDER BY m.migration_id
"""
_LOG = """
    INSERT INTO {0.log_table_quoted}
        (id, migration_hash, migration_id, operation, username, hostname, created_at_utc, comment)
    VALUES (:id, :migration_hash, :migration_id, :operation, :username, :hostname, :created_at_utc, :comment)
"""


class _StepCursor(psycopg.Cursor[TupleRow]):
    """A cursor that runs the statements of a migration.

    It has no description: yoyo prints the rows of a statement that has one.
    """

    backend: RowsmithBackend

    @property
    def description(self) -> None:
        """None."""

    def execute(self, query: Any, params: Any = None, **options: Any) -> Self:
        """Run a statement; if it fails, the backend knows where it is in its file."""
        self.backend.statements.append(query)
        try:
            return super().execute(query, params, **options)
        except psycopg.Error as error:
            if isinstance(query, files.Statement):
                # PostgreSQL counts characters from 1 (manual, "Error and Notice Message Fields", P).
                position = int(error.diag.statement_position or 1) - 1
                self.backend.failed = query.finding(position, "")
            raise


class RowsmithBackend(PostgresqlPsycopgBackend):  # type: ignore[misc]  # yoyo has no annotations
    """yoyo's backend for psycopg 3, with the differences listed above."""

    log_migration_sql = _LOG
    record: Callable[[], None] | None = None
    """What to write to the open transaction before it commits."""
    migration: Any = None
    """The migration that this connection is for."""
    _is_locked: bool = False

    def __init__(self, dburi: DatabaseURI, migration_table: str, settings: Settings | None = None) -> None:
        """Without `settings` it is made by yoyo's command line, and reads the environment."""
        self._settings = settings
        self._is_command = settings is None
        self.statements: list[object] = []
        """What the migration of this connection has run."""
        self.failed: Finding | None = None
        """Where the statement that failed is."""
        super().__init__(dburi, migration_table)
        if settings is None:
            yoyo_commands.read_migrations = self.read_migrations  # where its commands look the function up

    # --- the connection ---

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
        other = RowsmithBackend(self.uri, self.migration_table, self._settings or Settings())
        other.has_transactional_ddl = True
        other._internal_schema_updated = True
        other._stay_open()
        return other

    def cursor(self) -> _StepCursor:
        """A cursor that runs a statement of a migration."""
        cursor = _StepCursor(self.connection)
        cursor.backend = self
        return cursor

    def _stay_open(self) -> None:
        """Let the server not end the session: one connection is idle with the lock while another one migrates."""
        self.connection.execute("SET idle_session_timeout = 0")

    def reset_session(self) -> None:
        """Undo what a migration has set: a dump leaves an empty search_path, in which yoyo's tables are not found."""
        self.connection.execute(_RESET_SESSION)

    # --- the lock ---

    @contextmanager
    def lock(self, timeout: float = lock.LOCK_SECONDS) -> Generator[None]:
        """Allow one migration run at a time on this database. Waits for another one, up to `timeout` seconds.

        Raises MigrationError on a timeout, and behind a transaction pooler.
        """
        if self._is_locked:
            yield
            return
        self._check_session()
        with self._reported():
            self._stay_open()
            lock.acquire(self.connection, timeout, self._warn)
            self._is_locked = True
            try:
                yield
            finally:
                self._is_locked = False
                lock.release(self.connection, lock.RUN)

    def break_lock(self) -> None:
        """Raises InvalidArgument: there is nothing to break."""
        raise InvalidArgument("there is no lock to break: it ends with the connection that holds it")

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

    # --- which migrations there are ---

    def read_migrations(self, *sources: str) -> Any:
        """The migrations in some folders. Warns about applied ones whose file was edited or is not there any more.

        Raises RefusedError if there is no such folder.
        """
        migrations = files.read_migrations(*sources)
        with self._reported():
            self.ensure_internal_schema_updated()
            applied = self.execute(self.format_sql(_APPLIED)).fetchall()
        there = {migration.hash: migration for migration in migrations}
        for name, key, recorded in applied:
            if key not in there:
                self._warn(f"warning: {name} is applied, but its file is gone. Restore the file")
            elif files.is_digest(recorded) and files.digest(there[key]) != recorded:
                self._warn(
                    f"warning: {display_path(files.path_of(there[key]))} was edited after it was applied, and is not "
                    "applied again. Undo the edit, and write another migration for the change"
                )
        return migrations

    def to_apply(self, migrations: Any) -> Any:
        """The migrations that are not applied yet, in order. Raises RefusedError if the file of one cannot be one."""
        with self._reported():
            todo = super().to_apply(files.adopted(migrations))
            for migration in (*todo, *todo.post_apply):
                migration.load()
            return todo

    def to_rollback(self, migrations: Any) -> Any:
        """The migrations that are applied, the last one first."""
        with self._reported():
            return super().to_rollback(files.adopted(migrations))

    # --- applying them ---

    def apply_migrations(self, migrations: Any, force: bool = False) -> None:
        """Apply some migrations, and say how many they were."""
        began = time.monotonic()
        super().apply_migrations(migrations, force)
        if migrations:
            self._say(f"{count_of(len(migrations), 'migration')} applied in {time.monotonic() - began:.1f} s")
        else:
            self._say("nothing to apply")

    def apply_one(self, migration: Any, force: bool = False, mark: bool = True) -> None:
        """Apply one migration and mark it; if it is transactional, in one transaction."""
        self._process(migration, "apply", force, mark)

    def rollback_one(self, migration: Any, force: bool = False) -> None:
        """Roll one migration back and remove its mark. Raises MigrationError if it has no rollback file."""
        rollback = files.rollback_file(migration)
        if migration.is_raw_sql() and not rollback.exists():
            raise RefusedError(
                f"{migration.id} cannot be rolled back: there is no {rollback.name}. Write one, or undo the migration "
                f"by hand and run `yoyo unmark --revision {migration.id}`"
            )
        self._process(migration, "rollback", force, mark=True)

    def commit(self) -> None:
        """Commit, with the record of the migration in the same transaction.

        Raises MigrationError if the migration has ended the transaction, or left an invalid index.
        """
        record, self.record = self.record, None
        if record is not None:
            if self.connection.info.transaction_status != TransactionStatus.INTRANS:
                raise RefusedError(
                    f"{self.migration.id} has ended its transaction. What it did before is committed, but the "
                    "migration is not recorded. Undo that by hand, and let the migration neither commit nor roll back"
                )
            self.reset_session()
            check_indexes(self.connection, self.migration.id, self.statements)
            record()
        super().commit()

    def log_migration(self, migration: Any, operation: str) -> None:
        """Write yoyo's log entry, with the digest of the file."""
        data = {**self.get_log_data(migration, operation), "comment": files.digest(migration)}
        self.execute(self.format_sql(self.log_migration_sql), data)

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

    def write_record(self, migration: Any, direction: str, mark: bool) -> None:
        """Log that a migration was applied or rolled back, and mark or unmark it."""
        self.log_migration(migration, direction)
        if mark and direction == "apply":
            self.mark_one(migration, log=False)
        elif mark:
            self.unmark_one(migration, log=False)

    def _process(self, migration: Any, direction: str, force: bool, mark: bool) -> None:
        logger.info("%s %s", "applying" if direction == "apply" else "rolling back", migration.id)
        files.adopt(migration)
        migration.load()
        began = time.monotonic()
        with self.copy() as backend:
            backend.migration = migration
            self._lock_session(backend)
            self.ensure_internal_schema_updated()
            before = invalid_indexes(backend.connection)
            record = partial(backend.write_record, migration, direction, mark)
            if migration.use_transactions:
                backend.record = record
            try:
                migration.process_steps(backend, direction, force=force)
            except psycopg.Error as error:
                add_failure(error, backend.failure(error, direction, before))
                raise
            if not migration.use_transactions:
                backend.reset_session()
                check_indexes(backend.connection, migration.id, backend.statements)
                with backend.transaction():
                    record()
            lock.release(backend.connection, lock.SESSION)
        done = "applied" if direction == "apply" else "rolled back"
        self._say(f"{done} {migration.id} in {time.monotonic() - began:.2f} s")

    def _lock_session(self, backend: RowsmithBackend) -> None:
        """Let the session that is about to run a migration hold the second lock of the run.

        Raises MigrationError if the connection with the first one is lost: another run may have begun.
        """
        if not self._is_locked:
            return
        while not (free := lock.try_acquire(backend.connection, lock.SESSION)) and lock.is_held(self.connection):
            time.sleep(lock.POLL_SECONDS)  # the session of the last migration is still ending
        if not free or not lock.is_held(self.connection):
            raise RefusedError(
                "the connection that held the lock of this migration run is lost, and another run may have begun. "
                f"{backend.migration.id} was not started. Run the migrations again"
            )

    # --- what is found wrong ---

    def failure(self, error: psycopg.Error, direction: str, before: dict[str, str]) -> Failure:
        """Where an error is in the files of a migration, and what the migration has left behind."""
        place = display_path(files.path_of(self.migration))
        lines: list[str] = []
        if self.failed is not None:
            place, lines = f"{display_path(self.failed.file)}:{self.failed.line}", excerpt(self.failed)
        if isinstance(error, psycopg.errors.ActiveSqlTransaction):
            lines.append(f"Write `{files.NON_TRANSACTIONAL}` above the first statement")
        usable = self.connection.info.transaction_status == TransactionStatus.IDLE
        after = invalid_indexes(self.connection) if usable else before
        if left := [shown for name, shown in after.items() if name not in before]:
            lines.append(way_out(left))
        return Failure(f"{self.migration.id}, {direction}", place, lines)

    @contextmanager
    def _reported(self) -> Generator[None]:
        """On yoyo's command line, an error of PostgreSQL is a message without a traceback."""
        try:
            yield
        except BadMigration as error:
            raise RefusedError(f"a migration cannot be loaded: {': '.join(map(str, error.args))}") from error
        except CycleError as error:
            names = ", ".join(sorted(migration.id for migration in error.args[1]))
            raise RefusedError(f"these migrations depend on each other in a circle: {names}") from None
        except psycopg.Error as error:
            if not self._is_command:
                raise
            raise RefusedError(refusal(error)) from error

    def _say(self, text: str) -> None:
        """Say what was done: on yoyo's command line to standard output."""
        if self._is_command:
            print(text, flush=True)  # noqa: T201 - this is its output
        else:
            logger.info("%s", text)

    def _warn(self, text: str) -> None:
        """Say what is unusual: on yoyo's command line to standard error."""
        if self._is_command:
            print(text, file=sys.stderr, flush=True)  # noqa: T201 - this is its output
        else:
            logger.warning("%s", text)


def _user() -> str:
    """The user who migrates; in a container the user id often has no name."""
    try:
        return getuser()
    except (KeyError, OSError):
        return f"uid {getuid()}"

"""The error tree, and the questions asked of an error.

What PostgreSQL or psycopg reports passes through as psycopg's own exception, with a note. The classes here are for what
rowsmith itself finds wrong: the configuration, the query files, the shape of a result, the use of a transaction block.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import psycopg
import psycopg_pool

from rowsmith.findings import Finding, count_of


class RowsmithError(Exception):
    """The root of every error that rowsmith itself raises."""


class SettingsError(RowsmithError, ValueError):
    """The environment is incomplete or wrong. The message lists every fault at once, and no password."""


class ServerError(RowsmithError):
    """A PostgreSQL server of rowsmith's own could not be found, started or stopped."""


class MigrationError(RowsmithError):
    """A migration cannot be applied or rolled back as it stands."""


class QueryFileError(RowsmithError):
    """The query files have faults. `faults` lists every one; its text is `file:line: what is wrong. what to do`."""

    def __init__(self, faults: Sequence[Finding]) -> None:
        super().__init__("\n".join([f"{count_of(len(faults), 'fault')} in the query files", *map(str, faults)]))
        self.faults = tuple(faults)


class RowCountError(RowsmithError):
    """A query that promises at most one row (`^`, `$`, `<!`) found more."""


class ResultShapeError(RowsmithError):
    """A result does not fit its query's mark: rows or no rows, one value or several columns."""


class TransactionError(RowsmithError):
    """A transaction block is used in a way that cannot hold its promise."""


class TransactionAbortedError(TransactionError):
    """A statement in the block failed, the error was caught inside, and the block then ended normally.

    PostgreSQL aborts a transaction at its first error (SQLSTATE 25P02 from then on): nothing was committed.
    """


class ConnectionLostError(TransactionError, psycopg.OperationalError):
    """The connection was lost in a transaction block, and it is certain that nothing of it was committed."""


class CommitUnknownError(TransactionError):
    """The connection was lost while COMMIT ran, and whether the server committed could not be found out in time.

    `transaction_id` is what `SELECT pg_xact_status(...)` takes, None where the transaction had none that was known.
    """

    def __init__(self, message: str, transaction_id: int | None) -> None:
        super().__init__(message)
        self.transaction_id = transaction_id


class DeadlineExceededError(RowsmithError, TimeoutError):
    """The time of a `with deadline(seconds):` was over."""


class LockTimeoutError(RowsmithError, TimeoutError):
    """An advisory lock was not got in time."""


class ModuleError(RowsmithError):
    """The typed module cannot be made of the queries as they stand, or not written to its place."""


class UnknownTypeError(ModuleError):
    """A type of PostgreSQL's for which no Python type is known. The message says how to name one."""


class StaleModuleError(ModuleError):
    """A generated module is imported whose query files are no longer those that it was made of."""


class Category(StrEnum):
    """Why a database cannot be used, as far as it can be told from here."""

    AUTH = "auth"
    DNS = "dns"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    STARTING = "starting"
    SATURATED = "saturated"
    POOL_EXHAUSTED = "pool_exhausted"
    READ_ONLY = "read_only"
    UNKNOWN = "unknown"


class PoolTimeoutError(RowsmithError, psycopg_pool.PoolTimeout):
    """No connection came free in time. The message says whether all are in use or none could be made, and why."""

    def __init__(self, message: str, category: Category) -> None:
        super().__init__(message)
        self.category = category


class CircuitOpenError(RowsmithError, psycopg_pool.PoolTimeout):
    """The database could not be reached several times in a row: until `retry_at` it is not asked again."""

    def __init__(self, message: str, category: Category, retry_after: float) -> None:
        super().__init__(message)
        self.category = category
        self.retry_after = retry_after
        """Seconds from the error to the next attempt."""
        self.retry_at = datetime.now(UTC) + timedelta(seconds=retry_after)


HINTS = {
    Category.AUTH: "Check the user name and the password in DATABASE_URL, and the server's pg_hba.conf.",
    Category.DNS: "Check the host name in DATABASE_URL.",
    Category.REFUSED: "Is the server running, and does it listen at the host and port of DATABASE_URL?",
    Category.TIMEOUT: "Is the host reachable from here? A firewall that drops packets looks like this.",
    Category.STARTING: "The server is starting up or shutting down: try again in a moment.",
    Category.SATURATED: (
        "All connections of the server, or of the pooler before it, are in use: lower DB_MAX_CONNECTIONS, or raise "
        "max_connections (PgBouncer: default_pool_size, max_client_conn)."
    ),
    Category.POOL_EXHAUSTED: "Hold connections for less time, or raise DB_MAX_CONNECTIONS.",
    Category.READ_ONLY: "This is a standby, or its default is read-only: DATABASE_URL should name the primary.",
}
"""What a person can do about it."""

# Manual, appendix "PostgreSQL Error Codes". 57P01 and 57P02 end a session when the server shuts down.
_BY_SQLSTATE = {
    "25006": Category.READ_ONLY,
    "28000": Category.AUTH,
    "28P01": Category.AUTH,
    "42501": Category.AUTH,
    "53300": Category.SATURATED,
    "57P01": Category.STARTING,
    "57P02": Category.STARTING,
    "57P03": Category.STARTING,
}
# A failed connection attempt has no SQLSTATE in psycopg, only libpq's text. libpq's own part of it is English in the
# binary package; a server with another lc_messages is not understood and counts as UNKNOWN.
# The first that fits counts: a role with too many connections is no fault of its password.
_BY_TEXT = (
    ("session is read-only", Category.READ_ONLY),
    ("server is in hot standby mode", Category.READ_ONLY),
    ("the database system is", Category.STARTING),
    ("terminating connection due to administrator command", Category.STARTING),
    ("too many clients", Category.SATURATED),
    ("connection slots are reserved", Category.SATURATED),
    ("too many connections", Category.SATURATED),
    ("password authentication failed", Category.AUTH),
    ("no password supplied", Category.AUTH),
    ("authentication failed", Category.AUTH),
    ("no pg_hba.conf entry", Category.AUTH),
    ("is not permitted to log in", Category.AUTH),
    ("permission denied for database", Category.AUTH),
    ('role "', Category.AUTH),
    ("could not translate host name", Category.DNS),
    ("failed to resolve host", Category.DNS),
    ("Name or service not known", Category.DNS),
    ("nodename nor servname", Category.DNS),
    ("name resolution", Category.DNS),
    ("Connection refused", Category.REFUSED),
    ("closed the connection unexpectedly", Category.REFUSED),
    ("connection has been closed unexpectedly", Category.REFUSED),
    ("Connection reset by peer", Category.REFUSED),
    ("Network is unreachable", Category.REFUSED),
    ("No route to host", Category.REFUSED),
    ("No such file or directory", Category.REFUSED),
    # PgBouncer's own words. What a server told it, it passes on, with its own behind: those of a server come first.
    ("no such user", Category.AUTH),
    ("no more connections allowed", Category.SATURATED),
    ("query_wait_timeout", Category.SATURATED),
    ("client_login_timeout (server down)", Category.REFUSED),
    ("server_login_retry", Category.REFUSED),
    ("timeout expired", Category.TIMEOUT),
    ("timed out", Category.TIMEOUT),
)


def category(error: BaseException) -> Category:
    """Why the database cannot be used, judged by an error of psycopg, its pool, or the operating system."""
    if isinstance(error, (PoolTimeoutError, CircuitOpenError)):
        return error.category
    if isinstance(error, (TimeoutError, psycopg.errors.ConnectionTimeout)):
        return Category.TIMEOUT
    if isinstance(error, psycopg.Error):
        if error.sqlstate in _BY_SQLSTATE:
            return _BY_SQLSTATE[error.sqlstate]
        return next((found for text, found in _BY_TEXT if text in str(error)), Category.UNKNOWN)
    return Category.UNKNOWN


def is_transient(error: BaseException) -> bool:
    """Whether another attempt to connect, a moment later, could succeed with nothing changed here."""
    return category(error) in (Category.REFUSED, Category.TIMEOUT, Category.STARTING, Category.SATURATED, Category.DNS)

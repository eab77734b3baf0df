"""The exceptions of rowsmith, and why a database cannot be reached.

What PostgreSQL or psycopg reports is raised as psycopg's own exception, with a note. The classes here are for what
rowsmith itself finds wrong: the configuration, the query files, the shape of a result, the use of a transaction block.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import psycopg
import psycopg_pool

from rowsmith.findings import Finding, count_of

PAGES = "https://github.com/rowsmith/rowsmith/blob/main/docs/errors"
"""The folder of the documentation that has a page for each error, and one for the rules of `rowsmith check`."""


class RowsmithError(Exception):
    """The base class of every error that rowsmith itself raises. A note names the error's page of the documentation."""

    page = f"{PAGES}/index.md"
    """The address of the page about this class. It follows from the name; a subclass of yours has its base's."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.__module__.startswith("rowsmith.") and "page" not in vars(cls):  # PoolTimeoutError: pool-timeout.md
            words = re.findall("[A-Z][a-z]*", cls.__name__.removesuffix("Error"))
            cls.page = f"{PAGES}/{'-'.join(words).lower()}.md"

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.add_note(f"See {self.page}")


class SettingsError(RowsmithError, ValueError):
    """The environment is incomplete or wrong. The message lists every fault, and never contains a password."""


class ServerError(RowsmithError):
    """An embedded or scratch PostgreSQL could not be found, started, used or stopped."""


class MigrationError(RowsmithError):
    """A migration cannot be applied or rolled back."""


class QueryFileError(RowsmithError):
    """The query files have faults. `faults` lists every one; `str()` of one is `file:line: message. hint`."""

    def __init__(self, faults: Sequence[Finding]) -> None:
        super().__init__("\n".join([f"{count_of(len(faults), 'fault')} in the query files", *map(str, faults)]))
        self.faults = tuple(faults)


class RowCountError(RowsmithError):
    """A query that promises at most one row (`^`, `$`, `<!`) found more than one."""


class ResultShapeError(RowsmithError):
    """A result does not fit the mark of its query: rows or no rows, one column or several."""


class PageTokenError(RowsmithError, ValueError):
    """The token of a page, `after`, is none, or is one of another query, ordering or version."""


class UnexpectedNullError(RowsmithError):
    """A column is NULL, and the query declares that it never is: `AS "first!"`."""


class TransactionError(RowsmithError):
    """A transaction block was used in a way that its guarantees do not allow."""


class TransactionAbortedError(TransactionError):
    """A statement in the block failed, the error was caught inside the block, and the block then ended normally.

    PostgreSQL aborts a transaction at its first error (and reports SQLSTATE 25P02 from then on). Nothing was committed.
    """


class ConnectionLostError(TransactionError, psycopg.OperationalError):
    """The connection was lost in a transaction block, and it is certain that nothing was committed."""


class CommitUnknownError(TransactionError):
    """The connection was lost during COMMIT, and it could not be found out in time whether the server committed.

    `transaction_id` is for `SELECT pg_xact_status(...)`; None if it is not known.
    """

    def __init__(self, message: str, transaction_id: int | None) -> None:
        super().__init__(message)
        self.transaction_id = transaction_id


class DeadlineExceededError(RowsmithError, TimeoutError):
    """The deadline of a `with deadline(seconds):` block passed."""


class LockTimeoutError(RowsmithError, TimeoutError):
    """An advisory lock was not acquired in time."""


class ModuleError(RowsmithError):
    """The typed module cannot be generated from these queries, or cannot be written."""


class UnknownTypeError(ModuleError):
    """No Python type is known for a PostgreSQL type, `pg_type`. The message says how to name one."""

    def __init__(self, pg_type: str) -> None:
        super().__init__(f"no Python type is known for {pg_type}. Name one in [tool.rowsmith.types]")
        self.pg_type = pg_type


class StaleModuleError(ModuleError):
    """The query files have changed since the imported module was generated."""


class Category(StrEnum):
    """Why a database cannot be used, as far as the client can tell."""

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
    """The pool had no connection in time. The message says if all were in use or none could be opened, and why."""

    def __init__(self, message: str, category: Category) -> None:
        super().__init__(message)
        self.category = category


class CircuitOpenError(RowsmithError, psycopg_pool.PoolTimeout):
    """The database could not be reached several times in a row, and is not tried again before `retry_at`."""

    def __init__(self, message: str, category: Category, retry_after: float) -> None:
        super().__init__(message)
        self.category = category
        self.retry_after = retry_after
        """Seconds from this error to the next attempt."""
        self.retry_at = datetime.now(UTC) + timedelta(seconds=retry_after)


HINTS = {
    Category.AUTH: "Check the user name and the password in DATABASE_URL, and the server's pg_hba.conf.",
    Category.DNS: "Check the host name in DATABASE_URL.",
    Category.REFUSED: "Check that the server is running and listens on the host and port in DATABASE_URL.",
    Category.TIMEOUT: "Check that the host can be reached from here; a firewall may be dropping packets.",
    Category.STARTING: "The server is starting up or shutting down. Try again in a moment.",
    Category.SATURATED: (
        "All connections of the server, or of its pooler, are in use. Lower DB_MAX_CONNECTIONS, or raise "
        "max_connections (in PgBouncer: default_pool_size, max_client_conn)."
    ),
    Category.POOL_EXHAUSTED: "Hold connections for a shorter time, or raise DB_MAX_CONNECTIONS.",
    Category.READ_ONLY: "This server is a standby or read-only by default. Set DATABASE_URL to the primary.",
}
"""What to do about it."""

# Manual, appendix "PostgreSQL Error Codes". 57P01 and 57P02 end a session when the server shuts down.
_BY_SQLSTATE = {
    "25006": Category.READ_ONLY,
    "53300": Category.SATURATED,
    **dict.fromkeys(("28000", "28P01", "42501"), Category.AUTH),
    **dict.fromkeys(("57P01", "57P02", "57P03"), Category.STARTING),
}
# A failed connection attempt has no SQLSTATE in psycopg, only libpq's text. libpq's own part of it is English in the
# binary package; what a server with another lc_messages says is not recognized and counts as UNKNOWN.
# The first match counts: that a role has too many connections does not mean that its password is wrong. PgBouncer
# passes on what a server said and adds words of its own, so those come last.
_BY_TEXT = (
    (Category.READ_ONLY, ("session is read-only", "server is in hot standby mode")),
    (Category.STARTING, ("the database system is", "terminating connection due to administrator command")),
    (Category.SATURATED, ("too many clients", "connection slots are reserved", "too many connections")),
    (Category.AUTH, ("password authentication failed", "no password supplied", "authentication failed")),
    (Category.AUTH, ("no pg_hba.conf entry", "is not permitted to log in", "permission denied for database", 'role "')),
    (Category.DNS, ("could not translate host name", "failed to resolve host", "Name or service not known")),
    (Category.DNS, ("nodename nor servname", "name resolution")),
    (Category.REFUSED, ("Connection refused", "closed the connection unexpectedly")),
    (Category.REFUSED, ("connection has been closed unexpectedly", "Connection reset by peer")),
    (Category.REFUSED, ("Network is unreachable", "No route to host", "No such file or directory")),
    (Category.AUTH, ("no such user",)),
    (Category.SATURATED, ("no more connections allowed", "query_wait_timeout")),
    (Category.REFUSED, ("client_login_timeout (server down)", "server_login_retry")),
    (Category.TIMEOUT, ("timeout expired", "timed out")),
)


def category(error: BaseException) -> Category:
    """Why the database cannot be used, according to an error of psycopg, its pool, or the operating system."""
    if isinstance(error, (PoolTimeoutError, CircuitOpenError)):
        return error.category
    if isinstance(error, (TimeoutError, psycopg.errors.ConnectionTimeout)):
        return Category.TIMEOUT
    if isinstance(error, psycopg.Error):
        if error.sqlstate in _BY_SQLSTATE:
            return _BY_SQLSTATE[error.sqlstate]
        said = str(error)
        return next((found for found, texts in _BY_TEXT if any(text in said for text in texts)), Category.UNKNOWN)
    return Category.UNKNOWN


def is_transient(error: BaseException) -> bool:
    """Whether connecting again a moment later could succeed without any change here."""
    return category(error) in (Category.REFUSED, Category.TIMEOUT, Category.STARTING, Category.SATURATED, Category.DNS)

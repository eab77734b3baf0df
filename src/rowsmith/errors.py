"""The error tree, and the questions asked of an error.

What PostgreSQL or psycopg reports passes through as psycopg's own exception, with a note. The classes here are
for what rowsmith itself finds wrong: the configuration, the query files, the shape of a result, the use of a
transaction block. Where a psycopg class means the same, ours is a subclass of it too.
"""

from __future__ import annotations

from collections.abc import Sequence

import psycopg_pool


class RowsmithError(Exception):
    """The root of every error that rowsmith itself raises."""


class SettingsError(RowsmithError, ValueError):
    """The environment is incomplete or wrong. The message lists every fault at once, and no password."""


class ServerError(RowsmithError):
    """A PostgreSQL server of rowsmith's own could not be found, started or stopped."""


class QueryFileError(RowsmithError):
    """The query files hold faults. `faults` lists every one, each as `file:line: what is wrong and what to do`."""

    def __init__(self, faults: Sequence[str]) -> None:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__("\n".join([f"{count} in the query files", *faults]))
        self.faults = tuple(faults)


class RowCountError(RowsmithError):
    """A query that promises at most one row (`^`, `$`, `<!`) found more."""


class ResultShapeError(RowsmithError):
    """What a query gave back does not fit its mark: rows where none were meant, none where rows were, two columns
    where one value was promised."""


class TransactionError(RowsmithError):
    """A transaction block is used in a way that cannot hold its promise."""


class TransactionAbortedError(TransactionError):
    """A statement in the block failed, the error was caught inside, and the block then ended normally.

    PostgreSQL aborts a transaction at its first error (SQLSTATE 25P02 from then on): nothing was committed.
    """


class PoolTimeoutError(RowsmithError, psycopg_pool.PoolTimeout):
    """No connection came free in time. The message says whether all are in use or none could be made, and why."""

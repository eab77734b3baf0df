"""The error tree, and the questions asked of an error.

What PostgreSQL or psycopg reports passes through as psycopg's own exception, with a note. The classes here are
for what rowsmith itself finds wrong: the configuration, the query files, the shape of a result, the use of a
transaction block. Where a psycopg class means the same, ours is a subclass of it too.
"""

from __future__ import annotations


class RowsmithError(Exception):
    """The root of every error that rowsmith itself raises."""


class SettingsError(RowsmithError, ValueError):
    """The environment is incomplete or wrong. The message lists every fault at once, and no password."""


class ServerError(RowsmithError):
    """A PostgreSQL server of rowsmith's own could not be found, started or stopped."""

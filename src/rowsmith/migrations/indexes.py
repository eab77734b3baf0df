"""Invalid indexes: what a CREATE INDEX CONCURRENTLY leaves behind when it fails."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import psycopg
from psycopg.rows import TupleRow

from rowsmith.migrations.failure import RefusedError
from rowsmith.queries.lexer import TokenKind, tokenize

_INVALID = """
    SELECT c.relname, quote_ident(n.nspname) || '.' || quote_ident(c.relname)
    FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE NOT i.indisvalid AND c.relkind = 'i' ORDER BY 2
"""  # a partitioned index (relkind I) may be invalid on purpose
_MAX_NAME_BYTES = 63
"""NAMEDATALEN - 1: the server cuts longer names."""


def invalid_indexes(conn: psycopg.Connection[TupleRow]) -> dict[str, str]:
    """The names of the invalid indexes, and how SQL refers to them."""
    return dict(conn.execute(_INVALID).fetchall())


def check_indexes(conn: psycopg.Connection[TupleRow], migration: str, statements: Iterable[object]) -> None:
    """Raise RefusedError if the statements of a migration have mentioned an index that is invalid.

    CREATE INDEX CONCURRENTLY IF NOT EXISTS does nothing if an earlier run has left one.
    """
    if invalid := invalid_indexes(conn):
        mentioned = {name for statement in statements for name in names_in(str(statement))}
        if found := [shown for name, shown in invalid.items() if name in mentioned]:
            raise RefusedError(f"{migration} is not recorded: {way_out(found)}")


def way_out(indexes: Sequence[str]) -> str:
    """What to do about invalid indexes."""
    names = ", ".join(indexes)
    what = f"the index {names} is" if len(indexes) == 1 else f"the indexes {names} are"
    drops = "\n".join(f"    DROP INDEX CONCURRENTLY {index}" for index in indexes)
    return f"{what} invalid, because a CREATE INDEX CONCURRENTLY has failed. Run it again after\n{drops}"


def names_in(statement: str) -> set[str]:
    """The names in a statement, as PostgreSQL stores them."""
    names = (token.text for token in tokenize(statement) if token.kind is TokenKind.NAME)
    plain = (name[1:-1].replace('""', '"') if name.endswith('"') else name.lower() for name in names)
    return {name.encode()[:_MAX_NAME_BYTES].decode(errors="ignore") for name in plain}

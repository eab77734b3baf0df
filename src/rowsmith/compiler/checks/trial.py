"""Trials: what the server says of a query that a hint suggests. No form is printed that it has not accepted."""

from __future__ import annotations

from dataclasses import replace

import psycopg
from psycopg.rows import TupleRow

from rowsmith.queries.inference import infer_types
from rowsmith.queries.query import Query
from rowsmith.wire.protocol import try_to_prepare


class Trial:
    """Asks one database whether it accepts statements. Nothing is executed."""

    def __init__(self, conn: psycopg.Connection[TupleRow]) -> None:
        self._conn = conn

    def objection(self, query: Query, sql: str) -> psycopg.Error | None:
        """What the server says against a query with another statement; None if it accepts it."""
        pgconn = self._conn.pgconn
        try:
            self._conn.wait(try_to_prepare(pgconn, b"", sql.encode()))
        except psycopg.errors.AmbiguousParameter as error:
            return None if self._conn.wait(infer_types(pgconn, replace(query, sql=sql), "utf-8")) else error
        except psycopg.Error as error:
            return error
        return None

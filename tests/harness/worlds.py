"""A connection for threads or for tasks, for tests that are the same in both worlds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, time
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus


class World:
    """The same calls on a connection for threads and on one for tasks."""

    def __init__(self, url: str, *, asynchronous: bool, **options: Any) -> None:
        self.closed = False
        self.runner = asyncio.Runner() if asynchronous else None
        self.kind: Any = psycopg.AsyncConnection if asynchronous else psycopg.Connection
        self.cursor: Any = psycopg.AsyncRawCursor if asynchronous else psycopg.RawCursor
        self.conn: Any = self.run(self.kind.connect(url, **{"autocommit": True, **options}))

    def run(self, result: Any) -> Any:
        """What a call gives, awaited where it has to be."""
        return self.runner.run(_awaited(result)) if self.runner else result

    def call(self, query: Any, **values: object) -> Any:
        """What a query gives."""
        return self.run(query(self.conn, **values))

    def unnamed(self, query: Any, **values: object) -> Any:
        """The row that a query gives, as a plain tuple."""
        return (*self.call(query, **values),)

    def sql(self, text: str, *values: object) -> list[tuple[Any, ...]]:
        """Run a statement by psycopg's own cursor; `$1` stands for a value. Its rows."""
        if self.runner:
            return self.runner.run(self._asql(text, values))
        cursor: psycopg.RawCursor[tuple[Any, ...]] = self.cursor(self.conn)
        cursor.execute(text.encode(), values or None)
        return cursor.fetchall() if cursor.description else []

    def row(self, text: str, *values: object) -> tuple[Any, ...]:
        """The one row that a statement gives."""
        (row,) = self.sql(text, *values)
        return row

    def value(self, text: str, *values: object) -> Any:
        """The one value that a statement gives."""
        (value,) = self.row(text, *values)
        return value

    def close(self) -> None:
        """Close the connection, and the event loop; a test may have done so before."""
        if self.closed:
            return
        self.closed = True
        self.run(self.conn.close())
        if self.runner:
            self.runner.close()

    @property
    def status(self) -> TransactionStatus:
        """Where the connection is with its transaction."""
        return TransactionStatus(self.conn.pgconn.transaction_status)

    async def _asql(self, text: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        cursor: psycopg.AsyncRawCursor[tuple[Any, ...]] = self.cursor(self.conn)
        await cursor.execute(text.encode(), values or None)
        return await cursor.fetchall() if cursor.description else []


async def _awaited(result: Any) -> Any:
    return await result


def told(value: Any) -> Any:
    """A value as it can be compared: with the types of all its parts, and with what `==` does not look at."""
    kind = value.__class__
    if kind in (list, tuple):
        return [kind, *map(told, value)]
    if kind is dict:
        return [kind, *((key, told(item)) for key, item in value.items())]
    if isinstance(value, Decimal):
        return kind, value.as_tuple()
    if isinstance(value, (datetime, time)):
        return kind, repr(value), value.utcoffset()
    return kind, repr(value)


def outcome(call: Callable[..., Any], *args: object, **values: object) -> Any:
    """What a call gives, or the class of the error that it raises."""
    try:
        return told(call(*args, **values))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is compared with psycopg's
        return "raises", type(error)

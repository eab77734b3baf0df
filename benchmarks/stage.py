"""The stage: all contenders that take part, connected, and one event loop for the async ones."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg.rows import TupleRow

from benchmarks.contenders.aiosql_ import Aiosql
from benchmarks.contenders.asyncpg_ import Asyncpg
from benchmarks.contenders.contender import Contender
from benchmarks.contenders.floor import Floor
from benchmarks.contenders.psycopg_ import (
    PsycopgAsync,
    PsycopgDataclass,
    PsycopgPydantic,
    PsycopgStitched,
    PsycopgTuples,
)
from benchmarks.contenders.rowsmith_ import RowsmithAsync, RowsmithDataclass, RowsmithPydantic, RowsmithUntyped
from benchmarks.contenders.sqlalchemy_ import SqlalchemyCore, SqlalchemyOrm
from benchmarks.contenders.sqlspec_ import Sqlspec

CONTENDERS: Sequence[type[Contender]] = (
    Floor,
    RowsmithDataclass,
    RowsmithPydantic,
    RowsmithUntyped,
    PsycopgTuples,
    PsycopgStitched,
    PsycopgDataclass,
    PsycopgPydantic,
    Aiosql,
    SqlalchemyCore,
    SqlalchemyOrm,
    Sqlspec,
    RowsmithAsync,
    PsycopgAsync,
    Asyncpg,
)
"""In the order of the tables."""


class Stage:
    """The contenders on one database, and a connection for the benchmark itself. A context manager."""

    def __init__(self, url: str, contenders: Sequence[type[Contender]] = CONTENDERS) -> None:
        self.url = url
        self.contenders = [contender(url) for contender in contenders]

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self.conn: psycopg.Connection[TupleRow] = psycopg.connect(self.url, autocommit=True)
        for contender in self.contenders:
            self.call(contender, contender.open)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for contender in self.contenders:
            with suppress(Exception):  # the server is about to be stopped anyway
                self.call(contender, contender.close)
        self.conn.close()
        self._loop.close()

    def call(self, contender: Contender, method: Callable[..., Any], *arguments: Any) -> Any:
        """Call a method of the contender. Returns its result, awaited if the contender is async."""
        result = method(*arguments)
        return self.wait(result) if contender.asynchronous else result

    def wait(self, awaitable: Awaitable[Any]) -> Any:
        """The result of an awaitable, on the stage's event loop."""
        return self._loop.run_until_complete(awaitable)

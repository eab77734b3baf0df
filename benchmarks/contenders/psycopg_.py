"""Hand-written psycopg: prepared at the first use, binary results, a cursor for each statement as in its manual."""

from __future__ import annotations

from typing import Any, ClassVar, cast
from uuid import UUID

import psycopg
from psycopg.rows import BaseRowFactory, class_row, dict_row, tuple_row
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from benchmarks import data
from benchmarks.contenders.contender import POOL, Contender, drained
from benchmarks.statements import EVENTS_COPY, STATEMENTS, percent

_BINARY_COPY = EVENTS_COPY + b" (FORMAT BINARY)"
_STATEMENTS = {name: percent(statement).encode() for name, statement in STATEMENTS.items()}
_GET_USER, _LIST_USERS, _CREATE_USER = (_STATEMENTS[name] for name in ("get_user", "list_users", "create_user"))
_NESTED, _PARENTS, _KEYS = (_STATEMENTS[name] for name in ("list_users_with_keys", "list_parents", "list_keys_of"))
_RECORD_EVENT, _TENFOLD = _STATEMENTS["record_event"], _STATEMENTS["list_users_tenfold"]
_KEYWORDS: dict[str, Any] = {"autocommit": True, "prepare_threshold": 0}
_CHUNK = 1000


class _Psycopg(Contender):
    rows: ClassVar[BaseRowFactory[Any]]

    def open(self) -> None:
        self._conn = psycopg.connect(self.url, **_KEYWORDS)

    def close(self) -> None:
        self._conn.close()

    def look_up(self, key: UUID) -> Any:
        return self._conn.cursor(binary=True, row_factory=self.rows).execute(_GET_USER, (key,)).fetchone()

    def read(self, most: int) -> Any:
        return self._conn.cursor(binary=True, row_factory=self.rows).execute(_LIST_USERS, (most,)).fetchall()


class PsycopgDataclass(_Psycopg):
    """`class_row` with a dataclass; psycopg_pool and `conn.transaction()`; binary COPY with `write_row`."""

    name = "psycopg, dataclass"
    imports = "import psycopg, psycopg_pool"
    rows = staticmethod(class_row(data.User))

    def open(self) -> None:
        super().open()
        self._pool = ConnectionPool(self.url, kwargs=_KEYWORDS, min_size=POOL, max_size=POOL, open=True)
        self._pool.wait()
        self._events = data.events()

    def close(self) -> None:
        super().close()
        self._pool.close()

    def nest(self, most: int) -> list[data.Parent]:
        """Two queries, stitched by hand."""
        cursor = self._conn.cursor(binary=True)
        rows = cursor.execute(_PARENTS, (most,)).fetchall()
        keys: dict[UUID, list[data.Key]] = {row[0]: [] for row in rows}
        for user, *values in cursor.execute(_KEYS, ([*keys],)).fetchall():
            keys[user].append(data.Key(*values))
        return [data.Parent(*row, keys[row[0]]) for row in rows]

    def create(self, email: str, name: str) -> Any:
        cursor = self._conn.cursor(binary=True, row_factory=self.rows)
        return cursor.execute(_CREATE_USER, (email, name, data.PASSWORD_HASH)).fetchone()

    def transact(self, key: UUID) -> Any:
        with self._pool.connection() as conn, conn.transaction():
            cursor = conn.cursor(binary=True, row_factory=self.rows)
            before = cursor.execute(_GET_USER, (key,)).fetchone()
            cursor.execute(_RECORD_EVENT, (key, "page_view", "Page 1"))
            return before, cursor.execute(_GET_USER, (key,)).fetchone()

    def read_thrice(self, key: UUID) -> Any:
        with self._pool.connection() as conn, conn.transaction():
            cursor = conn.cursor(binary=True, row_factory=self.rows)
            return [cursor.execute(_GET_USER, (key,)).fetchone() for _ in range(3)]

    def load(self) -> None:
        with self._conn.cursor() as cursor, cursor.copy(_BINARY_COPY) as copy:
            copy.set_types(data.EVENT_TYPES)
            for event in self._events:
                copy.write_row(event)

    def look_up_pooled(self, key: UUID) -> Any:
        with self._pool.connection() as conn:
            return conn.cursor(binary=True, row_factory=self.rows).execute(_GET_USER, (key,)).fetchone()

    def stream(self) -> tuple[int, Any]:
        return drained(self._conn.cursor(binary=True, row_factory=self.rows).stream(_TENFOLD, size=_CHUNK))


class PsycopgPydantic(_Psycopg):
    """`class_row` with a pydantic model."""

    name = "psycopg, pydantic"
    rows = staticmethod(class_row(data.UserModel))

    def nest(self, most: int) -> list[data.ParentModel]:
        """One query with JSON; psycopg's dict rows into pydantic."""
        cursor = self._conn.cursor(binary=True, row_factory=dict_row)
        return [data.ParentModel.model_validate(row) for row in cursor.execute(_NESTED, (most,))]


class PsycopgStitched(_Psycopg):
    """Two queries, stitched by hand into pydantic models."""

    name = "psycopg, two queries into pydantic"

    def nest(self, most: int) -> list[data.ParentModel]:
        cursor = self._conn.cursor(binary=True, row_factory=dict_row)
        rows = cursor.execute(_PARENTS, (most,)).fetchall()
        keys: dict[UUID, list[data.KeyModel]] = {row["id"]: [] for row in rows}
        for row in cursor.execute(_KEYS, ([*keys],)):
            keys[row["user_id"]].append(data.KeyModel(**row))
        return [data.ParentModel(**row, keys=keys[row["id"]]) for row in rows]


class PsycopgTuples(_Psycopg):
    """psycopg's default tuples."""

    name = "psycopg, tuples"
    rows = staticmethod(tuple_row)

    def users(self, result: Any) -> list[data.Row]:
        return cast("list[data.Row]", result if isinstance(result, list) else [result])


class PsycopgAsync(Contender):
    """The same as `psycopg, dataclass`, on an AsyncConnection."""

    name = "psycopg async, dataclass"
    asynchronous = True

    async def open(self) -> None:
        self._rows = class_row(data.User)
        self._conn = await psycopg.AsyncConnection.connect(self.url, **_KEYWORDS)
        self._pool = AsyncConnectionPool(self.url, kwargs=_KEYWORDS, min_size=POOL, max_size=POOL, open=False)
        await self._pool.open(wait=True)

    async def close(self) -> None:
        await self._conn.close()
        await self._pool.close()

    async def look_up(self, key: UUID) -> Any:
        cursor = self._conn.cursor(binary=True, row_factory=self._rows)
        return await (await cursor.execute(_GET_USER, (key,))).fetchone()

    async def read(self, most: int) -> Any:
        cursor = self._conn.cursor(binary=True, row_factory=self._rows)
        return await (await cursor.execute(_LIST_USERS, (most,))).fetchall()

    async def create(self, email: str, name: str) -> Any:
        cursor = self._conn.cursor(binary=True, row_factory=self._rows)
        return await (await cursor.execute(_CREATE_USER, (email, name, data.PASSWORD_HASH))).fetchone()

    async def transact(self, key: UUID) -> Any:
        async with self._pool.connection() as conn, conn.transaction():
            cursor = conn.cursor(binary=True, row_factory=self._rows)
            before = await (await cursor.execute(_GET_USER, (key,))).fetchone()
            await cursor.execute(_RECORD_EVENT, (key, "page_view", "Page 1"))
            return before, await (await cursor.execute(_GET_USER, (key,))).fetchone()

    async def read_thrice(self, key: UUID) -> Any:
        async with self._pool.connection() as conn, conn.transaction():
            cursor = conn.cursor(binary=True, row_factory=self._rows)
            return [await (await cursor.execute(_GET_USER, (key,))).fetchone() for _ in range(3)]

    async def look_up_pooled(self, key: UUID) -> Any:
        async with self._pool.connection() as conn:
            cursor = conn.cursor(binary=True, row_factory=self._rows)
            return await (await cursor.execute(_GET_USER, (key,))).fetchone()

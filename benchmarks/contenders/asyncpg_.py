"""asyncpg, on asyncio's event loop like the other async contenders."""

# asyncpg has few annotations:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from __future__ import annotations

from typing import Any
from uuid import UUID

import asyncpg

from benchmarks import data
from benchmarks.contenders.contender import POOL, Contender
from benchmarks.statements import STATEMENTS

_GET_USER, _LIST_USERS, _CREATE_USER = (STATEMENTS[name] for name in ("get_user", "list_users", "create_user"))
_RECORD_EVENT, _TENFOLD = STATEMENTS["record_event"], STATEMENTS["list_users_tenfold"]
_CHUNK = 1000


class Asyncpg(Contender):
    """A dataclass created from each record, by position; asyncpg's pool; `copy_records_to_table`."""

    name = "asyncpg, dataclass"
    asynchronous = True
    imports = "import asyncpg"

    async def open(self) -> None:
        self._conn: Any = await asyncpg.connect(self.url)
        self._pool: Any = await asyncpg.create_pool(self.url, min_size=POOL, max_size=POOL)
        self._events = data.events()

    async def close(self) -> None:
        await self._conn.close()
        await self._pool.close()

    async def look_up(self, key: UUID) -> data.User:
        return data.User(*await self._conn.fetchrow(_GET_USER, key))

    async def read(self, most: int) -> list[data.User]:
        return [data.User(*record) for record in await self._conn.fetch(_LIST_USERS, most)]

    async def create(self, email: str, name: str) -> data.User:
        return data.User(*await self._conn.fetchrow(_CREATE_USER, email, name, data.PASSWORD_HASH))

    async def transact(self, key: UUID) -> tuple[data.User, data.User]:
        async with self._pool.acquire() as conn, conn.transaction():
            before = data.User(*await conn.fetchrow(_GET_USER, key))
            await conn.execute(_RECORD_EVENT, key, "page_view", "Page 1")
            return before, data.User(*await conn.fetchrow(_GET_USER, key))

    async def read_thrice(self, key: UUID) -> list[data.User]:
        async with self._pool.acquire() as conn, conn.transaction():
            return [data.User(*await conn.fetchrow(_GET_USER, key)) for _ in range(3)]

    async def load(self) -> None:
        await self._conn.copy_records_to_table("analytics_events", records=self._events, columns=data.EVENT_FIELDS)

    async def look_up_pooled(self, key: UUID) -> data.User:
        async with self._pool.acquire() as conn:
            return data.User(*await conn.fetchrow(_GET_USER, key))

    async def stream(self) -> tuple[int, Any]:
        count, last = 0, None
        async with self._conn.transaction():
            async for record in self._conn.cursor(_TENFOLD, prefetch=_CHUNK):
                count, last = count + 1, data.User(*record)
        return count, last

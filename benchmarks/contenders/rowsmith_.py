"""rowsmith, with generated modules."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import psycopg

from benchmarks import data, dataclass_queries, pydantic_queries
from benchmarks.contenders.contender import POOL, Contender, drained
from rowsmith import Database, Settings, copy_rows, load_queries

SQL = Path(__file__).parent.parent / "sql"


def _database(url: str) -> Database:
    return Database(
        Settings(
            database_url=url,
            min_connections=POOL,
            max_connections=POOL,
            app_env="production",  # does not log each query; neither do the others
            _env_file=None,
        )
    )


class _Transactions(Contender):
    queries: ClassVar[Any]

    def open(self) -> None:
        self._db = _database(self.url)

    def close(self) -> None:
        self._db.close()

    def transact(self, key: UUID) -> Any:
        queries = self.queries
        with self._db.transaction() as conn:
            before = queries.get_user(conn, id=key)
            queries.record_event(conn, user_id=key, event_type="page_view", event_name="Page 1")
            return before, queries.get_user(conn, id=key)

    def read_thrice(self, key: UUID) -> Any:
        queries = self.queries
        with self._db.transaction() as conn:
            return [queries.get_user(conn, id=key) for _ in range(3)]


class _Rowsmith(_Transactions):
    def open(self) -> None:
        super().open()
        self._conn = psycopg.connect(self.url, autocommit=True)
        self._events = data.events()

    def close(self) -> None:
        super().close()
        self._conn.close()

    def look_up(self, key: UUID) -> Any:
        return self.queries.get_user(self._conn, id=key)

    def read(self, most: int) -> Any:
        return self.queries.list_users(self._conn, most=most)

    def nest(self, most: int) -> Any:
        return self.queries.list_users_with_keys(self._conn, most=most)

    def create(self, email: str, name: str) -> Any:
        return self.queries.create_user(self._conn, email=email, name=name, password_hash=data.PASSWORD_HASH)

    def look_up_pooled(self, key: UUID) -> Any:
        with self._db.connection() as conn:
            return self.queries.get_user(conn, id=key)

    def stream(self) -> tuple[int, Any]:
        with self._db.transaction() as conn:
            return drained(self.queries.list_users_tenfold.stream(conn))


class RowsmithDataclass(_Rowsmith):
    """A generated module with dataclasses; `Database` for the pool; `copy_rows` for the bulk insert."""

    name = "rowsmith, dataclass"
    imports = "import rowsmith"
    queries = dataclass_queries.queries

    def load(self) -> int:
        return copy_rows(self._conn, "analytics_events", self._events, columns=data.EVENT_FIELDS)


class RowsmithPydantic(_Rowsmith):
    """The same with pydantic models."""

    name = "rowsmith, pydantic"
    queries = pydantic_queries.queries


class RowsmithUntyped(_Transactions):
    """`load_queries`: nothing is proven of its queries, so each connection is reset when it returns to the pool."""

    name = "rowsmith, load_queries"
    queries = load_queries(SQL, record_classes=vars(dataclass_queries))


class RowsmithAsync(Contender):
    """The module with dataclasses, on an AsyncConnection."""

    name = "rowsmith async, dataclass"
    asynchronous = True

    async def open(self) -> None:
        self._conn = await psycopg.AsyncConnection.connect(self.url, autocommit=True)
        self._db = _database(self.url)

    async def close(self) -> None:
        await self._conn.close()
        await self._db.aclose()

    async def look_up(self, key: UUID) -> Any:
        return await dataclass_queries.queries.get_user(self._conn, id=key)

    async def read(self, most: int) -> Any:
        return await dataclass_queries.queries.list_users(self._conn, most=most)

    async def create(self, email: str, name: str) -> Any:
        return await dataclass_queries.queries.create_user(
            self._conn, email=email, name=name, password_hash=data.PASSWORD_HASH
        )

    async def transact(self, key: UUID) -> Any:
        queries = dataclass_queries.queries
        async with self._db.transaction() as conn:
            before = await queries.get_user(conn, id=key)
            await queries.record_event(conn, user_id=key, event_type="page_view", event_name="Page 1")
            return before, await queries.get_user(conn, id=key)

    async def read_thrice(self, key: UUID) -> Any:
        queries = dataclass_queries.queries
        async with self._db.transaction() as conn:
            return [await queries.get_user(conn, id=key) for _ in range(3)]

    async def look_up_pooled(self, key: UUID) -> Any:
        async with self._db.connection() as conn:
            return await dataclass_queries.queries.get_user(conn, id=key)

    async def stream(self) -> tuple[int, Any]:
        count, last = 0, None
        async with self._db.transaction() as conn:
            async for user in dataclass_queries.queries.list_users_tenfold.stream(conn):
                count, last = count + 1, user
        return count, last

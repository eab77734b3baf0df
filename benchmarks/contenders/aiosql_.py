"""aiosql over psycopg, with the query files that rowsmith's modules are generated from."""

# aiosql's annotations are incomplete:
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID

import aiosql
import psycopg
from psycopg_pool import ConnectionPool

from benchmarks import data
from benchmarks.contenders.contender import POOL, Contender, LeftOutError

_FOLDER = Path(__file__).parent.parent / "sql"
_KEYWORDS: dict[str, Any] = {"autocommit": True, "prepare_threshold": 0}


class Aiosql(Contender):
    """`record_class` with a dataclass, binary cursors; psycopg_pool, `conn.transaction()`; `*!` for the bulk insert."""

    name = "aiosql, dataclass"
    imports = "import aiosql, psycopg, psycopg_pool"

    def open(self) -> None:
        # The keyword arguments are passed to each cursor.
        self._queries: Any = aiosql.from_path(
            _FOLDER, "psycopg", record_classes={"User": data.User}, kwargs={"binary": True}
        )
        self._conn = psycopg.connect(self.url, **_KEYWORDS)
        self._pool = ConnectionPool(self.url, kwargs=_KEYWORDS, min_size=POOL, max_size=POOL, open=True)
        self._pool.wait()
        self._events = [event._asdict() for event in data.events()]

    def close(self) -> None:
        self._conn.close()
        self._pool.close()

    def look_up(self, key: UUID) -> Any:
        return self._queries.get_user(self._conn, id=key)

    def read(self, most: int) -> Any:
        return list(self._queries.list_users(self._conn, most=most))

    def create(self, email: str, name: str) -> Any:
        # aiosql's `<!` returns a tuple even with a record class.
        return data.User(
            *self._queries.create_user(self._conn, email=email, name=name, password_hash=data.PASSWORD_HASH)
        )

    def transact(self, key: UUID) -> Any:
        with self._pool.connection() as conn, conn.transaction():
            before = self._queries.get_user(conn, id=key)
            self._queries.record_event(conn, user_id=key, event_type="page_view", event_name="Page 1")
            return before, self._queries.get_user(conn, id=key)

    def read_thrice(self, key: UUID) -> Any:
        with self._pool.connection() as conn, conn.transaction():
            return [self._queries.get_user(conn, id=key) for _ in range(3)]

    def load(self) -> Any:
        return self._queries.record_events(self._conn, self._events)

    def look_up_pooled(self, key: UUID) -> Any:
        with self._pool.connection() as conn:
            return self._queries.get_user(conn, id=key)

    def stream(self) -> NoReturn:
        raise LeftOutError("psycopg reads the whole result before the first row")

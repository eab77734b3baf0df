"""sqlspec with psycopg, and with psycopg's placeholders, which are the fastest."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlspec.adapters.psycopg import PsycopgSyncConfig

from benchmarks import data
from benchmarks.contenders.contender import POOL, Contender, drained
from benchmarks.statements import STATEMENTS, percent

_STATEMENTS = {name: percent(statement) for name, statement in STATEMENTS.items()}
_GET_USER, _LIST_USERS, _CREATE_USER = (_STATEMENTS[name] for name in ("get_user", "list_users", "create_user"))
_RECORD_EVENT, _RECORD_EVENTS = _STATEMENTS["record_event"], _STATEMENTS["record_events"]
_TENFOLD = _STATEMENTS["list_users_tenfold"]


class Sqlspec(Contender):
    """`schema_type` with a dataclass; sqlspec's sessions on psycopg_pool; `execute_many` (its COPY needs pyarrow)."""

    name = "sqlspec, dataclass"
    imports = "import sqlspec.adapters.psycopg"

    def open(self) -> None:
        self._own = self._config(1)
        self._pooled = self._config(POOL)
        self._transactional = self._config(POOL, autocommit=False)
        self._session = self._own.provide_session()
        self._driver: Any = self._session.__enter__()
        self._events = [tuple(event) for event in data.events()]

    def _config(self, size: int, *, autocommit: bool = True) -> Any:
        return PsycopgSyncConfig(
            connection_config={
                "conninfo": self.url,
                "autocommit": autocommit,
                "prepare_threshold": 0,
                "min_size": size,
                "max_size": size,
            }
        )

    def close(self) -> None:
        self._session.__exit__(None, None, None)
        self._own.close_pool()
        self._pooled.close_pool()
        self._transactional.close_pool()

    def look_up(self, key: UUID) -> Any:
        return self._driver.select_one(_GET_USER, (key,), schema_type=data.User)

    def read(self, most: int) -> Any:
        return self._driver.select(_LIST_USERS, (most,), schema_type=data.User)

    def create(self, email: str, name: str) -> Any:
        return self._driver.select_one(_CREATE_USER, (email, name, data.PASSWORD_HASH), schema_type=data.User)

    def transact(self, key: UUID) -> Any:
        with self._transactional.provide_session() as driver, driver.transaction():
            before = driver.select_one(_GET_USER, (key,), schema_type=data.User)
            driver.execute(_RECORD_EVENT, (key, "page_view", "Page 1"))
            return before, driver.select_one(_GET_USER, (key,), schema_type=data.User)

    def read_thrice(self, key: UUID) -> Any:
        with self._transactional.provide_session() as driver, driver.transaction():
            return [driver.select_one(_GET_USER, (key,), schema_type=data.User) for _ in range(3)]

    def load(self) -> None:
        self._driver.execute_many(_RECORD_EVENTS, self._events)

    def look_up_pooled(self, key: UUID) -> Any:
        with self._pooled.provide_session() as driver:
            return driver.select_one(_GET_USER, (key,), schema_type=data.User)

    def stream(self) -> tuple[int, Any]:
        with self._transactional.provide_session() as driver, driver.transaction():
            return drained(driver.select_stream(_TENFOLD, schema_type=data.User, native_only=True))

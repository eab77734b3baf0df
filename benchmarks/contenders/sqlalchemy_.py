"""SQLAlchemy with psycopg 3: Core with its rows, and the ORM with its objects."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, Engine, ForeignKey, bindparam, create_engine, func, insert, select, true
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    load_only,
    mapped_column,
    relationship,
    selectinload,
)

from benchmarks import data
from benchmarks.contenders.contender import POOL, Contender, drained

_CHUNK = 1000


class Base(DeclarativeBase):
    """The tables of the mapped classes."""


class UserEntity(Base):
    """A user, mapped; `password_hash` is only written."""

    __tablename__ = "users"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    email: Mapped[str]
    name: Mapped[str | None]
    language: Mapped[str] = mapped_column(server_default="en")
    email_verified: Mapped[bool] = mapped_column(server_default="false")
    is_active: Mapped[bool] = mapped_column(server_default="true")
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    password_hash: Mapped[str] = mapped_column(deferred=True)
    keys: Mapped[list[KeyEntity]] = relationship(order_by="KeyEntity.id")


class KeyEntity(Base):
    """An API key, mapped."""

    __tablename__ = "api_keys"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    name: Mapped[str]
    rate_limit: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class EventEntity(Base):
    """An event, mapped."""

    __tablename__ = "analytics_events"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    user_id: Mapped[UUID | None]
    event_type: Mapped[str]
    event_name: Mapped[str]
    occurred_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


_USERS, _EVENTS = Base.metadata.tables["users"], Base.metadata.tables["analytics_events"]
_COLUMNS = [_USERS.c[field] for field in data.USER_FIELDS]
_COPIES = func.generate_series(1, 10).table_valued("copy")


def _engine(url: str, *, autocommit: bool = False) -> Engine:
    """An engine with a pool. In autocommit mode it does not roll back at the end of each use."""
    options: dict[str, Any] = {"isolation_level": "AUTOCOMMIT", "skip_autocommit_rollback": True} if autocommit else {}
    return create_engine(
        url.replace("postgresql://", "postgresql+psycopg://"),
        connect_args={"prepare_threshold": 0},
        pool_size=POOL,
        max_overflow=1,  # for the connection that workloads without a pool keep open
        **options,
    )


class SqlalchemyCore(Contender):
    """Core constructs, created once; Core's rows, which are named tuples; its pool; `insert` with 10,000 dicts."""

    name = "SQLAlchemy Core"
    imports = "import sqlalchemy, psycopg"
    _get_user = select(*_COLUMNS).where(_USERS.c.id == bindparam("id"))
    _list_users = select(*_COLUMNS).order_by(_USERS.c.id).limit(bindparam("most"))
    _create_user = insert(_USERS).returning(*_COLUMNS)
    _record_event = insert(_EVENTS).inline()
    _tenfold = select(*_COLUMNS).select_from(_USERS.join(_COPIES, true()))

    def open(self) -> None:
        self._engine = _engine(self.url)
        self._autocommit = _engine(self.url, autocommit=True)
        self._conn = self._autocommit.connect()
        self._events = [event._asdict() for event in data.events()]

    def close(self) -> None:
        self._conn.close()
        self._engine.dispose()
        self._autocommit.dispose()

    def look_up(self, key: UUID) -> Any:
        return self._conn.execute(self._get_user, {"id": key}).one()

    def read(self, most: int) -> Any:
        return self._conn.execute(self._list_users, {"most": most}).all()

    def create(self, email: str, name: str) -> Any:
        values = {"email": email, "name": name, "password_hash": data.PASSWORD_HASH}
        return self._conn.execute(self._create_user, values).one()

    def transact(self, key: UUID) -> Any:
        event = {"user_id": key, "event_type": "page_view", "event_name": "Page 1"}
        with self._engine.begin() as conn:
            before = conn.execute(self._get_user, {"id": key}).one()
            conn.execute(self._record_event, event)
            return before, conn.execute(self._get_user, {"id": key}).one()

    def read_thrice(self, key: UUID) -> Any:
        with self._engine.begin() as conn:
            return [conn.execute(self._get_user, {"id": key}).one() for _ in range(3)]

    def load(self) -> None:
        self._conn.execute(self._record_event, self._events)

    def look_up_pooled(self, key: UUID) -> Any:
        with self._autocommit.connect() as conn:
            return conn.execute(self._get_user, {"id": key}).one()

    def stream(self) -> tuple[int, Any]:
        with self._engine.connect() as conn:
            rows: Any = conn.execution_options(yield_per=_CHUNK).execute(self._tenfold)
            return drained(rows)


class SqlalchemyOrm(Contender):
    """Mapped classes and a Session; a new object for every lookup, because none is kept; ORM bulk `insert`."""

    name = "SQLAlchemy ORM"
    imports = "import sqlalchemy.orm, psycopg"
    # A select is faster than `Session.get` for an object that is not in the session.
    _get_user = select(UserEntity).where(UserEntity.id == bindparam("id"))
    _list_users = select(UserEntity).order_by(UserEntity.id).limit(bindparam("most"))
    # The columns of the others, and no more.
    _nested = (
        select(UserEntity)
        .options(
            load_only(UserEntity.id, UserEntity.email, UserEntity.name, UserEntity.created_at),
            selectinload(UserEntity.keys).load_only(
                KeyEntity.id, KeyEntity.name, KeyEntity.rate_limit, KeyEntity.created_at
            ),
        )
        .order_by(UserEntity.id)
        .limit(bindparam("most"))
    )
    _tenfold = select(UserEntity).join(_COPIES, true())

    def open(self) -> None:
        self._engine = _engine(self.url)
        self._autocommit = _engine(self.url, autocommit=True)
        self._session = Session(self._autocommit.connect(), expire_on_commit=False)
        self._events = [event._asdict() for event in data.events()]

    def close(self) -> None:
        self._session.close()
        self._engine.dispose()
        self._autocommit.dispose()

    def look_up(self, key: UUID) -> Any:
        return self._session.scalars(self._get_user, {"id": key}).one()

    def read(self, most: int) -> Any:
        return self._session.scalars(self._list_users, {"most": most}).all()

    def nest(self, most: int) -> Any:
        """`selectinload`. The objects of the last time are forgotten, or they would be used again."""
        self._session.expunge_all()
        return self._session.scalars(self._nested, {"most": most}).all()

    def create(self, email: str, name: str) -> Any:
        user = UserEntity(email=email, name=name, password_hash=data.PASSWORD_HASH)
        self._session.add(user)
        self._session.flush()
        return user

    def transact(self, key: UUID) -> Any:
        with Session(self._engine, expire_on_commit=False) as session, session.begin():
            before = session.scalars(self._get_user, {"id": key}).one()
            session.add(EventEntity(user_id=key, event_type="page_view", event_name="Page 1"))
            # This flushes the event before it reads.
            return before, session.scalars(self._get_user, {"id": key}).one()

    def read_thrice(self, key: UUID) -> Any:
        with Session(self._engine, expire_on_commit=False) as session, session.begin():
            return [session.scalars(self._get_user, {"id": key}).one() for _ in range(3)]

    def load(self) -> None:
        self._session.execute(insert(EventEntity), self._events)

    def look_up_pooled(self, key: UUID) -> Any:
        with Session(self._autocommit) as session:
            return session.scalars(self._get_user, {"id": key}).one()

    def stream(self) -> tuple[int, Any]:
        with Session(self._engine) as session:
            return drained(session.scalars(self._tenfold, execution_options={"yield_per": _CHUNK}))

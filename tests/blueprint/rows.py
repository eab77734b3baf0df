"""What the tests of the queries share: a runner for both kinds of connection, and rows to begin with."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID, uuid4

import psycopg
from psycopg import AsyncConnection, Connection
from psycopg.rows import TupleRow
from pydantic import BaseModel

from blueprint.queries import Project, Session, Template, User, queries
from tests.harness.pgbouncer import prepare_threshold

UNKNOWN = UUID(int=0)
"""The id of nothing."""

_T = TypeVar("_T")


class Run(ABC):
    """Runs queries in the test's transaction: `run(queries.get_user_by_id, user_id=...)`."""

    @abstractmethod
    def __call__(self, query: Callable[..., Any], /, *sets: Any, **parameters: Any) -> Any:
        """What the query gives. `sets` is the list of parameter sets of a `*!` query."""

    @abstractmethod
    def sql(self, statement: str, *values: Any) -> list[TupleRow]:
        """Run a statement of the test's own, with %s for its values; the rows, if it returns any."""

    def now(self) -> datetime:
        """The time of the transaction, which is what now() gives to all that happens in it."""
        ((now,),) = self.sql("SELECT now()")
        assert isinstance(now, datetime)
        return now


class SyncRun(Run):
    def __init__(self, conn: Connection[TupleRow]) -> None:
        self._conn = conn

    def __call__(self, query: Callable[..., Any], /, *sets: Any, **parameters: Any) -> Any:
        return query(self._conn, *sets, **parameters)

    def sql(self, statement: str, *values: Any) -> list[TupleRow]:
        cursor = self._conn.execute(statement.encode(), values or None)
        return cursor.fetchall() if cursor.description else []


class AsyncRun(Run):
    def __init__(self, conn: AsyncConnection[TupleRow], runner: asyncio.Runner) -> None:
        self._conn = conn
        self._runner = runner

    def __call__(self, query: Callable[..., Any], /, *sets: Any, **parameters: Any) -> Any:
        return self._runner.run(_wait(query(self._conn, *sets, **parameters)))

    def sql(self, statement: str, *values: Any) -> list[TupleRow]:
        return self._runner.run(self._sql(statement, values))

    async def _sql(self, statement: str, values: Sequence[Any]) -> list[TupleRow]:
        cursor = await self._conn.execute(statement.encode(), values or None)
        return await cursor.fetchall() if cursor.description else []


async def _wait(awaitable: Awaitable[_T]) -> _T:
    return await awaitable


@contextmanager
def sync_run(url: str) -> Generator[Run]:
    """A runner over a psycopg Connection; what it did is rolled back."""
    with psycopg.connect(url, prepare_threshold=prepare_threshold()) as conn:
        yield SyncRun(conn)
        conn.rollback()


@contextmanager
def async_run(url: str) -> Generator[Run]:
    """A runner over an AsyncConnection; what it did is rolled back."""
    with asyncio.Runner() as runner:
        conn = runner.run(AsyncConnection.connect(url, prepare_threshold=prepare_threshold()))
        try:
            yield AsyncRun(conn, runner)
        finally:
            runner.run(conn.close())  # the server rolls back


def values(row: BaseModel) -> tuple[Any, ...]:
    """The values of a row, in the order of its columns."""
    return tuple(row.model_dump().values())


def new_user(run: Run, email: str = "ada@example.com", name: str | None = "Ada") -> User:
    user: User = run(queries.create_user, email=email, name=name, password_hash=f"hash of {email}")
    return user


def new_users(run: Run, *names: str) -> list[User]:
    return [new_user(run, f"{name.lower()}@example.com", name) for name in names]


def new_project(
    run: Run, owner: User, name: str = "Home", description: str | None = None, tags: Sequence[str] = ()
) -> Project:
    project: Project = run(
        queries.create_project,
        user_id=owner.id,
        name=name,
        description=description,
        settings={},
        tags=list(tags),
    )
    return project


def new_template(
    run: Run,
    slug: str = "hero",
    *,
    author: User | None = None,
    name: str | None = None,
    description: str | None = None,
    category: str = "HERO",
    complexity: str = "SIMPLE",
    tags: Sequence[str] = (),
    visible: bool = True,
) -> Template:
    """A template which, if `visible`, is public and approved."""
    template: Template = run(
        queries.create_template,
        author_id=None if author is None else author.id,
        slug=slug,
        name=slug.title() if name is None else name,
        description=description,
        category=category,
        complexity=complexity,
        html=f"<p>{slug}</p>",
        css="p { color: red }",
        js=None,
        tags=list(tags),
    )
    if visible:
        run.sql("UPDATE module_templates SET is_public = true, is_approved = true WHERE id = %s", template.id)
    return template


def new_session(
    run: Run,
    user: User | None = None,
    status: str = "PENDING",
    *,
    session_type: str = "analysis",
    tokens_used: int | None = None,
    cost_usd: str | None = None,
    created_at: datetime | None = None,
) -> UUID:
    session_id = uuid4()
    run(
        queries.import_sessions,
        [
            {
                "session_id": session_id,
                "user_id": None if user is None else user.id,
                "session_type": session_type,
                "status": status,
                "tokens_used": tokens_used,
                "cost_usd": cost_usd,
                "created_at": created_at or run.now(),
            }
        ],
    )
    return session_id


def started_session(run: Run, user: User | None = None) -> Session:
    session: Session = run(
        queries.start_session,
        user_id=None if user is None else user.id,
        session_type="pipeline",
        input_data={"design": "d1"},
        metadata=None,
    )
    return session

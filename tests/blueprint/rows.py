"""What the tests of the queries share: a runner for both kinds of connection, and rows to begin with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
from pydantic import BaseModel

from blueprint.queries import Project, Session, Template, User, queries
from tests.harness.pgbouncer import prepare_threshold
from tests.harness.worlds import World

UNKNOWN = UUID(int=0)
"""The id of nothing."""


class Run(World):
    """Runs queries in the test's transaction: `run(queries.get_user_by_id, user_id=...)`."""

    def __init__(self, url: str, *, asynchronous: bool) -> None:
        super().__init__(url, asynchronous=asynchronous, autocommit=False, prepare_threshold=prepare_threshold())
        # For %s in the statements of a test.
        self.cursor = psycopg.AsyncCursor if asynchronous else psycopg.Cursor

    def __call__(self, query: Callable[..., Any], /, *sets: Any, **parameters: Any) -> Any:
        """What the query gives. `sets` is the list of parameter sets of a `*!` query."""
        return self.run(query(self.conn, *sets, **parameters))

    def now(self) -> datetime:
        """The time of the transaction, which is what now() gives to all that happens in it."""
        now = self.value("SELECT now()")
        assert isinstance(now, datetime)
        return now


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

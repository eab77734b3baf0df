"""The functions that the demo calls. The source of each one is shown on the screen before it runs.

Lines are therefore at most 96 characters long, and there are no docstrings: a sentence above explains the function.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.errors import ForeignKeyViolation

from blueprint import services
from blueprint.queries import CollaboratorRole, Project, User, queries
from blueprint.services import SessionLog, SessionOutcome
from rowsmith import connection, transaction


def find_user(email: str) -> User | None:
    with transaction() as conn:
        return queries.get_user_by_email(conn, email=email)


async def find_user_async(email: str) -> User | None:
    async with transaction() as conn:
        return await queries.get_user_by_email(conn, email=email)


def try_to_sign_in(email: str, password: str) -> str:
    try:
        user = services.sign_in(email=email, password=password)
    except services.ServiceError as error:
        return f"{type(error).__name__}: {error}"
    return f"signed in as {user.email}"


def start_project(owner: User, template_id: UUID, collaborators: Sequence[User]) -> Project:
    with transaction() as conn:
        project = queries.create_project_from_template(
            conn, user_id=owner.id, template_id=template_id, name="Analytical Engine"
        )
        if project is None:
            raise LookupError(f"there is no template {template_id}")
        for user in collaborators:
            queries.add_collaborator(
                conn,
                project_id=project.id,
                user_id=user.id,
                role=CollaboratorRole.EDITOR,
                can_edit=True,
                can_delete=False,
                can_share=False,
            )
    return project


class SecondThoughts(Exception):  # noqa: N818 - not an error
    """Raised to leave a block."""


def add_project(conn: Connection[Any], user: User, name: str) -> Project:
    return queries.create_project(conn, user_id=user.id, name=name, description=None, settings={}, tags=[])


def change_of_mind(user: User) -> dict[str, int]:
    projects: dict[str, int] = {}
    with suppress(SecondThoughts), transaction() as conn:
        projects["before"] = queries.count_projects(conn)
        add_project(conn, user, "One")
        projects["inside, one more"] = queries.count_projects(conn)
        try:
            with transaction():  # nested: a savepoint
                add_project(conn, user, "Two")
                projects["in the savepoint, two more"] = queries.count_projects(conn)
                queries.delete_user(conn, user_id=user.id)  # refused: the user owns projects
        except ForeignKeyViolation:
            projects["savepoint rolled back"] = queries.count_projects(conn)
        raise SecondThoughts
    with transaction() as conn:
        projects["transaction rolled back"] = queries.count_projects(conn)
    return projects


def run_into_timeout(log: SessionLog) -> SessionOutcome:
    log.info("design parsed", artboards=3)
    log.warning("the model is slow", seconds=4.2)
    raise TimeoutError("the model did not answer in 30 s")


def generate_page(log: SessionLog) -> SessionOutcome:
    log.info("design parsed", artboards=3)
    log.info("page generated", modules=5)
    cost = Decimal("0.022116")
    return SessionOutcome({"modules": 5}, tokens_used=1843, cost_usd=cost, quality_score=0.94)


def look_up(user_ids: Sequence[UUID], threads: int) -> int:
    def find(user_id: UUID) -> User | None:
        with connection() as conn:
            return queries.get_user_by_id(conn, user_id=user_id)

    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(find, user_ids))
    return len(found)

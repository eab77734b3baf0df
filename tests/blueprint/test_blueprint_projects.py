"""The queries of projects.sql."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb
from pydantic import JsonValue

from blueprint.queries import Collaborator, CollaboratorRole, Project, ProjectStatus, TemplateLink, User, queries
from tests.blueprint.rows import UNKNOWN, Run, new_project, new_template, new_user, new_users, values


def stored(run: Run, project: Project) -> Project:
    found: Project | None = run(queries.get_project_by_id, project_id=project.id)
    assert found is not None
    return found


def set_status(run: Run, project: Project, status: str) -> None:
    run.sql("UPDATE projects SET status = %s WHERE id = %s", status, project.id)


def set_updated_days_ago(run: Run, days: dict[UUID, int]) -> None:
    run.sql("ALTER TABLE projects DISABLE TRIGGER projects_set_updated_at")
    for project_id, ago in days.items():
        run.sql("UPDATE projects SET updated_at = now() - make_interval(days => %s) WHERE id = %s", ago, project_id)
    run.sql("ALTER TABLE projects ENABLE TRIGGER projects_set_updated_at")


def collaborate(run: Run, project: Project, user: User, role: str = "VIEWER", *, can_edit: bool = False) -> None:
    run(
        queries.add_collaborator,
        project_id=project.id,
        user_id=user.id,
        role=role,
        can_edit=can_edit,
        can_delete=False,
        can_share=False,
    )


def test_a_new_project_is_an_empty_draft(run: Run) -> None:
    ada = new_user(run)
    settings: JsonValue = {"theme": "dark", "columns": [1, 2.5, None], "it's": {"deep": True}}
    project: Project = run(
        queries.create_project,
        user_id=ada.id,
        name="Home",
        description=None,
        settings=settings,
        tags=["a", "b, c"],
    )
    assert project == Project(
        id=project.id,
        name="Home",
        description=None,
        user_id=ada.id,
        template_id=None,
        settings=settings,
        design_url=None,
        output_html=None,
        output_css=None,
        output_js=None,
        metadata=None,
        tags=["a", "b, c"],
        status=ProjectStatus.DRAFT,
        progress=0,
        is_public=False,
        deployment_url=None,
        preview_url=None,
        build_time_ms=None,
        bundle_size_bytes=None,
        lighthouse_score=None,
        created_at=run.now(),
        updated_at=run.now(),
        published_at=None,
    )
    assert stored(run, project) == project
    assert run(queries.get_project_by_id, project_id=UNKNOWN) is None


@pytest.mark.parametrize("settings", [[], "text", 1, None])
def test_settings_are_a_json_object(run: Run, settings: Any) -> None:
    ada = new_user(run)
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        run(queries.create_project, user_id=ada.id, name="p", description=None, settings=Jsonb(settings), tags=[])
    assert caught.value.diag.constraint_name == "projects_settings_check"


def test_a_project_from_a_template_is_a_copy_and_counts_as_a_use(run: Run) -> None:
    ada, bob = new_users(run, "Ada", "Bob")
    template, other = new_template(run, author=bob, description="Big.", tags=["wide"]), new_template(run, "other")
    for uses in (1, 2):
        project: Project = run(
            queries.create_project_from_template, user_id=ada.id, template_id=template.id, name="Mine"
        )
        assert (project.user_id, project.template_id, project.name) == (ada.id, template.id, "Mine")
        assert (project.description, project.output_html, project.output_css, project.output_js, project.tags) == (
            "Big.",
            "<p>hero</p>",
            "p { color: red }",
            None,
            ["wide"],
        )
        assert (project.settings, project.status) == ({}, ProjectStatus.DRAFT)
        assert run(queries.get_template_by_id, template_id=template.id).usage_count == uses
    assert run(queries.get_template_by_id, template_id=other.id).usage_count == 0


def test_a_template_that_is_not_shown_is_its_authors_alone(run: Run) -> None:
    ada, bob = new_users(run, "Ada", "Bob")
    template = new_template(run, author=bob, visible=False)
    run(queries.publish_template, template_id=template.id)  # public, but not approved
    approved = new_template(run, "approved", author=bob, visible=False)
    run(queries.approve_template, template_id=approved.id)  # approved, but not public
    new_template(run, "shown")

    def begin(user: User, template_id: UUID) -> Project | None:
        project: Project | None = run(
            queries.create_project_from_template, user_id=user.id, template_id=template_id, name="p"
        )
        return project

    assert begin(ada, template.id) is None
    assert begin(ada, approved.id) is None
    assert begin(ada, UNKNOWN) is None
    assert run(queries.get_template_by_id, template_id=template.id).usage_count == 0
    project = begin(bob, template.id)
    assert project is not None
    assert project.template_id == template.id


def test_an_import_can_be_run_again(run: Run) -> None:
    ada, template = new_user(run), new_template(run)
    rows: list[dict[str, Any]] = [
        {
            "project_id": uuid4(),
            "user_id": ada.id,
            "template_id": template_id,
            "name": f"p{number}",
            "description": None,
            "tags": ["x"],
            "status": status,
            "created_at": run.now() - timedelta(days=number),
        }
        for number, (status, template_id) in enumerate([("ARCHIVED", None), ("FAILED", template.id), ("DRAFT", None)])
    ]
    assert run(queries.import_projects, rows[:2]) == 2
    assert run(queries.import_projects, [{**row, "name": "other"} for row in rows]) == 1
    assert run(queries.import_projects, []) == 0
    found = [run(queries.get_project_by_id, project_id=row["project_id"]) for row in rows]
    assert [(p.name, p.status, p.template_id, p.created_at) for p in found] == [
        ("p0", "ARCHIVED", None, rows[0]["created_at"]),
        ("p1", "FAILED", template.id, rows[1]["created_at"]),
        ("other", "DRAFT", None, rows[2]["created_at"]),
    ]


def test_a_users_projects_come_newest_first_with_the_template_where_there_is_one(run: Run) -> None:
    ada, bob = new_users(run, "Ada", "Bob")
    template = new_template(run, name="Big hero")
    plain = new_project(run, ada, "Plain", tags=["t"])
    run.sql("UPDATE projects SET created_at = created_at - interval '1 day' WHERE id = %s", plain.id)
    copied: Project = run(queries.create_project_from_template, user_id=ada.id, template_id=template.id, name="Copy")
    new_project(run, bob)
    rows: list[Any] = run(queries.list_projects_of_user, user_id=ada.id)
    assert [(row.id, row.template) for row in rows] == [
        (copied.id, TemplateLink(id=template.id, name="Big hero", slug="hero")),
        (plain.id, None),
    ]
    assert (rows[1].name, rows[1].status, rows[1].tags, rows[1].progress) == ("Plain", "DRAFT", ["t"], 0)


def test_projects_are_searched_by_words_status_tag_and_owner(run: Run) -> None:
    ada, bob = new_users(run, "Ada", "Bob")
    shop = new_project(run, ada, "Web shop", "Sells painted bicycles", ["shop", "red"])
    blog = new_project(run, ada, "Blog", "On bicycle repair", ["red"])
    bare = new_project(run, bob, "Bare", None, [])
    set_status(run, blog, "FAILED")
    set_updated_days_ago(run, {bare.id: 0, blog.id: 1, shop.id: 2})

    def search(**filters: Any) -> list[UUID]:
        everything = {"query": None, "status": None, "tag": None, "user_id": None, "max_rows": 10}
        rows: list[Any] = run(queries.search_projects, **{**everything, **filters})
        return [row.id for row in rows]

    assert search() == [bare.id, blog.id, shop.id]
    assert search(max_rows=2) == [bare.id, blog.id]
    assert search(query="bicycles") == [blog.id, shop.id]
    assert search(query="bicycle -repair") == [shop.id]
    assert search(query='"bicycle painted"') == []
    assert search(query="bare") == [bare.id]
    assert search(status="FAILED") == [blog.id]
    assert search(tag="red") == [blog.id, shop.id]
    assert search(tag="re") == []
    assert search(user_id=bob.id) == [bare.id]
    assert search(query="bicycle", status="DRAFT", tag="red", user_id=ada.id) == [shop.id]
    assert search(order_by="changed") == search()
    assert {*search(order_by="newest")} == {*search()}  # all were created at one time
    assert search(order_by="name", tag=None) == [bare.id, blog.id, shop.id]
    assert search(order_by="name", tag="red", max_rows=1) == [blog.id]
    (row,) = run(queries.search_projects, query="shop", max_rows=10)
    assert (row.owner_name, row.description, row.tags) == ("Ada", "Sells painted bicycles", ["shop", "red"])


def test_projects_are_counted_by_state_with_the_states_of_none(run: Run) -> None:
    ada, bob = new_users(run, "Ada", "Bob")
    assert run(queries.count_projects) == 0
    first, _, third = new_project(run, ada), new_project(run, ada), new_project(run, bob)
    set_status(run, first, "FAILED")
    set_status(run, third, "FAILED")
    assert run(queries.count_projects) == 3
    states = [status.value for status in ProjectStatus]
    for user_id, counts in [(None, [1, 0, 0, 0, 0, 2]), (ada.id, [1, 0, 0, 0, 0, 1])]:
        rows: list[Any] = run(queries.count_projects_by_status, user_id=user_id)
        assert [values(row) for row in rows] == list(zip(states, counts, strict=True))


def test_what_the_owner_writes_is_changed_as_far_as_it_is_given(run: Run) -> None:
    project = new_project(run, new_user(run), "Old", "old", ["old"])
    changed: Project = run(queries.update_project, project_id=project.id, description=None, tags=[])
    assert changed == project.model_copy(update={"description": None, "tags": []})
    assert run(queries.update_project, project_id=project.id) == changed


def test_what_the_owner_writes_is_replaced(run: Run) -> None:
    ada = new_user(run)
    project, other = new_project(run, ada, "Old", "old", ["old"]), new_project(run, ada, "Other")
    written = {"name": "New", "description": None, "tags": ["new", "x"]}
    changed: Project = run(queries.update_project, project_id=project.id, **written, settings={"a": 1})
    assert changed == project.model_copy(update={**written, "settings": {"a": 1}})
    assert stored(run, other) == other
    assert run(queries.update_project, project_id=UNKNOWN, **written, settings={}) is None


def test_progress_marks_a_project_as_being_built(run: Run) -> None:
    ada = new_user(run)
    project, other = new_project(run, ada), new_project(run, ada)
    assert run(queries.set_project_progress, project_id=project.id, progress=40) == 1
    assert stored(run, other) == other
    assert stored(run, project) == project.model_copy(update={"progress": 40, "status": ProjectStatus.PROCESSING})
    set_status(run, project, "ARCHIVED")
    assert run(queries.set_project_progress, project_id=project.id, progress=50) == 0
    assert run(queries.set_project_progress, project_id=UNKNOWN, progress=50) == 0


def test_progress_is_in_per_cent(run: Run) -> None:
    project = new_project(run, new_user(run))
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        run(queries.set_project_progress, project_id=project.id, progress=101)
    assert caught.value.diag.constraint_name == "projects_progress_check"


def test_a_build_is_stored(run: Run) -> None:
    ada = new_user(run)
    project, other = new_project(run, ada), new_project(run, ada)
    build = {"build_time_ms": 1200, "bundle_size_bytes": 3_000_000_000, "lighthouse_score": 97}
    done: Project = run(
        queries.complete_project, project_id=project.id, html="<p>%s</p>", css=None, js="f('x')", **build
    )
    assert done == project.model_copy(
        update={
            **build,
            "output_html": "<p>%s</p>",
            "output_js": "f('x')",
            "status": ProjectStatus.COMPLETED,
            "progress": 100,
        }
    )
    set_status(run, project, "ARCHIVED")
    again: Any = run(queries.complete_project, project_id=project.id, html="", css=None, js=None, **build)
    assert again is None
    assert stored(run, other) == other
    assert stored(run, project).output_html == "<p>%s</p>"


@pytest.mark.parametrize("status", ["DRAFT", "COMPLETED"])
def test_a_project_is_published_once(run: Run, status: str) -> None:
    project = new_project(run, new_user(run))
    set_status(run, project, status)
    published: Project = run(queries.publish_project, project_id=project.id, deployment_url="https://x.example")
    assert published == project.model_copy(
        update={
            "status": ProjectStatus.PUBLISHED,
            "progress": 100,
            "is_public": True,
            "deployment_url": "https://x.example",
            "published_at": run.now(),
        }
    )
    assert run(queries.publish_project, project_id=project.id, deployment_url="https://y.example") is None
    assert stored(run, project) == published


@pytest.mark.parametrize("status", ["PROCESSING", "FAILED", "ARCHIVED", "PUBLISHED"])
def test_in_other_states_a_project_is_not_published(run: Run, status: str) -> None:
    project = new_project(run, new_user(run))
    set_status(run, project, status)
    assert run(queries.publish_project, project_id=project.id, deployment_url="https://x.example") is None
    assert stored(run, project).deployment_url is None


def test_an_archived_project_is_out_of_the_publics_sight(run: Run) -> None:
    ada = new_user(run)
    project, other = new_project(run, ada), new_project(run, ada)
    published: Project = run(queries.publish_project, project_id=project.id, deployment_url="https://x.example")
    archived: Project = run(queries.archive_project, project_id=project.id)
    assert archived == published.model_copy(update={"status": ProjectStatus.ARCHIVED, "is_public": False})
    assert run(queries.archive_project, project_id=project.id) is None
    assert stored(run, other) == other


def test_projects_are_handed_to_another_user(run: Run) -> None:
    ada, bob, cay = new_users(run, "Ada", "Bob", "Cay")
    moved = [new_project(run, ada), new_project(run, ada)]
    kept = new_project(run, cay)
    assert run(queries.transfer_projects, from_user_id=ada.id, to_user_id=bob.id) == 2
    assert [stored(run, project).user_id for project in (*moved, kept)] == [bob.id, bob.id, cay.id]
    assert run(queries.delete_user, user_id=ada.id) == 1


def test_a_project_is_deleted_with_its_collaborators(run: Run) -> None:
    ada, bob = new_users(run, "Ada", "Bob")
    project, other = new_project(run, ada), new_project(run, ada)
    collaborate(run, project, bob)
    collaborate(run, other, bob)
    assert run(queries.delete_project, project_id=project.id) == 1
    assert run(queries.delete_project, project_id=project.id) == 0
    assert run.sql("SELECT project_id FROM project_collaborators") == [(other.id,)]


def test_a_collaborator_is_added_then_changed(run: Run) -> None:
    ada, bob = new_users(run, "Ada", "Bob")
    project = new_project(run, ada)
    rights = {"can_edit": True, "can_delete": False, "can_share": True}
    added: Collaborator = run(queries.add_collaborator, project_id=project.id, user_id=bob.id, role="VIEWER", **rights)
    assert added == Collaborator(
        id=added.id,
        project_id=project.id,
        user_id=bob.id,
        role=CollaboratorRole.VIEWER,
        **rights,
        created_at=run.now(),
        updated_at=run.now(),
    )
    others = {"can_edit": False, "can_delete": True, "can_share": False}
    changed: Collaborator = run(queries.add_collaborator, project_id=project.id, user_id=bob.id, role="ADMIN", **others)
    assert changed == added.model_copy(update={"role": CollaboratorRole.ADMIN, **others})
    assert run(queries.get_collaborator, project_id=project.id, user_id=bob.id) == changed
    assert run(queries.get_collaborator, project_id=project.id, user_id=ada.id) is None
    other = new_project(run, ada)
    assert run(queries.get_collaborator, project_id=other.id, user_id=bob.id) is None
    collaborate(run, other, bob)
    assert run(queries.get_collaborator, project_id=project.id, user_id=bob.id) == changed


def test_a_collaborator_is_taken_off_one_project(run: Run) -> None:
    ada, bob, cay = new_users(run, "Ada", "Bob", "Cay")
    project, other = new_project(run, ada), new_project(run, ada)
    collaborate(run, project, bob)
    collaborate(run, project, cay)
    collaborate(run, other, bob)
    assert run(queries.remove_collaborator, project_id=project.id, user_id=bob.id) == 1
    assert run(queries.remove_collaborator, project_id=project.id, user_id=bob.id) == 0
    assert run(queries.get_collaborator, project_id=project.id, user_id=cay.id) is not None
    assert run(queries.get_collaborator, project_id=other.id, user_id=bob.id) is not None


def test_collaborators_come_with_names_the_most_powerful_first(run: Run) -> None:
    ada, bob, cay, dan = new_users(run, "Ada", "Bob", "Cay", "Dan")
    project = new_project(run, ada)
    collaborate(run, project, bob, "VIEWER", can_edit=True)
    collaborate(run, project, cay, "ADMIN")
    collaborate(run, project, dan, "EDITOR")
    rows: list[Any] = run(queries.list_collaborators, project_id=project.id)
    assert [(row.user_id, row.name, row.email, row.role, row.can_edit) for row in rows] == [
        (cay.id, "Cay", "cay@example.com", "ADMIN", False),
        (dan.id, "Dan", "dan@example.com", "EDITOR", False),
        (bob.id, "Bob", "bob@example.com", "VIEWER", True),
    ]
    assert run(queries.list_collaborators, project_id=UNKNOWN) == []


def test_projects_of_others_come_with_the_owner_and_the_role(run: Run) -> None:
    ada, bob, cay = new_users(run, "Ada", "Bob", "Cay")
    older, newer, own = new_project(run, ada, "Older"), new_project(run, bob, "Newer"), new_project(run, cay)
    newest = new_project(run, ada, "Newest")
    collaborate(run, older, cay, "EDITOR")
    collaborate(run, newer, cay, "VIEWER", can_edit=True)
    collaborate(run, newest, cay, "ADMIN")
    collaborate(run, own, bob)
    set_updated_days_ago(run, {newer.id: 1, newest.id: 0, older.id: 2})
    rows: list[Any] = run(queries.list_projects_shared_with_user, user_id=cay.id)
    assert [(row.id, row.name, row.owner.id, row.owner.name, row.role, row.can_edit) for row in rows] == [
        (newest.id, "Newest", ada.id, "Ada", "ADMIN", False),
        (newer.id, "Newer", bob.id, "Bob", "VIEWER", True),
        (older.id, "Older", ada.id, "Ada", "EDITOR", False),
    ]


def test_who_may_edit_a_project(run: Run) -> None:
    ada, viewer, writer, editor, admin, stranger = new_users(run, "Ada", "Vic", "Wim", "Eve", "Adi", "Sam")
    project, other = new_project(run, ada), new_project(run, stranger)
    collaborate(run, project, viewer, "VIEWER")
    collaborate(run, project, writer, "VIEWER", can_edit=True)
    collaborate(run, project, editor, "EDITOR")
    collaborate(run, project, admin, "ADMIN")
    collaborate(run, other, viewer, "ADMIN")
    people = (ada, viewer, writer, editor, admin, stranger)
    may = [run(queries.may_edit_project, project_id=project.id, user_id=user.id) for user in people]
    assert may == [True, False, True, True, True, False]
    assert run(queries.may_edit_project, project_id=other.id, user_id=ada.id) is False
    assert run(queries.may_edit_project, project_id=UNKNOWN, user_id=ada.id) is False
    rows: list[Any] = run(queries.list_project_editors, project_id=project.id)
    assert [(row.user_id, row.name, row.email, row.is_owner) for row in rows] == [
        (ada.id, "Ada", "ada@example.com", True),
        (admin.id, "Adi", "adi@example.com", False),
        (editor.id, "Eve", "eve@example.com", False),
        (writer.id, "Wim", "wim@example.com", False),
    ]


def test_an_owner_who_is_a_collaborator_too_is_listed_once(run: Run) -> None:
    ada = new_user(run)
    project = new_project(run, ada)
    collaborate(run, project, ada, "ADMIN")
    (row,) = run(queries.list_project_editors, project_id=project.id)
    assert values(row) == (ada.id, "Ada", "ada@example.com", True)

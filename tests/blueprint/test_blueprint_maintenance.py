"""The queries of maintenance.sql and health_checks.sql."""

from __future__ import annotations

from typing import Any

from blueprint.queries import queries
from tests.blueprint.rows import Run, new_project, new_session, new_template, new_users, values


def fill(run: Run) -> dict[str, int]:
    """Rows in every table; how many in each."""
    ada, bob = new_users(run, "Ada", "Bob")
    templates = [new_template(run, f"t{number}") for number in range(3)]
    projects = [new_project(run, ada) for _ in range(4)]
    sessions = [new_session(run, ada) for _ in range(5)]
    for template in templates[:2]:
        run(queries.upsert_review, template_id=template.id, user_id=bob.id, rating=4, comment=None)
    for project in projects[:3]:
        rights = {"can_edit": False, "can_delete": False, "can_share": False}
        run(queries.add_collaborator, project_id=project.id, user_id=bob.id, role="VIEWER", **rights)
    for _ in range(6):
        run(queries.append_log_line, session_id=sessions[0], level="INFO", message="m", context=None)
    run(queries.issue_api_key, user_id=ada.id, name="k", key_hash="h", permissions=[], expires_at=None)
    message: dict[str, Any] = {
        "notification_type": "SYSTEM_UPDATE",
        "title": "t",
        "message": "m",
        "data": None,
        "channels": [],
    }
    run(queries.send_notifications, user_ids=[ada.id, bob.id], **message)
    for _ in range(7):
        event = {"event_type": "page", "event_name": "view", "properties": None}
        run(queries.record_event, user_id=ada.id, session_id=None, **event)
    run(queries.record_health_check, status="healthy")
    return {
        "ai_logs": 6,
        "ai_sessions": 5,
        "analytics_events": 7,
        "api_keys": 1,
        "health_checks": 1,
        "module_templates": 3,
        "notifications": 2,
        "project_collaborators": 3,
        "projects": 4,
        "template_reviews": 2,
        "users": 2,
    }


def tables(run: Run) -> list[str]:
    """The tables of the migrations, all but those in which yoyo keeps its accounts."""
    rows = run.sql(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename !~ 'yoyo' ORDER BY tablename"
    )
    return [name for (name,) in rows]


def test_the_rows_of_every_table_are_counted(run: Run) -> None:
    assert [values(row) for row in run(queries.count_all_rows)] == [(name, 0) for name in tables(run)]
    filled = fill(run)
    rows: list[Any] = run(queries.count_all_rows)
    assert [(row.table_name, row.row_count) for row in rows] == list(filled.items())


def test_every_table_gets_its_statistics(run: Run) -> None:
    analyzed = "SELECT DISTINCT tablename FROM pg_stats WHERE schemaname = 'public' AND tablename = ANY (%s) ORDER BY 1"
    fill(run)
    assert run.sql(analyzed, tables(run)) == []
    assert run(queries.analyze_tables) is None
    assert [name for (name,) in run.sql(analyzed, tables(run))] == tables(run)


def test_health_checks_come_newest_first(run: Run) -> None:
    stored: list[Any] = [run(queries.record_health_check, status=status) for status in ("healthy", "it's down")]
    assert [(row.status, row.checked_at) for row in stored] == [("healthy", run.now()), ("it's down", run.now())]
    run.sql("UPDATE health_checks SET checked_at = now() - interval '1 hour' WHERE status = 'healthy'")
    listed: list[Any] = run(queries.list_health_checks, max_rows=10)
    assert [row.id for row in listed] == [stored[1].id, stored[0].id]
    assert [values(row) for row in run(queries.list_health_checks, max_rows=1)] == [values(stored[1])]


def test_old_health_checks_are_deleted(run: Run) -> None:
    for status, seconds in [("old", 7 * 86400 + 1), ("week", 7 * 86400), ("new", 0)]:
        run(queries.record_health_check, status=status)
        run.sql(
            "UPDATE health_checks SET checked_at = now() - make_interval(secs => %s) WHERE status = %s", seconds, status
        )
    assert run(queries.delete_old_health_checks, days=7) == 1
    assert [row.status for row in run(queries.list_health_checks, max_rows=10)] == ["new", "week"]

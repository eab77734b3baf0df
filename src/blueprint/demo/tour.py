"""The tour: the application at work on the data set, one chapter for each feature."""

from __future__ import annotations

import asyncio
import socket
from contextlib import chdir
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import psycopg

from blueprint import services
from blueprint.demo import calls, charts
from blueprint.demo.screen import Screen, as_dict
from blueprint.queries import User, queries
from rowsmith import Database, Settings, check_health, connection, load_queries
from rowsmith.errors import RowCountError

_ADA = "ada@example.com"
_WRONG_PASSWORDS = ("123456", "qwerty", "letmein", "hopper", "cobol")
_RETENTION_WEEKS = 8
_LOOKUPS, _THREADS = 2_000, 8
_MISTAKES = """\
-- name: get_admin()^
SELECT name, email FROM users WHERE role = 'ADMIN';

-- name: count_by_language(language)$
SELECT count(*) FROM users WHERE langauge = :language;
"""


def take_tour(screen: Screen, database: Database) -> None:
    """Show all chapters. `database` is rowsmith's default, contains the data set, and is closed at the end."""
    with asyncio.Runner() as runner:
        try:
            ada = _find_user(screen)
            _find_user_async(screen, runner, ada)
            grace, password = _sign_up(screen)
            _lock_out(screen, grace, password)
            _publish(screen, ada)
            _roll_back(screen, ada)
            _review(screen, grace)
            _run_sessions(screen, ada)
            _analyse(screen)
            _search(screen)
            _make_mistakes(screen)
            _check_health(screen)
            _use_pool(screen, database)
        finally:
            runner.run(database.aclose())


def _find_user(screen: Screen) -> User:
    screen.chapter(
        "Find a user", "A query is a comment line followed by plain SQL. A call returns a row as a typed object."
    )
    screen.sql(queries.get_user_by_email)
    screen.python(calls.find_user)
    user = screen.run(calls.find_user, email=_ADA)
    if user is None:
        raise LookupError(f"the data set has no {_ADA}")
    screen.record(user)
    return user


def _find_user_async(screen: Screen, runner: asyncio.Runner, expected: User) -> None:
    screen.chapter(
        "The same, asynchronously", "The same query object on an async connection, which comes from a separate pool."
    )
    screen.python(calls.find_user_async)
    user = screen.run_async(runner, calls.find_user_async, email=_ADA)
    screen.say(f"Equal to the row above: {user == expected}")


def _sign_up(screen: Screen) -> tuple[User, str]:
    password = "amazing grace"  # noqa: S105 - of a user who exists only during the demo
    screen.chapter("Sign up, sign in", "The database stores the hash of the password. Only sign_in reads it.")
    screen.sql(queries.create_user)
    screen.run(services.sign_up, email="Grace@example.com", password=password, name="Grace Hopper")
    grace = screen.run(services.sign_in, email="grace@example.com", password=password)
    screen.record(grace, "id", "email", "name", "role", "last_login_at", "login_attempts")
    return grace, password


def _lock_out(screen: Screen, user: User, password: str) -> None:
    screen.chapter(
        "Lock an account", "Five wrong passwords, then the right one. The rule is written in SQL; the server counts."
    )
    screen.sql(queries.record_failed_sign_in)
    screen.python(calls.try_to_sign_in)
    answers = [
        {"password": attempt, "answer": calls.try_to_sign_in(user.email, attempt)}
        for attempt in (*_WRONG_PASSWORDS, password)
    ]
    screen.rows(answers)


def _publish(screen: Screen, editor: User) -> None:
    screen.chapter(
        "Publish a project",
        "The project, a notification for each collaborator, and an analytics event are written in one transaction.",
    )
    with connection() as conn:
        template = queries.list_most_used_templates(conn, category=None, max_rows=1)[0]
        users = queries.list_users_page(conn, page_size=4)
    team = [user for user in users if user.id != editor.id]
    screen.python(calls.start_project)
    project = screen.run(calls.start_project, owner=editor, template_id=template.id, collaborators=team)
    screen.sql(queries.publish_project, 8)
    screen.sql(queries.notify_collaborators)
    url = "https://engine.example.net"
    published = screen.run(services.publish_project, project_id=project.id, editor_id=editor.id, deployment_url=url)
    screen.record(published, "name", "template_id", "status", "progress", "deployment_url", "published_at")
    with connection() as conn:
        sent = [
            {"to": user.name or user.email, **as_dict(notification)}
            for user in team
            for notification in queries.list_notifications_of_user(conn, user_id=user.id, only_unread=True, max_rows=1)
        ]
        events = queries.list_events_of_user(conn, user_id=editor.id, max_rows=1)
    screen.rows(sent, "to", "type", "title", "channels")
    screen.rows(events, "event_name", "properties", "occurred_at")


def _roll_back(screen: Screen, user: User) -> None:
    screen.chapter("Roll back", "An exception rolls back the block that it leaves. A nested block is a savepoint.")
    screen.python(calls.change_of_mind)
    seen = screen.run(calls.change_of_mind, user=user)
    screen.rows([{"when": when, "projects": count} for when, count in seen.items()])


def _review(screen: Screen, reviewer: User) -> None:
    screen.chapter("Review a template", "The review and the average rating change together.")
    screen.sql(queries.upsert_review)
    screen.sql(queries.refresh_template_rating)
    with connection() as conn:
        # A template with few reviews, so that a new one changes the average visibly.
        template_id = queries.list_most_used_templates(conn, category=None, max_rows=100)[-1].id
        before = queries.get_template_by_id(conn, template_id=template_id)
    if before is None:
        raise LookupError(f"there is no template {template_id}")
    comment = "No goto anywhere."
    after = screen.run(
        services.review_template, template_id=template_id, user_id=reviewer.id, rating=5, comment=comment
    )
    rows = [{"when": when, **as_dict(template)} for when, template in (("before", before), ("after", after))]
    screen.rows(rows, "when", "name", "category", "tags", "usage_count", "rating")
    stars = screen.query(queries.count_reviews_by_rating, template_id=template_id)
    bars = [("*" * row.stars, row.review_count, f"{row.review_count}") for row in stars]
    screen.show(charts.bars(bars, "stars", "reviews"))


def _run_sessions(screen: Screen, user: User) -> None:
    screen.chapter(
        "Run AI sessions", "No connection is held while a session runs. If a session fails, its log is kept."
    )
    screen.python(calls.run_into_timeout)
    arguments: dict[str, Any] = {"user_id": user.id, "session_type": "generation", "input_data": {"design": "home"}}
    try:
        services.run_session(**arguments, work=calls.run_into_timeout)
    except TimeoutError as error:
        screen.failure("services.run_session(..., work=run_into_timeout)", error)
    with connection() as conn:
        failed = queries.list_sessions_of_user(conn, user_id=user.id, max_rows=1)[0]
    screen.record(failed, "status", "error_code", "error_message", "duration_ms", "retry_count")
    screen.sql(queries.append_log_lines)
    lines = screen.query(queries.list_log_lines, session_id=failed.id)
    screen.rows(lines, "level", "message", "context", "logged_at")
    screen.python(calls.generate_page)
    completed = screen.run(services.run_session, **arguments, work=calls.generate_page)
    screen.record(completed, "status", "output_data", "tokens_used", "cost_usd", "quality_score", "completed_at")


def _analyse(screen: Screen) -> None:
    now = datetime.now(UTC)
    screen.chapter(
        "Look at analytics", "Events per day. On one day the collector was down, and the day has a row all the same."
    )
    screen.sql(queries.count_events_per_day)
    first_day, last_day = now.date() - timedelta(days=13), now.date()
    screen.show(charts.day_chart(screen.query(queries.count_events_per_day, first_day=first_day, last_day=last_day)))
    screen.say("The funnel of the last 90 days: how many users reached each step.")
    screen.sql(queries.get_funnel, 14)
    names = ["page_view", "signup", "project_created", "project_published"]
    steps = screen.query(queries.get_funnel, event_names=names, since=now - timedelta(days=90), until=now)
    screen.show(charts.funnel(steps))
    screen.say("Retention: of the users who first came in a given week, how many came back in each later week.")
    screen.sql(queries.list_weekly_retention, 14)
    first_week = now.date() - timedelta(weeks=_RETENTION_WEEKS + 1)
    cells = screen.query(queries.list_weekly_retention, first_day=first_week, weeks=_RETENTION_WEEKS)
    colours = screen.console.color_system is not None
    screen.show(charts.heat_table(cells, _RETENTION_WEEKS, colours=colours))


def _search(screen: Screen) -> None:
    screen.chapter(
        "Search", "PostgreSQL's full-text search over name, tags, keywords and description, best hits first."
    )
    screen.sql(queries.search_templates)
    words = 'gallery "small screens" or portfolio -parallax'
    found = screen.query(queries.search_templates, query=words, max_rows=6)
    screen.rows(found, "name", "description", "tags", "rating", "usage_count", "rank")


def _make_mistakes(screen: Screen) -> None:
    screen.chapter("Make mistakes", "A misspelled parameter, a query that finds too many rows, a misspelled column.")
    screen.text(_MISTAKES.rstrip(), "postgresql", "mistakes.sql")
    # Error messages name files relative to the working folder.
    with TemporaryDirectory() as folder, chdir(folder), connection() as conn:
        Path("mistakes.sql").write_text(_MISTAKES)
        mistakes = load_queries("mistakes.sql")
        misspelled: dict[str, Any] = {"langauge": "en"}
        try:
            mistakes.count_by_language(conn, **misspelled)
        except TypeError as error:
            screen.failure("mistakes.count_by_language(conn, langauge='en')", error)
        try:
            mistakes.get_admin(conn)
        except RowCountError as error:
            screen.failure("mistakes.get_admin(conn)", error)
        try:
            mistakes.count_by_language(conn, language="en")
        except psycopg.errors.UndefinedColumn as error:
            screen.failure("mistakes.count_by_language(conn, language='en')", error)


def _check_health(screen: Screen) -> None:
    screen.chapter(
        "Check its health", "A SELECT 1 with a deadline. A problem is a value with a category, not an exception."
    )
    screen.record(screen.run(check_health))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # a port on which certainly no server listens
        url = f"postgresql://nobody@127.0.0.1:{closed.getsockname()[1]}/nowhere"
        with Database(Settings(database_url=url, _env_file=None)) as nowhere:
            check = nowhere.check_health(timeout=2)
    screen.say("The same for a server that is not running:")
    screen.record(check)


def _use_pool(screen: Screen, database: Database) -> None:
    screen.chapter(
        "Share the pool",
        f"{_LOOKUPS:,} lookups by {_THREADS} threads. Each lookup acquires a connection and releases it.",
    )
    screen.python(calls.look_up)
    with connection() as conn:
        users = queries.list_users_page(conn, page_size=_LOOKUPS)
    ids = list(islice(cycle(user.id for user in users), _LOOKUPS))
    start = perf_counter()
    count = screen.run(calls.look_up, user_ids=ids, threads=_THREADS)
    speed = count / (perf_counter() - start)
    screen.say(f"{speed:,.0f} lookups per second. The statistics of both pools, for threads and for tasks:")
    statistics = sorted(database.statistics().items())
    screen.rows([{"figure": name, "value": value} for name, value in statistics])

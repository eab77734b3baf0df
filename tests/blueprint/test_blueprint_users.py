"""The queries of users.sql."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.types.json import Jsonb

from blueprint.queries import Credentials, User, UserRole, queries
from rowsmith import NOT_GIVEN
from tests.blueprint.rows import UNKNOWN, Run, new_project, new_session, new_template, new_user, new_users, values


def stored(run: Run, user: User) -> User:
    found: User | None = run(queries.get_user_by_id, user_id=user.id)
    assert found is not None
    return found


def test_a_new_user_has_the_defaults_of_the_schema(run: Run) -> None:
    user: User = run(queries.create_user, email="Ada@Example.com", name="Ada", password_hash="h")
    assert user == User(
        id=user.id,
        email="Ada@Example.com",
        name="Ada",
        role=UserRole.USER,
        email_verified=False,
        is_active=True,
        avatar=None,
        bio=None,
        timezone=None,
        language="en",
        last_login_at=None,
        login_attempts=0,
        locked_until=None,
        created_at=run.now(),
        updated_at=run.now(),
    )
    assert isinstance(user, User)
    assert stored(run, user) == user


def test_an_address_in_another_spelling_is_taken(run: Run) -> None:
    new_user(run, "ada@example.com")
    with pytest.raises(psycopg.errors.UniqueViolation) as caught:
        run(queries.create_user, email="ADA@example.COM", name=None, password_hash="h")
    assert caught.value.diag.constraint_name == "users_email_key"
    assert "in query create_user, " in caught.value.__notes__[0]


def test_many_users_are_loaded_from_arrays(run: Run) -> None:
    long_ago = run.now() - timedelta(days=1000)
    rows: list[Any] = run(
        queries.load_users,
        emails=["a@example.com", "b@example.com"],
        names=["A", None],
        password_hashes=["ha", "hb"],
        created_ats=[None, long_ago],
    )
    assert [row.email for row in rows] == ["a@example.com", "b@example.com"]
    first, second = (run(queries.get_user_by_id, user_id=row.id) for row in rows)
    assert (first.name, first.created_at) == ("A", run.now())
    assert (second.name, second.created_at) == (None, long_ago)
    assert run(queries.get_credentials_by_email, email="b@example.com").password_hash == "hb"


def test_a_user_is_found_by_id_and_by_address_in_any_case(run: Run) -> None:
    ada, _ = new_user(run, "Ada@Example.com"), new_user(run, "bob@example.com", "Bob")
    assert run(queries.get_user_by_id, user_id=ada.id) == ada
    assert run(queries.get_user_by_id, user_id=UNKNOWN) is None
    assert run(queries.get_user_by_email, email="aDA@eXAMPLE.com") == ada
    assert run(queries.get_user_by_email, email="ada@example.org") is None


def test_credentials_are_what_sign_in_needs(run: Run) -> None:
    ada = new_user(run, "Ada@Example.com")
    assert run(queries.get_credentials_by_email, email="ada@example.com") == Credentials(
        id=ada.id,
        email="Ada@Example.com",
        password_hash="hash of Ada@Example.com",
        is_active=True,
        login_attempts=0,
        locked_until=None,
    )
    assert run(queries.get_credentials_by_email, email="eve@example.com") is None


def test_pages_neither_skip_nor_repeat_a_user(run: Run) -> None:
    start = run.now() - timedelta(days=10)
    days = [2, 0, 1, 1, 1]  # three users of one moment: their ids decide
    loaded: list[Any] = run(
        queries.load_users,
        emails=[f"u{n}@example.com" for n in range(5)],
        names=[None] * 5,
        password_hashes=["h"] * 5,
        created_ats=[start + timedelta(days=day) for day in days],
    )
    expected = [row.id for _, row in sorted(zip(days, loaded, strict=True), key=lambda pair: (pair[0], pair[1].id))]
    seen: list[User] = run(queries.list_users_page, page_size=2)
    while len(seen) < 6:
        last = seen[-1]
        page: list[User] = run(queries.list_users_page, after_created_at=last.created_at, after_id=last.id, page_size=2)
        assert 0 < len(page) <= 2
        seen += page
        if len(seen) == 4:
            expected.append(new_user(run, "late@example.com").id)
    assert [user.id for user in seen] == expected
    assert run(queries.list_users_page, after_created_at=seen[-1].created_at, after_id=seen[-1].id, page_size=2) == []


def test_active_users_have_signed_in_lately(run: Run) -> None:
    ada, bob, cay, dan, _ = new_users(run, "Ada", "Bob", "Cay", "Dan", "Eve")
    for user, days in [(ada, 3), (bob, 1), (cay, 40), (dan, 1)]:
        run.sql("UPDATE users SET last_login_at = now() - make_interval(days => %s) WHERE id = %s", days, user.id)
    run(queries.set_user_active, user_id=dan.id, is_active=False)
    active: list[User] = run(queries.list_active_users, days=30)
    assert [user.id for user in active] == [bob.id, ada.id]
    assert run(queries.list_active_users, days=40) == active
    assert run(queries.count_active_users, days=30) == 2
    assert run(queries.count_active_users, days=40) == 2
    assert run(queries.count_active_users, days=41) == 3
    assert run(queries.count_active_users, days=0) == 0


def test_users_are_counted_by_role_with_the_roles_that_nobody_has(run: Run) -> None:
    assert run(queries.count_users) == 0
    ada, bob, _ = new_users(run, "Ada", "Bob", "Cay")
    assert run(queries.set_user_role, user_id=ada.id, role=UserRole.ADMIN) == 1
    assert run(queries.set_user_role, user_id=bob.id, role="MODERATOR") == 1
    assert run(queries.set_user_role, user_id=UNKNOWN, role="ADMIN") == 0
    assert stored(run, ada).role is UserRole.ADMIN
    assert run(queries.count_users) == 3
    counts = [("USER", 1), ("ADMIN", 1), ("DEVELOPER", 0), ("MODERATOR", 1)]
    assert [values(row) for row in run(queries.count_users_by_role)] == counts


def test_an_unknown_role_is_refused(run: Run) -> None:
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        run(queries.set_user_role, user_id=new_user(run).id, role="OWNER")


def test_statistics_count_each_table_on_its_own(run: Run) -> None:
    ada, bob = new_users(run, "Ada", "Bob")
    first, second = new_template(run, "first", author=ada), new_template(run, "second", author=ada)
    for _ in range(3):
        run(queries.create_project_from_template, user_id=ada.id, template_id=first.id, name="Page")
    published = new_project(run, ada)
    run(queries.publish_project, project_id=published.id, deployment_url="https://example.com")
    new_project(run, bob)
    third = new_template(run, "third", author=bob)
    run(queries.create_project_from_template, user_id=bob.id, template_id=third.id, name="Page")
    new_session(run, bob, "COMPLETED", tokens_used=1, cost_usd="1")
    for user in (ada, bob):
        run(queries.upsert_review, template_id=second.id, user_id=user.id, rating=5, comment=None)
    new_session(run, ada, "COMPLETED", tokens_used=100, cost_usd="0.25")
    new_session(run, ada, "COMPLETED", tokens_used=11, cost_usd="0.000001")
    new_session(run, ada, "FAILED")
    new_session(run, ada, "PENDING")
    found: Any = run(queries.get_user_statistics, user_id=ada.id)
    assert found.model_dump() == {
        "user_id": ada.id,
        "email": "ada@example.com",
        "name": "Ada",
        "project_count": 4,
        "published_project_count": 1,
        "template_count": 2,
        "template_usage_count": 3,
        "review_count": 1,
        "session_count": 4,
        "completed_session_count": 2,
        "failed_session_count": 1,
        "tokens_used": 111,
        "cost_usd": Decimal("0.250001"),
    }


def test_statistics_of_a_user_who_has_done_nothing_are_zeros(run: Run) -> None:
    ada = new_user(run)
    assert values(run(queries.get_user_statistics, user_id=ada.id)) == (ada.id, "ada@example.com", "Ada", *[0] * 10)
    assert run(queries.get_user_statistics, user_id=UNKNOWN) is None


def test_of_a_profile_what_is_given_is_changed(run: Run) -> None:
    ada = new_user(run)
    assert run(queries.update_profile, user_id=ada.id) == ada
    changed: User = run(queries.update_profile, user_id=ada.id, bio="Counts.", timezone="Europe/London")
    assert changed == ada.model_copy(update={"bio": "Counts.", "timezone": "Europe/London"})
    cleared: User = run(queries.update_profile, user_id=ada.id, bio=None, name=NOT_GIVEN)
    assert cleared == ada.model_copy(update={"timezone": "Europe/London"})


def test_a_profile_is_replaced_as_a_whole(run: Run) -> None:
    ada, bob = new_users(run, "Ada", "Bob")
    profile = {"name": "Ada L.", "avatar": "https://example.com/a.png", "bio": "Counts.", "timezone": "Europe/London"}
    changed: User = run(queries.update_profile, user_id=ada.id, **profile, language="fr")
    assert changed == ada.model_copy(update={**profile, "language": "fr"})
    cleared: User = run(
        queries.update_profile, user_id=ada.id, name=None, avatar=None, bio=None, timezone=None, language="en"
    )
    assert cleared == ada.model_copy(update={"name": None})
    assert stored(run, bob) == bob
    assert run(queries.update_profile, user_id=UNKNOWN, **profile, language="fr") is None


def test_updated_at_is_kept_by_the_trigger(run: Run) -> None:
    ada = new_user(run)
    run.sql("ALTER TABLE users DISABLE TRIGGER users_set_updated_at")
    run.sql("UPDATE users SET updated_at = updated_at - interval '1 day'")
    run.sql("ALTER TABLE users ENABLE TRIGGER users_set_updated_at")
    assert stored(run, ada).updated_at == run.now() - timedelta(days=1)
    assert run(queries.verify_email, user_id=ada.id) == 1
    assert stored(run, ada).updated_at == run.now()


def test_an_address_is_verified(run: Run) -> None:
    ada, bob = new_users(run, "Ada", "Bob")
    assert run(queries.verify_email, user_id=ada.id) == 1
    assert run(queries.verify_email, user_id=UNKNOWN) == 0
    assert [stored(run, user).email_verified for user in (ada, bob)] == [True, False]


def test_an_account_is_closed_and_opened(run: Run) -> None:
    ada = new_user(run)
    assert run(queries.set_user_active, user_id=ada.id, is_active=False) == 1
    assert stored(run, ada).is_active is False
    assert run(queries.set_user_active, user_id=ada.id, is_active=True) == 1
    assert stored(run, ada).is_active is True
    assert run(queries.set_user_active, user_id=UNKNOWN, is_active=False) == 0


def failures(run: Run, user: User, count: int) -> list[tuple[UUID, int, datetime | None]]:
    return [values(run(queries.record_failed_sign_in, user_id=user.id)) for _ in range(count)]


def test_the_fifth_failure_locks_for_fifteen_minutes(run: Run) -> None:
    ada, bob = new_users(run, "Ada", "Bob")
    until = run.now() + timedelta(minutes=15)
    assert failures(run, ada, 5) == [
        (ada.id, 1, None),
        (ada.id, 2, None),
        (ada.id, 3, None),
        (ada.id, 4, None),
        (ada.id, 5, until),
    ]
    assert stored(run, ada).locked_until == until
    assert stored(run, bob) == bob
    assert run(queries.record_failed_sign_in, user_id=UNKNOWN) is None


def test_after_a_lock_has_run_out_the_count_starts_again(run: Run) -> None:
    ada = new_user(run)
    run.sql("UPDATE users SET login_attempts = 5, locked_until = now() - interval '1 s'")
    assert failures(run, ada, 2) == [(ada.id, 1, None), (ada.id, 2, None)]


def test_a_sign_in_forgets_the_failures(run: Run) -> None:
    ada = new_user(run)
    failures(run, ada, 5)
    reset: User = run(queries.reset_sign_in, user_id=ada.id)
    assert reset == ada.model_copy(update={"last_login_at": run.now()})
    assert run(queries.reset_sign_in, user_id=UNKNOWN) is None


def test_a_new_password_lifts_a_lock(run: Run) -> None:
    ada = new_user(run)
    failures(run, ada, 5)
    assert run(queries.update_password, user_id=ada.id, password_hash="new") == 1
    found: Credentials = run(queries.get_credentials_by_email, email=ada.email)
    assert (found.password_hash, found.login_attempts, found.locked_until) == ("new", 0, None)
    assert run(queries.update_password, user_id=UNKNOWN, password_hash="new") == 0


def test_what_is_a_users_own_goes_with_the_account(run: Run) -> None:
    ada, bob = new_users(run, "Ada", "Bob")
    template = new_template(run, author=ada)
    project = new_project(run, bob)
    session_id = new_session(run, ada)
    run(queries.issue_api_key, user_id=ada.id, name="k", key_hash="h", permissions=[], expires_at=None)
    run(queries.upsert_review, template_id=template.id, user_id=ada.id, rating=3, comment=None)
    run(
        queries.add_collaborator,
        project_id=project.id,
        user_id=ada.id,
        role="VIEWER",
        can_edit=False,
        can_delete=False,
        can_share=False,
    )
    run(
        queries.send_notification,
        user_id=ada.id,
        notification_type="SYSTEM_UPDATE",
        title="t",
        message="m",
        data=None,
        channels=[],
    )
    assert run(queries.delete_user, user_id=ada.id) == 1
    assert run(queries.get_user_by_id, user_id=ada.id) is None
    for table in ("api_keys", "template_reviews", "project_collaborators", "notifications"):
        assert run.sql(f"SELECT * FROM {table}") == []
    assert run(queries.get_template_by_id, template_id=template.id).author_id is None
    assert run(queries.get_session_by_id, session_id=session_id).user_id is None
    assert run(queries.delete_user, user_id=ada.id) == 0


def test_a_user_who_owns_projects_cannot_be_deleted(run: Run) -> None:
    ada = new_user(run)
    new_project(run, ada)
    with pytest.raises(psycopg.errors.ForeignKeyViolation) as caught:
        run(queries.delete_user, user_id=ada.id)
    assert caught.value.diag.constraint_name == "projects_user_id_fkey"


@pytest.mark.parametrize(
    "text",
    [
        "'; DROP TABLE users; --",
        '" OR 1 = 1 --',
        "%s %(name)s %%",
        ":email $1 $$ {} ::text",
        "\\'; \\x27 E'\\n'",
        "line\nbreak\ttab\r",
        "\u202eright to left \U0001f600 e\u0301",
    ],
)
def test_text_is_stored_as_it_is(run: Run, text: str) -> None:
    user: User = run(queries.create_user, email=text, name=text, password_hash=text)
    assert (user.email, user.name) == (text, text)
    assert run(queries.get_user_by_email, email=text) == user
    assert run(queries.get_credentials_by_email, email=text).password_hash == text
    assert run(queries.count_users) == 1
    project = new_project(run, user, name=text, tags=[text, text])
    assert (project.name, project.tags) == (text, [text, text])
    settings = {text: [text]}
    changed: Any = run(
        queries.update_project,
        project_id=project.id,
        name=text,
        description=text,
        settings=Jsonb(settings),
        tags=[text],
    )
    assert (changed.description, changed.settings, changed.tags) == (text, settings, [text])

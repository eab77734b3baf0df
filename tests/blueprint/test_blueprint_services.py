"""The services, on a database of the test's own: they commit."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from threading import Barrier
from typing import Any
from uuid import UUID

import psycopg
import pytest

from blueprint import services
from blueprint.queries import (
    CollaboratorRole,
    LogLine,
    Notification,
    Project,
    ProjectStatus,
    Session,
    SessionStatus,
    Template,
    User,
    queries,
)
from blueprint.services import (
    AccountLockedError,
    EmailTakenError,
    InvalidCredentialsError,
    NotAllowedError,
    NotFoundError,
    NotPublishableError,
    ServiceError,
    SessionLog,
    SessionOutcome,
    publish_project,
    review_template,
    run_session,
    sign_in,
    sign_up,
)
from rowsmith import Database, connection, transaction

UNKNOWN = UUID(int=0)
PASSWORD = "correct horse"
LOCK = timedelta(minutes=15)


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the tests need not wait for what is slow on purpose."""
    monkeypatch.setattr(services, "SCRYPT_N", 2**4)


@pytest.fixture(autouse=True)
def database(default_db: Database) -> Generator[Database]:
    """The default database is the test's own, and no service leaves a connection in use."""
    yield default_db
    assert default_db.statistics().get("connections_in_use", 0) == 0


def ask(query: Callable[..., Any], **parameters: Any) -> Any:
    with connection() as conn:
        return query(conn, **parameters)


def sql(statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with connection() as conn:
        cursor = conn.execute(statement.encode(), values or None)
        return cursor.fetchall() if cursor.description else []


def count(table: str) -> int:
    ((rows,),) = sql(f"SELECT count(*) FROM {table}")
    assert isinstance(rows, int)
    return rows


def new_user(name: str = "ada") -> User:
    return sign_up(email=f"{name}@example.com", password=PASSWORD, name=name)


def stored(user: User) -> User:
    found: User | None = ask(queries.get_user_by_id, user_id=user.id)
    assert found is not None
    return found


def try_passwords(*passwords: str, email: str = "ada@example.com") -> list[str]:
    """The names of the errors, or "" for a success."""
    results: list[str] = []
    for password in passwords:
        try:
            sign_in(email=email, password=password)
            results.append("")
        except ServiceError as error:
            results.append(type(error).__name__)
    return results


# sign_up


def test_sign_up_creates_an_account() -> None:
    user = sign_up(email="Ada@Example.com", password=PASSWORD, name="Ada")
    assert (user.email, user.name, user.role, user.email_verified) == ("Ada@Example.com", "Ada", "USER", False)
    assert stored(user) == user
    assert sign_up(email="bob@example.com", password=PASSWORD).name is None


def test_a_password_is_stored_as_a_salted_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # at its real cost
    new_user("ada")
    new_user("bob")
    hashes = [stored_hash for (stored_hash,) in sql("SELECT password_hash FROM users")]
    assert len(set(hashes)) == 2
    for stored_hash in hashes:
        kind, n, r, p, salt, key = stored_hash.split("$")
        assert (kind, n, r, p) == ("scrypt", "16384", "8", "5")
        assert len(bytes.fromhex(salt)) == 16
        assert (
            key
            == hashlib.scrypt(
                PASSWORD.encode(), salt=bytes.fromhex(salt), n=2**14, r=8, p=5, maxmem=2**26, dklen=32
            ).hex()
        )


@pytest.mark.parametrize("email", ["ada@example.com", "ADA@EXAMPLE.COM", "Ada@example.Com"])
def test_an_address_can_be_taken_once_in_any_spelling(email: str) -> None:
    user = new_user("ada")
    with pytest.raises(EmailTakenError):
        sign_up(email=email, password="another one", name="Eve")
    assert sql("SELECT id, email, name FROM users") == [(user.id, "ada@example.com", "ada")]


def test_of_many_who_sign_up_at_once_with_one_address_one_gets_it() -> None:
    barrier = Barrier(8)

    def try_it(number: int) -> bool:
        barrier.wait()
        try:
            sign_up(email="ada@example.com" if number % 2 else "ADA@example.com", password=PASSWORD)
        except EmailTakenError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(try_it, range(8))) == 1
    assert count("users") == 1


@pytest.mark.parametrize(
    "email", ["", "ada", "@", "ada@", "@example.com", "a@b@c", "ada @example.com", "ada@example.com\n", "a\0@b"]
)
def test_what_is_no_address_is_refused(email: str) -> None:
    with pytest.raises(ValueError, match="an e-mail address has one @"):
        sign_up(email=email, password=PASSWORD)
    assert count("users") == 0


def test_a_password_has_at_least_eight_characters() -> None:
    with pytest.raises(ValueError, match="at least 8 characters"):
        sign_up(email="ada@example.com", password="1234567")
    assert count("users") == 0
    assert sign_up(email="ada@example.com", password="pässwörd").email == "ada@example.com"


def test_sign_up_joins_a_transaction_that_is_open() -> None:
    def give_up() -> None:
        with transaction():
            new_user("ada")
            with pytest.raises(EmailTakenError):
                new_user("ada")
            new_user("bob")  # a savepoint: the transaction goes on after the error
            raise RuntimeError

    with pytest.raises(RuntimeError):
        give_up()
    assert count("users") == 0


INJECTIONS = [
    "'; DROP TABLE users; --",
    '" OR 1=1 --',
    "%s %(x)s %%",
    ":email $1 {}",
    "\\'; \\x27",
    "e\u0301 \U0001f600",
]


@pytest.mark.parametrize("text", INJECTIONS)
def test_hostile_text_is_only_text(text: str) -> None:
    email = f"{text.replace(' ', '').replace('@', '')}@example.com"
    user = sign_up(email=email, password=text * 2, name=text)
    assert (user.email, user.name) == (email, text)
    assert sign_in(email=email, password=text * 2).id == user.id
    assert try_passwords(PASSWORD, email=email) == ["InvalidCredentialsError"]
    assert try_passwords(text * 2, email=text) == ["InvalidCredentialsError"]
    template = new_template()
    review_template(template_id=template.id, user_id=user.id, rating=5, comment=text)
    assert ask(queries.get_review, template_id=template.id, user_id=user.id).comment == text

    def work(log: SessionLog) -> SessionOutcome:
        log.info(text, **{text: text})
        return SessionOutcome({text: [text]})

    session = run_session(user_id=user.id, session_type="pipeline", input_data={text: text}, work=work)
    assert (session.input_data, session.output_data) == ({text: text}, {text: [text]})
    (line,) = log_of(session.id)
    assert (line.message, line.context) == (text, {text: text})


# sign_in


def test_sign_in_answers_the_user_and_notes_the_time() -> None:
    user = new_user("ada")
    assert user.last_login_at is None
    signed_in = sign_in(email="ADA@example.com", password=PASSWORD)
    assert signed_in == stored(user)
    assert signed_in.id == user.id
    assert signed_in.last_login_at is not None


def test_a_wrong_password_and_an_unknown_address_look_the_same() -> None:
    new_user("ada")
    with pytest.raises(InvalidCredentialsError) as wrong:
        sign_in(email="ada@example.com", password=PASSWORD + " ")
    with pytest.raises(InvalidCredentialsError) as unknown:
        sign_in(email="eve@example.com", password=PASSWORD)
    assert str(wrong.value) == str(unknown.value)
    assert (wrong.value.__cause__, unknown.value.__cause__) == (None, None)


def test_a_wrong_password_and_an_unknown_address_cost_the_same_work(monkeypatch: pytest.MonkeyPatch) -> None:
    new_user("ada")
    work: list[dict[str, Any]] = []
    scrypt = hashlib.scrypt

    def noted(password: bytes, **parameters: Any) -> bytes:
        work.append({**parameters, "salt": len(parameters["salt"])})
        return scrypt(password, **parameters)

    monkeypatch.setattr(hashlib, "scrypt", noted)
    for email in ("ada@example.com", "eve@example.com"):
        try_passwords("wrong password", email=email)
    assert len(work) == 2
    assert work[0] == work[1]


def test_a_failure_is_counted_although_it_raises() -> None:
    user = new_user("ada")
    for attempts in (1, 2, 3):
        assert try_passwords("wrong password") == ["InvalidCredentialsError"]
        assert stored(user).login_attempts == attempts
    assert try_passwords(PASSWORD) == [""]
    assert stored(user).login_attempts == 0


def test_five_failures_lock_the_account_even_for_the_right_password() -> None:
    user = new_user("ada")
    before = datetime.now(UTC)
    assert try_passwords(*["wrong password"] * 4) == ["InvalidCredentialsError"] * 4
    assert stored(user).locked_until is None
    assert try_passwords("wrong password", PASSWORD) == ["InvalidCredentialsError", "AccountLockedError"]
    locked = stored(user)
    with pytest.raises(AccountLockedError) as caught:
        sign_in(email="Ada@Example.com", password=PASSWORD)
    assert caught.value.until == locked.locked_until
    assert before + LOCK <= caught.value.until <= datetime.now(UTC) + LOCK
    assert try_passwords("wrong password") == ["AccountLockedError"]
    assert stored(user) == locked  # attempts during the lock do not make it longer
    assert new_user("bob").id == sign_in(email="bob@example.com", password=PASSWORD).id


def test_a_lock_that_has_run_out_is_none() -> None:
    user = new_user("ada")
    try_passwords(*["wrong password"] * 5)
    sql("UPDATE users SET locked_until = now() - interval '1 s'")
    assert try_passwords("wrong password") == ["InvalidCredentialsError"]
    assert stored(user).login_attempts == 1
    assert try_passwords(PASSWORD) == [""]
    sql("UPDATE users SET login_attempts = 5, locked_until = now() - interval '1 s'")
    assert try_passwords(PASSWORD) == [""]
    assert (stored(user).login_attempts, stored(user).locked_until) == (0, None)


def test_a_closed_account_looks_like_a_wrong_password() -> None:
    user = new_user("ada")
    ask(queries.set_user_active, user_id=user.id, is_active=False)
    assert try_passwords(PASSWORD, "wrong password") == ["InvalidCredentialsError"] * 2
    assert stored(user).last_login_at is None


def test_an_account_without_a_password_of_ours_lets_nobody_in() -> None:
    new_user("ada")
    sql("UPDATE users SET password_hash = '!'")
    assert try_passwords("!", PASSWORD) == ["InvalidCredentialsError"] * 2


def test_a_lock_counts_that_falls_while_the_password_is_hashed(
    monkeypatch: pytest.MonkeyPatch, database: Database
) -> None:
    user = new_user("ada")
    scrypt = hashlib.scrypt

    def slow(password: bytes, **parameters: Any) -> bytes:
        assert database.statistics()["connections_in_use"] == 0
        sql("UPDATE users SET login_attempts = 5, locked_until = now() + interval '15 minutes'")
        return scrypt(password, **parameters)

    monkeypatch.setattr(hashlib, "scrypt", slow)
    assert try_passwords(PASSWORD) == ["AccountLockedError"]
    assert stored(user).last_login_at is None


def test_guesses_made_all_at_once_are_all_counted() -> None:
    user = new_user("ada")
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(try_passwords, ["wrong password"] * 16))
    names = [name for (name,) in results]
    assert names.count("InvalidCredentialsError") == stored(user).login_attempts
    assert 5 <= stored(user).login_attempts <= 12  # the fifth, and those that were under way with it
    assert try_passwords(PASSWORD) == ["AccountLockedError"]


# publish_project


def new_project(owner: User, *collaborators: tuple[User, str]) -> Project:
    with transaction() as conn:
        project = queries.create_project(
            conn, user_id=owner.id, name="Ada's %s page", description=None, settings={}, tags=[]
        )
        for user, role in collaborators:
            queries.add_collaborator(
                conn,
                project_id=project.id,
                user_id=user.id,
                role=CollaboratorRole(role),
                can_edit=False,
                can_delete=False,
                can_share=False,
            )
    return project


def notifications_of(user: User) -> list[Notification]:
    found: list[Notification] = ask(queries.list_notifications_of_user, user_id=user.id, only_unread=False, max_rows=10)
    return found


def test_publishing_tells_the_collaborators_and_is_recorded() -> None:
    owner, editor, viewer, other = (new_user(name) for name in ("owner", "editor", "viewer", "other"))
    project = new_project(owner, (editor, "EDITOR"), (viewer, "VIEWER"))
    published = publish_project(project_id=project.id, editor_id=editor.id, deployment_url="https://x.example")
    assert (published.id, published.status) == (project.id, ProjectStatus.PUBLISHED)
    assert (published.is_public, published.deployment_url) == (True, "https://x.example")
    assert ask(queries.get_project_by_id, project_id=project.id) == published
    assert [len(notifications_of(user)) for user in (owner, editor, viewer, other)] == [0, 1, 1, 0]
    (told,) = notifications_of(viewer)
    assert (told.type, told.title) == ("PROJECT_COMPLETED", "Ada's %s page is published")
    assert told.data == {"project_id": str(project.id), "deployment_url": "https://x.example"}
    (event,) = ask(queries.list_events_of_user, user_id=editor.id, max_rows=10)
    assert (event.event_type, event.event_name, event.properties) == ("project", "project_published", told.data)


def test_an_owner_without_collaborators_publishes_alone() -> None:
    owner = new_user("owner")
    project = new_project(owner)
    publish_project(project_id=project.id, editor_id=owner.id, deployment_url="https://x.example")
    assert (count("notifications"), count("analytics_events")) == (0, 1)


def test_only_who_may_edit_publishes() -> None:
    owner, viewer, stranger = (new_user(name) for name in ("owner", "viewer", "stranger"))
    project = new_project(owner, (viewer, "VIEWER"))
    for user_id in (viewer.id, stranger.id, UNKNOWN):
        with pytest.raises(NotAllowedError):
            publish_project(project_id=project.id, editor_id=user_id, deployment_url="https://x.example")
    with pytest.raises(NotFoundError):
        publish_project(project_id=UNKNOWN, editor_id=owner.id, deployment_url="https://x.example")
    assert ask(queries.get_project_by_id, project_id=project.id) == project
    assert (count("notifications"), count("analytics_events")) == (0, 0)


@pytest.mark.parametrize("status", ["PUBLISHED", "PROCESSING", "ARCHIVED", "FAILED"])
def test_a_project_in_another_state_is_not_published(status: str) -> None:
    owner = new_user("owner")
    project = new_project(owner, (new_user("editor"), "EDITOR"))
    sql("UPDATE projects SET status = %s", status)
    with pytest.raises(NotPublishableError, match=status):
        publish_project(project_id=project.id, editor_id=owner.id, deployment_url="https://x.example")
    assert (count("notifications"), count("analytics_events")) == (0, 0)


@pytest.mark.parametrize("table", ["notifications", "analytics_events"])
def test_publishing_is_all_or_nothing(table: str) -> None:
    owner = new_user("owner")
    project = new_project(owner, (new_user("editor"), "EDITOR"))
    sql(f"ALTER TABLE {table} ADD CONSTRAINT nothing_goes CHECK (false)")
    with pytest.raises(psycopg.errors.CheckViolation, match="nothing_goes"):
        publish_project(project_id=project.id, editor_id=owner.id, deployment_url="https://x.example")
    assert ask(queries.get_project_by_id, project_id=project.id) == project
    assert (count("notifications"), count("analytics_events")) == (0, 0)
    sql(f"ALTER TABLE {table} DROP CONSTRAINT nothing_goes")
    publish_project(project_id=project.id, editor_id=owner.id, deployment_url="https://x.example")
    assert (count("notifications"), count("analytics_events")) == (1, 1)


def test_of_many_who_publish_at_once_one_does() -> None:
    owner = new_user("owner")
    project = new_project(owner, (new_user("editor"), "EDITOR"))
    barrier = Barrier(6)

    def try_it(number: int) -> bool:
        barrier.wait()
        try:
            publish_project(project_id=project.id, editor_id=owner.id, deployment_url=f"https://{number}.example")
        except NotPublishableError:
            return False
        return True

    with ThreadPoolExecutor(6) as threads:
        assert sum(threads.map(try_it, range(6))) == 1
    assert (count("notifications"), count("analytics_events")) == (1, 1)


# review_template


def new_template() -> Template:
    template: Template = ask(
        queries.create_template,
        author_id=None,
        slug="hero",
        name="Hero",
        description=None,
        category="HERO",
        complexity="SIMPLE",
        html="",
        css=None,
        js=None,
        tags=[],
    )
    return template


def test_a_review_changes_the_average() -> None:
    template, ada, bob = new_template(), new_user("ada"), new_user("bob")
    assert review_template(template_id=template.id, user_id=ada.id, rating=5).rating == Decimal(5)
    assert review_template(template_id=template.id, user_id=bob.id, rating=2, comment="x").rating == Decimal("3.5")
    after = review_template(template_id=template.id, user_id=ada.id, rating=1)
    assert after.rating == Decimal("1.5")
    assert ask(queries.get_template_by_id, template_id=template.id) == after
    assert count("template_reviews") == 2


@pytest.mark.parametrize("rating", [0, 6, -1, 2**40])
def test_a_rating_is_from_one_to_five(rating: int) -> None:
    template, ada = new_template(), new_user("ada")
    with pytest.raises(ValueError, match="1, 2, 3, 4 or 5 stars"):
        review_template(template_id=template.id, user_id=ada.id, rating=rating)
    assert count("template_reviews") == 0


def test_there_is_nothing_to_review_in_an_unknown_template() -> None:
    with pytest.raises(NotFoundError):
        review_template(template_id=UNKNOWN, user_id=new_user("ada").id, rating=3)


def test_a_review_by_nobody_leaves_nothing_behind() -> None:
    template = new_template()
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        review_template(template_id=template.id, user_id=UNKNOWN, rating=3)
    assert count("template_reviews") == 0
    assert ask(queries.get_template_by_id, template_id=template.id) == template


def test_reviews_written_at_once_are_all_in_the_average() -> None:
    template, users = new_template(), [new_user(f"user{number}") for number in range(8)]
    barrier = Barrier(8)

    def review(user: User, rating: int) -> None:
        barrier.wait()
        review_template(template_id=template.id, user_id=user.id, rating=rating)

    with ThreadPoolExecutor(8) as threads:
        for turn in range(4):
            ratings = [(number * (turn + 1)) % 5 + 1 for number in range(8)]
            list(threads.map(review, users, ratings))
            reviewed: Template = ask(queries.get_template_by_id, template_id=template.id)
            assert reviewed.rating == (Decimal(sum(ratings)) / 8).quantize(Decimal("0.01"), ROUND_HALF_UP)


# run_session


def log_of(session_id: UUID) -> list[LogLine]:
    lines: list[LogLine] = ask(queries.list_log_lines, session_id=session_id)
    return lines


def only_session() -> Session:
    ((session_id,),) = sql("SELECT id FROM ai_sessions")
    session: Session = ask(queries.get_session_by_id, session_id=session_id)
    return session


def test_a_session_keeps_its_outcome_and_its_log() -> None:
    user, before = new_user("ada"), datetime.now(UTC)
    amounts = [1]

    def work(log: SessionLog) -> SessionOutcome:
        log.debug("begin")
        log.info("read", amounts=amounts, user=user.id, cost=Decimal("0.1"))
        amounts.append(2)
        log.warning("slow", seconds=float("nan"))
        log.error("bad", nothing=None)
        return SessionOutcome({"pages": [1, 2]}, tokens_used=12, cost_usd=Decimal("0.0345"), quality_score=0.5)

    session = run_session(user_id=user.id, session_type="generation", input_data={"a": 1}, work=work)
    assert session == only_session()
    assert (session.user_id, session.session_type, session.status) == (user.id, "generation", SessionStatus.COMPLETED)
    assert (session.input_data, session.output_data) == ({"a": 1}, {"pages": [1, 2]})
    assert (session.tokens_used, session.cost_usd, session.quality_score) == (12, Decimal("0.0345"), 0.5)
    assert session.duration_ms is not None
    assert session.completed_at is not None
    lines = log_of(session.id)
    assert [(line.level, line.message, line.context) for line in lines] == [
        ("DEBUG", "begin", None),
        ("INFO", "read", {"amounts": [1], "user": str(user.id), "cost": "0.1"}),
        ("WARN", "slow", {"seconds": "NaN"}),
        ("ERROR", "bad", {"nothing": None}),
    ]
    assert before < lines[0].logged_at < lines[-1].logged_at < datetime.now(UTC) + timedelta(seconds=1)


def test_the_lines_of_a_session_keep_their_order() -> None:
    def work(log: SessionLog) -> SessionOutcome:
        for number in range(2000):
            log.info(str(number))
        return SessionOutcome({})

    session = run_session(user_id=new_user("ada").id, session_type="pipeline", input_data={}, work=work)
    assert [line.message for line in log_of(session.id)] == [str(number) for number in range(2000)]


def test_a_session_without_a_log_has_none() -> None:
    session = run_session(
        user_id=new_user("ada").id, session_type="pipeline", input_data={}, work=lambda _: SessionOutcome({})
    )
    assert (session.status, session.tokens_used, session.cost_usd, session.quality_score) == (
        "COMPLETED",
        None,
        None,
        None,
    )
    assert log_of(session.id) == []


def test_while_a_session_runs_no_connection_is_held_and_all_can_see_it(database: Database, database_url: str) -> None:
    seen: list[Any] = []

    def work(_: SessionLog) -> SessionOutcome:
        assert database.statistics()["connections_in_use"] == 0
        with psycopg.connect(database_url) as other:
            seen.extend(other.execute("SELECT status, input_data FROM ai_sessions").fetchall())
        return SessionOutcome({})

    run_session(user_id=new_user("ada").id, session_type="analysis", input_data={"x": 1}, work=work)
    assert seen == [("PROCESSING", {"x": 1})]


class OutOfTokensError(Exception):
    """What the work of a session may raise."""


@pytest.mark.parametrize("error", [OutOfTokensError("it's %s \0 over"), KeyboardInterrupt("it's %s \0 over")])
def test_a_session_that_fails_keeps_its_log(error: BaseException) -> None:
    user = new_user("ada")

    def work(log: SessionLog) -> SessionOutcome:
        log.info("first", n=1)
        log.error("a \0 b", text="c \0 d")
        raise error

    with pytest.raises(type(error)) as caught:
        run_session(user_id=user.id, session_type="pipeline", input_data={}, work=work)
    assert caught.value is error
    session = only_session()
    assert (session.status, session.retry_count, session.output_data) == (SessionStatus.FAILED, 1, None)
    assert (session.error_message, session.error_code) == ("it's %s \ufffd over", type(error).__name__)
    assert session.duration_ms is not None
    assert [(line.message, line.context) for line in log_of(session.id)] == [
        ("first", {"n": 1}),
        ("a \ufffd b", {"text": "c \ufffd d"}),
    ]


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (SessionOutcome({}, quality_score=1.5), psycopg.errors.CheckViolation),
        (SessionOutcome({"not": {"json"}}), TypeError),
    ],
)
def test_an_outcome_that_cannot_be_stored_is_a_failure(outcome: SessionOutcome, error: type[Exception]) -> None:
    def work(log: SessionLog) -> SessionOutcome:
        log.info("kept")
        return outcome

    with pytest.raises(error):
        run_session(user_id=new_user("ada").id, session_type="pipeline", input_data={}, work=work)
    session = only_session()
    assert (session.status, session.error_code) == (SessionStatus.FAILED, error.__name__)
    assert [line.message for line in log_of(session.id)] == ["kept"]


def test_a_session_that_was_cancelled_meanwhile_stays_so() -> None:
    def work(log: SessionLog) -> SessionOutcome:
        log.info("kept")
        sql("UPDATE ai_sessions SET status = 'CANCELLED'")
        return SessionOutcome({"a": 1})

    session = run_session(user_id=new_user("ada").id, session_type="pipeline", input_data={}, work=work)
    assert (session.status, session.output_data, session.completed_at) == (SessionStatus.CANCELLED, None, None)
    assert [line.message for line in log_of(session.id)] == ["kept"]


def test_the_outcome_and_the_log_are_stored_together() -> None:
    sql("ALTER TABLE ai_logs ADD CONSTRAINT no_secrets CHECK (message <> 'secret')")

    def work(log: SessionLog) -> SessionOutcome:
        log.info("secret")
        return SessionOutcome({})

    with pytest.raises(psycopg.errors.CheckViolation, match="no_secrets"):
        run_session(user_id=new_user("ada").id, session_type="pipeline", input_data={}, work=work)
    assert (only_session().status, count("ai_logs")) == (SessionStatus.PROCESSING, 0)


def test_a_session_that_was_deleted_meanwhile_is_not_found() -> None:
    def work(_log: SessionLog) -> SessionOutcome:
        sql("DELETE FROM ai_sessions")
        return SessionOutcome({})

    with pytest.raises(NotFoundError, match="there is no session"):
        run_session(user_id=new_user("ada").id, session_type="pipeline", input_data={}, work=work)


def test_a_session_that_cannot_begin_does_no_work() -> None:
    def work(_: SessionLog) -> SessionOutcome:
        pytest.fail("it was run")

    user = new_user("ada")
    with pytest.raises(psycopg.errors.CheckViolation, match="session_type"):
        run_session(user_id=user.id, session_type="chat", input_data={}, work=work)
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        run_session(user_id=UNKNOWN, session_type="pipeline", input_data={}, work=work)
    assert count("ai_sessions") == 0


def test_a_log_line_is_what_it_was_when_it_was_written() -> None:
    """A log takes everything: what JSON has no form for as text."""

    def work(log: SessionLog) -> SessionOutcome:
        log.info("m", at=datetime(2026, 1, 1, tzinfo=UTC), infinite=float("inf"), kinds={"k": {1}})
        return SessionOutcome({})

    session = run_session(user_id=new_user("ada").id, session_type="pipeline", input_data={}, work=work)
    (line,) = log_of(session.id)
    assert line.context == {"at": "2026-01-01 00:00:00+00:00", "infinite": "Infinity", "kinds": {"k": "{1}"}}

"""What the platform does, one function for each use case, on rowsmith's default database.

PostgreSQL's own errors (a user id that does not exist, a database that is down) pass through as psycopg's.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from time import perf_counter
from typing import Any, TypeVar
from uuid import UUID

from psycopg import Connection
from psycopg.errors import UniqueViolation
from pydantic import JsonValue

from blueprint.queries import Credentials, LogLevel, NotificationType, Project, Session, Template, User, queries
from rowsmith import transaction

_T = TypeVar("_T")

PASSWORD_LENGTH = 8
"""The fewest characters of a password."""

# OWASP, Password Storage Cheat Sheet, scrypt: 16 MiB of memory at r = 8, computed five times over.
SCRYPT_N, SCRYPT_R, SCRYPT_P = 2**14, 8, 5
_SCRYPT_MEMORY, _SALT_BYTES, _KEY_BYTES = 64 * 1024 * 1024, 16, 32


class ServiceError(Exception):
    """The root of what a service refuses to do."""


class EmailTakenError(ServiceError):
    """There is an account with this e-mail address, in this spelling or another."""


class InvalidCredentialsError(ServiceError):
    """No open account has this e-mail address and this password. Which of the two is wrong is not said."""


class AccountLockedError(ServiceError):
    """Too many sign-ins have failed: not even the right password is accepted before `until`."""

    def __init__(self, until: datetime) -> None:
        super().__init__(f"the account is locked until {until:%Y-%m-%d %H:%M:%S %Z}")
        self.until = until


class NotAllowedError(ServiceError):
    """The user may not do this."""


class NotFoundError(ServiceError):
    """What the service was to work on does not exist."""


class NotPublishableError(ServiceError):
    """The project is not in a state from which it can be published."""


def sign_up(*, email: str, password: str, name: str | None = None) -> User:
    """Create an account. Raises EmailTakenError, and ValueError for an e-mail address or a password that cannot be."""
    _check_email(email)
    if len(password) < PASSWORD_LENGTH:
        raise ValueError(f"the password has to have at least {PASSWORD_LENGTH} characters")
    password_hash = _hash_password(password)
    try:
        with transaction() as conn:
            user = queries.create_user(conn, email=email, name=name, password_hash=password_hash)
    except UniqueViolation as error:
        raise EmailTakenError("there is an account with this e-mail address already") from error
    return user


def sign_in(*, email: str, password: str) -> User:
    """The user with this e-mail address, if the password is theirs. The fifth failure in a row locks the account.

    Raises InvalidCredentialsError and AccountLockedError. Not for use inside a transaction: if the exception ended
    that one too, the count of the failure would be lost.
    """
    with transaction() as conn:
        account = queries.get_credentials_by_email(conn, email=email)
    # Slow on purpose, so no connection is held meanwhile.
    matches = _password_matches(password, account)
    user: User | None = None
    with transaction() as conn:
        # Read again: guesses that are made all at once must not get around the lock that the first of them bring.
        account = queries.get_credentials_by_email(conn, email=email)
        locked_until = _lock_of(account)
        if account is not None and locked_until is None:
            if matches and account.is_active:
                user = queries.reset_sign_in(conn, user_id=account.id)
            else:
                queries.record_failed_sign_in(conn, user_id=account.id)
    # Raised only here: an exception that leaves the block rolls it back, and the failure would not be counted.
    if locked_until is not None:
        raise AccountLockedError(locked_until)
    if user is None:
        raise InvalidCredentialsError("the e-mail address or the password is wrong")
    return user


def publish_project(*, project_id: UUID, editor_id: UUID, deployment_url: str) -> Project:
    """Publish a project at a URL, tell its collaborators, and record the event: all of it or nothing.

    Raises NotFoundError, NotAllowedError, and NotPublishableError for one that is published already, or being built.
    """
    with transaction() as conn:
        current = _found(queries.get_project_by_id(conn, project_id=project_id), "project", project_id)
        if not queries.may_edit_project(conn, project_id=project_id, user_id=editor_id):
            raise NotAllowedError(f"user {editor_id} may not edit project {project_id}")
        published = queries.publish_project(conn, project_id=project_id, deployment_url=deployment_url)
        if published is None:
            raise NotPublishableError(f"project {project_id} cannot be published: it is {current.status}")
        details: JsonValue = {"project_id": str(project_id), "deployment_url": deployment_url}
        queries.notify_collaborators(
            conn,
            project_id=project_id,
            notification_type=NotificationType.PROJECT_COMPLETED,
            title=f"{published.name} is published",
            message=f"See it at {deployment_url}",
            data=details,
            channels=["in-app", "email"],
        )
        queries.record_event(
            conn,
            user_id=editor_id,
            session_id=None,
            event_type="project",
            event_name="project_published",
            properties=details,
        )
    return published


def review_template(*, template_id: UUID, user_id: UUID, rating: int, comment: str | None = None) -> Template:
    """Write or replace a user's review, from 1 to 5 stars, and answer the template with its new average.

    Raises NotFoundError, and ValueError for another number of stars.
    """
    if rating not in range(1, 6):
        raise ValueError(f"a rating is 1, 2, 3, 4 or 5 stars, not {rating}")
    with transaction() as conn:
        # Before anything is written: the average of two reviews that are written at once would miss one of them.
        _found(queries.lock_template(conn, template_id=template_id), "template", template_id)
        queries.upsert_review(conn, template_id=template_id, user_id=user_id, rating=rating, comment=comment)
        queries.refresh_template_rating(conn, template_id=template_id)
        return _found(queries.get_template_by_id(conn, template_id=template_id), "template", template_id)


class SessionLog:
    """Collects the log lines of a session while it runs. `context` is what a program can read of a line, as JSON."""

    def __init__(self) -> None:
        self._lines: list[tuple[LogLevel, str, Any, datetime]] = []

    def debug(self, message: str, **context: Any) -> None:
        self._add(LogLevel.DEBUG, message, context)

    def info(self, message: str, **context: Any) -> None:
        self._add(LogLevel.INFO, message, context)

    def warning(self, message: str, **context: Any) -> None:
        self._add(LogLevel.WARN, message, context)

    def error(self, message: str, **context: Any) -> None:
        self._add(LogLevel.ERROR, message, context)

    def store(self, conn: Connection[Any], session_id: UUID) -> None:
        """Append the lines to the log of the session."""
        queries.append_log_lines(
            conn,
            session_id=session_id,
            levels=[level for level, _, _, _ in self._lines],
            messages=[message for _, message, _, _ in self._lines],
            contexts=[context for _, _, context, _ in self._lines],
            logged_ats=[logged_at for _, _, _, logged_at in self._lines],
        )

    def _add(self, level: LogLevel, message: str, context: dict[str, Any]) -> None:
        logged_at = datetime.now(UTC)
        if self._lines:  # the order of the lines is that of their times, so no two may be the same
            logged_at = max(logged_at, self._lines[-1][3] + timedelta(microseconds=1))
        self._lines.append((level, _without_nul(message), _as_json(context) if context else None, logged_at))


@dataclass(frozen=True)
class SessionOutcome:
    """What a session has made, and what that took. `quality_score` is from 0 to 1."""

    output_data: dict[str, Any]
    tokens_used: int | None = None
    cost_usd: Decimal | None = None
    quality_score: float | None = None


def run_session(
    *, user_id: UUID, session_type: str, input_data: dict[str, Any], work: Callable[[SessionLog], SessionOutcome]
) -> Session:
    """Run `work` as a session, and store its log and its outcome. `session_type`: pipeline, analysis, generation.

    No connection is held while `work` runs, so it may take its time. What it raises is stored as the session's
    failure, with the log up to there, and raised. A session that was cancelled meanwhile stays so, and gets its log.
    Raises NotFoundError for one that was deleted meanwhile.

    Not for use inside a transaction: nobody else would see the session before that ends.
    """
    with transaction() as conn:
        session = queries.start_session(
            conn, user_id=user_id, session_type=session_type, input_data=input_data, metadata=None
        )
    log = SessionLog()
    start = perf_counter()
    try:
        outcome = work(log)
        with transaction() as conn:
            log.store(conn, session.id)
            queries.complete_session(
                conn,
                session_id=session.id,
                output_data=outcome.output_data,
                tokens_used=outcome.tokens_used,
                cost_usd=outcome.cost_usd,
                quality_score=outcome.quality_score,
                duration_ms=_milliseconds_since(start),
            )
            ended = queries.get_session_by_id(conn, session_id=session.id)
    except BaseException as error:
        # Of every kind, KeyboardInterrupt too: the session must not seem to run for ever.
        with transaction() as conn:
            log.store(conn, session.id)
            queries.fail_session(
                conn,
                session_id=session.id,
                error_message=_without_nul(str(error)),
                error_code=type(error).__name__,
                duration_ms=_milliseconds_since(start),
            )
        raise
    return _found(ended, "session", session.id)


def _found(row: _T | None, what: str, row_id: UUID) -> _T:
    """What a query has found by an id. Raises NotFoundError where that is nothing."""
    if row is None:
        raise NotFoundError(f"there is no {what} {row_id}")
    return row


def _check_email(email: str) -> None:
    """Only what no address can be: whether it is somebody's, a message to it has to show."""
    local, _, domain = email.partition("@")
    if not local or not domain or "@" in domain or " " in email or not email.isprintable():
        raise ValueError("an e-mail address has one @, something before and after it, and no spaces")


def _lock_of(account: Credentials | None) -> datetime | None:
    """Until when the account is locked; None where it is not, or not any more."""
    until = None if account is None else account.locked_until
    return until if until is not None and until > datetime.now(UTC) else None


def _hash_password(password: str) -> str:
    salt = secrets.token_bytes(_SALT_BYTES)
    key = _scrypt(password, salt, SCRYPT_N, SCRYPT_R, SCRYPT_P)
    return f"scrypt${SCRYPT_N}${SCRYPT_R}${SCRYPT_P}${salt.hex()}${key.hex()}"


def _password_matches(password: str, account: Credentials | None) -> bool:
    if account is None or not account.password_hash.startswith("scrypt$"):
        # Nobody's, or without a password of ours. The time that it takes must not tell these from a wrong password.
        _hash_password(password)
        return False
    _, n, r, p, salt, key = account.password_hash.split("$")
    return hmac.compare_digest(_scrypt(password, bytes.fromhex(salt), int(n), int(r), int(p)), bytes.fromhex(key))


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=_SCRYPT_MEMORY, dklen=_KEY_BYTES)


def _as_json(value: Any) -> Any:
    """A copy that jsonb can hold, as the value is now: what JSON has no form for as text, and no NUL character."""
    text = json.dumps(value, default=str).replace("\\u0000", "\\ufffd")
    return json.loads(text, parse_constant=str)


def _without_nul(text: str) -> str:
    """PostgreSQL's text cannot hold that one character, and a log line must not fail for it."""
    return text.replace("\0", "\ufffd")


def _milliseconds_since(start: float) -> int:
    return round((perf_counter() - start) * 1000)

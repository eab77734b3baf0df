"""The use cases of the platform, one function each, on rowsmith's default database.

PostgreSQL's errors (a user id that does not exist, a server that is down) are raised as psycopg's exceptions.
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
"""The minimum length of a password, in characters."""

# OWASP, Password Storage Cheat Sheet, scrypt: N=2^14 (16 MiB), r=8, p=5.
SCRYPT_N, SCRYPT_R, SCRYPT_P = 2**14, 8, 5
_SCRYPT_MEMORY, _SALT_BYTES, _KEY_BYTES = 64 * 1024 * 1024, 16, 32


class ServiceError(Exception):
    """The base class of the errors that services raise."""


class EmailTakenError(ServiceError):
    """Another account has this e-mail address, in upper or lower case."""


class InvalidCredentialsError(ServiceError):
    """No active account has this e-mail address and this password. The message does not say which one is wrong."""


class AccountLockedError(ServiceError):
    """Too many sign-ins have failed. No password is accepted before `until`."""

    def __init__(self, until: datetime) -> None:
        super().__init__(f"the account is locked until {until:%Y-%m-%d %H:%M:%S %Z}")
        self.until = until


class NotAllowedError(ServiceError):
    """The user may not do this."""


class NotFoundError(ServiceError):
    """There is no row with this id."""


class NotPublishableError(ServiceError):
    """The status of the project does not allow publishing."""


def sign_up(*, email: str, password: str, name: str | None = None) -> User:
    """Create an account. Raises EmailTakenError, and ValueError for an invalid e-mail address or a short password."""
    _check_email(email)
    if len(password) < PASSWORD_LENGTH:
        raise ValueError(f"the password must have at least {PASSWORD_LENGTH} characters")
    password_hash = _hash_password(password)
    try:
        with transaction() as conn:
            user = queries.create_user(conn, email=email, name=name, password_hash=password_hash)
    except UniqueViolation as error:
        raise EmailTakenError("an account with this e-mail address already exists") from error
    return user


def sign_in(*, email: str, password: str) -> User:
    """Return the user with this e-mail address and password. The fifth consecutive failure locks the account.

    Raises InvalidCredentialsError and AccountLockedError. Do not call it inside a transaction: if the exception rolled
    back that one, the failure would not be counted.
    """
    with transaction() as conn:
        account = queries.get_credentials_by_email(conn, email=email)
    # Hashing is slow on purpose, so no connection is held meanwhile.
    matches = _password_matches(password, account)
    user: User | None = None
    with transaction() as conn:
        # Read it again: of many concurrent guesses, the first ones may have locked the account meanwhile.
        account = queries.get_credentials_by_email(conn, email=email)
        locked_until = _lock_of(account)
        if account is not None and locked_until is None:
            if matches and account.is_active:
                user = queries.reset_sign_in(conn, user_id=account.id)
            else:
                queries.record_failed_sign_in(conn, user_id=account.id)
    # Raised after the block: an exception inside it would roll back the count of the failure.
    if locked_until is not None:
        raise AccountLockedError(locked_until)
    if user is None:
        raise InvalidCredentialsError("the e-mail address or the password is wrong")
    return user


def publish_project(*, project_id: UUID, editor_id: UUID, deployment_url: str) -> Project:
    """Publish a project at a URL, notify its collaborators, and record the event, all in one transaction.

    Raises NotFoundError, NotAllowedError, and NotPublishableError if the project is being built or already published.
    """
    with transaction() as conn:
        current = _found(queries.get_project_by_id(conn, project_id=project_id), "project", project_id)
        if not queries.may_edit_project(conn, project_id=project_id, user_id=editor_id):
            raise NotAllowedError(f"user {editor_id} may not edit project {project_id}")
        published = queries.publish_project(conn, project_id=project_id, deployment_url=deployment_url)
        if published is None:
            raise NotPublishableError(f"project {project_id} cannot be published: its status is {current.status}")
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
    """Write or replace a user's review, from 1 to 5 stars. Returns the template with its new average rating.

    Raises NotFoundError, and ValueError for any other number of stars.
    """
    if rating not in range(1, 6):
        raise ValueError(f"the rating must be 1, 2, 3, 4 or 5 stars, not {rating}")
    with transaction() as conn:
        # Lock it first: with two concurrent reviews, the average would otherwise miss one of them.
        _found(queries.lock_template(conn, template_id=template_id), "template", template_id)
        queries.upsert_review(conn, template_id=template_id, user_id=user_id, rating=rating, comment=comment)
        queries.refresh_template_rating(conn, template_id=template_id)
        return _found(queries.get_template_by_id(conn, template_id=template_id), "template", template_id)


class SessionLog:
    """Collects the log lines of a session while it runs. `context` is the machine-readable part, stored as JSON."""

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
        """Store the collected lines in the log of the session."""
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
        if self._lines:  # lines are sorted by time, so no two may have the same time
            logged_at = max(logged_at, self._lines[-1][3] + timedelta(microseconds=1))
        self._lines.append((level, _without_nul(message), _as_json(context) if context else None, logged_at))


@dataclass(frozen=True)
class SessionOutcome:
    """The result of a session, and its cost. `quality_score` is from 0 to 1."""

    output_data: dict[str, Any]
    tokens_used: int | None = None
    cost_usd: Decimal | None = None
    quality_score: float | None = None


def run_session(
    *, user_id: UUID, session_type: str, input_data: dict[str, Any], work: Callable[[SessionLog], SessionOutcome]
) -> Session:
    """Run `work` as a session, and store its log and its outcome. `session_type` is pipeline, analysis or generation.

    No connection is held while `work` runs, so it may be slow. If it raises an exception, the session is stored as
    failed, with its log so far, and the exception is raised again. A session that was cancelled meanwhile stays
    cancelled, and its log is stored. Raises NotFoundError if the session was deleted meanwhile.

    Do not call it inside a transaction: others would not see the session until the transaction ends.
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
        # KeyboardInterrupt as well: otherwise the session would look as if it still ran.
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
    """The row that was found by an id. Raises NotFoundError if it is None."""
    if row is None:
        raise NotFoundError(f"there is no {what} {row_id}")
    return row


def _check_email(email: str) -> None:
    """Reject what cannot be an address. Whether it exists can only be found out by sending a message to it."""
    local, _, domain = email.partition("@")
    if not local or not domain or "@" in domain or " " in email or not email.isprintable():
        raise ValueError("an e-mail address has one @, something before and after it, and no spaces")


def _lock_of(account: Credentials | None) -> datetime | None:
    """Until when the account is locked; None if it is not locked."""
    until = None if account is None else account.locked_until
    return until if until is not None and until > datetime.now(UTC) else None


def _hash_password(password: str) -> str:
    salt = secrets.token_bytes(_SALT_BYTES)
    key = _scrypt(password, salt, SCRYPT_N, SCRYPT_R, SCRYPT_P)
    return f"scrypt${SCRYPT_N}${SCRYPT_R}${SCRYPT_P}${salt.hex()}${key.hex()}"


def _password_matches(password: str, account: Credentials | None) -> bool:
    if account is None or not account.password_hash.startswith("scrypt$"):
        # No such account, or one without a password of ours. It must take as long as checking a wrong password.
        _hash_password(password)
        return False
    _, n, r, p, salt, key = account.password_hash.split("$")
    return hmac.compare_digest(_scrypt(password, bytes.fromhex(salt), int(n), int(r), int(p)), bytes.fromhex(key))


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=_SCRYPT_MEMORY, dklen=_KEY_BYTES)


def _as_json(value: Any) -> Any:
    """A copy of the value for jsonb. What JSON cannot represent becomes text, and NUL characters are replaced."""
    text = json.dumps(value, default=str).replace("\\u0000", "\\ufffd")
    return json.loads(text, parse_constant=str)


def _without_nul(text: str) -> str:
    """Replace NUL, which PostgreSQL's text type cannot store."""
    return text.replace("\0", "\ufffd")


def _milliseconds_since(start: float) -> int:
    return round((perf_counter() - start) * 1000)

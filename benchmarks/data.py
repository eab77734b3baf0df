"""The data: 100,000 users and 10,000 events, the same in every run, and row classes for hand-written code."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

from pydantic import BaseModel

USERS = 100_000
EVENTS = 10_000
STREAMED = 10 * USERS
"""The number of rows that `list_users_tenfold` returns."""
PARENTS, KEYS = 200, 10
"""The users who have API keys, and how many each has."""
PASSWORD_HASH = "x" * 60
"""As long as a bcrypt hash."""
_FIRST_MOMENT = datetime(2020, 1, 1, tzinfo=UTC)
_LANGUAGES = ("en", "de", "fr")


@dataclass(slots=True)
class User:
    """A row class as in hand-written code. Not frozen, because that makes a dataclass's `__init__` 50 % slower."""

    id: UUID
    email: str
    name: str | None
    language: str
    email_verified: bool
    is_active: bool
    created_at: datetime


@dataclass(slots=True)
class Key:
    """An API key of a user."""

    id: UUID
    name: str
    rate_limit: int
    created_at: datetime


@dataclass(slots=True)
class Parent:
    """A user with their API keys."""

    id: UUID
    email: str
    name: str | None
    created_at: datetime
    keys: list[Key]


class KeyModel(BaseModel):
    """The same as a pydantic model."""

    id: UUID
    name: str
    rate_limit: int
    created_at: datetime


class ParentModel(BaseModel):
    """The same as a pydantic model."""

    id: UUID
    email: str
    name: str | None
    created_at: datetime
    keys: list[KeyModel]


class UserModel(BaseModel):
    """The same as a pydantic model."""

    id: UUID
    email: str
    name: str | None
    language: str
    email_verified: bool
    is_active: bool
    created_at: datetime


class Event(NamedTuple):
    """A row of the bulk insert."""

    user_id: UUID
    event_type: str
    event_name: str
    occurred_at: datetime


Row: TypeAlias = tuple[Any, ...]
"""The values of USER_FIELDS."""
USER_FIELDS = ("id", "email", "name", "language", "email_verified", "is_active", "created_at")
KEY_FIELDS = ("id", "name", "rate_limit", "created_at")
EVENT_FIELDS = ("user_id", "event_type", "event_name", "occurred_at")
EVENT_TYPES = ("uuid", "text", "text", "timestamptz")
"""The PostgreSQL types of an Event's columns."""


def key(number: int) -> UUID:
    """The id of the n-th user, from 1. Ids ascend with the numbers."""
    return UUID(int=number)


def user(number: int) -> Row:
    """The values of the n-th user, from 1."""
    return (
        key(number),
        f"user{number}@example.com",
        None if number % 10 == 0 else f"User {number}",
        _LANGUAGES[number % len(_LANGUAGES)],
        number % 2 == 0,
        number % 5 != 0,
        _FIRST_MOMENT + timedelta(minutes=number, microseconds=number),
    )


@cache
def users(most: int = USERS) -> list[Row]:
    """The first `most` users, by key."""
    return [user(number) for number in range(1, most + 1)]


def api_key(parent: int, number: int) -> Row:
    """The values of the n-th API key of a user, both from 1: KEY_FIELDS."""
    place = parent * KEYS + number
    return key(place), f"Key {number}", 1000 + number, _FIRST_MOMENT + timedelta(seconds=place)


def api_keys(parent: int) -> list[Row]:
    """The API keys of a user, by key."""
    return [api_key(parent, number) for number in range(1, KEYS + 1)]


def events() -> list[Event]:
    """The events of the bulk insert."""
    return [
        Event(key(number), "page_view", f"Page {number % 100}", _FIRST_MOMENT + timedelta(seconds=number))
        for number in range(1, EVENTS + 1)
    ]

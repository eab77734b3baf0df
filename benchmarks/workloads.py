"""The workloads: the operation, the size of a batch, and the check of the result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from operator import attrgetter
from random import Random
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from benchmarks import data
from benchmarks.contenders.contender import Contender

Connection = psycopg.Connection[TupleRow]
Method = Callable[..., Any]


class DifferenceError(Exception):
    """A contender returned or stored something else than the others."""


@dataclass(frozen=True)
class Workload:
    """One kind of work."""

    name: str
    title: str
    method: Callable[[Contender], Method]
    arguments: Callable[[Random], tuple[Any, ...]]
    """Makes the arguments of one operation."""
    check: Callable[[Connection, Contender, Any, tuple[Any, ...]], None]
    """Raises DifferenceError if the result for these arguments is wrong."""
    batch: int
    """The number of operations that are measured together, so that they take some milliseconds."""
    seconds: float
    """How long it is measured in a full run."""
    cleanup: str | None = None
    """The statement that deletes what the operations wrote."""


def _any_key(random: Random) -> tuple[Any, ...]:
    return (data.key(random.randint(1, data.USERS)),)


def _first(most: int) -> Callable[[Random], tuple[Any, ...]]:
    return lambda _random: (most,)


def _new_user(_random: Random) -> tuple[Any, ...]:
    number = next(_new_users)
    return f"new{number}@example.com", f"New {number}"


_new_users: Iterator[int] = count(1)


def _is_user(_conn: Connection, contender: Contender, result: Any, arguments: tuple[Any, ...]) -> None:
    _compare(contender, contender.users(result), [data.user(arguments[0].int)])


def _are_first_users(_conn: Connection, contender: Contender, result: Any, arguments: tuple[Any, ...]) -> None:
    _compare(contender, contender.users(result), data.users(arguments[0]))


def _is_new_user(conn: Connection, contender: Contender, result: Any, arguments: tuple[Any, ...]) -> None:
    stored = conn.execute(
        "SELECT id, email, name, language, email_verified, is_active, created_at FROM users WHERE email = %s",
        arguments[:1],
    ).fetchall()
    _compare(contender, contender.users(result), stored)
    ((_, _, name, _, _, _, created_at),) = stored
    if name != arguments[1] or not timedelta() <= datetime.now(UTC) - created_at < timedelta(minutes=1):
        raise DifferenceError(f"{contender.name} stored {stored} for {arguments}")


def _is_user_twice_and_an_event(
    conn: Connection, contender: Contender, result: Any, arguments: tuple[Any, ...]
) -> None:
    _compare(contender, contender.users(result), [data.user(arguments[0].int)] * 2)
    events = conn.execute("SELECT user_id, event_type, event_name FROM analytics_events").fetchall()
    if events != [(arguments[0], "page_view", "Page 1")]:
        raise DifferenceError(f"{contender.name} recorded {events} for {arguments}")


def _is_user_thrice(_conn: Connection, contender: Contender, result: Any, arguments: tuple[Any, ...]) -> None:
    _compare(contender, contender.users(result), [data.user(arguments[0].int)] * 3)


def _are_parents(_conn: Connection, contender: Contender, result: Any, arguments: tuple[Any, ...]) -> None:
    """The values of parents and children, and their types."""
    of_key, of_parent = attrgetter(*data.KEY_FIELDS), attrgetter("id", "email", "name", "created_at")
    found = [(*of_parent(row), [of_key(key) for key in row.keys]) for row in result]
    users = data.users(arguments[0])
    expected = [(*user[:3], user[6], data.api_keys(number)) for number, user in enumerate(users, 1)]
    if found != expected or not all(isinstance(key.created_at, datetime) for row in result for key in row.keys):
        raise DifferenceError(f"{contender.name} returned {found[:1]}, expected {expected[:1]}")


def _are_stored_events(conn: Connection, contender: Contender, _result: Any, _arguments: tuple[Any, ...]) -> None:
    stored = conn.execute(
        "SELECT user_id, event_type, event_name, occurred_at FROM analytics_events ORDER BY occurred_at"
    ).fetchall()
    if stored != data.events():
        raise DifferenceError(f"{contender.name} stored {len(stored)} events, expected the {data.EVENTS} given ones")


def _compare(contender: Contender, found: list[data.Row], expected: list[data.Row]) -> None:
    """Compare values and types field by field. A subclass is accepted, such as asyncpg's UUID."""
    if len(found) != len(expected):
        raise DifferenceError(f"{contender.name} returned {len(found)} rows, expected {len(expected)}")
    kinds = {(tuple(map(type, one)), tuple(map(type, other))) for one, other in zip(found, expected, strict=True)}
    if found == expected and all(issubclass(*pair) for kind in kinds for pair in zip(*kind, strict=True)):
        return
    for row, other in zip(found, expected, strict=True):
        for field, value, right in zip(data.USER_FIELDS, row, other, strict=True):
            if value != right or not isinstance(value, type(right)):
                raise DifferenceError(f"{contender.name} returned {value!r} for {field}, expected {right!r}")


_LOOK_UP, _READ = attrgetter("look_up"), attrgetter("read")
_FORGET_USERS = "DELETE FROM users WHERE password_hash = repeat('x', 60) AND email LIKE 'new%'"
_FORGET_EVENTS = "TRUNCATE analytics_events"

WORKLOADS = (
    Workload("lookup", "Point lookup by key", _LOOK_UP, _any_key, _is_user, 50, 45),
    Workload("read-10", "Reading 10 rows", _READ, _first(10), _are_first_users, 50, 15),
    Workload("read-1000", "Reading 1,000 rows", _READ, _first(1_000), _are_first_users, 3, 35),
    Workload("read-100000", "Reading 100,000 rows", _READ, _first(100_000), _are_first_users, 1, 40),
    Workload("nested", "200 rows with 10 rows each", attrgetter("nest"), _first(data.PARENTS), _are_parents, 3, 25),
    Workload(
        "insert", "INSERT ... RETURNING", attrgetter("create"), _new_user, _is_new_user, 30, 15, cleanup=_FORGET_USERS
    ),
    Workload(
        "transaction",
        "Transaction of three statements",
        attrgetter("transact"),
        _any_key,
        _is_user_twice_and_an_event,
        20,
        25,
        cleanup=_FORGET_EVENTS,
    ),
    Workload(
        "transaction-reads",
        "Transaction of three reads",
        attrgetter("read_thrice"),
        _any_key,
        _is_user_thrice,
        20,
        25,
    ),
    Workload(
        "bulk",
        "Bulk insert of 10,000 rows",
        attrgetter("load"),
        lambda _random: (),
        _are_stored_events,
        1,
        25,
        cleanup=_FORGET_EVENTS,
    ),
)

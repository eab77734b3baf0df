"""The statements of `sql/` as text, with `$1` or `%s`, for contenders that do not read query files."""

from __future__ import annotations

from typing import Any

from benchmarks.dataclass_queries import queries

_NAMES = (
    "get_user",
    "list_users",
    "create_user",
    "record_event",
    "record_events",
    "list_users_tenfold",
    "list_users_with_keys",
    "list_parents",
    "list_keys_of",
)


def _text(name: str) -> str:
    query: Any = getattr(queries, name)
    return str(query.sql)


def percent(statement: str) -> str:
    """The statement with `%s` for each parameter. Each parameter must occur once, in the order of the numbers."""
    for number in range(9, 0, -1):
        statement = statement.replace(f"${number}", "%s")
    return statement


STATEMENTS = {name: _text(name) for name in _NAMES}
"""By the name of the query."""
EVENTS_COPY = b"COPY analytics_events (user_id, event_type, event_name, occurred_at) FROM STDIN"

"""rowsmith: plain SQL files as typed functions over pooled psycopg connections."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rowsmith import errors
from rowsmith.database import Database, check_health, connection, transaction
from rowsmith.pool.health import HealthCheck
from rowsmith.queries.forms import NOT_GIVEN, NotGiven
from rowsmith.queries.namespace import load_queries, load_queries_from_text
from rowsmith.wire.deadlines import deadline

if TYPE_CHECKING:
    from rowsmith.copy.call import copy_rows
    from rowsmith.queries.page_tokens import sign_pages
    from rowsmith.queries.pages import Page
    from rowsmith.settings import Settings
else:
    # Slow to import, and not needed by every program.
    _LAZY = {
        "Page": "rowsmith.queries.pages",
        "Settings": "rowsmith.settings",
        "copy_rows": "rowsmith.copy.call",
        "sign_pages": "rowsmith.queries.page_tokens",
    }

    def __getattr__(name: str) -> Any:
        if name not in _LAZY:
            ours = {"from_path": "load_queries(path)", "from_str": "load_queries_from_text(text)"}.get(
                name
            )  # of aiosql
            hint = f". Write {ours}" if ours else ""
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")
        value = globals()[name] = getattr(import_module(_LAZY[name]), name)
        return value


__all__ = [
    "NOT_GIVEN",
    "Database",
    "HealthCheck",
    "NotGiven",
    "Page",
    "Settings",
    "check_health",
    "connection",
    "copy_rows",
    "deadline",
    "errors",
    "load_queries",
    "load_queries_from_text",
    "sign_pages",
    "transaction",
]

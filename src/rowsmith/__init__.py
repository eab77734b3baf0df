"""rowsmith: plain SQL files as typed functions over pooled psycopg connections."""

from rowsmith import errors
from rowsmith.copy.call import copy_rows
from rowsmith.database import Database, check_health, connection, transaction
from rowsmith.pool.health import HealthCheck
from rowsmith.queries.namespace import load_queries
from rowsmith.settings import Settings
from rowsmith.wire.deadlines import deadline

__all__ = [
    "Database",
    "HealthCheck",
    "Settings",
    "check_health",
    "connection",
    "copy_rows",
    "deadline",
    "errors",
    "load_queries",
    "transaction",
]

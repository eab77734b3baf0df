"""rowsmith: plain SQL files as typed functions over pooled psycopg connections."""

from rowsmith import errors
from rowsmith.copies.call import copy_rows
from rowsmith.database import Database, check_health, connection, transaction
from rowsmith.deadlines import deadline
from rowsmith.health import HealthCheck
from rowsmith.queries.namespace import load_queries
from rowsmith.settings import Settings

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

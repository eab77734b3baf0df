"""The application's queries, from `sql/`: `queries.get_user_by_email(conn, email=...)`."""

from pathlib import Path

from blueprint import models
from rowsmith import load_queries

queries = load_queries(Path(__file__).parents[2] / "sql", record_classes=vars(models))

"""The search: eight filters, of which none, three or all are given, on a table of a million rows.

Each way of writing it does the same calls on a connection of its own. The server's time is the CPU time of the
connection's server process, which Linux counts in /proc.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from time import perf_counter, process_time
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import class_row
from sqlalchemy import Boolean, Column, DateTime, Integer, MetaData, Table, Text, create_engine, select

from benchmarks.contenders.contender import POOL
from benchmarks.figures import Outcome
from benchmarks.targets import BY_HAND, OPTIONAL_LINES
from benchmarks.workloads import DifferenceError
from rowsmith import load_queries

_ROWS, _USERS, _BATCH = 1_000_000, 20_000, 20
_GENERIC = "rowsmith, one statement, its generic plan"
"""As the server plans it for any filters (`plan_cache_mode`); by default it plans this statement for each call."""
_NEW_YEAR = datetime(2025, 1, 1, tzinfo=UTC)
_TABLE = """
CREATE TABLE search_rows AS
SELECT n AS id, n % 20000 AS user_id, (ARRAY['view', 'click', 'buy', 'share'])[n % 4 + 1] AS kind,
       (ARRAY['new', 'open', 'done'])[n % 3 + 1] AS status,
       (ARRAY['de', 'fr', 'at', 'ch', 'it'])[n % 5 + 1] AS country,
       n % 100 AS score, n % 2 = 0 AS flagged, timestamptz '2025-01-01Z' + n * interval '30 s' AS created_at
FROM generate_series(1, 1000000) AS n;
ALTER TABLE search_rows ADD PRIMARY KEY (id);
CREATE INDEX ON search_rows (user_id);
CREATE INDEX ON search_rows (created_at);
VACUUM ANALYZE search_rows;
"""

Filters = Mapping[str, Any]
Search = Callable[[int, Filters], list[Any]]
"""Finds rows by filters, of which so many are given."""


@dataclass(frozen=True, slots=True)
class Found:
    """A row."""

    id: int
    user_id: int
    kind: str
    status: str
    country: str
    score: int
    created_at: datetime


def _filters(number: int, random: Random) -> Filters:
    """So many filters, which some rows of one user meet."""
    row = random.randint(1, _ROWS)
    every = {
        "user_id": row % _USERS,
        "kind": ("view", "click", "buy", "share")[row % 4],
        "since": _NEW_YEAR + timedelta(seconds=30 * row, days=-1),
        "status": ("new", "open", "done")[row % 3],
        "country": ("de", "fr", "at", "ch", "it")[row % 5],
        "least": 0,
        "before": _NEW_YEAR + timedelta(seconds=30 * row, days=1),
        "flagged": row % 2 == 0,
    }
    return dict(list(every.items())[:number])


# --- the ways of writing it ---


def _rowsmith(conn: psycopg.Connection[Any]) -> Mapping[str, Search]:
    queries = load_queries(Path(__file__).parent / "search.sql", record_classes={"Found": Found})
    by_hand = {0: queries.by_hand_0, 3: queries.by_hand_3, 8: queries.by_hand_8}
    absent = dict.fromkeys(_filters(8, Random(0)))  # noqa: S311 - the names
    return {
        OPTIONAL_LINES: lambda _number, filters: queries.search(conn, **filters),
        BY_HAND: lambda number, filters: by_hand[number](conn, **filters),
        "rowsmith, one statement": lambda _number, filters: queries.one_statement(conn, **{**absent, **filters}),
    }


_CONDITIONS = {
    "user_id": sql.SQL("user_id = %(user_id)s"),
    "kind": sql.SQL("kind = %(kind)s"),
    "status": sql.SQL("status = %(status)s"),
    "country": sql.SQL("country = %(country)s"),
    "least": sql.SQL("score >= %(least)s"),
    "since": sql.SQL("created_at >= %(since)s"),
    "before": sql.SQL("created_at < %(before)s"),
    "flagged": sql.SQL("flagged = %(flagged)s"),
}
_SELECT = sql.SQL("SELECT id, user_id, kind, status, country, score, created_at FROM search_rows")
_END = sql.SQL(" ORDER BY id LIMIT 20")


def _psycopg(conn: psycopg.Connection[Any]) -> Search:
    def search(_number: int, filters: Filters) -> list[Found]:
        where = sql.SQL(" AND ").join([_CONDITIONS[name] for name in filters])
        query = sql.Composed([_SELECT, sql.SQL(" WHERE "), where, _END]) if filters else _SELECT + _END
        with conn.cursor(binary=True, row_factory=class_row(Found)) as cursor:
            return cursor.execute(query, filters, prepare=True).fetchall()

    return search


_rows = Table(
    "search_rows",
    MetaData(),
    Column("id", Integer, primary_key=True),
    *(Column("user_id", Integer), Column("kind", Text), Column("status", Text), Column("country", Text)),
    *(Column("score", Integer), Column("created_at", DateTime(timezone=True)), Column("flagged", Boolean)),
)
_SHOWN = [column for column in _rows.c if column.name != "flagged"]
_WHERE: Mapping[str, Callable[[Any], Any]] = {
    "least": lambda value: _rows.c.score >= value,
    "since": lambda value: _rows.c.created_at >= value,
    "before": lambda value: _rows.c.created_at < value,
    **{name: (lambda value, name=name: _rows.c[name] == value) for name in ("user_id", "kind", "status", "country")},
    "flagged": lambda value: _rows.c.flagged == value,
}


@contextmanager
def _sqlalchemy(url: str) -> Generator[tuple[Search, int]]:
    engine = create_engine(
        url.replace("postgresql://", "postgresql+psycopg://"),
        connect_args={"prepare_threshold": 0},
        pool_size=POOL,
        isolation_level="AUTOCOMMIT",
    )
    with engine.connect() as conn:

        def search(_number: int, filters: Filters) -> list[Any]:
            query = select(*_SHOWN).order_by(_rows.c.id).limit(20)
            for name, value in filters.items():
                query = query.where(_WHERE[name](value))
            return list(conn.execute(query).all())

        process = conn.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        yield search, process
    engine.dispose()


# --- the measurement ---


def measure(url: str, number: int, seconds: float, progress: Callable[[float], None]) -> Outcome:
    """Measure the search with so many filters, in rounds, for this number of seconds, at least two rounds."""
    outcome = Outcome()
    with ExitStack() as stack:
        conn = stack.enter_context(psycopg.connect(url, autocommit=True))
        if conn.execute("SELECT to_regclass('search_rows') IS NULL").fetchone() == (True,):
            for statement in filter(None, map(str.strip, _TABLE.split(";"))):
                conn.execute(statement.encode())
        searches: dict[str, tuple[Search, int]] = {}
        for name in _rowsmith(conn):
            own = stack.enter_context(psycopg.connect(url, autocommit=True))
            searches[name] = _rowsmith(own)[name], own.info.backend_pid
        own = stack.enter_context(psycopg.connect(url, autocommit=True))
        own.execute("SET plan_cache_mode = force_generic_plan")
        searches[_GENERIC] = _rowsmith(own)["rowsmith, one statement"], own.info.backend_pid
        own = stack.enter_context(psycopg.connect(url, autocommit=True))
        searches["psycopg, psycopg.sql"] = _psycopg(own), own.info.backend_pid
        searches["SQLAlchemy Core"] = stack.enter_context(_sqlalchemy(url))
        _compare(searches, number)
        random, began, rounds = Random(0), perf_counter(), 0  # noqa: S311 - the same order in every run
        names = list(searches)
        while rounds < 2 or perf_counter() - began < seconds:  # noqa: PLR2004 - a spread takes two
            filters = [_filters(number, random) for _ in range(_BATCH)]
            random.shuffle(names)
            for name in names:
                outcome.add(name, _batch(*searches[name], number, filters[:1] if name == _GENERIC else filters))
            rounds += 1
            progress(min(1.0, (perf_counter() - began) / seconds))
    outcome.rounds = {name: outcome.rounds[name] for name in searches}
    return outcome


def _compare(searches: Mapping[str, tuple[Search, int]], number: int) -> None:
    """Raise DifferenceError unless all find the same. The server then has settled on a plan for each statement."""
    random = Random(1)  # noqa: S311 - any filters will do
    for _ in range(10):
        filters = _filters(number, random)
        expected, *others = [
            [astuple(row) if isinstance(row, Found) else tuple(row) for row in search(number, filters)]
            for search, _ in searches.values()
        ]
        if not expected or any(each != expected for each in others):
            raise DifferenceError(f"the searches by {filters} found different rows, or none")


def _batch(search: Search, process: int, number: int, filters: list[Filters]) -> dict[str, float]:
    """The client's `cpu`, the `server`'s, and `wall` of one search, in seconds."""
    search(number, filters[0])
    gc.collect()
    server, wall, cpu = _server_seconds(process), perf_counter(), process_time()
    for each in filters:
        search(number, each)
    cpu, wall = process_time() - cpu, perf_counter() - wall
    server = _server_seconds(process) - server
    return {"cpu": cpu / len(filters), "server": server / len(filters), "wall": wall / len(filters)}


def _server_seconds(process: int) -> float:
    """The CPU time of a process (https://docs.kernel.org/scheduler/sched-stats.html); 0 where there is no /proc."""
    file = Path(f"/proc/{process}/schedstat")
    return int(file.read_text().split()[0]) / 1e9 if file.exists() else 0.0

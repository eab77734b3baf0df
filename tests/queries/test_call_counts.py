"""What a query costs, in numbers that are the same on every machine: calls of functions, and round trips to the server.

A call is one of a function, of Python's or C's, that this library makes or receives, as the interpreter reports it to a
profiler; what psycopg and asyncio do among themselves is not counted. Each figure is the least of several runs, since a
thread or an event loop may have something else to do in one of them. Round trips are counted in libpq's own trace of
the protocol.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Generator
from contextlib import closing, contextmanager
from contextvars import Context
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import Any

import psycopg
import pytest
from psycopg.pq import Trace
from psycopg.pq.abc import PGconn
from psycopg.types.string import TextLoader
from pydantic import BaseModel

import rowsmith
from rowsmith import Database, load_queries
from rowsmith.queries.typed import typed_queries
from tests.harness.databases import settings_for

SQL = """
-- name: get(id)^
SELECT id, label, price FROM (VALUES (1, 'a'::text, 1.5::float8)) AS item (id, label, price) WHERE id = :id::int;

-- name: read_only(id)^
SELECT id, label, price FROM (VALUES (1, 'a'::text, 1.5::float8)) AS item (id, label, price) WHERE id = :id::int;

-- name: list_all(n)
SELECT i AS id, 'x' || i AS label, 1.5::float8 AS price FROM generate_series(1, :n::int) AS i;

-- name: value(v)$
SELECT :v::text;

-- name: affect()!
SET work_mem = '4MB';

-- name: untyped(v)$
SELECT :v IS NULL;
"""

BOUNDS = {
    "a point lookup, sync, dataclass": 19,
    "a point lookup, sync, pydantic": 21,
    "a point lookup, async, dataclass": 30,
    "a point lookup, async, pydantic": 32,
    "a row of many, dataclass": 1,
    "a row of many, pydantic": 3,
    "a transaction of three lookups, sync": 185,
    "a transaction of three lookups, async": 240,
    "a connection taken and given back, sync": 53,
    "a connection taken and given back, async": 58,
}
"""The most calls that each may take."""
ROUNDS = 7


@dataclass(frozen=True, slots=True)
class Item:
    id: int
    label: str
    price: float


class ItemModel(BaseModel, frozen=True):
    id: int
    label: str
    price: float


@pytest.fixture(params=[Item, ItemModel], ids=["dataclass", "pydantic"])
def row(request: pytest.FixtureRequest) -> type[Any]:
    """The class of the rows."""
    kind: type[Any] = request.param
    return kind


@pytest.fixture
def queries(row: type[Any], tmp_path: Path) -> Any:
    """Queries as a generated module has them."""
    (tmp_path / "counted.sql").write_text(SQL)
    one: Any = row
    declared = declaring(
        get={"id": int, "return": one | None},
        read_only={"id": int, "return": one | None},
        list_all={"n": int, "return": list[one]},
        value={"v": str, "return": str | None},
        affect={"return": int},
        untyped={"v": str, "return": bool | None},
    )
    declared.read_only.writes = False  # as the decorators of a generated module say it
    for each in ("get", "list_all", "value"):
        getattr(declared, each).writes = "rows"
    return typed_queries(declared, __file__, {"": str(tmp_path)})


def declaring(**queries: dict[str, Any]) -> type[Any]:
    """The class of a generated module that declares queries with these annotations."""

    def declare(annotations: dict[str, Any]) -> Callable[[object], None]:
        def function(_self: object) -> None: ...

        function.__annotations__ = annotations
        return function

    return type("Queries", (), {name: declare(annotations) for name, annotations in queries.items()})


@pytest.fixture
def quiet() -> Generator[None]:
    """As in production: no query is logged."""
    logger = logging.getLogger("rowsmith")
    level = logger.level
    logger.setLevel(logging.ERROR)  # which also makes the loggers below it forget what they found before
    yield
    logger.setLevel(level)


def kind_of(row: type[Any]) -> str:
    """What the bounds call the kind of a row class."""
    return "pydantic" if issubclass(row, BaseModel) else "dataclass"


# --- calls ---

_OURS = (str(Path(rowsmith.__file__).parent), "<a row constructor of rowsmith>")


def is_ours(frame: FrameType | None) -> bool:
    """Whether a function is of this library; a query's is said to be in its file."""
    return frame is not None and (
        frame.f_code.co_filename.startswith(_OURS) or frame.f_code.co_filename.endswith(".sql")
    )


@contextmanager
def counted() -> Generator[Counter[str]]:
    """The calls in a block, by the name of what is called."""
    calls: Counter[str] = Counter()

    def count(frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call" and is_ours(frame):
            calls[argument.__qualname__] += 1
        elif event == "call" and (is_ours(frame) or is_ours(frame.f_back)):
            calls[frame.f_code.co_qualname] += 1

    sys.setprofile(count)
    try:
        yield calls
    finally:
        sys.setprofile(None)


def total(calls: Counter[str]) -> int:
    """How many calls there are."""
    return calls.total()


def fewest(work: Callable[[], object]) -> Counter[str]:
    """The calls of the work, in the run that has the fewest."""

    def rounds() -> list[Counter[str]]:
        work()
        work()
        found: list[Counter[str]] = []
        for _ in range(ROUNDS):
            with counted() as calls:
                work()
            found.append(calls)
        return found

    return min(Context().run(rounds), key=total)  # a context in which no other test has left a block open


async def afewest(work: Callable[[], Awaitable[object]]) -> Counter[str]:
    """As `fewest`."""
    await work()
    await work()
    found: list[Counter[str]] = []
    for _ in range(ROUNDS):
        with counted() as calls:
            await work()
        found.append(calls)
    return min(found, key=total)


def check(what: str, calls: Counter[str]) -> None:
    """That there are no more calls than there may be."""
    bound, names = BOUNDS[what], ", ".join(f"{number} {name}" for name, number in sorted(calls.items()))
    assert calls.total() <= bound, (
        f"{what}: {calls.total()} calls, and {bound} at most were meant. Take out what is new, or, where it is worth "
        f"its time on every query, raise BOUNDS and say why in the commit. The calls: {names}"
    )


@pytest.mark.usefixtures("quiet")
def test_a_point_lookup_makes_few_calls(worker_database_url: str, queries: Any, row: type[Any]) -> None:
    with psycopg.connect(worker_database_url, autocommit=True) as conn:
        check(f"a point lookup, sync, {kind_of(row)}", fewest(lambda: queries.get(conn, id=1)))

    async def main() -> Counter[str]:
        async with await psycopg.AsyncConnection.connect(worker_database_url, autocommit=True) as conn:
            return await afewest(lambda: queries.get(conn, id=1))

    check(f"a point lookup, async, {kind_of(row)}", Context().run(asyncio.run, main()))


@pytest.mark.usefixtures("quiet")
def test_a_row_makes_hardly_any_calls(worker_database_url: str, queries: Any, row: type[Any]) -> None:
    with psycopg.connect(worker_database_url, autocommit=True) as conn:
        few, many = fewest(lambda: queries.list_all(conn, n=10)), fewest(lambda: queries.list_all(conn, n=1010))
    check(f"a row of many, {kind_of(row)}", Counter({name: (many[name] - few[name]) // 1000 for name in many}))


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("row", [Item])
def test_a_transaction_and_a_connection_make_few_calls(worker_database_url: str, queries: Any) -> None:
    def three(database: Database) -> None:
        with database.transaction() as conn:
            for _ in range(3):
                queries.get(conn, id=1)

    def take(database: Database) -> None:
        with database.connection():
            pass

    async def athree(database: Database) -> None:
        async with database.transaction() as conn:
            for _ in range(3):
                await queries.get(conn, id=1)

    async def atake(database: Database) -> None:
        async with database.connection():
            pass

    with Database(settings_for(worker_database_url)) as database:
        check("a transaction of three lookups, sync", fewest(lambda: three(database)))
        check("a connection taken and given back, sync", fewest(lambda: take(database)))

    async def main() -> None:
        async with Database(settings_for(worker_database_url)) as database:
            check("a transaction of three lookups, async", await afewest(lambda: athree(database)))
            check("a connection taken and given back, async", await afewest(lambda: atake(database)))

    Context().run(asyncio.run, main())


# --- round trips ---


class RoundTrips:
    """Counts the round trips of a connection: how often the server says that it is ready for the next."""

    def __init__(self, conn: Any, folder: Path) -> None:
        self._pgconn: PGconn = conn.pgconn
        self.lines: list[list[str]] = []
        """What was traced: `F` or `B` for what is sent and received, the length, the kind of the message, its parts."""
        self._file = (folder / "trace").open("w+")
        self._begin()

    def taken(self) -> tuple[int, list[str]]:
        """How many there were since the last time, and what was sent."""
        self._pgconn.untrace()  # which writes what is still in its buffer
        self._file.seek(0)
        self.lines = lines = [line.split("\t") for line in self._file.read().splitlines()]
        self._file.seek(0)
        self._file.truncate()
        self._begin()
        ready = sum(line[0] == "B" and line[2] == "ReadyForQuery" for line in lines)
        return ready, [line[2] for line in lines if line[0] == "F"]

    def close(self) -> None:
        """End the trace."""
        self._pgconn.untrace()
        self._file.close()

    def _begin(self) -> None:
        self._pgconn.trace(self._file.fileno())
        self._pgconn.set_trace_flags(Trace.SUPPRESS_TIMESTAMPS)


LOOKUP = ["Bind", "Describe", "Execute", "Sync"]


@pytest.mark.parametrize("row", [Item])
def test_a_query_takes_one_round_trip(worker_database_url: str, queries: Any, tmp_path: Path) -> None:
    with (
        psycopg.connect(worker_database_url, autocommit=True) as conn,
        closing(RoundTrips(conn, tmp_path)) as trips,
    ):
        queries.get(conn, id=1)
        first, sent = trips.taken()
        assert first <= 3, sent  # it is prepared, and described
        calls: list[tuple[Any, dict[str, object]]] = [
            (queries.get, {"id": 1}), (queries.list_all, {"n": 2000}), (queries.value, {"v": "x" * 100_000}),
            (queries.affect, {}),
        ]  # fmt: skip
        for query, values in calls:
            query(conn, **values)
            trips.taken()
            query(conn, **values)
            assert trips.taken() == (1, LOOKUP)
        with pytest.raises(psycopg.Error):
            queries.get(conn, id="x")
        assert trips.taken()[0] == 1
        conn.adapters.register_loader("text", TextLoader)  # what is registered asks nothing of the server
        conn.execute("SET TIME ZONE 'Asia/Tokyo'")
        trips.taken()
        queries.get(conn, id=1)
        assert trips.taken() == (1, LOOKUP)


@pytest.mark.parametrize("row", [Item])
def test_a_query_of_a_task_takes_one_round_trip(worker_database_url: str, queries: Any, tmp_path: Path) -> None:
    async def main() -> None:
        async with await psycopg.AsyncConnection.connect(worker_database_url, autocommit=True) as conn:
            with closing(RoundTrips(conn, tmp_path)) as trips:
                await queries.get(conn, id=1)
                assert trips.taken()[0] <= 3
                for _ in range(3):
                    await queries.get(conn, id=1)
                    assert trips.taken() == (1, LOOKUP)

    asyncio.run(main())


def test_a_query_whose_values_bring_their_types_takes_one_as_well(worker_database_url: str, tmp_path: Path) -> None:
    (tmp_path / "queries.sql").write_text(SQL)
    queries = load_queries(tmp_path)
    with (
        psycopg.connect(worker_database_url, autocommit=True) as conn,
        closing(RoundTrips(conn, tmp_path)) as trips,
    ):
        queries.untyped(conn, v=1)
        queries.value(conn, v="x")
        trips.taken()
        counts: list[int] = []
        for _ in range(10):
            queries.untyped(conn, v=1)
            counts.append(trips.taken()[0])
            queries.value(conn, v="x")
            assert trips.taken() == (1, LOOKUP)
        assert sum(counts) <= 11, counts  # once psycopg may prepare it by itself


@pytest.mark.parametrize("row", [Item])
def test_a_transaction_takes_one_round_trip_more(worker_database_url: str, queries: Any, tmp_path: Path) -> None:
    with Database(settings_for(worker_database_url, min_connections=1, max_connections=1)) as database:
        with database.connection() as conn:
            trips = RoundTrips(conn, tmp_path)
            queries.get(conn, id=1)
            queries.read_only(conn, id=1)
        trips.taken()
        with database.transaction() as conn:
            for _ in range(3):
                queries.get(conn, id=1)
        count, sent = trips.taken()
        assert count == 4, sent  # BEGIN goes with the first, COMMIT is the fourth
        assert sent[-1] == "Sync"  # they may have called functions that write: the transaction's id was asked for
        with database.transaction() as conn:
            queries.read_only(conn, id=1)
        count, sent = trips.taken()
        assert count == 2, sent
        assert sent[-1] == "Query"  # proven to do nothing but read: COMMIT alone
        with database.transaction():
            pass
        with database.connection():
            pass
        assert trips.taken() == (0, [])
        trips.close()


@pytest.mark.parametrize("row", [Item])
def test_a_transaction_of_a_task_takes_one_round_trip_more(
    worker_database_url: str, queries: Any, tmp_path: Path
) -> None:
    async def main() -> None:
        settings = settings_for(worker_database_url, min_connections=1, max_connections=1)
        async with Database(settings) as database:
            async with database.connection() as conn:
                trips = RoundTrips(conn, tmp_path)
                await queries.get(conn, id=1)
            trips.taken()
            async with database.transaction() as conn:
                for _ in range(3):
                    await queries.get(conn, id=1)
            count, sent = trips.taken()
            assert count == 4, sent
            async with database.transaction():
                pass
            async with database.connection():
                pass
            assert trips.taken() == (0, [])
            trips.close()

    asyncio.run(main())


class Mood(StrEnum):
    OK = "ok"


@dataclass(frozen=True, slots=True)
class MoodRow:
    mood: Mood
    n: int


def test_labels_are_read_in_binary_by_each_query(worker_database_url: str, tmp_path: Path) -> None:
    """Where one column has to be read as text, so has the whole row."""
    (tmp_path / "moods.sql").write_text(
        "\n".join(f"-- name: mood_{n}()^\nSELECT 'ok'::counted_mood AS mood, {n} AS n;" for n in range(3))
    )
    with (
        psycopg.connect(worker_database_url) as conn,
        closing(RoundTrips(conn, tmp_path)) as trips,
    ):
        conn.execute("CREATE TYPE pg_temp.counted_mood AS ENUM ('ok')")
        conn.execute("SET LOCAL search_path = pg_temp")
        declared = declaring(**{f"mood_{n}": {"return": MoodRow | None} for n in range(3)})
        queries = typed_queries(declared, __file__, {"": str(tmp_path)})
        for n in range(3):
            trips.taken()
            assert getattr(queries, f"mood_{n}")(conn) == MoodRow(Mood.OK, n)
            trips.taken()
            (bound,) = (line[3] for line in trips.lines if line[2] == "Bind")
            assert bound.endswith(" 1 1"), bound  # one format for all columns, and that is binary
        conn.rollback()

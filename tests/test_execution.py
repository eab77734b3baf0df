"""How a query runs: as a prepared statement of its own, and in all else just as psycopg's own cursor would run it.

The yardstick is psycopg: what a query gives, the error that it raises and the state that it leaves behind are compared
with those of a cursor on a connection in the same state.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import threading
import warnings
import weakref
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import psycopg_pool
import pytest
from psycopg import Notify
from psycopg.adapt import AdaptersMap, Loader
from psycopg.errors import Diagnostic
from psycopg.pq import Format, TransactionStatus
from psycopg.types.composite import CompositeInfo, register_composite
from psycopg.types.enum import EnumInfo, register_enum
from psycopg.types.json import set_json_loads
from psycopg.types.numeric import FloatLoader, IntLoader
from psycopg.types.string import TextLoader

from conftest import cloned
from rowsmith import errors, load_queries
from rowsmith.scratch import drop_database, replace_database

SCHEMA = """
CREATE TABLE later (id int CONSTRAINT later_key UNIQUE DEFERRABLE INITIALLY DEFERRED);
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'refused' USING ERRCODE = 'RS001'; END$$;
CREATE TABLE refused (id int);
CREATE CONSTRAINT TRIGGER refusal AFTER INSERT ON refused DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TABLE item (id int PRIMARY KEY, label text NOT NULL CHECK (label <> ''), other int REFERENCES item);
CREATE FUNCTION shout(words text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN RAISE NOTICE 'shout: %', words; RETURN upper(words); END$$;
CREATE FUNCTION call_nothing(value int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN RAISE NOTICE 'ran'; EXECUTE 'SELECT nothing_of_the_kind($1)' USING value; RETURN 1; END$$;
CREATE FUNCTION fail_with_all() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
  RAISE 'a message' USING ERRCODE = '22023', DETAIL = 'a detail', HINT = 'a hint', COLUMN = 'a column',
    CONSTRAINT = 'a constraint', DATATYPE = 'a type', TABLE = 'a table', SCHEMA = 'a schema';
END$$;
CREATE FUNCTION kind_of(value int) RETURNS text LANGUAGE sql AS $$SELECT 'int'$$;
CREATE FUNCTION kind_of(value text) RETURNS text LANGUAGE sql AS $$SELECT 'text'$$;
CREATE FUNCTION kind_of(value date) RETURNS text LANGUAGE sql AS $$SELECT 'date'$$;
CREATE TYPE mood AS ENUM ('ok', 'é');
CREATE TYPE pair AS (number int, word text);
CREATE DOMAIN word AS text CHECK (VALUE <> 'none');
CREATE DOMAIN moment AS timestamptz;
"""

COLUMNS = 1_600
"""As many as a row can have that a table gives, though the server's limit for a result is 1,664."""
MANY = 60

SQL = f"""
-- name: one(n)$
SELECT :n::int;

-- name: two(n)$
SELECT :n::int + 0;

-- name: word(v)$
SELECT :v::text;

-- name: nothing()$
SELECT NULL;

-- name: constant()$
SELECT 42;

-- name: many_values({", ".join(f"p{n}" for n in range(MANY))})^
SELECT {", ".join(f":p{n}::int AS p{n}" for n in range(MANY))};

-- name: wide()^
SELECT {", ".join(f"{n} AS c{n}" for n in range(COLUMNS))};

-- name: no_columns()
SELECT FROM generate_series(1, 3);

-- name: no_columns_affected()!
SELECT FROM generate_series(1, 3);

-- name: slow(seconds, n)$
-- A number of seconds is given as a float: an int is no float8, and goes by a cursor.
SELECT :n::int FROM pg_sleep(:seconds);

-- name: rows(n)
SELECT i, repeat('x', 1000) AS filling FROM generate_series(1, :n::int) AS i;

-- name: filling(n)$
SELECT repeat('x', :n::int);

-- name: length_of(v)$
SELECT length(:v::text);

-- name: untyped(v)$
SELECT :v IS NULL;

-- name: overloaded(v)$
SELECT kind_of(:v);

-- name: any_json(v)$
SELECT to_jsonb(:v);

-- name: add_item(id, label)!
INSERT INTO item (id, label) VALUES (:id, :label);

-- name: count_items()$
SELECT count(*) FROM item;

-- name: add_later(id)!
INSERT INTO later VALUES (:id);

-- name: add_refused(id)!
INSERT INTO refused VALUES (:id);

-- name: divide(n)$
SELECT 1 / :n::int;

-- name: orphan(id)!
INSERT INTO item (id, label, other) VALUES (:id, 'x', -1);

-- name: unlabelled(id)!
INSERT INTO item (id, label) VALUES (:id, NULL);

-- name: badly_labelled(id)!
INSERT INTO item (id, label) VALUES (:id, '');

-- name: fail_with_all()$
SELECT fail_with_all();

-- name: call_nothing(n)$
SELECT call_nothing(:n::int);

-- name: no_such_column(id)
SELECT nothing_of_the_kind FROM item WHERE id = :id;

-- name: to_word(v)$
SELECT :v::word;

-- name: copy_out()!
COPY (SELECT 1) TO STDOUT;

-- name: settings()^
SELECT current_setting('transaction_isolation') AS isolation, current_setting('transaction_read_only') AS read_only,
       current_setting('transaction_deferrable') AS deferrable;

-- name: set_serializable()!
SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;

-- name: process()$
SELECT pg_backend_pid();

-- name: own_statements()$
SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'rowsmith%' AND statement LIKE '%:%';

-- name: shout(words)$
SELECT shout(:words);

-- name: listen()!
LISTEN channel;

-- name: tell(words)$
SELECT pg_notify('channel', :words);

-- name: discard()!
DISCARD ALL;

-- name: forget_statements()!
DEALLOCATE ALL;

-- name: star()
SELECT * FROM changing;

-- name: change(v)!
UPDATE changing SET a = :v;

-- name: find(v)!
DELETE FROM changing WHERE a = :v;

-- name: cast_mood(v)$
SELECT :v::changing_mood;

-- name: fresh_overload(v)$
SELECT fresh_overload(:v);

-- name: moment_of(n)$
SELECT to_timestamp(:n::int8);

-- name: moments(n)^
SELECT to_timestamp(:n::int8) AS a, ARRAY[to_timestamp(:n::int8)] AS b, tstzrange(to_timestamp(:n::int8), NULL) AS c,
       to_timestamp(:n::int8)::timestamp AS d, to_timestamp(:n::int8)::moment AS e, (to_timestamp(:n::int8), 1) AS f,
       to_timestamp(:n::int8)::timetz AS g, tstzmultirange(tstzrange(to_timestamp(:n::int8), NULL)) AS h;

-- name: new_year()$
SELECT '2024-01-01 00:00'::timestamptz;

-- name: second_of_january()$
SELECT '01/02/2024'::date;

-- name: accent_written()$
SELECT 'é';

-- name: accent_named()^
SELECT 1 AS "é";

-- name: accents(v)$
SELECT ARRAY[:v::text, 'x'];

-- name: accent_json(v)$
SELECT jsonb_build_object('k', :v::text);

-- name: accent_error(v)$
SELECT :v::int4range;
"""


VALUES = [
    "1.5::numeric", "ARRAY[1.5::numeric, NULL]", "numrange(1.5, 2.5)", "ARRAY[numrange(1.5, NULL)]",
    "nummultirange(numrange(1.5, 2.5))", "7::int4", "ARRAY[7, 8]", "ARRAY[[7], [8]]", "int4range(1, 5)",
    "int4multirange(int4range(1, 5))", """'{"a": 1.5}'::jsonb""", """'{"a": 1.5}'::json""",
    """ARRAY['{"a": 1.5}'::jsonb]""", "date '2024-01-01'", "ARRAY[date '2024-01-01']", "daterange('2024-01-01', NULL)",
    "'text'::text", "ARRAY['text']", "1.5::float8", "1.5::float4", "'ok'::mood", "ARRAY['ok', NULL]::mood[]",
    "ROW(1, 'x')::pair", "ARRAY[ROW(1, 'x')::pair]", "'w'::word", "ARRAY['w']::word[]", "ROW(1, 1.5)",
]  # fmt: skip
SQL_OF_VALUES = "".join(f"\n-- name: value_{index}()$\nSELECT {text};\n" for index, text in enumerate(VALUES))


class World:
    """The same calls on a connection for threads and on one for tasks."""

    def __init__(self, url: str, *, asynchronous: bool, **options: Any) -> None:
        self.closed = False
        self.runner = asyncio.Runner() if asynchronous else None
        self.kind: Any = psycopg.AsyncConnection if asynchronous else psycopg.Connection
        self.cursor: Any = psycopg.AsyncRawCursor if asynchronous else psycopg.RawCursor
        self.conn: Any = self.run(self.kind.connect(url, **{"autocommit": True, **options}))

    def run(self, result: Any) -> Any:
        """What a call gives, awaited where it has to be."""
        return self.runner.run(_awaited(result)) if self.runner else result

    def call(self, query: Any, **values: object) -> Any:
        """What a query gives."""
        return self.run(query(self.conn, **values))

    def unnamed(self, query: Any, **values: object) -> Any:
        """The row that a query gives, as a plain tuple."""
        return (*self.call(query, **values),)

    def sql(self, text: str, *values: object) -> list[tuple[Any, ...]]:
        """Run a statement by psycopg's own cursor; `$1` stands for a value. Its rows."""
        if self.runner:
            return self.runner.run(self._asql(text, values))
        cursor: psycopg.RawCursor[tuple[Any, ...]] = self.cursor(self.conn)
        cursor.execute(text.encode(), values or None)
        return cursor.fetchall() if cursor.description else []

    def row(self, text: str, *values: object) -> tuple[Any, ...]:
        """The one row that a statement gives."""
        (row,) = self.sql(text, *values)
        return row

    def value(self, text: str, *values: object) -> Any:
        """The one value that a statement gives."""
        (value,) = self.row(text, *values)
        return value

    def close(self) -> None:
        """Close the connection, and the event loop; a test may have done so before."""
        if self.closed:
            return
        self.closed = True
        self.run(self.conn.close())
        if self.runner:
            self.runner.close()

    @property
    def status(self) -> TransactionStatus:
        """Where the connection is with its transaction."""
        return TransactionStatus(self.conn.pgconn.transaction_status)

    async def _asql(self, text: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        cursor: psycopg.AsyncRawCursor[tuple[Any, ...]] = self.cursor(self.conn)
        await cursor.execute(text.encode(), values or None)
        return await cursor.fetchall() if cursor.description else []


async def _awaited(result: Any) -> Any:
    return await result


def told(value: Any) -> Any:
    """A value as it can be compared: with the types of all its parts, and with what `==` does not look at."""
    kind = value.__class__
    if kind in (list, tuple):
        return [kind, *map(told, value)]
    if kind is dict:
        return [kind, *((key, told(item)) for key, item in value.items())]
    if isinstance(value, Decimal):
        return kind, value.as_tuple()
    if isinstance(value, (datetime, time)):
        return kind, repr(value), value.utcoffset()
    return kind, repr(value)


def outcome(call: Callable[..., Any], *args: object, **values: object) -> Any:
    """What a call gives, or the class of the error that it raises."""
    try:
        return told(call(*args, **values))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is compared with psycopg's
        return "raises", type(error)


def diagnosis(error: psycopg.Error) -> dict[str, object]:
    """All that the server said of an error, but the line of its own source."""
    names = [name for name in dir(error.diag) if not name.startswith("_") and name != "source_line"]
    return {"class": type(error), "sqlstate": error.sqlstate, **{name: getattr(error.diag, name) for name in names}}


@pytest.fixture(scope="module")
def place(server_url: str) -> Iterator[str]:
    """The URL of a database of these tests."""
    with cloned(server_url, None) as url:
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(SCHEMA)
        yield url


@pytest.fixture
def queries(tmp_path: Path) -> Any:
    """The queries, of which nothing is known yet."""
    path = tmp_path / "execution.sql"
    path.write_text(SQL + SQL_OF_VALUES)
    return load_queries(path)


@pytest.fixture(params=["sync", "async"])
def asynchronous(request: pytest.FixtureRequest) -> bool:
    """Whether a test runs in the world of tasks."""
    return bool(request.param == "async")


@pytest.fixture
def connect(place: str, *, asynchronous: bool) -> Iterator[Callable[..., World]]:
    """Makes connections, which are closed at the end of the test, also where it fails."""
    with ExitStack() as stack:

        def connect(url: str = place, **options: Any) -> World:
            return stack.enter_context(closing(World(url, asynchronous=asynchronous, **options)))

        yield connect


@pytest.fixture
def world(connect: Callable[..., World]) -> World:
    """A connection in autocommit mode."""
    return connect()


@pytest.fixture
def changing(world: World) -> World:
    """A connection with objects of its own, to be changed; temporary ones, so that workers do not meet."""
    world.sql("CREATE TEMP TABLE changing (a text)")
    world.sql("INSERT INTO changing VALUES ('1')")
    world.sql("CREATE TYPE pg_temp.changing_mood AS ENUM ('ok')")
    world.sql("SET search_path = pg_temp, public")
    return world


@pytest.fixture
def transactional(connect: Callable[..., World]) -> World:
    """A connection that is not in autocommit mode."""
    return connect(autocommit=False)


def statements(world: World) -> list[str]:
    """The statements of queries that the server keeps for the connection."""
    return [text for (text,) in world.sql("SELECT statement FROM pg_prepared_statements WHERE name LIKE 'rowsmith%'")]


# --- as a prepared statement ---


def test_a_query_is_prepared_once_on_a_connection(world: World, queries: Any) -> None:
    for n in range(7):
        assert world.call(queries.one, n=n) == n
    assert statements(world) == [queries.one.sql]


def test_a_query_has_no_values_one_or_many(world: World, queries: Any) -> None:
    values = {f"p{n}": n for n in range(MANY)}
    for _ in range(2):
        assert world.call(queries.constant) == 42
        assert world.call(queries.nothing) is None
        assert world.call(queries.many_values, **values)._asdict() == values


def test_a_row_may_have_as_many_columns_as_the_server_gives(world: World, queries: Any) -> None:
    for _ in range(2):
        row = world.call(queries.wide)
        assert list(row) == list(range(COLUMNS))
        assert row._fields[-1] == f"c{COLUMNS - 1}"


def test_a_result_without_columns_has_no_rows_to_read(world: World, queries: Any) -> None:
    for _ in range(2):
        with pytest.raises(errors.ResultShapeError, match=r"returned no rows to read \(SELECT 3\)"):
            world.call(queries.no_columns)
        assert world.call(queries.no_columns_affected) == 3


def test_any_connection_of_psycopg_is_taken(place: str, queries: Any) -> None:
    class Own(psycopg.Connection[Any]):
        pass

    with Own.connect(place, cursor_factory=psycopg.ClientCursor[Any], autocommit=True) as own:
        assert [queries.one(own, n=n) for n in range(3)] == [0, 1, 2]
    with psycopg_pool.ConnectionPool(place, min_size=1, max_size=1, open=True) as pool:
        for n in range(3):
            with pool.connection() as conn:
                assert (queries.one(conn, n=n), queries.two(conn, n=n)) == (n, n)


def test_queries_run_between_psycopgs_own_statements(world: World, queries: Any) -> None:
    for n in range(20):  # beyond the number of times after which psycopg prepares a statement as well
        assert world.value("SELECT $1::int", n) == n
        assert world.call(queries.one, n=n) == n


# --- where a prepared statement cannot be ---


def test_nothing_is_prepared_behind_a_transaction_pooler(connect: Callable[..., World], queries: Any) -> None:
    world = connect(prepare_threshold=None)
    for n in range(8):
        assert world.call(queries.one, n=n) == n
        assert world.call(queries.untyped, v=n) is False
    assert world.value("SELECT count(*) FROM pg_prepared_statements") == 0
    world.conn.prepare_threshold = 5
    assert world.call(queries.one, n=1) == 1
    assert statements(world) == [queries.one.sql]
    world.conn.prepare_threshold = None
    world.sql("DEALLOCATE ALL")  # what another client of the pooler's might do
    assert world.call(queries.one, n=2) == 2
    world.close()


def test_a_query_in_a_pipeline_gives_its_result(place: str, queries: Any) -> None:
    with psycopg.connect(place, autocommit=True) as conn:
        assert queries.one(conn, n=1) == 1  # prepared
        with conn.pipeline() as pipeline:
            assert [queries.one(conn, n=n) for n in range(3)] == [0, 1, 2]
            with pytest.raises(psycopg.errors.DivisionByZero):
                queries.divide(conn, n=0)
            assert queries.divide(conn, n=1) == 1
            conn.execute("SELECT 1")
            pipeline.sync()
        assert queries.one(conn, n=4) == 4


def test_a_query_in_a_pipeline_of_a_task_gives_its_result(place: str, queries: Any) -> None:
    async def main() -> None:
        async with await psycopg.AsyncConnection.connect(place, autocommit=True) as conn:
            assert await queries.one(conn, n=1) == 1
            async with conn.pipeline():
                assert [await queries.one(conn, n=n) for n in range(3)] == [0, 1, 2]
                with pytest.raises(psycopg.errors.DivisionByZero):
                    await queries.divide(conn, n=0)
                assert await queries.divide(conn, n=1) == 1
            assert await queries.one(conn, n=4) == 4

    asyncio.run(main())


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"isolation_level": psycopg.IsolationLevel.SERIALIZABLE},
        {"read_only": True},
        {"isolation_level": psycopg.IsolationLevel.REPEATABLE_READ, "read_only": True, "deferrable": True},
    ],
)
def test_a_transaction_begins_as_psycopg_begins_it(
    transactional: World, queries: Any, attributes: dict[str, Any]
) -> None:
    world = transactional
    for _ in range(3):
        for name, value in attributes.items():
            world.run(getattr(world.conn, f"set_{name}")(value))
        ((isolation, read_only, deferrable),) = world.sql(queries.settings.sql)
        world.run(world.conn.rollback())
        for _ in range(2):
            assert world.call(queries.settings) == (isolation, read_only, deferrable)
        assert world.status == TransactionStatus.INTRANS
        world.run(world.conn.rollback())


def test_what_a_query_did_is_rolled_back_with_its_transaction(transactional: World, queries: Any) -> None:
    world = transactional
    for _ in range(3):
        assert world.call(queries.add_item, id=1, label="x") == 1
        assert world.call(queries.add_item, id=2, label="x") == 1
        assert world.call(queries.count_items) == 2
        world.run(world.conn.rollback())
        assert world.call(queries.count_items) == 0


def test_autocommit_is_looked_at_for_each_query(world: World, queries: Any) -> None:
    for autocommit, status in ((True, TransactionStatus.IDLE), (False, TransactionStatus.INTRANS)) * 2:
        world.run(world.conn.set_autocommit(autocommit))
        assert world.call(queries.one, n=1) == 1
        assert world.status == status
        world.run(world.conn.rollback())


def test_the_first_statement_of_a_transaction_may_set_it(place: str, queries: Any) -> None:
    with psycopg.connect(place, autocommit=True) as conn:
        for _ in range(2):
            with conn.transaction():
                queries.set_serializable(conn)
                assert queries.settings(conn).isolation == "serializable"


def test_a_transaction_that_has_failed_refuses_a_query_as_psycopg_does(transactional: World, queries: Any) -> None:
    world = transactional
    for name in ("one", "one", "two"):
        world.call(queries.two, n=1)
        with pytest.raises(psycopg.errors.DivisionByZero):
            world.sql("SELECT 1 / 0")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            world.call(getattr(queries, name), n=1)
        world.run(world.conn.rollback())
        assert world.call(getattr(queries, name), n=3) == 3


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("untyped", 1), ("untyped", [1]), ("untyped", date(2024, 1, 1)), ("untyped", "x"), ("untyped", None),
        ("overloaded", 1), ("overloaded", date(2024, 1, 1)), ("overloaded", "x"), ("overloaded", 1.5),
        ("any_json", 7), ("any_json", [1, 2]), ("any_json", "x"), ("any_json", object()),
    ],
)  # fmt: skip
def test_a_query_whose_values_bring_their_types_runs(
    world: World, queries: Any, name: str, value: object, *, within: bool
) -> None:
    query = getattr(queries, name)
    expected = outcome(world.value, query.sql, value)
    for _ in range(3):
        if within:
            world.sql("BEGIN")
            world.call(queries.add_item, id=5, label="before")
        assert outcome(world.call, query, v=value) == expected
        if within and expected[0] != "raises":
            assert world.status == TransactionStatus.INTRANS
            assert world.call(queries.count_items) == 1
            with pytest.raises(psycopg.errors.InvalidSavepointSpecification):
                world.sql("RELEASE SAVEPOINT rowsmith_prepare")
        if within:
            world.sql("ROLLBACK")
    assert world.call(queries.count_items) == 0


def test_a_query_that_is_wrong_fails_at_its_first_use_as_it_does_by_psycopg(transactional: World, queries: Any) -> None:
    world = transactional
    for _ in range(2):
        world.call(queries.one, n=1)  # the transaction is open
        with pytest.raises(psycopg.errors.UndefinedColumn):
            world.call(queries.no_such_column, id=1)
        assert world.status == TransactionStatus.INERROR
        world.run(world.conn.rollback())


@pytest.mark.parametrize("within", [False, True])
def test_what_one_connection_has_learned_of_a_query_does_not_bind_another(
    connect: Callable[..., World], queries: Any, *, within: bool
) -> None:
    """Whether a parameter has a type without its value depends on the functions that the connection finds."""
    worlds = [connect() for _ in range(2)]
    for world, types in zip(worlds, [("int",), ("int", "date")], strict=True):
        schema = f"schema_{uuid4().hex}"
        world.sql(f"CREATE SCHEMA {schema}")
        world.sql(f"SET search_path = {schema}")
        for each in types:
            world.sql(f"CREATE FUNCTION fresh_overload({each}) RETURNS text LANGUAGE sql AS $$SELECT '{each}'$$")
    text = queries.fresh_overload.sql
    for world in worlds:
        if within:
            world.sql("BEGIN")
        expected = world.value(text, 1)
        assert expected == "int"
        for _ in range(2):
            assert world.call(queries.fresh_overload, v=1) == expected


# --- a statement that is out of date ---


@pytest.mark.parametrize("command", ["DEALLOCATE ALL", "DISCARD ALL", "DEALLOCATE rowsmith_0", "DISCARD PLANS"])
def test_a_statement_that_is_gone_is_prepared_again(world: World, queries: Any, command: str) -> None:
    assert world.call(queries.one, n=1) == 1
    world.sql(command)
    for n in (2, 3):
        assert world.call(queries.one, n=n) == n


@pytest.mark.parametrize("by", ["discard", "forget_statements"])
def test_a_query_may_itself_be_what_discards_statements(world: World, queries: Any, by: str) -> None:
    for n in range(8):  # by psycopg's cursor, which prepares them as well after a while
        assert world.call(queries.untyped, v=n) is False
        assert world.value("SELECT $1::int + 1", n) == n + 1
    for n in range(3):
        assert world.call(queries.one, n=n) == n
        world.call(getattr(queries, by))
        assert world.call(queries.one, n=n) == n
        assert world.call(queries.untyped, v=n) is False
        assert world.value("SELECT $1::int + 1", n) == n + 1


@pytest.mark.parametrize("command", ["DEALLOCATE ALL", "ALTER TABLE changing ADD COLUMN b int"])
def test_in_a_transaction_an_outdated_statement_fails_once(changing: World, queries: Any, command: str) -> None:
    world = changing
    assert len(world.call(queries.star)) == 1
    world.sql(command)
    world.sql("BEGIN")
    world.call(queries.constant)
    with pytest.raises((psycopg.errors.InvalidSqlStatementName, psycopg.errors.FeatureNotSupported)):
        world.call(queries.star)
    assert world.status == TransactionStatus.INERROR
    world.sql("ROLLBACK")
    world.sql("BEGIN")
    assert len(world.call(queries.star)) == 1
    world.sql("ROLLBACK")
    assert len(world.call(queries.star)) == 1


def test_statements_that_are_all_gone_fail_one_transaction_and_not_one_each(world: World, queries: Any) -> None:
    for name in ("one", "two"):
        assert world.call(getattr(queries, name), n=1) == 1
    world.sql("DEALLOCATE ALL")
    world.sql("BEGIN")
    with pytest.raises(psycopg.errors.InvalidSqlStatementName):
        world.call(queries.one, n=1)
    world.sql("ROLLBACK")
    world.sql("BEGIN")
    assert world.call(queries.two, n=2) == 2
    world.sql("ROLLBACK")


def test_transactions_go_on_after_one_is_rolled_back(transactional: World, queries: Any) -> None:
    """psycopg gives up what it has prepared after a rollback, by DEALLOCATE ALL, which takes what is ours as well."""
    world = transactional
    for n in range(8):
        assert world.call(queries.one, n=n) == n
        assert world.call(queries.two, n=n) == n
        world.run(world.conn.commit())
    for n in range(3):
        assert world.call(queries.one, n=n) == n
        assert world.call(queries.two, n=n) == n
        world.run(world.conn.rollback())


def test_a_table_may_change_under_a_query(changing: World, queries: Any) -> None:
    world = changing
    assert [row._asdict() for row in world.call(queries.star)] == [{"a": "1"}]
    world.sql("ALTER TABLE changing ADD COLUMN b int DEFAULT 2")
    assert [row._asdict() for row in world.call(queries.star)] == [{"a": "1", "b": 2}]
    world.sql("ALTER TABLE changing ALTER COLUMN a TYPE int USING a::int")
    assert [row._asdict() for row in world.call(queries.star)] == [{"a": 1, "b": 2}]
    world.sql("ALTER TABLE changing DROP COLUMN a")
    assert [row._asdict() for row in world.call(queries.star)] == [{"b": 2}]
    world.sql("ALTER TABLE changing RENAME COLUMN b TO c")
    assert [row._asdict() for row in world.call(queries.star)] == [{"c": 2}]
    world.sql("DROP TABLE changing")
    with pytest.raises(psycopg.errors.UndefinedTable):
        world.call(queries.star)
    world.sql("CREATE TEMP TABLE changing (d text)")
    world.sql("INSERT INTO changing VALUES ('x')")
    assert [row._asdict() for row in world.call(queries.star)] == [{"d": "x"}]


@pytest.mark.parametrize("name", ["change", "find"])
def test_the_type_of_a_parameter_may_change_under_a_query(changing: World, queries: Any, name: str) -> None:
    """A statement keeps the type that its parameter had; the call that meets the change may fail, and no further."""
    world, query = changing, getattr(queries, name)
    assert world.call(query, v="1") == 1
    world.sql("DELETE FROM changing")
    world.sql("ALTER TABLE changing ALTER COLUMN a TYPE int USING a::int")
    world.sql("INSERT INTO changing VALUES (1)")
    with suppress(psycopg.Error):
        world.call(query, v="2")
    assert world.call(query, v="1") == 1


def test_a_type_may_be_made_anew_under_a_query(changing: World, queries: Any) -> None:
    world = changing
    assert world.call(queries.cast_mood, v="ok") == "ok"
    world.sql("DROP TYPE changing_mood")
    world.sql("CREATE TYPE pg_temp.changing_mood AS ENUM ('ok', 'new')")
    with suppress(psycopg.Error):
        world.call(queries.cast_mood, v="ok")
    assert world.call(queries.cast_mood, v="new") == "new"


@pytest.mark.parametrize("within", [False, True])
def test_an_error_of_a_function_is_no_reason_to_run_a_query_twice(world: World, queries: Any, *, within: bool) -> None:
    """It has the same code as that of a statement that a changed table has outdated."""
    heard: list[str | None] = []

    def hear(diag: Diagnostic) -> None:
        heard.append(diag.message_primary)

    world.conn.add_notice_handler(hear)
    for _ in range(3):
        if within:
            world.sql("BEGIN")
        with pytest.raises(psycopg.errors.UndefinedFunction):
            world.call(queries.call_nothing, n=1)
        if within:
            world.sql("ROLLBACK")
    assert heard == ["ran"] * 3
    assert statements(world) == [queries.call_nothing.sql]


def test_what_is_prepared_anew_takes_the_place_of_the_old(changing: World, queries: Any) -> None:
    world = changing
    for n in range(5):
        world.call(queries.star)
        world.sql(f"ALTER TABLE changing ADD COLUMN c{n} int")
    world.call(queries.star)
    assert statements(world) == [queries.star.sql]


# --- errors ---


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("divide", {"n": 0}),
        ("orphan", {"id": 1}),
        ("unlabelled", {"id": 1}),
        ("badly_labelled", {"id": 1}),
        ("fail_with_all", {}),
        ("no_such_column", {"id": 1}),
        ("to_word", {"v": "none"}),
        ("one", {"n": "x"}),
        ("one", {"n": 2**40}),
        ("one", {"n": object()}),
        ("copy_out", {}),
    ],
)
def test_an_error_is_psycopgs_own_and_says_as_much(
    connect: Callable[..., World], queries: Any, name: str, values: dict[str, Any]
) -> None:
    query, world = getattr(queries, name), connect()
    with pytest.raises(psycopg.Error) as expected:
        world.sql(query.sql, *values.values())
    world = connect()
    if "n" in values:
        assert world.call(query, n=1) == 1  # it is prepared
    with pytest.raises(psycopg.Error) as raised:
        world.call(query, **values)
    assert diagnosis(raised.value) == diagnosis(expected.value)
    assert str(raised.value) == str(expected.value)
    assert raised.value.__notes__[0].startswith(f"in query {name}, ")


@pytest.mark.parametrize(("name", "sqlstate"), [("add_later", "23505"), ("add_refused", "RS001")])
def test_an_error_of_the_commit_is_the_querys(world: World, queries: Any, name: str, sqlstate: str) -> None:
    """The server says that the statement went well, and then, when it ends the transaction of it, that it did not."""
    world.sql("TRUNCATE later")
    world.sql("INSERT INTO later VALUES (1)")
    for _ in range(3):
        with pytest.raises(psycopg.Error) as raised:
            world.call(getattr(queries, name), id=1)
        assert raised.value.sqlstate == sqlstate
        assert world.call(queries.one, n=1) == 1


def test_a_server_process_that_is_ended_says_why(place: str, connect: Callable[..., World], queries: Any) -> None:
    for prepared in (False, True):
        world = connect()
        if prepared:
            world.call(queries.slow, seconds=0.0, n=1)
        process = world.call(queries.process)
        with ended_when_asleep(place, process), pytest.raises(psycopg.errors.AdminShutdown) as raised:
            world.call(queries.slow, seconds=30.0, n=1)
        assert raised.value.sqlstate == "57P01"
        assert raised.value.diag.severity_nonlocalized == "FATAL"
        assert world.conn.closed
        with pytest.raises(psycopg.OperationalError):
            world.call(queries.one, n=1)


@contextmanager
def ended_when_asleep(url: str, process: int) -> Generator[None]:
    """End a server process as soon as it sleeps in pg_sleep()."""

    def end() -> None:
        with psycopg.connect(url, autocommit=True) as conn:
            wait_for_sleep(conn, process)
            conn.execute("SELECT pg_terminate_backend(%s)", [process])

    thread = threading.Thread(target=end)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def wait_for_sleep(conn: psycopg.Connection[Any], process: int) -> None:
    """Until a server process sleeps in pg_sleep()."""
    asleep = "SELECT FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'"
    for _ in range(2000):
        if conn.execute(asleep, [process]).fetchone() is not None:
            return
        conn.execute("SELECT pg_sleep(0.005)")
    raise AssertionError("waited in vain")


def test_a_connection_that_was_lost_while_idle_fails_as_it_does_by_psycopg(
    place: str, connect: Callable[..., World], queries: Any
) -> None:
    failed: list[tuple[type, object]] = []
    for prepared in (False, True):
        world = connect()
        world.call(queries.one, n=1)
        with psycopg.connect(place, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", [world.conn.info.backend_pid])
        with pytest.raises(psycopg.OperationalError) as raised:
            world.call(queries.one, n=1) if prepared else world.sql("SELECT 1::int")
        failed.append((type(raised.value), raised.value.sqlstate))
        assert world.conn.closed
    assert failed[0] == failed[1]


@pytest.mark.parametrize("used", [False, True])
def test_a_closed_connection_is_said_to_be_with_the_querys_name(world: World, queries: Any, *, used: bool) -> None:
    if used:
        world.call(queries.one, n=1)
    world.run(world.conn.close())
    with pytest.raises(psycopg.OperationalError, match="the connection is closed") as raised:
        world.call(queries.one, n=1)
    assert "in query one" in getattr(raised.value, "__notes__", [""])[0]


# --- sizes beyond what sockets buffer ---

_LARGE = 12_000_000


def test_results_and_values_may_be_larger_than_any_buffer(world: World, queries: Any) -> None:
    for _ in range(2):
        assert len(world.call(queries.filling, n=_LARGE)) == _LARGE
        assert world.call(queries.length_of, v="é" * (_LARGE // 2)) == _LARGE // 2
        assert world.call(queries.word, v="x" * _LARGE) == "x" * _LARGE
        rows = world.call(queries.rows, n=_LARGE // 1000)
        assert [row.i for row in rows] == list(range(1, _LARGE // 1000 + 1))
    assert world.call(queries.one, n=3) == 3


def test_a_large_value_meets_a_server_that_does_not_read(world: World, queries: Any) -> None:
    """The server writes notices that fill its buffers before it reads on; a client that only writes waits for ever."""
    told_by: list[object] = []
    world.conn.add_notice_handler(told_by.append)
    world.sql("SET client_min_messages = debug5")
    assert world.call(queries.length_of, v="x" * _LARGE) == _LARGE
    world.sql("RESET client_min_messages")
    assert told_by


# --- interrupted tasks ---


class Tasks:
    """A connection for tasks, made anew when it was closed."""

    def __init__(self, url: str, queries: Any) -> None:
        self.url = url
        self.queries = queries
        self.conn: psycopg.AsyncConnection[Any]

    async def open(self) -> None:
        """Connect."""
        self.conn = await psycopg.AsyncConnection.connect(self.url, autocommit=True)

    async def check(self, n: int) -> None:
        """That the connection is closed, or usable and in step."""
        if self.conn.closed:
            await self.open()
        assert not self.conn.lock.locked()
        async with asyncio.timeout(20):
            assert await self.queries.one(self.conn, n=n) == n
            assert await self.queries.two(self.conn, n=-n) == -n


async def fast(tasks: Tasks, n: int) -> object:
    await tasks.queries.one(tasks.conn, n=n)
    return await tasks.queries.one(tasks.conn, n=n) == n


async def slow(tasks: Tasks, n: int) -> object:
    return await tasks.queries.slow(tasks.conn, seconds=0.001, n=n) == n


async def large_result(tasks: Tasks, n: int) -> object:
    return len(await tasks.queries.rows(tasks.conn, n=2000)) == 2000


async def large_value(tasks: Tasks, n: int) -> object:
    return await tasks.queries.length_of(tasks.conn, v="x" * 3_000_000) == 3_000_000


async def by_cursor(tasks: Tasks, n: int) -> object:
    return await tasks.queries.untyped(tasks.conn, v=n) is False


async def first_use(tasks: Tasks, n: int) -> object:
    """Every statement is prepared again."""
    await tasks.conn.execute("DEALLOCATE ALL", prepare=False)
    return await fast(tasks, n)


async def in_transaction(tasks: Tasks, n: int) -> object:
    await tasks.conn.execute("ROLLBACK; BEGIN", prepare=False)
    return await fast(tasks, n)


_WORK = [fast, slow, large_result, large_value, by_cursor, first_use, in_transaction]


def test_a_timeout_ends_a_query_and_not_the_connection(place: str, queries: Any) -> None:
    async def main() -> None:
        async with await psycopg.AsyncConnection.connect(place, autocommit=True) as conn:
            for first in (True, False):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.02):
                        await queries.slow(conn, seconds=30.0, n=1)
                task = asyncio.current_task()
                assert task is not None
                assert not task.cancelling()
                assert await queries.one(conn, n=int(first)) == int(first)
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(queries.slow(conn, seconds=30.0, n=1), 0.02)
                assert await queries.two(conn, n=7) == 7

    asyncio.run(main())


def test_a_query_that_is_given_up_ends_without_waiting(place: str, queries: Any) -> None:
    """As where a loop is closed with tasks that still wait: they cannot await anything any more."""

    async def main() -> None:
        conn = await psycopg.AsyncConnection.connect(place, autocommit=True)
        await queries.one(conn, n=1)
        waiting = queries.slow(conn, seconds=30.0, n=1)
        waiting.send(None)
        waiting.close()
        assert not conn.lock.locked()
        if not conn.closed:
            with suppress(psycopg.OperationalError):
                assert await queries.one(conn, n=2) == 2  # it may be refused, and must not get another's result
        await conn.close()

    asyncio.run(main())


def test_a_connection_may_go_from_one_event_loop_to_the_next(place: str, queries: Any) -> None:
    loops = [asyncio.new_event_loop() for _ in range(3)]
    conn = loops[0].run_until_complete(psycopg.AsyncConnection.connect(place, autocommit=True))
    for n, loop in enumerate(loops):
        loop.set_debug(n == 1)
        assert loop.run_until_complete(queries.one(conn, n=n)) == n
        assert loop.run_until_complete(queries.slow(conn, seconds=0.01, n=n)) == n
    loops[2].run_until_complete(conn.close())
    for loop in loops:
        loop.close()


# --- interrupted threads ---


class Interruption:
    """SIGALRM raises KeyboardInterrupt, as SIGINT does by itself, and does so inside a block of this alone."""

    def __init__(self) -> None:
        self._armed = False

    def __call__(self, *_: object) -> None:
        if self._armed:
            self._armed = False
            raise KeyboardInterrupt

    @contextmanager
    def expected(self) -> Generator[None]:
        """A block that is interrupted, at the latest at its end."""
        try:
            self._armed = True
            yield
            while self._armed:
                signal.pause()
        except KeyboardInterrupt:
            pass
        finally:
            self._armed = False
            signal.setitimer(signal.ITIMER_REAL, 0)

    def during(self, work: Callable[[], object], seconds: float) -> None:
        """Do the work over and over, until the interruption after so many seconds."""
        with self.expected():
            signal.setitimer(signal.ITIMER_REAL, seconds)
            while True:
                work()


@pytest.fixture
def interruption() -> Iterator[Interruption]:
    """What stands for Ctrl-C."""
    interruption = Interruption()
    previous = signal.signal(signal.SIGALRM, interruption)
    yield interruption
    signal.signal(signal.SIGALRM, previous)


# --- many at once ---


def test_threads_may_share_a_connection(place: str, queries: Any) -> None:
    wrong: list[object] = []
    with psycopg.connect(place, autocommit=True) as conn:

        def work(number: int) -> None:
            for n in range(number * 1000, number * 1000 + 200):
                result = (queries.one(conn, n=n), queries.word(conn, v=str(n)), queries.untyped(conn, v=n))
                if result != (n, str(n), False):
                    wrong.append(result)

        together(*(lambda number=number: work(number) for number in range(3)))
    assert wrong == []


def test_tasks_may_share_a_connection(world: World, place: str, queries: Any) -> None:
    async def main() -> None:
        async with await psycopg.AsyncConnection.connect(place, autocommit=True) as conn:
            calls = [queries.one(conn, n=n) if n % 3 else queries.untyped(conn, v=n) for n in range(200)]
            assert await asyncio.gather(*calls) == [n if n % 3 else False for n in range(200)]

    asyncio.run(main())


def together(*works: Callable[[], object]) -> None:
    """Run each in a thread of its own. Raises the first error of them."""
    failures: list[BaseException] = []

    def guarded(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised below
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def test_threads_may_use_a_connection_for_the_first_time_at_once(place: str, queries: Any) -> None:
    """Each finds nothing kept with the connection; what the one makes must not replace what the other has made."""
    meeting = threading.Barrier(2)

    class Meeting(psycopg.Connection[Any]):
        armed = False

        @property
        def adapters(self) -> AdaptersMap:
            if self.armed:
                with suppress(threading.BrokenBarrierError):
                    meeting.wait(0.2)
            return super().adapters

    with Meeting.connect(place, autocommit=True) as conn:
        conn.armed = True
        together(lambda: queries.one(conn, n=1), lambda: queries.one(conn, n=2))
        conn.armed = False
        assert queries.one(conn, n=3) == 3


def test_a_query_waits_for_the_lock_of_the_connection(place: str, queries: Any) -> None:
    with psycopg.connect(place, autocommit=True) as conn:
        results: list[object] = []
        thread = threading.Thread(target=lambda: results.append(queries.one(conn, n=1)))
        with conn.lock:
            thread.start()
            thread.join(0.1)
            assert thread.is_alive()
        thread.join()
        assert results == [1]


def test_a_connection_may_be_closed_by_another_thread_during_a_query(place: str, queries: Any) -> None:
    conn = psycopg.connect(place, autocommit=True)
    queries.slow(conn, seconds=0.0, n=1)
    process = conn.info.backend_pid
    failures: list[BaseException] = []

    def query() -> None:
        try:
            queries.slow(conn, seconds=30.0, n=1)
        except psycopg.OperationalError as error:
            failures.append(error)

    with psycopg.connect(place, autocommit=True) as other:
        thread = threading.Thread(target=query)
        thread.start()
        wait_for_sleep(other, process)
        conn.close()
        near, far = socket.socketpair()  # the system gives the number that has come free
        thread.join(5)
        waits = thread.is_alive()
        far.send(b"!")  # which ends the thread in any case
        thread.join()
        near.close()
        far.close()
    assert not waits
    assert [str(error).split(":")[0] for error in failures] == ["consuming input failed"]


def test_a_connection_may_be_closed_by_another_task_during_a_query(place: str, queries: Any) -> None:
    async def main() -> None:
        conn = await psycopg.AsyncConnection.connect(place, autocommit=True)
        await queries.slow(conn, seconds=0.0, n=1)
        task = asyncio.create_task(queries.slow(conn, seconds=30.0, n=1))
        await asyncio.sleep(0.05)
        await conn.close()
        other = await psycopg.AsyncConnection.connect(place, autocommit=True)  # its socket may have the same number
        with pytest.raises(psycopg.OperationalError):
            await asyncio.wait_for(task, 20)
        assert await queries.one(other, n=3) == 3
        await other.close()

    asyncio.run(main())


# --- notices and notifications ---


def test_notices_are_delivered(world: World, queries: Any) -> None:
    heard: list[str | None] = []

    def hear(diag: Diagnostic) -> None:
        heard.append(diag.message_primary)

    world.conn.add_notice_handler(hear)
    for words in ("a", "b", "c"):
        assert world.call(queries.shout, words=words) == words.upper()
    assert heard == ["shout: a", "shout: b", "shout: c"]


def test_notifications_are_delivered_to_handlers(world: World, queries: Any) -> None:
    heard: list[str] = []

    def hear(notify: Notify) -> None:
        heard.append(notify.payload)

    world.conn.add_notify_handler(hear)
    world.call(queries.listen)
    for words in ("a", "b"):
        assert world.call(queries.tell, words=words) == ""
    assert heard == ["a", "b"]
    other = world.run(world.kind.connect(world.conn.info.dsn, autocommit=True))
    for words in ("c", "d"):
        world.run(queries.tell(other, words=words))
    world.run(other.close())
    assert world.call(queries.one, n=1) == 1
    assert heard == ["a", "b", "c", "d"]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # psycopg warns that a handler is better
def test_notifications_are_kept_for_notifies(world: World, queries: Any) -> None:
    world.call(queries.listen)
    for words in ("a", "b"):
        world.call(queries.tell, words=words)
        assert world.call(queries.one, n=1) == 1

    async def received() -> list[str]:
        return [notify.payload async for notify in world.conn.notifies(timeout=0, stop_after=2)]

    if world.runner:
        heard = world.run(received())
    else:
        heard = [notify.payload for notify in world.conn.notifies(timeout=0, stop_after=2)]
    assert heard == ["a", "b"]
    assert world.call(queries.one, n=1) == 1


# --- adapters of the user's ---


class Halves(Loader):
    """Marks the text that it is given."""

    def load(self, data: Any) -> str:
        return f"mine {bytes(data).decode()}"


class BinaryHalves(Halves):
    format = Format.BINARY

    def load(self, data: Any) -> str:
        return f"mine {bytes(data).hex()}"


def _loads(text: str | bytes) -> str:
    return f"loads {text!r}"


def _register_own_types(conn: Any) -> None:
    with psycopg.connect(conn.info.dsn) as other:  # to fetch with a connection for threads in either world
        enum, pair = EnumInfo.fetch(other, "mood"), CompositeInfo.fetch(other, "pair")
    assert enum is not None
    assert pair is not None
    register_enum(enum, conn)
    register_composite(pair, conn)


ADAPTERS: dict[str, Callable[[Any], object]] = {
    "numeric": lambda conn: conn.adapters.register_loader("numeric", Halves),
    "int4": lambda conn: conn.adapters.register_loader("int4", Halves),
    "date": lambda conn: conn.adapters.register_loader("date", Halves),
    "text": lambda conn: conn.adapters.register_loader("text", Halves),
    "float8": lambda conn: conn.adapters.register_loader("float8", Halves),
    "numeric[]": lambda conn: conn.adapters.register_loader(1231, Halves),
    "numrange": lambda conn: conn.adapters.register_loader("numrange", Halves),
    "binary only": lambda conn: [
        conn.adapters.register_loader(name, BinaryHalves) for name in ("numeric", "int4", "text", "date")
    ],
    "both": lambda conn: [conn.adapters.register_loader("int4", each) for each in (BinaryHalves, Halves)],
    "psycopg's, of another type": lambda conn: conn.adapters.register_loader("numeric", FloatLoader),
    "psycopg's, for text": lambda conn: conn.adapters.register_loader("date", TextLoader),
    "psycopg's, its own": lambda conn: conn.adapters.register_loader("int4", IntLoader),
    "json": lambda conn: set_json_loads(_loads, conn),
    "unknown types": lambda conn: conn.adapters.register_loader(0, Halves),
    "types of the database": _register_own_types,
}


def by_query(world: World, queries: Any) -> dict[str, Any]:
    """Values of many types, each by a query of its own."""
    named = {text: getattr(queries, f"value_{index}") for index, text in enumerate(VALUES)}
    return {text: outcome(world.call, query) for text, query in named.items()}


def by_cursor_of(world: World) -> dict[str, Any]:
    """The same values by psycopg's cursor."""
    return {text: outcome(world.value, f"SELECT {text}") for text in VALUES}


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("used", [False, True])
def test_a_loader_of_the_users_is_used_as_psycopg_uses_it(
    world: World, queries: Any, adapter: str, *, used: bool
) -> None:
    if used:
        assert by_query(world, queries) == by_cursor_of(world)
    ADAPTERS[adapter](world.conn)
    for _ in range(2):
        assert by_query(world, queries) == by_cursor_of(world)


def test_loaders_may_be_registered_one_after_the_other(world: World, queries: Any) -> None:
    for adapter in ("numeric", "date", "json", "int4", "text"):
        ADAPTERS[adapter](world.conn)
        given = by_query(world, queries)
        assert given == by_cursor_of(world)
    assert [given[text][1] for text in ("1.5::numeric", "7::int4", "'text'::text", "1.5::float8")] == [
        "'mine 1.5'",
        "'mine 7'",
        "'mine text'",
        "1.5",
    ]


def test_a_loader_registered_for_every_connection_is_used(connect: Callable[..., World], queries: Any) -> None:
    original = psycopg.adapters.get_loader(psycopg.adapters.types["numeric"].oid, Format.TEXT)
    assert original is not None
    try:
        psycopg.adapters.register_loader("numeric", Halves)
        world = connect()
        assert by_query(world, queries) == by_cursor_of(world)
        assert world.call(queries.value_0) == "mine 1.5"
    finally:
        psycopg.adapters.register_loader("numeric", original)
    assert world.call(queries.value_0) == "mine 1.5"  # as the connection was made


def test_what_is_registered_on_one_connection_is_not_on_another(connect: Callable[..., World], queries: Any) -> None:
    world, other = connect(), connect()
    ADAPTERS["int4"](world.conn)
    assert world.call(queries.one, n=1) == "mine 1"
    assert other.call(queries.one, n=1) == 1
    assert world.call(queries.one, n=1) == "mine 1"


# --- settings of the session ---

ZONES = [
    "'UTC'", "'America/New_York'", "'Europe/Berlin'", "'Asia/Kolkata'", "'Australia/Lord_Howe'", "'Pacific/Apia'",
    "'Africa/Monrovia'", "'Europe/Amsterdam'", "5.5", "-3", "'foo+3:30'", "DEFAULT",
]  # fmt: skip
MOMENTS = [
    0, 1711846800, 1711848600, 1711850400, 1729987200, 1729990800, 1729994400, 1730613600, 1325203200, -3786825600,
    -30000000000, 4102444800, 253402214400, -62135510400,
]  # fmt: skip
"""Among them the gaps and the folds of summer time in 2024, a day that Samoa left out, and times before there were
zones."""


def test_the_time_zone_may_change_from_query_to_query(world: World, queries: Any) -> None:
    for zone in ZONES:
        world.sql(f"SET TIME ZONE {zone}")
        for moment in MOMENTS:
            expected = outcome(world.row, queries.moments.sql, moment)
            assert outcome(world.unnamed, queries.moments, n=moment) == expected, zone


def test_the_time_zone_may_change_by_a_query_and_within_a_transaction(transactional: World, queries: Any) -> None:
    world = transactional
    assert world.call(queries.moment_of, n=0).utcoffset() == timedelta()
    world.sql("SET LOCAL TIME ZONE 'Asia/Tokyo'")
    assert world.call(queries.moment_of, n=0).utcoffset() == timedelta(hours=9)
    world.run(world.conn.rollback())
    assert world.call(queries.moment_of, n=0).utcoffset() == timedelta()


@pytest.mark.parametrize("style", ["SQL, DMY", "German", "Postgres, MDY", "ISO, YMD"])
def test_the_date_style_makes_no_difference(world: World, queries: Any, style: str) -> None:
    """psycopg reads a timestamptz in the ISO style alone. In binary there is no style."""
    expected = [told(world.call(queries.moment_of, n=moment)) for moment in MOMENTS[:10]]
    world.sql(f"SET DateStyle = '{style}'")
    assert [told(world.call(queries.moment_of, n=moment)) for moment in MOMENTS[:10]] == expected
    assert by_query(world, queries) == by_cursor_of(world)


ACCENTED: list[tuple[str, dict[str, object]]] = [
    ("word", {"v": "é"}), ("accents", {"v": "äöü"}), ("accent_json", {"v": "é"}),
    ("accent_error", {"v": "é"}), ("divide", {"n": 0}),
]  # fmt: skip


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("encoding", ["LATIN1", "UTF8", "WIN1252"])
@pytest.mark.parametrize(("name", "values"), ACCENTED, ids=[name for name, _ in ACCENTED])
def test_the_encoding_of_the_client_may_change(
    world: World, queries: Any, name: str, values: dict[str, object], encoding: str, *, used: bool
) -> None:
    query = getattr(queries, name)

    def check() -> None:
        given = outcome(world.call, query, **values)
        assert given == outcome(world.value, query.sql, *values.values())

    if used:
        check()
    world.sql(f"SET client_encoding = '{encoding}'")
    check()
    check()
    world.sql("SET client_encoding = 'UTF8'")
    check()


@pytest.mark.parametrize("encodings", [("LATIN1", "UTF8"), ("UTF8", "LATIN1")])
def test_the_name_of_a_column_is_the_same_in_any_encoding(
    world: World, queries: Any, encodings: tuple[str, str]
) -> None:
    for encoding in encodings * 2:
        world.sql(f"SET client_encoding = '{encoding}'")
        assert world.call(queries.accent_named)._fields == ("é",)


def test_a_database_without_an_encoding_gives_bytes_as_psycopg_does(
    server_url: str, connect: Callable[..., World], queries: Any
) -> None:
    name = f"rowsmith_{uuid4().hex[:12]}"
    with psycopg.connect(server_url, autocommit=True) as conn:
        options = "ENCODING 'SQL_ASCII' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0"
        conn.execute(f"CREATE DATABASE {name} {options}".encode())
    url = replace_database(server_url, name)
    try:
        world = connect(url)
        for query in (queries.word, queries.accents, queries.accent_json) * 2:
            given = outcome(world.call, query, v="é")
            assert given == outcome(world.value, query.sql, "é")
        assert world.call(queries.word, v="é") == "é".encode()
        assert world.call(queries.one, n=5) == 5
        world.close()
    finally:
        drop_database(url, server_url)


# --- memory ---


def resident() -> int:
    """The bytes of memory that the process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux says so simply")
def test_no_result_is_kept(world: World, queries: Any) -> None:
    """libpq keeps a result outside of Python's memory, where tracemalloc does not see it."""
    size = 64_000_000
    world.call(queries.filling, n=1)
    length = len(world.call(queries.filling, n=size))
    before = resident()
    world.call(queries.filling, n=1)
    assert length == size
    assert before - resident() < size // 2


def test_a_connection_that_is_dropped_is_freed_at_once(place: str, queries: Any, *, asynchronous: bool) -> None:
    """By the count of its references, with psycopg's own warning and no other."""
    freed: list[tuple[object, ...]] = []
    gc.collect()
    gc.disable()
    try:
        for by_query in (False, True):
            world = World(place, asynchronous=asynchronous)
            if by_query:
                world.call(queries.one, n=1)
                world.call(queries.untyped, v=1)
                world.call(queries.rows, n=3)
            else:
                world.value("SELECT 1")
            kept = weakref.ref(world.conn), weakref.ref(world.conn.pgconn)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                del world.conn
            freed.append((*(each() is None for each in kept), [each.category for each in caught]))
            if world.runner:
                world.runner.close()
    finally:
        gc.enable()
    assert freed == [(True, True, [ResourceWarning])] * 2

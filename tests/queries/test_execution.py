"""How a query runs: as a prepared statement of its own, and in all else just as psycopg's own cursor would run it.

The yardstick is psycopg: what a query gives, the error that it raises and the state that it leaves behind are compared
with those of a cursor on a connection in the same state.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import signal
import socket
import threading
import warnings
import weakref
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from uuid import uuid4

import psycopg
import psycopg_pool
import pytest
from psycopg import Notify
from psycopg.adapt import AdaptersMap, Loader
from psycopg.errors import Diagnostic
from psycopg.pq import Format, PipelineStatus, TransactionStatus
from psycopg.types.composite import CompositeInfo, register_composite
from psycopg.types.enum import EnumInfo, register_enum
from psycopg.types.json import set_json_loads
from psycopg.types.numeric import FloatLoader, IntLoader
from psycopg.types.string import TextLoader

from rowsmith import errors, load_queries
from rowsmith.queries.calls import bind
from rowsmith.queries.loader import read_queries
from rowsmith.queries.query import Query
from rowsmith.queries.rows import rows_of
from rowsmith.queries.statement import BoundQuery
from rowsmith.server.scratch import drop_database, replace_database
from rowsmith.wire import connection_async as wire
from tests.harness.databases import new_database
from tests.harness.interruptions import interrupted_at
from tests.harness.network import Proxy
from tests.harness.waiting import PATIENCE, wait_until
from tests.harness.worlds import World, outcome, told

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

SQL = """
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


LARGE = f"""
-- name: many_values({", ".join(f"p{n}" for n in range(MANY))})^
SELECT {", ".join(f":p{n}::int AS p{n}" for n in range(MANY))};

-- name: wide()^
SELECT {", ".join(f"{n} AS c{n}" for n in range(COLUMNS))};
"""
"""Queries that take long to read."""

VALUES = [
    "1.5::numeric", "ARRAY[1.5::numeric, NULL]", "numrange(1.5, 2.5)", "ARRAY[numrange(1.5, NULL)]",
    "nummultirange(numrange(1.5, 2.5))", "7::int4", "ARRAY[7, 8]", "ARRAY[[7], [8]]", "int4range(1, 5)",
    "int4multirange(int4range(1, 5))", """'{"a": 1.5}'::jsonb""", """'{"a": 1.5}'::json""",
    """ARRAY['{"a": 1.5}'::jsonb]""", "date '2024-01-01'", "ARRAY[date '2024-01-01']", "daterange('2024-01-01', NULL)",
    "'text'::text", "ARRAY['text']", "1.5::float8", "1.5::float4", "'ok'::mood", "ARRAY['ok', NULL]::mood[]",
    "ROW(1, 'x')::pair", "ARRAY[ROW(1, 'x')::pair]", "'w'::word", "ARRAY['w']::word[]", "ROW(1, 1.5)",
]  # fmt: skip
SQL_OF_VALUES = "".join(f"\n-- name: value_{index}()$\nSELECT {text};\n" for index, text in enumerate(VALUES))


def diagnosis(error: psycopg.Error) -> dict[str, object]:
    """All that the server said of an error, but the line of its own source."""
    names = [name for name in dir(error.diag) if not name.startswith("_") and name != "source_line"]
    return {"class": type(error), "sqlstate": error.sqlstate, **{name: getattr(error.diag, name) for name in names}}


@pytest.fixture(scope="module")
def place(server_url: str) -> Iterator[str]:
    """The URL of a database of these tests."""
    with new_database(server_url) as url:
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(SCHEMA)
        yield url


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Query]:
    """The queries as they are in their file, by name."""
    path = tmp_path_factory.mktemp("execution") / "execution.sql"
    path.write_text(SQL + SQL_OF_VALUES)
    return {query.name: query for query in read_queries(path)}


class Unknown:
    """Query functions that have not run yet."""

    def __init__(self, read: dict[str, Query]) -> None:
        self._read = read

    def __getattr__(self, name: str) -> Any:
        query = self._read[name]
        function = bind(BoundQuery(query, rows_of(query, {})))
        setattr(self, name, function)
        return function


@pytest.fixture
def queries(read: dict[str, Query]) -> Any:
    """The queries, of which nothing is known yet."""
    return Unknown(read)


@pytest.fixture
def large(tmp_path: Path) -> Any:
    """Queries with many values and columns."""
    path = tmp_path / "large.sql"
    path.write_text(LARGE)
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


def test_a_query_has_no_values_one_or_many(world: World, queries: Any, large: Any) -> None:
    values = {f"p{n}": n for n in range(MANY)}
    for _ in range(2):
        assert world.call(queries.constant) == 42
        assert world.call(queries.nothing) is None
        assert world.call(large.many_values, **values)._asdict() == values


def test_a_row_may_have_as_many_columns_as_the_server_gives(world: World, large: Any) -> None:
    for _ in range(2):
        row = world.call(large.wide)
        assert list(row) == list(range(COLUMNS))
        assert row._fields[-1] == f"c{COLUMNS - 1}"


def test_a_result_without_columns_has_no_rows_to_read(world: World, queries: Any) -> None:
    for _ in range(2):
        with pytest.raises(errors.ResultShapeError, match=r"returns no rows \(SELECT 3\)"):
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


def test_a_query_that_takes_too_long_is_cancelled_by_the_server(world: World, queries: Any) -> None:
    world.call(queries.slow, seconds=0.0, n=1)
    world.sql("SET statement_timeout = 20")
    with pytest.raises(psycopg.errors.QueryCanceled):
        world.call(queries.slow, seconds=30.0, n=1)
    assert world.call(queries.one, n=5) == 5


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
    asleep = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'"
    wait_until(lambda: conn.execute(asleep, [process]).fetchone())


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


# --- interruptions: what is interrupted, and how it is afterwards ---

_LIMIT = 60.0
"""Seconds after which a test of interruptions fails, whatever it waits for; it takes one or two."""
_BOUNDED: dict[str, Any] = {"autocommit": True, "options": "-c statement_timeout=20s"}


@dataclass(frozen=True)
class Work:
    """A query to be interrupted; on a connection for threads it gives its result, on one for tasks what to await."""

    call: Callable[[Any, Any, int], Any]
    """Called with the queries, the connection and a number."""
    right: Callable[[Any, int], bool]
    """Whether a result is that of this number."""
    first: bool = False
    """Whether each time is the first use: every prepared statement is given up before."""
    begin: bool = False
    """Whether it runs in a transaction, which psycopg begins before."""


_FAST = Work(lambda queries, conn, n: queries.one(conn, n=n), lambda given, n: given == n)
WORK: dict[str, Work] = {
    "fast": _FAST,
    "slow": Work(lambda queries, conn, n: queries.slow(conn, seconds=0.001, n=n), lambda given, n: given == n),
    "large result": Work(
        lambda queries, conn, n: queries.rows(conn, n=1000 + n), lambda rows, n: len(rows) == 1000 + n
    ),
    "large value": Work(
        lambda queries, conn, n: queries.length_of(conn, v="x" * (3_000_000 + n)),
        lambda given, n: given == 3_000_000 + n,
    ),
    "first use": replace(_FAST, first=True),
    "in a transaction": replace(_FAST, begin=True),
    "first use in a transaction": replace(_FAST, first=True, begin=True),
}
every_work = pytest.mark.parametrize("work", WORK.values(), ids=WORK)
either_way = pytest.mark.parametrize("threshold", [5, None], ids=["prepared", "by_cursor"])
"""Where `prepare_threshold` is None, every query goes by psycopg's cursor."""
may_be_swallowed = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""Python drops an exception in a callback of the garbage collector's or in `__del__`, and reports it so."""


def assert_free(conn: Any, work: Work) -> None:
    """That nobody holds the connection's lock, and that it is in no transaction or pipeline that nobody began."""
    assert not conn.lock.locked()
    assert conn.pgconn.pipeline_status == PipelineStatus.OFF
    states = {TransactionStatus.IDLE}
    if work.begin:  # a connection made anew is in none
        states |= {TransactionStatus.INTRANS, TransactionStatus.INERROR}
    assert conn.pgconn.transaction_status in states


def assert_nothing_runs(place: str, *processes: int) -> None:
    """That the server's processes end what they do, within a time that is short beside that of what they did."""
    busy = "SELECT FROM pg_stat_activity WHERE pid = ANY (%s) AND state <> 'idle'"
    with psycopg.connect(place, autocommit=True) as conn:
        for _ in range(1000):
            if conn.execute(busy, [list(processes)]).fetchone() is None:
                return
            conn.execute("SELECT pg_sleep(0.005)")
    raise AssertionError("the statement goes on")


def end(place: str, process: int) -> None:
    """End a server process that may go on with its statement: a request to cancel it may not have come through."""
    with psycopg.connect(place, autocommit=True) as conn:
        conn.execute("SELECT pg_terminate_backend(%s)", [process])


# --- interrupted tasks ---


def run_limited(main: Coroutine[Any, Any, None]) -> None:
    """Run a test's tasks, and cancel them where they take too long."""
    asyncio.run(asyncio.wait_for(main, _LIMIT))


class Tasks:
    """A connection for tasks, made anew when it was closed."""

    def __init__(self, url: str, queries: Any, work: Work, threshold: int | None) -> None:
        self.url, self.queries, self.work, self.threshold = url, queries, work, threshold
        self.conn: psycopg.AsyncConnection[Any]

    async def open(self) -> None:
        """Connect."""
        self.conn = await psycopg.AsyncConnection.connect(self.url, prepare_threshold=self.threshold, **_BOUNDED)

    async def repeat(self, n: int) -> None:
        """The work over and over, until the task is cancelled, or so often that it never was."""
        conn, work = self.conn, self.work
        for _ in range(500):
            if work.first:
                await self.queries.forget_statements(conn)
            assert work.right(await work.call(self.queries, conn, n), n)

    async def cancelled(self, n: int, chance: random.Random) -> int:
        """Cancel tasks that repeat the work. How many were at it."""
        if self.work.begin:
            await self.conn.execute("BEGIN")
        together = [asyncio.create_task(self.repeat(n)) for _ in range(1 + n % 3)]
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
        await asyncio.sleep(chance.choice([0, 0.001, 0.002, 0.004]))
        cancelled = sum(task.cancel() for task in together)
        # Who shares a transaction with one that was cancelled finds that it has failed.
        expected = (asyncio.CancelledError, psycopg.Error if self.work.begin else psycopg.OperationalError)
        for result in await asyncio.gather(*together, return_exceptions=True):
            assert result is None or isinstance(result, expected), result
        return cancelled

    async def check(self, n: int) -> None:
        """That the connection is closed, or usable and in step."""
        if self.conn.closed:
            await self.open()
        assert_free(self.conn, self.work)
        await self.conn.rollback()
        if self.work.first:  # one that was interrupted may have run; outside a transaction that is found out
            await self.queries.forget_statements(self.conn)
        assert await self.queries.one(self.conn, n=n) == n
        assert await self.queries.two(self.conn, n=-n) == -n


@every_work
@either_way
def test_cancelled_tasks_leave_the_connection_in_step(
    place: str, queries: Any, work: Work, threshold: int | None
) -> None:
    """434 tasks in all, each cancelled at some moment; some of them wait for the lock then."""
    chance = random.Random(1)  # noqa: S311 - for variety alone

    async def main() -> None:
        tasks, cancelled = Tasks(place, queries, work, threshold), 0
        await tasks.open()
        try:
            for n in range(16):
                cancelled += await tasks.cancelled(n, chance)
                await tasks.check(n)
        finally:
            await tasks.conn.close()
        assert cancelled > 24  # of 31; a task whose connection another one has closed is no more

    run_limited(main())


@either_way
def test_a_cancelled_task_leaves_nothing_running_on_the_server(place: str, queries: Any, threshold: int | None) -> None:
    """Whether cancelled once or twice at once, as where a timeout and a task group end the same task."""

    async def main() -> None:
        async with await psycopg.AsyncConnection.connect(place, prepare_threshold=threshold, **_BOUNDED) as conn:
            for times in (1, 2, 3):
                task = asyncio.create_task(queries.slow(conn, seconds=30.0, n=1))
                await asyncio.to_thread(wait_for_sleep_of, place, conn.info.backend_pid)
                for _ in range(times):
                    task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert_free(conn, _FAST)
                assert_nothing_runs(place, conn.info.backend_pid)
                for n in range(3):
                    assert await queries.one(conn, n=n) == n  # nobody cancels this one

    run_limited(main())


@either_way
def test_a_cancellation_of_the_recovery_closes_the_connection(place: str, queries: Any, threshold: int | None) -> None:
    async def main(proxy: Proxy) -> None:
        conn = await psycopg.AsyncConnection.connect(proxy.url, prepare_threshold=threshold, **_BOUNDED)
        process = conn.info.backend_pid
        task = asyncio.create_task(queries.slow(conn, seconds=30.0, n=1))
        await asyncio.to_thread(wait_for_sleep_of, place, process)
        proxy.stall()
        task.cancel()
        await asyncio.to_thread(proxy.wait_for_clients, 2)  # the second asks for the cancellation
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert conn.closed
        assert not conn.lock.locked()
        with pytest.raises(psycopg.OperationalError):
            await queries.one(conn, n=1)
        end(place, process)

    with Proxy(place) as proxy:
        run_limited(main(proxy))


def test_a_cancellation_that_cannot_be_sent_closes_the_connection(
    place: str, queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "_CANCEL_SECONDS", 0.1)

    async def main(proxy: Proxy) -> None:
        conn = await psycopg.AsyncConnection.connect(proxy.url, **_BOUNDED)
        process = conn.info.backend_pid
        await queries.slow(conn, seconds=0.0, n=1)
        task = asyncio.create_task(queries.slow(conn, seconds=30.0, n=1))
        await asyncio.to_thread(wait_for_sleep_of, place, process)
        proxy.stall()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert conn.closed
        assert not conn.lock.locked()
        end(place, process)

    with Proxy(place) as proxy:
        run_limited(main(proxy))


@either_way
def test_a_task_that_waits_for_the_lock_can_be_cancelled(place: str, queries: Any, threshold: int | None) -> None:
    async def main() -> None:
        async with await psycopg.AsyncConnection.connect(place, prepare_threshold=threshold, **_BOUNDED) as conn:
            await conn.lock.acquire()
            waiters = [asyncio.create_task(queries.one(conn, n=n)) for n in range(4)]
            await asyncio.sleep(0)  # each begins to wait
            waiters[0].cancel()
            waiters[2].cancel()
            await asyncio.sleep(0)
            conn.lock.release()
            waiters[3].cancel()
            cancelled, given, *others = await asyncio.gather(*waiters, return_exceptions=True)
            assert given == 1
            assert [type(result) for result in (cancelled, *others)] == [asyncio.CancelledError] * 3
            assert_free(conn, _FAST)
            assert await queries.one(conn, n=9) == 9

    run_limited(main())


@either_way
def test_the_message_of_a_cancellation_is_kept(place: str, queries: Any, threshold: int | None) -> None:
    async def main() -> None:
        async with await psycopg.AsyncConnection.connect(place, prepare_threshold=threshold, **_BOUNDED) as conn:
            task = asyncio.create_task(queries.slow(conn, seconds=30.0, n=1))
            await asyncio.to_thread(wait_for_sleep_of, place, conn.info.backend_pid)
            task.cancel("the reason")
            with pytest.raises(asyncio.CancelledError, match="the reason"):
                await task

    run_limited(main())


def wait_for_sleep_of(url: str, process: int) -> None:
    """As `wait_for_sleep`, by a connection of its own."""
    with psycopg.connect(url, autocommit=True) as conn:
        wait_for_sleep(conn, process)


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
    """SIGALRM raises KeyboardInterrupt where one is due, as SIGINT does by itself, and ends a test that hangs.

    Between the interruptions the signal comes every second, to see to that, and does nothing else.
    """

    def __init__(self) -> None:
        self._due = 0
        self._end = monotonic() + _LIMIT
        self.rest()

    def __call__(self, *_: object) -> None:
        if self._due:
            self._due -= 1
            raise KeyboardInterrupt
        assert monotonic() < self._end, "the test hangs"

    def wait_until_due(self) -> None:
        """For the thread that sends the signal: before, it would go unnoticed."""
        while not self._due and monotonic() < self._end:
            sleep(0.0002)

    def rest(self) -> None:
        """Interrupt nothing any more."""
        self._due = 0
        signal.setitimer(signal.ITIMER_REAL, 1, 1)

    def during(self, work: Callable[[], object], seconds: float = _LIMIT, *, times: int = 1) -> None:
        """Do the work over and over until it has been interrupted; by itself after so many seconds.

        That it was is not said: where the signal comes in a callback, Python drops the exception.
        """
        try:
            try:
                self._repeat(work, seconds, times)
            finally:
                self.rest()
        except KeyboardInterrupt:
            pass

    def _repeat(self, work: Callable[[], object], seconds: float, times: int) -> None:
        # A function of its own: Python 3.13 may raise it at the head of a loop as if that were outside of its `try`.
        self._due = times
        signal.setitimer(signal.ITIMER_REAL, seconds, 1)
        while self._due:
            work()


@pytest.fixture
def interruption() -> Iterator[Interruption]:
    """What stands for Ctrl-C. Nothing is logged meanwhile: interrupted there, a handler may stay locked for ever."""
    logging.disable()
    previous = signal.signal(signal.SIGALRM, signal.SIG_IGN)
    interruption = Interruption()
    signal.signal(signal.SIGALRM, interruption)
    yield interruption
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, previous)
    logging.disable(logging.NOTSET)


class Interrupted:
    """A connection for threads, made anew when it was closed."""

    def __init__(self, place: str, queries: Any, work: Work, threshold: int | None) -> None:
        self.place, self.queries, self.work, self.threshold = place, queries, work, threshold
        self.n = 0
        self.conn = self.open()

    def open(self) -> psycopg.Connection[Any]:
        """Connect."""
        return psycopg.connect(self.place, prepare_threshold=self.threshold, **_BOUNDED)

    def begin(self) -> None:
        """Begin the transaction that the work runs in."""
        if self.work.begin:
            self.conn.execute("BEGIN")

    def once(self) -> None:
        """The work."""
        if self.work.first:
            self.queries.forget_statements(self.conn)
        assert self.work.right(self.work.call(self.queries, self.conn, self.n), self.n)

    def check(self) -> None:
        """That the connection is closed, or usable and in step. The next work has another number."""
        if self.conn.closed:
            self.conn = self.open()
        assert_free(self.conn, self.work)
        self.conn.rollback()
        if self.work.first:  # as for tasks
            self.queries.forget_statements(self.conn)
        self.n += 1
        assert self.queries.one(self.conn, n=self.n) == self.n
        assert self.queries.two(self.conn, n=-self.n) == -self.n

    def close(self) -> None:
        """Close the connection."""
        self.conn.close()


@every_work
@either_way
@may_be_swallowed
def test_ctrl_c_leaves_the_connection_in_step(
    place: str, queries: Any, interruption: Interruption, work: Work, threshold: int | None
) -> None:
    """210 interruptions in all, each at some moment."""
    chance = random.Random(1)  # noqa: S311 - for variety alone
    with closing(Interrupted(place, queries, work, threshold)) as interrupted:
        for _ in range(15):
            interrupted.begin()
            interruption.during(interrupted.once, chance.uniform(0.00001, 0.004))
            interrupted.check()


@pytest.mark.parametrize("name", ["fast", "first use", "first use in a transaction"])
@either_way
@may_be_swallowed
def test_ctrl_c_at_any_step_leaves_the_connection_in_step(
    place: str, queries: Any, interruption: Interruption, name: str, threshold: int | None
) -> None:
    """`interruption` is here for its limit alone."""
    with closing(Interrupted(place, queries, WORK[name], threshold)) as interrupted:
        number, reached = 0, True
        while reached:
            number += 1
            interrupted.begin()
            reached = interrupted_at(number, interrupted.once)
            interrupted.check()
        assert number > 20


@either_way
def test_ctrl_c_ends_what_the_server_does(
    place: str, queries: Any, interruption: Interruption, threshold: int | None
) -> None:
    with closing(psycopg.connect(place, prepare_threshold=threshold, **_BOUNDED)) as conn:
        for n in range(3):
            with signal_when_asleep(place, conn.info.backend_pid):
                interruption.during(lambda: goes_on(queries.slow(conn, seconds=30.0, n=1)))
            assert_free(conn, _FAST)
            assert_nothing_runs(place, conn.info.backend_pid)
            assert queries.one(conn, n=n) == n


@either_way
def test_ctrl_c_in_the_recovery_closes_the_connection(
    place: str, queries: Any, interruption: Interruption, threshold: int | None
) -> None:
    with Proxy(place) as proxy:
        conn = psycopg.connect(proxy.url, prepare_threshold=threshold, **_BOUNDED)
        process = conn.info.backend_pid
        with signal_when_asleep(place, process, proxy):
            interruption.during(lambda: goes_on(queries.slow(conn, seconds=30.0, n=1)), times=2)
        assert conn.closed
        assert not conn.lock.locked()
        with pytest.raises(psycopg.OperationalError):
            queries.one(conn, n=1)
        end(place, process)


def goes_on(_: object) -> None:
    """A query gave something, which it had no time to give."""
    raise AssertionError("the query was not interrupted")


@contextmanager
def signal_when_asleep(place: str, process: int, proxy: Proxy | None = None) -> Generator[None]:
    """Send SIGALRM to this thread as soon as a server process sleeps in pg_sleep().

    With a proxy it is stalled before, and the signal comes once more when a second client, which asks for the
    cancellation, has come.
    """
    main = threading.get_ident()

    def send() -> None:
        wait_for_sleep_of(place, process)
        if proxy is not None:
            proxy.stall()
        signal.pthread_kill(main, signal.SIGALRM)
        if proxy is not None:
            proxy.wait_for_clients(2)
            signal.pthread_kill(main, signal.SIGALRM)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        thread.join(_LIMIT)
    assert not thread.is_alive()


@either_way
@may_be_swallowed
def test_ctrl_c_as_the_lock_is_waited_for_leaves_it_free(
    place: str, queries: Any, interruption: Interruption, threshold: int | None
) -> None:
    """The signal comes about when another thread releases the lock: before, after, or at once."""
    main, chance = threading.get_ident(), random.Random(1)  # noqa: S311 - for variety alone
    with closing(Interrupted(place, queries, _FAST, threshold)) as interrupted:

        def hold() -> None:
            with interrupted.conn.lock:
                held.set()
                interruption.wait_until_due()
                sleep(chance.uniform(0, 0.002))
                if number % 2:
                    signal.pthread_kill(main, signal.SIGALRM)
            if not number % 2:
                signal.pthread_kill(main, signal.SIGALRM)

        for number in range(20):  # noqa: B007 - `hold` reads it
            held = threading.Event()
            thread = threading.Thread(target=hold)
            thread.start()
            assert held.wait(_LIMIT)
            interruption.during(interrupted.once)
            thread.join(_LIMIT)
            interrupted.check()


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
        thread.join(PATIENCE)
        waits = thread.is_alive()
        far.send(b"!")  # which ends the thread in any case
        thread.join()
        near.close()
        far.close()
    assert not waits
    # The first where the query sleeps on the server before the call that has sent it returns.
    assert [str(error).split(":")[0] for error in failures] in (["flushing failed"], ["consuming input failed"])


def test_a_connection_may_be_closed_by_another_task_during_a_query(place: str, queries: Any) -> None:
    async def main() -> None:
        conn = await psycopg.AsyncConnection.connect(place, autocommit=True)
        await queries.slow(conn, seconds=0.0, n=1)
        task = asyncio.create_task(queries.slow(conn, seconds=30.0, n=1))
        await asyncio.sleep(0.05)
        await conn.close()
        other = await psycopg.AsyncConnection.connect(place, autocommit=True)  # its socket may have the same number
        with pytest.raises(psycopg.OperationalError):
            await asyncio.wait_for(task, PATIENCE)
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

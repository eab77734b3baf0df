"""`copy_rows`: rows of every kind, values of every type in both formats, and everything that can be wrong."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import logging
import math
import tracemalloc
from collections import UserList
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from ipaddress import ip_address, ip_interface, ip_network
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format, TransactionStatus
from psycopg.rows import DictRow, TupleRow, dict_row, namedtuple_row
from psycopg.sql import Composed, Identifier
from psycopg.types.datetime import DateDumper
from psycopg.types.enum import EnumInfo, register_enum
from psycopg.types.json import Json, Jsonb, set_json_dumps
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range
from pydantic import BaseModel, ConfigDict, create_model

from blueprint.dataset import Sizes, load
from blueprint.queries import User as UserModel
from blueprint.queries import UserRole
from rowsmith import Database
from rowsmith.copy.call import copy_rows
from rowsmith.copy.encoder import report
from rowsmith.copy.tables import Table
from rowsmith.testing.databases import fresh_database
from tests.harness.databases import MIGRATIONS
from tests.harness.examples import examples

NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
ROW_KINDS = "a sequence, a mapping, a dataclass or a pydantic model"


class World:
    """The same calls on a synchronous and on an asynchronous connection, in a transaction that is rolled back."""

    def __init__(self, url: str, *, asynchronous: bool, autocommit: bool = False) -> None:
        self.runner = asyncio.Runner() if asynchronous else None
        self.conn: Any = (
            self.runner.run(psycopg.AsyncConnection.connect(url, autocommit=autocommit))
            if self.runner
            else psycopg.connect(url, autocommit=autocommit)
        )

    def wait(self, result: Any) -> Any:
        """The result of an awaitable, or a result as it is on the synchronous connection."""
        return self.runner.run(_await(result)) if self.runner else result

    def copy(self, table: str, rows: Any, **options: Any) -> int:
        """Run copy_rows to its end."""
        count: int = self.wait(copy_rows(self.conn, table, rows, **options))
        return count

    def sql(self, statement: str, *values: Any) -> list[TupleRow]:
        """Run a statement; the rows, if it returns any."""
        cursor = self.wait(self.conn.execute(statement, values or None))
        return list(self.wait(cursor.fetchall())) if cursor.description else []

    def close(self) -> None:
        """Roll back, and close the connection."""
        self.wait(self.conn.close())
        if self.runner:
            self.runner.close()


async def _await(result: Any) -> Any:
    return await result


@pytest.fixture(params=["sync", "async"])
def world(request: pytest.FixtureRequest, worker_database_url: str) -> Iterator[World]:
    world = World(worker_database_url, asynchronous=request.param == "async")
    yield world
    world.close()


@pytest.fixture(params=["sync", "async"])
def committing(request: pytest.FixtureRequest, database_url: str) -> Iterator[World]:
    """A world in autocommit mode, on a database of the test's own."""
    world = World(database_url, asynchronous=request.param == "async", autocommit=True)
    yield world
    world.close()


# Rows


class ItemTuple(NamedTuple):
    id: int
    label: str
    price: Decimal | None


class OtherTuple(NamedTuple):
    label: str
    price: Decimal | None
    id: int


@dataclass(frozen=True, slots=True)
class Slotted:
    id: int
    label: str
    price: Decimal | None


@dataclass
class Plain:
    label: str
    price: Decimal | None
    id: int = field(default=0)


class Model(BaseModel):
    id: int
    label: str
    price: Decimal | None = None


ITEM = "CREATE TEMP TABLE item (id int, label text, price numeric)"
EXPECTED = [(1, "one", Decimal("1.50")), (2, "it's\t\\N", None)]
ROWS: dict[str, list[Any]] = {
    "tuples": EXPECTED,
    "lists": [list(row) for row in EXPECTED],
    "other sequences": [UserList(row) for row in EXPECTED],
    "named tuples": [ItemTuple(*row) for row in EXPECTED],
    "named tuples in another order": [OtherTuple(label, price, id_) for id_, label, price in EXPECTED],
    "slotted dataclasses": [Slotted(*row) for row in EXPECTED],
    "dataclasses": [Plain(label, price, id_) for id_, label, price in EXPECTED],
    "models": [Model(id=id_, label=label, price=price) for id_, label, price in EXPECTED],
    "dicts": [{"price": price, "id": id_, "label": label} for id_, label, price in EXPECTED],
    "mappings": [MappingProxyType({"price": price, "id": id_, "label": label}) for id_, label, price in EXPECTED],
}


@pytest.mark.parametrize("kind", ROWS)
def test_rows_of_every_kind(world: World, kind: str) -> None:
    world.sql(ITEM)
    assert world.copy("item", ROWS[kind]) == 2
    assert world.sql("SELECT * FROM item ORDER BY id") == EXPECTED


def test_rows_of_several_kinds_in_one_iterable(world: World) -> None:
    world.sql(ITEM)
    mixed = [*ROWS["models"], *ROWS["dicts"], *ROWS["named tuples"], *ROWS["dataclasses"], *EXPECTED] * 40
    assert world.copy("item", mixed) == len(mixed)
    assert world.sql("SELECT id, label, price, count(*) FROM item GROUP BY 1, 2, 3 ORDER BY 1") == [
        (*row, len(mixed) // 2) for row in EXPECTED
    ]


@pytest.mark.parametrize("kind", ["named tuples", "slotted dataclasses", "models", "dicts"])
def test_chosen_columns_are_read_by_name_and_the_others_left_alone(world: World, kind: str) -> None:
    world.sql(ITEM)
    assert world.copy("item", ROWS[kind], columns=["price", "id"]) == 2
    assert world.copy("item", ROWS[kind], columns=iter(["label"])) == 2
    assert set(world.sql("SELECT * FROM item")) == {
        (1, None, Decimal("1.50")), (2, None, None), (None, "one", None), (None, "it's\t\\N", None)
    }  # fmt: skip


def test_chosen_columns_of_sequences_are_read_in_their_order(world: World) -> None:
    world.sql(ITEM)
    assert world.copy("item", [("a", 1), ["b", 2]], columns=("label", "id")) == 2
    assert world.copy("item", [("c",)], columns=("label",)) == 1
    assert world.sql("SELECT id, label FROM item ORDER BY label") == [(1, "a"), (2, "b"), (None, "c")]


def test_a_chosen_column_may_be_a_property(world: World) -> None:
    class Shouting(Model):
        @property
        def shout(self) -> str:
            return self.label.upper()

    world.sql("CREATE TEMP TABLE item (id int, shout text)")
    world.copy("item", [Shouting(id=1, label="one")], columns=["id", "shout"])
    assert world.sql("SELECT * FROM item") == [(1, "ONE")]


def test_a_field_may_have_any_name(world: World) -> None:
    class Doubling(BaseModel):
        @property
        def double(self) -> int:
            return int(vars(self)["class"]) * 2

    model = create_model("Odd", __base__=Doubling, **{"class": (int, ...)})  # type: ignore[call-overload]
    world.sql("CREATE TEMP TABLE item (class int, double int)")
    world.copy("item", [model(**{"class": 1})])
    world.copy("item", [model(**{"class": 2})], columns=["double", "class"])
    assert world.sql("SELECT * FROM item") == [(1, None), (2, 4)]


def test_rows_of_any_iterable(world: World) -> None:
    world.sql(ITEM)
    assert world.copy("item", iter(EXPECTED)) == 2
    assert world.copy("item", (row for row in EXPECTED)) == 2
    assert world.copy("item", dict.fromkeys(EXPECTED).keys()) == 2
    assert world.copy("item", range(0)) == 0
    assert world.sql("SELECT count(*) FROM item") == [(6,)]


def test_an_asynchronous_iterable(worker_database_url: str) -> None:
    async def generate(count: int) -> AsyncIterator[tuple[int, str]]:
        for number in range(count):
            if number % 100 == 0:
                await asyncio.sleep(0)
            yield number, f"label {number}"

    class Iterable:
        def __aiter__(self) -> AsyncIterator[tuple[int, str]]:
            return generate(3)

    async def main() -> list[TupleRow]:
        async with await psycopg.AsyncConnection.connect(worker_database_url) as conn:
            await conn.execute(ITEM)
            assert await copy_rows(conn, "item", generate(2000), columns=["id", "label"]) == 2000
            assert await copy_rows(conn, "item", Iterable(), columns=["id", "label"]) == 3
            assert await copy_rows(conn, "item", generate(0)) == 0
            cursor = await conn.execute("SELECT count(*), count(DISTINCT id), max(label) FROM item")
            rows = await cursor.fetchall()
            await conn.rollback()
        return rows

    assert asyncio.run(main()) == [(2003, 2000, "label 999")]


def test_a_synchronous_connection_refuses_an_asynchronous_iterable(conn: psycopg.Connection[Any]) -> None:
    async def generate() -> AsyncIterator[int]:
        yield 1

    conn.execute(ITEM)
    call: Callable[..., Any] = copy_rows
    with pytest.raises(TypeError, match="not iterable"):
        call(conn, "item", generate())


def test_a_single_row_is_refused(world: World) -> None:
    world.sql(ITEM)
    for one in (ROWS["models"][0], ROWS["dicts"][0], "row", b"row"):
        with pytest.raises(TypeError, match=rf"expects an iterable of rows, found a single {type(one).__name__}"):
            world.copy("item", one)
    with pytest.raises(TypeError, match="not iterable"):
        world.copy("item", ROWS["slotted dataclasses"][0])


def test_the_call_runs_when_it_is_awaited(worker_database_url: str) -> None:
    async def main() -> None:
        async with await psycopg.AsyncConnection.connect(worker_database_url) as conn:
            await conn.execute(ITEM)
            coroutine = copy_rows(conn, "item", EXPECTED)
            assert (await (await conn.execute("SELECT count(*) FROM item")).fetchone()) == (0,)
            assert await coroutine == 2
            await conn.rollback()

    asyncio.run(main())


# Tables and columns


@pytest.mark.parametrize(
    ("create", "name"),
    [
        ('CREATE TABLE "Odd ""Name"" 100%" (id int)', '"Odd ""Name"" 100%"'),
        ("CREATE SCHEMA s; CREATE TABLE s.item (id int)", "s.item"),
        ('CREATE SCHEMA "S.T"; CREATE TABLE "S.T"."i.j" (id int)', '"S.T"."i.j"'),
        ("CREATE SCHEMA s; CREATE TABLE s.item (id int); SET LOCAL search_path = s", "item"),
        ("CREATE SCHEMA s; CREATE TABLE s.item (id int); SET LOCAL search_path = s", "ITEM"),
        ("CREATE TEMP TABLE users (id int)", "users"),  # before the one in public
        ("CREATE TABLE item (id int) PARTITION BY RANGE (id); CREATE TABLE p PARTITION OF item DEFAULT", "item"),
        (
            """
            CREATE TABLE base (id int);
            CREATE VIEW item AS SELECT id FROM base;
            CREATE FUNCTION put() RETURNS trigger LANGUAGE plpgsql AS
                'BEGIN INSERT INTO base VALUES (NEW.id); RETURN NEW; END';
            CREATE TRIGGER put INSTEAD OF INSERT ON item FOR EACH ROW EXECUTE FUNCTION put()
            """,
            "item",
        ),
    ],
)
def test_a_table_is_named_as_in_sql(world: World, create: str, name: str) -> None:
    world.sql(create)
    assert world.copy(name, [(1,), (2,)]) == 2
    assert world.copy(name, [{"id": 3}]) == 1
    assert world.sql(f"SELECT * FROM {name} ORDER BY id") == [(1,), (2,), (3,)]


def test_columns_of_any_name(world: World) -> None:
    columns = ["select", "a.b", 'quo"te', "100%", "Ünï", "x y"]
    world.sql(f"CREATE TEMP TABLE item ({', '.join(f'{Identifier(name).as_string()} int' for name in columns)})")
    assert world.copy("item", [dict(zip(columns, range(6), strict=True))]) == 1
    assert world.copy("item", [range(6)], columns=columns) == 1
    assert world.sql("SELECT * FROM item") == [(0, 1, 2, 3, 4, 5)] * 2


def test_a_sequence_has_no_values_for_columns_that_are_always_generated(world: World) -> None:
    world.sql(
        "CREATE TEMP TABLE item (id int GENERATED ALWAYS AS IDENTITY, own int GENERATED BY DEFAULT AS IDENTITY,"
        " a int, gone int, twice int GENERATED ALWAYS AS (a * 2) STORED, b text)"
    )
    world.sql("ALTER TABLE item DROP COLUMN gone")
    assert world.copy("item", [(10, 1, "x"), (20, 2, "y")]) == 2
    assert world.sql("SELECT * FROM item ORDER BY id") == [(1, 10, 1, 2, "x"), (2, 20, 2, 4, "y")]
    with pytest.raises(
        ValueError, match=r"expected 3 values \(own, a, b\), found 2 \(to write id, twice, name the colu"
    ):
        world.copy("item", [(1, 2)])


def test_a_row_with_names_keeps_its_identity_and_leaves_generated_columns_alone(world: World) -> None:
    world.sql(
        "CREATE TEMP TABLE item (id int GENERATED ALWAYS AS IDENTITY, a int,"
        " twice int GENERATED ALWAYS AS (a * 2) STORED)"
    )
    whole = [{"id": 7, "a": 1, "twice": 2}, {"id": 8, "a": 2, "twice": None}]
    assert world.copy("item", whole) == 2
    assert world.sql("SELECT * FROM item ORDER BY id") == [(7, 1, 2), (8, 2, 4)]
    with pytest.raises(psycopg.errors.InvalidColumnReference, match="generated"):
        world.copy("item", whole, columns=["id", "twice"])


def test_columns_that_are_left_out_get_their_defaults(world: World) -> None:
    world.copy("users", [{"email": "a@example.com", "password_hash": "x"}])
    assert world.sql("SELECT role, is_active, login_attempts, id IS NULL FROM users") == [("USER", True, 0, False)]


def test_a_table_without_columns_to_write_is_refused(world: World) -> None:
    world.sql("CREATE TEMP TABLE item ()")
    with pytest.raises(ValueError, match="there are no columns of item to write"):
        world.copy("item", [()])
    with pytest.raises(ValueError, match="there are no columns of users to write"):
        world.copy("users", [{}])


@pytest.mark.parametrize("rows", [[], [(1,)]])
def test_a_table_that_does_not_exist(world: World, rows: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"there is no table userz \(did you mean users\?\)"):
        world.copy("userz", rows)
    with pytest.raises(ValueError, match=r"there is no table nowhere\.near$"):
        world.copy("nowhere.near", rows)
    world.sql("CREATE SCHEMA hidden; CREATE TABLE hidden.remote_item (id int)")
    with pytest.raises(ValueError, match=r"there is no table remote_item \(did you mean hidden\.remote_item\?\)"):
        world.copy("remote_item", rows)
    assert world.sql("SELECT 1") == [(1,)]


def test_sql_instead_of_a_table_name_is_refused(world: World) -> None:
    with pytest.raises((psycopg.errors.InvalidName, ValueError), match="users; DROP"):  # by versions to 15, from 16 on
        world.copy("users; DROP TABLE users", [(1,)])
    world.wait(world.conn.rollback())
    assert world.sql("SELECT count(*) FROM users") == [(0,)]


def test_an_index_instead_of_a_table_is_postgresqls_error(world: World) -> None:
    with pytest.raises(psycopg.errors.WrongObjectType) as raised:
        world.copy("users_pkey", [(1,)], columns=["id"])
    assert raised.value.__notes__ == ["in copy_rows() into users_pkey"]


@pytest.mark.parametrize("rows", [[], EXPECTED])
def test_columns_that_do_not_exist(world: World, rows: list[Any]) -> None:
    world.sql(ITEM)
    with pytest.raises(
        ValueError, match=r"item has no column 'lable' \(did you mean label\?\)\. Its columns: id, label"
    ):
        world.copy("item", rows, columns=["id", "lable"])
    with pytest.raises(ValueError, match="column id of item is named twice"):
        world.copy("item", rows, columns=["id", "label", "id"])
    with pytest.raises(TypeError, match="expects an iterable of column names, found the single name 'id'"):
        world.copy("item", rows, columns="id")


def test_an_empty_iterable_copies_no_rows(world: World) -> None:
    world.sql(ITEM)
    assert world.copy("item", []) == 0
    assert world.copy("item", iter(()), columns=["id"]) == 0


# Wrong rows


@pytest.mark.parametrize("before", [0, 1, 63, 64, 3000])
@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        ((1, "a"), ValueError, "expected 3 values (id, label, price), found 2"),
        ([1, "a", None, 5], ValueError, "expected 3 values (id, label, price), found 4"),
        ("abc", TypeError, f"expected {ROW_KINDS}, found str"),
        (b"abc", TypeError, f"expected {ROW_KINDS}, found bytes"),
        ({1, "a", None}, TypeError, f"expected {ROW_KINDS}, found set"),
        (None, TypeError, f"expected {ROW_KINDS}, found NoneType"),
        (iter([1, "a", None]), TypeError, f"expected {ROW_KINDS}, found list_iterator"),
    ],
)
def test_something_that_is_not_a_row_is_reported_by_its_number(
    world: World, bad: Any, error: type[Exception], message: str, before: int
) -> None:
    world.sql(ITEM)
    with pytest.raises(error) as raised:
        world.copy("item", [*EXPECTED[:1] * before, bad, *EXPECTED])
    assert str(raised.value).startswith(f"copy_rows() into item: row {before + 1}: {message}")


@pytest.mark.parametrize("row", [(1,), (1, None, 2)])
@pytest.mark.parametrize("before", [0, 100])
def test_a_row_of_another_length_in_the_text_format(world: World, row: tuple[Any, ...], before: int) -> None:
    world.sql("CREATE TEMP TABLE item (id int, at point)")
    with pytest.raises(ValueError, match=rf"row {before + 1}: expected 2 values \(id, at\), found {len(row)}"):
        world.copy("item", [(1, None)] * before + [row, (1, None)])


@pytest.mark.parametrize("before", [1, 63, 64, 3000])
@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [
        ((1, "a", None), {"id": 1, "label": "a"}, "found no field price"),
        ({"id": 1, "label": "a"}, {"id": 1}, "found no field label"),
        (
            {"id": 1, "label": "a"},
            {"id": 1, "lable": "a"},
            "found a field 'lable', which the first row does not have (did you mean label?)",
        ),
        ({"id": 1}, {"id": 1, "price": None}, "found a field 'price', which the first row does not have"),
        ({"id": 1, "label": "a"}, Model(id=1, label="x"), "found a field 'price', which the first row does not have"),
        (Model(id=1, label="x"), {"id": 1, "label": "x"}, "found no field price"),
        (Model(id=1, label="x"), Model.model_construct(id=1, price=None), "found no field label"),
        (Slotted(1, "x", None), object.__new__(Slotted), "found no field id, label, price"),
        (Slotted(1, "x", None), object.__new__(Plain), "found no field label, price"),
    ],
)
def test_a_row_with_other_fields_than_the_first_is_reported_by_its_number(
    world: World, good: Any, bad: Any, message: str, before: int
) -> None:
    world.sql(ITEM)
    with pytest.raises(ValueError, match="copy_rows") as raised:
        world.copy("item", [*[good] * before, bad, good])
    assert str(raised.value) == f"copy_rows() into item: row {before + 1}: {message}"


@pytest.mark.parametrize("kind", ["slotted dataclasses", "dicts"])
def test_a_field_that_is_missing_among_chosen_columns(world: World, kind: str) -> None:
    world.sql("CREATE TEMP TABLE item (id int, extra int)")
    with pytest.raises(ValueError, match=r"copy_rows\(\) into item: row 1: found no field extra"):
        world.copy("item", ROWS[kind], columns=["id", "extra"])


def test_a_field_of_the_first_row_that_is_no_column(world: World) -> None:
    world.sql(ITEM)
    with pytest.raises(
        ValueError, match=r"item has no column 'prize' \(did you mean price\?\)\. Its columns: id, label, price"
    ):
        world.copy("item", [{"id": 1, "prize": 2}])


def test_an_error_in_the_code_of_a_row_is_raised_with_a_note(world: World) -> None:
    class Explosive(Model):
        @property
        def shout(self) -> str:
            raise RuntimeError("boom")

    world.sql("CREATE TEMP TABLE item (id int, shout text)")
    with pytest.raises(RuntimeError, match="boom") as raised:
        world.copy("item", [Explosive(id=1, label="one")], columns=["id", "shout"])
    assert raised.value.__notes__ == ["copy_rows() into item: row 1"]


# Values


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue, or \\ so"


class Level(IntEnum):
    LOW = 1


@dataclass
class Address:
    street: str
    since: date


class Profile(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    id: UUID
    seen: datetime
    addresses: list[Address] = []


class Pair(NamedTuple):
    first: int
    second: str


class Moment(datetime):
    """A subclass of datetime, as freezegun and pandas have one."""


TYPES = """
CREATE TYPE colour AS ENUM ('red', 'blue, or \\ so');
CREATE TYPE point2 AS (x int, y text);
CREATE TYPE line2 AS (start point2, data jsonb, tags text[], colour colour);
CREATE DOMAIN email AS varchar(20) CHECK (VALUE LIKE '%@%');
CREATE DOMAIN work_email AS email;
CREATE DOMAIN labels AS text[];
CREATE DOMAIN tiny AS smallint;
"""
SHIFTED = datetime(2026, 3, 1, 12, 30, tzinfo=timezone(timedelta(hours=-3, minutes=-30)))
VALUES: dict[str, list[Any]] = {
    "boolean": [True, False],
    "smallint": [0, -(2**15), 2**15 - 1, Level.LOW],
    "integer": [0, -(2**31), 2**31 - 1, True],
    "bigint": [0, -(2**63), 2**63 - 1],
    "oid": [0, 2**32 - 1],
    "real": [0.0, -1.5, math.inf, 3],
    "double precision": [0.1, -1e300, 5e-324, math.inf, -math.inf, 7, Decimal("0.25")],
    "numeric": [Decimal("1.50"), Decimal("-1e-20"), Decimal("1E+5"), Decimal("Infinity"), 2**100, 0],
    "numeric(5,2)": [Decimal("1.005"), 7],
    "text": ["", "a\tb\nc\\d\r\v\b", "\\.", "\\N", "ünï €", Colour.BLUE],
    "varchar(5)": ["abc", ""],
    "char(3)": ["a  ", "abc"],
    "name": ["abc"],
    "bytea": [b"", b"\x00\xff\\", bytearray(b"x"), memoryview(b"y")],
    "uuid": [UUID(int=0), uuid4()],
    "inet": [ip_address("10.0.0.1"), ip_interface("10.0.0.1/8"), ip_address("::1")],
    "cidr": [ip_network("10.0.0.0/8"), ip_network("::/0")],
    "date": [date(2026, 3, 1), date.min, date.max],
    "time": [time(23, 59, 59, 999999), time.min],
    "timetz": [time(12, 0, tzinfo=UTC), time(12, 0, tzinfo=timezone(timedelta(hours=-3, minutes=-30)))],
    "timestamp": [datetime(2026, 3, 1, 12, 30, 15, 123456), datetime.min, Moment(2026, 1, 1)],  # noqa: DTZ001, DTZ901
    "timestamptz": [NOW, SHIFTED, Moment(2026, 1, 1, tzinfo=UTC)],
    "interval": [timedelta(0), timedelta(days=-1, microseconds=1), timedelta(days=400, hours=30)],
    "json": [{"a": [1, None]}, [], "text", 5, True, Json({"k": 1})],
    "jsonb": [{"a": [1, None], "ü": "\t\\"}, [1, [2]], "text", 1.5, False, Jsonb([{}])],
    "colour": ["red", Colour.RED, Colour.BLUE],
    "email": ["a@example.com"],
    "work_email": ["b@example.com"],
    "tiny": [5, -5],
    "labels": [["a", "b"], []],
    "integer[]": [[], [1, None, -3], [[1, 2], [3, 4]]],
    "smallint[]": [[2**15 - 1]],
    "text[]": [[], ["", "a b", 'q"\\,{}', None, "NULL"], [["x"], ["y"]]],
    "varchar(9)[]": [["abc"]],
    "uuid[]": [[UUID(int=5)]],
    "double precision[]": [[0.5, None, 2]],
    "numeric[]": [[Decimal("1.5"), 2]],
    "boolean[]": [[True, None, False]],
    "date[]": [[date(2026, 3, 1)]],
    "timestamptz[]": [[NOW, None]],
    "colour[]": [[Colour.BLUE, "red", None], []],
    "email[]": [["a@example.com"]],
    "char(3)[]": [["abc", "x  "]],
    "jsonb[]": [[{"a": 1}, [1, 2], "x", None], []],
    "point2": [(1, "a"), (None, 'q"\\,()'), {"y": "a", "x": 1}, Pair(1, "a")],
    "point2[]": [[(1, "a"), None, (2, "")], []],
    "line2": [((1, "a"), {"k": [1]}, ["x", "y z"], Colour.RED), (None, None, None, None)],
    "int4range": [Range(1, 10), Range(empty=True), Range(None, 5)],
    "tstzrange": [Range(NOW, None, "[]")],
    "datemultirange": [Multirange([Range(date(2026, 1, 1), date(2026, 2, 1))])],
    "tsvector": ["'a':1 'b':2"],
    "bit(3)": ["101"],
    "money": ["12.34"],
}


def as_parameter(declared: str, value: Any) -> Any:
    """The value in the form that psycopg needs for an INSERT."""
    if declared in ("json", "jsonb"):
        return value if isinstance(value, (Json, Jsonb)) else Jsonb(value)
    if declared == "jsonb[]":
        return [None if item is None else Jsonb(item) for item in value]
    if declared == "line2":
        return tuple(Jsonb(item) if isinstance(item, dict) else item for item in value)
    if declared == "point2" and isinstance(value, dict):
        return (value["x"], value["y"])
    if declared in ("double precision[]", "numeric[]"):
        kind = {"double precision[]": float, "numeric[]": Decimal}[declared]
        return [None if item is None else kind(item) for item in value]
    return value


@pytest.fixture(params=["binary", "text"])
def extra_type(request: pytest.FixtureRequest) -> str:
    """The type of an extra column. A point has no binary dumper, so the whole COPY uses the text format."""
    return "int" if request.param == "binary" else "point"


@pytest.mark.parametrize("declared", VALUES)
def test_values_of_every_type_in_both_formats(world: World, declared: str, extra_type: str) -> None:
    """What is stored is what the server makes of the same value in an INSERT."""
    world.sql(TYPES)
    world.sql(f"CREATE TEMP TABLE item (id int, extra {extra_type}, value {declared})")
    values = [*VALUES[declared], None]
    assert world.copy("item", [(number, None, value) for number, value in enumerate(values)]) == len(values)
    cast = "jsonb" if declared == "json" else declared
    for number, value in enumerate(VALUES[declared]):
        ((stored, inserted),) = world.sql(
            f"SELECT value::{cast}::text, (%s::{cast})::text FROM item WHERE id = %s",
            as_parameter(declared, value),
            number,
        )
        assert stored == inserted, value
    assert world.sql("SELECT id FROM item WHERE num_nulls(value) = 1") == [(len(values) - 1,)]


FINITE = st.floats(allow_nan=False)
STRATEGIES: dict[str, st.SearchStrategy[Any]] = {
    "boolean": st.booleans(),
    "smallint": st.integers(-(2**15), 2**15 - 1),
    "integer": st.integers(-(2**31), 2**31 - 1),
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "real": st.floats(width=32, allow_nan=False),
    "double precision": FINITE | st.integers(-(2**70), 2**70),
    "numeric": st.decimals(allow_nan=False, allow_infinity=False) | st.integers(),
    "text": st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    "bytea": st.binary(),
    "uuid": st.uuids(),
    "inet": st.ip_addresses(),
    "date": st.dates(),
    "time": st.times(),
    "timetz": st.times(timezones=st.just(UTC)),
    "timestamp": st.datetimes(),
    "timestamptz": st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=st.timezones()),  # noqa: DTZ001
    "interval": st.timedeltas(timedelta(days=-(10**6)), timedelta(days=10**6)),
    "jsonb": st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8", exclude_characters="\0")),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('ab\t\\"', max_size=3), inner, max_size=3),
        max_leaves=8,
    ).filter(lambda value: value is not None),
    "text[]": st.lists(st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"))),
    "integer[]": st.lists(st.none() | st.integers(-(2**31), 2**31 - 1)),
    "double precision[]": st.lists(st.none() | FINITE),
}


@pytest.fixture(scope="module")
def formats(server_url: str) -> Iterator[psycopg.Connection[TupleRow]]:
    """A connection with two tables of the same columns. One has an extra column, so it is copied in the text format."""
    columns = ", ".join(f'"{name}" {name}' for name in STRATEGIES)
    with fresh_database(server_url, [MIGRATIONS]) as url, psycopg.connect(url, autocommit=True) as conn:
        conn.execute(f"CREATE TABLE as_binary ({columns}); CREATE TABLE as_text ({columns}, extra point)".encode())
        yield conn


@settings(max_examples=examples(150), suppress_health_check=[HealthCheck.too_slow])
@given(rows=st.lists(st.tuples(*(st.none() | strategy for strategy in STRATEGIES.values())), min_size=1, max_size=3))
def test_both_formats_store_the_same(formats: psycopg.Connection[TupleRow], rows: list[tuple[Any, ...]]) -> None:
    formats.execute("TRUNCATE as_binary, as_text")
    assert copy_rows(formats, "as_binary", rows) == copy_rows(formats, "as_text", rows, columns=STRATEGIES) == len(rows)
    columns = ", ".join(f'"{name}"::text' for name in STRATEGIES)
    one, other = (
        formats.execute(f"SELECT {columns} FROM {table}".encode()).fetchall() for table in ("as_binary", "as_text")
    )
    assert one == other


def test_each_type_is_copied_in_the_expected_format(
    conn: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[str] = []
    copy = psycopg.RawCursor[Any].copy

    def noted(self: psycopg.RawCursor[Any], statement: Composed) -> Any:
        statements.append(statement.as_string())
        return copy(self, statement)

    monkeypatch.setattr(psycopg.RawCursor, "copy", noted)
    conn.execute(TYPES)
    binary = [*STRATEGIES, "varchar(5)", "char(3)", "colour", "work_email", "labels", "json", "oid"]
    text = ["point", "point2", "colour[]", "email[]", "jsonb[]", "int4range"]
    for declared in (*binary, *text):
        conn.execute(f"CREATE TEMP TABLE item (value {declared})".encode())
        copy_rows(conn, "item", [(None,)])
        conn.execute("DROP TABLE item")
    ends = [statement.rpartition("STDIN")[2] for statement in statements]
    assert ends == [" (FORMAT BINARY)"] * len(binary) + [""] * len(text)


class Expression:
    """Like an expression of an ORM: it can be part of any calculation, but it is not a value."""

    def __sub__(self, other: object) -> Expression:
        return self

    __rsub__ = __sub__


class NotATime(datetime):
    """Like pandas.NaT."""

    def __sub__(self, other: object) -> Any:
        return self

    __rsub__ = __sub__


NAIVE = datetime(2026, 3, 1, 12, 30)  # noqa: DTZ001
WRONG: list[tuple[str, Any, type[Exception], str]] = [
    ("boolean", 5, TypeError, "expected a bool, found int"),
    ("boolean", [], TypeError, "expected a bool, found list"),
    ("smallint", 2**15, ValueError, "expected an int from -32768 to 32767, found int 32768"),
    ("integer", 2**31, ValueError, "expected an int from -2147483648 to 2147483647, found int 2147483648"),
    ("integer", -(2**31) - 1, ValueError, "found int -2147483649"),
    ("integer", 2**200, ValueError, f"found int {str(2**200)[:40]}"),
    ("integer", 1.0, TypeError, "2147483647, found float"),
    ("integer", Decimal(1), TypeError, "2147483647, found Decimal"),
    ("integer", NAIVE, TypeError, "2147483647, found datetime"),
    ("bigint", 2**63, ValueError, "found int 9223372036854775808"),
    ("bigint", 1.5, TypeError, "found float"),
    ("oid", -1, ValueError, "expected an int from 0 to 4294967295, found int -1"),
    ("real", 1e300, ValueError, "expected a number in the range of real, found float 1e+300"),
    ("real", 1e-300, ValueError, "expected a number in the range of real, found float 1e-300"),
    ("real", NAIVE, TypeError, "expected a number in the range of real, found datetime"),
    ("double precision", Decimal("1e400"), ValueError, "range of double precision, found Decimal 1E+400"),
    ("double precision", Decimal("1e-400"), ValueError, "range of double precision, found Decimal 1E-400"),
    ("double precision", 10**400, ValueError, "range of double precision, found int 1000"),
    ("double precision", b"1", TypeError, "expected a number in the range of double precision, found bytes"),
    ("numeric", 1.5, TypeError, "expected a Decimal or an int, found float"),
    ("text", 5, TypeError, "expected a str, found int"),
    ("text", ["a"], TypeError, "expected a str, found list"),
    ("text", b"a", TypeError, "expected a str, found bytes"),
    ("varchar(5)", NAIVE, TypeError, "expected a str, found datetime"),
    ("char(5)", UUID(int=0), TypeError, "expected a str, found UUID"),
    ("text", "\udc80", ValueError, "'utf-8' codec can't encode character"),
    ("bytea", 5, TypeError, "expected bytes, found int"),
    ("bytea", [1], TypeError, "expected bytes, found list"),
    ("uuid", 5, TypeError, "expected a UUID, found int"),
    ("uuid", b"0" * 16, TypeError, "expected a UUID, found bytes"),
    ("inet", ip_network("10.0.0.0/8"), TypeError, "expected an IP address or interface, found IPv4Network"),
    ("cidr", ip_address("10.0.0.1"), TypeError, "expected an IP network, found IPv4Address"),
    ("date", NOW, ValueError, f"expected a date without a time, found datetime {NOW}"),
    ("date", NotATime(2026, 1, 1), ValueError, "expected a date without a time, found NotATime 2026-01-01 00:00:00"),
    ("time", time(1, tzinfo=UTC), ValueError, "expected a time without a time zone, found time 01:00:00+00:00"),
    ("time", NAIVE, TypeError, "expected a time without a time zone, found datetime"),
    ("timetz", time(1), ValueError, "expected a time with a time zone, found time 01:00:00"),
    ("timestamp", NOW, ValueError, f"expected a datetime without a time zone, found datetime {NOW}"),
    ("timestamp", date(2026, 1, 1), TypeError, "expected a datetime without a time zone, found date"),
    ("timestamp", NotATime(2026, 1, 1), ValueError, "expected a datetime without a time zone, found NotATime 2026"),
    ("timestamp", Expression(), TypeError, "expected a datetime without a time zone, found Expression"),
    ("timestamptz", NAIVE, ValueError, f"expected a datetime with a time zone, found datetime {NAIVE}"),
    ("timestamptz", NotATime(2026, 1, 1, tzinfo=UTC), ValueError, "found NotATime 2026"),
    ("timestamptz", Expression(), TypeError, "expected a datetime with a time zone, found Expression"),
    ("timestamptz", 1.5, TypeError, "expected a datetime with a time zone, found float"),
    ("interval", 5, TypeError, "expected a timedelta, found int"),
    ("interval", time(1), TypeError, "expected a timedelta, found time"),
    ("jsonb", object(), ValueError, "Unable to serialize unknown type: <class 'object'>"),
    ("jsonb", Jsonb(object()), ValueError, "Unable to serialize unknown type: <class 'object'>"),
    ("colour", 5, TypeError, "expected a str, found int"),
    ("tiny", 2**15, ValueError, "expected an int from -32768 to 32767, found int 32768"),
    ("integer[]", 0, TypeError, "expected a list, found int"),
    ("integer[]", (), TypeError, "found tuple"),
    ("integer[]", {}, TypeError, "found dict"),
    (
        "integer[]",
        [1, 2**31],
        ValueError,
        "element 2: expected an int from -2147483648 to 2147483647, found int 2147483648",
    ),
    (
        "integer[]",
        [[1], [1.5]],
        ValueError,
        "element 2: element 1: expected an int from -2147483648 to 2147483647, found",
    ),
    ("text[]", [5], ValueError, "element 1: expected a str, found int"),
    ("time[]", [NAIVE], ValueError, "element 1: expected a time without a time zone, found datetime"),
    ("timestamptz[]", [NAIVE], ValueError, "element 1: expected a datetime with a time zone, found datetime 2026"),
    ("colour[]", [5], ValueError, "element 1: expected a str, found int"),
    ("colour[]", ("red",), TypeError, "expected a list, found tuple"),
    ("point2", 5, TypeError, "expected a sequence, a mapping, a dataclass or a pydantic model, found int"),
    ("point2", (1,), ValueError, "expected 2 values (x, y), found 1"),
    ("point2", (1.5, ""), TypeError, "expected an int from -2147483648 to 2147483647, found float"),
]


@pytest.mark.parametrize("before", [0, 100])
@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: f"{type(wrong[1]).__name__} for {wrong[0]}")
def test_a_wrong_value_is_reported_by_row_and_column_and_never_stored(
    conn: psycopg.Connection[Any], wrong: tuple[str, Any, type[Exception], str], before: int, extra_type: str
) -> None:
    declared, value, error, message = wrong
    conn.execute(TYPES)
    conn.execute(f"CREATE TEMP TABLE item (id int, extra {extra_type}, value {declared})".encode())
    type_name = conn.execute(
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = 'item'::regclass AND attname = 'value'"
    ).fetchone()
    conn.execute("SAVEPOINT before")
    with pytest.raises(error) as raised:
        copy_rows(conn, "item", [*[(1, None, None)] * before, (2, None, value), (3, None, None)])
    assert type_name is not None
    place = f"copy_rows() into item: row {before + 1}, column value ({type_name[0]}): "
    assert str(raised.value).startswith(place)
    assert message in str(raised.value)
    conn.execute("ROLLBACK TO before")
    assert conn.execute("SELECT count(*) FROM item").fetchone() == (0,)


def test_a_wrong_value_with_threads_and_with_tasks(world: World) -> None:
    with pytest.raises(ValueError, match=r"row 2, column login_attempts \(integer\): expected an int from -2147483648"):
        world.copy("users", [{"email": "a", "login_attempts": 1}, {"email": "b", "login_attempts": 2**40}])


# Texts, JSON, and what users register


def test_postgresql_reads_texts_as_in_a_csv_file(world: World) -> None:
    file = io.StringIO("id,email,is_active,login_attempts,created_at\n" + f"{UUID(int=5)},ada@example.com,no,7,{NOW}\n")
    header, *rows = csv.reader(file)
    password = [[*row, "x"] for row in rows]
    assert world.copy("users", password, columns=[*header, "password_hash"]) == 1
    assert world.sql("SELECT id, email, is_active, login_attempts, created_at FROM users") == [
        (UUID(int=5), "ada@example.com", False, 7, NOW)
    ]


def test_a_text_that_postgresql_cannot_read_is_postgresqls_error(world: World) -> None:
    world.sql(ITEM)
    with pytest.raises(psycopg.errors.InvalidTextRepresentation, match='integer: "one"') as raised:
        world.copy("item", [("1", "a", "1.5"), ("one", "a", "1.5")])
    assert raised.value.__notes__ == ["in copy_rows() into item, row 2"]


def test_texts_are_accepted_if_there_are_some_among_the_first_rows(world: World) -> None:
    world.sql("CREATE TEMP TABLE item (id int, at timestamptz, flag boolean)")
    rows: list[tuple[Any, ...]] = [("1", str(NOW), "yes"), (2, NOW, True), (True, None, False), (4, SHIFTED, "off")]
    assert world.copy("item", rows * 50) == 200
    assert world.sql("SELECT DISTINCT id, at, flag FROM item ORDER BY at, id, flag NULLS FIRST") == [
        (1, NOW, True), (2, NOW, True), (4, SHIFTED, False), (1, None, False)
    ]  # fmt: skip
    with pytest.raises(TypeError, match=r"row 101, column id \(integer\): expected an int from .*, found str"):
        world.copy("item", [(2, NOW, True)] * 100 + [("2", NOW, True)])


def test_anything_that_json_can_hold(world: World) -> None:
    profile = Profile(id=UUID(int=1), seen=NOW, addresses=[Address("Main St", date(2026, 1, 1))])
    stored_profile = json.loads(profile.model_dump_json())
    values: list[tuple[Any, Any]] = [
        ({"a": [1, 2.5, None, True]}, {"a": [1, 2.5, None, True]}),
        ([], []),
        ("text", "text"),
        ('{"no": "json"}', '{"no": "json"}'),
        (5, 5),
        (profile, stored_profile),
        (
            [profile, {"x": profile}],
            [json.loads(profile.model_dump_json())] * 1 + [{"x": json.loads(profile.model_dump_json())}],
        ),
        (Address("Main St", date(2026, 1, 1)), {"street": "Main St", "since": "2026-01-01"}),
        (
            {"at": NOW, "id": UUID(int=1), "colour": Colour.RED},
            {"at": "2026-03-01T12:30:15.123456Z", "id": str(UUID(int=1)), "colour": "red"},
        ),
        (Jsonb({"wrapped": Decimal("1.5")}), {"wrapped": "1.5"}),
        (Jsonb('{"ready": [1]}', dumps=str), {"ready": [1]}),
        (Json(None), None),
    ]
    for extra in ("int", "point"):
        world.sql(f"CREATE TEMP TABLE item (id int, extra {extra}, b jsonb, j json)")
        assert world.copy("item", [(n, None, value, value) for n, (value, _) in enumerate(values)]) == len(values)
        found = world.sql("SELECT b, j, b IS NOT NULL AND j IS NOT NULL FROM item ORDER BY id")
        assert found == [(stored, stored, True) for _, stored in values]
        world.sql("DROP TABLE item")


@pytest.mark.parametrize("extra_type", ["int", "point"])
def test_the_function_set_for_json_is_called(conn: psycopg.Connection[Any], extra_type: str) -> None:
    def dumps(value: object) -> str:
        return json.dumps({"by": "mine", "value": value})

    set_json_dumps(dumps, conn)
    conn.execute(f"CREATE TEMP TABLE item (extra {extra_type}, b jsonb)".encode())
    copy_rows(conn, "item", [(None, [1]), (None, Jsonb("x")), (None, {NOW})])
    assert conn.execute("SELECT b FROM item").fetchall() == [
        ({"by": "mine", "value": [1]},),
        ({"by": "mine", "value": "x"},),
        ({"by": "mine", "value": ["2026-03-01T12:30:15.123456Z"]},),
    ]


class Money(NamedTuple):
    cents: int


class MoneyDumper(Dumper):
    def dump(self, obj: Money) -> Buffer:
        return f"{obj.cents / 100:.2f}".encode()


class InfiniteDateDumper(DateDumper):
    """An example from psycopg's documentation."""

    def dump(self, obj: date) -> Buffer | None:
        return b"infinity" if obj == date.max else super().dump(obj)


class ShoutingDumper(Dumper):
    format = Format.BINARY
    oid = psycopg.postgres.types["text"].oid

    def dump(self, obj: object) -> Buffer:
        return f"{obj}!".encode()


def test_dumpers_registered_on_the_connection_are_used(world: World) -> None:
    world.conn.adapters.register_dumper(Money, MoneyDumper)
    world.conn.adapters.register_dumper(date, InfiniteDateDumper)
    world.sql("CREATE TEMP TABLE item (price numeric, day date, prices numeric[])")
    rows = [(Money(150), date.max, [Money(1)]), (Decimal("2.5"), date(2026, 1, 1), [Decimal(2)]), (None, None, None)]
    assert world.copy("item", rows) == 3
    assert world.sql("SELECT price::text, day::text, prices::text FROM item") == [
        ("1.50", "infinity", "{0.01}"), ("2.5", "2026-01-01", "{2}"), (None, None, None)
    ]  # fmt: skip
    # A class that has a dumper for the text format only, when the format is already binary.
    with pytest.raises(
        TypeError, match=r"row 101, column price \(numeric\): expected a Decimal or an int, found Money"
    ):
        world.copy("item", [(Decimal(1),)] * 100 + [(Money(1),)], columns=["price"])


def test_a_binary_dumper_registered_for_a_type_is_used(world: World) -> None:
    world.conn.adapters.register_dumper(None, ShoutingDumper)
    world.sql("CREATE TEMP TABLE item (id int, label text)")
    world.copy("item", [(1, "one"), (2, 2), (3, None)])
    assert world.sql("SELECT label FROM item ORDER BY id") == [("one!",), ("2!",), (None,)]


def test_a_binary_dumper_registered_for_uuid_or_jsonb_is_used(conn: psycopg.Connection[Any]) -> None:
    class HexadecimalDumper(Dumper):
        format = Format.BINARY
        oid = psycopg.postgres.types["uuid"].oid

        def dump(self, obj: str) -> Buffer:
            return bytes.fromhex(obj)

    class NothingDumper(Dumper):
        format = Format.BINARY
        oid = psycopg.postgres.types["jsonb"].oid

        def dump(self, obj: object) -> Buffer:
            return b"\x01{}"

    conn.adapters.register_dumper(None, HexadecimalDumper)
    conn.adapters.register_dumper(None, NothingDumper)
    conn.execute("CREATE TEMP TABLE item (a uuid, b uuid, c jsonb)")
    copy_rows(conn, "item", [("00" * 16, "ff" * 16, [1]), (None, None, None)])
    assert conn.execute("SELECT a, b, c FROM item").fetchall() == [
        (UUID(int=0), UUID(int=2**128 - 1), {}), (None, None, None)
    ]  # fmt: skip


def test_each_of_several_columns_of_a_type_is_checked(conn: psycopg.Connection[Any]) -> None:
    conn.execute("CREATE TEMP TABLE item (a uuid, b uuid, c jsonb, d jsonb)")
    good: list[Any] = [UUID(int=1), UUID(int=2), {}, [1]]
    assert copy_rows(conn, "item", [good] * 100) == 100
    for index, message in ((0, r"column a \(uuid\): expected a UUID, found int"), (1, r"column b \(uuid\): expected")):
        with pytest.raises(TypeError, match=message), conn.transaction():
            copy_rows(conn, "item", [good, [5 if number == index else each for number, each in enumerate(good)]])
    assert copy_rows(conn, "item", [(str(UUID(int=1)), str(UUID(int=2)), {}, [1])]) == 1
    assert copy_rows(conn, "item", [(UUID(int=1), str(UUID(int=2)), {}, [1])]) == 1
    assert conn.execute("SELECT count(*) FROM item").fetchone() == (102,)


def test_a_table_may_have_as_many_columns_as_postgresql_allows(conn: psycopg.Connection[Any]) -> None:
    columns = ", ".join(f"c{number} int" for number in range(1600))
    for extra in ("", "ALTER TABLE item ALTER c0 TYPE point USING NULL"):
        conn.execute(f"CREATE TEMP TABLE item ({columns}); {extra}".encode())
        assert copy_rows(conn, "item", [(None, *range(1, 1600))]) == 1
        assert conn.execute("SELECT c0, c1, c1599 FROM item").fetchone() == (None, 1, 1599)
        conn.execute("DROP TABLE item")


def test_a_registered_binary_dumper_decides_which_values_it_accepts(conn: psycopg.Connection[Any]) -> None:
    class HexadecimalDumper(Dumper):
        format = Format.BINARY
        oid = psycopg.postgres.types["int4"].oid

        def dump(self, obj: str) -> Buffer:
            return int(obj, 16).to_bytes(4)

    conn.adapters.register_dumper(None, HexadecimalDumper)
    conn.execute("CREATE TEMP TABLE item (id int)")
    copy_rows(conn, "item", [("ff",), ("10",), (None,)])
    assert conn.execute("SELECT id FROM item").fetchall() == [(255,), (16,), (None,)]
    with pytest.raises(ValueError, match=r"row 2, column id \(integer\): invalid literal for int"):
        copy_rows(conn, "item", [("ff",), ("xyz",)])


@pytest.mark.parametrize("extra_type", ["int", "point"])
def test_a_dumper_registered_for_dict_is_used_for_json(conn: psycopg.Connection[Any], extra_type: str) -> None:
    class CountingDumper(Dumper):
        def dump(self, obj: dict[str, Any]) -> Buffer:
            return str(len(obj)).encode()

    conn.adapters.register_dumper(dict, CountingDumper)
    conn.execute(f"CREATE TEMP TABLE item (extra {extra_type}, data jsonb)".encode())
    copy_rows(conn, "item", [(None, {"a": 1}), (None, [{"a": 1}])])
    assert conn.execute("SELECT data FROM item").fetchall() == [(1,), ([{"a": 1}],)]


def test_the_dumpers_of_a_copy_stay_with_it(conn: psycopg.Connection[Any]) -> None:
    conn.execute(TYPES)
    conn.execute("CREATE TEMP TABLE item (a int, b jsonb, c date, d text[])")
    before = [conn.adapters.get_dumper_by_oid(oid, Format.BINARY) for oid in (23, 3802, 1082, 1009)]
    copy_rows(conn, "item", [(1, {}, date(2026, 1, 1), ["a"])])
    assert [conn.adapters.get_dumper_by_oid(oid, Format.BINARY) for oid in (23, 3802, 1082, 1009)] == before


def test_a_registered_enumeration_is_written_as_registered(conn: psycopg.Connection[Any]) -> None:
    class Shade(Enum):
        red = 1
        other = 2

    conn.execute(TYPES)
    info = EnumInfo.fetch(conn, "colour")
    assert info is not None
    register_enum(info, conn, Shade, mapping={Shade.other: "blue, or \\ so"})
    conn.execute("CREATE TEMP TABLE item (id int, value colour, several colour[])")
    copy_rows(conn, "item", [(1, Shade.red, [Shade.other]), (2, Shade.other, []), (3, "red", ["red", None])])
    assert conn.execute("SELECT value::text, several::text[] FROM item ORDER BY id").fetchall() == [
        ("red", ["blue, or \\ so"]), ("blue, or \\ so", []), ("red", ["red", None])
    ]  # fmt: skip
    assert copy_rows(conn, "item", [([Shade.red],), (["red"],)], columns=["several"]) == 2
    assert copy_rows(conn, "item", [("red",)] * 100 + [(Shade.red,)], columns=["value"]) == 101


def test_an_unknown_label_of_an_enumeration_is_postgresqls_error(world: World) -> None:
    with pytest.raises(psycopg.errors.InvalidTextRepresentation, match="user_role") as raised:
        world.copy("users", [{"email": "a", "password_hash": "x", "role": "EMPEROR"}])
    assert raised.value.__notes__ == ["in copy_rows() into users, row 1"]


def test_a_composite_is_written_of_a_model_by_the_names_of_its_fields(world: World) -> None:
    @dataclass
    class Point:
        y: str  # not in the order of the type
        x: int | None

    class Line(BaseModel):
        data: dict[str, Any]
        start: Any
        tags: list[str]
        colour: Colour

    world.sql(TYPES)
    world.sql("CREATE TEMP TABLE item (a point2, b line2, c point2[])")
    point = Point("q'\"", 5)
    world.copy("item", [(point, Line(data={"k": [1]}, start=point, tags=["x"], colour=Colour.BLUE), [point, None])])
    columns = "(a).x, (a).y, (b).start.y, (b).data, (b).tags, (b).colour::text, (c[1]).x, c[2]"
    assert world.sql(f"SELECT {columns} FROM item") == [
        (5, "q'\"", "q'\"", {"k": [1]}, ["x"], str(Colour.BLUE), 5, None)
    ]
    with pytest.raises(ValueError, match=r"row 1, column a \(point2\): found no field x, y"):
        world.copy("item", [{"a": Address("x", date(2026, 1, 1))}])


# All rows or none


def test_a_server_error_names_table_and_row(world: World) -> None:
    world.sql("CREATE TEMP TABLE item (id int PRIMARY KEY, label text NOT NULL CHECK (label <> 'bad'), extra point)")
    for columns, last in ((["id", "label"], ()), (["id", "label", "extra"], (None,))):
        for number, label in ((3, "x"), (200, None), (200, "bad")):
            world.sql("SAVEPOINT before")
            with pytest.raises(psycopg.errors.IntegrityError) as raised:
                world.copy("item", [*((n, "a", *last) for n in range(100)), (number, label, *last)], columns=columns)
            assert raised.value.__notes__ == ["in copy_rows() into item, row 101"]
            world.sql("ROLLBACK TO before")
    assert world.sql("SELECT count(*) FROM item") == [(0,)]


def test_a_server_error_in_a_trigger_names_table_and_row(world: World) -> None:
    world.sql("""
        CREATE TEMP TABLE "a, 5 b" (id int);
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN IF NEW.id = 7 THEN RAISE ''seven''; END IF; RETURN NEW; END';
        CREATE TRIGGER refuse BEFORE INSERT ON "a, 5 b" FOR EACH ROW EXECUTE FUNCTION refuse()
    """)
    with pytest.raises(psycopg.errors.RaiseException) as raised:
        world.copy('"a, 5 b"', [(n,) for n in range(20)])
    assert raised.value.__notes__ == ['in copy_rows() into "a, 5 b", row 8']


@pytest.mark.parametrize(
    ("context", "note"),
    [
        ("COPY item, Zeile 12, Spalte label: »x, 5«", "in copy_rows() into item, row 12"),
        ("PL/pgSQL-Funktion f() Zeile 3 bei RAISE\nCOPY item, Zeile 12", "in copy_rows() into item, row 12"),
        ("COPY item, ligne 3 : « 17 »", "in copy_rows() into item, row 3"),
        ("COPY itemized, line 3", "in copy_rows() into item"),
        ("SQL statement 5", "in copy_rows() into item"),
        (None, "in copy_rows() into item"),
    ],
)
def test_the_row_of_an_error_in_other_languages(context: str | None, note: str) -> None:
    class Diagnosed(psycopg.Error):
        @property
        def diag(self) -> Any:
            return type("Diagnostic", (), {"context": context})

    error = Diagnosed()
    report("item", Table("public", "item", {}), error)
    assert error.__notes__ == [note]


class Interruption(BaseException):
    """An error that is not an Exception."""


@pytest.mark.parametrize("at", [0, 10, 5000])
@pytest.mark.parametrize("error", [KeyError("mine"), KeyboardInterrupt(), Interruption(), psycopg.DataError("mine")])
def test_an_error_in_the_iterable_leaves_nothing_behind(committing: World, error: BaseException, at: int) -> None:
    def generate() -> Iterator[dict[str, str]]:
        for number in range(at):
            yield {"email": f"{number}@example.com", "password_hash": "x"}
        raise error

    with pytest.raises(type(error)) as raised:
        committing.copy("users", generate())
    assert raised.value is error
    assert committing.conn.info.transaction_status == TransactionStatus.IDLE
    assert committing.sql("SELECT count(*) FROM users") == [(0,)]
    assert committing.copy("users", [{"email": "a", "password_hash": "x"}]) == 1


def test_a_wrong_value_after_much_data_leaves_nothing_behind(committing: World) -> None:
    rows = [{"email": f"{number}@example.com", "password_hash": "x" * 500} for number in range(5000)]
    with pytest.raises(TypeError, match="row 5001, column email"):
        committing.copy("users", [*rows, {"email": 5, "password_hash": "x"}])
    assert committing.sql("SELECT count(*) FROM users") == [(0,)]
    assert committing.copy("users", rows) == 5000
    assert committing.sql("SELECT count(*) FROM users") == [(5000,)]


def test_a_server_error_leaves_nothing_behind(committing: World) -> None:
    rows = [{"email": f"{number % 4999}@example.com", "password_hash": "x" * 500} for number in range(5000)]
    with pytest.raises(psycopg.errors.UniqueViolation) as raised:
        committing.copy("users", rows)
    assert raised.value.__notes__ == ["in copy_rows() into users, row 5000"]
    assert committing.sql("SELECT count(*) FROM users") == [(0,)]
    assert committing.copy("users", rows[:4999]) == 4999


@pytest.mark.parametrize("at", [0, 10, 5000])
def test_a_cancelled_task_leaves_nothing_behind(database_url: str, at: int) -> None:
    async def main() -> None:
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as conn:
            reached = asyncio.Event()

            async def generate() -> AsyncIterator[dict[str, str]]:
                for number in range(at):
                    yield {"email": f"{number}@example.com", "password_hash": "x" * 500}
                reached.set()
                await asyncio.sleep(60)

            task = asyncio.create_task(copy_rows(conn, "users", generate()))
            await reached.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert conn.info.transaction_status == TransactionStatus.IDLE
            assert await copy_rows(conn, "users", [{"email": "a", "password_hash": "x"}]) == 1
            assert await (await conn.execute("SELECT count(*) FROM users")).fetchone() == (1,)

    asyncio.run(main())


def test_a_cancelled_task_that_waits_for_the_server_leaves_nothing_behind(database_url: str) -> None:
    async def main() -> None:
        async with (
            await psycopg.AsyncConnection.connect(database_url) as blocker,
            await psycopg.AsyncConnection.connect(database_url, autocommit=True) as conn,
        ):
            await blocker.execute("LOCK TABLE users")
            task = asyncio.create_task(copy_rows(conn, "users", [{"email": "a", "password_hash": "x"}]))
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))"
            while await (await blocker.execute(waiting)).fetchone() != (1,):  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await blocker.rollback()
            assert await copy_rows(conn, "users", [{"email": "b", "password_hash": "x"}]) == 1
            assert await (await conn.execute("SELECT email FROM users")).fetchall() == [("b",)]

    asyncio.run(main())


# Connections


def test_a_transaction_begins_as_with_psycopg(world: World) -> None:
    assert world.conn.info.transaction_status == TransactionStatus.IDLE
    assert world.copy("users", []) == 0
    assert world.conn.info.transaction_status == TransactionStatus.INTRANS
    assert world.copy("users", [{"email": "a", "password_hash": "x"}]) == 1
    world.wait(world.conn.rollback())
    assert world.sql("SELECT count(*) FROM users") == [(0,)]


def test_in_a_failed_transaction_postgresqls_error_is_raised(world: World) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero):
        world.sql("SELECT 1 / 0")
    with pytest.raises(psycopg.errors.InFailedSqlTransaction) as raised:
        world.copy("users", [(1,)])
    assert raised.value.__notes__ == ["in copy_rows() into users"]


def test_copy_rows_is_refused_inside_a_pipeline(worker_database_url: str) -> None:
    with psycopg.connect(worker_database_url) as conn, conn.pipeline():
        with pytest.raises(psycopg.NotSupportedError, match=r"copy_rows\(\) cannot run inside conn\.pipeline\(\)"):
            copy_rows(conn, "users", [])
        assert conn.execute("SELECT 1").fetchone() == (1,)

    async def main() -> None:
        async with await psycopg.AsyncConnection.connect(worker_database_url) as conn, conn.pipeline():
            with pytest.raises(psycopg.NotSupportedError, match=r"copy_rows\(\) cannot run inside conn\.pipeline\(\)"):
                await copy_rows(conn, "users", [])

    asyncio.run(main())


def test_something_that_is_not_a_connection_is_a_type_error() -> None:
    call: Callable[..., Any] = copy_rows
    with pytest.raises(
        TypeError, match=r"copy_rows\(\) expects a psycopg Connection or AsyncConnection first, found str"
    ):
        call("postgresql://", "users", [])


def test_a_closed_connection_is_psycopgs_error(world: World) -> None:
    world.wait(world.conn.close())
    with pytest.raises(psycopg.OperationalError, match="closed") as raised:
        world.copy("users", [])
    assert raised.value.__notes__ == ["in copy_rows() into users"]


def test_nothing_is_prepared_if_prepare_threshold_forbids_it(world: World) -> None:
    world.conn.prepare_threshold = 0
    for number in range(3):
        world.copy("users", [{"email": str(number), "password_hash": "x"}])
    with pytest.raises(ValueError, match="there is no table"):
        world.copy("userz", [])
    world.conn.prepare_threshold = None
    assert world.sql("SELECT statement FROM pg_prepared_statements") == []


def test_the_settings_of_the_connection_change_nothing(worker_database_url: str) -> None:
    with psycopg.Connection[DictRow].connect(
        worker_database_url,
        row_factory=dict_row,
        cursor_factory=psycopg.ClientCursor[DictRow],
        client_encoding="latin1",
    ) as conn:
        conn.execute("SET DateStyle = 'German, DMY'; SET IntervalStyle = sql_standard; SET bytea_output = escape")
        for extra in ("int", "point"):
            conn.execute(f"CREATE TEMP TABLE item (extra {extra}, a text, b timestamptz, c interval, d bytea)".encode())
            value = timedelta(days=-1, seconds=5)
            assert copy_rows(conn, "item", [(None, "für 100%", NOW, value, b"\x00\\")]) == 1
            conn.execute("SET DateStyle = ISO; SET IntervalStyle = postgres")
            assert conn.execute("SELECT a, b, c, d FROM item").fetchone() == {
                "a": "für 100%", "b": NOW, "c": value, "d": b"\x00\\"
            }  # fmt: skip
            conn.execute("DROP TABLE item; SET DateStyle = 'German, DMY'; SET IntervalStyle = sql_standard")
        conn.execute("CREATE TEMP TABLE item (a text)")
        with pytest.raises(ValueError, match=r"row 1, column a \(text\): 'latin-1' codec can't encode"):
            copy_rows(conn, "item", [{"a": "€"}])
        conn.rollback()


def test_in_the_transactions_of_a_database(db: Database) -> None:
    row = {"email": "a@example.com", "password_hash": "x"}
    with db.transaction() as conn:
        assert copy_rows(conn, "users", [row]) == 1
        with pytest.raises(psycopg.errors.UniqueViolation), db.transaction():
            copy_rows(conn, "users", [{**row, "email": "b@example.com"}, row])
        assert copy_rows(conn, "users", [{**row, "email": "c@example.com"}]) == 1
    with db.connection() as conn:
        assert conn.execute("SELECT email FROM users ORDER BY email").fetchall() == [
            ("a@example.com",), ("c@example.com",)
        ]  # fmt: skip

    async def main() -> None:
        async with db.transaction() as conn:
            assert await copy_rows(conn, "users", [{**row, "email": "d@example.com"}]) == 1

    asyncio.run(main())
    with db.connection() as conn:
        assert conn.execute("SELECT count(*) FROM users").fetchone() == (3,)


def test_a_copy_is_logged_without_values(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="rowsmith.copying")
    world.copy("users", [{"email": "secret-4711", "password_hash": "x"}])
    with pytest.raises(psycopg.errors.UniqueViolation):
        world.copy("users", [{"email": "secret-4711", "password_hash": "x"}])
    world.wait(world.conn.rollback())
    with pytest.raises(TypeError):
        world.copy("users", [{"email": ["secret-4711"]}])
    messages = [record.getMessage() for record in caplog.records if record.name == "rowsmith.copying"]
    assert messages[0].startswith("copied 1 rows into users: ")
    assert messages[0].endswith(" ms")
    assert messages[1:] == ["copy into users failed: 23505", "copy into users failed: TypeError"]
    assert "secret-4711" not in "".join(messages)


# Much data


@pytest.mark.parametrize("extra_type", ["int", "point"])
def test_memory_does_not_grow_with_the_number_of_rows(conn: psycopg.Connection[Any], extra_type: str) -> None:
    conn.execute(f"CREATE TEMP TABLE item (id int, label text, extra {extra_type})".encode())

    def peak(count: int, label: str) -> int:
        tracemalloc.start()
        copy_rows(conn, "item", ((number, label + str(number), None) for number in range(count)))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    few, many = peak(2_000, "x" * 100), peak(60_000, "x" * 100)
    assert many < few * 1.5
    assert conn.execute("SELECT count(*) FROM item").fetchone() == (62_000,)
    # The format is chosen by the first 64 rows, before any is sent. After that, a large row is sent by itself.
    assert peak(300, "x" * 200_000) < 64 * 200_000 * 4


def test_large_rows_are_taken_as_they_are_sent(conn: psycopg.Connection[Any]) -> None:
    conn.execute("CREATE TEMP TABLE item (data bytea)")
    living = most = 0

    class Row(tuple[Any, ...]):
        """A row that counts how many of its kind are alive."""

        __slots__ = ()

        def __del__(self) -> None:
            nonlocal living
            living -= 1

    def generate() -> Iterator[Row]:
        nonlocal living, most
        for _ in range(500):
            living += 1
            most = max(most, living)
            yield Row((bytes(100_000),))

    assert copy_rows(conn, "item", generate()) == 500
    assert most <= 70
    assert living == 0


@pytest.mark.parametrize("rows", [1, 63, 64, 65, 511, 512, 513, 10_000])
def test_every_row_arrives_once_and_in_order(world: World, rows: int) -> None:
    world.sql("CREATE TEMP TABLE item (id int, label text, at serial)")
    labels = ["x" * (number * 7919 % 3000) for number in range(rows)]
    assert world.copy("item", enumerate(labels), columns=["id", "label"]) == rows
    assert world.sql("SELECT count(*), min(id), max(id), bool_and(at = id + 1) FROM item") == [
        (rows, 0, rows - 1, True)
    ]
    assert world.sql("SELECT sum(length(label)) FROM item") == [(sum(map(len, labels)),)]


# The tables of the blueprint


@pytest.fixture(scope="module")
def loaded(server_url: str) -> Iterator[str]:
    with fresh_database(server_url, [MIGRATIONS]) as url:
        with psycopg.connect(url) as conn:
            load(conn, Sizes().divided(50))
            conn.execute("INSERT INTO health_checks (status) SELECT 'up' FROM generate_series(1, 10)")
        yield url


TABLES = (
    "users", "api_keys", "ai_sessions", "ai_logs", "module_templates", "template_reviews", "projects",
    "project_collaborators", "notifications", "analytics_events", "health_checks",
)  # fmt: skip


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("table", TABLES)
def test_every_table_of_the_blueprint_comes_back_as_it_was(loaded: str, table: str, asynchronous: bool) -> None:
    with closing(World(loaded, asynchronous=asynchronous)) as world:
        check_round_trip(world, loaded, table)


def check_round_trip(world: World, loaded: str, table: str) -> None:
    """Copy all rows of a table into one like it, in several forms, and compare."""
    world.sql(f"CREATE TEMP TABLE copied (LIKE {table} INCLUDING ALL)")
    with psycopg.connect(loaded) as conn:
        tuples = conn.execute(f"SELECT * FROM {table}".encode()).fetchall()
        dicts = conn.cursor(row_factory=dict_row).execute(f"SELECT * FROM {table}".encode()).fetchall()
        named = conn.cursor(row_factory=namedtuple_row).execute(f"SELECT * FROM {table}".encode()).fetchall()
        generated = "search_vector" if table == "module_templates" else None
        names = [name for name in dicts[0] if name != generated]
        if generated is not None:
            tuples = [row[:-1] for row in tuples]
    assert len(tuples) >= 5
    for rows, columns in ((tuples, None), (tuples, names), (dicts, None), (named, None)):
        assert world.copy("copied", rows, columns=columns) == len(tuples)
        difference = f"(TABLE copied EXCEPT ALL TABLE {table}) UNION ALL (TABLE {table} EXCEPT ALL TABLE copied)"
        assert world.sql(difference) == []
        world.sql("TRUNCATE copied")


def test_generated_models_are_rows(world: World) -> None:
    users = [
        UserModel(
            id=UUID(int=number), email=f"{number}@example.com", name=None, role=UserRole.ADMIN, email_verified=True,
            is_active=False, avatar=None, bio="", timezone=None, language="de", last_login_at=NOW, login_attempts=3,
            locked_until=None, created_at=NOW, updated_at=NOW,
        )
        for number in range(100)
    ]  # fmt: skip
    world.sql("CREATE TEMP TABLE people (LIKE users)")
    world.sql("ALTER TABLE people ALTER password_hash DROP NOT NULL")
    assert world.copy("people", users) == 100
    ((row,),) = world.sql("SELECT to_jsonb(people) - 'password_hash' FROM people WHERE email = '7@example.com'")
    assert UserModel.model_validate(row) == users[7]

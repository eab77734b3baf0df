"""Queries as they are called: results by mark, sync and async, and every mistake a caller can make."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb
from pydantic import BaseModel, ValidationError

from rowsmith import errors, load_queries
from tests.harness.pgbouncer import prepare_threshold
from tests.harness.worlds import World

SQL = """
-- name: make()#
CREATE TEMP TABLE item (id int PRIMARY KEY, label text NOT NULL, price numeric, tags text[], data jsonb)
    ON COMMIT DROP;
INSERT INTO item VALUES (1, 'it''s', 1.5, '{a,b,c}', '{"k": [1]}'), (2, '100%', NULL, '{}', NULL);

-- name: list_items()
-- record_class: Item
-- Every item.
SELECT id, label, price FROM item ORDER BY id;

-- name: list_plain()
SELECT id, label FROM item ORDER BY id;

-- name: get_item(id)^
-- record_class: Item
SELECT id, label, price FROM item WHERE id = :id;

-- name: get_by_label(label)^
SELECT id, label FROM item WHERE label LIKE :label ORDER BY id;

-- name: count_items()$
SELECT count(*) FROM item;

-- name: label_of(id)$
SELECT label FROM item WHERE id = :id;

-- name: two_columns()$
SELECT 1 AS a, 2 AS b;

-- name: add_item(label, id)<!
-- record_class: Item
INSERT INTO item (id, label) VALUES (:id, :label) ON CONFLICT DO NOTHING RETURNING id, label, price;

-- name: add_two()<!
INSERT INTO item (id, label) VALUES (10, 'x'), (11, 'y') RETURNING id;

-- name: rename(id, label)!
UPDATE item SET label = :label WHERE id >= :id AND :id > 0;

-- name: rename_with_rows(id)!
UPDATE item SET label = 'r' WHERE id = :id RETURNING id;

-- name: rename_without_mark(id)
UPDATE item SET label = 'r' WHERE id = :id;

-- name: add_many(id, label)*!
INSERT INTO item (id, label) VALUES (:id, :label);

-- name: slices(n)^
SELECT tags[1:2] AS two, tags[:n] AS one, tags[1 : :n] AS some, '100%' AS percent, E'it\\'s :x' AS quoted,
       $$ :y $$ AS dollar, 7 % 4 AS modulo /* :z */ -- and :note
  FROM item WHERE id = 1;

-- name: json_of(data)$
SELECT :data::jsonb -> 'k';

-- name: conn_as_parameter(conn, query)$
SELECT :conn::text || :query::text;

-- name: wrong_column(id)
SELECT id,
       labell
  FROM item
 WHERE id = :id;

-- name: slow(seconds)
SELECT pg_sleep(:seconds);
"""


@dataclass(frozen=True, slots=True)
class Item:
    id: int
    label: str
    price: object = None


class ItemTuple(NamedTuple):
    id: int
    label: str
    price: object = None


class ItemModel(BaseModel):
    id: int
    label: str
    price: float | None


@pytest.fixture
def query_file(tmp_path: Path) -> Path:
    path = tmp_path / "items.sql"
    path.write_text(SQL)
    return path


class Items(World):
    """A connection on which the queries of this module are called by name."""

    def __init__(self, queries: Any, url: str, *, asynchronous: bool) -> None:
        super().__init__(url, asynchronous=asynchronous, autocommit=False, prepare_threshold=prepare_threshold())
        self.queries = queries

    def ask(self, name: str, /, *args: object, **parameters: object) -> Any:
        """What the query of this name gives."""
        return self.run(getattr(self.queries, name)(self.conn, *args, **parameters))


@pytest.fixture(params=["sync", "async"])
def world(request: pytest.FixtureRequest, query_file: Path, worker_database_url: str) -> Iterator[Items]:
    queries = load_queries(query_file, record_classes={"Item": Item})
    world = Items(queries, worker_database_url, asynchronous=request.param == "async")
    assert world.ask("make") is None
    yield world
    world.close()


def test_each_mark_gives_what_it_promises(world: Items) -> None:
    items = world.ask("list_items")
    assert items[1] == Item(2, "100%", None)
    assert [type(item) for item in items] == [Item, Item]
    assert [row.label for row in world.ask("list_plain")] == ["it's", "100%"]
    assert world.ask("get_item", id=1).label == "it's"
    assert world.ask("get_item", id=9) is None
    assert world.ask("count_items") == 2
    assert world.ask("label_of", id=9) is None
    assert world.ask("rename", id=1, label="new") == 2
    assert world.ask("rename", id=9, label="new") == 0
    assert world.ask("add_item", id=3, label="three") == Item(3, "three", None)
    assert world.ask("add_item", id=3, label="three") is None
    assert world.ask("add_many", [{"id": n, "label": str(n)} for n in range(20, 30)]) == 10
    assert world.ask("add_many", []) == 0
    assert world.ask("count_items") == 13


def test_what_postgres_does_not_read_as_a_parameter_is_left_alone(world: Items) -> None:
    row = world.ask("slices", n=1)
    assert row.two == ["a", "b"]
    assert (row.one, row.some) == ("a", ["a"])
    assert (row.percent, row.quoted, row.dollar, row.modulo) == ("100%", "it's :x", " :y ", 3)


def test_parameters_may_have_any_name_and_any_adapted_type(world: Items) -> None:
    assert world.ask("conn_as_parameter", conn="a", query="b") == "ab"
    assert world.ask("json_of", data=Jsonb({"k": [1, None]})) == [1, None]


@pytest.mark.parametrize("record_class", [Item, ItemTuple, ItemModel])
def test_a_record_class_is_whatever_takes_the_columns_by_name(
    query_file: Path, conn: psycopg.Connection[Any], record_class: type[Any]
) -> None:
    queries = load_queries(query_file, record_classes={"Item": record_class})
    queries.make(conn)
    assert isinstance(queries.get_item(conn, id=1), record_class)


def test_the_connections_own_row_factory_does_not_change_a_query(query_file: Path, worker_database_url: str) -> None:
    queries = load_queries(query_file, record_classes={"Item": Item})
    with psycopg.Connection[DictRow].connect(
        worker_database_url, row_factory=dict_row, prepare_threshold=prepare_threshold()
    ) as conn:
        queries.make(conn)
        assert queries.get_item(conn, id=1).id == 1
        assert queries.count_items(conn) == 2


def test_a_call_runs_at_once_and_an_awaitable_when_awaited(world: Items) -> None:
    before = world.ask("count_items")
    result = world.queries.add_item(world.conn, id=4, label="four")
    if world.runner:
        result.close()
        assert world.ask("count_items") == before
    else:
        assert world.ask("count_items") == before + 1


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("get_by_label", {"label": "%"}, "promises at most one row (^) but found 2"),
        ("add_two", {}, "promises at most one row (<!) but found 2"),
    ],
)
def test_a_second_row_where_one_was_promised_is_an_error(
    world: Items, name: str, parameters: dict[str, object], message: str
) -> None:
    with pytest.raises(errors.RowCountError) as raised:
        world.ask(name, **parameters)
    assert message in str(raised.value)
    assert f"items.sql:{world.queries.__dict__[name].query.line})" in str(raised.value)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("two_columns", {}, "is marked $ but returns 2 columns. Mark it with ^"),
        ("rename_with_rows", {"id": 1}, "is marked ! but returns rows. Remove the mark, or use ^, $ or <!"),
        ("rename_without_mark", {"id": 1}, "returns no rows (UPDATE 1). Mark it with !"),
    ],
)
def test_a_result_that_does_not_fit_the_mark_is_an_error(
    world: Items, name: str, parameters: dict[str, object], message: str
) -> None:
    with pytest.raises(errors.ResultShapeError) as raised:
        world.ask(name, **parameters)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("name", "args", "parameters", "message"),
    [
        ("get_item", (), {}, "get_item(): missing parameter id. It takes: id ("),
        ("get_item", (), {"id": 1, "x": 2}, "get_item(): unknown parameter x. It takes: id ("),
        (
            "rename",
            (),
            {"id": 1, "lable": "x"},
            "rename(): missing parameter label; unknown parameter lable (did you mean label?). It takes: id, label (",
        ),
        ("count_items", (), {"id": 1}, "count_items(): unknown parameter id. It takes: none ("),
        ("get_item", (1,), {}, "takes 1 positional argument but 2 were given"),
        ("add_many", ([{"id": 1, "label": "x"}, {"id": 2}],), {}, "add_many() in set 1: missing parameter label"),
    ],
)
def test_a_missing_or_unknown_parameter_is_a_type_error_before_anything_is_sent(
    world: Items, name: str, args: tuple[object, ...], parameters: dict[str, object], message: str
) -> None:
    with pytest.raises(TypeError) as raised:
        world.ask(name, *args, **parameters)
    assert message in str(raised.value)
    assert world.conn.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS  # not in error


def test_what_is_no_connection_is_a_type_error(world: Items) -> None:
    with pytest.raises(TypeError, match=r"get_item\(\) takes a psycopg Connection or AsyncConnection first, not str"):
        world.queries.get_item("postgresql://", id=1)


def test_a_server_error_points_at_the_line_of_the_file(
    world: Items, monkeypatch: pytest.MonkeyPatch, query_file: Path
) -> None:
    monkeypatch.chdir(query_file.parent)
    with pytest.raises(psycopg.errors.UndefinedColumn) as raised:
        world.ask("wrong_column", id=1)
    line = world.queries.wrong_column.query.line
    assert raised.value.__notes__ == [
        f"in query wrong_column, items.sql:{line}\nitems.sql:{line + 2}\n           labell\n           ^"
    ]
    assert f'items.sql", line {line}, in wrong_column' in "".join(traceback.format_exception(raised.value)) or (
        world.runner  # the frame that made the awaitable is gone when it is awaited
    )


def test_a_wrongly_typed_parameter_keeps_psycopgs_own_error(world: Items) -> None:
    with pytest.raises(psycopg.errors.InvalidTextRepresentation) as raised:
        world.ask("get_item", id="one")
    assert "in query get_item" in raised.value.__notes__[0]


def test_a_value_that_cannot_be_adapted_is_named_with_its_query(world: Items) -> None:
    with pytest.raises(psycopg.ProgrammingError, match="cannot adapt type 'object'") as raised:
        world.ask("get_item", id=object())
    assert "in query get_item" in raised.value.__notes__[0]


def test_a_row_that_its_record_class_refuses_is_named_with_its_query(
    query_file: Path, conn: psycopg.Connection[Any]
) -> None:
    class Strict(BaseModel):
        id: int
        label: str
        price: float

    queries = load_queries(query_file, record_classes={"Item": Strict})
    queries.make(conn)
    with pytest.raises(ValidationError) as raised:
        queries.list_items(conn)
    assert "in query list_items" in raised.value.__notes__[0]


def test_queries_are_logged_by_name_and_duration_and_never_with_values(
    world: Items, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="rowsmith.queries")
    world.ask("label_of", id=1)
    world.ask("rename", id=1, label="secret-4711")
    with pytest.raises(psycopg.Error):
        world.ask("get_item", id="secret-4711")
    messages = [record.getMessage() for record in caplog.records if record.name == "rowsmith.queries"]
    assert len(messages) == 3
    assert messages[0].startswith("query label_of: ")
    assert messages[0].endswith(" ms")
    assert messages[2].startswith("query get_item failed: 22P02 (")
    assert "secret-4711" not in caplog.text


def test_queries_work_in_a_pipeline(query_file: Path, worker_database_url: str) -> None:
    queries = load_queries(query_file, record_classes={"Item": Item})
    with psycopg.connect(worker_database_url, prepare_threshold=prepare_threshold()) as conn:
        queries.make(conn)
        with conn.pipeline():
            assert queries.rename(conn, id=1, label="piped") == 2
            assert queries.get_item(conn, id=2) == Item(2, "piped", None)


def test_cancelling_the_task_of_a_query_leaves_the_connection_usable(
    query_file: Path, worker_database_url: str
) -> None:
    queries = load_queries(query_file, record_classes={"Item": Item})

    async def main() -> object:
        async with await psycopg.AsyncConnection.connect(
            worker_database_url, autocommit=True, prepare_threshold=prepare_threshold()
        ) as conn:
            task = asyncio.create_task(queries.slow(conn, seconds=30.0))
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return await queries.conn_as_parameter(conn, conn="still ", query="there")

    assert asyncio.run(main()) == "still there"

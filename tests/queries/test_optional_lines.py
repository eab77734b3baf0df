"""Queries with optional lines and orderings, as they are called."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from rowsmith import NOT_GIVEN, load_queries
from tests.harness.worlds import World

SQL = """
-- name: search(label, above, tags_too, q)
SELECT id
  FROM item
 WHERE true
   AND label = :label            -- if: label
   AND price > :above            -- if: above
   AND tags IS NULL              -- unless: tags_too
   -- if: q
   AND (label LIKE '%' || :q || '%'
     OR price::text = :q)
   -- end
 ORDER BY id                     -- order: oldest
 ORDER BY price DESC NULLS LAST, id  -- order: price
;

-- name: patch(id, label, price)<!
UPDATE item
   SET tags = tags,
       label = :label,  -- if given: label
       price = :price   -- if given: price
 WHERE id = :id
RETURNING id, label, price;

-- name: patch_badly(id, label)!
UPDATE item SET
       label = :label   -- if given: label
 WHERE id = :id;

-- name: between(low, high, inside)
SELECT id FROM item
 WHERE true
   AND price BETWEEN :low AND :high   -- if: inside
 ORDER BY id;

-- name: required(id, only)$
SELECT count(*) FROM item WHERE id = :id
   AND label = :only    -- unless: id
   AND id IS NOT NULL   -- if: id
;
"""


class Items(World):
    def __init__(self, url: str, queries: Any, *, asynchronous: bool) -> None:
        super().__init__(url, asynchronous=asynchronous)
        self.queries = queries
        self.sql("CREATE TEMP TABLE item (id int PRIMARY KEY, label text, price numeric, tags text[])")
        self.sql(
            "INSERT INTO item VALUES (1, 'a', 1, NULL), (2, 'b', NULL, '{x}'), (3, 'c', 3, NULL), (4, 'c', 4, '{}')"
        )

    def ids(self, name: str, /, **arguments: object) -> list[int]:
        return [row.id for row in self.call(getattr(self.queries, name), **arguments)]


@pytest.fixture(params=[False, True], ids=["threads", "tasks"])
def items(request: pytest.FixtureRequest, worker_database_url: str, tmp_path: Path) -> Iterator[Items]:
    (tmp_path / "items.sql").write_text(SQL)
    world = Items(worker_database_url, load_queries(tmp_path), asynchronous=request.param)
    yield world
    world.close()


def test_a_search_has_the_conditions_that_are_given(items: Items) -> None:
    for _ in range(2):  # prepared, and again
        assert items.ids("search") == [1, 3]
        assert items.ids("search", tags_too=True) == [1, 2, 3, 4]
        assert items.ids("search", label="c", tags_too=True) == [3, 4]
        assert items.ids("search", label=None, above=3, tags_too=True) == [4]
        assert items.ids("search", label=NOT_GIVEN, q="3") == [3]
        assert items.ids("search", tags_too=True, order_by="price") == [4, 3, 1, 2]


def test_a_form_is_a_prepared_statement(items: Items) -> None:
    for _ in range(3):
        items.ids("search", label="a")
        items.ids("search", label="a", above=0)
        items.ids("search", label="b", order_by="price")
    found = items.sql("SELECT statement FROM pg_prepared_statements WHERE name LIKE 'rowsmith%'")
    assert len(found) == 3
    assert len({text for (text,) in found}) == 3


def test_a_patch_changes_what_is_given_and_writes_null(items: Items) -> None:
    patch = items.queries.patch
    assert items.unnamed(patch, id=1) == (1, "a", 1)
    assert items.unnamed(patch, id=1, label="z") == (1, "z", 1)
    assert items.unnamed(patch, id=1, label=None, price=NOT_GIVEN) == (1, None, 1)
    assert items.unnamed(patch, id=1, label="y", price=None) == (1, "y", None)


def test_an_error_names_the_form(items: Items) -> None:
    with pytest.raises(psycopg.errors.SyntaxError) as caught:
        items.call(items.queries.patch_badly, id=1)
    (note,) = caught.value.__notes__
    assert note.startswith("in query patch_badly, ")
    assert note.splitlines()[0].endswith(" (without label)")
    assert note.endswith("\n     WHERE id = :id\n     ^")


def test_a_stream_chooses_its_form_too(items: Items) -> None:
    stream = items.queries.search.stream(items.conn, label="c", tags_too=True, order_by="price")

    async def read() -> list[int]:
        return [row.id async for row in stream]

    assert (items.run(read()) if items.runner else [row.id for row in stream]) == [4, 3]


@pytest.mark.parametrize(
    ("name", "arguments", "error", "message"),
    [
        ("search", {"lable": "a"}, TypeError, "unknown parameter lable (did you mean label?). It takes: label, above, tags_too, q, order_by"),  # noqa: E501
        ("search", {"order_by": "prize"}, ValueError, "order_by is 'prize': expected one of 'oldest', 'price'"),
        ("search", {"order_by": None}, ValueError, "order_by is None: expected one of 'oldest', 'price'"),
        ("search", {"order_by": ["price"]}, TypeError, "unhashable type: 'list'"),
        ("search", {"tags_too": "no"}, TypeError, "tags_too is 'no': expected True or False"),
        ("search", {"tags_too": None}, TypeError, "tags_too is None: expected True or False"),
        ("patch", {"label": "a"}, TypeError, "missing parameter id. It takes: id, label, price"),
        ("between", {"low": 1, "inside": True}, TypeError, "missing parameter high, which is needed with inside"),
        ("required", {"only": 1}, TypeError, "missing parameter id. It takes: id, only"),
        ("required", {"id": None}, TypeError, "missing parameter only, which is needed without id"),
        ("required", {"id": NOT_GIVEN, "only": "a"}, TypeError, "missing parameter id, which is always needed"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_refused(
    items: Items, name: str, arguments: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        items.call(getattr(items.queries, name), **arguments)
    assert message in str(caught.value)


def test_what_no_line_needs_may_be_left_out(items: Items) -> None:
    assert items.ids("between") == [1, 2, 3, 4]
    assert items.ids("between", low=2) == [1, 2, 3, 4]
    assert items.ids("between", low=2, high=3, inside=True) == [3]
    assert items.call(items.queries.required, id=3) == 1
    assert items.call(items.queries.required, id=None, only="c") == 0


def test_the_names_of_parameters_do_not_matter(worker_database_url: str, tmp_path: Path) -> None:
    names = ["_", "__", "NOT_GIVEN", "choose", "self", "conn", "not_given", "orderings", "refuse", "_not_given"]
    lines = "\n".join(f"+ :{name} -- if: {name}" for name in names)
    (tmp_path / "q.sql").write_text(f"-- name: f({', '.join(names)})$\nSELECT 1\n{lines}")
    with psycopg.connect(worker_database_url) as conn:
        queries = load_queries(tmp_path)
        assert queries.f(conn) == 1
        assert queries.f(conn, **dict.fromkeys(names, 10)) == 1 + 10 * len(names)

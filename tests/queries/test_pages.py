"""Pages: every row once and in order, whatever changes between two pages, and tokens that fit nothing else."""

from __future__ import annotations

import json
import random
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import TypeAdapter

from rowsmith import Page
from rowsmith.errors import PageTokenError
from rowsmith.queries import page_tokens
from rowsmith.queries.page_tokens import sign_pages
from rowsmith.queries.rows import Rows
from rowsmith.queries.statement import BoundQuery
from rowsmith.values.constructors import Constructor
from rowsmith.values.dumpers import Sent, SentDumper
from tests.harness.databases import new_database
from tests.harness.modules import module
from tests.harness.worlds import World

SCHEMA = """
CREATE TYPE mood AS ENUM ('bad', 'fair', 'good');
CREATE DOMAIN whole AS int CHECK (VALUE >= 0);
CREATE TABLE item (
    id int PRIMARY KEY, a int, b text NOT NULL, c varchar(9) NOT NULL, at timestamptz NOT NULL, price numeric, f float8,
    day date, mood mood NOT NULL, u uuid NOT NULL UNIQUE, w whole NOT NULL, spans int4range, list int[], raw bytea
);
CREATE TABLE note (item_id int NOT NULL REFERENCES item ON DELETE CASCADE, number int NOT NULL,
    PRIMARY KEY (item_id, number)
);
"""
ORDERS = [
    "id", "id DESC", "at, id", "at DESC, id DESC", "at DESC, id", "a, id", "a DESC, id", "a NULLS FIRST, b DESC, id",
    "a DESC NULLS LAST, price, id", "price DESC, f, day NULLS FIRST, id", "mood DESC, u", 'b COLLATE "C", id',
    "2 DESC, 1", "f, id", "day DESC, id", "abs(a), id", "lower(b), id", "least(a, 5), at, id", "c, id", "w DESC, id",
    "spans, id", "list DESC NULLS LAST, id", "raw, id", "coalesce(a, :least), id", "id, a", "b || c, c, id",
    "at AT TIME ZONE 'UTC', id", "extract(year FROM at), id",
]  # fmt: skip
INSERT = """
INSERT INTO item SELECT $1, nullif($2 % 9, 0) - 4, chr(64 + $2 % 3) || chr(97 + $2 % 4), 'c' || $2 % 7,
    timestamptz '2024-02-29' + ($2 % 5) * interval '0.000001 s', nullif($2 % 6, 0) / 3.0,
    CASE $2 % 5 WHEN 0 THEN 'NaN' WHEN 1 THEN '-Infinity' WHEN 2 THEN 0.1 WHEN 3 THEN -0.0 END::float8,
    CASE $2 % 4 WHEN 0 THEN 'infinity' WHEN 1 THEN '0044-03-15 BC' WHEN 2 THEN '2024-02-29' END::date,
    ('{bad,fair,good}'::mood[])[1 + $2 % 3], gen_random_uuid(), $2 % 4, nullif(int4range($2 % 3, 5), '[2,5)'),
    nullif(ARRAY[$2 % 2, NULL], '{1,NULL}'), nullif(decode(lpad(to_hex($2 % 20), 2, '0'), 'hex'), '\\x00')
"""


MANY = """
SELECT i, 1, 'b', 'c', now() - i % 100 * interval '1 s', 1, 1, now(), 'bad', gen_random_uuid(), 1
FROM generate_series(1, 20000) AS i
"""


def query(index: int) -> str:
    return f"-- name: list_{index}(least)\nSELECT b, id, a FROM item WHERE id >= :least ORDER BY {ORDERS[index]};\n\n"


@pytest.fixture(scope="module")
def items_url(server_url: str) -> Iterator[str]:
    with new_database(server_url) as url:
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(SCHEMA)
        yield url


@pytest.fixture(scope="module")
def queries(items_url: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    more = """
-- name: list_notes()
SELECT n.item_id, n.number, i.b FROM note AS n JOIN item AS i ON i.id = n.item_id ORDER BY i.b, n.item_id, n.number;

-- name: list_ids(ids, text)
-- The parameters of a query come before those of a page.
WITH wanted AS (SELECT unnest(:ids::int[]) AS id)
SELECT i.id, :text::text AS text -- a comment
FROM item AS i JOIN wanted AS w ON w.id = i.id GROUP BY 1 ORDER BY i.id -- and one at the end
;

-- name: list_letters()
SELECT b FROM item UNION SELECT c FROM item ORDER BY 1 DESC;

-- name: search(least, mood, q, near)
SELECT id, b, a
FROM item
WHERE id >= :least
  AND mood = :mood::mood  -- if: mood
  AND b LIKE :q           -- if: q
ORDER BY at DESC, id                 -- order: newest
ORDER BY a, b, id                    -- order: a
ORDER BY abs(a - :near::int), id     -- order: near

-- name: plain(least)
SELECT id FROM item WHERE id >= :least ORDER BY a;
"""
    with psycopg.connect(items_url, autocommit=True) as conn:
        sql = "".join(query(index) for index in range(len(ORDERS))) + more
        return module(conn, sql, tmp_path_factory.mktemp("pages"), models="dataclass").queries


@pytest.fixture(params=["sync", "async"])
def world(request: pytest.FixtureRequest, items_url: str) -> Iterator[World]:
    world = World(items_url, asynchronous=request.param == "async")
    world.sql("TRUNCATE item CASCADE")
    yield world
    world.close()


def page(world: World, function: Any, size: int, after: str | None = None, **values: object) -> Any:
    return world.run(function.page(world.conn, size=size, after=after, **values))


def pages(world: World, function: Any, size: int, **values: object) -> list[Any]:
    async def gathered() -> list[Any]:
        return [each async for each in function.pages(world.conn, size=size, **values)]

    return world.runner.run(gathered()) if world.runner else [*function.pages(world.conn, size=size, **values)]


def fill(world: World, count: int) -> None:
    for number in range(1, count + 1):
        world.sql(INSERT, number, (number * 7919) % 1009)


# --- every row once, in order ---


@pytest.mark.parametrize("index", range(len(ORDERS)), ids=ORDERS)
def test_a_row_that_stays_is_seen_once_and_in_order(world: World, queries: Any, index: int) -> None:
    """Rows come and go between the pages; those that are there all the time are on one page each, in their order."""
    chance = random.Random(index)  # noqa: S311 - the same numbers each time
    fill(world, 60)
    function = getattr(queries, f"list_{index}")
    stay = {row.id for row in world.call(function, least=5)}
    seen: list[int] = []
    new = iter(chance.sample(range(100, 10_000), 1000))
    after: str | None = None
    while True:
        size = chance.choice([1, 2, 3, 7])
        found = page(world, function, size, after, least=5)
        assert [*found] == found.rows
        seen += [row.id for row in found]
        assert found.has_more == (found.next is not None)
        assert len(found.rows) == size or not found.has_more
        if (after := found.next) is None:
            break
        for _ in range(chance.randrange(4)):
            world.sql(INSERT, next(new), chance.randrange(1009))
        gone = chance.randrange(1, 60)
        world.sql("DELETE FROM item WHERE id = $1", gone)
        stay.discard(gone)
    stayed = [each for each in seen if each in stay]
    assert stayed == [row.id for row in world.call(function, least=5) if row.id in stay]
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("index", range(len(ORDERS)), ids=ORDERS)
def test_pages_of_a_table_that_does_not_change_are_its_rows(world: World, queries: Any, index: int) -> None:
    fill(world, 40)
    function = getattr(queries, f"list_{index}")
    everything = world.call(function, least=1)
    for size in (1, 7, 39, 40, 41):
        found = pages(world, function, size, least=1)
        assert [row for each in found for row in each] == everything
        assert [len(each.rows) for each in found[:-1]] == [size] * (len(found) - 1)


def test_no_rows_are_one_page(world: World, queries: Any) -> None:
    (found,) = pages(world, queries.list_0, 5, least=1)
    assert (found.rows, found.next, found.has_more) == ([], None, False)


def test_joins_groups_and_set_operations_have_pages(world: World, queries: Any) -> None:
    fill(world, 20)
    world.sql("INSERT INTO note SELECT id, n FROM item, generate_series(1, id % 4) AS n")
    for name, values in (("list_notes", {}), ("list_letters", {}), ("list_ids", {"ids": [3, 1, 1, 9, 4], "text": "x"})):
        function = getattr(queries, name)
        found = pages(world, function, 2, **values)
        assert [row for each in found for row in each] == world.call(function, **values)
        assert len(found) > 1


SEARCHES: list[dict[str, Any]] = [
    {}, {"order_by": "a"}, {"mood": "good"}, {"q": "%a", "order_by": "a"}, {"mood": "bad", "q": "%"},
    {"order_by": "near", "near": 2}, {"order_by": "near", "near": 1, "mood": "fair", "q": "A%"},
]  # fmt: skip


def test_optional_lines_and_orderings_have_pages(world: World, queries: Any) -> None:
    fill(world, 60)
    for values in SEARCHES:
        everything = world.call(queries.search, least=3, **values)
        assert len(everything) > 2
        for size in (1, 4, 60):
            found = pages(world, queries.search, size, least=3, **values)
            assert [row for each in found for row in each] == everything, values


def test_a_token_is_of_one_ordering_of_any_form(world: World, queries: Any) -> None:
    fill(world, 60)
    token = page(world, queries.search, 5, least=1, order_by="a").next
    assert page(world, queries.search, 5, token, least=2, order_by="a", mood="good").rows
    for order in ("newest", "near"):
        with pytest.raises(PageTokenError, match="in this ordering"):
            page(world, queries.search, 5, token, least=1, near=1, order_by=order)
    with pytest.raises(ValueError, match="expected one of 'newest', 'a', 'near'"):
        page(world, queries.search, 5, least=1, order_by="b")


@pytest.mark.parametrize("index", range(len(ORDERS)), ids=ORDERS)
def test_pages_without_prepared_statements(items_url: str, queries: Any, index: int) -> None:
    """Behind a transaction pooler, where psycopg's cursor sends them."""
    world = World(items_url, asynchronous=False, prepare_threshold=None)
    try:
        world.sql("TRUNCATE item CASCADE")
        fill(world, 30)
        function = getattr(queries, f"list_{index}")
        found = pages(world, function, 4, least=1)
        assert [row for each in found for row in each] == world.call(function, least=1)
    finally:
        world.close()


def test_the_settings_of_a_session_do_not_change_a_key(world: World, queries: Any) -> None:
    fill(world, 30)
    index = ORDERS.index("at DESC, id")
    function = getattr(queries, f"list_{index}")
    everything = [row.id for row in world.call(function, least=1)]
    seen: list[int] = []
    after: str | None = None
    for setting in ("DateStyle = 'SQL, DMY'", "TimeZone = 'Asia/Kathmandu'", "bytea_output = escape") * 9:
        world.sql(f"SET {setting}")
        found = page(world, function, 2, after, least=1)
        seen += [row.id for row in found]
        if (after := found.next) is None:
            break
    assert seen == everything


def test_the_last_page_reads_as_many_rows_as_the_first(world: World, queries: Any) -> None:
    world.sql(f"INSERT INTO item {MANY}")
    world.sql("CREATE INDEX at_id ON item (at, id)")
    world.sql("ANALYZE item")
    try:
        function = getattr(queries, f"list_{ORDERS.index('at, id')}")
        read = [rows_read(world, function, after) for after in (None, page(world, function, 19_000, least=1).next)]
        assert read == [51, 51]
    finally:
        world.sql("DROP INDEX at_id")


def rows_read(world: World, function: Any, after: str | None) -> int:
    """How many rows PostgreSQL reads for a page of 50."""
    rows: Rows = lambda _names, _context: Constructor(tuple, list)  # noqa: E731
    bound, added = function.pager.begin(BoundQuery(function.query, rows), 50, after)
    cursor = world.cursor(world.conn)
    cursor.adapters.register_dumper(Sent, SentDumper)
    world.run(cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {bound.query.sql}", [1, *added]))
    ((((plan,),),),) = (world.run(cursor.fetchall()),)
    while "Plans" in plan.get("Plan", plan):
        (plan,) = plan.get("Plan", plan)["Plans"]
    return int(plan["Actual Rows"])


# --- tokens ---


def changed(token: str, place: int) -> str:
    data = bytearray(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    data[place] ^= 1
    return urlsafe_b64encode(data).decode().rstrip("=")


def refusal(world: World, function: Any, after: Any) -> str:
    with pytest.raises(ValueError, match=r".") as raised:
        page(world, function, 5, after, least=1)
    assert isinstance(raised.value, PageTokenError)
    assert page(world, function, 5, least=1).rows  # the connection is as it was
    return str(raised.value)


def test_a_token_of_another_query_or_ordering_is_refused(world: World, queries: Any) -> None:
    fill(world, 20)
    token = page(world, queries.list_0, 5, least=1).next
    for index in range(1, len(ORDERS)):
        assert refusal(world, getattr(queries, f"list_{index}"), token).startswith(
            f"the token is not one of a page of list_{index}, in this ordering"
        )


@pytest.mark.parametrize("token", ["", "x", "é", "AAAA", "A" * 60, "A" * 200_000, "=", "../..", "\0", "A A"])
def test_what_is_no_token_is_refused(world: World, queries: Any, token: str) -> None:
    fill(world, 20)
    assert "is not the token of a page" in refusal(world, queries.list_0, token) or token == "A" * 60


def test_a_token_that_was_changed_is_refused(world: World, queries: Any) -> None:
    fill(world, 20)
    token = page(world, queries.list_0, 5, least=1).next
    for place in range(len(urlsafe_b64decode(token + "=" * (-len(token) % 4)))):
        assert "token" in refusal(world, queries.list_0, changed(token, place))
    for other in (token[:-1], f"{token}A", f"{token}==", token.swapcase()):
        assert "token" in refusal(world, queries.list_0, other)


def test_a_token_with_a_checksum_and_nonsense_in_it_is_refused(world: World, queries: Any) -> None:
    fill(world, 20)
    token = page(world, queries.list_0, 5, least=1).next
    data = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    of = data[1:9]
    one = (1).to_bytes(4)
    int4 = (23).to_bytes(4)
    for record in (
        b"", one, (2).to_bytes(4) + int4 + (4).to_bytes(4) + b"abcd", one + int4 + b"\xff\xff\xff\xff",
        one + int4 + (2).to_bytes(4) + b"ab", one + int4 + (9).to_bytes(4) + b"ab",
        one + int4 + (5).to_bytes(4) + b"abcde", (-1 % 2**32).to_bytes(4),
        one + int4 + b"\xff\xff\xff\x00", one + int4 + (4).to_bytes(4) + b"abcdefgh",
        one + (25).to_bytes(4) + (2).to_bytes(4) + b"\xff\xfe", one + (999_999).to_bytes(4) + (1).to_bytes(4) + b"x",
    ):  # fmt: skip
        message = refusal(world, queries.list_0, page_tokens.encode(of, record))
        assert message == "list_0: this is not the token of a page. Pass what `Page.next` gave, unchanged", record


def test_tokens_can_be_signed(world: World, queries: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(world, 20)
    plain = page(world, queries.list_0, 5, least=1).next
    monkeypatch.setattr(page_tokens, "_keys", page_tokens._keys)  # pyright: ignore[reportPrivateUsage] - it is put back
    sign_pages("first")
    assert "signed with another key" in refusal(world, queries.list_0, plain)
    signed = page(world, queries.list_0, 5, least=1).next
    assert signed != plain
    sign_pages(b"second", "first")
    assert [row.id for row in page(world, queries.list_0, 5, signed, least=1)] == [6, 7, 8, 9, 10]
    sign_pages("second")
    assert "signed with another key" in refusal(world, queries.list_0, signed)
    for keys in (("",), ("a", b"")):
        with pytest.raises(ValueError, match="must not be empty"):
            sign_pages(*keys)


# --- calls ---


@pytest.mark.parametrize(
    ("size", "error"),
    [(0, ValueError), (-1, ValueError), (2**31, ValueError), ("5", TypeError), (True, TypeError), (1.5, TypeError)],
)
def test_a_size_is_a_number_of_rows(world: World, queries: Any, size: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^list_0: "):
        page(world, queries.list_0, size, least=1)


def test_what_a_call_takes(world: World, queries: Any) -> None:
    with pytest.raises(TypeError, match="missing parameter least"):
        page(world, queries.list_0, 5)
    with pytest.raises(TypeError, match=r"list_0\(\) takes a psycopg Connection"):
        queries.list_0.page(None, size=5, least=1)
    with pytest.raises(TypeError, match="size"):
        queries.list_0.page(world.conn, least=1)
    assert not hasattr(queries.plain, "page")


def test_a_page_is_easy_to_return_as_json(world: World, queries: Any) -> None:
    fill(world, 20)
    found = page(world, queries.list_0, 1, least=1)
    written = json.loads(TypeAdapter(Page[Any]).dump_json(found))
    assert written["rows"][0]["id"] == 1
    assert written["next"] == found.next
    assert written["has_more"] is True


def test_an_error_of_a_page_names_the_place_in_the_file(world: World, queries: Any, tmp_path: Path) -> None:
    fill(world, 3)
    page(world, queries.list_1, 2, least=1)
    world.sql("ALTER TABLE item RENAME b TO b2")
    try:
        with pytest.raises(psycopg.errors.UndefinedColumn) as raised:
            page(world, queries.list_1, 2, least=1)
    finally:
        world.sql("ALTER TABLE item RENAME b2 TO b")
    assert "queries.sql:5" in raised.value.__notes__[0]
    assert page(world, queries.list_1, 2, least=1).rows

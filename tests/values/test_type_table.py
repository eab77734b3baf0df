"""The table of types: what fits in a prepared statement fits in both formats of COPY, and is stored as the same value.

Where that is not so, `DIFFERENCES` says why, and here it is seen that it is so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import IntEnum, StrEnum
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
import pytest
from psycopg import postgres
from psycopg.types.json import Json, Jsonb

from rowsmith import load_queries
from rowsmith.copy.call import copy_rows
from rowsmith.values.types import TYPES
from tests.harness.databases import new_database

NETWORK_CLASSES = (IPv4Network, IPv6Network)
ADDRESS_CLASSES = (IPv4Address, IPv6Address, IPv4Interface, IPv6Interface)
DIFFERENCES: tuple[tuple[str, tuple[type, ...], str], ...] = (
    ("int2 int4 int8", (float, Decimal), "a statement rounds it"),
    ("numeric", (float,), "a statement rounds it to 15 digits"),
    ("oid", (int,), "a statement takes -1 for 4294967295"),
    ("text varchar bpchar name", (object,), "a statement stores any value as its text"),
    ("inet", NETWORK_CLASSES, "a statement takes it for an interface"),
    ("cidr", ADDRESS_CLASSES, "a statement drops the part of the host"),
    ("date", (datetime,), "a statement drops the time"),
    ("time", (time, datetime, timedelta), "a statement drops the time zone and the date"),
    ("timetz", (time, datetime), "a statement adds the time zone of the session, or drops the date"),
    ("timestamptz", (datetime, date), "a statement adds the time zone of the session"),
    ("timestamp", (datetime, date), "a statement converts it to the time zone of the session, or adds midnight"),
    ("interval", (time,), "a statement takes it for the time since midnight"),
    ("int2 int4 int8 oid float4 float8 numeric", (bool,), "COPY takes it for 0 or 1"),
    ("bool", (int,), "COPY takes 0 and 1"),
    ("json jsonb", (object,), "COPY writes it by pydantic; a statement takes Json and Jsonb"),
)
"""Types, classes, and why values of these classes fit in only one of a prepared statement and COPY.

psycopg's cursor sends a value that does not fit a parameter as a type of its own, and PostgreSQL casts that, even where
something is lost. COPY has no casts.
"""


class Level(IntEnum):
    LOW = 1


class Colour(StrEnum):
    RED = "red"


NAMES = {info.oid: info.name for info in postgres.types if info.oid in TYPES}
SHIFTED = timezone(timedelta(hours=-3, minutes=-30))
NAIVE, AWARE = datetime(2026, 3, 1, 12, 30, 15, 123456), datetime(2026, 3, 1, 12, 30, 15, 123456, UTC)  # noqa: DTZ001
NUMBERS = [True, 0, 1, -1, Level.LOW, 0.0, -1.5, 1e-50, math.inf, math.nan, Decimal("1.5"), Decimal("Infinity")]
TIMES = [
    date(2026, 3, 1), date.min, date.max, NAIVE, datetime.min, datetime.max, AWARE, AWARE.astimezone(SHIFTED),  # noqa: DTZ901
    datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")), datetime.max.replace(tzinfo=SHIFTED),
    time.min, time.max, time(1, 2, 3, 4, UTC), time(1, tzinfo=SHIFTED), time(1, tzinfo=ZoneInfo("Europe/Berlin")),
    timedelta(0), timedelta(days=-1, microseconds=1), timedelta.min, timedelta.max, 5, 1.5,
]  # fmt: skip
TEXTS = ["", "a\tb\nc\\d\r", "\\N", "ünï €", "a\0b", "\udc80", Colour.RED, 5, True, b"a", NAIVE, UUID(int=1), ["a"]]
ADDRESSES = [
    ip_address("10.0.0.1"), ip_interface("10.0.0.1/8"), ip_network("10.0.0.0/8"),
    ip_address("::1"), ip_interface("::1/8"), ip_network("::/0"), UUID(int=1), 5,
]  # fmt: skip
DOCUMENTS = [{"a": [1, None]}, [1, [2]], 5, True, 1.5, NAIVE, Json({"k": 1}), Jsonb([{}]), Jsonb(None), object()]


def integers(low: int, high: int) -> list[Any]:
    return [*NUMBERS, low - 1, low, high, high + 1, 2**70, "x", b"1", NAIVE]


VALUES: dict[str, list[Any]] = {
    "bool": [True, False, 0, 1, 2, -1, Level.LOW, 1.0, "x", None],
    "int2": integers(-(2**15), 2**15 - 1),
    "int4": integers(-(2**31), 2**31 - 1),
    "int8": integers(-(2**63), 2**63 - 1),
    "oid": integers(0, 2**32 - 1),
    "float4": [*NUMBERS, 3.4e38, 3.5e38, 1e300, 1.4e-45, 1e-300, 2**70, 10**400, 16777217, NAIVE, b"1"],
    "float8": [*NUMBERS, 5e-324, 1.7e308, Decimal("1e400"), Decimal("1e-400"), 2**70, 10**400, NAIVE, b"1"],
    "numeric": [*NUMBERS, Decimal("NaN"), Decimal("1E+400"), Decimal("-1e-20"), 2**200, 10**400, 0.1, NAIVE, b"1"],
    **dict.fromkeys(("text", "varchar", "bpchar", "name"), TEXTS),
    "bytea": [b"", b"\x00\xff\\", bytearray(b"x"), memoryview(b"y"), memoryview(b"abcd")[::2], 5, [1], UUID(int=1)],
    "uuid": [UUID(int=0), UUID(int=2**128 - 1), 5, b"0" * 16, NAIVE],
    **dict.fromkeys(("inet", "cidr"), ADDRESSES),
    **dict.fromkeys(("date", "time", "timetz", "timestamp", "timestamptz", "interval"), TIMES),
    **dict.fromkeys(("json", "jsonb"), DOCUMENTS),
}


@pytest.fixture(scope="module")
def conn(server_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection with two tables for each type; the second has a column that makes a COPY one in text."""
    with new_database(server_url) as url, psycopg.connect(url, autocommit=True) as conn:
        conn.execute("SET TIME ZONE 'America/New_York'")
        for name in VALUES:
            conn.execute(f"CREATE TEMP TABLE one_{name} (value {name})".encode())
            conn.execute(f"CREATE TEMP TABLE two_{name} (value {name}, extra point)".encode())
        yield conn


@pytest.fixture(scope="module")
def queries(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("types") / "types.sql"
    path.write_text("\n\n".join(f"-- name: put_{name}(v)!\nINSERT INTO one_{name} VALUES (:v);" for name in VALUES))
    return load_queries(path)


def test_every_type_of_the_table_is_tried() -> None:
    assert set(VALUES) == set(NAMES.values())


@pytest.mark.parametrize("name", VALUES)
def test_a_value_fits_in_all_ways_or_the_table_says_why_not(
    conn: psycopg.Connection[Any], queries: Any, name: str
) -> None:
    ways: dict[str, Callable[[Any], object]] = {
        "statement": lambda value: getattr(queries, f"put_{name}")(conn, v=value),
        "binary": lambda value: copy_rows(conn, f"one_{name}", [(value,)]),
        "text": lambda value: copy_rows(conn, f"two_{name}", [(value, None)]),
    }

    def stored(way: str, value: Any) -> str:
        try:
            ways[way](value)
        except (TypeError, ValueError, BufferError, psycopg.Error):
            return "refused"
        table = f"two_{name}" if way == "text" else f"one_{name}"
        ((text,),) = conn.execute(f"DELETE FROM {table} RETURNING value::text".encode()).fetchall()
        return f"stored: {text}"

    different: set[type] = set()
    value: object
    for value in VALUES[name]:
        results = [stored(way, value) for way in ways]
        assert results[1] == results[2], value
        if "refused" in results and set(results) != {"refused"}:
            different.add(type(value))
        else:
            assert len(set(results)) == 1, value
    stated = {kind for names, kinds, _ in DIFFERENCES if name in names.split() for kind in kinds}
    assert {kind for kind in different if not issubclass(kind, tuple(stated))} == set()
    assert {kind for kind in stated if not any(issubclass(each, kind) for each in different)} == set()

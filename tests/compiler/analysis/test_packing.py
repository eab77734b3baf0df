"""Queries with more than 100 parameters: more than a function has arguments."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from rowsmith.compiler.analysis.description import Describer
from tests.compiler.analysis.probes import Connection, query_of, run
from tests.harness.databases import new_database


@pytest.fixture(scope="module")
def conn(server_url: str) -> Iterator[Connection]:
    with new_database(server_url) as url, psycopg.connect(url) as connection:
        connection.execute("CREATE TYPE mood AS ENUM ('ok', 'sad'); CREATE DOMAIN label AS text")
        connection.execute("CREATE TABLE t (id int NOT NULL, note text, mood mood NOT NULL, tags text[], label label)")
        yield connection
        connection.rollback()


def rows(number: int) -> str:
    """An INSERT of so many rows, with five parameters each."""
    values = [f"({', '.join(f'${5 * row + column}' for column in range(1, 6))})" for row in range(number)]
    return f"INSERT INTO t VALUES {', '.join(values)} RETURNING id, note, mood, tags[1] AS tag, label"


@pytest.mark.parametrize("number", [20, 21, 320, 321, 1000])
def test_the_description_is_the_same_however_many_rows(conn: Connection, number: int) -> None:
    one, many = (Describer(conn).describe(query_of(rows(each), ["p"] * 5 * each)) for each in (1, number))
    assert many.columns == one.columns
    assert [column.nullable for column in many.columns] == [False, True, False, True, True]
    assert many.parameters == one.parameters * number
    assert [parameter.nullable for parameter in one.parameters] == [False, True, False, True, True]
    assert [parameter.origin for parameter in many.parameters[-5:]] == [
        "public.t.id", "public.t.note", "public.t.mood", "public.t.tags", "public.t.label"
    ]  # fmt: skip
    assert (many.reads, many.writes, many.only_reads) == (one.reads, one.writes, one.only_reads)


def test_parameters_in_subscripts_casts_and_functions(conn: Connection) -> None:
    sums = "+".join(f"${number}::int" for number in range(1, 102))
    sql = f"SELECT {sums} AS sum, ($102::int[])[$1] AS element, coalesce($103::text, 'x') AS text, '$9' AS dollar"
    result = run(conn, "", sql, ["1"] * 101 + ["{1}", None])
    assert (result.columns, result.seen) == ("sum! element? text! dollar!", "sum! element! text! dollar!")
    assert [each.nullable for each in result.said.parameters] == [False] * 102 + [True]

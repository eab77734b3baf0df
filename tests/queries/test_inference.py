"""Parameters whose type PostgreSQL does not determine where it first meets them have that of their other uses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from rowsmith import Database, load_queries
from rowsmith.compiler.analysis.description import Describer
from rowsmith.queries.loader import read_queries
from tests.harness.modules import module
from tests.harness.worlds import World

SCHEMA = """
DROP SCHEMA IF EXISTS inferred CASCADE;
CREATE SCHEMA inferred;
CREATE TYPE inferred.role AS ENUM ('admin', 'Guest of honor');
CREATE TABLE inferred.people (id int PRIMARY KEY, role inferred.role NOT NULL, nick varchar(10), born timestamptz);
INSERT INTO inferred.people VALUES (1, 'admin', 'ada', '1815-12-10Z'), (2, 'Guest of honor', 'bob', NULL);
"""
SQL = """
-- name: by_role(role)
SELECT id FROM inferred.people WHERE :role IS NULL OR role = :role ORDER BY id;

-- name: by_several(id, nick, born)
SELECT id FROM inferred.people
 WHERE (:id IS NULL OR id = :id) AND (:nick IS NULL OR :nick IS NOT DISTINCT FROM nick)
   AND (:born::timestamptz IS NULL OR born >= :born)
 ORDER BY id;

-- name: by_count(nick, other)
SELECT id FROM inferred.people WHERE num_nulls(:nick, :other) > 0 OR nick IN (:nick, :other) ORDER BY id;

-- name: only_null(nick)
SELECT id FROM inferred.people WHERE :nick IS NULL ORDER BY id;

-- name: disagreeing(value)
SELECT id FROM inferred.people WHERE :value IS NULL OR id = :value OR nick = :value ORDER BY id;
"""
INFERRED = {
    "by_role": {"role": "inferred.role"},
    "by_several": {"id": "integer", "nick": "text"},
    "by_count": {"nick": "character varying", "other": "character varying"},
}


@pytest.fixture
def people(empty_database_url: str) -> str:
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        conn.execute(SCHEMA)
    return empty_database_url


@pytest.fixture(params=["sync", "async"])
def world(request: pytest.FixtureRequest, people: str) -> Iterator[World]:
    world = World(people, asynchronous=request.param == "async")
    yield world
    world.close()


def ids(rows: list[Any]) -> list[int]:
    return [row.id for row in rows]


def check_calls(world: World, queries: Any) -> None:
    assert ids(world.call(queries.by_role, role=None)) == [1, 2]
    assert ids(world.call(queries.by_role, role="Guest of honor")) == [2]
    assert ids(world.call(queries.by_several, id=None, nick=None, born=None)) == [1, 2]
    assert ids(world.call(queries.by_several, id=1, nick="ada", born=None)) == [1]
    assert ids(world.call(queries.by_several, id=2, nick="ada", born=None)) == []
    assert ids(world.call(queries.by_count, nick="bob", other="x")) == [2]
    assert ids(world.call(queries.by_count, nick="bob", other=None)) == [1, 2]


def test_queries_of_files(tmp_path: Path, world: World) -> None:
    (tmp_path / "q.sql").write_text(SQL)
    queries = load_queries(tmp_path)
    for _ in range(2):
        check_calls(world, queries)


def test_queries_of_a_generated_module(tmp_path: Path, world: World, people: str) -> None:
    good = SQL.partition("-- name: only_null")[0]
    with psycopg.connect(people) as conn:
        queries = module(conn, good, tmp_path).queries
    check_calls(world, queries)
    text = (tmp_path / "queries_pydantic.py").read_text()
    assert 'types={"role": "inferred.role"})\n    def by_role(self, *, role: Role | None)' in text
    assert "def by_several(self, *, id: int | None, nick: str | None, born: datetime | None)" in text


@pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
def test_in_a_block_which_stays_usable(tmp_path: Path, people: str, *, first: bool) -> None:
    """As the first statement of a block, and as a later one."""
    (tmp_path / "q.sql").write_text(SQL)
    queries, unknown = load_queries(tmp_path), load_queries(tmp_path)
    with Database(people) as db, db.transaction() as conn:
        if not first:
            conn.execute("UPDATE inferred.people SET role = 'admin'")
        expected = [1] if first else [1, 2]
        assert ids(queries.by_role(conn, role="admin")) == expected
        with pytest.raises(psycopg.errors.UndefinedFunction), db.transaction():
            queries.disagreeing(conn, value="x")
        assert ids(queries.by_several(conn, id=1, nick=None, born=None)) == [1]
        assert ids([*unknown.by_role.stream(conn, role="admin")]) == expected


def test_on_a_connection_that_begins_transactions_itself(tmp_path: Path, people: str) -> None:
    (tmp_path / "q.sql").write_text(SQL)
    with psycopg.connect(people) as conn:
        assert ids([*load_queries(tmp_path).by_role.stream(conn, role="admin")]) == [1]
        assert ids(load_queries(tmp_path).by_role(conn, role="admin")) == [1]


def test_the_types_and_the_places_in_the_file(tmp_path: Path, people: str) -> None:
    (tmp_path / "q.sql").write_text(SQL)
    with psycopg.connect(people, autocommit=True) as conn:
        describer = Describer(conn)
        for query in read_queries(tmp_path):
            if query.name in INFERRED:
                found = describer.describe(query).query
                assert found.types == INFERRED[query.name]
                for word in ("inferred.people", "ORDER BY"):
                    before, after = query.source.place(query.sql.index(word)), found.source.place(found.sql.index(word))
                    assert before == after
            else:  # nothing determines it, or two uses determine it differently
                with pytest.raises(psycopg.errors.ProgrammingError):
                    describer.describe(query)

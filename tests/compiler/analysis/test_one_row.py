"""Exactly one row: what is said to give one row does, and of what may give none there is a state to show it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import psycopg
import pytest

from tests.compiler.analysis.probes import Connection, run
from tests.harness.databases import new_database

HITS = "CREATE TABLE hits (page text PRIMARY KEY, n int NOT NULL DEFAULT 0);"
ONE_HIT = "INSERT INTO hits VALUES ('a', 1);"
UPSERT = "INSERT INTO hits VALUES ('a', 1) ON CONFLICT (page) DO UPDATE SET n = hits.n + 1"
DROPS = "CREATE FUNCTION drops() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
KEEPS = "CREATE FUNCTION keeps() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"


def trigger(when: str, table: str = "hits", function: str = "drops") -> str:
    """The statement that makes a trigger for each row."""
    return f"CREATE TRIGGER made {when} ON {table} FOR EACH ROW EXECUTE FUNCTION {function}();"


class Case(NamedTuple):
    """A schema, a statement, and the rows that it gives there."""

    schema: str
    sql: str
    one_row: bool
    rows: int


CASES = {
    "insert": Case(HITS, "INSERT INTO hits VALUES ('a', 1) RETURNING n", True, 1),
    "upsert, no row there": Case(HITS, f"{UPSERT} RETURNING n", True, 1),
    "upsert, a row there": Case(HITS + ONE_HIT, f"{UPSERT} RETURNING n", True, 1),
    "upsert by the name of the constraint": Case(
        HITS + ONE_HIT,
        "INSERT INTO hits VALUES ('a', 1) ON CONFLICT ON CONSTRAINT hits_pkey DO UPDATE SET n = 5 RETURNING n",
        True,
        1,
    ),
    "upsert of what another upsert gives": Case(
        HITS + "CREATE TABLE other (n int PRIMARY KEY)",
        f"WITH h AS ({UPSERT} RETURNING n) INSERT INTO other SELECT n FROM h "
        "ON CONFLICT (n) DO UPDATE SET n = excluded.n RETURNING n",
        True,
        1,
    ),
    "upsert of a row that WITH has updated": Case(
        HITS + ONE_HIT,
        "WITH h AS (UPDATE hits SET n = 7 RETURNING n) INSERT INTO hits VALUES ('a', 1) "
        "ON CONFLICT (page) DO UPDATE SET n = (SELECT max(n) FROM h) RETURNING n",
        False,
        0,
    ),
    "upsert in WITH, of a row that the statement updates through the table's parent": Case(
        "CREATE TABLE parent (page text, n int); CREATE TABLE hits (PRIMARY KEY (page)) INHERITS (parent);" + ONE_HIT,
        "WITH h AS (UPDATE parent SET n = 7 RETURNING n), i AS (INSERT INTO hits VALUES ('a', 1) "
        "ON CONFLICT (page) DO UPDATE SET n = (SELECT max(n) FROM h) RETURNING n) SELECT n FROM i",
        False,
        0,
    ),
    "select from an upsert": Case(HITS, f"WITH h AS ({UPSERT} RETURNING n) SELECT n FROM h", True, 1),
    "upsert, WHERE": Case(HITS + ONE_HIT, f"{UPSERT} WHERE hits.n > 5 RETURNING n", False, 0),
    "upsert, WHERE of the unique index": Case(
        "CREATE TABLE hits (page text, n int NOT NULL); CREATE UNIQUE INDEX ON hits (page) WHERE n > 0;" + ONE_HIT,
        "INSERT INTO hits VALUES ('a', 1) ON CONFLICT (page) WHERE n > 0 DO UPDATE SET n = hits.n + 1 RETURNING n",
        True,
        1,
    ),
    "do nothing": Case(HITS + ONE_HIT, "INSERT INTO hits VALUES ('a', 1) ON CONFLICT DO NOTHING RETURNING n", False, 0),
    "upsert of two rows": Case(
        HITS,
        "INSERT INTO hits VALUES ('a', 1), ('b', 1) ON CONFLICT (page) DO UPDATE SET n = 2 RETURNING n",
        False,
        2,
    ),
    "upsert of selected rows": Case(
        HITS,
        "INSERT INTO hits SELECT 'a', 1 WHERE false ON CONFLICT (page) DO UPDATE SET n = 2 RETURNING n",
        False,
        0,
    ),
    "insert of an aggregate": Case(HITS, "INSERT INTO hits SELECT 'a', count(*) FROM hits RETURNING n", True, 1),
    "insert, a trigger before INSERT": Case(
        HITS + DROPS + trigger("BEFORE INSERT"), "INSERT INTO hits VALUES ('a', 1) RETURNING n", False, 0
    ),
    "upsert, a trigger before INSERT": Case(HITS + DROPS + trigger("BEFORE INSERT"), f"{UPSERT} RETURNING n", False, 0),
    "upsert, a trigger before UPDATE": Case(
        HITS + ONE_HIT + DROPS + trigger("BEFORE UPDATE"), f"{UPSERT} RETURNING n", False, 0
    ),
    "upsert, a trigger before UPDATE of a column": Case(
        HITS + ONE_HIT + DROPS + trigger("BEFORE UPDATE OF n"), f"{UPSERT} RETURNING n", False, 0
    ),
    "insert, a trigger before UPDATE": Case(
        HITS + DROPS + trigger("BEFORE UPDATE"), "INSERT INTO hits VALUES ('a', 1) RETURNING n", True, 1
    ),
    "upsert, triggers after": Case(
        HITS + ONE_HIT + KEEPS + trigger("AFTER INSERT OR UPDATE OR DELETE", function="keeps"),
        f"{UPSERT} RETURNING n",
        True,
        1,
    ),
    "upsert, a trigger before DELETE": Case(
        HITS + ONE_HIT + DROPS + trigger("BEFORE DELETE"), f"{UPSERT} RETURNING n", True, 1
    ),
    "insert, a rule instead": Case(
        HITS + "CREATE TABLE other (page text, n int); CREATE RULE r AS ON INSERT TO hits DO INSTEAD "
        "INSERT INTO other SELECT NEW.page, NEW.n WHERE false RETURNING page, n",
        "INSERT INTO hits VALUES ('a', 1) RETURNING n",
        False,
        0,
    ),
    "insert into a view with a trigger": Case(
        HITS + "CREATE VIEW v AS SELECT page, n FROM hits;" + DROPS + trigger("INSTEAD OF INSERT", "v"),
        "INSERT INTO v VALUES ('a', 1) RETURNING n",
        False,
        0,
    ),
    "upsert through a view over a table with a trigger": Case(
        HITS + ONE_HIT + "CREATE VIEW v AS SELECT page, n FROM hits;" + DROPS + trigger("BEFORE UPDATE"),
        "INSERT INTO v VALUES ('a', 1) ON CONFLICT (page) DO UPDATE SET n = 2 RETURNING n",
        False,
        0,
    ),
    "insert into a partitioned table with a trigger of a partition": Case(
        "CREATE TABLE hits (page text, n int) PARTITION BY LIST (page); CREATE TABLE part PARTITION OF hits DEFAULT;"
        + DROPS
        + trigger("BEFORE INSERT", "part"),
        "INSERT INTO hits VALUES ('a', 1) RETURNING n",
        False,
        0,
    ),
    "insert under row-level security": Case(
        HITS + "ALTER TABLE hits ENABLE ROW LEVEL SECURITY; ALTER TABLE hits FORCE ROW LEVEL SECURITY;"
        "CREATE POLICY p ON hits USING (true) WITH CHECK (true)",
        f"{UPSERT} RETURNING n",
        True,
        1,
    ),
}


@pytest.fixture(scope="module")
def conn(server_url: str) -> Iterator[Connection]:
    """A connection to a database with nothing in it."""
    with new_database(server_url) as url, psycopg.connect(url) as connection:
        yield connection


@pytest.mark.parametrize("name", CASES)
def test_exactly_one_row(conn: Connection, name: str) -> None:
    case = CASES[name]
    result = run(conn, case.schema, case.sql)
    assert result.rows == case.rows
    assert result.said.one_row is case.one_row


def test_a_row_that_security_hides_is_an_error(conn: Connection) -> None:
    """Of an upsert, the row that a policy does not let the role see or write: the statement never passes it over."""
    schema = (
        HITS + ONE_HIT + "CREATE ROLE rowsmith_probe; GRANT ALL ON hits TO rowsmith_probe;"
        "ALTER TABLE hits ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON hits USING (n > 5) WITH CHECK (true);"
        "SET LOCAL ROLE rowsmith_probe"
    )
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
        run(conn, schema, f"{UPSERT} RETURNING n")

"""Which queries have pages: those whose ORDER BY decides of any two rows, whatever is in the database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from rowsmith.compiler.analysis.description import Describer
from rowsmith.queries.keyset import SortKey
from tests.compiler.analysis.probes import Connection, query_of
from tests.harness.databases import new_database
from tests.harness.projects import project, rowsmith

ANY_CASE = "CREATE COLLATION any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
TABLES = """
CREATE TABLE users (
    id int PRIMARY KEY, email text NOT NULL UNIQUE, nick text UNIQUE, name text NOT NULL, org_id int, born date,
    kind varchar(5) NOT NULL, moment timestamptz NOT NULL, doc jsonb NOT NULL, place point,
    UNIQUE (org_id, name)
);
CREATE UNIQUE INDEX ON users (lower(name)) WHERE born IS NULL;
CREATE TABLE posts (id int PRIMARY KEY, author int NOT NULL REFERENCES users, title text NOT NULL);
CREATE TABLE tags (post_id int NOT NULL REFERENCES posts, label text NOT NULL, PRIMARY KEY (post_id, label));
CREATE VIEW authors AS SELECT id, name FROM users;
CREATE TABLE pairs (a int NOT NULL, b int NOT NULL, c int NOT NULL, UNIQUE (a, b) DEFERRABLE);
"""

PAGED = [
    ("SELECT id FROM users ORDER BY id", "id"),
    ("SELECT id FROM users ORDER BY 1 DESC", "id desc"),
    ("SELECT id AS key FROM users ORDER BY key", "key"),
    ("SELECT id, name FROM users ORDER BY name DESC, id", "name desc, id"),
    ("SELECT name FROM users ORDER BY id", "(id)"),
    ("SELECT name FROM users ORDER BY lower(name) DESC NULLS LAST, users.id", "(lower(name)) desc, (users.id)"),
    ("SELECT * FROM users ORDER BY nick, id", "nick nulls last, id"),
    ("SELECT * FROM users ORDER BY nick DESC, id", "nick desc nulls first, id"),
    ("SELECT * FROM users WHERE nick IS NOT NULL ORDER BY nick", "nick"),
    ("SELECT * FROM users WHERE nick > 'a' ORDER BY nick DESC", "nick desc"),
    ("SELECT * FROM users WHERE org_id = 1 ORDER BY name", "name"),
    ("SELECT * FROM users WHERE org_id = $1 ORDER BY name", "name"),
    ("SELECT * FROM users ORDER BY email", "email"),
    ("SELECT * FROM users ORDER BY email COLLATE \"C\"", '(email COLLATE "C")'),
    ("SELECT u.name, p.title FROM posts p JOIN users u ON u.id = p.author ORDER BY u.name, p.id", "name, (p.id)"),
    ("SELECT u.name, p.title FROM users u LEFT JOIN posts p ON p.author = u.id ORDER BY u.id, p.id",
     None),
    ("SELECT p.id, t.label FROM posts p JOIN tags t ON t.post_id = p.id ORDER BY t.label, p.id", "label, id"),
    ("SELECT author, count(*) AS posts FROM posts GROUP BY author ORDER BY posts DESC, author", "posts desc, author"),
    ("SELECT author, count(*) FROM posts GROUP BY 1 ORDER BY 2 DESC, 1", "count desc, author"),
    ("SELECT DISTINCT org_id, name FROM users ORDER BY name, org_id", None),
    ("SELECT DISTINCT author FROM posts ORDER BY author", "author"),
    ("SELECT id FROM posts UNION SELECT id FROM users ORDER BY id", "id"),
    ("SELECT author FROM posts UNION SELECT org_id FROM users ORDER BY 1", "author nulls last"),
    ("SELECT id FROM posts UNION ALL SELECT id FROM users ORDER BY id", None),
    ("(SELECT id FROM posts) EXCEPT (SELECT id FROM users ORDER BY id LIMIT 3) ORDER BY id", "id"),
    ("SELECT id, name FROM authors ORDER BY name, id", "name, id"),
    ("WITH x AS (SELECT id, name FROM users ORDER BY name) SELECT * FROM x ORDER BY id", "id"),
    ("WITH x AS MATERIALIZED (SELECT 1 AS one) SELECT u.id FROM users u, x ORDER BY u.id", "id"),
    ("SELECT id, row_number() OVER (ORDER BY name) AS n FROM users ORDER BY id", "id"),
    ("SELECT id AS \"from\", name AS \"order by\" FROM users ORDER BY id", "from"),
    ("SELECT id, extract(year FROM moment) AS year FROM users ORDER BY year, id", "year, id"),
    ("SELECT id FROM users ORDER BY moment AT TIME ZONE 'UTC', id", "(moment AT TIME ZONE 'UTC'), id"),
    ("SELECT id FROM users ORDER BY (SELECT count(*) FROM posts WHERE author = users.id), id",
     "((SELECT count(*) FROM posts WHERE author = users.id)), id"),
    ("SELECT id FROM users ORDER BY CASE WHEN born IS NULL THEN 1 ELSE 2 END, id",
     "(CASE WHEN born IS NULL THEN 1 ELSE 2 END), id"),
    ("SELECT id FROM users ORDER BY name <> $1, id", "(name <> $1), id"),
    ("SELECT id FROM users ORDER BY doc, id", "(doc), id"),
    ("TABLE posts ORDER BY id", "id"),
    ("SELECT a FROM generate_series(1, 3) AS a ORDER BY a", None),
    ("SELECT unnest(ARRAY[1, 2]) AS x, id FROM users ORDER BY id", None),
    ("SELECT a, b FROM pairs ORDER BY a, b", None),
    ("SELECT id FROM users ORDER BY id LIMIT 5", None),
    ("SELECT id FROM users ORDER BY id OFFSET 5", None),
    ("SELECT id FROM users ORDER BY id FETCH FIRST ROW ONLY", None),
    ("SELECT id FROM users ORDER BY id FOR UPDATE", None),
    ("SELECT id FROM users", None),
    ("SELECT DISTINCT ON (name) id, name FROM users ORDER BY name, id", None),
    ("SELECT id, id FROM users ORDER BY 1", None),
    ("SELECT id AS \"a desc\" FROM users ORDER BY 1", None),
    ("SELECT id FROM users ORDER BY id USING <", "id"),
    ("SELECT id FROM users ORDER BY name USING ~<~, id", None),
    ("INSERT INTO posts VALUES (1, 1, '') RETURNING id", None),
    ("WITH x AS (DELETE FROM posts RETURNING id) SELECT id FROM x ORDER BY id", None),
    ("(SELECT id FROM users ORDER BY id)", None),
    ("SELECT ROW(id, name) AS r FROM users ORDER BY id", "(id)"),
    ("SELECT id, ROW(id, name) AS r FROM users ORDER BY r, id", None),
]  # fmt: skip


@pytest.fixture(scope="module")
def conn(server_url: str) -> Iterator[Connection]:
    with new_database(server_url) as url, psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TABLES)
        yield connection


@pytest.fixture(scope="module")
def describer(conn: Connection) -> Describer:
    return Describer(conn)


@pytest.mark.parametrize(("sql", "keys"), PAGED, ids=[sql for sql, _ in PAGED])
def test_which_queries_have_pages(describer: Describer, sql: str, keys: str | None) -> None:
    ordering = describer.describe(query_of(sql, ["p"] if "$1" in sql else [])).ordering
    found = ", ".join(map(str, ordering.keys)) if ordering and ordering.keys else None
    assert found == keys
    for key in ordering.keys if ordering else ():
        assert SortKey.parse(str(key)) == key


@pytest.mark.parametrize("name", ["size", "after"])
def test_a_parameter_that_a_page_takes_itself(describer: Describer, name: str) -> None:
    assert describer.describe(query_of("SELECT id FROM users WHERE id > $1 ORDER BY id", [name])).ordering is None


def test_a_key_under_a_collation_that_ignores_something(conn: Connection) -> None:
    """Two rows that are not equal to the unique index can be equal to ORDER BY."""
    sql = 'SELECT email FROM users ORDER BY email COLLATE "{}"'
    with conn.transaction(force_rollback=True):
        try:
            conn.execute(ANY_CASE)
        except psycopg.errors.FeatureNotSupported:
            pytest.skip("this server is built without ICU")
        for collation, keys in (("any_case", 0), ("C", 1)):
            ordering = Describer(conn).describe(query_of(sql.format(collation))).ordering
            assert ordering is not None
            assert len(ordering.keys) == keys


MISSING = [
    ("SELECT name FROM users ORDER BY name", "id"),
    ("SELECT u.name FROM users AS u ORDER BY u.born", "id"),
    ("SELECT p.title FROM posts p JOIN users u ON u.id = p.author ORDER BY u.name", "p.id"),
    ("SELECT t.label FROM tags t ORDER BY label", "post_id"),
    ("SELECT nick FROM users ORDER BY nick", "id"),
    ("SELECT u.id, p.id AS post FROM users u CROSS JOIN posts p ORDER BY u.name", None),
    ("SELECT a FROM pairs ORDER BY a", None),
    ("SELECT a FROM generate_series(1, 3) AS a ORDER BY a", None),
    ("SELECT id FROM users", None),
]


@pytest.mark.parametrize(("sql", "missing"), MISSING, ids=[sql for sql, _ in MISSING])
def test_what_order_by_lacks(describer: Describer, sql: str, missing: str | None) -> None:
    ordering = describer.describe(query_of(sql)).ordering
    assert (ordering.missing if ordering else None) == missing
    if missing:
        ordering = describer.describe(query_of(f"{sql}, {missing}")).ordering
        assert ordering is not None
        assert ordering.keys


MESSAGE = "ORDER BY can leave two rows in any order, so they may change places, and the query has no pages"


def test_check_says_what_to_add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server_url: str) -> None:
    monkeypatch.chdir(tmp_path)
    sql = "-- name: list_titles()\nSELECT title FROM posts\nORDER BY title;\n"
    project(tmp_path, sql)
    done = rowsmith("check", "--database-url", server_url)
    assert done.exit_code == 0
    assert done.stdout.splitlines()[:5] == [
        f"sql/queries.sql:3:1: warning: {MESSAGE} [unstable-order]",
        "    3 | ORDER BY title",
        "      | ^",
        "  query: list_titles",
        "  hint: Add id at its end",
    ]
    ignored = sql.replace("\nSELECT", "\n-- rowsmith: ignore unstable-order (it does not matter here)\nSELECT")
    (tmp_path / "sql/queries.sql").write_text(ignored)
    assert "unstable-order" not in rowsmith("check", "--database-url", server_url).stdout

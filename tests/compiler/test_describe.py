"""`rowsmith describe`: the shape of its JSON, and the table for people."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.harness.projects import assert_snapshot, project, rowsmith, write

QUERIES = """\
-- name: get_user(id)^
-- record_class: User
-- Find one user.
SELECT u.id, u.email AS "email?", u.nick, count(p.id) AS posts
FROM users AS u LEFT JOIN posts AS p ON p.author_id = u.id
WHERE u.id = :id GROUP BY u.id;

-- name: set_nick(id, nick)!
UPDATE users SET nick = :nick WHERE id = :id;

-- name: add_posts(id, author_id, title)*!
INSERT INTO posts (id, author_id, title) VALUES (:id, :author_id, :title);

-- name: clean_up#
DELETE FROM posts;
DELETE FROM users;
"""
NESTED = "-- name: count_posts()$\nSELECT count(*) FROM posts;\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a sub-folder of queries and a component. The working folder is its folder `sql`."""
    project(tmp_path, QUERIES, '[tool.rowsmith]\ncomponents = ["parts/*"]\n')
    files = {"sql/posts/posts.sql": NESTED, "parts/tags/sql/deep/tags.sql": "-- name: tags()\nSELECT name FROM tags;\n"}
    write(tmp_path, {**files, "parts/tags/migrations/0002.tags.sql": "CREATE TABLE tags (name text NOT NULL);\n"})
    monkeypatch.chdir(tmp_path / "sql")
    return tmp_path


def test_json(folder: Path, server_url: str) -> None:
    done = rowsmith("describe", "--json", "--database-url", server_url)
    assert (done.exit_code, done.stderr) == (0, "")
    assert_snapshot("describe", done.stdout, server_url)
    described = json.loads(done.stdout)
    assert list(described) == ["queries"]
    for query in described["queries"]:
        assert list(query) == [
            *("name", "namespace", "file", "line", "kind", "params", "columns", "reads", "writes")
        ]  # fmt: skip
        for typed in [*query["params"], *query["columns"]]:
            assert list(typed) == ["name", "pg_type", "python", "nullable"]
        assert query["reads"] == sorted(query["reads"])
    places = {(*query["namespace"], query["name"]): (query["file"], query["line"]) for query in described["queries"]}
    assert places["tags", "deep", "tags"] == ("parts/tags/sql/deep/tags.sql", 1)
    assert places["posts", "count_posts"] == ("sql/posts/posts.sql", 1)
    assert [query["kind"] for query in described["queries"]][:4] == ["one", "affected", "executemany", "script"]


def test_a_refused_query_is_left_out_and_reported_beside(folder: Path, server_url: str) -> None:
    write(folder, {"sql/more.sql": "-- name: wrong()\nSELECT emial FROM users;\n"})
    done = rowsmith("describe", "--json", "--database-url", server_url)
    assert done.exit_code == 1
    assert "wrong" not in {query["name"] for query in json.loads(done.stdout)["queries"]}
    assert done.stderr.startswith('more.sql:2:8: error: column "emial" does not exist [refused]\n')


def test_the_table(folder: Path, server_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    done = rowsmith("describe", "--database-url", server_url)
    assert done.exit_code == 0
    assert_snapshot("describe-table", done.stdout, server_url)


def test_functions_that_are_never_null(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server_url: str) -> None:
    schema = """
        CREATE SCHEMA app;
        CREATE FUNCTION app.slugify(text) RETURNS text STRICT LANGUAGE sql AS 'SELECT lower($1)';
    """
    project(
        tmp_path,
        "-- name: slug()$\nSELECT app.slugify('A') AS slug;\n",
        '[tool.rowsmith]\nnever-null = ["app.slugify(text)"]\n',
        schema,
    )
    monkeypatch.chdir(tmp_path)
    done = rowsmith("describe", "--json", "--database-url", server_url)
    assert [column["nullable"] for column in json.loads(done.stdout)["queries"][0]["columns"]] == [False]
    write(tmp_path, {"pyproject.toml": '[tool.rowsmith]\nnever-null = ["app.slug(text)"]\n'})
    done = rowsmith("describe", "--database-url", server_url)
    assert done.exit_code == 2
    assert "never-null: the migrations create no function app.slug(text)" in done.stderr


def test_functions_that_keep_the_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server_url: str) -> None:
    schema = """
        CREATE FUNCTION touch() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$;
    """
    module, query = tmp_path / "queries.py", "-- name: touch()$\nSELECT touch() AS touched;\n"
    for declared, writes in (("", "writes=True"), ('keeps-session = ["touch()"]\n', 'writes="rows"')):
        project(tmp_path, query, f'[tool.rowsmith]\noutput = "queries.py"\n{declared}', schema)
        monkeypatch.chdir(tmp_path)
        assert rowsmith("generate", "--database-url", server_url).exit_code == 0
        assert f"@query({writes})" in module.read_text()
    write(tmp_path, {"pyproject.toml": '[tool.rowsmith]\nkeeps-session = ["touch(int)"]\n'})
    done = rowsmith("describe", "--database-url", server_url)
    assert done.exit_code == 2
    assert "keeps-session: the migrations create no function touch(int)" in done.stderr


def test_migrations_print_nothing_into_the_json(folder: Path, server_url: str) -> None:
    dumped = "SELECT pg_catalog.set_config('search_path', '', false);\nSELECT setval('public.s', 5);\n"
    printing = "from yoyo import step\n\nprint('loaded')\nstep(lambda conn: print('applied'))\n"
    write(folder, {"migrations/0003.s.sql": f"CREATE SEQUENCE public.s;\n{dumped}", "migrations/0004.p.py": printing})
    done = rowsmith("describe", "--json", "--database-url", server_url)
    assert done.exit_code == 0
    assert list(json.loads(done.stdout)) == ["queries"]
    assert done.stderr == "loaded\napplied\n"


def test_a_database_whose_transactions_are_read_only_by_default(folder: Path, server_url: str) -> None:
    """What describing a query creates is rolled back."""
    migration = """
        DO $$
        BEGIN
            EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database());
        END
        $$;
    """
    before = rowsmith("describe", "--json", "--database-url", server_url)
    write(folder, {"parts/tags/migrations/0003.read-only.sql": migration})
    done = rowsmith("describe", "--json", "--database-url", server_url)
    assert (done.exit_code, done.stderr, done.stdout) == (0, "", before.stdout)

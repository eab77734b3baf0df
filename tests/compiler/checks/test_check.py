"""`rowsmith check`: every rule, the messages word for word, and the statements that it sends."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from rowsmith.compiler.checks.check import Examiner
from rowsmith.compiler.project import Project
from rowsmith.compiler.screen import Screen
from rowsmith.compiler.workbench import Workbench
from rowsmith.findings import Finding, Rule, Severity
from tests.harness.databases import ROOT
from tests.harness.projects import assert_snapshot, databases, project, rowsmith, watching, write


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def examine(folder: Path, server_url: str) -> Generator[Callable[[str], list[Finding]]]:
    """The findings for the text of a query file."""
    with Workbench(server_url) as workbench:

        def run(sql: str) -> list[Finding]:
            project(folder, sql)
            loaded = Project.load(folder)
            return list(workbench.examiner(loaded.migrations).examine(loaded).findings)

        yield run


# A base type, as extensions have them.
OWN_TYPE = """\
CREATE TYPE ean;
CREATE FUNCTION ean_in(cstring) RETURNS ean AS 'textin' LANGUAGE internal IMMUTABLE STRICT;
CREATE FUNCTION ean_out(ean) RETURNS cstring AS 'textout' LANGUAGE internal IMMUTABLE STRICT;
CREATE TYPE ean (INPUT = ean_in, OUTPUT = ean_out, LIKE = text);
CREATE FUNCTION ean_eq(ean, ean) RETURNS boolean AS 'texteq' LANGUAGE internal IMMUTABLE STRICT;
CREATE OPERATOR = (LEFTARG = ean, RIGHTARG = ean, FUNCTION = ean_eq);
CREATE TYPE numbered AS (number int4, codes ean[]);
CREATE TABLE codes (code ean, number numbered);
"""


# --- the command ---


def test_a_sound_project(folder: Path, server_url: str) -> None:
    project(folder, "-- name: get_user(id)^\nSELECT id, email FROM users WHERE id = :id;\n")
    done = rowsmith("check", "--database-url", server_url)
    assert done.exit_code == 0
    assert_snapshot("sound", done.output, server_url)


def test_each_kind_of_finding(folder: Path, server_url: str) -> None:
    project(
        folder,
        """\
-- name: misspelt(id)^
SELECT id, emial
FROM users WHERE id = :id;

-- name: wrong_type(first, second)
SELECT id FROM users
WHERE id = :first AND	email = 'ä漢' AND number = (:second::text);

-- name: no_table()
SELECT 1 FROM user_accounts;

-- name: star(org_id)
SELECT u.*, 1 AS one FROM users AS u WHERE org_id = :org_id;

-- name: twice()
SELECT u.id, p.id FROM users AS u JOIN posts AS p ON p.author_id = u.id;

-- name: by_org(org_id)^
SELECT id FROM users WHERE org_id = :org_id;

-- name: rename(id, nick)^
UPDATE users SET nick = :nick WHERE id = :id;

-- name: delete_user(id)!
DELETE FROM users WHERE id = :id RETURNING id;

-- name: two_values(id)$
SELECT id, email FROM users WHERE id = :id;

-- name: codes(code)
SELECT number, code FROM codes WHERE code = :code;

-- name: undetermined(name)
SELECT id FROM users WHERE :name IS NULL;
""",
    )
    write(folder, {"migrations/0002.codes.sql": OWN_TYPE})
    done = rowsmith("check", "--database-url", server_url)
    assert done.exit_code == 1
    assert_snapshot("findings", done.output, server_url)


def test_a_faulty_file_does_not_hide_the_others(folder: Path, server_url: str) -> None:
    project(folder, "-- name: good()\nSELECT 1 AS one;\n-- name: two()\nSELECT 1;\nSELECT 2;\n")
    write(
        folder,
        {
            "sql/other.sql": "-- name: misspelt()\nSELECT emial FROM users;\n",
            "sql/posts/posts.sql": "-- name: good()\nSELECT titel FROM posts;\n",
            "sql/twin.sql": "-- name: misspelt()\nSELECT 2 AS two;\n",
        },
    )
    done = rowsmith("check", "--database-url", server_url)
    assert done.exit_code == 1
    assert_snapshot("files", done.output, server_url)


def test_warnings_alone_pass_unless_strict(folder: Path, server_url: str) -> None:
    project(folder, "-- name: any_user()^\nSELECT id FROM users;\n")
    done = rowsmith("check", "--database-url", server_url)
    assert done.exit_code == 0
    assert_snapshot("warning", done.output, server_url)
    assert rowsmith("check", "--strict", "--database-url", server_url).exit_code == 1


def test_a_migration_that_renames_a_column_names_the_queries_that_use_it(folder: Path, server_url: str) -> None:
    project(
        folder,
        """\
-- name: get_user(id)^
SELECT id, nick FROM users WHERE id = :id;

-- name: untouched()
SELECT title FROM posts;

-- name: find_users(nick)
SELECT id FROM users
WHERE email <> ''
  AND nick = :nick;

-- name: set_nick(id, nick)!
UPDATE users
SET nick = :nick WHERE id = :id;
""",
    )
    assert rowsmith("check", "--database-url", server_url).exit_code == 0
    write(folder, {"migrations/0002.rename-nick.sql": "ALTER TABLE users RENAME COLUMN nick TO nickname;\n"})
    done = rowsmith("check", "--database-url", server_url)
    assert done.exit_code == 1
    places = [line.partition(": error:")[0] for line in done.output.splitlines() if ": error:" in line]
    assert places == ["sql/queries.sql:2:12", "sql/queries.sql:10:7", "sql/queries.sql:14:5"]
    assert_snapshot("renamed", done.output, server_url)


def test_the_queries_of_this_repository(monkeypatch: pytest.MonkeyPatch, server_url: str) -> None:
    monkeypatch.chdir(ROOT)
    done = rowsmith("check", "--strict", "--database-url", server_url)
    assert done.exit_code == 0, done.output


def test_on_the_embedded_server(folder: Path) -> None:
    project(folder, "-- name: get_user(id)^\nSELECT id, email FROM users WHERE id = :id;\n")
    assert rowsmith("check").exit_code == 0


# --- could not run ---


def test_a_broken_migration(folder: Path, server_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    project(folder, "-- name: one()$\nSELECT 1;\n")
    write(folder, {"migrations/0002.broken.sql": "ALTER TABLE users ADD COLUMN email text;\n"})
    monkeypatch.setattr("secrets.token_hex", str)
    done = rowsmith("check", "--database-url", server_url)
    assert done.exit_code == 2
    assert_snapshot("broken-migration", done.output, server_url)
    write(folder, {"migrations/0002.broken.sql": "UPDATE users SET emial = '';\n"})
    assert_snapshot("broken-migration-hint", rowsmith("check", "--database-url", server_url).output, server_url)
    assert "rowsmith_scratch_6" not in databases(server_url)


def test_no_scratch_database(folder: Path, server_url: str, server_tcp_url: str | None) -> None:
    project(folder, "-- name: one()$\nSELECT 1;\n")
    done = rowsmith("check", "--database-url", "postgresql://ada:hush@127.0.0.1:1/app")
    assert done.exit_code == 2
    assert "Cannot create a scratch database: " in done.output
    assert "hush" not in done.output
    done = rowsmith("check", "--database-url", "mysql://localhost/app")
    assert done.exit_code == 2
    assert_snapshot("not-postgresql", done.output, server_url)


def test_a_wrong_environment_does_not_matter(folder: Path, server_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    project(folder, "-- name: one()$\nSELECT 1;\n")
    (folder / ".env").write_bytes(b"DATABASE_URL=\xff\n")
    for name in ("DATABASE_URL", "MIGRATION_DATABASE_URL", "DB_MAX_CONNECTIONS", "DB_LOCK_TIMEOUT", "APP_ENV"):
        monkeypatch.setenv(name, "wrong")
    assert rowsmith("check", "--database-url", server_url).exit_code == 0


# --- ignoring ---


def test_a_finding_is_silenced_for_one_query(examine: Callable[[str], list[Finding]]) -> None:
    found = examine("""\
-- name: any_user()^
-- rowsmith: ignore many-rows (any of them will do)
SELECT id FROM users;

-- name: other_user()^
SELECT id
-- rowsmith: ignore many-rows (any of them will do)
FROM users;

-- name: third_user()^
SELECT id FROM users;
""")
    assert [(each.rule, each.query) for each in found] == [(Rule.MANY_ROWS, "third_user")]


def test_lines_that_silence_nothing_are_findings(folder: Path, server_url: str) -> None:
    project(
        folder,
        """\
-- rowsmith: ignore many-rows (too early)
-- name: unused(id)^
-- rowsmith: ignore many-rows (a leftover)
SELECT id FROM users WHERE id = :id;

-- name: unreasonable()^
-- rowsmith: ignore many-rows
SELECT id FROM users;

-- name: empty_reason()^
-- rowsmith: ignore many-rows ( )
SELECT id FROM users;

-- name: misspelt()^
-- rowsmith: ignore many-row (any will do)
SELECT id FROM users;

-- name: twice()^
-- rowsmith: ignore many-rows (any will do)
-- rowsmith: ignore many-rows (any will do)
SELECT id FROM users;

-- name: not_for_this()
-- rowsmith: ignore refused (the table is made at run time)
-- rowsmith: disable select-star
SELECT a FROM elsewhere;
""",
    )
    done = rowsmith("check", "--database-url", server_url)
    assert done.exit_code == 1
    assert_snapshot("ignores", done.output, server_url)


# --- watching ---


def test_watching(folder: Path, server_url: str) -> None:
    """Each change causes a run; errors are printed and survived; the database is kept until the migrations change."""
    project(folder, "-- name: one()$\nSELECT 1;\n")
    with watching(server_url) as watched:
        assert watched.round()[-1].startswith("1 query checked in ")
        first = watched.database()

        write(folder, {"sql/queries.sql": "-- name: one()$\nSELECT emial FROM users;\n"})
        assert watched.round()[0] == 'sql/queries.sql:2:8: error: column "emial" does not exist [refused]'
        assert watched.database() == first

        write(folder, {"migrations/0002.rename.sql": "ALTER TABLE users RENAME COLUMN email TO;\n"})
        assert watched.round()[0].startswith("migrations/0002.rename.sql:1: PostgreSQL refuses the migration: syntax")
        write(folder, {"migrations/0002.rename.sql": "ALTER TABLE users RENAME COLUMN email TO emial;\n"})
        assert watched.round()[-1].endswith("1 warning")
        last = watched.database()
        assert first not in databases(server_url)

        write(folder, {"pyproject.toml": "[tool.rowsmith]\nsql = 1\n"})
        assert "sql is 1: expected the folder" in watched.round()[1]
        write(folder, {"pyproject.toml": ""})
        assert watched.round()[-1].endswith("1 warning")
        write(folder, {"sql/queries.sql": "-- name: one()$\nSELECT 1;\nSELECT 2;\n"})
        assert "second statement" in watched.round()[0]
        assert watched.database() == last
        assert watched.end(signal.SIGINT) == 0
    assert last not in databases(server_url)


def test_a_lost_connection_is_survived(folder: Path, server_url: str) -> None:
    project(folder, "-- name: one()$\nSELECT 1;\n")
    with watching(server_url) as watched:
        watched.round()
        first = watched.database()
        with psycopg.connect(server_url, autocommit=True) as conn:
            conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [first])
        write(folder, {"sql/queries.sql": "-- name: one()$\nSELECT 1 AS one;\n"})
        assert watched.round()[0].startswith("The connection to the scratch database was lost")
        write(folder, {"sql/queries.sql": "-- name: one()$\nSELECT 2;\n"})
        assert watched.round()[-1].endswith("nothing to report")
        second = watched.database()
        assert watched.end(signal.SIGTERM) == 128 + signal.SIGTERM
    assert not {first, second} & databases(server_url)


# --- the cost ---


def test_each_query_costs_a_fixed_number_of_round_trips(
    folder: Path, server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of statements grows with the number of queries alone."""
    counts: list[int] = []
    with Workbench(server_url) as workbench:
        project(folder, "")
        examiner: Examiner = workbench.examiner(Project.load(folder).migrations)
        sent = 0
        execute = psycopg.Connection[Any].execute

        def counted(conn: psycopg.Connection[Any], *args: Any, **values: Any) -> psycopg.Cursor[Any]:
            nonlocal sent
            sent += 1
            return execute(conn, *args, **values)

        monkeypatch.setattr(psycopg.Connection, "execute", counted)
        for count in (1, 100, 200):
            names = [f"q{number}" for number in range(count)]
            project(
                folder, "".join(f"-- name: {name}(a)^\nSELECT id, email FROM users WHERE id = :a;\n" for name in names)
            )
            sent = 0
            assert examiner.examine(Project.load(folder)).findings == ()
            counts.append(sent)
    _, some, more = counts  # the first run asks the catalogue
    each = (more - some) / 100
    assert each <= 4
    assert some - 100 * each <= 5


def test_progress_is_shown_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = Screen()
    shown.note("query 7 of 200")
    with shown.busy():
        pass
    assert capsys.readouterr().err == ""

    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    shown = Screen()
    shown.note("query 7 of 200")
    with shown.busy():
        pass
    assert "query 7 of 200" in capsys.readouterr().err


# --- SELECT * ---


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM users",
        "select\n*from users",
        "SELECT ALL * FROM users",
        "SELECT DISTINCT * FROM users",
        "SELECT DISTINCT ON (org_id) * FROM users",
        "SELECT DISTINCT ON (org_id) *, 1 AS one FROM users",
        "SELECT 1 AS one, * FROM users",
        "SELECT u.* FROM users AS u",
        "SELECT (u).* FROM users AS u",
        "SELECT id AS a FROM users; ",
        "WITH u AS (SELECT id FROM users) SELECT * FROM u",
        "(SELECT * FROM posts LIMIT 1) UNION ALL (SELECT * FROM posts LIMIT 2)",
        "SELECT id, author_id, title FROM posts UNION ALL (SELECT * FROM posts)",
        "TABLE posts",
        "WITH u AS (SELECT 1) TABLE posts",
        "INSERT INTO posts (id, author_id, title) VALUES (1, 2, '') RETURNING *",
        "DELETE FROM posts AS p RETURNING p.*",
    ],
)
def test_a_star_among_the_columns(examine: Callable[[str], list[Finding]], sql: str) -> None:
    found = [each for each in examine(f"-- name: f()\n{sql};\n") if each.rule is Rule.SELECT_STAR]
    assert len(found) == (0 if sql.endswith("; ") else sql.count("*") or 1)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM users",
        "SELECT count(*) * 2 AS n FROM users",
        "SELECT (id) * 2 AS n FROM users",
        "SELECT id * number AS n FROM users",
        "SELECT 2 * id AS n, id OPERATOR(pg_catalog.*) 2 AS m FROM users",
        "SELECT EXISTS (SELECT * FROM users) AS any",
        "SELECT id FROM (SELECT * FROM users) AS u",
        "WITH u AS (SELECT * FROM users) SELECT id FROM u",
        "WITH u AS (TABLE users) SELECT id FROM u",
        "SELECT id FROM users WHERE id = ALL (SELECT u.number FROM (SELECT * FROM users) AS u)",
        "SELECT to_jsonb(u.*) AS u FROM users AS u",
        "SELECT '*' AS \"*\" /* , * */ FROM users -- , *",
        "SELECT ARRAY(SELECT id FROM users) AS ids",
    ],
)
def test_a_star_that_is_none_of_the_columns(examine: Callable[[str], list[Finding]], sql: str) -> None:
    assert [each for each in examine(f"-- name: f()\n{sql};\n") if each.rule is Rule.SELECT_STAR] == []


# --- at most one row ---

ONE_ROW = {
    "primary key": "SELECT email FROM users WHERE id = :a::int",
    "primary key, the other way round": "SELECT email FROM users WHERE :a::int = id",
    "a cast of the parameter": "SELECT email FROM users WHERE id = :a::int8",
    "unique constraint of two columns": "SELECT email FROM users WHERE org_id = :a::int AND number = 1",
    "row comparison": "SELECT email FROM users WHERE (org_id, number) = (:a::int, 1)",
    "expression index": "SELECT id FROM users WHERE lower(email) = lower(:a)",
    "partial index": "SELECT id FROM users WHERE nick = :a AND deleted_at IS NULL AND org_id > 3",
    "limit": "SELECT id FROM users WHERE email = :a LIMIT 1",
    "limit of a union": "SELECT id FROM users WHERE email = :a UNION SELECT 1 LIMIT 1",
    "fetch first": "SELECT id FROM users WHERE email = :a FETCH FIRST ROW ONLY",
    "aggregate": "SELECT max(id) AS id FROM users WHERE email = :a",
    "no table": "SELECT :a::int AS a",
    "having": "SELECT 1 AS one FROM users WHERE nick = :a HAVING true",
    "group of one": "SELECT org_id, count(*) AS n FROM users WHERE org_id = :a GROUP BY org_id",
    "distinct": "SELECT DISTINCT org_id FROM users WHERE org_id = :a",
    "join to the row's parent": (
        "SELECT p.title, u.nick FROM posts AS p JOIN users AS u ON u.id = p.author_id WHERE p.id = :a"
    ),
    "join by comma": "SELECT p.title FROM posts AS p, users AS u WHERE u.id = p.author_id AND :a = p.id",
    "join using": (
        "SELECT title FROM posts JOIN (SELECT id AS author_id FROM users) AS u USING (author_id) WHERE posts.id = :a"
    ),
    "left join": "SELECT p.title, u.nick FROM posts AS p LEFT JOIN users AS u ON u.id = p.author_id WHERE p.id = :a",
    "right join": "SELECT p.title, u.nick FROM users AS u RIGHT JOIN posts AS p ON u.id = p.author_id WHERE p.id = :a",
    "left join of two": (
        "SELECT p.title FROM posts AS p LEFT JOIN (users AS u JOIN users AS v ON v.id = u.number) "
        "ON u.id = p.author_id WHERE p.id = :a"
    ),
    "key of another table by equality": "SELECT p.id FROM posts AS p JOIN users AS u ON u.id = p.id WHERE p.id = :a",
    "key of a sub-query": "SELECT u.email FROM (SELECT id, email FROM users) AS u WHERE u.id = :a",
    "sub-query of one row": "SELECT u.n FROM (SELECT count(*) AS n FROM users WHERE nick = :a) AS u",
    "grouped sub-query": (
        "SELECT s.n FROM (SELECT author_id, count(*) AS n FROM posts GROUP BY author_id) AS s WHERE s.author_id = :a"
    ),
    "view": "SELECT posts FROM authors WHERE id = :a",
    "cte": "WITH u AS (SELECT id, email FROM users) SELECT email FROM u WHERE id = :a",
    "cte that writes": (
        "WITH u AS (UPDATE users SET nick = NULL WHERE id = :a RETURNING org_id) SELECT org_id FROM u"
    ),
    "lateral": (
        "SELECT p.title FROM users AS u CROSS JOIN LATERAL "
        "(SELECT title FROM posts WHERE author_id = u.id ORDER BY id LIMIT 1) AS p WHERE u.id = :a"
    ),
    "scalar sub-query": "SELECT id FROM users WHERE id = (SELECT max(author_id) FROM posts WHERE title = :a)",
    "function": "SELECT u.nick, f.n FROM users AS u, lower(u.email) AS f (n) WHERE u.id = :a",
    "insert": "INSERT INTO posts (id, author_id, title) VALUES (1, :a, '') RETURNING id",
    "upsert": (
        "INSERT INTO posts (id, author_id, title) VALUES (1, :a, '') ON CONFLICT (id) DO UPDATE SET title = 'x' "
        "RETURNING id"
    ),
    "insert of one selected": (
        "INSERT INTO posts (id, author_id, title) SELECT 1, id, '' FROM users WHERE id = :a RETURNING id"
    ),
    "update": "UPDATE users SET nick = 'x' WHERE id = :a RETURNING id",
    "update by a join": "UPDATE users SET nick = p.title FROM posts AS p WHERE users.id = :a RETURNING users.id",
    "delete": "DELETE FROM users WHERE lower(email) = lower(:a) RETURNING id",
    "for update": "SELECT id FROM users WHERE id = :a FOR UPDATE",
    "or inside and": "SELECT id FROM users WHERE id = :a AND (nick = 'x' OR nick IS NULL)",
}  # fmt: skip

MANY_ROWS = {
    "no condition": "SELECT id FROM users WHERE :a::int > 0",
    "no key": "SELECT id FROM users WHERE org_id = :a",
    "another comparison": "SELECT id FROM users WHERE id >= :a",
    "or": "SELECT id FROM users WHERE id = :a OR id = 3",
    "any": "SELECT id FROM users WHERE id = ANY (:a::int[])",
    "another expression": "SELECT id FROM users WHERE upper(email) = upper(:a)",
    "expression index by the column": "SELECT id FROM users WHERE email = :a",
    "partial index without its condition": "SELECT id FROM users WHERE nick = :a",
    "partial index, the opposite": "SELECT id FROM users WHERE nick = :a AND deleted_at IS NOT NULL",
    "limit of two": "SELECT id FROM users WHERE nick = :a LIMIT 2",
    "limit of a parameter": "SELECT id FROM users LIMIT :a",
    "no limit": "SELECT id FROM users WHERE nick = :a LIMIT NULL",
    "with ties": "SELECT id FROM users WHERE nick = :a ORDER BY number FETCH FIRST 1 ROW WITH TIES",
    "a key that varies": "SELECT id FROM users WHERE id = number AND nick = :a",
    "a volatile key": "SELECT id FROM users WHERE id = (random() * 10)::int AND nick = :a",
    "a key by the row": (
        "SELECT u.id FROM users AS u WHERE u.id = (SELECT max(p.id) FROM posts AS p WHERE p.author_id = u.number "
        "AND p.title = :a)"
    ),
    "union": "SELECT id FROM users WHERE id = :a UNION ALL SELECT id FROM users WHERE id = :a",
    "set-returning": "SELECT generate_series(1, 3) AS n FROM users WHERE id = :a",
    "unnest": "SELECT u.n FROM unnest(:a::int[]) AS u (n)",
    "children of a row": "SELECT p.id FROM users AS u JOIN posts AS p ON p.author_id = u.id WHERE u.id = :a",
    "left join of children": "SELECT p.id FROM users AS u LEFT JOIN posts AS p ON p.author_id = u.id WHERE u.id = :a",
    "condition of a left join": "SELECT p.id FROM posts AS p LEFT JOIN users AS u ON u.id = p.author_id AND p.id = :a",
    "key in the filled side's condition": "SELECT p.id FROM posts AS p LEFT JOIN users AS u ON u.id = :a",
    "full join": "SELECT p.id FROM posts AS p FULL JOIN users AS u ON u.id = p.author_id AND p.id = :a",
    "cross join": "SELECT u.id FROM users AS u CROSS JOIN posts AS p WHERE u.id = :a",
    "groups": "SELECT org_id FROM users WHERE nick = :a GROUP BY org_id",
    "grouping sets": "SELECT org_id, count(*) AS n FROM users WHERE org_id = :a GROUP BY ROLLUP (org_id)",
    "distinct on another": "SELECT DISTINCT number FROM users WHERE org_id = :a",
    "lateral over many": (
        "SELECT p.id FROM users AS u CROSS JOIN LATERAL (SELECT id FROM posts WHERE id = u.number) AS p "
        "WHERE u.org_id = :a"
    ),
    "values": "SELECT v.n FROM (VALUES (1), (:a::int)) AS v (n)",
    "recursive": "WITH RECURSIVE t AS (SELECT :a::int AS n UNION ALL SELECT n + 1 FROM t WHERE n < 9) SELECT n FROM t",
    "inheritance": "SELECT id FROM parents WHERE id = :a",
    "deferrable": "SELECT id FROM deferred WHERE id = :a",
    "insert of two": "INSERT INTO posts (id, author_id, title) VALUES (1, :a, ''), (2, :a, '') RETURNING id",
    "update of many": "UPDATE users SET nick = 'x' WHERE org_id = :a RETURNING id",
    "update by a joined key": "UPDATE users SET nick = 'x' FROM posts AS p WHERE p.id = :a RETURNING users.id",
    "view without its key": "SELECT id FROM authors WHERE email = :a",
}  # fmt: skip

MORE_SCHEMA = """
CREATE TABLE parents (id int4 PRIMARY KEY);
CREATE TABLE children () INHERITS (parents);
CREATE TABLE deferred (id int4 PRIMARY KEY DEFERRABLE);
"""


@pytest.fixture(scope="module")
def warned(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of the queries above that get a warning: nothing limits them to one row."""
    folder = tmp_path_factory.mktemp("cardinality")
    queries = [*ONE_ROW.items(), *MANY_ROWS.items()]
    text = "".join(f"-- name: q{index}(a)^\n{sql};\n" for index, (_, sql) in enumerate(queries))
    project(folder, text)
    write(folder, {"migrations/0002.more.sql": MORE_SCHEMA})
    with Workbench(server_url) as workbench:
        loaded = Project.load(folder)
        report = workbench.examiner(loaded.migrations).examine(loaded)
    assert [each for each in report.findings if each.rule is not Rule.MANY_ROWS] == []
    return {queries[int(str(each.query)[1:])][0] for each in report.findings}


@pytest.mark.parametrize("name", ONE_ROW)
def test_what_gives_at_most_one_row(name: str, warned: set[str]) -> None:
    assert name not in warned


@pytest.mark.parametrize("name", MANY_ROWS)
def test_what_may_give_many_rows(name: str, warned: set[str]) -> None:
    assert name in warned


def test_another_notion_of_equality(examine: Callable[[str], list[Finding]], folder: Path, server_url: str) -> None:
    with psycopg.connect(server_url) as conn:
        try:
            conn.execute(CASELESS)
        except psycopg.errors.FeatureNotSupported:
            pytest.skip("this server is built without ICU")
        conn.rollback()
    write(folder, {"migrations/0002.more.sql": CASELESS})
    found = examine("-- name: f(a)^\nSELECT id FROM users WHERE lower(email) = lower(:a) COLLATE caseless;")
    assert [each.rule for each in found] == [Rule.MANY_ROWS]


CASELESS = "CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false);"


# --- the names of columns ---

NAMELESS = """\
-- name: a()
SELECT id, email || nick,
       (SELECT count(*) FROM posts), percentile_cont(0.5) WITHIN GROUP (ORDER BY id) AS "two words", email
FROM users GROUP BY users.id;

-- name: b()
WITH p AS (SELECT 1) SELECT DISTINCT ON (u.id) u.id, u.email AS mail, p.id
FROM users AS u JOIN posts AS p ON p.author_id = u.id;

-- name: c()
-- rowsmith: ignore select-star (of two tables)
SELECT 1, u.*, p.*, 2 FROM users AS u, posts AS p;

-- name: d()
-- rowsmith: ignore select-star (of two tables)
SELECT 1, u.*, 2 FROM users AS u;

-- name: e()<!
INSERT INTO posts (id, author_id, title) SELECT 1, 2, 'a, b' RETURNING id, 1 IS DISTINCT FROM 2, upper(title);

-- name: f()
-- rowsmith: ignore column-name (there is only one)
(SELECT 1) UNION (SELECT 2 AS other);

-- name: g()$
SELECT 1;
"""


def test_a_column_without_a_usable_name_is_a_warning_with_the_alias_to_write(
    examine: Callable[[str], list[Finding]],
) -> None:
    findings = examine(NAMELESS)
    assert {finding.rule for finding in findings} == {Rule.COLUMN_NAME}
    assert {finding.severity for finding in findings} == {Severity.WARNING}
    found = [(each.query, each.message, (each.source or "")[each.column :], each.hint) for each in findings]
    write = "Write AS %s, or a name that says more"
    no_name = "column %d has no name. In the row it is %s"
    words = 'column 4 is named "two words", which is no name in Python. In the row it is column_4'
    assert found == [
        ("a", no_name % (2, "column_2"), "email || nick,", write % "column_2"),
        (
            "a",
            words,
            'percentile_cont(0.5) WITHIN GROUP (ORDER BY id) AS "two words", email',
            write % "column_4",
        ),
        ("b", "column 3 is named id, as column 1 is. In the row it is id_2", "p.id", write % "id_2"),
        ("c", no_name % (1, "column_1"), "c()", write % "column_1"),
        ("c", "column 8 is named id, as column 2 is. In the row it is id_2", "c()", write % "id_2"),
        ("c", no_name % (11, "column_11"), "c()", write % "column_11"),
        ("d", no_name % (1, "column_1"), "1, u.*, 2 FROM users AS u", write % "column_1"),
        ("d", no_name % (8, "column_8"), "2 FROM users AS u", write % "column_8"),
        ("e", no_name % (2, "column_2"), "1 IS DISTINCT FROM 2, upper(title)", write % "column_2"),
    ]


# --- a returned row of one column ---


def test_a_returned_row_of_one_column_is_a_warning(examine: Callable[[str], list[Finding]]) -> None:
    insert = "INSERT INTO posts (id, author_id, title) VALUES (1, 2, '') RETURNING"
    found = examine(
        f"-- name: a()<!\n{insert} id;\n"
        f"-- name: b()$\n{insert} id;\n"
        f"-- name: c()<!\n{insert} id, title;\n"
        f"-- name: d()<!\n-- record_class: Id\n{insert} id;\n"
        f"-- name: e()<!\n-- rowsmith: ignore one-column (others are to follow)\n{insert} id;\n"
    )
    assert [(each.rule, each.query, each.severity) for each in found] == [(Rule.ONE_COLUMN, "a", Severity.WARNING)]
    assert str(found[0]) == (
        "sql/queries.sql:1: the query is marked <! and returns one column, so a call returns a row with id in it. "
        "Mark it with $ for the value alone"
    )


# --- statements that cannot succeed ---

STRICT_SCHEMA = """\
CREATE DOMAIN label AS text NOT NULL;
CREATE DOMAIN short AS label CHECK (length(value) < 9);
CREATE DOMAIN kind AS text NOT NULL DEFAULT 'k';
CREATE TABLE strict (
    id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, number serial, org int NOT NULL, name text NOT NULL,
    label short, kind kind, twice int NOT NULL GENERATED ALWAYS AS (org * 2) STORED, since date NOT NULL DEFAULT now(),
    note text, UNIQUE (org, number)
);
CREATE VIEW names AS SELECT id, name, label FROM strict;
CREATE VIEW tidy AS SELECT id, name, label AS tag, org AS o FROM strict;
ALTER VIEW tidy ALTER COLUMN o SET DEFAULT 1;
CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN new.name := 1; RETURN new; END';
CREATE TABLE filled (id int, name text NOT NULL);
CREATE TRIGGER fill BEFORE INSERT ON filled FOR EACH ROW EXECUTE FUNCTION fill();
CREATE VIEW ruled AS SELECT id, name, label FROM strict;
CREATE RULE other AS ON INSERT TO ruled DO INSTEAD INSERT INTO filled VALUES (new.id, new.name);
CREATE TABLE parted (id int NOT NULL, name text NOT NULL) PARTITION BY LIST (id);
"""
MISSING = "the INSERT gives %s no value: NOT NULL without a default"
STORED = "the statement stores NULL in %s: NOT NULL"
NO_INDEX = (
    "PostgreSQL cannot plan the statement: there is no unique or exclusion constraint matching the ON CONFLICT "
    "specification"
)
IMPOSSIBLE = {
    "INSERT INTO strict (org, name) VALUES (:org, :name)": MISSING % "strict.label",
    "INSERT INTO strict (note) VALUES ('')": MISSING % "strict.org, strict.name, strict.label",
    "INSERT INTO strict DEFAULT VALUES": MISSING % "strict.org, strict.name, strict.label",
    "INSERT INTO strict (org, name, label) VALUES (1, NULL, 'x')": STORED % "strict.name",
    "INSERT INTO strict (org, name, label) VALUES (1, DEFAULT, 'x')": STORED % "strict.name",
    "INSERT INTO strict (org, name, label) VALUES (1, 'a', 'x'), (1, 'b', NULL)": STORED % "strict.label",
    "INSERT INTO strict (org, name, label) VALUES (1, 'a', 'x'), (1, DEFAULT, '')": STORED % "strict.name",
    "INSERT INTO strict (org, name, label) SELECT id, NULL, name FROM filled": STORED % "strict.name",
    "INSERT INTO names (name) VALUES ('a')": MISSING % "strict.org, strict.label",
    "INSERT INTO tidy (name) VALUES ('a')": MISSING % "strict.label",
    "INSERT INTO parted (id) VALUES (:id)": MISSING % "parted.name",
    "UPDATE strict SET name = NULL WHERE id = :id": STORED % "strict.name",
    "UPDATE strict SET (note, label, org) = (NULL, NULL, DEFAULT)": STORED % "strict.label, strict.org",
    "UPDATE tidy SET tag = NULL": STORED % "strict.label",
    "WITH c AS (UPDATE strict SET name = NULL) SELECT 1 AS one": STORED % "strict.name",
    "INSERT INTO strict (org, name, label) VALUES (1, 'a', 'x') ON CONFLICT (org, number) DO UPDATE SET org = NULL":
        STORED % "strict.org",
    "INSERT INTO strict (org, name, label) VALUES (1, 'a', 'x') ON CONFLICT (org) DO NOTHING": NO_INDEX,
    "INSERT INTO strict (org, name, label) VALUES (:org, :name, 'x') ON CONFLICT (name) DO UPDATE SET name = :name":
        NO_INDEX,
    "MERGE INTO strict AS t USING filled AS f ON t.id = f.id WHEN NOT MATCHED THEN INSERT (org) VALUES (f.id)":
        MISSING % "strict.name, strict.label",
    "MERGE INTO strict AS t USING filled AS f ON t.id = f.id WHEN MATCHED THEN UPDATE SET name = NULL":
        STORED % "strict.name",
    "SELECT jsonb_build_object('a', 1, 'b') AS j":
        "jsonb_build_object takes pairs of keys and values, but has 3 arguments",
    "SELECT id FROM strict WHERE (json_build_object(name)->>'a') = :a":
        "json_build_object takes pairs of keys and values, but has 1 argument",
    "SELECT s.id FROM strict AS s FULL JOIN filled AS f ON s.id < f.id":
        "PostgreSQL cannot plan the statement: FULL JOIN is only supported with merge-joinable or hash-joinable join "
        "conditions",
}  # fmt: skip
POSSIBLE = [
    "INSERT INTO strict (org, name, label) VALUES (:org, :name, :label)",
    "INSERT INTO strict (org, name, label, note, since) VALUES (1, 'a', 'x', NULL, DEFAULT), (1, 'b', 'y', '', now())",
    "INSERT INTO strict (org, name, label) SELECT id, name, 'x' FROM filled",
    "INSERT INTO strict (org, name, label) VALUES (:org, 'a', :x) ON CONFLICT (org, number) DO UPDATE SET note = NULL",
    "INSERT INTO tidy (name, tag) VALUES ('a', 'b')",
    "INSERT INTO filled (id) VALUES (:id)",
    "INSERT INTO filled (id, name) VALUES (:id, NULL)",
    "INSERT INTO ruled (id) VALUES (:id)",
    "UPDATE strict SET note = NULL, since = DEFAULT WHERE label = :label",
    "SELECT jsonb_build_object('a', 1), jsonb_build_object(VARIADIC ARRAY['a', 'b', 'c']), json_build_object()",
    "SELECT id FROM strict WHERE name = :name LIMIT :n",
    "DELETE FROM strict WHERE label = :label",
    "SELECT id FROM strict WHERE org = current_setting('app.org')::int",
    "SELECT CASE WHEN org = 0 THEN 1 / 0 END AS x FROM strict",
]


@pytest.fixture(scope="module")
def strict(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Finding]]:
    """The findings for the queries above."""
    folder = tmp_path_factory.mktemp("strict")
    write(folder, {"pyproject.toml": "", "migrations/0001.create.sql": STRICT_SCHEMA})
    queries = dict(enumerate([*IMPOSSIBLE, *POSSIBLE]))
    words = {number: re.findall(r"[^:]:(\w+)", sql) for number, sql in queries.items()}
    files = (
        f"-- name: q{number}({', '.join(dict.fromkeys(words[number]))})!\n{sql};\n" for number, sql in queries.items()
    )
    write(folder, {"sql/queries.sql": "".join(files)})
    with Workbench(server_url) as workbench:
        loaded = Project.load(folder)
        findings = workbench.examiner(loaded.migrations).examine(loaded).findings
    assert {finding.rule for finding in findings} == {Rule.CANNOT_SUCCEED, Rule.MARK}
    found: dict[str, list[Finding]] = {sql: [] for sql in queries.values()}
    for finding in findings:
        if finding.rule is Rule.CANNOT_SUCCEED:
            found[queries[int(str(finding.query)[1:])]].append(finding)
    return found


@pytest.mark.parametrize("sql", IMPOSSIBLE)
def test_a_statement_that_cannot_succeed_is_an_error(strict: dict[str, list[Finding]], sql: str) -> None:
    assert [finding.message for finding in strict[sql]] == [IMPOSSIBLE[sql]]
    assert {finding.severity for finding in strict[sql]} == {Severity.ERROR}


@pytest.mark.parametrize("sql", POSSIBLE)
def test_a_statement_that_can_succeed_is_none(strict: dict[str, list[Finding]], sql: str) -> None:
    assert strict[sql] == []


def test_a_statement_that_cannot_succeed_can_be_ignored(examine: Callable[[str], list[Finding]]) -> None:
    sql = "-- name: a()!\n%sUPDATE users SET email = NULL;\n"
    (finding,) = examine(sql % "")
    assert (finding.line, finding.column, finding.source) == (2, 0, "UPDATE users SET email = NULL")
    assert examine(sql % "-- rowsmith: ignore cannot-succeed (a trigger is added later)\n") == []

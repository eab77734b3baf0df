"""Mistakes that people make: each has a place, and a hint whose form the server has accepted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rowsmith.compiler.checks.check import Examiner
from rowsmith.compiler.project import Project
from rowsmith.compiler.workbench import Workbench
from rowsmith.findings import Finding, Rule
from tests.harness.projects import write

SCHEMA = """\
CREATE TYPE user_role AS ENUM ('admin', 'editor');
CREATE TABLE users (
    id bigint PRIMARY KEY, email text NOT NULL, name text, role user_role NOT NULL, "displayName" text,
    settings jsonb NOT NULL, balance numeric(10, 2), active int, created_at timestamptz NOT NULL
);
CREATE SCHEMA app;
CREATE TABLE app.events (id uuid PRIMARY KEY, user_id bigint NOT NULL, kind varchar(20) NOT NULL, price float8);
CREATE TABLE "order" (id int PRIMARY KEY, total int NOT NULL);
"""
CURLY = "\N{LEFT SINGLE QUOTATION MARK}Ada\N{RIGHT SINGLE QUOTATION MARK}"
MISTAKES = {
    # the statement, with the place of the fault marked by ^: the hint, what to write instead of what
    "SELECT ^emial FROM users": ("Write email", "emial", "email"),
    "SELECT u.id, ^u.emial FROM users u": ("Write u.email", "u.emial", "u.email"),
    "INSERT INTO users (^nmae) VALUES (:x)": ("Write name", "nmae", "name"),
    "UPDATE users SET ^nmae = :x": ("Write name", "nmae", "name"),
    "SELECT ^displayName FROM users": (
        'Write "displayName": PostgreSQL reads names without quotes in lower case', "displayName", '"displayName"',
    ),
    'SELECT id FROM users WHERE name = ^"Ada"': (
        "Text is in straight single quotes. Write 'Ada'", '"Ada"', "'Ada'",
    ),
    f"SELECT id FROM users WHERE name = ^{CURLY}": (
        "Text is in straight single quotes. Write 'Ada'", CURLY, "'Ada'",
    ),
    "SELECT ^id FROM user": ("The word user is the current role. Write users", "FROM user", "FROM users"),
    "SELECT id FROM users WHERE email = ^given": (
        "Write 'given' for a text, or :given for a parameter", "given", "'given'",
    ),
    "SELECT settings->^theme AS theme FROM users": (
        "Write 'theme' for a text, or :theme for a parameter", ">theme", ">'theme'",
    ),
    "SELECT balance * 2 AS twice FROM users WHERE ^twice > 3": (
        "twice names a column of the result, which only ORDER BY and GROUP BY can use. Write (balance * 2)",
        "twice >", "(balance * 2) >",
    ),
    "SELECT ^id FROM users u JOIN app.events e ON e.user_id = u.id": ("Write u.id", "SELECT id", "SELECT u.id"),
    "SELECT ^users.id FROM users u": ("Write u.id", "users.id", "u.id"),
    "SELECT id FROM ^usres": ("Write users", "usres", "users"),
    "SELECT id FROM ^events": ("Write app.events", "events", "app.events"),
    "SELECT id FROM ^order": (
        'order is a reserved word. To use it as a name, write "order"', "order", '"order"',
    ),
    "SELECT id, email, ^FROM users": ("Remove the comma before FROM", "email,", "email"),
    "SELECT id email ^name FROM users": ("A comma is missing before name", "email name", "email, name"),
    "^SELCT id FROM users": ("Write SELECT instead of SELCT", "SELCT", "SELECT"),
    "SELECT id FORM ^users": ("Write FROM instead of FORM", "FORM", "FROM"),
    "SELECT id FROM users WEHRE ^id = 3": ("Write WHERE instead of WEHRE", "WEHRE", "WHERE"),
    "SELECT id FROM users WHERE (id > 3^": ("A closing parenthesis is missing", "3", "3)"),
    "SELECT `id` ^FROM users": ("Names are quoted in double quotes, not in `", "`", '"'),
    "SELECT id FROM users WHERE id > 3 && name ^= 'a'": ("Write AND instead of &&", "&&", "AND"),
    "SELECT id FROM users WHERE id ^== 3": ("Write =", "==", "="),
    "SELECT id FROM users WHERE id ^= :x::text": ("Remove ::text", "::text", ""),
    "SELECT id FROM users WHERE id ^= name": ("Write name::bigint", "name", "name::bigint"),
    "SELECT id FROM users WHERE email ^+ name = 'a'": ("Write || to join texts", "+", "||"),
    "SELECT id FROM users WHERE id = :x OR name ^= :x": ("Write :x::text", "name = :x", "name = :x::text"),
    "SELECT :a ^+ :b AS c": ("Write :b::integer", ":b", ":b::integer"),
    "SELECT id FROM users WHERE ^:x IS NULL": ("Give its type with a cast, such as :x::text", ":x", ":x::text"),
    "SELECT id FROM users WHERE id ^= ANY(:x::bigint)": (
        "Write :x::bigint[]: ANY and ALL take an array", "::bigint", "::bigint[]",
    ),
    "SELECT id FROM users WHERE ^active": ("Write active::boolean", "active", "active::boolean"),
    "UPDATE users SET active = ^name": ("Write name::integer", "= name", "= name::integer"),
    "SELECT ^round(price, 2) AS price FROM app.events": ("Write price::numeric", "(price", "(price::numeric"),
    "SELECT ^lenght(name) AS n FROM users": ("Write length", "lenght", "length"),
    "SELECT ^ifnull(name, '') AS n FROM users": ("Write coalesce", "ifnull", "coalesce"),
    "SELECT :x::^txt AS x": ("Write text", "txt", "text"),
    "SELECT id FROM users WHERE role = ^'admn'": ("Write 'admin', or another label of the type", "admn", "admin"),
    "SELECT role, ^email FROM users GROUP BY role": (
        "Add email to GROUP BY, or write max(email) or another aggregate", "email", "max(email)",
    ),
}  # fmt: skip
ADVICE = {
    "SELECT role FROM users WHERE ^count(*) > 3": "Conditions on aggregates belong in HAVING, after GROUP BY",
    "SELECT id FROM users WHERE created_at > ^'2026-13-01'": (
        "Write a date that exists, year first, as in '2026-12-31'"
    ),
    "SELECT id FROM users WHERE id = 1 ^WHERE name = 'x'": (
        "Look at what is before the caret: something is missing there, or too much"
    ),
    "SELECT ^nothing_like_it FROM users": (
        "Check its spelling, and that a table in FROM has it. If it is new, add it in a migration"
    ),
    "SELECT id FROM ^nothing_like_it": "Check its spelling and its schema. If it is new, create it in a migration",
    "INSERT INTO users (id, ^name) VALUES (:x)": None,
    "SELECT id FROM users UNION SELECT ^email FROM users": "Cast one of them, as in value::text",
}
SEVERAL = {
    "SELECT id, emial, nmae FROM users WHERE idd = :x": ["emial", "nmae", "idd"],
    "SELECT nothing_like_it, created_att, lower(nothing_else) FROM users ORDER BY emial": [
        "nothing_like_it", "created_att", "nothing_else", "emial",
    ],
    "SELECT u.id FROM usres u JOIN evnts e ON true": ["usres", "evnts"],
    "SELECT :x::txt, emial FROM users": ["txt", "emial"],
    "UPDATE users SET nmae = :x WHERE idd = 3": ["nmae", "idd"],
    # One fault is reported once, and what may follow from it is not.
    "SELECT u.emial FROM (SELECT emial FROM users) u": ["emial FROM users)"],
    "WITH u AS (SELECT emial FROM users) SELECT emial FROM u ORDER BY emial": ["emial FROM users)"],
    "SELECT emial FROM usres": ["usres"],
    "SELECT nothing_like_it + 1, abs(nothing_like_it) FROM users WHERE id = nothing_else::text": [
        "nothing_like_it +", "nothing_else",
    ],
    "SELECT id FROM users WHERE emial = 3 AND id = nothing::text": ["emial", "nothing"],
    "SELECT (emial).city, abs(emial), (SELECT emial) + 1 FROM users WHERE id = name": ["emial"],
    "SELECT id,, emial FROM users": [", emial"],
}  # fmt: skip


@pytest.fixture(scope="module")
def examiner(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Examiner, Path]]:
    folder = tmp_path_factory.mktemp("refusals")
    write(folder, {"pyproject.toml": "", "migrations/0001.create.sql": SCHEMA, "sql/queries.sql": ""})
    with Workbench(server_url) as workbench:
        yield workbench.examiner([folder / "migrations"]), folder


def refusals(examiner: tuple[Examiner, Path], sql: str) -> list[Finding]:
    asked, folder = examiner
    parameters = dict.fromkeys(re.findall(r"(?<!:):(\w+)", sql))
    write(folder, {"sql/queries.sql": f"-- name: f({', '.join(parameters)})\n{sql};\n"})
    found = asked.examine(Project.load(folder)).findings
    return [each for each in found if each.rule in (Rule.REFUSED, Rule.QUERY_FILE)]


@pytest.mark.parametrize("marked", MISTAKES)
def test_a_hint_is_a_form_that_the_server_accepts(examiner: tuple[Examiner, Path], marked: str) -> None:
    sql, (hint, wrong, right) = marked.replace("^", "", 1), MISTAKES[marked]
    (found,) = refusals(examiner, sql)
    assert (found.line, found.column) == (2, marked.index("^"))
    assert found.hint == hint
    assert refusals(examiner, sql.replace(wrong, right)) == []


@pytest.mark.parametrize("marked", ADVICE)
def test_without_such_a_form_there_is_advice(examiner: tuple[Examiner, Path], marked: str) -> None:
    (found,) = refusals(examiner, marked.replace("^", "", 1))
    assert (found.line, found.column) == (2, marked.index("^"))
    assert found.hint == ADVICE[marked]


@pytest.mark.parametrize("sql", SEVERAL)
def test_further_faults_are_reported_if_they_follow_from_nothing(examiner: tuple[Examiner, Path], sql: str) -> None:
    found = refusals(examiner, sql)
    places = [sql[each.column :] for each in found if each.column is not None]
    assert [place[: len(name)] for place, name in zip(places, SEVERAL[sql], strict=True)] == SEVERAL[sql]


def test_a_parameter_has_its_name_in_the_message(examiner: tuple[Examiner, Path]) -> None:
    (found,) = refusals(examiner, "SELECT id FROM users WHERE name = :a AND :role IS NULL")
    assert found.message == "could not determine data type of parameter :role"


NULL_COMPARISONS = {
    "SELECT id FROM users WHERE name = NULL": [("= NULL", "Write IS NULL")],
    "SELECT id FROM users WHERE name<>null OR name != /**/ NULL": [
        ("<> NULL", "Write IS NOT NULL"), ("!= NULL", "Write IS NOT NULL"),
    ],
    "UPDATE users SET name = NULL, balance=NULL WHERE role = NULL": [("= NULL", "Write IS NULL")],
    "SELECT id FROM users WHERE name IS NOT DISTINCT FROM NULL AND make_interval(days => NULL) > '1 day'": [],
    "SELECT '= NULL' AS x -- = NULL": [],
    "INSERT INTO users (id, email, name, role, settings, created_at) VALUES (1, '', NULL, 'admin', '{}', now()) "
    "ON CONFLICT (id) DO UPDATE SET name = NULL": [],
}  # fmt: skip


@pytest.mark.parametrize("sql", NULL_COMPARISONS)
def test_a_comparison_with_null_is_a_warning(examiner: tuple[Examiner, Path], sql: str) -> None:
    asked, folder = examiner
    write(folder, {"sql/queries.sql": f"-- name: f(){'' if sql.startswith('SELECT') else '!'}\n{sql};\n"})
    findings = asked.examine(Project.load(folder)).findings
    found = [each for each in findings if each.rule is Rule.NULL_COMPARISON]
    assert [(each.message, each.hint) for each in found] == [
        (f"a comparison with NULL, {form}, is never true", hint) for form, hint in NULL_COMPARISONS[sql]
    ]

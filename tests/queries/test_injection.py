"""No text that a caller passes is read as SQL: hostile strings in every textual parameter of every query of blueprint.

Each call is compared with the same call with a plain word. What it gives, and every row of the database after it, have
to be the same but for the word: then the string was stored unchanged, and nothing else has happened.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from ipaddress import IPv4Address
from typing import Any, cast
from uuid import UUID

import psycopg
import pytest
from pydantic import BaseModel

from blueprint.queries import queries
from rowsmith.queries.loader import read_queries
from rowsmith.queries.marks import Kind
from rowsmith.queries.query import Query
from rowsmith.testing.databases import fresh_database
from tests.harness.databases import MIGRATIONS, ROOT
from tests.harness.examples import share
from tests.queries.injections import CORPUS, IMPOSSIBLE, ODD, PLACES, Code, Conn

ADA, BOB, HERO, HIDDEN, HOME, SESSION, REVIEW, KEY, NOTE, NEW = (UUID(int=number) for number in range(1, 11))
KNOWN = {str(UUID(int=number)) for number in range(11)}
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
WORLD = f"""
    INSERT INTO users (id, email, name, password_hash) VALUES
        ('{ADA}', 'ada@example.com', 'Ada', 'secret-1'), ('{BOB}', 'bob@example.com', 'Bob', 'secret-2');
    INSERT INTO module_templates (id, author_id, slug, name, category, complexity, html_content, is_public, is_approved)
    VALUES ('{HERO}', '{ADA}', 'hero', 'A hero', 'HEADER', 'SIMPLE', '', true, true),
           ('{HIDDEN}', '{BOB}', 'hidden', 'A hidden hero', 'HEADER', 'SIMPLE', '', false, false);
    INSERT INTO projects (id, user_id, name, tags) VALUES ('{HOME}', '{ADA}', 'Home', '{{a,b}}');
    INSERT INTO project_collaborators (project_id, user_id, role) VALUES ('{HOME}', '{BOB}', 'EDITOR');
    INSERT INTO ai_sessions (id, user_id, session_type, status) VALUES ('{SESSION}', '{ADA}', 'analysis', 'PROCESSING');
    INSERT INTO template_reviews (id, template_id, user_id, rating) VALUES ('{REVIEW}', '{HERO}', '{BOB}', 5);
    INSERT INTO api_keys (id, user_id, name, key_hash) VALUES ('{KEY}', '{ADA}', 'key', 'secret-3');
    INSERT INTO notifications (id, user_id, type, title, message, channels)
    VALUES ('{NOTE}', '{ADA}', 'SYSTEM_UPDATE', 'title', 'message', '{{email}}');
    INSERT INTO health_checks (status) VALUES ('fine');
"""
WORD, OTHER = "word", "other"

TEXTUAL = ("text", "text[]", "jsonb", "jsonb[]")
BY_TYPE: dict[str, Any] = {
    "text": OTHER,
    "jsonb": {},
    "integer": 1,
    "smallint": 5,
    "bigint": 100,
    "boolean": False,
    "numeric": 1,
    "double precision": 0.5,
    "date": date(2026, 1, 2),
    "inet": IPv4Address("192.0.2.1"),
    "timestamp with time zone": NOW,
    "uuid": ADA,
    "collaborator_role": "VIEWER",
    "log_level": "INFO",
    "notification_type": "SYSTEM_UPDATE",
    "project_status": "DRAFT",
    "session_status": "PENDING",
    "template_category": "HEADER",
    "template_complexity": "SIMPLE",
    "user_role": "USER",
}
BY_NAME: dict[str, Any] = {
    "project_id": HOME,
    "template_id": HERO,
    "session_id": SESSION,
    "session_type": "analysis",
    "channels": ["email"],
    "permissions": [OTHER],
}
BY_QUERY: dict[str, dict[str, Any]] = {
    "import_projects": {"project_id": NEW},
    "import_sessions": {"session_id": NEW},
    "import_templates": {"template_id": NEW},
    "search_projects": {"query": None, "status": None, "tag": None, "user_id": None},
    "search_templates": {"query": "hero", "category": None, "complexity": None},
    "list_sessions_of_user": {"session_type": None},
    "list_log_lines": {"min_level": None},
}
"""Where it takes more than a type, or a name, for the query to do its work."""
SEARCHES = {("search_projects", "query"), ("search_templates", "query")}
"""Their text is a search engine's language, in which `-x` and `or` mean something: what they find depends on it."""

# What belongs to the schema, and to the roles; each row by rights that nobody but a statement of DDL changes.
_OURS = "NOT IN ('pg_catalog', 'information_schema', 'pg_toast')"
CATALOG = {
    "schemas": "SELECT nspname, nspowner, nspacl::text FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_t%'",
    "relations": "SELECT oid, relname, relkind, relowner, relacl::text, relrowsecurity FROM pg_class"
    f" WHERE relnamespace::regnamespace::text {_OURS}",
    "columns": "SELECT attrelid, attnum, attname, atttypid, attnotnull, attisdropped FROM pg_attribute AS a"
    f" JOIN pg_class AS c ON c.oid = attrelid WHERE relnamespace::regnamespace::text {_OURS}",
    "constraints": f"SELECT conrelid, conname FROM pg_constraint WHERE connamespace::regnamespace::text {_OURS}",
    "functions": f"SELECT oid, proname, prosrc, proacl::text FROM pg_proc"
    f" WHERE pronamespace::regnamespace::text {_OURS}",
    "types": f"SELECT oid, typname, typacl::text FROM pg_type WHERE typnamespace::regnamespace::text {_OURS}",
    "triggers": "SELECT tgrelid, tgname, tgenabled FROM pg_trigger",
    "extensions": "SELECT extname FROM pg_extension",
    # Other tests have roles of their own on this server.
    "roles": "SELECT rolname, rolsuper FROM pg_roles WHERE rolname IN ('injected', current_user) OR rolname ~ '^pg_'",
    "settings": "SELECT setrole, setconfig FROM pg_db_role_setting AS s"
    " JOIN pg_database AS d ON d.oid = setdatabase WHERE datname = current_database()",
}


@dataclass(frozen=True)
class Parameter:
    """A parameter of a query, with its type as the server has it, and arguments for the whole call."""

    query: Query
    name: str
    type: str
    arguments: dict[str, Any] = field(hash=False)

    def __str__(self) -> str:
        return f"{self.query.name}({self.name})"

    def call(self, conn: Conn, string: str) -> Any:
        arguments = {**self.arguments, self.name: self.holding(string)}
        function: Any = getattr(queries, self.query.name)
        return function(conn, [arguments]) if self.query.kind is Kind.EXECUTEMANY else function(conn, **arguments)

    def holding(self, string: str) -> Any:
        """An argument that holds the string in all places that its type has for it."""
        if self.name == "permissions":
            return [string]
        document = {string: string, "list": [string, {"nested": {string: [string]}}]}
        # The arrays of load_events and its like are the columns of one table, and of one length.
        array = [string, OTHER, string] if self.query.kind is Kind.RETURNING else [string]
        return {"text": string, "text[]": array, "jsonb": document, "jsonb[]": [document]}[self.type]


@dataclass(frozen=True)
class Outcome:
    """All that a call does: what it gives, or what it raises, and which rows of the database are new or gone then."""

    result: Any
    error: Exception | None
    new: list[Any]
    gone: set[str]

    def fits(self, plain: Outcome, string: str) -> bool:
        """Whether this is what the plain word has done, with the string in its place."""
        done = masked(self.result), self.failure, self.rows(WORD), self.gone
        return done == (masked(put(plain.result, string)), plain.failure, plain.rows(string), plain.gone)

    @property
    def failure(self) -> tuple[object, ...] | None:
        return None if self.error is None else (type(self.error), getattr(self.error, "sqlstate", None))

    def rows(self, string: str) -> list[str]:
        """The new rows with the string for the word, in an order that is made of what they hold."""
        return sorted(json.dumps(masked(put(row, string)), sort_keys=True) for row in self.new)


def put(value: Any, string: str) -> Any:
    """The value with the string in each place of the word."""
    return each_part(value, lambda part: string if part == WORD else part)


def masked(value: Any) -> Any:
    """The value without what is new in each call: the ids and the times that the database gives."""
    return each_part(value, mask)


def mask(part: Any) -> Any:
    text = str(part)
    if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text):
        return text if text in KNOWN else "an id"
    return "a time" if isinstance(part, datetime) or re.fullmatch(r"\d{4}-\d\d-\d\dT[0-9:.+]+", text) else part


def each_part(value: Any, change: Callable[[Any], Any]) -> Any:
    """The value with each of its keys and values changed; a model as a dict, and a tuple as a list."""
    if isinstance(value, BaseModel):
        return each_part(value.model_dump(), change)
    if isinstance(value, dict):
        # To pyright an Any that was found to be a dict is one of unknown types, and to mypy a cast of it is needless.
        members: dict[Any, Any] = value  # pyright: ignore[reportUnknownVariableType]
        return {each_part(key, change): each_part(member, change) for key, member in members.items()}
    if isinstance(value, (list, tuple)):
        return [each_part(element, change) for element in cast("Sequence[Any]", value)]
    return change(value)


def contents(conn: Conn, statement: str) -> list[str]:
    """Every row of every table, as one text each."""
    return [row for (row,) in conn.execute(statement.encode())]


def catalog(conn: Conn) -> dict[str, list[Any]]:
    return {name: sorted(map(repr, conn.execute(sql.encode()).fetchall())) for name, sql in CATALOG.items()}


def statement_of_contents(conn: Conn) -> str:
    """A statement that gives every row of every table as JSON. A search vector is made of the other columns."""
    tables = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    names = [name for (name,) in conn.execute(f"{tables} AND relname NOT LIKE '\\_yoyo%'".encode())]
    return " UNION ALL ".join(
        f"SELECT jsonb_build_object('{name}', to_jsonb(t) - 'search_vector')::text FROM public.{name} AS t"
        for name in names
    )


def parameters_of(conn: Conn, query: Query) -> list[Parameter]:
    """Every parameter of a query."""
    if not query.parameters:  # it may be a script, which cannot be described
        return []
    conn.pgconn.prepare(b"asked", query.statement)
    described = conn.pgconn.describe_prepared(b"asked")
    conn.execute("DEALLOCATE asked")
    oids = [described.param_type(index) for index in range(len(query.parameters))]
    types = [str(conn.execute("SELECT format_type(%s, NULL)", [oid]).fetchall()[0][0]) for oid in oids]
    arguments = {name: sensible(query, name, of_type) for name, of_type in zip(query.parameters, types, strict=True)}
    return [Parameter(query, name, of_type, arguments) for name, of_type in zip(query.parameters, types, strict=True)]


def sensible(query: Query, name: str, of_type: str) -> Any:
    """An argument with which the query does its work."""
    if name in BY_QUERY.get(query.name, {}):
        return BY_QUERY[query.name][name]
    if name in BY_NAME:
        return BY_NAME[name]
    value = BY_TYPE[of_type.removesuffix("[]")]
    return [value] if of_type.endswith("[]") else value


@dataclass(frozen=True)
class Target:
    """A database with some rows in each table."""

    url: str
    parameters: list[Parameter]
    """All, of all queries."""
    statement: str
    """Gives the contents."""
    contents: list[str]
    catalog: dict[str, list[Any]]

    def outcome(self, conn: Conn, each: Parameter, string: str) -> Outcome:
        """What a call with a string does. It is undone then, which fails where the string has ended the transaction."""
        result, error = None, None
        try:
            result = each.call(conn, string)
        except (psycopg.Error, UnicodeError) as caught:
            error = caught
            conn.execute("ROLLBACK TO SAVEPOINT before")
        found = contents(conn, self.statement)
        conn.execute("ROLLBACK TO SAVEPOINT before")
        before = set(self.contents)
        new = [json.loads(row) for row in found if row not in before]
        gone = before - set(found)
        assert len(found) == len(before) + len(new) - len(gone)
        return Outcome(result, error, new, gone)


@pytest.fixture(scope="module")
def target(server_url: str) -> Iterator[Target]:
    with fresh_database(server_url, [MIGRATIONS]) as url:
        with psycopg.connect(url) as conn:
            conn.execute(WORLD.encode())
        with psycopg.connect(url) as conn:
            parameters = [each for query in read_queries(ROOT / "sql") for each in parameters_of(conn, query)]
            statement = statement_of_contents(conn)
            target = Target(url, parameters, statement, contents(conn, statement), catalog(conn))
        yield target


@pytest.fixture(scope="module")
def plain(target: Target) -> dict[Parameter, Outcome]:
    """What a call with the plain word does, of each textual parameter."""
    with psycopg.connect(target.url) as conn:
        conn.execute("SAVEPOINT before")
        return {each: target.outcome(conn, each, WORD) for each in target.parameters if each.type in TEXTUAL}


@pytest.fixture
def conn(target: Target) -> Iterator[Conn]:
    """A connection to it, in a transaction. Afterwards there is in the database what was there before, and no more."""
    with psycopg.connect(target.url) as conn:
        conn.execute("SAVEPOINT before")
        yield conn
        conn.rollback()
    with psycopg.connect(target.url) as conn:
        assert contents(conn, target.statement) == target.contents
        assert catalog(conn) == target.catalog


# --- what the tests stand on ---


def test_every_parameter_is_tried_or_left_out_for_its_type(
    target: Target, plain: dict[Parameter, Outcome], figures: list[str]
) -> None:
    left_out = Counter(each.type for each in target.parameters if each not in plain)
    assert not [of_type for of_type in left_out if re.search("text|char|json|xml|name", of_type)]
    assert len(plain) >= 99
    assert len(CORPUS) >= 80
    figures.append(
        f"injection: {len(plain)} parameters of {len({each.query.name for each in plain})} queries x {len(CORPUS)} "
        f"strings; {left_out.total()} parameters are of {len(left_out)} types that hold no text"
    )


def test_a_plain_word_arrives_where_the_query_stores_it(plain: dict[Parameter, Outcome]) -> None:
    """Otherwise nothing would be compared below. The rest look for it, or are for closed lists of words."""
    stored = {each for each, done in plain.items() if f'"{WORD}"' in json.dumps(done.new)}
    refused = {each for each, done in plain.items() if done.error is not None}
    assert {type(plain[each].error) for each in refused} == {psycopg.errors.CheckViolation}
    assert {each.name for each in refused} == {"channels", "session_type"}
    assert {str(each) for each in plain.keys() - stored - refused} == {
        "get_credentials_by_email(email)",
        "get_funnel(event_names)",
        "get_template_by_slug(slug)",
        "get_user_by_email(email)",
        "list_sessions_of_user(session_type)",
        "list_unsent_notifications(channel)",
        "search_projects(query)",
        "search_projects(tag)",
        "search_templates(query)",
        "verify_api_key(key_hash)",
    }


def done_by(url: str, code: Code, string: str) -> object:
    """All that code does with a string, in a transaction that is rolled back unless the string ends it."""
    with psycopg.connect(url) as conn:
        statement = statement_of_contents(conn)
        try:
            given = code(conn, string)
            rows = [json.dumps(masked(json.loads(row)), sort_keys=True) for row in contents(conn, statement)]
            return masked(given), sorted(rows), catalog(conn)
        except (psycopg.Error, ValueError) as error:
            return type(error)
        finally:
            with suppress(psycopg.Error):  # also where the string has ended the session
                conn.rollback()


@pytest.mark.parametrize("name", PLACES)
def test_the_strings_break_careless_code(name: str, database_url: str) -> None:
    """Each does something else in the code into which it is pasted than as a parameter."""
    with psycopg.connect(database_url) as conn:
        conn.execute(WORLD.encode())
    place = PLACES[name]
    for string in share(place.strings, 5):
        careful = done_by(database_url, place.careful, string)
        assert isinstance(careful, tuple), (string, careful)
        assert done_by(database_url, place.careless, string) != careful, string


# --- the strings ---


@pytest.mark.parametrize("name", [*PLACES, "odd"])
def test_a_hostile_string_is_what_a_plain_word_is(
    name: str, target: Target, plain: dict[Parameter, Outcome], conn: Conn
) -> None:
    for number, string in enumerate(PLACES[name].strings if name in PLACES else ODD):
        for each, expected in share([*plain.items()], 7, number):
            done = target.outcome(conn, each, string)
            if (each.query.name, each.name) in SEARCHES:
                assert "hidden" not in json.dumps(masked(done.result))
                done = replace(done, result=expected.result)
            assert done.fits(expected, string), (str(each), string[:100], done)


@pytest.mark.parametrize("string", IMPOSSIBLE, ids=ascii)
def test_what_no_text_of_postgresql_can_hold_is_refused(
    string: str, target: Target, plain: dict[Parameter, Outcome], conn: Conn
) -> None:
    for each in share([*plain], 3):
        done = target.outcome(conn, each, string)
        assert not done.new, str(each)
        assert not done.gone, str(each)
        assert isinstance(done.error, (psycopg.DataError, UnicodeEncodeError)), (str(each), done)
        assert re.search(r"NUL|\\u0000|surrogate", str(done.error)), (str(each), str(done.error))
        assert f"in query {each.query.name}, " in done.error.__notes__[0]

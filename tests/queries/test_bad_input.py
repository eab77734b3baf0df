"""Input of any kind: query files, settings and URLs are read, or refused with what is wrong and where.

For longer searches there is `fuzz_atheris.py`.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from rowsmith import Database
from tests.harness.databases import ROOT
from tests.harness.examples import examples
from tests.harness.network import closed_port
from tests.harness.waiting import PATIENCE
from tests.queries.bad_input import (
    SECRET,
    VARIABLES,
    check_lexer,
    check_query_file,
    check_settings,
    everything_logged,
    everything_said,
)

SQL_FILES = [file.read_text(encoding="utf-8") for file in sorted((ROOT / "sql").glob("*.sql"))]


def tries(number: int) -> Callable[[Any], Any]:
    """So many examples, or a share of them."""
    return settings(
        max_examples=examples(number),
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )


# Pieces that mean something to the lexer or to the loader, and characters that only look as if.
PIECES = st.sampled_from(
    [
        *(
            "-- name: f()\n",
            "-- name: g(a, b)^\n",
            "-- name: h(a)*!\n",
            "-- name: s()#\n",
            "-- name",
            "name:",
            "--",
            "\n",
        ),
        *(
            "-- record_class: User\n",
            "-- Doc.\n",
            "SELECT :a",
            ":a",
            ":b",
            " :",
            "::text",
            ":=",
            "$1",
            "$$",
            "$q$",
            "$",
        ),
        *("'", "''", "E'", "e'\\'", "U&'", "B'", '"', '""', 'U&"', "\\", "/*", "*/", "/*+ hint */", ";", ";;"),
        *("[", "]", "[1:n]", "[:a]", "[1 : :a]", "(", ")", "ARRAY[", ",", "%", "%s", "1", ".5", "1.", "a", "_", "and"),
        *(
            "\r",
            "\r\n",
            "\t",
            "\f",
            "\v",
            "\0",
            "\ufeff",
            "\x85",
            "\u2028",
            "\xa0",
            "\x1c",
            "\u00e9",
            "\u00aa",
            "\u0660",
        ),
        *("^", "$", "!", "<!", "*!", "#", "@", "{", "}", "import", "class", "__class__", "None"),
    ]
)
TEXTS = st.lists(st.one_of(PIECES, st.text(max_size=3)), max_size=30).map("".join)
EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), PIECES), min_size=1, max_size=6)


def edited(text: str, edits: list[tuple[float, int, str]]) -> str:
    """The text with pieces in the place of others: each a share of the way into it, for so many characters."""
    for where, length, piece in edits:
        start = int(where * len(text))
        text = text[:start] + piece + text[start + length :]
    return text


def read(data: bytes, folder: Path) -> None:
    queries = check_query_file(data, folder)
    event("refused" if queries is None else "read")


# --- query files ---


def test_the_files_of_blueprint_pass_the_check(tmp_path: Path) -> None:
    found = [check_query_file(text.encode(), tmp_path) for text in SQL_FILES]
    assert sum(len(queries or []) for queries in found) == 121


@given(data=st.binary(max_size=200))
@tries(150)
def test_a_file_of_any_bytes(data: bytes, tmp_path: Path) -> None:
    read(data + b"\n-- name: last()\nSELECT 1;", tmp_path)


@given(text=TEXTS)
@tries(400)
def test_a_file_of_any_text(text: str, tmp_path: Path) -> None:
    read(f"{text}\n-- name: last()\nSELECT 1;".encode("utf-8", "surrogatepass"), tmp_path)


@given(header=TEXTS, sql=TEXTS)
@tries(400)
def test_a_file_with_a_query_in_it(header: str, sql: str, tmp_path: Path) -> None:
    read(f"-- name: f(a)\n--{header}\nSELECT :a {sql}".encode("utf-8", "surrogatepass"), tmp_path)


@given(text=st.sampled_from(SQL_FILES), edits=EDITS)
@tries(150)
def test_a_real_file_with_anything_wrong(text: str, edits: list[tuple[float, int, str]], tmp_path: Path) -> None:
    read(edited(text, edits).encode(), tmp_path)


@given(text=TEXTS)
@tries(600)
def test_the_tokens_of_any_text(text: str) -> None:
    check_lexer(text)


@pytest.mark.parametrize("text", ["", "\n", "-- Nothing here yet.\n", "/* Nor here. */"])
def test_a_file_without_a_query_has_none(text: str, tmp_path: Path) -> None:
    assert check_query_file(text.encode(), tmp_path) == []


def test_a_name_line_within_a_name_line_is_refused(tmp_path: Path) -> None:
    assert check_query_file(b"-- name: -- name: f()\nSELECT 1;", tmp_path) is None


@pytest.mark.parametrize("name", ["__class__", "__dict__"])
def test_a_query_that_cannot_be_reached_is_refused(name: str, tmp_path: Path) -> None:
    assert check_query_file(f"-- name: {name}()\nSELECT 1;".encode(), tmp_path) is None


def test_a_ruler_behind_a_string_is_read_in_no_time() -> None:
    """In a process of its own, which can be stopped."""
    program = "from rowsmith.queries.lexer import tokenize; list(tokenize(\"SELECT E'a' \" + '-' * 60 + '\\nFROM t'))"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=PATIENCE)


# --- settings ---

URL = "postgresql://h/db"
# An environment holds neither NUL nor what is no text at all.
VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
NUMBERS = st.one_of(
    st.integers(-10, 2**40).map(str),
    st.sampled_from(["", " 7 ", "007", "1e3", "0x10", "1_0", "+1", "1.0", "inf", "\u0665"]),
)
WORDS = st.sampled_from(["true", "FALSE", "on", "no", "yes ", "maybe", "development", "x" * 63, "x" * 64, "a b"])
SCHEMES = st.sampled_from(["postgresql://", "postgres://", "postgresql+psycopg://", "POSTGRESQL://", "mysql://"])
PLACES = st.sampled_from(
    [
        *(
            "h/db",
            "h:5432/db",
            "h",
            "",
            "/db",
            "[::1]:5433/db",
            "[::1/db",
            "h:0/db",
            "h:port/db",
            "a,b:1,2/db",
            "h/d%62",
        ),
        *("h/db?sslmode=disable", "h/db?bogus=1", "h/db?sslmode", "h/db?&&", "h/db?options=-c%20x=y", "h/%zz", "h/%00"),
    ]
)
AWKWARD = st.text(st.sampled_from("@:/?#%&= +,;'\"\\[]{}ab0\n\t\u2603\u00e9"), max_size=4)
PASSWORDS = st.builds("{}{}{}".format, AWKWARD, st.just(SECRET), AWKWARD)
ENCODED = PASSWORDS.map(lambda password: quote(password, safe=""))


def mixed(strategy: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """The texts of a strategy, and edited ones."""
    edits = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3), AWKWARD), max_size=3)
    return st.one_of(strategy, st.builds(edited, strategy, edits))


def urls(schemes: st.SearchStrategy[str], places: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("{}ada:{}@{}".format, schemes, st.one_of(PASSWORDS, ENCODED), places),
        st.builds("{}ada@h/db?password={}".format, schemes, ENCODED),
    )


URLS = urls(SCHEMES, PLACES)
# Anything around the password and the @ behind it, which show where it is.
BROKEN_URLS = st.one_of(urls(mixed(SCHEMES), mixed(PLACES)), urls(VALUES, VALUES))
# A name may be a URL, if it is so short. Everywhere else a URL is a mistake, and its password is not told.
NAMES = ("DB_APPLICATION_NAME", "APP_ENV")
OF_A_NAME = st.one_of(NUMBERS, WORDS, VALUES)
VARIABLE = st.one_of(
    st.tuples(st.sampled_from(NAMES), OF_A_NAME),
    st.tuples(st.sampled_from([name for name in VARIABLES if name not in NAMES]), st.one_of(OF_A_NAME, URLS)),
)


@given(variables=st.lists(VARIABLE, max_size=6))
@tries(600)
def test_any_environment(variables: list[tuple[str, str]]) -> None:
    event("refused" if check_settings({"DATABASE_URL": URL, **dict(variables)}) is None else "taken")


@given(url=st.one_of(URLS, BROKEN_URLS), name=st.sampled_from(["DATABASE_URL", "MIGRATION_DATABASE_URL"]))
@tries(500)
def test_any_url(url: str, name: str) -> None:
    event("refused" if check_settings({"DATABASE_URL": URL, name: url}) is None else "taken")


# --- errors of connecting ---


@given(
    password=st.one_of(PASSWORDS, ENCODED),
    place=st.sampled_from(["app", "app?sslmode=require", "app?channel_binding=x"]),
)
@tries(60)
def test_no_password_is_told_by_a_failed_connection(
    password: str, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.clear()
    with closed_port() as port:
        settings = check_settings({"DATABASE_URL": f"postgresql://ada:{password}@127.0.0.1:{port}/{place}"})
        if settings is None:
            event("refused")
            return
        with Database(settings.model_copy(update={"connect_retries": 0})) as database:
            answer = database.check_health(timeout=1)
            with pytest.raises(psycopg.Error) as caught, database.connection():
                pytest.fail("was entered")
    assert not answer.healthy
    assert SECRET not in everything_said(caught.value)
    assert SECRET not in repr(answer) + repr(answer.as_dict())
    assert SECRET not in everything_logged(caplog.records)

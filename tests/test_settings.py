"""Settings: defaults, every bad value with its message, `.env`, the connection string, and no password anywhere."""

from __future__ import annotations

import copy
import logging
import os
import pickle
import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr, ValidationError

from rowsmith.errors import RowsmithError, SettingsError
from rowsmith.settings import Settings, variable_name
from tests.harness.databases import ROOT
from tests.harness.examples import examples

URL = "postgresql://ada:s3cret@db.example:5433/app"
SET_URL = "Set it to the database's URL, for example postgresql://user:password@localhost:5432/app."
ENCODE = (
    "Percent-encode these characters in the user name and the password: "
    "@ as %40, : as %3A, / as %2F, ? as %3F, # as %23, % as %25, space as %20."
)
NOT_A_URL = f"is not a URL (keywords such as host=... dbname=... are not accepted). {SET_URL}"
UNREADABLE = f"cannot be read as a PostgreSQL URL. {ENCODE}"
BAD_PORT = f"has a port that is not a number from 1 to 65535. {ENCODE}"

KEEPALIVES = {
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}

# The table of the documentation: variable, field, default.
TABLE: list[tuple[str, str, Any]] = [
    ("DB_MIN_CONNECTIONS", "min_connections", 2),
    ("DB_MAX_CONNECTIONS", "max_connections", 10),
    ("DB_POOL_TIMEOUT", "pool_timeout", 30000),
    ("DB_CONNECTION_TIMEOUT", "connection_timeout", 30000),
    ("DB_STATEMENT_TIMEOUT", "statement_timeout", 60000),
    ("DB_LOCK_TIMEOUT", "lock_timeout", 0),
    ("DB_IDLE_IN_TRANSACTION_TIMEOUT", "idle_in_transaction_timeout", 60000),
    ("DB_MAX_LIFETIME", "max_lifetime", 3600000),
    ("DB_MAX_IDLE", "max_idle", 600000),
    ("DB_CONNECT_RETRIES", "connect_retries", 3),
    ("DB_BREAKER_FAILURES", "breaker_failures", 5),
    ("DB_BREAKER_RESET", "breaker_reset", 10000),
    ("DB_LEAK_THRESHOLD", "leak_threshold", 60000),
    ("DB_PREPARED_STATEMENTS", "prepared_statements", 500),
    ("DB_PGBOUNCER", "pgbouncer", False),
    ("DB_APPLICATION_NAME", "application_name", "rowsmith"),
    ("APP_ENV", "app_env", "production"),
]
NUMBERS = [row for row in TABLE if type(row[2]) is int]
# The least value and the noun of each number's message.
COUNT, DURATION = "a whole number", "a whole number of milliseconds"
LIMIT = "a whole number of milliseconds (0 for no limit)"
BOUNDS = {
    "DB_MIN_CONNECTIONS": (0, COUNT),
    "DB_MAX_CONNECTIONS": (1, COUNT),
    "DB_POOL_TIMEOUT": (1, DURATION),
    "DB_CONNECTION_TIMEOUT": (1, DURATION),
    "DB_STATEMENT_TIMEOUT": (0, LIMIT),
    "DB_LOCK_TIMEOUT": (0, LIMIT),
    "DB_IDLE_IN_TRANSACTION_TIMEOUT": (0, LIMIT),
    "DB_MAX_LIFETIME": (1, DURATION),
    "DB_MAX_IDLE": (1, DURATION),
    "DB_CONNECT_RETRIES": (0, COUNT),
    "DB_BREAKER_FAILURES": (1, COUNT),
    "DB_BREAKER_RESET": (1, DURATION),
    "DB_LEAK_THRESHOLD": (0, LIMIT),
    "DB_PREPARED_STATEMENTS": (1, COUNT),
}
DEFAULTS = {name: default for name, _, default in TABLE}


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment without our variables, and a current folder without a `.env`."""
    ours = {variable_name(field) for field in Settings.model_fields}
    for name in [name for name in os.environ if name.upper() in ours]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def faults(**values: Any) -> list[str]:
    """The lines of the message after the first, which is checked here."""
    with pytest.raises(SettingsError) as caught:
        Settings(**values)
    first, *lines = str(caught.value).split("\n")
    count = "1 setting is" if len(lines) == 1 else f"{len(lines)} settings are"
    assert first == f"rowsmith cannot start: {count} wrong."
    assert all(line.startswith("  ") for line in lines)
    return [line.removeprefix("  ") for line in lines]


def everything_said(error: BaseException) -> str:
    """The text of the error, its representation, and its traceback with everything that is chained to it."""
    said: list[str] = []
    chained: BaseException | None = error
    while chained is not None:
        said += [str(chained), repr(chained), repr(chained.args), *getattr(chained, "__notes__", [])]
        chained = chained.__cause__ or chained.__context__
    return "\n".join([*said, *traceback.format_exception(error)])


# Reading


def test_defaults() -> None:
    settings = Settings(database_url=URL)
    assert settings.database_url.get_secret_value() == URL
    assert settings.migration_database_url is None
    assert {field: getattr(settings, field) for _, field, _ in TABLE} == {field: value for _, field, value in TABLE}


def test_every_field_is_in_the_table_under_its_variable() -> None:
    named = {variable_name(field): field for field in Settings.model_fields}
    urls = {"DATABASE_URL": "database_url", "MIGRATION_DATABASE_URL": "migration_database_url"}
    assert named == urls | {name: field for name, field, _ in TABLE}


@pytest.mark.parametrize(("name", "field", "default"), TABLE)
def test_environment_is_read(name: str, field: str, default: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", URL)
    raw, value = {int: ("7", 7), bool: ("yes", True), str: ("staging", "staging")}[type(default)]
    monkeypatch.setenv(name, raw)
    changed = Settings()
    assert getattr(changed, field) == value
    assert type(getattr(changed, field)) is type(default)
    monkeypatch.delenv(name)
    others = Settings().model_dump(exclude={field})
    assert changed.model_dump(exclude={field}) == others


def test_urls_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f" {URL}\n")
    monkeypatch.setenv("MIGRATION_DATABASE_URL", "postgres://owner@h/db")
    settings = Settings()
    assert settings.database_url.get_secret_value() == URL
    assert settings.migration_database_url == SecretStr("postgres://owner@h/db")


def test_only_the_variables_of_the_table_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", URL)
    for field in Settings.model_fields:  # such as LOCK_TIMEOUT and DB_APP_ENV
        for name in {field.upper(), f"DB_{field.upper()}"} - {variable_name(field)}:
            monkeypatch.setenv(name, "nonsense")
    assert Settings() == Settings(database_url=URL)


def test_keywords_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://wrong")
    monkeypatch.setenv("MIGRATION_DATABASE_URL", URL)
    monkeypatch.setenv("DB_MAX_IDLE", "wrong")
    settings = Settings(database_url=SecretStr(URL), max_idle=5, migration_database_url=None)
    assert settings.database_url.get_secret_value() == URL
    assert settings.max_idle == 5
    assert settings.migration_database_url is None


def test_dotenv_is_read_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    dotenv = f"DATABASE_URL={URL}\nDB_MAX_IDLE=1\nDB_MAX_LIFETIME=2\nDB_HOST=other\nPATH_OF_X=y\nMAX_CONNECTIONS=no\n"
    (tmp_path / ".env").write_text(dotenv)
    monkeypatch.setenv("DB_MAX_LIFETIME", "3")
    settings = Settings()
    assert settings == Settings(database_url=URL, max_idle=1, max_lifetime=3)


def test_dotenv_of_another_folder_is_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"DATABASE_URL={URL}\n")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert faults() == [f"DATABASE_URL is not set. {SET_URL}"]


def test_dotenv_faults_name_the_variable(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DATABASE_URL=\nDB_MAX_IDLE=1.5\n")
    assert faults() == [
        f"DATABASE_URL is empty. {SET_URL}",
        "DB_MAX_IDLE is '1.5': expected a whole number of milliseconds, 1 or more. Example: DB_MAX_IDLE=600000",
    ]


def test_dotenv_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"DATABASE_URL={URL}\n", encoding="utf-8-sig")
    assert Settings().database_url.get_secret_value() == URL


def test_dotenv_in_another_encoding(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes("DATABASE_URL=postgresql://u:s3crét@h/db\n".encode("latin-1"))
    assert faults() == [".env is not UTF-8 text. Save it as UTF-8."]


def test_dotenv_that_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text(f"DATABASE_URL={URL}\n")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", ".env")

    monkeypatch.setattr("dotenv.main.open", refuse, raising=False)
    assert faults() == [".env cannot be read: Permission denied. Make it readable, or remove it."]


def test_env_example_names_what_is_read_with_the_defaults(tmp_path: Path) -> None:
    text = (ROOT / ".env.example").read_text()
    shown = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", text, re.MULTILINE))
    assert shown.keys() == {variable_name(field) for field in Settings.model_fields}
    for name, default in DEFAULTS.items():
        assert shown[name] == (str(default).lower() if isinstance(default, bool) else str(default))
    (tmp_path / ".env").write_text(text)
    assert Settings() == Settings(_env_file=None, database_url=shown["DATABASE_URL"])


# Faults


def test_error_is_ours_and_chained_to_nothing() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings()
    assert isinstance(caught.value, RowsmithError)
    assert isinstance(caught.value, ValueError)
    assert not isinstance(caught.value, ValidationError)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_the_whole_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_MAX_CONNECTIONS", "ten")
    monkeypatch.setenv("DB_PGBOUNCER", "maybe")
    with pytest.raises(SettingsError) as caught:
        Settings()
    assert str(caught.value) == (
        "rowsmith cannot start: 3 settings are wrong.\n"
        f"  DATABASE_URL is not set. {SET_URL}\n"
        "  DB_MAX_CONNECTIONS is 'ten': expected a whole number, 1 or more. Example: DB_MAX_CONNECTIONS=10\n"
        "  DB_PGBOUNCER is 'maybe': expected true or false (or 1, 0, yes, no, on, off). Example: DB_PGBOUNCER=false"
    )


def test_every_variable_wrong_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields:
        monkeypatch.setenv(variable_name(field), "\N{SNOWMAN}")
    found = [line.split(" ")[0] for line in faults(nonsense=1)]
    assert found == [*map(variable_name, Settings.model_fields), "'nonsense'"]


def test_pool_sizes_are_compared_beside_other_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_MIN_CONNECTIONS", "20")
    monkeypatch.setenv("DB_MAX_IDLE", "x")
    assert faults() == [
        f"DATABASE_URL is not set. {SET_URL}",
        "DB_MIN_CONNECTIONS is '20': expected at most 10, which is DB_MAX_CONNECTIONS. Example: DB_MIN_CONNECTIONS=2",
        "DB_MAX_IDLE is 'x': expected a whole number of milliseconds, 1 or more. Example: DB_MAX_IDLE=600000",
    ]


@pytest.mark.parametrize(("smallest", "largest"), [({}, {"max_connections": 1}), ({"min_connections": 11}, {})])
def test_pool_sizes_are_compared_with_defaults(smallest: dict[str, int], largest: dict[str, int]) -> None:
    low, high = smallest.get("min_connections", 2), largest.get("max_connections", 10)
    (fault,) = faults(database_url=URL, **smallest, **largest)
    assert fault.startswith(f"DB_MIN_CONNECTIONS is {low}: expected at most {high}, which is DB_MAX_CONNECTIONS. ")


def test_pool_sizes_are_not_compared_where_one_is_wrong_itself() -> None:
    assert len(faults(database_url=URL, min_connections=20, max_connections="x")) == 1
    assert len(faults(database_url=URL, min_connections="x", max_connections=1)) == 1


def test_pool_sizes_may_be_equal() -> None:
    assert Settings(database_url=URL, min_connections=3, max_connections=3).min_connections == 3


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("ten", "'ten'"),
        ("1.5", "'1.5'"),
        ("1_000", "'1_000'"),
        ("+5", "'+5'"),
        ("-1", "'-1'"),
        ("1e3", "'1e3'"),
        ("0x10", "'0x10'"),
        ("30s", "'30s'"),
        ("NaN", "'NaN'"),
        ("inf", "'inf'"),
        ("true", "'true'"),
        ("\N{ARABIC-INDIC DIGIT FIVE}", "'\N{ARABIC-INDIC DIGIT FIVE}'"),
        ("\N{SUPERSCRIPT TWO}", "'\N{SUPERSCRIPT TWO}'"),
        ("", "empty"),
        ("  ", "empty"),
        ("x" * 100, "100 characters long"),
        ("postgresql://u:s3cret@h/db", "a connection string"),
        ("host=h password=s3cret", "a connection string"),
    ],
)
@pytest.mark.parametrize("number", NUMBERS)
def test_not_a_number(number: tuple[str, str, int], raw: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, field, default = number
    minimum, noun = BOUNDS[name]
    expected = [f"{name} is {shown}: expected {noun}, {minimum} or more. Example: {name}={default}"]
    monkeypatch.setenv(name, raw)
    assert faults(database_url=URL) == expected
    monkeypatch.delenv(name)
    assert faults(database_url=URL, **{field: raw}) == expected


@pytest.mark.parametrize("value", [1.0, True, None, -1])
def test_not_a_number_as_keyword(value: object) -> None:
    assert faults(database_url=URL, max_idle=value) == [
        f"DB_MAX_IDLE is {value!r}: expected a whole number of milliseconds, 1 or more. Example: DB_MAX_IDLE=600000"
    ]


@pytest.mark.parametrize(("name", "field", "default"), NUMBERS)
def test_smallest_and_largest_number(name: str, field: str, default: int) -> None:
    minimum, noun = BOUNDS[name]
    sizes = {"min_connections": 0, "max_connections": 2147483647}
    for value in (minimum, 2147483647):
        largest = field == "max_connections"
        values = sizes | {field: value} if not largest else {"min_connections": 0, field: value}
        assert getattr(Settings(database_url=URL, **values), field) == value
    assert faults(database_url=URL, **{field: minimum - 1}) == [
        f"{name} is {minimum - 1}: expected {noun}, {minimum} or more. Example: {name}={default}"
    ]
    for huge, shown in (
        (2147483648, "2147483648"),
        ("10000000000", "'10000000000'"),
        ("9" * 5000, "5000 characters long"),
    ):
        assert faults(database_url=URL, **{field: huge}) == [
            f"{name} is {shown}: expected {noun}, at most 2147483647. Example: {name}={default}"
        ]


@pytest.mark.parametrize("raw", [" 5 ", "5\n", "005", "0000000000000000005"])
def test_number_with_spaces_or_zeros(raw: str) -> None:
    assert Settings(database_url=URL, max_idle=raw).max_idle == 5


@pytest.mark.parametrize(
    ("value", "flag"),
    [(text, True) for text in ("true", "True", "TRUE", " 1 ", "yes", "Yes", "on", "ON", True)]
    + [(text, False) for text in ("false", "False", "0", "no", "NO", "off", "Off", False)],
)
def test_pgbouncer(value: object, flag: bool) -> None:
    assert Settings(database_url=URL, pgbouncer=value).pgbouncer is flag


@pytest.mark.parametrize(
    ("value", "shown"), [("", "empty"), ("maybe", "'maybe'"), ("t", "'t'"), (2, "2"), (None, "None")]
)
def test_pgbouncer_wrong(value: object, shown: str) -> None:
    assert faults(database_url=URL, pgbouncer=value) == [
        f"DB_PGBOUNCER is {shown}: expected true or false (or 1, 0, yes, no, on, off). Example: DB_PGBOUNCER=false"
    ]


@pytest.mark.parametrize(("name", "field"), [("DB_APPLICATION_NAME", "application_name"), ("APP_ENV", "app_env")])
def test_names(name: str, field: str) -> None:
    for good in ("x" * 63, "my app", "!~"):
        assert getattr(Settings(database_url=URL, **{field: good}), field) == good
    assert getattr(Settings(database_url=URL, **{field: " padded\n"}), field) == "padded"
    wrong = {
        "": "empty",
        "\t": "empty",
        "caf\N{LATIN SMALL LETTER E WITH ACUTE}": "'caf\N{LATIN SMALL LETTER E WITH ACUTE}'",
        "a\x00b": r"'a\x00b'",
        "a\nb": r"'a\nb'",
        "del\x7f": r"'del\x7f'",
        "x" * 64: "64 characters long",
        None: "None",
        5: "5",
    }
    for value, shown in wrong.items():
        expected = "expected a name of 1 to 63 printable ASCII characters"
        assert faults(database_url=URL, **{field: value}) == [
            f"{name} is {shown}: {expected}. Example: {name}={DEFAULTS[name]}"
        ]


@pytest.mark.parametrize(
    ("app_env", "development"), [("development", True), ("production", False), ("Development", False)]
)
def test_development(app_env: str, development: bool) -> None:
    assert Settings(database_url=URL, app_env=app_env).development is development


@pytest.mark.parametrize("keyword", ["max_conections", "DB_MAX_CONNECTIONS", "host"])
def test_unknown_keyword(keyword: str) -> None:
    (fault,) = faults(database_url=URL, **{keyword: "s3cret"})
    assert fault == f"{keyword!r} is not a setting. The settings are: {', '.join(Settings.model_fields)}."


# URLs


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (URL, {"user": "ada", "password": "s3cret", "host": "db.example", "port": "5433", "dbname": "app"}),
        ("postgres://h/db", {"host": "h", "dbname": "db"}),
        ("postgresql+psycopg://h/db", {"host": "h", "dbname": "db"}),
        ("PostgreSQL://h/db", {"host": "h", "dbname": "db"}),
        ("postgresql://", {}),
        ("postgresql:///db?host=/run/postgresql", {"host": "/run/postgresql", "dbname": "db"}),
        ("postgresql://%2Frun%2Fpostgresql/db", {"host": "/run/postgresql", "dbname": "db"}),
        ("postgresql://[::1]:5432/db", {"host": "::1", "port": "5432", "dbname": "db"}),
        ("postgresql://u@h:/db", {"user": "u", "host": "h", "dbname": "db"}),
        ("postgresql://a,b:1/db", {"host": "a,b", "port": ",1", "dbname": "db"}),
        (
            "postgresql://u:p@a:1,b:65535/db?target_session_attrs=read-write",
            {"user": "u", "password": "p", "host": "a,b", "port": "1,65535", "dbname": "db"}
            | {"target_session_attrs": "read-write"},
        ),
        ("postgresql://u:p%40s%3Aw%2F%3F%23%25%20@h", {"user": "u", "password": "p@s:w/?#% ", "host": "h"}),
        ("postgresql://u:a:b?c#d@h", {"user": "u", "password": "a:b?c#d", "host": "h"}),
        ("postgresql://u@h?password=q%26r", {"user": "u", "password": "q&r", "host": "h"}),
        ("postgresql://u:it's%5C%20\N{SNOWMAN}@h", {"user": "u", "password": "it's\\ \N{SNOWMAN}", "host": "h"}),
        ("postgresql://h/db?ssl=true", {"host": "h", "dbname": "db", "sslmode": "require"}),
        (
            "postgresql://h/db?sslmode=verify-full&keepalives=1",
            {"sslmode": "verify-full", "keepalives": "1"} | {"host": "h", "dbname": "db"},
        ),
    ],
)
def test_url_forms(url: str, expected: dict[str, str]) -> None:
    ours = {**KEEPALIVES, "application_name": "rowsmith", "connect_timeout": "30", "client_encoding": "UTF8"}
    for role, values in (
        ("runtime", {"database_url": url}),
        ("migration", {"database_url": URL, "migration_database_url": url}),
    ):
        conninfo = Settings(**values, pgbouncer=True).conninfo("runtime" if role == "runtime" else "migration")
        assert conninfo_to_dict(conninfo) == ours | expected


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("", f"is empty. {SET_URL}"),
        (" \n", f"is empty. {SET_URL}"),
        ("mysql://u:s3cret@h/db", "has the scheme 'mysql'"),
        ("sqlite:///s3cret.db", "has the scheme 'sqlite'"),
        ("postgresql+asyncpg://u:s3cret@h/db", "has the scheme 'postgresql+asyncpg'"),
        ("host=h dbname=s3cret", NOT_A_URL),
        ("host=h password=s3cret://x", NOT_A_URL),
        ("ada:s3cret@h/db", NOT_A_URL),
        ("ada:s3cret://x@h/db", NOT_A_URL),
        ("postgresql:/s3cret", NOT_A_URL),
        ("://s3cret", NOT_A_URL),
        ("postgresql://u:p@s3cret:w0rd@host/db", UNREADABLE),
        ("postgresql://u:p@s3cret@host/db", UNREADABLE),
        ("postgresql://u:s3cret/w@host/db", UNREADABLE),
        ("postgresql://u:1/s3cret@host/db", UNREADABLE),
        ("postgresql://u:p@x/s3cret@host/db", UNREADABLE),
        ("postgresql://u:p@x?s3cret=1@host/db", UNREADABLE),
        ("postgresql://u:p@x/y?secret=1@host/db", UNREADABLE),
        ("postgresql://u:p/x?user=s3cret@host/db", UNREADABLE),
        ("postgresql://u:s3cret%@host/db", UNREADABLE),
        ("postgresql://u:s3cret%zz@host/db", UNREADABLE),
        ("postgresql://u:s3cret%00@host/db", UNREADABLE),
        ("postgresql://u:s3cret%ff@host/db", UNREADABLE),
        ("postgresql://u:s3cret\0@host/db", UNREADABLE),
        ("postgresql://u:s3cret\udcff@host/db", UNREADABLE),
        ("postgresql://u:s3cret w@host/db", UNREADABLE),
        ("postgresql://[::1/s3cret", UNREADABLE),
        ("postgresql://h/db?password=a&s3cret=b", UNREADABLE),
        ("postgresql://h/db?password=a&secret=b", UNREADABLE),
        ("postgresql://h/db?password=a&secret", UNREADABLE),
        ("postgresql://h/db?sslpassword=a&secret=b", UNREADABLE),
        ("postgresql://h/db?s3cret", UNREADABLE),
        ("postgresql://h/db?s3cret=1", UNREADABLE),  # not what an option's name looks like
        ("postgresql://u:s3cret@h/db?schema=s3cret", "has the option 'schema'"),
        ("postgresql://u:s3cret@h/db?sslmode=disable&ssl=true&pgbouncer=true", "has the option 'pgbouncer'"),
        ("postgresql://u:s?3cret=x@h/db?bogus=s3cret&worse=1", "has the option 'bogus'"),
        ("postgresql://u:s3cret", BAD_PORT),
        ("postgresql://u:s3cret/db", BAD_PORT),
        ("postgresql://u:s3cret@h:abc/db", BAD_PORT),
        ("postgresql://u:s3cret@h:0/db", BAD_PORT),
        ("postgresql://u:s3cret@h:-1/db", BAD_PORT),
        ("postgresql://u:s3cret@h:65536/db", BAD_PORT),
        ("postgresql://u:s3cret@h:1,i:99999/db", BAD_PORT),
        ("postgresql://h/db?port=s3cret", BAD_PORT),
    ],
)
@pytest.mark.parametrize("field", ["database_url", "migration_database_url"])
def test_bad_url(field: str, url: str, fault: str) -> None:
    if "scheme" in fault and fault != NOT_A_URL:
        fault += f": expected postgresql://, postgres://, postgresql+psycopg://. {SET_URL}"
    if "option" in fault:
        fault += ", which libpq does not know. Remove it from the URL."
    for value in (url, SecretStr(url)):
        with pytest.raises(SettingsError) as caught:
            Settings(**{"database_url": URL, field: value})
        assert str(caught.value) == f"rowsmith cannot start: 1 setting is wrong.\n  {field.upper()} {fault}"


@pytest.mark.parametrize("value", [None, 5, b"postgresql://h", ["postgresql://u:s3cret@h"]])
def test_url_that_is_not_text(value: object) -> None:
    assert faults(database_url=value) == [f"DATABASE_URL is not text. {SET_URL}"]


# No password


MARK = "s3cret"
AWKWARD = st.text(st.sampled_from("@:/?#%&= +,;'\"\\[]{}ab0\n\0\udcff\N{SNOWMAN}"), max_size=6)
PASSWORDS = st.builds(
    "{}{}{}".format,
    AWKWARD,
    st.just(MARK),
    AWKWARD,
)


def shown_by(**values: str) -> str:
    """Everything that a log could contain about these settings, or about the error that they cause."""
    try:
        settings = Settings(**values)
    except SettingsError as error:
        return everything_said(error)
    texts = [repr(settings), str(settings), f"{settings}", settings.model_dump_json(), repr(settings.model_dump())]
    return "\n".join([*texts, repr(settings.describe("runtime")), repr(settings.describe("migration"))])


@hypothesis.settings(max_examples=examples(400))
@given(
    password=PASSWORDS,
    form=st.sampled_from(
        [
            "postgresql://ada:{}@h/db",
            "postgresql+psycopg://ada:{}@h:5432/db?sslmode=require",
            "postgresql://ada:{}@h/db?bogus=1",
            "postgresql://ada:{}@h:bad/db",
            "postgresql://ada@h/db?user=x&password={}",
            "postgresql://ada@h/db?password={}&bogus=1",
            "mysql://ada:{}@h/db",
            "ada:{}@h/db",
            "host=h password={}",
        ]
    ),
)
def test_no_password_is_ever_shown(password: str, form: str) -> None:
    url = form.format(password)
    for values in ({"database_url": url}, {"database_url": URL, "migration_database_url": url}):
        assert MARK not in shown_by(**values)
        assert MARK not in shown_by(**values, max_idle="x")


@hypothesis.settings(deadline=None)
@given(password=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_an_encoded_password_arrives_whole(password: str) -> None:
    encoded = "".join(f"%{byte:02X}" for byte in password.encode())
    for url in (f"postgresql://ada:{encoded}@h/db", f"postgresql://ada@h/db?password={encoded}"):
        for pgbouncer in (False, True):
            settings = Settings(database_url=url, pgbouncer=pgbouncer)
            assert conninfo_to_dict(settings.conninfo())["password"] == password


@pytest.mark.parametrize(
    "attempt",
    [
        lambda: setattr(Settings(database_url=URL), "database_url", URL),
        lambda: delattr(Settings(database_url=URL), "database_url"),
        lambda: Settings.model_validate({"database_url": MARK}),
        lambda: Settings(database_url=URL, max_idle=URL, app_env=URL, application_name=URL, pgbouncer=URL),
    ],
)
def test_no_password_in_other_errors(attempt: Callable[[], object]) -> None:
    with pytest.raises((SettingsError, ValidationError)) as caught:
        attempt()
    assert MARK in URL
    assert MARK not in everything_said(caught.value)


def test_nothing_is_logged(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    with caplog.at_level(logging.DEBUG):
        Settings(database_url=URL).conninfo()
        faults(database_url="postgresql://u:p@s3cret@h/db")
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


# What settings give


SECRET = "hush"


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://ada:{SECRET}@host/db",
        f"ada:{SECRET}@host",
        f"host=h password={SECRET}",
        f"PASSWORD = {SECRET}",
        f"postgresql://ada:{SECRET}@host/{'d' * 70}",
    ],
)
def test_a_url_in_the_wrong_variable_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("DATABASE_URL", URL)
    names = [name for name, *_ in TABLE if name not in ("DATABASE_URL", "MIGRATION_DATABASE_URL")]
    for name in names:
        monkeypatch.setenv(name, text)
    with pytest.raises(SettingsError) as caught:
        Settings()
    assert SECRET not in everything_said(caught.value)
    lines = str(caught.value).splitlines()[1:]
    assert len(lines) == len(names)
    for name in ("DB_APPLICATION_NAME", "APP_ENV"):
        expected = f"  {name} is a connection string: expected a name of 1 to 63 printable ASCII characters."
        assert any(line.startswith(expected) for line in lines)


def test_a_name_may_be_about_passwords() -> None:
    assert Settings(database_url=URL, application_name="password-reset").application_name == "password-reset"


def test_frozen() -> None:
    settings = Settings(database_url=URL)
    with pytest.raises(SettingsError, match=r"^Settings are frozen\. Create new ones: Settings\(max_idle=\.\.\.\)\.\n"):
        settings.max_idle = 1
    with pytest.raises(SettingsError, match="frozen"):
        settings.invented = 1
    assert settings.max_idle == 600000
    assert hash(settings) == hash(Settings(database_url=URL))
    assert settings != Settings(database_url=URL, max_idle=1)


def test_copies_are_equal() -> None:
    settings = Settings(database_url=URL, max_idle=1)
    pickled = pickle.loads(pickle.dumps(settings))  # noqa: S301 - our own bytes
    for duplicate in (copy.copy(settings), copy.deepcopy(settings), pickled):
        assert duplicate == settings
        assert duplicate.conninfo() == settings.conninfo()


def test_describe() -> None:
    settings = Settings(database_url=URL, migration_database_url="postgresql:///other?user=owner&password=x&host=/run")
    assert settings.describe() == {"host": "db.example", "port": "5433", "database": "app", "user": "ada"}
    assert settings.describe("migration") == {"host": "/run", "port": None, "database": "other", "user": "owner"}


def test_migration_url_falls_back_to_the_runtime_one() -> None:
    settings = Settings(database_url=URL)
    assert settings.describe("migration") == settings.describe("runtime")


SERVER = {"user": "ada", "password": "s3cret", "host": "db.example", "port": "5433", "dbname": "app"}
CLIENT = {**KEEPALIVES, "application_name": "rowsmith", "connect_timeout": "30", "client_encoding": "UTF8"}
SESSION = "-c statement_timeout=60000 -c lock_timeout=0 -c idle_in_transaction_session_timeout=60000"


def test_conninfo_of_the_runtime() -> None:
    assert conninfo_to_dict(Settings(database_url=URL).conninfo()) == SERVER | CLIENT | {"options": SESSION}


def test_conninfo_takes_the_settings() -> None:
    settings = Settings(
        database_url=URL,
        statement_timeout=1,
        lock_timeout=2,
        idle_in_transaction_timeout=3,
        application_name="it's \\ mine",
    )
    parameters = conninfo_to_dict(settings.conninfo("runtime"))
    assert parameters["options"] == (
        "-c statement_timeout=1 -c lock_timeout=2 -c idle_in_transaction_session_timeout=3"
    )
    assert parameters["application_name"] == "it's \\ mine"


def test_conninfo_of_migrations_has_no_limit_but_on_locks() -> None:
    assert conninfo_to_dict(Settings(database_url=URL).conninfo("migration")) == SERVER | CLIENT
    limited = conninfo_to_dict(Settings(database_url=URL, lock_timeout=5).conninfo("migration"))
    assert limited == SERVER | CLIENT | {"options": "-c lock_timeout=5"}


def test_conninfo_behind_pgbouncer_sets_nothing_on_the_session() -> None:
    settings = Settings(database_url=f"{URL}?options=-c%20a.b%3D1", pgbouncer=True, lock_timeout=5)
    for parameters in (conninfo_to_dict(settings.conninfo()), conninfo_to_dict(settings.conninfo("migration"))):
        assert parameters == SERVER | CLIENT | {"options": "-c a.b=1"}


def test_conninfo_lets_the_url_win() -> None:
    query = "application_name=mine&connect_timeout=7&options=-c%20statement_timeout%3D5s%20-c%20a.b%3Dx%5C%20"
    parameters = conninfo_to_dict(Settings(database_url=f"{URL}?{query}&client_encoding=latin1").conninfo())
    assert parameters == SERVER | {
        **KEEPALIVES,
        "application_name": "mine",
        "connect_timeout": "7",
        "client_encoding": "UTF8",
        "options": SESSION + " -c statement_timeout=5s -c a.b=x\\ ",
    }


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A service file with the service `here`, and PGOPTIONS."""
    (tmp_path / "services").write_text("[here]\noptions=-c work_mem=5MB\n[plain]\nuser=ada\n")
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    monkeypatch.setenv("PGOPTIONS", "-c work_mem=6MB")
    monkeypatch.setenv("PGHOSTADDR", "192.0.2.1")  # is not asked


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize(
    ("query", "options"),
    [
        ("", " -c work_mem=6MB"),
        ("?service=plain", " -c work_mem=6MB"),
        ("?service=here", " -c work_mem=5MB"),
        ("?service=here&options=-c%20work_mem%3D7MB", " -c work_mem=7MB"),
        ("?service=unknown", ""),
    ],
)
def test_options_of_a_service_file_and_of_the_environment_are_kept(query: str, options: str) -> None:
    settings = Settings(database_url=f"{URL}{query}", lock_timeout=5)
    found = [conninfo_to_dict(settings.conninfo(role)).get("options") for role in ("runtime", "migration")]
    assert found == [f"{SESSION.replace('lock_timeout=0', 'lock_timeout=5')}{options}", f"-c lock_timeout=5{options}"]


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize(("name", "work_mem"), [("here", "5MB"), ("plain", "6MB"), (None, "6MB")])
def test_the_server_gets_these_options(
    monkeypatch: pytest.MonkeyPatch, server_url: str, name: str | None, work_mem: str
) -> None:
    monkeypatch.delenv("PGHOSTADDR")
    if name is not None:
        monkeypatch.setenv("PGSERVICE", name)
    with psycopg.connect(Settings(database_url=server_url, statement_timeout=1234).conninfo()) as conn:
        shown = "SELECT current_setting('work_mem'), current_setting('statement_timeout')"
        assert conn.execute(shown).fetchall() == [(work_mem, "1234ms")]


@pytest.mark.parametrize(
    ("milliseconds", "seconds"), [(1, "2"), (2000, "2"), (2001, "3"), (30000, "30"), (2147483647, "2147484")]
)
def test_connect_timeout_is_rounded_up_to_seconds(milliseconds: int, seconds: str) -> None:
    settings = Settings(database_url=URL, connection_timeout=milliseconds)
    assert conninfo_to_dict(settings.conninfo())["connect_timeout"] == seconds

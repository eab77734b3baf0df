"""What has to hold for any input at all: of query files, of settings, of URLs. Each check raises AssertionError.

The checks know nothing of what makes the input: hypothesis in the suite, atheris in `fuzz_atheris.py`.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import traceback
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TypeVar
from unittest import mock

from psycopg.conninfo import conninfo_to_dict

from rowsmith import errors, load_queries
from rowsmith.findings import display_path
from rowsmith.queries.files import SqlFile
from rowsmith.queries.lexer import Token, TokenKind, UnterminatedError, tokenize
from rowsmith.queries.loader import read_queries
from rowsmith.queries.query import Query
from rowsmith.settings import Settings, variable_name

SECRET = "Zq8xSecret".swapcase()
"""A part of each password here. It is no literal: hypothesis takes those of a program for its examples."""
VARIABLES = [variable_name(field) for field in Settings.model_fields]
_SECONDS = 20
_MAX_INT = 2**31 - 1

_T = TypeVar("_T")


@contextmanager
def no_hang() -> Generator[None]:
    """Raise where the block takes so long that it would take for ever. A match of a pattern is interrupted as well."""

    def stop(signum: int, frame: FrameType | None) -> NoReturn:
        raise AssertionError(f"still at work after {_SECONDS} s")

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, _SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


# --- query files ---


class AnyClass(dict[str, Any]):
    """A record class for every name."""

    def __bool__(self) -> bool:
        return True

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: str) -> type:
        return dict


def check_query_file(data: bytes, folder: Path) -> list[Query] | None:
    """Reading a file gives queries, each of which is what stands there, or faults with their lines (then None)."""
    file = folder / "q.sql"
    file.write_bytes(data)
    with no_hang():
        read = _queries_or_faults(lambda: read_queries(file))
        loaded = _queries_or_faults(lambda: load_queries(file, record_classes=AnyClass()))
    if isinstance(read, errors.QueryFileError):
        assert isinstance(loaded, errors.QueryFileError)
        assert loaded.faults == read.faults
        _check_faults(read, data, file)
        return None
    assert not isinstance(loaded, errors.QueryFileError), loaded
    text = SqlFile.read(file).text
    for query in read:
        assert getattr(loaded, query.name).query == query
        _check_query(query, text)
    _check_rest(read, text)
    return read


def check_lexer(text: str) -> None:
    """The tokens of a text are the text, cut into pieces; or what is never closed begins somewhere in it."""
    tokens = list[Token]()
    unclosed = len(text)
    with no_hang():
        try:
            tokens += tokenize(text)
        except UnterminatedError as error:
            unclosed = error.start
    if text and unclosed < len(text):
        return
    assert "".join(token.text for token in tokens) == text
    assert all(token.text for token in tokens)
    for token in tokens:
        assert text[token.start : token.end] == token.text
        if token.kind is TokenKind.PARAMETER:
            assert re.fullmatch(r":\w+", token.text)


def _queries_or_faults(load: Callable[[], _T]) -> _T | errors.QueryFileError:
    try:
        return load()
    except errors.QueryFileError as error:
        return error


def _check_faults(error: errors.QueryFileError, data: bytes, file: Path) -> None:
    assert error.faults
    assert str(error).splitlines()[1:] == list(map(str, error.faults))
    last = len(re.findall(rb"\r\n|\r|\n", data)) + 1
    for fault in error.faults:
        place, _, message = str(fault).removeprefix(display_path(file)).partition(": ")
        assert message
        if place:
            assert 1 <= int(place.removeprefix(":")) <= last, fault
        else:
            assert "is not UTF-8" in message


def _check_query(query: Query, text: str) -> None:
    lines = text.split("\n")
    assert query.name.isidentifier()
    assert all(name.isidentifier() for name in query.parameters)
    assert len(set(query.parameters)) == len(query.parameters)
    assert re.match(r"\s*--\s*name\s*:", lines[query.line - 1])
    assert text[_offset(query, text) :].startswith(query.source.text)
    _check_places(query, lines)
    for form in [query.form(number) for number in range(query.forms.count)] if query.forms else []:
        _check_places(form, lines)


def _check_places(query: Query, lines: list[str]) -> None:
    """Each place in the statement leads to the same text in the file."""
    for token in tokenize(query.sql):
        if token.kind is TokenKind.POSITIONAL:
            line, _, column = query.source.place(token.start)
            assert lines[line - 1][column:].startswith(f":{query.parameters[int(token.text[1:]) - 1]}")
            continue
        for position, character in enumerate(token.text, token.start):
            line, shown, column = query.source.place(position)
            if character != "\n":
                assert lines[line - 1][column:].startswith(character)
                assert character.isspace() or shown[column] == character


def _offset(query: Query, text: str) -> int:
    """Where the query's SQL begins in its file."""
    before = text.split("\n")[: query.source.line - 1]
    return sum(len(line) + 1 for line in before) + query.source.column


def _check_rest(queries: list[Query], text: str) -> None:
    """Besides the SQL of its queries, nothing is in a file but comments, spaces and semicolons."""
    rest, end = "", 0
    for query in queries:
        offset = _offset(query, text)
        rest += text[end:offset]
        end = offset + len(query.source.text)
    rest += text[end:]
    assert all(token.blank or token.kind is TokenKind.SEMICOLON for token in tokenize(rest)), rest


# --- settings and URLs ---


def check_settings(environment: Mapping[str, str]) -> Settings | None:
    """An environment gives settings, or an error whose every line names a variable (then None). No password is told."""
    kept = {name: value for name, value in os.environ.items() if name.upper() not in VARIABLES}
    with mock.patch.dict(os.environ, {**kept, **environment}, clear=True), no_hang():
        try:
            settings = Settings(_env_file=None)
        except errors.SettingsError as error:
            _check_settings_error(error)
            return None
    _check_valid(settings, environment)
    return settings


def _check_settings_error(error: errors.SettingsError) -> None:
    first, *lines = str(error).split("\n  ")
    assert re.fullmatch(r"rowsmith cannot start: (1 setting is|\d+ settings are) wrong\.", first)
    assert lines
    for line in lines:
        assert line.split(" ")[0] in VARIABLES, line
    assert SECRET not in everything_said(error)


def _check_valid(settings: Settings, environment: Mapping[str, str]) -> None:
    for name, value in settings.model_dump().items():
        if type(value) is int:
            assert 0 <= value <= _MAX_INT, name
    assert settings.min_connections <= settings.max_connections
    for role in ("runtime", "migration"):
        told = conninfo_to_dict(settings.conninfo(role))
        assert told["client_encoding"] == "UTF8"
        assert SECRET not in repr(settings.describe(role))
    texts = [repr(settings), str(settings), settings.model_dump_json(), repr(settings.model_dump())]
    assert SECRET not in "\n".join(texts)
    given = environment.get("DATABASE_URL", "")
    assert settings.database_url.get_secret_value() == given.strip()


def everything_said(error: BaseException) -> str:
    """All texts of an error and of those that are chained to it: its own, its arguments, its notes, its traceback."""
    said = traceback.format_exception(error)
    chained: BaseException | None = error
    while chained is not None:
        said += [str(chained), repr(chained), repr(chained.args), repr(getattr(chained, "__notes__", None))]
        chained = chained.__cause__ or chained.__context__
    return "\n".join(said)


def everything_logged(records: list[logging.LogRecord]) -> str:
    """All that a handler could write of these records."""
    formatter = logging.Formatter("%(name)s %(levelname)s %(message)s")
    return "\n".join(formatter.format(record) + repr(record.args) for record in records)

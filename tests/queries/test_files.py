"""Files of SQL: what is skipped, what is kept, and what is refused, with its line."""

from __future__ import annotations

import time
from pathlib import Path

import psycopg
import pytest

from rowsmith import errors, load_queries
from rowsmith.queries.files import SqlFile
from rowsmith.queries.loader import read_queries
from tests.harness.examples import examples

INSTANT = 30.0
"""Seconds: on a busy machine, far more than what takes a fraction of one, and far less than what grows too fast."""


def refused(file: Path) -> list[str]:
    with pytest.raises(errors.QueryFileError) as raised:
        read_queries(file)
    return [str(fault).removeprefix(f"{file}:") for fault in raised.value.faults]


@pytest.mark.parametrize(
    ("sql", "line"),
    [
        ("DELETE FROM t \0 WHERE id = :id", 2),
        ("DELETE FROM t -- \0\nWHERE id = :id", 2),
        ("DELETE FROM t\nWHERE id = :id AND name = 'a\0b'", 3),
        ('DELETE FROM t\nWHERE id = :id AND "a\0b" = 1', 3),
        ("DELETE FROM t\nWHERE id = :id AND name = '\0", 3),
        ("DELETE FROM t\r\nWHERE id = :id\0", 3),
    ],
)
def test_a_nul_is_refused_wherever_it_is(tmp_path: Path, sql: str, line: int) -> None:
    """PostgreSQL's client library takes it for the end of the statement, which would then delete every row."""
    (tmp_path / "q.sql").write_bytes(f"-- name: f(id)!\n{sql};".encode())
    assert refused(tmp_path / "q.sql") == [f"{line}: SQL cannot contain the control character U+0000. Remove it"]


@pytest.mark.parametrize("mark", ["!", "#"])
@pytest.mark.parametrize("character", ["\x01", "\x08", "\x1b", "\x7f", "\x85", "\x9b"])
@pytest.mark.parametrize(
    "place", ["DELETE FROM {} t", "DELETE FROM t{} -- t", "DELETE FROM t -- {}", "/*{}*/ SELECT 1"]
)
def test_control_characters_are_refused_outside_literals(tmp_path: Path, place: str, character: str, mark: str) -> None:
    (tmp_path / "q.sql").write_text(f"-- name: f(){mark}\n{place.format(character)}")
    message = f"2: SQL cannot contain the control character U+{ord(character):04X}. Remove it"
    assert refused(tmp_path / "q.sql") == [message]


def test_control_characters_in_literals_are_the_literal_s(tmp_path: Path, server_url: str) -> None:
    (tmp_path / "q.sql").write_text("-- name: f()^\nSELECT 'a\x01b' AS x, $$\x1b$$ AS y, 1 AS \"\x02\";\f\v")
    with psycopg.connect(server_url) as conn:
        assert tuple(load_queries(tmp_path).f(conn))[:2] == ("a\x01b", "\x1b")


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "q.sql").write_bytes(b"\xef\xbb\xbf-- name: f()\nSELECT 1;")
    (query,) = read_queries(tmp_path)
    assert (query.name, query.line, query.sql) == ("f", 1, "SELECT 1")


def test_line_breaks_are_kept_inside_literals_alone(tmp_path: Path) -> None:
    header = "-- name: f(a)^\r\n-- One.\r\n-- Two.\r\n"
    sql = "SELECT 'x\r\ny', $$x\r\n\ry$$, -- c\r\n  \"x\r\ny\", E'x'\r\n'y\r\n',\r\n  :a;\r\n"
    (tmp_path / "q.sql").write_bytes(f"{header}{sql}".encode())
    (query,) = read_queries(tmp_path)
    assert query.doc == "One.\nTwo."
    assert query.sql == "SELECT 'x\r\ny', $$x\r\n\ry$$, -- c\n  \"x\r\ny\", E'x'\r\n'y\r\n',\n  $1"
    assert query.source.place(query.sql.index("$1"))[0] == 11


def test_a_file_with_other_line_breaks_has_the_same_queries(tmp_path: Path) -> None:
    text = "-- name: f(a)\n-- Doc.\nSELECT 1, -- one\n  :a;\n\n-- name: g()\nSELECT 2;\n"
    found: list[list[tuple[str, str, str, int]]] = []
    for line_break in ("\n", "\r\n", "\r"):
        (tmp_path / "q.sql").write_bytes(text.replace("\n", line_break).encode())
        found.append([(query.name, query.doc, query.sql, query.line) for query in read_queries(tmp_path)])
    assert found[0] == found[1] == found[2]
    assert [line for *_, line in found[0]] == [1, 6]


MANY = examples(200_000)
COMMENTS = "-- a comment\n" * MANY
MANY_COMMENTS = {
    "above": f"{COMMENTS}-- name: f()\nSELECT 1;",
    "in the header": f"-- name: f()\n{COMMENTS}SELECT 1;",
    "in the statement": f"-- name: f()\nSELECT 1\n{COMMENTS}+ 1;",
    "below": f"-- name: f()\nSELECT 1;\n{COMMENTS}",
    "instructions": "-- name: f()\n" + "-- rowsmith: ignore x (y)\n" * MANY + "SELECT 1;",
}


@pytest.mark.parametrize("text", MANY_COMMENTS.values(), ids=MANY_COMMENTS)
def test_very_many_comment_lines_are_read_at_once(tmp_path: Path, text: str) -> None:
    (tmp_path / "q.sql").write_text(text)
    began = time.process_time()
    assert [query.name for query in read_queries(tmp_path)] == ["f"]
    assert time.process_time() - began < INSTANT


def test_links_that_lead_back_are_left_out(tmp_path: Path) -> None:
    sql = tmp_path / "sql"
    inner = sql / "inner"
    inner.mkdir(parents=True)
    (inner / "q.sql").write_text("-- name: f()\nSELECT 1;")
    for name, target in {"self": inner, "root": sql, "above": tmp_path, "dot": Path()}.items():
        (inner / name).symlink_to(target)
    (sql / "again").symlink_to(inner)
    began = time.process_time()
    assert [query.qualified_name for query in read_queries(sql)] == ["again.f", "inner.f"]
    assert time.process_time() - began < INSTANT


def test_a_file_that_cannot_be_opened_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone.sql").symlink_to("nowhere.sql")
    (tmp_path / "loop.sql").symlink_to("loop.sql")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.QueryFileError) as raised:
        read_queries(tmp_path)
    assert [str(fault) for fault in raised.value.faults] == [
        "gone.sql: the file cannot be read: No such file or directory",
        "loop.sql: the file cannot be read: Too many levels of symbolic links",
    ]


def test_a_name_that_python_would_read_as_another_is_refused(tmp_path: Path) -> None:
    """Python normalizes names, so that `ﬁ` would be the argument `fi`."""
    (tmp_path / "q.sql").write_text("-- name: \N{LATIN SMALL LIGATURE FI}()\nSELECT 1;\n-- name: g(ª)\nSELECT :ª;")
    other = "Choose another name, of the letters a to z, digits and underscores"
    assert refused(tmp_path / "q.sql") == [
        f"1: '\N{LATIN SMALL LIGATURE FI}' cannot be the name of a Python function. {other}",
        f"3: g: 'ª' cannot be the name of a Python argument. {other}",
    ]


@pytest.mark.parametrize("text", ["", "\n", "a\nb\n", "\nä\n\n"])
def test_every_place_of_a_file_has_its_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "q.sql").write_text(text)
    file = SqlFile.read(tmp_path / "q.sql")
    for offset in range(len(text) + 1):
        line, shown, column = file.place(offset)
        assert line == text.count("\n", 0, offset) + 1
        assert text.split("\n")[line - 1] == shown
        assert shown[column:] == text[offset:].partition("\n")[0]

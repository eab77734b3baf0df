"""Placeholders of other libraries are faults, and the operators that look like them are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from rowsmith.findings import Finding
from rowsmith.queries.folders import QueryFolder
from rowsmith.queries.loader import read

NAME_IT = "Name the parameter, as in :email"
ONE_PERCENT = "%% is psycopg's and aiosql's way to write one percent sign"
FOREIGN = {
    "SELECT %s": ("%s is a positional placeholder of psycopg", NAME_IT),
    "SELECT 1 WHERE 2 =%s": ("%s is a positional placeholder of psycopg", NAME_IT),
    "INSERT INTO t VALUES (1, %b)": ("%b is a positional placeholder of psycopg", NAME_IT),
    "INSERT INTO t (a) VALUES %s": ("%s is a positional placeholder of psycopg", NAME_IT),
    "SELECT 1 LIMIT %t": ("%t is a positional placeholder of psycopg", NAME_IT),
    "SELECT 1 WHERE a = %(email)s": ("%(email)s is a placeholder of psycopg", "Write :email"),
    "SELECT 7 %% 3": (ONE_PERCENT, "Write one %: the text is sent to PostgreSQL as it is"),
    "SELECT :a %% :b": (ONE_PERCENT, "Write one %: the text is sent to PostgreSQL as it is"),
    "SELECT 1 WHERE a = ?": ("? is a positional placeholder of other drivers", NAME_IT),
    "SELECT 1 WHERE a IN (?, 2)": ("? is a positional placeholder of other drivers", NAME_IT),
    "SELECT 1 LIMIT :1": (":1 is a numbered placeholder of other drivers", NAME_IT),
    "SELECT :a.name": (
        ":a.name is an attribute of a parameter, which only aiosql reads",
        (
            "Write :a_name, list a_name in the name line, and pass a_name=a.name. For a field of a composite value, "
            "write (:a::its_type).name"
        ),
    ),
}


def faults(folder: Path, sql: str) -> list[Finding]:
    (folder / "q.sql").write_text(f"-- name: f(a, b)\n{sql};\nSELECT :a, :b")
    return [fault for fault in read([QueryFolder(folder)]).faults if "second statement" not in fault.message]


@pytest.mark.parametrize("sql", FOREIGN)
def test_a_placeholder_of_another_library_is_a_fault_with_the_form_that_works(tmp_path: Path, sql: str) -> None:
    (found,) = faults(tmp_path, sql)
    assert (found.message, found.hint) == FOREIGN[sql]
    assert found.line == 2
    assert sql[found.column :].startswith(found.message.partition(" ")[0])


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 7 % 3, 10 %s FROM t",
        "SELECT (1 + 2) %(s) FROM t",
        "SELECT tags[1] % s FROM t",
        "SELECT '%s %% :a.b ?', \"%%\" -- %s %% ?\n",
        "SELECT 1 WHERE name LIKE 'a%%'",
        "SELECT 1 OPERATOR(public.%%) 2",
        "SELECT data ? 'a', data ?| :a, data?&:b, :a ? 'key' FROM t",
        "SELECT data @? '$.a', data @@ '$.a' FROM t",
        "SELECT ?- l, ?| l, l ?-| l FROM t",
        "SELECT 'word' <% name, name %> 'word', name <<% 'word' FROM t",
        "SELECT t.a, (:a::point).x, tags[:a:1], tags[2:1] FROM t",
        "SELECT values ? 'key' FROM t",
    ],
)
def test_an_operator_is_not_a_placeholder(tmp_path: Path, sql: str) -> None:
    assert faults(tmp_path, sql) == []

"""The loader: what it reads in aiosql's format, and every fault with its file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from rowsmith import errors, load_queries
from rowsmith.findings import Rule
from rowsmith.queries.folders import QueryFolder
from rowsmith.queries.loader import read, read_queries
from rowsmith.queries.marks import Kind
from rowsmith.queries.query import Query


def read_one(folder: Path, text: str) -> Query:
    (folder / "q.sql").write_text(text, encoding="utf-8")
    (query,) = read_queries(folder / "q.sql")
    return query


@pytest.mark.parametrize(
    ("mark", "kind"),
    [
        ("", Kind.MANY),
        ("^", Kind.ONE),
        ("$", Kind.VALUE),
        ("!", Kind.AFFECTED),
        ("<!", Kind.RETURNING),
        ("*!", Kind.EXECUTEMANY),
        ("#", Kind.SCRIPT),
    ],
)
def test_marks_are_those_of_aiosql(tmp_path: Path, mark: str, kind: Kind) -> None:
    assert read_one(tmp_path, f"-- name: do_it(){mark}\nSELECT 1;").kind is kind


def test_a_query_holds_all_that_its_file_says(tmp_path: Path) -> None:
    query = read_one(
        tmp_path,
        "\n-- About this file.\n"
        "-- name: find-user(id, email)^\n"
        "-- record_class: User\n"
        "-- Find a user.\n"
        "-- By both: the :id is not a parameter here.\n"
        "/* nor :here */\n"
        "SELECT id, tags[1:2], '%' -- :note\n"
        "  FROM users WHERE email = :email AND id = :id AND :id > 0 ; -- end\n\n",
    )
    assert query.name == query.qualified_name == "find_user"
    assert query.parameters == ("id", "email")
    assert query.record_class == "User"
    assert query.doc == "Find a user.\nBy both: the :id is not a parameter here."
    assert query.line == 3
    assert query.sql == "SELECT id, tags[1:2], '%' -- :note\n  FROM users WHERE email = $2 AND id = $1 AND $1 > 0"
    assert str(query.signature) == "(conn, /, *, id, email)"


def test_a_hint_for_a_planner_extension_stays_in_the_statement(tmp_path: Path) -> None:
    query = read_one(tmp_path, "-- name: scan()\n-- Doc.\n/*+ SeqScan(users) */\nSELECT 1;")
    assert query.sql == "/*+ SeqScan(users) */\nSELECT 1"


def test_a_place_in_the_statement_leads_back_to_the_file(tmp_path: Path) -> None:
    query = read_one(tmp_path, "-- name: f(first, second)\n  SELECT :first,\n    :second, missing;")
    for sought, line, column in [("SELECT", 2, 2), ("$1", 2, 9), ("$2", 3, 4), ("missing", 3, 13)]:
        found, text, at = query.source.place(query.sql.index(sought))
        assert (found, at) == (line, column)
        assert text[at:].startswith(sought.replace("$1", ":first").replace("$2", ":second"))


@pytest.mark.parametrize("line", ["f(a, b?, c ?)^", "f( a,b? , c? ) ^"])
def test_a_parameter_that_may_be_none_is_marked_in_the_name_line(tmp_path: Path, line: str) -> None:
    query = read_one(tmp_path, f"-- name: {line}\nSELECT :a, :b, :c, :c ? 'key', :c?'key', '{{}}' ?| :b;")
    assert query.parameters == ("a", "b", "c")
    assert query.nullable == {"b", "c"}
    assert query.sql == "SELECT $1, $2, $3, $3 ? 'key', $3?'key', '{}' ?| $2"


def test_folders_are_namespaces_and_files_are_not(tmp_path: Path) -> None:
    (tmp_path / "posts").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "b.sql").write_text("-- name: second()\nSELECT 2;")
    (tmp_path / "a.sql").write_text("-- name: first()\nSELECT 1;")
    (tmp_path / ".a.sql.swp.sql").write_text("not SQL at all: '")
    (tmp_path / "posts" / "posts.sql").write_text("-- name: first()\nSELECT 3;")
    queries = load_queries(tmp_path)
    assert [query.qualified_name for query in queries] == ["first", "second", "posts.first"]
    assert queries.posts.first.sql == "SELECT 3"
    assert "posts.first" in repr(queries)


def test_functions_say_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "q.sql").write_text("-- name: get_user(id)^\n-- One user.\nSELECT :id::int AS id;")
    function = load_queries(tmp_path / "q.sql").get_user
    assert function.__name__ == "get_user"
    assert function.__doc__ == "One user."
    assert str(function.__signature__) == "(conn, /, *, id)"
    assert function.sql == "SELECT $1::int AS id"
    assert function.query.kind is Kind.ONE


def test_a_misspelt_query_is_an_attribute_error_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "q.sql").write_text("-- name: get_user()^\nSELECT 1;")
    with pytest.raises(AttributeError, match=r"queries has no query 'get_usr'\. Did you mean get_user\?"):
        load_queries(tmp_path).get_usr  # noqa: B018 - the look-up is what fails


EXPECTED = (
    "Expected a line such as -- name: get_user(id)^, with one of the marks: no mark for rows, ^ one row, $ one value, "
    "! affected rows, <! the returned row, *! many, # script"
)
FAULTS = [
    ("-- name: f()\nSELECT\n  :b;", 3, "f uses :b, which is not in its parameter list (). Add it to the list"),
    (
        "-- name: f(email)\nSELECT :emial;",
        2,
        "f uses :emial, which is not in its parameter list (email). Did you mean :email?",
    ),
    ("-- name: f(a, b)\nSELECT :a;", 1, "f lists b but its SQL does not use :b. Use it, or remove it from the list"),
    ("-- name: f(a, a)\nSELECT :a;", 1, "f lists the parameter a twice. Remove one of them"),
    (
        "-- name: f(class)\nSELECT :class;",
        1,
        "f: 'class' cannot be the name of a Python argument. Choose another name, such as class_",
    ),
    ("-- name: f\nSELECT :a, :b;", 1, "f has no parameter list. Write f(a, b)"),
    (
        "-- name: f(n)\nSELECT tags[1:n];",
        1,
        (
            "f lists n but its SQL does not use :n. After a value in brackets, :n is the upper bound of an array "
            "slice; to use the parameter there, write [... : :n]"
        ),
    ),
    (
        "-- name: f()%\nSELECT 1;",
        1,
        f"'-- name: f()%' is not a valid name line. {EXPECTED}",
    ),
    (
        "-- name: import()\nSELECT 1;",
        1,
        "'import' cannot be the name of a Python function. Choose another name, such as import_",
    ),
    *(
        (f"-- name: {line}\nSELECT :a;", 1, f"'-- name: {line}' is not a valid name line. {EXPECTED}")
        for line in ("f?(a)", "f(a)?", "f(a??)", "f(?)", "f(?a)", "f(a?, )", "f(a?")
    ),
    ("-- name: f()\n-- Only a comment.\n;", 1, "f has no SQL. Write a statement below the name line"),
    ("-- name: f()\n\n-- name: g()\nSELECT 1;", 1, "f has no SQL. Write a statement below the name line"),
    (
        "-- name: f()\nSELECT 1;\nSELECT 2;",
        3,
        (
            "f contains a second statement. Give the second its own name line, or mark the query with # to make it a "
            "script"
        ),
    ),
    (
        "-- name: f()\n  ;select 1",
        2,
        "f begins with a semicolon, which ends an empty statement. Remove the semicolon",
    ),
    (
        "-- name: f()#\nSELECT 1;\nSELECT :a;",
        3,
        (
            "f is a script (#) and takes no parameters, but uses :a. Write the value into the script, or give each "
            "statement a name line of its own"
        ),
    ),
    ("-- name: f()\nSELECT $1;", 2, "$1 is PostgreSQL's own placeholder. Name the parameter, as in :email"),
    (
        "-- name: f(q)\nSELECT\n  ':q%';",
        1,
        "f lists q but its SQL does not use :q. In the string on line 3 it is plain text. Write :q || '%'",
    ),
    (
        "-- name: f(q)\nSELECT 'It''s %:q%';",
        1,
        (
            "f lists q but its SQL does not use :q. In the string on line 2 it is plain text. Write 'It''s %' || :q || "
            "'%'"
        ),
    ),
    ("-- name: f()\n\nSELECT 'a;\n", 3, "a string is never closed"),
    ("-- name: f()\nSELECT /* a\n", 2, "a /* comment is never closed"),
    (
        "SELECT 1;\n-- name: f()\nSELECT 1;",
        1,
        (
            "this text is before the name line of the first query, and belongs to none. Write a line such as "
            "-- name: get_user(id)^ above it, or make it a comment"
        ),
    ),
    (
        "-- name: f()\n-- Doc.\n-- record_class: User\nSELECT 1;",
        3,
        ("the record_class line must follow the name line directly. Move it up, above the lines of the documentation"),
    ),
    ("-- name: f()\nSELECT 1;\n-- name: f()\nSELECT 2;", 3, "f is already defined at q.sql:1"),
]


@pytest.mark.parametrize(("text", "line", "message"), FAULTS)
def test_each_fault_names_its_file_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, line: int, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "q.sql").write_text(text)
    with pytest.raises(errors.QueryFileError) as raised:
        load_queries(tmp_path)
    assert [str(fault) for fault in raised.value.faults] == [f"q.sql:{line}: {message}"]


def test_every_fault_of_a_query_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One misspelling is one fault, not two."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "q.sql").write_text(
        "-- name: f(email, class, a, a)\n"
        "-- Doc.\n-- record_class: User\n"
        "SELECT :class, :emial,\n  :a, :other, :other, $1, %s;\nSELECT 1;\n"
        "-- name: g(a)%\nSELECT ?;\n"
    )
    with pytest.raises(errors.QueryFileError) as raised:
        load_queries(tmp_path)
    assert [(fault.line, fault.column, fault.message) for fault in raised.value.faults] == [
        (1, 0, "f: 'class' cannot be the name of a Python argument"),
        (1, 0, "f lists the parameter a twice"),
        (3, 0, "the record_class line must follow the name line directly"),
        (4, 15, "f uses :emial, which is not in its parameter list (email, class, a, a)"),
        (5, 6, "f uses :other, which is not in its parameter list (email, class, a, a)"),
        (5, 22, "$1 is PostgreSQL's own placeholder"),
        (5, 26, "%s is a positional placeholder of psycopg"),
        (6, 0, "f contains a second statement"),
        (7, 0, "'-- name: g(a)%' is not a valid name line"),
        (8, 7, "? is a positional placeholder of other drivers"),
    ]


def test_names_are_compared_over_all_files_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f").mkdir()
    (tmp_path / "a.sql").write_text("-- name: f()\nSELECT 1;")
    (tmp_path / "b.sql").write_text("-- name: f()\nSELECT 2;")
    (tmp_path / "f" / "c.sql").write_text("-- name: g()\nSELECT 3;")
    with pytest.raises(errors.QueryFileError) as raised:
        load_queries(tmp_path)
    assert [str(fault) for fault in raised.value.faults] == [
        "a.sql:1: f is also the name of a folder or a component of queries",
        "b.sql:1: f is already defined at a.sql:1",
        "b.sql:1: f is also the name of a folder or a component of queries",
    ]


def test_all_faults_of_all_files_come_in_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "no-name").mkdir()
    (tmp_path / "no-name" / "x.sql").write_text("-- name: g()\nSELECT 1;")
    (tmp_path / "a.sql").write_text("-- name: f(a)\nSELECT 1;\n-- name: g()\nSELECT :b;")
    (tmp_path / "b.sql").write_bytes(b"-- name: h()\nSELECT '\xff';")
    with pytest.raises(errors.QueryFileError) as raised:
        load_queries(tmp_path)
    assert str(raised.value).splitlines() == [
        "4 faults in the query files",
        "a.sql:1: f lists a but its SQL does not use :a. Use it, or remove it from the list",
        "a.sql:4: g uses :b, which is not in its parameter list (). Add it to the list",
        "b.sql: the file is not UTF-8 text (byte 21)",
        "no-name: a folder is a namespace, but 'no-name' is not a valid Python name",
    ]


def test_a_missing_folder_and_an_unknown_record_class_are_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.QueryFileError, match="nowhere: there is no such file or folder"):
        load_queries(Path("nowhere"))
    Path("q.sql").write_text("-- name: f()\n-- record_class: User\nSELECT 1;")
    with pytest.raises(errors.QueryFileError) as raised:
        load_queries("q.sql", record_classes={"Account": dict})
    assert [str(fault) for fault in raised.value.faults] == [
        "q.sql:1: f has the record class User, which is not in record_classes. Given: Account"
    ]


def test_a_fault_is_a_value(tmp_path: Path) -> None:
    file = tmp_path / "q.sql"
    file.write_text("-- name: f(email)\nSELECT *\n  FROM users WHERE email = :emial;")
    with pytest.raises(errors.QueryFileError) as raised:
        read_queries(file)
    (fault,) = raised.value.faults
    assert (fault.rule, fault.file, fault.line, fault.column) == (Rule.QUERY_FILE, file, 3, 27)
    assert fault.message == "f uses :emial, which is not in its parameter list (email)"
    assert fault.hint == "Did you mean :email?"
    assert fault.source == "  FROM users WHERE email = :emial;"


def test_what_has_no_fault_is_read_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("SELECT 0;\n-- name: f()\nSELECT 1;\n-- name: g()\n;\n-- name: h()\nSELECT 3;")
    (tmp_path / "b.sql").write_text("-- name: f()\nSELECT '")
    (tmp_path / "c.sql").write_text("-- name: h()\nSELECT 4;")
    reading = read([QueryFolder(tmp_path, ("part",))])
    assert [(query.qualified_name, query.file.name) for query in reading.queries] == [
        ("part.f", "a.sql"),
        ("part.h", "a.sql"),
    ]
    assert [(fault.file.name, fault.line) for fault in reading.faults] == [
        ("a.sql", 1),
        ("a.sql", 4),
        ("b.sql", 2),
        ("c.sql", 1),
    ]

"""The forms of a query: which lines are in each, where its text is in the file, and every fault of a directive."""

from __future__ import annotations

from inspect import Parameter
from pathlib import Path

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowsmith import errors
from rowsmith.queries.forms import NOT_GIVEN, Forms
from rowsmith.queries.lexer import ends_a_list, tokenize
from rowsmith.queries.loader import read_queries
from rowsmith.queries.query import Query

SEARCH = """\
-- name: search(role, since, q, deleted)
SELECT id, email
  FROM users
 WHERE true
   AND NOT deleted                       -- unless: deleted
   AND role = :role                      -- if: role
   AND created_at >= :since              -- if: since
   -- if: q
   AND (name ILIKE :q
     OR email ILIKE :q)
   -- end
 ORDER BY created_at DESC, id            -- order: newest
 ORDER BY lower(name), id;               -- order: name
"""


def read_one(folder: Path, text: str) -> Query:
    (folder / "q.sql").write_text(text, encoding="utf-8")
    (query,) = read_queries(folder / "q.sql")
    return query


def forms_of(query: Query) -> Forms:
    assert query.forms is not None
    return query.forms


def form(query: Query, *on: str, order: str | None = None) -> Query:
    """The form with these switches on."""
    forms = forms_of(query)
    bits = sum(1 << number for number, switch in enumerate(forms.switches) if switch.name in on)
    assert {*on} <= {switch.name for switch in forms.switches}
    return query.form(forms.with_ordering(bits, forms.orderings.index(order) if order else 0))


def squeezed(sql: str) -> str:
    return " ".join(sql.split())


def test_a_form_has_the_lines_of_what_is_on(tmp_path: Path) -> None:
    query = read_one(tmp_path, SEARCH)
    found = form(query, "role")
    begin = "SELECT id, email FROM users WHERE true"
    assert squeezed(found.sql) == f"{begin} AND NOT deleted AND role = $1 ORDER BY created_at DESC, id"
    assert found.parameters == ("role",)
    assert found.title == "with role, without deleted, since, q, ordered by newest"
    found = form(query, "q", "since", "deleted", order="name")
    rest = "AND created_at >= $1 AND (name ILIKE $2 OR email ILIKE $2) ORDER BY lower(name), id"
    assert squeezed(found.sql) == f"{begin} {rest}"
    assert found.parameters == ("since", "q")
    assert forms_of(query).count == 32


def test_the_query_itself_is_the_form_with_everything_on(tmp_path: Path) -> None:
    query = read_one(tmp_path, SEARCH)
    assert query.sql == form(query, "deleted", "role", "since", "q").sql
    assert query.parameters == ("role", "since", "q")
    assert query.title == ""
    signature = "(conn, /, *, role=None, since=None, q=None, deleted=False, order_by='newest')"
    assert str(query.signature) == signature


def test_a_place_in_a_form_leads_back_to_the_file(tmp_path: Path) -> None:
    found = form(read_one(tmp_path, SEARCH), "since", "q", order="name")
    sought = [("SELECT", 2, 0), ("$1", 7, 21), ("ILIKE $2)", 10, 14), ("lower", 13, 10), ("deleted", 5, 11)]
    for word, line, column in sought:
        number, text, at = found.source.place(found.sql.index(word))
        assert (number, at) == (line, column), text
    assert found.source.place(len(found.sql))[0] == 13


def test_conditions_of_several_names_and_inside_one_another(tmp_path: Path) -> None:
    query = read_one(
        tmp_path,
        (
            "-- name: f(a, b, c)\nSELECT 1\n+ :a + :b -- if: a, b\n- 2 -- unless: a, b\n-- if: c\n+ :c\n+ 3 -- if: a\n"
            "-- unless: b\n+ 4\n-- end\n-- end\n;"
        ),
    )
    sums = {
        (): "SELECT 1 - 2",
        ("a",): "SELECT 1 - 2",
        ("a", "b"): "SELECT 1 + $1 + $2",
        ("c",): "SELECT 1 - 2 + $1 + 4",
        ("a", "c"): "SELECT 1 - 2 + $1 + 3 + 4",
        ("a", "b", "c"): "SELECT 1 + $1 + $2 + $3 + 3",
    }
    assert {on: squeezed(form(query, *on).sql) for on in sums} == sums


def test_a_block_may_come_first_and_a_form_may_have_a_with_of_its_own(tmp_path: Path) -> None:
    query = read_one(
        tmp_path,
        "-- name: f(q)\n-- Doc.\n-- if: q\nWITH w AS (\n  SELECT :q\n)\n-- end\nSELECT 1\n  FROM w -- if: q\n;",
    )
    assert query.doc == "Doc."
    assert squeezed(form(query).sql) == "SELECT 1"
    assert squeezed(form(query, "q").sql) == "WITH w AS ( SELECT $1 ) SELECT 1 FROM w"
    assert form(query).source.place(0) == (8, "SELECT 1", 0)


@pytest.mark.parametrize(
    ("lines", "on", "expected"),
    [
        ("UPDATE t SET\n a = :a, -- if: a\n b = :b -- if: b\nWHERE id = 1", ["a"], "UPDATE t SET a = $1 WHERE id = 1"),
        ("UPDATE t SET\n x = 1,\n a = :a, -- if: a\n b = :b -- if: b\nWHERE 1", [], "UPDATE t SET x = 1 WHERE 1"),
        ("SELECT (x,\n :a -- if: a\n), :b -- if: b", ["b"], "SELECT (x ), $1"),
        ("SELECT x,\n :a, -- if: a\n :b -- if: b", ["a"], "SELECT x, $1"),
        ("SELECT x,\n :a -- if: a\n;\n", [], "SELECT x"),
        ("SELECT x, /* :y */\n :a -- if: a\n /* :z */ FROM t\n, :b -- if: b", [], "SELECT x /* :y */ /* :z */ FROM t"),
        ("SELECT x,\n :a AS n -- if: a\n :b AS n -- if: b", ["b"], "SELECT x, $1 AS n"),
        ("SELECT x,\n FROM t WHERE :a -- if: a\n AND :b -- if: b", [], "SELECT x"),
        ("SELECT x,, FROM t\n WHERE :a -- if: a\n AND :b -- if: b", [], "SELECT x,, FROM t"),  # not ours
        ('SELECT x,\n :a -- if: a\n "from" + :b', [], 'SELECT x, "from" + $1'),
    ],
)
def test_a_comma_is_left_out_where_nothing_of_the_list_is_left(
    tmp_path: Path, lines: str, on: list[str], expected: str
) -> None:
    names = ", ".join(name for name in "ab" if f":{name}" in lines)
    assert squeezed(form(read_one(tmp_path, f"-- name: f({names})\n{lines}\n;"), *on).sql) == expected


def test_no_expression_begins_with_the_words_that_end_a_list(worker_database_url: str) -> None:
    with psycopg.connect(worker_database_url) as conn:
        words = [word for (word,) in conn.execute("SELECT word FROM pg_get_keywords()").fetchall()]
        reserved = [
            word for (word,) in conn.execute("SELECT word FROM pg_get_keywords() WHERE catcode = 'R'").fetchall()
        ]
    ending = [word for word in words if ends_a_list(next(tokenize(word)))]
    assert len(ending) == 18
    assert {*ending} <= {*reserved}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT :a -- if: a", {"a": None}),
        ("SELECT :a -- if given: a", {"a": NOT_GIVEN}),
        ("SELECT 1 -- if: a", {"a": False}),
        ("SELECT :a\n + 1 -- if: a", {"a": Parameter.empty}),
        ("SELECT :a -- if: b", {"a": NOT_GIVEN, "b": False}),
        ("SELECT :a -- order: one\nSELECT 1 -- order: two", {"a": NOT_GIVEN, "order_by": "one"}),
        ("SELECT :a -- IF  GIVEN : a", {"a": NOT_GIVEN}),
    ],
)
def test_what_a_call_may_leave_out(tmp_path: Path, text: str, expected: dict[str, object]) -> None:
    names = ", ".join(name for name in expected if name != "order_by")
    assert dict(read_one(tmp_path, f"-- name: f({names})\n{text}").arguments) == expected


@pytest.mark.parametrize(
    "text",
    [
        "SELECT '\n-- if: a\n', :a",
        "SELECT $$ x -- if: a\n$$, :a",
        "SELECT :a /* -- if: a\n*/",
        "SELECT :a -- if a",
        "SELECT :a -- see if: a",
        "SELECT :a -- iffy: a",
        "SELECT :a -- end",
        "SELECT :a; -- end",
        "SELECT :a -- order by: a",
    ],
)
def test_what_is_no_directive(tmp_path: Path, text: str) -> None:
    assert read_one(tmp_path, f"-- name: f(a)\n{text}\n").forms is None


def test_a_string_over_several_lines_is_one_line(tmp_path: Path) -> None:
    query = read_one(tmp_path, "-- name: f(a)\nSELECT 1\n || 'x\n y' || :a -- if: a\n || 'z'")
    assert squeezed(form(query).sql) == "SELECT 1 || 'z'"


FAULTS = [
    ("f(role)\nSELECT 1\n + 1 -- if: rol", 3, 12, "f uses rol, which is not in its parameter list (role). Did you mean role?"),  # noqa: E501
    ("f(a)\nSELECT :a -- if: a, b", 2, 20, "f uses b, which is not in its parameter list (a). Add it to the list"),
    ("f(a)\nSELECT :a -- if:", 2, 16, "'' is not a name. Write -- if: NAME"),
    ("f(a)\nSELECT :a -- if given: a b", 2, 23, "'a b' is not a name. Write -- if given: NAME"),
    ("f(a)\nSELECT :a -- if: a and b", 2, 17, "'a and b' is not a name. Write -- if: NAME"),
    (
        "f(a)\nSELECT 1\n-- if: a\n+ :a",
        3, 0,
        ("the block of -- if: a has no -- end. Write -- end on a line of its own, or put the comment at the end of the "
         "one line that it is for"),
    ),
    ("f(a)\nSELECT 1\n-- end\n+ :a -- if: a", 3, 0, "-- end has no block to end. Remove it, or write the -- if: NAME that it ends"),  # noqa: E501
    (
        "f(a)\nSELECT 1\n -- if: a\n+ :a\n -- end\n -- end",
        6, 1,
        "-- end has no block to end. Remove it, or write the -- if: NAME that it ends",
    ),
    ("f(a)\nSELECT 1 -- if given: a", 2, 22, "a is a flag, because :a is nowhere in the SQL, and a flag is always given. Write -- if: a"),  # noqa: E501
    (
        "f(a)\nSELECT :a -- if: a\n + :a -- if given: a",
        3, 19,
        "lines depend on a both by `if given` and by `if` or `unless`. Use one of them throughout the query",
    ),
    (
        "f(a)\nSELECT :a\n + :a -- if given: a",
        3, 19,
        (":a is also in a line that is always sent, so a is always given. Write -- if: a, or make the other line "
         "optional, too"),
    ),
    (
        "f()\nSELECT 1 -- order: one\nSELECT 2 -- order: one",
        3, 19,
        ("there are two orderings with the name one. Give it another name, or put the lines of one ordering between "
         "-- order: NAME and -- end"),
    ),
    ("f()\nSELECT 1 -- order: one, two", 2, 24, "an ordering has one name. Write -- order: one"),
    ("f()\nSELECT 1 -- order: 'one'", 2, 19, "\"'one'\" is not a name. Write -- order: NAME"),
    (
        "f(order_by)\nSELECT :order_by\n + 1 -- order: one",
        3, 5,
        ("order_by is the parameter that chooses the ordering, and cannot be in the parameter list. Remove it from the "
         "list, or give it another name"),
    ),
    (
        "f(a)\nSELECT 1\n-- if: a\n ORDER BY 1 -- order: one\n-- end",
        4, 12,
        "an ordering cannot be inside a block: one of the orderings is always sent. Move the line out of the block",
    ),
    (
        "f()#\nSELECT 1;\nSELECT 2; -- if: a",
        3, 10,
        ("f is a script (#), which has no optional lines and no orderings. Remove the comment, or write a query for "
         "each form"),
    ),
    (
        "f(a)*!\nINSERT INTO t VALUES (\n :a -- if: a\n)",
        3, 4,
        ("f is a query for many sets of parameters (*!), which has no optional lines and no orderings. Remove the "
         "comment, or write a query for each form"),
    ),
    ("f(a)\n-- if: b\n-- Doc.\nSELECT :a\n-- end", 2, 7, "f uses b, which is not in its parameter list (a). Add it to the list"),  # noqa: E501
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "column", "message"), FAULTS)
def test_a_fault_says_where_it_is_and_what_to_do(
    tmp_path: Path, text: str, line: int, column: int, message: str
) -> None:
    with pytest.raises(errors.QueryFileError) as caught:
        read_one(tmp_path, f"-- name: {text}\n")
    (fault,) = caught.value.faults
    assert (fault.line, fault.column, ". ".join(filter(None, [fault.message, fault.hint]))) == (line, column, message)


def test_a_script_may_have_a_comment_that_says_end(tmp_path: Path) -> None:
    assert read_one(tmp_path, "-- name: f()#\nSELECT 1;\n-- end\nSELECT 2;").forms is None


# --- random queries ---

_LINES = st.lists(
    st.tuples(
        st.sampled_from(
            ["+ 1", "+ :a", "+ :b - :c", "+ 1 /* :a */",
                         "|| 'x -- if: a'", ", x", "+ $$\n -- if: b\n$$", ""]
        ),
        st.sampled_from(
            ["", "if: a", "if: b", "unless: a", "if: a, b", "unless: b, c", "if: d",
                         "order: x", "order: y"]
        ),
    ),
    max_size=8,
)  # fmt: skip


@given(_LINES, st.integers(0, 63))
def test_a_form_is_the_text_without_its_lines(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[str, str]], chosen: int
) -> None:
    rules = [rule for text, rule in lines if text]
    lines = [  # an ordering has one line
        (text, "" if not text or (rule.startswith("order") and rules.count(rule) > 1) else rule) for text, rule in lines
    ]
    on = {name for number, name in enumerate("abcd") if chosen >> number & 1}
    everything = [("SELECT :a + :b + :c", ""), *lines, ("+ 5", "")]
    text = "\n".join(f"{line} -- {rule}" if rule else line for line, rule in everything)
    flag = ", d" if any("d" in rule.split(": ")[-1] and "order" not in rule for _, rule in lines) else ""
    folder = tmp_path_factory.mktemp("forms", numbered=True)
    query = read_one(folder, f"-- name: f(a, b, c{flag})\n{text}")
    if query.forms is None:
        assert not any(rule for _, rule in lines)
        return
    present = {switch.name for switch in query.forms.switches}
    orderings = query.forms.orderings
    order = orderings[(chosen >> 4) % len(orderings)] if orderings else None

    def kept(rule: str) -> bool:
        word, _, names = rule.partition(": ")
        wanted = {*names.split(", ")}
        match word:
            case "":
                return True
            case "order":
                return names == order
            case "if":
                return wanted <= on & present
            case _:
                return not wanted <= on & present

    found = form(query, *(on & present), order=order)
    expected = "\n".join(line for line, rule in everything if kept(rule))
    for number, name in enumerate(found.parameters, 1):
        expected = expected.replace(f":{name}", f"${number}") if name in "abc" else expected
    plain = [token.text for token in tokenize(expected) if not token.blank]
    assert [token.text for token in tokenize(found.sql) if not token.blank] == plain
    for token in tokenize(found.sql):  # every token leads back to where it is written
        if not token.blank and token.text[0] not in "$'":
            line, source, column = found.source.place(token.start)
            assert source[column:].startswith(token.text.split("\n")[0])
            assert (folder / "q.sql").read_text().split("\n")[line - 1].rstrip() == source

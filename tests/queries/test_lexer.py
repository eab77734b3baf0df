"""The lexer: where `:name` is a parameter and where PostgreSQL reads something else."""

from __future__ import annotations

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowsmith.queries.lexer import Token, TokenKind, UnterminatedError, tokenize


def parameters(sql: str) -> list[str]:
    return [token.text for token in tokenize(sql) if token.kind is TokenKind.PARAMETER]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT :a, :b_2, :é", [":a", ":b_2", ":é"]),
        ("SELECT 'it''s :x', :y", [":y"]),
        (r"SELECT E'it\'s :x', :y", [":y"]),
        (r"SELECT e'\\', :y, ':x'", [":y"]),
        ("SELECT E'one'\n  'two\\' :x', :y", [":y"]),
        ("SELECT E'one' -- and\n -- more\n 'two\\' :x', :y", [":y"]),
        ("SELECT 'one'\n 'two\\', :y, ''", [":y"]),
        (r"SELECT 'no escape \', :y, ''", [":y"]),
        ("SELECT B'01', X'1F', N':x', U&':x', :y", [":y"]),
        ("SELECT $$it's :x$$, :y", [":y"]),
        ("SELECT $tag$ $$ :x $other$ $tag$, :y", [":y"]),
        ("SELECT a$b$c, :y, d$b$", [":y"]),
        ('SELECT "a:x", "b""c:x", U&"d:x", :y', [":y"]),
        ("SELECT 1 -- see :note\n, :y", [":y"]),
        ("SELECT 1 /* :x /* :x */ :x */, :y", [":y"]),
        ("SELECT 1 */* 2 :x */ :y", [":y"]),
        ("SELECT 5 --:x\n - :y", [":y"]),
        ("SELECT a::text, :y::int[]", [":y"]),
        ("SELECT a ::text", []),
        ("SELECT f(a := :y, b => :z)", [":y", ":z"]),
        ("SELECT tags[1:2], :y", [":y"]),
        ("SELECT tags[lo:hi]", []),
        ('SELECT tags["lo":hi]', []),
        ("SELECT tags[f(1):hi]", []),
        ("SELECT tags[other[1]:hi]", []),
        ("SELECT tags[:lo : :hi]", [":lo", ":hi"]),
        ("SELECT tags[:i]", [":i"]),
        ("SELECT tags[1:2][:i]", [":i"]),
        ("SELECT tags[f(:a)]", [":a"]),
        ("SELECT tags[CASE WHEN b THEN :a ELSE :c END]", [":a", ":c"]),
        ("SELECT ARRAY[:a, :b]", [":a", ":b"]),
        ("SELECT ARRAY[[:a], [x OR :b]]", [":a", ":b"]),
        ("SELECT (ARRAY[1, 2])[n:m]", []),
        ("SELECT :tags[n:m]", [":tags"]),
        ("SELECT 100 % 3, 'a%b', :y", [":y"]),
        ("SELECT 1.5e3, .5, 0x1F, 1_000, :y", [":y"]),
        ("SELECT '12:30'::time, :y", [":y"]),
        ("SELECT data @> :y, data ? 'k', data #>> '{a:b}'", [":y"]),
        ("", []),
    ],
)
def test_parameters_are_found_where_postgres_would_see_them(sql: str, expected: list[str]) -> None:
    assert parameters(sql) == expected
    assert "".join(token.text for token in tokenize(sql)) == sql


@pytest.mark.parametrize(
    ("sql", "what", "start"),
    [
        ("SELECT 'a", "a string", 7),
        ("SELECT 'a''b", "a string", 7),
        (r"SELECT E'a\'", "a string", 7),
        ('SELECT "a', "a quoted identifier", 7),
        ("SELECT $x$ a $y$", r"a $x$ string", 7),
        ("SELECT /* a /* b */", "a /* comment", 7),
    ],
)
def test_what_never_ends_is_an_error_at_its_beginning(sql: str, what: str, start: int) -> None:
    with pytest.raises(UnterminatedError) as raised:
        list(tokenize(sql))
    assert str(raised.value) == f"{what} is never closed"
    assert raised.value.start == start


PIECES = st.sampled_from(
    [*list("ab1 \n:'\"$[](),;%\\-/*.=<>é"), "--", "/*", "*/", "$$", "$a$", "::", ":p", "E'", "U&'", "ARRAY[", "''"]
)


@given(st.lists(PIECES, max_size=30).map("".join))
def test_tokens_give_the_text_again_whatever_it_is(text: str) -> None:
    tokens: list[Token] = []
    read = len(text)
    try:
        tokens.extend(tokenize(text))
    except UnterminatedError as error:
        read = error.start
    assert "".join(token.text for token in tokens) == text[:read]
    assert all(token.text for token in tokens)


LITERALS = st.sampled_from(["'{}'", "E'{}'", "$$ {} $$", "$q$ {} $q$", '"{}"', "/* {} */", "-- {}\n"])
INSIDE = st.text(st.sampled_from(list("ab :'\"\\%-/é")), max_size=12)


def quoted(template: str, text: str) -> str:
    """The text inside a literal or a comment, escaped as PostgreSQL requires."""
    if template.startswith("E"):
        text = text.replace("\\", "\\\\")
    if template.endswith("'"):
        text = text.replace("'", "''")
    if template.startswith('"'):
        text = text.replace('"', '""') or "x"
    if template.startswith("/*"):
        text = text.replace("/", "")
    return template.format(text.replace("\n", " "))


@given(st.lists(st.tuples(LITERALS, INSIDE), min_size=1, max_size=6))
def test_no_parameter_is_found_inside_what_is_quoted(parts: list[tuple[str, str]]) -> None:
    sql = " ".join(f"{quoted(template, text)} , :p{index}" for index, (template, text) in enumerate(parts))
    assert parameters(sql) == [f":p{index}" for index in range(len(parts))]


@pytest.mark.parametrize(
    "literal",
    ["'it''s :x'", r"E'it\'s :x'", "$$it's :x$$", "$a$:x $$ $b$$a$", "E'a'\n'b\\':x'", "U&'\\0061:x'", "'100%'"],
)
def test_the_server_agrees_about_literals(server_url: str, literal: str) -> None:
    """What is one string to the lexer is one string to the server: the statement has one column."""
    tokens = [token for token in tokenize(f"SELECT {literal}") if not token.blank]
    assert [token.kind for token in tokens] == [TokenKind.NAME, TokenKind.STRING]
    with psycopg.connect(server_url) as conn:
        cursor = conn.execute(f"SELECT {literal}".encode())
        assert cursor.description is not None
        assert len(cursor.description) == 1

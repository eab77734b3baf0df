"""Placeholders of other drivers and libraries, which PostgreSQL would read as something else.

aiosql passes `%s` and `%(name)s` on to psycopg, needs `%%` for one percent sign, and reads `:user.name` as an
attribute; SQLite has `?`. Here a parameter is `:name` and nothing else. After a value, `%` and `?` are operators of
PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from rowsmith.queries.lexer import WORDS_BEFORE_A_VALUE, Token, TokenKind

_WORDS = WORDS_BEFORE_A_VALUE | {"having", "limit", "offset", "on", "returning"}


class Placeholder(NamedTuple):
    """A placeholder that does not belong in a query file: where it begins, what is wrong, and what to write."""

    token: Token
    message: str
    hint: str


def foreign_placeholders(sql: Sequence[Token]) -> Iterator[Placeholder]:
    """The placeholders in the tokens of a query that are not of the form `:name`."""
    before: Token | None = None
    index = 0
    while index < len(sql):
        token, text = sql[index], _adjacent(sql, index)
        if not token.blank:
            length, message, hint = _read(text, before)
            if message:
                yield Placeholder(token, message, hint)
            index += length - 1
            before = sql[index]
        index += 1


def _read(text: Callable[[int], str], before: Token | None) -> tuple[int, str, str]:
    """The number of tokens of the placeholder that begins here, what is wrong with it, and what to write instead.

    The message is empty if there is none.
    """
    first, second, previous = text(0), text(1), before.text.lower() if before else ""
    if first.startswith(":") and first[1:] and second == "." and text(2).isidentifier():
        attribute = text(2)
        name = f"{first[1:]}_{attribute}"
        hint = (
            f"Write :{name}, list {name} in the name line, and pass {name}={first[1:]}.{attribute}. "
            f"For a field of a composite value, write ({first}::its_type).{attribute}"
        )
        return 3, f"{first}.{attribute} is an attribute of a parameter, which only aiosql reads", hint
    if first == "%" and second == "%" and previous != ".":  # as in OPERATOR(public.%%)
        hint = "Write one %: the text is sent to PostgreSQL as it is"
        return 2, "%% is psycopg's and aiosql's way to write one percent sign", hint
    if _is_value(before) and not (first == "%" and previous == "values"):  # which may be the name of a column
        return 1, "", ""
    if first == "%" and second in ("s", "b", "t"):
        return 2, f"%{second} is a positional placeholder of psycopg", "Name the parameter, as in :email"
    if first == "%" and second == "(" and text(3) == ")" and text(4) in ("s", "b", "t"):
        return 5, f"%({text(2)}){text(4)} is a placeholder of psycopg", f"Write :{text(2)}"
    if first == "?" and previous != "@" and second not in ("-", "|"):  # @? of jsonpath, ?- and ?| of geometry
        return 1, "? is a positional placeholder of other drivers", "Name the parameter, as in :email"
    if first == ":" and second.isdigit():
        return 2, f":{second} is a numbered placeholder of other drivers", "Name the parameter, as in :email"
    return 1, "", ""


def _adjacent(sql: Sequence[Token], index: int) -> Callable[[int], str]:
    """The text of the token so many places further on. There are no blanks inside a placeholder."""
    return lambda offset: sql[index + offset].text if index + offset < len(sql) else ""


def _is_value(token: Token | None) -> bool:
    """Whether a value ends with this token, so that an operator follows."""
    if token is None or token.kind is TokenKind.SEMICOLON:
        return False
    if token.kind is TokenKind.SYMBOL:
        return token.text in (")", "]")
    return token.kind is not TokenKind.NAME or token.text.lower() not in _WORDS

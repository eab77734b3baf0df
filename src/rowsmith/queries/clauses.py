"""Where the clauses of a SELECT are in its text.

The server's tree says what they mean. It has no positions of their ends, so the tokens have to tell. All words that are
looked for are reserved: outside of brackets they begin a clause, or are names after the words listed below.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rowsmith.queries.lexer import Token, tokenize

SET_OPERATIONS = ("union", "intersect", "except")
_QUERIES = ("select", "with", "table", "values", "(")
_ENDS = (*SET_OPERATIONS, "from", "where", "group", "having", "window", "order", "limit", "offset", "fetch", "for")
"""The words that may follow a select list. They are reserved, but may be names after these:"""
_BEFORE_A_NAME = (".", "as", "within", "distinct")
_DIRECTIONS = ("asc", "desc", "nulls", "first", "last")


class OrderBy(NamedTuple):
    """The ORDER BY of a query itself, not of a part in parentheses."""

    start: int
    """The offset of ORDER."""
    expressions: tuple[str, ...]
    """What it sorts by, without the directions."""


def order_by(sql: str) -> OrderBy | None:
    """The ORDER BY at the end of a query; None if it has none outside of parentheses."""
    tokens, texts = split(sql)
    depths = _depths(texts)
    starts = [
        index for index in range(1, len(texts) - 2) if texts[index : index + 2] == ["order", "by"] and not depths[index]
    ]
    if not starts:
        return None
    expressions: list[str] = []
    begin = starts[-1] + 2
    for index in range(begin, len(texts)):
        if depths[index] <= 0 and texts[index] in (",", ""):
            end = index
            while end > begin + 1 and texts[end - 1] in _DIRECTIONS:
                end -= 1
            expressions.append(sql[tokens[begin - 1].start : tokens[end - 2].end] if begin < end else "")
            begin = index + 1
    return OrderBy(tokens[starts[-1] - 1].start, tuple(expressions))


def select_list_end(sql: str) -> int | None:
    """The offset just after the columns of the first SELECT, where another one can be added."""
    tokens, texts = split(sql)
    ends = [end for begin, end in items(texts) if begin < end]
    return tokens[ends[-1] - 2].end if ends else None


def split(sql: str) -> tuple[list[Token], list[str]]:
    """The tokens, and their texts in small letters, with an empty one before the first and after the last."""
    tokens = [token for token in tokenize(sql) if not token.blank]
    return tokens, ["", *(token.text.lower() for token in tokens), ""]


def items(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """The items of RETURNING, or of the first SELECT: where they begin, and where what follows them does.

    The columns of a UNION have the names of the first part.
    """
    words = [index for index in outer(texts) if texts[index] in ("select", "returning")]
    if not words:
        return
    begin = (words[-1] if texts[words[-1]] == "returning" else words[0]) + 1
    depth = 0
    for index in range(begin, len(texts)):
        before, text = texts[index - 1 : index + 1]
        depth += (text in ("(", "[")) - (text in (")", "]"))
        if depth < 0 or text == "" or (depth == 0 and text in _ENDS and before not in _BEFORE_A_NAME):
            yield begin, index
            return
        if depth == 0 and text == ",":
            yield begin, index
            begin = index + 1
        elif index == begin and text in ("all", "distinct"):
            begin += 1


def outer(texts: Sequence[str]) -> Iterator[int]:
    """The tokens outside of brackets, and inside those of a query whose rows are the result's: `(SELECT ...) UNION`."""
    brackets: list[bool] = []
    for index, text in enumerate(texts[1:-1], 1):
        if text in ("(", "["):
            is_query = text == "(" and begins_query(texts, index) and texts[index + 1] in _QUERIES
            brackets.append(is_query and all(brackets))
        elif text in (")", "]"):
            del brackets[-1:]
        elif all(brackets):
            yield index


def begins_query(texts: Sequence[str], index: int) -> bool:
    """Whether a query may begin here: at the start, after UNION, in parentheses of its own, after WITH (...)."""
    before = texts[index - 1]
    if before in ("all", "distinct"):
        return texts[index - 2] in SET_OPERATIONS
    return before in ("", "(", ")", *SET_OPERATIONS)


def _depths(texts: Sequence[str]) -> list[int]:
    """In how many brackets each token is."""
    found: list[int] = []
    depth = 0
    for text in texts:
        depth -= text in (")", "]")
        found.append(depth)
        depth += text in ("(", "[")
    return found

"""Where the columns of a result are in the text of a query.

The server's tree has every star expanded and, from version 17 on, no positions, so the tokens have to tell. They decide
where a finding points, and that there is a star, but nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rowsmith.queries.lexer import Token, tokenize

_QUERIES = ("select", "with", "table", "values", "(")
_SET_OPERATIONS = ("union", "intersect", "except")
_ENDS = (*_SET_OPERATIONS, "from", "where", "group", "having", "window", "order", "limit", "offset", "fetch", "for")
"""The words that may follow a select list. They are reserved, but may be names after these:"""
_BEFORE_A_NAME = (".", "as", "within", "distinct")


def stars(sql: str) -> Iterator[tuple[int, str]]:
    """The offsets of the stars among the columns of the result, and how they are written.

    A star after SELECT, a comma or a dot has nothing on its left to multiply. It counts only outside of brackets: the
    columns of a subquery or of count(*) are not those of the row.
    """
    tokens, texts = _split(sql)
    for index in _outer(texts):
        if (star := _star(texts, index)) is not None:
            yield tokens[index - 1].start, star


def positions(sql: str, count: int) -> list[int | None]:
    """The offset of each of so many columns, or of the star that it is of; None for those that cannot be told."""
    tokens, texts = _split(sql)
    items = [(tokens[begin - 1].start, texts[end - 1] == "*") for begin, end in _items(texts) if begin < end]
    starred = [number for number, (_, is_star) in enumerate(items) if is_star]
    if len(starred) == 1:
        (number,) = starred
        items[number : number + 1] = [items[number]] * (count - len(items) + 1)
    return [start for start, _ in items] if len(items) == count else [None] * count


def _split(sql: str) -> tuple[list[Token], list[str]]:
    """The tokens, and their texts in small letters, with an empty one before the first and after the last."""
    tokens = [token for token in tokenize(sql) if not token.blank]
    return tokens, ["", *(token.text.lower() for token in tokens), ""]


def _items(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """The items of RETURNING, or of the first SELECT: where they begin, and where what follows them does.

    The columns of a UNION have the names of the first part.
    """
    words = [index for index in _outer(texts) if texts[index] in ("select", "returning")]
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


def _star(texts: Sequence[str], index: int) -> str | None:
    """How the star at this token is written; None if it is not one."""
    before, text, after = texts[index - 1 : index + 2]
    if text == "table" and _begins_query(texts, index):
        return "TABLE"
    # After DISTINCT ON (...) a star is followed by a comma or FROM; a product by its second factor.
    is_first = before in (",", ".", "select", "all", "distinct", "returning")
    return "*" if text == "*" and (is_first or (before == ")" and after in (",", "from", ""))) else None


def _outer(texts: Sequence[str]) -> Iterator[int]:
    """The tokens outside of brackets, and inside those of a query whose rows are the result's: `(SELECT ...) UNION`."""
    brackets: list[bool] = []
    for index, text in enumerate(texts[1:-1], 1):
        if text in ("(", "["):
            is_query = text == "(" and _begins_query(texts, index) and texts[index + 1] in _QUERIES
            brackets.append(is_query and all(brackets))
        elif text in (")", "]"):
            del brackets[-1:]
        elif all(brackets):
            yield index


def _begins_query(texts: Sequence[str], index: int) -> bool:
    """Whether a query may begin here: at the start, after UNION, in parentheses of its own, after WITH (...)."""
    before = texts[index - 1]
    if before in ("all", "distinct"):
        return texts[index - 2] in _SET_OPERATIONS
    return before in ("", "(", ")", *_SET_OPERATIONS)

"""Where the columns of a result are in the text of a query.

The server's tree has every star expanded and, from version 17 on, no positions, so the tokens have to tell. They decide
where a finding points, and that there is a star, but nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rowsmith.queries.lexer import Token, TokenKind, tokenize

_QUERIES = ("select", "with", "table", "values")
_SET_OPERATIONS = ("union", "intersect", "except")
_ENDS = (*_SET_OPERATIONS, "from", "where", "group", "having", "window", "order", "limit", "offset", "fetch", "for")
"""The words that may follow a select list; they are reserved."""


def stars(sql: str) -> Iterator[tuple[int, str]]:
    """The offsets of the stars among the columns of the result, and how they are written.

    A star after SELECT, a comma or a dot has nothing on its left to multiply. It counts only outside of brackets: the
    columns of a subquery or of count(*) are not those of the row.
    """
    tokens = _tokens(sql)
    for index in _outer(tokens):
        if (star := _star(tokens, index)) is not None:
            yield tokens[index].start, star


def positions(sql: str, count: int) -> list[int | None]:
    """The offset of each of so many columns, or of the star that it is of; None for those that cannot be told."""
    tokens = _tokens(sql)
    items = [(tokens[begin].start, tokens[end - 1].text == "*") for begin, end in _items(tokens) if begin < end]
    starred = [number for number, (_, is_star) in enumerate(items) if is_star]
    if len(starred) == 1:
        (number,) = starred
        items[number : number + 1] = [items[number]] * (count - len(items) + 1)
    return [start for start, _ in items] if len(items) == count else [None] * count


def _tokens(sql: str) -> list[Token]:
    return [token for token in tokenize(sql) if not token.blank]


def _items(tokens: Sequence[Token]) -> Iterator[tuple[int, int]]:
    """The items of RETURNING, or of the first SELECT: the numbers of their first tokens, and of those after their last.

    The columns of a UNION have the names of the first part.
    """
    outer = [index for index in _outer(tokens) if _word(tokens[index]) in ("select", "returning")]
    if not outer:
        return
    returning = [index for index in outer if _word(tokens[index]) == "returning"]
    begin, depth = (returning or outer)[-1 if returning else 0] + 1, 0
    for index in range(begin, len(tokens)):
        text, word, before = tokens[index].text, _word(tokens[index]), tokens[index - 1]
        if text in ("(", "["):
            depth += 1
        elif text in (")", "]"):
            depth -= 1
        if depth < 0 or (depth == 0 and word in _ENDS and not _is_inside(before)):
            yield begin, index
            return
        if depth == 0 and text == ",":
            yield begin, index
            begin = index + 1
        elif index == begin and word in ("all", "distinct"):
            begin += 1
    yield begin, len(tokens)


def _is_inside(before: Token) -> bool:
    """Whether a reserved word after this token does not end the list: `t.order`, `AS limit`, `WITHIN GROUP`."""
    return before.text == "." or _word(before) in ("as", "within", "distinct")


def _star(tokens: Sequence[Token], index: int) -> str | None:
    """How the star at this token is written; None if it is not one."""
    token, before = tokens[index], tokens[index - 1] if index else None
    if _word(token) == "table" and _begins_query(tokens, index):
        return "TABLE"
    if token.text != "*" or token.kind is not TokenKind.SYMBOL or before is None:
        return None
    if before.text in (",", ".") or _word(before) in ("select", "all", "distinct", "returning"):
        return "*"
    # After DISTINCT ON (...) a star is followed by a comma or FROM; a product by its second factor.
    after = tokens[index + 1] if index + 1 < len(tokens) else None
    return "*" if before.text == ")" and (after is None or after.text == "," or _word(after) == "from") else None


def _outer(tokens: Sequence[Token]) -> Iterator[int]:
    """The tokens outside of brackets, and inside those of a query whose rows are the result's: `(SELECT ...) UNION`."""
    brackets: list[bool] = []
    for index, token in enumerate(tokens):
        if token.kind is TokenKind.SYMBOL and token.text in "([":
            brackets.append(all(brackets) and token.text == "(" and _is_query(tokens, index))
        elif token.kind is TokenKind.SYMBOL and token.text in ")]":
            del brackets[-1:]
        elif all(brackets):
            yield index


def _is_query(tokens: Sequence[Token], index: int) -> bool:
    """Whether the parenthesis at this token encloses a part of the result."""
    after = tokens[index + 1] if index + 1 < len(tokens) else tokens[index]
    return _begins_query(tokens, index) and (after.text == "(" or _word(after) in _QUERIES)


def _begins_query(tokens: Sequence[Token], index: int) -> bool:
    """Whether a query may begin here: at the start, after UNION, in parentheses of its own, after WITH (...)."""
    if index == 0 or tokens[index - 1].text in ("(", ")"):
        return True
    words = [_word(token) for token in tokens[max(0, index - 2) : index]]
    if words[-1] in ("all", "distinct"):
        words.pop()
    return bool(words) and words[-1] in _SET_OPERATIONS


def _word(token: Token) -> str | None:
    return token.text.lower() if token.kind is TokenKind.NAME else None

"""Where the columns of a result are in the text of a query.

The server's tree has every star expanded and, from version 17 on, no positions, so the tokens have to tell. They decide
where a finding points, and that there is a star, but nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rowsmith.queries.clauses import begins_query, items, outer, split


def stars(sql: str) -> Iterator[tuple[int, str]]:
    """The offsets of the stars among the columns of the result, and how they are written.

    A star after SELECT, a comma or a dot has nothing on its left to multiply. It counts only outside of brackets: the
    columns of a subquery or of count(*) are not those of the row.
    """
    tokens, texts = split(sql)
    for index in outer(texts):
        if (star := _star(texts, index)) is not None:
            yield tokens[index - 1].start, star


def positions(sql: str, count: int) -> list[int | None]:
    """The offset of each of so many columns, or of the star that it is of; None for those that cannot be told."""
    tokens, texts = split(sql)
    found = [(tokens[begin - 1].start, texts[end - 1] == "*") for begin, end in items(texts) if begin < end]
    starred = [number for number, (_, is_star) in enumerate(found) if is_star]
    if len(starred) == 1:
        (number,) = starred
        found[number : number + 1] = [found[number]] * (count - len(found) + 1)
    return [start for start, _ in found] if len(found) == count else [None] * count


def _star(texts: Sequence[str], index: int) -> str | None:
    """How the star at this token is written; None if it is not one."""
    before, text, after = texts[index - 1 : index + 2]
    if text == "table" and begins_query(texts, index):
        return "TABLE"
    # After DISTINCT ON (...) a star is followed by a comma or FROM; a product by its second factor.
    is_first = before in (",", ".", "select", "all", "distinct", "returning")
    return "*" if text == "*" and (is_first or (before == ")" and after in (",", "from", ""))) else None

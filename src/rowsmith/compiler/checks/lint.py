"""The rules about one query that the server has described: its mark, its columns, its number of rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rowsmith.compiler.analysis.cardinality import Cardinality
from rowsmith.compiler.analysis.description import Description
from rowsmith.compiler.analysis.nodes import Node
from rowsmith.compiler.checks.findings import Finding, Rule, Severity, at_position, at_query
from rowsmith.compiler.module.types import Types, UnsupportedError
from rowsmith.queries.lexer import Token, TokenKind, tokenize
from rowsmith.queries.query import Kind, Query

_ROWLESS = (Kind.SCRIPT, Kind.EXECUTEMANY)
_ONE_ROW = {Kind.ONE: "^", Kind.VALUE: "$", Kind.RETURNING: "<!"}
_ROWS = (Kind.MANY, Kind.ONE, Kind.RETURNING)
_SET_OPERATIONS = ("union", "intersect", "except")


def lint(description: Description, tree: Node | None, cardinality: Cardinality) -> Iterator[Finding]:
    """What the rules find in one query."""
    yield from mark(description)
    yield from duplicate_columns(description)
    yield from select_star(description.query)
    yield from many_rows(description, tree, cardinality)


def mark(description: Description) -> Iterator[Finding]:
    """A mark that what the statement returns does not fit: `queries.rows.check_shape` would refuse every result."""
    query, columns = description.query, len(description.columns)
    if query.kind in _ROWLESS:
        return
    if query.kind is Kind.AFFECTED:
        if columns:
            yield at_query(Rule.MARK, query, "is marked ! but returns rows", "Take no mark, ^, $ or <!")
    elif not columns:
        yield at_query(Rule.MARK, query, "returns no rows to read", "Mark it with !, or let it return what it wrote")
    elif query.kind is Kind.VALUE and columns > 1:
        yield at_query(Rule.MARK, query, f"is marked $ but returns {columns} columns", "Mark it with ^")


def duplicate_columns(description: Description) -> Iterator[Finding]:
    """Two columns of one name: a row has room for one."""
    query = description.query
    if query.kind not in _ROWS:
        return
    for name, count in Counter(column.name for column in description.columns).items():
        if count > 1:
            yield at_query(
                Rule.DUPLICATE_COLUMN,
                query,
                f"returns {count} columns named {name!r}",
                "Give each a name of its own: AS",
            )


def many_rows(description: Description, tree: Node | None, cardinality: Cardinality) -> Iterator[Finding]:
    """A query for one row that may find more: then its call raises. Without a tree nothing is said."""
    query = description.query
    if query.kind not in _ONE_ROW or tree is None or not description.columns or cardinality.at_most_one(tree):
        return
    found = at_query(
        Rule.MANY_ROWS,
        query,
        f"is marked {_ONE_ROW[query.kind]}, but nothing limits it to one row",
        "Compare all columns of a unique key with =, or end it with LIMIT 1; for a list, take the mark away",
    )
    yield replace(found, severity=Severity.WARNING)


def unknown_types(description: Description, types: Types) -> Iterator[Finding]:
    """Parameters and columns that have no Python type: never Any."""
    those = [("parameter", each) for each in description.parameters]
    those += [("column", each) for each in description.columns]
    for what, typed in those:
        try:
            (types.parameter if what == "parameter" else types.result)(typed)
        except UnsupportedError as error:
            message = f"the {what} {typed.name} is of the type {typed.pg_type}"
            inside = "" if str(error) == typed.pg_type else f" ({error})"
            yield at_query(
                Rule.UNKNOWN_TYPE,
                description.query,
                f"{message}{inside}, for which no Python type is known",
                f'Name one in pyproject.toml, such as [tool.rowsmith.types] "{error}" = "str", or cast it in the query',
            )


# --- SELECT * ---


@dataclass(frozen=True, slots=True)
class _Bracket:
    own: bool
    """Whether what is inside is a query of its own that gives rows of the result: `(SELECT ...) UNION (SELECT ...)`."""


def select_star(query: Query) -> Iterator[Finding]:
    """A `*` among the result's own columns: a migration that adds a column changes the row.

    That is a matter of how the query is written: in the tree the star is expanded already. So the tokens tell. A star
    that follows SELECT, a comma or a dot has nothing on its left that it could multiply; and it counts only outside of
    all brackets, for what a sub-query or count(*) does with its columns is not the row of the result.
    """
    if query.kind in _ROWLESS or query.kind is Kind.AFFECTED:
        return
    tokens = [token for token in tokenize(query.sql) if not token.blank]
    for index in _own(tokens):
        what = _star(tokens, index)
        if what is not None:
            yield at_position(
                Rule.SELECT_STAR,
                query,
                tokens[index].start,
                f"{what} takes whatever columns there are: the row changes with the table",
                "Name the columns",
            )


def _star(tokens: Sequence[Token], index: int) -> str | None:
    """How the star at this token is written; None where it is none."""
    token, before = tokens[index], tokens[index - 1] if index else None
    if _word(token) == "table" and _begins_query(tokens, index):
        return "TABLE"
    if token.text != "*" or token.kind is not TokenKind.SYMBOL or before is None:
        return None
    if before.text in (",", ".") or _word(before) in ("select", "all", "distinct", "returning"):
        return "*"
    # DISTINCT ON (...) * stands before a comma or FROM, where a product has its second factor.
    after = tokens[index + 1] if index + 1 < len(tokens) else None
    return "*" if before.text == ")" and (after is None or after.text == "," or _word(after) == "from") else None


def _own(tokens: Sequence[Token]) -> Iterator[int]:
    """The tokens outside of all brackets, but for those around a query that is a part of the result."""
    brackets: list[_Bracket] = []
    for index, token in enumerate(tokens):
        if token.kind is TokenKind.SYMBOL and token.text in "([":
            opens = token.text == "(" and all(bracket.own for bracket in brackets) and _begins_query(tokens, index)
            follows = _word(tokens[index + 1]) if index + 1 < len(tokens) else None
            inner = index + 1 < len(tokens) and tokens[index + 1].text == "("
            brackets.append(_Bracket(opens and (inner or follows in ("select", "with", "table", "values"))))
        elif token.kind is TokenKind.SYMBOL and token.text in ")]":
            if brackets:
                brackets.pop()
        elif all(bracket.own for bracket in brackets):
            yield index


def _begins_query(tokens: Sequence[Token], index: int) -> bool:
    """Whether a query may begin here: first of all, behind UNION, in brackets of its own, behind WITH (...)."""
    if index == 0 or tokens[index - 1].text in ("(", ")"):
        return True
    words = [_word(token) for token in tokens[max(0, index - 2) : index]]
    if words[-1] in ("all", "distinct"):
        words.pop()
    return bool(words) and words[-1] in _SET_OPERATIONS


def _word(token: Token) -> str | None:
    return token.text.lower() if token.kind is TokenKind.NAME else None

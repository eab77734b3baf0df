"""The rules about one query that the server has described: its mark, its columns, its number of rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rowsmith.compiler.analysis.cardinality import Cardinality
from rowsmith.compiler.analysis.description import Description
from rowsmith.compiler.checks.findings import at_position, at_query
from rowsmith.compiler.module.types import Types
from rowsmith.errors import UnknownTypeError
from rowsmith.findings import Finding, Rule, Severity
from rowsmith.queries.lexer import tokenize
from rowsmith.queries.marks import AT_MOST_ONE_ROW, MARKS, ROWS, Kind, misfit
from rowsmith.queries.query import Query

_QUERIES = ("select", "with", "table", "values", "(")
_SET_OPERATIONS = ("union", "intersect", "except")


def lint(description: Description, cardinality: Cardinality) -> Iterator[Finding]:
    """What the rules find in one query."""
    yield from mark(description)
    yield from duplicate_columns(description)
    yield from select_star(description.query)
    yield from many_rows(description, cardinality)


def mark(description: Description) -> Iterator[Finding]:
    """A mark that the statement does not fit: every call would raise."""
    if found := misfit(description.query.kind, len(description.columns)):
        yield at_query(Rule.MARK, description.query, f"the query {found.message}", found.hint)


def duplicate_columns(description: Description) -> Iterator[Finding]:
    """Two columns with the same name: a row has only one attribute for both."""
    query = description.query
    for name, count in Counter(column.name for column in description.columns).items():
        if count > 1 and query.kind in ROWS:
            message = f"the query returns {count} columns named {name!r}"
            yield at_query(Rule.DUPLICATE_COLUMN, query, message, "Give each its own name with AS")


def many_rows(description: Description, cardinality: Cardinality) -> Iterator[Finding]:
    """A query for one row that may find more, and then raises. Nothing is known without a tree."""
    query, tree = description.query, description.tree
    if query.kind in AT_MOST_ONE_ROW and tree is not None and description.columns and not cardinality.at_most_one(tree):
        message = f"the query is marked {MARKS[query.kind]}, but nothing limits it to one row"
        hint = "Compare every column of a unique key with =, or add LIMIT 1; for a list, remove the mark"
        yield at_query(Rule.MANY_ROWS, query, message, hint, Severity.WARNING)


def unknown_types(description: Description, types: Types) -> Iterator[Finding]:
    """Parameters and columns that have no Python type: they do not become Any."""
    for what, those, python_type in (
        ("parameter", description.parameters, types.parameter),
        ("column", description.columns, types.result),
    ):
        for each in those:
            try:
                python_type(each)
            except UnknownTypeError as error:
                inside = "" if error.pg_type == each.pg_type else f" (because of {error.pg_type})"
                message = f"no Python type is known for the {what} {each.name} of type {each.pg_type}{inside}"
                hint = f'Name one in pyproject.toml, as in [tool.rowsmith.types] "{error.pg_type}" = "str", or cast it'
                yield at_query(Rule.UNKNOWN_TYPE, description.query, message, hint)


# --- SELECT * ---


def select_star(query: Query) -> Iterator[Finding]:
    """A `*` among the columns of the result: a migration that adds a column to the table changes the row.

    The server's tree has the star expanded already, so the tokens have to tell. A star after SELECT, a comma or a dot
    has nothing on its left to multiply. It counts only outside of brackets: the columns of a sub-query or of count(*)
    are not those of the row.
    """
    if query.kind not in ROWS | {Kind.VALUE}:
        return
    tokens = [token for token in tokenize(query.sql) if not token.blank]
    texts = ["", *(token.text.lower() for token in tokens), ""]
    for index in _outer(texts):
        if (star := _star(texts, index)) is not None:
            message = f"{star} selects whatever columns the table has, so the row changes when the table does"
            yield at_position(Rule.SELECT_STAR, query, tokens[index - 1].start, message, "List the columns")


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

"""The rules about one query that the server has described: its mark, its columns, its number of rows."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from rowsmith.compiler.analysis.cardinality import Cardinality
from rowsmith.compiler.analysis.conditions import TRANSPARENT
from rowsmith.compiler.analysis.description import Description
from rowsmith.compiler.analysis.nodes import Node
from rowsmith.compiler.checks.findings import at_position, at_query
from rowsmith.compiler.checks.select_list import positions, stars
from rowsmith.compiler.module.types import Types
from rowsmith.errors import UnknownTypeError
from rowsmith.findings import Finding, Rule, Severity
from rowsmith.queries.clauses import order_by
from rowsmith.queries.lexer import Token, tokenize
from rowsmith.queries.marks import AT_MOST_ONE_ROW, MARKS, ROWS, Kind, misfit
from rowsmith.queries.query import Query
from rowsmith.queries.rows import NO_NAME


def lint(description: Description, cardinality: Cardinality) -> Iterator[Finding]:
    """What the rules find in one query."""
    yield from mark(description)
    yield from one_column(description)
    yield from column_names(description)
    yield from select_star(description.query)
    yield from many_rows(description, cardinality)
    constant = [*constant_order(description)]
    yield from constant or unstable_order(description)


def mark(description: Description) -> Iterator[Finding]:
    """A mark that the statement does not fit: every call would raise."""
    if found := misfit(description.query.kind, len(description.columns)):
        yield at_query(Rule.MARK, description.query, f"the query {found.message}", found.hint)


def one_column(description: Description) -> Iterator[Finding]:
    """A row of one column from `<!`: aiosql returns the value, and whoever comes from there expects it."""
    query = description.query
    if query.kind is Kind.RETURNING and len(description.columns) == 1 and query.record_class is None:
        (column,) = description.columns
        message = f"the query is marked <! and returns one column, so a call returns a row with {column.name} in it"
        yield at_query(Rule.ONE_COLUMN, query, message, "Mark it with $ for the value alone", Severity.WARNING)


def column_names(description: Description) -> Iterator[Finding]:
    """A column whose name a row cannot use, or that another column has: the row gives it another one."""
    query, columns = description.query, description.columns
    if query.kind not in ROWS or all(column.original is None for column in columns):
        return
    places = positions(query.sql, len(columns))
    for number, (column, place) in enumerate(zip(columns, places, strict=True), 1):
        if column.original is None:
            continue
        reason = f'is named "{column.original}", which is no name in Python'
        if column.original == NO_NAME:
            reason = "has no name"
        elif column.original in (first := [each.name for each in columns[:number]]):
            reason = f"is named {column.original}, as column {first.index(column.original) + 1} is"
        message = f"column {number} {reason}. In the row it is {column.name}"
        hint = f"Write AS {column.name}, or a name that says more"
        yield at_position(Rule.COLUMN_NAME, query, place, message, hint, severity=Severity.WARNING)


def constant_order(description: Description) -> Iterator[Finding]:
    """ORDER BY a parameter, which is a value, and not the name of a column. Nothing is known without a tree."""
    query, tree = description.query, description.tree
    for node in tree.walk() if tree is not None else ():
        keys = {each.integer("tleSortGroupRef") for each in node.nodes("sortClause")}
        for target in node.nodes("targetList") if keys else ():
            number = _parameter(target.node("expr"))
            if number and target.flag("resjunk") and target.integer("ressortgroupref") in keys:
                name = query.parameters[number - 1]
                message = f"ORDER BY :{name} sorts by a value that is the same for every row, and so by nothing"
                hint = "Write a line for each ordering, such as ORDER BY name -- order: name, and pass order_by"
                place = next((each.start for each in _sort_keys(query) if each.text == f"${number}"), None)
                yield at_position(Rule.CONSTANT_ORDER, query, place, message, hint)


def _parameter(expression: Node | None) -> int:
    """The number of the parameter that an expression is, cast or not; 0 if it is none."""
    while expression is not None and expression.tag in TRANSPARENT:
        expression = expression.node(TRANSPARENT[expression.tag])
    return expression.integer("paramid") if expression is not None and expression.tag == "PARAM" else 0


def _sort_keys(query: Query) -> Iterator[Token]:
    """The tokens after an ORDER BY."""
    tokens = [token for token in tokenize(query.sql) if not token.blank]
    words = [token.text.lower() for token in tokens]
    begins = [index for index, pair in enumerate(pairwise(words)) if pair == ("order", "by")]
    return iter(tokens[begins[0] :] if begins else ())


def many_rows(description: Description, cardinality: Cardinality) -> Iterator[Finding]:
    """A query for one row that may find more, and then raises. Nothing is known without a tree."""
    query, tree = description.query, description.tree
    if query.kind in AT_MOST_ONE_ROW and tree is not None and description.columns and not cardinality.at_most_one(tree):
        message = f"the query is marked {MARKS[query.kind]}, but nothing limits it to one row"
        hint = "Compare every column of a unique key with =, or add LIMIT 1; for a list, remove the mark"
        yield at_query(Rule.MANY_ROWS, query, message, hint, Severity.WARNING)


def unstable_order(description: Description) -> Iterator[Finding]:
    """An ORDER BY that leaves some rows in any order: two calls may differ, and a page could not say where it ends."""
    query, ordering = description.query, description.ordering
    if ordering is None or ordering.missing is None:
        return
    order = order_by(query.sql)
    message = "ORDER BY can leave two rows in any order, so they may change places, and the query has no pages"
    hint = f"Add {ordering.missing} at its end"
    yield at_position(
        Rule.UNSTABLE_ORDER, query, order.start if order else None, message, hint, severity=Severity.WARNING
    )


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


def select_star(query: Query) -> Iterator[Finding]:
    """A `*` among the columns of the result: a migration that adds a column to the table changes the row."""
    if query.kind in ROWS | {Kind.VALUE}:
        for position, star in stars(query.sql):
            message = f"{star} selects whatever columns the table has, so the row changes when the table does"
            yield at_position(Rule.SELECT_STAR, query, position, message, "List the columns")

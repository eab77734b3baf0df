"""The statement of a page: the rows of a query that come after the last one of the page before, by their sort keys.

    SELECT page.*, record_send(ROW(page."created_at", page."id")) FROM (
    SELECT id, email, created_at FROM users WHERE role = $1
    ) AS page
    WHERE (page."created_at", page."id") < ($2, $3)
    ORDER BY page."created_at" DESC, page."id" DESC LIMIT $4

PostgreSQL pulls the query up and reads an index from that row on, so the last page costs what the first one does.
record_send() gives the keys in the binary form of their types, in which every value is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self, TypeAlias

from rowsmith.queries.clauses import order_by, select_list_end

After: TypeAlias = tuple[bool, ...] | None
"""Of each sort key, whether it is NULL in the row that the page comes after; None for the first page."""


@dataclass(frozen=True, slots=True)
class SortKey:
    """What a query sorts by: a column of its result, or an expression that is none of them.

    Its text is `created_at desc`, `nick nulls last` or `(lower(name))`.
    """

    term: str
    """The name of the column; an expression is in parentheses. The query says what it is."""
    descending: bool = False
    nulls: Literal["first", "last"] | None = None
    """Where NULL comes; None for a key that is never NULL."""

    def __str__(self) -> str:
        nulls = f" nulls {self.nulls}" if self.nulls else ""
        return f"{self.term}{' desc' if self.descending else ''}{nulls}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The key of a text that `str` gives."""
        term, nulls = text, None
        for each in ("first", "last"):
            if term.endswith(suffix := f" nulls {each}"):
                term, nulls = term.removesuffix(suffix), each
        return cls(term.removesuffix(" desc"), term.endswith(" desc"), nulls)  # type: ignore[arg-type]

    @property
    def is_expression(self) -> bool:
        """Whether it is none of the columns of the result."""
        return self.term.startswith("(")


@dataclass(frozen=True, slots=True)
class PageStatement:
    """The text of a page's statement, and where the query itself is in it."""

    sql: str
    start: int
    """The offset at which the query begins."""
    values: int
    """How many values of sort keys it takes, after the query's parameters and before the number of rows."""


def page_statement(sql: str, parameters: int, keys: Sequence[SortKey], after: After) -> PageStatement:
    """The statement of a page of a query with so many parameters."""
    names = [f'page."{_quoted(_name(key, number))}"' for number, key in enumerate(keys, 1)]
    values, number = list[str | None](), parameters
    for null in after or ():
        number += not null
        values.append(None if null else f"${number}")
    head = f"SELECT page.*, record_send(ROW({', '.join(names)})) FROM (\n"  # noqa: S608 - of the query itself
    where = f"\nWHERE {_condition(keys, names, values)}" if after is not None else ""
    order = ", ".join(f"{name}{_direction(key)}" for key, name in zip(keys, names, strict=True))
    tail = f"\n) AS page{where}\nORDER BY {order} LIMIT ${number + 1}"
    return PageStatement(f"{head}{_unordered(sql, keys)}{tail}", len(head), number - parameters)


def _unordered(sql: str, keys: Sequence[SortKey]) -> str:
    """The query without its ORDER BY, and with the expressions among its sort keys as columns at the end."""
    order, end = order_by(sql), select_list_end(sql)
    if order is None:
        return sql
    body = sql[: order.start]
    added = "".join(
        f', ({expression}) AS "{_name(key, number)}"'
        for number, (key, expression) in enumerate(zip(keys, order.expressions, strict=True), 1)
        if key.is_expression
    )
    return f"{body[:end]}{added}{body[end:]}" if added and end is not None else body


def _name(key: SortKey, number: int) -> str:
    return f"sort key {number}" if key.is_expression else key.term


def _quoted(name: str) -> str:
    return name.replace('"', '""')


def _direction(key: SortKey) -> str:
    return f"{' DESC' if key.descending else ''}{f' NULLS {key.nulls.upper()}' if key.nulls else ''}"


def _condition(keys: Sequence[SortKey], names: Sequence[str], values: Sequence[str | None]) -> str:
    """What is true of the rows after the one with these values, None for NULL."""
    directions = {key.descending for key in keys}
    if len(directions) == 1 and not any(key.nulls for key in keys):
        return f"({', '.join(names)}) {_beyond_sign(keys[0])} ({', '.join(map(str, values))})"
    condition = ""
    for key, name, value in reversed([*zip(keys, names, values, strict=True)]):
        beyond, equal = _beyond(key, name, value), f"{name} = {value}" if value else f"{name} IS NULL"
        cases = [beyond, f"{equal} AND {condition}" if condition else ""]
        condition = f"({' OR '.join(filter(None, cases))})" if any(cases) else "false"
    key, name, value = keys[0], names[0], values[0]
    # It follows from the rest, and is what an index can begin at.
    bound = f"{name} {_beyond_sign(key)}= {value} AND " if value and key.nulls != "last" else ""
    return f"{bound}{condition}"


def _beyond(key: SortKey, name: str, value: str | None) -> str:
    """The condition that a key comes after a value; empty if none can."""
    if value is None:
        return f"{name} IS NOT NULL" if key.nulls == "first" else ""
    compared = f"{name} {_beyond_sign(key)} {value}"
    return f"{compared} OR {name} IS NULL" if key.nulls == "last" else compared


def _beyond_sign(key: SortKey) -> str:
    return "<" if key.descending else ">"

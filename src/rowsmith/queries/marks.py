"""Marks: what the sign after a query's name promises, and whether a result keeps the promise."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """What a call of a query returns, by aiosql's mark after its name."""

    MANY = "many"
    """no mark: a list of rows"""
    ONE = "one"
    """`^`: one row, or None"""
    VALUE = "value"
    """`$`: one value, None if there is no row"""
    AFFECTED = "affected"
    """`!`: the number of affected rows"""
    RETURNING = "returning"
    """`<!`: the row that RETURNING gives, or None"""
    EXECUTEMANY = "executemany"
    """`*!`: the number of rows affected by all sets of parameters together"""
    SCRIPT = "script"
    """`#`: nothing; several statements, no parameters"""


MARKS = {
    Kind.MANY: "",
    Kind.ONE: "^",
    Kind.VALUE: "$",
    Kind.AFFECTED: "!",
    Kind.RETURNING: "<!",
    Kind.EXECUTEMANY: "*!",
    Kind.SCRIPT: "#",
}
ROWS = frozenset({Kind.MANY, Kind.ONE, Kind.RETURNING})
"""A call returns whole rows."""
AT_MOST_ONE_ROW = frozenset({Kind.ONE, Kind.VALUE, Kind.RETURNING})
"""A call returns one row, or a value of it."""


class Misfit(NamedTuple):
    """Why a statement does not fit its mark: the rest of a sentence about the query, and what to do."""

    message: str
    hint: str


def misfit(kind: Kind, columns: int) -> Misfit | None:
    """Why a statement whose result has so many columns does not fit; None if it does.

    `columns` is 0 for a statement that returns no rows.
    """
    if kind is Kind.AFFECTED and columns:
        return Misfit("is marked ! but returns rows", "Remove the mark, or use ^, $ or <!")
    if kind in ROWS | {Kind.VALUE} and not columns:
        return Misfit("returns no rows", "Mark it with !, or add RETURNING")
    if kind is Kind.VALUE and columns > 1:
        return Misfit(f"is marked $ but returns {columns} columns", "Mark it with ^")
    return None

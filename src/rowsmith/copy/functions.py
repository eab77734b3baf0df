"""Functions that are written for the columns of one COPY.

psycopg writes a value in some 20 ns; whatever is called for each value takes longer than that. So what is to be done
with every value is one expression, written for the columns as the standard library's `dataclasses` writes its methods.
It is made of the numbers of columns, of identifiers, and of the conditions in this package.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from types import CodeType
from typing import Any


def function(source: str, **names: object) -> Any:
    """The function that a `lambda` is the source of; `names` are its globals."""
    return eval(_code(source), names)  # noqa: S307 - see above


@lru_cache(maxsize=512)
def _code(source: str) -> CodeType:
    return compile(source, "<a function of a COPY>", "eval")


def any_of(conditions: Iterable[tuple[int, str]]) -> str:
    """The expression for whether a `row` has a `value` for which the condition of its column holds."""
    return " or ".join(f"({condition.replace('value', f'row[{index}]')})" for index, condition in conditions) or "False"

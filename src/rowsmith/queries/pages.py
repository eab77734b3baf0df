"""Pages: the rows of a query a few at a time, each from where the one before ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from rowsmith.queries.keyset import After, SortKey, page_statement
from rowsmith.queries.page_tokens import decode, encode, identity, refused
from rowsmith.queries.query import Query
from rowsmith.queries.rows import Rows
from rowsmith.queries.statement import BoundQuery
from rowsmith.values.codecs import Context
from rowsmith.values.constructors import Constructor, Values

Row_co = TypeVar("Row_co", covariant=True)
Chosen = tuple[BoundQuery, Sequence[Any]]
"""The form of a call, and the values of its parameters."""
PARAMETERS = ("size", "after")
"""What a call for a page takes besides the connection and the query's own parameters."""


@dataclass(frozen=True, slots=True)
class Page(Generic[Row_co]):
    """Some rows of a query, and where those after them begin. Iterating over it gives the rows."""

    rows: Sequence[Row_co]
    next: str | None
    """What `after` takes to get the next page: an opaque string, safe in a URL. None on the last page."""
    has_more: bool
    """Whether there is a next page."""

    def __iter__(self) -> Iterator[Row_co]:
        return iter(self.rows)


class Fetched:
    """The rows of a page and one more, if there is one, and the sort keys of each."""

    def __init__(self, rows: list[Any], keys: list[bytes]) -> None:
        self.rows = rows
        self.keys = keys


class Pager:
    """Makes pages of a query: their statements, one for each combination of sort keys that are NULL, and tokens."""

    def __init__(self, query: Query, orderings: Sequence[Sequence[SortKey]], digest: str) -> None:
        self.query = query
        self._orderings = [tuple(keys) for keys in orderings]
        self._identities = [
            identity(query.qualified_name, digest, number, *map(str, keys)) for number, keys in enumerate(orderings)
        ]
        self._statements: dict[tuple[BoundQuery, After], BoundQuery] = {}

    def begin(self, bound: BoundQuery, size: int, after: str | None) -> tuple[BoundQuery, list[Any]]:
        """The statement of a page of a form of the query, and the values that it takes after those of the form.

        Raises ValueError for a size below 1, and PageTokenError.
        """
        name, ordering = self.query.qualified_name, bound.query.ordering
        if isinstance(size, bool) or not isinstance(size, int):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"{name}: the size of a page is a number of rows, not {type(size).__name__}")
        if not 1 <= size < _MOST:
            raise ValueError(f"{name}: a page has at least 1 row, not {size}")
        if after is None:
            return self._statement(bound, None), [size + 1]
        values, keys = decode(after, self._identities[ordering], name), self._orderings[ordering]
        nulls = tuple(value is None for value in values)
        if len(nulls) != len(keys) or any(null and not key.nulls for null, key in zip(nulls, keys, strict=True)):
            raise refused(name)
        return self._statement(bound, nulls), [*(value for value in values if value is not None), size + 1]

    def page(self, bound: BoundQuery, fetched: Fetched, size: int) -> Page[Any]:
        """The page of what its statement has returned."""
        more = len(fetched.rows) > size
        token = encode(self._identities[bound.query.ordering], fetched.keys[size - 1]) if more else None
        return Page(fetched.rows[:size], token, more)

    def _statement(self, bound: BoundQuery, after: After) -> BoundQuery:
        found = self._statements.get((bound, after))
        return found or self._statements.setdefault((bound, after), self._bind(bound, after))

    def _bind(self, bound: BoundQuery, after: After) -> BoundQuery:
        query, keys = bound.query, self._orderings[bound.query.ordering]
        count, added = len(query.parameters), sum(key.is_expression for key in keys)
        page = page_statement(query.sql, count, keys, after)
        shifts = tuple((offset + page.start, place) for offset, place in ((0, 0), *query.source.shifts))
        statement = bound.of(_with(query, page.sql, shifts))
        statement.rows = _page_rows(bound.rows, added + 1)
        statement.unread = added
        statement.sent_back = range(count, count + page.values)
        return statement


_MOST = 2**31


def _with(query: Query, sql: str, shifts: tuple[tuple[int, int], ...]) -> Query:
    return replace(query, sql=sql, source=replace(query.source, shifts=shifts))


def _page_rows(rows: Rows, added: int) -> Rows:
    """The rows of a page, without the columns that were added to it."""

    def make(names: tuple[str, ...], context: Context) -> Constructor:
        constructor = rows(names[:-added], context)

        def fetched(tuples: Iterable[Values]) -> Any:
            found = [*tuples]
            return Fetched(constructor.rows([each[:-added] for each in found]), [bytes(each[-1]) for each in found])

        return Constructor(constructor.row, fetched)

    return make

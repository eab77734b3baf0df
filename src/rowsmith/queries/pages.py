"""Pages: the rows of a query a few at a time, each from where the one before ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from copy import copy
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

    def __init__(self, bound: BoundQuery, keys: Sequence[SortKey], digest: str) -> None:
        self.query = bound.query
        self._bound = bound
        self._keys = tuple(keys)
        self._identity = identity(bound.query.qualified_name, digest, *map(str, keys))
        self._forms: dict[After, BoundQuery] = {}

    def begin(self, size: int, after: str | None) -> tuple[BoundQuery, list[Any]]:
        """The query of a page, and the values that it takes after its own parameters.

        Raises ValueError for a size below 1, and PageTokenError.
        """
        name = self.query.qualified_name
        if isinstance(size, bool) or not isinstance(size, int):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"{name}: the size of a page is a number of rows, not {type(size).__name__}")
        if not 1 <= size < _MOST:
            raise ValueError(f"{name}: a page has at least 1 row, not {size}")
        if after is None:
            return self._form(None), [size + 1]
        values = decode(after, self._identity, name)
        nulls = tuple(value is None for value in values)
        if len(nulls) != len(self._keys) or any(
            null and not key.nulls for null, key in zip(nulls, self._keys, strict=True)
        ):
            raise refused(name)
        return self._form(nulls), [*(value for value in values if value is not None), size + 1]

    def page(self, fetched: Fetched, size: int) -> Page[Any]:
        """The page of what its query has returned."""
        more = len(fetched.rows) > size
        token = encode(self._identity, fetched.keys[size - 1]) if more else None
        return Page(fetched.rows[:size], token, more)

    def _form(self, after: After) -> BoundQuery:
        form = self._forms.get(after)
        return form or self._forms.setdefault(after, self._bind(after))

    def _bind(self, after: After) -> BoundQuery:
        query, count = self.query, len(self.query.parameters)
        added = sum(key.is_expression for key in self._keys)
        page = page_statement(query.sql, count, self._keys, after)
        shifts = tuple((offset + page.start, place) for offset, place in ((0, 0), *query.source.shifts))
        form = copy(self._bound)
        form.query = _with(query, page.sql, shifts)
        form.rows = _page_rows(self._bound.rows, added + 1)
        form.unread = added
        form.sent_back = range(count, count + page.values)
        return form


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

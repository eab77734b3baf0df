"""A query as a value: what its file says about it, and where its SQL is in the file."""

from __future__ import annotations

import inspect
import keyword
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from rowsmith.findings import display_path
from rowsmith.queries.forms import Forms
from rowsmith.queries.marks import Kind


def is_python_name(text: str) -> bool:
    """Whether Python reads the text as a name, and as this one: it normalizes names (PEP 3131)."""
    return text.isidentifier() and not keyword.iskeyword(text) and unicodedata.is_normalized("NFKC", text)


@dataclass(frozen=True)
class Query:
    """One named query of a query file."""

    name: str
    namespace: tuple[str, ...]
    """The sub-folders that it is in, or the component and its sub-folders."""
    kind: Kind
    parameters: tuple[str, ...]
    """In the order of declaration: the first one is `$1` in `sql`."""
    sql: str
    """The statement that is sent to PostgreSQL, with `$1`, `$2`, ... for the parameters.

    Of a query with optional lines, the form with every switch on and the default ordering.
    """
    doc: str
    record_class: str | None
    file: Path
    line: int
    """The line of `-- name:` in `file`, from 1."""
    source: Source
    nullable: frozenset[str] = frozenset()
    """The parameters that the name line marks with `?`: they may be None, whatever PostgreSQL's analysis says."""
    forms: Forms | None = field(default=None, compare=False)
    """All forms of a query with optional lines or orderings."""
    title: str = ""
    """Which form of the query this is: `with role, without since`. Empty if it has one alone."""
    not_none: frozenset[str] = frozenset()
    """The parameters that are never None in this form: lines of it depend on that."""
    ordering: int = 0
    """The number of this form's ordering."""

    nested_classes: tuple[tuple[str, str], ...] = ()
    """The classes of rows in columns, by the columns: `-- record_class: tags = Tag`."""

    types: Mapping[str, str] = field(default_factory=dict[str, str], compare=False)
    """The types that `sql` states for parameters, because PostgreSQL does not determine them (`inference`)."""

    @property
    def qualified_name(self) -> str:
        """The name with its namespace: `posts.list_posts`."""
        return ".".join((*self.namespace, self.name))

    @property
    def location(self) -> str:
        """`file:line`; the file is relative to the working folder if it is below it."""
        return f"{display_path(self.file)}:{self.line}"

    @cached_property
    def statement(self) -> bytes:
        """`sql` as bytes: psycopg accepts a statement that is not a literal in this form."""
        return self.sql.encode()

    def encoded(self, encoding: str) -> bytes:
        """`statement`, for a connection of this encoding."""
        return self.statement if encoding in ("utf-8", "ascii") else self.sql.encode(encoding)

    @property
    def arguments(self) -> Mapping[str, Any]:
        """What a call passes by keyword, with the defaults; `Parameter.empty` for what it has to pass."""
        return dict.fromkeys(self.parameters, inspect.Parameter.empty) if self.forms is None else self.forms.arguments

    @property
    def signature(self) -> inspect.Signature:
        """`(conn, /, *, email)`; a `*!` query takes its sets of parameters as `(conn, sets, /)`."""
        positional, by_keyword = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.KEYWORD_ONLY
        # The connection is positional, so a parameter of the query may have the same name.
        parameters = [inspect.Parameter("conn" if "conn" not in self.arguments else "conn_", positional)]
        if self.kind is Kind.EXECUTEMANY:
            parameters.append(inspect.Parameter("sets", positional))
        else:
            parameters += [
                inspect.Parameter(name, by_keyword, default=default) for name, default in self.arguments.items()
            ]
        return inspect.Signature(parameters)

    def form(self, number: int) -> Query:
        """One of the forms of the query, as a query. Raises ValueError if it has one alone."""
        if self.forms is None:
            raise ValueError(f"{self.qualified_name} has no forms")
        parameters, composed = self.forms.statement(number)
        not_none = self.forms.not_none(number)
        return replace(
            self,
            parameters=parameters,
            sql=composed.sql,
            source=replace(self.source, shifts=composed.shifts),
            nullable=(self.nullable | self.forms.not_none(self.forms.all_on)) - not_none,
            title=self.forms.title(number),
            not_none=not_none,
            ordering=self.forms.ordering(number),
        )


@dataclass(frozen=True, slots=True)
class Source:
    """The SQL of a query as it is in its file, to find the line and column of an error."""

    text: str
    line: int
    """The line in the file where `text` begins, from 1."""
    column: int
    """The column in that line, from 0."""
    shifts: tuple[tuple[int, int], ...]
    """Where `$n` replaces `:name`: (offset in the statement, offset in `text`), ascending."""

    def place(self, position: int) -> tuple[int, str, int]:
        """The line in the file, the text of the line, and the column from 0, of a 0-based offset in the statement."""
        text, offset = self.text, self.offset(position)
        number, begin, end = text.count("\n", 0, offset), text.rfind("\n", 0, offset) + 1, text.find("\n", offset)
        indent = self.column if number == 0 else 0
        line = text[begin : end if end >= 0 else len(text)].rstrip()
        return self.line + number, " " * indent + line, offset - begin + indent

    def offset(self, position: int) -> int:
        """The offset in `text` of a 0-based offset in the statement."""
        index = bisect_right(self.shifts, (position, len(self.text))) - 1
        if index < 0:
            return min(position, len(self.text))
        in_statement, in_text = self.shifts[index]
        return min(in_text + position - in_statement, len(self.text))


class QueryFunction(Protocol):
    """A query that can be called: `queries.get_user(conn, id=...)`."""

    __name__: str
    __signature__: inspect.Signature
    query: Query
    sql: str

    @property
    def __call__(self) -> Callable[..., Any]: ...

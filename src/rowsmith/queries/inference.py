"""The types of parameters that PostgreSQL does not determine by itself: `:role IS NULL OR role = :role`.

The server analyzes a statement from left to right. `$1 IS NULL` says nothing about a type, so it refuses the statement,
although it learns the type a moment later. Here each such use is replaced by NULL, and the server says which type the
parameter has in its other uses. The statement is then sent with this type written out, if the server accepts that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg
from psycopg import generators

from rowsmith.queries.lexer import TokenKind, tokenize
from rowsmith.queries.query import Query
from rowsmith.wire.protocol import succeeded, try_to_prepare

if TYPE_CHECKING:
    from psycopg.abc import PQGen
    from psycopg.pq.abc import PGconn

_PLACEHOLDER = re.compile(r"\$(\d+)")


def infer_types(pgconn: PGconn, query: Query, encoding: str) -> PQGen[Query | None]:
    """The query with the types that make the server accept it, after it has refused it.

    For a connection's `wait()`. None if it refuses the query for another reason, or if the other uses of a parameter do
    not agree. An open transaction stays usable.
    """
    blanked, numbers = query.sql, set[int]()
    try:
        while True:
            try:
                description = yield from try_to_prepare(pgconn, b"", blanked.encode(encoding))
                break
            except psycopg.errors.AmbiguousParameter as error:
                use = _PLACEHOLDER.match(blanked, int(error.diag.statement_position or 0) - 1)
                if use is None:
                    return None
                numbers.add(int(use[1]) - 1)
                blanked = f"{blanked[: use.start()]}NULL{blanked[use.end() :]}"
        if not numbers:
            return None
        names = yield from _type_names(pgconn, [description.param_type(number) for number in sorted(numbers)])
        found = with_types(
            query, {query.parameters[number]: name for number, name in zip(sorted(numbers), names, strict=True)}
        )
        yield from try_to_prepare(pgconn, b"", found.encoded(encoding))
    except psycopg.Error:
        return None
    return found


def repeats_a_parameter(query: Query) -> bool:
    """Whether a parameter occurs twice, without which the server determines its type or nothing does."""
    return sum(token.kind is TokenKind.POSITIONAL for token in tokenize(query.sql)) > len(query.parameters)


def with_types(query: Query, types: Mapping[str, str]) -> Query:
    """A query whose statement states the types of some parameters, `($1::text)`, wherever it uses them."""
    if not types:
        return query
    sql, shifts, shift = "", list[tuple[int, int]](), 0
    for token in tokenize(query.sql):
        in_file = query.source.offset(token.start)
        if in_file - len(sql) != shift:
            shift = in_file - len(sql)
            shifts.append((len(sql), in_file))
        name = query.parameters[int(token.text[1:]) - 1] if token.kind is TokenKind.POSITIONAL else ""
        sql += f"({token.text}::{types[name]})" if name in types else token.text
    source = replace(query.source, shifts=tuple(shifts))
    return replace(query, sql=sql, source=source, types={**query.types, **types})


def form_of(query: Query, number: int) -> Query:
    """One of the forms of a query, with the types that the query states."""
    form = query.form(number)
    return with_types(form, {name: type_ for name, type_ in query.types.items() if name in form.parameters})


def _type_names(pgconn: PGconn, oids: Iterable[int]) -> PQGen[list[str]]:
    pgconn.send_query(b"SELECT " + b", ".join(b"format_type(%d, NULL)" % oid for oid in oids))
    result = succeeded(pgconn, (yield from generators.execute(pgconn)))
    return [(result.get_value(0, index) or b"").decode() for index in range(result.nfields)]

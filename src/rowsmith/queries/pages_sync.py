# Generated from pages_async.py by tools/async_to_sync.py: change that file, then run `make format`.
"""A page of a query's rows, and all of its pages."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import psycopg
from psycopg import Connection

from rowsmith.queries.execution_sync import execute_sync
from rowsmith.queries.page_tokens import refused
from rowsmith.queries.pages import Chosen, Page, Pager

# What the server says of bytes that are no value of their type, and of a type that does not exist or cannot be compared
# with the key.
_NOT_OF_ITS_TYPE = (
    psycopg.errors.InvalidBinaryRepresentation,
    psycopg.errors.ProtocolViolation,
    psycopg.errors.CharacterNotInRepertoire,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.InternalError_,
)


def page_sync(pager: Pager, chosen: Chosen, conn: Connection[Any], size: int, after: str | None) -> Page[Any]:
    """One page. Raises what a call of the query raises, PageTokenError, and ValueError for a size below 1."""
    bound, values = chosen
    statement, added = pager.begin(bound, size, after)
    try:
        fetched = execute_sync(statement, conn, [*values, *added])
    except _NOT_OF_ITS_TYPE as error:
        if after is None:
            raise
        raise refused(pager.query.qualified_name) from error
    return pager.page(bound, fetched, size)


def pages_sync(
    pager: Pager, chosen: Chosen, conn: Connection[Any], size: int, after: str | None
) -> Generator[Page[Any]]:
    """All pages, from the one after a token on. Each is a statement of its own."""
    page = page_sync(pager, chosen, conn, size, after)
    yield page
    while page.next is not None:
        page = page_sync(pager, chosen, conn, size, page.next)
        yield page

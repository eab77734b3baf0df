"""A page of a query's rows, and all of its pages."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import psycopg
from psycopg import AsyncConnection

from rowsmith.queries.execution_async import execute_async
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


async def page_async(
    pager: Pager, chosen: Chosen, conn: AsyncConnection[Any], size: int, after: str | None
) -> Page[Any]:
    """One page. Raises what a call of the query raises, PageTokenError, and ValueError for a size below 1."""
    bound, values = chosen
    statement, added = pager.begin(bound, size, after)
    try:
        fetched = await execute_async(statement, conn, [*values, *added])
    except _NOT_OF_ITS_TYPE as error:
        if after is None:
            raise
        raise refused(pager.query.qualified_name) from error
    return pager.page(bound, fetched, size)


async def pages_async(
    pager: Pager, chosen: Chosen, conn: AsyncConnection[Any], size: int, after: str | None
) -> AsyncGenerator[Page[Any]]:
    """All pages, from the one after a token on. Each is a statement of its own."""
    page = await page_async(pager, chosen, conn, size, after)
    yield page
    while page.next is not None:
        page = await page_async(pager, chosen, conn, size, page.next)
        yield page

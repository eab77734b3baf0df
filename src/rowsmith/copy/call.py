"""`copy_rows`, for both kinds of connection."""

from __future__ import annotations

from collections.abc import AsyncIterable, Coroutine, Iterable
from typing import Any, overload

from psycopg import AsyncConnection, Connection

from rowsmith.copy.transfer_async import copy_rows_async
from rowsmith.copy.transfer_sync import copy_rows_sync


@overload
def copy_rows(
    conn: Connection[Any], table: str, rows: Iterable[Any], *, columns: Iterable[str] | None = None
) -> int: ...
@overload
def copy_rows(
    conn: AsyncConnection[Any],
    table: str,
    rows: Iterable[Any] | AsyncIterable[Any],
    *,
    columns: Iterable[str] | None = None,
) -> Coroutine[Any, Any, int]: ...
def copy_rows(conn: object, table: str, rows: Any, *, columns: Iterable[str] | None = None) -> Any:
    """Write rows into a table by COPY; how many were written. With an AsyncConnection it is to be awaited.

    `table` is a name as SQL would have it: `users`, `app.users`, `"Users"`. A row is a sequence, a mapping, a named
    tuple, a dataclass or a pydantic model. `columns` are the names of the columns to be written. Without it they are
    the fields of the first row, or for sequences without names, all columns but those that PostgreSQL always generates.

    A value is of the class by which psycopg reads the column's type; for `json` and `jsonb` it is anything that JSON
    can hold, pydantic models and dataclasses included. Texts for columns of other types, as from a CSV file, are read
    by PostgreSQL if there are some among the first 64 rows. Dumpers registered on the connection are used.

    All rows are written or none. Rows are taken as they are sent, so that there may be more than memory can hold; while
    they come, the connection is in use, and they cannot be read from it.

    Raises ValueError for a table, a column or a field that is not there, and for a row or a value that does not fit;
    TypeError for one of a wrong type; what `rows` raises; and what psycopg raises, with a note. A transaction in which
    COPY failed has to be rolled back.
    """
    if isinstance(columns, str):
        raise TypeError("copy_rows(): columns is an iterable of names, not one name")
    names = None if columns is None else tuple(columns)
    # isinstance() cannot tell pyright the row type of the connection; it is of no importance here.
    if isinstance(conn, Connection):
        return copy_rows_sync(conn, table, rows, names)  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(conn, AsyncConnection):
        return copy_rows_async(conn, table, rows, names)  # pyright: ignore[reportUnknownArgumentType]
    raise TypeError(
        f"copy_rows() takes a psycopg Connection or AsyncConnection first, not {type(conn).__name__}. "
        "Get one from `with transaction() as conn:` or `with connection() as conn:`"
    )

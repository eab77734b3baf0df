"""`copy_rows`, for both kinds of connection."""

from __future__ import annotations

from collections.abc import AsyncIterable, Coroutine, Iterable, Mapping
from typing import Any, cast, overload

from psycopg import AsyncConnection, Connection

from rowsmith.copy.records import is_model
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
    """Write rows into a table by COPY, and return how many. With an AsyncConnection, await the call.

    `table` is a name as in SQL: `users`, `app.users`, `"Users"`. A row is a sequence, a mapping, a named tuple, a
    dataclass or a pydantic model. `columns` are the names of the columns to write. Without it, they are the fields of
    the first row, or, for sequences without names, all columns except those that PostgreSQL always generates.

    A value is of the class as which psycopg reads the column's type. For `json` and `jsonb` it is anything that JSON
    can hold, pydantic models and dataclasses included. If there is a str for a column of another type among the first
    64 rows, as from a CSV file, PostgreSQL reads such texts. Dumpers registered on the connection are used.

    Either all rows are written or none. They are sent as they come, so there may be more than fit in memory. Meanwhile
    the connection is busy: rows cannot be read from it.

    Raises ValueError for a table, a column or a field that does not exist, and for a row or a value that does not fit;
    TypeError for a value of a wrong class; what `rows` raises; and psycopg's errors, with a note. After an error, the
    transaction has to be rolled back.
    """
    if isinstance(columns, str):
        raise TypeError(f"copy_rows() expects an iterable of column names, found the single name {columns!r}")
    if isinstance(rows, (str, bytes, Mapping)) or is_model(rows):
        kind = type(cast("object", rows)).__qualname__
        raise TypeError(f"copy_rows() expects an iterable of rows, found a single {kind}")
    names = None if columns is None else tuple(columns)
    # After isinstance(), pyright does not know the row type of the connection, which does not matter here.
    if isinstance(conn, Connection):
        return copy_rows_sync(conn, table, rows, names)  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(conn, AsyncConnection):
        return copy_rows_async(conn, table, rows, names)  # pyright: ignore[reportUnknownArgumentType]
    raise TypeError(
        f"copy_rows() expects a psycopg Connection or AsyncConnection first, found {type(conn).__name__}. "
        "Get one from `with transaction() as conn:` or `with connection() as conn:`"
    )

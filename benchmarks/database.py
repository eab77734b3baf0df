"""The benchmark's database: on a temporary embedded server, with blueprint's schema and the data of `data`."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.sql import SQL, Identifier

from benchmarks import data
from rowsmith import Settings, migrations
from rowsmith.server.embedded import temporary_server
from rowsmith.server.programs import find_binaries
from rowsmith.server.scratch import create_database

_MIGRATIONS = Path(__file__).parent.parent / "migrations"
_OPTIONS = {
    "max_connections": "200",  # every contender keeps a pool
    "timezone": "UTC",
    "shared_buffers": "512MB",  # so that every page stays in memory
    "autovacuum": "off",  # it would use one of the cores now and then; workloads that write clean up after themselves
    "jit": "off",
}


@contextmanager
def filled_database() -> Generator[str]:
    """The URL of a filled database, on a server that is removed at the end of the block."""
    with temporary_server(find_binaries(), options=_OPTIONS) as server:
        url = create_database(server.url(), "benchmark")
        migrations.apply(Settings(database_url=url, migration_database_url=url, _env_file=None), [_MIGRATIONS])
        with psycopg.connect(url, autocommit=True) as conn:
            _fill(conn)
        yield url


def _fill(conn: psycopg.Connection) -> None:
    names = SQL(", ").join(map(Identifier, [*data.USER_FIELDS, "password_hash"]))
    with conn.cursor() as cursor, cursor.copy(SQL("COPY users ({}) FROM STDIN").format(names)) as copy:
        for user in data.users():
            copy.write_row((*user, data.PASSWORD_HASH))
    with (
        conn.cursor() as cursor,
        cursor.copy("COPY api_keys (id, name, rate_limit, created_at, user_id, key_hash) FROM STDIN") as copy,
    ):
        for parent in range(1, data.PARENTS + 1):
            for values in data.api_keys(parent):
                copy.write_row((*values, data.key(parent), f"{values[0]}".rjust(64, "0")))
    conn.execute("VACUUM (ANALYZE) users, api_keys")

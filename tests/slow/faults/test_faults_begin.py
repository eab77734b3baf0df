"""A transaction that does not begin, and one whose id the server does not tell."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

import rowsmith.pool.connection_sync
import rowsmith.transactions.options
from rowsmith import load_queries
from rowsmith.errors import CommitUnknownError
from rowsmith.server.scratch import create_database, drop_database
from rowsmith.transactions.options import TransactionOptions
from rowsmith.wire.connection_sync import Wire
from rowsmith.wire.protocol import Begin
from tests.harness.drivers import Driver, Observer, both_worlds, small, sql
from tests.harness.network import Proxy

QUERIES = """
-- name: add_item(n)!
INSERT INTO items VALUES (:n::int);

-- name: add_untyped(n)!
INSERT INTO items SELECT :n;

-- name: count_items()$
SELECT count(*) FROM items;
"""


@pytest.fixture
def observer(server_url: str) -> Iterator[Observer]:
    url = create_database(server_url, f"faults_{time.monotonic_ns()}")
    with closing(Observer(url)) as observer:
        yield observer
    drop_database(url, server_url)


@pytest.fixture
def queries(tmp_path: Path) -> Any:
    (tmp_path / "items.sql").write_text(QUERIES)
    return load_queries(tmp_path)


async def call(query: Any, conn: Any, **parameters: object) -> Any:
    result = query(conn, **parameters)
    return await result if hasattr(result, "__await__") else result


def refused() -> TransactionOptions:
    """With a BEGIN that the server refuses, as one that is cancelled at the wrong moment is."""
    options = TransactionOptions()
    vars(options)["begin"] = Begin(b"BEGIN NONSENSE")  # where the cached property keeps it
    return options


@both_worlds
@pytest.mark.parametrize("prepared", [False, True])
def test_nothing_runs_on_its_own_where_a_transaction_did_not_begin(
    driver: type[Driver], observer: Observer, queries: Any, monkeypatch: pytest.MonkeyPatch, *, prepared: bool
) -> None:
    here = driver(small(observer.url, max_connections=1))

    async def body() -> None:
        if prepared:
            async with here.transaction() as conn:
                for n, query in enumerate([queries.add_item, queries.add_untyped]):
                    await call(query, conn, n=n)
                await call(queries.count_items, conn)
            observer.do("TRUNCATE items")
        monkeypatch.setattr(rowsmith.transactions.options, "PLAIN", refused())
        for query in (queries.add_item, queries.add_untyped):
            async with here.transaction() as conn:
                for n in (1, 2):
                    with pytest.raises(psycopg.errors.SyntaxError):
                        await call(query, conn, n=n)
                with pytest.raises(psycopg.errors.SyntaxError):
                    await sql(conn, "INSERT INTO items VALUES (3)")
        assert observer.stored() == []
        monkeypatch.undo()
        async with here.transaction() as conn:
            await call(queries.add_item, conn, n=4)
        assert observer.stored() == [4]

    here.drive(body)


def test_nothing_runs_on_its_own_where_ctrl_c_came_before_begin(
    observer: Observer, queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who catches it inside the block goes on in the transaction."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with small(observer.url, max_connections=1) as db:
        with db.transaction() as conn:
            queries.add_item(conn, n=1)
        for place, name in ((Wire, "execute_in_transaction"), (rowsmith.pool.connection_sync, "begin")):
            for query in (queries.add_item, queries.add_untyped):
                with suppress(ZeroDivisionError), db.transaction() as conn:
                    monkeypatch.setattr(place, name, interrupted)
                    with suppress(KeyboardInterrupt):  # of the two places a query meets one
                        query(conn, n=2)
                    monkeypatch.undo()
                    query(conn, n=3)
                    raise ZeroDivisionError
        assert observer.stored() == [1]


def with_option(url: str, option: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{option}"


@pytest.fixture
def untold(observer: Observer) -> Iterator[str]:
    """A role that is not told where the server's log of changes stands, as an option of a URL."""
    role = f"untold_{uuid4().hex[:12]}"
    with psycopg.connect(observer.url, autocommit=True) as owner:
        owner.execute(SQL("CREATE ROLE {}").format(Identifier(role)))
        owner.execute(SQL("GRANT ALL ON ALL TABLES IN SCHEMA public TO {}").format(Identifier(role)))
        owner.execute("REVOKE EXECUTE ON FUNCTION pg_current_wal_insert_lsn() FROM PUBLIC")
        yield f"options=-c%20role%3D{role}"
        owner.execute(SQL("DROP OWNED BY {}").format(Identifier(role)))
        owner.execute(SQL("DROP ROLE {}").format(Identifier(role)))


@both_worlds
def test_where_ids_are_not_told_transactions_go_on_without(
    driver: type[Driver], observer: Observer, untold: str, queries: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The pool finds it out when it opens. The outcome of a COMMIT whose answer is lost is then unknown."""
    caplog.set_level("WARNING", logger="rowsmith")
    with Proxy(observer.url) as proxy:
        here = driver(small(with_option(proxy.url, untold)))

        async def body() -> None:
            for n in (1, 2):
                async with here.transaction() as conn:
                    await call(queries.add_item, conn, n=n)
                    await call(queries.add_item, conn, n=n)
            async with here.transaction() as conn:
                assert await call(queries.count_items, conn) == 4
            assert "cannot tell the outcome of a lost COMMIT: permission denied" in caplog.text
            proxy.lose_reply(b"COMMIT")
            with pytest.raises(CommitUnknownError) as caught:
                async with here.transaction() as conn:
                    await call(queries.add_item, conn, n=3)
            assert caught.value.transaction_id is None
            assert observer.stored() == [1, 1, 2, 2, 3]

        here.drive(body)


@both_worlds
def test_an_error_of_the_question_for_the_id_is_not_hidden(
    driver: type[Driver], observer: Observer, untold: str, queries: Any
) -> None:
    """It has aborted the transaction: what comes after would only say that."""
    here = driver(small(with_option(observer.url, untold)))

    async def body() -> None:
        observer.do("GRANT EXECUTE ON FUNCTION pg_current_wal_insert_lsn() TO PUBLIC")
        await here.backend()
        observer.do("REVOKE EXECUTE ON FUNCTION pg_current_wal_insert_lsn() FROM PUBLIC")

        async def add(*numbers: int) -> None:
            async with here.transaction() as conn:
                for number in numbers:
                    await call(queries.add_item, conn, n=number)
                await call(queries.count_items, conn)

        for numbers in ([1, 2, 3], [1, 2, 3], [1], []):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await add(*numbers)
        async with here.transaction(read_only=True) as conn:
            assert await call(queries.count_items, conn) == 0
        assert observer.stored() == []

    here.drive(body)

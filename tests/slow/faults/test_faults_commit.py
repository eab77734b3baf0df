"""The connection is lost before, in and after COMMIT: what the caller is told is what the database holds."""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import psycopg
import pytest

import rowsmith
from rowsmith import load_queries
from rowsmith.errors import CommitUnknownError, ConnectionLostError, DeadlineExceededError, TransactionError
from tests.harness.drivers import Driver, Observer, both_worlds, insert, small, sql
from tests.harness.network import Proxy
from tests.slow.faults.table import record

LATE = 10.0
ways = pytest.mark.parametrize("way", ["transaction", "run"])


class Transfer:
    """Work that must be done once, by `transaction()` or by `run()`; how often it was begun."""

    def __init__(self, here: Driver, way: str) -> None:
        self.here, self.way, self.attempts = here, way, 0

    async def __call__(self, **options: Any) -> Any:
        if self.way == "run":
            return await self.here.run(self.work, **options)
        async with self.here.transaction() as conn:
            return await self.work(conn)

    async def work(self, conn: Any) -> str:
        self.attempts += 1
        await insert(conn, 1)
        await sql(conn, "UPDATE counter SET n = n + 1")
        return "done"


def once(observer: Observer) -> bool:
    return observer.stored() == [1] and observer.stored("counter") == [1]


def never(observer: Observer) -> bool:
    return observer.stored() == [] and observer.stored("counter") == [0]


@both_worlds
@ways
def test_killed_in_a_transaction(driver: type[Driver], proxy: Proxy, observer: Observer, way: str) -> None:
    """Before COMMIT, between two statements: an error, or another attempt."""
    here = driver(small(proxy.url))
    transfer = Transfer(here, way)

    async def work(conn: Any) -> None:
        await transfer.work(conn)
        if transfer.attempts == 1:
            observer.end_sessions([conn.info.backend_pid])
        await insert(conn, 2)

    async def body() -> None:
        await here.fill()
        back = time.monotonic()
        if way == "run":
            await here.run(work)
            assert observer.stored() == [1, 2]
            assert observer.stored("counter") == [1]
            assert transfer.attempts == 2
            record("killed in a transaction, `run()`", "nothing: it is retried", time.monotonic() - back)
        else:
            with pytest.raises(psycopg.OperationalError) as caught:
                async with here.transaction() as conn:
                    await work(conn)
            recovery = await here.recovered() - back
            assert recovery < LATE
            assert never(observer)
            record("killed in a transaction, `transaction()`", caught.value, recovery)
        await here.check_whole()

    here.drive(body)


@both_worlds
@ways
def test_killed_before_commit(driver: type[Driver], proxy: Proxy, observer: Observer, way: str) -> None:
    """The last statement has run, and COMMIT is about to be sent."""
    here = driver(small(proxy.url))
    transfer = Transfer(here, way)

    async def work(conn: Any) -> None:
        await transfer.work(conn)
        if transfer.attempts == 1:
            observer.end_sessions([conn.info.backend_pid])

    async def body() -> None:
        await here.fill()
        back = time.monotonic()
        if way == "run":
            await here.run(work)
            assert once(observer)
            assert transfer.attempts == 2
            record("killed before COMMIT, `run()`", "nothing: it is retried", time.monotonic() - back)
        else:
            with pytest.raises(ConnectionLostError) as caught:
                async with here.transaction() as conn:
                    await work(conn)
            assert isinstance(caught.value, TransactionError)
            assert isinstance(caught.value, psycopg.OperationalError)
            recovery = await here.recovered() - back
            assert recovery < LATE
            assert never(observer)
            record("killed before COMMIT, `transaction()`", caught.value, recovery)
        await here.check_whole()

    here.drive(body)


@both_worlds
@ways
@pytest.mark.parametrize("resets", [False, True], ids=["closed", "reset"])
def test_cut_before_commit_arrives(
    driver: type[Driver], proxy: Proxy, observer: Observer, way: str, resets: bool
) -> None:
    """COMMIT was sent, and lost. The client cannot tell; the transaction id can."""
    here = driver(small(proxy.url))
    transfer = Transfer(here, way)

    async def body() -> None:
        await here.fill()
        proxy.resets = resets
        sprung = proxy.cut_before(b"COMMIT")
        back = time.monotonic()
        if way == "run":
            assert await transfer() == "done"
            assert once(observer)
            assert transfer.attempts == 2
            record("COMMIT lost on its way, `run()`", "nothing: it is retried", time.monotonic() - back)
        else:
            with pytest.raises(ConnectionLostError) as caught:
                await transfer()
            recovery = await here.recovered() - back
            assert recovery < LATE
            assert never(observer)
            record("COMMIT lost on its way, `transaction()`", caught.value, recovery)
        assert sprung.is_set()
        await here.check_whole()

    here.drive(body)


@both_worlds
@ways
def test_killed_during_commit(driver: type[Driver], proxy: Proxy, observer: Observer, way: str) -> None:
    """The server itself ends the session while it commits: a deferred trigger runs."""
    here = driver(small(proxy.url))
    transfer = Transfer(here, way)

    async def work(conn: Any) -> None:
        await transfer.work(conn)
        if transfer.attempts == 1:
            await sql(conn, "INSERT INTO slow_at_commit VALUES (1)")

    async def call() -> None:
        if way == "run":
            await here.run(work)
        else:
            async with here.transaction() as conn:
                await work(conn)

    async def body() -> None:
        await here.fill()
        started = here.start(call)
        await here.until(lambda: observer.runs("COMMIT") == 1)
        observer.end_sessions()
        back = time.monotonic()
        if way == "run":
            await started.result()
            assert once(observer)
            assert transfer.attempts == 2
            record("killed during COMMIT, `run()`", "nothing: it is retried", time.monotonic() - back)
        else:
            with pytest.raises(psycopg.OperationalError) as caught:
                await started.result()
            assert not isinstance(caught.value, CommitUnknownError)
            recovery = await here.recovered() - back
            assert never(observer)
            record("killed during COMMIT, `transaction()`", caught.value, recovery)
        await here.check_whole()

    here.drive(body)


@both_worlds
@ways
@pytest.mark.parametrize("seconds", [0.3, 4])
def test_cut_during_commit_which_goes_on(
    driver: type[Driver], proxy: Proxy, observer: Observer, way: str, seconds: float
) -> None:
    """The link is cut while the server commits, slowly, and notices nothing. A little is waited for the outcome."""
    observer.do(f"""
        CREATE OR REPLACE FUNCTION sleep_at_commit() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_sleep({seconds}); RETURN NULL; END $$
    """)
    here = driver(small(proxy.url))
    transfer = Transfer(here, way)

    async def work(conn: Any) -> None:
        if transfer.attempts == 0:
            await sql(conn, "INSERT INTO slow_at_commit VALUES (1)")
        await transfer.work(conn)

    async def call() -> None:
        if way == "run":
            await here.run(work)
        else:
            async with here.transaction() as conn:
                await work(conn)

    async def body() -> None:
        await here.fill()
        started = here.start(call)
        await here.until(lambda: observer.runs("COMMIT") == 1)
        proxy.cut_all()
        back = time.monotonic()
        outcome: BaseException | None = None
        try:
            await started.result()
        except ConnectionLostError as error:
            assert way == "transaction"
            assert seconds > 1
            outcome = error
        took = time.monotonic() - back
        await here.until(lambda: not observer.in_transaction())
        assert never(observer) if outcome else once(observer)
        assert transfer.attempts == 1 or (way == "run" and seconds > 1)
        record(f"cut during a COMMIT of {seconds} s", outcome or "nothing: the outcome is looked up", took)
        await here.check_whole()

    here.drive(body)


@both_worlds
@ways
def test_a_commit_that_arrives_late(driver: type[Driver], proxy: Proxy, observer: Observer, way: str) -> None:
    """The client has lost the link; the network still has its COMMIT, and delivers it when the client has gone on."""
    here = driver(small(proxy.url))
    transfer = Transfer(here, way)

    async def body() -> None:
        await here.fill()
        sprung = proxy.hold_before(b"COMMIT")
        started = here.start(transfer)
        await here.until(sprung.is_set)
        proxy.part()
        outcome: BaseException | None = None
        try:
            await started.result()
        except ConnectionLostError as error:
            assert way == "transaction"
            outcome = error
        proxy.deliver_late()
        await here.until(lambda: not observer.in_transaction())
        assert never(observer) if outcome else once(observer)
        await here.check_whole()
        record("COMMIT that arrives late", outcome or "nothing: it is retried", None)

    here.drive(body)


@both_worlds
@ways
@pytest.mark.parametrize("resets", [False, True], ids=["closed", "reset"])
def test_reply_to_commit_lost(driver: type[Driver], proxy: Proxy, observer: Observer, way: str, resets: bool) -> None:
    """The server has committed, and its answer never comes: the work is done, once."""
    here = driver(small(proxy.url))
    transfer = Transfer(here, way)

    async def body() -> None:
        await here.fill()
        proxy.resets = resets
        sprung = proxy.lose_reply(b"COMMIT")
        back = time.monotonic()
        assert await transfer() == "done"
        took = time.monotonic() - back
        assert took < LATE
        assert sprung.is_set()
        assert once(observer)
        assert transfer.attempts == 1
        await here.check_whole()
        record("reply to COMMIT lost", "nothing: the outcome is looked up", took)

    here.drive(body)


@both_worlds
def test_killed_after_commit(driver: type[Driver], proxy: Proxy, observer: Observer) -> None:
    here = driver(small(proxy.url))
    transfer = Transfer(here, "transaction")

    async def body() -> None:
        await here.fill()
        await transfer()
        observer.end_sessions()
        back = time.monotonic()
        recovery = await here.recovered() - back
        assert recovery < LATE
        assert once(observer)
        await here.check_whole()
        record("killed after COMMIT", "nothing, or 57P01 at the next statement", recovery)

    here.drive(body)


@both_worlds
@pytest.mark.parametrize("by", ["cursor", "query"])
@pytest.mark.parametrize("read_only", [False, True], ids=["plain", "read only"])
def test_a_transaction_that_only_read(
    driver: type[Driver], proxy: Proxy, tmp_path: Path, by: str, read_only: bool
) -> None:
    """Its COMMIT decides nothing: that its answer is lost is no reason for an error.

    Only of a SELECT in a transaction that may write nobody knows whether it called a function that did.
    """
    (tmp_path / "queries.sql").write_text("-- name: count()$\nSELECT n FROM counter;\n")
    queries = load_queries(tmp_path)
    here = driver(small(proxy.url))

    async def read() -> None:
        async with here.transaction(read_only=read_only) as conn:
            if by == "cursor":
                assert await sql(conn, "SELECT n FROM counter") == [(0,)]
                return
            result = queries.count(conn)
            assert (await result if hasattr(result, "__await__") else result) == 0

    async def body() -> None:
        await here.fill()
        await read()
        sprung = proxy.lose_reply(b"COMMIT")
        unknown = by == "query" and not read_only
        with pytest.raises(CommitUnknownError) if unknown else nullcontext():
            await read()
        assert sprung.is_set()
        await here.check_whole()

    here.drive(body)


@both_worlds
@ways
@pytest.mark.parametrize("committed", [True, False], ids=["committed", "aborted"])
def test_an_outcome_that_cannot_be_found_out(
    driver: type[Driver], proxy: Proxy, observer: Observer, way: str, committed: bool
) -> None:
    """No new connection can be made. The error has the id by which it can be found out later; nothing is retried."""
    here = driver(small(proxy.url, pool_timeout=1000, connection_timeout=2000))
    transfer = Transfer(here, way)

    async def body() -> None:
        await here.fill()
        sprung = proxy.lose_reply(b"COMMIT") if committed else proxy.cut_before(b"COMMIT")
        proxy.refuse = True
        start = time.monotonic()
        with pytest.raises(CommitUnknownError) as caught, rowsmith.deadline(0.6):
            await transfer(**({"timeout": 0.6} if way == "run" else {}))
        assert time.monotonic() - start < LATE
        assert sprung.is_set()
        assert transfer.attempts == 1
        assert isinstance(caught.value.transaction_id, int)
        assert str(caught.value.transaction_id) in str(caught.value)
        status = observer.do("SELECT pg_xact_status(%s::text::xid8)", str(caught.value.transaction_id))
        assert status == [("committed" if committed else "aborted",)]
        assert once(observer) if committed else never(observer)
        proxy.calm()
        back = time.monotonic()
        recovery = await here.recovered() - back
        await here.check_whole()
        assert once(observer) if committed else never(observer)
        record("reply to COMMIT lost, and the server is gone", caught.value, recovery)

    here.drive(body)


@both_worlds
def test_a_deadline_in_commit(driver: type[Driver], proxy: Proxy, observer: Observer) -> None:
    """A black hole takes the answer to COMMIT. Whatever is said of it in the deadline's time is true."""
    here = driver(small(proxy.url, pool_timeout=1000, connection_timeout=2000))
    transfer = Transfer(here, "transaction")

    async def body() -> None:
        await here.fill()
        sprung = proxy.hold_after(b"COMMIT")
        start = time.monotonic()
        outcome: BaseException | None = None
        try:
            with rowsmith.deadline(1):
                await transfer()
        except (CommitUnknownError, ConnectionLostError, DeadlineExceededError) as error:
            outcome = error
        assert time.monotonic() - start < 1 + LATE
        assert sprung.is_set()
        assert transfer.attempts == 1
        # Committed, and told so, or told that it is not known; "nothing was committed" would be a lie.
        assert outcome is None or isinstance(outcome, CommitUnknownError), repr(outcome)
        assert once(observer)
        proxy.calm()
        await here.recovered()
        await here.check_whole()

    here.drive(body)


@both_worlds
@ways
@pytest.mark.parametrize("sender", ["client", "server"])
def test_cut_after_any_number_of_bytes(
    driver: type[Driver], proxy: Proxy, observer: Observer, way: str, sender: Literal["client", "server"]
) -> None:
    """The link of a transaction is cut everywhere in turn: what is reported is what is stored, never twice."""
    here = driver(small(proxy.url))

    async def total() -> int:
        await here.backend()
        proxy.forget()
        await Transfer(here, way)()
        return proxy.bytes_of(sender)

    async def one(count: int, before: int) -> None:
        done = False
        try:
            await Transfer(here, way)()
            done = True
        except CommitUnknownError:
            raise
        except psycopg.OperationalError:
            assert way == "transaction", "run() tries again"
        stored = len(observer.stored()) - before
        assert stored == (1 if done else 0), f"cut after {count} bytes: reported {done}, stored {stored} times"
        assert observer.stored("counter") == [before + stored]

    async def body() -> None:
        size = await total()
        for count in [*range(1, size, max(1, size // 12)), size]:
            await here.recovered()
            proxy.calm()
            proxy.cut_after(count, sender)
            await one(count, len(observer.stored()))
        proxy.calm()
        await here.age()  # what was cut behind the last answer is looked at again
        await here.check_whole()

    here.drive(body)

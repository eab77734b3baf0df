"""The bank loses nothing: money is moved by threads and by tasks while all that can fail does.

`ROWSMITH_BANK_SECONDS=60` runs each mode for a minute, `ROWSMITH_BANK_STRIKES=1` interrupts it at random moments, and
`ROWSMITH_BANK_SEED` chooses the faults again (not what threads and the server make of them).
"""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

import rowsmith
from rowsmith import Database, load_queries
from rowsmith.errors import CommitUnknownError, ConnectionLostError, DeadlineExceededError
from rowsmith.server.embedded import Server, temporary_server
from rowsmith.server.programs import find_binaries
from tests.harness.waiting import wait_until
from tests.slow.bank.bank import OPTIONS, Bank, Mode, Network, SoftLimitError, bank_settings

_SECONDS = float(os.environ.get("ROWSMITH_BANK_SECONDS", "8"))
_SEED = int(os.environ.get("ROWSMITH_BANK_SEED") or random.SystemRandom().randrange(1_000_000))


@pytest.mark.parametrize("mode", ["serializable", "repeatable read", "read committed"])
def test_the_bank_loses_nothing(mode: Mode, figures: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    report_unraisable = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        if not isinstance(unraisable.exc_value, SoftLimitError):  # Python drops one that comes in a finalizer
            report_unraisable(unraisable)

    monkeypatch.setattr(sys, "unraisablehook", hook)
    report = Bank(mode, _SEED, _SECONDS).run()
    figures.extend(report.lines())
    assert not report.broken, "\n".join(report.lines())


@pytest.fixture
def forgetful_server() -> Iterator[Server]:
    """A server that writes its log of a transaction at COMMIT, and hardly before."""
    with temporary_server(find_binaries(), options=OPTIONS | {"wal_writer_delay": "10s"}) as server:
        with psycopg.connect(server.url(), autocommit=True) as conn:
            conn.execute("CREATE TABLE note (author text)")
        yield server


@pytest.mark.parametrize("way", ["run", "block"])
@pytest.mark.parametrize("asked", ["before", "after"])
def test_a_crash_gives_the_transaction_id_to_another(forgetful_server: Server, way: str, asked: str) -> None:
    """A transaction that never reached the server's log leaves no trace, not even its id, which is given out again.

    Whether the client asks `before` that or `after`, it must not take the other's COMMIT for its own.
    """
    server, calls, other = forgetful_server, list[int](), list[int]()
    with closing(Network(server.url(), random.Random(0))) as network, Database(bank_settings(network.url)) as db:  # noqa: S311

        def work(conn: Connection[TupleRow]) -> None:
            conn.execute("INSERT INTO note VALUES ('client')")
            calls.append(_transaction_id(conn))

        def make() -> None:
            if way == "run":
                db.run(work, timeout=20)
            else:
                with db.transaction() as conn:
                    work(conn)

        with db.connection() as conn:
            conn.execute("SELECT 1")
        network.trap("COMMIT never comes, session stays")
        with ThreadPoolExecutor() as threads:
            network.refuses = True  # new connections, so that the client cannot ask
            making = threads.submit(make)
            wait_until(lambda: bool(network.sprung))
            _crash(server)
            if asked == "before":
                network.refuses = False
                time.sleep(1.5)
            with psycopg.connect(server.url()) as conn:
                conn.execute("INSERT INTO note VALUES ('other')")
                other.append(_transaction_id(conn))
            network.refuses = False
            failure = making.exception(30)
    with psycopg.connect(server.url()) as conn:
        authors = [author for (author,) in conn.execute("SELECT author FROM note")]
    assert calls[0] in {*other, *calls[1:]}, "the id was not given out again: nothing is shown here"
    if failure is None:
        assert authors.count("client") == 1
    else:
        assert isinstance(failure, (ConnectionLostError, CommitUnknownError)), failure
        assert authors.count("client") == 0


@pytest.mark.parametrize("way", ["run", "block"])
@pytest.mark.parametrize("slow", ["COMMIT slow", "COMMIT done, reply slow"])
def test_a_commit_that_is_answered_after_the_deadline(forgetful_server: Server, way: str, slow: str) -> None:
    """The wait is given up and the COMMIT cancelled, in vain: it was done. The caller must not hear that it failed."""
    server = forgetful_server
    with closing(Network(server.url(), random.Random(0))) as network, Database(bank_settings(network.url)) as db:  # noqa: S311

        def work(conn: Connection[TupleRow]) -> None:
            conn.execute("INSERT INTO note VALUES ('client')")

        with db.connection() as conn:
            conn.execute("SELECT 1")
        network.trap(slow)
        network.delays = (1.15, 1.15)
        failure: Exception | None = None
        try:
            with rowsmith.deadline(0.3):
                if way == "run":
                    db.run(work)
                else:
                    with db.transaction() as conn:
                        work(conn)
        except (ConnectionLostError, CommitUnknownError, DeadlineExceededError) as error:
            failure = error
        assert network.sprung == {slow: 1}
        time.sleep(0.5)  # what is still on its way arrives
    with psycopg.connect(server.url()) as conn:
        notes = len(conn.execute("SELECT * FROM note").fetchall())
    if not isinstance(failure, CommitUnknownError):
        assert notes == (failure is None), repr(failure)


@pytest.mark.parametrize("way", ["run", "block"])
def test_a_select_that_writes_in_a_session_that_is_ended(forgetful_server: Server, tmp_path: Path, way: str) -> None:
    """Nothing tells from outside that it writes. Its session is ended before COMMIT: nothing is stored, for certain."""
    server, calls = forgetful_server, list[int]()
    (tmp_path / "note.sql").write_text("-- name: note(author)$\nSELECT note(:author);\n")
    note: Any = load_queries(tmp_path).note
    with psycopg.connect(server.url(), autocommit=True) as side, Database(bank_settings(server.url())) as db:
        side.execute(
            "CREATE FUNCTION note(text) RETURNS int LANGUAGE sql AS 'INSERT INTO note VALUES ($1) RETURNING 1'"
        )

        def work(conn: Connection[TupleRow]) -> None:
            note(conn, author="client")
            calls.append(conn.info.backend_pid)
            if len(calls) == 1:
                side.execute("SELECT pg_terminate_backend(%s, 5000)", calls)

        if way == "run":
            db.run(work)
        else:
            with pytest.raises(psycopg.OperationalError), db.transaction() as conn:
                work(conn)
        row = side.execute("SELECT count(*) FROM note").fetchone()
    assert row == (way == "run",)


def test_the_end_of_a_transaction_that_only_reads_is_lost(forgetful_server: Server) -> None:
    """It has nothing to commit: there is nothing that could be unknown."""
    with closing(Network(forgetful_server.url(), random.Random(0))) as network:  # noqa: S311
        network.trap("COMMIT done, reply lost")
        with Database(bank_settings(network.url)) as db:
            found = db.run(lambda conn: conn.execute("SELECT 42").fetchone(), read_only=True)
        assert network.sprung.total() == 1
    assert found == (42,)


def _crash(server: Server) -> None:
    server._pg_ctl("stop", "-w", "-m", "immediate", "-t", "30")
    server.start(options=OPTIONS)


def _transaction_id(conn: Connection[TupleRow]) -> int:
    row = conn.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()
    assert row is not None
    return int(row[0])

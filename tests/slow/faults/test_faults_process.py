"""The program itself: it forks, is told to end, is interrupted, and cancels its tasks.

Signals go to a program of their own, so that a hang or an exit is that program's alone.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import psycopg
import pytest

from rowsmith.errors import CommitUnknownError
from tests.harness.drivers import MOST, NAME, Driver, Observer, Tasks, both_worlds, insert, small
from tests.harness.waiting import PATIENCE, bounded, wait_until
from tests.slow.faults.table import record

PROGRAM_SECONDS = 30
GATE = 7  # an advisory lock that the inserts of a program wait for
HEADER = f"""
import asyncio, os, signal, sys, threading, time
import psycopg, psycopg_pool
from rowsmith import Database, Settings

db = Database(Settings(
    database_url=sys.argv[1], application_name="{NAME}", min_connections=1, max_connections=4, pool_timeout=5000,
    connect_retries=0, _env_file=None,
))

def say(*words):
    print(*words, flush=True)

def pid():
    with db.connection() as conn:
        return conn.execute("SELECT pg_backend_pid()").fetchone()[0]

async def apid():
    async with db.connection() as conn:
        return (await (await conn.execute("SELECT pg_backend_pid()")).fetchone())[0]

def insert(number, seconds=0):
    with db.transaction() as conn:
        conn.execute("INSERT INTO items VALUES (%s)", [number])
        conn.execute("SELECT pg_sleep(%s), pg_advisory_xact_lock_shared({GATE})", [seconds])

async def ainsert(number, seconds=0):
    async with db.transaction() as conn:
        await conn.execute("INSERT INTO items VALUES (%s)", [number])
        await conn.execute("SELECT pg_sleep(%s), pg_advisory_xact_lock_shared({GATE})", [seconds])
"""


@contextmanager
def program(observer: Observer, text: str, *arguments: object) -> Generator[subprocess.Popen[str]]:
    """A Python program of this text, that has a `db`; it is killed where it goes on after the block."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", HEADER + text, observer.url]
    with subprocess.Popen(
        [*command, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONFAULTHANDLER": "1"},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def gate(observer: Observer) -> Generator[Callable[[], object]]:
    """Keep the inserts of a program from ending until what this gives is called."""
    with psycopg.connect(observer.url, autocommit=True) as conn:
        conn.execute("SELECT pg_advisory_lock(%s)", [GATE])
        yield partial(conn.execute, "SELECT pg_advisory_unlock(%s)", [GATE])


def end_of(process: subprocess.Popen[str], seconds: float = PROGRAM_SECONDS) -> tuple[int, str]:
    """What it returned and said. A program that hangs is a failure."""
    try:
        said, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)  # the fault handler prints where it hangs
        said, _ = process.communicate(timeout=PATIENCE)
        pytest.fail(f"hung for {seconds} s:\n{said}")
    return process.returncode, said


def reaches(process: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
    """Wait until a program has come so far; one that has ended instead is a failure."""
    wait_until(lambda: condition() or process.poll() is not None)
    if process.poll() is not None:
        pytest.fail(f"ended early:\n{end_of(process)[1]}")


# --- fork ---

FORK = """
mine = {pid() for _ in range(9)}  # the pool may be about to make another one
child = os.fork()
if child == 0:
    assert pid() not in mine, "the child shares the connection"
    insert(1)
    say("child done")
    db.close()
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
assert mine & {pid() for _ in range(9)}, "the parent has lost its connection"
insert(2)
say("parent done")
db.close()
"""
FORK_IN_A_BLOCK = """
with db.transaction() as conn:
    conn.execute("INSERT INTO items VALUES (2)")
    child = os.fork()
    if child == 0:
        insert(1)
        say("child done")
        sys.exit(0)  # through the block: it is not the child's to end
    assert os.waitpid(child, 0)[1] == 0
    conn.execute("SELECT 1")
say("parent done")
db.close()
"""
FORK_THAT_NEVER_CLOSES = """
mine = {pid() for _ in range(9)}  # the pool may be about to make another one
child = os.fork()
if child == 0:
    insert(1)
    say("child done")
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
assert mine & {pid() for _ in range(9)}
insert(2)
say("parent done")
"""
FORK_ASYNC = """
async def in_the_child():
    await ainsert(1)
    say("child done")
    await db.aclose()

async def main():
    mine = [await apid() for _ in range(9)]
    child = os.fork()
    if child == 0:
        asyncio.run(in_the_child())
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert any([await apid() in mine for _ in range(9)])
    await ainsert(2)
    say("parent done")
    await db.aclose()

asyncio.run(main())
"""


@pytest.mark.parametrize("text", [FORK, FORK_IN_A_BLOCK, FORK_THAT_NEVER_CLOSES, FORK_ASYNC])
def test_fork(observer: Observer, text: str) -> None:
    """The child has a pool of its own, and does the parent's connections no harm, whichever way it ends."""
    with program(observer, text) as process:
        code, said = end_of(process)
    assert code == 0, said
    assert "child done" in said
    assert "parent done" in said
    assert observer.stored() == [1, 2]
    wait_until(lambda: observer.sessions() == 0)
    record("fork", "nothing: the child has its own pool", 0)


# --- SIGTERM and SIGINT of a service ---

SERVICE = """
db.shutdown_on_signals(grace=float(sys.argv[2]))
workers = [threading.Thread(target=insert, args=(number, float(sys.argv[3]))) for number in (1, 2)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
say("all done")
time.sleep(20)
"""
SERVICE_MAIN = """
db.shutdown_on_signals(grace=float(sys.argv[2]))
insert(1, float(sys.argv[3]))
say("all done")
time.sleep(20)
"""
SERVICE_ASYNC = """
async def main():
    db.shutdown_on_signals(grace=float(sys.argv[2]))
    await asyncio.gather(ainsert(1, float(sys.argv[3])), ainsert(2, float(sys.argv[3])))
    say("all done")
    await asyncio.sleep(20)

asyncio.run(main())
"""
services = pytest.mark.parametrize("text", [SERVICE, SERVICE_ASYNC], ids=["sync", "async"])
by_signal = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])


@services
@by_signal
def test_work_ends_within_the_grace(observer: Observer, text: str, number: signal.Signals) -> None:
    with gate(observer) as open_gate, program(observer, text, 15, 0) as process:
        reaches(process, lambda: observer.runs("pg_sleep") == 2)
        process.send_signal(number)
        open_gate()
        start = time.monotonic()
        code, said = end_of(process)
    took = time.monotonic() - start
    assert code == -number, said
    assert observer.stored() == [1, 2], said
    assert took < 12
    assert "Traceback" not in said or "KeyboardInterrupt" in said, said  # which is what SIGINT is to a program
    wait_until(lambda: observer.sessions() == 0)
    record(f"{number.name}, work ends within the grace period", "the work is completed; exit by the signal", took)


@services
@by_signal
def test_work_that_does_not_end_is_cancelled(observer: Observer, text: str, number: signal.Signals) -> None:
    """On the server, too, and nothing of it is stored."""
    with program(observer, text, 0.5, 25) as process:
        reaches(process, lambda: observer.runs("pg_sleep") == 2)
        process.send_signal(number)
        start = time.monotonic()
        code, said = end_of(process)
    took = time.monotonic() - start
    assert code == -number, said
    assert took < 10
    wait_until(lambda: observer.sessions() == 0)
    assert observer.stored() == []
    record(f"{number.name}, work does not end", "its statement is cancelled; exit by the signal", took)


def test_work_of_the_main_thread_ends_within_the_grace(observer: Observer) -> None:
    """The thread that gets the signal is the one at work: it is not to wait for itself."""
    with gate(observer) as open_gate, program(observer, SERVICE_MAIN, 15, 0) as process:
        reaches(process, lambda: observer.runs("pg_sleep") == 1)
        process.send_signal(signal.SIGTERM)
        open_gate()
        start = time.monotonic()
        code, said = end_of(process)
    assert code == -signal.SIGTERM, said
    assert time.monotonic() - start < 10
    assert observer.stored() == [1], said
    wait_until(lambda: observer.sessions() == 0)


def test_an_idle_service_ends_at_once(observer: Observer) -> None:
    text = "db.shutdown_on_signals(grace=20)\npid()\nsay('idle')\ntime.sleep(20)"
    with program(observer, text) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "idle\n"
        process.send_signal(signal.SIGTERM)
        start = time.monotonic()
        code, said = end_of(process)
    assert code == -signal.SIGTERM, said
    assert time.monotonic() - start < 5
    wait_until(lambda: observer.sessions() == 0)


ADMISSION = """
db.shutdown_on_signals(grace=10)

def later():
    insert(1)
    say("first done")

def refused():
    while True:
        try:
            pid()
        except psycopg_pool.PoolClosed as error:
            say("refused:", error)
            return
        time.sleep(0.05)

workers = [threading.Thread(target=work) for work in (later, refused)]
for worker in workers:
    worker.start()
time.sleep(20)
"""


def test_no_new_work_is_admitted(observer: Observer) -> None:
    with gate(observer) as open_gate, program(observer, ADMISSION) as process:
        reaches(process, lambda: observer.runs("pg_sleep") == 1)
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("refused:")
        open_gate()
        code, said = end_of(process)
    assert code == -signal.SIGTERM, said
    assert "first done" in said
    assert observer.stored() == [1]


HANDLERS = """
def own(number, frame):
    say("own handler", number)
    raise SystemExit(7)

signal.signal(signal.SIGTERM, own)
db.shutdown_on_signals(grace=10)
worker = threading.Thread(target=insert, args=(1,))
worker.start()
while True:
    time.sleep(0.1)
"""


def test_a_handler_that_was_there_is_kept(observer: Observer) -> None:
    """It is called, and says how the program ends."""
    with gate(observer) as open_gate, program(observer, HANDLERS) as process:
        reaches(process, lambda: observer.runs("pg_sleep") == 1)
        process.send_signal(signal.SIGTERM)
        open_gate()
        code, said = end_of(process)
    assert code == 7, said
    assert f"own handler {int(signal.SIGTERM)}" in said
    assert observer.stored() == [1]


# --- Ctrl-C in a program that goes on ---

INTERRUPTED = """
try:
    insert(1, 20)
except KeyboardInterrupt:
    say("interrupted")
first = {pid() for _ in range(5)}
insert(2)
assert db.statistics()["connections_in_use"] == 0
say("goes on")
db.close()
"""
INTERRUPTED_ASYNC = """
async def main():
    await ainsert(1, 20)

try:
    asyncio.run(main())
except KeyboardInterrupt:
    say("interrupted")

async def after():
    await apid()
    await ainsert(2)
    assert db.statistics()["connections_in_use"] == 0
    await db.aclose()

asyncio.run(after())
say("goes on")
"""
INTERRUPTED_RUN = """
def work(conn):
    conn.execute("INSERT INTO items VALUES (1)")
    conn.execute("SELECT pg_sleep(20)")

try:
    db.run(work)
except KeyboardInterrupt:
    say("interrupted")
insert(2)
say("goes on")
db.close()
"""


@pytest.mark.parametrize("text", [INTERRUPTED, INTERRUPTED_ASYNC, INTERRUPTED_RUN], ids=["sync", "async", "sync-run"])
def test_ctrl_c_in_a_query(observer: Observer, text: str) -> None:
    with program(observer, text) as process:
        reaches(process, lambda: observer.runs("pg_sleep") == 1)
        process.send_signal(signal.SIGINT)
        start = time.monotonic()
        wait_until(lambda: observer.runs("pg_sleep") == 0)  # cancelled on the server as well
        code, said = end_of(process)
    took = time.monotonic() - start
    assert code == 0, said
    assert "interrupted\ngoes on" in said
    assert observer.stored() == [2]
    wait_until(lambda: observer.sessions() == 0)
    record("Ctrl-C in a query", "`KeyboardInterrupt`", took)


def test_ctrl_c_ends_a_program_that_does_not_catch_it(observer: Observer) -> None:
    with program(observer, "insert(1, 20)") as process:
        reaches(process, lambda: observer.runs("pg_sleep") == 1)
        process.send_signal(signal.SIGINT)
        code, said = end_of(process)
    assert code == -signal.SIGINT, said
    assert said.count("KeyboardInterrupt") >= 1
    assert observer.stored() == []
    wait_until(lambda: observer.sessions() == 0)


def test_a_program_that_ends_closes_quietly(observer: Observer) -> None:
    with program(observer, "insert(1)\nasyncio.run(ainsert(2))") as process:
        code, said = end_of(process)
    assert (code, said) == (0, "")
    assert observer.stored() == [1, 2]
    wait_until(lambda: observer.sessions() == 0)


# --- cancelled tasks ---

CANCELLED = 1000


async def _cancelled_after(work: Callable[[], Any], seconds: float) -> str:
    """What became of a task that is cancelled after so long."""
    task = asyncio.create_task(work())
    asyncio.get_running_loop().call_later(seconds, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        return "cancelled"
    except CommitUnknownError:
        return "unknown"
    except psycopg.Error as error:
        return f"failed: {error!r}"
    return "done"


@pytest.mark.parametrize("way", ["transaction", "run"])
def test_a_thousand_random_cancellations(observer: Observer, way: str) -> None:
    """Whatever was acknowledged is stored once; what was cancelled is stored once or not; no connection is lost."""
    choose = random.Random(5)  # noqa: S311 - a test that can be repeated
    here = Tasks(small(observer.url, pool_timeout=20_000))

    async def one(number: int) -> None:
        async def work(conn: Any) -> None:
            await insert(conn, number)
            await conn.execute("SELECT pg_sleep(%s)", [0.002])

        if way == "run":
            await here.run(work)
            return
        async with here.transaction() as conn:
            await work(conn)

    async def body() -> None:
        await here.backend()
        outcomes: list[str] = []
        for first in range(0, CANCELLED // 2, 10):
            numbers = range(first, first + 10)
            calls = [_cancelled_after(partial(one, number), choose.uniform(0, 0.04)) for number in numbers]
            outcomes += await asyncio.gather(*calls)
        assert not [outcome for outcome in outcomes if outcome.startswith("failed")], outcomes
        stored = observer.stored()
        assert len(stored) == len(set(stored)), "done twice"
        assert {number for number, outcome in enumerate(outcomes) if outcome == "done"} <= set(stored), "lost"
        assert "done" in outcomes
        assert "cancelled" in outcomes
        start = time.monotonic()
        await here.check_whole()
        record("1,000 random cancellations", "`CancelledError`", time.monotonic() - start)
        assert here.db.statistics()["connections_in_use"] == 0
        assert observer.sessions() <= MOST + 1
        await here.until(lambda: observer.sessions("active") == 0)

    here.drive(body)
    bounded(lambda: wait_until(lambda: observer.sessions() == 0))


def test_cancelled_in_the_moment_a_connection_goes_back(observer: Observer) -> None:
    """psycopg_pool awaits its own lock in putconn; who is cancelled there has not given the connection back."""
    here = Tasks(small(observer.url))
    leave = asyncio.Event()

    async def borrow() -> None:
        async with here.connection():
            await leave.wait()

    async def body() -> None:
        await here.fill()
        borrower = asyncio.create_task(borrow())
        await here.until(lambda: here.db.statistics()["connections_in_use"] == 1)
        pool: Any = here.db._apool()._pool  # pyright: ignore[reportPrivateUsage]
        async with pool._lock:
            leave.set()
            await here.until(lambda: pool._lock._waiters)
            borrower.cancel()
            for _ in range(10):
                await asyncio.sleep(0)  # the task gets its turn
        with suppress(asyncio.CancelledError):
            await borrower
        await here.check_whole()

    here.drive(body)


@both_worlds
def test_no_task_or_thread_is_left(observer: Observer, driver: type[Driver]) -> None:
    """After a fault, and a close, nothing of the library goes on."""
    here = driver(small(observer.url, pool_timeout=500))

    async def body() -> None:
        await here.fill()
        observer.end_sessions()
        with suppress(psycopg.OperationalError):
            await here.backend()
        await here.recovered()

    here.drive(body)
    wait_until(lambda: observer.sessions() == 0)

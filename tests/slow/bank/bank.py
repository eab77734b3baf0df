"""A bank under random faults: threads and tasks move money, auditors add it up, and an injector breaks what it can.

`Bank(...).run()` gives a `Report`: what happened, and every promise that was broken, which should be none.
"""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import asyncio
import io
import logging
import os
import random
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import ExitStack, aclosing, closing, contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, TypeVar
from uuid import UUID

import psycopg
from psycopg import AsyncConnection, Connection
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow

import rowsmith
from rowsmith import Database, Settings, load_queries
from rowsmith.errors import CommitUnknownError, DeadlineExceededError
from rowsmith.server.embedded import temporary_server
from rowsmith.server.programs import find_binaries
from tests.harness.interruptions import Striker
from tests.harness.network import url_at

Mode = Literal["serializable", "repeatable read", "read committed"]
_T = TypeVar("_T")

ACCOUNTS = 20
FIRST_BALANCE = 1_000
TOTAL = ACCOUNTS * FIRST_BALANCE
_RUN_SECONDS = 8.0
"""The deadline of a `run`."""
_DEADLINE_SECONDS = 0.6
"""The deadline around some runs: shorter than most faults."""
_LATENESS_SECONDS = 4.0
"""How much longer one may take on a busy machine before it counts as broken."""
_JOIN_SECONDS = 40.0
_STRIKES = os.environ.get("ROWSMITH_BANK_STRIKES") == "1"
"""Whether exceptions come from outside, at any moment, as from the handler of a signal: `make soak` asks for them."""
_ODD_WAYS = ["abandoned", "in a generator", "interrupted"]
_PACKAGES = ("rowsmith", "psycopg", "psycopg_pool")
_LONGEST_SECONDS = 0.03
"""A transfer takes about as long. It is interrupted before."""
_RECOVERY_SECONDS = 10.0
_SQL = Path(__file__).parent / "sql" / "bank.sql"
_SCHEMA = """
CREATE TABLE account (id int PRIMARY KEY, balance bigint NOT NULL);
CREATE TABLE ledger (
    entry bigint GENERATED ALWAYS AS IDENTITY,
    transfer uuid NOT NULL, source int NOT NULL, target int NOT NULL, amount bigint NOT NULL
);
CREATE FUNCTION make_transfer(transfer uuid, source int, target int, amount bigint) RETURNS bigint LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO ledger (transfer, source, target, amount) VALUES ($1, $2, $3, $4);
    UPDATE account SET balance = balance - $4 WHERE id = $2;
    UPDATE account SET balance = balance + $4 WHERE id = $3;
    RETURN (SELECT balance FROM account WHERE id = $2);
END
$$;
"""
# A crash must lose nothing that was acknowledged. Only processes are killed here, not the machine, so what was written
# to a file is safe without fsync. But with synchronous_commit=off, as disposable servers have it, COMMIT is answered
# before its record is written at all; and a process killed in the middle of writing a page leaves half of one, which
# full_page_writes mends.
OPTIONS = {
    "fsync": "off",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_connections": "60",
    "deadlock_timeout": "100ms",
    "max_wal_size": "256MB",
    # A transaction that has not committed is then in the log rarely: a crash gives its id to another.
    "wal_writer_delay": "10s",
}


class Outcome(StrEnum):
    """What a worker was told of its transfer, and how often it has to be in the ledger then."""

    PENDING = "pending"
    """nothing yet"""
    ACKNOWLEDGED = "acknowledged"
    """it returned: once"""
    FAILED = "failed"
    """an error: never"""
    UNKNOWN = "unknown"
    """CommitUnknownError: as its transaction id says, when asked later"""
    ABANDONED = "abandoned"
    """the task was cancelled, or an exception came from outside: once or never"""


_ENTRIES = {
    Outcome.PENDING: (0, 1),
    Outcome.ACKNOWLEDGED: (1,),
    Outcome.FAILED: (0,),
    Outcome.UNKNOWN: (0, 1),
    Outcome.ABANDONED: (0, 1),
}


class RefusedError(Exception):
    """The bank does not make this transfer: the application's own error, which rolls back."""


class SoftLimitError(Exception):
    """Comes from outside at any moment, as from a signal's handler."""


class _UndoneError(Exception):
    """Ends a savepoint whose work must not be seen."""


@dataclass
class Transfer:
    """One movement of money, and all that its worker learnt of it."""

    id: UUID
    way: str
    accounts: tuple[int, int]
    """From the first to the second."""
    order: tuple[int, int]
    """In which they are read or locked."""
    amount: int
    nested: bool
    whole: bool
    """Whether it is made by a function of the server, in one SELECT."""
    refused: bool
    began: float
    calls: int = 0
    outcome: Outcome = Outcome.PENDING
    error: str = ""
    transaction_id: int | None = None
    history: list[str] = field(default_factory=list[str])

    def note(self, what: str) -> None:
        """Add a line to its history."""
        self.history.append(f"+{time.monotonic() - self.began:.3f} s {what}")

    def settle(self, outcome: Outcome, error: BaseException | None = None) -> None:
        """Note how it ended."""
        self.outcome = outcome
        if error is not None:
            self.error = _named(error)
        self.note(f"{outcome} {self.error}".rstrip())
        if isinstance(error, CommitUnknownError):
            self.transaction_id = error.transaction_id

    def __str__(self) -> str:
        move = f"{self.amount} from {self.accounts[0]} to {self.accounts[1]}"
        return f"{self.id} ({self.way}, {move}, {self.calls} calls): {'; '.join(self.history)}"


def _named(error: BaseException) -> str:
    state = getattr(error, "sqlstate", None)
    return type(error).__name__ + (f" {state}" if state else "")


class _Link:
    """One client of the network, and its connection to the server."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client, self.server = client, server
        self.let_through: int | None = None
        """How many more bytes from the server reach the client; None: all."""
        self.silent_until = 0.0

    def answer(self, data: bytes) -> None:
        if self.let_through is not None:
            data, self.let_through = data[: self.let_through], max(self.let_through - len(data), 0)
        if data and not self.client.is_closing():
            self.client.write(data)

    def cut(self, *, reset: bool = False) -> None:
        self.cut_client(reset=reset)
        self.server.transport.abort()

    def cut_client(self, *, reset: bool = False) -> None:
        if reset and not self.client.is_closing():  # the kernel then says RST at once, instead of FIN
            connection: socket.socket = self.client.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.client.transport.abort()


TRAPS = (
    "cut before COMMIT",
    "COMMIT passed on, cut at once",
    "COMMIT done, reply lost",
    "COMMIT done, reply torn",
    "COMMIT late, client gone",
    "COMMIT never comes, session stays",
    "COMMIT slow",
    "COMMIT done, reply slow",
)


class Network:
    """What is between the bank and its server: a proxy in an event loop of its own, and its faults.

    `network.Proxy` holds bytes back where a test says so; here many links have faults of their own at one time.
    """

    def __init__(self, url: str, rng: random.Random) -> None:
        parts = conninfo_to_dict(url)
        self._upstream = f"{parts['host']}/.s.PGSQL.{parts.get('port') or 5432}"
        self._rng = rng
        self._links: set[_Link] = set()
        self._traps: list[str] = []
        self.sprung: Counter[str] = Counter()
        self.latency = 0.0
        self.delays = (0.2, 2.0)
        """Seconds, of a slow COMMIT or its reply."""
        self.refuses = False
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="bank-network", daemon=True)
        self._thread.start()
        assert self._ready.wait(10)
        # Without encryption: a trap looks for the text of a command.
        self.url = url_at(url, "127.0.0.1", self._port, sslmode="disable", gssencmode="disable")

    def close(self) -> None:
        """Cut everything, and end."""
        self._do(self._ended.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    def trap(self, kind: str) -> None:
        """Do this to the next COMMIT that passes."""
        self._do(lambda: self._traps.append(kind))

    def disarm(self) -> None:
        """Forget the traps that nothing has sprung."""
        self._do(self._traps.clear)

    def freeze(self) -> None:
        """Pass nothing on any more: a black hole."""
        self._do(self._passing.clear)

    def hold_commits(self) -> None:
        """Pass on all but COMMIT."""
        self._do(self._committing.clear)

    def thaw(self) -> None:
        """Pass on what was held back, and all that follows."""
        self._do(self._passing.set)
        self._do(self._committing.set)

    def cut(self, most: int | None = None) -> None:
        """Cut so many links at random, or all, by FIN or by RST."""

        def cut() -> None:
            links = list(self._links)
            chosen = links if most is None else self._rng.sample(links, min(most, len(links)))
            for link in chosen:
                link.cut(reset=self._rng.random() < 0.5)

        self._do(cut)

    def _do(self, what: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(what)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._passing, self._committing, self._ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._passing.set()
        self._committing.set()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._port: int = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._ended.wait()
        server.close()
        for link in list(self._links):
            link.cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._passing.wait()
        try:
            if self.refuses:
                raise ConnectionRefusedError
            answers, server = await asyncio.open_unix_connection(self._upstream)
        except OSError:
            writer.transport.abort()
            return
        link = _Link(writer, server)
        self._links.add(link)
        pumps = [asyncio.create_task(self._up(reader, link)), asyncio.create_task(self._down(answers, link))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._links.discard(link)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            writer.close()
            server.close()

    async def _up(self, reader: asyncio.StreamReader, link: _Link) -> None:
        while data := await self._read(reader):
            commits = b"COMMIT" in data
            if commits and self._traps:
                await self._spring(self._traps.pop(0), link, data)
                continue
            if commits:
                await self._committing.wait()
            link.server.write(data)

    async def _down(self, reader: asyncio.StreamReader, link: _Link) -> None:
        while data := await self._read(reader):
            await asyncio.sleep(link.silent_until - time.monotonic())
            link.answer(data)

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        with suppress(OSError):
            data = await reader.read(65536)
            if self.latency:
                await asyncio.sleep(self._rng.uniform(0, self.latency))
            await self._passing.wait()
            return data
        return b""

    async def _spring(self, kind: str, link: _Link, commit: bytes) -> None:
        self.sprung[kind] += 1
        uniform, reset = self._rng.uniform, self._rng.random() < 0.5
        if kind == "cut before COMMIT":
            link.cut(reset=reset)
        elif kind == "COMMIT slow":
            await asyncio.sleep(uniform(*self.delays))
            link.server.write(commit)
        elif kind == "COMMIT done, reply slow":
            link.silent_until = time.monotonic() + uniform(*self.delays)
            link.server.write(commit)
        elif kind == "COMMIT late, client gone":
            # The client may ask what became of it while the server has not even seen it: it is not rolled back then.
            link.let_through = 0
            link.cut_client(reset=reset)
            await asyncio.sleep(uniform(0.05, 1.5))
            link.server.write(commit)
            await asyncio.sleep(0.3)
            link.cut()
        elif kind == "COMMIT never comes, session stays":
            link.let_through = 0
            link.cut_client(reset=reset)
            await asyncio.sleep(uniform(0.5, 2.5))
            link.cut()
        else:
            link.let_through = self._rng.randrange(1, 12) if "torn" in kind else 0
            link.server.write(commit)
            await asyncio.sleep(0 if "at once" in kind else 0.05)
            link.cut(reset=reset)


class _Tally(logging.Handler):
    """Counts what `rowsmith.transactions` says of retries and of resolved COMMITs."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.counts: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message.startswith("retrying transaction"):
            self.counts["retries"] += 1
        elif message.startswith("COMMIT resolved: "):
            self.counts[message.removeprefix("COMMIT resolved: ").split()[0].rstrip(",.;:")] += 1


@contextmanager
def _tallied() -> Generator[_Tally]:
    logger, tally = logging.getLogger("rowsmith.transactions"), _Tally()
    level = logger.level
    logger.addHandler(tally)
    logger.setLevel(logging.INFO)
    try:
        yield tally
    finally:
        logger.setLevel(level)
        logger.removeHandler(tally)


@dataclass
class Report:
    """What happened, and which promises were broken."""

    mode: Mode
    seed: int
    seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter[str])
    errors: Counter[str] = field(default_factory=Counter[str])
    faults: Counter[str] = field(default_factory=Counter[str])
    told: Counter[str] = field(default_factory=Counter[str])
    """What the library's log counts: retries, and COMMITs resolved as committed or as aborted."""
    again: int = 0
    """Calls of a transfer's function after its first."""
    unknown: Counter[str] = field(default_factory=Counter[str])
    audits: int = 0
    recoveries: list[float] = field(default_factory=list[float])
    longest: Counter[str] = field(default_factory=Counter[str])
    broken: list[str] = field(default_factory=list[str])

    def lines(self) -> list[str]:
        """For people."""
        made, told = self.outcomes, self.told
        rate = made[Outcome.ACKNOWLEDGED] / max(self.seconds, 1)
        first = f"bank, {self.mode}, seed {self.seed}, {self.seconds:.0f} s, {self.faults.total()} faults"
        transfers = (
            f"{made[Outcome.ACKNOWLEDGED]} transfers acknowledged ({rate:.0f}/s), {made[Outcome.FAILED]} failed, "
            f"{made[Outcome.UNKNOWN]} unknown ({_listed(self.unknown)}), {made[Outcome.ABANDONED]} abandoned"
        )
        resolved = f"{told['committed']} COMMITs resolved as committed, {told['aborted']} as aborted"
        recovery = max(self.recoveries, default=0.0)
        retries = f"{told['retries']} retries ({self.again} calls again)"
        return [
            f"{first}: {transfers}; {retries}, {resolved}; {self.audits} audits",
            f"  faults: {_listed(self.faults)}",
            f"  errors that workers saw: {_listed(self.errors)}",
            f"  {len(self.recoveries)} times the server went: next transfer at most {recovery:.2f} s after its return",
            f"  longest transfer, in ms: {_listed(self.longest)}",
            *(f"  BROKEN: {each}" for each in self.broken),
        ]


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {counts[name]}" for name in sorted(counts)) or "none"


def bank_settings(url: str) -> Settings:
    """Settings that make what can fail do so soon."""
    return Settings(
        database_url=url,
        _env_file=None,
        max_connections=6,  # fewer than there are workers
        pool_timeout=3_000,
        connection_timeout=3_000,
        statement_timeout=5_000,
        lock_timeout=3_000,
        idle_in_transaction_timeout=5_000,
        breaker_reset=500,
        application_name="bank",
        app_env="production",
    )


class Bank:
    """A server of its own, a network in front of it, a `Database` on that, and all who use it."""

    def __init__(self, mode: Mode, seed: int, seconds: float, *, threads: int = 6, tasks: int = 6) -> None:
        self.mode: Mode = mode
        self.seconds = seconds
        self.report = Report(mode, seed, seconds)
        self.transfers: list[Transfer] = []
        self.last_acknowledged = 0.0
        self.strangers = set[int]()
        """The ids of transactions that were not the bank's."""
        self.stop = threading.Event()
        self.striker = Striker(_PACKAGES, SoftLimitError)
        self._threads, self._tasks = threads, tasks
        self._queries: Any = load_queries(_SQL)

    def rng(self, name: str) -> random.Random:
        """The chance of one worker, the same in every run with the seed."""
        return random.Random(f"{self.report.seed} {self.mode} {name}")  # noqa: S311 - not for secrets

    def run(self) -> Report:
        """Run for the seconds, then check every promise."""
        with ExitStack() as stack:
            self.server = stack.enter_context(temporary_server(find_binaries(), options=OPTIONS))
            self._create()
            self.network = Network(self.server.url(), self.rng("network"))
            stack.callback(self.network.close)
            tally = stack.enter_context(_tallied())
            self.db = Database(bank_settings(self.network.url))
            self._run_all()
            self.report.told = tally.counts
            self._check_connections_gone()
            self._check_ledger()
        self._sum_up()
        return self.report

    def side(self) -> Connection[TupleRow]:
        """A connection past the network, in autocommit mode. Waits while the server recovers from a crash."""
        deadline = time.monotonic() + _RECOVERY_SECONDS * 2
        while True:
            try:
                return psycopg.connect(self.server.url(), autocommit=True, application_name="side")
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.01)

    def _create(self) -> None:
        with self.side() as conn:
            conn.execute(_SCHEMA)
            conn.execute("INSERT INTO account SELECT n, %s FROM generate_series(1, %s) n", [FIRST_BALANCE, ACCOUNTS])

    # -- the people at work

    def _run_all(self) -> None:
        names = [f"clerk {n}" for n in range(self._threads)] + ["auditor 0", "auditor 1"]
        threads = [threading.Thread(target=self._in_thread, args=[name], name=name, daemon=True) for name in names]
        self._loop_ready = threading.Event()
        loop = threading.Thread(target=lambda: asyncio.run(self._in_loop()), name="tasks", daemon=True)
        striker = threading.Thread(target=lambda: self.striker.run(self.stop), name="striker", daemon=True)
        for thread in [*threads, loop, *([striker] if _STRIKES else [])]:
            thread.start()
        assert self._loop_ready.wait(10)
        try:
            Injector(self).run(time.monotonic() + self.seconds)
        finally:
            self.stop.set()
        deadline = time.monotonic() + _JOIN_SECONDS
        for thread in threads:
            thread.join(max(deadline - time.monotonic(), 0))
        self._broken_if_alive(threads)
        self._threads_ended.set()
        loop.join(max(deadline - time.monotonic(), 0) + 20)
        self._broken_if_alive([loop])

    def _in_thread(self, name: str) -> None:
        rng = self.rng(name)
        work = self._audit if name.startswith("auditor") else self._clerk
        while not self.stop.is_set():
            work(rng)
            time.sleep(rng.uniform(*self._pause()))

    def _pause(self) -> tuple[float, float]:
        """Between two pieces of work: longer where nothing has worked for a while."""
        return (0.0, 0.005) if time.monotonic() < self.last_acknowledged + 0.2 else (0.02, 0.1)

    async def _in_loop(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._threads_ended = threading.Event()
        self._loop_ready.set()
        names = [f"task {n}" for n in range(self._tasks)] + ["task auditor"]
        tasks = [asyncio.create_task(self._in_task(name), name=name) for name in names]
        await asyncio.to_thread(self.stop.wait)
        done, hung = await asyncio.wait(tasks, timeout=_JOIN_SECONDS)
        for task in done:
            task.result()
        for task in hung:
            stack = io.StringIO()
            task.print_stack(file=stack)
            self.report.broken.append(f"{task.get_name()} hung:\n{stack.getvalue()}")
        await asyncio.to_thread(self._threads_ended.wait, _JOIN_SECONDS)
        await self._final()
        in_use = self.db.statistics()["connections_in_use"]
        if in_use:
            self.report.broken.append(f"{in_use} connections are in use when all work has ended")
        await self.db.aclose()

    async def _in_task(self, name: str) -> None:
        rng = self.rng(name)
        work = self._audit_async if name.endswith("auditor") else self._clerk_async
        while not self.stop.is_set():
            await work(rng)
            await asyncio.sleep(rng.uniform(*self._pause()))

    async def _final(self) -> None:
        """With all faults gone a transfer succeeds, soon, for a thread and for a task."""
        rng, deadline = self.rng("final"), time.monotonic() + _RECOVERY_SECONDS
        for way in ("run", "arun"):
            while True:
                transfer = self._new(rng, way)
                transfer.refused = False
                await (asyncio.to_thread(self._make, transfer) if way == "run" else self._make_async(transfer))
                if transfer.outcome is Outcome.ACKNOWLEDGED:
                    break
                if time.monotonic() > deadline:
                    self.report.broken.append(f"no transfer by {way} succeeds after the faults: {transfer}")
                    break
                await asyncio.sleep(0.05)

    def _broken_if_alive(self, threads: list[threading.Thread]) -> None:
        frames = sys._current_frames()
        for thread in threads:
            if thread.is_alive() and thread.ident in frames:
                stack = "".join(traceback.format_stack(frames[thread.ident]))
                self.report.broken.append(f"thread {thread.name} hung:\n{stack}")

    # -- transfers

    def _new(self, rng: random.Random, way: str) -> Transfer:
        first, second = rng.sample(range(1, ACCOUNTS + 1), 2)
        # In one order there are no deadlocks; some clerks do not know that.
        order = (first, second) if rng.random() < 0.2 else (min(first, second), max(first, second))
        transfer = Transfer(
            id=UUID(int=rng.getrandbits(128)),
            way=way,
            accounts=(first, second),
            order=order,
            amount=rng.randrange(1, 20),
            nested=rng.random() < 0.1,
            whole=rng.random() < 0.15,
            refused=rng.random() < 0.03,
            began=time.monotonic(),
        )
        self.transfers.append(transfer)
        return transfer

    def _steps(self, transfer: Transfer) -> Generator[tuple[str, dict[str, Any]], Any, None]:
        """The queries of a transfer, for a driver that sends in what each of them gives."""
        if transfer.whole:
            yield "make_transfer", self._entry(transfer, transfer.id)
            yield "read_balance", {"id": transfer.accounts[0]}
            if transfer.refused:
                raise RefusedError
            return
        read = "lock_balance" if self.mode == "read committed" else "read_balance"
        balances: dict[int, int] = {}
        for account in transfer.order:
            balances[account] = yield read, {"id": account}
        source, target = transfer.accounts
        yield "enter_transfer", self._entry(transfer, transfer.id)
        yield "set_balance", {"id": source, "balance": balances[source] - transfer.amount}
        if transfer.refused:
            raise RefusedError
        yield "set_balance", {"id": target, "balance": balances[target] + transfer.amount}

    def _entry(self, transfer: Transfer, name: UUID) -> dict[str, Any]:
        source, target = transfer.accounts
        return {"transfer": name, "source": source, "target": target, "amount": transfer.amount}

    def _undone_entry(self, transfer: Transfer) -> dict[str, Any]:
        """Of a name that no transfer has, so that it is found if it is ever committed."""
        return self._entry(transfer, UUID(int=transfer.id.int ^ 1))

    def _work(self, conn: Connection[TupleRow], transfer: Transfer) -> None:
        transfer.calls += 1
        transfer.note(f"call {transfer.calls} on {conn.info.backend_pid}")
        if transfer.nested:
            with suppress(_UndoneError), self.db.transaction() as inner:
                self._queries.enter_transfer(inner, **self._undone_entry(transfer))
                raise _UndoneError
        steps, answer = self._steps(transfer), None
        with suppress(StopIteration):
            while True:
                name, parameters = steps.send(answer)
                answer = getattr(self._queries, name)(conn, **parameters)

    async def _work_async(self, conn: AsyncConnection[TupleRow], transfer: Transfer) -> None:
        transfer.calls += 1
        transfer.note(f"call {transfer.calls} on {conn.info.backend_pid}")
        if transfer.nested:
            with suppress(_UndoneError):
                async with self.db.transaction() as inner:
                    await self._queries.enter_transfer(inner, **self._undone_entry(transfer))
                    raise _UndoneError
        steps, answer = self._steps(transfer), None
        while True:
            try:
                name, parameters = steps.send(answer)
            except StopIteration:
                return
            answer = await getattr(self._queries, name)(conn, **parameters)

    def _clerk(self, rng: random.Random) -> None:
        ways = ["run", "run", "run", "run in a deadline", "run in a deadline", "block", "block"]
        self._make(self._new(rng, rng.choice([*ways, *_ODD_WAYS])))

    def _make(self, transfer: Transfer) -> None:
        with self._settled(transfer):
            if transfer.way == "block":
                with self.db.transaction(isolation=self.mode) as conn:
                    self._work(conn, transfer)
            elif transfer.way == "run in a deadline":
                with rowsmith.deadline(_DEADLINE_SECONDS):
                    self._run(lambda conn: self._work(conn, transfer))
            elif transfer.way == "interrupted":
                with self.striker.striking(self._moment(transfer)):
                    self._run(lambda conn: self._work(conn, transfer))
            elif transfer.way == "abandoned":
                self._abandon(transfer)
            elif transfer.way == "in a generator":
                with closing(self._generate(transfer)) as rows:
                    for _ in rows:
                        if transfer.refused:
                            raise RefusedError
            else:
                self._run(lambda conn: self._work(conn, transfer))

    def _moment(self, transfer: Transfer) -> float:
        return _LONGEST_SECONDS * (transfer.id.int % 1000) / 1000

    def _abandon(self, transfer: Transfer) -> None:
        """Leave the block open, with nobody to refer to it."""
        block = self.db.transaction(isolation=self.mode)
        try:
            self._work(block.__enter__(), transfer)
        finally:
            del block
        transfer.refused = True
        raise RefusedError

    def _generate(self, transfer: Transfer) -> Generator[None]:
        """The transfer in a block of a generator, which is closed early if the transfer is refused."""
        refused, transfer.refused = transfer.refused, False
        with self.db.transaction(isolation=self.mode) as conn:
            self._work(conn, transfer)
            transfer.refused = refused
            yield

    async def _clerk_async(self, rng: random.Random) -> None:
        ways = ["arun", "arun", "arun", "arun in a deadline", "ablock", "ablock", "arun, cancelled", "arun, cancelled"]
        way = rng.choice([*ways, *_ODD_WAYS])
        making = asyncio.ensure_future(self._make_async(self._new(rng, way)))
        if way == "arun, cancelled":
            await asyncio.sleep(rng.uniform(0, 0.05))
            making.cancel()
        await making

    async def _make_async(self, transfer: Transfer) -> None:
        with self._settled(transfer):
            if transfer.way == "ablock":
                async with self.db.transaction(isolation=self.mode) as conn:
                    await self._work_async(conn, transfer)
            elif transfer.way == "arun in a deadline":
                with rowsmith.deadline(_DEADLINE_SECONDS):
                    await self._arun(lambda conn: self._work_async(conn, transfer))
            elif transfer.way == "interrupted":
                with self.striker.striking(self._moment(transfer), asyncio.current_task()):
                    await self._arun(lambda conn: self._work_async(conn, transfer))
            elif transfer.way == "abandoned":
                await self._abandon_async(transfer)
            elif transfer.way == "in a generator":
                async with aclosing(self._generate_async(transfer)) as rows:
                    async for _ in rows:
                        if transfer.refused:
                            raise RefusedError
            else:
                await self._arun(lambda conn: self._work_async(conn, transfer))

    async def _abandon_async(self, transfer: Transfer) -> None:
        block = self.db.transaction(isolation=self.mode)
        try:
            await self._work_async(await block.__aenter__(), transfer)
        finally:
            del block
        transfer.refused = True
        raise RefusedError

    async def _generate_async(self, transfer: Transfer) -> AsyncGenerator[None]:
        refused, transfer.refused = transfer.refused, False
        async with self.db.transaction(isolation=self.mode) as conn:
            await self._work_async(conn, transfer)
            transfer.refused = refused
            yield

    def _run(self, work: Callable[[Connection[TupleRow]], _T]) -> _T:
        return self.db.run(work, isolation=self.mode, timeout=_RUN_SECONDS)

    async def _arun(self, work: Callable[[AsyncConnection[TupleRow]], Awaitable[_T]]) -> _T:
        return await self.db.arun(work, isolation=self.mode, timeout=_RUN_SECONDS)

    @contextmanager
    def _settled(self, transfer: Transfer) -> Generator[None]:
        """Note how a transfer ends. An error that is no consequence of a fault is a broken promise."""
        transfer.began = time.monotonic()
        try:
            yield
        except CommitUnknownError as error:
            transfer.settle(Outcome.UNKNOWN, error)
        except (asyncio.CancelledError, SoftLimitError) as error:
            transfer.settle(Outcome.ABANDONED, error)
        except BaseException as error:  # noqa: BLE001 - each is judged, and those that have no excuse are reported
            transfer.settle(Outcome.FAILED, error)
            if not (isinstance(error, RefusedError) and transfer.refused):
                self._judge(error, str(transfer))
        else:
            transfer.settle(Outcome.ACKNOWLEDGED)
            self.last_acknowledged = time.monotonic()
            if transfer.refused:
                self.report.broken.append(f"the application's own error was swallowed: {transfer}")
        self._time(transfer)

    def _time(self, transfer: Transfer) -> None:
        took, longest = time.monotonic() - transfer.began, self.report.longest
        longest[transfer.way] = max(longest[transfer.way], round(took * 1000))
        bound = _DEADLINE_SECONDS if "deadline" in transfer.way else _RUN_SECONDS
        if "block" not in transfer.way and took > bound + _LATENESS_SECONDS:
            self.report.broken.append(f"{took:.1f} s for a deadline of {bound} s: {transfer}")

    def _judge(self, error: BaseException, what: str) -> None:
        self.report.errors[_named(error)] += 1
        # A lost connection is an OperationalError, as are timeouts of the pool, cancelled statements and deadlocks.
        if not isinstance(error, (psycopg.OperationalError, DeadlineExceededError)):
            self.report.broken.append(f"no error of a fault: {what}\n{''.join(traceback.format_exception(error))}")

    # -- audits

    def _audit(self, rng: random.Random) -> None:
        with self._audited():
            if rng.random() < 0.5:
                with self.db.connection() as conn:
                    self._check_total(self._queries.total(conn), "in one statement")
            else:
                options: dict[str, Any] = {"isolation": "repeatable read", "read_only": True}
                total = self.db.run(self._halves, timeout=_RUN_SECONDS, **options)
                self._check_total(total, "in two statements")

    def _halves(self, conn: Connection[TupleRow]) -> int:
        odd: int = self._queries.total_of_half(conn, odd=1)
        time.sleep(0.002)
        return odd + int(self._queries.total_of_half(conn, odd=0))

    async def _audit_async(self, rng: random.Random) -> None:
        with self._audited():
            if rng.random() < 0.5:
                async with self.db.connection() as conn:
                    self._check_total(await self._queries.total(conn), "in one statement of a task")
            else:
                options: dict[str, Any] = {"isolation": "repeatable read", "read_only": True}
                total = await self.db.arun(self._halves_async, timeout=_RUN_SECONDS, **options)
                self._check_total(total, "in two statements of a task")

    async def _halves_async(self, conn: AsyncConnection[TupleRow]) -> int:
        odd: int = await self._queries.total_of_half(conn, odd=1)
        await asyncio.sleep(0.002)
        return odd + int(await self._queries.total_of_half(conn, odd=0))

    @contextmanager
    def _audited(self) -> Generator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - each is judged
            self._judge(error, "an audit")
        else:
            self.report.audits += 1

    def _check_total(self, total: object, how: str) -> None:
        if total != TOTAL:
            self.report.broken.append(f"{total!r} in all accounts instead of {TOTAL}, added up {how}")

    # -- what must be true in the end

    def _check_connections_gone(self) -> None:
        query = "SELECT pid, state, query FROM pg_stat_activity WHERE application_name = 'bank'"
        deadline = time.monotonic() + 5
        with self.side() as conn:
            while left := conn.execute(query).fetchall():
                if time.monotonic() > deadline:
                    self.report.broken.append(f"sessions are left on the server after close: {left}")
                    return
                time.sleep(0.05)

    def _check_ledger(self) -> None:
        with self.side() as conn:
            rows = conn.execute("SELECT id, balance FROM account").fetchall()
            balances: dict[int, int] = {row[0]: row[1] for row in rows}
            entries = conn.execute("SELECT transfer, source, target, amount, xmin::text FROM ledger").fetchall()
            self._check_unknown(conn, {row[0]: int(row[-1]) for row in entries})
        expected = Counter(dict.fromkeys(range(1, ACCOUNTS + 1), FIRST_BALANCE))
        for _, source, target, amount, _ in entries:
            expected[source] -= amount
            expected[target] += amount
        if wrong := {id_: (found, expected[id_]) for id_, found in balances.items() if found != expected[id_]}:
            self.report.broken.append(f"accounts that do not agree with the ledger (balance, by ledger): {wrong}")
        self._check_total(sum(balances.values()), "at the end")
        found: dict[UUID, list[tuple[Any, ...]]] = {}
        for name, *entry in entries:
            found.setdefault(name, []).append(tuple(entry))
        for transfer in self.transfers:
            self._check_transfer(transfer, found.pop(transfer.id, []))
        for name, rows in found.items():
            self.report.broken.append(f"the ledger has {name}, which was rolled back: {rows}")

    def _check_transfer(self, transfer: Transfer, entries: list[tuple[Any, ...]]) -> None:
        self.report.outcomes[transfer.outcome] += 1
        self.report.again += max(transfer.calls - 1, 0)
        if transfer.outcome is Outcome.PENDING:
            self.report.broken.append(f"never ended: {transfer}")
        if len(entries) not in _ENTRIES[transfer.outcome]:
            self.report.broken.append(f"{len(entries)} times in the ledger {entries}: {transfer}")
        if any(entry[:3] != (*transfer.accounts, transfer.amount) for entry in entries):
            self.report.broken.append(f"another entry in the ledger {entries}: {transfer}")

    def _check_unknown(self, conn: Connection[TupleRow], entered: Mapping[UUID, int]) -> None:
        """The transaction id that the error carries tells what became of it, where no crash gave it to another."""
        for transfer in self.transfers:
            if transfer.outcome is not Outcome.UNKNOWN:
                continue
            id_, status = transfer.transaction_id, "no id"
            if id_ is not None:
                status = self._status(conn, id_)
                taken = id_ in self.strangers or id_ in entered.values()
                if transfer.id not in entered and status == "committed" and taken:
                    status = "its id given to another"
                elif (status == "committed") != (entered.get(transfer.id) == id_):
                    self.report.broken.append(f"its transaction {id_} is {status}, the ledger says no: {transfer}")
            self.report.unknown[status] += 1

    def _status(self, conn: Connection[TupleRow], transaction_id: int) -> str:
        try:
            row = conn.execute("SELECT pg_xact_status(%s::text::xid8)", [str(transaction_id)]).fetchone()
        except psycopg.errors.InvalidParameterValue:  # one that a crash forgot, and that was not given out again
            return "in the future"
        return str(row and row[0])

    def _sum_up(self) -> None:
        report = self.report
        if not report.outcomes[Outcome.ACKNOWLEDGED] or not report.audits or not report.faults:
            report.broken.append("nothing happened that could have gone wrong")


class Injector:
    """Breaks something, waits a moment, breaks something else."""

    def __init__(self, bank: Bank) -> None:
        self._bank, self._network = bank, bank.network
        self._rng = bank.rng("injector")
        self._faults: list[tuple[str, int, Callable[[], None]]] = [
            ("all links cut", 2, self._network.cut),
            ("one link cut", 4, lambda: self._network.cut(1)),
            ("black hole, then resumed", 2, self._black_hole),
            ("black hole, then cut", 2, self._black_hole_and_cut),
            ("latency", 3, self._latency),
            ("connections refused", 1, self._refuse),
            ("backends terminated", 3, lambda: self._signal("pg_terminate_backend")),
            ("statements cancelled", 3, lambda: self._signal("pg_cancel_backend")),
            ("pool exhausted by threads", 1, self._exhaust),
            ("pool exhausted by tasks", 1, self._exhaust_async),
            *((kind, 2, lambda kind=kind: self._network.trap(kind)) for kind in TRAPS),
        ]
        self._stops: dict[str, Callable[[], None]] = {
            "server crash before many COMMITs": self._crash_before_commits,
            "server crash": lambda: self._restart("immediate"),
            "server restart": lambda: self._restart("fast"),
            "backend killed": self._kill_backend,
        }

    def run(self, until: float) -> None:
        """Inject until that time, on the monotonic clock, then put everything right."""
        next_stop = time.monotonic() + self._rng.uniform(2, 4)
        stops = 0
        names, weights, actions = zip(*self._faults, strict=True)
        while (now := time.monotonic()) < until and not self._bank.stop.is_set():
            self._bank.stop.wait(self._rng.uniform(0.02, 0.25))
            if now >= next_stop:
                self._stop_server(stops)
                stops += 1
                next_stop = time.monotonic() + self._rng.uniform(4, 12)
                continue
            (chosen,) = self._rng.choices(range(len(names)), weights)
            if names[chosen] not in TRAPS:  # those count when they are sprung
                self._bank.report.faults[names[chosen]] += 1
            actions[chosen]()
        self._network.disarm()
        self._network.thaw()
        self._bank.report.faults.update(self._network.sprung)
        self._bank.report.faults["exceptions from outside"] = self._bank.striker.strikes

    def _stop_server(self, stops: int) -> None:
        # The worst one first, so that a short run has it as well.
        name = self._rng.choice(list(self._stops)) if stops else "server crash before many COMMITs"
        self._bank.report.faults[name] += 1
        self._network.disarm()
        self._stops[name]()
        returned = time.monotonic()
        while self._bank.last_acknowledged < returned and time.monotonic() < returned + _RECOVERY_SECONDS:
            time.sleep(0.01)
        self._bank.report.recoveries.append(time.monotonic() - returned)
        if self._bank.last_acknowledged < returned:
            self._bank.report.broken.append(f"no transfer in {_RECOVERY_SECONDS} s after the server's return: {name}")

    def _restart(self, how: str) -> None:
        server = self._bank.server
        server._pg_ctl("stop", "-w", "-m", how, "-t", "30")
        time.sleep(self._rng.uniform(0, 0.5))
        server.start(options=OPTIONS)

    def _crash_before_commits(self) -> None:
        """All transactions are on their way to the end then, and the server's log has none of them.

        Their ids are given out again, and a stranger who is quicker than the bank commits under them.
        """
        self._network.hold_commits()
        time.sleep(self._rng.uniform(0.1, 0.4))
        self._network.refuses = True
        self._restart("immediate")
        with self._bank.side() as conn:
            for _ in range(20):
                row = conn.execute("SELECT pg_current_xact_id()::text").fetchone()
                assert row is not None
                self._bank.strangers.add(int(row[0]))
        self._network.refuses = False
        self._network.cut()
        self._network.thaw()

    def _kill_backend(self) -> None:
        """The kernel's out-of-memory killer does this: the server ends all sessions, and recovers by itself."""
        for pid in self._backends(1):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
        self._bank.side().close()

    def _backends(self, most: int) -> list[int]:
        pids: list[int] = []
        with suppress(psycopg.OperationalError), self._bank.side() as conn:  # a backend was killed a moment ago
            rows = conn.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'bank'").fetchall()
            pids = [pid for (pid,) in rows]
        return self._rng.sample(pids, min(most, len(pids)))

    def _signal(self, function: str) -> None:
        pids = self._backends(self._rng.choice([1, 1, 3, 20]))
        with suppress(psycopg.OperationalError), self._bank.side() as conn:
            conn.execute(f"SELECT {function}(pid) FROM unnest(%s::int[]) AS pid".encode(), [pids])

    def _black_hole(self) -> None:
        self._network.freeze()
        time.sleep(self._rng.uniform(0.1, 1.5))
        self._network.thaw()

    def _black_hole_and_cut(self) -> None:
        self._network.freeze()
        time.sleep(self._rng.uniform(0.1, 1.5))
        self._network.cut()
        self._network.thaw()

    def _latency(self) -> None:
        self._network.latency = self._rng.choice([0.005, 0.05])
        time.sleep(0.5)
        self._network.latency = 0.0

    def _refuse(self) -> None:
        self._network.refuses = True
        self._network.cut()
        time.sleep(self._rng.uniform(0.1, 0.8))
        self._network.refuses = False

    def _exhaust(self) -> None:
        def hold() -> None:
            with suppress(psycopg.OperationalError), self._bank.db.connection():
                time.sleep(0.5)

        holders = [threading.Thread(target=hold, daemon=True) for _ in range(8)]
        for each in holders:
            each.start()
        for each in holders:
            each.join(10)
        self._bank._broken_if_alive(holders)

    def _exhaust_async(self) -> None:
        async def hold() -> None:
            with suppress(psycopg.OperationalError):
                async with self._bank.db.connection():
                    await asyncio.sleep(0.5)

        async def hold_all() -> None:
            await asyncio.gather(*(hold() for _ in range(8)))

        try:
            asyncio.run_coroutine_threadsafe(hold_all(), self._bank.loop).result(20)
        except TimeoutError:
            self._bank.report.broken.append(f"the pool of the tasks hangs:\n{_stacks(self._bank.loop)}")
            self._bank.stop.set()


def _stacks(loop: asyncio.AbstractEventLoop) -> str:
    """Where each task of a loop waits."""
    stacks = io.StringIO()
    for task in asyncio.all_tasks(loop):
        task.print_stack(file=stacks)
    return stacks.getvalue()

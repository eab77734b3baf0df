"""Steps of PostgreSQL's protocol as generators for a connection's `wait()`, the way psycopg writes its own.

One generator serves threads and tasks: it yields where it has to wait for the socket, and the connection waits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import psycopg
from psycopg import errors, generators
from psycopg.abc import Buffer, PQGen
from psycopg.pq import ConnStatus, ExecStatus, Format, PipelineStatus, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult

# As plain numbers, since a comparison with a member of an IntEnum takes longer.
_COMMAND_OK, _TUPLES_OK = int(ExecStatus.COMMAND_OK), int(ExecStatus.TUPLES_OK)
_FATAL_ERROR, _PIPELINE_SYNC = int(ExecStatus.FATAL_ERROR), int(ExecStatus.PIPELINE_SYNC)
_WELL = (_COMMAND_OK, _TUPLES_OK)
_SAVEPOINT = b"rowsmith_prepare"
_OUTDATED = {"26000", "42804", "42883", "42846", "42725", "42P08", "42P18", "XX000"}
TRANSACTION_ID = b" ".join([
    b"SELECT pg_catalog.pg_current_xact_id_if_assigned(), pg_catalog.clock_timestamp(),",
    b"CASE WHEN NOT pg_catalog.pg_is_in_recovery()",
    b"THEN pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 8) END,",
    b"pg_catalog.pg_backend_pid()",
])  # fmt: skip
"""A transaction's id, NULL where it has written nothing; the server's time; its timeline, which a failover changes
(NULL on a standby, where nothing is written); the process."""


class Prepared(Protocol):
    """A prepared statement, as far as sending it goes."""

    @property
    def name(self) -> bytes: ...

    @property
    def formats(self) -> Sequence[Format]:
        """Of its parameters."""
        ...

    @property
    def format(self) -> Format:
        """Of its result."""
        ...


def command(pgconn: PGconn, text: bytes) -> PQGen[PGresult]:
    """Run a command without parameters. Raises psycopg.Error."""
    pgconn.send_query(text)
    return _checked(pgconn, (yield from generators.execute(pgconn)))


def prepare(pgconn: PGconn, name: bytes, text: bytes) -> PQGen[PGresult]:
    """Prepare a statement; its description: the types of its parameters and columns. Raises psycopg.Error."""
    pgconn.send_prepare(name, text)
    _checked(pgconn, (yield from generators.execute(pgconn)))
    pgconn.send_describe_prepared(name)
    return _checked(pgconn, (yield from generators.execute(pgconn)))


def try_to_prepare(pgconn: PGconn, name: bytes, text: bytes) -> PQGen[PGresult]:
    """As `prepare`. A transaction that is open goes on where it fails. Raises psycopg.Error."""
    if pgconn.transaction_status == TransactionStatus.IDLE:
        return (yield from prepare(pgconn, name, text))
    yield from command(pgconn, b"SAVEPOINT " + _SAVEPOINT)
    try:
        return (yield from prepare(pgconn, name, text))
    except psycopg.Error:
        yield from command(pgconn, b"ROLLBACK TO SAVEPOINT " + _SAVEPOINT)
        raise
    finally:
        if pgconn.transaction_status == TransactionStatus.INTRANS:
            yield from command(pgconn, b"RELEASE SAVEPOINT " + _SAVEPOINT)


class Begin(NamedTuple):
    """How a transaction begins: the command, and settings that hold in it, as names and values by turns."""

    text: bytes
    settings: tuple[bytes, ...] = ()

    def set_config(self) -> bytes:
        """The statement that sets them, values as parameters (manual, "System Administration Functions")."""
        calls = (b"set_config($%d, $%d, true)" % (place, place + 1) for place in range(1, len(self.settings), 2))
        return b"SELECT " + b", ".join(calls)


def begin(pgconn: PGconn, how: Begin) -> PQGen[None]:
    """Begin a transaction. Raises psycopg.Error."""
    yield from command(pgconn, how.text)
    if how.settings:
        pgconn.send_query_params(how.set_config(), how.settings)
        _checked(pgconn, (yield from generators.execute(pgconn)))


def send_in_transaction(
    pgconn: PGconn, how: Begin | None, statement: Prepared, values: Sequence[Buffer | None], *, traced: bool
) -> int:
    """Send a prepared statement, as a pipeline with what begins its transaction and, if `traced`, what asks for the
    transaction's id afterwards. The number of answers that come: those, and the end of the pipeline.
    """
    parts = 2
    pgconn.enter_pipeline_mode()
    if how is not None:
        pgconn.send_query_params(how.text, None)
        parts += 1
        if how.settings:
            pgconn.send_query_params(how.set_config(), how.settings)
            parts += 1
    pgconn.send_query_prepared(statement.name, values, statement.formats, statement.format)
    if traced:
        pgconn.send_query_params(TRANSACTION_ID, None)
        parts += 1
    pgconn.pipeline_sync()
    return parts


def send_traced_commit(pgconn: PGconn) -> None:
    """Send COMMIT behind a question for the transaction's id, whose answer comes first. Three answers come."""
    pgconn.enter_pipeline_mode()
    pgconn.send_query_params(TRANSACTION_ID, None)
    pgconn.send_flush_request()
    pgconn.send_query_params(b"COMMIT", None)
    pgconn.pipeline_sync()


class Mark(NamedTuple):
    """The answer to TRANSACTION_ID."""

    transaction_id: int | None
    at: str
    timeline: str
    process: int


def mark(result: PGresult) -> Mark:
    """What is answered."""
    number, at, timeline, process = (result.get_value(0, column) for column in range(4))
    xid = None if number is None else int(number)
    return Mark(xid, (at or b"").decode(), (timeline or b"").decode(), int(process or 0))


def collect(pgconn: PGconn, results: list[PGresult], parts: int) -> int:
    """Keep the results that have arrived, of so many commands; the number of those that have not ended.

    The end of a pipeline is one of them.
    """
    while parts and not pgconn.is_busy():
        result = pgconn.get_result()
        if result is None:
            parts -= 1
        else:
            results.append(result)
            if result.status == _PIPELINE_SYNC:
                parts -= 1
    return parts


def answered(results: Sequence[PGresult], parts: int) -> bool:
    """Whether all went well in a pipeline of so many commands, its end being one."""
    return len(results) == parts and results[-2].status == _TUPLES_OK


def go_on(pgconn: PGconn, results: Sequence[PGresult]) -> bool:
    """Read what has arrived. False where the connection ended with an error of the server's that was read before.

    Raises psycopg.OperationalError where it ended without one.
    """
    try:
        pgconn.consume_input()
    except psycopg.OperationalError:
        if not any(result.status == ExecStatus.FATAL_ERROR for result in results):
            raise
        return False
    return True


def leave_pipeline(pgconn: PGconn) -> None:
    """Leave the pipeline mode, where there still is a connection."""
    if pgconn.status == ConnStatus.OK:
        pgconn.exit_pipeline_mode()


def drain(pgconn: PGconn) -> PQGen[None]:
    """Read what is still to come of a statement, or of a pipeline, and leave it."""
    yield from generators.send(pgconn)  # a large value may have been left half sent
    results = yield from generators.fetch_many(pgconn)
    while pgconn.pipeline_status != PipelineStatus.OFF:
        if results and results[-1].status == ExecStatus.PIPELINE_SYNC:
            pgconn.exit_pipeline_mode()
        else:
            results = yield from generators.fetch_many(pgconn)


def rest(pgconn: PGconn, *read: PGresult | None) -> PQGen[PGresult]:
    """What decides, of a first result and those that follow it: an error, also where the connection ended with it."""
    results = [result for result in read if result is not None]
    try:
        results += yield from generators.fetch_many(pgconn)
    except psycopg.DatabaseError:
        if not any(result.status == ExecStatus.FATAL_ERROR for result in results):
            raise
    return decisive(results)


def decisive(results: Sequence[PGresult]) -> PGresult:
    """The first error among the results, else the last of them; the end of a pipeline is none."""
    last = None
    for result in results:
        status = result.status
        if status == _FATAL_ERROR:
            return result
        if status != _PIPELINE_SYNC:
            last = result
    if last is None:
        raise psycopg.InternalError("got no result from the query")
    return last


def command_tag(pgconn: PGconn, result: PGresult) -> str:
    """The tag of a command that went well, such as `COMMIT`. Raises psycopg.Error where it did not."""
    if result.status not in _WELL:
        raise error_of(pgconn, result)
    return (result.command_status or b"").decode()


def is_plain(result: PGresult) -> bool:
    """Whether a command read or changed rows, and nothing else: by its tag (protocol, CommandComplete)."""
    if result.status == _TUPLES_OK:
        return True
    return (result.command_status or b"")[:6] in (b"INSERT", b"UPDATE", b"DELETE", b"MERGE ")


def wrote(result: PGresult) -> bool:
    """Whether the tag of a statement that went well is another one than SELECT."""
    return (result.command_status or b"")[:6] != b"SELECT"


def error_of(pgconn: PGconn, result: PGresult) -> psycopg.Error:
    """psycopg's error for a result that is none of a statement that went well."""
    if result.status == ExecStatus.FATAL_ERROR:
        encoding = psycopg.ConnectionInfo(pgconn).encoding
        return errors.error_from_result(result, encoding=encoding)
    if result.status in (ExecStatus.COPY_IN, ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH):
        return psycopg.ProgrammingError("COPY cannot be used with this method; use copy() instead")
    if result.status == ExecStatus.EMPTY_QUERY:
        return psycopg.ProgrammingError("the statement is empty")
    return psycopg.InternalError(f"unexpected result status from query: {ExecStatus(result.status).name}")


def is_replanned(error: psycopg.Error) -> bool:
    """Whether the server has a statement no more, or only with another result: nothing of it has run."""
    if isinstance(error, errors.FeatureNotSupported):
        return error.diag.source_function == "RevalidateCachedQuery"
    return isinstance(error, errors.InvalidSqlStatementName) and error.diag.context is None


def is_outdated(error: psycopg.Error) -> bool:
    """Whether an error may come from how a statement was prepared, while the same text, prepared now, runs.

    The server does not have it any more (26000), or analyses it anew because a table or a type has changed, and does
    not get by with the types that its parameters have (class 42, XX000), or gives another result (0A000, which has
    other meanings too; this one comes from RevalidateCachedQuery of PostgreSQL's plancache.c). All of that is before
    anything of the statement runs, unless a function that it calls says the same of its own statements.
    """
    if is_replanned(error):
        return True
    # An error of a function that was called says so in its context; that of a type that is gone has a parameter there.
    return error.sqlstate == "XX000" or (error.sqlstate in _OUTDATED and error.diag.context is None)


def _checked(pgconn: PGconn, results: Sequence[PGresult]) -> PGresult:
    result = decisive(results)
    if result.status not in _WELL:
        raise error_of(pgconn, result)
    return result

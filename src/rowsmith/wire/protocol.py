"""PostgreSQL's protocol: what is sent in one round trip, and what the results mean.

The generators are for a connection's `wait()`, like psycopg's own. They yield when they have to wait for the socket, so
one generator serves both threads and tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import psycopg
from psycopg import capabilities, errors, generators
from psycopg.abc import Buffer, PQGen
from psycopg.pq import ConnStatus, ExecStatus, Format, PGnotify, PipelineStatus, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult

# Plain integers: comparing with a member of an IntEnum takes longer.
_COMMAND_OK, _TUPLES_OK = int(ExecStatus.COMMAND_OK), int(ExecStatus.TUPLES_OK)
_FATAL_ERROR, _PIPELINE_SYNC = int(ExecStatus.FATAL_ERROR), int(ExecStatus.PIPELINE_SYNC)
_SUCCESS = (_COMMAND_OK, _TUPLES_OK)
_SAVEPOINT = b"rowsmith_prepare"
_CAN_CLOSE = capabilities.has_send_close_prepared()  # libpq 17
_OUTDATED = {"26000", "42804", "42883", "42846", "42725", "42P08", "42P18", "XX000"}
TRANSACTION_ID = b" ".join([
    b"SELECT pg_catalog.pg_current_xact_id_if_assigned(), pg_catalog.clock_timestamp(),",
    b"CASE WHEN NOT pg_catalog.pg_is_in_recovery()",
    b"THEN pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 8) END,",
    b"pg_catalog.pg_backend_pid()",
])  # fmt: skip
"""Asks for the transaction's id (NULL if it has written nothing), the server's time, its timeline, which a failover
changes (NULL on a standby, where nothing can be written), and the process id."""


class Begin(NamedTuple):
    """How a transaction begins: the command, and its settings as alternating names and values."""

    text: bytes
    settings: tuple[bytes, ...] = ()

    def set_config(self) -> bytes:
        """The statement for the settings, which are its parameters (manual, "System Administration Functions")."""
        calls = (b"set_config($%d, $%d, true)" % (number, number + 1) for number in range(1, len(self.settings), 2))
        return b"SELECT " + b", ".join(calls)


class Prepared(Protocol):
    """A prepared statement: what it takes to send it."""

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


# --- for a connection's wait() ---


def prepare(pgconn: PGconn, name: bytes, text: bytes, surplus: bytes | None = None) -> PQGen[PGresult]:
    """Prepare a statement and return its description: the types of its parameters and columns. Raises psycopg.Error.

    `surplus` is the name of a statement that is deallocated in the same round trip.
    """
    if surplus is not None and not _CAN_CLOSE:
        yield from _command(pgconn, b"DEALLOCATE " + surplus)
    elif surplus is not None:
        return (yield from _replace(pgconn, surplus, name, text))
    pgconn.send_prepare(name, text)
    yield from _result(pgconn)
    pgconn.send_describe_prepared(name)
    return (yield from _result(pgconn))


def _replace(pgconn: PGconn, old: bytes, name: bytes, text: bytes) -> PQGen[PGresult]:
    """Unlike the command DEALLOCATE, a Close message for a statement that is gone already is no error."""
    pgconn.enter_pipeline_mode()
    pgconn.send_close_prepared(old)
    pgconn.send_prepare(name, text)
    pgconn.send_describe_prepared(name)
    pgconn.pipeline_sync()
    yield from generators.send(pgconn)
    results: list[PGresult] = []
    while not results or results[-1].status != _PIPELINE_SYNC:
        results += yield from generators.fetch_many(pgconn)
    pgconn.exit_pipeline_mode()
    return succeeded(pgconn, results)


def try_to_prepare(pgconn: PGconn, name: bytes, text: bytes, surplus: bytes | None = None) -> PQGen[PGresult]:
    """Like `prepare`, but an open transaction stays usable if it fails. Raises psycopg.Error."""
    if pgconn.transaction_status == TransactionStatus.IDLE:
        return (yield from prepare(pgconn, name, text, surplus))
    yield from _command(pgconn, b"SAVEPOINT " + _SAVEPOINT)
    try:
        description = yield from prepare(pgconn, name, text, surplus)
    except psycopg.Error:
        yield from _command(pgconn, b"ROLLBACK TO SAVEPOINT " + _SAVEPOINT)
        yield from _command(pgconn, b"RELEASE SAVEPOINT " + _SAVEPOINT)
        raise
    yield from _command(pgconn, b"RELEASE SAVEPOINT " + _SAVEPOINT)
    return description


def begin(pgconn: PGconn, how: Begin) -> PQGen[None]:
    """Begin a transaction. Raises psycopg.Error."""
    yield from _command(pgconn, how.text)
    if how.settings:
        pgconn.send_query_params(how.set_config(), how.settings)
        yield from _result(pgconn)


def drain(pgconn: PGconn) -> PQGen[None]:
    """Read and discard the rest of a statement or pipeline, and leave pipeline mode.

    Raises psycopg.OperationalError if the end of the pipeline was never sent.
    """
    yield from generators.send(pgconn)  # a large value may have been sent in part
    results = yield from generators.fetch_many(pgconn)
    while pgconn.pipeline_status != PipelineStatus.OFF:
        if results and results[-1].status == ExecStatus.PIPELINE_SYNC:
            pgconn.exit_pipeline_mode()
            return
        before, results = results, (yield from generators.fetch_many(pgconn))
        if not before and not results:  # one of them may be the end of a statement
            raise psycopg.OperationalError("the pipeline was interrupted before its end was sent")


def rest(pgconn: PGconn, *read: PGresult | None) -> PQGen[PGresult]:
    """Read the results that follow those already read. Returns the decisive one, even if the connection then ended."""
    results = [result for result in read if result is not None]
    try:
        results += yield from generators.fetch_many(pgconn)
    except psycopg.DatabaseError:
        if not any(result.status == ExecStatus.FATAL_ERROR for result in results):
            raise
    return decisive(results)


def _command(pgconn: PGconn, text: bytes) -> PQGen[PGresult]:
    pgconn.send_query(text)
    return (yield from _result(pgconn))


def _result(pgconn: PGconn) -> PQGen[PGresult]:
    return succeeded(pgconn, (yield from generators.execute(pgconn)))


# --- sending ---


def send_in_transaction(
    pgconn: PGconn, how: Begin | None, statement: Prepared, values: Sequence[Buffer | None], *, ask_id: bool
) -> int:
    """Send, as one pipeline, BEGIN (if `how` is given), a prepared statement, and TRANSACTION_ID (if `ask_id`).

    Returns the number of answers to expect, including the one that ends the pipeline.
    """
    parts = 2
    try:
        pgconn.enter_pipeline_mode()
        if how is not None:
            pgconn.send_query_params(how.text, None)
            parts += 1
            if how.settings:
                pgconn.send_query_params(how.set_config(), how.settings)
                parts += 1
        pgconn.send_query_prepared(statement.name, values, statement.formats, statement.format)
        if ask_id:
            pgconn.send_query_params(TRANSACTION_ID, None)
            parts += 1
        pgconn.pipeline_sync()
    except BaseException:
        pgconn.finish()  # the server would wait for the end of the pipeline
        raise
    return parts


def send_id_and_commit(pgconn: PGconn) -> int:
    """Send TRANSACTION_ID and COMMIT. The first answer arrives before COMMIT runs. Returns the number of answers."""
    try:
        pgconn.enter_pipeline_mode()
        pgconn.send_query_params(TRANSACTION_ID, None)
        pgconn.send_flush_request()
        pgconn.send_query_params(b"COMMIT", None)
        pgconn.pipeline_sync()
    except BaseException:
        pgconn.finish()
        raise
    return 3


def send_command(pgconn: PGconn, text: bytes, values: Sequence[bytes]) -> int:
    """Send a command, also inside a user's pipeline that has nothing under way. Returns the number of answers.

    Without values it is sent by the simple protocol, which takes several commands in one text.
    """
    if pgconn.pipeline_status != PipelineStatus.OFF:
        pgconn.send_query_params(text, values or None)
        pgconn.pipeline_sync()
        return 2
    if values:
        pgconn.send_query_params(text, values)
    else:
        pgconn.send_query(text)
    return 1


# --- receiving ---


def collect(pgconn: PGconn, results: list[PGresult], parts: int) -> int:
    """Append the results that have arrived. Returns how many of the answers are still to come."""
    while parts and not pgconn.is_busy():
        result = pgconn.get_result()
        if result is None:
            parts -= 1
        else:
            results.append(result)
            if result.status == _PIPELINE_SYNC:
                parts -= 1
    return parts


def read_on(pgconn: PGconn, results: Sequence[PGresult]) -> bool:
    """Read from the socket. Returns False if the connection has ended and the server's reason was read before.

    Raises psycopg.OperationalError if it has ended without one.
    """
    try:
        pgconn.consume_input()
    except psycopg.OperationalError:
        if not any(result.status == ExecStatus.FATAL_ERROR for result in results):
            raise
        return False
    return True


def leave_pipeline(pgconn: PGconn) -> None:
    """Leave pipeline mode, if the connection is still there."""
    if pgconn.status == ConnStatus.OK:
        pgconn.exit_pipeline_mode()


def deliver_notifies(pgconn: PGconn, first: PGnotify) -> None:
    """Pass the notifications that have arrived to the connection's handler."""
    notify: PGnotify | None = first
    while notify:
        if pgconn.notify_handler:
            pgconn.notify_handler(notify)
        notify = pgconn.notifies()


# --- what results and errors mean ---


def decisive(results: Sequence[PGresult]) -> PGresult:
    """The first error among the results, or else the last result."""
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


def succeeded(pgconn: PGconn, results: Sequence[PGresult]) -> PGresult:
    """The decisive result of a command. Raises psycopg.Error if it failed."""
    result = decisive(results)
    if result.status not in _SUCCESS:
        raise error_of(pgconn, result)
    return result


def command_tag(result: PGresult) -> str:
    """The tag of a command, such as `COMMIT`."""
    return (result.command_status or b"").decode()


def wrote(result: PGresult) -> bool:
    """Whether the tag of a successful statement is anything but SELECT."""
    return (result.command_status or b"")[:6] != b"SELECT"


def error_of(pgconn: PGconn, result: PGresult) -> psycopg.Error:
    """psycopg's exception for the result of a statement that failed."""
    if result.status == ExecStatus.FATAL_ERROR:
        encoding = psycopg.ConnectionInfo(pgconn).encoding
        return errors.error_from_result(result, encoding=encoding)
    if result.status in (ExecStatus.COPY_IN, ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH):
        return psycopg.ProgrammingError("COPY cannot be used with this method; use copy() instead")
    if result.status == ExecStatus.EMPTY_QUERY:
        return psycopg.ProgrammingError("the statement is empty")
    return psycopg.InternalError(f"unexpected result status from query: {ExecStatus(result.status).name}")


def is_replanned(error: psycopg.Error) -> bool:
    """Whether the server no longer has the statement, or has it with a different result. Nothing of it has run."""
    if isinstance(error, errors.FeatureNotSupported):
        return error.diag.source_function == "RevalidateCachedQuery"
    return isinstance(error, errors.InvalidSqlStatementName) and error.diag.context is None


def is_outdated(error: psycopg.Error) -> bool:
    """Whether a statement may have failed only because it was prepared before something else changed.

    Either the server no longer has it (26000), or a table or type has changed and the statement, analyzed again, does
    not fit the types of its parameters (class 42, XX000) or has a different result (0A000 from RevalidateCachedQuery in
    PostgreSQL's plancache.c; the code has other meanings too). All of these are raised before anything runs, unless
    they come from a statement inside a function that was called.
    """
    if is_replanned(error):
        return True
    # An error inside a called function has a context. One about a type that is gone has one too, naming a parameter.
    return error.sqlstate == "XX000" or (error.sqlstate in _OUTDATED and error.diag.context is None)

"""A session: what is kept with a connection, for as long as it lives, about the queries that ran on it."""

# Private attributes of psycopg: nothing else tells that an adapter was registered on a connection, and its properties
# of the same name are Python functions, which would take a tenth of a statement's time.
# pyright: reportPrivateUsage=false
from __future__ import annotations

import weakref
from collections.abc import Generator
from contextlib import contextmanager
from itertools import count
from typing import Any, Generic, TypeVar, overload

import psycopg
from psycopg import AsyncConnection, BaseConnection, Connection
from psycopg.abc import PQGen
from psycopg.adapt import AdaptersMap, PyFormat
from psycopg.pq import PipelineStatus, TransactionStatus
from psycopg.pq.abc import PGresult

from rowsmith.queries.commands import ends_transaction
from rowsmith.queries.statement import BoundQuery, Link, Statement
from rowsmith.wire.connection_async import AsyncWire
from rowsmith.wire.connection_sync import Wire
from rowsmith.wire.protocol import is_outdated
from rowsmith.wire.transaction import Transaction

SESSION = "_rowsmith_session"
_W = TypeVar("_W", Wire, AsyncWire)
# Plain integers: comparing with a member of an IntEnum takes longer.
_IDLE, _IN_TRANSACTION, _NO_PIPELINE = (
    int(TransactionStatus.IDLE),
    int(TransactionStatus.INTRANS),
    int(PipelineStatus.OFF),
)
_AUTO = PyFormat.AUTO
_MOST_STATEMENTS = 500
"""Of a connection that is not of a pool, whose settings say how many (`DB_PREPARED_STATEMENTS`)."""


class Session(Generic[_W]):
    """A connection's prepared statements, its wire, its transaction, and whether it has to be cleaned."""

    def __init__(self, conn: BaseConnection[Any], wire: _W) -> None:
        self.pgconn = conn.pgconn
        self.wire: _W = wire
        self.transaction: Transaction | None = None
        """The transaction of a block, None outside of one."""
        self.dirty = False
        """Whether a statement ran that is not proven to leave nothing behind, such as a setting or a lock."""
        self.prepared_by_hand = False
        """Whether the command PREPARE has run. A reset leaves prepared statements alone unless it has."""
        self.streams: set[bytes] = set()
        """The names of cursors that streams have opened and not closed, and of the statements that fetch from them."""
        self.most_statements = _MOST_STATEMENTS
        """How many statements are kept prepared."""
        self._own = False
        self._statements: dict[BoundQuery, Statement] = {}
        self._numbers = count()
        self._uses = 0
        self._adopt_adapters(conn)

    # --- what statements leave behind ---

    def note_cursor(self) -> None:
        """Note that a psycopg cursor begins a statement. Of the user's own, nothing is known."""
        if not self._own:
            self.note_unknown()

    def note_unknown(self) -> None:
        """Note that something ran that may have done anything."""
        self.dirty = True
        if self.transaction is not None:
            self.transaction.wrote = True

    @contextmanager
    def own_cursor(self) -> Generator[None]:
        """A block in which cursors run the library's statements, so that they do not count as the user's."""
        outer, self._own = self._own, True
        try:
            yield
        finally:
            self._own = outer

    def note(self, bound: BoundQuery, result: PGresult, conn: BaseConnection[Any]) -> None:
        """Note what a query that succeeded has done to the session's statements and to the transaction."""
        if not bound.clean:
            self.prepared_by_hand |= result.command_status == b"PREPARE"
            if result.command_status in (b"DEALLOCATE ALL", b"DISCARD ALL"):
                self.forget_all()
                conn._prepared.clear()  # psycopg's prepared statements are gone as well
            if self.transaction is not None and ends_transaction([result], bound.query.sql):
                self.transaction.ended_by_hand = True
        if self.transaction is not None:
            self.transaction.note(bound, result)

    # --- prepared statements ---

    def name(self) -> bytes:
        """A name for a statement that no other one on the connection has."""
        return b"rowsmith_%d" % next(self._numbers)

    def surplus(self) -> bytes | None:
        """Make room for a statement: the name of the one that was used least recently, if there are too many.

        The session forgets it. The server still has it.
        """
        if len(self._statements) < self.most_statements:
            return None
        oldest = min(self._statements, key=lambda bound: self._statements[bound].used)
        return self._statements.pop(oldest).name

    def add(self, bound: BoundQuery, name: bytes, description: PGresult) -> Statement:
        """Keep a statement that was prepared under the name."""
        statement = self._statements[bound] = Statement(name, description, bound, self._link)
        self._uses = statement.used = self._uses + 1
        return statement

    def describe(self, bound: BoundQuery, name: bytes, description: PGresult) -> Statement:
        """A statement that returns the query's rows without being the query itself."""
        return Statement(name, description, bound, self._link)

    def forget(self, bound: BoundQuery, error: psycopg.Error) -> None:
        """Drop what the server no longer has, or has in another form, as the error tells."""
        if isinstance(error, psycopg.errors.InvalidSqlStatementName):
            self.forget_all()  # if one is gone, something has deallocated all of them
        elif is_outdated(error):
            self._statements.pop(bound, None)

    def forget_all(self) -> None:
        """Drop every statement, because the server has."""
        self._statements.clear()

    def ready(self, bound: BoundQuery, conn: BaseConnection[Any]) -> Statement | None:
        """The query's statement, in step with the connection's adapters and settings.

        None if it is not prepared, or cannot run now.
        """
        statement = self._statements.get(bound)
        if statement is None or not self.can_run_prepared(conn):
            return None
        adapters: AdaptersMap = conn._adapters or conn.adapters
        text, binary = adapters._loaders
        if text is not self._text or binary is not self._binary or adapters._dumpers[_AUTO] is not self._dumpers:
            self._adopt_adapters(conn)
            old, self._statements = self._statements, {}  # one that cannot be renewed is dropped, and prepared again
            for each, statement in old.items():
                self._statements[each] = statement.renewed(each, self._link)
            return self._statements[bound]
        reported = self.pgconn.parameter_status
        if (
            reported(b"client_encoding") != statement.encoding
            or (statement.zone is not None and reported(b"TimeZone") != statement.zone)
            or (statement.settings and any(reported(name) != value for name, value in statement.settings))
        ):
            statement = self._statements[bound] = statement.renewed(bound, self._link)
        self._uses = statement.used = self._uses + 1
        return statement

    def can_run_prepared(self, conn: BaseConnection[Any]) -> bool:
        """Whether a prepared statement can run on the connection now, with the effect that psycopg's cursor would have.

        It cannot in a pipeline, where the answer comes later, nor if `prepare_threshold` forbids it, as behind a
        transaction pooler. A connection that is not in autocommit mode begins its transaction through psycopg.
        """
        status = (pgconn := self.pgconn).transaction_status
        return (
            (status == _IN_TRANSACTION or (status == _IDLE and conn._autocommit))
            and pgconn.pipeline_status == _NO_PIPELINE
            and conn._prepared.prepare_threshold is not None
        )

    def _adopt_adapters(self, conn: BaseConnection[Any]) -> None:
        # The link shares these maps. psycopg copies one before it changes it for the adapter that is registered next.
        adapters = conn.adapters
        self._link: Link = Link(adapters, weakref.proxy(conn))
        self._text, self._binary = adapters._loaders
        self._dumpers = adapters._dumpers[_AUTO]


@overload
def session_of(conn: Connection[Any]) -> Session[Wire]: ...


@overload
def session_of(conn: AsyncConnection[Any]) -> Session[AsyncWire]: ...


def session_of(conn: Connection[Any] | AsyncConnection[Any]) -> Session[Any]:
    """The session of a connection, created when it is first asked for."""
    attributes = conn.__dict__
    known: Session[Any] | None = attributes.get(SESSION)
    if known is not None:
        return known
    created = Session[Any](conn, Wire(conn) if isinstance(conn, Connection) else AsyncWire(conn))
    session: Session[Any] = attributes.setdefault(SESSION, created)
    if session is created:  # and not that of another thread
        _watch_deallocation(conn, created)
    return session


def _watch_deallocation(conn: BaseConnection[Any], session: Session[Any]) -> None:
    """Have the session told when psycopg deallocates all prepared statements of a connection, the session's included.

    It does that after a rollback or a DROP, if it had prepared any, and nothing else tells of it.
    """
    connection, weak_session = weakref.ref(conn), weakref.ref(session)

    def deallocate(name: bytes | None) -> PQGen[None]:
        conn, session = connection(), weak_session()
        if name is None and session is not None:
            session.forget_all()
        if conn is not None:
            yield from type(conn)._deallocate(conn, name)

    conn.__dict__["_deallocate"] = deallocate

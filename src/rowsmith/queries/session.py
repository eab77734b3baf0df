"""A session: what is kept with a connection, for as long as it lives, of the queries that ran on it."""

# Private attributes of psycopg: that an adapter was registered on a connection is told by them alone, and its
# properties of the same name are functions of Python, which is a tenth of what a statement costs.
# pyright: reportPrivateUsage=false
from __future__ import annotations

import weakref
from itertools import count
from typing import Any, Generic, TypeVar, overload

import psycopg
from psycopg import AsyncConnection, BaseConnection, Connection
from psycopg.abc import PQGen
from psycopg.adapt import AdaptersMap, PyFormat
from psycopg.pq import ExecStatus, PipelineStatus, TransactionStatus
from psycopg.pq.abc import PGresult

from rowsmith.queries.statement import BoundQuery, Link, Statement
from rowsmith.wire.connection import AsyncWire, Wire
from rowsmith.wire.protocol import Begin, Mark, is_outdated, is_plain, mark, wrote

SESSION = "_rowsmith_session"
_W = TypeVar("_W", Wire, AsyncWire)
# As plain numbers, since a comparison with a member of an IntEnum takes longer.
_IDLE, _IN_TRANSACTION, _NO_PIPELINE = (
    int(TransactionStatus.IDLE),
    int(TransactionStatus.INTRANS),
    int(PipelineStatus.OFF),
)
_AUTO = PyFormat.AUTO
_TUPLES_OK = int(ExecStatus.TUPLES_OK)


class Trace:
    """Whether a transaction has written, and its id, to find out what became of it where its COMMIT is lost."""

    __slots__ = ("_answer", "identified", "selects", "wanted", "wrote")

    def __init__(self, *, wanted: bool) -> None:
        self.wanted = wanted
        """Whether the id has still to be asked for, once something writes."""
        self.wrote = False
        """Whether a statement ran that is no SELECT."""
        self.selects: set[BoundQuery] = set()
        """The SELECTs that ran. They may call functions that write, which is known when the transaction has an id."""
        self.identified = False
        """Whether the id is known."""
        self._answer: PGresult | None = None

    def learn(self, answer: PGresult) -> None:
        """Keep what the server answered to TRANSACTION_ID; an error is no answer."""
        if answer.status == _TUPLES_OK:
            self._answer = answer
            self.identified = answer.get_value(0, 0) is not None
            self.wanted = not self.identified

    @property
    def asked(self) -> bool:
        """Whether the server has told the id, or that there is none yet."""
        return self._answer is not None

    @property
    def mark(self) -> Mark | None:
        """As it was told last."""
        return None if self._answer is None else mark(self._answer)


class Session(Generic[_W]):
    """The statements that a connection has prepared, and its wire."""

    def __init__(self, conn: BaseConnection[Any], wire: _W) -> None:
        self.pgconn = conn.pgconn
        self.wire: _W = wire
        self.begin: Begin | None = None
        """What begins a transaction block, until it is sent: that is with the block's first statement."""
        self.trace: Trace | None = None
        """What is known of the transaction of a block, None outside one."""
        self.dirty = False
        """Whether anything ran that may have left traces in the session: settings, locks, temporary tables."""
        self.streams: set[bytes] = set()
        """The names of cursors that streams have opened and not closed, and of the statements that fetch from them."""
        self._statements: dict[BoundQuery, Statement] = {}
        self._numbers = count()
        self._adopt_adapters(conn)

    def note(self, bound: BoundQuery, result: PGresult, conn: BaseConnection[Any]) -> None:
        """Note what a statement that went well may have left: traces in the session, rows of the transaction."""
        trace = self.trace
        if bound.dirties or not is_plain(result):
            self.dirty = True
            if result.command_status in (b"DEALLOCATE ALL", b"DISCARD ALL"):
                self.forget_all()
                conn._prepared.clear()  # what psycopg has prepared is gone as well
        if trace is not None:
            if bound.writes or wrote(result):
                trace.wrote = bound.writes = True
            else:
                trace.selects.add(bound)

    def name(self) -> bytes:
        """A name for a statement, as no other on the connection has."""
        return b"rowsmith_%d" % next(self._numbers)

    def add(self, bound: BoundQuery, name: bytes, description: PGresult) -> Statement:
        """Keep a statement that was prepared under the name."""
        statement = self._statements[bound] = Statement(name, description, bound, self._link)
        return statement

    def describe(self, bound: BoundQuery, name: bytes, description: PGresult) -> Statement:
        """A statement that gives the query's rows and is not the query itself."""
        return Statement(name, description, bound, self._link)

    def forget(self, bound: BoundQuery, error: psycopg.Error) -> None:
        """Drop what the server does not have any more, or has in another form, by the error that it gave."""
        if isinstance(error, psycopg.errors.InvalidSqlStatementName):
            self.forget_all()  # where one is gone, something has given up all
        elif is_outdated(error):
            self._statements.pop(bound, None)

    def forget_all(self) -> None:
        """Drop every statement: the server was told to."""
        self._statements.clear()

    def ready(self, bound: BoundQuery, conn: BaseConnection[Any]) -> Statement | None:
        """The query's statement, in step with the connection's adapters and settings.

        None where it is not prepared, or cannot run now.
        """
        statement = self._statements.get(bound)
        if statement is None or not self.takes(conn):
            return None
        adapters: AdaptersMap = conn._adapters or conn.adapters
        text, binary = adapters._loaders
        if text is not self._text or binary is not self._binary or adapters._dumpers[_AUTO] is not self._dumpers:
            self._adopt_adapters(conn)
            old, self._statements = self._statements, {}  # one that cannot be renewed is gone, and prepared anew
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
        return statement

    def takes(self, conn: BaseConnection[Any]) -> bool:
        """Whether a prepared statement can run on the connection now, and would do what psycopg's cursor does.

        It cannot in a pipeline, where an answer comes later, nor where `prepare_threshold` forbids it, as behind a
        transaction pooler. A connection that is not in autocommit mode begins its transaction by psycopg's own means.
        """
        status = (pgconn := self.pgconn).transaction_status
        return (
            (status == _IN_TRANSACTION or (status == _IDLE and conn._autocommit))
            and pgconn.pipeline_status == _NO_PIPELINE
            and conn._prepared.prepare_threshold is not None
        )

    def _adopt_adapters(self, conn: BaseConnection[Any]) -> None:
        # The link shares these maps: psycopg then copies one, before it changes it, for the adapter registered next.
        adapters = conn.adapters
        self._link: Link = Link(adapters, weakref.proxy(conn))
        self._text, self._binary = adapters._loaders
        self._dumpers = adapters._dumpers[_AUTO]


@overload
def session_of(conn: Connection[Any]) -> Session[Wire]: ...


@overload
def session_of(conn: AsyncConnection[Any]) -> Session[AsyncWire]: ...


def session_of(conn: Connection[Any] | AsyncConnection[Any]) -> Session[Any]:
    """The session of a connection, which begins when it is first asked for."""
    attributes = conn.__dict__
    known: Session[Any] | None = attributes.get(SESSION)
    if known is not None:
        return known
    begun = Session[Any](conn, Wire(conn) if isinstance(conn, Connection) else AsyncWire(conn))
    session: Session[Any] = attributes.setdefault(SESSION, begun)
    if session is begun:  # and not that of another thread
        _watch_deallocation(conn, begun)
    return session


def _watch_deallocation(conn: BaseConnection[Any], session: Session[Any]) -> None:
    """Hear of it when psycopg gives up all prepared statements of a connection, which takes those of the session too.

    It does that after a rollback or a DROP, if it had prepared any; there is nothing else that tells.
    """
    reference, heard = weakref.ref(conn), weakref.ref(session)

    def deallocate(name: bytes | None) -> PQGen[None]:
        conn, session = reference(), heard()
        if name is None and session is not None:
            session.forget_all()
        if conn is not None:
            yield from type(conn)._deallocate(conn, name)

    conn.__dict__["_deallocate"] = deallocate

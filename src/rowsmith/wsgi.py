"""WSGI: one transaction for each request, which commits before the response is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, Any

from psycopg import Connection
from psycopg.rows import TupleRow

from rowsmith.blocks import Block
from rowsmith.database import Database, default_database
from rowsmith.errors import TransactionError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

KEY = "rowsmith.transaction"
"""The key of the WSGI environment under which `TransactionMiddleware` has the `RequestTransaction`."""


class _NotCommitted(Exception):  # noqa: N818 - it is no error
    """Why the transaction of a request whose response is an error is rolled back."""


class RequestTransaction:
    """The transaction of one request. It begins when its connection is first used, and takes none before."""

    _block: Block[Connection[TupleRow], Any] | None = None
    _conn: Connection[TupleRow] | None = None
    _ended = False

    def __init__(self, database: Database | None = None) -> None:
        self._database = database

    @property
    def conn(self) -> Connection[TupleRow]:
        """Its connection. From then on, `with transaction():` is a savepoint in it.

        Raises TransactionError if the request has ended, and what `Database.transaction` raises.
        """
        if self._ended:
            raise TransactionError(
                "the transaction of this request has ended: it commits before the response is sent. "
                "To read rows while the response is sent, open a connection() there"
            )
        if self._conn is None:
            block = (self._database or default_database()).transaction()
            self._conn = block.__enter__()
            self._block = block
        return self._conn

    def end(self, status: int) -> None:
        """Commit if the response has a status below 400, or else roll back; return the connection.

        Raises what `Database.transaction` raises when it commits.
        """
        if status < HTTPStatus.BAD_REQUEST:
            self._leave(None)
        else:
            self._leave(_NotCommitted())

    def roll_back(self) -> None:
        """Roll back and return the connection, unless the transaction has ended."""
        self._leave(_NotCommitted())

    def _leave(self, error: Exception | None) -> None:
        self._ended = True
        block, self._block, self._conn = self._block, None, None
        if block is not None:
            block.__exit__(None if error is None else type(error), error, None)


class TransactionMiddleware:
    """A WSGI application around another one, which gives each request a `RequestTransaction`.

    The application has it as `environ["rowsmith.transaction"]`. It is committed when the application has given the
    status and the first part of the body, if the status is below 400. The server gets them after that. An exception, or
    another status, rolls it back. `database` None stands for the default one.
    """

    def __init__(self, application: WSGIApplication, database: Database | None = None) -> None:
        self._application, self._database = application, database

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        transaction = environ[KEY] = RequestTransaction(self._database)
        response = _Response()
        try:
            body = response.read(self._application(environ, response.start))
            try:
                transaction.end(response.status)
            except BaseException:
                body.close()
                raise
        except BaseException:
            transaction.roll_back()
            raise
        response.send(start_response)
        return body


_ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]


class _Response:
    """What an application says to the server, kept until its transaction has ended."""

    def __init__(self) -> None:
        self._started: tuple[str, list[tuple[str, str]], _ExcInfo | None] | None = None
        self._written: list[bytes] = []

    def start(
        self, status: str, headers: list[tuple[str, str]], exc_info: _ExcInfo | None = None, /
    ) -> Callable[[bytes], object]:
        """`start_response` for the application."""
        self._started = status, headers, exc_info
        return self._written.append

    @property
    def status(self) -> int:
        assert self._started is not None  # noqa: S101 - `read` has seen to it
        return int(self._started[0].split()[0])

    def read(self, body: Iterable[bytes]) -> _Body:
        """The body, read up to its first part, before which an application has to start its response."""
        rest = iter(body)
        try:
            while self._started is None or not any(self._written):
                self._written.append(next(rest))
        except StopIteration:
            if self._started is None:
                raise TransactionError("the WSGI application has ended without a call of start_response()") from None
        except BaseException:
            _close(body)
            raise
        return _Body(self._written, rest, body)

    def send(self, start_response: StartResponse) -> None:
        """Pass the status and the headers on to the server."""
        assert self._started is not None  # noqa: S101 - `read` has seen to it
        status, headers, exc_info = self._started
        start_response(status, headers, exc_info) if exc_info else start_response(status, headers)


class _Body:
    """The body of a response: what was read of it, and the rest."""

    def __init__(self, first: list[bytes], rest: Iterable[bytes], whole: Iterable[bytes]) -> None:
        self._first, self._rest, self._whole = first, iter(rest), whole

    def __iter__(self) -> _Body:
        return self

    def __next__(self) -> bytes:
        return self._first.pop(0) if self._first else next(self._rest)

    def close(self) -> None:
        """Close the body, as the server does at the end of each response."""
        _close(self._whole)


def _close(body: object) -> None:
    if (close := getattr(body, "close", None)) is not None:
        close()

"""WSGI and Flask: one transaction for each request, returned at its end."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from flask import Flask, abort
from werkzeug.test import Client, TestResponse
from werkzeug.wrappers import Response

from rowsmith import Database, errors, transaction
from rowsmith.database import replace_default
from rowsmith.flask import RequestTransactions
from rowsmith.wsgi import KEY, RequestTransaction, TransactionMiddleware
from tests.harness.drivers import Observer, small
from tests.harness.waiting import bounded


@pytest.fixture
def db(observer: Observer) -> Iterator[Database]:
    """The default database."""
    with small(observer.url) as database:
        previous = replace_default(database)
        yield database
        replace_default(previous)


def get(application: Any) -> TestResponse:
    """The response, in a thread of its own, as of a server."""
    return bounded(lambda: Client(application).get("/", buffered=True))


def unused(db: Database) -> bool:
    return db.statistics()["connections_in_use"] == 0


# --- Flask ---


def flask_app(view: Any, database: Database | None = None) -> tuple[Flask, RequestTransactions]:
    app = Flask("test")
    transactions = RequestTransactions(app, database)
    app.get("/")(lambda: view(transactions))
    return app, transactions


def test_a_block_in_a_view_is_a_savepoint_of_the_request(db: Database, observer: Observer) -> None:
    def view(transactions: RequestTransactions) -> str:
        transactions.conn.execute("INSERT INTO items VALUES (1)")
        with transaction() as inner:
            assert inner is transactions.conn
            inner.execute("INSERT INTO items VALUES (2)")
        with suppress(ZeroDivisionError), transaction() as inner:
            inner.execute("INSERT INTO items VALUES (3)")
            _ = 1 / 0
        assert observer.stored() == []
        return ""

    assert get(flask_app(view)[0]).status_code == 200
    assert observer.stored() == [1, 2]
    assert unused(db)


def test_a_request_that_needs_no_connection_takes_none(db: Database) -> None:
    def unconnected(transactions: RequestTransactions) -> str:
        assert transactions
        return ""

    assert get(flask_app(unconnected)[0]).status_code == 200
    assert db.statistics().get("requests_num", 0) == 0


@pytest.mark.parametrize("how", ["abort", "status", "error"])
def test_an_error_rolls_back(db: Database, observer: Observer, how: str) -> None:
    def view(transactions: RequestTransactions) -> Any:
        transactions.conn.execute("INSERT INTO items VALUES (1)")
        if how == "abort":
            abort(409)
        if how == "error":
            raise ValueError("no")
        return "no", 409

    assert get(flask_app(view)[0]).status_code == (500 if how == "error" else 409)
    assert observer.stored() == []
    assert unused(db)


def test_what_commit_refuses_is_not_acknowledged(db: Database, observer: Observer) -> None:
    def view(transactions: RequestTransactions) -> str:
        transactions.conn.execute("INSERT INTO unique_at_commit VALUES (1), (1)")
        return ""

    assert get(flask_app(view)[0]).status_code == 500
    assert observer.stored("unique_at_commit") == []
    assert unused(db)


def test_a_stream_has_no_transaction(db: Database) -> None:
    def view(transactions: RequestTransactions) -> Any:
        conn = transactions.conn

        def parts() -> Iterator[str]:
            assert unused(db)
            yield conn.info.transaction_status.name

        return parts()

    assert get(flask_app(view)[0]).text == "IDLE"


def test_another_database(observer: Observer) -> None:
    with small(observer.url) as other:

        def view(transactions: RequestTransactions) -> str:
            with other.transaction() as before:
                assert before is not None
            conn = transactions.conn
            with other.transaction() as inner:
                assert inner is conn
            return ""

        assert get(flask_app(view, other)[0]).status_code == 200
        assert unused(other)


# --- WSGI ---


def inserting(status: str, *body: bytes, error: Exception | None = None) -> Any:
    """An application that inserts a row before its response begins."""

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request: RequestTransaction = environ[KEY]
        request.conn.execute("INSERT INTO items VALUES (1)")
        with transaction() as inner:
            assert inner is request.conn
        if error is not None:
            raise error
        start_response(status, [])
        return body

    return application


@pytest.mark.parametrize("status", ["200 OK", "303 See Other", "404 Not Found", "500 Internal Server Error"])
def test_the_status_decides(db: Database, observer: Observer, status: str) -> None:
    response = get(TransactionMiddleware(inserting(status, b"", b"a", b"b")))
    assert (response.status_code, response.data) == (int(status[:3]), b"ab")
    assert observer.stored() == ([1] if response.status_code < 400 else [])
    assert unused(db)


def test_an_application_that_raises(db: Database, observer: Observer) -> None:
    with pytest.raises(ValueError, match="no"):
        get(TransactionMiddleware(inserting("200 OK", error=ValueError("no"))))
    assert observer.stored() == []
    assert unused(db)


def test_the_response_starts_after_commit(db: Database, observer: Observer) -> None:
    stored: list[list[int]] = []

    def start_response(status: str, headers: object, exc_info: object = None) -> Any:
        del status, headers, exc_info
        stored.append(observer.stored())

    application = TransactionMiddleware(inserting("200 OK", b"a"))
    body: Any = application({}, start_response)
    assert stored == [[1]]
    assert b"".join(body) == b"a"
    body.close()


def test_a_failed_commit_starts_no_response(db: Database) -> None:
    closed: list[bool] = []

    def application(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        environ[KEY].conn.execute("INSERT INTO unique_at_commit VALUES (1), (1)")
        start_response("200 OK", [])
        try:
            yield b"a"
        finally:
            closed.append(True)

    def never(*_: object) -> Any:
        raise AssertionError("started")

    with pytest.raises(Exception, match="unique"):
        TransactionMiddleware(application)({}, never)
    assert closed == [True]
    assert unused(db)


def test_a_generator_and_its_end(db: Database, observer: Observer) -> None:
    """Such an application runs up to the first part of its body before its transaction ends."""
    closed: list[bool] = []

    def application(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        request: RequestTransaction = environ[KEY]
        request.conn.execute("INSERT INTO items VALUES (1)")
        write = start_response("200 OK", [])
        write(b"w")
        try:
            yield b"a"
            assert observer.stored() == [1]
            with pytest.raises(errors.TransactionError, match="has ended"):
                _ = request.conn
            yield b"b"
        finally:
            closed.append(True)

    assert get(TransactionMiddleware(application)).data == b"wab"
    assert closed == [True]


def test_an_application_without_a_response(db: Database) -> None:
    with pytest.raises(errors.TransactionError, match="start_response"):
        get(TransactionMiddleware(lambda environ, start_response: []))


def test_an_ordinary_application(db: Database) -> None:
    assert get(TransactionMiddleware(Response("hello"))).data == b"hello"
    assert unused(db)

"""Flask: one transaction for each request, and a blueprint for the health checks of load balancers."""

from __future__ import annotations

try:
    from flask import Blueprint, Flask, Response, g, jsonify
except ModuleNotFoundError as missing:
    message = f"rowsmith.flask needs {missing.name}. Run: pip install 'rowsmith[flask]'"
    raise ModuleNotFoundError(message, name=missing.name) from None
from psycopg import Connection
from psycopg.rows import TupleRow

from rowsmith.database import PROBE_SECONDS, Database, default_database
from rowsmith.wsgi import RequestTransaction


class RequestTransactions:
    """An extension: `transactions = RequestTransactions(app)`, or `init_app(app)` later.

    `transactions.conn` in a view is a connection in the request's transaction. It is taken from the pool when it is
    first used. The transaction commits after the view, before the response is sent, if the status of the response is
    below 400. An exception, or another status, rolls it back. The connection is returned at the end of the request at
    the latest. `database` None stands for the default one.
    """

    def __init__(self, app: Flask | None = None, database: Database | None = None) -> None:
        self._database = database
        self._key = f"_rowsmith_transaction_{id(self)}"
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Have the transactions of an application's requests ended."""
        app.after_request(self._end)
        app.teardown_appcontext(self._tear_down)

    @property
    def conn(self) -> Connection[TupleRow]:
        """The request's connection. Raises TransactionError after the view, and what `Database.transaction` raises."""
        if self._key not in g:
            setattr(g, self._key, RequestTransaction(self._database))
        transaction: RequestTransaction = getattr(g, self._key)
        return transaction.conn

    def _end(self, response: Response) -> Response:
        if (transaction := self._current()) is not None:
            transaction.end(response.status_code)
        return response

    def _tear_down(self, error: BaseException | None) -> None:
        del error
        if (transaction := self._current()) is not None:
            transaction.roll_back()

    def _current(self) -> RequestTransaction | None:
        found: RequestTransaction | None = g.get(self._key)
        return found


def health_blueprint(database: Database | None = None, *, timeout: float = PROBE_SECONDS) -> Blueprint:
    """A blueprint for a load balancer: `app.register_blueprint(health_blueprint())`.

    Its routes and answers are those of `rowsmith.starlette.health_routes`.
    """
    blueprint = Blueprint("rowsmith_health", __name__)

    def live() -> Response:
        return _answer({"healthy": True}, 200)

    def ready() -> Response:
        check = (database or default_database()).check_health(timeout=timeout)
        return _answer(check.as_dict(), 200 if check.healthy else 503)

    blueprint.add_url_rule("/health", "health", ready)
    blueprint.add_url_rule("/health/ready", "ready", ready)
    blueprint.add_url_rule("/health/live", "live", live)
    return blueprint


def _answer(content: dict[str, object], status: int) -> Response:
    response = jsonify(content)
    response.status_code = status
    response.headers["Cache-Control"] = "no-store"
    return response

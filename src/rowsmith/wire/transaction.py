"""A transaction as its connection knows it: whether it has begun on the server, what it did, and its id."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult

from rowsmith.wire.protocol import Begin, wrote

_TUPLES_OK = int(ExecStatus.TUPLES_OK)
_IDLE = int(TransactionStatus.IDLE)


class Effect(Protocol):
    """A query, as far as its effect on the transaction is concerned."""

    writes: bool | None
    """None if it is not known: a SELECT may call a function that writes."""


class Identity(NamedTuple):
    """The answer to TRANSACTION_ID."""

    transaction_id: int | None
    """None if the transaction had written nothing."""
    at: str
    timeline: str
    process: int


class Transaction:
    """One transaction of a block.

    BEGIN is sent together with the first statement. The transaction's id is what the outcome of a lost COMMIT is
    looked up by: it is asked for together with the first statement that is known to write, or else at COMMIT.
    """

    def __init__(self, begin: Begin, *, wants_id: bool) -> None:
        self._begin = begin
        self.begun = False
        """Whether BEGIN was sent."""
        self.wants_id = wants_id
        """Whether its id is still to be asked for once something has written."""
        self.ended_by_hand = False
        """Whether a user's command has ended it, whatever has begun since."""
        self.wrote = False
        """Whether a statement ran that is known to write, or of which nothing is known."""
        self.unproven: set[Effect] = set()
        """The queries that ran and may have written, which is known once the transaction turns out to have an id."""
        self._answer: PGresult | None = None

    def start(self) -> Begin | None:
        """How to begin, if that has not been done. `settle` has to follow once the server has answered."""
        if self.begun:
            return None
        self.begun = True
        return self._begin

    def settle(self, pgconn: PGconn) -> None:
        """Note whether it has begun: if not, what comes next must not run outside of it."""
        self.begun = pgconn.transaction_status != _IDLE

    def asks_id(self, query: Effect) -> bool:
        """Whether its id is asked for together with the query."""
        return self.wants_id and bool(query.writes)

    def is_concerned(self, query: Effect) -> bool:
        """Whether something is sent together with the query: BEGIN, or the question for the id."""
        return not self.begun or (self.wants_id and query.writes is True)

    def is_news(self, query: Effect) -> bool:
        """Whether the query, if it succeeds, has to be noted: unless it is proven not to write, or noted already."""
        return query.writes is not False and query not in self.unproven

    def note(self, query: Effect, result: PGresult) -> None:
        """Note a query that succeeded."""
        if query.writes is None and wrote(result):
            query.writes = True
        if query.writes:
            self.wrote = True
        else:
            self.note_read(query)

    def note_read(self, query: Effect) -> None:
        """Note a query that read rows, and may have written by a function that it called."""
        if query.writes is None:
            self.unproven.add(query)

    def learn(self, answer: PGresult) -> None:
        """Keep the answer to TRANSACTION_ID. An error is no answer."""
        if answer.status != _TUPLES_OK:
            return
        self._answer = answer
        self.wants_id = answer.get_value(0, 0) is None

    def learn_at_commit(self, answer: PGresult) -> None:
        """Keep the answer that came together with COMMIT, when no query was known to write."""
        self.learn(answer)
        if not self.wants_id:
            for query in self.unproven:
                query.writes = True  # one of them does, and from now on the id is asked for together with it

    @property
    def answered(self) -> bool:
        """Whether the server has told the id, or that there is none."""
        return self._answer is not None

    @property
    def identity(self) -> Identity | None:
        """As the server told it last."""
        if self._answer is None:
            return None
        number, at, timeline, process = (self._answer.get_value(0, column) for column in range(4))
        xid = None if number is None else int(number)
        return Identity(xid, (at or b"").decode(), (timeline or b"").decode(), int(process or 0))

"""Commands that users run by hand: which of them end a transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from psycopg._preparing import Key, Prepare, PrepareManager
from psycopg.pq.abc import PGresult

from rowsmith.queries.lexer import Token, TokenKind, split_statements, tokenize
from rowsmith.wire.protocol import command_tag

if TYPE_CHECKING:
    from psycopg._queries import PostgresQuery

    from rowsmith.queries.session import Session


def ends_transaction(results: Sequence[PGresult], text: str) -> bool:
    """Whether one of the results is that of a command that ended the transaction.

    The tag of ROLLBACK TO SAVEPOINT, which does not end it, is that of ROLLBACK.
    """
    tags = {command_tag(result) for result in results}
    if not tags.isdisjoint(("COMMIT", "PREPARE TRANSACTION")):
        return True
    return "ROLLBACK" in tags and any(
        ending_command(tokens) == "ROLLBACK" for tokens in split_statements(tokenize(text))
    )


def ending_command(tokens: Iterable[Token]) -> str | None:
    """The command that this statement is, if it ends a transaction: COMMIT, ROLLBACK or PREPARE TRANSACTION."""
    match [token.text.lower() for token in tokens if token.kind is TokenKind.NAME]:
        case ["commit" | "end", *_]:
            return "COMMIT"
        case ["rollback" | "abort", *rest] if "to" not in rest:
            return "ROLLBACK"
        case ["prepare", "transaction", *_]:
            return "PREPARE TRANSACTION"
        case _:
            return None


class _Kept(tuple[bytes, tuple[int, ...]]):
    """The key of a statement that psycopg has already counted or prepared."""

    __slots__ = ()


class WatchedStatements(PrepareManager):
    """The prepared statements of psycopg's cursors on a connection, which see every result but those of COPY.

    If a command ends the transaction of a block, the transaction is told. If one is PREPARE, the session is.
    """

    def __init__(self, session: Session[Any], threshold: int | None) -> None:
        super().__init__()
        self._session = session
        self.prepare_threshold = threshold

    def maybe_add_to_cache(self, query: PostgresQuery, prep: Prepare, name: bytes) -> Key | None:
        """psycopg wants None for a statement that it need not look at again. We want to, and `validate` is called."""
        return super().maybe_add_to_cache(query, prep, name) or _Kept(self.key(query))

    def validate(self, key: Key, prep: Prepare, name: bytes, results: Sequence[PGresult]) -> None:
        """Look at the results of a statement."""
        self._session.prepared_by_hand |= any(result.command_status == b"PREPARE" for result in results)
        transaction = self._session.transaction
        if transaction is not None and ends_transaction(results, key[0].decode(errors="replace")):
            transaction.ended_by_hand = True
        if not isinstance(key, _Kept):
            super().validate(key, prep, name, results)

"""The floor: libpq only, through psycopg's binding. It decodes nothing, so no library can do less work."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from psycopg import pq
from psycopg.adapt import Transformer

from benchmarks import data
from benchmarks.contenders.contender import Contender
from benchmarks.statements import EVENTS_COPY, STATEMENTS

_CHUNK = 128 * 1024
_ROWS = 1000
_BINARY = int(pq.Format.BINARY)


class Floor(Contender):
    """`PGconn.exec_prepared`, binary, without decoding; COPY of prepared bytes."""

    name = "floor: libpq, no decoding"

    def open(self) -> None:
        self._conn = pq.PGconn.connect(self.url.encode())
        for name, statement in STATEMENTS.items():
            _checked(self._conn.prepare(name.encode(), statement.encode()))
        lines = ("\t".join(map(str, event)) + "\n" for event in data.events())
        text = "".join(lines).encode()
        self._chunks = [text[start : start + _CHUNK] for start in range(0, len(text), _CHUNK)]

    def close(self) -> None:
        self._conn.finish()

    def look_up(self, key: UUID) -> pq.abc.PGresult:
        return self._conn.exec_prepared(b"get_user", [key.bytes], [_BINARY], _BINARY)

    def read(self, most: int) -> pq.abc.PGresult:
        return self._conn.exec_prepared(b"list_users", [most.to_bytes(8, "big")], [_BINARY], _BINARY)

    def create(self, email: str, name: str) -> pq.abc.PGresult:
        values = [email.encode(), name.encode(), data.PASSWORD_HASH.encode()]
        return self._conn.exec_prepared(b"create_user", values, None, _BINARY)

    def transact(self, key: UUID) -> tuple[pq.abc.PGresult, pq.abc.PGresult]:
        conn = self._conn
        conn.exec_(b"BEGIN")
        before = conn.exec_prepared(b"get_user", [key.bytes], [_BINARY], _BINARY)
        values = [str(key).encode(), b"page_view", b"Page 1"]
        conn.exec_prepared(b"record_event", values, None, _BINARY)
        after = conn.exec_prepared(b"get_user", [key.bytes], [_BINARY], _BINARY)
        conn.exec_(b"COMMIT")
        return before, after

    def load(self) -> None:
        conn = self._conn
        conn.exec_(EVENTS_COPY)
        for chunk in self._chunks:
            conn.put_copy_data(chunk)
        conn.put_copy_end()
        while result := conn.get_result():
            _checked(result)

    def stream(self) -> tuple[int, pq.abc.PGresult | None]:
        conn, count, last = self._conn, 0, None
        conn.send_query_prepared(b"list_users_tenfold", None, None, _BINARY)
        conn.set_chunked_rows_mode(_ROWS)
        while result := conn.get_result():
            rows = _checked(result).ntuples
            count, last = count + rows, result if rows else last
        return count, last

    def users(self, result: Any) -> list[data.Row]:
        results = cast("tuple[pq.abc.PGresult, ...]", result if isinstance(result, tuple) else (result,))
        return [user for each in results for user in _decoded(_checked(each))]


def _checked(result: pq.abc.PGresult) -> pq.abc.PGresult:
    if result.status not in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK, pq.ExecStatus.TUPLES_CHUNK):
        raise RuntimeError(result.get_error_message())
    return result


def _decoded(result: pq.abc.PGresult) -> list[data.Row]:
    transformer = Transformer()
    transformer.set_pgresult(result)
    return transformer.load_rows(0, result.ntuples, tuple)

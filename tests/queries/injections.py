"""Strings that break SQL, JSON, arrays and files into which they are pasted, by the place where they do it.

Each place comes with the careless code that is broken by its strings. `ODD` breaks nothing by itself: it is what is
easily changed on its way. `IMPOSSIBLE` is what PostgreSQL's text cannot hold.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg.sql import SQL, Identifier
from psycopg.types.json import Jsonb

Rows = list[TupleRow]
Conn = Connection[TupleRow]
Code = Callable[[Conn, str], Rows]

LONG = "'; DROP TABLE users; -- " * 4000


@dataclass(frozen=True)
class Place:
    """A place into which strings are pasted, the careless code, and the same done right."""

    strings: tuple[str, ...]
    careless: Code
    careful: Code


def pasted(sql: str) -> Code:
    """Careless code: the string in the place of the mark, and any number of statements."""

    def run(conn: Conn, string: str) -> Rows:
        return rows(conn.execute(sql.replace("<>", string).encode()))

    return run


def bound(sql: str) -> Code:
    """Careful code: the string as a parameter."""

    def run(conn: Conn, string: str) -> Rows:
        return rows(conn.execute(sql.encode(), [string]))

    return run


def rows(cursor: psycopg.Cursor[TupleRow]) -> Rows:
    while cursor.nextset():
        pass
    names = [tuple(column.name for column in cursor.description or ())]
    return [*names, *(cursor.fetchall() if cursor.description else [])]


INSERT = "INSERT INTO health_checks (status) VALUES (%s)"


def interpolated(conn: Conn, string: str) -> Rows:
    """Pasted into a statement that has parameters of its own."""
    return rows(conn.execute(f"SELECT '{string}' AS first, %s AS second".encode(), ["x"]))


def named(conn: Conn, string: str) -> Rows:
    return rows(conn.execute(SQL("SELECT 1 AS {}").format(Identifier(string))))


def normalized(conn: Conn, string: str) -> Rows:
    """Escaped first, and brought to a normal form after that."""
    escaped = unicodedata.normalize("NFKC", string.replace("'", "''"))
    return rows(conn.execute(f"INSERT INTO health_checks (status) VALUES ('{escaped}')".encode()))


def slashed(conn: Conn, string: str) -> Rows:
    r"""Escaped by bytes, as PHP's addslashes does it: in GBK, a backslash may be the second half of a character."""
    conn.execute("SET LOCAL client_encoding = 'GBK'")
    escaped = string.encode("latin-1").replace(b"\\", b"\\\\").replace(b"'", b"\\'")
    return rows(conn.execute(b"INSERT INTO health_checks (status) VALUES (E'" + escaped + b"')"))


def copied(conn: Conn, string: str) -> Rows:
    with conn.cursor().copy("COPY health_checks (status) FROM STDIN") as copy:
        copy.write(f"{string}\n")
    return []


def copied_by_row(conn: Conn, string: str) -> Rows:
    with conn.cursor().copy("COPY health_checks (status) FROM STDIN") as copy:
        copy.write_row([string])
    return []


def documented(conn: Conn, string: str) -> Rows:
    sql = "INSERT INTO analytics_events (event_type, event_name, properties) VALUES ('t', 'n', %s)"
    return rows(conn.execute(sql, [Jsonb({"k": string})]))


def looked_up(conn: Conn, string: str) -> Rows:
    return rows(conn.execute("SELECT email FROM users WHERE email = %s", [string]))


def unchanged(conn: Conn, _: str) -> Rows:
    """What a comment has to do."""
    return rows(conn.execute("SELECT 1 AS one"))


PLACES = {
    "in quotes": Place(
        (
            "'",
            "''",
            "'''",
            "it's",
            "O'Brien; -- '",
            "' OR '1'='1",
            "' OR 1=1 --",
            "' OR 1=1 #",
            "') OR ('1'='1",
            "')); --",
            "' UNION SELECT password_hash FROM users --",
            "'); DROP TABLE users; --",
            "'); DROP TABLE users CASCADE; SELECT ('",
            "'); DROP SCHEMA public CASCADE; --",
            "'); DELETE FROM users; --",
            "'); TRUNCATE users CASCADE; --",
            "'); UPDATE users SET role = 'ADMIN'; --",
            "'); INSERT INTO health_checks (status) VALUES ('second",
            "'), ('second",
            "'); CREATE TABLE injected (n int); --",
            "'); ALTER TABLE users ADD COLUMN injected text; --",
            "'); CREATE FUNCTION injected() RETURNS int LANGUAGE sql AS 'SELECT 1'; --",
            "'); CREATE ROLE injected SUPERUSER LOGIN; --",
            "'); GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC; --",
            "'); COMMIT; DELETE FROM health_checks; --",
            "'); ROLLBACK; INSERT INTO health_checks (status) VALUES ('kept'); COMMIT; --",
            "'); SET ROLE pg_monitor; --",
            "'); SET search_path = nowhere; --",
            "'); COPY users TO PROGRAM 'true'; --",
            "'); DO $$ BEGIN DROP TABLE users CASCADE; END $$; --",
            "'); SELECT pg_terminate_backend(pg_backend_pid()); --",
            "' || (SELECT string_agg(password_hash, ',') FROM users) || '",
            "'||pg_sleep(0)||'",
            "' || chr(65) || '",
            "'::text || 'x",
            "'; /* ' */ --",
            "'/**/OR/**/1=1--",
            "'\n--\n'",
            "' \n ' ",
            "\"'`",
            "\\'",
            "\u2019 or ' --",
            LONG,
        ),
        pasted("INSERT INTO health_checks (status) VALUES ('<>')"),
        bound(INSERT),
    ),
    "without quotes": Place(
        (
            "0 OR true",
            "0; DROP TABLE users CASCADE",
            "0 UNION SELECT password_hash FROM users",
            "-1) OR (1=1",
            "(SELECT 0)",
            "login_attempts",
            "0 -- ",
            "0e0",
            "$1",
            ":name",
            ":'name'",
            "?",
            "@p1",
            "DEFAULT",
            "NULL OR true",
        ),
        pasted("SELECT email FROM users WHERE login_attempts = <>"),
        bound("SELECT email FROM users WHERE login_attempts::text = %s"),
    ),
    "as a name": Place(
        ('"', 'a"b', 'a", (SELECT min(password_hash) FROM users) AS "b', '"; DROP TABLE users CASCADE; --', '""'),
        pasted('SELECT 1 AS "<>"'),
        named,
    ),
    "in an escape string": Place(
        ("\\", "\\\\", "\\n", "\\x41", "\\101", "\\u0041", "\\U0001F600", "C:\\temp\\new", "\\'), ('second", "\\0"),
        pasted("INSERT INTO health_checks (status) VALUES (E'<>')"),
        bound(INSERT),
    ),
    "in a dollar quote": Place(
        ("$$", "a$$b", "$$), ($$second", "$$); DROP TABLE users CASCADE; --"),
        pasted("INSERT INTO health_checks (status) VALUES ($$<>$$)"),
        bound(INSERT),
    ),
    "in a dollar quote with a tag": Place(
        ("$q$", "$q$), ($q$second", "$q$); DELETE FROM users; --"),
        pasted("INSERT INTO health_checks (status) VALUES ($q$<>$q$)"),
        bound(INSERT),
    ),
    "in a comment": Place(
        ("*/", "/*", "*/, 2 AS two /*", "*/; DROP TABLE users CASCADE; /*"),
        pasted("SELECT 1 AS one /* <> */"),
        unchanged,
    ),
    "in a line comment": Place(
        ("\n, 2 AS two", "\r, 2 AS two", "\n; DROP TABLE users CASCADE; --"),
        pasted("SELECT 1 AS one -- <>"),
        unchanged,
    ),
    "in a pattern": Place(
        ("%", "%%", "%@%", "_" * len("ada@example.com"), "ada%"),
        pasted("SELECT email FROM users WHERE email LIKE '<>'"),
        looked_up,
    ),
    "among placeholders": Place(
        ("%s", "%(name)s", "%b", "%t", "%d", "100% sure", "%", "%%"),
        interpolated,
        lambda conn, string: rows(conn.execute("SELECT %s AS first, %s AS second", [string, "x"])),
    ),
    "in JSON": Place(
        ('"', '", "admin": true, "x": "', '"}', "\\", "\\u0000", "\\ud800", "\n", "\t", '"], ["', "\\q"),
        pasted(
            "INSERT INTO analytics_events (event_type, event_name, properties) VALUES ('t', 'n', '{\"k\": \"<>\"}')"
        ),
        documented,
    ),
    "in an array": Place(
        (",", "a,b", "{", "}", "{}", '{,}"', "},{", "NULL", "null", " padded ", "", "\\,", '"a"', "{{a},{b}}"),
        pasted("SELECT '{<>}'::text[] AS words"),
        bound("SELECT ARRAY[%s] AS words"),
    ),
    "in a composite": Place(
        (",", ")", "a,b", '"', "),(", "\\", "", "(,)", 'a"b'),
        pasted("SELECT ('(,,<>)'::health_checks).status AS status"),
        bound("SELECT %s AS status"),
    ),
    "in a COPY": Place(
        ("\\.", "\\N", "a\tb", "a\nb", "\n\\.\n", "\\x41", "a\\", "a\rb"),
        copied,
        copied_by_row,
    ),
    "escaped, then normalized": Place(
        ("\uff07", "\uff07), (\uff07second", "\uff07); DROP TABLE users CASCADE; --", "x\uff07\uff09\uff1b"),
        normalized,
        bound(INSERT),
    ),
    "escaped by bytes": Place(
        ("\u00bf'); DROP TABLE users CASCADE; --", "\u00bf'), ('second", "\u00bf'"),
        slashed,
        bound(INSERT),
    ),
}

ODD = (
    " ",
    "\t",
    "\r\n",
    "\u00a0",
    "\u02bc OR 1=1 --",
    "\u2018\u2019\u201c\u201d\u2032\u00b4\u0060",
    "\u202edesrever",
    "\u2066\u202d\u2069",
    "\u200b\u200d\u200e\u200f",
    "\ufeffmarked",
    "line\u2028and\u2029paragraph",
    "\u0085\u009f",
    "\x01\x02\x1b[31m\x7f",
    "\ufffe\uffff",
    "\U0010ffff",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "e\u0301 \u00e9",
    "\u0130\u0131\u00df\u1e9e",
    "\u037e\u2024\uff1b",
    "\ud7ff\ue000",
    "true",
    "0",
    "-1",
    "NaN",
    "infinity",
    "now",
    "1970-01-01",
    "00000000-0000-0000-0000-000000000000",
    "<script>alert('x')</script>",
    "${7*7} {{7*7}} `id` $(id)",
    "../../etc/passwd",
    "x" * 100_000,
    "\U0001f600" * 2_000,
)
IMPOSSIBLE = ("\0", "a\0b", "'\0); DROP TABLE users; --", "\ud800", "\udcff'")

CORPUS = tuple(dict.fromkeys([string for place in PLACES.values() for string in place.strings] + list(ODD)))
"""Every string that is to come through unchanged, once."""

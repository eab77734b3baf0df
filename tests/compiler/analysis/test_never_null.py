"""The functions that are listed as never NULL, each of them called on values at the edges of its types.

The list is resolved in the catalog of the server at hand, so what is added to it is tried without further ado.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import psycopg
import pytest

from rowsmith.compiler.analysis.catalog import Catalog
from rowsmith.compiler.analysis.never_null import EXTENSIONS, MONOTONIC_FIELDS
from tests.harness.databases import new_database

Connection = psycopg.Connection[Any]

_TIMES = ("infinity", "-infinity", "2024-02-29 12:34:56.789+00", "4713-01-01 00:00:00 BC", "294276-12-31 23:59:59")
VALUES: dict[str, Sequence[str]] = {
    "bool": ("true", "false"),
    "int2": ("0", "1", "-1", "32767", "-32768"),
    "int4": ("0", "1", "-1", "7", "2147483647", "-2147483648"),
    "int8": ("0", "1", "-1", "7", "9223372036854775807", "-9223372036854775808"),
    "float4": ("0", "-0", "1.5", "NaN", "infinity", "-infinity"),
    "float8": ("0", "-0", "1.5", "-1", "NaN", "infinity", "-infinity"),
    "numeric": ("0", "1.50", "-1", "NaN", "infinity", "-infinity", "1e-30"),
    "money": ("0", "-1.50"),
    "text": ("", "a", "1", "%", "{}", "a.b c", "2020-01-01"),
    "varchar": ("", "a b"),
    "bpchar": ("", "a  "),
    "name": ("", "pg_class"),
    "char": ("", "a"),
    "bytea": (r"\x", r"\x00ff61"),
    "date": ("infinity", "-infinity", "2024-02-29", "4713-01-01 BC", "5874897-12-31"),
    "time": ("00:00", "24:00", "12:34:56.789"),
    "timetz": ("00:00+00", "24:00-15"),
    "timestamp": _TIMES,
    "timestamptz": _TIMES,
    "interval": ("0", "1 mon 2 days 03:04:05.6", "-1 day", "178000000 years", "infinity", "-infinity"),
    "uuid": ("00000000-0000-0000-0000-000000000000", "11111111-1111-4111-8111-111111111111"),
    "json": ("null", "{}", "[]", '{"a": null, "b": [1, null]}', '"x"', '[{"a": 1}]'),
    "jsonb": ("null", "{}", "[]", '{"a": null, "b": [1, null]}', "1", '"x"', "true"),
    "jsonpath": ("$", "strict $.x", "$.a[*]", "$ ? (@ > 1)"),
    "inet": ("::", "10.0.0.1/8", "1.2.3.4"),
    "cidr": ("::/0", "10.0.0.0/8"),
    "macaddr": ("00:00:00:00:00:00",),
    "macaddr8": ("00:00:00:00:00:00:00:00", "08:00:2b:ff:fe:01:02:03"),
    "bit": ("", "101"),
    "varbit": ("", "101"),
    "oid": ("0", "10", "1259", "4294967295"),
    "oidvector": ("", "1 2"),
    "xid": ("0", "3"),
    "xid8": ("0",),
    "cid": ("0",),
    "tid": ("(0,0)",),
    "pg_lsn": ("0/0", "FFFFFFFF/FFFFFFFF"),
    "regclass": ("0", "edge_sequence", "pg_class"),
    "regtype": ("int4",),
    "regproc": ("0",),
    "regprocedure": ("0",),
    "regconfig": ("simple", "english"),
    "regdictionary": ("simple",),
    "regnamespace": ("pg_catalog",),
    "point": ("(0,0)", "(1,NaN)", "(infinity,1)"),
    "line": ("{1,0,0}", "{1,0,-1}", "{0,1,0}", "{1,1,NaN}"),
    "lseg": ("[(0,0),(1,1)]", "[(0,1),(1,2)]", "[(0,0),(0,0)]"),
    "box": ("(0,0),(0,0)", "(1,1),(2,2)", "(0,0),(infinity,1)"),
    "path": ("[(0,0)]", "((0,0),(1,1))", "[(0,0),(1,NaN)]"),
    "polygon": ("((0,0))", "((0,0),(1,1),(1,0))"),
    "circle": ("<(0,0),0>", "<(1,1),2>", "<(0,0),infinity>"),
    "tsvector": ("", "a:1A b:2"),
    "tsquery": ("", "a", "a & !b"),
    "xml": ("<a/>",),
    "pg_snapshot": ("1:1:",),
    "txid_snapshot": ("1:1:",),
    "citext": ("", "A"),
    "ltree": ("", "a.b"),
    "lquery": ("*", "a.*"),
    "ltxtquery": ("a", "a & !b"),
    "hstore": ("", "a=>NULL", "a=>1"),
    "cube": ("(0)", "(1,2),(3,4)"),
    **dict.fromkeys(("int4range", "int8range"), ("empty", "(,)", "[1,5)", "[5,)")),
    "numrange": ("empty", "(,)", "[1,NaN)", "[-infinity,infinity]"),
    "daterange": ("empty", "(,)", "[2020-01-01,infinity]"),
    **dict.fromkeys(("tsrange", "tstzrange"), ("empty", "(,)", "[-infinity,infinity]")),
    **{f"{kind}multirange": ("{}", "{(,)}") for kind in ("int4", "int8", "num", "date", "ts", "tstz")},
}
ARRAYS: dict[str, Sequence[str]] = {
    "int4": ("{}", "{1,NULL}", "{NULL}", "{{1,2},{3,4}}", "[0:1]={1,2}"),
    "text": ("{}", "{a,NULL}", "{a,b}", "{{a,b},{c,d}}"),
    "float4": ("{}", "{0.1,0.2,0.4,1}"),
}
# What some functions take instead of any text.
WORDS: dict[str, Sequence[str]] = {
    "convert": ("UTF8", "LATIN1"),
    "convert_from": ("UTF8", "LATIN1"),
    "convert_to": ("UTF8", "LATIN1"),
    "crypt": ("$1$aaaaaaaa", "ab"),
    "current_setting": ("TimeZone", "search_path"),
    "date_part": ("hour", "second", "timezone"),
    "date_trunc": ("UTC", "month", "millennium"),
    "daterange": ("[)", "(]", "()", "[]"),
    "decode": ("", "hex", "base64", "escape"),
    "digest": ("", "md5", "sha256"),
    "encode": ("hex", "base64", "escape"),
    "extract": ("hour", "second"),
    "gen_salt": ("des", "md5"),
    "hmac": ("", "md5", "sha256"),
    "int4range": ("[)", "(]", "()", "[]"),
    "int8range": ("[)", "(]", "()", "[]"),
    "is_normalized": ("", "NFC", "NFKD"),
    "length": ("UTF8", "LATIN1"),
    "make_timestamptz": ("UTC", "Europe/Berlin"),
    "normalize": ("", "NFC", "NFKD"),
    "numrange": ("[)", "(]", "()", "[]"),
    "pg_input_is_valid": ("", "int4", "text"),
    "regclass": ("pg_class",),
    "regexp_count": ("", "g", "i", "a"),
    "regexp_instr": ("", "i", "a"),
    "regexp_split_to_table": ("", "i", "a"),
    "ts_headline": ("", "MaxWords=10, MinWords=5"),
    "tsrange": ("[)", "(]", "()", "[]"),
    "tstzrange": ("[)", "(]", "()", "[]"),
}
# What a polymorphic signature stands for, one time and another.
_INT4 = {"range": "int4range", "multirange": "int4multirange", "enum": "edge_mood"}
_KINDS = (
    {"element": "int4", "nonarray": "int4", "": "int4", "array": "_int4", **_INT4},
    {"element": "text", "nonarray": "text", "": "text", "array": "_text", **_INT4},
    {"element": "numeric", "nonarray": "date", "": "_int4", "array": "_numeric", "enum": "edge_mood",
     "range": "numrange", "multirange": "nummultirange"},
    {"element": "jsonb", "nonarray": "jsonb", "": "jsonb", "array": "_jsonb", **_INT4},
)  # fmt: skip
# These would wait, or end somebody's session.
NOT_CALLED = frozenset({"pg_sleep", "pg_cancel_backend", "pg_terminate_backend"})
MOST_CALLS = 16

# Calls that gave NULL, and how many gave anything. A call may raise: for most values of most types it has to.
SCHEMA = """
CREATE TYPE edge_mood AS ENUM ('sad', 'ok');
CREATE SEQUENCE edge_sequence;
SELECT nextval('edge_sequence');
CREATE FUNCTION pg_temp.calls(calls text[], OUT nulls text[], OUT answered int) LANGUAGE plpgsql AS $$
DECLARE
    call text;
    is_null bool;
BEGIN
    nulls := '{}';
    answered := 0;
    FOREACH call IN ARRAY calls LOOP
        BEGIN
            EXECUTE call INTO is_null;
            answered := answered + 1;
            IF is_null THEN
                nulls := nulls || call;
            END IF;
        EXCEPTION WHEN OTHERS THEN NULL;
        END;
    END LOOP;
END $$
"""

# A null argument is one of a function that is listed as never NULL whatever its arguments are.
_FORMS = {
    "plain": "SELECT num_nulls({name}({args})) > 0",  # a row of NULLs is not NULL, although it IS NULL
    # Of a row none of whose columns is NULL, IS NOT NULL is true.
    "set": "SELECT bool_or(NOT (r IS NOT NULL)) FROM (SELECT {name}({args}) AS r LIMIT 20) AS s",
    "keys": "SELECT bool_or((r).key IS NULL) FROM (SELECT {name}({args}) AS r LIMIT 20) AS s",
}


class Function(NamedTuple):
    """A function of the catalog."""

    oid: int
    name: str
    """As it is called: `pg_catalog.int4pl`."""
    types: list[str]
    """The short names of its arguments' types."""
    kind: str
    """`pg_proc.prokind`."""
    returns_set: bool
    variadic: bool
    """Whether the last argument is VARIADIC: an array, or anything."""


@pytest.fixture(scope="module")
def conn(server_url: str) -> Iterator[Connection]:
    """A connection to a database with the extensions that this server has."""
    with new_database(server_url) as url, psycopg.connect(url, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT name FROM pg_available_extensions WHERE name = ANY (%s)", [list(EXTENSIONS)]
        ).fetchall()
        for (name,) in rows:
            connection.execute(f'CREATE EXTENSION "{name}"'.encode())
        connection.execute(SCHEMA.encode())
        yield connection


@pytest.fixture(scope="module")
def functions(conn: Connection) -> dict[int, Function]:
    """The functions by OID."""
    rows = conn.execute("""
        SELECT p.oid::int8, format('%I.%I', n.nspname, p.proname), array(
                   SELECT t.typname::text FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS a (oid, place)
                   JOIN pg_type AS t ON t.oid = a.oid ORDER BY a.place
               ), p.prokind::text, p.proretset, p.provariadic <> 0
        FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
    """).fetchall()
    return {row[0]: Function(*row) for row in rows}


def test_what_is_never_null_is_not_null_for_values_at_the_edges(
    conn: Connection, functions: dict[int, Function], figures: list[str]
) -> None:
    families = Catalog(conn).families
    tried = Tried(conn)
    for family in ("total", "always", "first", "either", "extracts", "sets", "keys"):
        for function in (functions[oid] for oid in sorted(families[family])):
            if function.name.rpartition(".")[2] not in NOT_CALLED:
                tried.call(family, function)
    figures.append(f"{tried.answered} answers of {tried.functions} functions on values at the edges: none is NULL")
    assert tried.nulls == []
    assert tried.silent <= SILENT, "never gave anything: values of its types are missing in this test"
    assert tried.functions > 1000


def test_aggregates_of_a_row_are_not_null_for_values_at_the_edges(
    conn: Connection, functions: dict[int, Function]
) -> None:
    tried = Tried(conn)
    for oid, kind in sorted(Catalog(conn).aggregates.items()):
        if functions[oid].types and not functions[oid].variadic:  # those take any number of arguments
            tried.aggregate(kind, functions[oid])
    assert tried.nulls == []
    assert tried.functions > 100


# What cannot be called everywhere: on roles, which have other names elsewhere; in a database of another encoding; by a
# server that was built without XML.
SILENT = frozenset({
    "pg_catalog.text(xml)",
    *(f"pg_catalog.{name}" for name in ("aclcontains(_aclitem, aclitem)", "aclitemeq(aclitem, aclitem)")),
    *(f"pg_catalog.{name}(_aclitem, aclitem)" for name in ("aclinsert", "aclremove")),
    *(f"pg_catalog.to_ascii({types})" for types in ("text", "text, int4", "text, name")),
})  # fmt: skip


class Tried:
    """What came of the calls."""

    def __init__(self, conn: Connection) -> None:
        self.nulls: list[str] = []
        self.silent: set[str] = set()
        self.functions = 0
        self.answered = 0
        self._conn = conn

    def call(self, family: str, function: Function) -> None:
        """Call a function on combinations of values."""
        form = "keys" if family == "keys" else "set" if function.returns_set else "plain"
        calls = [_FORMS[form].format(name=function.name, args=", ".join(args)) for args in _arguments(family, function)]
        self._run(function, calls)

    def aggregate(self, kind: str, function: Function) -> None:
        """Aggregate single values, and all of them."""
        family = "always" if kind == "rows" else "total"
        rows = [f"({', '.join(args)})" for args in _arguments(family, function)]
        names = ", ".join(f"a{number}" for number in range(len(function.types)))
        head = f"SELECT num_nulls({function.name}({names})) > 0 FROM (VALUES"
        self._run(
            function, [f"{head} {each}) AS v ({names})" for each in (*rows, *([", ".join(rows)] if rows else []))]
        )

    def _run(self, function: Function, calls: list[str]) -> None:
        row = self._conn.execute("SELECT * FROM pg_temp.calls(%s)", [calls]).fetchone()
        assert row is not None
        self.functions += 1
        self.nulls += row[0]
        self.answered += row[1]
        if not row[1]:
            self.silent.add(f"{function.name}({', '.join(function.types)})")


def _arguments(family: str, function: Function) -> Iterator[tuple[str, ...]]:
    """Some combinations of values, always the same ones."""
    polymorphic = any(name.startswith("any") for name in function.types)
    for kind in _KINDS if polymorphic else _KINDS[:1]:
        types = [_concrete(name, kind) for name in function.types]
        choices = [_values(name, function.name.rpartition(".")[2].strip('"')) for name in types]
        if family == "extracts":
            choices[0] = [f"'{name}'" for name in sorted(MONOTONIC_FIELDS)]
        for place in range(family == "first", len(types) if family in ("always", "first") else 0):
            choices[place] += [f"NULL::{types[place]}"]
        if family == "either":
            yield from ((one, f"NULL::{types[1]}") for one in choices[0])
            yield from ((f"NULL::{types[0]}", other) for other in choices[1])
        yield from _combinations(function, choices)


def _combinations(function: Function, choices: Sequence[Sequence[str]]) -> Iterator[tuple[str, ...]]:
    """Each value once beside plain ones, and some combinations of any."""
    if not all(choices):
        return
    if function.variadic and function.types[-1] != "any":
        choices = [*choices[:-1], [f"VARIADIC {value}" for value in choices[-1]]]
    elif function.variadic:  # documents take pairs
        choices = [*choices, choices[-1]]
    plain = [each[min(1, len(each) - 1)] for each in choices]
    for place, each in enumerate(choices):
        yield from ((*plain[:place], value, *plain[place + 1 :]) for value in each)
    chance = random.Random(function.name)  # noqa: S311 - no secret
    yield from (tuple(chance.choice(each) for each in choices) for _ in range(MOST_CALLS))


def _concrete(name: str, kind: dict[str, str]) -> str:
    """A type, for a polymorphic one that which it stands for."""
    if not name.startswith("any"):
        return name
    return kind["" if name == "any" else name.removeprefix("any").removeprefix("compatible") or "element"]


def _values(name: str, function: str) -> list[str]:
    """Values of a type, as SQL writes them."""
    if name == "edge_mood":
        return ["'sad'::edge_mood", "'ok'::edge_mood"]
    if name == "record":
        return ["ROW(NULL)", "ROW(1)", "ROW(2)"]
    if not name.startswith("_"):
        shown = '"char"' if name == "char" else "bit(3)" if name == "bit" else name
        words = WORDS.get(function, ()) if name in ("text", "name") else ()
        return [f"'{value}'::{shown}" for value in (*words, *VALUES.get(name, ()))]
    inner = name[1:]
    literals = ARRAYS.get(inner, ("{}", "{NULL}"))
    some = VALUES.get(inner, ())[:2]
    return [*(f"'{value}'::{name}" for value in literals), *(f"ARRAY['{value}'::{inner}]" for value in some)]

"""The conformance corpus: queries with the true types and nullability of their columns and parameters, and the means to
see a truth fail.

A query of `corpus/*.sql` says in its comment lines what is true of it:

    -- expect: author_id int4!, title text?
    -- params: wanted text!, note text?
    -- inside: owner.id!, owner.nick?, tags[]!, tags[].label!
    -- One line that says why.

Types are PostgreSQL's own short names (`pg_type.typname`), as the description of the prepared statement gives them: a
domain's column shows its base type. A column marked `!` is never NULL, in any state of the database that the
constraints of `schema.sql` allow and for any accepted parameters; one marked `?` is NULL in some. A parameter marked
`?` takes None: it lands in a nullable column, or the query itself asks whether it is NULL. `expect: nothing` stands
where no rows come back; a list that is too long for its line goes on in a second `expect:`.

These are truths about PostgreSQL, not about what a tool can find out. `corpus_18/` holds those that need version 18.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, cast

import psycopg
from psycopg import errors

from rowsmith.queries.loader import read_queries
from rowsmith.queries.query import Query
from rowsmith.values.types import is_list

Connection = psycopg.Connection[Any]

HERE = Path(__file__).parent
_VERSION_18 = 180000

# Values to try for a parameter, as PostgreSQL writes them. They meet the rows of data.sql, or miss them.
_TIMES = ("2000-01-01", "2021-01-01", "infinity", "-infinity")
_VALUES: Mapping[str, Sequence[str]] = {
    "bool": ("t", "f"),
    "bytea": (r"\x00",),
    "date": _TIMES,
    "email": ("p@q", "@"),
    "inet": ("::1", "10.0.0.1/8"),
    "int4": ("1", "2", "0", "1000"),
    "int8": ("1", "2", "0", "1000"),
    "interval": ("1 day", "0"),
    "jsonb": ("null", '{"id": 1}', '{"label": "x"}', "[]"),
    "label": ("", "t"),
    "mood": ("ok", "sad"),
    "numeric": ("0", "1.5", "NaN"),
    "positive": ("1", "7"),
    "text": ("a", "bob", "", "month", "%", "1", "x@y"),
    "timestamptz": _TIMES,
    "uuid": ("11111111-1111-4111-8111-111111111111",),
    "_int4": ("{}", "{1,2}", "{0,7,NULL}"),
    "_mood": ("{ok,sad}", "{}"),
    "_text": ("{}", "{n1,n2}", "{n1,NULL,n3}"),
}
_MOST_COMBINATIONS = 60

# What a statement may answer instead of rows: data exception, cardinality and integrity constraint violations, and
# WITH CHECK OPTION. Anything else is a fault of the corpus.
_REFUSALS = ("21", "22", "23", "44")


@dataclass(frozen=True, slots=True)
class Expected:
    """A column or a parameter as the corpus has it."""

    name: str
    type: str
    """The short name of its type, `int4`, `_text`."""
    nullable: bool

    def __str__(self) -> str:
        return f"{self.name} {self.type}{'?' if self.nullable else '!'}"


@dataclass(frozen=True, slots=True)
class Case:
    """A query of the corpus and what is true of it."""

    query: Query
    columns: tuple[Expected, ...]
    parameters: tuple[Expected, ...]
    why: str
    inside: Mapping[str, str] = field(default_factory=dict[str, str])
    """What is in rows and lists, by its path: its mark."""

    @property
    def name(self) -> str:
        """The query's name, the only one of its kind in the corpus."""
        return self.query.name


@dataclass(slots=True)
class Observation:
    """What was seen of a case."""

    nulls: set[int] = field(default_factory=set[int])
    """The columns, by place, that were NULL in some row."""
    inside: dict[str, bool] = field(default_factory=dict[str, bool])
    """What was seen in rows and lists, by its path: whether it was NULL somewhere."""
    rows: int = 0
    runs: int = 0
    """How often the statement was executed without an error."""
    none_accepted: set[str] = field(default_factory=set[str])
    """The parameters for which the server took NULL without an error."""
    none_effective: set[str] = field(default_factory=set[str])
    """The parameters for which NULL was taken and a row came back, or was written."""

    def add(self, other: Observation) -> None:
        """Count what was seen elsewhere, too."""
        self.nulls |= other.nulls
        self.inside |= {path: null or self.inside.get(path, False) for path, null in other.inside.items()}
        self.rows += other.rows
        self.runs += other.runs
        self.none_accepted |= other.none_accepted
        self.none_effective |= other.none_effective


def read_corpus(server_version: int) -> list[Case]:
    """The cases for a server, `server_version` as libpq gives it (180004): sorted by file and place in it.

    Raises ValueError for a case that does not say what it has to say.
    """
    folders = [HERE / "corpus", *([HERE / "corpus_18"] if server_version >= _VERSION_18 else [])]
    return [_case(query) for folder in folders for query in read_queries(folder)]


def create_schema(conn: Connection) -> None:
    """Make the tables that the corpus asks about, in an empty database. Commits."""
    special = "schema_18.sql" if conn.info.server_version >= _VERSION_18 else "schema_before_18.sql"
    for name in ("schema.sql", special):
        conn.execute((HERE / name).read_bytes())
    conn.commit()


def states(conn: Connection) -> Iterator[str]:
    """Bring the database into each of the states of data.sql, one after the other, and yield its name.

    What is done in a state is rolled back before the next one.
    """
    for name, script in state_scripts():
        with conn.transaction(force_rollback=True):
            conn.execute(script.encode())
            yield name


def observe(conn: Connection, case: Case) -> Observation:
    """Run a query in the state at hand, with several values for its parameters, and leave no trace of it.

    A parameter marked `?` is None in some of the runs. One marked `!` is, too, in runs that count for
    `none_accepted` and `none_effective` only.
    """
    seen = Observation()
    for form in forms(case):
        seen.none_accepted |= form.left_out
        for values in _spread([_choices(form, each) for each in form.parameters]):
            if case.inside:
                seen.add(Observation(inside=_look_inside(conn, form.query, values)))
            if (result := _run(conn, form.query, values)) is not None:
                seen.runs += 1
                seen.rows += result.rows
                seen.nulls |= result.nulls
                pairs = zip(form.parameters, values, strict=True)
                seen.none_accepted |= {p.name for p, value in pairs if value is None}
        for index, parameter in enumerate(form.parameters):
            if not parameter.nullable:
                others = (_VALUES[p.type] if at != index else (None,) for at, p in enumerate(form.parameters))
                for values in _spread(list(others)):
                    if (result := _run(conn, form.query, values)) is not None:
                        seen.none_accepted.add(parameter.name)
                        if result.affected:
                            seen.none_effective.add(parameter.name)
    return seen


@dataclass(frozen=True, slots=True)
class Form:
    """A form of a case; the case itself, if it has one alone."""

    query: Query
    parameters: tuple[Expected, ...]
    left_out: frozenset[str]
    """The parameters that are None in it, because the lines that depend on them are not sent."""


def forms(case: Case) -> Iterator[Form]:
    """The forms of a case."""
    if case.query.forms is None:
        yield Form(case.query, case.parameters, frozenset())
        return
    found = case.query.forms
    every = found.not_none(found.all_on)
    for number in range(found.count):
        query = case.query.form(number)
        parameters = tuple(each for each in case.parameters if each.name in query.parameters)
        yield Form(query, parameters, every - query.not_none)


def _choices(form: Form, parameter: Expected) -> tuple[str | None, ...]:
    if parameter.name in form.left_out:
        return (None,)
    nullable = parameter.nullable and parameter.name not in form.query.not_none
    return (*(None for _ in range(nullable)), *_VALUES[parameter.type])


def observe_all(conn: Connection, cases: Iterable[Case]) -> dict[str, Observation]:
    """`observe` in every state; by the names of the cases."""
    seen = {case.name: Observation() for case in cases}
    for _ in states(conn):
        for case in cases:
            seen[case.name].add(observe(conn, case))
    return seen


_ENTRY = re.compile(r"(?P<name>.+) (?P<type>\w+)(?P<mark>[!?])")


def _case(query: Query) -> Case:
    lists: dict[str, list[str]] = {"expect": [], "params": [], "inside": []}
    why: list[str] = []
    for line in query.doc.splitlines():
        word, colon, rest = line.strip().partition(":")
        if colon and word in lists:
            lists[word] += [entry.strip() for entry in rest.split(",")]
        else:
            why.append(line.strip())
    if not lists["expect"] or not why:
        raise ValueError(f"{query.location}: {query.name} does not say what to expect, or why")
    columns = () if lists["expect"] == ["nothing"] else _expected(query, lists["expect"])
    parameters = _expected(query, lists["params"])
    names = query.parameters if query.forms is None else tuple(query.forms.parameters)
    if tuple(parameter.name for parameter in parameters) != names:
        raise ValueError(f"{query.location}: {query.name} has the parameters {names}, in this order")
    inside = {entry[:-1]: entry[-1] for entry in lists["inside"]}
    return Case(query, columns, parameters, " ".join(why), inside)


def _expected(query: Query, entries: Sequence[str]) -> tuple[Expected, ...]:
    matches = [_ENTRY.fullmatch(entry) for entry in entries]
    if None in matches:
        raise ValueError(f"{query.location}: {entries[matches.index(None)]!r} is not of the form `name type!`")
    return tuple(Expected(match["name"], match["type"], match["mark"] == "?") for match in matches if match)


def state_scripts() -> list[tuple[str, str]]:
    """The states of data.sql: name and statements."""
    _, *parts = re.split(r"^-- state: (\w+)$", (HERE / "data.sql").read_text(encoding="utf-8"), flags=re.MULTILINE)
    return list(zip(parts[::2], parts[1::2], strict=True))


def _spread(choices: Sequence[Sequence[str | None]]) -> Iterator[tuple[str | None, ...]]:
    """All combinations, or some of them all over the field where there are too many."""
    size = math.prod(map(len, choices))
    step = max(1, size // _MOST_COMBINATIONS) | 1  # odd, so as not to fall into step with the last choices
    every = list(product(*choices))
    yield from every[::step]
    if step > 1:
        # Each choice once more, together with the first ones of the others.
        for index, choice in enumerate(choices):
            for value in choice[1:]:
                yield tuple(value if at == index else other[-1] for at, other in enumerate(choices))


def _look_inside(conn: Connection, query: Query, values: Sequence[str | None]) -> dict[str, bool]:
    """What is in the columns, as the server's own JSON has it: whether each path was NULL somewhere."""
    cursor = psycopg.RawCursor(conn)
    found: dict[str, bool] = {}
    with conn.transaction(force_rollback=True):
        statement = f"WITH looked_at AS ({query.sql}\n) SELECT to_json(looked_at) FROM looked_at"
        for (row,) in cursor.execute(statement.encode(), values or None, prepare=False):
            for path, value in _parts("", row):
                found[path] = found.get(path, False) or value is None
    return found


def _parts(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The parts of a document, by their paths: `owner.id`, `tags[].label`."""
    if isinstance(value, dict):
        for key, each in cast("dict[str, Any]", value).items():
            inner = f"{path}.{key}" if path else key
            yield inner, each
            yield from _parts(inner, each)
    if is_list(value):
        for each in value:
            yield f"{path}[]", each
            yield from _parts(f"{path}[]", each)


@dataclass(frozen=True, slots=True)
class _Result:
    rows: int
    affected: int
    nulls: set[int]


def _run(conn: Connection, query: Query, values: Sequence[str | None]) -> _Result | None:
    """Execute, look for NULL in what comes back, and undo. None where the server refused the values."""
    cursor = psycopg.RawCursor(conn)
    try:
        with conn.transaction(force_rollback=True):
            # As text, and not loaded either: Python has no date for infinity.
            cursor.execute(query.statement, values or None, prepare=False)
            result = cursor.pgresult
            assert result is not None
            fields, tuples = range(result.nfields), range(result.ntuples)
            nulls = {column for column in fields if any(result.get_value(row, column) is None for row in tuples)}
            return _Result(result.ntuples, result.command_tuples or 0, nulls)
    except errors.Error as error:
        if (error.sqlstate or "").startswith(_REFUSALS):
            return None
        error.add_note(f"{query.name}, {query.location}, with {values}")
        raise

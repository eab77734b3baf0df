"""What the server says of a query: its parameters, its columns, what it reads and writes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import psycopg
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult
from psycopg.rows import TupleRow

from rowsmith.compiler.analysis.cardinality import Cardinality
from rowsmith.compiler.analysis.catalog import Catalog
from rowsmith.compiler.analysis.effects import Effects
from rowsmith.compiler.analysis.enums import Entry
from rowsmith.compiler.analysis.nested import Nesting, Shape
from rowsmith.compiler.analysis.nodes import Node, queries
from rowsmith.compiler.analysis.nullability import Prover
from rowsmith.compiler.analysis.ordering import Ordering, Orderings
from rowsmith.compiler.analysis.packing import MOST_ARGUMENTS, pack, unpack
from rowsmith.compiler.analysis.parameters import nullable_parameters, stored_columns
from rowsmith.compiler.analysis.session_effects import SessionEffects
from rowsmith.compiler.analysis.unique_indexes import UniqueIndexes
from rowsmith.compiler.analysis.usage import Usage
from rowsmith.queries.inference import infer_types
from rowsmith.queries.keyset import SortKey
from rowsmith.queries.lexer import tokenize
from rowsmith.queries.marks import Kind
from rowsmith.queries.query import Query
from rowsmith.queries.rows import field_names, unmarked

_BODY = "SELECT prosqlbody::text FROM pg_proc WHERE proname = 'rowsmith_query' AND pronamespace = pg_my_temp_schema()"
# What the server says of a valid statement that cannot be the body of a function: LOCK, NOTIFY, a column whose type
# stays unknown; one whose tree is too deep or too large to be written down.
_NO_FUNCTION = (
    psycopg.ProgrammingError,
    psycopg.NotSupportedError,
    psycopg.errors.StatementTooComplex,
    psycopg.errors.ProgramLimitExceeded,
)


@dataclass(frozen=True, slots=True)
class Typed:
    """A parameter or a column: its name, its type, and whether it can be NULL."""

    name: str
    oid: int
    pg_type: str
    """As PostgreSQL writes it: `text`, `timestamp with time zone`, `integer[]`."""
    nullable: bool
    origin: str | None = None
    """The column of a relation, `schema.table.column`, that a column is, or that a parameter is stored in."""
    shape: Shape | None = None
    """Of a column whose value is a row, or a list: what is in it."""
    original: str | None = None
    """The name that PostgreSQL gives a column, if the row has to call it something else."""


@dataclass(frozen=True, slots=True)
class Description:
    """A query and what the server says of it."""

    query: Query
    parameters: tuple[Typed, ...]
    columns: tuple[Typed, ...]
    reads: tuple[str, ...] = ()
    """`schema.table.column`, sorted."""
    writes: tuple[str, ...] = ()
    only_reads: bool = False
    """Whether the query is proven to do nothing but read."""
    clean: bool = False
    """Whether the query is proven to leave nothing in its session."""
    one_row: bool = False
    """Whether the query gives exactly one row, whatever is in the database."""
    ordering: Ordering | None = None
    """What it sorts by, if it is a query that could have pages."""
    tree: Node | None = None
    """The analyzed query; None for the few statements that have no tree, and for a query with several forms."""
    forms: tuple[Description, ...] = ()
    """The forms of a query with optional lines or orderings, as far as they were analyzed."""
    orderings: tuple[tuple[SortKey, ...], ...] = ()
    """The sort keys of each ordering of such a query, if it has pages."""

    @property
    def pages(self) -> tuple[tuple[SortKey, ...], ...]:
        """The sort keys of each ordering, if the query has pages."""
        return (self.ordering.keys,) if self.ordering and self.ordering.keys else self.orderings


class Describer:
    """Describes queries on one connection. Nothing is executed, and whatever is created is rolled back."""

    def __init__(self, conn: psycopg.Connection[TupleRow]) -> None:
        self._conn = conn
        self.catalog = Catalog(conn)
        self.session_effects = SessionEffects(conn, self.catalog)
        self.cardinality = Cardinality(self.catalog, UniqueIndexes(conn))
        self._orderings = Orderings(conn, self.catalog, self.cardinality)
        self._effects = Effects(self.catalog)
        self._types: dict[int, str] = {}

    def describe(self, query: Query) -> Description:
        """Ask the server. Raises psycopg.Error if it refuses the query."""
        try:
            found = self._describe(query)
        except psycopg.errors.AmbiguousParameter:
            typed = self._conn.wait(infer_types(self._conn.pgconn, query, "utf-8"))
            if typed is None:
                raise
            found = self._describe(typed)
        names = field_names([column.name for column in found.columns])
        pairs = zip(found.columns, names, strict=True)
        columns = (each if each.name == name else replace(each, name=name, original=each.name) for each, name in pairs)
        return replace(found, columns=tuple(columns))

    @property
    def lost(self) -> bool:
        """Whether the connection is lost."""
        return self._conn.closed

    def prepare(self, query: Query) -> Description:
        """The parameters and the columns of a query, each of which may be NULL. Raises psycopg.Error."""
        with self._conn.transaction(force_rollback=True):
            types, columns = self._prepare(query)
        names = field_names([column.name for column in columns])
        return Description(
            query,
            tuple(
                Typed(name, oid, self._type_name(oid), nullable=False)
                for name, oid in zip(query.parameters, types, strict=True)
            ),
            tuple(replace(column, name=name) for column, name in zip(columns, names, strict=True)),
        )

    def _describe(self, query: Query) -> Description:
        if query.kind is Kind.SCRIPT:
            return Description(query, (), ())
        with self._conn.transaction(force_rollback=True):
            types, columns = self._prepare(query)
            tree = self._parse(query, types, returns=bool(columns))
        parameters = [
            Typed(name, oid, self._type_name(oid), nullable=name in query.nullable)
            for name, oid in zip(query.parameters, types, strict=True)
        ]
        if tree is None:  # nothing is proven: every column can be NULL, and of the parameters those of a procedure
            parameters = [replace(each, nullable=each.nullable or _calls(query)) for each in parameters]
            return Description(query, tuple(parameters), tuple(_marked(each, never=False) for each in columns))
        nullable, stored = nullable_parameters(self.catalog, tree), stored_columns(self.catalog, tree)
        nullable |= {number for number, each in enumerate(parameters, 1) if each.nullable}
        nullable -= {number for number, each in enumerate(parameters, 1) if each.name in query.not_none}
        prover = Prover(self.catalog, frozenset(range(1, len(parameters) + 1)) - nullable)
        # A rule of another command leaves nothing of RETURNING.
        proven, usage = prover.outputs(tree) if columns else (), Usage(self.catalog, tree)
        shapes = Nesting(self.catalog, prover).of_columns(tree, [each.oid for each in columns])
        names, clean = _column_names(tree), self.session_effects.are_none(tree)
        return Description(
            query,
            tuple(
                replace(each, nullable=number in nullable, origin=self._origin(stored.get(number, ())))
                for number, each in enumerate(parameters, 1)
            ),
            tuple(
                replace(_marked(column, never=never, written=column.name not in names), shape=shape)
                for column, never, shape in zip(columns, proven, shapes, strict=True)
            ),
            tuple(sorted(usage.reads)),
            tuple(sorted(usage.writes)),
            clean and self._effects.only_reads(tree),
            clean,
            prover.gives_one_row(tree),
            self._ordering(query, columns, tree, prover),
            tree,
        )

    def _ordering(self, query: Query, columns: Sequence[Typed], tree: Node, prover: Prover) -> Ordering | None:
        def types(sql: str) -> list[int]:
            result = self._described(sql.encode())
            return [result.ftype(index) for index in range(result.nfields)]

        with self._conn.transaction(force_rollback=True):
            return self._orderings.find(query, [each.name for each in columns], tree, prover, types)

    def _described(self, statement: bytes) -> PGresult:
        """The protocol's Parse and Describe of a statement."""
        pgconn = self._conn.pgconn
        for result in (pgconn.prepare(b"", statement), pgconn.describe_prepared(b"")):
            if result.status != ExecStatus.COMMAND_OK:
                raise psycopg.errors.error_from_result(result, encoding="utf-8")
        return result

    def _prepare(self, query: Query) -> tuple[list[int], list[Typed]]:
        """The types of the parameters, and the columns."""
        result = self._described(query.statement)
        types = [result.param_type(index) for index in range(result.nparams)]
        return types, [self._column(result, index) for index in range(result.nfields)]

    def _column(self, result: PGresult, index: int) -> Typed:
        name, oid = (result.fname(index) or b"").decode(), result.ftype(index)
        relid, number = result.ftable(index), result.ftablecol(index)
        return Typed(name, oid, self._type_name(oid), nullable=True, origin=self._origin([(relid, number)]))

    def _parse(self, query: Query, parameters: list[int], *, returns: bool) -> Node | None:
        """The analyzed tree: that of the body of a function that consists of the query.

        None for the few statements that cannot be in a function.
        """
        types, sql = [self._type_name(oid) for oid in parameters], query.sql
        packed = pack(sql, types) if len(types) > MOST_ARGUMENTS else None
        if packed is not None:
            types, sql = packed.types, packed.sql
        head = f"CREATE FUNCTION pg_temp.rowsmith_query({', '.join(types)}) RETURNS"
        body = f"{'SETOF record' if returns else 'void'} LANGUAGE sql BEGIN ATOMIC {sql}\n; END"
        try:
            with self._conn.transaction():
                for statement in [*(packed.definitions if packed else []), f"{head} {body}"]:
                    self._conn.execute(statement.encode())
        except _NO_FUNCTION:
            return None
        row = self._conn.execute(_BODY).fetchone()
        found = queries(row[0]) if row else []
        if packed is not None:
            unpack(*found)
        return found[0] if found else None

    def _origin(self, columns: Collection[tuple[int, int]]) -> str | None:
        """The name of a column, by its relation and number, if there is just one."""
        if len(columns) != 1:
            return None
        ((relid, number),) = columns
        return self.catalog.column_name(relid, number)

    def _type_name(self, oid: int) -> str:
        if oid not in self._types:
            row = self._conn.execute("SELECT format_type(%s::oid, NULL)", [oid]).fetchone()
            self._types[oid] = row[0] if row else "?"
        return self._types[oid]


def _marked(column: Typed, *, never: bool, written: bool = True) -> Typed:
    """A column with what is proven of it; a mark in its name, `AS "total!"`, decides instead, and is taken off.

    In a name that was not `written` in the query, because a column of a relation has it, `!` and `?` say nothing.
    """
    name = unmarked(column.name)
    marked = written and name != column.name
    return replace(column, name=name, nullable=column.name.endswith("?") if marked else not never)


def _calls(query: Query) -> bool:
    """Whether a statement is CALL."""
    return next(token.text for token in tokenize(query.sql) if not token.blank).lower() == "call"


def _column_names(tree: Node) -> frozenset[str]:
    """The names of the columns of relations and functions in a query, without those that it gives them itself."""
    entries = [entry for node in tree.walk() if node.tag == "QUERY" for entry in node.nodes("rtable")]
    return frozenset(
        name
        for entry in entries
        if entry.integer("rtekind") in (Entry.RELATION, Entry.FUNCTION)
        for name in _names(entry.node("eref")) - _names(entry.node("alias"))
    )


def _names(alias: Node | None) -> set[str]:
    return set(alias.texts("colnames")) if alias else set()

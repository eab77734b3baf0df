"""What the server says of a query: its parameters, its columns, what it reads and writes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import NamedTuple

import psycopg
from psycopg.pq import ExecStatus
from psycopg.rows import TupleRow

from rowsmith.compiler.analysis.catalog import Catalog
from rowsmith.compiler.analysis.effects import Effects
from rowsmith.compiler.analysis.enums import Command
from rowsmith.compiler.analysis.nodes import Node, queries
from rowsmith.compiler.analysis.nullability import Prover
from rowsmith.compiler.analysis.parameters import nullable_parameters, stored_columns
from rowsmith.compiler.analysis.usage import Usage
from rowsmith.queries.marks import Kind
from rowsmith.queries.query import Query
from rowsmith.queries.rows import unmarked

_BODY = "SELECT prosqlbody::text FROM pg_proc WHERE proname = 'rowsmith_query' AND pronamespace = pg_my_temp_schema()"
# A trigger BEFORE INSERT can drop the row, a rule can do something else; a partition may have its own triggers.
_TAKES_EVERY_ROW = """
SELECT c.relkind = 'r'
   AND NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = c.oid AND t.tgtype & 7 = 7)
   AND NOT EXISTS (SELECT FROM pg_rewrite AS r WHERE r.ev_class = c.oid)
FROM pg_class AS c WHERE c.oid = %s
"""  # tgtype: catalog/pg_trigger.h, TRIGGER_TYPE_ROW | TRIGGER_TYPE_BEFORE | TRIGGER_TYPE_INSERT
# What the server says of a statement, good in itself, that cannot be the body of a function: LOCK, NOTIFY, a column
# whose type stays unknown.
_NO_FUNCTION = (psycopg.ProgrammingError, psycopg.NotSupportedError)


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
    row: frozenset[str] | None = None
    """Where a column is the whole row of a relation: the names in it that are never NULL."""


@dataclass(frozen=True, slots=True)
class Description:
    """A query with all that the server knows of it."""

    query: Query
    parameters: tuple[Typed, ...]
    columns: tuple[Typed, ...]
    reads: tuple[str, ...]
    """`schema.table.column`, sorted."""
    writes: tuple[str, ...]
    only_reads: bool = False
    """Whether the query is proven to do nothing but read."""
    one_row: bool = False
    """Whether the query gives exactly one row, whatever there is."""
    tree: Node | None = None
    """The analysed query; None for the few statements that have no tree."""


class _Field(NamedTuple):
    """A column as the protocol describes it; `table` and `number` are 0 where it is no relation's."""

    name: str
    type: int
    table: int
    number: int


class Describer:
    """Describes queries on one connection. Nothing is executed, and nothing stays: all is rolled back."""

    def __init__(self, conn: psycopg.Connection[TupleRow]) -> None:
        self._conn = conn
        self.catalog = Catalog(conn)
        self._effects = Effects(self.catalog)
        self._types: dict[int, str] = {}

    def describe(self, query: Query) -> Description:
        """Ask the server. Raises psycopg.Error where it refuses the query."""
        if query.kind is Kind.SCRIPT:
            return Description(query, (), (), (), ())
        with self._conn.transaction(force_rollback=True):
            parameters, columns = self._prepare(query)
            tree = self._parse(query, parameters, returns=bool(columns))
        if tree is None:
            return self._without_tree(query, parameters, columns)
        nullable = nullable_parameters(self.catalog, tree)
        not_null = frozenset(range(1, len(parameters) + 1)) - nullable
        prover = Prover(self.catalog, not_null)
        proven = prover.outputs(tree)
        stored = stored_columns(self.catalog, tree)
        usage = Usage(self.catalog)
        usage.add(tree)
        return Description(
            query,
            tuple(
                Typed(name, oid, self._type_name(oid), number in nullable, self._origin(stored.get(number, ())))
                for number, (name, oid) in enumerate(zip(query.parameters, parameters, strict=True), 1)
            ),
            tuple(
                _marked(self._column(column), nullable=not never) for column, never in zip(columns, proven, strict=True)
            ),
            tuple(sorted(usage.reads)),
            tuple(sorted(usage.writes)),
            self._effects.only_reads(tree),
            prover.one_row(tree) or self._inserts_one_row(tree),
            tree,
        )

    def _prepare(self, query: Query) -> tuple[list[int], list[_Field]]:
        """The types of the parameters, and the columns with theirs: the protocol's Parse and Describe."""
        pgconn = self._conn.pgconn
        for result in (pgconn.prepare(b"", query.statement), pgconn.describe_prepared(b"")):
            if result.status != ExecStatus.COMMAND_OK:
                raise psycopg.errors.error_from_result(result, encoding="utf-8")
        parameters = [result.param_type(index) for index in range(result.nparams)]
        columns = [
            _Field((result.fname(i) or b"").decode(), result.ftype(i), result.ftable(i), result.ftablecol(i))
            for i in range(result.nfields)
        ]
        return parameters, columns

    def _parse(self, query: Query, parameters: list[int], *, returns: bool) -> Node | None:
        """The analysed tree: that of the body of a function which is nothing but the query.

        None for the few statements that cannot be a function's, such as LOCK and NOTIFY.
        """
        types = ", ".join(self._type_name(oid) for oid in parameters)
        head = f"CREATE FUNCTION pg_temp.rowsmith_query({types}) RETURNS {'SETOF record' if returns else 'void'}"
        statement = f"{head} LANGUAGE sql BEGIN ATOMIC {query.sql}\n; END"
        try:
            with self._conn.transaction():
                self._conn.execute(statement.encode())
        except _NO_FUNCTION:
            return None
        row = self._conn.execute(_BODY).fetchone()
        found = queries(row[0]) if row else []
        return found[0] if found else None

    def _without_tree(self, query: Query, parameters: list[int], columns: list[_Field]) -> Description:
        """Where there is no tree nothing is proven: every column can be NULL, and no parameter may."""
        return Description(
            query,
            tuple(Typed(name, oid, self._type_name(oid), nullable=False)
                  for name, oid in zip(query.parameters, parameters, strict=True)),
            tuple(_marked(self._column(column), nullable=True) for column in columns),
            (),
            (),
        )  # fmt: skip

    def _inserts_one_row(self, tree: Node) -> bool:
        """Whether a statement inserts one row of values into a table, where nothing can keep that out but an error."""
        source = tree.node("jointree")
        if tree.integer("commandType") != Command.INSERT or tree.node("onConflict") is not None:
            return False
        # A query, or several rows of VALUES, would be in FROM.
        if source is None or source.nodes("fromlist") or tree.flag("hasTargetSRFs"):
            return False
        relid = tree.nodes("rtable")[tree.integer("resultRelation") - 1].integer("relid")
        row = self._conn.execute(_TAKES_EVERY_ROW, [relid]).fetchone()
        return row is not None and bool(row[0])

    def _column(self, field: _Field) -> Typed:
        origin = self._origin([(field.table, field.number)])
        whole = self.catalog.relations.get(field.table) if field.number == 0 else None
        row = frozenset(column.name for column in whole.columns.values() if column.proven) if whole else None
        return Typed(field.name, field.type, self._type_name(field.type), nullable=True, origin=origin, row=row)

    def _origin(self, columns: Collection[tuple[int, int]]) -> str | None:
        """The name of a column, by its relation and number, where it is only one."""
        if len(columns) != 1:
            return None
        ((relid, number),) = columns
        relation = self.catalog.relations.get(relid)
        column = relation.columns.get(number) if relation else None
        return f"{relation.schema}.{relation.name}.{column.name}" if relation and column else None

    def _type_name(self, oid: int) -> str:
        if oid not in self._types:
            row = self._conn.execute("SELECT format_type(%s::oid, NULL)", [oid]).fetchone()
            self._types[oid] = row[0] if row else "?"
        return self._types[oid]


def _marked(column: Typed, *, nullable: bool) -> Typed:
    """A column, without the mark in its name by which the author overrides what can be NULL: `AS "total!"`."""
    name = unmarked(column.name)
    return replace(column, name=name, nullable=nullable if name == column.name else column.name.endswith("?"))

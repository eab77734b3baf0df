"""Statements that PostgreSQL accepts and that fail whenever they run, or as soon as they meet a row."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import psycopg
from psycopg.rows import TupleRow

from rowsmith.compiler.analysis.catalog import Catalog, Relation
from rowsmith.compiler.analysis.conditions import TRANSPARENT
from rowsmith.compiler.analysis.description import Description
from rowsmith.compiler.analysis.enums import Command
from rowsmith.compiler.analysis.nodes import Node
from rowsmith.compiler.analysis.scopes import Level
from rowsmith.compiler.checks.findings import at_position
from rowsmith.findings import Finding, Rule, count_of
from rowsmith.queries.lexer import tokenize

# Columns of tables that refuse NULL, by themselves or by their domain, and whether they have a value if a statement
# gives them none.
_REQUIRED = """
WITH RECURSIVE domain (type, base, required) AS (
    SELECT oid, typbasetype, typnotnull FROM pg_type WHERE typtype = 'd'
    UNION ALL
    SELECT d.type, t.typbasetype, t.typnotnull FROM domain AS d JOIN pg_type AS t ON t.oid = d.base AND t.typtype = 'd'
)
SELECT n.nspname::text, c.relname::text, a.attnum,
       a.atthasdef OR a.attidentity <> '' OR a.attgenerated <> '' OR t.typdefault IS NOT NULL
FROM pg_attribute AS a
JOIN pg_class AS c ON c.oid = a.attrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_type AS t ON t.oid = a.atttypid
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p')
  AND (a.attnotnull OR EXISTS (SELECT FROM domain AS d WHERE d.type = a.atttypid AND d.required))
"""
_OBJECTS = """
SELECT oid::int8, proname::text FROM pg_proc
WHERE pronamespace = 'pg_catalog'::regnamespace AND proname IN ('json_build_object', 'jsonb_build_object')
"""
_GENERIC_PLAN_SINCE = 160000
# What the planner says of the statement alone: ON CONFLICT without an index, a FULL JOIN that cannot be done. It also
# evaluates expressions, for an estimate, and these may fail only here: current_setting() of the application's setting.
_CERTAIN = (psycopg.errors.InvalidColumnReference, psycopg.errors.FeatureNotSupported)
_WRITES = (Command.INSERT, Command.UPDATE)


class Impossible:
    """Finds such statements in one database."""

    def __init__(self, conn: psycopg.Connection[TupleRow], catalog: Catalog) -> None:
        self._conn = conn
        self._catalog = catalog

    def findings(self, description: Description) -> Iterator[Finding]:
        """What is wrong with a query. Nothing is known without a tree."""
        query, tree = description.query, description.tree
        if tree is None:
            return
        if (said := self._refusal_to_plan(description)) is not None:
            message = f"PostgreSQL cannot plan the statement: {said.diag.message_primary}"
            hint, words = said.diag.message_hint, [token for token in tokenize(query.sql) if not token.blank]
            position = 0
            if isinstance(said, psycopg.errors.InvalidColumnReference):
                hint = hint or "Add a unique index on just these columns, in a migration, or name those of one"
                position = next((token.start for token in words if token.text.lower() == "conflict"), 0)
            yield at_position(Rule.CANNOT_SUCCEED, query, position, message, hint)
        for node in tree.walk():
            if node.tag == "QUERY":
                for message, hint in self._writes(node):
                    yield at_position(Rule.CANNOT_SUCCEED, query, 0, message, hint)
            name = self._objects.get(node.integer("funcid")) if node.tag == "FUNCEXPR" else None
            if name is not None and len(node.nodes("args")) % 2 and not node.flag("funcvariadic"):
                count = count_of(len(node.nodes("args")), "argument")
                message = f"{name} takes pairs of keys and values, but has {count}"
                places = [token.start for token in tokenize(query.sql) if token.text.lower() == name]
                place = places[0] if len(places) == 1 else 0
                yield at_position(Rule.CANNOT_SUCCEED, query, place, message, "Add a value for the last key")

    def _refusal_to_plan(self, description: Description) -> psycopg.Error | None:
        """What the planner says, whatever the values are. Before version 16 it needs some, all NULL."""
        sql, name = description.query.sql, "rowsmith_plan"
        if self._conn.info.server_version >= _GENERIC_PLAN_SINCE:
            statement = f"EXPLAIN (GENERIC_PLAN) {sql}"
        else:
            values = f"({', '.join(['NULL'] * len(description.parameters))})" if description.parameters else ""
            plan = f"SET LOCAL plan_cache_mode = force_generic_plan; EXPLAIN EXECUTE {name} {values}"
            statement = f"PREPARE {name} AS {sql}; {plan}; DEALLOCATE {name}"
        try:
            with self._conn.transaction(force_rollback=True):
                self._conn.execute(statement.encode())
        except psycopg.Error as error:
            if self._conn.closed:
                raise
            if self._conn.info.server_version < _GENERIC_PLAN_SINCE:
                self._conn.execute(f"DEALLOCATE {name}".encode())
            return error if isinstance(error, _CERTAIN) else None
        return None

    # --- NULL in columns that refuse it ---

    @cached_property
    def _objects(self) -> dict[int, str]:
        return dict(self._conn.execute(_OBJECTS).fetchall())

    @cached_property
    def _required(self) -> dict[tuple[str, str], dict[int, bool]]:
        """By table, the columns that refuse NULL, and whether they have a default."""
        found: dict[tuple[str, str], dict[int, bool]] = {}
        for schema, table, number, has_default in self._conn.execute(_REQUIRED).fetchall():
            found.setdefault((schema, table), {})[number] = has_default
        return found

    def _writes(self, query: Node) -> Iterator[tuple[str, str]]:
        """What is wrong with what a statement stores."""
        level = Level(query, None)
        if not level.target:
            return
        relid, conflict = level.entry(level.target).integer("relid"), query.node("onConflict")
        stored = [(Command(query.integer("commandType")), query.nodes("targetList"))]
        stored += [(Command.UPDATE, conflict.nodes("onConflictSet"))] if conflict else []
        stored += [(Command(each.integer("commandType")), each.nodes("targetList"))
                   for each in query.nodes("mergeActionList")]  # fmt: skip
        for command, targets in stored:
            if command in _WRITES:
                yield from self._stores(level, relid, command, targets)

    def _stores(self, level: Level, relid: int, command: Command, targets: list[Node]) -> Iterator[tuple[str, str]]:
        given: dict[int, Node | None] = {}
        table = self._catalog.relations[relid]
        numbers = [each.integer("resno") for each in targets]
        defaults = [number for number, each in table.columns.items() if table.kind == "v" and each.default]
        for number in [*numbers, *defaults]:
            chain = self._catalog.behind(relid, number)
            if any(command in each.triggers | each.replaced for each, _ in chain):
                return  # it may store something else
            table, column = chain[-1]
            given[column] = targets[numbers.index(number)].node("expr") if number in numbers else None
        if command in table.triggers | table.replaced:
            return
        required = self._required.get((table.schema, table.name), {})
        missing = [number for number, has_default in required.items()
                   if command == Command.INSERT and number not in given and not has_default]  # fmt: skip
        if missing:
            message = f"the INSERT gives {_names(table, missing)} no value: NOT NULL without a default"
            yield message, "Add a value, or give the column a default"
        empty = [number for number, expr in given.items() if number in required
                 and _is_null(level, expr, has_default=required[number])]  # fmt: skip
        if empty:
            yield f"the statement stores NULL in {_names(table, empty)}: NOT NULL", "Store a value, or drop NOT NULL"


def _names(table: Relation, numbers: list[int]) -> str:
    return ", ".join(f"{table.name}.{table.columns[number].name}" for number in numbers)


def _is_null(level: Level, expr: Node | None, *, has_default: bool) -> bool:
    """Whether an expression is NULL, written as such, or DEFAULT of a column that has none."""
    while expr is not None:
        if expr.tag in TRANSPARENT:
            expr = expr.node(TRANSPARENT[expr.tag])
        elif expr.tag == "COERCETODOMAIN":
            expr = expr.node("arg")
        else:
            break
    if expr is None or expr.tag != "VAR" or expr.integer("varlevelsup"):
        return expr is not None and (expr.flag("constisnull") or (expr.tag == "SETTODEFAULT" and not has_default))
    entry, number = level.entry(expr.integer("varno")), expr.integer("varattno")
    subquery, rows = entry.node("subquery"), entry.lists("values_lists")
    if subquery is not None and subquery.node("setOperations") is None:
        targets = [each.node("expr") for each in subquery.nodes("targetList") if each.integer("resno") == number]
        return any(_is_null(Level(subquery, None), each, has_default=has_default) for each in targets)
    return any(_is_null(level, row[number - 1], has_default=has_default) for row in rows)

"""What a query sorts by, and whether that puts any two of its rows in one order: then it has pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Literal, TypeAlias

import psycopg
from psycopg.rows import TupleRow

from rowsmith.compiler.analysis.cardinality import Cardinality
from rowsmith.compiler.analysis.catalog import Catalog
from rowsmith.compiler.analysis.enums import Command, Entry
from rowsmith.compiler.analysis.nodes import Node
from rowsmith.compiler.analysis.nullability import Prover
from rowsmith.compiler.analysis.scopes import Level
from rowsmith.queries.clauses import order_by
from rowsmith.queries.keyset import SortKey, page_statement
from rowsmith.queries.marks import Kind
from rowsmith.queries.pages import PARAMETERS
from rowsmith.queries.query import Query

_MOST_NULLABLE = 5
"""Sort keys that can be NULL: each doubles the number of statements."""

# Strategies 1 and 5 of a btree are < and > (access/stratnum.h). An operator of another name, or of a class that is not
# its type's default, is not what > means in the statement of a page.
_SORTS = """
SELECT DISTINCT a.amopopr::int8, a.amopstrategy = 5 FROM pg_amop AS a
JOIN pg_opclass AS c ON c.opcfamily = a.amopfamily AND c.opcdefault
JOIN pg_operator AS o ON o.oid = a.amopopr
WHERE c.opcmethod = (SELECT oid FROM pg_am WHERE amname = 'btree') AND a.amopstrategy IN (1, 5)
  AND o.oprname IN ('<', '>')
"""
# Pseudo-types, such as record, cannot be received.
_SENDABLE = "SELECT oid::int8 FROM pg_type WHERE typsend <> 0 AND typreceive <> 0 AND typtype <> 'p'"


Types: TypeAlias = Callable[[str], list[int]]
"""Has the server prepare a statement, and returns the types of its columns."""


@dataclass(frozen=True, slots=True)
class Ordering:
    """The sort keys of a query that has pages; no keys if ORDER BY lacks something."""

    keys: tuple[SortKey, ...] = ()
    missing: str | None = None
    """What ORDER BY lacks to decide of any two rows which comes first, if it is a column of a table: as the query can
    write it."""


class Orderings:
    """Finds the orderings of queries, by the catalog of one database."""

    def __init__(self, conn: psycopg.Connection[TupleRow], catalog: Catalog, cardinality: Cardinality) -> None:
        self._conn = conn
        self._catalog = catalog
        self._cardinality = cardinality

    def find(self, query: Query, names: Sequence[str], tree: Node, prover: Prover, types: Types) -> Ordering | None:
        """The ordering of a query with columns of these names; None if it has none, or cannot have pages."""
        if query.kind is not Kind.MANY or not names or not _sorts_all(tree) or {*PARAMETERS} & {*query.parameters}:
            return None
        never = prover.sort_keys(tree)
        keys = self._keys(query, names, tree, never)
        if not keys or sum(not each for each in never) > _MOST_NULLABLE:
            return None
        if not self._cardinality.is_total(tree, never):
            return Ordering(missing=next(self._missing(tree, prover, never), None))
        try:
            with self._conn.transaction():
                return Ordering(tuple(keys)) if self._is_accepted(query, names, keys, types) else None
        except psycopg.Error:  # such as for a column that a subquery cannot have
            return None

    def _keys(self, query: Query, names: Sequence[str], tree: Node, never: Sequence[bool]) -> list[SortKey]:
        """The sort keys; none if one cannot be written, or is not sorted by the < or > of its type."""
        clauses, written = tree.nodes("sortClause"), order_by(query.sql)
        if written is None or len(written.expressions) != len(clauses):
            return []
        targets = Level(tree, None).by_reference
        keys: list[SortKey] = []
        for clause, expression, is_never in zip(clauses, written.expressions, never, strict=True):
            target, descending = targets[clause.integer("tleSortGroupRef")], self._sorts.get(clause.integer("sortop"))
            is_column = not target.flag("resjunk")
            term = names[target.integer("resno") - 1] if is_column else f"({expression})"
            if descending is None or (is_column and (names.count(term) > 1 or term.startswith("("))):
                return []
            keys.append(key := SortKey(term, descending, _nulls(clause, is_never)))
            if SortKey.parse(str(key)) != key:  # a name such as "a desc"
                return []
        return keys

    def _is_accepted(self, query: Query, names: Sequence[str], keys: Sequence[SortKey], types: Types) -> bool:
        """Whether the server accepts each statement that a page can have, and sends and receives the sort keys."""
        expected, added = types(query.sql), [key for key in keys if key.is_expression]
        columns = [*names, *(key.term for key in added), None]
        for after in (None, *product(*([False, True] if key.nulls else [False] for key in keys))):
            found = types(page_statement(query.sql, len(query.parameters), keys, after).sql)
            if found[: len(names)] != expected or len(found) != len(columns):
                return False
            of_keys = {found[columns.index(key.term)] for key in keys}
            if not of_keys <= self._sendable:
                return False
        return True

    def _missing(self, tree: Node, prover: Prover, never: Sequence[bool]) -> Iterator[str]:
        """The columns, one of which would make the ordering total, as the query can write them."""
        level = prover.conditions.level(tree, None)
        sources = sorted(level.inside(*level.sources) - level.joins.keys())
        for index in sources:
            entry = level.entry(index)
            relation, alias = self._catalog.relations.get(entry.integer("relid")), entry.node("eref")
            if entry.integer("rtekind") != Entry.RELATION or relation is None or alias is None:
                continue
            prefix = f"{alias.text('aliasname')}." if len(sources) > 1 else ""
            for number, column in relation.columns.items():
                variable = Node("VAR", {"varno": str(index), "varattno": str(number), "varlevelsup": "0"})
                if column.required and self._cardinality.is_total(tree, never, [variable]):
                    yield f"{prefix}{column.name}"

    @cached_property
    def _sorts(self) -> dict[int, bool]:
        """The operators that ORDER BY uses, and whether they sort in descending order."""
        return dict(self._conn.execute(_SORTS.encode()).fetchall())

    @cached_property
    def _sendable(self) -> frozenset[int]:
        """The types whose values go both ways in binary form."""
        return frozenset(oid for (oid,) in self._conn.execute(_SENDABLE.encode()))


def _sorts_all(tree: Node) -> bool:
    """Whether a query is a SELECT that returns all rows that it sorts, locks none, and sorts for no other purpose."""
    return (
        tree.integer("commandType") == Command.SELECT
        and bool(tree.nodes("sortClause"))
        and not any(tree[name] for name in ("limitCount", "limitOffset", "rowMarks"))
        and not tree.flag("hasDistinctOn")
        and not tree.flag("hasModifyingCTE")
    )


def _nulls(clause: Node, is_never: bool) -> Literal["first", "last"] | None:
    if is_never:
        return None
    return "first" if clause.flag("nulls_first") else "last"

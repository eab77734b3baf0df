"""Exactly one row: proven of a query from its tree alone."""

from __future__ import annotations

import sys
from collections.abc import Callable

from rowsmith.compiler.analysis.catalog import Catalog, Relation
from rowsmith.compiler.analysis.enums import Command, Entry, OnConflict
from rowsmith.compiler.analysis.memory import Memory, remembered
from rowsmith.compiler.analysis.nodes import Node, constant
from rowsmith.compiler.analysis.scopes import Level, Scope

_INT8_OF_INT4 = 481  # catalog/pg_proc.dat: the cast that LIMIT puts around a number


class OneRow:
    """Proves of queries, and of what is in FROM, that they give exactly one row, whatever is in the database."""

    def __init__(self, catalog: Catalog, memory: Memory, level: Callable[[Node, Scope], Level]) -> None:
        self.memory = memory
        self._catalog = catalog
        self._level = level

    @remembered
    def of_query(self, level: Level) -> bool:
        """Whether a query gives one row: an aggregate without GROUP BY, or what is computed from one row."""
        query, tree = level.query, level.query.node("jointree")
        if tree is None or query.flag("hasTargetSRFs") or query.node("limitOffset"):
            return False
        if query.node("limitCount") and (limit_of(query) or 0) < 1:
            return False
        if any(query[name] for name in ("havingQual", "setOperations", "groupClause", "groupingSets")):
            return False
        one = tree.node("quals") is None and all(self.of_source(level, index) for index in level.sources)
        match query.integer("commandType"):
            case Command.SELECT:
                return one or query.flag("hasAggs")
            case Command.INSERT:
                return one and self._takes_every_row(level)
            case _:
                return False

    def of_source(self, level: Level, index: int) -> bool:
        """Whether something in FROM is one row: a subquery or a query of WITH that gives one, or VALUES."""
        entry = level.entry(index)
        subquery = entry.node("subquery")
        if subquery is not None:
            return self.of_query(self._level(subquery, level.bare))
        home, common = level.common_table(entry)
        if common is not None and not common.flag("cterecursive"):
            query = common.node("ctequery")
            return query is not None and self.of_query(self._level(query, home.bare))
        return entry.integer("rtekind") == Entry.VALUES and len(entry.lists("values_lists")) == 1

    def _takes_every_row(self, level: Level) -> bool:
        """Whether nothing but an error can keep a row from being written by an INSERT, or by its DO UPDATE."""
        conflict = level.query.node("onConflict")
        updates = conflict is not None and conflict.integer("action") == OnConflict.UPDATE
        if conflict is not None and (not updates or conflict.node("onConflictWhere") is not None):
            return False
        relation = self._catalog.relations.get(level.entry(level.target).integer("relid"))
        if relation is None or relation.kind != "r" or relation.replaced:  # a partition could be added, with triggers
            return False
        if updates and self._writes_elsewhere(level, relation):  # a row that has been updated there is left as it is
            return False
        # A trigger that runs before a row is written can drop it.
        return not relation.triggers & ({Command.INSERT, Command.UPDATE} if updates else {Command.INSERT})

    def _writes_elsewhere(self, level: Level, relation: Relation) -> bool:
        """Whether another part of the statement may write a relation: only WITH of the outermost query writes, too."""
        top = level
        while top.parent is not None:
            top = top.parent.level
        parts = (top.query, *(each.node("ctequery") for each in top.query.nodes("cteList")))
        for part in parts:
            if part is None or part is level.query or part.integer("commandType") == Command.SELECT:
                continue
            written = Level(part, None)
            other = self._catalog.relations.get(written.entry(written.target).integer("relid"))
            if other is None or other.kind not in "rp" or other.replaced or relation in other.members:
                return True
        return False


def limit_of(query: Node) -> int | None:
    """The number in the LIMIT of a query; None if there is none, or something else than a number."""
    limit = query.node("limitCount")
    if limit is not None and limit.integer("funcid") == _INT8_OF_INT4:
        limit = limit.nodes("args")[0]
    found = constant(limit)
    return int.from_bytes(found, sys.byteorder, signed=True) if found else None

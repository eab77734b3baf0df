"""Which columns a query reads and writes: as the server checks permissions, through views and functions."""

from __future__ import annotations

from collections.abc import Iterator

from rowsmith.compiler.analysis.catalog import FIRST_USER_OID, Catalog
from rowsmith.compiler.analysis.enums import Command, Entry
from rowsmith.compiler.analysis.nodes import Node

# A bit set of columns begins at the first system column: access/sysattr.h, FirstLowInvalidHeapAttributeNumber.
_OFFSET = 7


class Usage:
    """The columns that queries read and write, as `schema.table.column`."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.reads: set[str] = set()
        self.writes: set[str] = set()
        self._seen: set[int] = set()

    def add(self, query: Node) -> None:
        """Count in a query, with all that is below it and behind its views and functions."""
        for node in query.walk():
            if node.tag == "QUERY":
                self._add_level(node)
            elif node.tag in ("FUNCEXPR", "OPEXPR"):
                self._add_function(self._function(node))

    def _function(self, node: Node) -> int:
        return node.integer("funcid") or self._catalog.operators.get(node.integer("opno"), 0)

    def _add_function(self, function: int) -> None:
        """Its statements, where the server has them parsed: functions written with BEGIN ATOMIC or RETURN."""
        if function >= FIRST_USER_OID and function not in self._seen:
            self._seen.add(function)
            for query in self._catalog.body(function):
                self.add(query)

    def _add_level(self, query: Node) -> None:
        permissions = query.nodes("rteperminfos")
        for index, entry in enumerate(query.nodes("rtable"), 1):
            if entry.integer("rtekind") != Entry.RELATION and not entry.integer("relid"):
                continue
            # From 16 on they stand in a list of their own, and the entry has its number there.
            info = permissions[entry.integer("perminfoindex") - 1] if entry.integer("perminfoindex") else entry
            relid = entry.integer("relid")
            view = self._catalog.view(relid)
            if view is not None and relid not in self._seen:
                self._seen.add(relid)
                self.add(view)
            self.reads |= set(self._names(relid, info.members("selectedCols")))
            written = info.members("insertedCols") | info.members("updatedCols")
            self.writes |= set(self._names(relid, written))
            if index == query.integer("resultRelation") and _deletes(query):
                self.writes |= set(self._names(relid, frozenset({_OFFSET})))

    def _names(self, relid: int, members: frozenset[int]) -> Iterator[str]:
        relation = self._catalog.relations.get(relid)
        if relation is None or relation.kind == "v":
            return
        numbers = {member - _OFFSET for member in members}
        for number, column in relation.columns.items():
            if number in numbers or 0 in numbers:  # 0 is the whole row
                yield f"{relation.schema}.{relation.name}.{column.name}"


def _deletes(query: Node) -> bool:
    actions = [action.integer("commandType") for action in query.nodes("mergeActionList")]
    return Command.DELETE in (query.integer("commandType"), *actions)

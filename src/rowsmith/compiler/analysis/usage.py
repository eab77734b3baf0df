"""Which columns a query reads and writes: as the server checks permissions, through views and functions."""

from __future__ import annotations

from collections.abc import Iterator

from rowsmith.compiler.analysis.catalog import FIRST_USER_OID, Catalog
from rowsmith.compiler.analysis.enums import Command, Entry
from rowsmith.compiler.analysis.nodes import Node

# A bit set of columns begins at the first system column: access/sysattr.h, FirstLowInvalidHeapAttributeNumber.
_OFFSET = 7


class Usage:
    """The columns that a query reads and writes, as `schema.table.column`."""

    def __init__(self, catalog: Catalog, query: Node) -> None:
        self.reads: set[str] = set()
        self.writes: set[str] = set()
        self._catalog = catalog
        seen: set[Node] = set()
        waiting = [query]
        while waiting:
            each = waiting.pop()
            if each not in seen:
                seen.add(each)
                waiting += self._add(each)

    def _add(self, query: Node) -> Iterator[Node]:
        """Count in a query with what is below it; the queries behind its views and functions are given back."""
        for node in query.walk():
            function = self._catalog.function(node)
            if node.tag == "QUERY":
                yield from self._add_level(node)
            elif function >= FIRST_USER_OID:  # the server has the statements of those with BEGIN ATOMIC or RETURN
                yield from self._catalog.body(function)

    def _add_level(self, query: Node) -> Iterator[Node]:
        permissions = query.nodes("rteperminfos")
        for index, entry in enumerate(query.nodes("rtable"), 1):
            relid = entry.integer("relid")
            if entry.integer("rtekind") != Entry.RELATION and not relid:
                continue
            # From 16 on they are in a list of their own, and the entry has its number there.
            info = permissions[entry.integer("perminfoindex") - 1] if entry.integer("perminfoindex") else entry
            if (view := self._catalog.view(relid)) is not None:
                yield view
            self.reads |= set(self._names(relid, info.members("selectedCols")))
            self.writes |= set(self._names(relid, info.members("insertedCols") | info.members("updatedCols")))
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

"""Whether a query is proven to do nothing but read: it writes and locks no row, and calls nothing that might.

What is not known to be harmless is no proof: functions, operators, aggregates and casts of the user's or of an
extension, foreign tables, domains (their CHECK constraints call functions), and tables with row security (so do their
policies).
"""

from __future__ import annotations

from rowsmith.compiler.analysis.catalog import FIRST_USER_OID, Catalog
from rowsmith.compiler.analysis.enums import Command, Entry
from rowsmith.compiler.analysis.nodes import Node

_FUNCTIONS = ("funcid", "opfuncid", "aggfnoid", "winfnoid")
_OPERATORS = ("opno", "eqop", "sortop")


class Effects:
    """The effects of the queries of one database."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._views: set[Node] = set()
        """Those that are known to only read."""

    def only_reads(self, tree: Node) -> bool:
        """Whether a query, with its subqueries and the views that it reads, only reads."""
        seen, waiting = set[Node](), [tree]
        while waiting:
            query = waiting.pop()
            if query in seen or query in self._views:
                continue
            seen.add(query)
            for node in query.walk():
                if not self._is_harmless(node):
                    return False
                waiting += filter(None, (self._catalog.view(entry.integer("relid")) for entry in _relations(node)))
        self._views |= seen - {tree}
        return True

    def _is_harmless(self, node: Node) -> bool:
        catalog = self._catalog
        if node.tag == "QUERY":
            return (
                node.integer("commandType") == Command.SELECT
                and not node.nodes("rowMarks")
                and all(self._is_readable(entry.integer("relid")) for entry in _relations(node))
            )
        if node.tag == "COERCETODOMAIN" or (node.tag == "PARAM" and node.integer("paramtype") in catalog.domains):
            return False
        if node.tag == "COERCEVIAIO" and node.integer("resulttype") >= FIRST_USER_OID:
            return False
        functions = [node.integer(name) for name in _FUNCTIONS]
        operators = [*(node.integer(name) for name in _OPERATORS), *node.integers("opnos")]
        return catalog.harmless.issuperset(filter(None, functions)) and max(operators) < FIRST_USER_OID

    def _is_readable(self, relid: int) -> bool:
        """Whether the server runs no code of the user's, nor of another server, for the rows of a relation."""
        relation = self._catalog.relations.get(relid)
        if relation is None or relation.secured:
            return False
        return all(member.kind in "rpmSv" for member in relation.members)


def _relations(query: Node) -> list[Node]:
    return [entry for entry in query.nodes("rtable") if entry.integer("rtekind") == Entry.RELATION]

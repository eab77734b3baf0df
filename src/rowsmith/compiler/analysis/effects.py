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
        self._views: dict[int, bool] = {}

    def only_reads(self, tree: Node) -> bool:
        """Whether a query, with its subqueries and the views that it reads, only reads."""
        return all(self._is_harmless(node) for node in tree.walk())

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
        relation = self._catalog.relations.get(relid)
        if relation is None or relid in self._catalog.guarded:
            return False
        if relation.kind != "v":
            return relation.kind in "rpmS"
        if relid not in self._views:
            view = self._catalog.view(relid)
            self._views[relid] = True  # up to version 15, a view's own tree refers to the view
            self._views[relid] = view is not None and self.only_reads(view)
        return self._views[relid]


def _relations(query: Node) -> list[Node]:
    return [entry for entry in query.nodes("rtable") if entry.integer("rtekind") == Entry.RELATION]

"""At most one row: proven of a query from its analysed tree and the server's unique indexes.

The proof goes by relations. One is *fixed* where every row that the query finds has the same row of it: because the
conditions set all columns of a unique index equal to what is fixed itself, a constant, a parameter, a column of another
fixed relation. A query finds at most one row where all its relations are fixed; or by LIMIT 1, by aggregating without
GROUP BY, by grouping by what is fixed.

What is not proven may still be true: the rule that asks is a warning.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from rowsmith.compiler.analysis.catalog import Catalog
from rowsmith.compiler.analysis.enums import Command, Entry, Join, SubLink
from rowsmith.compiler.analysis.nodes import Node
from rowsmith.compiler.analysis.unique_indexes import Families, UniqueIndexes, column, conjuncts, plain, rebased

_WITH_TIES = 1  # nodes/nodes.h, LimitOption
_INT8_OF_INT4 = 481  # catalog/pg_proc.dat: the cast that LIMIT puts around a number
# Nodes whose value follows from their arguments alone.
_PURE = frozenset(
    {
        "CONST", "RELABELTYPE", "COLLATEEXPR", "COERCEVIAIO", "ARRAYCOERCEEXPR", "NAMEDARGEXPR", "COALESCEEXPR",
        "MINMAXEXPR", "CASEEXPR", "CASEWHEN", "CASETESTEXPR", "ARRAYEXPR", "ROWEXPR", "SQLVALUEFUNCTION", "NULLTEST",
        "BOOLEANTEST", "BOOLEXPR", "COERCETODOMAIN",
    }
)  # fmt: skip


class Cardinality:
    """Proves of queries that they give at most one row."""

    def __init__(self, catalog: Catalog, indexes: UniqueIndexes) -> None:
        self.catalog = catalog
        self.indexes = indexes

    def at_most_one(self, query: Node, given: Mapping[int, Families] | None = None) -> bool:
        """Whether a QUERY node gives at most one row; with `given`, at most one for any values of those columns.

        `given` are result columns by number, each with the families in which it equals something fixed.
        """
        return _Level(self, query, None).at_most_one(given or {})


@dataclass(frozen=True, slots=True)
class _Known:
    """An expression, and the families in which it equals something fixed."""

    expr: Node
    families: Families


@dataclass(eq=False)
class _Level:
    """One QUERY node: which of its relations are fixed, and which of its expressions equal something fixed."""

    proof: Cardinality
    query: Node
    parent: _Level | None
    fixed: set[int] = field(default_factory=set[int])
    """Indices of the range table."""
    equal: dict[str, _Known] = field(default_factory=dict[str, _Known])
    """By the shape of the expression."""

    def at_most_one(self, given: Mapping[int, Families]) -> bool:
        """See Cardinality.at_most_one."""
        query = self.query
        if _limits_to_one(query):
            return True
        # MERGE can touch a row for each of its actions; set operations put the rows of two queries together.
        merges = query.integer("commandType") == Command.MERGE
        if merges or query.node("setOperations") or query.flag("hasTargetSRFs") or query.nodes("groupingSets"):
            return False
        if (query.flag("hasAggs") or query.node("havingQual")) and not query.nodes("groupClause"):
            return True
        tree = query.node("jointree")
        if tree is None:
            return True
        for number, families in given.items():
            self._equate(self._output(number), families)
        self._fix(tree, [])
        if query.integer("commandType") in (Command.UPDATE, Command.DELETE):
            # Whatever it is joined with, a row is updated, and returned, once.
            return query.integer("resultRelation") in self.fixed
        return _leaves(tree) <= self.fixed or self._one_group("groupClause") or self._one_group("distinctClause")

    # --- relations ---

    def _fix(self, tree: Node, more: list[Node]) -> None:
        """Fix what the join tree allows; `more` are conditions on it from around."""
        conditions = [*more, *_conditions(tree)]
        outer = [join for join in _joins(tree) if join.integer("jointype") in (Join.LEFT, Join.RIGHT)]
        while True:
            before = self._progress()
            self._equate_all(conditions)
            for index in sorted(_leaves(tree) - self.fixed):
                if self._fixes(index, conditions):
                    self.fixed.add(index)
            for join in outer:
                self._fix_filled(join)
            if before == self._progress():
                return

    def _progress(self) -> tuple[int, int]:
        return len(self.fixed), sum(len(known.families) for known in self.equal.values())

    def _fix_filled(self, join: Node) -> None:
        """Where the kept side of an outer join is fixed, so is the other one if the condition fixes it: else NULLs."""
        left, right = join.node("larg"), join.node("rarg")
        kept, filled = (left, right) if join.integer("jointype") == Join.LEFT else (right, left)
        if kept is None or filled is None or not _leaves(kept) <= self.fixed or _leaves(filled) <= self.fixed:
            return
        # What the condition says does not hold for a row of NULLs: it is known in here only.
        inner = _Level(self.proof, self.query, self.parent, set(self.fixed), dict(self.equal))
        inner._fix(filled, conjuncts(join.node("quals")))
        if _leaves(filled) <= inner.fixed:
            self.fixed |= _leaves(filled)

    def _fixes(self, index: int, conditions: Iterable[Node]) -> bool:
        entry = self.query.nodes("rtable")[index - 1]
        match entry.integer("rtekind"):
            case Entry.RELATION:
                view = self.proof.catalog.view(entry.integer("relid"))
                if view is not None:
                    return self._fixes_query(index, view, None)
                return self._fixes_relation(index, entry.integer("relid"), conditions)
            case Entry.SUBQUERY:
                query = entry.node("subquery")
                return query is not None and self._beside_fixed(query) and self._fixes_query(index, query, self)
            case Entry.CTE:
                return self._fixes_cte(index, entry)
            case Entry.VALUES:
                return len(entry.lists("values_lists")) == 1 and self._beside_fixed(entry)
            case Entry.FUNCTION:
                calls = [function.node("funcexpr") for function in entry.nodes("functions")]
                one_row = all(call is not None and not call.flag("funcretset") for call in calls)
                return one_row and self._beside_fixed(entry)
            case _:
                return False

    def _fixes_relation(self, index: int, relid: int, conditions: Iterable[Node]) -> bool:
        """Whether all keys of a unique index are known to equal what is fixed."""
        known = {rebased(each.expr, index).shape: each.families for each in self.equal.values()}
        held = {rebased(self._resolved(each), index).shape for each in conditions}
        return any(
            unique.predicate <= held and all(family in known.get(key, ()) for key, family in unique.keys)
            for unique in self.proof.indexes.by_relation.get(relid, [])
        )

    def _fixes_query(self, index: int, query: Node, parent: _Level | None) -> bool:
        """Whether a sub-query gives one row for what is known of its columns here."""
        given: dict[int, Families] = {}
        for number in range(1, len(query.nodes("targetList")) + len(query.nodes("returningList")) + 1):
            if (known := self.equal.get(column(index, number).shape)) is not None:
                given[number] = known.families
        return _Level(self.proof, query, parent).at_most_one(given)

    def _fixes_cte(self, index: int, entry: Node) -> bool:
        home: _Level | None = self
        for _ in range(entry.integer("ctelevelsup")):
            home = home.parent if home else None
        for cte in home.query.nodes("cteList") if home else []:
            query = cte.node("ctequery")
            if cte.text("ctename") == entry.text("ctename") and query is not None and not cte.flag("cterecursive"):
                return self._fixes_query(index, query, home)
        return False

    def _beside_fixed(self, node: Node) -> bool:
        """Whether what stands in FROM looks (LATERAL) only at such relations beside it as are fixed."""
        return all(reference in self.fixed for reference in _references(node))

    # --- expressions ---

    def _equate_all(self, conditions: Iterable[Node]) -> None:
        for condition in conditions:
            families = self.proof.indexes.equalities.get(condition.integer("opno"), frozenset())
            if condition.tag != "OPEXPR" or condition.integer("inputcollid") in self.proof.indexes.inexact:
                continue
            one, other = (self._resolved(arg) for arg in condition.nodes("args"))
            self._equate(one, families & self._senses(other))
            self._equate(other, families & self._senses(one))

    def _equate(self, expr: Node | None, families: Families) -> None:
        if expr is not None and families:
            known = self.equal.get(expr.shape)
            self.equal[expr.shape] = _Known(expr, families | known.families if known else families)

    def _senses(self, expr: Node) -> Families:
        """The families in which an expression equals something fixed: all of them where it is fixed itself."""
        if self._is_fixed(expr):
            return self.proof.indexes.families
        known = self.equal.get(expr.shape)
        return known.families if known else frozenset()

    def _is_fixed(self, expr: Node) -> bool:
        """Whether an expression has one value for all rows of this level."""
        match expr.tag:
            case "VAR":
                return expr.integer("varlevelsup") > 0 or expr.integer("varno") in self.fixed
            case "PARAM":
                return expr.integer("paramkind") == 0
            case "FUNCEXPR":
                pure = expr.integer("funcid") not in self.proof.indexes.volatile and not expr.flag("funcretset")
            case "OPEXPR" | "SCALARARRAYOPEXPR":
                function = self.proof.catalog.operators.get(expr.integer("opno"), 0)
                pure = function not in self.proof.indexes.volatile and not expr.flag("opretset")
            case "SUBLINK":  # one that looks at nothing of this level runs once
                query = expr.node("subselect")
                scalar = expr.integer("subLinkType") == SubLink.EXPRESSION
                return scalar and query is not None and not any(_references(query))
            case _:
                pure = expr.tag in _PURE
        return pure and all(self._is_fixed(child) for child in expr.children())

    def _output(self, number: int) -> Node | None:
        """A result column as an expression over the relations."""
        command = self.query.integer("commandType")
        targets = self.query.nodes("targetList" if command == Command.SELECT else "returningList")
        found = next((each.node("expr") for each in targets if each.integer("resno") == number), None)
        return self._resolved(found) if found is not None else None

    def _one_group(self, clause: str) -> bool:
        """Whether the query is grouped, or made distinct, by nothing but what is fixed: then there is one group."""
        groups = self.query.nodes(clause)
        return bool(groups) and all(self._is_one_value(group) for group in groups)

    def _is_one_value(self, group: Node) -> bool:
        reference = group.integer("tleSortGroupRef")
        targets = self.query.nodes("targetList")
        expr = next((each.node("expr") for each in targets if each.integer("ressortgroupref") == reference), None)
        families = self.proof.indexes.equalities.get(group.integer("eqop"), frozenset())
        return expr is not None and bool(families & self._senses(self._resolved(expr)))

    def _resolved(self, expr: Node) -> Node:
        """The expression in its plain form, with what the columns of joins and of GROUP BY stand for."""
        return plain(expr, self._alias)

    def _alias(self, var: Node) -> Node | None:
        """What a column of a join, or of GROUP BY, stands for; None for any other."""
        number = var.integer("varattno")
        entry = self.query.nodes("rtable")[var.integer("varno") - 1]
        kind = entry.integer("rtekind")
        if var.integer("varlevelsup") or number <= 0 or kind not in (Entry.JOIN, Entry.GROUP):
            return None
        listed = entry["joinaliasvars" if kind == Entry.JOIN else "groupexprs"]
        found = listed[number - 1] if isinstance(listed, list) else None
        return found if isinstance(found, Node) else None


def _leaves(tree: Node) -> set[int]:
    """The relations of a join tree, as indices of the range table."""
    if tree.tag == "RANGETBLREF":
        return {tree.integer("rtindex")}
    return set[int]().union(*map(_leaves, _below(tree)))


def _joins(tree: Node) -> Iterator[Node]:
    """The joins of a join tree; not those of sub-queries in its conditions."""
    if tree.tag == "JOINEXPR":
        yield tree
    for node in _below(tree):
        yield from _joins(node)


def _below(tree: Node) -> list[Node]:
    return [*tree.nodes("fromlist"), *(side for side in (tree.node("larg"), tree.node("rarg")) if side is not None)]


def _conditions(tree: Node) -> Iterator[Node]:
    """The conditions that hold for every row of a join tree."""
    if tree.tag == "FROMEXPR":
        yield from conjuncts(tree.node("quals"))
    kept = _below(tree)
    if tree.tag == "JOINEXPR":
        left, right = kept
        match tree.integer("jointype"):
            case Join.INNER:
                yield from conjuncts(tree.node("quals"))
            case Join.LEFT:
                kept = [left]
            case Join.RIGHT:
                kept = [right]
            case _:
                kept = []
    for node in kept:
        yield from _conditions(node)


def _limits_to_one(query: Node) -> bool:
    """Whether it ends in LIMIT 1 or LIMIT 0, a number in the query."""
    limit = query.node("limitCount")
    if limit is not None and limit.tag == "FUNCEXPR" and limit.integer("funcid") == _INT8_OF_INT4:
        limit = limit.nodes("args")[0]
    if limit is None or limit.tag != "CONST" or limit.flag("constisnull"):
        return False
    # A length and the bytes of the number: `4 [ 1 0 0 0 0 0 0 0 ]`.
    first, *rest = (int(word) for word in (limit.text("constvalue") or "0 [ -1 ]").split()[2:-1])
    return first in (0, 1) and not any(rest) and query.integer("limitOption") != _WITH_TIES


def _references(node: Node, depth: int = 0) -> Iterator[int]:
    """The relations of this level that what stands in it refers to, from sub-queries too."""
    if node.tag == "QUERY":
        depth += 1
    if node.tag == "VAR" and node.integer("varlevelsup") == depth:
        yield node.integer("varno")
    for child in node.children():
        yield from _references(child, depth)

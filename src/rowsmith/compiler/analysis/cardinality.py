"""At most one row: proven of a query from its analyzed tree and the server's unique indexes.

The proof goes by relations. One is *fixed* if every row that the query finds has the same row of it: because conditions
set all columns of a unique index equal to what is fixed itself, a constant, a parameter, a column of another fixed
relation. A query finds at most one row if all its relations are fixed; or by LIMIT 1, by aggregating without GROUP BY,
by grouping by what is fixed.

What is not proven may still be true: the rule that asks is a warning.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rowsmith.compiler.analysis.catalog import Catalog
from rowsmith.compiler.analysis.conditions import conditions_of
from rowsmith.compiler.analysis.enums import WITH_TIES, Command, Entry, Join, SubLink
from rowsmith.compiler.analysis.memory import remembered
from rowsmith.compiler.analysis.nodes import Node
from rowsmith.compiler.analysis.nullability import Prover
from rowsmith.compiler.analysis.one_row import limit_of
from rowsmith.compiler.analysis.scopes import Joined, Level, Scope
from rowsmith.compiler.analysis.unique_indexes import Families, Term, UniqueIndexes, column_key, conjuncts, term

_DEEPEST = 50  # outer joins inside one another, each on the other's filled side: behind that nothing is proven
# Nodes whose value follows from their arguments alone.
_PURE = frozenset(
    {
        "CONST", "RELABELTYPE", "COLLATEEXPR", "COERCEVIAIO", "ARRAYCOERCEEXPR", "NAMEDARGEXPR", "COALESCEEXPR",
        "MINMAXEXPR", "CASEEXPR", "CASEWHEN", "CASETESTEXPR", "ARRAYEXPR", "ROWEXPR", "SQLVALUEFUNCTION", "NULLTEST",
        "BOOLEANTEST", "BOOLEXPR", "COERCETODOMAIN",
    }
)  # fmt: skip

_COLLATION, _INPUT = ("collid", "collOid"), "inputcollid"
"""How the fields with the collation of a node are named, and the one with that of its arguments."""
_Given = frozenset[tuple[int, Families]]
"""Result columns, by number, with the families in which they equal something fixed."""


_Equal = Sequence[tuple[Node | None, Families]]
"""Expressions, with the families in which they equal something fixed."""


class Cardinality:
    """Proves of queries that they give at most one row."""

    def __init__(self, catalog: Catalog, indexes: UniqueIndexes) -> None:
        self._catalog = catalog
        self._indexes = indexes

    def at_most_one(self, query: Node) -> bool:
        """Whether a QUERY node gives at most one row."""
        proof = _Proof(self._catalog, self._indexes)
        return proof.at_most_one(proof.conditions.level(query, None), frozenset())

    def is_total(self, query: Node, never: Sequence[bool], more: Sequence[Node] = ()) -> bool:
        """Whether the ORDER BY of a QUERY node, with `more` at its end, decides of any two rows which comes first.

        It does if at most one row has the same sort keys. `never` says which of these are never NULL: a unique index
        says nothing of rows with NULL.
        """
        proof = _Proof(self._catalog, self._indexes)
        return proof.is_total(proof.conditions.level(query, None), never, more)


class _Proof:
    """What is known of one query and of those inside it."""

    def __init__(self, catalog: Catalog, indexes: UniqueIndexes) -> None:
        self.catalog = catalog
        self.indexes = indexes
        self.conditions = Prover(catalog).conditions
        self.memory = self.conditions.memory

    @remembered
    def at_most_one(self, level: Level, given: _Given) -> bool:
        """Whether a query gives at most one row for any values of the columns that are given."""
        return self._is_one(level, [(level.outputs[number - 1].node("expr"), families) for number, families in given])

    def is_total(self, level: Level, never: Sequence[bool], more: Sequence[Node]) -> bool:
        """The same as that of `Cardinality`."""
        query, by_reference = level.query, level.by_reference
        keys = [(each, by_reference[each.integer("tleSortGroupRef")]) for each in query.nodes("sortClause")]
        operations = query.node("setOperations")
        if operations is not None:  # without ALL, no two rows are the same
            return not operations.flag("all") and len({id(target) for _, target in keys}) == len(level.outputs)
        given = [(expr, self.indexes.families) for expr in more]
        for (clause, target), is_never in zip(keys, never, strict=True):
            expr = target.node("expr")
            if expr is not None and is_never and _collation(expr) not in self.indexes.inexact:
                given.append((expr, self.indexes.equalities.get(clause.integer("eqop"), frozenset())))
        return self._is_one(level, given)

    def _is_one(self, level: Level, given: _Equal) -> bool:
        """Whether a query gives at most one row for any values of these expressions."""
        query = level.query
        if limit_of(query) in (0, 1) and query.integer("limitOption") != WITH_TIES:
            return True
        # MERGE can touch a row for each of its actions; set operations put the rows of two queries together.
        merges = query.integer("commandType") == Command.MERGE
        if merges or query.node("setOperations") or query.flag("hasTargetSRFs") or query.nodes("groupingSets"):
            return False
        if (query.flag("hasAggs") or query.node("havingQual")) and not query.nodes("groupClause"):
            return True
        return _Rows(self, self.conditions.found(level)).are_one(given)


class _Rows:
    """The rows of a scope: which relations are fixed in them, and which expressions equal something fixed."""

    def __init__(self, proof: _Proof, scope: Scope, around: _Rows | None = None) -> None:
        self.proof = proof
        self.scope = scope
        self.level = scope.level
        self.depth: int = around.depth + 1 if around else 0
        self.fixed: set[int] = set(around.fixed) if around else set()
        """Indices of the range table."""
        self.equal: dict[bytes, Families] = dict(around.equal) if around else {}
        """By the shape of the expression."""
        self.keys: dict[tuple[int, bytes], Families] = dict(around.keys) if around else {}
        """The same, of an expression over one relation: by that and by the expression's key."""
        self.terms: dict[Node, tuple[Term, bool]] = around.terms if around else {}
        """Of expressions that were asked about, whether they have one value where their relations are fixed."""

    def are_one(self, given: _Equal) -> bool:
        """Whether the query gives at most one of these rows."""
        for expr, families in given:
            self._equate(expr, families)
        self.fix(self.level.inside(*self.level.sources), conditions_of(self.scope))
        if self.level.query.integer("commandType") in (Command.UPDATE, Command.DELETE):
            # Whatever it is joined with, a row is updated, and returned, once.
            return self.level.target in self.fixed
        one = self._are_fixed(*self.level.sources)
        return one or self._one_group("groupClause") or self._one_group("distinctClause")

    # --- relations ---

    def fix(self, indices: set[int], conditions: Iterable[Node]) -> None:
        """Fix what can be fixed of some relations and joins, by conditions that have not been looked at yet."""
        parts = [(part, self._term(part)[0]) for condition in conditions for part in conjuncts(condition)]
        held = {(relation, each.key) for _, each in parts for relation in each.relations if len(each.relations) == 1}
        there = {index for index in indices if index not in self.level.joins and (0, index, 0) in self.scope.known}
        before = -1
        while before != (before := len(self.fixed) + sum(map(len, self.equal.values()))):
            for index in there:
                self._fix_relation(index, held)
            for part, each in parts:
                self._equate_sides(part)
                for index in each.relations & there:
                    self._fix_relation(index, held)
            for join in (join for index, join in self.level.joins.items() if index in indices):
                self._fix_filled(join)

    def _fix_relation(self, index: int, held: set[tuple[int, bytes]]) -> None:
        if index not in self.fixed and self._fixes(index, held):
            self.fixed.add(index)

    def _fix_filled(self, join: Joined) -> None:
        """Where the kept side of an outer join is fixed, so is the other one if the condition fixes it: else NULLs."""
        kept, filled = (join.left, join.right) if join.kind == Join.LEFT else (join.right, join.left)
        if join.kind not in (Join.LEFT, Join.RIGHT) or (0, filled, 0) in self.scope.known:
            return
        if self.depth == _DEEPEST or self._are_fixed(filled) or not self._are_fixed(kept):
            return
        # What the condition says does not hold for a row of NULLs: it is known in here only.
        scope, known = (
            self.proof.conditions.knowing(self.scope, frozenset({(0, filled, 0)})),
            set(conditions_of(self.scope)),
        )
        matched = _Rows(self.proof, scope, self)
        matched.fix(self.level.inside(filled), [each for each in conditions_of(scope) if each not in known])
        if matched._are_fixed(filled):
            self.fixed = matched.fixed

    def _are_fixed(self, *indices: int) -> bool:
        """Whether these relations, and those inside these joins, are fixed."""
        return self.level.inside(*indices) <= self.fixed | self.level.joins.keys()

    def _fixes(self, index: int, held: set[tuple[int, bytes]]) -> bool:
        entry, level = self.level.entry(index), self.proof.conditions.level
        match entry.integer("rtekind"):
            case Entry.RELATION:
                view = self.proof.catalog.view(entry.integer("relid"))
                if view is not None:
                    return self._fixes_query(index, level(view, None))
                return self._fixes_relation(index, entry.integer("relid"), held)
            case Entry.SUBQUERY:
                query = entry.node("subquery")
                if query is None or not self._beside_fixed(entry):
                    return False
                return self._fixes_query(index, level(query, self.level.bare))
            case Entry.CTE:
                home, common = self.level.common_table(entry)
                query = common.node("ctequery") if common and not common.flag("cterecursive") else None
                return query is not None and self._fixes_query(index, level(query, home.bare))
            case Entry.VALUES:
                return len(entry.lists("values_lists")) == 1 and self._beside_fixed(entry)
            case Entry.FUNCTION:
                calls = [function.node("funcexpr") for function in entry.nodes("functions")]
                one_row = all(call is not None and not call.flag("funcretset") for call in calls)
                return one_row and self._beside_fixed(entry)
            case _:
                return False

    def _fixes_relation(self, index: int, relid: int, held: set[tuple[int, bytes]]) -> bool:
        """Whether all keys of a unique index are known to equal what is fixed."""
        return any(
            all((index, condition) in held for condition in unique.predicate)
            and all(family in self.keys.get((index, key), ()) for key, family in unique.keys)
            for unique in self.proof.indexes.by_relation.get(relid, [])
        )

    def _fixes_query(self, index: int, level: Level) -> bool:
        """Whether a subquery gives one row for what is known of its columns here."""
        numbers = range(1, len(level.outputs) + 1)
        given = {number: self.keys.get((index, column_key(number))) for number in numbers}
        return self.proof.at_most_one(level, frozenset((number, known) for number, known in given.items() if known))

    def _beside_fixed(self, entry: Node) -> bool:
        """Whether what is in FROM refers only to such relations beside it as are fixed: it can if it is LATERAL."""
        return not entry.flag("lateral") or _references(entry) <= self.fixed

    # --- expressions ---

    def _equate_sides(self, condition: Node) -> None:
        indexes = self.proof.indexes
        families = indexes.equalities.get(condition.integer("opno"))
        if families and condition.tag == "OPEXPR" and condition.integer("inputcollid") not in indexes.inexact:
            one, other = condition.nodes("args")
            self._equate(one, families & self._senses(other))
            self._equate(other, families & self._senses(one))

    def _equate(self, expr: Node | None, families: Families) -> None:
        if expr is not None and families:
            found, _ = self._term(expr)
            self.equal[found.shape] = families | self.equal.get(found.shape, frozenset())
            for relation in found.relations if len(found.relations) == 1 else ():
                self.keys[relation, found.key] = self.equal[found.shape]

    def _senses(self, expr: Node) -> Families:
        """The families in which an expression equals something fixed: all of them if it is fixed itself."""
        found, pure = self._term(expr)
        if pure and found.relations <= self.fixed:
            return self.proof.indexes.families
        return self.equal.get(found.shape, frozenset())

    def _term(self, expr: Node) -> tuple[Term, bool]:
        """An expression as an index sees it, and whether it has one value where its relations are fixed."""
        if expr not in self.terms:
            self.terms[expr] = term(expr, self._alias), self._is_pure(expr)
        return self.terms[expr]

    def _alias(self, variable: Node) -> Node | None:
        return None if variable.integer("varlevelsup") else self.level.alias(variable)

    def _is_pure(self, expr: Node) -> bool:
        nodes = [expr]
        for node in nodes:  # which grows while it is read
            match node.tag:
                case "VAR":
                    alias = self._alias(node)
                    nodes += [alias] if alias else []
                    continue
                case "PARAM":
                    pure = node.integer("paramkind") == 0
                case "SUBLINK":  # one that refers to nothing of this query runs once
                    query = node.node("subselect")
                    scalar = node.integer("subLinkType") == SubLink.EXPRESSION
                    pure = scalar and query is not None and not _references(query)
                case "FUNCEXPR" | "OPEXPR" | "SCALARARRAYOPEXPR":
                    volatile = self.proof.catalog.function(node) in self.proof.catalog.volatile
                    pure = not volatile and not node.flag("funcretset") and not node.flag("opretset")
                case _:
                    pure = node.tag in _PURE
            if not pure:
                return False
            nodes += node.children if node.tag != "SUBLINK" else []
        return True

    def _one_group(self, clause: str) -> bool:
        """Whether the query is grouped, or made distinct, by nothing but what is fixed: then there is one group."""
        groups = self.level.query.nodes(clause)
        return bool(groups) and all(self._is_one_value(group) for group in groups)

    def _is_one_value(self, group: Node) -> bool:
        reference = group.integer("tleSortGroupRef")
        targets = self.level.query.nodes("targetList")
        expr = next((each.node("expr") for each in targets if each.integer("ressortgroupref") == reference), None)
        families = self.proof.indexes.equalities.get(group.integer("eqop"), frozenset())
        return expr is not None and bool(families & self._senses(expr))


def _collation(expr: Node) -> int:
    """The collation of an expression; 0 if it has none."""
    return next((expr.integer(name) for name in expr.fields if name.endswith(_COLLATION) and name != _INPUT), 0)


def _references(node: Node) -> set[int]:
    """The relations of this query that something in it refers to, from subqueries too."""
    found: set[int] = set()
    waiting = [(node, 0)]
    while waiting:
        node, depth = waiting.pop()
        depth += node.tag == "QUERY"
        if node.tag == "VAR" and node.integer("varlevelsup") == depth:
            found.add(node.integer("varno"))
        waiting += ((child, depth) for child in node.children)
    return found

"""Conditions: what follows for the variables of a scope from WHERE and from the conditions of its joins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from rowsmith.compiler.analysis.catalog import Catalog
from rowsmith.compiler.analysis.enums import Command, Entry, Join, MergeMatch, SubLink, Test
from rowsmith.compiler.analysis.nodes import Node
from rowsmith.compiler.analysis.scopes import Fact, Scope

# Nodes that give what their one argument gives, NULL for NULL and else a value.
TRANSPARENT = {
    "RELABELTYPE": "arg",
    "COERCEVIAIO": "arg",
    "ARRAYCOERCEEXPR": "arg",
    "CONVERTROWTYPEEXPR": "arg",
    "COLLATEEXPR": "arg",
    "NAMEDARGEXPR": "arg",
    "JSONVALUEEXPR": "formatted_expr",
    "JSONISPREDICATE": "expr",
}

# Nodes that give a part of what another one gives: there is none of NULL.
_PART_OF = {"FIELDSELECT": "arg", "SUBSCRIPTINGREF": "refexpr"}


class Conditions:
    """What the conditions of a scope rule NULL out for."""

    def __init__(
        self,
        catalog: Catalog,
        scope: Scope,
        proven: Callable[[Scope, Node], bool],
        one_row: Callable[[Node], bool],
        level: int = 0,
    ) -> None:
        self._catalog = catalog
        self._scope = scope
        self._proven = proven
        self._one_row = one_row
        self._level = level
        """How many queries further in the conditions stand: 1 for those of a sub-query in EXISTS."""

    def apply(self, given: Iterable[Node]) -> None:
        """Fill in the scope's `filled` and `known`. `given` are expressions that whoever asks knows not to be NULL."""
        tree = self._scope.query.node("jointree")
        if tree is None:
            return
        self._scope.all_rows = self._facts(tree, set())
        known, filled = self._facts(tree, set[Fact]().union(*map(self.strict, given)))
        self._scope.known, self._scope.filled = set(known), filled
        having = self._scope.query.node("havingQual")
        if having is not None:
            self._scope.having = self.true(having)
        self._scope.old_rows = known, filled
        self._spare_target(self._scope.query.integer("resultRelation"))
        self._scope.rest = self._scope.known, self._scope.filled

    def _facts(self, tree: Node, known: set[Fact]) -> tuple[set[Fact], dict[int, frozenset[int]]]:
        """What is known from the join tree, and which outer joins may fill which relation, until neither changes."""
        inner: set[int] = set()
        while True:
            filled: dict[int, set[int]] = {}
            conditions: list[Node] = []
            self._visit(tree, frozenset(), inner, filled, conditions)
            facts = self._base(known.union(*(self.true(each) for each in conditions)))
            found = self._inner_joins(tree, {fact[0] for fact in facts if isinstance(fact, tuple)})
            if found <= inner:
                return facts, {index: frozenset(joins) for index, joins in filled.items()}
            inner |= found

    def _spare_target(self, target: int) -> None:
        """What RETURNING gives is the new row: the conditions were those of the old one."""
        if not target:
            return
        command = self._scope.query.integer("commandType")
        if command in (Command.UPDATE, Command.MERGE, Command.INSERT):
            self._scope.known = {fact for fact in self._scope.known if isinstance(fact, tuple) and fact[0] != target}
        if command == Command.MERGE:
            actions = self._scope.query.nodes("mergeActionList")
            if any(action.integer("matchKind") == MergeMatch.NOT_MATCHED_BY_SOURCE for action in actions):
                for index in range(1, len(self._scope.entries) + 1):
                    if index != target:
                        self._scope.filled[index] = frozenset({0})
            self._scope.filled.pop(target, None)

    def _visit(
        self, node: Node, joins: frozenset[int], inner: set[int], filled: dict[int, set[int]], conditions: list[Node]
    ) -> None:
        """Walk the join tree; `joins` are the outer joins that may fill what is below with NULLs."""
        if node.tag == "RANGETBLREF":
            filled.setdefault(node.integer("rtindex"), set()).update(joins)
            return
        quals = node.node("quals")
        if node.tag == "FROMEXPR":
            for each in node.nodes("fromlist"):
                self._visit(each, joins, inner, filled, conditions)
            if quals is not None and not joins:
                conditions.append(quals)
            return
        index, kind = node.integer("rtindex"), node.integer("jointype")
        filled.setdefault(index, set()).update(joins)
        left, right = node.node("larg"), node.node("rarg")
        if left is None or right is None:
            return
        fills_left, fills_right = self._fills(node, kind, inner)
        self._visit(left, joins | {index} if fills_left else joins, inner, filled, conditions)
        self._visit(right, joins | {index} if fills_right else joins, inner, filled, conditions)
        if quals is not None and not joins and not fills_left and not fills_right:
            conditions.append(quals)

    def _fills(self, node: Node, kind: int, inner: set[int]) -> tuple[bool, bool]:
        """Whether a join may fill its left and its right side. `inner` has (index, -index): the side is forced."""
        index = node.integer("rtindex")
        return (
            kind in (Join.RIGHT, Join.FULL) and -index not in inner and not self._always_matches(node, "larg"),
            kind in (Join.LEFT, Join.FULL) and index not in inner and not self._always_matches(node, "rarg"),
        )

    def _always_matches(self, node: Node, side: str) -> bool:
        """Whether a side is one row and the condition is true: LEFT JOIN LATERAL (SELECT count(*) ...) ON true."""
        below, quals = node.node(side), node.node("quals")
        unconditional = quals is None or is_true(quals)
        if below is None or below.tag != "RANGETBLREF" or not unconditional:
            return False
        subquery = self._scope.entry(below.integer("rtindex")).node("subquery")
        return subquery is not None and self._one_row(subquery)

    def _inner_joins(self, tree: Node, forced: set[int]) -> set[int]:
        """The sides of joins, index for the right and -index for the left, that hold a relation that is not filled."""
        found: set[int] = set()
        for node in sources(tree):
            if node.tag != "JOINEXPR":
                continue
            index = node.integer("rtindex")
            for side, sign in (("rarg", 1), ("larg", -1)):
                below = node.node(side)
                if below is not None and forced & relations_in(below):
                    found.add(sign * index)
        return found

    def _base(self, known: Iterable[Fact]) -> set[Fact]:
        """With those that a join's column stands for."""
        result = set(known)
        for fact in list(result):
            if not isinstance(fact, tuple) or fact[1] <= 0:
                continue
            entry = self._scope.entry(fact[0])
            if entry.integer("rtekind") in (Entry.JOIN, Entry.GROUP):
                name = "joinaliasvars" if entry.integer("rtekind") == Entry.JOIN else "groupexprs"
                result |= self.strict(entry.nodes(name)[fact[1] - 1])
        return result

    # --- what follows from a condition ---

    def true(self, expr: Node) -> set[Fact]:
        """The variables that are not NULL where the expression is true."""
        args = expr.nodes("args")
        match expr.tag:
            case "BOOLEXPR":
                possible = [arg for arg in args if not is_false(arg)]  # of OR; with a false in it AND is never true
                return self._boolean(expr.text("boolop"), possible or args, self.true, self.false)
            case "COALESCEEXPR" if all(map(is_false, args[1:])):
                return self.true(args[0])
            case "NULLTEST":
                return self._argument(expr) if expr.integer("nulltesttype") == Test.IS_NOT_NULL else set()
            case "BOOLEANTEST":
                return self._boolean_test(expr)
            case "SCALARARRAYOPEXPR":
                # ALL is true of no elements, whatever stands on the left.
                return self._compared(args, looks=expr.flag("useOr") or _has_elements(args[1]))
            case "SUBLINK":
                return self._sublink(expr)
            case "ROWCOMPAREEXPR":  # the first pair is always looked at
                return self.strict(expr.nodes("largs")[0]) | self.strict(expr.nodes("rargs")[0])
            case _:
                return self.strict(expr)

    def false(self, expr: Node) -> set[Fact]:
        """The variables that are not NULL where the expression is false."""
        args = expr.nodes("args")
        match expr.tag:
            case "BOOLEXPR":
                swapped = {"and": "or", "or": "and"}.get(str(expr.text("boolop")), "not")
                return self._boolean(swapped, args, self.false, self.true)
            case "NULLTEST":
                return self._argument(expr) if expr.integer("nulltesttype") == Test.IS_NULL else set()
            case "DISTINCTEXPR":
                left, right = args
                return self._equal_to(left, right) | self._equal_to(right, left)
            case "SCALARARRAYOPEXPR":
                return self._compared(args, looks=not expr.flag("useOr") or _has_elements(args[1]))
            case "BOOLEANTEST":
                return self._failed_boolean_test(expr)
            case "SUBLINK" | "ROWCOMPAREEXPR":
                return set()
            case _:
                return self.strict(expr)

    def not_true(self, expr: Node) -> set[Fact]:
        """The variables that are not NULL where the expression is false or NULL."""
        args = expr.nodes("args")
        if expr.tag == "NULLTEST":
            return self.false(expr)
        if expr.tag == "BOOLEXPR" and expr.text("boolop") == "or":
            return set[Fact]().union(*map(self.not_true, args))
        if expr.tag == "BOOLEXPR" and expr.text("boolop") == "not" and args[0].tag == "NULLTEST":
            return self.true(args[0])
        return set()

    def strict(self, expr: Node | None) -> set[Fact]:
        """What is not NULL where the expression is not NULL: itself, and what it is strict in."""
        if expr is None:
            return set()
        if expr.tag == "VAR":
            return self._variable(expr)
        facts: set[Fact] = {expr.shape} if self._is_stable(expr) else set()
        if expr.tag in TRANSPARENT:
            return facts | self.strict(expr.node(TRANSPARENT[expr.tag]))
        if expr.tag in _PART_OF:
            return facts | self.strict(expr.node(_PART_OF[expr.tag]))
        if expr.tag == "NULLIFEXPR" or (expr.tag == "BOOLEXPR" and expr.text("boolop") == "not"):
            return facts | self.strict(expr.nodes("args")[0])
        function = {
            "FUNCEXPR": expr.integer("funcid"),
            "OPEXPR": self._catalog.operators.get(expr.integer("opno"), 0),
        }.get(expr.tag, 0)
        if function in self._catalog.strict and not expr.flag("funcretset"):
            facts = facts.union(*map(self.strict, expr.nodes("args")))
        return facts

    def _variable(self, expr: Node) -> set[Fact]:
        """A variable that is not NULL, and with it that there is a row to have it of."""
        if expr.integer("varlevelsup") != self._level:
            return set()
        index = expr.integer("varno")
        return {(index, expr.integer("varattno")), (index, 0)}

    def _is_stable(self, expr: Node) -> bool:
        """Whether an expression that stands here twice has one value: nothing volatile in it, and no sub-query."""
        return self._level == 0 and not any(
            node.tag == "SUBLINK"
            or node.integer("funcid") in self._catalog.volatile
            or self._catalog.operators.get(node.integer("opno"), 0) in self._catalog.volatile
            for node in expr.walk()
        )

    def _compared(self, args: list[Node], *, looks: bool) -> set[Fact]:
        """`x = ANY (array)`: the array is not NULL, nor is x where one of its elements was looked at."""
        return self.strict(args[1]) | (self.strict(args[0]) if looks else set[Fact]())

    def _sublink(self, expr: Node) -> set[Fact]:
        test, query = expr.node("testexpr"), expr.node("subselect")
        kind = expr.integer("subLinkType")
        if kind == SubLink.ANY and test is not None:  # a comparison, or one for each column
            return self.true(test)
        if kind == SubLink.EXISTS and query is not None and _is_plain(query):
            inside = Conditions(self._catalog, self._scope, self._proven, self._one_row, self._level + 1)
            tree = query.node("jointree")
            quals = tree.node("quals") if tree is not None else None
            return inside.true(quals) if quals is not None else set()
        return set()

    def _argument(self, test: Node) -> set[Fact]:
        """What a test for NULL says of its argument. That of a row is about its fields."""
        argument = test.node("arg")
        if argument is None:
            return set()
        if not test.flag("argisrow"):
            return self.strict(argument)
        all_fields = test.integer("nulltesttype") == Test.IS_NOT_NULL
        if argument.tag == "ROWEXPR":
            return set[Fact]().union(*map(self.strict, argument.nodes("args"))) if all_fields else set()
        fields: set[Fact] = {f"fields {argument.shape}"} if all_fields and self._is_stable(argument) else set()
        if all_fields and argument.tag == "VAR" and argument.integer("varattno") == 0 and self._variable(argument):
            index = argument.integer("varno")
            names = self._scope.entry(index).node("eref")
            fields |= {(index, number) for number in range(1, len(names.texts("colnames")) + 1)} if names else set()
        return self.strict(argument) | fields

    def _equal_to(self, one: Node, other: Node) -> set[Fact]:
        return self.strict(one) if self._proven(self._scope, other) else set()

    def _boolean_test(self, expr: Node) -> set[Fact]:
        argument = expr.node("arg")
        if argument is None:
            return set()
        match expr.integer("booltesttype"):
            case Test.IS_TRUE:
                return self.true(argument)
            case Test.IS_FALSE:
                return self.false(argument)
            case Test.IS_NOT_UNKNOWN:
                return self.strict(argument)
            case _:
                return set()

    def _failed_boolean_test(self, expr: Node) -> set[Fact]:
        argument = expr.node("arg")
        if argument is None:
            return set()
        match expr.integer("booltesttype"):
            case Test.IS_NOT_TRUE:
                return self.true(argument)
            case Test.IS_NOT_FALSE:
                return self.false(argument)
            case Test.IS_UNKNOWN:
                return self.strict(argument)
            case _:
                return set()

    @staticmethod
    def _boolean(
        operator: str | None,
        args: list[Node],
        same: Callable[[Node], set[Fact]],
        opposite: Callable[[Node], set[Fact]],
    ) -> set[Fact]:
        """AND: what follows from any; OR: what follows from each; NOT: what follows from the opposite."""
        if operator == "not":
            return opposite(args[0])
        found = [same(arg) for arg in args]
        some = set[Fact]().union(*found)
        return some if operator == "and" else {each for each in some if all(each in one for one in found)}


def sources(node: Node) -> Iterator[Node]:
    """A part of a join tree and those below it, but not the conditions: a sub-query there has a tree of its own."""
    yield node
    for below in (*node.nodes("fromlist"), node.node("larg"), node.node("rarg")):
        if below is not None:
            yield from sources(below)


def relations_in(node: Node) -> set[int]:
    """The range table entries of a part of a join tree, joins included."""
    return {each.integer("rtindex") for each in sources(node) if each.tag in ("RANGETBLREF", "JOINEXPR")}


def is_true(expr: Node) -> bool:
    """Whether an expression is the constant true."""
    return expr.tag == "CONST" and (expr.text("constvalue") or "").startswith("1 [ 1 ")


def is_false(expr: Node) -> bool:
    """Whether an expression is the constant false."""
    return expr.tag == "CONST" and (expr.text("constvalue") or "").startswith("1 [ 0 ")


def _has_elements(array: Node) -> bool:
    return array.tag == "ARRAYEXPR" and bool(array.nodes("elements"))


def _is_plain(query: Node) -> bool:
    """Whether a query has a row only where its WHERE is true."""
    return not any(query.flag(name) for name in ("hasAggs", "hasTargetSRFs")) and not any(
        query[name] for name in ("setOperations", "groupClause", "groupingSets", "havingQual")
    )

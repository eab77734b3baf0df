"""Conditions: what follows for the variables of a scope from WHERE and from the conditions of its joins."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rowsmith.compiler.catalog import Catalog
from rowsmith.compiler.enums import Command, Entry, Join, MergeMatch, SubLink, Test
from rowsmith.compiler.nodes import Node
from rowsmith.compiler.scopes import Scope, Variable

# Nodes that give what their one argument gives, NULL for NULL and else a value.
TRANSPARENT = {
    "RELABELTYPE": "arg",
    "COERCEVIAIO": "arg",
    "ARRAYCOERCEEXPR": "arg",
    "CONVERTROWTYPEEXPR": "arg",
    "COLLATEEXPR": "arg",
    "NAMEDARGEXPR": "arg",
    "JSONVALUEEXPR": "formatted_expr",
}


class Conditions:
    """What the conditions of a scope rule NULL out for."""

    def __init__(self, catalog: Catalog, scope: Scope, proven: Callable[[Scope, Node], bool]) -> None:
        self._proven = proven
        self._catalog = catalog
        self._scope = scope

    def apply(self) -> None:
        """Fill in the scope's `filled` and `known`."""
        tree = self._scope.query.node("jointree")
        if tree is None:
            return
        target = self._scope.query.integer("resultRelation")
        inner: set[int] = set()
        while True:
            filled: dict[int, set[int]] = {}
            conditions: list[Node] = []
            self._visit(tree, frozenset(), inner, filled, conditions)
            known = set[Variable]().union(*(self.true(each) for each in conditions))
            found = self._inner_joins(tree, {index for index, _ in self._base(known)})
            if found <= inner:
                break
            inner |= found
        self._scope.filled = {index: frozenset(joins) for index, joins in filled.items()}
        self._scope.known = self._base(known)
        if target:
            self._spare_target(target)

    def _spare_target(self, target: int) -> None:
        """What RETURNING gives is the new row: the conditions were those of the old one."""
        command = self._scope.query.integer("commandType")
        if command in (Command.UPDATE, Command.MERGE, Command.INSERT):
            self._scope.known = {(index, number) for index, number in self._scope.known if index != target}
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

    @staticmethod
    def _fills(node: Node, kind: int, inner: set[int]) -> tuple[bool, bool]:
        """Whether a join may fill its left and its right side. `inner` has (index, -index): the side is forced."""
        index = node.integer("rtindex")
        return (
            kind in (Join.RIGHT, Join.FULL) and -index not in inner,
            kind in (Join.LEFT, Join.FULL) and index not in inner,
        )

    def _inner_joins(self, tree: Node, forced: set[int]) -> set[int]:
        """The sides of joins, index for the right and -index for the left, that hold a relation that is not filled."""
        found: set[int] = set()
        for node in tree.walk():
            if node.tag != "JOINEXPR":
                continue
            index = node.integer("rtindex")
            for side, sign in (("rarg", 1), ("larg", -1)):
                below = node.node(side)
                if below is not None and forced & _relations_in(below):
                    found.add(sign * index)
        return found

    def _base(self, known: Iterable[Variable]) -> set[Variable]:
        """With those that a join's column stands for."""
        result = set(known)
        for index, number in list(result):
            entry = self._scope.entry(index)
            if entry.integer("rtekind") in (Entry.JOIN, Entry.GROUP) and number > 0:
                name = "joinaliasvars" if entry.integer("rtekind") == Entry.JOIN else "groupexprs"
                result |= self.strict(entry.nodes(name)[number - 1])
        return result

    # --- what follows from a condition ---

    def true(self, expr: Node) -> set[Variable]:
        """The variables that are not NULL where the expression is true."""
        args = expr.nodes("args")
        match expr.tag:
            case "BOOLEXPR":
                return self._boolean(expr.text("boolop"), args, self.true, self.false)
            case "NULLTEST":
                return self._argument(expr) if expr.integer("nulltesttype") == Test.IS_NOT_NULL else set()
            case "BOOLEANTEST":
                return self._boolean_test(expr)
            case "SCALARARRAYOPEXPR":
                # ALL is true of no elements, whatever stands on the left.
                return self.strict(args[1]) | (self.strict(args[0]) if expr.flag("useOr") else set())
            case "SUBLINK":
                test = expr.node("testexpr")
                is_any = expr.integer("subLinkType") == SubLink.ANY and test is not None and test.tag == "OPEXPR"
                return self.strict(test) if is_any and test is not None else set()
            case "ROWCOMPAREEXPR":  # the first pair is always looked at
                return self.strict(expr.nodes("largs")[0]) | self.strict(expr.nodes("rargs")[0])
            case _:
                return self.strict(expr)

    def false(self, expr: Node) -> set[Variable]:
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
                return self.strict(args[1]) | (set() if expr.flag("useOr") else self.strict(args[0]))
            case "BOOLEANTEST" | "SUBLINK" | "ROWCOMPAREEXPR":
                return set()
            case _:
                return self.strict(expr)

    def not_true(self, expr: Node) -> set[Variable]:
        """The variables that are not NULL where the expression is false or NULL."""
        args = expr.nodes("args")
        if expr.tag == "NULLTEST":
            return self.false(expr)
        if expr.tag == "BOOLEXPR" and expr.text("boolop") == "or":
            return set[Variable]().union(*map(self.not_true, args))
        if expr.tag == "BOOLEXPR" and expr.text("boolop") == "not" and args[0].tag == "NULLTEST":
            return self.true(args[0])
        return set()

    def strict(self, expr: Node | None) -> set[Variable]:
        """The variables that are not NULL where the expression is not NULL."""
        if expr is None:
            return set()
        if expr.tag == "VAR":
            here = expr.integer("varlevelsup") == 0
            return {(expr.integer("varno"), expr.integer("varattno"))} if here else set()
        if expr.tag in TRANSPARENT:
            return self.strict(expr.node(TRANSPARENT[expr.tag]))
        if expr.tag == "BOOLEXPR" and expr.text("boolop") == "not":
            return self.strict(expr.nodes("args")[0])
        function = {
            "FUNCEXPR": expr.integer("funcid"),
            "OPEXPR": self._catalog.operators.get(expr.integer("opno"), 0),
        }.get(expr.tag, 0)
        if function in self._catalog.strict and not expr.flag("funcretset"):
            return set[Variable]().union(*map(self.strict, expr.nodes("args")))
        return set()

    def _argument(self, test: Node) -> set[Variable]:
        return set() if test.flag("argisrow") else self.strict(test.node("arg"))

    def _equal_to(self, one: Node, other: Node) -> set[Variable]:
        return self.strict(one) if self._proven(self._scope, other) else set()

    def _boolean_test(self, expr: Node) -> set[Variable]:
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

    @staticmethod
    def _boolean(
        operator: str | None,
        args: list[Node],
        same: Callable[[Node], set[Variable]],
        opposite: Callable[[Node], set[Variable]],
    ) -> set[Variable]:
        """AND: what follows from any; OR: what follows from each; NOT: what follows from the opposite."""
        if operator == "not":
            return opposite(args[0])
        found = [same(arg) for arg in args]
        some = set[Variable]().union(*found)
        return some if operator == "and" else {each for each in some if all(each in one for one in found)}


def _relations_in(node: Node) -> set[int]:
    return {each.integer("rtindex") for each in node.walk() if each.tag in ("RANGETBLREF", "JOINEXPR")}

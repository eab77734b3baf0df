"""Conditions: what is known not to be NULL in the rows for which they are true, those of joins and WHERE among them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from rowsmith.compiler.analysis.catalog import Catalog
from rowsmith.compiler.analysis.enums import BoolTest, Join, NullTest, SubLink
from rowsmith.compiler.analysis.memory import Memory, remembered
from rowsmith.compiler.analysis.nodes import Node, constant
from rowsmith.compiler.analysis.one_row import OneRow
from rowsmith.compiler.analysis.scopes import NOTHING, Fact, Facts, Joined, Level, Scope, fact

# Nodes that are NULL where their one argument is, and only there.
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
# Nodes that are NULL where their argument is, and elsewhere too: a part of something, a value of a domain.
_NULL_FOR_NULL = {**TRANSPARENT, "FIELDSELECT": "arg", "SUBSCRIPTINGREF": "refexpr", "COERCETODOMAIN": "arg"}


class Conditions:
    """Makes the scopes of rows for which conditions are true.

    An outer join gives a row for which one side may have none. That a side has one is a fact like any other: it follows
    from a condition that is true of no row of NULLs, and from it follows the condition of the join.
    """

    def __init__(self, catalog: Catalog, memory: Memory, proven: Callable[[Scope, Node], bool]) -> None:
        self.memory = memory
        self.one_row = OneRow(catalog, memory, self.level)
        self._catalog = catalog
        self._proven = proven

    # --- rows ---

    @remembered
    def found(self, level: Level) -> Scope:
        """The scope of the rows that FROM and WHERE find."""
        scope, facts = level.bare, frozenset[Fact]((0, index, 0) for index in level.sources)
        while True:
            # Some conditions say more where more is known: IS NOT DISTINCT FROM.
            facts = facts.union(*(self.when(scope, each, True) for each in conditions_of(scope)))
            if facts <= scope.known:
                return scope
            scope = self.knowing(scope, facts)

    @remembered
    def branch(self, scope: Scope, facts: Facts) -> Scope:
        """The scope of an expression that is computed only in rows of which more is known, as in a branch of CASE."""
        inner = self.knowing(scope, facts)
        return scope if inner is scope else replace(inner, of_rows=scope.rows, of_all=scope.all)

    def where(self, scope: Scope, condition: Node | None) -> Scope:
        """The scope of those rows for which a condition is true."""
        return self.knowing(scope, self.when(scope, condition, True)) if condition else scope

    def knowing(self, scope: Scope, facts: Facts) -> Scope:
        """The scope of those rows of which more is known."""
        level = scope.level
        if scope.grouped:
            facts -= level.constant_keys
        if facts <= scope.known:
            return scope
        known = self._closed(scope, facts)
        if not scope.grouped:
            return replace(scope, known=known)
        # What is known of a column that a group has in common holds for the rows of the group.
        of_rows = frozenset(each for each in known if isinstance(each, tuple) or not level.nulled)
        of_groups = level.surviving(known) | scope.known | facts
        return replace(scope, known=of_groups, of_rows=self.knowing(scope.rows, of_rows))

    def _closed(self, scope: Scope, facts: Facts) -> Facts:
        """What is known of a scope, the facts, and what follows from them by the join tree."""
        known, waiting = set(scope.known), list(facts)
        while waiting:
            each = waiting.pop()
            if each not in known:
                known.add(each)
                if isinstance(each, tuple) and not each[0]:
                    waiting += self._following(scope.level, each[1], known) if not each[2] else ()
                    lateral = scope.level.laterals.get(each[1])
                    waiting += self._of_row(lateral, scope.level, each[2]) if lateral else ()
        return frozenset(known)

    def _following(self, level: Level, index: int, known: set[Fact]) -> Iterator[Fact]:
        """What follows where a relation or a join has a row."""
        above = level.above.get(index)
        if above:
            yield 0, above, 0
        if index in level.joins:
            yield from self._kept(level, level.joins[index])
        for join in (level.joins[each] for each in (above, index) if each in level.joins):
            if join.condition and join.matches <= known:
                yield from self.when(level.bare, join.condition, True)

    def _kept(self, level: Level, join: Joined) -> Iterator[Fact]:
        """That the sides of a join have a row which always have one where the join has one."""
        # LEFT JOIN LATERAL (SELECT count(*) ...) ON true
        unconditional = join.condition is None or is_constant(join.condition, True)
        for side, kept in (join.left, (Join.INNER, Join.LEFT)), (join.right, (Join.INNER, Join.RIGHT)):
            if join.kind in kept or (unconditional and self.one_row.of_source(level, side)):
                yield 0, side, 0

    @remembered
    def _of_row(self, query: Node, around: Level, number: int = 0) -> Facts:
        """What a row of a subquery says of the query around it, or a row in which one of its columns is not NULL."""
        if query.flag("hasAggs") or query.flag("hasTargetSRFs"):
            return NOTHING
        if any(query[name] for name in ("setOperations", "groupClause", "groupingSets", "havingQual")):
            return NOTHING
        scope = self.found(self.level(query, self._bare(around)))
        column = scope.level.outputs[number - 1].node("expr") if number > 0 else None
        known = scope.known | (self.strict(scope, column) if column else NOTHING)
        return frozenset((each[0] - 1, each[1], each[2]) for each in known if isinstance(each, tuple) and each[0])

    @remembered
    def _bare(self, level: Level) -> Scope:
        """A scope in which nothing is known, nor in those around it."""
        return self._level(level.query, self._bare(level.parent.level) if level.parent else None, level.assumed).bare

    def level(self, query: Node, parent: Scope | None) -> Level:
        """A QUERY node in the scope around it."""
        return self._level(query, parent, parent.level.assumed if parent else frozenset())

    def assuming(self, query: Node, parent: Scope, columns: tuple[bool, ...]) -> Level:
        """A recursive query, some of whose columns are assumed to be not NULL where it refers to itself."""
        return self._level(query, parent, parent.level.assumed | {(query, columns)})

    @remembered
    def _level(self, query: Node, parent: Scope | None, assumed: frozenset[tuple[Node, tuple[bool, ...]]]) -> Level:
        return Level(query, parent, assumed)

    # --- conditions ---

    @remembered
    def when(self, scope: Scope, expr: Node, value: bool) -> Facts:
        """What is not NULL where a condition is true, or where it is false."""
        args = expr.nodes("args")
        match expr.tag:
            case "BOOLEXPR" if expr.text("boolop") == "not":
                return self.when(scope, args[0], not value)
            case "BOOLEXPR":
                every = (expr.text("boolop") == "and") == value
                # Of an OR that is true, or an AND that is false, constants that decide nothing are left out.
                decisive = args if every else [arg for arg in args if not is_constant(arg, not value)] or args
                return _combined([self.when(scope, arg, value) for arg in decisive], every=every)
            case "COALESCEEXPR" if all(is_constant(arg, not value) for arg in args[1:]):
                return self.when(scope, args[0], value)
            case "NULLTEST":
                return self._null_test(scope, expr, value)
            case "BOOLEANTEST":
                return self._boolean_test(scope, expr, value)
            case "DISTINCTEXPR" if not value:
                pairs = (args, reversed(args))
                return NOTHING.union(*(self.strict(scope, one) for one, other in pairs if self._proven(scope, other)))
            case "SCALARARRAYOPEXPR":
                # ANY of no elements is false, and ALL is true, whatever is on the left.
                compared = expr.flag("useOr") == value or bool(elements(args[1]))
                strict = self._catalog.function(expr) in self._catalog.strict
                return self.strict(scope, *args[1:], *(args[:1] if compared and strict else []))
            case "SUBLINK" if value and expr.integer("subLinkType") in (SubLink.ANY, SubLink.EXISTS):
                test = expr.node("testexpr")
                return self._subquery(scope, expr) | (self.when(scope, test, value) if test else NOTHING)
            case _:
                return self.strict(scope, expr)

    @remembered
    def unless(self, scope: Scope, expr: Node, value: bool) -> Facts:
        """What is not NULL where a condition is not true, or where it is not false: it may be NULL there."""
        match expr.tag:
            case "NULLTEST" | "BOOLEANTEST":  # these are never NULL
                return self.when(scope, expr, not value)
            case "DISTINCTEXPR" if self._catalog.is_total(expr):
                return self.when(scope, expr, not value)
            case "BOOLEXPR" if expr.text("boolop") == "not":
                return self.unless(scope, expr.nodes("args")[0], not value)
            case "BOOLEXPR":
                found = [self.unless(scope, arg, value) for arg in expr.nodes("args")]
                return _combined(found, every=(expr.text("boolop") == "or") == value)
            case _:
                return NOTHING

    def strict(self, scope: Scope, *exprs: Node) -> Facts:
        """What is not NULL where none of the expressions is: themselves, and what they are NULL for."""
        found: set[Fact] = set()
        stable = self._stable(exprs)
        keys = scope.level.nulled if scope.grouped else NOTHING
        waiting = [(expr, 0) for expr in exprs]
        while waiting:
            expr, levels = waiting.pop()
            if expr.tag == "VAR":
                home = levels + expr.integer("varlevelsup")
                alias = scope.up(home).level.alias(expr)
                waiting += [(alias, home)] if alias else []
                found |= {fact(expr, levels), (home, expr.integer("varno"), 0)}
                continue
            if expr in stable and not levels:
                found.add(expr.shape)
            if expr.shape in keys and not levels:  # a grouping set may have it, and leave out what it is computed from
                continue
            waiting += ((part, levels) for part in self._null_for(expr))
            if expr.tag == "SUBLINK" and expr.integer("subLinkType") == SubLink.EXPRESSION and not levels:
                found |= self._subquery(scope, expr)
        return frozenset(found)

    def _null_for(self, expr: Node) -> list[Node]:
        """The parts of an expression of which none is NULL where the expression is not."""
        args = expr.nodes("args")
        if expr.tag in _NULL_FOR_NULL:
            part = expr.node(_NULL_FOR_NULL[expr.tag])
            return [part] if part and not expr.node("refassgnexpr") else []
        if expr.tag == "NULLIFEXPR" or (expr.tag == "BOOLEXPR" and expr.text("boolop") == "not"):
            return args[:1]
        if expr.tag == "ROWCOMPAREEXPR":  # the first pair is always compared
            strict = self._catalog.operators.get(expr.integers("opnos")[0]) in self._catalog.strict
            return [*expr.nodes("largs")[:1], *expr.nodes("rargs")[:1]] if strict else []
        returns_set = expr.flag("funcretset") or expr.flag("opretset")
        strict = expr.tag in ("FUNCEXPR", "OPEXPR") and self._catalog.function(expr) in self._catalog.strict
        return args if strict and not returns_set else []

    def _stable(self, exprs: Iterable[Node]) -> set[Node]:
        """The parts of expressions that have one value, if they occur twice: nothing volatile in them, no subquery."""
        nodes = list(exprs)
        for node in nodes:  # which grows while it is read
            nodes += node.children if node.tag != "SUBLINK" else []
        stable: set[Node] = set()
        for node in reversed(nodes):
            volatile = self._catalog.function(node) in self._catalog.volatile
            if node.tag != "SUBLINK" and not volatile and all(child in stable for child in node.children):
                stable.add(node)
        return stable

    def _subquery(self, scope: Scope, link: Node) -> Facts:
        query = link.node("subselect")
        return self._of_row(query, scope.level) if query else NOTHING

    def _null_test(self, scope: Scope, test: Node, value: bool) -> Facts:
        """A test for NULL; that of a row is about its fields."""
        argument, positive = test.node("arg"), test.integer("nulltesttype") == NullTest.IS_NOT_NULL
        if argument is None or positive != value:
            return NOTHING
        known = self.strict(scope, argument)
        if not test.flag("argisrow") or not positive:  # a row that is not NULL has some field that is not
            return known
        if argument.tag == "ROWEXPR":
            return known.union(self.strict(scope, *argument.nodes("args")))
        variable = fact(argument)
        if isinstance(variable, tuple) and variable[2] == 0:
            names = scope.up(variable[0]).level.entry(variable[1]).node("eref")
            count = len(names.texts("colnames")) if names else 0
            known = known.union((variable[0], variable[1], number) for number in range(1, count + 1))
        return known | ({fields_of(argument)} if argument in self._stable([argument]) else NOTHING)

    def _boolean_test(self, scope: Scope, test: Node, value: bool) -> Facts:
        argument, kind = test.node("arg"), test.integer("booltesttype")
        if argument is None:
            return NOTHING
        is_that = (kind in (BoolTest.IS_TRUE, BoolTest.IS_FALSE, BoolTest.IS_UNKNOWN)) == value
        if kind in (BoolTest.IS_UNKNOWN, BoolTest.IS_NOT_UNKNOWN):
            return NOTHING if is_that else self.strict(scope, argument)
        ask = self.when if is_that else self.unless
        return ask(scope, argument, kind in (BoolTest.IS_TRUE, BoolTest.IS_NOT_TRUE))


def conditions_of(scope: Scope) -> list[Node]:
    """What is true of all rows of a scope: WHERE, and the conditions of joins of which both sides have a row."""
    tree = scope.level.query.node("jointree")
    matched = [join.condition for join in scope.level.joins.values() if join.matches <= scope.known]
    return [each for each in (tree.node("quals") if tree else None, *matched) if each]


def _combined(found: list[Facts], *, every: bool) -> Facts:
    """What follows where every one of some conditions holds, or at least one."""
    return NOTHING.union(*found) if every else found[0].intersection(*found[1:])


def fields_of(row: Node) -> bytes:
    """The fact that no field of a row is NULL."""
    return b"fields " + row.shape


def is_constant(condition: Node, value: bool) -> bool:
    """Whether a condition is the constant true, or false."""
    found = constant(condition)
    return found is not None and any(found) == value


def elements(array: Node) -> list[Node] | None:
    """The elements of ARRAY[...]; None if they, or those of an array in it, are not all written out."""
    found: list[Node] = []
    waiting = [array]
    while waiting:
        each = waiting.pop()
        if each.tag != "ARRAYEXPR":
            return None
        inner = each.nodes("elements")
        if each.flag("multidims"):
            waiting += inner
        else:
            found += inner
    return found

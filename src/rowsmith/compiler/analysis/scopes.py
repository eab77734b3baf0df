"""The scope of an expression: one QUERY node, what is known of its relations, and the scope around it."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

from rowsmith.compiler.analysis.enums import Command, Grouping
from rowsmith.compiler.analysis.nodes import Node

Variable = tuple[int, int]
"""A column of a scope: the index of its range table entry, from 1, and its attribute number; 0 is the row itself."""
Fact = Variable | str
"""What is known not to be NULL: a variable, an expression by its shape, or all fields of one (`fields` + its shape)."""


State = tuple[AbstractSet[Fact], dict[int, frozenset[int]]]


@dataclass(eq=False)
class Scope:
    """A QUERY node, and the one around it."""

    query: Node
    parent: Scope | None
    filled: dict[int, frozenset[int]] = field(default_factory=dict[int, frozenset[int]])
    """Range table index: the outer joins, by index, that may fill its columns with NULLs."""
    known: set[Fact] = field(default_factory=set[Fact])
    """What is not NULL in any row that passes the conditions."""
    having: set[Fact] = field(default_factory=set[Fact])
    """What is not NULL in any group that passes HAVING."""
    rest: State = (frozenset(), {})
    """`known` and `filled` where nothing is added for a while."""
    all_rows: State = (frozenset(), {})
    """The same for every row that the query looks at; `rest` may be for those that are given on only."""
    old_rows: State = (frozenset(), {})
    """The same for the rows that an UPDATE finds."""
    returning: bool = False
    """Whether RETURNING is being judged: the target's columns are those of the row that was written."""
    in_aggregate: bool = False
    """Whether an argument of an aggregate is being judged: that is computed before rows are grouped."""

    @cached_property
    def entries(self) -> list[Node]:
        """The range table."""
        return self.query.nodes("rtable")

    def entry(self, index: int) -> Node:
        """The range table entry of an index."""
        return self.entries[index - 1]

    def up(self, levels: int) -> Scope:
        """The scope so many levels further out."""
        return self if levels == 0 or self.parent is None else self.parent.up(levels - 1)

    @cached_property
    def outputs(self) -> list[Node]:
        """The target entries that are its result."""
        command = self.query.integer("commandType")
        targets = self.query.nodes("targetList" if command == Command.SELECT else "returningList")
        return [target for target in targets if not target.flag("resjunk")]

    @cached_property
    def grouped(self) -> bool:
        """Whether each of its rows stands for at least one row of its input."""
        return bool(self.query.nodes("groupClause")) and all(self._grouping_sets)

    @cached_property
    def sometimes_grouped(self) -> frozenset[str]:
        """The shapes of the grouped expressions that some grouping set leaves out: NULL in the rows of that set."""
        if not self.query.nodes("groupingSets"):
            return frozenset()
        some = frozenset[int]().union(*self._grouping_sets)
        left_out = {reference for reference in some if not all(reference in each for each in self._grouping_sets)}
        targets = self.query.nodes("targetList")
        exprs = [target.node("expr") for target in targets if target.integer("ressortgroupref") in left_out]
        return frozenset(expr.shape for expr in exprs if expr is not None)

    @cached_property
    def _grouping_sets(self) -> list[frozenset[int]]:
        """The grouping sets that GROUP BY means, each as the references of its expressions."""
        result = [frozenset[int]()]
        for grouping in self.query.nodes("groupingSets"):
            result = [left | right for left in result for right in _expanded(grouping)]
        return result if self.query.nodes("groupingSets") else [frozenset({0})]


def _expanded(grouping: Node) -> list[frozenset[int]]:
    """The sets that one GROUPING SETS, ROLLUP or CUBE means (nodes/parsenodes.h, GroupingSet)."""
    kind = Grouping(grouping.integer("kind"))
    simple = [frozenset(each.integers("content")) for each in grouping.nodes("content")]
    match kind:
        case Grouping.EMPTY:
            return [frozenset()]
        case Grouping.SIMPLE:
            return [frozenset(grouping.integers("content"))]
        case Grouping.ROLLUP:
            return [frozenset[int]().union(*simple[:length]) for length in range(len(simple) + 1)]
        case Grouping.CUBE:
            result = [frozenset[int]()]
            for each in simple:
                result += [other | each for other in result]
            return result
        case Grouping.SETS:
            return [each for inner in grouping.nodes("content") for each in _expanded(inner)]


@contextmanager
def knowing(scope: Scope, more: set[Fact]) -> Generator[None]:
    """Let more be known of a scope for a while, as under a condition of CASE."""
    before = scope.known
    scope.known = before | more
    try:
        yield
    finally:
        scope.known = before


@contextmanager
def ignoring(scope: Scope, join: int) -> Generator[None]:
    """Leave one outer join out of account for a while."""
    before = scope.filled
    scope.filled = {index: joins - {join} for index, joins in before.items()}
    try:
        yield
    finally:
        scope.filled = before


@contextmanager
def at_rest(scope: Scope) -> Generator[None]:
    """Forget for a while what is known for a while only: what is proven of a relation is kept, and holds everywhere."""
    scopes = list(_outwards(scope))
    before = [(each.known, each.filled) for each in scopes]
    for each in scopes:
        each.known, each.filled = set(each.rest[0]), each.rest[1]
    try:
        yield
    finally:
        for each, state in zip(scopes, before, strict=True):
            each.known, each.filled = state


@contextmanager
def over_all_rows(scope: Scope) -> Generator[None]:
    """Judge for a while what is computed over other rows than the one at hand, as a window function's arguments are."""
    before = scope.known, scope.filled, scope.rest
    scope.known, scope.filled, scope.rest = set(scope.all_rows[0]), scope.all_rows[1], scope.all_rows
    try:
        yield
    finally:
        scope.known, scope.filled, scope.rest = before


@contextmanager
def of_old_rows(scope: Scope) -> Generator[None]:
    """Judge for a while what an UPDATE computes from the rows that it finds."""
    before = scope.known, scope.filled, scope.rest, scope.returning
    scope.known, scope.filled, scope.rest = set(scope.old_rows[0]), scope.old_rows[1], scope.old_rows
    scope.returning = False
    try:
        yield
    finally:
        scope.known, scope.filled, scope.rest, scope.returning = before


@contextmanager
def before_grouping(scope: Scope) -> Generator[None]:
    """Judge for a while what is computed before rows are grouped: an aggregate's arguments."""
    before, scope.in_aggregate = scope.in_aggregate, True
    try:
        yield
    finally:
        scope.in_aggregate = before


def _outwards(scope: Scope | None) -> Iterator[Scope]:
    while scope is not None:
        yield scope
        scope = scope.parent

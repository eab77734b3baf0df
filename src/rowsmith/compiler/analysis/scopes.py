"""Scopes: one QUERY node, and what is known of the rows at hand. A scope never changes: to know more is another one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from rowsmith.compiler.analysis.enums import Command, Entry, Grouping, Join
from rowsmith.compiler.analysis.nodes import Node

Fact = tuple[int, int, int] | bytes
"""Something that is not NULL. A variable: how many queries further out it is, the index of its range table entry, from
1, and its column; column 0 is the row, for which an outer join may have no match. Or an expression, by its shape."""
Facts = frozenset[Fact]
NOTHING: Facts = frozenset()


class Joined(NamedTuple):
    """A join: the range table indices of its two sides, and its condition."""

    kind: Join
    left: int
    right: int
    condition: Node | None

    @property
    def matches(self) -> Facts:
        """That both sides have a row."""
        return frozenset({(0, self.left, 0), (0, self.right, 0)})


@dataclass(eq=False)
class Level:
    """A QUERY node and the scope around it: what does not depend on the rows at hand."""

    query: Node
    parent: Scope | None
    assumed: frozenset[tuple[Node, tuple[bool, ...]]] = frozenset()
    """The queries of WITH RECURSIVE that this one is a part of: which of their columns are assumed to be not NULL."""

    @cached_property
    def bare(self) -> Scope:
        """The scope in which nothing is known of the rows."""
        return Scope(self)

    @cached_property
    def entries(self) -> list[Node]:
        """The range table."""
        return self.query.nodes("rtable")

    def entry(self, index: int) -> Node:
        """The range table entry of an index."""
        return self.entries[index - 1]

    @cached_property
    def target(self) -> int:
        """The index of the relation that the statement writes; 0 if it writes none."""
        return self.query.integer("resultRelation")

    @cached_property
    def outputs(self) -> list[Node]:
        """The target entries that are its result."""
        command = self.query.integer("commandType")
        targets = self.query.nodes("targetList" if command == Command.SELECT else "returningList")
        return [target for target in targets if not target.flag("resjunk")]

    @cached_property
    def by_reference(self) -> dict[int, Node]:
        """The target entries that ORDER BY, GROUP BY or DISTINCT refer to."""
        targets = self.query.nodes("targetList")
        return {number: each for each in targets if (number := each.integer("ressortgroupref"))}

    @cached_property
    def common_tables(self) -> dict[str | None, Node]:
        """The queries of WITH, by name."""
        return {each.text("ctename"): each for each in self.query.nodes("cteList")}

    def common_table(self, entry: Node) -> tuple[Level, Node | None]:
        """The query of WITH that a range table entry refers to, and the level that it is at; None for other entries."""
        home = self
        for _ in range(entry.integer("ctelevelsup")):
            if home.parent is None:
                return home, None
            home = home.parent.level
        return home, home.common_tables.get(entry.text("ctename"))

    # --- the join tree: relations and joins by their index ---

    @cached_property
    def sources(self) -> list[int]:
        """What stands in FROM, separated by commas."""
        tree = self.query.node("jointree")
        return [node.integer("rtindex") for node in tree.nodes("fromlist")] if tree else []

    @cached_property
    def joins(self) -> dict[int, Joined]:
        """The joins, each after those inside it."""
        tree = self.query.node("jointree")
        nodes = tree.nodes("fromlist") if tree else []
        for node in nodes:  # which grows while it is read
            nodes += [side for side in (node.node("larg"), node.node("rarg")) if side]
        found: dict[int, Joined] = {}
        for node in reversed(nodes):
            if node.tag == "JOINEXPR":
                left, right = (side.integer("rtindex") if (side := node.node(name)) else 0 for name in ("larg", "rarg"))
                found[node.integer("rtindex")] = Joined(Join(node.integer("jointype")), left, right, node.node("quals"))
        return found

    @cached_property
    def above(self) -> dict[int, int]:
        """For each side of a join, the join."""
        return {side: index for index, join in self.joins.items() for side in (join.left, join.right)}

    def inside(self, *indices: int) -> set[int]:
        """These relations and joins, and those inside the joins."""
        found = list(indices)
        for index in found:  # which grows while it is read
            found += (self.joins[index].left, self.joins[index].right) if index in self.joins else ()
        return set(found)

    @cached_property
    def laterals(self) -> dict[int, Node]:
        """The subqueries in FROM that can refer to what is beside them."""
        subqueries = {
            index: each.node("subquery") for index, each in enumerate(self.entries, 1) if each.flag("lateral")
        }
        return {index: query for index, query in subqueries.items() if query}

    def alias(self, variable: Node) -> Node | None:
        """What a column of a join, or of GROUP BY, stands for; None for a column of anything else."""
        index, number = variable.integer("varno"), variable.integer("varattno")
        if index > len(self.entries) or number <= 0:  # an expression of a column, such as its default, has no entries
            return None
        names = {int(Entry.JOIN): "joinaliasvars", int(Entry.GROUP): "groupexprs"}
        name = names.get(self.entry(index).integer("rtekind"))
        return self.entry(index).nodes(name)[number - 1] if name else None

    # --- GROUP BY ---

    @cached_property
    def grouped(self) -> bool:
        """Whether every row of it stands for at least one row of its input."""
        groupings = self.query.nodes("groupingSets")
        filled = not groupings or any(_common(grouping)[1] for grouping in groupings)
        return filled and bool(self.query.nodes("groupClause"))

    @cached_property
    def groups(self) -> Facts:
        """That the range table entry of the grouped expressions (18 and later) has a row."""
        entries = enumerate(self.entries, 1)
        return frozenset((0, index, 0) for index, entry in entries if entry.integer("rtekind") == Entry.GROUP)

    @cached_property
    def nulled(self) -> Facts:
        """The grouped expressions that some grouping set leaves out: they are NULL in the rows of that set."""
        return frozenset(map(fact, self._left_out))

    @cached_property
    def _left_out(self) -> list[Node]:
        groupings = self.query.nodes("groupingSets")
        common = frozenset[int]().union(*(_common(grouping)[0] for grouping in groupings))
        clauses = [each.integer("tleSortGroupRef") for each in self.query.nodes("groupClause") if groupings]
        left_out = {reference for reference in clauses if reference not in common}
        targets = self.query.nodes("targetList")
        exprs = [target.node("expr") for target in targets if target.integer("ressortgroupref") in left_out]
        return [expr for expr in exprs if expr]

    @cached_property
    def constant_keys(self) -> Facts:
        """Those of them that refer to no column: the planner tests them before it leaves them out, if at all."""
        own = ((expr, None if expr.integer("varlevelsup") else self.alias(expr)) for expr in self._left_out)
        return frozenset(fact(expr) for expr, alias in own if not _has_column(alias or expr))

    def surviving(self, known: Facts) -> Facts:
        """What is still known after GROUP BY: nothing of what grouping sets leave out, or is computed from that."""
        if not self.nulled:
            return known
        return frozenset(each for each in known if isinstance(each, tuple) and each not in self.nulled)


@dataclass(frozen=True)
class Scope:
    """What is known of the rows in which an expression is computed."""

    level: Level
    known: Facts = NOTHING
    grouped: bool = False
    """Whether these are rows after GROUP BY."""
    of_rows: Scope | None = None
    """The scope of single rows, if it is another one: before GROUP BY, and outside of the branches of CASE."""
    of_all: Scope | None = None
    """The scope of all rows that the query computes, if it is another one: the query around it may keep only some."""
    opaque: frozenset[int] = frozenset()
    """Relations of which nothing holds but what is known: the row that a statement has written."""
    old: Scope | None = None
    """In RETURNING, the scope of the old row (18 and later), if there always is one."""
    new: Scope | None = None
    """In RETURNING, the scope of the new row, if there always is one."""

    @property
    def rows(self) -> Scope:
        """The scope of single rows."""
        return self.of_rows or self

    @property
    def all(self) -> Scope:
        """The scope of all rows that the query computes, as a window function sees them."""
        return self.of_all or self

    @cached_property
    def columns(self) -> dict[int, frozenset[int]]:
        """For each range table entry the columns that are known not to be NULL."""
        found: dict[int, set[int]] = {}
        for each in self.known:
            if isinstance(each, tuple) and each[0] == 0 < each[2]:
                found.setdefault(each[1], set()).add(each[2])
        return {index: frozenset(numbers) for index, numbers in found.items()}

    def up(self, levels: int) -> Scope:
        """The scope so many queries further out."""
        scope = self
        for _ in range(levels):
            assert scope.level.parent, "a variable is of a query around it"  # noqa: S101 - the server's own rule
            scope = scope.level.parent
        return scope

    def inside_aggregate(self, levels: int) -> Scope:
        """The scope of the arguments of an aggregate that belongs to the query so many levels further out."""
        if levels == 0 or self.level.parent is None:
            return self.rows
        return replace(self, level=replace(self.level, parent=self.level.parent.inside_aggregate(levels - 1)))


def fact(expr: Node, further: int = 0) -> Fact:
    """That an expression is not NULL; `further` is how many more queries out it is."""
    if expr.tag != "VAR" or expr.integer("varreturningtype"):
        return expr.shape
    return expr.integer("varlevelsup") + further, expr.integer("varno"), expr.integer("varattno")


def _has_column(expr: Node) -> bool:
    """Whether an expression refers to a column of its query, outside of subqueries."""
    waiting = [expr]
    for node in waiting:  # which grows while it is read
        if node.tag == "VAR" and not node.integer("varlevelsup"):
            return True
        waiting += node.children if node.tag != "QUERY" else []
    return False


def _common(grouping: Node) -> tuple[frozenset[int], bool]:
    """What is in all the sets that one GROUPING SETS, ROLLUP or CUBE means, and whether none of them is empty."""
    match grouping.integer("kind"):
        case Grouping.SIMPLE:
            return frozenset(grouping.integers("content")), True
        case Grouping.SETS:
            inner = [_common(each) for each in grouping.nodes("content")]
            return inner[0][0].intersection(*(common for common, _ in inner)), all(filled for _, filled in inner)
        case _:
            return frozenset(), False

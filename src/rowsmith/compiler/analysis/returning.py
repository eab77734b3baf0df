"""What RETURNING gives: the row as it was written, of which the conditions of the statement say nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rowsmith.compiler.analysis.catalog import Catalog, Relation
from rowsmith.compiler.analysis.enums import Command, MergeMatch, OnConflict
from rowsmith.compiler.analysis.memory import Memory, remembered
from rowsmith.compiler.analysis.nodes import Node
from rowsmith.compiler.analysis.scopes import Fact, Scope

if TYPE_CHECKING:
    from rowsmith.compiler.analysis.nullability import Prover

_WRITES = (Command.INSERT, Command.UPDATE, Command.DELETE)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """One of the ways in which a statement comes to a row that it returns."""

    command: Command
    values: dict[int, Node | None]
    """What is assigned, by the number of the column."""
    scope: Scope
    """Of the rows from which that is computed, the old row among them."""


class Returning:
    """Finds the scope of RETURNING."""

    def __init__(self, catalog: Catalog, memory: Memory, prover: Prover) -> None:
        self.memory = memory
        self._catalog = catalog
        self._prover = prover

    @remembered
    def scope(self, found: Scope) -> Scope:
        """The scope of the rows that RETURNING gives; `found` is that of those which FROM and WHERE find."""
        target, relation = found.level.target, self._relation(found)
        outcomes = self._outcomes(found)
        if not outcomes:
            return found
        commands = {outcome.command for outcome in outcomes}
        # By a rule, also by one of the table that a view shows: its RETURNING gives other rows.
        replaced = any(each.replaced & commands for each in self._catalog.shown(self._relid(found)))
        if commands == {Command.DELETE} and not replaced:
            return replace(outcomes[0].scope, old=outcomes[0].scope)
        known = found.known.intersection(*(outcome.scope.known for outcome in outcomes))
        others = {each for each in known if isinstance(each, tuple) and each[1] != target}
        written = {number for number in relation.columns if all(self._writes(each, number) for each in outcomes)}
        facts = frozenset[Fact]((0, target, number) for number in (written if not replaced else ()))
        row = Scope(found.level, facts | others | {(0, target, 0)}, opaque=frozenset({target}))
        there = not replaced and Command.INSERT not in commands
        return replace(row, old=outcomes[0].scope if there else None, new=None if Command.DELETE in commands else row)

    def _relation(self, scope: Scope) -> Relation:
        return self._catalog.relations[self._relid(scope)]

    def _relid(self, scope: Scope) -> int:
        return scope.level.entry(scope.level.target).integer("relid")

    @remembered
    def _outcomes(self, found: Scope) -> tuple[_Outcome, ...]:
        level, query = found.level, found.level.query
        command, conflict = Command(query.integer("commandType")), query.node("onConflict")
        if command == Command.MERGE:
            actions = query.nodes("mergeActionList")
            by_source = any(each.integer("matchKind") == MergeMatch.NOT_MATCHED_BY_SOURCE for each in actions)
            # The source's side of the join may be missing, and then the target's is there.
            matched = Scope(level, (level.bare if by_source else found).known | {(0, level.target, 0)})
            return tuple(
                _Outcome(Command(kind), _values(each, "targetList"), found if kind == Command.INSERT else matched)
                for each in actions
                if (kind := each.integer("commandType")) in _WRITES
            )
        outcome = _Outcome(command, _values(query, "targetList"), found)
        if conflict is None or conflict.integer("action") != OnConflict.UPDATE:
            return (outcome,)
        # What is known of the row that was there, and of `excluded`, the row that was not inserted.
        excluded = conflict.integer("exclRelIndex")
        numbers = (number for number in self._relation(found).columns if self._writes(outcome, number))
        facts = frozenset[Fact]([(0, level.target, 0), (0, excluded, 0), *((0, excluded, each) for each in numbers)])
        scope = self._prover.conditions.where(
            Scope(level, facts, opaque=frozenset({excluded})), conflict.node("onConflictWhere")
        )
        return outcome, _Outcome(Command.UPDATE, _values(conflict, "onConflictSet"), scope)

    def _writes(self, outcome: _Outcome, number: int) -> bool:
        """Whether a column of a row that is written is never NULL."""
        scope, target, relation = outcome.scope, outcome.scope.level.target, self._relation(outcome.scope)
        if outcome.command == Command.DELETE:
            return self._prover.columns.variable(scope, 0, target, number)
        if relation.kind == "v":
            return self._view_column(self._relid(scope), number)
        column, inserts = relation.columns[number], scope.level.query.integer("commandType") == Command.INSERT
        # A row that is inserted has just been checked; one that is updated can be a child's, with other constraints.
        # A foreign server returns what its own triggers and defaults have made of the row, and checks nothing here.
        if not relation.is_table if inserts else any(each.kind == "f" for each in relation.members):
            return False
        if column.required if inserts else number in relation.proven:
            return True
        if relation.triggers & {outcome.command, Command.INSERT}:  # an UPDATE can move a row to another partition
            return False
        if not column.generated:
            return self._assigns(outcome, relation, number)
        sources = [each for each, other in relation.columns.items() if not other.generated]
        known = frozenset(relation.columns[each].name for each in sources if self._writes(outcome, each))
        return all(self._prover.columns.computed(each, column.name, known) for each in relation.members)

    def _assigns(self, outcome: _Outcome, relation: Relation, number: int) -> bool:
        value = outcome.values.get(number)
        if value is None and outcome.command == Command.UPDATE:
            return self._prover.columns.variable(outcome.scope, 0, outcome.scope.level.target, number)
        if value is None or value.tag == "SETTODEFAULT":
            value = relation.columns[number].default
        return self._prover.proven(outcome.scope, value)

    def _view_column(self, relid: int, number: int) -> bool:
        """A column of a simple view is one of its table: what that refuses, the view does too."""
        *views, (table, number) = self._catalog.behind(relid, number)
        if table.kind == "v" and number > 0:  # it is computed
            return False
        simple = not table.replaced and not any(view.triggers or view.replaced for view, _ in views)
        return simple and (number <= 0 or number in table.proven)


def _values(node: Node, name: str) -> dict[int, Node | None]:
    """What a list of target entries assigns, by the number of the column."""
    return {target.integer("resno"): target.node("expr") for target in reversed(node.nodes(name))}

"""What RETURNING gives: the row as it was written, which the conditions of the statement say nothing of."""

from __future__ import annotations

from collections.abc import Callable

from rowsmith.compiler.analysis.catalog import Catalog, Relation
from rowsmith.compiler.analysis.enums import Command, OnConflict
from rowsmith.compiler.analysis.nodes import Node
from rowsmith.compiler.analysis.scopes import Scope, of_old_rows


class WrittenRow:
    """Judges columns of the row that an INSERT or UPDATE has written."""

    def __init__(self, catalog: Catalog, proven: Callable[[Scope, Node], bool]) -> None:
        self._catalog = catalog
        self._proven = proven

    def column(self, scope: Scope, number: int) -> bool:
        """Whether a column of the written row is never NULL."""
        relid = scope.entry(scope.query.integer("resultRelation")).integer("relid")
        relation = self._catalog.relations.get(relid)
        if relation is None or number <= 0:
            return number <= 0
        if relation.kind == "v":
            return not relation.triggers and self._view_column(relid, number)
        if self._checked(scope, relation, number):
            return True
        return not relation.triggers and self._assigned(scope, relation, number)

    def proposed(self, scope: Scope, number: int) -> bool:
        """Whether a column of `excluded`, the row that ON CONFLICT kept from being inserted, is never NULL."""
        relid = scope.entry(scope.query.integer("resultRelation")).integer("relid")
        relation = self._catalog.relations.get(relid)
        if relation is None or relation.kind == "v":
            return False
        if relation.columns[number].required:
            return True
        return not relation.triggers and self._inserted(scope, relation, number)

    def _checked(self, scope: Scope, relation: Relation, number: int) -> bool:
        """Whether the server has just refused NULL there: a constraint holds for new rows, validated or not."""
        column = relation.columns[number]
        inserted = scope.query.integer("commandType") == Command.INSERT
        return column.required if inserted else column.proven

    def _assigned(self, scope: Scope, relation: Relation, number: int) -> bool:
        column = relation.columns[number]
        if column.generated:
            return self._generated(scope, relation, column.default)
        if scope.query.integer("commandType") == Command.UPDATE:
            return self._updated(scope, relation, number)
        conflict = scope.query.node("onConflict")
        updates = conflict is not None and conflict.integer("action") == OnConflict.UPDATE
        return self._inserted(scope, relation, number) and (not updates or self._replaced(scope, relation, number))

    def _updated(self, scope: Scope, relation: Relation, number: int) -> bool:
        """The new value, computed from the old row; or the old one, of which the conditions spoke."""
        assigned = _target(scope.query.nodes("targetList"), number)
        with of_old_rows(scope):
            if assigned is None:
                return (scope.query.integer("resultRelation"), number) in scope.known
            return self._value(scope, relation, number, assigned)

    def _inserted(self, scope: Scope, relation: Relation, number: int) -> bool:
        assigned = _target(scope.query.nodes("targetList"), number)
        if assigned is None:
            return self._default(scope, relation, number)
        return self._value(scope, relation, number, assigned)

    def _replaced(self, scope: Scope, relation: Relation, number: int) -> bool:
        conflict = scope.query.node("onConflict")
        assigned = _target(conflict.nodes("onConflictSet"), number) if conflict is not None else None
        return assigned is not None and self._value(scope, relation, number, assigned)

    def _value(self, scope: Scope, relation: Relation, number: int, expr: Node) -> bool:
        if expr.tag == "SETTODEFAULT":
            return self._default(scope, relation, number)
        return self._proven(scope, expr)

    def _default(self, scope: Scope, relation: Relation, number: int) -> bool:
        default = relation.columns[number].default
        return default is not None and self._proven(scope, default)

    def _generated(self, scope: Scope, relation: Relation, expr: Node | None) -> bool:
        """Its expression, which is over columns of the row itself."""
        if expr is None:
            return False
        alone = Scope(Node("QUERY", {}), None)
        alone.known = {(1, number) for number in relation.columns if self._is_source(scope, relation, number)}
        return self._proven(alone, expr)

    def _is_source(self, scope: Scope, relation: Relation, number: int) -> bool:
        generated = relation.columns[number].generated
        return self._checked(scope, relation, number) or (not generated and self._assigned(scope, relation, number))

    def _view_column(self, relid: int, number: int) -> bool:
        """A column of a simple view is one of its table: what that refuses, the view does too."""
        view = self._catalog.view(relid)
        expr = _target(view.nodes("targetList"), number) if view is not None else None
        if view is None or expr is None or expr.tag != "VAR":
            return False
        inner = view.nodes("rtable")[expr.integer("varno") - 1].integer("relid")
        relation = self._catalog.relations.get(inner)
        if relation is None or relation.kind == "v":
            return relation is not None and not relation.triggers and self._view_column(inner, expr.integer("varattno"))
        return relation.columns[expr.integer("varattno")].proven


def _target(targets: list[Node], number: int) -> Node | None:
    """What a list of target entries assigns to a column."""
    return next((target.node("expr") for target in targets if target.integer("resno") == number), None)

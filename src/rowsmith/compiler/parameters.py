"""Which parameters take None: those that land in a nullable column, and those that the query tests for NULL."""

from __future__ import annotations

from collections.abc import Iterator

from rowsmith.compiler.catalog import Catalog
from rowsmith.compiler.conditions import TRANSPARENT
from rowsmith.compiler.enums import Command, Entry
from rowsmith.compiler.nodes import Node

_COERCED = (1, 2)  # nodes/primnodes.h, CoercionForm: COERCE_EXPLICIT_CAST, COERCE_IMPLICIT_CAST


def nullable_parameters(catalog: Catalog, query: Node) -> frozenset[int]:
    """The numbers of the parameters that take None.

    A parameter that is tested for NULL takes it. Of the others, one that is stored takes it where every column that it
    lands in is nullable; one that is only compared does not, for nothing is equal to NULL.
    """
    tested = set[int]()
    stored: dict[int, bool] = {}
    for node in query.walk():
        tested |= _tested(node)
        if node.tag == "QUERY":
            for number, nullable in _stored(catalog, node):
                stored[number] = stored.get(number, True) and nullable
    return frozenset(tested | {number for number, nullable in stored.items() if nullable})


def _tested(node: Node) -> set[int]:
    """The parameters that a node looks at with NULL in mind."""
    match node.tag:
        case "NULLTEST":
            looked_at = [node.node("arg")]
        case "COALESCEEXPR" | "DISTINCTEXPR":
            looked_at = list[Node | None](node.nodes("args"))
        case _:
            looked_at = []
    return {number for expr in looked_at for number in _direct(expr)}


def _direct(expr: Node | None) -> set[int]:
    """The parameter that an expression is, but for casts."""
    while expr is not None and expr.tag != "PARAM":
        expr = _uncast(expr)
    return {expr.integer("paramid")} if expr is not None and expr.integer("paramkind") == 0 else set()


def _uncast(expr: Node) -> Node | None:
    if expr.tag in TRANSPARENT:
        return expr.node(TRANSPARENT[expr.tag])
    if expr.tag == "COERCETODOMAIN":
        return expr.node("arg")
    if expr.tag == "FUNCEXPR" and expr.integer("funcformat") in _COERCED:
        return expr.nodes("args")[0]
    return None


def _stored(catalog: Catalog, query: Node) -> Iterator[tuple[int, bool]]:
    """The parameters that a statement stores, each with whether the column takes NULL."""
    entries = query.nodes("rtable")
    target = query.integer("resultRelation")
    if not target:
        return
    relation = catalog.relations.get(entries[target - 1].integer("relid"))
    if relation is None:
        return
    inserted = query.nodes("targetList") if query.integer("commandType") == Command.INSERT else []
    for assignment in _assignments(query):
        column = relation.columns.get(assignment.integer("resno"))
        if column is not None:
            required = column.required or column.type in catalog.not_null_domains
            for number in _arriving(query, inserted, assignment.node("expr")):
                yield number, not required


def _assignments(query: Node) -> Iterator[Node]:
    """The target entries by which a statement writes columns."""
    if query.integer("commandType") in (Command.INSERT, Command.UPDATE):
        yield from query.nodes("targetList")
    conflict = query.node("onConflict")
    if conflict is not None:
        yield from conflict.nodes("onConflictSet")
    for action in query.nodes("mergeActionList"):
        if action.integer("commandType") in (Command.INSERT, Command.UPDATE):
            yield from action.nodes("targetList")


def _arriving(query: Node, inserted: list[Node], expr: Node | None) -> set[int]:
    """The parameters whose value an expression hands on as it is: through casts, branches, VALUES and sub-queries."""
    if expr is None:
        return set()
    if expr.tag == "PARAM":
        return _direct(expr)
    if expr.tag == "CASEEXPR":
        branches = [*(when.node("result") for when in expr.nodes("args")), expr.node("defresult")]
        return set[int]().union(*(_arriving(query, inserted, branch) for branch in branches))
    if expr.tag == "VAR" and expr.integer("varlevelsup") == 0:
        return _arriving_by_column(query, inserted, expr)
    inner = _uncast(expr)
    return _arriving(query, inserted, inner) if inner is not None else set()


def _arriving_by_column(query: Node, inserted: list[Node], expr: Node) -> set[int]:
    number = expr.integer("varattno")
    entry = query.nodes("rtable")[expr.integer("varno") - 1]
    conflict = query.node("onConflict")
    if conflict is not None and expr.integer("varno") == conflict.integer("exclRelIndex"):
        proposed = [each.node("expr") for each in inserted if each.integer("resno") == number]
        return _arriving(query, [], proposed[0]) if proposed else set()
    if entry.integer("rtekind") == Entry.VALUES:
        rows = [row[number - 1] for row in entry.lists("values_lists")]
        return set[int]().union(*(_arriving(query, inserted, each) for each in rows))
    subquery = entry.node("subquery")
    if subquery is not None and subquery.node("setOperations") is None:
        columns = [each for each in subquery.nodes("targetList") if each.integer("resno") == number]
        return _arriving(subquery, [], columns[0].node("expr")) if columns else set()
    return set()

"""Which parameters accept None: those that are stored in a nullable column, and those that the query tests for NULL."""

from __future__ import annotations

from collections.abc import Iterator

from rowsmith.compiler.analysis.catalog import Catalog
from rowsmith.compiler.analysis.conditions import TRANSPARENT
from rowsmith.compiler.analysis.enums import Command, Entry, Param
from rowsmith.compiler.analysis.nodes import Node
from rowsmith.compiler.analysis.scopes import Level

_COERCED = (1, 2)  # nodes/primnodes.h, CoercionForm: COERCE_EXPLICIT_CAST, COERCE_IMPLICIT_CAST


def nullable_parameters(catalog: Catalog, query: Node) -> frozenset[int]:
    """The numbers of the parameters that accept None.

    A parameter that is tested for NULL accepts it. Of the others, one that is stored accepts it if every column that it
    is stored in is nullable; one that is only compared does not, for nothing is equal to NULL.
    """
    tested = set[int]()
    stored: dict[int, bool] = {}
    for node in query.walk():
        tested.update(_tested(node))
        if node.tag == "QUERY":
            tested.update(_parts(catalog, node))
            for number, relid, column in _stored(catalog, node, exact=False):
                stored[number] = stored.get(number, True) and not _required(catalog, relid, column)
    return frozenset(tested | {number for number, nullable in stored.items() if nullable})


def stored_columns(catalog: Catalog, query: Node) -> dict[int, set[tuple[int, int]]]:
    """For each parameter that is stored as it is, the columns that it is stored in: their relation and number."""
    found: dict[int, set[tuple[int, int]]] = {}
    for node in query.walk():
        if node.tag == "QUERY":
            for number, relid, column in _stored(catalog, node, exact=True):
                found.setdefault(number, set()).add((relid, column))
    return found


def _tested(node: Node) -> Iterator[int]:
    """The parameters that a node compares with NULL."""
    match node.tag:
        case "NULLTEST":
            tested = [node.node("arg")]
        case "COALESCEEXPR":  # the last one is not compared with anything
            tested = list[Node | None](node.nodes("args")[:-1])
        case "DISTINCTEXPR":
            tested = list[Node | None](node.nodes("args"))
        case _:
            tested = []
    return (number for expr in tested for number in _direct(expr))


def _parts(catalog: Catalog, query: Node) -> Iterator[int]:
    """The parameters that are stored as a part of something: a field of a composite, a value in a document.

    There None is a value like any other, whatever the column says of NULL. The keys of a document may not be NULL.
    """
    for node in (node for assignment in _assignments(query) for node in assignment.walk()):
        if node.tag == "ROWEXPR":
            parts = node.nodes("args")
        elif node.tag == "FIELDSTORE":
            parts = node.nodes("newvals")
        elif node.integer("funcid") in catalog.families["documents"] and not node.flag("funcvariadic"):
            parts = node.nodes("args")[1::2]
        else:
            continue
        yield from (number for part in parts for number in _direct(part))


def _direct(expr: Node | None) -> Iterator[int]:
    """The parameter that an expression is, apart from casts."""
    while expr is not None and expr.tag != "PARAM":
        expr = _uncast(expr)
    if expr is not None and expr.integer("paramkind") == Param.EXTERNAL:
        yield expr.integer("paramid")


def _uncast(expr: Node) -> Node | None:
    if expr.tag in TRANSPARENT:
        return expr.node(TRANSPARENT[expr.tag])
    if expr.tag == "COERCETODOMAIN":
        return expr.node("arg")
    if expr.tag == "FUNCEXPR" and expr.integer("funcformat") in _COERCED:
        return expr.nodes("args")[0]
    return None


def _stored(catalog: Catalog, query: Node, *, exact: bool) -> Iterator[tuple[int, int, int]]:
    """The parameters that a statement stores, each with the relation and the number of the column."""
    level = Level(query, None)
    if level.target:
        relid = level.entry(level.target).integer("relid")
        for assignment in _assignments(query):
            for number in _arriving(catalog, level, assignment.node("expr"), exact=exact):
                yield number, relid, assignment.integer("resno")


def _required(catalog: Catalog, relid: int, number: int) -> bool:
    """Whether a column refuses NULL; one of a view does what the column of its table does, if it is simply one."""
    *_, (relation, number) = catalog.behind(relid, number)
    column = relation.columns.get(number)
    return relation.kind == "v" or column is None or column.required or column.type in catalog.not_null_domains


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


def _arriving(catalog: Catalog, level: Level, expr: Node | None, *, exact: bool) -> set[int]:
    """The parameters for which NULL arrives as NULL: through casts, strict functions, branches, VALUES, subqueries.

    With `exact`, those whose value arrives as it is: not through functions.
    """
    found: set[int] = set()
    seen: set[Node] = set()
    waiting = [(level, expr)]
    while waiting:
        level, expr = waiting.pop()
        if expr is None or expr in seen:
            continue
        seen.add(expr)
        match expr.tag:
            case "PARAM" if expr.integer("paramkind") == Param.MULTIPLE:
                waiting += _assigned_together(level, expr)
            case "PARAM":
                found.update(_direct(expr))
            case "CASEEXPR":
                waiting += ((level, when.node("result")) for when in expr.nodes("args"))
                waiting.append((level, expr.node("defresult")))
            case "VAR" if expr.integer("varlevelsup") == 0:
                waiting += _behind_column(level, expr)
            case _ if not exact and catalog.function(expr) in catalog.strict:
                waiting += ((level, arg) for arg in expr.nodes("args"))
            case _:
                waiting.append((level, _uncast(expr)))
    return found


_Expression = tuple[Level, Node | None]


def _behind_column(level: Level, variable: Node) -> Iterator[_Expression]:
    """The expressions that a column of something in FROM stands for."""
    index, number = variable.integer("varno"), variable.integer("varattno")
    entry, conflict = level.entry(index), level.query.node("onConflict")
    if conflict is not None and index == conflict.integer("exclRelIndex"):
        proposed = (each for each in level.query.nodes("targetList") if each.integer("resno") == number)
        yield from ((level, each.node("expr")) for each in proposed)
    elif entry.integer("rtekind") == Entry.VALUES:
        yield from ((level, row[number - 1]) for row in entry.lists("values_lists"))
    elif entry.integer("rtekind") == Entry.CTE:
        home, common = level.common_table(entry)
        yield from _behind_output(home, common.node("ctequery") if common else None, number)
    else:
        yield from _behind_output(level, entry.node("subquery"), number)


def _behind_output(level: Level, query: Node | None, number: int) -> Iterator[_Expression]:
    """The expressions that a result column of a query stands for: of a UNION, one for each part."""
    waiting = [(level, query)]
    while waiting:
        level, query = waiting.pop()
        if query is None:
            continue
        inner, operations = Level(query, level.bare), query.node("setOperations")
        if operations is not None:
            parts = (each.integer("rtindex") for each in operations.walk() if each.tag == "RANGETBLREF")
            waiting += ((inner, inner.entry(part).node("subquery")) for part in parts)
        else:
            columns = (each for each in query.nodes("targetList") if each.integer("resno") == number)
            yield from ((inner, each.node("expr")) for each in columns)


def _assigned_together(level: Level, parameter: Node) -> Iterator[_Expression]:
    """What a column of the subquery in `SET (a, b) = (SELECT ...)` stands for; that is among the targets as well."""
    link, number = divmod(parameter.integer("paramid"), 1 << 16)
    for node in (node for target in level.query.nodes("targetList") for node in target.walk()):
        if node.node("subselect") and node.integer("subLinkId") == link:
            yield from _behind_output(level, node.node("subselect"), number)

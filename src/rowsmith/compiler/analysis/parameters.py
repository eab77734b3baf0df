"""Which parameters accept None: those that are stored in a nullable column, and those for which NULL means something.

It means something to IS NULL and its like, to LIMIT, to a function that is not strict, to a document.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from rowsmith.compiler.analysis.catalog import FIRST_USER_OID, Catalog
from rowsmith.compiler.analysis.conditions import TRANSPARENT
from rowsmith.compiler.analysis.enums import WITH_TIES, Command, Entry, Param, SubLink, VarReturning
from rowsmith.compiler.analysis.nodes import Node
from rowsmith.compiler.analysis.scopes import Level

_COERCED = (1, 2)  # nodes/primnodes.h, CoercionForm: COERCE_EXPLICIT_CAST, COERCE_IMPLICIT_CAST


class _Expression(NamedTuple):
    """An expression, the query that it is in, and whether that query has written the rows at hand: in RETURNING."""

    level: Level
    expr: Node | None
    written: bool = False


def nullable_parameters(catalog: Catalog, query: Node) -> frozenset[int]:
    """The numbers of the parameters that accept None.

    A parameter that is tested for NULL accepts it. Of the others, one that is stored accepts it if every column that it
    is stored in is nullable, and one that is not stored if NULL means something wherever it is used. One that is
    compared does not, for nothing is equal to NULL.
    """
    tested = set[int]()
    occurring, meaning = Counter[int](), Counter[int]()
    for node in query.walk():
        tested.update(_tested(node))
        occurring.update(_direct(node) if node.tag == "PARAM" else ())
        meaning.update(_used(catalog, node))
        if node.tag == "QUERY":
            tested.update(_parts(catalog, node))
    stored: dict[int, bool] = {}
    for number, relid, column in _stored(catalog, query, exact=False):
        stored[number] = stored.get(number, True) and not _required(catalog, relid, column)
    used = {number for number, times in occurring.items() if meaning[number] >= times}
    return frozenset(tested | (used - stored.keys()) | {number for number, nullable in stored.items() if nullable})


def stored_columns(catalog: Catalog, query: Node) -> dict[int, set[tuple[int, int]]]:
    """For each parameter that is stored as it is, the columns that it is stored in: their relation and number."""
    found: dict[int, set[tuple[int, int]]] = {}
    for number, relid, column in _stored(catalog, query, exact=True):
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


def _used(catalog: Catalog, node: Node) -> Iterator[int]:
    """The parameters for which NULL means something to a node: no limit, no bound, an element, a value."""
    function, args = catalog.function(node), list[Node | None](node.nodes("args"))
    if node.tag == "QUERY":
        used = [node.node("limitOffset"), node.node("limitCount") if node.integer("limitOption") != WITH_TIES else None]
    elif function >= FIRST_USER_OID:  # a strict one is not called with NULL
        used = args if function not in catalog.strict else []
    elif function in catalog.families["documents"] and not node.flag("funcvariadic"):
        used = args[1::2]
    elif node.tag == "MINMAXEXPR" or function in catalog.families["nullable"]:
        used = args
    else:
        used = args[1:] if function in catalog.families["nullable after the first"] else []
    return (number for expr in used for number in _direct(expr))


def _parts(catalog: Catalog, query: Node) -> Iterator[int]:
    """The parameters that are stored as a part of something: a field of a composite, a value in a document.

    There None is a value like any other, whatever the column says of NULL. The keys of a document may not be NULL.
    """
    for node in (node for assignment in _assignments(query) for node in assignment.walk()):
        if node.tag == "ROWEXPR":
            parts = node.nodes("args")
        elif node.tag == "FIELDSTORE":
            parts = node.nodes("newvals")
        elif node.tag == "ARRAYEXPR":
            parts = node.nodes("elements")
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
    top = Level(query, None)
    common = (each.node("ctequery") for each in query.nodes("cteList"))  # WITH of the statement alone can write
    for level in (top, *(Level(each, top.bare) for each in common if each)):
        relid = level.entry(level.target).integer("relid") if level.target else 0
        for assignment in _assignments(level.query):
            for number in _arriving(catalog, _Expression(level, assignment.node("expr")), exact=exact):
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


def _arriving(catalog: Catalog, start: _Expression, *, exact: bool) -> set[int]:
    """The parameters for which NULL arrives as NULL: through casts, strict functions, branches, VALUES, subqueries.

    With `exact`, those whose value arrives as it is: not through functions.
    """
    found: set[int] = set()
    seen: set[tuple[Node | None, bool]] = set()
    waiting = [start]
    while waiting:
        each = waiting.pop()
        level, expr, written = each
        if expr is None or (expr, written) in seen:
            continue
        seen.add((expr, written))
        match expr.tag:
            case "PARAM" if expr.integer("paramkind") == Param.MULTIPLE:
                waiting += _assigned_together(level, expr)
            case "PARAM":
                found.update(_direct(expr))
            case "VAR":
                waiting += _behind_column(each)
            case "SUBLINK" if expr.integer("subLinkType") == SubLink.EXPRESSION:
                waiting += _behind_output(level, expr.node("subselect"), 1, written=written)
            case _:
                waiting += (_Expression(level, part, written) for part in _parts_behind(catalog, expr, exact=exact))
    return found


def _parts_behind(catalog: Catalog, expr: Node, *, exact: bool) -> list[Node | None]:
    """The parts of an expression whose NULL arrives; with `exact`, those that it may be."""
    args = list[Node | None](expr.nodes("args"))
    match expr.tag:
        case "CASEEXPR":
            return [*(when.node("result") for when in expr.nodes("args")), expr.node("defresult")]
        case "COALESCEEXPR":
            return args[-1:]
        case "NULLIFEXPR":
            return args[:1]
        case _:
            return args if not exact and catalog.function(expr) in catalog.strict else [_uncast(expr)]


def _behind_column(column: _Expression) -> Iterator[_Expression]:
    """The expressions that a column of something in FROM stands for, or one of the row that a query has written."""
    level, variable, written = column
    assert variable is not None  # noqa: S101 - a node of the tree
    for _ in range(variable.integer("varlevelsup")):
        assert level.parent is not None  # noqa: S101 - the server's own rule
        level = level.parent.level
    index, number = variable.integer("varno"), variable.integer("varattno")
    entry, conflict = level.entry(index), level.query.node("onConflict")
    if conflict is not None and index == conflict.integer("exclRelIndex"):
        proposed = (each for each in level.query.nodes("targetList") if each.integer("resno") == number)
        yield from (_Expression(level, each.node("expr")) for each in proposed)
    elif index == level.target:
        if written and variable.integer("varreturningtype") != VarReturning.OLD:
            assigned = (each for each in _assignments(level.query) if each.integer("resno") == number)
            yield from (_Expression(level, each.node("expr")) for each in assigned)
    elif entry.integer("rtekind") == Entry.VALUES:
        yield from (_Expression(level, row[number - 1]) for row in entry.lists("values_lists"))
    elif entry.integer("rtekind") == Entry.CTE:
        home, common = level.common_table(entry)
        yield from _behind_output(home, common.node("ctequery") if common else None, number)
    elif alias := level.alias(variable):
        yield _Expression(level, alias, written)
    else:
        yield from _behind_output(level, entry.node("subquery"), number, written=written)


def _behind_output(level: Level, query: Node | None, number: int, *, written: bool = False) -> Iterator[_Expression]:
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
        elif 0 < number <= len(inner.outputs):  # behind them are those that SEARCH and CYCLE add
            returned = query.integer("commandType") != Command.SELECT
            yield _Expression(inner, inner.outputs[number - 1].node("expr"), written or returned)


def _assigned_together(level: Level, parameter: Node) -> Iterator[_Expression]:
    """What a column of the subquery in `SET (a, b) = (SELECT ...)` stands for; that is among the targets as well."""
    link, number = divmod(parameter.integer("paramid"), 1 << 16)
    for node in (node for target in level.query.nodes("targetList") for node in target.walk()):
        if node.node("subselect") and node.integer("subLinkId") == link:
            yield from _behind_output(level, node.node("subselect"), number)

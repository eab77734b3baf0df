"""Which parameters take None: those that land in a nullable column, and those that the query tests for NULL."""

from __future__ import annotations

from collections.abc import Iterator

from rowsmith.compiler.analysis.catalog import Catalog
from rowsmith.compiler.analysis.conditions import TRANSPARENT
from rowsmith.compiler.analysis.enums import Command, Entry
from rowsmith.compiler.analysis.nodes import Node

_MULTIPLE = 3  # nodes/primnodes.h, ParamKind: PARAM_MULTIEXPR
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
            tested |= _parts(catalog, node)
            for number, relid, column in _stored(catalog, node, exact=False):
                stored[number] = stored.get(number, True) and not _required(catalog, relid, column)
    return frozenset(tested | {number for number, nullable in stored.items() if nullable})


def _tested(node: Node) -> set[int]:
    """The parameters that a node looks at with NULL in mind."""
    match node.tag:
        case "NULLTEST":
            looked_at = [node.node("arg")]
        case "COALESCEEXPR":  # the last one is taken as it is
            looked_at = list[Node | None](node.nodes("args")[:-1])
        case "DISTINCTEXPR":
            looked_at = list[Node | None](node.nodes("args"))
        case _:
            looked_at = []
    return {number for expr in looked_at for number in _direct(expr)}


def _parts(catalog: Catalog, query: Node) -> set[int]:
    """The parameters that are stored as a part of something: a field of a composite, a value in a document.

    None is one there, whatever the column says of NULL. The keys of a document may not be NULL.
    """
    found = set[int]()
    for assignment in _assignments(query):
        for node in assignment.walk():
            if node.tag == "ROWEXPR":
                parts = node.nodes("args")
            elif node.tag == "FIELDSTORE":
                parts = node.nodes("newvals")
            elif node.integer("funcid") in catalog.families["documents"] and not node.flag("funcvariadic"):
                parts = node.nodes("args")[1::2]
            else:
                continue
            found = found.union(*map(_direct, parts))
    return found


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


def stored_columns(catalog: Catalog, query: Node) -> dict[int, set[tuple[int, int]]]:
    """For each parameter that is stored as it is, the columns that it lands in: their relation and number."""
    found: dict[int, set[tuple[int, int]]] = {}
    for node in query.walk():
        if node.tag == "QUERY":
            for number, relid, column in _stored(catalog, node, exact=True):
                found.setdefault(number, set()).add((relid, column))
    return found


def _stored(catalog: Catalog, query: Node, *, exact: bool) -> Iterator[tuple[int, int, int]]:
    """The parameters that a statement stores, each with the relation and the number of the column."""
    entries = query.nodes("rtable")
    target = query.integer("resultRelation")
    if not target:
        return
    relid = entries[target - 1].integer("relid")
    for assignment in _assignments(query):
        for number in _arriving(catalog, exact, (query,), assignment.node("expr")):
            yield number, relid, assignment.integer("resno")


def _required(catalog: Catalog, relid: int, number: int) -> bool:
    """Whether a column refuses NULL; one of a view is that of its table, where it is simply one."""
    view = catalog.view(relid)
    if view is not None:
        targets = [each.node("expr") for each in view.nodes("targetList") if each.integer("resno") == number]
        expr = targets[0] if targets else None
        if expr is None or expr.tag != "VAR":
            return True
        entry = view.nodes("rtable")[expr.integer("varno") - 1]
        return _required(catalog, entry.integer("relid"), expr.integer("varattno"))
    relation = catalog.relations.get(relid)
    column = relation.columns.get(number) if relation else None
    return column is None or column.required or column.type in catalog.not_null_domains


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


def _arriving(catalog: Catalog, exact: bool, levels: tuple[Node, ...], expr: Node | None) -> set[int]:
    """The parameters of which None arrives as NULL: through casts, strict functions, branches, VALUES, sub-queries.

    With `exact`, those that arrive as they are: not through functions.

    `levels` are the queries around the expression, the innermost first.
    """
    if expr is None:
        return set()
    if expr.tag == "PARAM" and expr.integer("paramkind") == _MULTIPLE:
        return _arriving_from_assigned(catalog, exact, levels, expr)
    if expr.tag == "PARAM":
        return _direct(expr)
    branches = list[Node | None]()
    if expr.tag == "CASEEXPR":
        branches = [*(when.node("result") for when in expr.nodes("args")), expr.node("defresult")]
    elif expr.tag == "VAR" and expr.integer("varlevelsup") == 0:
        return _arriving_by_column(catalog, exact, levels, expr)
    elif not exact and _function(catalog, expr) in catalog.strict:
        branches = list[Node | None](expr.nodes("args"))
    else:
        branches = [_uncast(expr)]
    return set[int]().union(*(_arriving(catalog, exact, levels, branch) for branch in branches))


def _function(catalog: Catalog, expr: Node) -> int:
    return expr.integer("funcid") or catalog.operators.get(expr.integer("opno"), 0)


def _arriving_by_column(catalog: Catalog, exact: bool, levels: tuple[Node, ...], expr: Node) -> set[int]:
    query, number = levels[0], expr.integer("varattno")
    entry = query.nodes("rtable")[expr.integer("varno") - 1]
    conflict = query.node("onConflict")
    if conflict is not None and expr.integer("varno") == conflict.integer("exclRelIndex"):
        proposed = [each.node("expr") for each in query.nodes("targetList") if each.integer("resno") == number]
        return _arriving(catalog, exact, levels, proposed[0]) if proposed else set()
    if entry.integer("rtekind") == Entry.VALUES:
        rows = [row[number - 1] for row in entry.lists("values_lists")]
        return set[int]().union(*(_arriving(catalog, exact, levels, each) for each in rows))
    if entry.integer("rtekind") == Entry.CTE:
        outer = levels[entry.integer("ctelevelsup") :]
        common = common_table(outer[0], entry) if outer else None
        return _arriving_from(catalog, exact, (common, *outer), number) if common is not None else set()
    subquery = entry.node("subquery")
    return _arriving_from(catalog, exact, (subquery, *levels), number) if subquery is not None else set()


def _arriving_from(catalog: Catalog, exact: bool, levels: tuple[Node, ...], number: int) -> set[int]:
    """The parameters that arrive by a result column of the innermost query; of each part of a UNION."""
    operations = levels[0].node("setOperations")
    if operations is not None:
        parts = [each for each in operations.walk() if each.tag == "RANGETBLREF"]
        entries = [levels[0].nodes("rtable")[part.integer("rtindex") - 1].node("subquery") for part in parts]
        found = [_arriving_from(catalog, exact, (each, *levels), number) for each in entries if each is not None]
        return set[int]().union(*found)
    columns = [each for each in levels[0].nodes("targetList") if each.integer("resno") == number]
    return _arriving(catalog, exact, levels, columns[0].node("expr")) if columns else set()


def _arriving_from_assigned(catalog: Catalog, exact: bool, levels: tuple[Node, ...], expr: Node) -> set[int]:
    """Those of a column of the sub-query in `SET (a, b) = (SELECT ...)`, which stands among the targets as well."""
    link, number = divmod(expr.integer("paramid"), 1 << 16)
    for target in levels[0].nodes("targetList"):
        for node in target.walk():
            subquery = node.node("subselect")
            if subquery is not None and node.integer("subLinkId") == link:
                return _arriving_from(catalog, exact, (subquery, *levels), number)
    return set()


def common_table(query: Node, entry: Node) -> Node | None:
    """The query of WITH, at the level of `query`, that an entry names; None where it is something else."""
    if entry.integer("rtekind") != Entry.CTE:
        return None
    found = [each for each in query.nodes("cteList") if each.text("ctename") == entry.text("ctename")]
    return found[0].node("ctequery") if found else None

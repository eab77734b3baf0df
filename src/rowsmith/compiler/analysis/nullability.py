"""What can be NULL: each column of a query, proven from its analyzed tree.

A column can be NULL unless it is proven that it cannot. The tree is the parser's, from before the planner: outer joins
are where they were written. Which rows an outer join can leave out follows from the join tree alone, so that all
versions are treated alike. Which functions never give NULL is listed in `never_null`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from rowsmith.compiler.analysis.catalog import Catalog
from rowsmith.compiler.analysis.columns import Columns, is_json_exists, json_arguments
from rowsmith.compiler.analysis.conditions import TRANSPARENT, Conditions, elements, fields_of, is_constant
from rowsmith.compiler.analysis.enums import (
    CURRENT_SCHEMA,
    Command,
    Join,
    JsonConstructor,
    SetOperation,
    SubLink,
    WindowFrame,
)
from rowsmith.compiler.analysis.memory import Memory, remembered
from rowsmith.compiler.analysis.never_null import MONOTONIC_FIELDS
from rowsmith.compiler.analysis.nodes import Node, constant
from rowsmith.compiler.analysis.returning import Returning
from rowsmith.compiler.analysis.scopes import NOTHING, Level, Scope, fact
from rowsmith.compiler.analysis.value_types import JSONB

_NEVER_NULL = (
    "NULLTEST", "BOOLEANTEST", "ARRAYEXPR", "ROWEXPR", "NEXTVALUEEXPR", "GROUPINGFUNC",
    "MERGESUPPORTFUNC", "FIELDSTORE",
)  # fmt: skip


class Prover:
    """Proves of expressions and of columns that they are never NULL. `not_null` are the parameters that never are."""

    def __init__(self, catalog: Catalog, not_null: frozenset[int] = frozenset()) -> None:
        self.memory = Memory()
        self.conditions = Conditions(catalog, self.memory, self.proven)
        self.columns = Columns(catalog, self.memory, self)
        self._catalog = catalog
        self._returning = Returning(catalog, self.memory, self)
        self._rules: dict[str, Callable[[Scope, Node], bool]] = {
            **dict.fromkeys(_NEVER_NULL, lambda _scope, _expr: True),
            **dict.fromkeys(TRANSPARENT, self._transparent),
            "VAR": self.columns.of_variable,
            "CONST": lambda _, expr: not expr.flag("constisnull"),
            "PARAM": lambda _, expr: expr.integer("paramkind") == 0 and expr.integer("paramid") in not_null,
            "FUNCEXPR": self._function,
            "OPEXPR": self._function,
            "DISTINCTEXPR": lambda _, expr: catalog.is_total(expr),
            "SCALARARRAYOPEXPR": self._array_comparison,
            "BOOLEXPR": self._boolean,
            "ROWCOMPAREEXPR": lambda scope, expr: self.all_proven(scope, [*expr.nodes("largs"), *expr.nodes("rargs")]),
            "COALESCEEXPR": self._coalesce,
            "FIELDSELECT": self._field,
            "MINMAXEXPR": lambda scope, expr: self._any(scope, expr.nodes("args")),
            "CASEEXPR": self._case,
            "COERCETODOMAIN": self._domain,
            "SQLVALUEFUNCTION": lambda _, expr: expr.integer("op") != CURRENT_SCHEMA,
            "AGGREF": self._aggregate,
            "WINDOWFUNC": self._window,
            "SUBLINK": self._sublink,
            "SUBSCRIPTINGREF": self._subscript,
            "JSONCONSTRUCTOREXPR": self._json_constructor,
            "JSONEXPR": lambda scope, expr: is_json_exists(expr) and self.all_proven(scope, json_arguments(expr)),
        }

    # --- queries ---

    def outputs(
        self, query: Node, parent: Scope | None = None, given: frozenset[int] = frozenset()
    ) -> tuple[bool, ...]:
        """For each result column of a QUERY node, whether it is proven not to be NULL.

        `given` are the numbers of columns that are not NULL in the rows that count.
        """
        return self.outputs_of(self.conditions.level(query, parent), given)

    def sort_keys(self, query: Node) -> list[bool]:
        """For each sort key of a QUERY node, whether it is proven not to be NULL."""
        level = self.conditions.level(query, None)
        targets = [level.by_reference[each.integer("tleSortGroupRef")] for each in query.nodes("sortClause")]
        if query.node("setOperations") is not None:
            outputs = self.outputs_of(level, frozenset())
            return [outputs[each.integer("resno") - 1] for each in targets]
        scope = self.result(level, frozenset())
        return [self.proven(scope, each.node("expr")) for each in targets]

    def gives_one_row(self, query: Node) -> bool:
        """Whether a QUERY node gives exactly one row, whatever is in the database."""
        return self.conditions.one_row.of_query(self.conditions.level(query, None))

    @remembered
    def outputs_of(self, level: Level, given: frozenset[int]) -> tuple[bool, ...]:
        """The same, of a query in its scope."""
        operations = level.query.node("setOperations")
        if operations is not None:
            return self._set_operation(level, operations)
        scope = self.result(level, given)
        return tuple(self.proven(scope, target.node("expr")) for target in level.outputs)

    @remembered
    def _set_operation(self, level: Level, node: Node | None) -> tuple[bool, ...]:
        if node is None:
            return ()
        if node.tag == "RANGETBLREF":
            subquery = level.entry(node.integer("rtindex")).node("subquery")
            return self.outputs(subquery, level.bare) if subquery is not None else ()
        left, right = (self._set_operation(level, side) for side in (node.node("larg"), node.node("rarg")))
        match node.integer("op"):
            case SetOperation.EXCEPT:
                return left
            case SetOperation.INTERSECT:
                return tuple(one or other for one, other in zip(left, right, strict=True))
            case _:
                return tuple(one and other for one, other in zip(left, right, strict=True))

    @remembered
    def result(self, level: Level, given: frozenset[int]) -> Scope:
        """The rows of the result: those in which the columns `given` are not NULL."""
        scope, query = self.conditions.found(level), level.query
        if query.integer("commandType") != Command.SELECT:
            return self._returning.scope(scope)
        having = query.node("havingQual")
        if having or query.flag("hasAggs") or query.nodes("groupClause") or query.nodes("groupingSets"):
            # Without GROUP BY there is a row even if WHERE found none. Then nothing is known of those around it.
            known = level.surviving(scope.known) if level.grouped else NOTHING
            groups = Scope(level, known | level.groups, grouped=True, of_rows=scope)
            scope = self.conditions.where(groups, having)
        exprs = [target.node("expr") for number, target in enumerate(level.outputs, 1) if number in given]
        kept = self.conditions.knowing(scope, self.conditions.strict(scope, *(expr for expr in exprs if expr)))
        return kept if kept is scope else replace(kept, of_all=scope)

    # --- expressions ---

    @remembered
    def proven(self, scope: Scope, expr: Node | None) -> bool:
        """Whether an expression is never NULL in the rows of a scope."""
        if expr is None:
            return False
        if expr.tag != "VAR":
            if expr.shape in scope.known:
                return True
            if scope.grouped and expr.shape in scope.level.nulled:
                return False
        rule = self._rules.get(expr.tag)
        return rule is not None and rule(scope, expr)

    def all_proven(self, scope: Scope, exprs: Iterable[Node]) -> bool:
        """Whether none of some expressions is ever NULL in the rows of a scope."""
        return all(self.proven(scope, expr) for expr in exprs)

    def _any(self, scope: Scope, exprs: Iterable[Node]) -> bool:
        return any(self.proven(scope, expr) for expr in exprs)

    def _transparent(self, scope: Scope, expr: Node) -> bool:
        return self.proven(scope, expr.node(TRANSPARENT[expr.tag]))

    def _function(self, scope: Scope, expr: Node) -> bool:
        function, args = self._catalog.function(expr), expr.nodes("args")
        families = self._catalog.families
        if expr.flag("funcretset"):
            # Beside another set-returning function in the result, the shorter one is filled up with NULLs.
            found = elements(args[0]) if function in families["unnest"] else None
            listed = function in families["sets"] or function in self._catalog.declared
            proven = listed or (found is not None and self.all_proven(scope, found))
            return proven and _set_calls(scope.level.query) == 1
        spread = not expr.flag("funcvariadic")  # VARIADIC: the arguments come as one array
        if self._catalog.is_always(function):
            return spread or self.all_proven(scope, args)
        if function in families["first"]:
            return self.all_proven(scope, args[:1] if spread else args)
        if function in families["either"]:
            return self._any(scope, args)
        if function in families["extracts"] and _constant_text(args[0]) in MONOTONIC_FIELDS:
            return self.all_proven(scope, args)
        return self._catalog.is_total(expr) and self.all_proven(scope, args)

    def _boolean(self, scope: Scope, expr: Node) -> bool:
        """AND with a false among its arguments is false, OR with a true is true, whatever the others are."""
        args, operator = expr.nodes("args"), expr.text("boolop")
        decided = operator != "not" and any(is_constant(arg, operator == "or") for arg in args)
        return decided or self.all_proven(scope, args)

    def _coalesce(self, scope: Scope, expr: Node) -> bool:
        """One argument is enough; or one for each side of a full join, of which at least one has a row."""
        if self._any(scope, expr.nodes("args")):
            return True
        for index, join in reversed(scope.level.joins.items()):
            if join.kind == Join.FULL and (0, index, 0) in scope.known and not join.matches & scope.known:
                cases = (self.conditions.branch(scope, frozenset({row})) for row in join.matches)
                return all(self.proven(case, expr) for case in cases)
        return False

    def _field(self, scope: Scope, expr: Node) -> bool:
        """A field of a row that is written out, or of a composite all of whose fields are known not to be NULL."""
        argument = expr.node("arg")
        if argument is None:
            return False
        if argument.tag == "ROWEXPR":
            return self.proven(scope, argument.nodes("args")[expr.integer("fieldnum") - 1])
        row = fact(argument)
        if isinstance(row, tuple) and row[2] == 0:
            return self.columns.variable(scope, *row[:2], expr.integer("fieldnum"))
        return fields_of(argument) in scope.known

    def _array_comparison(self, scope: Scope, expr: Node) -> bool:
        """`x = ANY (array)`: a NULL among the elements makes NULL of what would be false."""
        left, right = expr.nodes("args")
        found = elements(right)
        return found is not None and self._catalog.is_total(expr) and self.all_proven(scope, [left, *found])

    def _case(self, scope: Scope, expr: Node) -> bool:
        return all(self.proven(branch, result) for branch, result in self.branches(scope, expr))

    def branches(self, scope: Scope, expr: Node) -> Iterator[tuple[Scope, Node | None]]:
        """The results of CASE, each in the rows where its condition is true and those before it are not."""
        simple = expr.node("arg") is not None
        for when in expr.nodes("args"):
            condition = None if simple else when.node("expr")
            true = self.conditions.when(scope, condition, True) if condition else NOTHING
            yield self.conditions.branch(scope, true), when.node("result")
            unless = self.conditions.unless(scope, condition, True) if condition else NOTHING
            scope = self.conditions.branch(scope, unless)
        yield scope, expr.node("defresult")

    def _domain(self, scope: Scope, expr: Node) -> bool:
        """A value that is cast to a NOT NULL domain has been checked."""
        return expr.integer("resulttype") in self._catalog.not_null_domains or self.proven(scope, expr.node("arg"))

    def _aggregate(self, scope: Scope, expr: Node) -> bool:
        kind, levels = self._catalog.aggregate(expr.integer("aggfnoid")), expr.integer("agglevelsup")
        some_rows = scope.up(levels).level.grouped and expr.node("aggfilter") is None
        if kind != "values":
            return kind == "always" or (kind == "rows" and some_rows)
        # Those of each row, and the direct ones of an ordered-set aggregate.
        args = [arg.node("expr") for arg in expr.nodes("args") if not arg.flag("resjunk")]
        inside = self.inside_aggregate(scope, levels)
        return some_rows and all(self.proven(inside, arg) for arg in [*expr.nodes("aggdirectargs"), *args])

    @remembered
    def inside_aggregate(self, scope: Scope, levels: int) -> Scope:
        """The scope of the arguments of an aggregate that belongs to the query so many levels further out."""
        return scope.inside_aggregate(levels)

    def _window(self, scope: Scope, expr: Node) -> bool:
        function, families = expr.integer("winfnoid"), self._catalog.families
        kind, scope = self._catalog.aggregate(function), scope.all
        args_proven = self.all_proven(scope, expr.nodes("args"))
        if function in families["row_functions"] or function in families["shift_functions"]:
            return args_proven
        some_rows = expr.node("aggfilter") is None and _frame_has_its_row(scope.level.query, expr.integer("winref"))
        if function in families["frame_functions"] or kind == "values":
            return some_rows and args_proven
        return kind == "always" or (kind == "rows" and some_rows)

    def _sublink(self, scope: Scope, expr: Node) -> bool:
        query, kind = expr.node("subselect"), expr.integer("subLinkType")
        if query is None or kind in (SubLink.EXISTS, SubLink.ARRAY):
            return query is not None
        if kind == SubLink.EXPRESSION:
            one_row = self.conditions.one_row.of_query(self.conditions.level(query, scope))
            return one_row and self.outputs(query, scope)[0]
        test = expr.node("testexpr")
        if test is None or kind not in (SubLink.ANY, SubLink.ALL):
            return False
        tests = test.nodes("args") if test.tag == "BOOLEXPR" else [test]
        return all(self._compares(scope, each) for each in tests) and all(self.outputs(query, scope))

    def _compares(self, scope: Scope, test: Node) -> bool:
        """Whether the comparison with a row of a subquery, which stands in it as a parameter, is never NULL."""
        left = [arg for arg in test.nodes("args") if arg.tag != "PARAM" or arg.integer("paramkind") == 0]
        return test.tag == "OPEXPR" and self._catalog.is_total(test) and self.all_proven(scope, left)

    def _subscript(self, scope: Scope, expr: Node) -> bool:
        """A slice of an array is an array, if an empty one; an element, or a part of a document, may not be there.

        To set a part of NULL makes an array or a document. Values of a fixed length, such as a point, stay NULL.
        """
        container, whole = expr.integer("refcontainertype"), expr.node("refexpr")
        if expr.node("refassgnexpr") is not None:
            return container in self._catalog.arrays or container == JSONB or self.proven(scope, whole)
        lower, upper = expr.nodes("reflowerindexpr"), expr.nodes("refupperindexpr")
        is_slice = bool(lower) and container in self._catalog.arrays
        return is_slice and self.proven(scope, whole) and self.all_proven(scope, [*lower, *upper])

    def _json_constructor(self, scope: Scope, expr: Node) -> bool:
        """JSON_OBJECT and JSON_ARRAY (16 and later); the others are what the function in them gives."""
        if expr.node("func") is not None:
            return self.proven(scope, expr.node("func"))
        if expr.integer("type") in (JsonConstructor.OBJECT, JsonConstructor.ARRAY):
            return True
        return bool(expr.nodes("args")) and self.all_proven(scope, expr.nodes("args"))


def _constant_text(expr: Node) -> str | None:
    """The text of a constant of type text; None for anything else. Its bytes begin with a header of four."""
    found = constant(expr)
    return found[4:].decode(errors="replace").lower() if found else None


def _frame_has_its_row(query: Node, reference: int) -> bool:
    """Whether a window's frame has the current row in it, so that it is never empty."""
    for window in query.nodes("windowClause"):
        if window.integer("winref") == reference:
            options = window.integer("frameOptions")
            around = options & WindowFrame.STARTS and options & WindowFrame.ENDS and not options & WindowFrame.EXCLUDES
            return not options & WindowFrame.NONDEFAULT or bool(around)
    return False


def _set_calls(query: Node) -> int:
    """How many calls of set-returning functions are in the result of a query."""
    nodes = (node for target in query.nodes("targetList") for node in target.walk())
    return sum(node.flag("funcretset") or node.flag("opretset") for node in nodes)

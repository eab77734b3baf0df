"""What can be NULL: each column of a query, proven from its analysed tree.

A column can be NULL unless it is proven that it cannot. The tree is the parser's, before the planner: outer joins stand
where they were written. Which one can fill a relation with NULLs follows from the join tree alone, so that all versions
are treated alike (`conditions`). Which functions never give NULL is listed in `total`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext

from rowsmith.compiler.analysis.catalog import Catalog, Column, Relation
from rowsmith.compiler.analysis.conditions import TRANSPARENT, Conditions, is_false, is_true, relations_in, sources
from rowsmith.compiler.analysis.enums import (
    Command,
    Entry,
    Join,
    JsonConstructor,
    SetOperation,
    SqlValue,
    SubLink,
    VarReturning,
    WindowFrame,
)
from rowsmith.compiler.analysis.never_null import MONOTONIC_FIELDS
from rowsmith.compiler.analysis.nodes import Node
from rowsmith.compiler.analysis.parameters import common_table
from rowsmith.compiler.analysis.returning import WrittenRow
from rowsmith.compiler.analysis.scopes import (
    Fact,
    Scope,
    at_rest,
    before_grouping,
    ignoring,
    knowing,
    of_old_rows,
    over_all_rows,
)

_NEVER_NULL = frozenset(
    {
        "NULLTEST",
        "BOOLEANTEST",
        "DISTINCTEXPR",
        "ARRAYEXPR",
        "ROWEXPR",
        "NEXTVALUEEXPR",
        "GROUPINGFUNC",
        "MERGESUPPORTFUNC",
    }
)


class Prover:
    """Proves of expressions and of columns that they are never NULL. `not_null` are the parameters that never are."""

    def __init__(self, catalog: Catalog, not_null: frozenset[int]) -> None:
        self._catalog = catalog
        self._not_null = not_null
        self._written = WrittenRow(catalog, self._proven)
        self._scopes: dict[tuple[Node, Scope | None, frozenset[int]], Scope] = {}
        self._outputs: dict[Scope, list[bool]] = {}
        self._recursive: dict[Node, list[bool]] = {}
        self._rules: dict[str, Callable[[Scope, Node], bool]] = {
            "VAR": self._variable,
            "CONST": lambda _, expr: not expr.flag("constisnull"),
            "PARAM": lambda _, expr: expr.integer("paramkind") == 0 and expr.integer("paramid") in self._not_null,
            "FUNCEXPR": self._function,
            "OPEXPR": self._operator,
            "SCALARARRAYOPEXPR": self._array_comparison,
            "BOOLEXPR": self._boolean,
            "ROWCOMPAREEXPR": lambda scope, expr: self._all(scope, [*expr.nodes("largs"), *expr.nodes("rargs")]),
            "COALESCEEXPR": self._coalesce,
            "FIELDSELECT": self._field,
            "MINMAXEXPR": self._any,
            "CASEEXPR": self._case,
            "COERCETODOMAIN": self._domain,
            "SQLVALUEFUNCTION": lambda _, expr: expr.integer("op") != SqlValue.CURRENT_SCHEMA,
            "AGGREF": self._aggregate,
            "WINDOWFUNC": self._window,
            "SUBLINK": self._sublink,
            "SUBSCRIPTINGREF": self._subscript,
            "JSONCONSTRUCTOREXPR": self._json_constructor,
        }

    # --- queries ---

    def outputs(self, query: Node, parent: Scope | None = None, given: frozenset[int] = frozenset()) -> list[bool]:
        """For each result column of a QUERY node, whether it is proven not to be NULL.

        `given` are the numbers of columns that whoever asks knows not to be NULL in the rows that count.
        """
        operations = query.node("setOperations")
        scope = self.scope(query, parent, given if operations is None else frozenset())
        if scope not in self._outputs:
            scope.returning = query.integer("commandType") != Command.SELECT
            self._outputs[scope] = (
                [self._proven(scope, target.node("expr")) for target in scope.outputs]
                if operations is None
                else self._set_operation(scope, operations)
            )
        return self._outputs[scope]

    def scope(self, query: Node, parent: Scope | None, given: frozenset[int] = frozenset()) -> Scope:
        """The scope of a QUERY node."""
        key = (query, parent, given)
        if key not in self._scopes:
            scope = self._scopes[key] = Scope(query, parent)
            exprs = [target.node("expr") for number, target in enumerate(scope.outputs, 1) if number in given]
            self._conditions(scope).apply(expr for expr in exprs if expr is not None)
        return self._scopes[key]

    def _conditions(self, scope: Scope) -> Conditions:
        return Conditions(self._catalog, scope, self._proven, self.one_row)

    def _set_operation(self, scope: Scope, node: Node) -> list[bool]:
        if node.tag == "RANGETBLREF":
            subquery = scope.entry(node.integer("rtindex")).node("subquery")
            return self.outputs(subquery, scope) if subquery is not None else []
        sides = [self._set_operation(scope, side) for side in (node.node("larg"), node.node("rarg")) if side]
        match node.integer("op"):
            case SetOperation.EXCEPT:
                return sides[0]
            case SetOperation.INTERSECT:
                return [left or right for left, right in zip(*sides, strict=True)]
            case _:
                return [left and right for left, right in zip(*sides, strict=True)]

    def one_row(self, query: Node) -> bool:
        """Whether a query gives exactly one row, whatever there is."""
        scope = Scope(query, None)
        limit = query.node("limitCount")
        limited = query.node("limitOffset") is not None or (limit is not None and not _is_positive(limit))
        if limited or any(query[name] for name in ("havingQual", "setOperations", "groupClause", "groupingSets")):
            return False
        tree = query.node("jointree")
        if query.flag("hasTargetSRFs") or tree is None or query.integer("commandType") != Command.SELECT:
            return False
        return query.flag("hasAggs") or (
            tree.node("quals") is None and all(self._one_row_of(scope, each) for each in tree.nodes("fromlist"))
        )

    def _one_row_of(self, scope: Scope, source: Node) -> bool:
        """Whether something in FROM is one row: a sub-query or a common table of one, or VALUES."""
        if source.tag != "RANGETBLREF":
            return False
        entry = scope.entry(source.integer("rtindex"))
        subquery = entry.node("subquery") or common_table(scope.query, entry)
        if subquery is not None:
            return self.one_row(subquery)
        return entry.integer("rtekind") == Entry.VALUES and len(entry.lists("values_lists")) == 1

    # --- columns ---

    def _variable(self, scope: Scope, expr: Node) -> bool:
        home = scope.up(expr.integer("varlevelsup"))
        index, number = expr.integer("varno"), expr.integer("varattno")
        row = VarReturning(expr.integer("varreturningtype"))
        if not _returned(home, row):
            return False
        if row is VarReturning.OLD:
            with of_old_rows(home):
                return (index, number) in home.known or self.column(home, index, number)
        if home.returning and index == home.query.integer("resultRelation") and _writes(home.query):
            return self._written.column(home, number)
        conflict = home.query.node("onConflict")
        if conflict is not None and index == conflict.integer("exclRelIndex"):
            return self._written.proposed(home, number)
        if (index, number) in home.known:
            return True
        return not home.filled.get(index) and self.column(home, index, number)

    def column(self, scope: Scope, index: int, number: int) -> bool:
        """Whether a column of a range table entry is never NULL, but for outer joins around that."""
        if index > len(scope.entries):  # an expression of a column's own stands in no query
            return False
        with at_rest(scope) if scope.entry(index).integer("rtekind") != Entry.JOIN else nullcontext():
            return self._column(scope, index, number)

    def _column(self, scope: Scope, index: int, number: int) -> bool:
        entry = scope.entry(index)
        kind = entry.integer("rtekind")
        if kind == Entry.RELATION:
            return self._relation_column(scope, index, number)
        if number <= 0:  # the whole row
            return True
        match kind:
            case Entry.SUBQUERY:
                subquery = entry.node("subquery")
                given = _known_columns(scope, index)
                return subquery is not None and _at(self.outputs(subquery, scope, given), number)
            case Entry.JOIN:
                return self._join_column(scope, index, entry.nodes("joinaliasvars")[number - 1])
            case Entry.FUNCTION:
                return self._function_column(scope, entry, number)
            case Entry.VALUES:
                return all(self._proven(scope, row[number - 1]) for row in entry.lists("values_lists"))
            case Entry.CTE:
                return self._cte_column(scope, entry, number)
            case Entry.GROUP:
                return self._proven(scope, entry.nodes("groupexprs")[number - 1])
            case _:
                return False

    def _relation_column(self, scope: Scope, index: int, number: int) -> bool:
        if number <= 0:  # the whole row, or a system column
            return True
        entry = scope.entry(index)
        relid = entry.integer("relid")
        view = self._catalog.view(relid)
        if view is not None:
            # What RETURNING gives of a view is what a trigger made of it, where there is one.
            returned = index == scope.query.integer("resultRelation") and self._catalog.relations[relid].triggers
            return not returned and _at(self.outputs(view, None, _known_columns(scope, index)), number)
        relation = self._catalog.relations.get(relid)
        column = relation.columns.get(number) if relation else None
        if relation is None or column is None:
            return False
        if column.generated and self._generated(relation, column):
            return True
        return column.proven if entry.flag("inh") else column.proven_alone

    def _generated(self, relation: Relation, column: Column) -> bool:
        """A generated column is what its expression makes of the others."""
        alone = Scope(Node("QUERY", {}), None)
        alone.known = {(1, number) for number, each in relation.columns.items() if each.proven}
        return column.default is not None and self._proven(alone, column.default)

    def _join_column(self, scope: Scope, index: int, merged: Node) -> bool:
        """A column of USING. That of a full join is the one side's or the other's: NULL only if one of them can be."""
        if merged.tag != "COALESCEEXPR":
            return self._proven(scope, merged)
        with ignoring(scope, index):
            return self._all(scope, merged.nodes("args"))

    def _function_column(self, scope: Scope, entry: Node, number: int) -> bool:
        functions = entry.nodes("functions")
        if entry.flag("funcordinality") and number == sum(each.integer("funccolcount") for each in functions) + 1:
            return True
        if len(functions) != 1:  # the shorter ones are filled up with NULLs
            return False
        call = functions[0].node("funcexpr")
        if call is None:
            return False
        if call.tag == "FUNCEXPR" and call.flag("funcretset"):
            function, families = call.integer("funcid"), self._catalog.families
            elements = call.nodes("args")[0].nodes("elements") if function in families["unnest"] else []
            return (
                function in families["sets"]
                or (function in families["keys"] and number == 1)
                or (bool(elements) and self._all(scope, elements))
            )
        return functions[0].integer("funccolcount") == 1 and self._proven(scope, call)

    def _cte_column(self, scope: Scope, entry: Node, number: int) -> bool:
        home = scope.up(entry.integer("ctelevelsup"))
        found = [cte for cte in home.query.nodes("cteList") if cte.text("ctename") == entry.text("ctename")]
        query = found[0].node("ctequery") if found else None
        if query is None:
            return False
        if not found[0].flag("cterecursive"):
            return _at(self.outputs(query, home), number)
        if query not in self._recursive:
            self._prove_recursive(query, home)
        # Behind the last one stand those that SEARCH and CYCLE add, which are never NULL.
        return number > len(self._recursive[query]) or _at(self._recursive[query], number)

    def _prove_recursive(self, query: Node, home: Scope) -> None:
        """Assume of every column that it is not NULL, and take back what does not follow from that, until all does."""
        self._recursive[query] = [True] * len(self.scope(query, home).outputs)
        while True:
            fresh = Prover(self._catalog, self._not_null)
            fresh._recursive = self._recursive
            proven = fresh.outputs(query, home)
            narrowed = [old and new for old, new in zip(self._recursive[query], proven, strict=True)]
            if narrowed == self._recursive[query]:
                return
            self._recursive[query] = narrowed

    # --- expressions ---

    def _proven(self, scope: Scope, expr: Node | None) -> bool:
        if expr is None:
            return False
        if expr.tag in _NEVER_NULL or self._known(scope, expr):
            return True
        if expr.shape in scope.sometimes_grouped and not scope.in_aggregate:
            return False
        if expr.tag in TRANSPARENT:
            return self._proven(scope, expr.node(TRANSPARENT[expr.tag]))
        rule = self._rules.get(expr.tag)
        return rule is not None and rule(scope, expr)

    @staticmethod
    def _known(scope: Scope, expr: Node) -> bool:
        """Whether a condition says it of this very expression."""
        if expr.tag == "VAR":
            return (expr.integer("varno"), expr.integer("varattno")) in scope.having and not expr.integer("varlevelsup")
        return expr.shape in scope.having or (expr.shape in scope.known and expr.shape not in scope.sometimes_grouped)

    def _all(self, scope: Scope, exprs: Iterable[Node]) -> bool:
        return all(self._proven(scope, expr) for expr in exprs)

    def _any(self, scope: Scope, expr: Node) -> bool:
        return any(self._proven(scope, arg) for arg in expr.nodes("args"))

    def _function(self, scope: Scope, expr: Node) -> bool:
        function, args = expr.integer("funcid"), expr.nodes("args")
        families = self._catalog.families
        if expr.flag("funcretset"):
            # Beside another set-returning function in the result, the shorter one is filled up with NULLs.
            return function in families["sets"] and _set_calls(scope.query) == 1
        if function in families["always"]:
            return not expr.flag("funcvariadic") or self._all(scope, args)
        if function in families["first"]:
            return self._proven(scope, args[0]) and (not expr.flag("funcvariadic") or self._all(scope, args))
        if function in families["either"]:
            return self._any(scope, expr)
        if function in families["extracts"] and constant_text(args[0]) in MONOTONIC_FIELDS:
            return self._all(scope, args)
        return function in families["total"] and self._all(scope, args)

    def _operator(self, scope: Scope, expr: Node) -> bool:
        function = self._catalog.operators.get(expr.integer("opno"))
        families = self._catalog.families
        if function in families["either"]:
            return self._any(scope, expr)
        return function in families["always"] or (
            function in families["total"] and self._all(scope, expr.nodes("args"))
        )

    def _boolean(self, scope: Scope, expr: Node) -> bool:
        """AND with a false and OR with a true are that, whatever the others are."""
        args = expr.nodes("args")
        decisive = {"and": is_false, "or": is_true}.get(str(expr.text("boolop")))
        return (decisive is not None and any(map(decisive, args))) or self._all(scope, args)

    def _coalesce(self, scope: Scope, expr: Node) -> bool:
        """One argument is enough; or two, of the two sides of a full join, of which one is always there."""
        if self._any(scope, expr):
            return True
        tree = scope.query.node("jointree")
        joins = [node for node in sources(tree) if node.tag == "JOINEXPR"] if tree is not None else []
        full = [node for node in joins if node.integer("jointype") == Join.FULL]
        return any(self._coalesces_sides(scope, expr, join) for join in full)

    def _coalesces_sides(self, scope: Scope, expr: Node, join: Node) -> bool:
        with ignoring(scope, join.integer("rtindex")):
            variables = [arg for arg in expr.nodes("args") if arg.tag == "VAR" and not arg.integer("varlevelsup")]
            there = {arg.integer("varno") for arg in variables if self._proven(scope, arg)}
        sides = [join.node("larg"), join.node("rarg")]
        return all(side is not None and relations_in(side) & there for side in sides)

    def _field(self, scope: Scope, expr: Node) -> bool:
        """A field of a row that is written out; or of a composite of which all are known not to be NULL."""
        argument = expr.node("arg")
        if argument is not None and argument.tag == "ROWEXPR":
            return self._proven(scope, argument.nodes("args")[expr.integer("fieldnum") - 1])
        if argument is not None and argument.tag == "VAR" and argument.integer("varattno") == 0:
            fields = {"varattno": str(expr.integer("fieldnum"))}
            return self._variable(scope, Node("VAR", {**argument.fields, **fields}))
        return argument is not None and f"fields {argument.shape}" in scope.known

    def _array_comparison(self, scope: Scope, expr: Node) -> bool:
        """`x = ANY (array)`: a NULL among the elements makes NULL of what would be false."""
        left, right = expr.nodes("args")
        elements = right.nodes("elements") if right.tag == "ARRAYEXPR" else None
        function = self._catalog.operators.get(expr.integer("opno"))
        return (
            elements is not None and function in self._catalog.families["total"] and self._all(scope, [left, *elements])
        )

    def _case(self, scope: Scope, expr: Node) -> bool:
        """Each result, under its condition, and under those before it not being true."""
        conditions = self._conditions(scope)
        simple = expr.node("arg") is not None
        before: set[Fact] = set()
        for when in expr.nodes("args"):
            condition = None if simple else when.node("expr")
            with knowing(scope, before | (conditions.true(condition) if condition else set[Fact]())):
                if not self._proven(scope, when.node("result")):
                    return False
            before |= conditions.not_true(condition) if condition else set[Fact]()
        with knowing(scope, before):
            return self._proven(scope, expr.node("defresult"))

    def _domain(self, scope: Scope, expr: Node) -> bool:
        """A value that becomes one of a NOT NULL domain has been checked."""
        return expr.integer("resulttype") in self._catalog.not_null_domains or self._proven(scope, expr.node("arg"))

    def _aggregate(self, scope: Scope, expr: Node) -> bool:
        kind = self._catalog.aggregates.get(expr.integer("aggfnoid"))
        home = scope.up(expr.integer("agglevelsup"))
        if kind is None:
            return False
        if kind == "always":
            return True
        some_rows = home.grouped and expr.node("aggfilter") is None
        with before_grouping(home):
            return some_rows and (kind == "rows" or self._all(scope, _arguments(expr)))

    def _window(self, scope: Scope, expr: Node) -> bool:
        with over_all_rows(scope):
            return self._window_over_rows(scope, expr)

    def _window_over_rows(self, scope: Scope, expr: Node) -> bool:
        function, args = expr.integer("winfnoid"), expr.nodes("args")
        families = self._catalog.families
        if function in families["row_functions"] or function in families["shift_functions"]:
            return self._all(scope, args)
        kind = self._catalog.aggregates.get(function)
        if kind == "always":
            return True
        some_rows = expr.node("aggfilter") is None and _frame_has_its_row(scope, expr.integer("winref"))
        if function in families["frame_functions"] or kind == "values":
            return some_rows and self._all(scope, args)
        return some_rows and kind == "rows"

    def _sublink(self, scope: Scope, expr: Node) -> bool:
        query = expr.node("subselect")
        kind = expr.integer("subLinkType")
        if kind in (SubLink.EXISTS, SubLink.ARRAY):
            return True
        if query is None:
            return False
        if kind == SubLink.EXPRESSION:
            return self.one_row(query) and self.outputs(query, scope)[0]
        test = expr.node("testexpr")
        tests = [] if test is None else test.nodes("args") if test.tag == "BOOLEXPR" else [test]
        return (
            kind in (SubLink.ANY, SubLink.ALL)
            and bool(tests)
            and all(self._compares(scope, each) for each in tests)
            and all(self.outputs(query, scope))
        )

    def _compares(self, scope: Scope, test: Node) -> bool:
        """Whether the comparison with a row of a sub-query, which stands in it as a parameter, is never NULL."""
        left = [arg for arg in test.nodes("args") if arg.tag != "PARAM" or arg.integer("paramkind") == 0]
        function = self._catalog.operators.get(test.integer("opno"))
        return test.tag == "OPEXPR" and function in self._catalog.families["total"] and self._all(scope, left)

    def _subscript(self, scope: Scope, expr: Node) -> bool:
        """A slice of an array is an array, if an empty one; an element, or a part of a document, may not be there."""
        if expr.node("refassgnexpr") is not None:
            return True
        is_slice = bool(expr.nodes("reflowerindexpr")) and expr.integer("refcontainertype") in self._catalog.arrays
        bounds = [*expr.nodes("reflowerindexpr"), *expr.nodes("refupperindexpr")]
        container = expr.node("refexpr")
        return is_slice and container is not None and self._all(scope, [container, *bounds])

    def _json_constructor(self, scope: Scope, expr: Node) -> bool:
        """JSON_OBJECT and JSON_ARRAY (16 and later); the others are what the function in them gives."""
        if expr.node("func") is not None:
            return self._proven(scope, expr.node("func"))
        if expr.integer("type") in (JsonConstructor.OBJECT, JsonConstructor.ARRAY):
            return True
        return bool(expr.nodes("args")) and self._all(scope, expr.nodes("args"))


def _writes(query: Node) -> bool:
    return query.integer("commandType") in (Command.INSERT, Command.UPDATE)


def _returned(scope: Scope, row: VarReturning) -> bool:
    """Whether RETURNING's old or new row (18 and later) is there at all."""
    command = scope.query.integer("commandType")
    match row:
        case VarReturning.OLD:
            return command in (Command.UPDATE, Command.DELETE)
        case VarReturning.NEW:
            return command in (Command.UPDATE, Command.INSERT)
        case VarReturning.DEFAULT:
            return True


def constant_text(expr: Node) -> str | None:
    """The text of a constant of type text; None for anything else. Its bytes begin with a header of four."""
    words = (expr.text("constvalue") or "").split() if expr.tag == "CONST" else []
    codes = [int(word) % 256 for word in words[2:-1]][4:]
    return bytes(codes).decode(errors="replace").lower() if codes else None


def _arguments(call: Node) -> list[Node]:
    """The arguments of an aggregate: those of each row, and of an ordered-set aggregate the direct ones."""
    exprs = [arg.node("expr") for arg in call.nodes("args") if not arg.flag("resjunk")]
    return [*call.nodes("aggdirectargs"), *(expr for expr in exprs if expr is not None)]


def _frame_has_its_row(scope: Scope, reference: int) -> bool:
    """Whether the window's frame holds the current row, so that it is never empty."""
    for window in scope.query.nodes("windowClause"):
        if window.integer("winref") == reference:
            options = window.integer("frameOptions")
            given = options & WindowFrame.NONDEFAULT
            around = options & WindowFrame.STARTS and options & WindowFrame.ENDS and not options & WindowFrame.EXCLUDES
            return not given or bool(around)
    return False


def _set_calls(query: Node) -> int:
    """How many calls of set-returning functions stand in the result of a query."""
    return sum(
        node.flag("funcretset")
        for target in query.nodes("targetList")
        for node in target.walk()
        if node.tag in ("FUNCEXPR", "OPEXPR")
    )


def _known_columns(scope: Scope, index: int) -> frozenset[int]:
    """The columns of a range table entry that the conditions around it rule NULL out for."""
    facts = scope.rest[0]
    return frozenset(fact[1] for fact in facts if isinstance(fact, tuple) and fact[0] == index and fact[1] > 0)


def _at(columns: list[bool], number: int) -> bool:
    """A column by its number; those that SEARCH and CYCLE add are behind the last."""
    return number <= len(columns) and columns[number - 1]


def _is_positive(expr: Node) -> bool:
    """Whether a LIMIT is a constant that lets a row through. Its bytes are in the order of the machine."""
    while expr.tag == "FUNCEXPR" and len(expr.nodes("args")) == 1:  # its cast to bigint
        expr = expr.nodes("args")[0]
    words = (expr.text("constvalue") or "").split() if expr.tag == "CONST" else []
    return any(word not in ("0", "[", "]") for word in words[2:-1]) and not words[-2].startswith("-")

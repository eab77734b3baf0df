"""Rows inside rows: what a column holds if its value is a row or a list of rows, from the analyzed tree alone.

A whole row of a table (`u AS owner`), an array of rows, and a JSON document that is built of rows have the same shape:
that of a row with fields, or of a list. Which of the three carries it is told by the type of the column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from rowsmith.compiler.analysis.catalog import Catalog
from rowsmith.compiler.analysis.enums import Entry, JsonConstructor, SubLink, VarReturning
from rowsmith.compiler.analysis.memory import remembered
from rowsmith.compiler.analysis.never_null import Family
from rowsmith.compiler.analysis.nodes import Node, constant
from rowsmith.compiler.analysis.nullability import Prover
from rowsmith.compiler.analysis.scopes import Level, Scope
from rowsmith.compiler.analysis.value_types import BOOL, JSON, JSONB, RECORD, type_of
from rowsmith.queries.rows import field_names


@dataclass(frozen=True, slots=True)
class Value:
    """A value that is no row: its type, and the column of a relation, `schema.table.column`, that it is."""

    oid: int
    origin: str | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a row."""

    name: str
    shape: Shape
    nullable: bool


@dataclass(frozen=True, slots=True)
class Row:
    """A row, or a JSON object."""

    fields: tuple[Field, ...]
    relation: int = 0
    """The OID of the relation whose whole row it is; 0 for any other row."""


@dataclass(frozen=True, slots=True)
class Rows:
    """An array, of PostgreSQL or of JSON."""

    element: Shape
    nullable: bool
    """Whether an element can be NULL."""


Shape: TypeAlias = Value | Row | Rows

_FUNCTIONS = {
    "documents": Family("to_json to_jsonb row_to_json array_to_json"),
    "objects": Family("json_build_object jsonb_build_object"),
    "arrays": Family("json_build_array jsonb_build_array"),
    "without": Family(signatures=("jsonb_delete(jsonb, text)",)),
    "merged": Family(signatures=("jsonb_concat(jsonb, jsonb)",)),
    "json lists": Family("json_agg jsonb_agg"),
    "json lists without NULL": Family("json_agg_strict jsonb_agg_strict"),
    "lists": Family(signatures=("array_agg(anynonarray)",)),
}
# An empty list, as json has it, and as jsonb, whose header counts the elements (utils/jsonb.h, JB_FARRAY).
_EMPTY = (b"[]", (0x40000000).to_bytes(4, "little"), (0x40000000).to_bytes(4, "big"))
_DOCUMENTS = (JSON, JSONB)
_ZERO_ENDS = -2  # catalog/pg_type.h, typlen


def values_of(shape: Shape) -> Iterator[Value]:
    """The values in a shape that are no rows."""
    match shape:
        case Value():
            yield shape
        case Rows():
            yield from values_of(shape.element)
        case Row():
            for each in shape.fields:
                yield from values_of(each.shape)


def has_row(shape: Shape) -> bool:
    """Whether there is a row in a shape."""
    return isinstance(shape, Row) or (isinstance(shape, Rows) and has_row(shape.element))


class Nesting:
    """Finds the shapes of the columns of a query."""

    def __init__(self, catalog: Catalog, prover: Prover) -> None:
        self.memory = prover.memory
        self._catalog = catalog
        self._prover = prover
        self._family = {oid: name for name, family in _FUNCTIONS.items() for oid in catalog.members(family)}
        self._rules: dict[str, Callable[[Scope, Node], Shape | None]] = {
            "VAR": self._variable,
            "FUNCEXPR": self._function,
            "OPEXPR": self._function,
            "AGGREF": self._aggregate,
            "WINDOWFUNC": self._window,
            "JSONCONSTRUCTOREXPR": self._constructor,
            "COALESCEEXPR": self._coalesce,
            "CASEEXPR": self._case,
            "SUBLINK": self._sublink,
            "COERCEVIAIO": self._cast,
            "ROWEXPR": self._row,
        }

    def of_columns(self, query: Node, types: Iterable[int]) -> tuple[Shape | None, ...]:
        """For each result column of a QUERY node its shape, if it is nested; `types` are the types of the columns."""
        level = self._prover.conditions.level(query, None)
        shapes = ((oid, self._output(level, number, frozenset())) for number, oid in enumerate(types, 1))
        return tuple(shape if _is_nested(shape, oid) else None for oid, shape in shapes)

    @remembered
    def _output(self, level: Level, number: int, given: frozenset[int]) -> Shape:
        """The shape of a result column of a query; `given` are the columns that are not NULL in the rows that count."""
        operation = level.query.node("setOperations")
        if operation is None:
            target = level.outputs[number - 1].node("expr")
            return self._shape(self._prover.result(level, given), target) if target else Value(0)
        found = [self._output(each, number, frozenset()) for each in self._branches(level, operation)]
        return common_shape(found) or Value(operation.integers("colTypes")[number - 1])

    def _branches(self, level: Level, operation: Node) -> Iterator[Level]:
        """The queries that UNION, INTERSECT or EXCEPT combines."""
        waiting = [operation]
        while waiting:
            node = waiting.pop()
            subquery = level.entry(node.integer("rtindex")).node("subquery") if node.tag == "RANGETBLREF" else None
            if subquery is not None:
                yield self._prover.conditions.level(subquery, level.bare)
            waiting += [side for side in (node.node("larg"), node.node("rarg")) if side]

    @remembered
    def _shape(self, scope: Scope, expr: Node) -> Shape:
        """The shape of an expression in the rows of a scope."""
        rule = self._rules.get(expr.tag)
        return (rule(scope, expr) if rule else None) or Value(type_of(expr))

    # --- columns and whole rows ---

    def _variable(self, scope: Scope, expr: Node) -> Shape | None:
        levels, index, number = expr.integer("varlevelsup"), expr.integer("varno"), expr.integer("varattno")
        home = scope.up(levels)
        if number < 0 or index > len(home.level.entries):
            return None
        if number > 0:
            return self._column(home, index, number, type_of(expr))
        match expr.integer("varreturningtype"):
            case VarReturning.OLD:
                present = home.old
            case VarReturning.NEW:
                present = home.new
            case _:
                present = self._prover.conditions.branch(scope, frozenset({(levels, index, 0)}))
                return self._whole_row(home, index, present, levels)
        return self._whole_row(home, index, present)

    def _column(self, home: Scope, index: int, number: int, oid: int) -> Shape | None:
        """The shape of a column of a range table entry, which has this type."""
        entry, level = home.level.entry(index), None
        given = home.rows.columns.get(index, frozenset[int]())
        match entry.integer("rtekind"):
            case Entry.JOIN:
                return self._shape(home, entry.nodes("joinaliasvars")[number - 1])
            case Entry.GROUP:
                return self._shape(home.rows, entry.nodes("groupexprs")[number - 1])
            case Entry.SUBQUERY:
                subquery = entry.node("subquery")
                parent = home.rows if entry.flag("lateral") else home.level.bare
                level = self._prover.conditions.level(subquery, parent) if subquery else None
            case Entry.CTE:
                level, given = self._common_table(home, entry), frozenset[int]()
            case Entry.RELATION:
                view = self._catalog.view(entry.integer("relid"))
                origin = self._catalog.column_name(entry.integer("relid"), number)
                shape = self._output(self._prover.conditions.level(view, None), number, given) if view else None
                return shape if shape and not isinstance(shape, Value) else Value(oid, origin)
            case _:
                pass
        return self._output(level, number, given) if level and number <= len(level.outputs) else None

    def _common_table(self, scope: Scope, entry: Node) -> Level | None:
        """The query of WITH that an entry refers to; None if it is recursive."""
        home, table = scope.level.common_table(entry)
        query = table.node("ctequery") if table and not table.flag("cterecursive") else None
        return self._prover.conditions.level(query, home.bare) if query else None

    def _whole_row(self, home: Scope, index: int, present: Scope | None, levels: int = 0) -> Row | None:
        """The row of a range table entry. `present` is the scope in which there is one, so many queries further in.

        If it is None, nothing is known of the columns.
        """
        proven = self._prover.columns.variable
        fields = [
            Field(
                name,
                self._column(home, index, number, oid) or Value(oid),
                present is None or not proven(present, levels, index, number),
            )
            for number, (name, oid) in self._columns(home, index).items()
        ]
        return _row_of(fields, home.level.entry(index).integer("relid"))

    def _columns(self, home: Scope, index: int) -> dict[int, tuple[str, int]]:
        """The names and types of the columns of a range table entry, by number; none if they are not known."""
        entry = home.level.entry(index)
        alias = entry.node("eref")
        names = alias.texts("colnames") if alias else []
        types: list[int] = []
        match entry.integer("rtekind"):
            case Entry.RELATION:
                relation = self._catalog.relations[entry.integer("relid")]
                return {number: (column.name, column.type) for number, column in relation.columns.items()}
            case Entry.SUBQUERY:
                subquery = entry.node("subquery")
                types = _output_types(self._prover.conditions.level(subquery, None)) if subquery else []
            case Entry.CTE:
                types = entry.integers("coltypes")
            case Entry.VALUES:
                types = entry.integers("coltypes")
            case Entry.JOIN:
                types = [type_of(each) for each in entry.nodes("joinaliasvars")]
            case _:
                pass
        return dict(enumerate(zip(names, types, strict=False), 1))

    def _row(self, scope: Scope, expr: Node) -> Row | None:
        """`ROW(a, b)`, or the row of a join, which is written out."""
        if type_of(expr) != RECORD:
            return None
        return _row_of(self._fields(scope, zip(expr.texts("colnames"), expr.nodes("args"), strict=False)))

    def _fields(self, scope: Scope, pairs: Iterable[tuple[str, Node]]) -> list[Field]:
        return [Field(name, self._shape(scope, each), not self._prover.proven(scope, each)) for name, each in pairs]

    # --- functions ---

    def _function(self, scope: Scope, expr: Node) -> Shape | None:
        args = expr.nodes("args")
        if expr.flag("funcvariadic"):
            return None
        match self._family.get(self._catalog.function(expr)):
            case "documents":
                return self._shape(scope, args[0])
            case "objects":
                return self._object(scope, args)
            case "arrays":
                return self._list(scope, args)
            case "without":
                row, key = self._shape(scope, args[0]), _text(args[1])
                if isinstance(row, Row) and key is not None:
                    return _row_of([each for each in row.fields if each.name != key])
            case "merged":
                left, right = (self._shape(scope, each) for each in args)
                if isinstance(left, Row) and isinstance(right, Row):
                    fields = {each.name: each for each in (*left.fields, *right.fields)}
                    return _row_of(list(fields.values()))
            case _:
                pass
        return None

    def _object(self, scope: Scope, args: list[Node]) -> Row | None:
        """An object of keys and values in turn. Keys that are not constants say nothing."""
        keys = [key for each in args[::2] if (key := _text(each)) is not None]
        if len(keys) * 2 != len(args):
            return None
        return _row_of(self._fields(scope, zip(keys, args[1::2], strict=True)))

    def _list(self, scope: Scope, args: list[Node], *, absent: bool = False) -> Rows | None:
        """A list of values that have the same shape; NULLs are left out if they are to be `absent`."""
        element = common_shape([self._shape(scope, each) for each in args])
        return Rows(element, not absent and not self._prover.all_proven(scope, args)) if element else None

    def _constructor(self, scope: Scope, expr: Node) -> Shape | None:
        """JSON_OBJECT, JSON_ARRAY, JSON_ARRAYAGG (16 and later)."""
        args, absent = expr.nodes("args"), expr.flag("absent_on_null")
        function = expr.node("func")
        if type_of(expr) not in _DOCUMENTS or expr.node("coercion") is not None:
            return None
        match expr.integer("type"):
            case JsonConstructor.OBJECT:
                # A key that is absent is no field.
                return self._object(scope, args) if not absent or self._prover.all_proven(scope, args) else None
            case JsonConstructor.ARRAY:
                return self._list(scope, args, absent=absent)
            case JsonConstructor.ARRAYAGG if function is not None:
                return self._shape(scope, function)
            case _:
                return None

    def _aggregate(self, scope: Scope, expr: Node) -> Rows | None:
        levels = expr.integer("agglevelsup")
        inside = self._prover.inside_aggregate(scope, levels)
        args = [each.node("expr") for each in expr.nodes("args") if not each.flag("resjunk")]
        filtered = expr.node("aggfilter") if levels == 0 else None
        return self._collected(self._prover.conditions.where(inside, filtered), expr.integer("aggfnoid"), args)

    def _window(self, scope: Scope, expr: Node) -> Rows | None:
        inside = self._prover.conditions.where(scope.all, expr.node("aggfilter"))
        return self._collected(inside, expr.integer("winfnoid"), expr.nodes("args"))

    def _collected(self, scope: Scope, function: int, args: Iterable[Node | None]) -> Rows | None:
        """The list that an aggregate collects."""
        family = self._family.get(function)
        if family not in ("lists", "json lists", "json lists without NULL"):
            return None
        nullable = family != "json lists without NULL"
        for arg in args:
            if arg is not None:
                return Rows(self._shape(scope, arg), nullable and not self._prover.proven(scope, arg))
        return None

    # --- other expressions ---

    def _coalesce(self, scope: Scope, expr: Node) -> Shape | None:
        args = [each for each in expr.nodes("args") if not _is_empty_list(each)]
        shape = common_shape([self._shape(scope, each) for each in args])
        return shape if len(args) == len(expr.nodes("args")) or isinstance(shape, Rows) else None

    def _case(self, scope: Scope, expr: Node) -> Shape | None:
        results = [(branch, result) for branch, result in self._prover.branches(scope, expr) if result is not None]
        kept = [(branch, result) for branch, result in results if not (_is_null(result) or _is_empty_list(result))]
        shape = common_shape([self._shape(branch, result) for branch, result in kept])
        empty = any(_is_empty_list(result) for _, result in results)
        return shape if not empty or isinstance(shape, Rows) else None

    def _sublink(self, scope: Scope, expr: Node) -> Shape | None:
        query, kind = expr.node("subselect"), expr.integer("subLinkType")
        if query is None or kind not in (SubLink.EXPRESSION, SubLink.ARRAY):
            return Value(BOOL if kind != SubLink.MULTIEXPR else 0)
        level = self._prover.conditions.level(query, scope)
        shape = self._output(level, 1, frozenset())
        if kind == SubLink.EXPRESSION:
            return shape
        return Rows(shape, not self._prover.outputs_of(level, frozenset())[0])

    def _cast(self, scope: Scope, expr: Node) -> Shape | None:
        """From json to jsonb, and back."""
        argument = expr.node("arg")
        if argument is None or {type_of(expr), type_of(argument)} != set(_DOCUMENTS):
            return None
        return self._shape(scope, argument)


def _is_nested(shape: Shape, oid: int) -> bool:
    """Whether a column of a type is to be read by its shape: a row, or a list of rows; in JSON, any list."""
    known = all(each.oid for each in values_of(shape))
    return known and not isinstance(shape, Value) and (oid in _DOCUMENTS or has_row(shape))


def _row_of(fields: list[Field], relation: int = 0) -> Row | None:
    """A row of these fields; None if their names are not those of attributes in Python, or not different."""
    names = [each.name for each in fields]
    return Row(tuple(fields), relation) if fields and field_names(names) == names else None


def common_shape(shapes: list[Shape]) -> Shape | None:
    """The shape that stands for all of these; None if there is none."""
    found: Shape | None = shapes[0] if shapes else None
    for each in shapes[1:]:
        found = _both(found, each) if found else None
    return found


def _both(one: Shape, other: Shape) -> Shape | None:
    match one, other:
        case Value(), Value() if one.oid == other.oid:
            return one if one.origin == other.origin else Value(one.oid)
        case Rows(), Rows():
            element = _both(one.element, other.element)
            return Rows(element, one.nullable or other.nullable) if element else None
        case Row(), Row() if [each.name for each in one.fields] == [each.name for each in other.fields]:
            pairs = list(zip(one.fields, other.fields, strict=True))
            shapes = [shape for left, right in pairs if (shape := _both(left.shape, right.shape))]
            if len(shapes) < len(pairs):
                return None
            fields = (
                Field(left.name, shape, left.nullable or right.nullable)
                for (left, right), shape in zip(pairs, shapes, strict=True)
            )
            return Row(tuple(fields), one.relation if one.relation == other.relation else 0)
        case _:
            return None


def _output_types(level: Level) -> list[int]:
    operation = level.query.node("setOperations")
    if operation is not None:
        return operation.integers("colTypes")
    return [type_of(expr) for target in level.outputs if (expr := target.node("expr"))]


def _text(expr: Node) -> str | None:
    """The text of a constant: its bytes begin with a header, or, if its length is not kept, end with a zero."""
    found = constant(expr)
    if found is None:
        return None
    return (found[:-1] if expr.integer("constlen") == _ZERO_ENDS else found[4:]).decode(errors="replace")


def _is_null(expr: Node) -> bool:
    return expr.tag == "CONST" and expr.flag("constisnull")


def _is_empty_list(expr: Node) -> bool:
    """Whether an expression is the constant `'[]'`."""
    found = constant(expr) if type_of(expr) in _DOCUMENTS else None
    return found is not None and found[4:].strip() in _EMPTY

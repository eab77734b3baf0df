"""The type of the value that an expression gives, as the server's own `exprType` finds it (nodes/nodeFuncs.c)."""

from __future__ import annotations

from rowsmith.compiler.analysis.nodes import Node

BOOL, TEXT, JSON, JSONB, RECORD = 16, 25, 114, 3802, 2249
"""OIDs of built-in types: catalog/pg_type.dat."""
_INTEGER, _XML, _UNKNOWN = 23, 142, 705

_FIELDS = {
    "VAR": "vartype",
    "CONST": "consttype",
    "PARAM": "paramtype",
    "AGGREF": "aggtype",
    "WINDOWFUNC": "wintype",
    "SUBSCRIPTINGREF": "refrestype",
    "FUNCEXPR": "funcresulttype",
    "OPEXPR": "opresulttype",
    "NULLIFEXPR": "opresulttype",
    "CASEEXPR": "casetype",
    "ARRAYEXPR": "array_typeid",
    "ROWEXPR": "row_typeid",
    "COALESCEEXPR": "coalescetype",
    "MINMAXEXPR": "minmaxtype",
    "SQLVALUEFUNCTION": "type",
    "MERGESUPPORTFUNC": "msftype",
    "NEXTVALUEEXPR": "typeId",
    **dict.fromkeys(
        (
            "FIELDSELECT", "FIELDSTORE", "RELABELTYPE", "COERCEVIAIO", "ARRAYCOERCEEXPR", "CONVERTROWTYPEEXPR",
            "COERCETODOMAIN",
        ),
        "resulttype",
    ),
}  # fmt: skip
"""The field that holds the OID of the type."""
_INNER = {"NAMEDARGEXPR": "arg", "COLLATEEXPR": "arg", "JSONVALUEEXPR": "formatted_expr", "RETURNINGEXPR": "retexpr"}
"""The field that holds the expression whose value it is."""
_BOOLEAN = frozenset({
    "DISTINCTEXPR", "SCALARARRAYOPEXPR", "BOOLEXPR", "ROWCOMPAREEXPR", "NULLTEST", "BOOLEANTEST", "CURRENTOFEXPR",
    "JSONISPREDICATE",
})  # fmt: skip


def type_of(expr: Node) -> int:
    """The OID of the type of an expression's value. 0 for an array of a subquery, and for what is not known."""
    while expr.tag in _INNER and (inner := expr.node(_INNER[expr.tag])):
        expr = inner
    if expr.tag in _BOOLEAN:
        return BOOL
    returning = expr.node("returning")
    if returning is not None:  # a function of SQL/JSON
        return returning.integer("typid")
    if expr.tag == "GROUPINGFUNC":
        return _INTEGER
    if expr.tag == "XMLEXPR":
        return _XML
    oid = expr.integer(_FIELDS.get(expr.tag, ""))
    return TEXT if oid == _UNKNOWN else oid

"""The enumerations of node trees: in the text they are numbers. Their names are those of the server's source."""

from __future__ import annotations

from enum import IntEnum

Command = IntEnum("Command", "SELECT UPDATE INSERT DELETE MERGE", start=1)
"""nodes/nodes.h, CmdType."""

Entry = IntEnum("Entry", "RELATION SUBQUERY JOIN FUNCTION TABLEFUNC VALUES CTE NAMEDTUPLESTORE RESULT GROUP", start=0)
"""nodes/parsenodes.h, RTEKind."""

Join = IntEnum("Join", "INNER LEFT FULL RIGHT", start=0)
"""nodes/nodes.h, JoinType."""

SubLink = IntEnum("SubLink", "EXISTS ALL ANY ROWCOMPARE EXPRESSION MULTIEXPR ARRAY CTE", start=0)
"""nodes/primnodes.h, SubLinkType."""

NullTest = IntEnum("NullTest", "IS_NULL IS_NOT_NULL", start=0)
"""nodes/primnodes.h, NullTestType."""

BoolTest = IntEnum("BoolTest", "IS_TRUE IS_NOT_TRUE IS_FALSE IS_NOT_FALSE IS_UNKNOWN IS_NOT_UNKNOWN", start=0)
"""nodes/primnodes.h, BoolTestType."""

SetOperation = IntEnum("SetOperation", "NONE UNION INTERSECT EXCEPT", start=0)
"""nodes/parsenodes.h, SetOperation."""

Grouping = IntEnum("Grouping", "EMPTY SIMPLE ROLLUP CUBE SETS", start=0)
"""nodes/parsenodes.h, GroupingSetKind."""

VarReturning = IntEnum("VarReturning", "DEFAULT OLD NEW", start=0)
"""nodes/primnodes.h, VarReturningType."""

OnConflict = IntEnum("OnConflict", "NONE NOTHING UPDATE", start=0)
"""nodes/nodes.h, OnConflictAction."""

MergeMatch = IntEnum("MergeMatch", "MATCHED NOT_MATCHED_BY_SOURCE NOT_MATCHED_BY_TARGET", start=0)
"""nodes/primnodes.h, MergeMatchKind (17 and later)."""

Param = IntEnum("Param", "EXTERNAL EXECUTOR SUBLINK MULTIPLE", start=0)
"""nodes/primnodes.h, ParamKind."""

JsonConstructor = IntEnum("JsonConstructor", "OBJECT ARRAY OBJECTAGG ARRAYAGG", start=1)
"""nodes/primnodes.h, JsonConstructorType (16 and later)."""

JsonBehavior = IntEnum("JsonBehavior", "NULL ERROR EMPTY TRUE FALSE UNKNOWN", start=0)
"""nodes/primnodes.h, JsonBehaviorType (17 and later)."""

JSON_EXISTS = 0
"""nodes/primnodes.h, JsonExprOp."""

WITH_TIES = 1
"""nodes/nodes.h, LimitOption."""

CURRENT_SCHEMA = 14
"""nodes/primnodes.h, SQLValueFunctionOp: the one that can be NULL."""


class WindowFrame(IntEnum):
    """nodes/parsenodes.h, FRAMEOPTION_*, the bits put together that matter here."""

    NONDEFAULT = 0x00001
    STARTS = 0x00020 | 0x00200 | 0x00800
    """UNBOUNDED PRECEDING, CURRENT ROW, offset PRECEDING"""
    ENDS = 0x00100 | 0x00400 | 0x04000
    """UNBOUNDED FOLLOWING, CURRENT ROW, offset FOLLOWING"""
    EXCLUDES = 0x08000 | 0x10000
    """EXCLUDE CURRENT ROW, EXCLUDE GROUP; EXCLUDE TIES keeps the row itself"""

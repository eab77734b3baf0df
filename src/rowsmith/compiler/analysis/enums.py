"""The enumerations of node trees: in the text they are numbers. Their names are those of the server's source."""

from __future__ import annotations

from enum import IntEnum


class Command(IntEnum):
    """nodes/nodes.h, CmdType."""

    SELECT = 1
    UPDATE = 2
    INSERT = 3
    DELETE = 4
    MERGE = 5


class Entry(IntEnum):
    """nodes/parsenodes.h, RTEKind."""

    RELATION = 0
    SUBQUERY = 1
    JOIN = 2
    FUNCTION = 3
    TABLEFUNC = 4
    VALUES = 5
    CTE = 6
    GROUP = 9


class Join(IntEnum):
    """nodes/nodes.h, JoinType."""

    INNER = 0
    LEFT = 1
    FULL = 2
    RIGHT = 3


class SubLink(IntEnum):
    """nodes/primnodes.h, SubLinkType."""

    EXISTS = 0
    ALL = 1
    ANY = 2
    EXPRESSION = 4
    ARRAY = 6


class Test(IntEnum):
    """nodes/primnodes.h, NullTestType and BoolTestType."""

    IS_NULL = 0
    IS_NOT_NULL = 1
    IS_TRUE = 0
    IS_NOT_TRUE = 1
    IS_FALSE = 2
    IS_NOT_FALSE = 3
    IS_UNKNOWN = 4
    IS_NOT_UNKNOWN = 5


class SetOperation(IntEnum):
    """nodes/parsenodes.h, SetOperation."""

    UNION = 1
    INTERSECT = 2
    EXCEPT = 3


class Grouping(IntEnum):
    """nodes/parsenodes.h, GroupingSetKind."""

    EMPTY = 0
    SIMPLE = 1
    ROLLUP = 2
    CUBE = 3
    SETS = 4


class VarReturning(IntEnum):
    """nodes/primnodes.h, VarReturningType."""

    DEFAULT = 0
    OLD = 1
    NEW = 2


class OnConflict(IntEnum):
    """nodes/nodes.h, OnConflictAction."""

    NONE = 0
    NOTHING = 1
    UPDATE = 2


class MergeMatch(IntEnum):
    """nodes/primnodes.h, MergeMatchKind (17 and later)."""

    MATCHED = 0
    NOT_MATCHED_BY_SOURCE = 1
    NOT_MATCHED_BY_TARGET = 2


class SqlValue(IntEnum):
    """nodes/primnodes.h, SQLValueFunctionOp: the one that can be NULL."""

    CURRENT_SCHEMA = 14


class JsonConstructor(IntEnum):
    """nodes/primnodes.h, JsonConstructorType (16 and later): those that build a document of values."""

    OBJECT = 1
    ARRAY = 2


class WindowFrame(IntEnum):
    """nodes/parsenodes.h, FRAMEOPTION_*, the bits put together that matter here."""

    NONDEFAULT = 0x00001
    STARTS = 0x00020 | 0x00200 | 0x00800
    """UNBOUNDED PRECEDING, CURRENT ROW, offset PRECEDING"""
    ENDS = 0x00100 | 0x00400 | 0x04000
    """UNBOUNDED FOLLOWING, CURRENT ROW, offset FOLLOWING"""
    EXCLUDES = 0x08000 | 0x10000
    """EXCLUDE CURRENT ROW, EXCLUDE GROUP; EXCLUDE TIES keeps the row itself"""

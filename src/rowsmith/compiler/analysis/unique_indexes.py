"""Unique indexes: what the catalogue says of them, and the form in which expressions are compared with their keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import psycopg
from psycopg.rows import TupleRow

from rowsmith.compiler.analysis.nodes import Node, Value, read

# A unique index holds for the table it is on: for a partitioned table that is all of it, for one with inheritance
# children it is not. A deferred constraint can be violated until the transaction ends. Only the columns of the key
# count, not those that INCLUDE adds.
_INDEXES = """
SELECT i.indrelid::int8, (i.indkey::int2[])[0:i.indnkeyatts - 1],
       (SELECT array_agg(o.opcfamily::int8 ORDER BY c.place)
        FROM unnest(i.indclass::oid[]) WITH ORDINALITY AS c (oid, place) JOIN pg_opclass AS o ON o.oid = c.oid),
       i.indexprs::text, i.indpred::text
FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid JOIN pg_class AS t ON t.oid = i.indrelid
WHERE i.indisunique AND i.indisvalid AND i.indimmediate AND x.relam = (SELECT oid FROM pg_am WHERE amname = 'btree')
  AND (t.relkind = 'p' OR NOT EXISTS (SELECT FROM pg_inherits AS c WHERE c.inhparent = t.oid))
ORDER BY i.indexrelid
"""

# Strategy 3 of a btree is equality (access/stratnum.h). Within a family it is transitive, across types too.
_EQUALITIES = """
SELECT amopopr::int8, array_agg(amopfamily::int8) FROM pg_amop
WHERE amopstrategy = 3 AND amopmethod = (SELECT oid FROM pg_am WHERE amname = 'btree') GROUP BY amopopr
"""

_VOLATILE = "SELECT oid::int8 FROM pg_proc WHERE provolatile = 'v'"

# What is equal under such a collation can be two keys of an index under another.
_INEXACT = "SELECT oid::int8 FROM pg_collation WHERE NOT collisdeterministic"

# The same value under another type or collation: an index does not tell them apart.
_RELABELS = frozenset({"RELABELTYPE", "COLLATEEXPR"})
# Fields that say how an expression was written, or what follows from the others.
_WRITTEN = frozenset({"funcformat", "coerceformat", "row_format", "opfuncid"})

Families = frozenset[int]
"""Operator families of btree indexes: the senses of "equal" in which something is known to be equal."""


@dataclass(frozen=True, slots=True)
class _Index:
    """A unique index. Its keys and its predicate are over the relation as number 1."""

    keys: tuple[tuple[str, int], ...]
    """The shape of each key, and its operator family."""
    predicate: frozenset[str]
    """The shapes of the conditions of a partial index."""


class UniqueIndexes:
    """What the catalogue says of unique indexes and of what "equal" means; asked once, and kept."""

    def __init__(self, conn: psycopg.Connection[TupleRow]) -> None:
        self._conn = conn

    @cached_property
    def by_relation(self) -> Mapping[int, list[_Index]]:
        """The unique indexes of each relation."""
        found: dict[int, list[_Index]] = {}
        for relid, numbers, families, exprs, predicate in self._rows(_INDEXES):
            rest = iter(_nodes(exprs))
            shapes = [column(1, number).shape if number else plain(next(rest)).shape for number in numbers]
            keys = tuple(zip(shapes, families, strict=True))
            conditions = [plain(each).shape for top in _nodes(predicate) for each in conjuncts(top)]
            found.setdefault(relid, []).append(_Index(keys, frozenset(conditions)))
        return found

    @cached_property
    def equalities(self) -> Mapping[int, Families]:
        """The families in which an operator is equality."""
        return {operator: frozenset(families) for operator, families in self._rows(_EQUALITIES)}

    @cached_property
    def families(self) -> Families:
        """All families that have an equality."""
        return frozenset[int]().union(*self.equalities.values())

    @cached_property
    def volatile(self) -> frozenset[int]:
        """The functions that may give another value at each call."""
        return frozenset(oid for (oid,) in self._rows(_VOLATILE))

    @cached_property
    def inexact(self) -> frozenset[int]:
        """The collations under which different strings can be equal."""
        return frozenset(oid for (oid,) in self._rows(_INEXACT))

    def _rows(self, statement: str) -> list[TupleRow]:
        return self._conn.execute(statement.encode()).fetchall()


def conjuncts(expr: Node | None) -> list[Node]:
    """The parts of a condition that AND puts together."""
    if expr is None:
        return []
    if expr.tag == "BOOLEXPR" and expr.text("boolop") == "and":
        return [part for arg in expr.nodes("args") for part in conjuncts(arg)]
    return [expr]


def column(index: int, number: int) -> Node:
    """A column of a relation in its plain form."""
    return Node("VAR", {"varno": str(index), "varattno": str(number), "varlevelsup": "0"})


def plain(expr: Node, alias: Callable[[Node], Node | None] = lambda _: None) -> Node:
    """An expression without what makes no difference to an index: relabels, and how it was written."""
    while expr.tag in _RELABELS and (inner := expr.node("arg")) is not None:
        expr = inner
    if expr.tag == "QUERY":
        return expr
    if expr.tag == "VAR":
        meant = alias(expr)
        return plain(meant, alias) if meant is not None else _map_var(expr, expr.text("varno"))
    return _mapped(expr, lambda child: plain(child, alias))


def rebased(expr: Node, index: int) -> Node:
    """A plain expression over one relation as number 1, as an index has it; other relations become number 0."""
    if expr.tag == "QUERY":
        return expr
    if expr.tag == "VAR":
        return _map_var(expr, "1" if expr.integer("varno") == index else "0")
    return _mapped(expr, lambda child: rebased(child, index))


def _map_var(var: Node, number: str | None) -> Node:
    return Node("VAR", {"varno": number, "varattno": var["varattno"], "varlevelsup": var["varlevelsup"]})


def _mapped(expr: Node, change: Callable[[Node], Node]) -> Node:
    fields = {name: _mapped_value(value, change) for name, value in expr.fields.items() if name not in _WRITTEN}
    return Node(expr.tag, fields)


def _mapped_value(value: Value, change: Callable[[Node], Node]) -> Value:
    if isinstance(value, Node):
        return change(value)
    return [_mapped_value(item, change) for item in value] if isinstance(value, list) else value


def _nodes(text: str | None) -> list[Node]:
    """The nodes of a text of the catalogue: one, or a list of them."""
    value = None if text is None else read(text)
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, Node)]

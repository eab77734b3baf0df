"""Unique indexes: what the catalog says of them, and the form in which expressions are compared with their keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property

import psycopg
from psycopg.rows import TupleRow

from rowsmith.compiler.analysis.nodes import Node, digest, read

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

# What is equal under such a collation can be two keys of an index under another.
_INEXACT = "SELECT oid::int8 FROM pg_collation WHERE NOT collisdeterministic"

# The same value under another type or collation: an index does not distinguish them.
_RELABELS = ("RELABELTYPE", "COLLATEEXPR")
# Fields that say how an expression was written, or that follow from the others.
_WRITTEN = frozenset({"location", "varnosyn", "varattnosyn", "funcformat", "coerceformat", "row_format", "opfuncid"})

Families = frozenset[int]
"""Operator families of btree indexes: the senses of "equal" in which something is known to be equal."""


@dataclass(frozen=True, slots=True)
class Term:
    """An expression as an index sees it: apart from relabels, and from how it was written."""

    shape: bytes
    """The same for two expressions that mean the same."""
    key: bytes
    """The same, but for whichever relation: that of an index over a relation equals that of an expression over it."""
    relations: frozenset[int]
    """The relations of this query that it refers to, outside of subqueries."""


@dataclass(frozen=True, slots=True)
class _Index:
    """A unique index."""

    keys: tuple[tuple[bytes, int], ...]
    """The key of each term, and its operator family."""
    predicate: frozenset[bytes]
    """The keys of the conditions of a partial index."""


class UniqueIndexes:
    """What the catalog says of unique indexes and of what "equal" means. It is asked once."""

    def __init__(self, conn: psycopg.Connection[TupleRow]) -> None:
        self._conn = conn

    @cached_property
    def by_relation(self) -> Mapping[int, list[_Index]]:
        """The unique indexes of each relation."""
        found: dict[int, list[_Index]] = {}
        for relid, numbers, families, exprs, predicate in self._rows(_INDEXES):
            rest = iter(_nodes(exprs))
            keys = [column_key(number) if number else term(next(rest)).key for number in numbers]
            conditions = frozenset(term(each).key for top in _nodes(predicate) for each in conjuncts(top))
            found.setdefault(relid, []).append(_Index(tuple(zip(keys, families, strict=True)), conditions))
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
    def inexact(self) -> frozenset[int]:
        """The collations under which different strings can be equal."""
        return frozenset(oid for (oid,) in self._rows(_INEXACT))

    def _rows(self, statement: str) -> list[TupleRow]:
        return self._conn.execute(statement.encode()).fetchall()


def conjuncts(condition: Node | None) -> list[Node]:
    """The parts of a condition that AND puts together."""
    found: list[Node] = []
    waiting = [condition] if condition else []
    while waiting:
        each = waiting.pop()
        if each.tag == "BOOLEXPR" and each.text("boolop") == "and":
            waiting += each.nodes("args")
        else:
            found.append(each)
    return found


@cache
def column_key(number: int) -> bytes:
    """The key of a column's term."""
    return term(Node("VAR", {"varno": "1", "varattno": str(number), "varlevelsup": "0"})).key


def term(expr: Node, alias: Callable[[Node], Node | None] = lambda _: None) -> Term:
    """An expression as an index sees it. `alias` says what a column stands for, if it is one of a join."""
    order = [expr]
    meant: dict[Node, Node] = {}
    for node in order:  # which grows while it is read
        stands_for = node.node("arg") if node.tag in _RELABELS else alias(node) if node.tag == "VAR" else None
        if stands_for:
            meant[node] = stands_for
        order += [stands_for] if stands_for else node.children if node.tag != "QUERY" else []
    terms: dict[Node, Term] = {}
    for node in reversed(order):
        terms[node] = terms[meant[node]] if node in meant else _term(node, terms)
    return terms[expr]


def _term(node: Node, terms: Mapping[Node, Term]) -> Term:
    """The term of a node, of those of the nodes below it."""
    if node.tag == "QUERY":
        return Term(node.shape, node.shape, frozenset())
    if node.tag == "VAR":
        column = f"{node.integer('varattno')} {node.integer('varlevelsup')}".encode()
        relations = frozenset({node.integer("varno")} if not node.integer("varlevelsup") else ())
        return Term(b"%d %b" % (node.integer("varno"), column), column, relations)
    shape = digest(node, _WRITTEN, lambda child: terms[child].shape)
    key = digest(node, _WRITTEN, lambda child: terms[child].key)
    return Term(shape, key, frozenset[int]().union(*(terms[child].relations for child in node.children)))


def _nodes(text: str | None) -> list[Node]:
    """The nodes of a text of the catalog: one, or a list of them."""
    value = None if text is None else read(text)
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, Node)]

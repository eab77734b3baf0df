"""What the server's catalog says of relations, columns, types and functions. It is asked once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from rowsmith.compiler.analysis import never_null
from rowsmith.compiler.analysis.enums import Command
from rowsmith.compiler.analysis.nodes import Node, queries, read

FIRST_USER_OID = 16384
"""access/transam.h, FirstNormalObjectId: below it is what initdb made."""

# The members of a relation: itself and what inherits from it, partitions included. Of their triggers those count that
# run for rows, before or instead of a command (catalog/pg_trigger.h, TRIGGER_TYPE_*); of the rules, those that replace
# a command.
_RELATIONS = """
WITH RECURSIVE family (root, relid) AS (
    SELECT oid, oid FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    UNION
    SELECT f.root, i.inhrelid FROM family AS f JOIN pg_inherits AS i ON i.inhparent = f.relid
)
SELECT c.oid::int8, n.nspname::text, c.relname::text, c.relkind::text, c.relrowsecurity, array_agg(f.relid::int8),
       coalesce(bit_or(t.tgtype), 0), array(
           SELECT r.ev_type::text::int FROM pg_rewrite AS r
           WHERE r.ev_class = c.oid AND r.is_instead AND r.rulename <> '_RETURN'
       )
FROM family AS f
JOIN pg_class AS c ON c.oid = f.root
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_trigger AS t ON t.tgrelid = f.relid AND t.tgtype & 1 <> 0 AND t.tgtype & (2 | 64) <> 0
GROUP BY c.oid, n.nspname
"""
_TRIGGER_BITS = {Command.INSERT: 4, Command.DELETE: 8, Command.UPDATE: 16}

# A constraint that is NOT VALID (18 and later) has not looked at the rows that were there.
_COLUMNS = """
SELECT a.attrelid::int8, a.attnum, a.attname::text, a.atttypid::int8, a.attnotnull,
       a.attnotnull AND c.relkind IN ('r', 'p', 'S') AND NOT EXISTS (
           SELECT FROM pg_constraint AS n
           WHERE n.conrelid = c.oid AND n.contype = 'n' AND NOT n.convalidated AND a.attnum = ANY (n.conkey)
       ),
       a.attgenerated <> '', d.adbin::text
FROM pg_attribute AS a
JOIN pg_class AS c ON c.oid = a.attrelid
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
ORDER BY a.attrelid, a.attnum
"""

# Functions: strict, volatile, harmless. Not all volatile ones have an effect, and some stable ones do: they assign a
# transaction id, or read tables and views that do not appear in the query.
_FUNCTIONS = """
SELECT oid::int8, proisstrict, provolatile = 'v', pronamespace = 'pg_catalog'::regnamespace AND oid < 16384 AND (
    proname IN ('clock_timestamp', 'gen_random_uuid', 'random', 'random_normal', 'timeofday', 'uuidv4', 'uuidv7')
    OR (provolatile <> 'v' AND proname NOT IN ('pg_current_xact_id', 'txid_current')
        AND proname !~ '^(cursor|database|query|schema|table)_to_xml')
) FROM pg_proc
"""

_OPERATORS = "SELECT oid::int8, oprcode::int8 FROM pg_operator"

# Types: domain, NOT NULL domain, array, composite (also `record`, and a domain over a composite).
_TYPES = """
SELECT oid::int8, typtype = 'd', typtype = 'd' AND typnotnull, typcategory = 'A',
       typcategory = 'C' OR oid = 'record'::regtype
FROM pg_type
"""

# An index relies on the operators of its class: that their answer is never NULL for values that are not. Of extensions'
# operators those are believed that are written in C; a user's own function is no proof.
_COMPARISONS = """
SELECT DISTINCT p.oid::int8 FROM pg_amop AS a
JOIN pg_operator AS o ON o.oid = a.amopopr
JOIN pg_proc AS p ON p.oid = o.oprcode
WHERE a.amopmethod IN (SELECT oid FROM pg_am WHERE amname IN ('btree', 'hash'))
  AND p.prolang IN (SELECT oid FROM pg_language WHERE lanname IN ('internal', 'c'))
"""

_EXTENSIONS = """
SELECT p.oid::int8, e.extname::text, p.proname::text
FROM pg_extension AS e
JOIN pg_depend AS d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
JOIN pg_proc AS p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
WHERE p.proisstrict
"""

_FAMILY = """
WITH builtin AS (
    SELECT oid, proname::text AS name, proname || '(' || oidvectortypes(proargtypes) || ')' AS signature
    FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace
)
SELECT oid::int8 FROM builtin
WHERE (name = ANY (%s) OR signature = ANY (%s) OR oid IN (SELECT oprcode FROM pg_operator WHERE oprname = ANY (%s)))
  AND signature <> ALL (%s)
"""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a relation."""

    name: str
    type: int
    required: bool
    """Whether a NULL written to it is refused."""
    proven: bool
    """Whether no row of the relation itself can hold NULL."""
    generated: bool
    """Whether its value is always computed, by `default`."""
    default: Node | None
    """The expression of its default."""


@dataclass(frozen=True, eq=False)
class Relation:
    """A table, a view, or what else has columns."""

    oid: int
    schema: str
    name: str
    kind: str
    secured: bool
    """Whether it has row security."""
    triggers: frozenset[Command]
    """The commands before or instead of which a trigger runs for each row, and may change it or drop it."""
    replaced: frozenset[Command]
    """The commands that a rule replaces."""
    columns: dict[int, Column] = field(default_factory=dict[int, Column])
    """By attribute number."""
    members: list[Relation] = field(default_factory=list["Relation"])
    """The relation itself and what inherits from it."""

    @cached_property
    def proven(self) -> frozenset[int]:
        """The columns in which no row of any member can hold NULL."""
        names = [{column.name for column in each.columns.values() if column.proven} for each in self.members]
        return frozenset(number for number, each in self.columns.items() if all(each.name in found for found in names))

    @cached_property
    def named(self) -> dict[str, Column]:
        """The columns by name."""
        return {column.name: column for column in self.columns.values()}

    @property
    def is_table(self) -> bool:
        """Whether what is inserted goes to a table of this server, and not to a foreign one."""
        return self.kind == "r" or (self.kind == "p" and all(each.kind in "rp" for each in self.members))


class Catalog:
    """The catalog of one database, as far as the analysis of queries asks for it."""

    def __init__(self, conn: psycopg.Connection[TupleRow]) -> None:
        self.declared: frozenset[int] = frozenset()
        """The functions that the configuration declares to be never NULL: strict ones for values that are not."""
        self._conn = conn
        self._views: dict[int, Node | None] = {}
        self._bodies: dict[int, list[Node]] = {}
        self._members: dict[never_null.Family, frozenset[int]] = {}

    def declare(self, signatures: Sequence[str]) -> list[str]:
        """Believe of these functions, and of no others, that they are never NULL. Returns those that do not exist."""
        found = self.find_functions(signatures)
        self.declared = frozenset(oid for oid in found.values() if oid is not None)
        return [signature for signature, oid in found.items() if oid is None]

    def find_functions(self, signatures: Sequence[str]) -> dict[str, int | None]:
        """Functions by their signatures, such as `app.slugify(text)`; None for those that do not exist."""
        found: dict[str, int | None] = {}
        for signature in signatures:
            try:
                with self._conn.transaction():
                    ((found[signature],),) = self._rows("SELECT to_regprocedure(%s)::oid::int8", signature)
            except (psycopg.ProgrammingError, psycopg.DataError):  # it is not even a signature
                found[signature] = None
        return found

    @cached_property
    def relations(self) -> dict[int, Relation]:
        """Relations by OID."""
        found: dict[int, Relation] = {}
        members: dict[int, list[int]] = {}
        for oid, schema, name, kind, secured, members[oid], triggers, rules in self._rows(_RELATIONS):
            commands = frozenset(command for command, bit in _TRIGGER_BITS.items() if triggers & bit)
            found[oid] = Relation(oid, schema, name, kind, secured, commands, frozenset(map(Command, rules)))
        for relid, number, name, of, required, proven, generated, default in self._rows(_COLUMNS):
            tree = read(default) if default and relid >= FIRST_USER_OID else None
            expr = tree if isinstance(tree, Node) else None
            found[relid].columns[number] = Column(name, of, required, proven, generated, expr)
        for oid, relation in found.items():
            relation.members.extend(found[each] for each in members[oid])
        return found

    @cached_property
    def strict(self) -> frozenset[int]:
        """The functions that give NULL for a NULL argument."""
        return frozenset(oid for oid, strict, _, _ in self._functions if strict)

    @cached_property
    def volatile(self) -> frozenset[int]:
        """The functions that can give another value at each call."""
        return frozenset(oid for oid, _, volatile, _ in self._functions if volatile)

    @cached_property
    def harmless(self) -> frozenset[int]:
        """The functions that are known to have no effect besides their result. All of them are built in."""
        return frozenset(oid for oid, _, _, harmless in self._functions if harmless)

    @cached_property
    def _functions(self) -> list[TupleRow]:
        return self._rows(_FUNCTIONS)

    @cached_property
    def operators(self) -> dict[int, int]:
        """The function behind each operator."""
        return dict(self._rows(_OPERATORS))

    @cached_property
    def domains(self) -> frozenset[int]:
        """The domains."""
        return frozenset(oid for oid, domain, *_ in self._types if domain)

    @cached_property
    def not_null_domains(self) -> frozenset[int]:
        """The domains that are NOT NULL."""
        return frozenset(oid for oid, _, not_null, *_ in self._types if not_null)

    @cached_property
    def arrays(self) -> frozenset[int]:
        """The array types."""
        return frozenset(oid for oid, _, _, array, _ in self._types if array)

    @cached_property
    def composites(self) -> frozenset[int]:
        """The types whose values are rows."""
        return frozenset(oid for oid, *_, composite in self._types if composite)

    @cached_property
    def _types(self) -> list[TupleRow]:
        return self._rows(_TYPES)

    @cached_property
    def families(self) -> dict[str, frozenset[int]]:
        """The functions of each family of `never_null`, by its name there."""
        found = {name: self.members(family) for name, family in never_null.FAMILIES.items()}
        found["total"] |= {oid for (oid,) in self._rows(_COMPARISONS)}
        listed = {name: set(names.split()) for name, names in never_null.EXTENSIONS.items()}
        found["total"] |= {oid for oid, of, name in self._rows(_EXTENSIONS) if name in listed.get(of, ())}
        return found

    @cached_property
    def aggregates(self) -> dict[int, str]:
        """The built-in aggregates that are known to give NULL in certain cases only: see `aggregate`."""
        return {oid: kind for kind, family in never_null.AGGREGATES.items() for oid in self.members(family)}

    def function(self, expr: Node) -> int:
        """The function that a call or an operator calls; 0 for anything else."""
        return expr.integer("funcid") or self.operators.get(expr.integer("opno"), 0)

    def is_total(self, expr: Node) -> bool:
        """Whether a call or an operator is never NULL for arguments that are not NULL."""
        return self.function(expr) in self.families["total"] or self.function(expr) in self.declared

    def is_always(self, function: int) -> bool:
        """Whether a function is never NULL, whatever its arguments are."""
        return function in self.families["always"] or (function in self.declared and function not in self.strict)

    def aggregate(self, function: int) -> str | None:
        """In which cases an aggregate is never NULL: `always`, over `rows`, over `values`; None for no case."""
        return "always" if function in self.declared else self.aggregates.get(function)

    def view(self, relid: int) -> Node | None:
        """The query of a view; None for any other relation."""
        if relid not in self._views:
            rows = self._rows(
                "SELECT ev_action::text FROM pg_rewrite WHERE ev_class = %s AND rulename = '_RETURN'", relid
            )
            found = queries(rows[0][0]) if rows and self.relations[relid].kind == "v" else []
            self._views[relid] = found[0] if found else None
        return self._views[relid]

    def shown(self, relid: int) -> list[Relation]:
        """A relation, and if it is a view of one relation, that one, and so on."""
        found: list[Relation] = []
        while relid in self.relations:
            found.append(self.relations[relid])
            view = self.view(relid)
            tree = view.node("jointree") if view else None
            sources = [each.integer("rtindex") for each in tree.nodes("fromlist")] if tree else []
            relid = view.nodes("rtable")[sources[0] - 1].integer("relid") if view and len(sources) == 1 else 0
        return found

    def behind(self, relid: int, number: int) -> list[tuple[Relation, int]]:
        """A column, and if it is one of a view, the column that this simply is, and so on to that of a table."""
        found: list[tuple[Relation, int]] = []
        while relid in self.relations:
            found.append((self.relations[relid], number))
            view = self.view(relid)
            targets = view.nodes("targetList") if view and number > 0 else []
            expr = next((each.node("expr") for each in targets if each.integer("resno") == number), None)
            if view is None or expr is None or expr.tag != "VAR":
                break
            relid, number = view.nodes("rtable")[expr.integer("varno") - 1].integer("relid"), expr.integer("varattno")
        return found

    def column_name(self, relid: int, number: int) -> str | None:
        """A column as `schema.table.column`; None if there is none of the number."""
        relation = self.relations.get(relid)
        column = relation.columns.get(number) if relation else None
        return f"{relation.schema}.{relation.name}.{column.name}" if relation and column else None

    def body(self, function: int) -> list[Node]:
        """The queries of a function that was written with BEGIN ATOMIC or RETURN; none for any other."""
        if function not in self._bodies:
            rows = self._rows(
                "SELECT prosqlbody::text FROM pg_proc WHERE oid = %s AND prosqlbody IS NOT NULL", function
            )
            self._bodies[function] = queries(rows[0][0]) if rows else []
        return self._bodies[function]

    def members(self, family: never_null.Family) -> frozenset[int]:
        """The functions of a family."""
        if family not in self._members:
            names, operators = family.names.split(), family.operators.split()
            rows = self._rows(_FAMILY, names, list(family.signatures), operators, list(family.excepted))
            self._members[family] = frozenset(oid for (oid,) in rows)
        return self._members[family]

    def _rows(self, statement: str, *parameters: Any) -> list[TupleRow]:
        return self._conn.execute(statement.encode(), parameters or None).fetchall()

"""Whether a statement is proven to leave nothing in its session: no setting, no lock, no cursor, no temporary table.

What is not known to be harmless is no proof. Known are the built-in functions listed below and the non-volatile ones of
extensions written in C. A function of the user's is known by its statements, if it is written in SQL, or because the
project declares it. The same goes for what the server runs on its own: views, rules, triggers, defaults, generated
columns, CHECK constraints of tables and domains, expressions of indexes, row security, and the actions of foreign
keys. Not looked into: types in C and operator classes, which only a superuser can create.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import TupleRow

from rowsmith.compiler.analysis.catalog import FIRST_USER_OID, Catalog
from rowsmith.compiler.analysis.enums import Command, Entry, OnConflict
from rowsmith.compiler.analysis.nodes import Node, queries

_HARMLESS = """
bernoulli clock_timestamp current_query gen_random_uuid random random_normal system timeofday uuidv4 uuidv7
array_sample array_shuffle
currval lastval nextval setval
pg_advisory_xact_lock pg_advisory_xact_lock_shared pg_try_advisory_xact_lock pg_try_advisory_xact_lock_shared
pg_blocking_pids pg_cancel_backend pg_control_checkpoint pg_control_system pg_current_logfile pg_current_wal_flush_lsn
pg_current_wal_insert_lsn pg_current_wal_lsn pg_database_size pg_indexes_size pg_is_in_recovery pg_is_wal_replay_paused
pg_last_committed_xact pg_last_wal_receive_lsn pg_last_wal_replay_lsn pg_last_xact_replay_timestamp pg_lock_status
pg_logical_emit_message pg_notification_queue_usage pg_notify pg_partition_ancestors pg_partition_tree pg_prepared_xact
pg_relation_size pg_sequence_last_value pg_sleep pg_sleep_for pg_sleep_until pg_table_size pg_tablespace_size
pg_terminate_backend pg_total_relation_size pg_xact_commit_timestamp pg_xact_status txid_status
suppress_redundant_updates_trigger tsvector_update_trigger tsvector_update_trigger_column
gen_random_bytes gen_salt pgp_pub_encrypt pgp_pub_encrypt_bytea pgp_sym_encrypt pgp_sym_encrypt_bytea
uuid_generate_v1 uuid_generate_v1mc uuid_generate_v4
"""
"""Volatile functions whose effect, if any, belongs to the transaction. The last ones are of pgcrypto and uuid-ossp.
Sequences are among them: the last number that a session got from one only answers `currval` and `lastval`."""

# pg_input_is_valid() and its like call the input function of a type that a text names; those that make XML of a query
# or a table run it.
_FUNCTIONS = """
SELECT p.oid::int8 FROM pg_proc AS p
WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.oid < 16384 AND (
    (p.provolatile <> 'v' AND p.proname !~ '^((cursor|database|query|schema|table)_to_xml|pg_input_)')
    OR p.proname ~ '^(lo_|loread$|lowrite$|pg_stat_get_)' OR p.proname = ANY (%s)
)
UNION ALL
SELECT p.oid::int8 FROM pg_proc AS p
JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
WHERE (p.provolatile <> 'v' OR p.proname = ANY (%s)) AND p.prolang = (SELECT oid FROM pg_language WHERE lanname = 'c')
"""

# Without its own settings, which its names may depend on, a function in SQL is parsed as a caller would parse it.
_DEFINITION = """
SELECT format(
    E'CREATE FUNCTION pg_temp.rowsmith_body(%%s) RETURNS %%s LANGUAGE sql BEGIN ATOMIC %%s\n; END',
    pg_get_function_arguments(oid), pg_get_function_result(oid), prosrc
)
FROM pg_proc
WHERE oid = %s AND prolang = (SELECT oid FROM pg_language WHERE lanname = 'sql') AND prokind = 'f' AND proconfig IS NULL
"""
_BODY = "SELECT prosqlbody::text FROM pg_proc WHERE proname = 'rowsmith_body' AND pronamespace = pg_my_temp_schema()"

_WRITTEN = """
SELECT relid::int8, expression FROM (
    SELECT adrelid, adbin::text FROM pg_attrdef
    UNION ALL SELECT conrelid, conbin::text FROM pg_constraint
    UNION ALL SELECT indrelid, unnest(ARRAY[indexprs::text, indpred::text]) FROM pg_index
    UNION ALL SELECT partrelid, partexprs::text FROM pg_partitioned_table
    UNION ALL SELECT tgrelid, tgqual::text FROM pg_trigger
    UNION ALL SELECT ev_class, unnest(ARRAY[ev_qual::text, ev_action::text]) FROM pg_rewrite WHERE rulename <> '_RETURN'
) AS found (relid, expression)
WHERE relid >= 16384 AND expression IS NOT NULL
"""
_POLICIES = "SELECT polrelid::int8, unnest(ARRAY[polqual::text, polwithcheck::text]) FROM pg_policy"
_TRIGGERS = "SELECT tgrelid::int8, tgtype, tgfoid::int8 FROM pg_trigger WHERE NOT tgisinternal"
_TRIGGER_BITS = {Command.INSERT: 4, Command.DELETE: 8, Command.UPDATE: 16}  # catalog/pg_trigger.h, TRIGGER_TYPE_*

# What a foreign key does to the rows that refer to one that is deleted or updated: c (CASCADE) the same, n and d (SET
# NULL, SET DEFAULT) an update.
_ACTIONS = """
SELECT confrelid::int8, conrelid::int8, confdeltype::text, confupdtype::text FROM pg_constraint WHERE contype = 'f'
"""

# Of a type: the types that it consists of; the functions that the server calls by itself, of a range and of a cast to
# JSON, which to_json() and others look for; the constraints of a domain.
_TYPES = """
SELECT t.oid::int8, array_remove(ARRAY[
    CASE WHEN t.typcategory = 'A' THEN t.typelem END, nullif(t.typbasetype, 0), r.rngsubtype, m.rngsubtype
] || array(SELECT a.atttypid FROM pg_attribute AS a WHERE a.attrelid = t.typrelid AND a.attnum > 0), NULL)::int8[],
    array(
        SELECT f::int8 FROM unnest(ARRAY[r.rngcanonical, r.rngsubdiff]) AS f WHERE f <> 0
        UNION ALL SELECT c.castfunc::int8 FROM pg_cast AS c
        WHERE c.castsource = t.oid AND c.casttarget IN ('json'::regtype, 'jsonb'::regtype) AND c.castfunc <> 0
    ),
    array(SELECT c.conbin::text FROM pg_constraint AS c WHERE c.contypid = t.oid AND c.conbin IS NOT NULL)
FROM pg_type AS t
LEFT JOIN pg_range AS r ON r.rngtypid = t.oid
LEFT JOIN pg_range AS m ON m.rngmultitypid = t.oid
WHERE t.oid >= 16384
"""

_FUNCTION_FIELDS = ("funcid", "opfuncid", "aggfnoid", "winfnoid", "tsmhandler")
_OPERATOR_FIELDS = ("opno", "eqop", "sortop")
_TYPE_FIELDS = ("paramtype", "vartype", "consttype", "resulttype", "funcresulttype", "typid")
_TYPE_LISTS = ("funccoltypes", "coltypes")


class _Item(NamedTuple):
    """Something that the server evaluates, and the method that looks into it."""

    look: Callable[[Any], list[_Item] | None]
    """Returns what is evaluated in turn; None if it is not known to be harmless."""
    key: Any


class _Write(NamedTuple):
    """A command that changes rows of a relation."""

    relid: int
    command: Command


class SessionEffects:
    """What the statements of one database leave in a session."""

    def __init__(self, conn: psycopg.Connection[TupleRow], catalog: Catalog) -> None:
        self._conn = conn
        self._catalog = catalog
        self._known: set[_Item] = set()
        """What is known to leave nothing."""
        self._declared: frozenset[int] = frozenset()

    def declare(self, signatures: Sequence[str]) -> list[str]:
        """Believe of these functions that they leave nothing. Returns those that do not exist."""
        found = self._catalog.find_functions(signatures)
        self._declared = frozenset(oid for oid in found.values() if oid is not None)
        self._known.clear()
        return [signature for signature, oid in found.items() if oid is None]

    def are_none(self, tree: Node) -> bool:
        """Whether a statement is proven to leave nothing."""
        reached, waiting = set[_Item](), [_Item(self._in_tree, tree)]
        while waiting:
            item = waiting.pop()
            if item in reached or item in self._known:
                continue
            reached.add(item)
            found = item.look(item.key)
            if found is None:
                return False
            waiting += found
        self._known |= reached
        return True

    # --- looking into something ---

    def _in_tree(self, tree: Node) -> list[_Item] | None:
        """A statement or an expression."""
        found: list[_Item] = []
        for node in tree.walk():
            found += (_Item(self._in_function, oid) for oid in self._functions(node))
            found += (_Item(self._in_type, oid) for oid in _types(node))
            if node.tag == "QUERY":
                if node.integer("commandType") > Command.MERGE:  # it is a command of another kind
                    return None
                found += (_Item(self._in_relation, relid) for relid in _relations(node))
                found += (_Item(self._in_write, write) for write in _writes(node))
        return found

    def _in_function(self, oid: int) -> list[_Item] | None:
        if oid in self._harmless or oid in self._declared:
            return []
        statements = self._statements(oid) if oid >= FIRST_USER_OID else []
        return self._trees(statements) or None

    def _in_type(self, oid: int) -> list[_Item]:
        """What reads and writes a value of a type."""
        parts, functions, checks = self._user_types.get(oid, ((), (), ()))
        return [
            *(_Item(self._in_type, part) for part in parts),
            *(_Item(self._in_function, function) for function in functions),
            *self._trees(checks),
        ]

    def _in_relation(self, relid: int) -> list[_Item] | None:
        """What reads a relation."""
        relation, view = self._catalog.relations.get(relid), self._catalog.view(relid)
        if relation is None or any(member.kind not in "rpmSv" for member in relation.members):
            return None
        return self._trees([*(self._policies[relid] if relation.secured else ()), *([view] if view else ())])

    def _in_write(self, write: _Write) -> list[_Item] | None:
        """What writes to a relation. None of the system's: an UPDATE of pg_settings is a SET."""
        if write.relid < FIRST_USER_OID or (relation := self._catalog.relations.get(write.relid)) is None:
            return None
        view, found = self._catalog.view(write.relid), list[_Item]()
        for member in relation.members:
            found += self._trees(self._written[member.oid])
            found += (
                _Item(self._in_function, oid)
                for kind, oid in self._triggers[member.oid]
                if kind & _TRIGGER_BITS[write.command]
            )
        below = [
            *(_Write(relid, write.command) for relid in (_relations(view) if view else ())),
            *(_Write(relid, command) for by, relid, command in self._actions[write.relid] if by is write.command),
        ]
        if relation.kind == "p" and write.command is Command.UPDATE:  # it may move a row to another partition
            below += (_Write(write.relid, command) for command in (Command.DELETE, Command.INSERT))
        return [*found, *(_Item(self._in_write, each) for each in below)]

    def _trees(self, trees: Sequence[Node]) -> list[_Item]:
        return [_Item(self._in_tree, tree) for tree in trees]

    def _functions(self, node: Node) -> Iterator[int]:
        """The functions that a node calls."""
        operators = self._catalog.operators
        yield from filter(None, map(node.integer, _FUNCTION_FIELDS))
        for operator in [*map(node.integer, _OPERATOR_FIELDS), *node.integers("opnos")]:
            if operator:
                yield operators[operator]

    def _statements(self, function: int) -> list[Node]:
        """The statements of a function in SQL; none if they are not known."""
        if statements := self._catalog.body(function):
            return statements
        for (definition,) in self._rows(_DEFINITION, function):
            try:
                with self._conn.transaction(force_rollback=True):
                    self._conn.execute(
                        definition.encode(), binary=True
                    )  # by the protocol that takes one statement only
                    return [query for (body,) in self._rows(_BODY) for query in queries(body)]
            except psycopg.DatabaseError:
                break
        return []

    # --- what the catalog says ---

    @cached_property
    def _harmless(self) -> frozenset[int]:
        names = _HARMLESS.split()
        return frozenset(oid for (oid,) in self._rows(_FUNCTIONS, names, names))

    @cached_property
    def _written(self) -> dict[int, list[Node]]:
        """The expressions that are evaluated when a relation is written to."""
        return self._expressions(_WRITTEN)

    @cached_property
    def _policies(self) -> dict[int, list[Node]]:
        """The expressions of row security."""
        return self._expressions(_POLICIES)

    def _expressions(self, statement: str) -> dict[int, list[Node]]:
        found = defaultdict[int, list[Node]](list)
        for relid, expression in self._rows(statement):
            found[relid] += queries(expression) if expression else []
        return found

    @cached_property
    def _triggers(self) -> dict[int, list[tuple[int, int]]]:
        """The kind of each trigger of a relation, and its function."""
        found = defaultdict[int, list[tuple[int, int]]](list)
        for relid, kind, function in self._rows(_TRIGGERS):
            found[relid].append((kind, function))
        return found

    @cached_property
    def _actions(self) -> dict[int, list[tuple[Command, int, Command]]]:
        """What a command on a relation does to those that refer to it."""
        found = defaultdict[int, list[tuple[Command, int, Command]]](list)
        for relid, referring, on_delete, on_update in self._rows(_ACTIONS):
            for by, action in ((Command.DELETE, on_delete), (Command.UPDATE, on_update)):
                if action in "cnd":
                    found[relid].append((by, referring, by if action == "c" else Command.UPDATE))
        return found

    @cached_property
    def _user_types(self) -> dict[int, tuple[list[int], list[int], list[Node]]]:
        """The types that a type consists of, its functions, and its CHECK constraints."""
        return {
            oid: (parts, functions, [tree for check in checks for tree in queries(check)])
            for oid, parts, functions, checks in self._rows(_TYPES)
        }

    def _rows(self, statement: str, *parameters: Any) -> list[TupleRow]:
        return self._conn.execute(statement.encode(), parameters or None).fetchall()


def _types(node: Node) -> Iterator[int]:
    """The types of the user's whose values a node reads or makes."""
    for oid in [*map(node.integer, _TYPE_FIELDS), *(oid for name in _TYPE_LISTS for oid in node.integers(name))]:
        if oid >= FIRST_USER_OID:
            yield oid


def _relations(query: Node) -> list[int]:
    entries = query.nodes("rtable")
    return [entry.integer("relid") for entry in entries if entry.integer("rtekind") == Entry.RELATION]


def _writes(query: Node) -> Iterator[_Write]:
    """What a query itself writes, without its subqueries."""
    if target := query.integer("resultRelation"):
        relid = query.nodes("rtable")[target - 1].integer("relid")
        conflict = query.node("onConflict")
        actions = [action.integer("commandType") for action in query.nodes("mergeActionList")]
        commands = [*actions, query.integer("commandType")]
        if conflict is not None and conflict.integer("action") == OnConflict.UPDATE:
            commands.append(Command.UPDATE)
        yield from (_Write(relid, Command(command)) for command in commands if command in _TRIGGER_BITS)

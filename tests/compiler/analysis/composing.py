"""Queries composed by hypothesis, over the tables of schema.sql and those below."""

from __future__ import annotations

from hypothesis import strategies as st

KINDS = ("int", "text", "bool")
Columns = dict[str, list[str]]
"""The columns at hand, by kind."""
Composed = tuple[str, Columns]
"""A query, and the columns that it gives: `c_int`, `c_text` and `c_bool`, if it is to stand in FROM."""

# A view with rules, which return something else than what is asked for.
SCHEMA = """
CREATE TABLE ruled (id int4 NOT NULL, name text NOT NULL, nick text);
INSERT INTO ruled VALUES (1, 'one', NULL), (2, 'two', 'bob');
CREATE VIEW ruled_view AS SELECT id, name, nick FROM ruled;
CREATE VIEW above_rules AS SELECT id, name, nick FROM ruled_view WHERE nick IS NOT NULL;
CREATE RULE i AS ON INSERT TO ruled_view DO INSTEAD
    INSERT INTO ruled VALUES (NEW.id, NEW.name) RETURNING id, nick, name;
CREATE RULE u AS ON UPDATE TO ruled_view DO INSTEAD
    UPDATE ruled SET nick = NULL WHERE id = OLD.id RETURNING id, nick, name;
CREATE RULE d AS ON DELETE TO ruled_view DO INSTEAD DELETE FROM ruled WHERE id = OLD.id RETURNING id, nick, name;
CREATE TABLE doubled (id int4 PRIMARY KEY, n int4 NOT NULL, twice int4 GENERATED ALWAYS AS (n * 2) STORED);
CREATE TABLE doubled_child () INHERITS (doubled);
INSERT INTO doubled_child (id, n) VALUES (1, 1);
"""
TABLES: dict[str, Columns] = {
    "author": {"int": ["id"], "text": ["name", "nick"], "bool": []},
    "book": {
        "int": ["id", "author_id", "editor_id", "pages", "stock"],
        "text": ["title", "subtitle"],
        "bool": ["in_print", "loaned"],
    },
    "review": {"int": ["book_id", "author_id", "stars"], "text": ["body"], "bool": []},
    "publisher": {"int": ["id"], "text": ["name"], "bool": []},
    "nicked_author": {"int": ["id"], "text": ["name", "nick"], "bool": []},
    "book_author": {"int": ["id", "author_id"], "text": ["title", "author_name", "author_nick"], "bool": []},
}
# What can be written, and what else can be read of it.
TARGETS: dict[str, tuple[Columns, Columns]] = {
    "setting": ({"int": ["hits"], "text": ["value", "note"]}, {"text": ["key"]}),
    "author": ({"text": ["name", "nick"]}, {"int": ["id"]}),
    "book": ({"int": ["author_id", "pages", "stock"], "text": ["subtitle"], "bool": ["loaned"]}, {"int": ["id"]}),
    "vehicle": ({"int": ["wheels"], "text": ["name"]}, {"int": ["id"]}),
    "craft": ({"text": ["name"]}, {"int": ["id"]}),
    "guarded": ({"text": ["note", "title"]}, {"int": ["id"]}),
    "item": ({"int": ["width", "height"]}, {"int": ["doubled", "area"]}),
    "author_view": ({"text": ["name", "nick"]}, {"int": ["id"]}),
    "nicked_author": ({"text": ["name", "nick"]}, {"int": ["id"]}),
    "ruled_view": ({"int": ["id"], "text": ["name", "nick"]}, {}),
    "above_rules": ({"text": ["name", "nick"]}, {"int": ["id"]}),
    "doubled": ({"int": ["n"]}, {"int": ["id", "twice"]}),
}
# Those that can be inserted into, and the key for ON CONFLICT.
KEYS = {"setting": "key", "guarded": "id", "doubled": "id", "vehicle": "", "craft": "", "item": "", "ruled_view": ""}
LITERALS = {
    "int": ["0", "1", "2", "NULL::int4"],
    "text": ["''", "'a'", "'bob'", "NULL::text"],
    "bool": ["true", "false"],
}
FORMS = {
    "int": ["{int} + {int}", "coalesce({int}, {int})", "nullif({int}, {int})", "greatest({int}, {int})",
            "CASE WHEN {bool} THEN {int} ELSE {int} END", "CASE WHEN {bool} THEN {int} END", "length({text})",
            "abs({int})", "CASE {int} WHEN {int} THEN {int} ELSE 0 END", "(ARRAY[{int}, {int}])[1]",
            "cardinality(ARRAY[[{int}], [{int}]])", "(ROW({int}, {text})).f1", "(SELECT {int})",
            "(SELECT max(u) FROM unnest(ARRAY[[{int}, 1], [{int}, 2]]) AS u)"],
    "text": ["{text} || {text}", "lower({text})", "coalesce({text}, {text})", "nullif({text}, {text})",
             "concat({text}, {text})", "substring({text} FROM 'a.')", "left({text}, {int})", "(SELECT {text})",
             "CASE WHEN {bool} THEN {text} ELSE {text} END", "split_part({text}, 'b', 1)", "({int})::text",
             "array_to_string(ARRAY[{text}, {text}], ',')", "least({text}, {text})"],
    "bool": ["{int} = {int}", "{int} < {int}", "{text} <> {text}", "{text} LIKE {text}", "{text} IS NOT NULL",
             "{int} IS NULL", "NOT ({bool})", "({bool} AND {bool})", "({bool} OR {bool})", "{int} IN (1, {int})",
             "{int} NOT IN (1, {int})", "({bool}) IS TRUE", "({bool}) IS NOT TRUE", "({bool}) IS NOT UNKNOWN",
             "{int} IS DISTINCT FROM {int}", "{int} IS NOT DISTINCT FROM {int}", "{text} IS NOT DISTINCT FROM {text}",
             "({int}, {text}) IS NOT DISTINCT FROM ({int}, {text})", "({int}, {text}) IS DISTINCT FROM ({int}, 'a')",
             "{int} = ANY (ARRAY[{int}, 1])", "{int} <> ALL (ARRAY[{int}])", "({int}, {int}) < ({int}, {int})",
             "{int} = ANY (ARRAY[ARRAY[{int}], ARRAY[{int}]])", "{int} <> ALL (ARRAY[ARRAY[{int}, 1]])",
             "{int} <> ALL (CASE WHEN {bool} THEN ARRAY[{int}] ELSE ARRAY[]::int4[] END)",
             "coalesce({bool}, false)", "({bool}) = ({bool})", "({bool}) IS NOT DISTINCT FROM ({bool})",
             "ROW({int}, {text}) IS NOT NULL", "{int} BETWEEN 0 AND {int}"],
}  # fmt: skip
# Subqueries: `{from}` is a table under an alias, whose columns are at hand in the others, as those around it are.
SUBQUERIES = {
    "int": [
        "(SELECT count(*)::int4 FROM {from} WHERE {bool})", "(SELECT max({int}) FROM {from} WHERE {bool})",
        "(SELECT {int} FROM {from} WHERE {bool} LIMIT 1)", "(SELECT {int} + {out} FROM {from} WHERE {bool} LIMIT 1)",
        "(SELECT coalesce(max({int}), {out}) FROM {from} WHERE {bool})",
    ],
    "text": [
        "(SELECT min({text}) FROM {from} WHERE {bool})", "(SELECT {text} FROM {from} WHERE {bool} LIMIT 1)",
        "(SELECT string_agg({text}, ',') FROM {from} WHERE {bool})",
        "array_to_string(ARRAY(SELECT {text} FROM {from} WHERE {bool}), ',')",
    ],
    "bool": [
        "EXISTS (SELECT FROM {from} WHERE {bool})", "NOT EXISTS (SELECT FROM {from} WHERE {bool})",
        "EXISTS (SELECT count(*) FROM {from} WHERE {bool})", "{out} <> ALL (SELECT {int} FROM {from})",
        "{out} IN (SELECT {int} FROM {from} WHERE {bool})",
        "EXISTS (SELECT FROM {from} LEFT JOIN book AS j ON j.id = {int} WHERE {bool})",
        "EXISTS (SELECT FROM {from} LEFT JOIN book AS j ON {bool} WHERE j.stock IS NOT DISTINCT FROM {out})",
    ],
}  # fmt: skip


def both(one: Columns, other: Columns) -> Columns:
    return {kind: one.get(kind, []) + other.get(kind, []) for kind in KINDS}


def prefixed(alias: str, columns: Columns) -> Columns:
    return {kind: [f"{alias}.{name}" for name in columns.get(kind, [])] for kind in KINDS}


def named() -> Columns:
    return {kind: [f"c_{kind}"] for kind in KINDS}


@st.composite
def expression(draw: st.DrawFn, kind: str, columns: Columns, depth: int) -> str:
    """An expression of a kind over the columns at hand."""
    if depth <= 0:
        return draw(st.sampled_from([*columns[kind] * 12, *LITERALS[kind]]))
    if draw(st.integers(0, 5)) == 0:
        return draw(subquery(kind, columns, depth))
    text = draw(st.sampled_from([*FORMS[kind], f"{{{kind}}}"]))
    for each in KINDS:
        while (hole := f"{{{each}}}") in text:
            text = text.replace(hole, draw(expression(each, columns, depth - 1)), 1)
    return text


@st.composite
def subquery(draw: st.DrawFn, kind: str, columns: Columns, depth: int) -> str:
    """A subquery of an expression, which refers to the columns around it as well."""
    text, table, alias = draw(st.sampled_from(SUBQUERIES[kind])), draw(st.sampled_from(sorted(TABLES))), f"s{depth}"
    inside = both(columns, prefixed(alias, TABLES[table]))
    text = text.replace("{from}", f"{table} AS {alias}").replace("{out}", draw(expression("int", columns, 0)))
    for each in KINDS:
        while (hole := f"{{{each}}}") in text:
            text = text.replace(hole, draw(expression(each, inside, depth - 1)), 1)
    return text


@st.composite
def results(draw: st.DrawFn, columns: Columns) -> str:
    """Three expressions, one of each kind; the columns themselves more often than anything else."""
    depth = st.sampled_from([0, 0, 1, 2])
    return ", ".join(f"{draw(expression(kind, columns, draw(depth)))} AS c_{kind}" for kind in KINDS)


@st.composite
def condition(draw: st.DrawFn, columns: Columns, word: str = " WHERE ") -> str:
    """A WHERE, or none."""
    return f"{word}{draw(expression('bool', columns, 2))}" if draw(st.integers(0, 3)) else ""


@st.composite
def source(draw: st.DrawFn, depth: int, outer: Columns | None = None) -> Composed:
    """Something for FROM, and the columns that it has."""
    text, columns = draw(relation("a", depth))
    for alias in draw(st.sampled_from([[], ["b"], ["b", "c"]])):
        join = draw(st.sampled_from(["JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN"]))
        lateral = join in ("JOIN", "LEFT JOIN", "CROSS JOIN") and draw(st.integers(0, 2)) == 0
        other, more = draw(beside(alias, both(columns, outer or {})) if lateral else relation(alias, depth))
        equal = f"{draw(expression('int', columns, 0))} = {draw(expression('int', more, 0))}"
        columns = both(columns, more)
        # The planner knows how to do a full join on an equality only.
        conditions = [equal] if join == "FULL JOIN" else [equal, "true", draw(expression("bool", columns, 1))]
        on = "" if join == "CROSS JOIN" else f" ON {draw(st.sampled_from(conditions))}"
        text = f"{text} {join} {other}{on}"
    return text, columns


@st.composite
def relation(draw: st.DrawFn, alias: str, depth: int) -> Composed:
    """A table, or a subquery, under an alias."""
    if depth > 0 and draw(st.integers(0, 2)) == 0:
        kinds = [plain(depth - 1), grouped(depth - 1), windowed(depth - 1), combined(depth - 1)]
        text, columns = draw(st.one_of(kinds))
        return f"({text}) AS {alias}", prefixed(alias, columns)
    table = draw(st.sampled_from(sorted(TABLES)))
    return f"{table} AS {alias}", prefixed(alias, TABLES[table])


@st.composite
def beside(draw: st.DrawFn, alias: str, outer: Columns) -> Composed:
    """Something LATERAL: it refers to what stands before it in FROM."""
    if draw(st.integers(0, 2)) == 0:
        one, other = draw(expression("int", outer, 1)), draw(expression("int", outer, 0))
        array = draw(st.sampled_from([f"[{one}, {other}]", f"[[{one}, 1], [{other}, 2]]"]))
        return f"LATERAL unnest(ARRAY{array}) AS {alias} (n)", {"int": [f"{alias}.n"], "text": [], "bool": []}
    text, columns = draw(st.one_of(plain(0, outer), windowed(0, outer), grouped(0, outer)))
    return f"LATERAL ({text}) AS {alias}", prefixed(alias, columns)


@st.composite
def plain(draw: st.DrawFn, depth: int, outer: Columns | None = None) -> Composed:
    """A SELECT of three columns, one of each kind. `outer` are the columns of the query around it."""
    text, columns = draw(inner_source(depth, outer))
    exprs = draw(results(columns))
    distinct = draw(st.sampled_from(["", "", "DISTINCT "]))
    return f"SELECT {distinct}{exprs} FROM {text}{draw(condition(columns))}", named()


@st.composite
def inner_source(draw: st.DrawFn, depth: int, outer: Columns | None) -> Composed:
    """FROM of a query, and the columns at hand in it. Its aliases differ from those of the query around it."""
    if outer is None:
        return draw(source(depth))
    table = draw(st.sampled_from(sorted(TABLES)))
    return f"{table} AS i", both(prefixed("i", TABLES[table]), outer)


@st.composite
def grouped(draw: st.DrawFn, depth: int, outer: Columns | None = None) -> Composed:
    """Aggregates over groups, or over all rows."""
    text, columns = draw(inner_source(depth, outer))
    keys = [draw(expression("int", columns, 1)), draw(expression("text", columns, 1))]
    keys = [f"coalesce({key}, NULL)" if key in LITERALS["int"] + LITERALS["text"] else key for key in keys]
    by = draw(st.sampled_from([
        "", "{0}, {1}", "ROLLUP ({0}, {1})", "{0}, ROLLUP ({1})", "CUBE ({0}, {1})",
        "GROUPING SETS (({0}), ({1}), ({0}, {1}))", "GROUPING SETS (({0}, {1}), ())",
    ]))  # fmt: skip
    number, word = draw(expression("int", columns, 1)), draw(expression("text", columns, 1))
    filtered = draw(condition(columns, " FILTER (WHERE "))
    filtered = f"{filtered})" if filtered else ""
    wanted = {
        "int": [f"sum({number}){filtered}", f"count({number})", f"coalesce(max({number}), 0)", f"max({number})",
                f"(array_agg({number}))[1]"],
        "text": [f"max({word}){filtered}", f"string_agg({word}, ',')", f"array_to_string(array_agg({word}), ',')"],
        "bool": [f"bool_and({number} > 0)", f"count(*){filtered} > 0", f"every({word} <> 'a')"],
    }  # fmt: skip
    if by:
        wanted["int"] += [keys[0], f"(SELECT {keys[0]})", f"abs({keys[0]})"]
        wanted["text"] += [keys[1], f"lower({keys[1]})", f"coalesce({keys[1]}, '-')"]
        wanted["bool"] += [f"{keys[0]} > 0", f"{keys[1]} IS NULL", f"{keys[0]} = count(*)"]
    exprs = [f"{draw(st.sampled_from(wanted[kind]))}{'::int4' * (kind == 'int')} AS c_{kind}" for kind in KINDS]
    there = [f" HAVING {each} IS NOT NULL" for each in wanted["int"] + wanted["text"]]
    having = draw(st.sampled_from(["", "", *there]))
    group = f" GROUP BY {by.format(*keys)}" if by else ""
    return f"SELECT {', '.join(exprs)} FROM {text}{draw(condition(columns))}{group}{having}", named()


@st.composite
def windowed(draw: st.DrawFn, depth: int, outer: Columns | None = None) -> Composed:
    """Window functions beside other columns."""
    text, columns = draw(inner_source(depth, outer))
    value, word = draw(expression("int", columns, 1)), draw(expression("text", columns, 1))
    frame = draw(st.sampled_from([
        "", " ROWS BETWEEN 1 PRECEDING AND 1 PRECEDING", " ROWS BETWEEN 1 PRECEDING AND CURRENT ROW",
        " ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING EXCLUDE CURRENT ROW",
        " RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING", " GROUPS BETWEEN CURRENT ROW AND 1 FOLLOWING",
    ]))  # fmt: skip
    over, ordered = f"OVER (PARTITION BY {word} ORDER BY {value}{frame})", f"OVER (ORDER BY {word})"
    wanted = {
        "int": [f"row_number() {ordered}", f"lag({value}) {ordered}", f"lag({value}, 1, 0) {ordered}", value,
                f"sum({value}) {over}", f"count({value}) {over}", f"last_value({value}) {over}",
                f"first_value({value}) OVER ()", f"max({value}) OVER (PARTITION BY {value})"],
        "text": [f"first_value({word}) {over}", f"lead({word}, 1, 'z') {ordered}", f"max({word}) {over}", word,
                 f"nth_value({word}, 1) OVER ()"],
        "bool": [f"bool_or({value} > 0) {over}", f"first_value({word} IS NULL) {over}", f"{value} > 0"],
    }  # fmt: skip
    exprs = [f"({draw(st.sampled_from(wanted[kind]))}){'::int4' * (kind == 'int')} AS c_{kind}" for kind in KINDS]
    return f"SELECT {', '.join(exprs)} FROM {text}{draw(condition(columns))}", named()


@st.composite
def combined(draw: st.DrawFn, depth: int) -> Composed:
    """Two SELECTs in one, or one in WITH, maybe recursive."""
    left, names = draw(plain(depth))
    right, _ = draw(plain(depth))
    form = draw(st.integers(0, 3))
    if form < 2:
        operator = draw(st.sampled_from(["UNION", "UNION ALL", "INTERSECT", "EXCEPT"]))
        return f"{left} {operator} {right}", names
    columns = prefixed("w", names)
    exprs = draw(results(columns))
    if form == 2:
        kept = draw(st.sampled_from(["", "MATERIALIZED "]))
        return f"WITH w AS {kept}({left}) SELECT {exprs} FROM w{draw(condition(columns))}", names
    step = f"SELECT {exprs} FROM w WHERE {draw(expression('bool', columns, 1))}"
    return f"WITH RECURSIVE w AS (({left} LIMIT 3) UNION {step}) SELECT * FROM w LIMIT 20", names


@st.composite
def adapting(draw: st.DrawFn) -> str:
    """A query with optional lines: conditions, joins, columns, groups, by the flags `f` and `g` and parameter `p`."""
    text, columns = draw(source(0))
    rule = st.sampled_from(["if: f", "unless: f", "if: g", "unless: f, g", "if: p", "unless: p", "if: f, p"])

    def expressions() -> list[str]:
        depth = st.sampled_from([0, 0, 1])
        return [f"{draw(expression(kind, columns, draw(depth)))} AS c_{kind}" for kind in KINDS]

    chosen = draw(st.sampled_from(["f", "p", "g, p"]))
    lines = ["SELECT", f"{', '.join(expressions())} -- if: {chosen}", f"{', '.join(expressions())} -- unless: {chosen}"]
    lines += [f"FROM {text}"]
    if draw(st.booleans()):
        table = draw(st.sampled_from(sorted(TABLES)))
        join = draw(st.sampled_from(["JOIN", "LEFT JOIN", "RIGHT JOIN"]))
        on = draw(expression("bool", both(columns, prefixed("o", TABLES[table])), 1))
        lines += [f"{join} {table} AS o ON {on} -- {draw(rule)}"]
    lines += ["WHERE true"]
    for _ in range(draw(st.integers(1, 3))):
        number, word = draw(expression("int", columns, 0)), draw(expression("text", columns, 0))
        wanted = [draw(expression("bool", columns, 1)), f"{number} IS NOT NULL", f"{word} IS NOT NULL"]
        lines += [f"AND {draw(st.sampled_from(wanted))} -- {draw(rule)}"]
    compared = draw(st.sampled_from(["=", ">", "IS NOT DISTINCT FROM", "IS DISTINCT FROM"]))
    lines += [f"AND {draw(expression('int', columns, 0))} {compared} :p::int4 -- {draw(rule)}"]
    lines += [f"AND true -- if: {name}" for name in "fg"]
    return "\n".join(["-- name: adapting(f, g, p)", *lines])


# --- statements that write ---


@st.composite
def assignments(draw: st.DrawFn, columns: Columns, at_hand: Columns) -> str:
    """SET of some columns."""
    every = [(kind, name) for kind in columns for name in columns[kind]]
    chosen = draw(st.lists(st.sampled_from(every), min_size=1, max_size=3, unique=True))
    return ", ".join(f"{name} = {draw(expression(kind, at_hand, 1))}" for kind, name in chosen)


@st.composite
def update(draw: st.DrawFn) -> Composed:
    """UPDATE or DELETE, maybe of a join."""
    table = draw(st.sampled_from(sorted(TARGETS)))
    writable, readable = TARGETS[table]
    target = both(writable, readable)
    own = columns = prefixed("z", target)
    using = ""
    if draw(st.booleans()):
        using, more = draw(source(0))
        columns = both(own, more)
    where, given = draw(condition(columns)), columns
    # Both rows, from 18 on. If there is no old one, or a rule replaces it, 18.4 crashes in subqueries that refer to it.
    if "rule" not in table and draw(st.integers(0, 3)) == 0:
        given = both(columns, both(prefixed("old", target), prefixed("new", target)))
    give = draw(results(given))
    if draw(st.integers(0, 3)) == 0:
        return f"DELETE FROM {table} AS z{f' USING {using}' if using else ''}{where} RETURNING {give}", named()
    values = draw(assignments(writable, columns))
    return f"UPDATE {table} AS z SET {values}{f' FROM {using}' if using else ''}{where} RETURNING {give}", named()


@st.composite
def insert(draw: st.DrawFn) -> Composed:
    """INSERT of a row or of a query, maybe with ON CONFLICT DO UPDATE."""
    table = draw(st.sampled_from(sorted(KEYS)))
    names, writable, target = _inserted(table)
    if draw(st.booleans()):
        values = f"VALUES ({', '.join(draw(expression(kind, both({}, {}), 1)) for kind, _ in names)})"
    else:
        text, columns = draw(source(0))
        exprs = ", ".join(draw(expression(kind, columns, 1)) for kind, _ in names)
        values = f"SELECT {exprs} FROM {text}{draw(condition(columns))} LIMIT 2"
    own = prefixed("z", target)
    conflict = ""
    if KEYS[table] and draw(st.booleans()):
        at_hand = both(own, prefixed("excluded", target))
        where = draw(condition(at_hand))
        conflict = f" ON CONFLICT ({KEYS[table]}) DO UPDATE SET {draw(assignments(writable, at_hand))}{where}"
    listed = ", ".join(name for _, name in names)
    return f"INSERT INTO {table} AS z ({listed}) {values}{conflict} RETURNING {draw(results(own))}", named()


@st.composite
def merge(draw: st.DrawFn) -> Composed:
    """MERGE ... RETURNING (17 and later)."""
    table = draw(st.sampled_from(["setting", "guarded", "doubled", "vehicle", "author_view", "nicked_author"]))
    names, writable, target = _inserted(table)
    own = prefixed("z", target)
    text, more = draw(relation("a", 0))
    columns = both(own, more)
    matched = [f"UPDATE SET {draw(assignments(writable, columns))}", "DELETE", "DO NOTHING"]
    unmatched = [f"UPDATE SET {draw(assignments(writable, own))}", "DELETE"]
    exprs = ", ".join(draw(expression(kind, more, 1)) for kind, _ in names)
    inserting = f"INSERT ({', '.join(name for _, name in names)}) VALUES ({exprs})"
    clauses = [
        f"WHEN MATCHED{draw(condition(columns, ' AND '))} THEN {draw(st.sampled_from(matched))}",
        f"WHEN NOT MATCHED{draw(condition(more, ' AND '))} THEN {inserting}",
        f"WHEN NOT MATCHED BY SOURCE{draw(condition(own, ' AND '))} THEN {draw(st.sampled_from(unmatched))}",
    ]
    chosen = draw(st.lists(st.sampled_from(clauses), min_size=1, max_size=3, unique=True))
    on = draw(st.sampled_from(["false", draw(expression("bool", columns, 1))]))
    give = draw(results(columns))
    return f"MERGE INTO {table} AS z USING {text} ON {on} {' '.join(chosen)} RETURNING {give}", named()


@st.composite
def through_with(draw: st.DrawFn) -> Composed:
    """What a statement in WITH returns, read by the query around it."""
    text, names = draw(st.one_of(update(), insert(), merge()))
    columns = prefixed("w", names)
    exprs = draw(results(columns))
    return f"WITH w AS ({text}) SELECT {exprs} FROM w{draw(condition(columns))}", names


def _inserted(table: str) -> tuple[list[tuple[str, str]], Columns, Columns]:
    """What an INSERT gives of a table, what can be written of it, and all of its columns."""
    writable, readable = TARGETS[table]
    given = {kind: [name for name in readable.get(kind, []) if name in ("id", "key")] for kind in KINDS}
    names = [(kind, name) for kind, names in both(writable, given).items() for name in names]
    return names, writable, both(writable, readable)


def queries() -> st.SearchStrategy[Composed]:
    return st.one_of(plain(1), plain(2), grouped(1), windowed(1), windowed(2), combined(1))


def statements() -> st.SearchStrategy[Composed]:
    return st.one_of(update(), insert(), merge(), through_with())

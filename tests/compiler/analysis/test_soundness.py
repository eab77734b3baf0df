"""What can be NULL is not called otherwise: queries that were once, or that are close to one that was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import psycopg
import pytest

from rowsmith.compiler.analysis.description import Describer
from rowsmith.compiler.analysis.nested import Row
from tests.compiler.analysis.probes import Connection, query_of, run
from tests.harness.databases import new_database

T_AND_U = """
CREATE TABLE t (id int PRIMARY KEY, a int, x text, y int);
CREATE TABLE u (k int, nn int NOT NULL);
INSERT INTO t VALUES (1, NULL, NULL, NULL), (2, 2, 'b', 2);
INSERT INTO u VALUES (2, 2), (NULL, 5);
"""
DOCUMENTS = """
CREATE TABLE documents (j jsonb NOT NULL, n jsonb);
INSERT INTO documents VALUES ('[{"a": 1, "z": []}, {"a": null}, {}, [[1]], 2]', NULL), ('3', '{}');
"""
ADDRESS = "CREATE TYPE address AS (street text, zip int); CREATE TYPE one AS (a text)"
ANSWERS_NULL = """
CREATE TYPE ee AS ENUM ('a', 'b');
CREATE FUNCTION same(ee, ee) RETURNS bool LANGUAGE sql IMMUTABLE STRICT AS 'SELECT NULL::bool';
CREATE OPERATOR = (LEFTARG = ee, RIGHTARG = ee, FUNCTION = same);
CREATE TABLE t (a ee NOT NULL, b ee NOT NULL);
INSERT INTO t VALUES ('a', 'b');
"""


class Case(NamedTuple):
    """A query over a schema, what is true of its columns, and from which version of the server on."""

    schema: str
    sql: str
    columns: str
    since: int = 15
    values: tuple[str | None, ...] = ()


CASES = {
    # An upsert may read the row that is there.
    "an upsert that reads the old row": Case(
        "CREATE TABLE hits (page text PRIMARY KEY, n int); INSERT INTO hits VALUES ('a', NULL)",
        "INSERT INTO hits VALUES ($1, 1) ON CONFLICT (page) DO UPDATE SET n = hits.n + 1 RETURNING n",
        "n?",
        values=("a",),
    ),
    "an upsert of a column that is known not to be NULL": Case(
        "CREATE TABLE hits (page text PRIMARY KEY, n int); INSERT INTO hits VALUES ('a', 1)",
        "INSERT INTO hits VALUES ($1, 1) ON CONFLICT (page) DO UPDATE SET n = hits.n + 1 WHERE hits.n > 0 RETURNING n",
        "n!",
        values=("a",),
    ),
    # Whole rows of an upsert.
    "an upsert of the whole row": Case(
        "CREATE TABLE t (id int PRIMARY KEY, j jsonb); INSERT INTO t VALUES (1, '{}')",
        "INSERT INTO t (id, j) VALUES ($1, '{}') ON CONFLICT (id) DO UPDATE SET j = to_jsonb(excluded) RETURNING j",
        "j!",
        values=("1",),
    ),
    # Whole rows and system columns in a view.
    "an insert into a view of whole rows": Case(
        "CREATE TABLE t (id int, x int); CREATE VIEW v AS SELECT id, t AS whole FROM t",
        "INSERT INTO v (id) VALUES ($1) RETURNING id, whole",
        "id? whole!",
        values=(None,),
    ),
    "an insert into a view of a view of whole rows": Case(
        "CREATE TABLE t (id int, x int); CREATE VIEW v AS SELECT id, t AS whole, x + 1 AS more FROM t;"
        "CREATE VIEW w AS SELECT id AS one, whole AS two, more FROM v",
        "INSERT INTO w (one) VALUES ($1) RETURNING w AS it, w.*",
        "it! one? two! more?",
        values=(None,),
    ),
    "an insert into a view of system columns": Case(
        "CREATE TABLE t (id int, x int); CREATE VIEW v AS SELECT id, ctid, tableoid FROM t",
        "INSERT INTO v (id) VALUES ($1) RETURNING *",
        "id? ctid! tableoid!",
        values=(None,),
    ),
    # IS NOT DISTINCT FROM says nothing where the other side can be NULL.
    "not distinct from a column of an outer join": Case(
        T_AND_U, "SELECT t.a FROM t LEFT JOIN u ON u.k = t.id + 5 WHERE t.a IS NOT DISTINCT FROM u.nn", "a?"
    ),
    "not distinct from a column inside EXISTS": Case(
        T_AND_U, "SELECT a FROM t WHERE EXISTS (SELECT FROM u WHERE t.a IS NOT DISTINCT FROM u.k)", "a?"
    ),
    "not distinct from a column that cannot be NULL": Case(
        T_AND_U, "SELECT a FROM t WHERE EXISTS (SELECT FROM u WHERE t.a IS NOT DISTINCT FROM u.nn)", "a!"
    ),
    "not distinct from each other's column": Case(
        T_AND_U,
        "SELECT t.a, u.k FROM t LEFT JOIN u ON u.k = t.id + 5 WHERE t.a IS NOT DISTINCT FROM u.k",
        "a? k?",
    ),
    "not distinct in the condition of the join itself": Case(
        T_AND_U, "SELECT t.a, u.k FROM t LEFT JOIN u ON t.a IS NOT DISTINCT FROM u.k WHERE t.id = 1", "a? k?"
    ),
    "not distinct under NOT": Case(
        T_AND_U, "SELECT t.a FROM t LEFT JOIN u ON u.k = t.id + 5 WHERE NOT (u.nn IS DISTINCT FROM t.a)", "a?"
    ),
    "not distinct in a CASE": Case(
        T_AND_U,
        "SELECT CASE WHEN t.a IS NOT DISTINCT FROM u.nn THEN t.a ELSE 0 END AS c FROM t LEFT JOIN u ON u.k = t.id + 5",
        "c?",
    ),
    # The time of infinity.
    "time of infinity": Case(
        "CREATE TABLE t (ts timestamptz NOT NULL); INSERT INTO t VALUES ('infinity')",
        "SELECT ts::time AS a, ts::timetz AS b, ts::timestamp::time AS c, ts::date AS d, ts::timestamp AS e FROM t",
        "a? b? c? d! e!",
    ),
    # Elements that are arrays.
    "unnest of arrays in an array": Case("", "SELECT u FROM unnest(ARRAY[[1, NULL], [3, 4]]) AS u", "u?"),
    "unnest of arrays in an array, all there": Case("", "SELECT u FROM unnest(ARRAY[[1, 2], [3, 4]]) AS u", "u!"),
    "unnest of array columns": Case(
        "CREATE TABLE t (arr int[] NOT NULL); INSERT INTO t VALUES ('{1,NULL}')",
        "SELECT u FROM t, unnest(ARRAY[arr, arr]) AS u",
        "u?",
    ),
    "any of array columns": Case(
        "CREATE TABLE t (b int NOT NULL, arr int[] NOT NULL); INSERT INTO t VALUES (3, '{1,NULL}')",
        "SELECT b = ANY (ARRAY[arr, arr]) AS c, b = ANY (ARRAY[[1, 2], [3, 4]]) AS d FROM t",
        "c? d!",
    ),
    "all of an array of array parameters": Case(
        T_AND_U, "SELECT a FROM t WHERE a <> ALL (ARRAY[$1::int[]])", "a?", values=("{}",)
    ),
    "all of an array of empty arrays": Case(
        T_AND_U, "SELECT a FROM t WHERE a <> ALL (ARRAY[ARRAY[]::int[]])", "a?"
    ),
    "unnest of rows, whose fields are the columns": Case(
        ADDRESS, "SELECT s.street, s.zip FROM unnest(ARRAY[ROW(NULL, NULL)::address]) AS s", "street? zip?"
    ),
    "an expression in FROM that is a row of one field": Case(
        ADDRESS,
        "SELECT r.a, s.a AS b FROM coalesce(ROW(NULL)::one) AS r, CAST(ROW(NULL) AS one) AS s",
        "a? b?",
    ),
    # Grouping sets.
    "a sub-select of a column that is rolled up": Case(
        T_AND_U, "SELECT (SELECT t.y) AS y FROM t WHERE y IS NOT NULL GROUP BY ROLLUP (y)", "y?"
    ),
    "a sub-select of a NOT NULL column that is rolled up": Case(
        T_AND_U, "SELECT (SELECT t.id) AS id, (SELECT t.id + 1) AS more FROM t GROUP BY ROLLUP (id)", "id? more?"
    ),
    "an expression of a column that is rolled up": Case(
        T_AND_U, "SELECT lower(x) AS l FROM t WHERE lower(x) IS NOT NULL GROUP BY ROLLUP (x)", "l?"
    ),
    "a sub-select two levels down": Case(
        T_AND_U, "SELECT (SELECT (SELECT t.y + s.n) FROM (SELECT 1 AS n) AS s) AS y FROM t WHERE y > 0 "
        "GROUP BY GROUPING SETS ((y), ())", "y?"
    ),
    "an aggregate of a column that is rolled up": Case(
        T_AND_U, "SELECT y, max(y) AS m FROM t WHERE y > 0 GROUP BY GROUPING SETS ((y), (id))", "y? m!"
    ),
    "HAVING of a column that is rolled up": Case(
        T_AND_U, "SELECT y FROM t GROUP BY ROLLUP (y) HAVING y IS NOT NULL", "y!"
    ),
    "an aggregate in a sub-select, of a column that is rolled up": Case(
        T_AND_U,
        "SELECT (SELECT max(t.y)) AS m, (SELECT t.y) AS y FROM t WHERE y > 0 GROUP BY GROUPING SETS ((y), (id))",
        "m! y?",
    ),
    "a key that is computed from another key": Case(
        T_AND_U,
        "SELECT lower(x) AS l, x FROM t GROUP BY GROUPING SETS ((lower(x)), (x)) HAVING upper(lower(x)) IS NOT NULL",
        "l! x?",
    ),
    "a key that is computed from another key, in CASE": Case(
        T_AND_U,
        "SELECT CASE WHEN y + id > 0 THEN y ELSE 0 END AS c FROM t GROUP BY GROUPING SETS ((y + id), (y))",
        "c?",
    ),
    "a key that is computed from another key, of a subquery": Case(
        T_AND_U,
        "SELECT s.l, s.x FROM (SELECT lower(x) AS l, x FROM t GROUP BY GROUPING SETS ((lower(x)), (x))) AS s "
        "WHERE s.l IS NOT NULL",
        "l! x?",
    ),
    # The server tests a constant, and leaves it out only then.
    "a key that is a constant": Case(
        T_AND_U,
        "SELECT greatest(2, 0) AS g, y FROM t GROUP BY CUBE (greatest(2, 0), y) HAVING greatest(2, 0) IS NOT NULL",
        "g? y?",
    ),
    # Without GROUP BY there is a row even if WHERE found none.
    "an aggregate of no rows beside a column of the query around it": Case(
        T_AND_U, "SELECT (SELECT coalesce(max(u.k), t.a) FROM u WHERE t.a > 0) AS c FROM t", "c?"
    ),
    "HAVING beside a column of the query around it": Case(
        T_AND_U, "SELECT l.c FROM t, LATERAL (SELECT t.a AS c FROM u WHERE t.a > 0 HAVING true) AS l", "c?"
    ),
    "a total beside a column of the query around it": Case(
        T_AND_U,
        "SELECT l.c FROM t, LATERAL (SELECT t.a AS c FROM u WHERE t.a > 0 GROUP BY ROLLUP (u.k)) AS l",
        "c?",
    ),
    "groups beside a column of the query around it": Case(
        T_AND_U, "SELECT l.c FROM t, LATERAL (SELECT t.a AS c FROM u WHERE t.a > 0 GROUP BY u.k) AS l", "c!"
    ),
    # A window looks at other rows, in whichever order the columns stand.
    "a window over a lateral sub-select": Case(
        T_AND_U,
        "SELECT s.l, s.w FROM (SELECT t.y, l.v AS l, first_value(l.v) OVER (ORDER BY t.id) AS w "
        "FROM t, LATERAL (SELECT t.y AS v) l) s WHERE s.y IS NOT NULL",
        "l! w?",
    ),
    "a window over a lateral sub-select, the other way round": Case(
        T_AND_U,
        "SELECT s.w, s.l FROM (SELECT t.y, first_value(l.v) OVER (ORDER BY t.id) AS w, l.v AS l "
        "FROM t, LATERAL (SELECT t.y AS v) l) s WHERE s.y IS NOT NULL",
        "w? l!",
    ),
    # MERGE writes what the view would not show.
    "merge into a view": Case(
        "CREATE TABLE t (id int, x text); CREATE VIEW v AS SELECT id, x FROM t WHERE x IS NOT NULL",
        "MERGE INTO v USING (VALUES (1)) AS s (id) ON s.id = v.id "
        "WHEN NOT MATCHED THEN INSERT (id, x) VALUES (s.id, NULL) RETURNING s.id, v.x",
        "id! x?",
        since=18,
    ),
    "merge updates through a view": Case(
        "CREATE TABLE t (id int, x text); CREATE VIEW v AS SELECT id, x FROM t WHERE x IS NOT NULL;"
        "INSERT INTO t VALUES (1, 'a')",
        "MERGE INTO v USING (VALUES (1)) AS s (id) ON s.id = v.id "
        "WHEN MATCHED THEN UPDATE SET x = NULL RETURNING v.x, old.x AS o, new.x AS n",
        "x? o! n?",
        since=18,
    ),
    "update through a view": Case(
        "CREATE TABLE t (id int, x text); CREATE VIEW v AS SELECT id, x FROM t WHERE x IS NOT NULL;"
        "INSERT INTO t VALUES (1, 'a')",
        "UPDATE v SET x = NULL RETURNING v.x",
        "x?",
    ),
    # A child computes its column its own way.
    "a generated column of a child": Case(
        "CREATE TABLE parent (a int NOT NULL, g int GENERATED ALWAYS AS (a + 1) STORED);"
        "CREATE TABLE child (g int GENERATED ALWAYS AS (nullif(a, a)) STORED) INHERITS (parent);"
        "INSERT INTO child (a) VALUES (1)",
        "SELECT g FROM parent",
        "g?",
        since=18,
    ),
    "a generated column of the parent only": Case(
        "CREATE TABLE parent (a int NOT NULL, g int GENERATED ALWAYS AS (a + 1) STORED);"
        "CREATE TABLE child () INHERITS (parent);"
        "INSERT INTO child (a) VALUES (1)",
        "SELECT g FROM parent",
        "g!",
    ),
    "update of a generated column of a child": Case(
        "CREATE TABLE parent (a int NOT NULL, g int GENERATED ALWAYS AS (a + 1) STORED);"
        "CREATE TABLE child (g int GENERATED ALWAYS AS (nullif(a, a)) STORED) INHERITS (parent);"
        "INSERT INTO child (a) VALUES (1)",
        "UPDATE parent SET a = 2 RETURNING a, g",
        "a! g?",
        since=18,
    ),
    "a generated column of a partition": Case(
        "CREATE TABLE parent (a int NOT NULL, g int GENERATED ALWAYS AS (a + 1) STORED) PARTITION BY LIST (a);"
        "CREATE TABLE part (a int NOT NULL, g int GENERATED ALWAYS AS (nullif(a, a)) STORED);"
        "ALTER TABLE parent ATTACH PARTITION part DEFAULT",
        "INSERT INTO parent (a) VALUES (1) RETURNING a, g",
        "a! g?",
        since=18,
    ),
    # A type of fixed length stays NULL when a part of it is set.
    "a part of a point": Case(
        "CREATE TABLE t (p point, i int[], j jsonb); INSERT INTO t VALUES (NULL, NULL, NULL)",
        "UPDATE t SET p[0] = 1, i[1] = 1, j['a'] = '1' RETURNING p, i, j",
        "p? i! j!",
    ),
    "a slice that is set to NULL": Case(
        "CREATE TABLE t (i int[]); INSERT INTO t VALUES (NULL)", "UPDATE t SET i[1:2] = NULL RETURNING i", "i!"
    ),
    "a field of a composite": Case(
        "CREATE TYPE pair AS (a int, b int); CREATE TABLE t (c pair); INSERT INTO t VALUES (NULL)",
        "UPDATE t SET c.a = NULL RETURNING c, (c).a AS a",
        "c! a?",
    ),
    # An operator that is not strict.
    "any by an operator that is not strict": Case(
        T_AND_U + "CREATE FUNCTION same(int, int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT true';"
        "CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = same)",
        "SELECT a FROM t WHERE a === ANY (ARRAY[1, NULL])",
        "a?",
    ),
    "an operator that is not strict": Case(
        T_AND_U + "CREATE FUNCTION same(int, int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT true';"
        "CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = same)",
        "SELECT a FROM t WHERE a === 1 AND a === ALL (ARRAY[1]) AND a === ANY (SELECT 1)",
        "a?",
    ),
    "an operator that answers NULL": Case(
        ANSWERS_NULL,
        "SELECT a IS DISTINCT FROM b AS d, a IS NOT DISTINCT FROM b AS n, a = b AS e, "
        "(a, 1) IS DISTINCT FROM (b, 1) AS r FROM t",
        "d? n? e? r?",
    ),
    "a condition that an operator answers with NULL": Case(
        ANSWERS_NULL, "SELECT (a IS DISTINCT FROM b) AS d FROM t WHERE (a IS DISTINCT FROM b) IS NOT FALSE", "d?"
    ),
    # What a rule returns.
    "a rule of a table": Case(
        "CREATE TABLE t (id int NOT NULL, nick text NOT NULL); CREATE TABLE other (id int, nick text);"
        "CREATE RULE r AS ON INSERT TO t DO INSTEAD INSERT INTO other VALUES (NULL, NULL) RETURNING id, nick",
        "INSERT INTO t VALUES (1, 'x') RETURNING id, nick",
        "id? nick?",
    ),
    "a rule of a view": Case(
        "CREATE TABLE t (id int NOT NULL, nick text NOT NULL); CREATE VIEW v AS SELECT id, nick FROM t;"
        "CREATE TABLE other (id int, nick text);"
        "CREATE RULE r AS ON INSERT TO v DO INSTEAD INSERT INTO other VALUES (NULL, NULL) RETURNING id, nick",
        "INSERT INTO v VALUES (1, 'x') RETURNING id, nick",
        "id? nick?",
    ),
    "a rule for UPDATE": Case(
        "CREATE TABLE t (id int NOT NULL, nick text NOT NULL); INSERT INTO t VALUES (1, 'x');"
        "CREATE TABLE other (id int, nick text);"
        "INSERT INTO other VALUES (NULL, NULL);"
        "CREATE RULE r AS ON UPDATE TO t DO INSTEAD UPDATE other SET id = NULL RETURNING id, nick",
        "UPDATE t SET id = 1 RETURNING id, nick",
        "id? nick?",
    ),
    "a rule for DELETE": Case(
        "CREATE TABLE t (id int NOT NULL, nick text NOT NULL); INSERT INTO t VALUES (1, 'x');"
        "CREATE TABLE other (id int, nick text);"
        "INSERT INTO other VALUES (NULL, NULL);"
        "CREATE RULE r AS ON DELETE TO t DO INSTEAD DELETE FROM other RETURNING id, nick",
        "DELETE FROM t RETURNING id, nick",
        "id? nick?",
    ),
    "a rule for DELETE of the table that a view shows": Case(
        "CREATE TABLE t (id int NOT NULL, nick text NOT NULL); INSERT INTO t VALUES (1, 'x');"
        "CREATE VIEW v AS SELECT id, nick FROM t; CREATE VIEW w AS SELECT id, nick FROM v;"
        "CREATE TABLE other (id int, nick text); INSERT INTO other VALUES (NULL, NULL);"
        "CREATE RULE r AS ON DELETE TO t DO INSTEAD DELETE FROM other RETURNING id, nick",
        "DELETE FROM w RETURNING id, nick",
        "id? nick?",
    ),
    "a rule for UPDATE of the table that a view shows": Case(
        "CREATE TABLE t (id int NOT NULL, nick text NOT NULL); INSERT INTO t VALUES (1, 'x');"
        "CREATE VIEW v AS SELECT id, nick FROM t;"
        "CREATE TABLE other (id int, nick text); INSERT INTO other VALUES (NULL, NULL);"
        "CREATE RULE r AS ON UPDATE TO t DO INSTEAD UPDATE other SET id = NULL RETURNING id, nick",
        "UPDATE v SET id = 2 RETURNING id, nick",
        "id? nick?",
    ),
    "a rule that makes another command of it": Case(
        "CREATE TABLE t (id int NOT NULL); INSERT INTO t VALUES (1); CREATE TABLE other (id int);"
        "CREATE RULE r AS ON UPDATE TO t DO INSTEAD INSERT INTO other VALUES (NULL) RETURNING id",
        "UPDATE t SET id = 2 RETURNING id",
        "",
    ),
    "a rule that does something as well": Case(
        "CREATE TABLE t (id int NOT NULL, nick text NOT NULL); CREATE TABLE other (id int, nick text);"
        "CREATE RULE r AS ON INSERT TO t DO ALSO INSERT INTO other VALUES (NULL, NULL)",
        "INSERT INTO t VALUES (1, 'x') RETURNING id, nick",
        "id! nick!",
    ),
    # Names that are not marks.
    "a cycle mark that can be NULL": Case(
        "CREATE TABLE n (id int NOT NULL, parent int); INSERT INTO n VALUES (1, 2), (2, 1)",
        "WITH RECURSIVE w AS (SELECT id, parent FROM n WHERE id = 1 UNION ALL "
        "SELECT n.id, n.parent FROM n JOIN w ON n.id = w.parent) CYCLE id SET c TO 'Y' DEFAULT NULL USING path "
        "SELECT id, c, path FROM w",
        "id! c? path!",
    ),
    "a cycle mark that cannot": Case(
        "CREATE TABLE n (id int NOT NULL, parent int); INSERT INTO n VALUES (1, 2), (2, 1)",
        "WITH RECURSIVE w AS (SELECT id, parent FROM n WHERE id = 1 UNION ALL "
        "SELECT n.id, n.parent FROM n JOIN w ON n.id = w.parent) "
        "SEARCH DEPTH FIRST BY id SET s CYCLE id SET c USING path SELECT id, s, c, path FROM w",
        "id! s! c! path!",
    ),
    "a cycle mark that is NULL after a search column": Case(
        "CREATE TABLE n (id int NOT NULL, parent int); INSERT INTO n VALUES (1, 2), (2, 1)",
        "WITH RECURSIVE w AS (SELECT id, parent FROM n WHERE id = 1 UNION ALL "
        "SELECT n.id, n.parent FROM n JOIN w ON n.id = w.parent) "
        "SEARCH BREADTH FIRST BY id SET s CYCLE id SET c TO 'Y' DEFAULT NULL USING path SELECT s, c, path FROM w",
        "s! c? path!",
    ),
    "a column whose name ends in a mark": Case(
        'CREATE TABLE t ("ok!" int); INSERT INTO t VALUES (NULL)', "SELECT * FROM t", "ok?"
    ),
    "a column whose name ends in a mark, through a sub-select": Case(
        'CREATE TABLE t ("ok!" int); INSERT INTO t VALUES (NULL)', "SELECT * FROM (SELECT * FROM t) AS s", "ok?"
    ),
    "a column whose name ends in a mark, in a UNION": Case(
        'CREATE TABLE t ("ok!" int); INSERT INTO t VALUES (NULL)', "SELECT * FROM t UNION SELECT * FROM t", "ok?"
    ),
    "a column whose name ends in a mark, of a view": Case(
        'CREATE TABLE t (ok int); CREATE VIEW v AS SELECT ok AS "ok!" FROM t; INSERT INTO t VALUES (NULL)',
        "SELECT * FROM v",
        "ok?",
    ),
    "a column whose name ends in a mark, returned": Case(
        'CREATE TABLE t ("ok!" int)', "INSERT INTO t VALUES (NULL) RETURNING *", "ok?"
    ),
    # What is never NULL, and was said to be nullable.
    "elements in the select list": Case("", "SELECT unnest(ARRAY[1, 2]) AS n", "n!"),
    "elements that can be NULL in the select list": Case(
        T_AND_U, "SELECT unnest(ARRAY[1, a]) AS n, id FROM t", "n? id!"
    ),
    "elements beside more elements": Case("", "SELECT unnest(ARRAY[1]) AS n, unnest(ARRAY[1, NULL]) AS m", "n? m?"),
    "a query of WITH that gives one row": Case(
        T_AND_U,
        "WITH one AS (SELECT count(*) AS n, max(a) AS m FROM t) SELECT (SELECT n FROM one) AS n, (SELECT n + 1 FROM one"
        ") AS o FROM t",
        "n! o!",
    ),
    "COALESCE over full joins": Case(
        T_AND_U,
        "SELECT coalesce(a.id, b.id, c.id, d.id) AS i FROM t AS a FULL JOIN t AS b ON a.id = b.id + 1 "
        "FULL JOIN t AS c ON c.id = b.id + 1 FULL JOIN t AS d ON d.id = c.id + 1",
        "i!",
    ),
    "an aggregate of a side that HAVING keeps": Case(
        T_AND_U,
        "SELECT t.id, sum(u.nn) AS s FROM t LEFT JOIN u ON u.k = t.id GROUP BY t.id, u.k HAVING u.k IS NOT NULL",
        "id! s!",
    ),
    "an aggregate of a side that HAVING does not keep": Case(
        T_AND_U, "SELECT t.id, sum(u.nn) AS s FROM t LEFT JOIN u ON u.k = t.id GROUP BY t.id, u.k", "id! s?"
    ),
    "the condition of a lateral join": Case(
        T_AND_U, "SELECT t.y, l.z FROM t JOIN LATERAL (SELECT t.y + u.k AS z FROM u) AS l ON l.z > 2", "y! z!"
    ),
    "the condition of a lateral left join": Case(
        T_AND_U, "SELECT t.y, l.z FROM t LEFT JOIN LATERAL (SELECT t.y + u.k AS z FROM u) AS l ON l.z > 2", "y? z?"
    ),
    "a condition on an aggregate in a lateral join": Case(
        T_AND_U,
        "SELECT t.y, l.z FROM t JOIN LATERAL (SELECT coalesce(max(t.y + u.k), 3) AS z FROM u) AS l ON l.z > 2",
        "y? z!",
    ),
    "JSON_EXISTS": Case(
        DOCUMENTS,
        "SELECT JSON_EXISTS(j, '$.a') AS a, JSON_EXISTS(j, 'strict $.b') AS b, JSON_EXISTS(n, '$.a') AS n, "
        "JSON_EXISTS(j, 'strict $.a' UNKNOWN ON ERROR) AS u FROM documents",
        "a! b! n? u?",
        since=17,
    ),
    "JSON_TABLE": Case(
        DOCUMENTS,
        "SELECT q.* FROM documents, JSON_TABLE(j, '$[*]' COLUMNS (o FOR ORDINALITY, a int PATH '$.a', "
        "e bool EXISTS PATH '$.a', i int EXISTS PATH 'strict $.a', u bool EXISTS PATH 'strict $.c' UNKNOWN ON ERROR, "
        "NESTED PATH '$.z[*]' COLUMNS (oo FOR ORDINALITY, ee bool EXISTS PATH '$.a'))) AS q",
        "o! a? e! i! u? oo? ee?",
        since=17,
    ),
    "JSON_TABLE of an outer join": Case(
        DOCUMENTS,
        "SELECT q.* FROM documents LEFT JOIN JSON_TABLE(j, '$[*]' COLUMNS (o FOR ORDINALITY)) AS q ON false",
        "o?",
        since=17,
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def conn(server_url: str) -> Iterator[Connection]:
    """A connection to a database with nothing in it."""
    with new_database(server_url) as url, psycopg.connect(url) as connection:
        yield connection


@pytest.mark.parametrize("name", CASES)
def test_what_can_be_null(conn: Connection, name: str) -> None:
    case = CASES[name]
    if conn.info.server_version < case.since * 10000:
        pytest.skip(f"PostgreSQL {case.since} and later")
    result = run(conn, case.schema, case.sql, case.values)
    assert result.columns == case.columns
    assert result.seen == case.columns


FOREIGN = """
CREATE EXTENSION postgres_fdw;
CREATE TABLE remote (id int, x text, g int);
INSERT INTO remote VALUES (1, NULL, NULL);
CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.x := NULL; RETURN NEW; END $$;
CREATE TRIGGER forget BEFORE INSERT OR UPDATE ON remote FOR EACH ROW EXECUTE FUNCTION forget();
CREATE FOREIGN TABLE f (id int NOT NULL, x text NOT NULL) SERVER itself OPTIONS (table_name 'remote');
CREATE FOREIGN TABLE g (id int, g int GENERATED ALWAYS AS (2) STORED) SERVER itself OPTIONS (table_name 'remote');
CREATE TABLE p (id int NOT NULL, x text NOT NULL) PARTITION BY LIST (id);
CREATE FOREIGN TABLE part PARTITION OF p DEFAULT SERVER itself OPTIONS (table_name 'remote');
CREATE VIEW v AS SELECT id, x FROM f;
"""


@pytest.fixture(scope="module")
def foreign(server_url: str) -> Iterator[Connection]:
    """A connection to a database with foreign tables: of its own tables, seen through a second connection."""
    with new_database(server_url) as url, psycopg.connect(url, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'postgres_fdw'").fetchone():
            pytest.skip("this PostgreSQL comes without postgres_fdw")
        info = connection.info
        wanted = {"host": info.host, "port": info.port, "dbname": info.dbname}
        options = ", ".join(f"{name} '{value}'" for name, value in wanted.items())
        before, after = FOREIGN.split("CREATE TABLE", 1)
        connection.execute(
            f"""{before}
            CREATE SERVER itself FOREIGN DATA WRAPPER postgres_fdw OPTIONS ({options});
            CREATE USER MAPPING FOR CURRENT_USER SERVER itself
            OPTIONS (user '{info.user}', password '{info.password}', password_required 'false');
            CREATE TABLE {after}""".encode()
        )
        yield connection


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ("SELECT id, x FROM f", "id? x?"),
        ("SELECT id, x FROM p", "id? x?"),
        ("SELECT g FROM g WHERE id = 1", "g?"),
        ("SELECT x FROM f WHERE x IS NULL", "x?"),
        ("INSERT INTO f VALUES (2, 'x') RETURNING id, x", "id? x?"),
        ("INSERT INTO f VALUES (2, NULL) RETURNING x", "x?"),
        ("INSERT INTO p VALUES (2, 'x') RETURNING id, x", "id? x?"),
        ("INSERT INTO v VALUES (2, 'x') RETURNING id, x", "id? x?"),
        ("UPDATE f SET x = 'x' RETURNING x", "x?"),
        ("UPDATE p SET x = 'x' RETURNING x", "x?"),
        ("DELETE FROM f WHERE id = 1 RETURNING id, x", "id! x?"),
    ],
)
def test_what_a_foreign_server_gives(foreign: Connection, sql: str, columns: str) -> None:
    """Of what is NOT NULL here it knows nothing."""
    result = run(foreign, "", sql)
    assert result.columns == columns
    assert [said for said, seen in zip(columns.split(), result.seen.split(), strict=True) if said < seen] == []
    if sql.endswith("IS NULL") and foreign.info.server_version >= 170000:
        assert result.rows == 0  # the planner itself believes NOT NULL
    else:
        assert "x?" not in columns.split() or "x?" in result.seen


EXTENSIONS = {
    "citext": "SELECT a = b AS e, a < b AS l, a IS DISTINCT FROM b AS d, a LIKE 'x' AS k FROM (VALUES ('a'::citext,"
    " 'b'::citext)) AS v (a, b)",
    "ltree": "SELECT nlevel('a.b') AS n, 'a'::ltree @> 'a.b' AS o, subpath('a.b', 0, 1) AS s",
    "pg_trgm": "SELECT similarity('a', 'b') AS s, 'a' % 'b' AS o",
    "pgcrypto": "SELECT digest('a', 'sha256') AS d, crypt('a', gen_salt('md5')) AS c",
    "uuid-ossp": "SELECT uuid_generate_v4() AS u",
}


@pytest.mark.parametrize("name", EXTENSIONS)
def test_functions_of_extensions_that_are_never_null(conn: Connection, name: str) -> None:
    if not conn.execute("SELECT 1 FROM pg_available_extensions WHERE name = %s", [name]).fetchone():
        pytest.skip(f"this PostgreSQL comes without {name}")
    result = run(conn, f'CREATE EXTENSION "{name}"', EXTENSIONS[name])
    assert "?" not in result.columns
    assert result.columns == result.seen


OWN_FUNCTIONS = """
CREATE SCHEMA app;
CREATE TYPE app.pair AS (a int, b int);
CREATE FUNCTION app.slugify(text) RETURNS text STRICT LANGUAGE sql AS $$ SELECT lower($1) $$;
CREATE FUNCTION app.slugify(int) RETURNS text STRICT LANGUAGE sql AS $$ SELECT NULL $$;
CREATE FUNCTION app.lenient(text) RETURNS text LANGUAGE sql AS $$ SELECT coalesce($1, '-') $$;
CREATE FUNCTION app.all_of(int) RETURNS SETOF int LANGUAGE sql AS $$ SELECT 1 $$;
CREATE FUNCTION app.pairs() RETURNS SETOF app.pair LANGUAGE sql AS $$ SELECT 1, NULL::int $$;
CREATE FUNCTION app.pair() RETURNS app.pair LANGUAGE sql AS $$ SELECT ROW(1, NULL::int)::app.pair $$;
CREATE FUNCTION app.count_up(int, text) RETURNS int LANGUAGE sql AS $$ SELECT $1 + 1 $$;
CREATE AGGREGATE app.how_many(text) (SFUNC = app.count_up, STYPE = int, INITCOND = '0');
CREATE TABLE t (a text NOT NULL, n text);
INSERT INTO t VALUES ('A', NULL);
"""
DECLARED = [
    "app.slugify(text)", "app.lenient(text)", "app.all_of(integer)", "app.pairs()", "app.pair()", "app.how_many(text)",
]  # fmt: skip


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        (
            "SELECT app.slugify(a) AS a, app.slugify(n) AS n, app.slugify(1) AS i, app.lenient(n) AS l FROM t",
            "a! n? i? l!",
        ),
        ("SELECT app.slugify(t.a) || 'x' AS a, s AS s FROM t, app.slugify(t.a) AS s", "a! s!"),
        ("SELECT app.all_of(1) AS a", "a!"),
        ("SELECT a FROM app.all_of(1) AS a", "a!"),
        ("SELECT p.a, p.b FROM app.pairs() AS p", "a? b?"),
        ("SELECT p.a, p.b, app.pair() AS c, (app.pair()).b AS d FROM app.pair() AS p", "a? b? c! d?"),
        ("SELECT app.how_many(a) AS h, app.how_many(n) OVER () AS w FROM t WHERE a IS NULL GROUP BY n", "h! w!"),
        ("SELECT app.how_many(a) AS h FROM t WHERE a = 'B'", "h!"),
    ],
)
def test_functions_that_are_declared_to_be_never_null(conn: Connection, sql: str, columns: str) -> None:
    with conn.transaction(force_rollback=True):
        conn.execute(OWN_FUNCTIONS.encode())
        describer = Describer(conn)
        before = describer.describe(query_of(sql)).columns
        assert describer.catalog.declare(DECLARED) == []
        said = describer.describe(query_of(sql)).columns
        assert " ".join(f"{each.name}{'?' if each.nullable else '!'}" for each in said) == columns
        assert [each.nullable for each in said] != [each.nullable for each in before] or "!" not in columns
        for row in conn.execute(sql.encode()).fetchall():
            assert [
                each.name for each, value in zip(said, row, strict=True) if value is None and not each.nullable
            ] == []


def test_declared_functions_that_do_not_exist(conn: Connection) -> None:
    with conn.transaction(force_rollback=True):
        conn.execute(OWN_FUNCTIONS.encode())
        missing = ["app.slugify", "app.slugify(date)", "app.slugify(nothing)", "no.slugify(text)", "app.slugify(text"]
        assert Describer(conn).catalog.declare([*missing, *DECLARED]) == missing


def test_the_fields_of_a_row_that_a_rule_returns(conn: Connection) -> None:
    """They are not those of the table."""
    schema = """
        CREATE TABLE t (id int NOT NULL); INSERT INTO t VALUES (1);
        CREATE TABLE other (id int); INSERT INTO other VALUES (NULL);
        CREATE RULE r AS ON UPDATE TO t DO INSTEAD UPDATE other SET id = NULL RETURNING id
    """
    sql = "UPDATE t SET id = 2 RETURNING t"
    replaced, plain = (
        run(conn, each, sql).said.columns[0].shape for each in (schema, schema.partition("CREATE RULE")[0])
    )
    assert isinstance(replaced, Row)
    assert isinstance(plain, Row)
    assert [each.nullable for each in (*replaced.fields, *plain.fields)] == [True, False]

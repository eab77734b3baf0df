-- WITH: a CTE's columns are those of its query.

-- name: plain_cte()
-- expect: name text!, nick text?
-- As a subselect.
WITH t AS (SELECT name, nick FROM author) SELECT t.name, t.nick FROM t;

-- name: materialized_cte_of_outer_join()
-- expect: name text!, title text?
-- MATERIALIZED keeps the outer join's NULL.
WITH t AS MATERIALIZED (SELECT a.name, b.title FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id)
SELECT t.name, t.title FROM t;

-- name: not_materialized_cte_of_outer_join()
-- expect: name text!, title text?
-- NOT MATERIALIZED as well.
WITH t AS NOT MATERIALIZED (SELECT a.name, b.title FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id)
SELECT t.name, t.title FROM t;

-- name: cte_with_column_names()
-- expect: a text!, b text?
-- Names of its own.
WITH t (a, b) AS (SELECT name, nick FROM author) SELECT a, b FROM t;

-- name: cte_used_twice()
-- expect: one text!, other text?
-- Once on the preserved side, once on the nullable side.
WITH t AS (SELECT id, name FROM author)
SELECT x.name AS one, y.name AS other FROM t AS x LEFT JOIN t AS y ON y.id = x.id + 1;

-- name: cte_of_cte()
-- expect: nick text!, n int8!
-- One CTE reads another.
WITH
    nicked AS (SELECT nick, mood FROM author WHERE nick IS NOT NULL),
    counted AS (SELECT nick, count(*) AS n FROM nicked GROUP BY nick)
SELECT nick, n FROM counted;

-- name: cte_of_aggregate()
-- expect: name text!, total int8?, n int8!
-- Always one row: CROSS JOIN removes nothing.
WITH totals AS (SELECT sum(stock) AS total, count(*) AS n FROM book)
SELECT a.name, t.total, t.n FROM author AS a CROSS JOIN totals AS t;

-- name: cte_hides_a_table()
-- expect: name text?
-- A CTE hides a table of the same name.
WITH author AS (SELECT nick AS name FROM author) SELECT name FROM author;

-- name: cte_in_a_subquery()
-- expect: n int8!
-- WITH inside.
SELECT (WITH t AS (SELECT count(*) AS n FROM book) SELECT n FROM t) AS n;

-- name: cte_of_values()
-- expect: id int4!, label text?
-- VALUES by name.
WITH t (id, label) AS (VALUES (1, 'one'), (2, NULL)) SELECT id, label FROM t;

-- name: cte_of_union()
-- expect: name text?
-- A set operation by name.
WITH t AS (SELECT name FROM author UNION ALL SELECT subtitle FROM book) SELECT name FROM t;

-- name: insert_in_cte(id, name)
-- expect: id int4!, name text!
-- params: id int4!, name text!
-- What RETURNING of an INSERT passes on.
WITH new AS (INSERT INTO publisher (id, name) VALUES (:id, :name) RETURNING id, name) SELECT id, name FROM new;

-- name: update_in_cte(nick)
-- expect: id int4!, nick text?
-- params: nick text?
-- The new value.
WITH changed AS (UPDATE author SET nick = :nick WHERE nick IS NOT NULL RETURNING id, nick) SELECT id, nick FROM changed;

-- name: delete_in_cte()
-- expect: name text?, title text!, left_over int8!
-- Deleted rows, joined with what the statement still sees.
WITH gone AS (DELETE FROM book WHERE NOT in_print RETURNING author_id, title)
SELECT a.name, g.title, (SELECT count(*) FROM book) AS left_over
FROM gone AS g LEFT JOIN author AS a ON a.id = g.author_id;

-- name: move_rows()
-- expect: key text!, value text?
-- From one table to another, in one statement.
WITH gone AS (DELETE FROM author WHERE name <> '' RETURNING id, name, nick)
INSERT INTO setting (key, value) SELECT name || '#' || id, nick FROM gone RETURNING key, value;

-- name: cte_that_is_not_read(stars)
-- expect: n int8!
-- params: stars int4?
-- It still runs, and its parameter is stored in a nullable column.
WITH touched AS (UPDATE review SET stars = :stars) SELECT count(*) AS n FROM review;

-- name: update_from_cte()
-- expect: id int4!, subtitle text?, pages int4?
-- UPDATE ... FROM a CTE.
WITH longest AS (SELECT author_id, max(pages) AS pages FROM book GROUP BY author_id)
UPDATE book AS b SET subtitle = l.pages::text FROM longest AS l WHERE l.author_id = b.author_id
RETURNING b.id, b.subtitle, l.pages;

-- name: input_as_cte(key, value)
-- expect: key text!, value text?
-- params: key text!, value text?
-- Parameters that reach their columns through a CTE.
WITH input AS (SELECT :key::text AS key, :value::text AS value)
INSERT INTO setting (key, value) SELECT input.key, input.value FROM input RETURNING key, value;

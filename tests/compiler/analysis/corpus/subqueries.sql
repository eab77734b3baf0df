-- Sub-queries: a scalar one without a row is NULL, whatever its column.

-- name: scalar_of_not_null()
-- expect: name text!, title text?
-- NOT NULL, if there is a row.
SELECT a.name, (SELECT b.title FROM book AS b WHERE b.author_id = a.id ORDER BY b.id LIMIT 1) AS title FROM author AS a;

-- name: scalar_count()
-- expect: name text!, n int8!
-- An aggregate without GROUP BY always has a row.
SELECT a.name, (SELECT count(*) FROM book AS b WHERE b.author_id = a.id) AS n FROM author AS a;

-- name: scalar_max()
-- expect: latest int4?, safe int4!
-- It has a row, with NULL in it.
SELECT (SELECT max(b.id) FROM book AS b) AS latest, (SELECT coalesce(max(b.id), 0) FROM book AS b) AS safe;

-- name: scalar_count_by_group()
-- expect: n int8?
-- GROUP BY of no rows has no group.
SELECT (SELECT count(*) FROM book AS b WHERE b.author_id = a.id GROUP BY b.author_id) AS n FROM author AS a;

-- name: scalar_count_having()
-- expect: n int8?
-- HAVING may take the row away.
SELECT (SELECT count(*) FROM book AS b HAVING count(*) > 3) AS n;

-- name: scalar_count_limited(n)
-- expect: one int8!, none int8?, some int8?
-- params: n int8?
-- LIMIT 1 leaves it, OFFSET 1 does not, and a parameter may be 0.
SELECT
    (SELECT count(*) FROM book LIMIT 1) AS one, (SELECT count(*) FROM book OFFSET 1) AS none,
    (SELECT count(*) FROM book LIMIT :n) AS some;

-- name: scalar_of_constants()
-- expect: one int4!, two int4!, none int4?
-- A SELECT without FROM has one row, unless its WHERE is false.
SELECT (SELECT 1) AS one, (VALUES (2)) AS two, (SELECT 3 WHERE false) AS none;

-- name: scalar_union()
-- expect: n int4?
-- A set operation that may return no rows.
SELECT (SELECT id FROM author WHERE id < 0 UNION SELECT 1 WHERE EXISTS (SELECT 1 FROM book)) AS n;

-- name: scalar_of_series()
-- expect: n int4?
-- A set-returning function may return none.
SELECT (SELECT generate_series(1, min(b.stock)) FROM book AS b LIMIT 1) AS n;

-- name: exists()
-- expect: some bool!, none bool!
-- EXISTS is true or false.
SELECT EXISTS (SELECT 1 FROM book) AS some, NOT EXISTS (SELECT NULL FROM review) AS none;

-- name: array_of_subquery()
-- expect: titles _text!, subtitles _text!
-- ARRAY of no rows is an empty array.
SELECT ARRAY(SELECT title FROM book) AS titles, ARRAY(SELECT subtitle FROM book) AS subtitles;

-- name: array_agg_in_subquery()
-- expect: titles _text?
-- array_agg of no rows is not.
SELECT (SELECT array_agg(title) FROM book) AS titles;

-- name: row_compared_with_subquery()
-- expect: same bool?
-- The row value of a missing row contains only NULL.
SELECT (id, name) = (SELECT b.id, b.title FROM book AS b WHERE b.id < 0) AS same FROM author;

-- name: row_in_subquery()
-- expect: known bool!, unknown bool?
-- Rows, field by field.
SELECT
    (id, name) IN (SELECT b.id, b.title FROM book AS b) AS known,
    (id, name) IN (SELECT b.author_id, b.title FROM book AS b) AS unknown
FROM author;

-- name: nested_scalars()
-- expect: n int8!, title text?
-- A subquery of a subquery.
SELECT
    (SELECT (SELECT count(*) FROM review AS r WHERE r.author_id = a.id)) AS n,
    (SELECT (SELECT b.title FROM book AS b WHERE b.author_id = a.id LIMIT 1)) AS title
FROM author AS a;

-- name: subquery_in_from()
-- expect: name text!, nick text?, label text!
-- A derived table keeps what is known.
SELECT t.name, t.nick, t.label FROM (SELECT name, nick, 'author' AS label FROM author) AS t;

-- name: subquery_with_column_names()
-- expect: a text!, b text?
-- Other names for its columns.
SELECT t.a, t.b FROM (SELECT name, nick FROM author) AS t (a, b);

-- name: whole_row_of_subquery()
-- expect: t record!, document json!
-- The row of a derived table.
SELECT t, row_to_json(t) AS document FROM (SELECT nick, born FROM author) AS t;

-- name: scalar_with_outer_reference()
-- expect: same text!, other text?
-- A column of the outer query, and of an outer-joined table in it.
SELECT (SELECT a.name) AS same, (SELECT b.title) AS other
FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id;

-- name: scalar_aggregate_of_outer_reference()
-- expect: in_print bool!, titles text!
-- An aggregate whose argument is the outer query's is the outer query's aggregate.
SELECT b.in_print, (SELECT string_agg(b.title, ',')) AS titles FROM book AS b GROUP BY b.in_print;

-- name: comparison_with_scalar()
-- expect: id int4!, above bool?
-- A comparison with an average that may be missing.
SELECT id, stock > (SELECT avg(r.stars) FROM review AS r) AS above FROM book;

-- name: where_compares_with_scalar()
-- expect: pages int4!, title text!
-- Greater than a scalar subquery.
SELECT pages, title FROM book WHERE pages > (SELECT avg(stock) FROM book);

-- name: scalar_subquery_is_null()
-- expect: missing bool!
-- A test for NULL is never NULL.
SELECT (SELECT b.title FROM book AS b WHERE b.author_id = a.id LIMIT 1) IS NULL AS missing FROM author AS a;

-- name: subquery_in_case()
-- expect: label text?
-- In a branch.
SELECT CASE WHEN a.nick IS NULL THEN (SELECT b.title FROM book AS b WHERE b.id = a.id + 1000) ELSE a.nick END AS label
FROM author AS a;

-- name: json_of_subquery()
-- expect: name text!, books json?, safe json!
-- One-to-many as a list: NULL where there are none, unless coalesced.
SELECT
    a.name,
    (SELECT json_agg(row_to_json(b)) FROM book AS b WHERE b.author_id = a.id) AS books,
    coalesce((SELECT json_agg(b.title) FROM book AS b WHERE b.author_id = a.id), '[]') AS safe
FROM author AS a;

-- Set operations: a column of the result holds what either, both, or the first of the queries hold.

-- name: union_of_not_null()
-- expect: name text!
-- NOT NULL in both.
SELECT name FROM author UNION SELECT title FROM book;

-- name: union_with_nullable()
-- expect: name text?
-- The second query counts as much as the first.
SELECT name FROM author UNION ALL SELECT subtitle FROM book;

-- name: union_with_nullable_first()
-- expect: nick text?
-- And the first counts as much as the second.
SELECT nick FROM author UNION ALL SELECT title FROM book;

-- name: union_with_null()
-- expect: id int4!, nothing text?
-- A literal NULL.
SELECT id, name AS nothing FROM author UNION ALL SELECT id, NULL FROM book;

-- name: union_of_literals()
-- expect: kind text!, n int8!
-- Literals and counts.
SELECT 'authors' AS kind, count(*) AS n FROM author UNION ALL SELECT 'books', count(*) FROM book;

-- name: union_with_aggregate()
-- expect: high int4?
-- max of no rows in the second of three.
SELECT id AS high FROM author UNION ALL SELECT max(id) FROM book UNION ALL SELECT 0;

-- name: union_of_narrowed()
-- expect: nick text!
-- Each query narrowed by its own WHERE.
SELECT nick FROM author WHERE nick IS NOT NULL UNION SELECT subtitle FROM book WHERE subtitle <> '';

-- name: union_of_outer_join()
-- expect: name text!, title text?
-- An outer join in one of them.
SELECT a.name, b.title FROM author AS a JOIN book AS b ON b.author_id = a.id
UNION
SELECT a.name, b.title FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id;

-- name: union_cast_to_common_type()
-- expect: amount numeric!
-- Columns of two types meet in a third.
SELECT stock AS amount FROM book UNION ALL SELECT price FROM book;

-- name: union_by_position()
-- expect: first text!, second text?
-- Columns are matched by position, not by name.
SELECT name AS first, nick AS second FROM author UNION ALL SELECT title AS second, subtitle AS first FROM book;

-- name: union_ordered_and_limited(n)
-- expect: name text!, nick text?
-- params: n int8?
-- ORDER BY and LIMIT are of the whole.
SELECT name, nick FROM author UNION ALL SELECT title, subtitle FROM book ORDER BY name LIMIT :n;

-- name: intersect_of_not_null()
-- expect: id int4!
-- NOT NULL in both.
SELECT id FROM author INTERSECT SELECT id FROM book;

-- name: intersect_of_nullable()
-- expect: author_id int4?
-- NULL meets NULL.
SELECT author_id FROM book INTERSECT SELECT author_id FROM review;

-- name: intersect_with_not_null()
-- expect: author_id int4!
-- What is in both is in the one that has no NULL.
SELECT author_id FROM book INTERSECT SELECT id FROM author;

-- name: intersect_with_not_null_first()
-- expect: id int4!, stock int4!
-- In either order, column by column.
SELECT id, 1 AS stock FROM author INTERSECT ALL SELECT author_id, stock FROM book;

-- name: except_of_not_null()
-- expect: id int4!
-- Only rows of the first.
SELECT id FROM author EXCEPT SELECT author_id FROM book;

-- name: except_of_nullable()
-- expect: author_id int4?
-- The first may contain NULL, and nothing removes it.
SELECT author_id FROM book EXCEPT ALL SELECT id FROM author;

-- name: nested_set_operations()
-- expect: id int4?
-- (a UNION b) EXCEPT c.
(SELECT id FROM author UNION SELECT author_id FROM book) EXCEPT SELECT book_id FROM review;

-- name: intersect_binds_tighter()
-- expect: id int4!
-- a UNION (b INTERSECT c): b may hold NULL and c does not.
SELECT id FROM author UNION SELECT author_id FROM book INTERSECT SELECT book_id FROM review;

-- name: union_in_subselect()
-- expect: name text?, source text!
-- Through a subselect.
SELECT t.name, t.source
FROM (SELECT nick AS name, 'author' AS source FROM author UNION ALL SELECT title, 'book' FROM book) AS t;

-- name: union_in_subselect_narrowed()
-- expect: name text!, source text!
-- Narrowed outside of it.
SELECT t.name, t.source
FROM (SELECT nick AS name, 'author' AS source FROM author UNION ALL SELECT title, 'book' FROM book) AS t
WHERE t.name IS NOT NULL;

-- name: union_in_outer_join()
-- expect: id int4!, label text?
-- On the nullable side.
SELECT a.id, t.label
FROM author AS a
LEFT JOIN (SELECT author_id, 'book' AS label FROM book UNION ALL SELECT author_id, 'review' FROM review) AS t
    ON t.author_id = a.id;

-- name: union_of_values()
-- expect: column1 int4?, column2 text!
-- VALUES is a query like any other.
VALUES (1, 'a') UNION ALL SELECT author_id, title FROM book;

-- name: union_with_parameter(label)
-- expect: label text!
-- params: label text!
-- A parameter that is only returned.
SELECT name AS label FROM author UNION ALL SELECT :label;

-- VALUES.

-- name: values_of_literals()
-- expect: column1 int4!, column2 text!
-- Every row has every value.
VALUES (1, 'one'), (2, 'two');

-- name: values_with_null()
-- expect: column1 int4!, column2 text?, column3 bool?
-- One NULL in one row.
VALUES (1, 'one', NULL), (2, NULL, true), (3, 'three', false);

-- name: values_in_from()
-- expect: id int4!, label text!, rank int4?
-- As a table.
SELECT v.id, v.label, v.rank FROM (VALUES (1, 'one', 1), (2, 'two', NULL)) AS v (id, label, rank);

-- name: values_narrowed()
-- expect: id int4!, label text!
-- Narrowed by WHERE.
SELECT v.id, v.label FROM (VALUES (1, 'one'), (2, NULL)) AS v (id, label) WHERE v.label IS NOT NULL;

-- name: values_of_expressions()
-- expect: column1 text?, column2 int8!, column3 bool!, column4 int4?
-- Expressions, subqueries among them.
VALUES (nullif('a', 'a'), (SELECT count(*) FROM book), EXISTS (SELECT 1 FROM book), (SELECT max(id) FROM book));

-- name: values_of_parameters(id, label)
-- expect: id int4!, label text!
-- params: id int4!, label text!
-- Parameters that are only returned.
SELECT v.id, v.label FROM (VALUES (:id::int4, :label::text)) AS v (id, label);

-- name: lateral_values()
-- expect: id int4!, kind text!, text text?
-- Rows out of columns.
SELECT b.id, v.kind, v.text
FROM book AS b CROSS JOIN LATERAL (VALUES ('title', b.title), ('subtitle', b.subtitle)) AS v (kind, text);

-- name: lateral_values_of_not_null()
-- expect: id int4!, text text!
-- Rows out of NOT NULL columns.
SELECT b.id, v.text FROM book AS b, LATERAL (VALUES (b.title), (b.price::text)) AS v (text);

-- name: values_left_join()
-- expect: label text!, title text?
-- On the preserved side.
SELECT v.label, b.title FROM (VALUES (1, 'one'), (1000, 'many')) AS v (id, label) LEFT JOIN book AS b ON b.id = v.id;

-- name: values_with_default_types()
-- expect: column1 numeric!, column2 text?
-- Types of several rows meet.
VALUES (1, NULL), (2.5, 'x');

-- name: values_in_list()
-- expect: title text!, mood mood?
-- As the list of IN.
SELECT title, mood FROM book WHERE id IN (VALUES (1), (2));

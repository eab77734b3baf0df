-- WITH RECURSIVE: a column may become NULL in any step, by way of another column, too.

-- name: counting()
-- expect: n int4!
-- Not NULL at first, and not NULL from not NULL.
WITH RECURSIVE t (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT n FROM t;

-- name: previous_value()
-- expect: n int4!, previous int4?
-- NULL in the first step, not NULL afterwards.
WITH RECURSIVE t (n, previous) AS (SELECT 1, NULL::int4 UNION ALL SELECT n + 1, n FROM t WHERE n < 5)
SELECT n, previous FROM t;

-- name: nullable_step()
-- expect: n int4!, half int4?
-- Not NULL at first, NULL from the second step on.
WITH RECURSIVE t (n, half) AS (SELECT 1, 1 UNION ALL SELECT n + 1, nullif(n % 2, 1) FROM t WHERE n < 5)
SELECT n, half FROM t;

-- name: swapped_columns()
-- expect: n int4!, a int4?, b int4?
-- NULL moves from b to a in the second step.
WITH RECURSIVE t (n, a, b) AS (SELECT 1, 1, NULL::int4 UNION ALL SELECT n + 1, b, a FROM t WHERE n < 5)
SELECT n, a, b FROM t;

-- name: rotating_columns()
-- expect: n int4!, a int4?, b int4?, c int4?, d int4!
-- NULL needs three steps to get from c to a.
WITH RECURSIVE t (n, a, b, c, d) AS (
    SELECT 1, 1, 2, NULL::int4, 4 UNION ALL SELECT n + 1, b, c, d, 5 FROM t WHERE n < 6
)
SELECT n, a, b, c, d FROM t;

-- name: repaired_step()
-- expect: n int4!, a int4!, b int4?
-- coalesce stops NULL on its way.
WITH RECURSIVE t (n, a, b) AS (SELECT 1, 1, NULL::int4 UNION ALL SELECT n + 1, coalesce(b, 0), b FROM t WHERE n < 5)
SELECT n, a, b FROM t;

-- name: narrowed_step()
-- expect: n int4!, a int4!, b int4?
-- WHERE of the step lets no NULL through to a.
WITH RECURSIVE t (n, a, b) AS (
    SELECT 1, 1, 2 UNION ALL SELECT n + 1, b, nullif(n, 3) FROM t WHERE n < 8 AND b IS NOT NULL
)
SELECT n, a, b FROM t;

-- name: tree()
-- expect: id int4!, parent_id int4?, title text!, depth int4!, path _int4!
-- Down a tree from its roots.
WITH RECURSIVE tree AS (
    SELECT id, parent_id, title, 0 AS depth, ARRAY[id] AS path FROM node WHERE parent_id IS NULL
    UNION ALL
    SELECT n.id, n.parent_id, n.title, t.depth + 1, t.path || n.id FROM node AS n JOIN tree AS t ON t.id = n.parent_id
)
SELECT id, parent_id, title, depth, path FROM tree;

-- name: tree_below_the_roots()
-- expect: id int4!, parent_id int4!
-- A step joined by parent_id, from a start that has it.
WITH RECURSIVE tree AS (
    SELECT id, parent_id FROM node WHERE parent_id = 1
    UNION
    SELECT n.id, n.parent_id FROM node AS n JOIN tree AS t ON t.id = n.parent_id
)
SELECT id, parent_id FROM tree;

-- name: ancestors(id)
-- expect: id int4!, parent_id int4?, title text!
-- params: id int4!
-- Up to the root, by UNION, so that a circle ends.
WITH RECURSIVE up AS (
    SELECT id, parent_id, title FROM node WHERE id = :id
    UNION
    SELECT n.id, n.parent_id, n.title FROM node AS n JOIN up ON up.parent_id = n.id
)
SELECT id, parent_id, title FROM up;

-- name: recursion_over_outer_join()
-- expect: id int4!, title text?
-- A step that left joins another table.
WITH RECURSIVE tree (id, title) AS (
    SELECT n.id, n.title FROM node AS n WHERE n.parent_id IS NULL
    UNION ALL
    SELECT n.id, b.title
    FROM tree AS t JOIN node AS n ON n.parent_id = t.id LEFT JOIN book AS b ON b.id = n.id + 1000
)
SELECT id, title FROM tree;

-- name: depth_first()
-- expect: id int4!, title text!, place _record!
-- SEARCH adds a column to sort by.
WITH RECURSIVE tree (id, title) AS (
    SELECT id, title FROM node WHERE parent_id IS NULL
    UNION ALL
    SELECT n.id, n.title FROM node AS n JOIN tree AS t ON t.id = n.parent_id
) SEARCH DEPTH FIRST BY id SET place
SELECT id, title, place FROM tree ORDER BY place;

-- name: circle()
-- expect: id int4!, again bool!, path _record!
-- CYCLE adds a mark and a path.
WITH RECURSIVE tree (id) AS (
    SELECT id FROM node
    UNION ALL
    SELECT n.id FROM node AS n JOIN tree AS t ON t.id = n.parent_id
) CYCLE id SET again USING path
SELECT id, again, path FROM tree;

-- name: recursion_with_parameter(n, label)
-- expect: n int4!, label text!
-- params: n int4?, label text!
-- A parameter at the start of it.
WITH RECURSIVE t (n, label) AS (
    SELECT 1, :label::text UNION ALL SELECT n + 1, label || n FROM t WHERE n < least(:n, 10)
)
SELECT n, label FROM t;

-- name: recursive_but_not()
-- expect: name text!, nick text?
-- RECURSIVE without recursion.
WITH RECURSIVE t AS (SELECT name, nick FROM author) SELECT name, nick FROM t;

-- name: outer_join_with_recursion()
-- expect: day date!, n int8!, title text?
-- A calendar, and the rows of each day.
WITH RECURSIVE days (day) AS (
    SELECT date '2020-01-01' UNION ALL SELECT day + 1 FROM days WHERE day < date '2020-01-05'
)
SELECT d.day, count(b.id) AS n, max(b.title) AS title
FROM days AS d LEFT JOIN book AS b ON b.added_at::date = d.day
GROUP BY d.day;

-- Grouping sets: a total row has NULL for the columns that it is not grouped by, NOT NULL or not.

-- name: rollup()
-- expect: mood mood?, n int8!, total int4!
-- The last row is the total.
SELECT mood, count(*) AS n, grouping(mood) AS total FROM author GROUP BY ROLLUP (mood);

-- name: rollup_of_no_rows()
-- expect: mood mood?, newest timestamptz?, latest int4?
-- Of an empty table only the total is left, and it has no rows.
SELECT mood, max(joined_at) AS newest, max(id) AS latest FROM author GROUP BY ROLLUP (mood);

-- name: cube()
-- expect: mood mood?, name text?, n int8!, level int4!
-- Every combination.
SELECT mood, name, count(*) AS n, grouping(mood, name) AS level FROM author GROUP BY CUBE (mood, name);

-- name: grouping_sets_without_total()
-- expect: mood mood?, name text?, latest int4!
-- Each set has a column, so each group has a row, and each column is missing in one.
SELECT mood, name, max(id) AS latest FROM author GROUP BY GROUPING SETS ((mood), (name));

-- name: grouping_sets_with_total()
-- expect: mood mood?, latest int4?
-- () is a set too.
SELECT mood, max(id) AS latest FROM author GROUP BY GROUPING SETS ((mood), ());

-- name: grouping_sets_with_a_common_column()
-- expect: mood mood!, name text?, latest int4!
-- mood is in both sets.
SELECT mood, name, max(id) AS latest FROM author GROUP BY GROUPING SETS ((mood, name), (mood));

-- name: grouping_set_of_one()
-- expect: mood mood!, name text!, latest int4!
-- One set is a plain GROUP BY.
SELECT mood, name, max(id) AS latest FROM author GROUP BY GROUPING SETS ((mood, name));

-- name: empty_grouping_set_only()
-- expect: n int8!, latest int4?
-- GROUPING SETS (()) is one row of no rows.
SELECT count(*) AS n, max(id) AS latest FROM author GROUP BY GROUPING SETS (());

-- name: column_beside_rollup()
-- expect: mood mood!, name text?, latest int4!
-- A column outside of ROLLUP is in every set.
SELECT mood, name, max(id) AS latest FROM author GROUP BY mood, ROLLUP (name);

-- name: rollup_of_pairs()
-- expect: mood mood?, name text?, nick text?, n int8!
-- (mood, name), nick; (mood, name); ().
SELECT mood, name, nick, count(*) AS n FROM author GROUP BY ROLLUP ((mood, name), nick);

-- name: expressions_over_grouped_columns()
-- expect: upper text?, safe text!, joined text?, missing bool!, concatenated text!
-- What is computed of a missing column.
SELECT
    upper(name), coalesce(name, 'total') AS safe, name || '!' AS joined, name IS NULL AS missing,
    concat(name, '!') AS concatenated
FROM author
GROUP BY ROLLUP (name);

-- name: rollup_of_an_expression()
-- expect: initial text?, n int8!
-- The expression is NULL in the total row.
SELECT left(name, 1) AS initial, count(*) AS n FROM author GROUP BY ROLLUP (left(name, 1));

-- name: constants_beside_grouping_sets()
-- expect: label text!, one int4!, mood mood?
-- A constant that is not grouped by stays.
SELECT 'moods' AS label, 1 AS one, mood FROM author GROUP BY ROLLUP (mood);

-- name: rollup_of_a_constant_column()
-- expect: kind text?, n int8!
-- The column is always 'c' in the subselect, but NULL in the total row.
SELECT t.kind, count(*) AS n FROM (SELECT 'c' AS kind FROM author) AS t GROUP BY ROLLUP (t.kind);

-- name: where_does_not_narrow_grouping_sets()
-- expect: nick text?, n int8!
-- The total row is made after WHERE.
SELECT nick, count(*) AS n FROM author WHERE nick IS NOT NULL GROUP BY ROLLUP (nick);

-- name: having_narrows_grouping_sets()
-- expect: nick text!, n int8!
-- HAVING comes after it.
SELECT nick, count(*) AS n FROM author GROUP BY ROLLUP (nick) HAVING nick IS NOT NULL;

-- name: aggregate_arguments_in_grouping_sets()
-- expect: mood mood?, nick text?, latest text!, names _text!
-- The arguments of an aggregate are the rows' own values, not the missing ones.
SELECT mood, nick, max(nick) AS latest, array_agg(mood::text) AS names
FROM author
WHERE nick IS NOT NULL
GROUP BY GROUPING SETS ((mood), (nick));

-- name: grouping_sets_in_subselect()
-- expect: mood mood?, n int8!
-- A subselect passes the missing values on.
SELECT t.mood, t.n FROM (SELECT mood, count(*) AS n FROM author GROUP BY CUBE (mood)) AS t;

-- name: join_on_a_grouped_column()
-- expect: mood mood!, title text!, n int8!
-- An inner join leaves the total out.
SELECT t.mood, b.title, t.n
FROM (SELECT mood, count(*) AS n FROM author GROUP BY ROLLUP (mood)) AS t
JOIN book AS b ON b.mood = t.mood;

-- name: grouping_distinct()
-- expect: mood mood?, name text?, n int8!
-- GROUP BY DISTINCT removes sets that come twice.
SELECT mood, name, count(*) AS n FROM author GROUP BY DISTINCT ROLLUP (mood), ROLLUP (mood, name);

-- name: window_over_grouping_sets()
-- expect: mood mood?, place int8!, total numeric!
-- Windows see the rows that were made.
SELECT mood, row_number() OVER (ORDER BY mood) AS place, sum(count(*)) OVER () AS total
FROM author
GROUP BY ROLLUP (mood);

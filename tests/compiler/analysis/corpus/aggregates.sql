-- Aggregates. Over no rows only the counts have a value; a group has at least one row.

-- name: counts_of_all()
-- expect: n int8!, books int8!, authors int8!, filtered int8!
-- count is 0 over no rows.
SELECT
    count(*) AS n, count(author_id) AS books, count(DISTINCT author_id) AS authors,
    count(*) FILTER (WHERE in_print) AS filtered
FROM book;

-- name: numbers_of_no_rows()
-- expect: sum int8?, avg numeric?, min int4?, max int4?, total numeric?
-- NOT NULL columns, but perhaps no row.
SELECT sum(stock), avg(stock), min(stock), max(stock), sum(price) AS total FROM book;

-- name: collections_of_no_rows()
-- expect: titles _text?, joined text?, json json?, jsonb jsonb?, object jsonb?
-- An empty table gives NULL, not an empty array.
SELECT
    array_agg(title) AS titles, string_agg(title, ',') AS joined, json_agg(title) AS json, jsonb_agg(title) AS jsonb,
    jsonb_object_agg(title, stock) AS object
FROM book;

-- name: booleans_of_no_rows()
-- expect: all_of bool?, any_of bool?, every bool?, bits int4?
-- Not even bool_and has a value for no rows.
SELECT bool_and(in_print) AS all_of, bool_or(in_print) AS any_of, every(in_print), bit_or(stock) AS bits FROM book;

-- name: numbers_by_group()
-- expect: author_id int4?, sum int8!, avg numeric!, min int4!, max int4!
-- A group has a row, and that row's stock is not NULL.
SELECT author_id, sum(stock), avg(stock), min(stock), max(stock) FROM book GROUP BY author_id;

-- name: nullable_numbers_by_group()
-- expect: author_id int4?, sum int8?, avg numeric?, min int4?, max int4?
-- All values of a group may be NULL.
SELECT author_id, sum(pages), avg(pages), min(pages), max(pages) FROM book GROUP BY author_id;

-- name: collections_by_group()
-- expect: in_print bool!, titles _text!, joined text!, json json!, jsonb jsonb!, object jsonb!
-- Of NOT NULL columns.
SELECT
    in_print, array_agg(title) AS titles, string_agg(title, ',') AS joined, json_agg(title) AS json,
    jsonb_agg(title) AS jsonb, jsonb_object_agg(title, stock) AS object
FROM book
GROUP BY in_print;

-- name: nullable_collections_by_group()
-- expect: in_print bool!, subtitles _text!, joined text?, json json!, jsonb jsonb!, object jsonb!
-- array_agg and json_agg keep NULL as an element; string_agg leaves it out.
SELECT
    in_print, array_agg(subtitle) AS subtitles, string_agg(subtitle, ',') AS joined, json_agg(subtitle) AS json,
    jsonb_agg(subtitle) AS jsonb, jsonb_object_agg(title, subtitle) AS object
FROM book
GROUP BY in_print;

-- name: booleans_by_group()
-- expect: author_id int4?, all_of bool!, any_loaned bool?, every bool!, bits int4!
-- bool_or of a nullable column may find no value.
SELECT
    author_id, bool_and(in_print) AS all_of, bool_or(loaned) AS any_loaned, every(stock > 0), bit_or(stock) AS bits
FROM book
GROUP BY author_id;

-- name: deviation_of_one_row()
-- expect: author_id int4?, sample numeric?, population numeric!, sample_variance numeric?, population_variance numeric!
-- A sample of one has no deviation; a population of one has the deviation 0.
SELECT
    author_id,
    stddev(stock) AS sample,
    stddev_pop(stock) AS population,
    var_samp(stock) AS sample_variance,
    var_pop(stock) AS population_variance
FROM book
GROUP BY author_id;

-- name: regression_by_group()
-- expect: book_id int4!, corr float8?, slope float8?, together int8!, sample float8?
-- The correlation of points without variance is NULL.
SELECT
    book_id, corr(weight, id) AS corr, regr_slope(weight, id) AS slope, regr_count(weight, id) AS together,
    covar_samp(weight, id) AS sample
FROM review
GROUP BY book_id;

-- name: ordered_set_by_group()
-- expect: author_id int4?, median float8!, discrete int4!, most_frequent bool!, quartiles _float8!
-- Percentiles of a NOT NULL column in a group.
SELECT
    author_id,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY stock) AS median,
    percentile_disc(0.5) WITHIN GROUP (ORDER BY stock) AS discrete,
    mode() WITHIN GROUP (ORDER BY in_print) AS most_frequent,
    percentile_cont(ARRAY[0.25, 0.75]) WITHIN GROUP (ORDER BY stock) AS quartiles
FROM book
GROUP BY author_id;

-- name: ordered_set_of_nullable_by_group()
-- expect: author_id int4?, median float8?, most_frequent int4?
-- Percentiles leave NULL out.
SELECT
    author_id,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY pages) AS median,
    mode() WITHIN GROUP (ORDER BY pages) AS most_frequent
FROM book
GROUP BY author_id;

-- name: ordered_set_of_no_rows()
-- expect: median float8?, most_frequent text?
-- No rows, no percentile.
SELECT
    percentile_cont(0.5) WITHIN GROUP (ORDER BY stock) AS median, mode() WITHIN GROUP (ORDER BY title) AS most_frequent
FROM book;

-- name: percentile_of_a_nullable_fraction()
-- expect: rating numeric?, median int4?
-- A fraction that is NULL gives NULL.
SELECT a.rating, percentile_disc(a.rating::float8 / 10) WITHIN GROUP (ORDER BY b.stock) AS median
FROM author AS a CROSS JOIN book AS b
WHERE a.rating BETWEEN 0 AND 9 OR a.rating IS NULL
GROUP BY a.rating;

-- name: hypothetical_rank()
-- expect: rank int8!, dense_rank int8!, percent_rank float8!, cume_dist float8!
-- The rank that a hypothetical row would have: the first, if there are no rows.
SELECT
    rank(5) WITHIN GROUP (ORDER BY stock), dense_rank(5) WITHIN GROUP (ORDER BY stock),
    percent_rank(5) WITHIN GROUP (ORDER BY stock), cume_dist(5) WITHIN GROUP (ORDER BY stock)
FROM book;

-- name: filter_by_group()
-- expect: author_id int4?, printed int8?, n int8!, titles _text?
-- FILTER may leave a group without rows.
SELECT
    author_id, sum(stock) FILTER (WHERE in_print) AS printed, count(*) FILTER (WHERE in_print) AS n,
    array_agg(title) FILTER (WHERE in_print) AS titles
FROM book
GROUP BY author_id;

-- name: coalesce_of_aggregates()
-- expect: stock int8!, titles _text!, document jsonb!, latest timestamptz?
-- With coalesce.
SELECT
    coalesce(sum(stock), 0) AS stock, coalesce(array_agg(title), '{}') AS titles,
    coalesce(jsonb_agg(title), '[]') AS document, coalesce(max(added_at), min(published)) AS latest
FROM book;

-- name: having_without_group_by()
-- expect: sum int8?, n int8!
-- HAVING without GROUP BY makes one group of all rows.
SELECT sum(stock), count(*) AS n FROM book HAVING count(*) >= 0;

-- name: having_only()
-- expect: one int4!
-- One row, without an aggregate in the select list.
SELECT 1 AS one FROM book HAVING count(*) >= 0;

-- name: group_by_nothing()
-- expect: sum int8?, n int8!
-- GROUP BY () is the same as none: one row of an empty table.
SELECT sum(stock), count(*) AS n FROM book GROUP BY ();

-- name: group_by_primary_key()
-- expect: id int4!, name text!, nick text?, books int8!, longest int4?, stock int8?
-- The other columns of a row grouped by its key, over an outer join.
SELECT a.id, a.name, a.nick, count(b.id) AS books, max(b.pages) AS longest, sum(b.stock) AS stock
FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id
GROUP BY a.id;

-- name: group_over_outer_join_collections()
-- expect: id int4!, titles _text!, given _text?, rows json!, missing bool!, ones int8!
-- array_agg has the NULL of the missing row as its element; FILTER takes it away, and leaves NULL.
SELECT
    a.id, array_agg(b.title) AS titles, array_agg(b.title) FILTER (WHERE b.id IS NOT NULL) AS given,
    json_agg(b) AS rows, bool_or(b.id IS NULL) AS missing, sum(1) AS ones
FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id
GROUP BY a.id;

-- name: group_by_expression()
-- expect: initial text!, low text?, n int8!
-- Expressions of NOT NULL and nullable columns.
SELECT left(name, 1) AS initial, lower(nick) AS low, count(*) AS n FROM author GROUP BY left(name, 1), lower(nick);

-- name: group_by_position()
-- expect: author_id int4?, in_print bool!, n int8!
-- By position in the select list.
SELECT author_id, in_print, count(*) AS n FROM book GROUP BY 1, 2;

-- name: aggregates_of_expressions()
-- expect: mood mood?, worth numeric!, longest int4?, either int4!
-- The nullability of the argument decides.
SELECT mood, sum(stock * price) AS worth, max(pages + stock) AS longest, max(coalesce(pages, stock)) AS either
FROM book
GROUP BY mood;

-- name: distinct_aggregates()
-- expect: author_id int4?, titles _text!, joined text!, authors int8!
-- DISTINCT and ORDER BY inside change nothing of that.
SELECT
    author_id, array_agg(DISTINCT title) AS titles, string_agg(title, ',' ORDER BY id DESC) AS joined,
    count(DISTINCT editor_id) AS authors
FROM book
GROUP BY author_id;

-- name: aggregates_of_other_types()
-- expect: in_print bool!, mood mood?, added timestamptz!, published timestamptz?, ranges int4multirange!
-- max of an enum, of times; range_agg.
SELECT
    in_print, max(mood) AS mood, max(added_at) AS added, min(published) AS published,
    range_agg(int4range(stock, stock + 1)) AS ranges
FROM book
GROUP BY in_print;

-- name: aggregate_in_subselect()
-- expect: n int8?, least int8?
-- max of the counts of no groups.
SELECT max(t.n) AS n, min(t.n) AS least FROM (SELECT count(*) AS n FROM book GROUP BY author_id) AS t;

-- name: user_aggregate()
-- expect: mood mood!, last text?
-- The result of a user's aggregate is unknown, even for a group of NOT NULL values.
SELECT mood, last_text(name ORDER BY id) AS last FROM author GROUP BY mood;

-- name: user_count()
-- expect: n int8?, of_any int8!
-- count(mood) of this schema is not PostgreSQL's count.
SELECT count(mood) AS n, count(name) AS of_any FROM author;

-- name: nested_expressions_of_aggregates()
-- expect: share numeric?, either int8!, has_rows bool!, known bool!, text text?
-- What is computed of an aggregate over no rows.
SELECT
    sum(stock) * 1.0 / count(*) AS share,
    greatest(sum(stock), count(*)) AS either,
    count(*) > 0 AS has_rows,
    max(stock) IS NOT NULL AS known,
    max(stock)::text AS text
FROM book;

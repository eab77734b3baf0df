-- Expressions: literals, operators, casts, and the three values of logic.

-- name: literals()
-- expect: int4 int4!, int8 int8!, numeric numeric!, text text!, bool bool!, empty text!, stamp timestamptz!, bits bit!
-- A literal is what it is.
SELECT
    1 AS int4, 5000000000 AS int8, 1.5 AS numeric, 'x' AS text, true AS bool, '' AS empty,
    timestamptz '2020-01-01' AS stamp, B'101' AS bits;

-- name: null_literals()
-- expect: untyped text?, typed int4?, by_cast date?
-- NULL stays NULL.
SELECT NULL AS untyped, NULL::int4 AS typed, CAST(NULL AS date) AS by_cast;

-- name: arithmetic()
-- expect: sum int4!, difference int4!, product numeric!, quotient int4!, rest int4!, negative int4!, power float8!
-- expect: bits int4!
-- Arithmetic raises an error or returns a value.
SELECT
    stock + id AS sum, stock - 1 AS difference, stock * price AS product, stock / 2 AS quotient, stock % 3 AS rest,
    - stock AS negative, stock ^ 2 AS power, (stock & 1) | (id << 2) AS bits
FROM book;

-- name: arithmetic_with_nullable()
-- expect: sum int4?, product numeric?, negative int4?
-- One operand that is NULL.
SELECT stock + pages AS sum, price * pages AS product, - pages AS negative FROM book;

-- name: comparisons()
-- expect: equal bool!, less bool!, differs bool!, unknown bool?, unknown_too bool?
-- Comparisons are booleans, or NULL.
SELECT
    id = stock AS equal, title < 'M' AS less, price <> 0 AS differs, pages = 1 AS unknown, stock >= pages AS unknown_too
FROM book;

-- name: three_valued_logic()
-- expect: both bool?, either bool?, negated bool?, known bool!, always bool!, never bool!
-- AND, OR and NOT of NULL; true OR NULL is true, false AND NULL is false.
SELECT
    in_print AND loaned AS both, in_print OR loaned AS either, NOT loaned AS negated,
    in_print AND stock > 0 OR NOT in_print AS known, loaned OR true AS always, loaned AND false AS never
FROM book;

-- name: null_tests()
-- expect: missing bool!, given bool!, is_true bool!, is_not_true bool!, is_false bool!, is_unknown bool!
-- A test for NULL is never NULL.
SELECT
    pages IS NULL AS missing, pages IS NOT NULL AS given, loaned IS TRUE AS is_true, loaned IS NOT TRUE AS is_not_true,
    loaned IS FALSE AS is_false, loaned IS UNKNOWN AS is_unknown
FROM book;

-- name: distinct_from()
-- expect: differs bool!, same bool!, from_null bool!
-- Neither is IS DISTINCT FROM.
SELECT
    pages IS DISTINCT FROM stock AS differs, subtitle IS NOT DISTINCT FROM title AS same,
    pages IS DISTINCT FROM NULL AS from_null
FROM book;

-- name: between()
-- expect: inside bool!, outside bool!, unknown bool?, symmetric bool!
-- BETWEEN is two comparisons.
SELECT
    stock BETWEEN 1 AND 5 AS inside, stock NOT BETWEEN 1 AND 5 AS outside, stock BETWEEN 0 AND pages AS unknown,
    stock BETWEEN SYMMETRIC 5 AND 1 AS symmetric
FROM book;

-- name: in_lists()
-- expect: known bool!, unknown bool?, not_known bool!, with_null bool?, not_with_null bool?
-- NULL in the list is unknown where nothing matches.
SELECT
    title IN ('Alpha', 'Beta') AS known, subtitle IN ('sub') AS unknown, title NOT IN ('Alpha', 'Beta') AS not_known,
    title IN ('Alpha', NULL) AS with_null, title NOT IN ('Alpha', NULL) AS not_with_null
FROM book;

-- name: in_list_of_columns()
-- expect: known bool!, unknown bool?
-- Columns in the list.
SELECT id IN (stock, 5) AS known, id IN (stock, pages) AS unknown FROM book;

-- name: in_subqueries()
-- expect: known bool!, unknown bool?, not_in bool?, of_nullable bool?
-- IN a subquery that has NULL in it, or of a value that is.
SELECT
    id IN (SELECT id FROM book) AS known, id IN (SELECT author_id FROM book) AS unknown,
    id NOT IN (SELECT author_id FROM book) AS not_in, nick IN (SELECT name FROM author) AS of_nullable
FROM author;

-- name: any_and_all()
-- expect: of_constant bool!, of_array bool?, all_of_array bool?, of_nullable bool?, of_parameterless bool!
-- An array column may have NULL in it, NOT NULL or not.
SELECT
    title = ANY (ARRAY['a', 'b']) AS of_constant, title = ANY (tags) AS of_array, title <> ALL (tags) AS all_of_array,
    subtitle = ANY ('{a,b}') AS of_nullable, stock > ALL (ARRAY[0, id]) AS of_parameterless
FROM book;

-- name: any_and_all_of_subqueries()
-- expect: above_some bool?, above_all bool!, above_pages bool?
-- The same for subqueries.
SELECT
    stock > ANY (SELECT pages FROM book) AS above_some, stock > ALL (SELECT id FROM author) AS above_all,
    stock > ALL (SELECT pages FROM book) AS above_pages
FROM book;

-- name: pattern_matching()
-- expect: likes bool!, ilikes bool!, matches bool!, similar_to bool!, unknown bool?, by_nullable bool?
-- Patterns.
SELECT
    name LIKE 'A%' AS likes, name NOT ILIKE 'a%' AS ilikes, name ~ '^A' AS matches, name SIMILAR TO 'A%' AS similar_to,
    nick LIKE 'b%' AS unknown, name LIKE nick AS by_nullable
FROM author;

-- name: concatenation()
-- expect: joined text!, with_nullable text?, with_number text!, with_array _text!
-- || of text is strict.
SELECT
    title || '!' AS joined, title || subtitle AS with_nullable, title || stock AS with_number,
    tags || ARRAY['x'] AS with_array
FROM book;

-- name: casts()
-- expect: text text!, int4 int4!, varchar varchar!, json json!, mood mood!, class regclass!, flag int4!, bigger int8!
-- A cast raises an error or returns a value.
SELECT
    price::text AS text, '12'::text::int4 AS int4, title::varchar(3) AS varchar, meta::text::json AS json,
    'ok'::text::mood AS mood, 'author'::regclass AS class, in_print::int4 AS flag, stock::int8 AS bigger
FROM book;

-- name: casts_of_nullable()
-- expect: text text?, int4 int4?, array_of _varchar?, mood text?
-- Of NULL it is NULL.
SELECT pages::text AS text, nullif(subtitle, subtitle)::int4 AS int4, keywords::varchar[] AS array_of, mood::text
FROM book;

-- name: implicit_casts()
-- expect: mixed numeric!, promoted float8!, compared bool!
-- Implicit casts.
SELECT b.stock + 1.5 AS mixed, b.stock + r.weight AS promoted, b.id = r.id AS compared
FROM book AS b CROSS JOIN review AS r;

-- name: row_comparisons()
-- expect: same bool!, unknown bool?, less bool!, distinct_rows bool!
-- Rows, field by field.
SELECT
    (id, name) = (1, 'Ada') AS same, (id, nick) = (1, 'bob') AS unknown, (id, name) < (2, 'B') AS less,
    (id, nick) IS DISTINCT FROM (1, NULL) AS distinct_rows
FROM author;

-- name: row_null_tests()
-- expect: all_null bool!, none_null bool!, whole bool!
-- A row IS NULL when all of its fields are.
SELECT ROW(nick, born) IS NULL AS all_null, ROW(nick, born) IS NOT NULL AS none_null, a.* IS NOT NULL AS whole
FROM author AS a;

-- name: row_constructors()
-- expect: pair record!, address address!, whole record!
-- A row of NULLs is a row.
SELECT ROW(nick, born) AS pair, ROW(nick, NULL)::address AS address, (id, name) AS whole FROM author;

-- name: whole_rows_compared()
-- expect: same bool!, other bool!
-- Rows of tables are compared as values: NULL equals NULL in them.
SELECT a = a AS same, a IS DISTINCT FROM o AS other FROM author AS a CROSS JOIN author AS o;

-- name: collations()
-- expect: sorted text!, nullable text?
-- COLLATE changes no value.
SELECT name COLLATE "C" AS sorted, nick COLLATE "C" AS nullable FROM author;

-- name: date_arithmetic()
-- expect: tomorrow date!, days int4!, later timestamptz!, age interval!, at timestamp!, halved interval!
-- expect: nullable date?
-- Dates and intervals.
SELECT
    current_date + 1 AS tomorrow, current_date - date '2020-01-01' AS days, r.written_at + interval '1 day' AS later,
    now() - timestamptz '2020-01-01' AS age, current_date + time '12:00' AS at, interval '1 day' / 2 AS halved,
    a.born + 1 AS nullable
FROM review AS r CROSS JOIN author AS a;

-- name: overlaps()
-- expect: known bool!, unknown bool?
-- OVERLAPS with an end that is NULL.
SELECT
    (x_date, date '2020-01-01') OVERLAPS (date '2019-01-01', date '2021-01-01') AS known,
    (x_date, n_date) OVERLAPS (date '2019-01-01', date '2019-01-01') AS unknown
FROM kind;

-- name: at_time_zone()
-- expect: local timestamp!, absolute timestamptz!, nullable timestamp?
-- AT TIME ZONE.
SELECT
    added_at AT TIME ZONE 'UTC' AS local, timestamp '2020-01-01' AT TIME ZONE 'UTC' AS absolute,
    published AT TIME ZONE 'UTC' AS nullable
FROM book;

-- name: nullifs()
-- expect: by_empty text?, by_other int4?, back int4!
-- The purpose of NULLIF is to return NULL.
SELECT nullif(title, '') AS by_empty, nullif(stock, id) AS by_other, coalesce(nullif(stock, 0), 1) AS back FROM book;

-- name: field_of_a_row()
-- expect: name text!, nick text?
-- A field of a whole row is the column.
SELECT (a).name, (a).nick FROM author AS a;

-- name: quoted_names()
-- expect: Full Name text!, Spitzname (falls bekannt) text?
-- A column's name may be anything.
SELECT name AS "Full Name", nick AS "Spitzname (falls bekannt)" FROM author;

-- name: ordering_by_nullable()
-- expect: name text!
-- What is sorted by is not returned.
SELECT name FROM author ORDER BY nick NULLS FIRST, rating DESC;

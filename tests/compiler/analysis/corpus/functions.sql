-- Built-in functions. STRICT says NULL for NULL; only knowledge of each function says what else is NULL.

-- name: string_functions()
-- expect: length int4!, upper text!, trimmed text!, replace text!, substr text!, part text!, padded text!, md5 text!
-- expect: position int4!, starts bool!, left text!, reverse text!, ascii int4!, translate text!, repeat text!
-- Strings of a NOT NULL column: at least ''.
SELECT
    length(name), upper(name), trim(both ' ' from name) AS trimmed, replace(name, 'a', 'b'), substr(name, 2, 3),
    split_part(name, ' ', 2) AS part, lpad(name, 5) AS padded, md5(name), position('a' in name),
    starts_with(name, 'A') AS starts, left(name, 1), reverse(name), ascii(name), translate(name, 'a', 'b'),
    repeat(name, 2)
FROM author;

-- name: string_functions_of_nullable()
-- expect: length int4?, upper text?, trimmed text?, replace text?, part text?, joined text?
-- The same for a nullable column, or with a nullable argument.
SELECT
    length(nick), upper(nick), trim(nick) AS trimmed, replace(name, nick, 'b'), split_part(name, nick, 1) AS part,
    name || nick AS joined
FROM author;

-- name: substring_by_position()
-- expect: middle text!, rest text!, overlaid text!
-- By position it is never NULL, but it may be ''.
SELECT
    substring(name from 2 for 3) AS middle, substring(name from 9) AS rest, overlay(name placing 'x' from 1) AS overlaid
FROM author;

-- name: substring_from_pattern()
-- expect: found text?, similar_found text?
-- By pattern it is NULL where nothing matches.
SELECT substring(name from 'A.') AS found, substring(name similar '#"A#"%' escape '#') AS similar_found FROM author;

-- name: regular_expressions()
-- expect: found _text?, replaced text!, split _text!, counted int4!, place int4!, part text?, fits bool!
-- Only functions that search for a match may find none.
SELECT
    regexp_match(name, 'A(.)') AS found, regexp_replace(name, 'a', 'b') AS replaced,
    regexp_split_to_array(name, 'a') AS split, regexp_count(name, 'a') AS counted, regexp_instr(name, 'a') AS place,
    regexp_substr(name, 'A.') AS part, regexp_like(name, 'a') AS fits
FROM author;

-- name: rows_of_matches()
-- expect: name text!, match _text!
-- regexp_matches has no row where there is no match.
SELECT name, regexp_matches(name, '(o)|(a)', 'g') AS match FROM author;

-- name: rows_of_splits()
-- expect: word text!, piece text!
-- Pieces of a string, each a string.
SELECT w AS word, p AS piece
FROM author AS a, regexp_split_to_table(a.name, 'o') AS w, string_to_table(a.name, 'd') AS p;

-- name: rows_of_splits_with_null()
-- expect: piece text?
-- The third argument is the text that stands for NULL.
SELECT p AS piece FROM author AS a, string_to_table(a.name, 'd', 'A') AS p;

-- name: concat_functions()
-- expect: concat text!, concat_ws text!, format text!, literal text!, nulls int4!, filled int4!
-- They treat NULL as nothing.
SELECT
    concat(nick, born), concat_ws(', ', nick, born), format('%s of %s', nick, born), quote_nullable(nick) AS literal,
    num_nulls(nick, born) AS nulls, num_nonnulls(nick, born) AS filled
FROM author;

-- name: concat_functions_with_null_frame()
-- expect: concat_ws text?, format text?, literal text?
-- But not for a separator or a format that is NULL; and quote_literal is strict.
SELECT concat_ws(nick, 'a', 'b'), format(nick, 'a'), quote_literal(nick) AS literal
FROM author
WHERE nick IS NULL OR nick NOT LIKE '%\%%';

-- name: concat_variadic()
-- expect: of_array text!, of_nullable_array text?, nulls int4?
-- VARIADIC of an array that is NULL has no arguments at all, and gives NULL.
SELECT
    concat(VARIADIC tags) AS of_array, concat(VARIADIC keywords) AS of_nullable_array,
    num_nulls(VARIADIC keywords) AS nulls
FROM book;

-- name: to_char_of_times()
-- expect: at text?, local text?, day text?
-- Infinity has no digits: to_char gives NULL for it.
SELECT
    to_char(x_timestamptz, 'YYYY-MM-DD') AS at, to_char(x_timestamp, 'HH24:MI') AS local, to_char(x_date, 'DD') AS day
FROM kind;

-- name: to_char_of_numbers(pattern)
-- expect: price text!, stock text!, weight text!, by_pattern text!
-- params: pattern text!
-- to_char of a number is never NULL, not even for NaN.
SELECT
    to_char(b.price, '999.99') AS price, to_char(b.stock, '999') AS stock, to_char(r.weight, '9.9') AS weight,
    to_char(b.price, :pattern) AS by_pattern
FROM book AS b CROSS JOIN review AS r;

-- name: to_char_by_pattern(pattern)
-- expect: text text?
-- params: pattern text!
-- An empty pattern gives NULL for any time.
SELECT to_char(now(), :pattern) AS text;

-- name: to_number_by_pattern(pattern)
-- expect: fixed numeric!, number numeric?
-- params: pattern text!
-- An empty pattern returns NULL here as well.
SELECT to_number('12', '99') AS fixed, to_number('12', :pattern) AS number;

-- name: to_date_and_to_timestamp()
-- expect: day date!, at timestamptz!, epoch timestamptz!
-- These raise an error or return a value.
SELECT to_date('2020-02-29', 'YYYY-MM-DD') AS day, to_timestamp('2020', 'YYYY') AS at, to_timestamp(0) AS epoch;

-- name: extract_from_infinity()
-- expect: year numeric!, month numeric?, hour numeric?, epoch numeric!, part float8?, dow numeric?
-- Of an infinite time, the fields that grow are infinite, and the cyclic ones are NULL.
SELECT
    extract(year from x_timestamptz) AS year, extract(month from x_timestamptz) AS month,
    extract(hour from x_timestamp) AS hour, extract(epoch from x_timestamp) AS epoch,
    date_part('minute', x_timestamptz) AS part, extract(dow from x_date) AS dow
FROM kind;

-- name: extract_from_finite()
-- expect: hour numeric!, minute numeric!, part float8!
-- A time of day has no infinity.
SELECT extract(hour from x_time) AS hour, extract(minute from x_timetz) AS minute, date_part('second', x_time) AS part
FROM kind;

-- name: extract_by_field(field)
-- expect: part float8?
-- params: field text!
-- A field that is not known before the call.
SELECT date_part(:field, x_timestamptz) AS part FROM kind;

-- name: time_functions()
-- expect: day timestamptz!, truncated timestamp!, finite bool!, local timestamp!, made date!, span interval!
-- expect: justified interval!, binned timestamptz!
-- These functions preserve infinity.
SELECT
    date_trunc('day', x_timestamptz) AS day, date_trunc('hour', x_timestamp) AS truncated,
    isfinite(x_timestamptz) AS finite, x_timestamptz AT TIME ZONE 'UTC' AS local, make_date(2020, 2, 29) AS made,
    make_interval(days => 3) AS span, justify_days(x_interval) AS justified,
    date_bin('1 hour', now(), '2020-01-01') AS binned
FROM kind;

-- name: clock()
-- expect: now timestamptz!, today date!, at timestamptz!, local timestamp!, clock timestamptz!, time time!
-- The current time is never NULL.
SELECT
    now(), current_date AS today, current_timestamp AS at, localtimestamp AS local, clock_timestamp() AS clock,
    localtime(0) AS time;

-- name: session()
-- expect: who name!, by name!, role name!, db name!, version text!, pid int4!
-- Session information.
SELECT
    current_user AS who, session_user AS by, current_role AS role, current_database() AS db, version(),
    pg_backend_pid() AS pid;

-- name: session_schema()
-- expect: current_schema name?, schemas _name!
-- A search_path without a schema that exists has no current one.
SELECT current_schema(), current_schemas(true) AS schemas;

-- name: settings_of_the_session()
-- expect: version text!, tenant text?, given text!
-- A setting that may not exist. set_config returns the new value.
SELECT
    current_setting('server_version') AS version, current_setting('rowsmith.tenant', true) AS tenant,
    set_config('rowsmith.other', 'x', true) AS given;

-- name: address_of_the_client()
-- expect: client inet?
-- A connection over a Unix socket has none.
SELECT inet_client_addr() AS client;

-- name: sequences()
-- expect: next int8!, set int8!
-- nextval returns a value or raises an error.
SELECT nextval('ticket') AS next, setval('ticket', 10) AS set;

-- name: sequence_of_column()
-- expect: sequence text?
-- A column may have no sequence.
SELECT pg_get_serial_sequence('author', 'id') AS sequence;

-- name: random_values()
-- expect: uuid uuid!, random float8!
-- random() never returns NULL.
SELECT gen_random_uuid() AS uuid, random();

-- name: void_functions()
-- expect: slept void!, told void!
-- PostgreSQL's own void functions return '', which is not NULL.
SELECT pg_sleep(0) AS slept, pg_notify('channel', 'x') AS told;

-- name: catalogue_functions()
-- expect: comment text?, missing regclass?, known regclass!, type regtype!, size int4?, owner name!
-- Functions that search for something return NULL if they do not find it.
SELECT
    obj_description('author'::regclass, 'pg_class') AS comment, to_regclass('nowhere') AS missing,
    'author'::regclass AS known, pg_typeof(nick) AS type, pg_column_size(nick) AS size, pg_get_userbyid(10) AS owner
FROM author;

-- name: mathematics()
-- expect: abs int4!, round numeric!, floor numeric!, power numeric!, mod int4!, sign numeric!, bucket int4!
-- expect: root float8!
-- NaN is a number, as far as NULL goes.
SELECT
    abs(stock), round(price, 1), floor(price), power(price, 2), mod(stock, 7), sign(price),
    width_bucket(price, 0, 10, 5) AS bucket, sqrt(abs(stock)) AS root
FROM book;

-- name: mathematics_of_nullable()
-- expect: abs int4?, round numeric?, mod int4?
-- Strict functions.
SELECT abs(b.pages), round(a.rating), mod(b.stock, b.pages)
FROM book AS b CROSS JOIN author AS a
WHERE b.pages IS NULL OR b.pages <> 0;

-- name: scale_of_nan()
-- expect: scale int4?, trimmed numeric!, text text!
-- NaN has no scale.
SELECT scale(x_numeric), trim_scale(x_numeric) AS trimmed, x_numeric::text AS text FROM kind;

-- name: greatest_and_least()
-- expect: high int4!, low int4!, either text?, both int4!
-- They leave NULL out; one argument that is not NULL is enough.
SELECT
    greatest(b.pages, b.stock) AS high, least(b.pages, 0) AS low, greatest(b.subtitle, a.nick) AS either,
    least(b.stock, b.id) AS both
FROM book AS b CROSS JOIN author AS a;

-- name: enum_functions()
-- expect: first mood!, range _mood!, of_null mood!
-- They only depend on the type.
SELECT enum_first(mood) AS first, enum_range(mood) AS range, enum_last(NULL::mood) AS of_null FROM book;

-- name: bytes_and_codes()
-- expect: hex text!, hash bytea!, n int4!, decoded bytea!, chr text!, quoted text!
-- Bytes and their codes.
SELECT
    encode(x_bytea, 'hex') AS hex, sha256(x_bytea) AS hash, octet_length(x_bytea) AS n, decode('ff', 'hex') AS decoded,
    chr(65), quote_ident(x_text) AS quoted
FROM kind;

-- name: network_functions()
-- expect: host text!, masklen int4!, network cidr!, family int4!, nullable text?
-- Addresses.
SELECT host(x_inet), masklen(x_inet), network(x_inet), family(x_inet), host(n_inet) AS nullable FROM kind;

-- name: text_search()
-- expect: vector tsvector!, query tsquery!, rank float4!, matches bool!, nullable bool?
-- Text search.
SELECT
    to_tsvector('simple', title) AS vector, plainto_tsquery('simple', title) AS query,
    ts_rank(to_tsvector('simple', title), to_tsquery('simple', 'a')) AS rank,
    to_tsvector('simple', title) @@ to_tsquery('simple', 'a') AS matches,
    to_tsvector('simple', subtitle) @@ to_tsquery('simple', 'a') AS nullable
FROM book;

-- name: operators_that_find_nothing()
-- expect: xor int4!, common box?, crossing point?, distance float8!
-- One operator's name, and two meanings: # of numbers always is, # of boxes and segments may not be.
SELECT
    stock # 1 AS xor, box '(50,50),(60,60)' # k.x_box AS common,
    lseg '[(0,0),(1,1)]' # lseg '[(5,5),(6,5)]' AS crossing,
    k.x_point <-> point '(0,0)' AS distance
FROM book CROSS JOIN kind AS k;

-- name: generate_series_rows()
-- expect: n int4!, day timestamptz!
-- A series contains no NULL.
SELECT n, d AS day FROM generate_series(1, 3) AS n, generate_series(now(), now() + '2 days', '1 day') AS d;

-- name: generate_series_of_nullable()
-- expect: id int4!, n int4!
-- A bound that is NULL gives no row.
SELECT b.id, n FROM book AS b, generate_series(1, b.pages) AS n WHERE b.stock >= 0;

-- name: generate_series_in_the_list()
-- expect: id int4!, n int4!
-- The same in the select list.
SELECT id, generate_series(1, 2) AS n FROM author;

-- name: two_series_in_the_list(n, m)
-- expect: first int4?, second int4?
-- params: n int4!, m int4!
-- The shorter one is padded with NULL.
SELECT generate_series(1, :n) AS first, generate_series(1, :m) AS second;

-- name: rows_from_two(n, m)
-- expect: first int4?, second int4?, ordinality int8!
-- params: n int4!, m int4!
-- ROWS FROM also pads with NULL. The ordinal number is never NULL.
SELECT t.first, t.second, t.ordinality
FROM ROWS FROM (generate_series(1, :n), generate_series(1, :m)) WITH ORDINALITY AS t (first, second, ordinality);

-- name: with_ordinality()
-- expect: word text!, place int8!
-- A set-returning function and its ordinal number.
SELECT w.word, w.place FROM regexp_split_to_table('a b', ' ') WITH ORDINALITY AS w (word, place);

-- name: with_ordinality_outer()
-- expect: id int4!, tag text?, place int8?
-- Through an outer join the ordinal number is missing, too.
SELECT b.id, t.tag, t.place FROM book AS b LEFT JOIN LATERAL unnest(b.tags) WITH ORDINALITY AS t (tag, place) ON true;

-- name: scalar_function_in_from()
-- expect: up text!, low text?, today date!
-- A scalar function in FROM returns one row with its value.
SELECT up, low, d AS today FROM author AS a, upper(a.name) AS up, lower(a.nick) AS low, current_date AS d;

-- name: strict_function_of_outer_join()
-- expect: length int4?, safe int4!, concatenated text!
-- NOT NULL in the table, not here.
SELECT length(b.title), coalesce(length(b.title), 0) AS safe, concat('<', b.title, '>') AS concatenated
FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id;

-- name: named_arguments()
-- expect: made timestamptz!, span interval?
-- Arguments by name, and those left to their defaults.
SELECT make_timestamptz(2020, 1, 1, 0, 0, 0, timezone => 'UTC') AS made, make_interval(days => pages) AS span FROM book;

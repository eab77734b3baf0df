-- What only a server of version 18 says, or says differently.

-- name: update_old_and_new(nick)
-- expect: old_nick text?, new_nick text?, nick text?, old_id int4!, new_id int4!
-- params: nick text?
-- Both rows of an UPDATE are there.
UPDATE author SET nick = :nick
RETURNING old.nick AS old_nick, new.nick AS new_nick, nick, old.id AS old_id, new.id AS new_id;

-- name: update_old_narrowed(nick)
-- expect: old_nick text!, new_nick text?
-- params: nick text?
-- WHERE tested the old row.
UPDATE author SET nick = :nick WHERE nick IS NOT NULL RETURNING old.nick AS old_nick, new.nick AS new_nick;

-- name: update_new_constant()
-- expect: old_nick text?, new_nick text!
-- SET determines the new one.
UPDATE author SET nick = 'x' RETURNING old.nick AS old_nick, new.nick AS new_nick;

-- name: insert_old_and_new(id, name)
-- expect: old_id int4?, new_id int4!, id int4!
-- params: id int4!, name text!
-- An inserted row has no old one.
INSERT INTO publisher (id, name) VALUES (:id, :name) RETURNING old.id AS old_id, new.id AS new_id, id;

-- name: delete_old_and_new()
-- expect: old_id int4!, new_id int4?, id int4!, old_nick text!
-- A deleted row has no new one.
DELETE FROM author WHERE nick IS NOT NULL RETURNING old.id AS old_id, new.id AS new_id, id, old.nick AS old_nick;

-- name: upsert_old_and_new(key, value)
-- expect: old_key text?, new_key text!, inserted bool!, old_hits int4?
-- params: key text!, value text?
-- There is an old row only where there was a conflict.
INSERT INTO setting (key, value) VALUES (:key, :value) ON CONFLICT (key) DO UPDATE SET value = excluded.value
RETURNING old.key AS old_key, new.key AS new_key, old.key IS NULL AS inserted, old.hits AS old_hits;

-- name: returning_with_aliases()
-- expect: was text!, is_now text!, change int4!
-- Names for the old and the new row.
UPDATE publisher SET name = name || '!'
RETURNING WITH (OLD AS o, NEW AS n) o.name AS was, n.name AS is_now, length(n.name) - length(o.name) AS change;

-- name: whole_old_and_new()
-- expect: old publisher!, new publisher?
-- As whole rows.
DELETE FROM publisher WHERE id = 3 RETURNING old, new;

-- name: merge_returning()
-- expect: action text!, id int4!, source int4!, old_nick text?, nick text?, name text!
-- merge_action() is never NULL. An inserted row has no old row.
MERGE INTO author AS a USING (VALUES (1), (9000)) AS s (id) ON s.id = a.id
WHEN MATCHED THEN UPDATE SET nick = NULL
WHEN NOT MATCHED THEN INSERT (id, name, mood) VALUES (s.id, 'new', 'ok')
RETURNING merge_action() AS action, a.id, s.id AS source, old.name AS old_nick, a.nick, a.name;

-- name: merge_update_only()
-- expect: id int4!, old_name text!, source int4!
-- Only rows that existed before.
MERGE INTO author AS a USING book AS b ON b.id = a.id
WHEN MATCHED THEN UPDATE SET nick = b.title
RETURNING a.id, old.name AS old_name, b.id AS source;

-- name: merge_by_source()
-- expect: id int4!, source int4?, title text?
-- NOT MATCHED BY SOURCE: the source's side is missing.
MERGE INTO author AS a USING book AS b ON b.id = a.id
WHEN MATCHED THEN DO NOTHING
WHEN NOT MATCHED BY SOURCE THEN DELETE
RETURNING a.id, b.id AS source, b.title;

-- name: merge_in_cte()
-- expect: action text!, n int8!
-- MERGE in WITH.
WITH changed AS (
    MERGE INTO author AS a USING book AS b ON b.id = a.id
    WHEN MATCHED THEN UPDATE SET nick = b.subtitle
    RETURNING merge_action() AS action
)
SELECT action, count(*) AS n FROM changed GROUP BY action;

-- name: not_null_not_valid()
-- expect: id int4!, amount numeric?, currency text!
-- A NOT VALID constraint has not checked the rows that existed before.
SELECT id, amount, currency FROM ledger;

-- name: insert_not_null_not_valid(id, amount)
-- expect: amount numeric!
-- params: id int4!, amount numeric!
-- It does check new rows.
INSERT INTO ledger (id, amount, currency) VALUES (:id, :amount, 'EUR') RETURNING amount;

-- name: check_not_enforced()
-- expect: id int4!, quantity int4?
-- A CHECK that is NOT ENFORCED checks nothing.
SELECT id, quantity FROM hoped;

-- name: virtual_columns()
-- expect: id int4!, height int4?, area int4?, doubled int4!, tall bool!
-- Virtual generated columns are computed when they are read.
SELECT id, height, area, doubled, tall FROM rectangle;

-- name: virtual_columns_outer()
-- expect: id int4!, doubled int4?, tall bool?
-- Through an outer join they are NULL all the same.
SELECT a.id, r.doubled, r.tall FROM author AS a LEFT JOIN rectangle AS r ON r.id = a.id + 1000;

-- name: infinite_intervals()
-- expect: text text?, minute numeric?, month numeric?, hour numeric!, day numeric!, year numeric!, epoch numeric!
-- Intervals can be infinite since 17. Their hours and days are not those of a clock or a month: they grow with them.
SELECT
    to_char(span, 'HH24') AS text, extract(minute from span) AS minute, extract(month from span) AS month,
    extract(hour from span) AS hour, extract(day from span) AS day, extract(year from span) AS year,
    extract(epoch from span) AS epoch
FROM timer;

-- name: json_null_cast()
-- expect: number int4?, flag bool?, text text!
-- JSON's null becomes SQL's by a cast.
SELECT
    (CASE WHEN jsonb_typeof(meta) = 'null' THEN meta ELSE '1' END)::int4 AS number,
    (CASE WHEN jsonb_typeof(meta) = 'null' THEN meta ELSE 'true' END)::bool AS flag,
    meta::text AS text
FROM book;

-- name: json_query_functions()
-- expect: value text?, defaulted text?, part jsonb?, exists bool!, unknown bool?, number int4?
-- SQL/JSON: a null in the document becomes NULL despite the defaults.
SELECT
    JSON_VALUE(meta, '$.a') AS value,
    JSON_VALUE(meta, '$.k' DEFAULT 'x' ON EMPTY DEFAULT 'y' ON ERROR) AS defaulted,
    JSON_QUERY(meta, '$.a') AS part, JSON_EXISTS(meta, '$.a') AS exists,
    JSON_EXISTS(meta, 'strict $.a' UNKNOWN ON ERROR) AS unknown, JSON_VALUE(meta, '$.a' RETURNING int4) AS number
FROM book;

-- name: json_constructors_of_the_standard()
-- expect: object json!, list json!, of_nulls json!, valid bool!, nullable bool?, scalar json!, text text!, empty json?
-- Constructors and tests; JSON_ARRAY of a query of no rows is NULL.
SELECT
    JSON_OBJECT('nick': nick) AS object, JSON_ARRAY(nick, born) AS list, JSON_ARRAY(nick NULL ON NULL) AS of_nulls,
    name IS JSON AS valid, nick IS JSON AS nullable, JSON_SCALAR(name) AS scalar, JSON_SERIALIZE('{}') AS text,
    JSON_ARRAY(SELECT 1 WHERE false) AS empty
FROM author;

-- name: json_aggregates_of_the_standard()
-- expect: names json?, object json?
-- Over no rows.
SELECT JSON_ARRAYAGG(name) AS names, JSON_OBJECTAGG(id: name) AS object FROM author;

-- name: json_aggregates_of_the_standard_by_group()
-- expect: mood mood!, names json!, nicks json!, object json!
-- Over a group: an array without the NULLs is still an array.
SELECT mood, JSON_ARRAYAGG(name) AS names, JSON_ARRAYAGG(nick) AS nicks, JSON_OBJECTAGG(id: nick) AS object
FROM author
GROUP BY mood;

-- name: json_table()
-- expect: place int4!, a text?, there bool!
-- The columns of JSON_TABLE; the ordinal number is always there.
SELECT t.place, t.a, t.there
FROM book AS b,
    JSON_TABLE(b.meta, '$' COLUMNS (place FOR ORDINALITY, a text PATH '$.a', there bool EXISTS PATH '$.a')) AS t;

-- name: any_values()
-- expect: mood mood!, name text!, nick text?
-- any_value is the first that is not NULL.
SELECT mood, any_value(name) AS name, any_value(nick) AS nick FROM author GROUP BY mood;

-- name: uuid_functions()
-- expect: uuid uuid!, at timestamptz!, none timestamptz?, version int2?
-- A uuid of version 4 contains no timestamp.
SELECT
    uuidv7() AS uuid, uuid_extract_timestamp(uuidv7()) AS at, uuid_extract_timestamp(gen_random_uuid()) AS none,
    uuid_extract_version('00000000-0000-0000-0000-000000000000') AS version;

-- name: newer_functions()
-- expect: sorted _text!, reversed _text!, folded text!, random int4!, valid bool!, message text?, shuffled _text!
-- Functions since 16.
SELECT
    array_sort(tags) AS sorted, array_reverse(tags) AS reversed, casefold(title) AS folded, random(1, 6),
    pg_input_is_valid(title, 'int4') AS valid, e.message, array_shuffle(tags) AS shuffled
FROM book, pg_input_error_info('1', 'int4') AS e;

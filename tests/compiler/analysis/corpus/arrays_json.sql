-- Arrays and JSON: what is in them may be NULL, or not be there at all.

-- name: subscripts()
-- expect: first text?, by_column text?, beyond text?
-- An element may be NULL, and there may be none.
SELECT tags[1] AS first, tags[stock] AS by_column, tags[99] AS beyond FROM book;

-- name: slices(n)
-- expect: slice _text!, upto _text!, nullable _text?, by_nullable _text?
-- params: n int4!
-- A slice of an array is an array, unless a bound is NULL.
SELECT tags[1:2] AS slice, tags[:n : ] AS upto, keywords[1:2] AS nullable, tags[1:pages] AS by_nullable FROM book;

-- name: array_constructors()
-- expect: of_nullable _text!, empty _int4!, nested _int4!, literal _text!, element text?
-- An array of NULLs is an array.
SELECT
    ARRAY[nick, NULL] AS of_nullable, ARRAY[]::int4[] AS empty, ARRAY[[1, 2], [3, 4]] AS nested,
    '{a,NULL}'::text[] AS literal, (ARRAY[nick])[1] AS element
FROM author;

-- name: array_measures()
-- expect: cardinality int4!, length int4?, upper int4?, ndims int4?, dims text?
-- An empty array has 0 elements, and no length.
SELECT cardinality(tags), array_length(tags, 1) AS length, array_upper(tags, 1) AS upper, array_ndims(tags) AS ndims,
    array_dims(tags) AS dims
FROM book;

-- name: array_functions()
-- expect: appended _text!, prepended _text!, removed _text!, replaced _text!, joined text!, with_null text!
-- expect: filled _int4!
-- expect: trimmed _text!, positions _int4!, position int4?
-- Of a NOT NULL array.
SELECT
    array_append(tags, 'x') AS appended, array_prepend('x', tags) AS prepended, array_remove(tags, 'a') AS removed,
    array_replace(tags, 'a', 'b') AS replaced, array_to_string(tags, ',') AS joined,
    array_to_string(tags, ',', '-') AS with_null, array_fill(0, ARRAY[2]) AS filled, trim_array(tags, 0) AS trimmed,
    array_positions(tags, 'a') AS positions, array_position(tags, 'a') AS position
FROM book;

-- name: array_functions_of_nullable()
-- expect: appended _text!, joined _text?, with_tags _text!, removed _text?, text text?, split _text?, positions _int4?
-- array_append and || take a NULL array for an empty one; most do not.
SELECT
    array_append(keywords, 'x') AS appended, keywords || keywords AS joined, keywords || tags AS with_tags,
    array_remove(keywords, 'a') AS removed, array_to_string(keywords, ',') AS text,
    string_to_array(subtitle, ',') AS split, array_positions(keywords, 'a') AS positions
FROM book;

-- name: array_operators()
-- expect: holds bool!, held bool!, overlaps bool!, same bool!, nullable bool?, element _text!
-- Array operators do not look for NULL elements.
SELECT
    tags @> ARRAY['a'] AS holds, tags <@ ARRAY['a', NULL] AS held, tags && ARRAY['a'] AS overlaps, tags = tags AS same,
    tags = keywords AS nullable, tags || 'x'::text AS element
FROM book;

-- name: string_to_arrays()
-- expect: parts _text!, letters _text!
-- Splitting a string returns at least an empty array.
SELECT string_to_array(name, ' ') AS parts, string_to_array(name, NULL) AS letters FROM author;

-- name: unnest_column()
-- expect: id int4!, tag text?
-- An element may be NULL.
SELECT b.id, t.tag FROM book AS b, unnest(b.tags) AS t (tag);

-- name: unnest_in_the_list()
-- expect: id int4!, tag text?
-- The same in the select list.
SELECT id, unnest(tags) AS tag FROM book;

-- name: unnest_constants()
-- expect: n int4!, label text!
-- The elements are constants.
SELECT n, l AS label FROM unnest(ARRAY[1, 2]) AS n, unnest(ARRAY['a', 'b']) AS l;

-- name: unnest_parameter(ids)
-- expect: id int4?
-- params: ids _int4!
-- An array passed by a caller may contain NULL.
SELECT i.id FROM unnest(:ids::int4[]) AS i (id);

-- name: unnest_several(ids, labels)
-- expect: id int4?, label text?, place int8!
-- params: ids _int4!, labels _text!
-- The shorter array is padded with NULL.
SELECT u.id, u.label, u.place FROM unnest(:ids::int4[], :labels::text[]) WITH ORDINALITY AS u (id, label, place);

-- name: unnest_several_constants()
-- expect: id int4!, label text?
-- The shorter one is a constant here.
SELECT u.id, u.label FROM unnest(ARRAY[1, 2, 3], ARRAY['a', 'b']) AS u (id, label);

-- name: insert_from_unnest(keys, hits)
-- expect: key text!, hits int4!
-- params: keys _text!, hits _int4!
-- Many rows at once: a NULL among them is an error.
INSERT INTO setting (key, hits) SELECT u.key, u.hits FROM unnest(:keys::text[], :hits::int4[]) AS u (key, hits)
RETURNING key, hits;

-- name: subscripts_of_arrays_generated()
-- expect: place int4!, tag text?
-- A valid subscript. The element may be NULL.
SELECT i AS place, b.tags[i] AS tag FROM book AS b, generate_subscripts(b.tags, 1) AS i;

-- name: json_access()
-- expect: field jsonb?, text text?, deep jsonb?, deep_text text?, element jsonb?, subscript jsonb?
-- A key need not be there.
SELECT
    meta -> 'a' AS field, meta ->> 'a' AS text, meta #> '{a,b}' AS deep, meta #>> '{a,b}' AS deep_text,
    meta -> 0 AS element, meta['a'] AS subscript
FROM book;

-- name: json_access_with_remedy()
-- expect: text text!, number int4?
-- A key that is not there, and a value that is no string.
SELECT coalesce(meta ->> 'k', '') AS text, (meta ->> 'n')::int4 AS number FROM book;

-- name: json_operators()
-- expect: holds bool!, has_key bool!, has_any bool!, joined jsonb!, without jsonb!, nullable jsonb?
-- Tests return true or false.
SELECT
    meta @> '{"a": 1}' AS holds, meta ? 'a' AS has_key, meta ?| '{a,k}' AS has_any, meta || '{"b": 2}' AS joined,
    jsonb_build_object('x', meta) #- '{a}' AS without, meta || extra AS nullable
FROM book;

-- name: json_paths()
-- expect: exists bool?, matches bool?, first jsonb?, list jsonb!
-- A path that fails has no answer.
SELECT
    meta @? 'strict $.a.b' AS exists, meta @@ '$.a > 1' AS matches, jsonb_path_query_first(meta, '$.a.b') AS first,
    jsonb_path_query_array(meta, '$.a') AS list
FROM book;

-- name: json_path_rows()
-- expect: id int4!, item jsonb!
-- An item that is found is not NULL, even if it is a JSON null.
SELECT b.id, p.item FROM book AS b, jsonb_path_query(b.meta, '$.**') AS p (item);

-- name: json_constructors()
-- expect: object jsonb!, array_of jsonb!, json json!, of_row json!, document jsonb!, of_nullable jsonb?
-- They write null for NULL; to_jsonb of NULL is NULL.
SELECT
    jsonb_build_object('nick', a.nick) AS object, jsonb_build_array(a.nick, a.born) AS array_of,
    json_build_object('nick', a.nick) AS json, row_to_json(ROW(a.nick)) AS of_row, to_jsonb(a) AS document,
    to_jsonb(a.nick) AS of_nullable
FROM author AS a;

-- name: json_changes()
-- expect: set jsonb!, set_nullable jsonb?, set_lax jsonb!, inserted jsonb!, stripped jsonb!, pretty text!
-- jsonb_set to NULL is NULL as a whole; jsonb_set_lax is made for that.
SELECT
    jsonb_set(d, '{a}', '1') AS set, jsonb_set(d, '{a}', extra) AS set_nullable,
    jsonb_set_lax(d, '{a}', extra) AS set_lax, jsonb_insert(d, '{z}', '1') AS inserted,
    jsonb_strip_nulls(d) AS stripped, jsonb_pretty(d) AS pretty
FROM (SELECT jsonb_build_object('x', meta) AS d, extra FROM book) AS t;

-- name: json_types()
-- expect: type text!, nullable text?, text text!
-- The type of a document is one of six, 'null' among them.
SELECT jsonb_typeof(meta) AS type, jsonb_typeof(extra) AS nullable, meta::text AS text FROM book;

-- name: json_each()
-- expect: key text!, value jsonb!
-- A JSON null is a value.
SELECT e.key, e.value FROM (SELECT jsonb_build_object('x', nick) AS d FROM author) AS t, jsonb_each(t.d) AS e;

-- name: json_each_text()
-- expect: key text!, value text?
-- As text it is NULL.
SELECT e.key, e.value FROM (SELECT jsonb_build_object('x', nick) AS d FROM author) AS t, jsonb_each_text(t.d) AS e;

-- name: json_elements()
-- expect: element jsonb!, text text?
-- The same for arrays.
SELECT e AS element, t AS text
FROM author AS a, jsonb_array_elements(jsonb_build_array(a.nick)) AS e,
    jsonb_array_elements_text(jsonb_build_array(a.nick)) AS t;

-- name: json_keys()
-- expect: key text!, length int4!
-- Keys are never NULL; an array has a length.
SELECT k AS key, jsonb_array_length(jsonb_build_array(a.nick)) AS length
FROM author AS a, jsonb_object_keys(jsonb_build_object('x', a.nick)) AS k;

-- name: json_to_columns()
-- expect: a jsonb?, k text?
-- Columns from a document that may not have these keys.
SELECT r.a, r.k FROM book AS b, jsonb_to_record(jsonb_build_object('x', b.id) || '{}') AS r (a jsonb, k text);

-- name: json_to_rows(rows)
-- expect: id int4?, label text?
-- params: rows jsonb!
-- Rows of a document of the caller's.
SELECT r.id, r.label
FROM jsonb_to_recordset(jsonb_build_array('{"id": 1}'::jsonb, :rows::jsonb)) AS r (id int4, label text)
WHERE jsonb_typeof(:rows) = 'object';

-- name: json_populated()
-- expect: street text?, zip int4?
-- A composite made of a document.
SELECT p.street, p.zip FROM jsonb_populate_record(NULL::address, '{"zip": 1}') AS p
UNION ALL
SELECT p.street, p.zip FROM jsonb_populate_record(NULL::address, '{"street": "x"}') AS p;

-- name: json_parameter_paths(key)
-- expect: value text?
-- params: key text!
-- The key is a parameter.
SELECT meta ->> :key AS value FROM book;

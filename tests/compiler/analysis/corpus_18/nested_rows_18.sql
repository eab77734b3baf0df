-- Rows inside rows, by the functions of SQL/JSON.

-- name: sql_json_object()
-- expect: author json!, outermost jsonb!
-- inside: author.id!, author.nick?, outermost.all!, outermost.all.id!, outermost.all.name!
-- inside: outermost.all.nick?, outermost.all.born?, outermost.all.mood!, outermost.all.rating?
-- inside: outermost.all.joined_at!
-- NULL ON NULL is the default of JSON_OBJECT.
SELECT JSON_OBJECT('id': a.id, 'nick': a.nick) AS author, JSON_OBJECT('all' VALUE a RETURNING jsonb) AS outermost
FROM author AS a;

-- name: sql_json_object_absent()
-- expect: author json!
-- inside: author.id!, author.name!
-- A key may be absent only for a value that can be NULL.
SELECT JSON_OBJECT('id': a.id, 'name': a.name ABSENT ON NULL) AS author FROM author AS a;

-- name: sql_json_array()
-- expect: nicks json!, nulls json!, twice jsonb!
-- inside: nicks[]!, nulls[]?, twice[]!, twice[].id!, twice[].name!, twice[].nick?, twice[].born?
-- inside: twice[].mood!, twice[].rating?, twice[].joined_at!
-- ABSENT ON NULL is the default of JSON_ARRAY.
SELECT JSON_ARRAY(a.nick) AS nicks, JSON_ARRAY(a.nick NULL ON NULL) AS nulls, JSON_ARRAY(a, a RETURNING jsonb) AS twice
FROM author AS a;

-- name: sql_json_array_of_a_query()
-- expect: names json?
-- inside: names[]!
-- Of no rows it is NULL.
SELECT JSON_ARRAY(SELECT p.name FROM publisher AS p) AS names;

-- name: sql_json_array_aggregate()
-- expect: subtitles json?, nulls json?, books jsonb!
-- inside: subtitles[]!, nulls[]?, books[]!, books[].id!, books[].author_id?, books[].editor_id?
-- inside: books[].title!, books[].subtitle?, books[].pages?, books[].price!, books[].stock!
-- inside: books[].published?, books[].added_at!, books[].tags!, books[].keywords?, books[].meta=
-- inside: books[].extra?, books[].in_print!, books[].loaned?, books[].mood?
-- NULL is left out, unless it is asked for.
SELECT
    JSON_ARRAYAGG(b.subtitle) AS subtitles, JSON_ARRAYAGG(b.subtitle NULL ON NULL) AS nulls,
    coalesce(JSON_ARRAYAGG(b ORDER BY b.id RETURNING jsonb), '[]') AS books
FROM book AS b;

-- name: sql_json_array_aggregate_of_missing_rows()
-- expect: id int4!, books json!
-- inside: books[]!, books[].id!, books[].author_id!, books[].editor_id?, books[].title!, books[].subtitle?
-- inside: books[].pages?, books[].price!, books[].stock!, books[].published?, books[].added_at!
-- inside: books[].tags!, books[].keywords?, books[].meta=, books[].extra?, books[].in_print!, books[].loaned?
-- inside: books[].mood?
-- Rows without a partner are left out.
SELECT a.id, JSON_ARRAYAGG(b) AS books FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id GROUP BY a.id;

-- name: strict_aggregates()
-- expect: authors jsonb!
-- inside: authors[]!, authors[].id!, authors[].name!, authors[].nick?, authors[].born?, authors[].mood!
-- inside: authors[].rating?, authors[].joined_at!
-- json_agg_strict leaves NULL out, too.
SELECT coalesce(jsonb_agg_strict(a), '[]') AS authors
FROM book AS b LEFT JOIN author AS a ON a.id = b.author_id;

-- name: whole_rows_of_old_and_new()
-- expect: before setting!, after setting!, document jsonb!
-- inside: before.key!, before.value?, before.hits!, before.note?, after.key!, after.value?, after.hits!
-- inside: after.note?, document.key!, document.value?, document.hits!, document.note?
-- OLD is there for an UPDATE, and so is NEW.
UPDATE setting SET hits = 7 RETURNING old AS before, new AS after, to_jsonb(new) AS document;

-- name: whole_row_of_a_virtual_column()
-- expect: item item!
-- inside: item.id!, item.width!, item.height?, item.doubled!, item.area?
-- A generated column.
SELECT i AS item FROM item AS i;

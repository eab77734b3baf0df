-- Rows inside rows: whole rows, JSON that is built of rows, arrays of rows.

-- name: whole_row_of_a_table()
-- expect: id int4!, book book!
-- inside: book.id!, book.author_id?, book.editor_id?, book.title!, book.subtitle?, book.pages?, book.price!
-- inside: book.stock!, book.published?, book.added_at!, book.tags!, book.keywords?, book.meta=, book.extra?
-- inside: book.in_print!, book.loaned?, book.mood?
-- A row of the table itself: its fields are as nullable as its columns.
SELECT b.id, b AS book FROM book AS b;

-- name: whole_row_after_left_join()
-- expect: id int4!, author author?
-- inside: author.id!, author.name!, author.nick?, author.born?, author.mood!, author.rating?
-- inside: author.joined_at!
-- Without a partner the row is NULL, not a row of NULLs.
SELECT b.id, a AS author FROM book AS b LEFT JOIN author AS a ON a.id = b.author_id;

-- name: whole_row_after_full_join()
-- expect: book book?, author author?
-- inside: book.id!, book.author_id?, book.editor_id?, book.title!, book.subtitle?, book.pages?, book.price!
-- inside: book.stock!, book.published?, book.added_at!, book.tags!, book.keywords?, book.meta=, book.extra?
-- inside: book.in_print!, book.loaned?, book.mood?, author.id!, author.name!, author.nick?, author.born?
-- inside: author.mood!, author.rating?, author.joined_at!
-- Either side may be missing.
SELECT b AS book, a AS author FROM book AS b FULL JOIN author AS a ON a.id = b.author_id;

-- name: whole_row_narrowed_by_where()
-- expect: key text!, author author!
-- inside: author.id!, author.name!, author.nick!, author.born?, author.mood!, author.rating?
-- inside: author.joined_at!
-- A condition on a column of it makes the join inner, and the column not NULL.
SELECT s.key, a AS author FROM setting AS s LEFT JOIN author AS a ON a.id > s.hits WHERE a.nick <> '';

-- name: whole_row_of_a_view()
-- expect: shown book_author!
-- inside: shown.id!, shown.title!, shown.subtitle?, shown.author_id?, shown.author_name?, shown.author_nick?
-- The columns of a view are those of its query.
SELECT v AS shown FROM book_author AS v;

-- name: whole_row_of_a_narrowed_view()
-- expect: shown nicked_author!
-- inside: shown.id!, shown.name!, shown.nick!
-- The view asks that nick is not NULL.
SELECT v AS shown FROM nicked_author AS v;

-- name: whole_row_of_a_subquery()
-- expect: short record!
-- inside: short.id!, short.nick?, short.shouted!
-- An anonymous row, whose fields are those of the subquery.
SELECT s AS short FROM (SELECT id, nick, upper(name) AS shouted FROM author) AS s;

-- name: whole_row_of_a_subquery_after_left_join()
-- expect: id int4!, short record?
-- inside: short.id!, short.nick?
-- As of a table.
SELECT b.id, s AS short FROM book AS b LEFT JOIN (SELECT id, nick FROM author) AS s ON s.id = b.author_id;

-- name: whole_row_of_a_lateral_subquery()
-- expect: id int4!, latest record?
-- inside: latest.id!, latest.subtitle?
-- A lateral subquery may find nothing.
SELECT a.id, s AS latest
FROM author AS a
LEFT JOIN LATERAL (SELECT b.id, b.subtitle FROM book AS b WHERE b.author_id = a.id ORDER BY b.id LIMIT 1) AS s ON true;

-- name: whole_row_of_a_common_table()
-- expect: author record!
-- inside: author.id!, author.name!, author.nick?
-- WITH.
WITH c AS (SELECT id, name, nick FROM author) SELECT c AS author FROM c;

-- name: whole_row_of_a_materialized_common_table()
-- expect: id int4!, author record?
-- inside: author.id!, author.nick!
-- MATERIALIZED makes no difference.
WITH c AS MATERIALIZED (SELECT id, nick FROM author WHERE nick IS NOT NULL)
SELECT b.id, c AS author FROM book AS b LEFT JOIN c ON c.id = b.author_id;

-- name: whole_row_of_a_recursive_table()
-- expect: node record!
-- inside: node.id!, node.parent_id?
-- Of a recursive query.
WITH RECURSIVE tree (id, parent_id) AS (
    SELECT id, parent_id FROM node WHERE parent_id IS NULL
    UNION ALL
    SELECT n.id, n.parent_id FROM node AS n JOIN tree AS t ON n.parent_id = t.id
)
SELECT tree AS node FROM tree;

-- name: whole_row_of_a_join()
-- expect: pair record!
-- inside: pair.id!, pair.name!, pair.nick?, pair.born?, pair.mood!, pair.rating?, pair.joined_at!, pair.key?
-- inside: pair.value?, pair.hits?, pair.note?
-- A join that is called by a name.
SELECT j AS pair FROM (author AS a LEFT JOIN setting AS s ON s.key = a.nick) AS j (
    id, name, nick, born, mood, rating, joined_at, key, value, hits, note
);

-- name: whole_row_of_values()
-- expect: pair record!
-- inside: pair.number!, pair.word?
-- VALUES.
SELECT v AS pair FROM (VALUES (1, 'one'), (2, NULL)) AS v (number, word);

-- name: whole_row_with_renamed_columns()
-- expect: publisher jsonb!
-- inside: publisher.id!, publisher.name!
-- The type of a table's row keeps the names of its columns.
SELECT to_jsonb(p) AS publisher FROM publisher AS p (number, title);

-- name: whole_row_of_a_subquery_with_renamed_columns()
-- expect: publisher jsonb!
-- inside: publisher.number!, publisher.title!
-- An anonymous row has the names of the alias.
SELECT to_jsonb(p) AS publisher FROM (SELECT id, name FROM publisher) AS p (number, title);

-- name: whole_row_in_a_subselect()
-- expect: id int4!, author author?
-- inside: author.id!, author.name!, author.nick?, author.born?, author.mood!, author.rating?
-- inside: author.joined_at!
-- A subselect may find no row.
SELECT b.id, (SELECT a FROM author AS a WHERE a.id = b.author_id) AS author FROM book AS b;

-- name: whole_row_from_returning()
-- expect: stored setting!
-- inside: stored.key!, stored.value?, stored.hits!, stored.note?
-- What was written is known; the rest may be what was there.
UPDATE setting SET hits = 1 WHERE key = 'a' RETURNING setting AS stored;

-- name: whole_row_of_a_group()
-- expect: author author!, books int8!
-- inside: author.id!, author.name!, author.nick?, author.born?, author.mood!, author.rating?
-- inside: author.joined_at!
-- Grouped by the key of the table.
SELECT a AS author, count(b.id) AS books FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id GROUP BY a.id;

-- name: whole_row_of_a_partitioned_table()
-- expect: event event!
-- inside: event.id!, event.at!, event.kind?, event.payload=
-- Of any partition.
SELECT e AS event FROM event AS e;

-- name: whole_row_of_composites_and_domains()
-- expect: person person!, contact contact?
-- inside: person.id!, person.home?, person.work!, person.past!, contact.id!, contact.email?, contact.backup!
-- inside: contact.title?, contact.heading!, contact.code?, contact.rank!
-- A field may be a composite or a domain.
SELECT p AS person, c AS contact FROM person AS p LEFT JOIN contact AS c ON c.id = p.id;

-- name: json_of_a_row()
-- expect: one json!, two jsonb!, three json!
-- inside: one.id!, one.name!, one.nick?, one.born?, one.mood!, one.rating?, one.joined_at!, two.id!
-- inside: two.name!, two.nick?, two.born?, two.mood!, two.rating?, two.joined_at!, three.id!, three.name!
-- inside: three.nick?, three.born?, three.mood!, three.rating?, three.joined_at!
-- to_json, to_jsonb and row_to_json of the same row.
SELECT to_json(a) AS one, to_jsonb(a) AS two, row_to_json(a) AS three FROM author AS a;

-- name: json_of_a_missing_row()
-- expect: one json?, two jsonb?, three json?
-- inside: one.id!, one.name!, one.nick?, one.born?, one.mood!, one.rating?, one.joined_at!, two.id!
-- inside: two.name!, two.nick?, two.born?, two.mood!, two.rating?, two.joined_at!, three.id!, three.name!
-- inside: three.nick?, three.born?, three.mood!, three.rating?, three.joined_at!
-- NULL for NULL, not a document.
SELECT to_json(a) AS one, to_jsonb(a) AS two, row_to_json(a) AS three
FROM book AS b LEFT JOIN author AS a ON a.id = b.author_id;

-- name: json_object_of_values()
-- expect: one json!, two jsonb!
-- inside: one.id!, one.nick?, two.name!, two.none?
-- A document of keys and values is never NULL itself.
SELECT json_build_object('id', id, 'nick', nick) AS one, jsonb_build_object('name', name, 'none', NULL::int4) AS two
FROM author;

-- name: json_object_of_a_missing_row()
-- expect: author jsonb!
-- inside: author.id?, author.name?
-- The object is there even if the row is not.
SELECT jsonb_build_object('id', a.id, 'name', a.name) AS author
FROM book AS b LEFT JOIN author AS a ON a.id = b.author_id;

-- name: json_object_in_case()
-- expect: id int4!, author jsonb?
-- inside: author.id!, author.nick?
-- CASE says when it is there, and the condition holds inside.
SELECT b.id, CASE WHEN a.id IS NOT NULL THEN jsonb_build_object('id', a.id, 'nick', a.nick) END AS author
FROM book AS b LEFT JOIN author AS a ON a.id = b.author_id;

-- name: json_objects_in_branches()
-- expect: certain json!, uncertain json!
-- inside: certain.id!, certain.word!, uncertain.id!, uncertain.word?
-- Both branches have the same fields; each is as nullable as in any of them.
SELECT
    CASE WHEN nick IS NULL THEN json_build_object('id', id, 'word', name)
    ELSE json_build_object('id', id, 'word', nick) END AS certain,
    CASE WHEN nick IS NULL THEN json_build_object('id', id, 'word', nick)
    ELSE json_build_object('id', id, 'word', nick) END AS uncertain
FROM author;

-- name: json_objects_in_one_another()
-- expect: book jsonb!
-- inside: book.id!, book.author?, book.inner!, book.author.id!, book.author.name!, book.author.nick?
-- inside: book.author.born?, book.author.mood!, book.author.rating?, book.author.joined_at!
-- inside: book.inner.title!, book.inner.a?, book.inner.a.id!, book.inner.a.name!, book.inner.a.nick?
-- inside: book.inner.a.born?, book.inner.a.mood!, book.inner.a.rating?, book.inner.a.joined_at!
-- Objects in objects, to any depth.
SELECT
    jsonb_build_object(
        'id', b.id, 'author', to_jsonb(a), 'inner', json_build_object('title', b.title, 'a', a)
    ) AS book
FROM book AS b LEFT JOIN author AS a ON a.id = b.author_id;

-- name: json_list_of_rows()
-- expect: publishers jsonb?
-- inside: publishers[]!, publishers[].id!, publishers[].name!
-- Of no rows it is NULL, not a list.
SELECT jsonb_agg(p) AS publishers FROM publisher AS p;

-- name: json_list_of_rows_or_none()
-- expect: one jsonb!, two json!
-- inside: one[]!, one[].id!, one[].name!, two[]!, two[].id!, two[].name!
-- With coalesce it is always a list.
SELECT coalesce(jsonb_agg(p), '[]') AS one, coalesce(json_agg(p ORDER BY p.id), '[]'::json) AS two FROM publisher AS p;

-- name: json_list_of_a_subquery()
-- expect: id int4!, books jsonb!
-- inside: books[]!, books[].id!, books[].title!, books[].subtitle?
-- A correlated subselect: one list for each row.
SELECT a.id, (
    SELECT coalesce(jsonb_agg(s ORDER BY s.title), '[]')
    FROM (SELECT b.id, b.title, b.subtitle FROM book AS b WHERE b.author_id = a.id) AS s
) AS books
FROM author AS a;

-- name: json_list_without_coalesce()
-- expect: id int4!, books json?
-- inside: books[]!, books[].id!, books[].author_id!, books[].editor_id?, books[].title!, books[].subtitle?
-- inside: books[].pages?, books[].price!, books[].stock!, books[].published?, books[].added_at!
-- inside: books[].tags!, books[].keywords?, books[].meta=, books[].extra?, books[].in_print!, books[].loaned?
-- inside: books[].mood?
-- Without books it is NULL.
SELECT a.id, (SELECT json_agg(b) FROM book AS b WHERE b.author_id = a.id) AS books FROM author AS a;

-- name: json_list_of_a_lateral_subquery()
-- expect: id int4!, books jsonb!
-- inside: books[]!, books[].id!, books[].subtitle?
-- A lateral subquery that always gives one row.
SELECT a.id, l.books
FROM author AS a
CROSS JOIN LATERAL (
    SELECT coalesce(jsonb_agg(jsonb_build_object('id', b.id, 'subtitle', b.subtitle)), '[]') AS books
    FROM book AS b WHERE b.author_id = a.id
) AS l;

-- name: json_list_by_group()
-- expect: id int4!, books jsonb!
-- inside: books[]?, books[].id!, books[].author_id!, books[].editor_id?, books[].title!, books[].subtitle?
-- inside: books[].pages?, books[].price!, books[].stock!, books[].published?, books[].added_at!
-- inside: books[].tags!, books[].keywords?, books[].meta=, books[].extra?, books[].in_print!, books[].loaned?
-- inside: books[].mood?
-- A group has a row; over an outer join it may be one of the other side alone.
SELECT a.id, jsonb_agg(b) AS books FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id GROUP BY a.id;

-- name: json_list_with_filter()
-- expect: id int4!, found jsonb?, subtitled json!
-- inside: found[]!, found[].id!, found[].author_id!, found[].editor_id?, found[].title!, found[].subtitle?
-- inside: found[].pages?, found[].price!, found[].stock!, found[].published?, found[].added_at!
-- inside: found[].tags!, found[].keywords?, found[].meta=, found[].extra?, found[].in_print!, found[].loaned?
-- inside: found[].mood?, subtitled[]!, subtitled[].id!, subtitled[].subtitle!
-- FILTER takes the missing row away, and may leave nothing.
SELECT
    a.id, jsonb_agg(b) FILTER (WHERE b.id IS NOT NULL) AS found,
    coalesce(
        json_agg(json_build_object('id', b.id, 'subtitle', b.subtitle) ORDER BY b.id DESC)
        FILTER (WHERE b.subtitle IS NOT NULL), '[]'
    ) AS subtitled
FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id
GROUP BY a.id;

-- name: json_list_of_distinct_objects()
-- expect: moods jsonb!
-- inside: moods[]!, moods[].nick?, moods[].mood!
-- DISTINCT changes which elements there are, not what is in them.
SELECT coalesce(jsonb_agg(DISTINCT jsonb_build_object('nick', nick, 'mood', mood)), '[]') AS moods FROM author;

-- name: json_list_of_values()
-- expect: names jsonb!, nicks json!
-- inside: names[]!, nicks[]?
-- A list of values that are no rows.
SELECT coalesce(jsonb_agg(name), '[]') AS names, coalesce(json_agg(nick), '[]') AS nicks FROM author;

-- name: json_list_of_lists()
-- expect: titles jsonb!
-- inside: titles[]!, titles[][]!, titles[][].title!
-- Lists in lists.
SELECT coalesce(jsonb_agg(l.titles), '[]') AS titles
FROM (SELECT jsonb_agg(jsonb_build_object('title', title)) AS titles FROM book GROUP BY author_id) AS l;

-- name: json_lists_to_any_depth()
-- expect: authors jsonb!
-- inside: authors[]!, authors[].id!, authors[].nick?, authors[].books!, authors[].books[]!
-- inside: authors[].books[].title!, authors[].books[].reviews?, authors[].books[].reviews[]!
-- inside: authors[].books[].reviews[].id!, authors[].books[].reviews[].book_id!
-- inside: authors[].books[].reviews[].author_id?, authors[].books[].reviews[].stars?
-- inside: authors[].books[].reviews[].weight!, authors[].books[].reviews[].body?
-- inside: authors[].books[].reviews[].written_at!
-- Authors with books with reviews.
SELECT coalesce(jsonb_agg(t), '[]') AS authors
FROM (
    SELECT a.id, a.nick, (
        SELECT coalesce(jsonb_agg(u), '[]')
        FROM (
            SELECT b.title, (SELECT jsonb_agg(r) FROM review AS r WHERE r.book_id = b.id) AS reviews
            FROM book AS b WHERE b.author_id = a.id
        ) AS u
    ) AS books
    FROM author AS a
) AS t;

-- name: json_list_of_joined_rows()
-- expect: pairs json!
-- inside: pairs[]!, pairs[].book!, pairs[].author?, pairs[].book.id!, pairs[].book.author_id?
-- inside: pairs[].book.editor_id?, pairs[].book.title!, pairs[].book.subtitle?, pairs[].book.pages?
-- inside: pairs[].book.price!, pairs[].book.stock!, pairs[].book.published?, pairs[].book.added_at!
-- inside: pairs[].book.tags!, pairs[].book.keywords?, pairs[].book.meta=, pairs[].book.extra?
-- inside: pairs[].book.in_print!, pairs[].book.loaned?, pairs[].book.mood?, pairs[].author.id!
-- inside: pairs[].author.name!, pairs[].author.nick?, pairs[].author.born?, pairs[].author.mood!
-- inside: pairs[].author.rating?, pairs[].author.joined_at!
-- Elements built of several tables.
SELECT coalesce(json_agg(json_build_object('book', b, 'author', a)), '[]') AS pairs
FROM book AS b LEFT JOIN author AS a ON a.id = b.author_id;

-- name: json_list_from_a_common_table()
-- expect: id int4!, books jsonb?
-- inside: books[]!, books[].id!, books[].subtitle?
-- A list that a CTE has built.
WITH lists AS (
    SELECT author_id, jsonb_agg(jsonb_build_object('id', id, 'subtitle', subtitle)) AS books
    FROM book
    GROUP BY author_id
)
SELECT a.id, l.books FROM author AS a LEFT JOIN lists AS l ON l.author_id = a.id;

-- name: json_list_from_a_union()
-- expect: item jsonb!
-- inside: item.id!, item.word?
-- UNION of lists with the same fields.
SELECT jsonb_build_object('id', id, 'word', name) AS item FROM author
UNION ALL
SELECT jsonb_build_object('id', id, 'word', subtitle) FROM book;

-- name: json_list_in_a_window()
-- expect: id int4!, so_far jsonb!
-- inside: so_far[]!, so_far[].id!, so_far[].name!
-- Of the rows of a frame, which has its row.
SELECT id, jsonb_agg(p) OVER (ORDER BY id) AS so_far FROM publisher AS p;

-- name: json_list_from_an_array()
-- expect: publishers json!
-- inside: publishers[]!, publishers[].id!, publishers[].name!
-- array_to_json of an array of rows.
SELECT array_to_json(ARRAY(SELECT p FROM publisher AS p)) AS publishers;

-- name: json_array_of_rows()
-- expect: twice jsonb!, numbers json!, nicks json!
-- inside: twice[]!, twice[].id!, twice[].name!, twice[].nick?, twice[].born?, twice[].mood!, twice[].rating?
-- inside: twice[].joined_at!, numbers[]!, nicks[]?
-- json_build_array of values that have the same shape.
SELECT jsonb_build_array(a, a) AS twice, json_build_array(a.id, a.id) AS numbers, json_build_array(a.nick) AS nicks
FROM author AS a;

-- name: json_without_a_key()
-- expect: author jsonb!
-- inside: author.id!, author.name!, author.nick?, author.born?, author.mood!, author.joined_at!
-- A key that is taken away.
SELECT to_jsonb(a) - 'rating' AS author FROM author AS a;

-- name: json_objects_merged()
-- expect: publisher jsonb!
-- inside: publisher.id!, publisher.name!, publisher.note?
-- Two objects in one.
SELECT to_jsonb(p) || jsonb_build_object('note', s.note) AS publisher
FROM publisher AS p LEFT JOIN setting AS s ON s.hits = p.id;

-- name: json_cast_to_jsonb()
-- expect: author jsonb!
-- inside: author.id!, author.nick?
-- From json to jsonb.
SELECT json_build_object('id', id, 'nick', nick)::jsonb AS author FROM author;

-- name: json_of_a_row_that_is_written_out()
-- expect: pair json!
-- inside: pair.f1!, pair.f2?
-- The fields of ROW are called f1 and so on.
SELECT to_json(ROW(id, nick)) AS pair FROM author;

-- name: json_of_composites()
-- expect: places jsonb!
-- inside: places.home?, places.work!, places.past!
-- A composite in a document is an object.
SELECT jsonb_build_object('home', home, 'work', work, 'past', past) AS places FROM person;

-- name: json_of_returning()
-- expect: stored jsonb!
-- inside: stored.key!, stored.value!, stored.hits!, stored.note!
-- What was written.
INSERT INTO setting (key, value) VALUES ('new', 'v') RETURNING to_jsonb(setting) AS stored;

-- name: json_in_coalesce()
-- expect: item jsonb!
-- inside: item.id!, item.word?
-- Of two objects with the same fields, the first that is there.
SELECT coalesce(
    CASE WHEN a.id IS NOT NULL THEN jsonb_build_object('id', a.id, 'word', a.nick) END,
    jsonb_build_object('id', b.id, 'word', b.title)
) AS item
FROM book AS b LEFT JOIN author AS a ON a.id = b.author_id;

-- name: array_of_rows()
-- expect: publishers _publisher!
-- inside: publishers[]!, publishers[].id!, publishers[].name!
-- ARRAY of a subselect is an array even of no rows.
SELECT ARRAY(SELECT p FROM publisher AS p ORDER BY p.id) AS publishers;

-- name: array_of_rows_of_a_subquery()
-- expect: id int4!, books _record!
-- inside: books[]!, books[].id!, books[].subtitle?
-- Anonymous rows.
SELECT a.id, ARRAY(SELECT s FROM (SELECT b.id, b.subtitle FROM book AS b WHERE b.author_id = a.id) AS s) AS books
FROM author AS a;

-- name: array_of_missing_rows()
-- expect: authors _author!
-- inside: authors[]?, authors[].id!, authors[].name!, authors[].nick?, authors[].born?, authors[].mood!
-- inside: authors[].rating?, authors[].joined_at!
-- An element may be NULL.
SELECT ARRAY(SELECT a FROM book AS b LEFT JOIN author AS a ON a.id = b.author_id) AS authors;

-- name: array_agg_of_rows()
-- expect: publishers _publisher?, certain _publisher!
-- inside: publishers[]!, publishers[].id!, publishers[].name!
-- array_agg of no rows is NULL.
SELECT array_agg(p) AS publishers, coalesce(array_agg(p), '{}') AS certain FROM publisher AS p;

-- name: array_agg_by_group()
-- expect: id int4!, books _book!, found _book?
-- inside: books[]?, books[].id!, books[].author_id!, books[].editor_id?, books[].title!, books[].subtitle?
-- inside: books[].pages?, books[].price!, books[].stock!, books[].published?, books[].added_at!
-- inside: books[].tags!, books[].keywords?, books[].meta=, books[].extra?, books[].in_print!, books[].loaned?
-- inside: books[].mood?, found[]!, found[].id!, found[].author_id!, found[].editor_id?, found[].title!
-- inside: found[].subtitle?, found[].pages?, found[].price!, found[].stock!, found[].published?
-- inside: found[].added_at!, found[].tags!, found[].keywords?, found[].meta=, found[].extra?
-- inside: found[].in_print!, found[].loaned?, found[].mood?
-- The element of a group without a partner is NULL.
SELECT a.id, array_agg(b) AS books, array_agg(b) FILTER (WHERE b.id IS NOT NULL) AS found
FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id
GROUP BY a.id;

-- name: array_agg_from_a_subquery()
-- expect: id int4!, books _book?
-- inside: books[]!, books[].id!, books[].author_id!, books[].editor_id?, books[].title!, books[].subtitle?
-- inside: books[].pages?, books[].price!, books[].stock!, books[].published?, books[].added_at!
-- inside: books[].tags!, books[].keywords?, books[].meta=, books[].extra?, books[].in_print!, books[].loaned?
-- inside: books[].mood?
-- Lists that a subquery has collected.
SELECT a.id, l.books
FROM author AS a
LEFT JOIN (SELECT author_id, array_agg(b ORDER BY b.id) AS books FROM book AS b GROUP BY author_id) AS l
    ON l.author_id = a.id;

-- name: rows_of_rows()
-- expect: outermost record!
-- inside: outermost.id!, outermost.author?, outermost.author.id!, outermost.author.name!
-- inside: outermost.author.nick?, outermost.author.born?, outermost.author.mood!, outermost.author.rating?
-- inside: outermost.author.joined_at!
-- A whole row with a whole row in it.
SELECT x AS outermost FROM (SELECT b.id, a AS author FROM book AS b LEFT JOIN author AS a ON a.id = b.author_id) AS x;

-- name: rows_with_lists()
-- expect: author record!
-- inside: author.id!, author.books?, author.books[]!, author.books[].id!, author.books[].author_id!
-- inside: author.books[].editor_id?, author.books[].title!, author.books[].subtitle?, author.books[].pages?
-- inside: author.books[].price!, author.books[].stock!, author.books[].published?, author.books[].added_at!
-- inside: author.books[].tags!, author.books[].keywords?, author.books[].meta=, author.books[].extra?
-- inside: author.books[].in_print!, author.books[].loaned?, author.books[].mood?
-- A whole row with a list of JSON in it.
SELECT x AS author
FROM (SELECT a.id, (SELECT jsonb_agg(b) FROM book AS b WHERE b.author_id = a.id) AS books FROM author AS a) AS x;

-- name: rows_of_one_value()
-- expect: single record!, document json!
-- inside: single.nick?, document.nick?
-- Rows of one column.
SELECT s AS single, to_json(s) AS document FROM (SELECT nick FROM author) AS s;

-- name: rows_given_by_a_parameter(wanted)
-- expect: found jsonb!
-- inside: found.id!, found.wanted!, found.nick?
-- params: wanted text!
-- A parameter that is compared is not NULL.
SELECT to_jsonb(s) AS found FROM (SELECT id, :wanted AS wanted, nick FROM author WHERE name = :wanted) AS s;

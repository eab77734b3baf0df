-- Parameters: `?` takes None, because it lands in a nullable column, or because the query asks whether it is NULL.

-- name: compared(id)
-- expect: name text!
-- params: id int4!
-- Nothing is equal to None.
SELECT name FROM author WHERE id = :id;

-- name: compared_in_ways(born, name, ids)
-- expect: id int4!, born date!
-- params: born date!, name text!, ids _int4!
-- Every comparison.
SELECT id, born FROM author WHERE born < :born AND name LIKE :name AND id = ANY (:ids);

-- name: compared_in_a_list(first, second)
-- expect: title text!
-- params: first int4!, second int4!
-- IN of parameters.
SELECT title FROM book WHERE id IN (:first, :second);

-- name: part_of_an_expression(query, days)
-- expect: name text!, joined_at timestamptz!
-- params: query text!, days int4!
-- Inside of what is compared.
SELECT name, joined_at FROM author
WHERE name ILIKE '%' || :query || '%' AND joined_at > now() - make_interval(days => :days);

-- name: flag(only_printed)
-- expect: title text!
-- params: only_printed bool!
-- A condition as a value.
SELECT title FROM book WHERE in_print OR NOT :only_printed;

-- name: optional_filters(nick, least_rating)
-- expect: name text!, nick text?, rating numeric?
-- params: nick text?, least_rating numeric?
-- IS NULL of a parameter: the filter may be absent.
SELECT name, nick, rating
FROM author
WHERE (:nick::text IS NULL OR nick = :nick) AND (:least_rating::numeric IS NULL OR rating >= :least_rating);

-- name: optional_filter_is_not_null(nick)
-- expect: name text!
-- params: nick text?
-- The same condition, negated.
SELECT name FROM author WHERE NOT (:nick::text IS NOT NULL AND nick IS DISTINCT FROM :nick);

-- name: optional_filter_by_coalesce(mood)
-- expect: name text!
-- params: mood mood?
-- coalesce with the column itself.
SELECT name FROM author WHERE mood = coalesce(:mood, mood);

-- name: distinct_from_parameter(nick)
-- expect: name text!, nick text?
-- params: nick text?
-- IS DISTINCT FROM takes NULL for a value.
SELECT name, nick FROM author WHERE nick IS DISTINCT FROM :nick;

-- name: optional_page(n)
-- expect: name text!
-- params: n int8?
-- A LIMIT with a default.
SELECT name FROM author ORDER BY id LIMIT coalesce(:n::int8, 10);

-- name: case_of_parameter(sort)
-- expect: name text!, key text?
-- params: sort text?
-- CASE asks for NULL.
SELECT name, CASE WHEN :sort::text IS NULL THEN NULL WHEN :sort = 'nick' THEN nick ELSE name END AS key FROM author;

-- name: only_returned(label)
-- expect: label text!, length int4!
-- params: label text!
-- A value that is returned unchanged.
SELECT :label::text AS label, length(:label) AS length;

-- name: nullable_and_returned(label)
-- expect: label text?, missing bool!
-- params: label text?
-- The same, where the query asks.
SELECT :label::text AS label, :label::text IS NULL AS missing;

-- name: insert_nullable(id, name, nick, rating)!
-- expect: nothing
-- params: id int4!, name text!, nick text?, rating numeric?
-- The columns' own constraints.
INSERT INTO author (id, name, nick, mood, rating) VALUES (:id, :name, :nick, 'ok', :rating);

-- name: insert_one_parameter_twice(id, name)!
-- expect: nothing
-- params: id int4!, name text!
-- In two columns, one of them NOT NULL.
INSERT INTO author (id, name, nick, mood) VALUES (:id, :name, :name, 'ok');

-- name: insert_casts(id, tags, meta, extra)!
-- expect: nothing
-- params: id int4!, tags _text!, meta text!, extra text?
-- A cast on the way changes the type, and nothing else.
INSERT INTO book (id, title, price, stock, tags, meta, extra, in_print)
VALUES (:id, 't', 1, 1, :tags, :meta::text::jsonb, :extra::text::jsonb, true);

-- name: insert_computed(id, name, nick)!
-- expect: nothing
-- params: id int4!, name text!, nick text?
-- So does a strict function.
INSERT INTO author (id, name, nick, mood) VALUES (:id, trim(:name), lower(trim(:nick)), 'ok');

-- name: insert_with_remedy(id, name)!
-- expect: nothing
-- params: id int4!, name text?
-- A NOT NULL column, with a default if the row is missing.
INSERT INTO author (id, name, mood) VALUES (:id, coalesce(:name, 'anonymous'), 'ok');

-- name: insert_several(first_key, first_value, second_key, second_value)!
-- expect: nothing
-- params: first_key text!, first_value text?, second_key text!, second_value text?
-- Several rows of VALUES.
INSERT INTO setting (key, value) VALUES (:first_key, :first_value), (:second_key || '2', :second_value);

-- name: insert_selected(key, value)!
-- expect: nothing
-- params: key text!, value text?
-- INSERT ... SELECT of parameters.
INSERT INTO setting (key, value)
SELECT :key, :value WHERE NOT EXISTS (SELECT 1 FROM setting AS s WHERE s.key = :key);

-- name: insert_from_values(key, value)!
-- expect: nothing
-- params: key text!, value text?
-- Through VALUES in FROM.
INSERT INTO setting (key, value) SELECT v.k, v.v FROM (VALUES (:key::text, :value::text)) AS v (k, v);

-- name: insert_from_union(key, value)!
-- expect: nothing
-- params: key text!, value text?
-- Through a set operation.
INSERT INTO setting (key, value) SELECT 'fixed', 'value' UNION ALL SELECT :key, :value;

-- name: insert_with_default_key(width, height)!
-- expect: nothing
-- params: width int4!, height int4?
-- The key is generated.
INSERT INTO item (width, height) VALUES (:width, :height);

-- name: insert_identity(id, width)!
-- expect: nothing
-- params: id int8!, width int4!
-- A key that is given is still NOT NULL.
INSERT INTO item (id, width) VALUES (:id, :width);

-- name: insert_from_array(notes)!
-- expect: nothing
-- params: notes _text!
-- The column gets the elements of the array, and None has no elements.
INSERT INTO setting (key, note)
SELECT 'key ' || n.place, n.note FROM unnest(:notes::text[]) WITH ORDINALITY AS n (note, place);

-- name: update_nullable(id, nick, born, mood)!
-- expect: nothing
-- params: id int4!, nick text?, born date?, mood mood!
-- Like INSERT.
UPDATE author SET nick = :nick, born = :born, mood = :mood WHERE id = :id;

-- name: update_from_values(id, nick)!
-- expect: nothing
-- params: id int4!, nick text?
-- Through VALUES in FROM: one is compared, the other lands.
UPDATE author AS a SET nick = v.nick FROM (VALUES (:id::int4, :nick::text)) AS v (id, nick) WHERE v.id = a.id;

-- name: update_by_subquery(id, nick)!
-- expect: nothing
-- params: id int4!, nick text?
-- Through a subquery of several columns.
UPDATE author SET (nick, rating) = (SELECT :nick::text, 1) WHERE id = :id;

-- name: update_if_changed(id, nick)!
-- expect: nothing
-- params: id int4!, nick text?
-- It is stored, and tested for NULL.
UPDATE author SET nick = :nick WHERE id = :id AND nick IS DISTINCT FROM :nick;

-- name: update_array(id, keywords, word)!
-- expect: nothing
-- params: id int4!, keywords _text?, word text!
-- A whole array is stored; an element is appended.
UPDATE book SET keywords = :keywords, tags = array_remove(tags, :word) WHERE id = :id AND tags @> ARRAY[:word];

-- name: upsert(key, value, note)!
-- expect: nothing
-- params: key text!, value text?, note text?
-- ON CONFLICT DO UPDATE.
INSERT INTO setting (key, value, note) VALUES (:key, :value, :note)
ON CONFLICT (key) DO UPDATE SET value = excluded.value, note = :note;

-- name: upsert_not_null(key, hits)!
-- expect: nothing
-- params: key text!, hits int4!
-- Into a NOT NULL column by DO UPDATE.
INSERT INTO setting (key, hits) VALUES (:key, :hits) ON CONFLICT (key) DO UPDATE SET hits = excluded.hits + :hits;

-- name: upsert_if_changed(key, value)!
-- expect: nothing
-- params: key text!, value text?
-- WHERE of DO UPDATE.
INSERT INTO setting (key, value) VALUES (:key, :value)
ON CONFLICT (key) DO UPDATE SET value = excluded.value WHERE setting.value IS DISTINCT FROM excluded.value;

-- name: delete_if_the_same(id, nick)!
-- expect: nothing
-- params: id int4!, nick text?
-- Nothing is stored. One parameter is tested for NULL.
DELETE FROM author WHERE id = :id AND nick IS NOT DISTINCT FROM :nick;

-- name: merge_values(key, value, hits)!
-- expect: nothing
-- params: key text!, value text?, hits int4!
-- MERGE: through the source, and straight.
MERGE INTO setting AS s USING (VALUES (:key::text, :value::text)) AS v (key, value) ON s.key = v.key
WHEN MATCHED THEN UPDATE SET value = v.value, hits = :hits
WHEN NOT MATCHED THEN INSERT (key, value, hits) VALUES (v.key, v.value, :hits);

-- name: json_parameters(id, value)
-- expect: extra jsonb!
-- params: id int4!, value text?
-- A value of a document: None is stored as JSON's null.
UPDATE book SET extra = jsonb_build_object('note', :value::text) || coalesce(extra, '{}') WHERE id = :id
RETURNING extra;

-- name: function_arguments(n)
-- expect: place int4?, series int4!
-- params: n int4!
-- Arguments of functions.
SELECT p.place, s AS series FROM places(:n) AS p, generate_series(1, :n) AS s;

-- name: same_parameter_everywhere(id)
-- expect: title text!, matches bool!, id int4!
-- params: id int4!
-- One value, used three times.
SELECT title, id = :id AS matches, :id AS id FROM book WHERE author_id = :id OR editor_id = :id;

-- name: parameter_in_having(least)
-- expect: author_id int4?, n int8!
-- params: least int8!
-- In HAVING.
SELECT author_id, count(*) AS n FROM book GROUP BY author_id HAVING count(*) >= :least;

-- name: parameter_in_join(day)
-- expect: name text!, title text?
-- params: day timestamptz!
-- In ON of an outer join: None finds no partner.
SELECT a.name, b.title FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id AND b.added_at > :day;

-- name: parameter_in_subquery(stars)
-- expect: title text!, n int8!
-- params: stars int4!
-- In a subquery.
SELECT b.title, (SELECT count(*) FROM review AS r WHERE r.book_id = b.id AND r.stars >= :stars) AS n FROM book AS b;

-- name: parameters_of_types(a, b, c, d, e)
-- expect: one int4!
-- params: a uuid!, b inet!, c interval!, d numeric!, e bytea!
-- Types that a comparison gives.
SELECT 1 AS one FROM kind WHERE x_uuid = :a OR x_inet = :b OR x_interval = :c OR x_numeric = :d OR x_bytea = :e;

-- name: key_set_page(name, id, n)
-- expect: id int4!, name text!
-- params: name text!, id int4!, n int8?
-- The next page, by a row comparison.
SELECT id, name FROM author WHERE (name, id) > (:name, :id) ORDER BY name, id LIMIT :n;

-- RETURNING: the row as it is stored, or was; WHERE spoke of the row before.

-- name: insert_constants()
-- expect: id int4!, name text!, nick text!, born date?, mood mood!, joined_at timestamptz!
-- What was inserted, with NULL for what was not.
INSERT INTO author (id, name, nick, mood) VALUES (1000, 'New', 'n', 'ok')
RETURNING id, name, nick, born, mood, joined_at;

-- name: insert_several_rows()
-- expect: id int4!, nick text?
-- One row without it.
INSERT INTO author (id, name, nick, mood) VALUES (1000, 'a', 'a', 'ok'), (1001, 'b', NULL, 'ok') RETURNING id, nick;

-- name: insert_several_rows_without_null()
-- expect: id int4!, nick text!
-- Every row has a value.
INSERT INTO author (id, name, nick, mood) VALUES (1000, 'a', 'a', 'ok'), (1001, 'b', 'b', 'ok') RETURNING id, nick;

-- name: insert_with_default()
-- expect: key text!, value text?, hits int4!, note text!
-- A nullable column that is not set gets its default.
INSERT INTO setting (key) VALUES ('new') RETURNING key, value, hits, note;

-- name: insert_generated()
-- expect: id int8!, width int4!, area int4?, doubled int4!
-- An identity, and generated columns.
INSERT INTO item (width) VALUES (2) RETURNING id, width, area, doubled;

-- name: insert_parameters(id, name, nick, born)
-- expect: id int4!, name text!, nick text?, born date?, rating numeric?
-- params: id int4!, name text!, nick text?, born date?
-- If a parameter may be NULL, so may the column.
INSERT INTO author (id, name, nick, born, mood) VALUES (:id, :name, :nick, :born, 'ok')
RETURNING id, name, nick, born, rating;

-- name: insert_coalesced_parameter(id, nick)
-- expect: id int4!, nick text!
-- params: id int4!, nick text?
-- A parameter with a default in the query.
INSERT INTO author (id, name, nick, mood) VALUES (:id, 'x', coalesce(:nick, 'none'), 'ok') RETURNING id, nick;

-- name: insert_from_select()
-- expect: key text!, value text?
-- What was selected.
INSERT INTO setting (key, value) SELECT 'author ' || id, nick FROM author RETURNING key, value;

-- name: insert_from_narrowed_select()
-- expect: key text!, value text!
-- What was selected and narrowed.
INSERT INTO setting (key, value) SELECT 'author ' || id, nick FROM author WHERE nick IS NOT NULL RETURNING key, value;

-- name: insert_from_outer_join()
-- expect: key text!, value text?
-- NOT NULL in its table, not in the outer join.
INSERT INTO setting (key, value)
SELECT 'pair ' || a.id || ' ' || coalesce(b.id, 0), b.title FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id
RETURNING key, value;

-- name: insert_do_nothing(key, value)
-- expect: key text!, value text?
-- params: key text!, value text?
-- No row if the key already exists.
INSERT INTO setting (key, value) VALUES (:key, :value) ON CONFLICT (key) DO NOTHING RETURNING key, value;

-- name: upsert_excluded(key, value)
-- expect: key text!, value text?, hits int4!
-- params: key text!, value text?
-- In both cases the new value.
INSERT INTO setting (key, value) VALUES (:key, :value)
ON CONFLICT (key) DO UPDATE SET value = excluded.value, hits = setting.hits + 1
RETURNING key, value, hits;

-- name: upsert_that_keeps_the_old_value(key)
-- expect: key text!, value text?, hits int4!
-- params: key text!
-- The row that was there keeps its value, which may be NULL.
INSERT INTO setting (key, value) VALUES (:key, 'new') ON CONFLICT (key) DO UPDATE SET hits = setting.hits + 1
RETURNING key, value, hits;

-- name: upsert_that_sets_both(key)
-- expect: key text!, value text!
-- params: key text!
-- Whether inserted or updated, it has a value.
INSERT INTO setting (key, value) VALUES (:key, 'new')
ON CONFLICT (key) DO UPDATE SET value = 'old' RETURNING key, value;

-- name: upsert_coalesced(key, value)
-- expect: key text!, value text?
-- params: key text!, value text?
-- The old value if there is no new one. Both may be NULL.
INSERT INTO setting (key, value) VALUES (:key, :value)
ON CONFLICT (key) DO UPDATE SET value = coalesce(excluded.value, setting.value)
RETURNING key, value;

-- name: upsert_where(key)
-- expect: key text!, value text?
-- params: key text!
-- WHERE applies to the existing row. An inserted row has no value.
INSERT INTO setting (key) VALUES (:key) ON CONFLICT (key) DO UPDATE SET hits = 0 WHERE setting.value IS NOT NULL
RETURNING key, value;

-- name: upsert_parameter_in_update(key, value)
-- expect: value text?, note text?
-- params: key text!, value text?
-- The parameter is stored only by DO UPDATE.
INSERT INTO setting (key) VALUES (:key) ON CONFLICT (key) DO UPDATE SET value = :value RETURNING value, note;

-- name: update_to_constant()
-- expect: nick text!, born date?
-- The new value is not NULL.
UPDATE author SET nick = 'x' RETURNING nick, born;

-- name: update_to_null()
-- expect: id int4!, nick text?
-- The new value is NULL.
UPDATE author SET nick = NULL WHERE nick = 'bob' RETURNING id, nick;

-- name: update_to_default()
-- expect: value text?, note text!
-- The default: none, and 'none'.
UPDATE setting SET value = DEFAULT, note = DEFAULT RETURNING value, note;

-- name: update_to_parameters(id, name, nick)
-- expect: id int4!, name text!, nick text?
-- params: id int4!, name text!, nick text?
-- If a parameter may be NULL, so may the column.
UPDATE author SET name = :name, nick = :nick WHERE id = :id RETURNING id, name, nick;

-- name: update_if_given(id, name, nick)
-- expect: name text!, nick text?
-- params: id int4!, name text?, nick text?
-- None means: keep the current value.
UPDATE author SET name = coalesce(:name, name), nick = coalesce(:nick, nick) WHERE id = :id RETURNING name, nick;

-- name: update_if_told(told, nick)
-- expect: nick text?
-- params: told bool!, nick text?
-- None for nick is a value; `told` says whether it counts.
UPDATE author SET nick = CASE WHEN :told THEN :nick ELSE nick END RETURNING nick;

-- name: update_from_other_column()
-- expect: nick text!, name text!, rating numeric?
-- A nullable column set from a NOT NULL one, and the reverse with coalesce.
UPDATE author SET nick = name, name = coalesce(nick, name), rating = rating + 1 RETURNING nick, name, rating;

-- name: update_from_join()
-- expect: id int4!, subtitle text!, name text!, nick text?
-- UPDATE ... FROM is an inner join.
UPDATE book AS b SET subtitle = a.name FROM author AS a WHERE a.id = b.author_id
RETURNING b.id, b.subtitle, a.name, a.nick;

-- name: update_from_outer_join()
-- expect: id int4!, subtitle text?, name text?
-- The outer join in FROM is one, too.
UPDATE book AS b SET subtitle = a.name
FROM book AS o LEFT JOIN author AS a ON a.id = o.author_id
WHERE o.id = b.id
RETURNING b.id, b.subtitle, a.name;

-- name: update_from_subquery()
-- expect: subtitle text?, pages int4?
-- Several columns from a subquery without a row.
UPDATE book AS b SET (subtitle, pages) = (SELECT a.name, a.id FROM author AS a WHERE a.id = b.author_id)
RETURNING subtitle, pages;

-- name: update_from_row()
-- expect: subtitle text!, pages int4?
-- Several columns from a row.
UPDATE book SET (subtitle, pages) = ROW ('x', NULL) RETURNING subtitle, pages;

-- name: update_arithmetic()
-- expect: stock int4!, pages int4?
-- The old value plus one.
UPDATE book SET stock = stock + 1, pages = pages + 1 RETURNING stock, pages;

-- name: update_generated()
-- expect: width int4!, height int4!, area int4!, doubled int4!
-- Generated columns are computed from what is set.
UPDATE item SET height = 3 RETURNING width, height, area, doubled;

-- name: update_json(extra)
-- expect: meta jsonb!, extra jsonb?
-- params: extra jsonb?
-- jsonb_set is strict; || with a NOT NULL column is not NULL.
UPDATE book SET meta = meta || '{"a": 1}', extra = jsonb_set('{}', '{a}', :extra) RETURNING meta, extra;

-- name: delete_rows(id)
-- expect: id int4!, name text!, nick text?
-- params: id int4!
-- The old row.
DELETE FROM author WHERE id = :id RETURNING id, name, nick;

-- name: delete_using()
-- expect: id int4!, subtitle text?, name text!, author_id int4!
-- DELETE ... USING is an inner join.
DELETE FROM book AS b USING author AS a WHERE a.id = b.author_id RETURNING b.id, b.subtitle, a.name, b.author_id;

-- name: delete_using_outer_join()
-- expect: id int4!, name text?
-- With an outer join in USING.
DELETE FROM book AS b USING book AS o LEFT JOIN author AS a ON a.id = o.author_id WHERE o.id = b.id
RETURNING b.id, a.name;

-- name: returning_star(id, name)
-- expect: id int4!, name text!
-- params: id int4!, name text!
-- All columns.
INSERT INTO publisher (id, name) VALUES (:id, :name) RETURNING *;

-- name: returning_expressions()
-- expect: upper text!, low text?, books int8!, title text?, row publisher!, class regclass!
-- Expressions and subqueries.
UPDATE publisher AS p SET name = name || '!'
RETURNING
    upper(p.name), lower(nullif(p.name, '!')) AS low, (SELECT count(*) FROM book) AS books,
    (SELECT title FROM book WHERE id = p.id + 1000) AS title, p AS row, p.tableoid::regclass AS class;

-- name: insert_before_trigger(id)
-- expect: id int4!, note text?, title text!
-- params: id int4!
-- The trigger sets to NULL what was inserted with a value.
INSERT INTO guarded (id, note, title) VALUES (:id, 'note', 'new') RETURNING id, note, title;

-- name: update_before_trigger()
-- expect: id int4!, note text?
-- The trigger sets to NULL what WHERE found to be not NULL and SET does not name.
UPDATE guarded SET title = 'other' WHERE note IS NOT NULL RETURNING id, note;

-- name: delete_without_such_trigger()
-- expect: id int4!, note text!
-- The trigger is not for DELETE.
DELETE FROM guarded WHERE note IS NOT NULL RETURNING id, note;

-- name: update_inherited()
-- expect: id int4!, name text?
-- Rows of a child that dropped NOT NULL.
UPDATE craft SET id = id + 100 RETURNING id, name;

-- name: insert_into_parent(id, name)
-- expect: id int4!, name text!
-- params: id int4!, name text!
-- A row for the parent goes into the parent, which has its constraint.
INSERT INTO craft (id, name) VALUES (:id, :name) RETURNING id, name;

-- name: insert_into_partitioned(id, at, kind)
-- expect: id int8!, at timestamptz!, kind text?, payload jsonb!
-- params: id int8!, at timestamptz!, kind text?
-- Into any partition.
INSERT INTO event (id, at, kind, payload) VALUES (:id, :at, :kind, '{}') RETURNING id, at, kind, payload;

-- name: insert_without_returning(id, name)!
-- expect: nothing
-- params: id int4!, name text!
-- No columns.
INSERT INTO publisher (id, name) VALUES (:id, :name);

-- name: update_without_returning(id, nick)!
-- expect: nothing
-- params: id int4!, nick text?
-- No columns.
UPDATE author SET nick = :nick WHERE id = :id;

-- name: delete_without_returning(id)!
-- expect: nothing
-- params: id int4!
-- No columns.
DELETE FROM author WHERE id = :id;

-- name: merge(id, name, nick)!
-- expect: nothing
-- params: id int4!, name text!, nick text?
-- MERGE: both branches store the parameter.
MERGE INTO author AS a USING (SELECT :id::int4 AS id) AS s ON a.id = s.id
WHEN MATCHED THEN UPDATE SET nick = :nick
WHEN NOT MATCHED THEN INSERT (id, name, mood) VALUES (s.id, :name, 'ok');

-- name: merge_from_table()!
-- expect: nothing
-- MERGE from another table.
MERGE INTO setting AS s USING author AS a ON a.nick = s.key
WHEN MATCHED AND s.hits > 100 THEN DELETE
WHEN MATCHED THEN UPDATE SET value = a.name
WHEN NOT MATCHED THEN INSERT (key, value) VALUES ('author ' || a.id, a.nick);

-- name: upsert_coalesced_in_update_only(key, value)
-- expect: key text!, value text?
-- params: key text!, value text?
-- coalesce is in DO UPDATE, so it does not apply to an inserted row.
INSERT INTO setting (key, value) VALUES (:key, :value)
ON CONFLICT (key) DO UPDATE SET value = coalesce(excluded.value, 'none')
RETURNING key, value;

-- Views: the catalogue says nothing of NULL in a view's columns; its query does.

-- name: simple_view()
-- expect: id int4!, name text!, nick text?, mood mood!
-- The columns of one table.
SELECT id, name, nick, mood FROM author_view;

-- name: view_with_outer_join()
-- expect: id int4!, title text!, subtitle text?, author_id int4?, author_name text?, author_nick text?
-- The outer join is inside.
SELECT id, title, subtitle, author_id, author_name, author_nick FROM book_author;

-- name: view_of_view()
-- expect: id int4!, title text!, author_id int4!, author_name text!, author_nick text?
-- WHERE of the outer view makes the outer join of the inner one inner.
SELECT id, title, author_id, author_name, author_nick FROM known_book;

-- name: view_narrowed_by_the_query()
-- expect: author_name text!, author_id int4!, author_nick text?
-- So does WHERE of the query.
SELECT author_name, author_id, author_nick FROM book_author WHERE author_name <> '';

-- name: view_that_narrows()
-- expect: id int4!, nick text!
-- WHERE of the view.
SELECT id, nick FROM nicked_author;

-- name: view_of_aggregates()
-- expect: id int4!, name text!, books int8!, longest int4?, stock int8?, safe_stock int8!
-- Groups over an outer join.
SELECT id, name, books, longest, stock, safe_stock FROM author_stats;

-- name: view_of_grouping_sets()
-- expect: mood mood?, authors int8!
-- A total row in a view.
SELECT mood, authors FROM mood_total;

-- name: view_of_union()
-- expect: name text?, source text!
-- A set operation in a view.
SELECT name, source FROM any_name;

-- name: materialized_view()
-- expect: id int4!, title text!, subtitle text?
-- A materialized view contains earlier results of its query.
SELECT id, title, subtitle FROM title_list;

-- name: view_left_joined()
-- expect: title text!, nick text?, id int4?
-- A view on the nullable side.
SELECT b.title, n.nick, n.id FROM book AS b LEFT JOIN nicked_author AS n ON n.id = b.author_id;

-- name: view_joined()
-- expect: title text!, nick text!, books int8!
-- Views, inner joined.
SELECT b.title, n.nick, s.books
FROM book AS b JOIN nicked_author AS n ON n.id = b.author_id JOIN author_stats AS s ON s.id = n.id;

-- name: whole_row_of_view()
-- expect: v book_author!
-- A view's row.
SELECT v FROM book_author AS v;

-- name: insert_into_view(id, name, nick)
-- expect: id int4!, name text!, nick text?
-- params: id int4!, name text!, nick text?
-- A simple view accepts what its table accepts.
INSERT INTO author_view (id, name, nick, mood) VALUES (:id, :name, :nick, 'ok') RETURNING id, name, nick;

-- name: update_view_that_narrows(nick)
-- expect: id int4!, nick text?
-- params: nick text?
-- Without CHECK OPTION a row may leave the view, and RETURNING still shows it.
UPDATE nicked_author SET nick = :nick RETURNING id, nick;

-- name: update_view_other_column(name)
-- expect: name text!, nick text!
-- params: name text!
-- The view's WHERE was true before, and nick is not changed.
UPDATE nicked_author SET name = :name RETURNING name, nick;

-- name: delete_from_view()
-- expect: id int4!, nick text!
-- The view's WHERE.
DELETE FROM nicked_author RETURNING id, nick;

-- name: insert_into_view_with_trigger()
-- expect: id int4?, name text?
-- An INSTEAD OF trigger may return anything.
INSERT INTO publisher_desk (id, name) VALUES (1, 'New') RETURNING id, name;

-- name: update_view_with_trigger()
-- expect: id int4?, name text?
-- The same for UPDATE: neither what is set nor what WHERE found.
UPDATE publisher_desk SET name = 'New' WHERE id = 1 RETURNING id, name;

-- name: view_of_the_catalogue()
-- expect: table_name name!, self_referencing_column_name name?
-- A system view: casts to domains, and NULL for what does not exist.
SELECT table_name, self_referencing_column_name FROM information_schema.tables WHERE table_name = 'author';

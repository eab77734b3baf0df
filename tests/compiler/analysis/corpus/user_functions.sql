-- Functions of a user's own: what they declare proves nothing of what they return.

-- name: strict_function()
-- expect: blank_to_null text?
-- STRICT, with a NOT NULL argument, and NULL for ''.
SELECT blank_to_null(name) FROM author;

-- name: harmless_function()
-- expect: of_name text!, of_nick text?
-- At present this one returns a value for every value.
SELECT shout(name) AS of_name, shout(nick) AS of_nick FROM author;

-- name: function_named_as_a_built_in_one()
-- expect: ours text?, theirs text!
-- upper(mood) of this schema and upper(text) of PostgreSQL are two functions.
SELECT upper(mood) AS ours, upper(name) AS theirs FROM author;

-- name: operator_named_as_a_built_in_one()
-- expect: ours int4?, theirs int4!
-- mood + mood of this schema and int4 + int4 of PostgreSQL are two operators.
SELECT mood + mood AS ours, id + id AS theirs FROM author;

-- name: cast_by_a_function()
-- expect: level int4?, text text!
-- A cast of the user's own is a function; the one through text is PostgreSQL's.
SELECT mood::int4 AS level, mood::text AS text FROM author;

-- name: user_functions_of_void()
-- expect: of_sql void?, of_plpgsql void!
-- A void function in SQL gives NULL, one in PL/pgSQL ''.
SELECT sql_void() AS of_sql, plpgsql_void() AS of_plpgsql;

-- name: volatile_function()
-- expect: n int4!, maybe int4?
-- A function that may or may not return NULL.
SELECT n, maybe() FROM generate_series(1, 200) AS n;

-- name: set_returning_function()
-- expect: id int4!, title text?
-- SETOF text.
SELECT a.id, t.title FROM author AS a, titles_of(a.id) AS t (title);

-- name: set_returning_function_in_the_list()
-- expect: id int4!, titles_of text?
-- The same in the select list.
SELECT id, titles_of(id) FROM author;

-- name: set_of_rows_of_a_table()
-- expect: id int4?, title text?, subtitle text?
-- SETOF book promises the columns of book, not their constraints.
SELECT b.id, b.title, b.subtitle FROM books_of(1) AS b;

-- name: returns_table(n)
-- expect: place int4?, medal text?
-- params: n int4?
-- RETURNS TABLE.
SELECT p.place, p.medal FROM places(:n) AS p;

-- name: returns_composite()
-- expect: id int4!, address address?, street text?, zip int4?
-- A composite. It may be NULL, and so may its fields.
SELECT id, locate(name) AS address, (locate(name)).street, (locate(name)).zip FROM author;

-- name: returns_composite_in_from()
-- expect: id int4!, street text?, zip int4?
-- The columns of a composite that may be NULL.
SELECT a.id, l.street, l.zip FROM author AS a, locate(a.name) AS l;

-- name: returns_out_parameters(full_name)
-- expect: first text?, last text?
-- params: full_name text?
-- OUT parameters are columns.
SELECT s.first, s.last FROM split_name(:full_name) AS s;

-- name: narrowed_by_a_function()
-- expect: nick text!, title text?
-- Compared with the result of a function.
SELECT a.nick, t.title FROM author AS a LEFT JOIN titles_of(2) AS t (title) ON true WHERE a.nick <> shout('bob');

-- name: not_narrowed_by_a_user_function()
-- expect: nick text?
-- A function that is not STRICT may be true for NULL.
SELECT nick FROM author WHERE is_blank(nick);

-- name: row_type_of_a_table()
-- expect: id int4?, name text?
-- A value of a table's row type need not keep the table's constraints.
SELECT r.id, r.name FROM jsonb_populate_record(NULL::author, '{}') AS r;

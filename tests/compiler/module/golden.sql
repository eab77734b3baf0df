-- name: get_user(id)^
-- record_class: User
-- Find one user.
-- A second line, with a \ and """.
SELECT id, name, mood FROM users WHERE id = :id;

-- name: list_users(moods)
-- record_class: User
SELECT id, name, mood FROM users WHERE mood = ANY (:moods);

-- name: count_users()$
SELECT count(*) FROM users;

-- name: name_of(id)$
SELECT name FROM users WHERE id = :id;

-- name: add_user(name, mood, date)<!
-- Add a user.
INSERT INTO users (name, mood, date) VALUES (:name, :mood, :date) RETURNING id, date, data;

-- name: rename_user(id, name)!
UPDATE users SET name = :name WHERE id = :id;

-- name: add_users(name, date)*!
INSERT INTO users (name, date) VALUES (:name, :date);

-- name: clear()#
DELETE FROM users;
DELETE FROM users;

-- name: search_users(name, date, data, brief)
-- record_class: User
-- Search for users.
SELECT id, name, mood
  FROM users
 WHERE true
   AND date = :date          -- if: date
   AND name LIKE :name      -- if given: name
   AND data = :data         -- unless: brief
 ORDER BY name, id          -- order: name
 ORDER BY id DESC           -- order: newest
;

-- The queries that are measured, on blueprint's schema.

-- name: get_user(id)^
-- record_class: User
-- Find one user by key.
SELECT id, email, name, language, email_verified, is_active, created_at
FROM users
WHERE id = :id;

-- name: list_users(most)
-- record_class: User
-- List the first users, by key.
SELECT id, email, name, language, email_verified, is_active, created_at
FROM users
ORDER BY id
LIMIT :most;

-- name: create_user(email, name, password_hash)<!
-- record_class: User
-- Create a user, and return it with the columns that the server fills in.
INSERT INTO users (email, name, password_hash)
VALUES (:email, :name, :password_hash)
RETURNING id, email, name, language, email_verified, is_active, created_at;

-- name: record_event(user_id, event_type, event_name)!
-- The statement that writes, in a transaction of three statements.
INSERT INTO analytics_events (user_id, event_type, event_name)
VALUES (:user_id, :event_type, :event_name);

-- name: list_users_tenfold()
-- record_class: User
-- List every user ten times: a million rows, to be streamed.
SELECT id, email, name, language, email_verified, is_active, created_at
FROM users
CROSS JOIN generate_series(1, 10) AS copy;

-- name: record_events(user_id, event_type, event_name, occurred_at)*!
-- The bulk insert, for libraries without COPY.
INSERT INTO analytics_events (user_id, event_type, event_name, occurred_at)
VALUES (:user_id, :event_type, :event_name, :occurred_at);

-- name: list_users_with_keys(most)
-- List the first users, by key, each with their API keys.
SELECT
    u.id, u.email, u.name, u.created_at,
    (
        SELECT coalesce(json_agg(key ORDER BY key.id), '[]')
        FROM (SELECT k.id, k.name, k.rate_limit, k.created_at FROM api_keys AS k WHERE k.user_id = u.id) AS key
    ) AS keys
FROM users AS u
ORDER BY u.id
LIMIT :most;

-- name: list_parents(most)
-- The same by two queries: the users.
SELECT id, email, name, created_at
FROM users
ORDER BY id
LIMIT :most;

-- name: list_keys_of(users)
-- The same by two queries: the keys of these users.
SELECT user_id, id, name, rate_limit, created_at
FROM api_keys
WHERE user_id = ANY (:users)
ORDER BY id;

-- Users: accounts, sign-in with lockout, and statistics about one user.
-- Only one query returns `password_hash`: get_credentials_by_email.

-- name: create_user(email, name, password_hash)<!
-- record_class: User
-- Create an account with the role USER. An address that is already in use, in upper or lower case, violates
-- users_email_key.
INSERT INTO users (email, name, password_hash)
VALUES (:email, :name, :password_hash)
RETURNING
    id, email, name, role, email_verified, is_active, avatar, bio, timezone, language,
    last_login_at, login_attempts, locked_until, created_at, updated_at;

-- name: load_users(emails, names, password_hashes, created_ats)
-- Create many accounts in one statement: the n-th user takes the n-th element of each array. A name or
-- creation time may be NULL. Returns the new ids with their addresses.
INSERT INTO users (email, name, password_hash, created_at)
SELECT new.email, new.name, new.password_hash, coalesce(new.created_at, now())
FROM unnest(:emails::text[], :names::text[], :password_hashes::text[], :created_ats::timestamptz[])
    AS new (email, name, password_hash, created_at)
RETURNING id, email;

-- name: get_user_by_id(user_id)^
-- record_class: User
-- Find one user by id.
SELECT
    id, email, name, role, email_verified, is_active, avatar, bio, timezone, language,
    last_login_at, login_attempts, locked_until, created_at, updated_at
FROM users
WHERE id = :user_id;

-- name: get_user_by_email(email)^
-- record_class: User
-- Find one user by e-mail address, without regard to case.
SELECT
    id, email, name, role, email_verified, is_active, avatar, bio, timezone, language,
    last_login_at, login_attempts, locked_until, created_at, updated_at
FROM users
WHERE lower(email) = lower(:email);

-- name: get_credentials_by_email(email)^
-- record_class: Credentials
-- Find what sign-in needs to know about an account, by e-mail address, without regard to case.
SELECT id, email, password_hash, is_active, login_attempts, locked_until
FROM users
WHERE lower(email) = lower(:email);

-- name: list_users_page(after_created_at, after_id, page_size)
-- record_class: User
-- List one page of all users, oldest first. For the next page, pass the created_at and id of the last user.
-- New users do not cause others to be skipped or repeated.
SELECT
    id, email, name, role, email_verified, is_active, avatar, bio, timezone, language,
    last_login_at, login_attempts, locked_until, created_at, updated_at
FROM users
WHERE (created_at, id) > (:after_created_at, :after_id)  -- if: after_created_at, after_id
ORDER BY created_at, id
LIMIT :page_size;

-- name: list_active_users(days)
-- record_class: User
-- List the active users who signed in during the last `days` days, latest first.
SELECT
    id, email, name, role, email_verified, is_active, avatar, bio, timezone, language,
    last_login_at, login_attempts, locked_until, created_at, updated_at
FROM users
WHERE is_active
  AND last_login_at > now() - make_interval(days => :days)
ORDER BY last_login_at DESC, id;

-- name: count_users()$
-- Count all accounts.
SELECT count(*) FROM users;

-- name: count_active_users(days)$
-- Count the active users who signed in during the last `days` days.
SELECT count(*)
FROM users
WHERE is_active
  AND last_login_at > now() - make_interval(days => :days);

-- name: count_users_by_role()
-- Count the accounts of each role. Unused roles have count 0.
SELECT r.role, count(u.id) AS user_count
FROM unnest(enum_range(NULL::user_role)) AS r (role)
LEFT JOIN users AS u ON u.role = r.role
GROUP BY r.role
ORDER BY r.role;

-- name: get_user_statistics(user_id)^
-- Statistics about one user: projects, templates, reviews, AI sessions and their cost. Each table is counted
-- separately, so that joins do not multiply rows.
SELECT
    u.id AS user_id,
    u.email,
    u.name,
    p.project_count,
    p.published_project_count,
    t.template_count,
    t.template_usage_count,
    r.review_count,
    s.session_count,
    s.completed_session_count,
    s.failed_session_count,
    s.tokens_used,
    s.cost_usd
FROM users AS u
CROSS JOIN LATERAL (
    SELECT
        count(*) AS project_count,
        count(*) FILTER (WHERE status = 'PUBLISHED') AS published_project_count
    FROM projects
    WHERE user_id = u.id
) AS p
CROSS JOIN LATERAL (
    SELECT
        count(*) AS template_count,
        coalesce(sum(usage_count), 0) AS template_usage_count
    FROM module_templates
    WHERE author_id = u.id
) AS t
CROSS JOIN LATERAL (
    SELECT count(*) AS review_count
    FROM template_reviews
    WHERE user_id = u.id
) AS r
CROSS JOIN LATERAL (
    SELECT
        count(*) AS session_count,
        count(*) FILTER (WHERE status = 'COMPLETED') AS completed_session_count,
        count(*) FILTER (WHERE status = 'FAILED') AS failed_session_count,
        coalesce(sum(tokens_used), 0) AS tokens_used,
        coalesce(sum(cost_usd), 0) AS cost_usd
    FROM ai_sessions
    WHERE user_id = u.id
) AS s
WHERE u.id = :user_id;

-- name: update_profile(user_id, name, avatar, bio, timezone, language)<!
-- record_class: User
-- Change the fields of the profile that are given. NULL clears a field. No row for an unknown user.
UPDATE users
SET updated_at = now(),
    name       = :name,      -- if given: name
    avatar     = :avatar,    -- if given: avatar
    bio        = :bio,       -- if given: bio
    timezone   = :timezone,  -- if given: timezone
    language   = :language   -- if given: language
WHERE id = :user_id
RETURNING
    id, email, name, role, email_verified, is_active, avatar, bio, timezone, language,
    last_login_at, login_attempts, locked_until, created_at, updated_at;

-- name: update_password(user_id, password_hash)!
-- Set a new password and unlock the account: anyone who may set the password has proved who they are.
UPDATE users
SET password_hash  = :password_hash,
    login_attempts = 0,
    locked_until   = NULL
WHERE id = :user_id;

-- name: verify_email(user_id)!
-- Mark the user's e-mail address as verified.
UPDATE users
SET email_verified = true
WHERE id = :user_id;

-- name: set_user_role(user_id, role)!
-- Change a user's role.
UPDATE users
SET role = :role
WHERE id = :user_id;

-- name: set_user_active(user_id, is_active)!
-- Activate or deactivate an account. Nothing is deleted. The API keys of an inactive account do not work.
UPDATE users
SET is_active = :is_active
WHERE id = :user_id;

-- name: record_failed_sign_in(user_id)<!
-- Count a wrong password, and lock the account for 15 minutes after the fifth one. Returns the new state. No
-- row for an unknown user. After a lock has expired, the count starts again at 1.
UPDATE users
SET login_attempts = CASE
        WHEN locked_until <= now() THEN 1
        ELSE login_attempts + 1
    END,
    locked_until = CASE
        WHEN locked_until <= now() THEN NULL
        WHEN login_attempts + 1 >= 5 THEN now() + interval '15 minutes'
        ELSE locked_until
    END
WHERE id = :user_id
RETURNING id, login_attempts, locked_until;

-- name: reset_sign_in(user_id)<!
-- record_class: User
-- Record a successful sign-in: clear the failures and the lock, and set last_login_at to the current time.
-- No row for an unknown user.
UPDATE users
SET login_attempts = 0,
    locked_until   = NULL,
    last_login_at  = now()
WHERE id = :user_id
RETURNING
    id, email, name, role, email_verified, is_active, avatar, bio, timezone, language,
    last_login_at, login_attempts, locked_until, created_at, updated_at;

-- name: delete_user(user_id)!
-- Delete an account with its API keys, reviews, memberships and notifications. A user who owns projects
-- cannot be deleted (projects_user_id_fkey). Call transfer_projects first.
DELETE FROM users
WHERE id = :user_id;

-- Users: accounts, sign-in with lock-out, and what one user has done.
-- `password_hash` leaves the database in one query only, get_credentials_by_email.

-- name: create_user(email, name, password_hash)<!
-- record_class: User
-- Create an account with the role USER. An address that is taken, in any spelling, violates users_email_key.
INSERT INTO users (email, name, password_hash)
VALUES (:email, :name, :password_hash)
RETURNING
    id, email, name, role, email_verified, is_active, avatar, bio, timezone, language,
    last_login_at, login_attempts, locked_until, created_at, updated_at;

-- name: load_users(emails, names, password_hashes, created_ats)
-- Create many accounts in one statement: the n-th user is made of the n-th element of each array.
-- Answers the new ids with their addresses; a missing name or time of creation may be NULL in its array.
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
-- What sign-in needs to know of an account, found by e-mail address without regard to case.
SELECT id, email, password_hash, is_active, login_attempts, locked_until
FROM users
WHERE lower(email) = lower(:email);

-- name: list_users_page(after_created_at, after_id, page_size)
-- record_class: User
-- One page of all users, oldest first. Pass the created_at and id of the last user seen to get the next
-- page, NULL for both to get the first. No user is skipped or repeated while others are being created.
SELECT
    id, email, name, role, email_verified, is_active, avatar, bio, timezone, language,
    last_login_at, login_attempts, locked_until, created_at, updated_at
FROM users
WHERE (created_at, id) > (
    coalesce(:after_created_at::timestamptz, '-infinity'),
    coalesce(:after_id::uuid, '00000000-0000-0000-0000-000000000000')
)
ORDER BY created_at, id
LIMIT :page_size;

-- name: list_active_users(days)
-- record_class: User
-- Users who have signed in during the last so many days, the latest first.
SELECT
    id, email, name, role, email_verified, is_active, avatar, bio, timezone, language,
    last_login_at, login_attempts, locked_until, created_at, updated_at
FROM users
WHERE is_active
  AND last_login_at > now() - make_interval(days => :days)
ORDER BY last_login_at DESC, id;

-- name: count_users()$
-- The number of accounts.
SELECT count(*) FROM users;

-- name: count_active_users(days)$
-- The number of users who have signed in during the last so many days.
SELECT count(*)
FROM users
WHERE is_active
  AND last_login_at > now() - make_interval(days => :days);

-- name: count_users_by_role()
-- The number of accounts of each role, those roles included that nobody has.
SELECT r.role, count(u.id) AS user_count
FROM unnest(enum_range(NULL::user_role)) AS r (role)
LEFT JOIN users AS u ON u.role = r.role
GROUP BY r.role
ORDER BY r.role;

-- name: get_user_statistics(user_id)^
-- What one user has made and used: projects, templates, reviews, AI sessions and what these cost.
-- Each table is counted on its own, so that no join multiplies another's rows.
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
-- Replace the whole profile, as a form sends it: NULL clears a field. No row for an unknown user.
UPDATE users
SET name     = :name,
    avatar   = :avatar,
    bio      = :bio,
    timezone = :timezone,
    language = :language
WHERE id = :user_id
RETURNING
    id, email, name, role, email_verified, is_active, avatar, bio, timezone, language,
    last_login_at, login_attempts, locked_until, created_at, updated_at;

-- name: update_password(user_id, password_hash)!
-- Set a new password, and lift a lock: whoever may set the password has proved who they are.
UPDATE users
SET password_hash  = :password_hash,
    login_attempts = 0,
    locked_until   = NULL
WHERE id = :user_id;

-- name: verify_email(user_id)!
-- Note that the user has proved to own the e-mail address.
UPDATE users
SET email_verified = true
WHERE id = :user_id;

-- name: set_user_role(user_id, role)!
-- Give a user another role.
UPDATE users
SET role = :role
WHERE id = :user_id;

-- name: set_user_active(user_id, is_active)!
-- Open or close an account without deleting anything. The API keys of a closed account do not work.
UPDATE users
SET is_active = :is_active
WHERE id = :user_id;

-- name: record_failed_sign_in(user_id)<!
-- Count a wrong password, and lock the account for 15 minutes at the fifth. Answers the new state; no row
-- for an unknown user. Once a lock has run out, the count starts again at one.
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
-- Note a successful sign-in: the failures are forgotten, the lock is lifted, last_login_at is now.
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
-- Delete an account, with its API keys, reviews, memberships and notifications. A user who owns projects
-- cannot be deleted (projects_user_id_fkey): see transfer_projects.
DELETE FROM users
WHERE id = :user_id;

-- API keys. Only the hash of a key is stored, and it never leaves the database.

-- name: issue_api_key(user_id, name, key_hash, permissions, expires_at)<!
-- record_class: ApiKey
-- Store a new key by its hash. `permissions` is a JSON list of strings. If `expires_at` is NULL, the key
-- never expires.
INSERT INTO api_keys (user_id, name, key_hash, permissions, expires_at)
VALUES (:user_id, :name, :key_hash, :permissions, :expires_at)
RETURNING
    id, user_id, name, permissions, last_used_at, usage_count, rate_limit, is_active, expires_at,
    created_at, updated_at;

-- name: verify_api_key(key_hash)<!
-- record_class: ApiKey
-- Count one use of a key, and return the key. No row if the key is unknown, revoked or expired, or if its
-- owner is inactive.
UPDATE api_keys AS k
SET usage_count  = k.usage_count + 1,
    last_used_at = now()
FROM users AS u
WHERE k.key_hash = :key_hash
  AND k.is_active
  AND (k.expires_at IS NULL OR k.expires_at > now())
  AND u.id = k.user_id
  AND u.is_active
RETURNING
    k.id, k.user_id, k.name, k.permissions, k.last_used_at, k.usage_count, k.rate_limit, k.is_active,
    k.expires_at, k.created_at, k.updated_at;

-- name: get_api_key_by_id(api_key_id)^
-- record_class: ApiKey
-- Find one key by id.
SELECT
    id, user_id, name, permissions, last_used_at, usage_count, rate_limit, is_active, expires_at,
    created_at, updated_at
FROM api_keys
WHERE id = :api_key_id;

-- name: list_api_keys_of_user(user_id)
-- record_class: ApiKey
-- List the keys of a user, newest first.
SELECT
    id, user_id, name, permissions, last_used_at, usage_count, rate_limit, is_active, expires_at,
    created_at, updated_at
FROM api_keys
WHERE user_id = :user_id
ORDER BY created_at DESC, id;

-- name: list_api_keys_with_owner(max_rows)
-- List all keys with the names of their owners, most used first.
SELECT
    k.id,
    k.name,
    k.user_id,
    u.name  AS owner_name,
    u.email AS owner_email,
    k.usage_count,
    k.rate_limit,
    k.is_active,
    k.last_used_at,
    k.expires_at,
    k.created_at
FROM api_keys AS k
JOIN users AS u ON u.id = k.user_id
ORDER BY k.usage_count DESC, k.id
LIMIT :max_rows;

-- name: count_api_keys()$
-- Count all keys, including revoked and expired ones.
SELECT count(*) FROM api_keys;

-- name: set_api_key_rate_limit(api_key_id, rate_limit)!
-- Set how many requests per hour a key may make.
UPDATE api_keys
SET rate_limit = :rate_limit
WHERE id = :api_key_id;

-- name: revoke_api_key(api_key_id, user_id)!
-- Revoke a key of this user permanently. Changes nothing if the key belongs to someone else or is already
-- revoked.
UPDATE api_keys
SET is_active = false
WHERE id = :api_key_id
  AND user_id = :user_id
  AND is_active;

-- name: delete_expired_api_keys(days)!
-- Delete the keys that expired more than `days` days ago.
DELETE FROM api_keys
WHERE expires_at < now() - make_interval(days => :days);

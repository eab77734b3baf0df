-- A search with eight filters, each of which may be left out.

-- name: search(user_id, kind, status, country, least, since, before, flagged)
-- record_class: Found
SELECT id, user_id, kind, status, country, score, created_at
FROM search_rows
WHERE true
  AND user_id = :user_id         -- if: user_id
  AND kind = :kind               -- if: kind
  AND status = :status           -- if: status
  AND country = :country         -- if: country
  AND score >= :least            -- if: least
  AND created_at >= :since       -- if: since
  AND created_at < :before       -- if: before
  AND flagged = :flagged         -- if: flagged
ORDER BY id
LIMIT 20;

-- name: by_hand_0()
-- record_class: Found
SELECT id, user_id, kind, status, country, score, created_at
FROM search_rows
WHERE true
ORDER BY id
LIMIT 20;

-- name: by_hand_3(user_id, kind, since)
-- record_class: Found
SELECT id, user_id, kind, status, country, score, created_at
FROM search_rows
WHERE true
  AND user_id = :user_id
  AND kind = :kind
  AND created_at >= :since
ORDER BY id
LIMIT 20;

-- name: by_hand_8(user_id, kind, status, country, least, since, before, flagged)
-- record_class: Found
SELECT id, user_id, kind, status, country, score, created_at
FROM search_rows
WHERE true
  AND user_id = :user_id
  AND kind = :kind
  AND status = :status
  AND country = :country
  AND score >= :least
  AND created_at >= :since
  AND created_at < :before
  AND flagged = :flagged
ORDER BY id
LIMIT 20;

-- name: one_statement(user_id, kind, status, country, least, since, before, flagged)
-- record_class: Found
SELECT id, user_id, kind, status, country, score, created_at
FROM search_rows
WHERE (:user_id::int IS NULL OR user_id = :user_id)
  AND (:kind::text IS NULL OR kind = :kind)
  AND (:status::text IS NULL OR status = :status)
  AND (:country::text IS NULL OR country = :country)
  AND (:least::int IS NULL OR score >= :least)
  AND (:since::timestamptz IS NULL OR created_at >= :since)
  AND (:before::timestamptz IS NULL OR created_at < :before)
  AND (:flagged::bool IS NULL OR flagged = :flagged)
ORDER BY id
LIMIT 20;

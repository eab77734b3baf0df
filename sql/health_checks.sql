-- Results of health checks.

-- name: record_health_check(status)<!
-- Store the result of a check made now.
INSERT INTO health_checks (status)
VALUES (:status)
RETURNING id, checked_at, status;

-- name: list_health_checks(max_rows)
-- The latest results, the newest first.
SELECT id, checked_at, status
FROM health_checks
ORDER BY checked_at DESC, id
LIMIT :max_rows;

-- name: delete_old_health_checks(days)!
-- Delete the results that are older than so many days.
DELETE FROM health_checks
WHERE checked_at < now() - make_interval(days => :days);

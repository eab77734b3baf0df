-- Results of health checks.

-- name: record_health_check(status)<!
-- Store the result of a check, with the current time.
INSERT INTO health_checks (status)
VALUES (:status)
RETURNING id, checked_at, status;

-- name: list_health_checks(max_rows)
-- List the latest results, newest first.
SELECT id, checked_at, status
FROM health_checks
ORDER BY checked_at DESC, id
LIMIT :max_rows;

-- name: delete_old_health_checks(days)!
-- Delete the results that are older than `days` days.
DELETE FROM health_checks
WHERE checked_at < now() - make_interval(days => :days);

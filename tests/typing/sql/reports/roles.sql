-- name: by_role()
SELECT role, count(*) AS total, max(name) AS last_name FROM users GROUP BY role;

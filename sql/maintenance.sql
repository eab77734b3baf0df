-- Queries about the whole database, for bulk loading and the demo.

-- name: count_all_rows()
-- Count the rows of every table, sorted by table name.
SELECT 'ai_logs' AS table_name, count(*) AS row_count FROM ai_logs
UNION ALL SELECT 'ai_sessions', count(*) FROM ai_sessions
UNION ALL SELECT 'analytics_events', count(*) FROM analytics_events
UNION ALL SELECT 'api_keys', count(*) FROM api_keys
UNION ALL SELECT 'health_checks', count(*) FROM health_checks
UNION ALL SELECT 'module_templates', count(*) FROM module_templates
UNION ALL SELECT 'notifications', count(*) FROM notifications
UNION ALL SELECT 'project_collaborators', count(*) FROM project_collaborators
UNION ALL SELECT 'projects', count(*) FROM projects
UNION ALL SELECT 'template_reviews', count(*) FROM template_reviews
UNION ALL SELECT 'users', count(*) FROM users
ORDER BY table_name;

-- name: analyze_tables()#
-- Update the planner's statistics of every table, as after a bulk load.
ANALYZE ai_logs;
ANALYZE ai_sessions;
ANALYZE analytics_events;
ANALYZE api_keys;
ANALYZE health_checks;
ANALYZE module_templates;
ANALYZE notifications;
ANALYZE project_collaborators;
ANALYZE projects;
ANALYZE template_reviews;
ANALYZE users;

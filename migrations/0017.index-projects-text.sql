-- depends: 0016.index-users-created-at
-- transactional: false

-- The text that search_projects searches. The query must contain exactly this expression.
CREATE INDEX CONCURRENTLY projects_text_idx
    ON projects USING gin (to_tsvector('english', name || ' ' || coalesce(description, '')));

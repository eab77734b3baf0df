-- depends: 0015.index-analytics-events-occurred-at
-- transactional: false

-- The order of list_users_page. This index finds the start of each page.
CREATE INDEX CONCURRENTLY users_created_at_id_idx ON users (created_at, id);

-- depends: 0015.index-analytics-events-occurred-at
-- transactional: false

-- The order of list_users_page: each page starts where the last one ended, by this index.
CREATE INDEX CONCURRENTLY users_created_at_id_idx ON users (created_at, id);

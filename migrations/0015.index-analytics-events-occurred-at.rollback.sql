-- transactional: false

DROP INDEX CONCURRENTLY IF EXISTS analytics_events_occurred_at_idx;

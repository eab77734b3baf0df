-- transactional: false

DROP INDEX CONCURRENTLY IF EXISTS projects_text_idx;

-- transactional: false

DROP INDEX CONCURRENTLY IF EXISTS projects_tags_idx;

-- transactional: false

DROP INDEX CONCURRENTLY IF EXISTS module_templates_search_vector_idx;

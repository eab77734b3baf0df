-- depends: 0013.create-health-checks
-- transactional: false

-- Without IF NOT EXISTS, here and in the migrations that follow: a concurrent build that fails leaves an
-- invalid index of this name behind, and IF NOT EXISTS would take it for the real one. After a failure,
-- run the rollback's statement and apply again.
CREATE INDEX CONCURRENTLY module_templates_search_vector_idx
    ON module_templates USING gin (search_vector);

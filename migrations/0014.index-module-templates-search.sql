-- depends: 0013.create-health-checks
-- transactional: false

-- No IF NOT EXISTS, here and in the following migrations: a concurrent build that fails leaves an invalid
-- index with this name behind, and IF NOT EXISTS would accept it. After a failure, run the statement of the
-- rollback file, then apply again.
CREATE INDEX CONCURRENTLY module_templates_search_vector_idx
    ON module_templates USING gin (search_vector);

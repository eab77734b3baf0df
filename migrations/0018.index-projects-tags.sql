-- depends: 0017.index-projects-text
-- transactional: false

CREATE INDEX CONCURRENTLY projects_tags_idx ON projects USING gin (tags);

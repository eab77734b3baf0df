-- depends: 0008.create-template-reviews

CREATE TABLE projects (
    id                 uuid           NOT NULL DEFAULT gen_random_uuid(),
    name               text           NOT NULL,
    description        text,
    user_id            uuid           NOT NULL,
    template_id        uuid,
    settings           jsonb          NOT NULL DEFAULT '{}',
    design_url         text,
    output_html        text,
    output_css         text,
    output_js          text,
    metadata           jsonb,
    tags               text[]         NOT NULL DEFAULT '{}',
    status             project_status NOT NULL DEFAULT 'DRAFT',
    progress           integer        NOT NULL DEFAULT 0,
    is_public          boolean        NOT NULL DEFAULT false,
    deployment_url     text,
    preview_url        text,
    build_time_ms      integer,
    bundle_size_bytes  bigint,
    lighthouse_score   integer,
    created_at         timestamptz    NOT NULL DEFAULT now(),
    updated_at         timestamptz    NOT NULL DEFAULT now(),
    published_at       timestamptz,
    CONSTRAINT projects_pkey PRIMARY KEY (id),
    -- Published pages must not disappear with an account: transfer or delete the projects first. Not
    -- RESTRICT: its violation is 23001 since PostgreSQL 18 and 23503 before. That of NO ACTION is always 23503.
    CONSTRAINT projects_user_id_fkey
        FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE NO ACTION,
    -- A project has its own copy of the template's content.
    CONSTRAINT projects_template_id_fkey
        FOREIGN KEY (template_id) REFERENCES module_templates (id) ON DELETE SET NULL,
    CONSTRAINT projects_settings_check CHECK (jsonb_typeof(settings) = 'object'),
    CONSTRAINT projects_progress_check CHECK (progress BETWEEN 0 AND 100),
    CONSTRAINT projects_build_time_ms_check CHECK (build_time_ms >= 0),
    CONSTRAINT projects_bundle_size_bytes_check CHECK (bundle_size_bytes >= 0),
    CONSTRAINT projects_lighthouse_score_check CHECK (lighthouse_score BETWEEN 0 AND 100)
);

CREATE INDEX projects_user_id_idx ON projects (user_id);

CREATE INDEX projects_status_idx ON projects (status);

CREATE INDEX projects_is_public_idx ON projects (is_public);

CREATE INDEX projects_created_at_idx ON projects (created_at);

CREATE INDEX projects_user_id_status_idx ON projects (user_id, status);

-- For the foreign key: without this index, deleting a template scans the whole table.
CREATE INDEX projects_template_id_idx ON projects (template_id);

CREATE TRIGGER projects_set_updated_at
    BEFORE UPDATE ON projects
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();

COMMENT ON TABLE projects IS 'Pages that users create from a design, often based on a template.';

COMMENT ON COLUMN projects.progress IS 'Progress of the build, in percent.';

-- depends: 0009.create-projects

CREATE TABLE project_collaborators (
    id          uuid              NOT NULL DEFAULT gen_random_uuid(),
    project_id  uuid              NOT NULL,
    user_id     uuid              NOT NULL,
    role        collaborator_role NOT NULL,
    can_edit    boolean           NOT NULL DEFAULT false,
    can_delete  boolean           NOT NULL DEFAULT false,
    can_share   boolean           NOT NULL DEFAULT false,
    created_at  timestamptz       NOT NULL DEFAULT now(),
    updated_at  timestamptz       NOT NULL DEFAULT now(),
    CONSTRAINT project_collaborators_pkey PRIMARY KEY (id),
    CONSTRAINT project_collaborators_project_id_user_id_key UNIQUE (project_id, user_id),
    CONSTRAINT project_collaborators_project_id_fkey
        FOREIGN KEY (project_id) REFERENCES projects (id) ON DELETE CASCADE,
    CONSTRAINT project_collaborators_user_id_fkey
        FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE INDEX project_collaborators_user_id_idx ON project_collaborators (user_id);

CREATE TRIGGER project_collaborators_set_updated_at
    BEFORE UPDATE ON project_collaborators
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();

COMMENT ON TABLE project_collaborators IS
    'Users who work on a project besides its owner. A flag adds to the permissions of the role.';

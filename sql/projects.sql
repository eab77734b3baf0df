-- Projects and the people who work on them. Lists omit the generated pages, which can be large.

-- name: create_project(user_id, name, description, settings, tags)<!
-- record_class: Project
-- Create an empty project. `settings` is a JSON object.
INSERT INTO projects (user_id, name, description, settings, tags)
VALUES (:user_id, :name, :description, :settings, :tags)
RETURNING
    id, name, description, user_id, template_id, settings, design_url, output_html, output_css, output_js,
    metadata, tags, status, progress, is_public, deployment_url, preview_url, build_time_ms,
    bundle_size_bytes, lighthouse_score, created_at, updated_at, published_at;

-- name: create_project_from_template(user_id, template_id, name)<!
-- record_class: Project
-- Create a project as a copy of a template, and count the use of the template, in one statement. No row
-- unless the template exists and is either public and approved or the user's own.
WITH template AS (
    UPDATE module_templates
    SET usage_count = usage_count + 1
    WHERE id = :template_id
      AND (is_public AND is_approved OR author_id = :user_id)
    RETURNING id, description, html_content, css_content, js_content, tags
)
INSERT INTO projects (user_id, template_id, name, description, output_html, output_css, output_js, tags)
SELECT :user_id, id, :name::text, description, html_content, css_content, js_content, tags
FROM template
RETURNING
    id, name, description, user_id, template_id, settings, design_url, output_html, output_css, output_js,
    metadata, tags, status, progress, is_public, deployment_url, preview_url, build_time_ms,
    bundle_size_bytes, lighthouse_score, created_at, updated_at, published_at;

-- name: import_projects(project_id, user_id, template_id, name, description, tags, status, created_at)*!
-- Create projects with given ids, statuses and creation times. Existing ids are skipped, so an interrupted
-- import can be run again.
INSERT INTO projects (id, user_id, template_id, name, description, tags, status, created_at)
VALUES (:project_id, :user_id, :template_id, :name, :description, :tags, :status, :created_at)
ON CONFLICT (id) DO NOTHING;

-- name: get_project_by_id(project_id)^
-- record_class: Project
-- Find one project by id.
SELECT
    id, name, description, user_id, template_id, settings, design_url, output_html, output_css, output_js,
    metadata, tags, status, progress, is_public, deployment_url, preview_url, build_time_ms,
    bundle_size_bytes, lighthouse_score, created_at, updated_at, published_at
FROM projects
WHERE id = :project_id;

-- name: list_projects_of_user(user_id)
-- record_class: template = TemplateLink
-- List a user's projects, newest first, with the template, if any.
SELECT
    p.id,
    p.name,
    p.description,
    p.status,
    p.progress,
    p.tags,
    p.is_public,
    p.deployment_url,
    to_json(template) AS template,
    p.created_at,
    p.updated_at,
    p.published_at
FROM projects AS p
LEFT JOIN (SELECT id, name, slug FROM module_templates) AS template ON template.id = p.template_id
WHERE p.user_id = :user_id
ORDER BY p.created_at DESC, p.id;

-- name: search_projects(query, status, tag, user_id, max_rows)
-- Search projects by words in their name and description, by status, by tag and by owner. `query` uses the
-- syntax of search engines: words, "a phrase", or, -without.
SELECT
    p.id,
    p.name,
    p.description,
    p.user_id,
    u.name AS owner_name,
    p.status,
    p.progress,
    p.tags,
    p.is_public,
    p.created_at,
    p.updated_at,
    p.published_at
FROM projects AS p
JOIN users AS u ON u.id = p.user_id
WHERE true
  -- if: query
  AND to_tsvector('english', p.name || ' ' || coalesce(p.description, ''))
      @@ websearch_to_tsquery('english', :query)
  -- end
  AND p.status = :status            -- if: status
  AND p.tags @> ARRAY[:tag::text]   -- if: tag
  AND p.user_id = :user_id          -- if: user_id
ORDER BY p.updated_at DESC, p.id    -- order: changed
ORDER BY p.created_at DESC, p.id    -- order: newest
ORDER BY lower(p.name), p.id        -- order: name
LIMIT :max_rows;

-- name: count_projects()$
-- Count all projects.
SELECT count(*) FROM projects;

-- name: count_projects_by_status(user_id)
-- Count the projects of each status, of one user or of all users. Unused statuses have count 0.
SELECT s.status, count(p.id) AS project_count
FROM unnest(enum_range(NULL::project_status)) AS s (status)
LEFT JOIN projects AS p
    ON p.status = s.status
   AND p.user_id = :user_id  -- if: user_id
GROUP BY s.status
ORDER BY s.status;

-- name: update_project(project_id, name, description, settings, tags)<!
-- record_class: Project
-- Change what a project's owner fills in, as far as it is given. No row if the project is unknown.
UPDATE projects
SET updated_at  = now(),
    name        = :name,         -- if given: name
    description = :description,  -- if given: description
    settings    = :settings,     -- if given: settings
    tags        = :tags          -- if given: tags
WHERE id = :project_id
RETURNING
    id, name, description, user_id, template_id, settings, design_url, output_html, output_css, output_js,
    metadata, tags, status, progress, is_public, deployment_url, preview_url, build_time_ms,
    bundle_size_bytes, lighthouse_score, created_at, updated_at, published_at;

-- name: set_project_progress(project_id, progress)!
-- Set the progress of a build, in percent, and the status PROCESSING.
UPDATE projects
SET status   = 'PROCESSING',
    progress = :progress
WHERE id = :project_id
  AND status <> 'ARCHIVED';

-- name: complete_project(project_id, html, css, js, build_time_ms, bundle_size_bytes, lighthouse_score)<!
-- record_class: Project
-- Store the result of a project's build, and set the status to COMPLETED. No row if the project is unknown
-- or archived.
UPDATE projects
SET output_html       = :html,
    output_css        = :css,
    output_js         = :js,
    build_time_ms     = :build_time_ms,
    bundle_size_bytes = :bundle_size_bytes,
    lighthouse_score  = :lighthouse_score,
    status            = 'COMPLETED',
    progress          = 100
WHERE id = :project_id
  AND status <> 'ARCHIVED'
RETURNING
    id, name, description, user_id, template_id, settings, design_url, output_html, output_css, output_js,
    metadata, tags, status, progress, is_public, deployment_url, preview_url, build_time_ms,
    bundle_size_bytes, lighthouse_score, created_at, updated_at, published_at;

-- name: publish_project(project_id, deployment_url)<!
-- record_class: Project
-- Publish a draft or completed project. No row if it is unknown, being built, failed, archived or already
-- published. Of two concurrent calls, therefore, only one goes on to notify the collaborators.
UPDATE projects
SET status         = 'PUBLISHED',
    progress       = 100,
    is_public      = true,
    deployment_url = :deployment_url,
    published_at   = now()
WHERE id = :project_id
  AND status IN ('DRAFT', 'COMPLETED')
RETURNING
    id, name, description, user_id, template_id, settings, design_url, output_html, output_css, output_js,
    metadata, tags, status, progress, is_public, deployment_url, preview_url, build_time_ms,
    bundle_size_bytes, lighthouse_score, created_at, updated_at, published_at;

-- name: archive_project(project_id)<!
-- record_class: Project
-- Archive a project and make it private. No row unless that was possible.
UPDATE projects
SET status    = 'ARCHIVED',
    is_public = false
WHERE id = :project_id
  AND status <> 'ARCHIVED'
RETURNING
    id, name, description, user_id, template_id, settings, design_url, output_html, output_css, output_js,
    metadata, tags, status, progress, is_public, deployment_url, preview_url, build_time_ms,
    bundle_size_bytes, lighthouse_score, created_at, updated_at, published_at;

-- name: transfer_projects(from_user_id, to_user_id)!
-- Transfer a user's projects to another, before an account is deleted.
UPDATE projects
SET user_id = :to_user_id
WHERE user_id = :from_user_id;

-- name: delete_project(project_id)!
-- Delete a project and its list of collaborators.
DELETE FROM projects
WHERE id = :project_id;

-- name: add_collaborator(project_id, user_id, role, can_edit, can_delete, can_share)<!
-- record_class: Collaborator
-- Add a collaborator to a project, or change what they may do.
INSERT INTO project_collaborators (project_id, user_id, role, can_edit, can_delete, can_share)
VALUES (:project_id, :user_id, :role, :can_edit, :can_delete, :can_share)
ON CONFLICT (project_id, user_id) DO UPDATE
SET role       = excluded.role,
    can_edit   = excluded.can_edit,
    can_delete = excluded.can_delete,
    can_share  = excluded.can_share
RETURNING id, project_id, user_id, role, can_edit, can_delete, can_share, created_at, updated_at;

-- name: remove_collaborator(project_id, user_id)!
-- Remove a collaborator from a project.
DELETE FROM project_collaborators
WHERE project_id = :project_id
  AND user_id = :user_id;

-- name: get_collaborator(project_id, user_id)^
-- record_class: Collaborator
-- Find one collaborator of a project. None if the user is not one; the owner is not one either.
SELECT id, project_id, user_id, role, can_edit, can_delete, can_share, created_at, updated_at
FROM project_collaborators
WHERE project_id = :project_id
  AND user_id = :user_id;

-- name: list_collaborators(project_id)
-- List the collaborators of a project with their names, most powerful roles first.
SELECT
    c.user_id,
    u.name,
    u.email,
    c.role,
    c.can_edit,
    c.can_delete,
    c.can_share,
    c.created_at
FROM project_collaborators AS c
JOIN users AS u ON u.id = c.user_id
WHERE c.project_id = :project_id
ORDER BY c.role DESC, c.created_at, c.user_id;

-- name: list_projects_shared_with_user(user_id)
-- List other people's projects that a user works on, with their owners, most recently changed first.
SELECT
    p.id,
    p.name,
    p.status,
    to_json(owner) AS owner,
    c.role,
    c.can_edit,
    p.updated_at
FROM project_collaborators AS c
JOIN projects AS p ON p.id = c.project_id
JOIN (SELECT id, name, avatar FROM users) AS owner ON owner.id = p.user_id
WHERE c.user_id = :user_id
ORDER BY p.updated_at DESC, p.id;

-- name: may_edit_project(project_id, user_id)$
-- Whether a user may edit a project: as its owner, by their role, or by an explicit permission.
SELECT
    EXISTS (
        SELECT 1
        FROM projects
        WHERE id = :project_id
          AND user_id = :user_id
    )
    OR EXISTS (
        SELECT 1
        FROM project_collaborators
        WHERE project_id = :project_id
          AND user_id = :user_id
          AND (can_edit OR role IN ('EDITOR', 'ADMIN'))
    ) AS may_edit;

-- name: list_project_editors(project_id)
-- List everyone who may edit a project, the owner first.
WITH editors AS (
    SELECT user_id, true AS is_owner
    FROM projects
    WHERE id = :project_id
    UNION ALL
    SELECT user_id, false
    FROM project_collaborators
    WHERE project_id = :project_id
      AND (can_edit OR role IN ('EDITOR', 'ADMIN'))
)
SELECT u.id AS user_id, u.name, u.email, bool_or(e.is_owner) AS is_owner
FROM editors AS e
JOIN users AS u ON u.id = e.user_id
GROUP BY u.id
ORDER BY is_owner DESC, u.name, u.id;

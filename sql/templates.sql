-- Templates. Everyone can see those that their authors have made public and a moderator has approved.

-- name: create_template(author_id, slug, name, description, category, complexity, html, css, js, tags)<!
-- record_class: Template
-- Create a template. At first only its author can see it. A slug that is already in use violates
-- module_templates_slug_key.
INSERT INTO module_templates (
    author_id, slug, name, description, category, complexity,
    html_content, css_content, js_content, tags
)
VALUES (
    :author_id, :slug, :name, :description, :category, :complexity,
    :html, :css, :js, :tags
)
RETURNING
    id, name, description, category, complexity, html_content, css_content, js_content, tags, version,
    usage_count, rating, downloads, is_public, is_approved, author_id, slug, keywords,
    created_at, updated_at, published_at;

-- name: import_templates(template_id, author_id, slug, name, description, category, complexity, html, tags)*!
-- Create public, approved templates with given ids. Existing ids are skipped, so an interrupted import can
-- be run again.
INSERT INTO module_templates (
    id, author_id, slug, name, description, category, complexity, html_content, tags,
    is_public, is_approved, published_at
)
VALUES (
    :template_id, :author_id, :slug, :name, :description, :category, :complexity, :html, :tags,
    true, true, now()
)
ON CONFLICT (id) DO NOTHING;

-- name: get_template_by_id(template_id)^
-- record_class: Template
-- Find one template by id.
SELECT
    id, name, description, category, complexity, html_content, css_content, js_content, tags, version,
    usage_count, rating, downloads, is_public, is_approved, author_id, slug, keywords,
    created_at, updated_at, published_at
FROM module_templates
WHERE id = :template_id;

-- name: get_template_by_slug(slug)^
-- record_class: Template
-- Find one template by slug, its name in URLs.
SELECT
    id, name, description, category, complexity, html_content, css_content, js_content, tags, version,
    usage_count, rating, downloads, is_public, is_approved, author_id, slug, keywords,
    created_at, updated_at, published_at
FROM module_templates
WHERE slug = :slug;

-- name: search_templates(query, category, complexity, max_rows)
-- Full-text search in the templates that everyone can see, best hits first. `query` uses the syntax of search
-- engines: words, "a phrase", or, -without.
SELECT
    t.id,
    t.slug,
    t.name,
    t.description,
    t.category,
    t.complexity,
    t.tags,
    t.rating,
    t.usage_count,
    ts_rank(t.search_vector, terms) AS rank
FROM module_templates AS t
CROSS JOIN websearch_to_tsquery('english', :query) AS terms
WHERE t.search_vector @@ terms
  AND t.is_public
  AND t.is_approved
  AND t.category = :category                 -- if: category
  AND t.complexity = :complexity             -- if: complexity
ORDER BY rank DESC, t.usage_count DESC, t.id
LIMIT :max_rows;

-- name: list_most_used_templates(category, max_rows)
-- List the templates that everyone can see, most used first, of one category or of all.
SELECT
    t.id,
    t.slug,
    t.name,
    t.category,
    t.complexity,
    t.usage_count,
    t.downloads,
    t.rating,
    t.author_id,
    u.name AS author_name
FROM module_templates AS t
LEFT JOIN users AS u ON u.id = t.author_id
WHERE t.is_public
  AND t.is_approved
  AND t.category = :category  -- if: category
ORDER BY t.usage_count DESC, t.id
LIMIT :max_rows;

-- name: list_templates_of_author(author_id)
-- record_class: Template
-- List all templates of an author, newest first.
SELECT
    id, name, description, category, complexity, html_content, css_content, js_content, tags, version,
    usage_count, rating, downloads, is_public, is_approved, author_id, slug, keywords,
    created_at, updated_at, published_at
FROM module_templates
WHERE author_id = :author_id
ORDER BY created_at DESC, id;

-- name: list_templates_with_reviews(max_rows)
-- record_class: reviews = TemplateReview
-- List the most used templates that everyone can see, each with its reviews, newest first.
SELECT
    t.id,
    t.slug,
    t.name,
    t.category,
    t.rating,
    t.usage_count,
    (
        SELECT coalesce(jsonb_agg(r ORDER BY r.created_at DESC, r.id), '[]')
        FROM (
            SELECT r.id, r.user_id, u.name AS user_name, r.rating, r.comment, r.is_approved, r.created_at
            FROM template_reviews AS r
            JOIN users AS u ON u.id = r.user_id
            WHERE r.template_id = t.id
        ) AS r
    ) AS reviews
FROM module_templates AS t
WHERE t.is_public
  AND t.is_approved
ORDER BY t.usage_count DESC, t.id
LIMIT :max_rows;

-- name: get_template_with_reviews(template_id)^
-- record_class: reviews = TemplateReview
-- Find one template, with its reviews, newest first.
SELECT
    t.id,
    t.slug,
    t.name,
    t.category,
    t.rating,
    t.usage_count,
    (
        SELECT coalesce(jsonb_agg(r ORDER BY r.created_at DESC, r.id), '[]')
        FROM (
            SELECT r.id, r.user_id, u.name AS user_name, r.rating, r.comment, r.is_approved, r.created_at
            FROM template_reviews AS r
            JOIN users AS u ON u.id = r.user_id
            WHERE r.template_id = t.id
        ) AS r
    ) AS reviews
FROM module_templates AS t
WHERE t.id = :template_id;

-- name: count_templates()$
-- Count all templates.
SELECT count(*) FROM module_templates;

-- name: count_templates_by_category()
-- Count the templates that everyone can see, by category. Unused categories have count 0.
SELECT
    c.category,
    count(t.id)             AS template_count,
    round(avg(t.rating), 2) AS average_rating
FROM unnest(enum_range(NULL::template_category)) AS c (category)
LEFT JOIN module_templates AS t
    ON t.category = c.category
   AND t.is_public
   AND t.is_approved
GROUP BY c.category
ORDER BY c.category;

-- name: update_template(template_id, name, description, tags, keywords)<!
-- record_class: Template
-- Change the description and the search terms of a template, as far as they are given. No row for an unknown
-- template.
UPDATE module_templates
SET updated_at  = now(),
    name        = :name,         -- if given: name
    description = :description,  -- if given: description
    tags        = :tags,         -- if given: tags
    keywords    = :keywords      -- if given: keywords
WHERE id = :template_id
RETURNING
    id, name, description, category, complexity, html_content, css_content, js_content, tags, version,
    usage_count, rating, downloads, is_public, is_approved, author_id, slug, keywords,
    created_at, updated_at, published_at;

-- name: update_template_content(template_id, version, html, css, js)<!
-- record_class: Template
-- Store a new version of a template. It has to be approved again. No row for an unknown template.
UPDATE module_templates
SET version      = :version,
    html_content = :html,
    css_content  = :css,
    js_content   = :js,
    is_approved  = false
WHERE id = :template_id
RETURNING
    id, name, description, category, complexity, html_content, css_content, js_content, tags, version,
    usage_count, rating, downloads, is_public, is_approved, author_id, slug, keywords,
    created_at, updated_at, published_at;

-- name: publish_template(template_id)<!
-- record_class: Template
-- Make a template public. Everyone can see it once it is approved. No row for an unknown template.
UPDATE module_templates
SET is_public    = true,
    published_at = coalesce(published_at, now())
WHERE id = :template_id
RETURNING
    id, name, description, category, complexity, html_content, css_content, js_content, tags, version,
    usage_count, rating, downloads, is_public, is_approved, author_id, slug, keywords,
    created_at, updated_at, published_at;

-- name: approve_template(template_id)<!
-- record_class: Template
-- Approve a template, as a moderator. No row if it is unknown or already approved.
UPDATE module_templates
SET is_approved = true
WHERE id = :template_id
  AND NOT is_approved
RETURNING
    id, name, description, category, complexity, html_content, css_content, js_content, tags, version,
    usage_count, rating, downloads, is_public, is_approved, author_id, slug, keywords,
    created_at, updated_at, published_at;

-- name: record_template_download(template_id)!
-- Count one download of a template.
UPDATE module_templates
SET downloads = downloads + 1
WHERE id = :template_id;

-- name: lock_template(template_id)$
-- Lock a template until the end of the transaction, and return its id, or None for an unknown template.
-- This is the first step of a review. If two users review a template at the same time, the second one
-- waits here, so its refresh_template_rating sees the first one's review. The lock is the one that the
-- refresh takes anyway, so it does not conflict with foreign keys to the template.
SELECT id
FROM module_templates
WHERE id = :template_id
FOR NO KEY UPDATE;

-- name: refresh_template_rating(template_id)<!
-- Set a template's rating to the average of its reviews, or NULL if it has none. No row for an unknown
-- template. Call lock_template earlier in the same transaction.
UPDATE module_templates AS t
SET rating = r.average
FROM (
    SELECT round(avg(rating), 2) AS average, count(*) AS review_count
    FROM template_reviews
    WHERE template_id = :template_id
) AS r
WHERE t.id = :template_id
RETURNING t.id, t.rating, r.review_count;

-- name: refresh_all_ratings()!
-- Set the rating of every template to the average of its reviews, for example after an import. Returns how
-- many ratings have changed.
UPDATE module_templates AS t
SET rating = r.average
FROM (
    SELECT t.id, round(avg(r.rating), 2) AS average
    FROM module_templates AS t
    LEFT JOIN template_reviews AS r ON r.template_id = t.id
    GROUP BY t.id
) AS r
WHERE r.id = t.id
  AND t.rating IS DISTINCT FROM r.average;

-- name: delete_template(template_id)!
-- Delete a template and its reviews. Projects that were created from it are kept.
DELETE FROM module_templates
WHERE id = :template_id;

-- Reviews of templates: one per user and template. refresh_template_rating updates the average.

-- name: upsert_review(template_id, user_id, rating, comment)<!
-- record_class: Review
-- Write a review, or replace the user's earlier one. Either way it awaits approval.
INSERT INTO template_reviews (template_id, user_id, rating, comment)
VALUES (:template_id, :user_id, :rating, :comment)
ON CONFLICT (template_id, user_id) DO UPDATE
SET rating      = excluded.rating,
    comment     = excluded.comment,
    is_approved = false
RETURNING id, template_id, user_id, rating, comment, is_approved, created_at, updated_at;

-- name: import_reviews(template_id, user_id, rating, comment, created_at)*!
-- Write approved reviews with given times. Existing reviews are skipped, so an interrupted import can be run
-- again.
INSERT INTO template_reviews (template_id, user_id, rating, comment, is_approved, created_at)
VALUES (:template_id, :user_id, :rating, :comment, true, :created_at)
ON CONFLICT (template_id, user_id) DO NOTHING;

-- name: get_review(template_id, user_id)^
-- record_class: Review
-- Find one user's review of one template.
SELECT id, template_id, user_id, rating, comment, is_approved, created_at, updated_at
FROM template_reviews
WHERE template_id = :template_id
  AND user_id = :user_id;

-- name: list_reviews_of_template(template_id)
-- List the reviews of a template with their authors, newest first.
SELECT
    r.id,
    to_json(author) AS author,
    r.rating,
    r.comment,
    r.is_approved,
    r.created_at,
    r.updated_at
FROM template_reviews AS r
JOIN (SELECT id, name, avatar FROM users) AS author ON author.id = r.user_id
WHERE r.template_id = :template_id
ORDER BY r.created_at DESC, r.id;

-- name: count_reviews()$
-- Count all reviews.
SELECT count(*) FROM template_reviews;

-- name: count_reviews_by_rating(template_id)
-- Count the reviews of a template for each number of stars, from five to one. Unused numbers have count 0.
SELECT s.stars, count(r.id) AS review_count
FROM generate_series(5, 1, -1) AS s (stars)
LEFT JOIN template_reviews AS r
    ON r.rating = s.stars
   AND r.template_id = :template_id
GROUP BY s.stars
ORDER BY s.stars DESC;

-- name: approve_review(review_id)<!
-- record_class: Review
-- Approve a review, as a moderator. No row if it is unknown or already approved.
UPDATE template_reviews
SET is_approved = true
WHERE id = :review_id
  AND NOT is_approved
RETURNING id, template_id, user_id, rating, comment, is_approved, created_at, updated_at;

-- name: delete_review(template_id, user_id)!
-- Delete one user's review of one template. refresh_template_rating updates the average.
DELETE FROM template_reviews
WHERE template_id = :template_id
  AND user_id = :user_id;

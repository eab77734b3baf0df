-- depends: 0007.create-module-templates

CREATE TABLE template_reviews (
    id           uuid        NOT NULL DEFAULT gen_random_uuid(),
    template_id  uuid        NOT NULL,
    user_id      uuid        NOT NULL,
    rating       smallint    NOT NULL,
    comment      text,
    is_approved  boolean     NOT NULL DEFAULT false,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT template_reviews_pkey PRIMARY KEY (id),
    CONSTRAINT template_reviews_template_id_user_id_key UNIQUE (template_id, user_id),
    CONSTRAINT template_reviews_template_id_fkey
        FOREIGN KEY (template_id) REFERENCES module_templates (id) ON DELETE CASCADE,
    -- A review belongs to its author, and is deleted with the account.
    CONSTRAINT template_reviews_user_id_fkey
        FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT template_reviews_rating_check CHECK (rating BETWEEN 1 AND 5)
);

CREATE INDEX template_reviews_rating_idx ON template_reviews (rating);

-- For the foreign key: the index of the unique constraint begins with the template, so it does not help here.
CREATE INDEX template_reviews_user_id_idx ON template_reviews (user_id);

CREATE TRIGGER template_reviews_set_updated_at
    BEFORE UPDATE ON template_reviews
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();

COMMENT ON TABLE template_reviews IS 'Reviews of templates: one per user and template.';

-- depends: 0006.create-ai-logs

-- array_to_string is only STABLE, because the output of some element types depends on settings. That of
-- text does not, so for text[] IMMUTABLE is correct, and a generated column can use this function.
CREATE FUNCTION join_words(words text[]) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN array_to_string(words, ' ');

COMMENT ON FUNCTION join_words(text[]) IS 'The elements, joined by spaces, for to_tsvector.';

CREATE TABLE module_templates (
    id             uuid                NOT NULL DEFAULT gen_random_uuid(),
    name           text                NOT NULL,
    description    text,
    category       template_category   NOT NULL,
    complexity     template_complexity NOT NULL,
    html_content   text                NOT NULL,
    css_content    text,
    js_content     text,
    tags           text[]              NOT NULL DEFAULT '{}',
    version        text                NOT NULL DEFAULT '1.0.0',
    usage_count    integer             NOT NULL DEFAULT 0,
    rating         numeric(3, 2),
    downloads      integer             NOT NULL DEFAULT 0,
    is_public      boolean             NOT NULL DEFAULT false,
    is_approved    boolean             NOT NULL DEFAULT false,
    author_id      uuid,
    slug           text                NOT NULL,
    keywords       text[]              NOT NULL DEFAULT '{}',
    created_at     timestamptz         NOT NULL DEFAULT now(),
    updated_at     timestamptz         NOT NULL DEFAULT now(),
    published_at   timestamptz,
    -- A match in the name weighs most, then one in the tags or keywords, then one in the description.
    search_vector  tsvector            NOT NULL GENERATED ALWAYS AS (
        setweight(to_tsvector('english', name), 'A')
        || setweight(to_tsvector('english', join_words(tags)), 'B')
        || setweight(to_tsvector('english', join_words(keywords)), 'B')
        || setweight(to_tsvector('english', coalesce(description, '')), 'C')
    ) STORED,
    CONSTRAINT module_templates_pkey PRIMARY KEY (id),
    CONSTRAINT module_templates_slug_key UNIQUE (slug),
    -- A template can still be used after its author has been deleted.
    CONSTRAINT module_templates_author_id_fkey
        FOREIGN KEY (author_id) REFERENCES users (id) ON DELETE SET NULL,
    CONSTRAINT module_templates_usage_count_check CHECK (usage_count >= 0),
    CONSTRAINT module_templates_rating_check CHECK (rating BETWEEN 0 AND 5),
    CONSTRAINT module_templates_downloads_check CHECK (downloads >= 0)
);

CREATE INDEX module_templates_category_idx ON module_templates (category);

CREATE INDEX module_templates_complexity_idx ON module_templates (complexity);

CREATE INDEX module_templates_is_public_idx ON module_templates (is_public);

CREATE INDEX module_templates_rating_idx ON module_templates (rating);

CREATE INDEX module_templates_usage_count_idx ON module_templates (usage_count);

CREATE INDEX module_templates_is_public_category_idx ON module_templates (is_public, category);

-- For the foreign key: without this index, deleting a user scans the whole table.
CREATE INDEX module_templates_author_id_idx ON module_templates (author_id);

CREATE TRIGGER module_templates_set_updated_at
    BEFORE UPDATE ON module_templates
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();

COMMENT ON TABLE module_templates IS 'Building blocks of pages. Everyone can see those that are public and approved.';

COMMENT ON COLUMN module_templates.rating IS 'Average of the reviews, updated by refresh_template_rating.';

-- depends: 0002.create-updated-at-function

CREATE TABLE users (
    id              uuid        NOT NULL DEFAULT gen_random_uuid(),
    email           text        NOT NULL,
    name            text,
    role            user_role   NOT NULL DEFAULT 'USER',
    password_hash   text        NOT NULL,
    email_verified  boolean     NOT NULL DEFAULT false,
    is_active       boolean     NOT NULL DEFAULT true,
    avatar          text,
    bio             text,
    timezone        text,
    language        text        NOT NULL DEFAULT 'en',
    last_login_at   timestamptz,
    login_attempts  integer     NOT NULL DEFAULT 0,
    locked_until    timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT users_pkey PRIMARY KEY (id),
    CONSTRAINT users_login_attempts_check CHECK (login_attempts >= 0)
);

-- Unique without regard to case. The address is stored as the owner wrote it. Queries must also use
-- lower(email), or they cannot use this index.
CREATE UNIQUE INDEX users_email_key ON users (lower(email));

CREATE INDEX users_role_idx ON users (role);

CREATE INDEX users_is_active_idx ON users (is_active);

CREATE INDEX users_last_login_at_idx ON users (last_login_at);

CREATE TRIGGER users_set_updated_at
    BEFORE UPDATE ON users
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();

COMMENT ON TABLE users IS 'People with an account.';

COMMENT ON COLUMN users.avatar IS 'URL of a picture.';

COMMENT ON COLUMN users.timezone IS 'Name in the IANA time zone database.';

COMMENT ON COLUMN users.login_attempts IS 'Failed sign-ins since the last success, or since a lock expired.';

COMMENT ON COLUMN users.locked_until IS 'No sign-in before this time, not even with the right password.';

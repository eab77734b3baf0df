-- depends: 0003.create-users

CREATE TABLE api_keys (
    id            uuid        NOT NULL DEFAULT gen_random_uuid(),
    user_id       uuid        NOT NULL,
    name          text        NOT NULL,
    key_hash      text        NOT NULL,
    permissions   jsonb       NOT NULL DEFAULT '[]',
    last_used_at  timestamptz,
    usage_count   bigint      NOT NULL DEFAULT 0,
    rate_limit    integer     NOT NULL DEFAULT 1000,
    is_active     boolean     NOT NULL DEFAULT true,
    expires_at    timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT api_keys_pkey PRIMARY KEY (id),
    CONSTRAINT api_keys_key_hash_key UNIQUE (key_hash),
    CONSTRAINT api_keys_user_id_fkey
        FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    -- A list of strings: an array without an element of any other type. Strict mode, because lax mode
    -- unwraps nested arrays.
    CONSTRAINT api_keys_permissions_check CHECK (
        jsonb_typeof(permissions) = 'array'
        AND NOT permissions @? 'strict $[*] ? (@.type() != "string")'
    ),
    CONSTRAINT api_keys_usage_count_check CHECK (usage_count >= 0),
    CONSTRAINT api_keys_rate_limit_check CHECK (rate_limit >= 0)
);

CREATE INDEX api_keys_user_id_idx ON api_keys (user_id);

CREATE TRIGGER api_keys_set_updated_at
    BEFORE UPDATE ON api_keys
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();

COMMENT ON TABLE api_keys IS 'Keys with which programs act for a user. The key itself is not stored.';

COMMENT ON COLUMN api_keys.rate_limit IS 'Requests per hour.';

CREATE TYPE user_role AS ENUM ('USER', 'ADMIN');

CREATE TABLE users (
    id       uuid      PRIMARY KEY DEFAULT gen_random_uuid(),
    email    text      NOT NULL,
    name     text,
    role     user_role NOT NULL DEFAULT 'USER',
    tags     text[]    NOT NULL DEFAULT '{}',
    settings jsonb     NOT NULL DEFAULT '{}'
);

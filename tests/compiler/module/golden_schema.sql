CREATE TYPE mood AS ENUM ('good', 'not so good');

CREATE TABLE users (
    id   int  PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    name text NOT NULL,
    mood mood NOT NULL DEFAULT 'good',
    date date,
    data jsonb,
    list text[]
);

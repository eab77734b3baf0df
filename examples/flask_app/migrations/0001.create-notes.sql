CREATE TABLE notes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    body text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE tags (
    note_id bigint NOT NULL REFERENCES notes,
    name text NOT NULL CHECK (name <> ''),
    PRIMARY KEY (note_id, name)
);

-- name: add_note(body)<!
-- record_class: Note
-- Store a note.
INSERT INTO notes (body) VALUES (:body) RETURNING id, body, created_at;

-- name: add_tag(note_id, name)!
-- Tag a note.
INSERT INTO tags (note_id, name) VALUES (:note_id, :name);

-- name: get_note(note_id)^
-- record_class: Note
-- Find a note.
SELECT id, body, created_at FROM notes WHERE id = :note_id;

-- name: get_user_by_email(email)^
-- record_class: User
-- Find one user by e-mail address.
SELECT id, email, name, role, tags FROM users WHERE email = :email;

-- name: list_users(roles)
-- record_class: User
SELECT id, email, name, role, tags FROM users WHERE role = ANY (:roles);

-- name: add_user(email, name, role, settings)<!
-- record_class: User
INSERT INTO users (email, name, role, settings) VALUES (:email, :name, :role, :settings)
RETURNING id, email, name, role, tags;

-- name: rename_user(id, name)<!
-- record_class: User
UPDATE users SET name = :name WHERE id = :id RETURNING id, email, name, role, tags;

-- name: name_of(id)$
SELECT name FROM users WHERE id = :id;

-- name: role_of(id)$
SELECT role FROM users WHERE id = :id;

-- name: count_users()$
SELECT count(*) FROM users;

-- name: delete_user(id)!
DELETE FROM users WHERE id = :id;

-- name: import_users(email, name)*!
INSERT INTO users (email, name) VALUES (:email, :name);

-- name: clear()#
DELETE FROM users;

-- name: search_users(role, name, tag, inactive)
-- record_class: User
SELECT id, email, name, role, tags
  FROM users
 WHERE true
   AND role = :role           -- if: role
   AND name = :name           -- if given: name
   AND :tag = ANY (tags)      -- unless: inactive
 ORDER BY email               -- order: email
 ORDER BY name, id            -- order: by-name
;

-- name: patch_user(id, name, role)!
UPDATE users
   SET email = email,
       name = :name,  -- if given: name
       role = :role   -- if given: role
 WHERE id = :id;

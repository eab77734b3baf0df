-- What only a server before 18 allows: a child table drops the NOT NULL that it inherited.

CREATE TABLE craft (id int4 NOT NULL, name text NOT NULL);
CREATE TABLE raft () INHERITS (craft);
ALTER TABLE raft ALTER COLUMN name DROP NOT NULL;

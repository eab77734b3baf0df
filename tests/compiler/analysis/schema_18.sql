-- What only 18 has. Rows that a constraint refuses today are inserted here, before it is added.

-- A child can no longer drop an inherited NOT NULL, but the parent can keep its own to itself.
CREATE TABLE craft (id int4 NOT NULL, name text CONSTRAINT named_ashore NOT NULL NO INHERIT);
CREATE TABLE raft () INHERITS (craft);

CREATE TABLE ledger (id int4 PRIMARY KEY, amount numeric, currency text);
INSERT INTO ledger VALUES (1, NULL, 'EUR'), (2, 10, 'USD');
ALTER TABLE ledger ADD CONSTRAINT amount_given NOT NULL amount NOT VALID;
ALTER TABLE ledger ADD CONSTRAINT currency_given NOT NULL currency;

CREATE TABLE hoped (id int4 PRIMARY KEY, quantity int4 CHECK (quantity IS NOT NULL) NOT ENFORCED);
INSERT INTO hoped VALUES (1, NULL), (2, 5);

CREATE TABLE rectangle (
    id int4 PRIMARY KEY,
    width int4 NOT NULL,
    height int4,
    area int4 GENERATED ALWAYS AS (width * height) VIRTUAL,
    doubled int4 GENERATED ALWAYS AS (width * 2) VIRTUAL,
    tall bool NOT NULL GENERATED ALWAYS AS (coalesce(height > width, false)) VIRTUAL
);
INSERT INTO rectangle (id, width, height) VALUES (1, 2, NULL), (2, 3, 4);

CREATE TABLE timer (id int4 PRIMARY KEY, span interval NOT NULL);
INSERT INTO timer VALUES (1, 'infinity'), (2, '1 hour');

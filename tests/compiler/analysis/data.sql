-- The states of the database that every query of the corpus is run over, each from empty tables and rolled back.
-- What a constraint allows, some state should hold: NULL wherever it may stand, rows without a partner, '' and 0,
-- infinity and NaN, empty arrays and arrays with NULL in them, JSON's own null.

-- state: full
-- All of it at once.
INSERT INTO author VALUES
    (1, 'Ada', NULL, NULL, 'happy', NULL, '2020-01-01'),
    (2, 'Bob', 'bob', '1970-01-01', 'sad', 4.5, '2021-01-01'),
    (3, 'Cyd', '', 'infinity', 'ok', 'NaN', 'infinity'),
    (4, 'Dot', 'zed', NULL, 'ok', 0, '-infinity'),
    (5, '', NULL, '-infinity', 'sad', -1, '2022-01-01'),
    (6, 'Eve', 'eve', '2000-02-02', 'happy', 3, '2023-01-01'),
    (7, 'Fay', 'fay', NULL, 'happy', NULL, '2024-01-01');
INSERT INTO book VALUES
    (1, 2, 1, 'Alpha', NULL, NULL, 0, 0, NULL, 'infinity', '{}', NULL, 'null', NULL, true, NULL, NULL),
    (2, 2, NULL, 'Beta', 'sub', 100, 9.99, 5, '2020-05-05', '2020-05-05', '{a,NULL,b}', '{}',
        '{"a": 1, "k": null, "list": [1, null]}', 'null', false, true, 'sad'),
    (3, 99, 98, 'Gamma', '', 0, 1, 1, 'infinity', '-infinity', '{NULL}', '{x,NULL}', '[]', '{"a": {"b": 2}}',
        true, false, 'sad'),
    (4, NULL, 2, '', 't', 5, 2.5, 0, NULL, '2021-01-01', '{a}', NULL, '{"a": "x"}', '{}', false, NULL, 'happy'),
    (5, 1, NULL, 'Echo', NULL, NULL, 0, 0, NULL, '2021-01-01', '{}', NULL, '{}', NULL, false, NULL, NULL),
    (6, 3, 3, 'Foxtrot', 'f', 7, 3, 2, '2019-01-01', '2019-01-01', '{a,b,c}', '{k}', '{"a": {"b": "deep"}}',
        '{"k": "v"}', true, true, 'ok'),
    (7, 6, 6, 'Golf', NULL, 42, 4, 3, '-infinity', '2022-01-01', '{b}', NULL, '{"k": "v"}', '{"k": null}',
        true, NULL, NULL),
    (8, NULL, NULL, 'Hotel', NULL, 8, 5, 4, NULL, '2022-01-01', '{b}', NULL, '[1, "a"]', NULL, true, true, 'sad'),
    (9, 6, 1, 'India', 'i', NULL, 6, 6, '2021-01-01', '2021-01-01', '{c}', '{c,NULL}', '{"a": null}', '{"a": 1}',
        true, true, 'ok');
INSERT INTO review (book_id, author_id, stars, weight, body, written_at) VALUES
    (2, 2, 5, 1.5, 'good', '2024-01-01'),
    (2, NULL, NULL, 'NaN', NULL, '2024-01-02'),
    (0, 1, 1, 0, '', 'infinity'),
    (77, 98, NULL, 'infinity', 'lost', '2024-01-04'),
    (5, NULL, NULL, 0, NULL, '2024-01-05'),
    (6, 6, 3, 1, 'bob', '2024-01-06'),
    (1, 4, 2, 1, 'x', '2024-01-07');
INSERT INTO publisher VALUES (1, 'Penguin'), (2, ''), (3, 'Idle');
INSERT INTO imprint VALUES (10, 1, 99, NULL), (11, 2, 1, 10), (12, 1, 2, 10);
INSERT INTO node VALUES
    (1, NULL, 'root'), (2, 1, 'left'), (3, 1, ''), (4, 2, 'leaf'), (5, 99, 'orphan'),
    (10, 11, 'round'), (11, 10, 'about');
INSERT INTO setting VALUES ('a', NULL, 0, NULL), ('b', 'set', 1, 'note'), ('', '', 2, ''), ('bob', NULL, 3, 'x');
INSERT INTO kind SELECT
    0, NULL, 0, NULL, 0, NULL, 'NaN', NULL, 'infinity', NULL, 'NaN', NULL, false, NULL, '', NULL, '', NULL, '', NULL,
    '', NULL, '', NULL, 'infinity', NULL, '00:00', NULL, '00:00+00', NULL, '-infinity', NULL, 'infinity', NULL,
    '0', NULL, '00000000-0000-0000-0000-000000000000', NULL, 'null', NULL, 'null', NULL, '::', NULL, '0.0.0.0/0', NULL,
    '00:00:00:00:00:00', NULL, B'000', NULL, B'', NULL, 0, NULL, '(0,0)', NULL, '(0,0),(0,0)', NULL, 'empty', NULL,
    '(,)', NULL, 'empty', NULL, '(,)', NULL, '{}', NULL, '', NULL, '', NULL, 'sad', NULL, '{}', NULL, '{}', NULL;
INSERT INTO kind SELECT
    1, 2, 3, 4, 5, 6, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, true, false, 'text', 'more', 'v', 'w', 'abc', 'd', 'n', 'o',
    'bytes', 'more', '2020-02-29', '2021-01-01', '12:00', '13:00', '12:00+01', '13:00+02', '2020-01-01', '2021-01-01',
    '2020-01-01', '2021-01-01', '1 day', '1 month', '11111111-1111-4111-8111-111111111111',
    '22222222-2222-4222-8222-222222222222', '{"a": 1}', '[]', '{"a": 1}', '"x"', '10.0.0.1/8', '::1', '10.0.0.0/8',
    '::/0', '01:02:03:04:05:06', '06:05:04:03:02:01', B'101', B'010', B'1', B'0', 1, 2, '(1,2)', '(3,4)',
    '(1,1),(0,0)', '(9,9),(5,5)', '[1,5)', '[3,)', '[1.5,2.5]', '(,1)', '[2020-01-01,2021-01-01)', 'empty',
    '[2020-01-01,2021-01-01)', 'empty', '{[1,2),[5,9)}', '{}', 'a fat cat', 'b', 'fat & cat', 'a', 'ok', 'happy',
    '{ok,NULL}', '{sad}', '{1,NULL,3}', '{{1,2},{3,4}}';
INSERT INTO person VALUES
    (1, NULL, ROW(NULL, NULL), '{}'),
    (2, ROW('High Street', NULL), ROW('Mill Lane', 12345), '{NULL,"(a,1)"}'),
    (3, ROW(NULL, NULL), ROW(NULL, 1), '{"(,)"}'),
    (4, ROW('Quay', 7), ROW('', 0), '{}'), (5, ROW(NULL, 8), ROW('Row', NULL), '{}');
-- A value that is of the domain's type already is not checked again, so an empty sub-query brings NULL into a column of
-- a NOT NULL domain (manual, CREATE DOMAIN, "Notes").
INSERT INTO contact VALUES (1, NULL, 'a@b', 'Dr', 'Head', 'c', 1), (2, 'x@y', '@', '', '', 'd', 2);
INSERT INTO contact
    SELECT 3, 'n@n', 'b@c', (SELECT title FROM contact WHERE false), 'H', (SELECT code FROM contact WHERE false), 3;
INSERT INTO item (width, height) VALUES (2, NULL), (3, 4), (0, 0);
INSERT INTO stocked VALUES (1, 0), (2, 5);
INSERT INTO vehicle VALUES (1, 'cart', NULL), (2, 'bike', 2);
INSERT INTO car VALUES (3, 'mini', NULL, 2);
INSERT INTO craft VALUES (1, 'boat'), (2, '');
INSERT INTO raft VALUES (3, NULL), (4, 'log');
INSERT INTO event VALUES
    (1, '2019-01-01', NULL, '{}'), (2, '2021-01-01', 'click', 'null'), (3, 'infinity', '', '{"a": 1}'),
    (4, '-infinity', NULL, '{"a": null}');
INSERT INTO guarded VALUES (1, 'note', 'kept'), (2, 'lost', 'other'), (3, NULL, 'kept');
REFRESH MATERIALIZED VIEW title_list;

-- state: empty
-- No row anywhere.
REFRESH MATERIALIZED VIEW title_list;

-- state: unmatched
-- Rows in every table, and no two that belong together.
INSERT INTO author VALUES
    (101, 'Una', 'una', '1990-01-01', 'ok', 1, '2020-01-01'), (102, 'Vic', NULL, NULL, 'happy', NULL, '2020-01-01');
INSERT INTO book VALUES
    (201, 901, 902, 'Solo', 's', 10, 1, 1, '2020-01-01', '2020-01-01', '{z}', '{z}', '{"z": 1}', '{"z": 1}',
        true, true, 'sad'),
    (202, NULL, NULL, 'Duo', NULL, NULL, 2, 2, NULL, '2020-01-01', '{}', NULL, '{}', NULL, false, NULL, NULL);
INSERT INTO review (book_id, author_id, stars, weight, body, written_at) VALUES
    (801, 903, 1, 1, 'alone', '2024-01-01'), (802, NULL, NULL, 2, NULL, '2024-01-01');
INSERT INTO publisher VALUES (1, 'Only');
INSERT INTO imprint VALUES (20, 1, 77, NULL);
INSERT INTO node VALUES (50, 60, 'adrift'), (51, NULL, 'stump');
INSERT INTO setting VALUES ('zz', NULL, 5, NULL);
INSERT INTO person VALUES (9, NULL, ROW(NULL, NULL), '{}');
INSERT INTO item (width, height) VALUES (1, NULL);
INSERT INTO vehicle VALUES (9, 'sled', NULL);
INSERT INTO craft VALUES (9, 'hull');
INSERT INTO event VALUES (9, '2021-01-01', NULL, '{}');
INSERT INTO guarded VALUES (9, NULL, 'kept');
REFRESH MATERIALIZED VIEW title_list;

-- state: lone
-- One row a table, its partners there, and NULL wherever it may stand.
INSERT INTO author VALUES (1, 'One', NULL, NULL, 'ok', NULL, '2020-01-01');
INSERT INTO book VALUES
    (1, 1, 1, 'Single', NULL, NULL, 1, 1, NULL, '2020-01-01', '{}', NULL, '{}', NULL, true, NULL, NULL);
INSERT INTO review (book_id, author_id, stars, weight, body, written_at)
    VALUES (1, 1, NULL, 1, NULL, '2024-01-01');
INSERT INTO publisher VALUES (1, 'One');
INSERT INTO imprint VALUES (1, 1, 1, NULL);
INSERT INTO node VALUES (1, NULL, 'one');
INSERT INTO setting VALUES ('a', NULL, 0, NULL);
INSERT INTO person VALUES (1, NULL, ROW(NULL, NULL), '{}');
INSERT INTO item (width, height) VALUES (1, NULL);
INSERT INTO vehicle VALUES (1, 'one', NULL);
INSERT INTO craft VALUES (1, 'one');
INSERT INTO raft VALUES (2, NULL);
INSERT INTO event VALUES (1, '2021-01-01', NULL, 'null');
INSERT INTO guarded VALUES (1, NULL, 'kept');
REFRESH MATERIALIZED VIEW title_list;

-- state: happy
-- Every value given and every partner found: what is NULL here is NULL by the query's own doing.
INSERT INTO author VALUES
    (1, 'Ada', 'ada', '1990-01-01', 'happy', 1, '2020-01-01'), (2, 'Bob', 'bob', '1991-01-01', 'ok', 2, '2021-01-01');
INSERT INTO book VALUES
    (1, 1, 2, 'Ahoy', 's', 10, 1, 1, '2020-01-01', '2020-01-01', '{a}', '{k}', '{"a": {"b": 1}, "k": "v"}',
        '{"k": "v"}',
        true, true, 'ok'),
    (2, 2, 1, 'Bell', 't', 20, 2, 2, '2021-01-01', '2021-01-01', '{a,b}', '{l}', '{"a": {"b": 2}, "k": "w"}',
        '{"k": "w"}', false, false, 'happy');
INSERT INTO review (book_id, author_id, stars, weight, body, written_at) VALUES
    (1, 1, 4, 1, 'ada', '2024-01-01'), (2, 2, 5, 2, 'bob', '2024-01-02');
INSERT INTO publisher VALUES (1, 'One'), (2, 'Two');
INSERT INTO imprint VALUES (1, 1, 2, 1), (2, 2, 1, 1);
INSERT INTO node VALUES (1, NULL, 'root'), (2, 1, 'leaf');
INSERT INTO setting VALUES ('a', 'x', 1, 'n'), ('bob', 'y', 2, 'm');
INSERT INTO person VALUES (1, ROW('a', 1), ROW('b', 2), '{"(a,1)"}');
INSERT INTO contact VALUES (1, 'a@b', 'c@d', 't', 'h', 'c', 1);
INSERT INTO item (width, height) VALUES (1, 2);
INSERT INTO vehicle VALUES (1, 'cart', 4);
INSERT INTO craft VALUES (1, 'boat');
INSERT INTO raft VALUES (2, 'log');
INSERT INTO event VALUES (1, '2021-01-01', 'click', '{"a": 1}');
INSERT INTO guarded VALUES (1, 'n', 'kept');
REFRESH MATERIALIZED VIEW title_list;

-- state: authors
-- Half of the tables have rows.
INSERT INTO author VALUES
    (1, 'Ada', NULL, NULL, 'happy', NULL, '2020-01-01'), (2, 'Bob', 'bob', '1991-01-01', 'ok', 2, '2021-01-01');
INSERT INTO publisher VALUES (1, 'One'), (3, 'Three');
INSERT INTO setting VALUES ('a', 'x', 1, NULL), ('bob', NULL, 2, 'm');
INSERT INTO vehicle VALUES (1, 'cart', 4);
REFRESH MATERIALIZED VIEW title_list;

-- state: books
-- The other half.
INSERT INTO book VALUES
    (1, 1, 2, 'Ahoy', NULL, 10, 1, 1, NULL, '2020-01-01', '{a}', NULL, '{"k": "v"}', NULL, true, true, 'ok'),
    (2, NULL, 1, 'Bell', 't', NULL, 2, 2, '2021-01-01', '2021-01-01', '{}', '{l}', '{}', '{"k": "w"}',
        false, NULL, NULL);
INSERT INTO review (book_id, author_id, stars, weight, body, written_at) VALUES
    (1, 1, 4, 1, 'ada', '2024-01-01'), (9, 2, NULL, 2, NULL, '2024-01-02');
INSERT INTO node VALUES (1, NULL, 'root'), (2, 1, 'leaf');
INSERT INTO event VALUES (1, '2021-01-01', NULL, '{"a": 1}');
REFRESH MATERIALIZED VIEW title_list;

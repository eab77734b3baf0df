-- Domains, enums, composites, ranges. The description of a statement shows a domain as its base type.

-- name: domains_not_null_by_the_column()
-- expect: id int4!, backup text!, heading text!, rank int4!
-- A domain in a NOT NULL column.
SELECT id, backup, heading, rank FROM contact;

-- name: domain_nullable()
-- expect: email text?
-- NULL passes the CHECK of a domain.
SELECT email FROM contact;

-- name: domain_not_null()
-- expect: title text?
-- A NOT NULL domain in a nullable column: an empty subquery of that type can store NULL.
SELECT title FROM contact;

-- name: domain_checked_not_null()
-- expect: code text?
-- CHECK (VALUE IS NOT NULL) can be bypassed in the same way.
SELECT code FROM contact;

-- name: domain_outer_joined()
-- expect: id int4!, heading text?, title text?
-- Through an outer join.
SELECT a.id, c.heading, c.title FROM author AS a LEFT JOIN contact AS c ON c.id = a.id;

-- name: domain_of_empty_subquery()
-- expect: heading text?
-- As a scalar subquery.
SELECT (SELECT heading FROM contact WHERE id < 0) AS heading;

-- name: cast_to_not_null_domain()
-- expect: title text!
-- A cast to a NOT NULL domain fails for NULL.
SELECT email::label AS title FROM contact;

-- name: cast_to_and_from_domains()
-- expect: email text?, backup text!, title text?
-- A cast to another domain lets NULL pass, and so does one away from a domain.
SELECT (email::text)::email AS email, backup::text AS backup, title::text AS title FROM contact;

-- name: functions_of_domains()
-- expect: upper text!, low text?, doubled int4!
-- A domain is its base type to functions.
SELECT upper(backup), lower(email) AS low, rank * 2 AS doubled FROM contact;

-- name: domain_parameters(id, email, backup, rank)
-- expect: id int4!, email text?
-- params: id int4!, email email?, backup email!, rank positive!
-- Parameters of a domain's type.
INSERT INTO contact (id, email, backup, title, heading, code, rank) VALUES (:id, :email, :backup, 't', 'h', 'c', :rank)
RETURNING id, email;

-- name: not_null_domain_parameter(title)
-- expect: title text!
-- params: title label!
-- A nullable column whose type refuses None.
UPDATE contact SET title = :title RETURNING title;

-- name: domain_compared(email)
-- expect: id int4!, email text!
-- params: email text!
-- A domain is compared as its base type.
SELECT id, email FROM contact WHERE email = :email;

-- name: coalesce_of_domain()
-- expect: email text!, title text!
-- With coalesce.
SELECT coalesce(email, backup) AS email, coalesce(title, 'none') AS title FROM contact;

-- name: enums()
-- expect: mood mood!, text text!, nullable text?, array_of _mood!, above bool!
-- An enum, and its text.
SELECT
    a.mood, a.mood::text AS text, b.mood::text AS nullable, ARRAY[a.mood, 'ok'] AS array_of, a.mood > 'sad' AS above
FROM author AS a CROSS JOIN book AS b;

-- name: enum_parameter(mood)
-- expect: name text!, mood mood!
-- params: mood mood!
-- A parameter of an enum's type.
SELECT name, mood FROM author WHERE mood = :mood;

-- name: enum_array_parameter(moods)
-- expect: title text!, mood mood!
-- params: moods _mood!
-- An array of them.
SELECT title, mood FROM book WHERE mood = ANY (:moods);

-- name: nullable_enum_parameter(id, mood)
-- expect: mood mood?
-- params: id int4!, mood mood?
-- Into a nullable column.
UPDATE book SET mood = :mood WHERE id = :id RETURNING mood;

-- name: composites()
-- expect: home address?, work address!, past _address!
-- A composite column that is NOT NULL is a row.
SELECT home, work, past FROM person;

-- name: fields_of_composites()
-- expect: street text?, zip int4?, work_street text?
-- NOT NULL requires a row value, but says nothing about its fields.
SELECT (home).street, (home).zip, (work).street AS work_street FROM person;

-- name: elements_of_composite_arrays()
-- expect: first address?, street text?
-- An element, and its field.
SELECT past[1] AS first, (past[1]).street FROM person;

-- name: null_tests_of_composites()
-- expect: no_home bool!, no_work bool!, differs bool!
-- ROW(NULL, NULL) IS NULL, and is distinct from NULL.
SELECT home IS NULL AS no_home, work IS NULL AS no_work, home IS DISTINCT FROM NULL AS differs FROM person;

-- name: coalesce_of_composites()
-- expect: address address!, street text?
-- coalesce does not treat a row of NULLs as NULL.
SELECT coalesce(home, work) AS address, (coalesce(home, work)).street FROM person;

-- name: compared_composites()
-- expect: same bool!, nullable bool?
-- Composites are compared as values: NULL fields are equal.
SELECT work = work AS same, home = work AS nullable FROM person;

-- name: expanded_composite()
-- expect: id int4!, street text?, zip int4?
-- A star of a composite.
SELECT id, (work).* FROM person;

-- name: update_field_of_composite(street)
-- expect: home address!, street text?, zip int4?
-- params: street text?
-- Setting a field turns NULL into a row.
UPDATE person SET home.street = :street RETURNING home, (home).street, (home).zip;

-- name: composite_from_row(street)
-- expect: work address!, zip int4!
-- params: street text?
-- A row made in the query, and one of its fields.
UPDATE person SET work = ROW(:street, 1) RETURNING work, (work).zip;

-- name: range_bounds()
-- expect: low int4?, high int4?, from_day date?, until timestamptz?
-- Empty and unbounded ranges have no bounds.
SELECT
    lower(x_int4range) AS low, upper(x_int4range) AS high, lower(x_daterange) AS from_day, upper(x_tstzrange) AS until
FROM kind;

-- name: range_tests()
-- expect: empty bool!, low_in bool!, unbounded bool!, holds bool!, overlaps bool!, nullable bool?
-- Tests of a range.
SELECT
    isempty(x_int4range) AS empty, lower_inc(x_int4range) AS low_in, upper_inf(x_int4range) AS unbounded,
    x_int4range @> 3 AS holds, x_int4range && int4range(1, 2) AS overlaps, n_int4range @> 3 AS nullable
FROM kind;

-- name: range_constructors()
-- expect: fixed int4range!, open int4range!, by_flags numrange!, nullable int4range?, literal int4range!
-- A bound that is NULL is no bound; a range cast from NULL is NULL.
SELECT
    int4range(stock, stock + 1) AS fixed, int4range(least(pages, 0), NULL) AS open,
    numrange(price, NULL, '[]') AS by_flags,
    int4range(stock, stock + 1) * nullif(int4range(pages, NULL), '(,)') AS nullable, '[1,2)'::int4range AS literal
FROM book;

-- name: range_arithmetic()
-- expect: common int4range!, merged int4range!, nullable int4range?
-- Sets of numbers.
SELECT
    x_int4range * int4range(1, 3) AS common, range_merge(x_int4range, int4range(7, 9)) AS merged,
    x_int4range * n_int4range AS nullable
FROM kind;

-- name: multiranges()
-- expect: many int4multirange!, of_range int4multirange!, low int4?, nullable int4multirange?, joined int4multirange!
-- Multiranges.
SELECT
    x_int4multirange AS many, int4multirange(x_int4range) AS of_range, lower(x_int4multirange) AS low,
    int4multirange(n_int4range) AS nullable, x_int4multirange + int4multirange(int4range(1, 2)) AS joined
FROM kind;

-- name: ranges_of_multirange()
-- expect: part int4range!
-- The parts are ranges.
SELECT r AS part FROM kind AS k, unnest(k.x_int4multirange) AS r;

-- name: uuid_and_bytes(uuid)
-- expect: x_uuid uuid!, text text!, bytes bytea!
-- params: uuid uuid!
-- A uuid.
SELECT x_uuid, x_uuid::text AS text, uuid_send(x_uuid) AS bytes FROM kind WHERE x_uuid = :uuid;

-- name: interval_values(age)
-- expect: at timestamptz!, text text!, nullable interval?
-- params: age interval!
-- Intervals.
SELECT now() - :age::interval AS at, x_interval::text AS text, x_interval + n_interval AS nullable FROM kind;

-- name: subscripted_point()
-- expect: beyond float8?
-- A point has two coordinates, and no third.
SELECT x_point[2] AS beyond FROM kind;

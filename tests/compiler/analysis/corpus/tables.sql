-- Columns as they stand in a table: what the catalogue proves, and where it does not.

-- name: not_null_columns()
-- expect: id int4!, name text!, mood mood!, joined_at timestamptz!
-- NOT NULL and primary key columns of a table without children.
SELECT id, name, mood, joined_at FROM author;

-- name: nullable_columns()
-- expect: nick text?, born date?, rating numeric?
-- Nothing forbids NULL here.
SELECT nick, born, rating FROM author;

-- name: star()
-- expect: id int4!, name text!, nick text?, born date?, mood mood!, rating numeric?, joined_at timestamptz!
-- A star is its columns.
SELECT * FROM author;

-- name: table_command()
-- expect: id int4!, name text!
-- TABLE is SELECT * FROM.
TABLE publisher;

-- name: for_update()
-- expect: id int4!, nick text?
-- A lock changes no value.
SELECT id, nick FROM author ORDER BY id FOR UPDATE SKIP LOCKED;

-- name: tablesample()
-- expect: id int4!, nick text?
-- A sample holds whole rows.
SELECT id, nick FROM author TABLESAMPLE SYSTEM (100);

-- name: numbers_not_null()
-- expect: x_int2 int2!, x_int4 int4!, x_int8 int8!, x_float4 float4!, x_float8 float8!, x_numeric numeric!
-- NaN, infinity and 0 are values.
SELECT x_int2, x_int4, x_int8, x_float4, x_float8, x_numeric FROM kind;

-- name: numbers_nullable()
-- expect: n_int2 int2?, n_int4 int4?, n_int8 int8?, n_float4 float4?, n_float8 float8?, n_numeric numeric?
-- The same without the constraint.
SELECT n_int2, n_int4, n_int8, n_float4, n_float8, n_numeric FROM kind;

-- name: strings_not_null()
-- expect: x_bool bool!, x_text text!, x_varchar varchar!, x_bpchar bpchar!, x_name name!, x_bytea bytea!, x_bit bit!
-- expect: x_varbit varbit!
-- '' is a value, in every type of string.
SELECT x_bool, x_text, x_varchar, x_bpchar, x_name, x_bytea, x_bit, x_varbit FROM kind;

-- name: strings_nullable()
-- expect: n_bool bool?, n_text text?, n_varchar varchar?, n_bpchar bpchar?, n_name name?, n_bytea bytea?, n_bit bit?
-- expect: n_varbit varbit?
-- The same without the constraint.
SELECT n_bool, n_text, n_varchar, n_bpchar, n_name, n_bytea, n_bit, n_varbit FROM kind;

-- name: times_not_null()
-- expect: x_date date!, x_time time!, x_timetz timetz!, x_timestamp timestamp!, x_timestamptz timestamptz!
-- expect: x_interval interval!
-- Infinity is a value.
SELECT x_date, x_time, x_timetz, x_timestamp, x_timestamptz, x_interval FROM kind;

-- name: times_nullable()
-- expect: n_date date?, n_time time?, n_timetz timetz?, n_timestamp timestamp?, n_timestamptz timestamptz?
-- expect: n_interval interval?
-- The same without the constraint.
SELECT n_date, n_time, n_timetz, n_timestamp, n_timestamptz, n_interval FROM kind;

-- name: things_not_null()
-- expect: x_uuid uuid!, x_json json!, x_jsonb jsonb!, x_inet inet!, x_cidr cidr!, x_macaddr macaddr!, x_oid oid!
-- expect: x_point point!, x_box box!, x_tsvector tsvector!, x_tsquery tsquery!
-- JSON's null is not SQL's.
SELECT x_uuid, x_json, x_jsonb, x_inet, x_cidr, x_macaddr, x_oid, x_point, x_box, x_tsvector, x_tsquery FROM kind;

-- name: things_nullable()
-- expect: n_uuid uuid?, n_json json?, n_jsonb jsonb?, n_inet inet?, n_cidr cidr?, n_macaddr macaddr?, n_oid oid?
-- expect: n_point point?, n_box box?, n_tsvector tsvector?, n_tsquery tsquery?
-- The same without the constraint.
SELECT n_uuid, n_json, n_jsonb, n_inet, n_cidr, n_macaddr, n_oid, n_point, n_box, n_tsvector, n_tsquery FROM kind;

-- name: containers_not_null()
-- expect: x_int4range int4range!, x_numrange numrange!, x_daterange daterange!, x_tstzrange tstzrange!
-- expect: x_int4multirange int4multirange!, x_mood mood!, x_moods _mood!, x_ints _int4!
-- Empty and unbounded ranges and empty arrays are values.
SELECT x_int4range, x_numrange, x_daterange, x_tstzrange, x_int4multirange, x_mood, x_moods, x_ints FROM kind;

-- name: containers_nullable()
-- expect: n_int4range int4range?, n_numrange numrange?, n_daterange daterange?, n_tstzrange tstzrange?
-- expect: n_int4multirange int4multirange?, n_mood mood?, n_moods _mood?, n_ints _int4?
-- The same without the constraint.
SELECT n_int4range, n_numrange, n_daterange, n_tstzrange, n_int4multirange, n_mood, n_moods, n_ints FROM kind;

-- name: system_columns()
-- expect: tableoid oid!, ctid tid!, xmin xid!, cmin cid!, xmax xid!, cmax cid!
-- Every stored row has them.
SELECT tableoid, ctid, xmin, cmin, xmax, cmax FROM author;

-- name: system_columns_outer()
-- expect: id int4!, tableoid oid?, ctid tid?
-- The row that an outer join fills with NULLs has none.
SELECT a.id, b.tableoid, b.ctid FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id;

-- name: whole_row()
-- expect: a author!
-- A row of a table is no NULL, whatever is in it.
SELECT a FROM author AS a;

-- name: whole_row_outer()
-- expect: a author!, b book?
-- The row of an unmatched side is NULL as a whole.
SELECT a, b FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id;

-- name: whole_row_as_json()
-- expect: whole json!, part json?, document jsonb?
-- row_to_json of a row is a document; of the row that is not there, NULL.
SELECT row_to_json(a) AS whole, row_to_json(b) AS part, to_jsonb(b) AS document
FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id;

-- name: generated_columns()
-- expect: id int8!, width int4!, height int4?, doubled int4!, area int4?
-- A stored column computed from NOT NULL columns is never NULL, though the catalogue does not say so.
SELECT id, width, height, doubled, area FROM item;

-- name: checked_not_null()
-- expect: id int4!, quantity int4!
-- CHECK (quantity IS NOT NULL) is as good as NOT NULL.
SELECT id, quantity FROM stocked;

-- name: inherited_not_null()
-- expect: id int4!, name text!, wheels int4?
-- The rows of a child are among them, and the child has the constraint too.
SELECT id, name, wheels FROM vehicle;

-- name: child_table()
-- expect: id int4!, name text!, wheels int4?, doors int4!
-- The child table only.
SELECT id, name, wheels, doors FROM car;

-- name: child_without_constraint()
-- expect: id int4!, name text?
-- NOT NULL in the parent, not in its child: the parent's rows include the child's.
SELECT id, name FROM craft;

-- name: only_the_parent()
-- expect: id int4!, name text!
-- ONLY leaves the child's rows out.
SELECT id, name FROM ONLY craft;

-- name: child_alone()
-- expect: id int4!, name text?
-- The child that may hold NULL.
SELECT id, name FROM raft;

-- name: partitioned()
-- expect: id int8!, at timestamptz!, kind text?, payload jsonb!
-- A partition cannot drop a NOT NULL.
SELECT id, at, kind, payload FROM event;

-- name: one_partition()
-- expect: id int8!, at timestamptz!, kind text?
-- A partition by its own name.
SELECT id, at, kind FROM event_old;

-- name: catalogue()
-- expect: relname name!, relispartition bool!, relacl _aclitem?, relpartbound pg_node_tree?
-- System tables declare NOT NULL like other tables.
SELECT relname, relispartition, relacl, relpartbound FROM pg_class WHERE relname IN ('author', 'event_old');

-- name: distinct_rows()
-- expect: mood mood!, nick text?
-- DISTINCT keeps NULL as a value.
SELECT DISTINCT mood, nick FROM author;

-- name: distinct_on()
-- expect: mood mood!, name text!, nick text?
-- The first row of each group is a whole row.
SELECT DISTINCT ON (mood) mood, name, nick FROM author ORDER BY mood, id;

-- name: limit_and_offset(n, skipped)
-- expect: name text!, nick text?
-- params: n int8?, skipped int8?
-- LIMIT and OFFSET choose rows and change none.
SELECT name, nick FROM author ORDER BY id LIMIT :n OFFSET :skipped;

-- name: sequence_as_a_table()
-- expect: last_value int8!, is_called bool!
-- A sequence is a table of one row.
SELECT last_value, is_called FROM ticket;

-- Joins. The side that an outer join may leave without a partner can be NULL, whatever its columns declare.

-- name: inner_join()
-- expect: name text!, title text!, subtitle text?
-- An inner join adds no NULL.
SELECT a.name, b.title, b.subtitle FROM author AS a JOIN book AS b ON b.author_id = a.id;

-- name: inner_join_proves_its_column()
-- expect: author_id int4!, editor_id int4?
-- b.author_id = a.id is never true for NULL.
SELECT b.author_id, b.editor_id FROM author AS a JOIN book AS b ON b.author_id = a.id;

-- name: inner_join_by_using()
-- expect: author_id int4!, book_id int4!, body text?
-- USING is an equality like any other, so the merged column is not NULL.
SELECT author_id, r.book_id, r.body FROM book AS b JOIN review AS r USING (author_id);

-- name: inner_join_not_strict()
-- expect: author_id int4?, id int4!
-- IS NOT DISTINCT FROM lets NULL meet NULL.
SELECT b.author_id, r.book_id AS id FROM book AS b JOIN review AS r ON b.author_id IS NOT DISTINCT FROM r.author_id;

-- name: comma_join()
-- expect: name text!, author_id int4!, subtitle text?
-- A join in WHERE is an inner join.
SELECT a.name, b.author_id, b.subtitle FROM author AS a, book AS b WHERE a.id = b.author_id;

-- name: cross_join()
-- expect: name text!, label text!, nick text?
-- Every pair, each of whole rows.
SELECT a.name, p.name AS label, a.nick FROM author AS a CROSS JOIN publisher AS p;

-- name: left_join()
-- expect: name text!, id int4?, title text?, subtitle text?
-- Authors without books.
SELECT a.name, b.id, b.title, b.subtitle FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id;

-- name: left_join_own_key()
-- expect: id int4!, author_id int4?
-- The joined column of the missing row is NULL as well.
SELECT a.id, b.author_id FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id;

-- name: left_join_sides_swapped()
-- expect: name text!, body text?, weight float8?
-- Small on the left, big on the right: the planner hashes either side, and the result is the same.
SELECT p.name, r.body, r.weight FROM publisher AS p LEFT JOIN review AS r ON r.book_id = p.id + 1000;

-- name: right_join()
-- expect: name text?, title text!, subtitle text?
-- Books without authors.
SELECT a.name, b.title, b.subtitle FROM author AS a RIGHT JOIN book AS b ON b.author_id = a.id;

-- name: full_join()
-- expect: name text?, title text?
-- Either side may be missing.
SELECT a.name, b.title FROM author AS a FULL JOIN book AS b ON b.author_id = a.id;

-- name: left_join_using()
-- expect: id int4!, a_id int4!, b_id int4?
-- The merged column is the left one's; the right one's own is not.
SELECT id, a.id AS a_id, b.id AS b_id FROM author AS a LEFT JOIN book AS b USING (id);

-- name: right_join_using()
-- expect: id int4!, a_id int4?, b_id int4!
-- The merged column is the right one's.
SELECT id, a.id AS a_id, b.id AS b_id FROM author AS a RIGHT JOIN book AS b USING (id);

-- name: full_join_using()
-- expect: id int4!, a_id int4?, b_id int4?
-- One of the two is there, and neither is NULL in its own table.
SELECT id, a.id AS a_id, b.id AS b_id FROM author AS a FULL JOIN book AS b USING (id);

-- name: full_join_using_nullable()
-- expect: author_id int4?
-- The merged column of a row that has NULL in it and no partner.
SELECT author_id FROM book AS b FULL JOIN review AS r USING (author_id);

-- name: full_join_using_half_nullable()
-- expect: author_id int4?
-- NOT NULL on one side does not help the rows of the other.
SELECT author_id FROM (SELECT id AS author_id FROM author) AS a FULL JOIN book AS b USING (author_id);

-- name: left_join_using_nullable_left()
-- expect: author_id int4?, id int4?
-- The merged column of LEFT JOIN is nullable where the left one is.
SELECT author_id, r.id::int4 AS id FROM book AS b LEFT JOIN review AS r USING (author_id);

-- name: natural_join()
-- expect: id int4!, mood mood!, title text!
-- Equal on id and mood, so book.mood is not NULL here.
SELECT id, mood, title FROM author NATURAL JOIN book;

-- name: natural_left_join()
-- expect: id int4!, mood mood!, title text?, own mood?
-- The merged columns are author's.
SELECT id, mood, title, b.mood AS own FROM author NATURAL LEFT JOIN book AS b;

-- name: natural_full_join()
-- expect: id int4!, mood mood?, name text?, title text?
-- Only mood of a book may be NULL; id may not.
SELECT id, mood, name, title FROM author NATURAL FULL JOIN book;

-- name: join_using_alias()
-- expect: id int4!, title text?
-- The merged columns by the name of the join's alias.
SELECT both_ids.id, b.title FROM author AS a LEFT JOIN book AS b USING (id) AS both_ids;

-- name: alias_over_join()
-- expect: name text!, title text?, id int4!
-- An alias over a whole join keeps what is known of its columns.
SELECT j.name, j.title, j.id FROM (author AS a LEFT JOIN book AS b USING (id, mood)) AS j;

-- name: left_join_chain()
-- expect: name text!, title text?, stars int4?, weight float8?
-- Two steps, each of which may find nothing.
SELECT a.name, b.title, r.stars, r.weight
FROM author AS a
LEFT JOIN book AS b ON b.author_id = a.id
LEFT JOIN review AS r ON r.book_id = b.id;

-- name: left_join_chain_narrowed_at_the_end()
-- expect: name text!, title text!, subtitle text?, review_id int8!, weight float8!
-- A review that is there was found by b.id, so the book is there too.
SELECT a.name, b.title, b.subtitle, r.id AS review_id, r.weight
FROM author AS a
LEFT JOIN book AS b ON b.author_id = a.id
LEFT JOIN review AS r ON r.book_id = b.id
WHERE r.id IS NOT NULL;

-- name: left_join_chain_narrowed_not_strict()
-- expect: name text!, title text?, review_id int8!
-- The review may have been found through coalesce, without a book.
SELECT a.name, b.title, r.id AS review_id
FROM author AS a
LEFT JOIN book AS b ON b.author_id = a.id
LEFT JOIN review AS r ON r.book_id = coalesce(b.id, 0)
WHERE r.id IS NOT NULL;

-- name: left_join_chain_narrowed_in_the_middle()
-- expect: name text!, title text!, weight float8?
-- The book exists. Its review may not.
SELECT a.name, b.title, r.weight
FROM author AS a
LEFT JOIN book AS b ON b.author_id = a.id
LEFT JOIN review AS r ON r.book_id = b.id
WHERE b.stock >= 0;

-- name: left_join_of_inner_join()
-- expect: name text!, title text?, weight float8?
-- The join in parentheses is missing as a whole.
SELECT a.name, b.title, r.weight
FROM author AS a
LEFT JOIN (book AS b JOIN review AS r ON r.book_id = b.id) ON b.author_id = a.id;

-- name: left_join_then_inner_join()
-- expect: name text!, title text!, weight float8!
-- A later inner join on its column brings the book back.
SELECT a.name, b.title, r.weight
FROM author AS a
LEFT JOIN book AS b ON b.author_id = a.id
JOIN review AS r ON r.book_id = b.id;

-- name: left_join_then_inner_join_not_strict()
-- expect: name text!, title text?, weight float8!
-- coalesce also accepts a missing book.
SELECT a.name, b.title, r.weight
FROM author AS a
LEFT JOIN book AS b ON b.author_id = a.id
JOIN review AS r ON r.book_id = coalesce(b.id, 0);

-- name: left_join_then_unrelated_inner_join()
-- expect: name text!, title text?, body text?, weight float8!
-- An inner join on another table's column says nothing of the book.
SELECT a.name, b.title, r.body, r.weight
FROM author AS a
LEFT JOIN book AS b ON b.author_id = a.id
JOIN review AS r ON r.author_id = a.id;

-- name: left_join_then_right_join()
-- expect: name text?, title text?, weight float8!
-- The last RIGHT JOIN keeps its own side only.
SELECT a.name, b.title, r.weight
FROM author AS a
LEFT JOIN book AS b ON b.author_id = a.id
RIGHT JOIN review AS r ON r.book_id = b.id;

-- name: inner_join_under_a_right_join()
-- expect: name text?, title text?, weight float8!
-- The inner join is missing as a whole or not at all.
SELECT a.name, b.title, r.weight
FROM author AS a
JOIN book AS b ON b.author_id = a.id
RIGHT JOIN review AS r ON r.book_id = b.id;

-- name: full_join_then_left_join()
-- expect: name text?, title text?, weight float8?
-- FULL makes both sides nullable, and LEFT adds a third.
SELECT a.name, b.title, r.weight
FROM author AS a
FULL JOIN book AS b ON b.author_id = a.id
LEFT JOIN review AS r ON r.book_id = b.id;

-- name: left_join_made_inner_by_is_not_null()
-- expect: name text!, title text!, subtitle text?
-- WHERE on a NOT NULL column of the right side.
SELECT a.name, b.title, b.subtitle
FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id
WHERE b.id IS NOT NULL;

-- name: left_join_made_inner_by_comparison(least_stock)
-- expect: name text!, title text!, author_id int4!, subtitle text?
-- params: least_stock int4!
-- A comparison is never true for NULL. The join's condition then holds as well.
SELECT a.name, b.title, b.author_id, b.subtitle
FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id
WHERE b.stock >= :least_stock;

-- name: left_join_made_inner_by_boolean()
-- expect: title text!
-- A boolean column that is true is not NULL.
SELECT b.title FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id WHERE b.in_print;

-- name: left_join_made_inner_by_not_boolean()
-- expect: title text!
-- NOT of NULL is NULL.
SELECT b.title FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id WHERE NOT b.in_print;

-- name: left_join_made_inner_by_is_false()
-- expect: title text!, loaned bool!
-- IS FALSE is true for false alone.
SELECT b.title, b.loaned FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id WHERE b.loaned IS FALSE;

-- name: left_join_kept_by_is_not_true()
-- expect: title text?, in_print bool?
-- IS NOT TRUE is true for NULL.
SELECT b.title, b.in_print FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id WHERE b.in_print IS NOT TRUE;

-- name: left_join_made_inner_by_is_not_unknown()
-- expect: title text!, loaned bool!
-- IS NOT UNKNOWN is IS NOT NULL for booleans.
SELECT b.title, b.loaned FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id WHERE b.loaned IS NOT UNKNOWN;

-- name: anti_join()
-- expect: name text!, title text?
-- The authors without books: all columns of book are NULL.
SELECT a.name, b.title FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id WHERE b.id IS NULL;

-- name: left_join_kept_by_or()
-- expect: name text!, title text?
-- The other operand of OR may be the true one.
SELECT a.name, b.title
FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id
WHERE b.id > 0 OR a.id > 0;

-- name: left_join_made_inner_by_both_arms_of_or()
-- expect: name text!, title text!, subtitle text?
-- Either arm needs the book.
SELECT a.name, b.title, b.subtitle
FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id
WHERE b.stock > 1 OR b.title = 'Echo';

-- name: left_join_kept_by_coalesce()
-- expect: name text!, title text?
-- coalesce replaces the missing book.
SELECT a.name, b.title
FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id
WHERE coalesce(b.stock, 0) = 0;

-- name: left_join_kept_by_is_distinct_from()
-- expect: name text!, title text?
-- NULL is distinct from 5.
SELECT a.name, b.title
FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id
WHERE b.id IS DISTINCT FROM 5;

-- name: left_join_made_inner_by_is_not_distinct_from()
-- expect: name text!, title text!
-- Only 1 is not distinct from 1.
SELECT a.name, b.title
FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id
WHERE b.id IS NOT DISTINCT FROM 1;

-- name: left_join_made_inner_by_in()
-- expect: title text!
-- IN with a list is never true for NULL.
SELECT b.title FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id WHERE b.id IN (1, 2, 5);

-- name: left_join_made_inner_by_not_in()
-- expect: title text!
-- NOT IN of a list that is not empty is NULL for NULL.
SELECT b.title FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id WHERE b.id NOT IN (1, 3);

-- name: left_join_made_inner_by_any(ids)
-- expect: title text!
-- params: ids _int4!
-- = ANY is never true for NULL: with an empty array it is false.
SELECT b.title FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id WHERE b.id = ANY (:ids);

-- name: left_join_kept_by_all(ids)
-- expect: title text?
-- params: ids _int4!
-- <> ALL of an empty array is true, even for NULL.
SELECT b.title FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id WHERE b.id <> ALL (:ids);

-- name: left_join_kept_by_not_any(ids)
-- expect: title text?
-- params: ids _int4!
-- NOT (= ANY) is <> ALL: an empty array lets every row pass.
SELECT b.title FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id WHERE NOT b.id = ANY (:ids);

-- name: left_join_kept_by_not_in_subquery()
-- expect: title text?
-- NOT IN of a subquery without rows is true, even for NULL.
SELECT b.title
FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id
WHERE b.id NOT IN (SELECT r.book_id FROM review AS r WHERE r.book_id > 1000);

-- name: full_join_made_left()
-- expect: name text!, title text?
-- FULL JOIN if one side must exist.
SELECT a.name, b.title FROM author AS a FULL JOIN book AS b ON b.author_id = a.id WHERE a.id IS NOT NULL;

-- name: full_join_made_inner()
-- expect: name text!, title text!
-- Both sides are compared.
SELECT a.name, b.title FROM author AS a FULL JOIN book AS b ON b.author_id = a.id WHERE a.id + b.id > 0;

-- name: full_join_using_narrowed_on_the_merged_column()
-- expect: id int4!, name text?, title text?
-- The merged column always has a value, so testing it proves nothing about either side.
SELECT id, a.name, b.title FROM author AS a FULL JOIN book AS b USING (id) WHERE id > 0;

-- name: on_does_not_narrow_the_left_side()
-- expect: nick text?, title text?
-- ON of a LEFT JOIN chooses partners, not rows of the left side.
SELECT a.nick, b.title FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id AND a.nick IS NOT NULL;

-- name: on_does_not_narrow_the_right_side()
-- expect: name text!, subtitle text?
-- A partner has a subtitle, but there may be no partner.
SELECT a.name, b.subtitle FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id AND b.subtitle IS NOT NULL;

-- name: on_narrows_once_the_partner_is_there()
-- expect: nick text!, subtitle text!, pages int4?
-- With the partner, all of ON holds.
SELECT a.nick, b.subtitle, b.pages
FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id AND b.subtitle IS NOT NULL AND a.nick IS NOT NULL
WHERE b.id IS NOT NULL;

-- name: left_join_on_true()
-- expect: name text!, title text?
-- ON true finds nothing in an empty table.
SELECT a.name, b.title FROM author AS a LEFT JOIN book AS b ON true;

-- name: left_join_on_false()
-- expect: name text!, title text?
-- ON false never finds anything.
SELECT a.name, b.title FROM author AS a LEFT JOIN book AS b ON false;

-- name: left_join_subselect()
-- expect: name text!, label text?, n int8?
-- A literal and a count, NULL in the row that is not there.
SELECT a.name, s.label, s.n
FROM author AS a
LEFT JOIN (SELECT b.author_id, 'books' AS label, count(*) AS n FROM book AS b GROUP BY b.author_id) AS s
    ON s.author_id = a.id;

-- name: left_join_subselect_with_coalesce()
-- expect: name text!, n int8!
-- coalesce outside the join helps.
SELECT a.name, coalesce(s.n, 0) AS n
FROM author AS a
LEFT JOIN (SELECT b.author_id, count(*) AS n FROM book AS b GROUP BY b.author_id) AS s ON s.author_id = a.id;

-- name: left_join_subselect_with_coalesce_inside()
-- expect: name text!, pages int4?
-- coalesce inside the join does not help.
SELECT a.name, s.pages
FROM author AS a
LEFT JOIN (SELECT b.author_id, coalesce(b.pages, 0) AS pages FROM book AS b) AS s ON s.author_id = a.id;

-- name: left_join_values()
-- expect: id int4!, label text?
-- VALUES without NULL, joined by a key that may be missing.
SELECT a.id, v.label FROM author AS a LEFT JOIN (VALUES (1, 'one'), (2, 'two')) AS v (n, label) ON v.n = a.id;

-- name: left_join_function()
-- expect: id int4!, n int4?
-- No row for pages that are NULL or 0.
SELECT b.id, g.n FROM book AS b LEFT JOIN LATERAL generate_series(1, b.pages) AS g (n) ON true;

-- name: left_join_cte()
-- expect: id int4!, title text?
-- The right side is a CTE.
WITH printed AS (SELECT author_id, title FROM book WHERE in_print)
SELECT a.id, p.title FROM author AS a LEFT JOIN printed AS p ON p.author_id = a.id;

-- name: lateral_count()
-- expect: name text!, n int8!
-- An aggregate without GROUP BY has one row always, so LEFT JOIN ... ON true finds it.
SELECT a.name, c.n
FROM author AS a LEFT JOIN LATERAL (SELECT count(*) AS n FROM book AS b WHERE b.author_id = a.id) AS c ON true;

-- name: lateral_latest()
-- expect: name text!, title text?, added_at timestamptz?
-- The newest book, if any.
SELECT a.name, l.title, l.added_at
FROM author AS a
LEFT JOIN LATERAL (
    SELECT b.title, b.added_at FROM book AS b WHERE b.author_id = a.id ORDER BY b.added_at DESC LIMIT 1
) AS l ON true;

-- name: cross_join_lateral()
-- expect: name text!, title text!, subtitle text?
-- CROSS JOIN LATERAL drops rows that have no match.
SELECT a.name, l.title, l.subtitle
FROM author AS a
CROSS JOIN LATERAL (SELECT b.title, b.subtitle FROM book AS b WHERE b.author_id = a.id LIMIT 1) AS l;

-- name: lateral_refers_to_the_nullable_side()
-- expect: name text!, again text?
-- What is computed from the missing row is NULL, even in an inner join.
SELECT a.name, x.again
FROM author AS a
LEFT JOIN book AS b ON b.author_id = a.id
CROSS JOIN LATERAL (SELECT upper(b.title) AS again) AS x;

-- name: self_join()
-- expect: title text!, parent text?
-- The root has no parent.
SELECT n.title, p.title AS parent FROM node AS n LEFT JOIN node AS p ON p.id = n.parent_id;

-- name: outer_join_under_limit()
-- expect: name text!, title text?
-- LIMIT does not make it inner.
SELECT t.name, t.title
FROM (
    SELECT a.name, b.title FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id ORDER BY a.id LIMIT 50
) AS t;

-- name: outer_join_under_offset()
-- expect: title text?
-- Neither does OFFSET 0.
SELECT t.title FROM (SELECT b.title FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id OFFSET 0) AS t;

-- name: outer_join_under_group_by()
-- expect: title text?, n int8!, books int8!
-- The group of those without a book.
SELECT b.title, count(*) AS n, count(b.id) AS books
FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id
GROUP BY b.title;

-- name: outer_join_under_distinct()
-- expect: title text?
-- DISTINCT keeps one NULL.
SELECT DISTINCT b.title FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id;

-- name: outer_join_under_subselect_made_inner()
-- expect: name text!, title text!
-- WHERE outside of the subselect narrows what is inside.
SELECT t.name, t.title
FROM (SELECT a.name, b.title FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id) AS t
WHERE t.title IS NOT NULL;

-- name: outer_join_under_subselect_sibling()
-- expect: title text!, stock int4!, subtitle text?
-- A column that proves the row of the join proves its siblings, through the subselect.
SELECT t.title, t.stock, t.subtitle
FROM (SELECT b.title, b.stock, b.subtitle FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id) AS t
WHERE t.title <> 'Echo';

-- name: inner_join_to_outer_subselect()
-- expect: title text!, weight float8!
-- The join's condition narrows what the subselect left open.
SELECT t.title, r.weight
FROM (SELECT b.id, b.title FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id) AS t
JOIN review AS r ON r.book_id = t.id;

-- name: expressions_over_an_outer_join()
-- expect: joined text?, concatenated text!, safe text!, missing bool!, doubled int4?, tag_count int4?
-- Strict functions return NULL for NULL. concat, coalesce and IS NULL do not.
SELECT
    a.name || b.title AS joined,
    concat(a.name, b.title) AS concatenated,
    coalesce(b.title, 'none') AS safe,
    b.id IS NULL AS missing,
    b.stock * 2 AS doubled,
    cardinality(b.tags) AS tag_count
FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id;

-- name: constant_over_an_outer_join()
-- expect: name text!, label text!, one int4!
-- A literal of the query itself comes after the join.
SELECT a.name, 'book' AS label, 1 AS one FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id;

-- name: foreign_key_always_matches()
-- expect: id int4!, name text!
-- A NOT NULL foreign key that is checked at once finds its row: the LEFT JOIN cannot miss.
SELECT i.id, p.name FROM imprint AS i LEFT JOIN publisher AS p ON p.id = i.publisher_id;

-- name: deferred_foreign_key_may_dangle()
-- expect: id int4!, name text?
-- One that is checked at COMMIT does, within the transaction that broke it.
SELECT i.id, p.name FROM imprint AS i LEFT JOIN publisher AS p ON p.id = i.owner_id;

-- name: nullable_foreign_key()
-- expect: id int4!, parent_id int4?, parent int4?
-- A foreign key that may be NULL has no row for NULL.
SELECT i.id, i.parent_id, p.id AS parent FROM imprint AS i LEFT JOIN imprint AS p ON p.id = i.parent_id;

-- name: semi_join()
-- expect: name text!, nick text?
-- EXISTS adds nothing to the row.
SELECT a.name, a.nick FROM author AS a WHERE EXISTS (SELECT 1 FROM book AS b WHERE b.author_id = a.id);

-- name: three_tables_mixed()
-- expect: title text!, author text?, editor text!
-- LEFT for one, inner for the other.
SELECT b.title, a.name AS author, e.name AS editor
FROM book AS b
LEFT JOIN author AS a ON a.id = b.author_id
JOIN author AS e ON e.id = b.editor_id;

-- name: left_join_condition_on_a_third_table()
-- expect: title text!, author text?, nick text?
-- The condition of the LEFT JOIN names a column of the inner join, but only selects partners.
SELECT b.title, a.name AS author, e.nick
FROM book AS b
JOIN author AS e ON e.id = b.editor_id
LEFT JOIN author AS a ON a.id = b.author_id AND a.nick = e.nick;

-- name: constant_of_the_nullable_side_narrows()
-- expect: title text!, subtitle text?
-- A constant of the subselect is there only with its row.
SELECT s.title, s.subtitle
FROM author AS a LEFT JOIN (SELECT author_id, title, subtitle, true AS found FROM book) AS s ON s.author_id = a.id
WHERE s.found;

-- name: coalesce_of_the_nullable_side_narrows()
-- expect: title text!, pages int4!
-- So is a coalesce of the subselect: it comes before the join.
SELECT s.title, s.pages
FROM author AS a LEFT JOIN (SELECT author_id, title, coalesce(pages, 0) AS pages FROM book) AS s ON s.author_id = a.id
WHERE s.pages >= 0;

-- name: left_join_kept_by_or_is_null()
-- expect: title text?
-- Either in stock or not there.
SELECT b.title FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id WHERE b.id IS NULL OR b.stock > 0;

-- name: right_join_made_inner()
-- expect: name text!, nick text?, title text!
-- WHERE on the left side of a RIGHT JOIN.
SELECT a.name, a.nick, b.title FROM author AS a RIGHT JOIN book AS b ON b.author_id = a.id WHERE a.name <> 'nobody';

-- name: left_join_using_narrowed_on_the_merged_column()
-- expect: id int4!, title text?
-- The merged column is the left one's, so it proves nothing of the right side.
SELECT id, b.title FROM author AS a LEFT JOIN book AS b USING (id) WHERE id > 0;

-- name: join_on_either_column()
-- expect: name text!, author_id int4?, editor_id int4?
-- One of two columns is equal, and the other one may be NULL.
SELECT a.name, b.author_id, b.editor_id FROM author AS a JOIN book AS b ON a.id = b.author_id OR a.id = b.editor_id;

-- name: join_on_a_list_of_columns()
-- expect: name text!, author_id int4?, editor_id int4?
-- The same, written with IN.
SELECT a.name, b.author_id, b.editor_id FROM author AS a JOIN book AS b ON a.id IN (b.author_id, b.editor_id);

-- name: whole_row_is_not_null()
-- expect: title text!, subtitle text!, author_id int4!
-- A row IS NOT NULL if none of its columns is NULL.
SELECT b.title, b.subtitle, b.author_id FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id WHERE b IS NOT NULL;

-- name: whole_row_not_is_null()
-- expect: title text!, subtitle text?
-- NOT (row IS NULL) proves that the row exists.
SELECT b.title, b.subtitle FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id WHERE NOT (b IS NULL);

-- name: whole_row_is_distinct_from_null()
-- expect: title text!, subtitle text?
-- IS DISTINCT FROM NULL looks at the row as one value.
SELECT b.title, b.subtitle FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id WHERE b IS DISTINCT FROM NULL;

-- name: outer_join_grouped_by_its_key()
-- expect: id int4?, title text?, n int8!
-- The columns that depend on the key are NULL together with it.
SELECT b.id, b.title, count(*) AS n FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id GROUP BY b.id;

-- name: lateral_narrows_by_an_outer_reference()
-- expect: nick text!, other text?
-- WHERE of the subselect speaks of the outer row; a column of the same number inside is another one.
SELECT a.nick, x.other
FROM author AS a CROSS JOIN LATERAL (SELECT o.nick AS other FROM author AS o WHERE a.nick IS NOT NULL) AS x;

-- name: fields_of_whole_rows_of_a_subselect()
-- expect: name text!, title text?
-- A whole row, taken apart outside.
SELECT (s.a).name, (s.b).title FROM (SELECT a, b FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id) AS s;

-- name: left_join_on_an_uncorrelated_condition()
-- expect: name text!, nick text?, title text?
-- ON that looks at the left side alone is still ON.
SELECT a.name, a.nick, b.title FROM author AS a LEFT JOIN book AS b ON a.nick = 'bob';

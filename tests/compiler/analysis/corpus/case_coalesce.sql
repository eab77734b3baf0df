-- CASE and COALESCE.

-- name: case_with_else()
-- expect: size text!
-- Every branch has a value, whatever the conditions are.
SELECT CASE WHEN pages > 50 THEN 'big' WHEN pages > 5 THEN 'small' ELSE 'unknown' END AS size FROM book;

-- name: case_without_else()
-- expect: size text?
-- No branch may be taken.
SELECT CASE WHEN stock > 2 THEN 'much' WHEN stock > 0 THEN 'some' END AS size FROM book;

-- name: case_with_nullable_branch()
-- expect: label text?
-- One branch may be NULL.
SELECT CASE WHEN in_print THEN title ELSE subtitle END AS label FROM book;

-- name: case_with_null_branch()
-- expect: label text?, other text?
-- A branch that is NULL.
SELECT
    CASE WHEN in_print THEN title ELSE NULL END AS label, CASE WHEN in_print THEN NULL ELSE title END AS other
FROM book;

-- name: case_of_nullable_condition()
-- expect: label text!
-- A condition that is NULL goes on to ELSE.
SELECT CASE WHEN loaned THEN 'out' ELSE 'in' END AS label FROM book;

-- name: simple_case()
-- expect: label text!, partial text?
-- CASE x WHEN y.
SELECT
    CASE mood WHEN 'sad' THEN ':(' WHEN 'ok' THEN ':|' ELSE ':)' END AS label,
    CASE mood WHEN 'sad' THEN ':(' END AS partial
FROM author;

-- name: simple_case_of_nullable()
-- expect: label text!, null_never_matches text!
-- CASE x WHEN NULL means x = NULL, which is never true.
SELECT
    CASE nick WHEN 'bob' THEN 'Bob' ELSE 'other' END AS label,
    CASE nick WHEN NULL THEN NULL ELSE name END AS null_never_matches
FROM author;

-- name: simple_case_over_all_values()
-- expect: label text!
-- All three values of a NOT NULL enum, and no ELSE.
SELECT CASE mood WHEN 'sad' THEN ':(' WHEN 'ok' THEN ':|' WHEN 'happy' THEN ':)' END AS label FROM author;

-- name: case_narrows_its_branch()
-- expect: label text!, length int4!
-- The branch is taken only where nick is not NULL.
SELECT
    CASE WHEN nick IS NOT NULL THEN nick ELSE name END AS label,
    CASE WHEN nick <> '' THEN length(nick) ELSE 0 END AS length
FROM author;

-- name: case_narrows_its_else()
-- expect: label text!, second text!
-- ELSE is reached only if no condition before it is true.
SELECT
    CASE WHEN nick IS NULL THEN name ELSE nick END AS label,
    CASE WHEN nick IS NULL THEN 'none' WHEN born IS NULL THEN nick ELSE nick || born END AS second
FROM author;

-- name: case_does_not_narrow_the_other_branch()
-- expect: label text?, wrong text?
-- Nothing is known of nick where nick = 'bob' is not true.
SELECT
    CASE WHEN nick = 'bob' THEN name ELSE nick END AS label,
    CASE WHEN nick IS NOT NULL OR born IS NULL THEN nick ELSE name END AS wrong
FROM author;

-- name: nested_case()
-- expect: label text?
-- A CASE in a branch, without ELSE of its own.
SELECT CASE WHEN in_print THEN CASE WHEN stock > 0 THEN 'there' END ELSE 'gone' END AS label FROM book;

-- name: coalesced_case()
-- expect: label text!
-- coalesce around a CASE without ELSE.
SELECT coalesce(CASE WHEN stock > 0 THEN 'there' END, 'gone') AS label FROM book;

-- name: case_in_aggregate()
-- expect: author_id int4?, printed int8!, sum_without_else int8?, n int8!
-- The usual pivot.
SELECT
    author_id, sum(CASE WHEN in_print THEN 1 ELSE 0 END) AS printed,
    sum(CASE WHEN in_print THEN 1 END) AS sum_without_else, count(CASE WHEN in_print THEN 1 END) AS n
FROM book
GROUP BY author_id;

-- name: coalesce_with_constant()
-- expect: nick text!, pages int4!, tags _text!, extra jsonb!
-- A constant that is not NULL, at the end.
SELECT coalesce(a.nick, '') AS nick, coalesce(b.pages, 0) AS pages, coalesce(b.keywords, '{}') AS tags,
    coalesce(b.extra, 'null') AS extra
FROM author AS a CROSS JOIN book AS b;

-- name: coalesce_with_column()
-- expect: shown text!, both text?
-- A NOT NULL column, or no row.
SELECT coalesce(a.nick, a.name) AS shown, coalesce(a.nick, b.subtitle) AS both FROM author AS a CROSS JOIN book AS b;

-- name: coalesce_with_null()
-- expect: nick text?, twice text?
-- NULL as the last argument of coalesce adds nothing.
SELECT coalesce(nick, NULL) AS nick, coalesce(NULL, nick, NULL) AS twice FROM author;

-- name: coalesce_of_not_null_first()
-- expect: name text!
-- The other arguments are never evaluated.
SELECT coalesce(name, nick) AS name FROM author;

-- name: coalesce_of_outer_joined()
-- expect: title text?, shown text!, either text!
-- A NOT NULL column of the nullable side may be NULL.
SELECT coalesce(b.subtitle, b.title) AS title, coalesce(b.title, a.name) AS shown, coalesce(b.title, 'none') AS either
FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id;

-- name: coalesce_of_full_join()
-- expect: id int4!, mood mood?
-- What a merged column does, written by hand: one of the two rows exists.
SELECT coalesce(a.id, b.id) AS id, coalesce(a.mood, b.mood) AS mood FROM author AS a FULL JOIN book AS b ON b.id = a.id;

-- name: coalesce_with_parameter(shown)
-- expect: nick text!
-- params: shown text!
-- A default for a value that may be NULL.
SELECT coalesce(nick, :shown) AS nick FROM author;

-- name: coalesce_of_nullable_parameters(first, second)
-- expect: either text?, safe text!
-- params: first text?, second text?
-- coalesce tests whether the parameters are NULL.
SELECT coalesce(:first::text, :second::text, nick) AS either, coalesce(:first::text, :second::text, name) AS safe
FROM author;

-- name: coalesce_of_subquery()
-- expect: title text!, longest int4!
-- A scalar subquery, without and with coalesce.
SELECT
    coalesce((SELECT b.title FROM book AS b WHERE b.author_id = a.id ORDER BY b.id LIMIT 1), 'none') AS title,
    coalesce((SELECT max(b.pages) FROM book AS b WHERE b.author_id = a.id), 0) AS longest
FROM author AS a;

-- name: nested_coalesce()
-- expect: label text!, wrong text?
-- Inside out.
SELECT coalesce(nullif(coalesce(nick, ''), ''), name) AS label, nullif(coalesce(nick, ''), '') AS wrong FROM author;

-- name: coalesce_in_an_expression()
-- expect: total int4!, half int4?
-- Both operands, or one of them.
SELECT coalesce(pages, 0) + stock AS total, coalesce(pages, 0) + author_id AS half FROM book;

-- name: case_of_volatile()
-- expect: maybe int4?
-- A volatile function is called once for the condition, and again for the branch.
SELECT CASE WHEN maybe() IS NOT NULL THEN maybe() ELSE 0 END AS maybe FROM generate_series(1, 200);

-- name: case_narrows_an_aggregate()
-- expect: longest int4!, wrong int4?
-- The aggregate that was tested, and another one.
SELECT
    CASE WHEN max(pages) IS NOT NULL THEN max(pages) ELSE 0 END AS longest,
    CASE WHEN max(stock) IS NOT NULL THEN max(pages) ELSE 0 END AS wrong
FROM book;

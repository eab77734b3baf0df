-- Optional lines and orderings. A column is never NULL if it is not in any form of the query.

-- name: filter_on_a_nullable_column(author_id)
-- expect: id int4!, author_id int4?
-- params: author_id int4?
-- Only the form with the filter has no NULL.
SELECT id, author_id FROM book
WHERE true
  AND author_id = :author_id  -- if: author_id
;

-- name: filter_or_not_null(author_id)
-- expect: id int4!, author_id int4!
-- params: author_id int4?
-- Without the filter, the other line rules NULL out.
SELECT id, author_id FROM book
WHERE author_id = :author_id    -- if: author_id
WHERE author_id IS NOT NULL     -- unless: author_id
;

-- name: filters_of_two(nick, born)
-- expect: name text!, nick text?, born date?
-- params: nick text?, born date?
-- Either may be left out.
SELECT name, nick, born FROM author
WHERE true
  AND nick = :nick   -- if: nick
  AND born = :born   -- if: born
;

-- name: filter_of_a_range(low, high)
-- expect: id int4!, pages int4?
-- params: low int4?, high int4?
-- The line needs both.
SELECT id, pages FROM book
WHERE true
  AND pages BETWEEN :low AND :high  -- if: low, high
;

-- name: filter_always_there(pages)
-- expect: id int4!, pages int4!
-- params: pages int4?
-- What is always sent proves it for every form.
SELECT id, pages FROM book
WHERE pages > 0
  AND pages <> :pages  -- if: pages
;

-- name: flag_for_nulls(unknown_too)
-- expect: id int4!, subtitle text?
-- A flag lets NULL in.
SELECT id, subtitle FROM book
WHERE true
  AND subtitle IS NOT NULL  -- unless: unknown_too
;

-- name: flag_that_proves_too_late(known)
-- expect: id int4!, subtitle text?
-- The flag keeps NULL out only if it is passed.
SELECT id, subtitle FROM book
WHERE true
  AND subtitle IS NOT NULL  -- if: known
;

-- name: join_kind(inner)
-- expect: title text!, name text?
-- An outer join in one form.
SELECT b.title, a.name
FROM book AS b
JOIN author AS a ON a.id = b.author_id       -- if: inner
LEFT JOIN author AS a ON a.id = b.author_id  -- unless: inner
;

-- name: join_narrowed(name)
-- expect: title text!, name text?, nick text?
-- params: name text?
-- The filter makes the outer join an inner one, but it may be left out.
SELECT b.title, a.name, a.nick
FROM book AS b LEFT JOIN author AS a ON a.id = b.author_id
WHERE true
  AND a.name = :name  -- if: name
;

-- name: join_narrowed_always(name)
-- expect: title text!, name text!, nick text?
-- params: name text?
-- Both lines rule out the rows without an author.
SELECT b.title, a.name, a.nick
FROM book AS b LEFT JOIN author AS a ON a.id = b.author_id
WHERE a.name = :name        -- if: name
WHERE a.id IS NOT NULL      -- unless: name
;

-- name: join_only_for_a_filter(stars)
-- expect: id int4!, title text!
-- params: stars int4?
-- A table that only the filter needs.
SELECT b.id, b.title FROM book AS b
-- if: stars
JOIN review AS r ON r.book_id = b.id
WHERE r.stars = :stars
-- end
;

-- name: parameter_shown(label)
-- expect: title text!, label text!
-- params: label text?
-- In the line that shows it the parameter is not NULL.
SELECT title,
       :label::text AS label  -- if: label
       'none' AS label        -- unless: label
FROM book;

-- name: parameter_shown_always(label)
-- expect: title text!, label text?
-- params: label text?
-- Without the line that depends on it, the parameter is NULL.
SELECT title, :label::text AS label FROM book
WHERE true
  AND title <> :label  -- if: label
;

-- name: parameter_computed(extra)
-- expect: id int4!, total int4!
-- params: extra int4?
-- Arithmetic with a parameter that is not NULL.
SELECT id,
       stock
       + :extra  -- if: extra
       AS total
FROM book;

-- name: parameter_computed_of_null(extra)
-- expect: id int4!, total int4?
-- params: extra int4?
-- The column is NULL in both forms.
SELECT id,
       pages
       + :extra  -- if: extra
       AS total
FROM book;

-- name: parameter_that_is_left_out(extra)
-- expect: id int4!, total int4?
-- params: extra int4?
-- Where it is not given it is NULL.
SELECT id, stock + :extra AS total FROM book
WHERE true
  AND stock > :extra  -- if: extra
;

-- name: coalesce_in_one_form(filled)
-- expect: id int4!, subtitle text?
-- The flag replaces NULL.
SELECT id,
       coalesce(subtitle, '-') AS subtitle  -- if: filled
       subtitle                             -- unless: filled
FROM book;

-- name: coalesce_in_both(long)
-- expect: id int4!, subtitle text!
-- Two ways to replace NULL.
SELECT id,
       coalesce(subtitle, title) AS subtitle  -- if: long
       coalesce(subtitle, '') AS subtitle     -- unless: long
FROM book;

-- name: group_or_total(by_author)
-- expect: books int8!, pages int8?
-- A total has a row for no books.
SELECT count(*) AS books, sum(pages) AS pages FROM book
GROUP BY author_id  -- if: by_author
;

-- name: group_always_with_rows(in_print)
-- expect: author_id int4?, stock int8!
-- params: in_print bool?
-- A group has a row, whatever filters it.
SELECT author_id, sum(stock) AS stock FROM book
WHERE true
  AND in_print = :in_print  -- if: in_print
GROUP BY author_id;

-- name: total_with_filter(in_print)
-- expect: n int8!, stock int8?
-- params: in_print bool?
-- Over no rows there is no sum.
SELECT count(*) AS n, sum(stock) AS stock FROM book
WHERE true
  AND in_print = :in_print  -- if: in_print
;

-- name: having_in_one_form(least)
-- expect: author_id int4?, longest int4?
-- params: least int4?
-- HAVING proves the aggregate where it is sent.
SELECT author_id, max(pages) AS longest FROM book
GROUP BY author_id
HAVING max(pages) >= :least  -- if: least
;

-- name: having_in_every_form(least)
-- expect: author_id int4?, longest int4!
-- params: least int4?
-- HAVING in both forms.
SELECT author_id, max(pages) AS longest FROM book
GROUP BY author_id
HAVING max(pages) >= :least       -- if: least
HAVING max(pages) IS NOT NULL     -- unless: least
;

-- name: union_of_more(with_books)
-- expect: name text?
-- The second part has NULL.
SELECT name FROM author
UNION ALL SELECT subtitle FROM book  -- if: with_books
;

-- name: union_of_never_null(with_titles)
-- expect: name text!
-- Both parts are never NULL.
SELECT name FROM author
UNION ALL SELECT title FROM book  -- if: with_titles
;

-- name: cte_in_one_form(least)
-- expect: id int4!, title text!
-- params: least int4?
-- A block with a CTE, and the line that joins it.
-- if: least
WITH rated AS (
    SELECT book_id FROM review GROUP BY book_id HAVING min(stars) >= :least
)
-- end
SELECT b.id, b.title FROM book AS b
JOIN rated ON rated.book_id = b.id  -- if: least
;

-- name: cte_filtered(pages)
-- expect: id int4!, pages int4?
-- params: pages int4?
-- The filter is inside the CTE.
WITH long AS (
    SELECT id, pages FROM book
    WHERE pages >= :pages  -- if: pages
)
SELECT id, pages FROM long;

-- name: subquery_filtered(stars)
-- expect: id int4!, reviews int8!, best int4?
-- params: stars int4?
-- A scalar subquery over no rows counts 0 and has no maximum.
SELECT b.id,
       (SELECT count(*) FROM review AS r WHERE r.book_id = b.id
           AND r.stars = :stars  -- if: stars
       ) AS reviews,
       (SELECT max(r.stars) FROM review AS r WHERE r.book_id = b.id
           AND r.stars = :stars  -- if: stars
       ) AS best
FROM book AS b;

-- name: nested_blocks(author_id, pages)
-- expect: id int4!, author_id int4?, pages int4?
-- params: author_id int4?, pages int4?
-- The inner line depends on both.
SELECT id, author_id, pages FROM book
WHERE true
  -- if: author_id
  AND author_id = :author_id
  AND pages = :pages  -- if: pages
  -- end
;

-- name: orderings()
-- expect: id int4!, pages int4?
-- Orderings change no column.
SELECT id, pages FROM book
ORDER BY pages DESC NULLS LAST, id  -- order: longest
ORDER BY title, id                  -- order: title
LIMIT 5;

-- name: ordering_with_distinct_on()
-- expect: author_id int4?, title text!
-- An ordering may be a block of its own.
SELECT DISTINCT ON (author_id) author_id, title FROM book
-- order: first
ORDER BY author_id,
         title
-- end
ORDER BY author_id, title DESC  -- order: last
;

-- name: limit_in_one_form(n)
-- expect: id int4!, nick text?
-- params: n int8?
-- LIMIT may be left out.
SELECT id, nick FROM author ORDER BY id
LIMIT :n  -- if: n
;

-- name: window_in_one_form(ranked)
-- expect: id int4!, place int8?
-- A column that only one form computes.
SELECT id,
       rank() OVER (ORDER BY stock) AS place  -- if: ranked
       NULL::int8 AS place                    -- unless: ranked
FROM book;

-- name: case_with_an_optional_branch(short)
-- expect: id int4!, size text!
-- ELSE is always there.
SELECT id,
       CASE WHEN pages > 500 THEN 'long'
            WHEN pages < 50 THEN 'short'  -- if: short
            ELSE 'other' END AS size
FROM book;

-- name: case_with_an_optional_else(named)
-- expect: id int4!, size text?
-- CASE without ELSE is NULL.
SELECT id,
       CASE WHEN pages > 500 THEN 'long'
            ELSE 'other'  -- if: named
            END AS size
FROM book;

-- name: patch_what_is_given(key, value, note)
-- expect: key text!, value text?, hits int4!, note text?
-- params: key text!, value text?, note text?
-- One line for each column, and one assignment that is always there.
UPDATE setting
SET hits = hits + 1,
    value = :value,  -- if given: value
    note = :note     -- if given: note
WHERE key = :key
RETURNING key, value, hits, note;

-- name: patch_a_column_that_is_not_null(id, stock)
-- expect: id int4!, stock int4!
-- params: id int4!, stock int4!
-- None is refused for it.
UPDATE book
SET title = title,
    stock = :stock  -- if given: stock
WHERE id = :id
RETURNING id, stock;

-- name: patch_with_values_alone(key, value)
-- expect: key text!, value text?
-- params: key text!, value text?
-- Without `given`, None leaves the column as it is.
UPDATE setting
SET hits = hits,
    value = :value  -- if: value
WHERE key = :key
RETURNING key, value;

-- name: insert_with_a_default(key, note)
-- expect: key text!, note text?
-- params: key text!, note text?
-- Left out, the column has its default.
INSERT INTO setting (key,
    note  -- if given: note
)
VALUES (:key,
    :note  -- if given: note
)
ON CONFLICT (key) DO UPDATE SET hits = 0
RETURNING key, note;

-- name: delete_more_or_less(body)
-- expect: id int8!, body text?
-- params: body text?
-- A DELETE returns what it deleted.
DELETE FROM review
WHERE true
  AND body = :body  -- if: body
RETURNING id, body;

-- Narrowing: what WHERE, HAVING and a join's condition prove of the rows that are left, and what they do not.

-- name: where_is_not_null()
-- expect: nick text!, born date?
-- The simplest proof.
SELECT nick, born FROM author WHERE nick IS NOT NULL;

-- name: where_and()
-- expect: nick text!, born date!
-- Both arms of AND hold.
SELECT nick, born FROM author WHERE nick IS NOT NULL AND born IS NOT NULL;

-- name: where_or()
-- expect: nick text?, born date?
-- One operand of OR is true, but it may be the other one.
SELECT nick, born FROM author WHERE nick IS NOT NULL OR born IS NOT NULL;

-- name: where_or_on_the_same_column()
-- expect: nick text!, born date?
-- Each arm needs it.
SELECT nick, born FROM author WHERE nick = 'bob' OR (nick > 'a' AND born IS NULL);

-- name: where_not_is_null()
-- expect: nick text!
-- NOT (x IS NULL) is x IS NOT NULL.
SELECT nick FROM author WHERE NOT (nick IS NULL);

-- name: where_not_or()
-- expect: nick text!, born date!
-- NOT (a OR b) is NOT a AND NOT b.
SELECT nick, born FROM author WHERE NOT (nick IS NULL OR born IS NULL);

-- name: where_not_and()
-- expect: nick text?, born date?
-- NOT (a AND b) is NOT a OR NOT b.
SELECT nick, born FROM author WHERE NOT (nick IS NULL AND born IS NULL);

-- name: where_not_is_not_null()
-- expect: nick text?
-- A double negation: these are all NULL.
SELECT nick FROM author WHERE NOT (nick IS NOT NULL);

-- name: where_not_comparison()
-- expect: nick text!, rating numeric?
-- NOT of an unknown comparison is unknown.
SELECT nick, rating FROM author WHERE NOT (nick = 'bob');

-- name: where_not_and_of_comparisons()
-- expect: nick text?, rating numeric?
-- NOT (unknown AND false) is true: either may be NULL.
SELECT nick, rating FROM author WHERE NOT (nick = 'nobody' AND rating = -99);

-- name: where_not_or_of_comparisons()
-- expect: nick text!, rating numeric!
-- NOT (a OR b) needs both to be false.
SELECT nick, rating FROM author WHERE NOT (nick = 'nobody' OR rating = -99);

-- name: where_equals(nick)
-- expect: nick text!, name text!
-- params: nick text!
-- Equal to a value.
SELECT nick, name FROM author WHERE nick = :nick;

-- name: where_compared()
-- expect: rating numeric!, born date!
-- Every comparison operator is strict.
SELECT rating, born FROM author WHERE rating >= 0 AND born <> '1999-01-01';

-- name: where_equals_itself()
-- expect: nick text!
-- nick = nick is the old way to write IS NOT NULL.
SELECT nick FROM author WHERE nick = nick;

-- name: where_like()
-- expect: nick text!
-- LIKE is an operator.
SELECT nick FROM author WHERE nick LIKE '%o%';

-- name: where_not_like()
-- expect: nick text!
-- So is NOT LIKE.
SELECT nick FROM author WHERE nick NOT LIKE '%o%';

-- name: where_regular_expression()
-- expect: nick text!
-- So is ~*.
SELECT nick FROM author WHERE nick ~* '^[a-z]';

-- name: where_between(since, until)
-- expect: born date!
-- params: since date!, until date!
-- BETWEEN is two comparisons with AND.
SELECT born FROM author WHERE born BETWEEN :since AND :until;

-- name: where_not_between()
-- expect: rating numeric!
-- NOT BETWEEN is two comparisons of one column with OR.
SELECT rating FROM author WHERE rating NOT BETWEEN 1 AND 2;

-- name: where_strict_function()
-- expect: nick text!
-- length of NULL is NULL, and NULL > 0 is not true.
SELECT nick FROM author WHERE length(nick) > 0;

-- name: where_nested_strict_functions()
-- expect: nick text!, subtitle text!
-- Strictness goes through: lower, trim, || and =.
SELECT a.nick, b.subtitle FROM author AS a, book AS b WHERE lower(trim(a.nick)) || b.subtitle <> '';

-- name: where_concat()
-- expect: nick text?
-- concat is not strict.
SELECT nick FROM author WHERE concat(nick, 'x') <> '';

-- name: where_coalesce()
-- expect: rating numeric?
-- coalesce replaces NULL.
SELECT rating FROM author WHERE coalesce(rating, 1) > 0;

-- name: where_nullif()
-- expect: nick text!
-- nullif(nick, '') IS NOT NULL: neither NULL nor empty.
SELECT nick FROM author WHERE nullif(nick, '') IS NOT NULL;

-- name: where_expression_is_not_null()
-- expect: nick text!, born date!
-- A strict expression that is not NULL had no NULL in it.
SELECT nick, born FROM author WHERE nick || born::text IS NOT NULL;

-- name: where_user_function_is_not_null()
-- expect: nick text!, blank_to_null text!
-- A user's STRICT function is strict as well, and an IMMUTABLE one returns the same value again.
SELECT nick, blank_to_null(nick) FROM author WHERE blank_to_null(nick) IS NOT NULL;

-- name: where_volatile_is_not_null()
-- expect: maybe int4?
-- A volatile function may return another value the next time.
SELECT maybe() FROM generate_series(1, 200) WHERE maybe() IS NOT NULL;

-- name: where_same_expression_is_not_null()
-- expect: k text!, extra jsonb!, a text?
-- The returned expression is the one that was tested.
SELECT extra ->> 'k' AS k, extra, extra ->> 'a' AS a FROM book WHERE extra ->> 'k' IS NOT NULL;

-- name: where_is_true()
-- expect: loaned bool!, nick_is text!
-- IS TRUE is true for true alone.
SELECT b.loaned, a.nick AS nick_is FROM book AS b, author AS a WHERE b.loaned IS TRUE AND (a.nick = 'bob') IS TRUE;

-- name: where_is_not_false()
-- expect: loaned bool?, nick text?
-- IS NOT FALSE is true for NULL.
SELECT b.loaned, a.nick FROM book AS b, author AS a WHERE b.loaned IS NOT FALSE AND (a.nick = 'bob') IS NOT FALSE;

-- name: where_comparison_is_false()
-- expect: nick text!
-- If a comparison is false, its operands are not NULL.
SELECT nick FROM author WHERE (nick = 'bob') IS FALSE;

-- name: where_comparison_is_not_unknown()
-- expect: nick text!
-- If a comparison is true or false, its operands are not NULL.
SELECT nick FROM author WHERE (nick = 'bob') IS NOT UNKNOWN;

-- name: where_comparison_is_unknown()
-- expect: nick text?
-- If a comparison is unknown, an operand is NULL.
SELECT nick FROM author WHERE (nick = 'bob') IS UNKNOWN;

-- name: where_null_test_is_false()
-- expect: nick text!
-- (nick IS NULL) IS FALSE.
SELECT nick FROM author WHERE (nick IS NULL) IS FALSE;

-- name: where_is_distinct_from_value()
-- expect: nick text?
-- NULL is distinct from every value.
SELECT nick FROM author WHERE nick IS DISTINCT FROM 'bob';

-- name: where_is_distinct_from_null()
-- expect: nick text!
-- But not computed from NULL.
SELECT nick FROM author WHERE nick IS DISTINCT FROM NULL;

-- name: where_is_not_distinct_from_parameter(nick)
-- expect: nick text?
-- params: nick text?
-- None finds the rows with NULL.
SELECT nick FROM author WHERE nick IS NOT DISTINCT FROM :nick;

-- name: where_row_is_not_null()
-- expect: nick text!, born date!
-- A row IS NOT NULL when all of its fields are not NULL.
SELECT nick, born FROM author WHERE ROW(nick, born) IS NOT NULL;

-- name: where_not_row_is_null()
-- expect: nick text?, born date?
-- NOT (row IS NULL) is weaker: some field is not NULL.
SELECT nick, born FROM author WHERE NOT (ROW(nick, born) IS NULL);

-- name: where_rows_equal()
-- expect: nick text!, born date!
-- Rows are equal when each field is.
SELECT nick, born FROM author WHERE (nick, born) = ('bob', '1970-01-01');

-- name: where_rows_differ()
-- expect: nick text?, born date?
-- Rows differ when one field does.
SELECT nick, born FROM author WHERE (nick, born) <> ('nobody', '1970-01-02');

-- name: where_row_greater()
-- expect: nick text!, born date?
-- The first field decides; the second is looked at only when the first is equal.
SELECT nick, born FROM author WHERE (nick, born) > ('bob', '1970-01-01');

-- name: where_in_list()
-- expect: nick text!
-- IN is = combined with OR.
SELECT nick FROM author WHERE nick IN ('bob', 'zed');

-- name: where_in_list_with_null()
-- expect: nick text!
-- NULL in the list matches nothing.
SELECT nick FROM author WHERE nick IN ('bob', NULL);

-- name: where_not_in_list()
-- expect: nick text!
-- NOT IN of values is <> with AND.
SELECT nick FROM author WHERE nick NOT IN ('bob', 'nobody');

-- name: where_in_subquery()
-- expect: author_id int4!, editor_id int4?
-- IN with a subquery is never true for NULL.
SELECT author_id, editor_id FROM book WHERE author_id IN (SELECT id FROM author);

-- name: where_not_in_subquery()
-- expect: author_id int4?, editor_id int4?
-- NOT IN of a subquery without rows is true for every row.
SELECT author_id, editor_id FROM book WHERE author_id NOT IN (SELECT id FROM author WHERE name = 'Nobody');

-- name: where_any_subquery()
-- expect: pages int4!
-- > ANY needs a row for which it is true.
SELECT pages FROM book WHERE pages > ANY (SELECT stock FROM book);

-- name: where_all_subquery()
-- expect: pages int4?
-- > ALL of no rows is true.
SELECT pages FROM book WHERE pages > ALL (SELECT id FROM author WHERE name = 'Nobody');

-- name: where_any_array(pages)
-- expect: pages int4!
-- params: pages _int4!
-- = ANY of an array is never true for NULL, even if the array contains NULL.
SELECT pages FROM book WHERE pages = ANY (:pages);

-- name: where_all_array(pages)
-- expect: pages int4?
-- params: pages _int4!
-- <> ALL of an empty array is true for NULL.
SELECT pages FROM book WHERE pages <> ALL (:pages);

-- name: where_all_constant_array()
-- expect: pages int4!
-- A nonempty array.
SELECT pages FROM book WHERE pages <> ALL ('{1,2}'::int4[]);

-- name: where_exists_correlated()
-- expect: author_id int4!, editor_id int4?
-- The subquery has a row only for an author_id that is equal to something.
SELECT b.author_id, b.editor_id FROM book AS b WHERE EXISTS (SELECT 1 FROM author AS a WHERE a.id = b.author_id);

-- name: where_not_exists_correlated()
-- expect: author_id int4?
-- NOT EXISTS holds for NULL.
SELECT b.author_id FROM book AS b WHERE NOT EXISTS (SELECT 1 FROM author AS a WHERE a.id = b.author_id);

-- name: where_optional_filter(nick)
-- expect: nick text?, name text!
-- params: nick text?
-- An optional filter proves nothing.
SELECT nick, name FROM author WHERE :nick::text IS NULL OR nick = :nick;

-- name: where_json_contains()
-- expect: extra jsonb!, k text?
-- @> is strict in the document, and proves nothing about keys that it does not name.
SELECT extra, extra ->> 'k' AS k FROM book WHERE extra @> '{}';

-- name: where_array_overlaps()
-- expect: keywords _text!, second text?
-- && is strict in the array; its elements may be NULL.
SELECT keywords, keywords[2] AS second FROM book WHERE keywords && ARRAY['k', 'x', 'l'];

-- name: where_element_is_any_of_column()
-- expect: keywords _text!
-- = ANY of a NULL array is NULL.
SELECT keywords FROM book WHERE 'k' = ANY (keywords);

-- name: where_not_element_of_column()
-- expect: keywords _text!
-- <> ALL of a NULL array is NULL as well.
SELECT keywords FROM book WHERE 'nothing' <> ALL (keywords);

-- name: where_case()
-- expect: nick text?
-- The CASE as a whole is tested for NULL.
SELECT nick FROM author WHERE CASE WHEN nick IS NULL THEN true ELSE nick <> '' END;

-- name: where_in_subselect()
-- expect: nick text!, born date?
-- WHERE inside of a subselect holds outside.
SELECT t.nick, t.born FROM (SELECT nick, born FROM author WHERE nick IS NOT NULL) AS t;

-- name: where_outside_subselect()
-- expect: nick text!, born date?
-- And an outer WHERE applies to inner columns.
SELECT t.nick, t.born FROM (SELECT nick, born FROM author ORDER BY id LIMIT 10) AS t WHERE t.nick <> '';

-- name: where_outside_cte()
-- expect: nick text!, born date?
-- The same with a CTE.
WITH t AS MATERIALIZED (SELECT nick, born FROM author)
SELECT t.nick, t.born FROM t WHERE t.born IS NULL AND t.nick <> '';

-- name: where_on_another_alias()
-- expect: nick text?, other text!
-- The same table under another name is another row.
SELECT a.nick, o.nick AS other FROM author AS a JOIN author AS o ON o.id <> a.id WHERE o.nick IS NOT NULL;

-- name: where_on_a_column_of_the_same_name()
-- expect: author text?, book text!
-- Columns of one name in two tables are two.
SELECT a.nick AS author, b.subtitle AS book
FROM author AS a CROSS JOIN (SELECT subtitle, subtitle AS nick FROM book) AS b
WHERE b.nick IS NOT NULL;

-- name: where_in_a_subquery_does_not_narrow_outside()
-- expect: nick text?, n int8!
-- The WHERE of a subquery is about its own rows.
SELECT a.nick, (SELECT count(*) FROM author AS o WHERE o.nick IS NOT NULL) AS n FROM author AS a;

-- name: join_on_narrows_both()
-- expect: nick text!, body text!
-- An equality proves both its sides.
SELECT a.nick, r.body FROM author AS a JOIN review AS r ON r.body = a.nick;

-- name: join_on_is_not_null()
-- expect: nick text!, subtitle text?
-- The ON of an inner join is a WHERE.
SELECT a.nick, b.subtitle FROM author AS a JOIN book AS b ON b.author_id = a.id AND a.nick IS NOT NULL;

-- name: having_is_not_null()
-- expect: nick text!, n int8!
-- HAVING narrows the columns grouped by.
SELECT nick, count(*) AS n FROM author GROUP BY nick HAVING nick IS NOT NULL;

-- name: having_aggregate_is_not_null()
-- expect: author_id int4?, longest int4!
-- HAVING narrows the aggregate that it names.
SELECT author_id, max(pages) AS longest FROM book GROUP BY author_id HAVING max(pages) IS NOT NULL;

-- name: having_aggregate_compared()
-- expect: longest int4!, shortest int4?, n int8!
-- The compared aggregate is not NULL. An aggregate with another filter may be.
SELECT max(pages) AS longest, min(pages) FILTER (WHERE stock > 50) AS shortest, count(*) AS n
FROM book
HAVING max(pages) > 0;

-- name: filter_does_not_narrow()
-- expect: nick text?, n int8!
-- FILTER is about one aggregate, not about the rows.
SELECT nick, count(*) FILTER (WHERE nick IS NOT NULL) AS n FROM author GROUP BY nick;

-- name: where_narrows_an_aggregate()
-- expect: author_id int4?, longest int4!, subtitles text?
-- WHERE leaves no NULL for max, and each group has a row.
SELECT author_id, max(pages) AS longest, max(subtitle) AS subtitles
FROM book
WHERE pages IS NOT NULL
GROUP BY author_id;

-- name: where_narrows_no_empty_aggregate()
-- expect: longest int4?
-- Without GROUP BY there may be no row at all.
SELECT max(pages) AS longest FROM book WHERE pages IS NOT NULL;

-- name: where_does_not_narrow_lag()
-- expect: nick text!, previous text?
-- There is no row before the first one.
SELECT nick, lag(nick) OVER (ORDER BY id) AS previous FROM author WHERE nick IS NOT NULL;

-- name: where_outside_a_window()
-- expect: nick text!, first text?
-- The window function has seen the rows that the outer WHERE removes.
SELECT t.nick, t.first
FROM (SELECT nick, first_value(nick) OVER (ORDER BY id) AS first FROM author) AS t
WHERE t.nick IS NOT NULL;

-- name: where_outside_a_lag()
-- expect: nick text?, previous text!
-- The result of the window itself is narrowed.
SELECT t.nick, t.previous
FROM (SELECT nick, lag(nick) OVER (ORDER BY id) AS previous FROM author) AS t
WHERE t.previous IS NOT NULL;

-- name: where_composite_is_not_null()
-- expect: home address!, street text!, zip int4!
-- A composite IS NOT NULL when each of its fields is not NULL.
SELECT home, (home).street, (home).zip FROM person WHERE home IS NOT NULL;

-- name: where_not_composite_is_null()
-- expect: home address!, street text?, zip int4?
-- NOT (composite IS NULL) proves that some field is not NULL, but not which one.
SELECT home, (home).street, (home).zip FROM person WHERE NOT (home IS NULL);

-- name: where_composite_is_null()
-- expect: work address!, street text?
-- ROW(NULL, NULL) IS NULL is true, but it is still a row value.
SELECT work, (work).street FROM person WHERE work IS NULL;

-- name: where_field_is_not_null()
-- expect: home address!, street text!, zip int4?
-- A field that is not NULL was in a row.
SELECT home, (home).street, (home).zip FROM person WHERE (home).street IS NOT NULL;

-- name: update_narrowed_column_unchanged(name)
-- expect: nick text!, name text!, born date?
-- params: name text!
-- The column that WHERE tests is not the one that is set.
UPDATE author SET name = :name WHERE nick IS NOT NULL RETURNING nick, name, born;

-- name: update_narrowed_column_set(nick)
-- expect: id int4!, nick text?
-- params: nick text?
-- RETURNING sees the new value.
UPDATE author SET nick = :nick WHERE nick IS NOT NULL RETURNING id, nick;

-- name: update_narrowed_column_set_from_itself()
-- expect: nick text!, rating numeric?
-- The new value is made of the old one, which was not NULL.
UPDATE author SET nick = lower(nick) || '!', rating = rating + 1 WHERE nick IS NOT NULL RETURNING nick, rating;

-- name: update_to_null_of_narrowed_column()
-- expect: nick text?
-- It sets to NULL what WHERE found to be not NULL.
UPDATE author SET nick = NULL WHERE nick IS NOT NULL RETURNING nick;

-- name: delete_narrowed()
-- expect: nick text!, born date?
-- DELETE returns the rows that WHERE found.
DELETE FROM author WHERE nick IS NOT NULL RETURNING nick, born;

-- name: delete_compared(before)
-- expect: published timestamptz!, subtitle text?
-- params: before timestamptz!
-- By a comparison.
DELETE FROM book WHERE published < :before RETURNING published, subtitle;

-- name: where_rows_in_subquery()
-- expect: author_id int4!, stock int4!, pages int4?
-- Rows in a subquery: each field is equal to something.
SELECT author_id, stock, pages FROM book WHERE (author_id, stock) IN (SELECT a.id, b.stock FROM author AS a, book AS b);

-- name: where_value_in_columns()
-- expect: pages int4?, stock int4!
-- A value among columns: the others may be NULL.
SELECT pages, stock FROM book WHERE 5 IN (pages, stock, id);

-- name: where_column_in_columns()
-- expect: pages int4!, author_id int4?
-- The value on the left is not NULL. Those in the list may be.
SELECT pages, author_id FROM book WHERE pages IN (author_id, 0, 42, 8, 5, 10);

-- name: where_functions_that_are_not_strict()
-- expect: nick text?, born date?, keywords _text?, pages int4?
-- Functions, and an operator, that do take NULL.
SELECT a.nick, a.born, b.keywords, b.pages
FROM author AS a CROSS JOIN book AS b
WHERE num_nulls(a.nick, a.born) >= 0 AND quote_nullable(a.nick) <> '' AND concat_ws(',', a.nick) IS NOT NULL
    AND array_append(b.keywords, 'x') @> '{x}' AND b.keywords || 'x'::text <> '{}' AND least(b.pages, 5) <= 5
    AND jsonb_build_object('x', a.born) <> '{}';

-- name: where_through_casts()
-- expect: nick text!, pages int4!, mood mood!
-- A cast is strict, by way of a function, of text, or of nothing.
SELECT a.nick, b.pages, b.mood
FROM author AS a CROSS JOIN book AS b
WHERE (a.nick COLLATE "C")::varchar(9) <> '' AND b.pages::text <> '' AND b.mood::text <> '';

-- name: where_subscript()
-- expect: keywords _text!, first text!, second text?
-- A subscript of NULL is NULL.
SELECT keywords, keywords[1] AS first, keywords[2] AS second FROM book WHERE keywords[1] IS NOT NULL;

-- name: where_array_is_not_empty()
-- expect: tags _text!, first text?
-- An array with elements may have NULL for one.
SELECT tags, tags[1] AS first FROM book WHERE cardinality(tags) > 0;

-- name: where_key_exists()
-- expect: meta jsonb!, k text?
-- A key that exists may have null for its value.
SELECT meta, meta ->> 'k' AS k FROM book WHERE meta ? 'k';

-- name: where_deep_in_a_document()
-- expect: extra jsonb!, b text!
-- Every step down is strict.
SELECT extra, extra -> 'a' ->> 'b' AS b FROM book WHERE extra -> 'a' ->> 'b' <> '';

-- name: where_not_is_not_true()
-- expect: loaned bool!, nick text!
-- NOT (x IS NOT TRUE) is x IS TRUE.
SELECT b.loaned, a.nick FROM book AS b, author AS a WHERE NOT (b.loaned IS NOT TRUE) AND NOT (NOT (a.nick = 'bob'));

-- name: where_or_false()
-- expect: nick text!
-- An operand of OR that is never true adds no rows.
SELECT nick FROM author WHERE nick = 'bob' OR false OR NULL;

-- name: where_coalesced_condition()
-- expect: nick text!, born date?
-- A condition that is false because a value is missing, and one that is true.
SELECT nick, born FROM author WHERE coalesce(nick <> 'nobody', false) AND coalesce(born < '1980-01-01', true);

-- name: where_in_a_subquery_speaks_of_outside()
-- expect: nick text?, n int8!
-- A subquery in the select list tests the outer row, but removes no rows.
SELECT a.nick, (SELECT count(*) FROM book AS b WHERE a.nick IS NOT NULL) AS n FROM author AS a;

-- name: update_generated_column_narrowed()
-- expect: area int4?, doubled int4!
-- A generated column is computed again, although SET does not name it.
UPDATE item SET height = NULL WHERE area >= 0 RETURNING area, doubled;

-- name: update_from_outer_join_narrowed()
-- expect: id int4!, subtitle text!, name text!
-- WHERE makes the outer join in FROM inner.
UPDATE book AS b SET subtitle = a.name
FROM book AS o LEFT JOIN author AS a ON a.id = o.author_id
WHERE o.id = b.id AND a.id > 0
RETURNING b.id, b.subtitle, a.name;

-- name: where_a_subquery_has_joins_of_its_own()
-- expect: title text?
-- The joins of a subquery in WHERE are numbered like those of the query, and are not the same.
SELECT d.title
FROM author AS a, author AS b, author AS c LEFT JOIN book AS d ON d.id = c.id + 1000
WHERE b.id = 1 AND EXISTS (SELECT FROM author AS p LEFT JOIN (author AS q JOIN author AS r ON true) ON true);

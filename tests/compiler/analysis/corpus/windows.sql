-- Window functions: the row itself is in most frames, and nothing is in some.

-- name: ranks()
-- expect: row_number int8!, rank int8!, dense_rank int8!, percent_rank float8!, cume_dist float8!, ntile int4!
-- row_number and its siblings always have a value.
SELECT
    row_number() OVER w, rank() OVER w, dense_rank() OVER w, percent_rank() OVER w, cume_dist() OVER w,
    ntile(4) OVER w
FROM author
WINDOW w AS (ORDER BY rating);

-- name: ntile_of_nullable()
-- expect: ntile int4?
-- ntile(NULL) is NULL.
SELECT ntile(abs(stars)) OVER (ORDER BY stars DESC) FROM review WHERE stars IS NULL OR stars <> 0;

-- name: lag_and_lead()
-- expect: previous text?, next text?, second text?
-- The first row has no predecessor, and the last one no successor.
SELECT
    lag(name) OVER w AS previous, lead(name) OVER w AS next, lag(name, 2) OVER w AS second
FROM author
WINDOW w AS (ORDER BY id);

-- name: lag_with_default()
-- expect: previous text!, next text!, uncertain text?, nullable text?
-- A default that is not NULL replaces the missing row, but not a NULL in an existing row.
SELECT
    lag(name, 1, 'none') OVER w AS previous, lead(name, 1, 'none') OVER w AS next,
    lag(name, 1, nick) OVER w AS uncertain, lag(nick, 1, 'none') OVER w AS nullable
FROM author
WINDOW w AS (ORDER BY id);

-- name: lag_by_nullable_offset()
-- expect: previous text?
-- An offset that is NULL gives NULL, whatever the default.
SELECT lag(title, pages, 'none') OVER (ORDER BY id) AS previous FROM book;

-- name: first_and_last_value()
-- expect: first text!, last text!, first_nick text?
-- The default frame has the row itself.
SELECT
    first_value(name) OVER w AS first, last_value(name) OVER w AS last, first_value(nick) OVER w AS first_nick
FROM author
WINDOW w AS (ORDER BY id);

-- name: nth_value()
-- expect: second text?, first text!
-- The second row of a frame of one row is missing; the first is not.
SELECT nth_value(name, 2) OVER w AS second, nth_value(name, 1) OVER w AS first FROM author WINDOW w AS (ORDER BY id);

-- name: window_aggregates()
-- expect: running int8!, mean numeric!, high int4!, titles _text!, n int8!, pages int8?, joined text!
-- The frame has at least the row itself.
SELECT
    sum(stock) OVER w AS running, avg(stock) OVER w AS mean, max(stock) OVER w AS high,
    array_agg(title) OVER w AS titles,
    count(*) OVER w AS n, sum(pages) OVER w AS pages, string_agg(title, ',') OVER w AS joined
FROM book
WINDOW w AS (PARTITION BY author_id ORDER BY id);

-- name: window_over_all()
-- expect: total int8!, share numeric!, longest int4?, n int8!, any_loaned bool?
-- OVER () is the whole of the rows.
SELECT
    sum(stock) OVER () AS total, stock * 100.0 / (sum(stock) OVER () + 1) AS share,
    max(pages) OVER () AS longest, count(pages) OVER () AS n, bool_or(loaned) OVER () AS any_loaned
FROM book;

-- name: window_deviation()
-- expect: sample numeric?, population numeric!
-- A frame of one row.
SELECT stddev_samp(stock) OVER w AS sample, stddev_pop(stock) OVER w AS population FROM book WINDOW w AS (ORDER BY id);

-- name: frame_before_the_row()
-- expect: first text?, total int8?, n int8!, titles _text?
-- Nothing precedes the first row.
SELECT
    first_value(title) OVER w AS first, sum(stock) OVER w AS total, count(*) OVER w AS n,
    array_agg(title) OVER w AS titles
FROM book
WINDOW w AS (ORDER BY id ROWS BETWEEN 2 PRECEDING AND 1 PRECEDING);

-- name: frame_behind_the_row()
-- expect: last text?, total int8?, n int8!
-- Nothing follows the last row.
SELECT last_value(title) OVER w AS last, sum(stock) OVER w AS total, count(*) OVER w AS n
FROM book
WINDOW w AS (ORDER BY id ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING);

-- name: frame_up_to_the_row_before()
-- expect: total int8?
-- UNBOUNDED does not help the first row.
SELECT sum(stock) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS total FROM book;

-- name: frame_around_the_row()
-- expect: total int8!, first text!, last text!
-- The row, one before it and one after it.
SELECT sum(stock) OVER w AS total, first_value(title) OVER w AS first, last_value(title) OVER w AS last
FROM book
WINDOW w AS (ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING);

-- name: frame_from_the_row()
-- expect: total int8!, itself text!
-- From the row on, and the row alone.
SELECT
    sum(stock) OVER (ORDER BY id RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS total,
    first_value(title) OVER (ORDER BY id ROWS BETWEEN CURRENT ROW AND CURRENT ROW) AS itself
FROM book;

-- name: frame_by_groups()
-- expect: before int8?, around int8!
-- GROUPS count peers.
SELECT
    sum(stock) OVER (ORDER BY author_id GROUPS BETWEEN 1 PRECEDING AND 1 PRECEDING) AS before,
    sum(stock) OVER (ORDER BY author_id GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW) AS around
FROM book;

-- name: frame_by_range()
-- expect: near int8!, below int8?
-- RANGE with offsets: 0 to 10 below, and 5 to 10 below.
SELECT
    sum(stock) OVER (ORDER BY id RANGE BETWEEN 10 PRECEDING AND CURRENT ROW) AS near,
    sum(stock) OVER (ORDER BY id RANGE BETWEEN 10 PRECEDING AND 5 PRECEDING) AS below
FROM book;

-- name: frame_with_parameter(n)
-- expect: running int8!, before int8?
-- params: n int8!
-- An offset is neither NULL nor negative.
SELECT
    sum(stock) OVER (ORDER BY id ROWS BETWEEN :n PRECEDING AND CURRENT ROW) AS running,
    sum(stock) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND :n PRECEDING) AS before
FROM book;

-- name: exclude_current_row()
-- expect: others int8?, first text?, n int8!
-- Without the row itself the frame may be empty.
SELECT sum(stock) OVER w AS others, first_value(title) OVER w AS first, count(*) OVER w AS n
FROM book
WINDOW w AS (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING EXCLUDE CURRENT ROW);

-- name: exclude_group()
-- expect: others int8?
-- The row and its peers.
SELECT sum(stock) OVER (ORDER BY author_id RANGE UNBOUNDED PRECEDING EXCLUDE GROUP) AS others FROM book;

-- name: exclude_ties()
-- expect: total int8!, no_others int8!
-- TIES leaves the row itself in; NO OTHERS leaves all.
SELECT
    sum(stock) OVER (ORDER BY author_id RANGE UNBOUNDED PRECEDING EXCLUDE TIES) AS total,
    sum(stock) OVER (ORDER BY author_id RANGE UNBOUNDED PRECEDING EXCLUDE NO OTHERS) AS no_others
FROM book;

-- name: window_filter()
-- expect: printed int8?, n int8!
-- FILTER may leave nothing of the frame.
SELECT sum(stock) FILTER (WHERE in_print) OVER w AS printed, count(*) FILTER (WHERE in_print) OVER w AS n
FROM book
WINDOW w AS (ORDER BY id DESC);

-- name: window_over_groups()
-- expect: author_id int4?, n int8!, total numeric!, previous int8?, best int8!
-- A window over the groups: each group is a row.
SELECT
    author_id, count(*) AS n, sum(count(*)) OVER () AS total, lag(count(*)) OVER (ORDER BY author_id) AS previous,
    max(sum(stock)) OVER () AS best
FROM book
GROUP BY author_id;

-- name: window_over_an_aggregate_of_no_rows()
-- expect: high int4?, highest int4?, place int8!
-- One row, in which max is NULL.
SELECT max(stock) AS high, max(max(stock)) OVER () AS highest, row_number() OVER () AS place FROM book;

-- name: window_over_outer_join()
-- expect: title text?, first text?, books int8!, places int8!
-- The rows without a book take part.
SELECT
    b.title, first_value(b.title) OVER (ORDER BY a.id) AS first, count(b.id) OVER () AS books,
    row_number() OVER (PARTITION BY b.id) AS places
FROM author AS a LEFT JOIN book AS b ON b.author_id = a.id;

-- name: coalesced_lag()
-- expect: step int4!, change interval?
-- With coalesce, and a difference without it.
SELECT
    stock - coalesce(lag(stock) OVER w, 0) AS step, written_at - lag(written_at) OVER w AS change
FROM (SELECT r.id, r.written_at, b.stock FROM review AS r JOIN book AS b ON b.id = r.book_id) AS t
WINDOW w AS (ORDER BY id);

-- name: inherited_window()
-- expect: before int8?, running int8!
-- A window made of another one, with a frame of its own.
SELECT
    sum(stock) OVER (w ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before, sum(stock) OVER (w) AS running
FROM book
WINDOW w AS (PARTITION BY author_id ORDER BY id);

-- name: latest_per_group()
-- expect: author_id int4?, title text!, place int8!
-- The first of each group, by number.
SELECT t.author_id, t.title, t.place
FROM (
    SELECT author_id, title, row_number() OVER (PARTITION BY author_id ORDER BY added_at DESC) AS place FROM book
) AS t
WHERE t.place = 1;

-- name: user_aggregate_over_window()
-- expect: last text?
-- An aggregate of a user as a window function.
SELECT last_text(name) OVER (ORDER BY id) AS last FROM author;

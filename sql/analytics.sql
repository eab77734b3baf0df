-- Analytics events: written in bulk, read as summaries. Days and weeks are in UTC. A week begins on Monday.

-- name: record_event(user_id, session_id, event_type, event_name, properties)<!
-- Store one event, at the current time. `session_id` is its visit.
INSERT INTO analytics_events (user_id, session_id, event_type, event_name, properties)
VALUES (:user_id, :session_id, :event_type, :event_name, :properties)
RETURNING id, occurred_at;

-- name: load_events(user_ids, session_ids, event_types, event_names, properties, occurred_ats)!
-- Store many events in one statement: the n-th event takes the n-th element of each array. If its time is
-- NULL, the current time is stored.
INSERT INTO analytics_events (user_id, session_id, event_type, event_name, properties, occurred_at)
SELECT
    e.user_id, e.session_id, e.event_type, e.event_name, e.properties, coalesce(e.occurred_at, now())
FROM unnest(
    :user_ids::uuid[],
    :session_ids::uuid[],
    :event_types::text[],
    :event_names::text[],
    :properties::jsonb[],
    :occurred_ats::timestamptz[]
) AS e (user_id, session_id, event_type, event_name, properties, occurred_at);

-- name: import_page_views(user_id, session_id, url, user_agent, ip_address, referer, occurred_at)*!
-- Store page views from a web server's log.
INSERT INTO analytics_events (
    user_id, session_id, event_type, event_name, properties, user_agent, ip_address, referer, occurred_at
)
VALUES (
    :user_id, :session_id, 'page', 'page_view', jsonb_build_object('url', :url::text),
    :user_agent, :ip_address, :referer, :occurred_at
);

-- name: count_events()$
-- Count all events.
SELECT count(*) FROM analytics_events;

-- name: count_events_per_day(first_day, last_day)
-- Count the events of each type on each day from the first to the last. Every type that occurs in this
-- period has a row for every day, with 0 for days without events of that type.
WITH counts AS (
    SELECT (occurred_at AT TIME ZONE 'UTC')::date AS day, event_type, count(*) AS event_count
    FROM analytics_events
    WHERE occurred_at >= :first_day::date::timestamp AT TIME ZONE 'UTC'
      AND occurred_at < (:last_day::date + 1)::timestamp AT TIME ZONE 'UTC'
    GROUP BY 1, 2
),
days AS (
    SELECT :first_day::date + n AS day
    FROM generate_series(0, :last_day::date - :first_day::date) AS n
),
types AS (
    SELECT DISTINCT event_type
    FROM counts
)
SELECT d.day, t.event_type, coalesce(c.event_count, 0) AS event_count
FROM days AS d
CROSS JOIN types AS t
LEFT JOIN counts AS c ON c.day = d.day AND c.event_type = t.event_type
ORDER BY d.day, t.event_type;

-- name: get_funnel(event_names, since, until)
-- Count the users who reached each of these steps in order, between two points in time. `conversion` is
-- the share, from 0 to 1, of the users who took the first step. Each step is matched with the user's
-- earliest event that qualifies, because no other choice could take them further.
WITH RECURSIVE steps AS (
    SELECT step, event_name
    FROM unnest(:event_names::text[]) WITH ORDINALITY AS s (event_name, step)
),
reached AS (
    SELECT e.user_id, s.step, min(e.occurred_at) AS reached_at
    FROM steps AS s
    JOIN analytics_events AS e ON e.event_name = s.event_name
    WHERE s.step = 1
      AND e.user_id IS NOT NULL
      AND e.occurred_at >= :since
      AND e.occurred_at < :until
    GROUP BY e.user_id, s.step
    UNION ALL
    SELECT r.user_id, s.step, e.occurred_at
    FROM reached AS r
    JOIN steps AS s ON s.step = r.step + 1
    CROSS JOIN LATERAL (
        SELECT occurred_at
        FROM analytics_events
        WHERE user_id = r.user_id
          AND event_name = s.event_name
          AND occurred_at > r.reached_at
          AND occurred_at < :until
        ORDER BY occurred_at
        LIMIT 1
    ) AS e
),
counts AS (
    SELECT s.step, s.event_name, count(r.user_id) AS user_count
    FROM steps AS s
    LEFT JOIN reached AS r ON r.step = s.step
    GROUP BY s.step, s.event_name
)
SELECT
    step,
    event_name,
    user_count,
    coalesce(round(user_count::numeric / nullif(first_value(user_count) OVER (ORDER BY step), 0), 4), 0)
        AS conversion
FROM counts
ORDER BY step;

-- name: list_weekly_retention(first_day, weeks)
-- Count how many users of each cohort came back in each following week. A cohort is the users whose first
-- event was in the same week. The first cohort is that of the week of `first_day`. Week 0 is the cohort's
-- first week and `weeks` the last one counted. Weeks that have not begun are omitted. `retention` is a
-- share from 0 to 1.
WITH activity AS (
    SELECT DISTINCT user_id, date_trunc('week', occurred_at AT TIME ZONE 'UTC')::date AS week
    FROM analytics_events
    WHERE user_id IS NOT NULL
),
members AS (
    SELECT user_id, min(week) AS cohort_week
    FROM activity
    GROUP BY user_id
),
cohorts AS (
    SELECT cohort_week, count(*) AS cohort_size
    FROM members
    WHERE cohort_week >= date_trunc('week', :first_day::date::timestamp)::date
    GROUP BY cohort_week
),
returns AS (
    SELECT m.cohort_week, (a.week - m.cohort_week) / 7 AS week_number, count(*) AS user_count
    FROM members AS m
    JOIN activity AS a ON a.user_id = m.user_id
    GROUP BY 1, 2
)
SELECT
    c.cohort_week,
    c.cohort_size,
    w.week_number,
    coalesce(r.user_count, 0) AS user_count,
    round(coalesce(r.user_count, 0)::numeric / c.cohort_size, 4) AS retention
FROM cohorts AS c
CROSS JOIN generate_series(0, :weeks::integer) AS w (week_number)
LEFT JOIN returns AS r ON r.cohort_week = c.cohort_week AND r.week_number = w.week_number
WHERE c.cohort_week + 7 * w.week_number <= (now() AT TIME ZONE 'UTC')::date
ORDER BY c.cohort_week, w.week_number;

-- name: list_events_of_user(user_id, max_rows)
-- List the latest events of a user.
SELECT
    id, user_id, session_id, event_type, event_name, properties, user_agent, ip_address, referer,
    occurred_at
FROM analytics_events
WHERE user_id = :user_id
ORDER BY occurred_at DESC, id
LIMIT :max_rows;

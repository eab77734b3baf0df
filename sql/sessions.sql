-- AI sessions and their log lines. A session is PENDING in the queue, PROCESSING while it runs, and in the
-- end COMPLETED, FAILED or CANCELLED.

-- name: queue_session(user_id, session_type, input_data, metadata)<!
-- record_class: Session
-- Add a session to the queue. claim_session takes it from there.
INSERT INTO ai_sessions (user_id, session_type, input_data, metadata)
VALUES (:user_id, :session_type, :input_data, :metadata)
RETURNING
    id, user_id, session_type, status, input_data, output_data, metadata, tokens_used, cost_usd,
    duration_ms, quality_score, error_message, error_code, retry_count, created_at, updated_at, completed_at;

-- name: claim_session()<!
-- record_class: Session
-- Take the oldest session from the queue. No row if the queue is empty. Concurrent workers get different
-- sessions and do not wait for each other.
UPDATE ai_sessions
SET status = 'PROCESSING'
WHERE id = (
    SELECT id
    FROM ai_sessions
    WHERE status = 'PENDING'
    ORDER BY created_at, id
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
RETURNING
    id, user_id, session_type, status, input_data, output_data, metadata, tokens_used, cost_usd,
    duration_ms, quality_score, error_message, error_code, retry_count, created_at, updated_at, completed_at;

-- name: start_session(user_id, session_type, input_data, metadata)<!
-- record_class: Session
-- Start a session at once, without the queue. `session_type` is pipeline, analysis or generation.
INSERT INTO ai_sessions (user_id, session_type, status, input_data, metadata)
VALUES (:user_id, :session_type, 'PROCESSING', :input_data, :metadata)
RETURNING
    id, user_id, session_type, status, input_data, output_data, metadata, tokens_used, cost_usd,
    duration_ms, quality_score, error_message, error_code, retry_count, created_at, updated_at, completed_at;

-- name: complete_session(session_id, output_data, tokens_used, cost_usd, duration_ms, quality_score)<!
-- record_class: Session
-- Complete a running session. No row if it is unknown or not running, so a session ends only once.
UPDATE ai_sessions
SET status        = 'COMPLETED',
    output_data   = :output_data,
    tokens_used   = :tokens_used,
    cost_usd      = :cost_usd,
    duration_ms   = :duration_ms,
    quality_score = :quality_score,
    completed_at  = now()
WHERE id = :session_id
  AND status = 'PROCESSING'
RETURNING
    id, user_id, session_type, status, input_data, output_data, metadata, tokens_used, cost_usd,
    duration_ms, quality_score, error_message, error_code, retry_count, created_at, updated_at, completed_at;

-- name: fail_session(session_id, error_message, error_code, duration_ms)<!
-- record_class: Session
-- End a running session with an error, and count the failed attempt. No row if it is unknown or not running.
UPDATE ai_sessions
SET status        = 'FAILED',
    error_message = :error_message,
    error_code    = :error_code,
    duration_ms   = :duration_ms,
    retry_count   = retry_count + 1
WHERE id = :session_id
  AND status = 'PROCESSING'
RETURNING
    id, user_id, session_type, status, input_data, output_data, metadata, tokens_used, cost_usd,
    duration_ms, quality_score, error_message, error_code, retry_count, created_at, updated_at, completed_at;

-- name: retry_session(session_id, max_attempts)<!
-- record_class: Session
-- Put a failed session back into the queue. No row if it has not failed, or has reached `max_attempts`.
UPDATE ai_sessions
SET status        = 'PENDING',
    error_message = NULL,
    error_code    = NULL,
    duration_ms   = NULL
WHERE id = :session_id
  AND status = 'FAILED'
  AND retry_count < :max_attempts
RETURNING
    id, user_id, session_type, status, input_data, output_data, metadata, tokens_used, cost_usd,
    duration_ms, quality_score, error_message, error_code, retry_count, created_at, updated_at, completed_at;

-- name: cancel_session(session_id)<!
-- record_class: Session
-- Cancel a session that is pending or running. No row if it is unknown or has ended.
UPDATE ai_sessions
SET status = 'CANCELLED'
WHERE id = :session_id
  AND status IN ('PENDING', 'PROCESSING')
RETURNING
    id, user_id, session_type, status, input_data, output_data, metadata, tokens_used, cost_usd,
    duration_ms, quality_score, error_message, error_code, retry_count, created_at, updated_at, completed_at;

-- name: import_sessions(session_id, user_id, session_type, status, tokens_used, cost_usd, created_at)*!
-- Store sessions with given ids, statuses and times. Existing ids are skipped, so an interrupted import can
-- be run again.
INSERT INTO ai_sessions (id, user_id, session_type, status, tokens_used, cost_usd, created_at)
VALUES (:session_id, :user_id, :session_type, :status, :tokens_used, :cost_usd, :created_at)
ON CONFLICT (id) DO NOTHING;

-- name: get_session_by_id(session_id)^
-- record_class: Session
-- Find one session by id.
SELECT
    id, user_id, session_type, status, input_data, output_data, metadata, tokens_used, cost_usd,
    duration_ms, quality_score, error_message, error_code, retry_count, created_at, updated_at, completed_at
FROM ai_sessions
WHERE id = :session_id;

-- name: list_sessions_of_user(user_id, session_type, max_rows)
-- record_class: Session
-- List the latest sessions of a user, of one type or of all types.
SELECT
    id, user_id, session_type, status, input_data, output_data, metadata, tokens_used, cost_usd,
    duration_ms, quality_score, error_message, error_code, retry_count, created_at, updated_at, completed_at
FROM ai_sessions
WHERE user_id = :user_id
  AND session_type = :session_type  -- if: session_type
ORDER BY created_at DESC, id
LIMIT :max_rows;

-- name: get_session_with_log(session_id)^
-- Find one session, with its log lines in order.
SELECT
    s.id,
    s.user_id,
    s.session_type,
    s.status,
    s.tokens_used,
    s.cost_usd,
    s.duration_ms,
    s.error_message,
    s.error_code,
    s.retry_count,
    s.created_at,
    s.completed_at,
    (
        SELECT coalesce(jsonb_agg(line ORDER BY line.logged_at, line.id), '[]')
        FROM ai_logs AS line
        WHERE line.session_id = s.id
    ) AS log_lines
FROM ai_sessions AS s
WHERE s.id = :session_id;

-- name: count_sessions()$
-- Count all sessions.
SELECT count(*) FROM ai_sessions;

-- name: count_sessions_by_status()
-- Count the sessions of each status. Unused statuses have count 0.
SELECT s.status, count(a.id) AS session_count
FROM unnest(enum_range(NULL::session_status)) AS s (status)
LEFT JOIN ai_sessions AS a ON a.status = s.status
GROUP BY s.status
ORDER BY s.status;

-- name: list_session_cost_per_day(first_day, last_day)
-- Sessions, tokens and cost of each day (UTC) from the first to the last, including days without sessions.
WITH days AS (
    SELECT :first_day::date + n AS day
    FROM generate_series(0, :last_day::date - :first_day::date) AS n
),
costs AS (
    SELECT
        (created_at AT TIME ZONE 'UTC')::date AS day,
        count(*)         AS session_count,
        sum(tokens_used) AS tokens_used,
        sum(cost_usd)    AS cost_usd
    FROM ai_sessions
    WHERE created_at >= :first_day::date::timestamp AT TIME ZONE 'UTC'
      AND created_at < (:last_day::date + 1)::timestamp AT TIME ZONE 'UTC'
    GROUP BY 1
)
SELECT
    d.day,
    coalesce(c.session_count, 0) AS session_count,
    coalesce(c.tokens_used, 0)   AS tokens_used,
    coalesce(c.cost_usd, 0)      AS cost_usd
FROM days AS d
LEFT JOIN costs AS c ON c.day = d.day
ORDER BY d.day;

-- name: append_log_line(session_id, level, message, context)<!
-- record_class: LogLine
-- Add one line to the log of a session. Its time is the current time, not the start of the transaction.
INSERT INTO ai_logs (session_id, level, message, context, logged_at)
VALUES (:session_id, :level, :message, :context, clock_timestamp())
RETURNING
    id, session_id, level, message, context, logged_at, duration_ms, memory_usage_bytes, error_stack,
    error_code;

-- name: append_log_lines(session_id, levels, messages, contexts, logged_ats)!
-- Add many lines to the log of a session: the n-th line takes the n-th element of each array. If its time is
-- NULL, it gets the current time, one microsecond later than the line before it, which keeps the order.
INSERT INTO ai_logs (session_id, level, message, context, logged_at)
SELECT
    :session_id::uuid,
    line.level,
    line.message,
    line.context,
    coalesce(line.logged_at, statement_timestamp() + line.place * interval '1 microsecond')
FROM unnest(:levels::log_level[], :messages::text[], :contexts::jsonb[], :logged_ats::timestamptz[])
    WITH ORDINALITY AS line (level, message, context, logged_at, place);

-- name: list_log_lines(session_id, min_level)
-- record_class: LogLine
-- List the log lines of a session in order, from a minimum level up, or all of them.
SELECT
    id, session_id, level, message, context, logged_at, duration_ms, memory_usage_bytes, error_stack,
    error_code
FROM ai_logs
WHERE session_id = :session_id
  AND level >= :min_level  -- if: min_level
ORDER BY logged_at, id;

-- name: count_log_lines()$
-- Count the log lines of all sessions.
SELECT count(*) FROM ai_logs;

-- name: delete_old_sessions(days)!
-- Delete the sessions that have ended and were created more than `days` days ago, with their logs.
DELETE FROM ai_sessions
WHERE status IN ('COMPLETED', 'FAILED', 'CANCELLED')
  AND created_at < now() - make_interval(days => :days);

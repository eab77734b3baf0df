-- depends: 0005.create-ai-sessions

CREATE TABLE ai_logs (
    id                  uuid        NOT NULL DEFAULT gen_random_uuid(),
    session_id          uuid        NOT NULL,
    level               log_level   NOT NULL,
    message             text        NOT NULL,
    context             jsonb,
    logged_at           timestamptz NOT NULL DEFAULT now(),
    duration_ms         integer,
    memory_usage_bytes  bigint,
    error_stack         text,
    error_code          text,
    CONSTRAINT ai_logs_pkey PRIMARY KEY (id),
    CONSTRAINT ai_logs_session_id_fkey
        FOREIGN KEY (session_id) REFERENCES ai_sessions (id) ON DELETE CASCADE,
    CONSTRAINT ai_logs_duration_ms_check CHECK (duration_ms >= 0),
    CONSTRAINT ai_logs_memory_usage_bytes_check CHECK (memory_usage_bytes >= 0)
);

CREATE INDEX ai_logs_session_id_idx ON ai_logs (session_id);

CREATE INDEX ai_logs_level_idx ON ai_logs (level);

CREATE INDEX ai_logs_logged_at_idx ON ai_logs (logged_at);

COMMENT ON TABLE ai_logs IS 'Log lines of AI sessions: written once, never changed.';

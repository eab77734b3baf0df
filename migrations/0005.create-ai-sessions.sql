-- depends: 0004.create-api-keys

CREATE TABLE ai_sessions (
    id             uuid             NOT NULL DEFAULT gen_random_uuid(),
    user_id        uuid,
    session_type   text             NOT NULL,
    status         session_status   NOT NULL DEFAULT 'PENDING',
    input_data     jsonb,
    output_data    jsonb,
    metadata       jsonb,
    tokens_used    integer,
    cost_usd       numeric(12, 6),
    duration_ms    integer,
    quality_score  double precision,
    error_message  text,
    error_code     text,
    retry_count    integer          NOT NULL DEFAULT 0,
    created_at     timestamptz      NOT NULL DEFAULT now(),
    updated_at     timestamptz      NOT NULL DEFAULT now(),
    completed_at   timestamptz,
    CONSTRAINT ai_sessions_pkey PRIMARY KEY (id),
    -- The cost of a session still counts after its user has been deleted.
    CONSTRAINT ai_sessions_user_id_fkey
        FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE SET NULL,
    CONSTRAINT ai_sessions_session_type_check
        CHECK (session_type IN ('pipeline', 'analysis', 'generation')),
    CONSTRAINT ai_sessions_tokens_used_check CHECK (tokens_used >= 0),
    CONSTRAINT ai_sessions_cost_usd_check CHECK (cost_usd >= 0),
    CONSTRAINT ai_sessions_duration_ms_check CHECK (duration_ms >= 0),
    CONSTRAINT ai_sessions_quality_score_check CHECK (quality_score BETWEEN 0 AND 1),
    CONSTRAINT ai_sessions_retry_count_check CHECK (retry_count >= 0)
);

CREATE INDEX ai_sessions_user_id_idx ON ai_sessions (user_id);

CREATE INDEX ai_sessions_status_idx ON ai_sessions (status);

CREATE INDEX ai_sessions_session_type_idx ON ai_sessions (session_type);

CREATE INDEX ai_sessions_created_at_idx ON ai_sessions (created_at);

CREATE INDEX ai_sessions_user_id_session_type_idx ON ai_sessions (user_id, session_type);

CREATE TRIGGER ai_sessions_set_updated_at
    BEFORE UPDATE ON ai_sessions
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();

COMMENT ON TABLE ai_sessions IS 'One run of an AI job: what went in, what came out, what it cost.';

COMMENT ON COLUMN ai_sessions.quality_score IS 'From 0, useless, to 1, perfect.';

COMMENT ON COLUMN ai_sessions.retry_count IS 'Number of failed attempts so far.';

-- depends: 0011.create-notifications

-- No foreign keys: events arrive in bulk and late, may come from visitors without an account, and stay
-- true after the account is gone. The index on occurred_at follows in 0015.
CREATE TABLE analytics_events (
    id           uuid        NOT NULL DEFAULT gen_random_uuid(),
    user_id      uuid,
    session_id   uuid,
    event_type   text        NOT NULL,
    event_name   text        NOT NULL,
    properties   jsonb,
    user_agent   text,
    ip_address   inet,
    referer      text,
    occurred_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT analytics_events_pkey PRIMARY KEY (id)
);

CREATE INDEX analytics_events_user_id_idx ON analytics_events (user_id);

CREATE INDEX analytics_events_event_type_idx ON analytics_events (event_type);

COMMENT ON TABLE analytics_events IS 'What happened, as it was reported: only ever appended to.';

COMMENT ON COLUMN analytics_events.session_id IS 'The visit during which it happened, not an AI session.';

-- depends: 0011.create-notifications

-- No foreign keys: events arrive in bulk and late, may come from visitors without an account, and are kept
-- after the account is deleted. Migration 0015 adds the index on occurred_at.
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

COMMENT ON TABLE analytics_events IS 'Events as they were reported. Append-only.';

COMMENT ON COLUMN analytics_events.session_id IS 'The visit during which the event happened, not an AI session.';

-- depends: 0010.create-project-collaborators

CREATE TABLE notifications (
    id           uuid              NOT NULL DEFAULT gen_random_uuid(),
    user_id      uuid              NOT NULL,
    type         notification_type NOT NULL,
    title        text              NOT NULL,
    message      text              NOT NULL,
    data         jsonb,
    is_read      boolean           NOT NULL DEFAULT false,
    is_archived  boolean           NOT NULL DEFAULT false,
    channels     text[]            NOT NULL DEFAULT '{}',
    sent_at      timestamptz,
    read_at      timestamptz,
    created_at   timestamptz       NOT NULL DEFAULT now(),
    updated_at   timestamptz       NOT NULL DEFAULT now(),
    CONSTRAINT notifications_pkey PRIMARY KEY (id),
    CONSTRAINT notifications_user_id_fkey
        FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT notifications_channels_check CHECK (channels <@ ARRAY['email', 'push', 'in-app'])
);

CREATE INDEX notifications_user_id_idx ON notifications (user_id);

CREATE INDEX notifications_type_idx ON notifications (type);

CREATE INDEX notifications_is_read_idx ON notifications (is_read);

CREATE INDEX notifications_created_at_idx ON notifications (created_at);

CREATE TRIGGER notifications_set_updated_at
    BEFORE UPDATE ON notifications
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();

COMMENT ON TABLE notifications IS 'Messages from the platform to its users.';

COMMENT ON COLUMN notifications.channels IS 'How it is sent: email, push, in-app.';

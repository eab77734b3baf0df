-- Notifications: send them to one user, to many, or to all collaborators of a project; read and archive them.

-- name: send_notification(user_id, notification_type, title, message, data, channels)<!
-- record_class: Notification
-- Notify one user. `channels` is a list of email, push and in-app.
INSERT INTO notifications (user_id, type, title, message, data, channels)
VALUES (:user_id, :notification_type, :title, :message, :data, :channels)
RETURNING
    id, user_id, type, title, message, data, is_read, is_archived, channels, sent_at, read_at,
    created_at, updated_at;

-- name: send_notifications(user_ids, notification_type, title, message, data, channels)!
-- Send a notification to many users, to each of them once.
INSERT INTO notifications (user_id, type, title, message, data, channels)
SELECT DISTINCT
    receiver.user_id, :notification_type::notification_type, :title::text, :message::text,
    :data::jsonb, :channels::text[]
FROM unnest(:user_ids::uuid[]) AS receiver (user_id);

-- name: notify_collaborators(project_id, notification_type, title, message, data, channels)!
-- Send a notification to every collaborator of a project.
INSERT INTO notifications (user_id, type, title, message, data, channels)
SELECT
    c.user_id, :notification_type::notification_type, :title::text, :message::text,
    :data::jsonb, :channels::text[]
FROM project_collaborators AS c
WHERE c.project_id = :project_id;

-- name: list_notifications_of_user(user_id, only_unread, max_rows)
-- record_class: Notification
-- List a user's latest notifications that are not archived: all of them, or only the unread ones.
SELECT
    id, user_id, type, title, message, data, is_read, is_archived, channels, sent_at, read_at,
    created_at, updated_at
FROM notifications
WHERE user_id = :user_id
  AND NOT is_archived
  AND NOT is_read  -- if: only_unread
ORDER BY created_at DESC, id
LIMIT :max_rows;

-- name: list_unsent_notifications(channel, max_rows)
-- record_class: Notification
-- List a channel's oldest notifications that are still to be sent.
SELECT
    id, user_id, type, title, message, data, is_read, is_archived, channels, sent_at, read_at,
    created_at, updated_at
FROM notifications
WHERE sent_at IS NULL
  AND :channel = ANY (channels)
ORDER BY created_at, id
LIMIT :max_rows;

-- name: count_notifications()$
-- Count the notifications of all users, including archived ones.
SELECT count(*) FROM notifications;

-- name: count_unread_notifications(user_id)$
-- Count a user's unread notifications that are not archived.
SELECT count(*)
FROM notifications
WHERE user_id = :user_id
  AND NOT is_read
  AND NOT is_archived;

-- name: mark_notifications_sent(notification_ids)!
-- Mark these notifications as sent.
UPDATE notifications
SET sent_at = now()
WHERE id = ANY (:notification_ids)
  AND sent_at IS NULL;

-- name: mark_notification_read(notification_id, user_id)<!
-- record_class: Notification
-- Mark one of a user's notifications as read. If it was read before, the first time is kept. No row if the
-- notification belongs to someone else.
UPDATE notifications
SET is_read = true,
    read_at = coalesce(read_at, now())
WHERE id = :notification_id
  AND user_id = :user_id
RETURNING
    id, user_id, type, title, message, data, is_read, is_archived, channels, sent_at, read_at,
    created_at, updated_at;

-- name: mark_all_notifications_read(user_id)!
-- Mark a user's notifications as read. Returns how many were unread.
UPDATE notifications
SET is_read = true,
    read_at = now()
WHERE user_id = :user_id
  AND NOT is_read;

-- name: archive_old_notifications(days)!
-- Archive the notifications that were read and are older than `days` days. Unread ones stay visible.
UPDATE notifications
SET is_archived = true
WHERE is_read
  AND NOT is_archived
  AND created_at < now() - make_interval(days => :days);

"""The queries of notifications.sql."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import psycopg
import pytest

from blueprint.queries import Notification, NotificationType, User, queries
from tests.blueprint.rows import UNKNOWN, Run, new_project, new_user, new_users


def send(run: Run, user: User, title: str = "t", channels: tuple[str, ...] = ("in-app",)) -> Notification:
    notification: Notification = run(
        queries.send_notification,
        user_id=user.id,
        notification_type="SYSTEM_UPDATE",
        title=title,
        message="m",
        data=None,
        channels=list(channels),
    )
    return notification


def age(run: Run, notification: Notification, days: int) -> None:
    run.sql(
        "UPDATE notifications SET created_at = now() - make_interval(days => %s) WHERE id = %s", days, notification.id
    )


def listed(run: Run, user: User, *, only_unread: bool = False, max_rows: int = 10) -> list[Notification]:
    notifications: list[Notification] = run(
        queries.list_notifications_of_user, user_id=user.id, only_unread=only_unread, max_rows=max_rows
    )
    return notifications


def ids(notifications: list[Notification]) -> list[UUID]:
    return [notification.id for notification in notifications]


def test_a_notification_is_unread_at_first(run: Run) -> None:
    ada = new_user(run)
    notification: Notification = run(
        queries.send_notification,
        user_id=ada.id,
        notification_type=NotificationType.PAYMENT_FAILED,
        title="It's late",
        message="Pay %s",
        data={"amount": 1.5},
        channels=["email", "in-app"],
    )
    assert notification == Notification(
        id=notification.id,
        user_id=ada.id,
        type=NotificationType.PAYMENT_FAILED,
        title="It's late",
        message="Pay %s",
        data={"amount": 1.5},
        is_read=False,
        is_archived=False,
        channels=["email", "in-app"],
        sent_at=None,
        read_at=None,
        created_at=run.now(),
        updated_at=run.now(),
    )
    assert listed(run, ada) == [notification]


def test_a_channel_is_one_of_three(run: Run) -> None:
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        send(run, new_user(run), channels=("email", "fax"))
    assert caught.value.diag.constraint_name == "notifications_channels_check"


def test_one_notification_goes_to_many_once_to_each(run: Run) -> None:
    ada, bob, cay = new_users(run, "Ada", "Bob", "Cay")
    message = {"notification_type": "SYSTEM_UPDATE", "title": "t", "message": "it's", "channels": ["push"]}
    sent: int = run(queries.send_notifications, user_ids=[ada.id, bob.id, ada.id], **message, data={"version": [2]})
    assert sent == 2
    for user in (ada, bob):
        (received,) = listed(run, user)
        assert (received.type, received.title, received.message) == ("SYSTEM_UPDATE", "t", "it's")
        assert (received.data, received.channels) == ({"version": [2]}, ["push"])
    assert listed(run, cay) == []
    assert run(queries.send_notifications, user_ids=[], **message, data=None) == 0


def test_the_collaborators_of_a_project_are_told_and_the_owner_is_not(run: Run) -> None:
    ada, bob, cay, dan = new_users(run, "Ada", "Bob", "Cay", "Dan")
    project, other = new_project(run, ada), new_project(run, ada)
    rights = {"can_edit": False, "can_delete": False, "can_share": False}
    for work, user in [(project, bob), (project, cay), (other, dan)]:
        run(queries.add_collaborator, project_id=work.id, user_id=user.id, role="VIEWER", **rights)
    message = {"notification_type": "PROJECT_COMPLETED", "title": "t", "message": "m", "channels": ["email"]}
    assert run(queries.notify_collaborators, project_id=project.id, **message, data={"a": 1}) == 2
    assert run(queries.notify_collaborators, project_id=UNKNOWN, **message, data=None) == 0
    assert [len(listed(run, user)) for user in (ada, bob, cay, dan)] == [0, 1, 1, 0]
    assert listed(run, bob)[0].data == {"a": 1}


def test_the_latest_come_first_and_the_archived_do_not(run: Run) -> None:
    ada, bob = new_users(run, "Ada", "Bob")
    old, new, read, archived = (send(run, ada) for _ in range(4))
    send(run, bob)
    for notification, days in [(old, 9), (new, 1), (read, 5)]:
        age(run, notification, days)
    run(queries.mark_notification_read, notification_id=read.id, user_id=ada.id)
    run.sql("UPDATE notifications SET is_archived = true WHERE id = %s", archived.id)
    assert ids(listed(run, ada)) == [new.id, read.id, old.id]
    assert ids(listed(run, ada, only_unread=True)) == [new.id, old.id]
    assert ids(listed(run, ada, max_rows=1)) == [new.id]
    assert run(queries.count_unread_notifications, user_id=ada.id) == 2
    assert run(queries.count_unread_notifications, user_id=UNKNOWN) == 0
    assert run(queries.count_notifications) == 5


def test_what_has_not_gone_out_is_found_by_channel_and_marked(run: Run) -> None:
    ada = new_user(run)
    assert run(queries.count_notifications) == 0
    old, new = send(run, ada, "old", ("email", "push")), send(run, ada, "new", ("email",))
    age(run, old, 2)
    send(run, ada, "in-app")

    def unsent(channel: str, max_rows: int = 10) -> list[UUID]:
        notifications: list[Notification] = run(queries.list_unsent_notifications, channel=channel, max_rows=max_rows)
        return ids(notifications)

    assert unsent("email") == [old.id, new.id]
    assert unsent("email", max_rows=1) == [old.id]
    assert unsent("push") == [old.id]
    assert run(queries.mark_notifications_sent, notification_ids=[old.id, UNKNOWN]) == 1
    assert run(queries.mark_notifications_sent, notification_ids=[old.id]) == 0
    assert run(queries.mark_notifications_sent, notification_ids=[]) == 0
    assert unsent("email") == [new.id]
    assert {each.title: each.sent_at for each in listed(run, ada)} == {"old": run.now(), "new": None, "in-app": None}


def test_a_user_reads_their_own_and_the_first_time_is_kept(run: Run) -> None:
    ada, bob = new_users(run, "Ada", "Bob")
    notification, other = send(run, ada), send(run, ada)
    assert run(queries.mark_notification_read, notification_id=notification.id, user_id=bob.id) is None
    read: Notification = run(queries.mark_notification_read, notification_id=notification.id, user_id=ada.id)
    assert read == notification.model_copy(update={"is_read": True, "read_at": run.now()})
    yesterday: datetime = run.now() - timedelta(days=1)
    run.sql("UPDATE notifications SET read_at = %s WHERE id = %s", yesterday, notification.id)
    again: Notification = run(queries.mark_notification_read, notification_id=notification.id, user_id=ada.id)
    assert again.read_at == yesterday
    assert ids(listed(run, ada, only_unread=True)) == [other.id]


def test_everything_is_read_at_once(run: Run) -> None:
    ada, bob = new_users(run, "Ada", "Bob")
    first, _, _, other = send(run, ada), send(run, ada), send(run, ada), send(run, bob)
    run(queries.mark_notification_read, notification_id=first.id, user_id=ada.id)
    assert run(queries.mark_all_notifications_read, user_id=ada.id) == 2
    assert run(queries.mark_all_notifications_read, user_id=ada.id) == 0
    assert {(each.is_read, each.read_at) for each in listed(run, ada)} == {(True, run.now())}
    assert listed(run, bob) == [other]


def test_what_was_read_is_archived_when_it_is_old(run: Run) -> None:
    ada = new_user(run)
    old_read, new_read, old_unread = send(run, ada, "old"), send(run, ada, "new"), send(run, ada, "unread")
    for notification in (old_read, new_read):
        run(queries.mark_notification_read, notification_id=notification.id, user_id=ada.id)
    for notification, days in [(old_read, 31), (new_read, 30), (old_unread, 31)]:
        age(run, notification, days)
    assert run(queries.archive_old_notifications, days=30) == 1
    assert run(queries.archive_old_notifications, days=30) == 0
    assert {each.title for each in listed(run, ada)} == {"new", "unread"}

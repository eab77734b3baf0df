"""The queries of api_keys.sql."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from blueprint.queries import ApiKey, User, queries
from tests.blueprint.rows import UNKNOWN, Run, new_user, new_users


def issue(run: Run, owner: User, key_hash: str = "h", expires_at: datetime | None = None) -> ApiKey:
    key: ApiKey = run(
        queries.issue_api_key,
        user_id=owner.id,
        name=f"key {key_hash}",
        key_hash=key_hash,
        permissions=["read"],
        expires_at=expires_at,
    )
    return key


def test_a_new_key_has_the_defaults_of_the_schema(run: Run) -> None:
    ada, tomorrow = new_user(run), run.now() + timedelta(days=1)
    key: ApiKey = run(
        queries.issue_api_key,
        user_id=ada.id,
        name="CI",
        key_hash="h",
        permissions=["read", "wr'ite"],
        expires_at=tomorrow,
    )
    assert key == ApiKey(
        id=key.id,
        user_id=ada.id,
        name="CI",
        permissions=["read", "wr'ite"],
        last_used_at=None,
        usage_count=0,
        rate_limit=1000,
        is_active=True,
        expires_at=tomorrow,
        created_at=run.now(),
        updated_at=run.now(),
    )
    assert run(queries.get_api_key_by_id, api_key_id=key.id) == key
    assert run(queries.get_api_key_by_id, api_key_id=UNKNOWN) is None


def test_a_key_hash_is_unique(run: Run) -> None:
    ada, bob = new_users(run, "Ada", "Bob")
    issue(run, ada)
    with pytest.raises(psycopg.errors.UniqueViolation) as caught:
        issue(run, bob)
    assert caught.value.diag.constraint_name == "api_keys_key_hash_key"


@pytest.mark.parametrize("permissions", [{}, "read", [1], ["read", None], [["read"]]])
def test_permissions_are_a_list_of_strings(run: Run, permissions: Any) -> None:
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        run(
            queries.issue_api_key,
            user_id=new_user(run).id,
            name="k",
            key_hash="h",
            permissions=Jsonb(permissions),
            expires_at=None,
        )
    assert caught.value.diag.constraint_name == "api_keys_permissions_check"


def test_to_verify_a_key_counts_its_use(run: Run) -> None:
    ada = new_user(run)
    issued, other = issue(run, ada, "h", run.now() + timedelta(seconds=1)), issue(run, ada, "other")
    for count in (1, 2):
        verified: ApiKey = run(queries.verify_api_key, key_hash="h")
        assert verified == issued.model_copy(update={"usage_count": count, "last_used_at": run.now()})
    assert run(queries.get_api_key_by_id, api_key_id=issued.id).usage_count == 2
    assert run(queries.get_api_key_by_id, api_key_id=other.id) == other
    assert run(queries.verify_api_key, key_hash="unknown") is None


def test_an_expired_key_does_not_work(run: Run) -> None:
    key = issue(run, new_user(run), "h", run.now())
    assert run(queries.verify_api_key, key_hash="h") is None
    assert run(queries.get_api_key_by_id, api_key_id=key.id).usage_count == 0


def test_a_key_of_a_closed_account_does_not_work(run: Run) -> None:
    ada, bob = new_users(run, "Ada", "Bob")
    issue(run, ada, "ada's")
    issue(run, bob, "bob's")
    run(queries.set_user_active, user_id=ada.id, is_active=False)
    assert run(queries.verify_api_key, key_hash="ada's") is None
    assert run(queries.verify_api_key, key_hash="bob's").user_id == bob.id


def test_only_the_owner_revokes_a_key_and_only_once(run: Run) -> None:
    ada, bob = new_users(run, "Ada", "Bob")
    key, other = issue(run, ada), issue(run, ada, "other")
    assert run(queries.revoke_api_key, api_key_id=key.id, user_id=bob.id) == 0
    assert run(queries.revoke_api_key, api_key_id=key.id, user_id=ada.id) == 1
    assert run(queries.revoke_api_key, api_key_id=key.id, user_id=ada.id) == 0
    assert run(queries.verify_api_key, key_hash="h") is None
    assert run(queries.get_api_key_by_id, api_key_id=other.id).is_active is True


def test_the_keys_of_a_user_come_newest_first(run: Run) -> None:
    ada, bob = new_users(run, "Ada", "Bob")
    old, new = issue(run, ada, "old"), issue(run, ada, "new")
    issue(run, bob, "bob's")
    run.sql("UPDATE api_keys SET created_at = created_at - interval '1 day' WHERE id = %s", old.id)
    listed: list[ApiKey] = run(queries.list_api_keys_of_user, user_id=ada.id)
    assert [key.id for key in listed] == [new.id, old.id]
    assert run(queries.list_api_keys_of_user, user_id=UNKNOWN) == []


def test_all_keys_come_with_their_owners_the_most_used_first(run: Run) -> None:
    ada, bob = new_user(run), new_user(run, "bob@example.com", None)
    assert run(queries.count_api_keys) == 0
    idle, busy, some = issue(run, ada, "idle"), issue(run, bob, "busy"), issue(run, ada, "some")
    for key_hash in ("busy", "busy", "some"):
        run(queries.verify_api_key, key_hash=key_hash)
    run(queries.revoke_api_key, api_key_id=busy.id, user_id=bob.id)
    assert run(queries.count_api_keys) == 3
    listed: list[Any] = run(queries.list_api_keys_with_owner, max_rows=10)
    assert [(row.id, row.owner_name, row.owner_email, row.usage_count, row.is_active) for row in listed] == [
        (busy.id, None, "bob@example.com", 2, False),
        (some.id, "Ada", "ada@example.com", 1, True),
        (idle.id, "Ada", "ada@example.com", 0, True),
    ]
    assert (listed[2].name, listed[2].rate_limit, listed[2].last_used_at) == ("key idle", 1000, None)
    assert run(queries.list_api_keys_with_owner, max_rows=1) == listed[:1]


def test_a_rate_limit_is_set_for_one_key(run: Run) -> None:
    ada = new_user(run)
    key, other = issue(run, ada), issue(run, ada, "other")
    assert run(queries.set_api_key_rate_limit, api_key_id=key.id, rate_limit=0) == 1
    assert run(queries.set_api_key_rate_limit, api_key_id=UNKNOWN, rate_limit=5) == 0
    assert run(queries.get_api_key_by_id, api_key_id=key.id).rate_limit == 0
    assert run(queries.get_api_key_by_id, api_key_id=other.id).rate_limit == 1000


def test_a_rate_limit_is_not_negative(run: Run) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        run(queries.set_api_key_rate_limit, api_key_id=issue(run, new_user(run)).id, rate_limit=-1)


def test_keys_are_deleted_some_days_after_they_expired(run: Run) -> None:
    ada, now = new_user(run), run.now()
    issue(run, ada, "gone", now - timedelta(days=7, seconds=1))
    kept = [
        issue(run, ada, "lately", now - timedelta(days=7)),
        issue(run, ada, "valid", now + timedelta(days=1)),
        issue(run, ada, "for ever"),
    ]
    assert run(queries.delete_expired_api_keys, days=7) == 1
    left: list[ApiKey] = run(queries.list_api_keys_of_user, user_id=ada.id)
    assert {key.id for key in left} == {key.id for key in kept}

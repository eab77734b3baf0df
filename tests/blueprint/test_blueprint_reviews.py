"""The queries of reviews.sql."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from blueprint.queries import Review, Template, User, queries
from tests.blueprint.rows import UNKNOWN, Run, new_template, new_user, new_users, values


def review(run: Run, template: Template, user: User, rating: int = 4, comment: str | None = None) -> Review:
    written: Review = run(
        queries.upsert_review, template_id=template.id, user_id=user.id, rating=rating, comment=comment
    )
    return written


def test_a_review_is_written_then_replaced(run: Run) -> None:
    (ada, bob), template = new_users(run, "Ada", "Bob"), new_template(run)
    written = review(run, template, ada, 5, "Good.")
    assert written == Review(
        id=written.id,
        template_id=template.id,
        user_id=ada.id,
        rating=5,
        comment="Good.",
        is_approved=False,
        created_at=run.now(),
        updated_at=run.now(),
    )
    other = review(run, template, bob, 1)
    run(queries.approve_review, review_id=written.id)
    replaced = review(run, template, ada, 2, None)
    assert replaced == written.model_copy(update={"rating": 2, "comment": None})  # and not approved any more
    assert run(queries.get_review, template_id=template.id, user_id=ada.id) == replaced
    assert run(queries.get_review, template_id=template.id, user_id=bob.id) == other
    assert run(queries.get_review, template_id=UNKNOWN, user_id=ada.id) is None


@pytest.mark.parametrize("rating", [0, 6])
def test_a_rating_is_from_one_to_five(run: Run, rating: int) -> None:
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        review(run, new_template(run), new_user(run), rating)
    assert caught.value.diag.constraint_name == "template_reviews_rating_check"


def test_an_import_can_be_run_again(run: Run) -> None:
    (ada, bob), template, long_ago = new_users(run, "Ada", "Bob"), new_template(run), run.now() - timedelta(days=99)
    rows: list[dict[str, Any]] = [
        {"template_id": template.id, "user_id": user.id, "rating": 3, "comment": None, "created_at": long_ago}
        for user in (ada, bob)
    ]
    assert run(queries.import_reviews, rows[:1]) == 1
    assert run(queries.import_reviews, [{**row, "rating": 1} for row in rows]) == 1
    found: list[Review] = [run(queries.get_review, template_id=template.id, user_id=user.id) for user in (ada, bob)]
    assert [(each.rating, each.is_approved, each.created_at) for each in found] == [
        (3, True, long_ago),
        (1, True, long_ago),
    ]


def test_the_reviews_of_a_template_come_newest_first_with_names(run: Run) -> None:
    ada, bob = new_user(run), new_user(run, "bob@example.com", None)
    template, other = new_template(run, "hero"), new_template(run, "other")
    old, new = review(run, template, ada, 5, "x"), review(run, template, bob, 2)
    review(run, other, ada)
    run.sql("UPDATE template_reviews SET created_at = created_at - interval '1 day' WHERE id = %s", old.id)
    rows: list[Any] = run(queries.list_reviews_of_template, template_id=template.id)
    assert [(row.id, row.author.id, row.author.name, row.rating, row.comment, row.is_approved) for row in rows] == [
        (new.id, bob.id, None, 2, None, False),
        (old.id, ada.id, "Ada", 5, "x", False),
    ]


def test_reviews_are_counted_by_stars_with_the_stars_of_none(run: Run) -> None:
    ada, bob, cay = new_users(run, "Ada", "Bob", "Cay")
    template, other = new_template(run, "hero"), new_template(run, "other")
    assert run(queries.count_reviews) == 0
    for user, rating in [(ada, 5), (bob, 5), (cay, 2)]:
        review(run, template, user, rating)
    review(run, other, ada, 1)
    assert run(queries.count_reviews) == 4
    counts = [(5, 2), (4, 0), (3, 0), (2, 1), (1, 0)]
    rows: list[Any] = run(queries.count_reviews_by_rating, template_id=template.id)
    assert [values(row) for row in rows] == counts


def test_a_review_is_approved_once(run: Run) -> None:
    (ada, bob), template = new_users(run, "Ada", "Bob"), new_template(run)
    written, other = review(run, template, ada), review(run, template, bob)
    approved: Review = run(queries.approve_review, review_id=written.id)
    assert approved == written.model_copy(update={"is_approved": True})
    assert run(queries.approve_review, review_id=written.id) is None
    assert run(queries.approve_review, review_id=UNKNOWN) is None
    assert run(queries.get_review, template_id=template.id, user_id=bob.id) == other


def test_a_review_is_deleted(run: Run) -> None:
    (ada, bob), template, other = new_users(run, "Ada", "Bob"), new_template(run), new_template(run, "other")
    review(run, template, ada)
    kept = [review(run, template, bob), review(run, other, ada)]
    assert run(queries.delete_review, template_id=template.id, user_id=ada.id) == 1
    assert run(queries.delete_review, template_id=template.id, user_id=ada.id) == 0
    assert {review_id for (review_id,) in run.sql("SELECT id FROM template_reviews")} == {each.id for each in kept}

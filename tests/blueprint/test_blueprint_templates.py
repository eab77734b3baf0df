"""The queries of templates.sql."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from blueprint.queries import Project, Template, TemplateCategory, TemplateComplexity, User, queries
from tests.blueprint.rows import UNKNOWN, Run, new_template, new_user, new_users, values


def stored(run: Run, template: Template) -> Template:
    found: Template | None = run(queries.get_template_by_id, template_id=template.id)
    assert found is not None
    return found


def review(run: Run, template: Template, user: User, rating: int, comment: str | None = None) -> None:
    run(queries.upsert_review, template_id=template.id, user_id=user.id, rating=rating, comment=comment)


def set_usage(run: Run, template: Template, usage_count: int) -> None:
    run.sql("UPDATE module_templates SET usage_count = %s WHERE id = %s", usage_count, template.id)


def test_a_new_template_is_its_authors_alone(run: Run) -> None:
    ada = new_user(run)
    template: Template = run(
        queries.create_template,
        author_id=ada.id,
        slug="big-hero",
        name="Big hero",
        description=None,
        category=TemplateCategory.HERO,
        complexity="ADVANCED",
        html="<p>%(x)s :y $1</p>",
        css=None,
        js="f('x')",
        tags=["wide", "a b"],
    )
    assert template == Template(
        id=template.id,
        name="Big hero",
        description=None,
        category=TemplateCategory.HERO,
        complexity=TemplateComplexity.ADVANCED,
        html_content="<p>%(x)s :y $1</p>",
        css_content=None,
        js_content="f('x')",
        tags=["wide", "a b"],
        version="1.0.0",
        usage_count=0,
        rating=None,
        downloads=0,
        is_public=False,
        is_approved=False,
        author_id=ada.id,
        slug="big-hero",
        keywords=[],
        created_at=run.now(),
        updated_at=run.now(),
        published_at=None,
    )


def test_a_slug_is_unique(run: Run) -> None:
    new_template(run, "hero")
    with pytest.raises(psycopg.errors.UniqueViolation) as caught:
        new_template(run, "hero")
    assert caught.value.diag.constraint_name == "module_templates_slug_key"


def test_a_template_is_found_by_id_and_by_slug(run: Run) -> None:
    template, _ = new_template(run, "hero", visible=False), new_template(run, "footer")
    assert stored(run, template) == template
    assert run(queries.get_template_by_slug, slug="hero") == template
    assert run(queries.get_template_by_slug, slug="HERO") is None
    assert run(queries.get_template_by_id, template_id=UNKNOWN) is None


def test_an_import_can_be_run_again(run: Run) -> None:
    ada = new_user(run)
    rows: list[dict[str, Any]] = [
        {
            "template_id": uuid4(),
            "author_id": author_id,
            "slug": f"t{number}",
            "name": f"T{number}",
            "description": "d",
            "category": "FORM",
            "complexity": "MODERATE",
            "html": "<form>",
            "tags": ["x"],
        }
        for number, author_id in enumerate([ada.id, None, None])
    ]
    assert run(queries.import_templates, rows[:2]) == 2
    assert run(queries.import_templates, [{**row, "name": "other"} for row in rows]) == 1
    found: list[Template] = [run(queries.get_template_by_id, template_id=row["template_id"]) for row in rows]
    assert [(t.name, t.author_id, t.slug) for t in found] == [
        ("T0", ada.id, "t0"),
        ("T1", None, "t1"),
        ("other", None, "t2"),
    ]
    assert {(t.is_public, t.is_approved, t.published_at) for t in found} == {(True, True, run.now())}


def test_templates_are_searched_by_words_the_best_hits_first(run: Run) -> None:
    described = new_template(run, "a", name="Alpha", description="For selling bicycles.")
    tagged = new_template(run, "b", name="Beta", tags=["bicycle"], category="FORM")
    named = new_template(run, "c", name="Bicycle shop", complexity="COMPLEX")
    keyed = new_template(run, "d", name="Delta")
    run(queries.update_template, template_id=keyed.id, name="Delta", description=None, tags=[], keywords=["unicycles"])
    approved = new_template(run, "e", name="Bicycle draft", visible=False)
    run(queries.approve_template, template_id=approved.id)
    public = new_template(run, "f", name="Bicycle offer", visible=False)
    run(queries.publish_template, template_id=public.id)
    set_usage(run, tagged, 5)
    set_usage(run, described, 1)

    def search(
        query: str, category: str | None = None, complexity: str | None = None, max_rows: int = 10
    ) -> list[UUID]:
        rows: list[Any] = run(
            queries.search_templates, query=query, category=category, complexity=complexity, max_rows=max_rows
        )
        return [row.id for row in rows]

    assert search("bicycles") == [named.id, tagged.id, described.id]
    assert search("bicycles", max_rows=1) == [named.id]
    assert search("bicycle -shop") == [tagged.id, described.id]
    assert search("shop or alpha") == [described.id, named.id]  # as good as each other, so by use
    assert search('"selling bicycle"') == [described.id]
    assert search("unicycle") == [keyed.id]
    assert search("bicycle", category="FORM") == [tagged.id]
    assert search("bicycle", complexity="COMPLEX") == [named.id]
    assert search("bicycle", category="FORM", complexity="COMPLEX") == []
    assert search("the ' unbalanced \" & | ! :*") == []
    (row,) = run(queries.search_templates, query="shop", max_rows=10)
    assert (row.slug, row.name, row.category, row.complexity, row.rating) == (
        "c",
        "Bicycle shop",
        "HERO",
        "COMPLEX",
        None,
    )
    assert 0 < row.rank <= 1


def test_the_most_used_templates_are_those_of_the_public(run: Run) -> None:
    ada = new_user(run)
    some, most, form = (
        new_template(run, "some", author=ada),
        new_template(run, "most"),
        new_template(run, "form", category="FORM"),
    )
    hidden, approved = new_template(run, "hidden", visible=False), new_template(run, "approved", visible=False)
    run(queries.approve_template, template_id=approved.id)
    for template, usage in [(some, 3), (most, 9), (form, 5), (hidden, 99), (approved, 99)]:
        set_usage(run, template, usage)
    rows: list[Any] = run(queries.list_most_used_templates, category=None, max_rows=10)
    assert [(row.slug, row.usage_count, row.author_id, row.author_name) for row in rows] == [
        ("most", 9, None, None),
        ("form", 5, None, None),
        ("some", 3, ada.id, "Ada"),
    ]
    assert run(queries.list_most_used_templates, category=None, max_rows=2) == rows[:2]
    assert run(queries.list_most_used_templates, category="FORM", max_rows=10) == [rows[1]]
    assert run(queries.list_most_used_templates, category="FOOTER", max_rows=10) == []


def test_an_authors_templates_come_newest_first(run: Run) -> None:
    ada, bob = new_users(run, "Ada", "Bob")
    old, new = new_template(run, "old", author=ada), new_template(run, "new", author=ada, visible=False)
    new_template(run, "bobs", author=bob)
    new_template(run, "nobodys")
    run.sql("UPDATE module_templates SET created_at = created_at - interval '1 day' WHERE id = %s", old.id)
    listed: list[Template] = run(queries.list_templates_of_author, author_id=ada.id)
    assert [template.id for template in listed] == [new.id, old.id]


def test_templates_come_with_their_reviews_nested(run: Run) -> None:
    ada, bob = new_user(run), new_user(run, "bob@example.com", None)
    reviewed, bare, hidden = new_template(run, "hero"), new_template(run, "bare"), new_template(run, "x", visible=False)
    set_usage(run, reviewed, 2)
    review(run, reviewed, ada, 5, 'It\'s "good" \\ %s')
    review(run, reviewed, bob, 2)
    review(run, hidden, bob, 1)
    run(queries.publish_template, template_id=hidden.id)  # not approved
    approved = new_template(run, "approved", visible=False)
    run(queries.approve_template, template_id=approved.id)  # not public
    run.sql("UPDATE template_reviews SET created_at = created_at - interval '1 day' WHERE user_id = %s", ada.id)
    rows: list[Any] = run(queries.list_templates_with_reviews, max_rows=10)
    assert [(row.id, row.usage_count) for row in rows] == [(reviewed.id, 2), (bare.id, 0)]
    newest, oldest = rows[0].reviews
    assert (newest.user_id, newest.user_name, newest.rating, newest.comment) == (bob.id, None, 2, None)
    assert (oldest.user_name, oldest.rating, oldest.comment) == ("Ada", 5, 'It\'s "good" \\ %s')
    assert oldest.is_approved is False
    assert rows[1].reviews == []
    assert run(queries.list_templates_with_reviews, max_rows=1) == rows[:1]
    assert values(run(queries.get_template_with_reviews, template_id=reviewed.id)) == values(rows[0])
    assert len(run(queries.get_template_with_reviews, template_id=hidden.id).reviews) == 1
    assert run(queries.get_template_with_reviews, template_id=UNKNOWN) is None


def test_templates_are_counted_by_category_with_those_of_none(run: Run) -> None:
    assert run(queries.count_templates) == 0
    first, second = new_template(run, "a", category="FORM"), new_template(run, "b", category="FORM")
    new_template(run, "c", category="PRICING")
    public, approved = (new_template(run, slug, category="FORM", visible=False) for slug in ("d", "e"))
    run(queries.publish_template, template_id=public.id)
    run(queries.approve_template, template_id=approved.id)
    run.sql("UPDATE module_templates SET rating = 4 WHERE id = %s", first.id)
    run.sql("UPDATE module_templates SET rating = 2.5 WHERE id = %s", second.id)
    assert run(queries.count_templates) == 5
    rows: list[Any] = run(queries.count_templates_by_category)
    expected: dict[str, tuple[int, Decimal | None]] = {"FORM": (2, Decimal("3.25")), "PRICING": (1, None)}
    assert [values(row) for row in rows] == [
        (category, *expected.get(category, (0, None))) for category in TemplateCategory
    ]


def test_what_is_said_of_a_template_is_replaced(run: Run) -> None:
    template, other = new_template(run, "hero", tags=["old"], visible=False), new_template(run, "other", visible=False)
    said = {"name": "New", "description": "d", "tags": ["new"], "keywords": ["k1", "k2"]}
    changed: Template = run(queries.update_template, template_id=template.id, **said)
    assert changed == template.model_copy(update=said)
    assert stored(run, other) == other
    assert run(queries.update_template, template_id=UNKNOWN, **said) is None


def test_a_new_version_has_to_be_approved_again(run: Run) -> None:
    template, other = new_template(run, "hero"), new_template(run, "other")
    content = {"version": "2.0.0", "html": "<b>", "css": None, "js": "g()"}
    changed: Template = run(queries.update_template_content, template_id=template.id, **content)
    assert changed == template.model_copy(
        update={
            "version": "2.0.0",
            "html_content": "<b>",
            "css_content": None,
            "js_content": "g()",
            "is_public": True,
            "is_approved": False,
        }
    )
    assert stored(run, other).is_approved is True
    assert run(queries.update_template_content, template_id=UNKNOWN, **content) is None


def test_a_template_is_shown_once_public_and_approved(run: Run) -> None:
    template, other = new_template(run, "hero", visible=False), new_template(run, "other", visible=False)
    shown: Any = run(queries.list_most_used_templates, category=None, max_rows=10)
    assert shown == []
    public: Template = run(queries.publish_template, template_id=template.id)
    assert public == template.model_copy(update={"is_public": True, "published_at": run.now()})
    assert run(queries.list_most_used_templates, category=None, max_rows=10) == []
    approved: Template = run(queries.approve_template, template_id=template.id)
    assert approved == public.model_copy(update={"is_approved": True})
    assert [row.id for row in run(queries.list_most_used_templates, category=None, max_rows=10)] == [template.id]
    assert run(queries.approve_template, template_id=template.id) is None
    assert run(queries.approve_template, template_id=UNKNOWN) is None
    assert run(queries.publish_template, template_id=UNKNOWN) is None
    assert stored(run, other) == other


def test_the_time_of_the_first_publication_is_kept(run: Run) -> None:
    template = new_template(run, visible=False)
    run(queries.publish_template, template_id=template.id)
    run.sql("UPDATE module_templates SET published_at = '2020-01-01Z'")
    again: Template = run(queries.publish_template, template_id=template.id)
    assert again.published_at is not None
    assert again.published_at.year == 2020


def test_downloads_are_counted(run: Run) -> None:
    template, other = new_template(run, "hero"), new_template(run, "other")
    assert [run(queries.record_template_download, template_id=template.id) for _ in range(2)] == [1, 1]
    assert run(queries.record_template_download, template_id=UNKNOWN) == 0
    assert [stored(run, each).downloads for each in (template, other)] == [2, 0]


def test_a_locked_template_makes_others_wait(run: Run, worker_database_url: str) -> None:
    # Of both connections, only a committed row is seen; it goes again at the end.
    with psycopg.connect(worker_database_url, autocommit=True) as other:
        (template_id,) = other.execute(
            "INSERT INTO module_templates (name, slug, category, complexity, html_content)"
            " VALUES ('n', 'locked', 'HERO', 'SIMPLE', '') RETURNING id"
        ).fetchone() or (None,)
        try:
            assert run(queries.lock_template, template_id=template_id) == template_id
            with pytest.raises(psycopg.errors.LockNotAvailable):
                other.execute("SELECT id FROM module_templates WHERE id = %s FOR NO KEY UPDATE NOWAIT", [template_id])
            # No stronger than needed: a foreign key to the template does not wait.
            other.execute("SELECT id FROM module_templates WHERE id = %s FOR KEY SHARE NOWAIT", [template_id])
            assert run(queries.lock_template, template_id=UNKNOWN) is None
        finally:
            run.sql("ROLLBACK")
            other.execute("DELETE FROM module_templates WHERE id = %s", [template_id])


def test_a_rating_is_the_average_of_the_reviews(run: Run) -> None:
    ada, bob, cay = new_users(run, "Ada", "Bob", "Cay")
    template, other = new_template(run, "hero"), new_template(run, "other")
    for user, rating in [(ada, 5), (bob, 4), (cay, 4)]:
        review(run, template, user, rating)
    review(run, other, ada, 1)
    rated: Any = run(queries.refresh_template_rating, template_id=template.id)
    assert values(rated) == (template.id, Decimal("4.33"), 3)
    assert [stored(run, each).rating for each in (template, other)] == [Decimal("4.33"), None]
    assert run(queries.refresh_template_rating, template_id=UNKNOWN) is None


def test_without_reviews_there_is_no_rating(run: Run) -> None:
    ada, template = new_user(run), new_template(run)
    review(run, template, ada, 5)
    run(queries.refresh_template_rating, template_id=template.id)
    run(queries.delete_review, template_id=template.id, user_id=ada.id)
    assert values(run(queries.refresh_template_rating, template_id=template.id)) == (template.id, None, 0)
    assert stored(run, template).rating is None


def test_all_ratings_are_refreshed_and_the_changed_ones_counted(run: Run) -> None:
    ada, bob = new_users(run, "Ada", "Bob")
    first, second, stale, right, bare = (new_template(run, slug) for slug in ("a", "b", "c", "d", "e"))
    review(run, first, ada, 5)
    review(run, first, bob, 2)
    review(run, second, ada, 1)
    review(run, right, ada, 3)
    run.sql("UPDATE module_templates SET rating = 3 WHERE id = ANY (%s)", [stale.id, right.id])
    assert run(queries.refresh_all_ratings) == 3
    assert [stored(run, each).rating for each in (first, second, stale, right, bare)] == [
        Decimal("3.50"),
        Decimal("1.00"),
        None,
        Decimal("3.00"),
        None,
    ]
    assert run(queries.refresh_all_ratings) == 0


def test_a_deleted_template_takes_its_reviews_and_leaves_its_projects(run: Run) -> None:
    ada = new_user(run)
    template, other = new_template(run, "hero"), new_template(run, "other")
    project: Project = run(queries.create_project_from_template, user_id=ada.id, template_id=template.id, name="p")
    review(run, template, ada, 5)
    review(run, other, ada, 5)
    assert run(queries.delete_template, template_id=template.id) == 1
    assert run(queries.delete_template, template_id=template.id) == 0
    assert run.sql("SELECT template_id FROM template_reviews") == [(other.id,)]
    left: Project = run(queries.get_project_by_id, project_id=project.id)
    assert (left.template_id, left.output_html) == (None, "<p>hero</p>")

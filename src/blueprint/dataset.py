"""A realistic data set for blueprint, loaded by COPY.

The rows depend only on the sizes, the time at which the data ends, and the seed. They give the queries something to
find: sign-ups that grow for eighteen months, a few users who do most of the work, quiet weekends, users who leave for
good, a funnel from the first page to the published project, and one day on which no events were collected. E-mail and
IP addresses use the domains and networks that RFC 2606, RFC 3849 and RFC 5737 reserve for examples.
"""

from __future__ import annotations

import json
import math
from bisect import bisect, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from itertools import accumulate, product
from random import Random
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from psycopg.sql import SQL, Identifier

from blueprint.demo import words
from blueprint.demo.chance import (
    HISTORY_DAYS,
    Calendar,
    chance,
    draw_between,
    draw_distinct,
    draw_uuid,
    slug,
    stream,
    weighted,
    zipf,
)
from blueprint.demo.rows import (
    ApiKeyRow,
    CollaboratorRow,
    EventRow,
    LogRow,
    NotificationRow,
    ProjectRow,
    ReviewRow,
    SessionRow,
    TemplateRow,
    UserRow,
)

SEED = 1815
NOW = datetime(2026, 11, 2, 15, 30, tzinfo=UTC)
"""The time at which the data ends, by default."""

PASSWORD_HASH = f"scrypt$16384$8$5${'0' * 32}${'0' * 64}"
"""The same for every user. It matches no password. Hashing is slow on purpose: ten thousand passwords would take longer
than everything else. These users cannot sign in. Create users who can with `services.sign_up`."""

Progress = Callable[[str, int, int], None]
"""Called with the name of a table, the number of rows written so far (0 at first), and the number of all its rows."""
_PROGRESS_ROWS = 500
_BUSIEST = 60.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """The number of rows of each table, in the order of loading: a table comes after those that it references.

    Raises ValueError for numbers that do not fit together, for example too few events for the users and projects.
    """

    users: int = 10_000
    module_templates: int = 300
    template_reviews: int = 3_000
    projects: int = 20_000
    project_collaborators: int = 6_000
    api_keys: int = 3_000
    ai_sessions: int = 2_000
    ai_logs: int = 10_000
    notifications: int = 20_000
    analytics_events: int = 200_000

    def __post_init__(self) -> None:
        if min(asdict(self).values()) < 1:
            raise ValueError("every table needs at least one row")
        if self.analytics_events < (needed := 3 * self.users + 2 * self.projects):
            raise ValueError(
                f"analytics_events={self.analytics_events}: at least {needed} are needed for these users and projects"
            )
        if self.ai_logs < self.ai_sessions:
            raise ValueError(f"ai_logs={self.ai_logs}: at least one is needed for each of {self.ai_sessions} sessions")
        # Pairs that already exist are drawn again, which would take forever if few pairs were left.
        if 4 * self.template_reviews > self.module_templates * self.users:
            raise ValueError(f"template_reviews={self.template_reviews}: there are too few users and templates")
        if 12 * self.project_collaborators > self.projects * self.users:
            raise ValueError(f"project_collaborators={self.project_collaborators}: there are too few projects")

    def divided(self, divisor: int) -> Sizes:
        """The same proportions, with the number of rows divided by `divisor`."""
        return Sizes(*(getattr(self, field.name) // divisor for field in fields(self)))


class Table(NamedTuple):
    """A table, its columns, and its rows, which are generated as they are read."""

    name: str
    columns: Sequence[str]
    rows: Iterable[tuple[Any, ...]]


def load(
    conn: Connection[Any], sizes: Sizes, progress: Progress | None = None, *, now: datetime = NOW, seed: int = SEED
) -> dict[str, int]:
    """Write the data set into empty, migrated tables by COPY. Returns the number of rows of each table.

    The caller commits the transaction. Raises psycopg.Error.
    """
    totals = asdict(sizes)
    return {
        table.name: _copy(conn, table, totals[table.name], progress or _ignore)
        for table in Dataset(sizes, now, seed).tables()
    }


def _copy(conn: Connection[Any], table: Table, total: int, report: Progress) -> int:
    statement = SQL("COPY {} ({}) FROM STDIN").format(
        Identifier(table.name), SQL(", ").join(map(Identifier, table.columns))
    )
    report(table.name, 0, total)
    with conn.cursor() as cursor:
        with cursor.copy(statement) as copy:
            for count, row in enumerate(table.rows, 1):
                copy.write_row(row)
                if count % _PROGRESS_ROWS == 0 and count < total:
                    report(table.name, count, total)
        report(table.name, cursor.rowcount, total)
        return cursor.rowcount


def _ignore(_table: str, _done: int, _total: int) -> None:
    """A progress function that does nothing."""


class Dataset:
    """The rows of every table. Each table has its own random generator, so a change to one does not affect others."""

    def __init__(self, sizes: Sizes, now: datetime = NOW, seed: int = SEED) -> None:
        self.sizes = sizes
        self.now = now
        self._seed = seed
        self._calendar = Calendar(now)

    def tables(self) -> list[Table]:
        """All tables in the order of loading. Rows that others refer to are generated here, the others when read."""
        return [
            Table("users", UserRow._fields, self.users),
            Table("module_templates", TemplateRow._fields, self.templates()),
            Table("template_reviews", ReviewRow._fields, self.reviews()),
            Table("projects", ProjectRow._fields, self.projects),
            Table("project_collaborators", CollaboratorRow._fields, self.collaborators),
            Table("api_keys", ApiKeyRow._fields, self.api_keys()),
            Table("ai_sessions", SessionRow._fields, self.sessions),
            Table("ai_logs", LogRow._fields, self.logs()),
            Table("notifications", NotificationRow._fields, self.notifications()),
            Table("analytics_events", EventRow._fields, self.events()),
        ]

    @cached_property
    def users(self) -> list[UserRow]:
        """Users in the order of sign-up. The first one is Ada, an administrator and the busiest user."""
        rng = stream(self._seed, "users")
        moments = sorted(self._calendar.moments(rng, self.sizes.users))
        names = [f"{rng.choice(words.FIRST_NAMES)} {rng.choice(words.LAST_NAMES)}" for _ in moments]
        namesakes: Counter[str] = Counter()
        rows: list[UserRow] = []
        for name, moment, activity in zip(names, moments, self._activity, strict=True):
            namesakes[name] += 1
            rows.append(self._user(rng, name, namesakes[name], moment, activity))
        rows[0] = rows[0]._replace(
            email="ada@example.com",
            name="Ada Lovelace",
            role="ADMIN",
            email_verified=True,
            is_active=True,
            last_login_at=self.now,
            created_at=self._calendar.start,
            updated_at=self.now,
        )
        return rows

    def _user(self, rng: Random, name: str, namesake: int, created_at: datetime, activity: float) -> UserRow:
        # Busy users stay longer. Half of the others leave within days.
        stay = timedelta(days=rng.lognormvariate(1.6 + 1.1 * math.log(activity), 2.2))
        still_here = self.now - (self.now - created_at) * 0.02 * rng.random()
        last_seen = min(created_at + stay, still_here)
        timezone, language = rng.choice(words.PLACES)
        picture = f"https://cdn.example.com/avatars/{rng.getrandbits(40):010x}.webp"
        return UserRow(
            id=draw_uuid(rng),
            email=f"{slug(name, '.')}{namesake if namesake > 1 else ''}@{rng.choice(words.DOMAINS)}",
            name=name if chance(rng, 0.94) else None,
            role=weighted(rng, {"USER": 900, "DEVELOPER": 80, "MODERATOR": 15, "ADMIN": 5}),
            password_hash=PASSWORD_HASH,
            email_verified=chance(rng, 0.91),
            is_active=chance(rng, 0.97),
            avatar=picture if chance(rng, 0.4) else None,
            bio=rng.choice(words.BIOS) if chance(rng, 0.3) else None,
            timezone=timezone,
            language=language,
            last_login_at=last_seen,
            created_at=created_at,
            updated_at=last_seen,
        )

    @cached_property
    def _activity(self) -> list[float]:
        """How busy each user is, from 1: a Pareto distribution, in which a fifth of the users do most of the work."""
        rng = stream(self._seed, "activity")
        return [_BUSIEST, *(min(rng.paretovariate(1.25), _BUSIEST) for _ in range(self.sizes.users - 1))]

    @cached_property
    def _summed_activity(self) -> list[float]:
        return list(accumulate(self._activity))

    @cached_property
    def _sign_ups(self) -> list[datetime]:
        return [user.created_at for user in self.users]

    def _someone(self, rng: Random, moment: datetime) -> UserRow:
        """A random user who already had an account at that time. Busy users are drawn more often."""
        count = max(bisect_right(self._sign_ups, moment), 1)
        summed = self._summed_activity
        return self.users[bisect(summed, rng.random() * summed[count - 1], 0, count - 1)]

    @cached_property
    def _template_births(self) -> list[tuple[UUID, datetime]]:
        """The id and the creation time of each template, evenly over the first four fifths of the history."""
        rng = stream(self._seed, "template births")
        pause = timedelta(days=HISTORY_DAYS * 0.8) / self.sizes.module_templates
        first = self._calendar.start + timedelta(hours=1)
        return [(draw_uuid(rng), first + pause * (n + rng.random())) for n in range(self.sizes.module_templates)]

    def templates(self) -> Iterator[TemplateRow]:
        """Templates in the order of creation. `usage_count` is the number of projects that were created from it."""
        rng = stream(self._seed, "module_templates")
        uses = Counter(project.template_id for project in self.projects)
        names = [*product(words.STYLES, words.CATEGORIES)]
        rng.shuffle(names)
        for number, (template_id, created_at) in enumerate(self._template_births):
            edition, place = divmod(number, len(names))
            style, category = names[place]
            name = f"{style} {category.title()}" + (f" {edition + 1}" if edition else "")
            what, tags = words.CATEGORIES[category]
            used = uses[template_id] > 0
            is_public = used or chance(rng, 0.5)
            yield TemplateRow(
                id=template_id,
                name=name,
                description=f"{what} {rng.choice(words.FEATURES)}.",
                category=category,
                complexity=weighted(rng, {"SIMPLE": 40, "MODERATE": 35, "COMPLEX": 18, "ADVANCED": 7}),
                html_content=f'<section class="{slug(name)}"><h2>{{{{ title }}}}</h2>{{{{ content }}}}</section>',
                css_content=f".{slug(name)} {{ padding: {rng.randint(1, 6)}rem; color: var(--ink); }}",
                tags=[*rng.sample(tags, 2), rng.choice(words.TAGS)],
                version=f"{rng.randint(1, 3)}.{rng.randint(0, 9)}.{rng.randint(0, 9)}",
                usage_count=uses[template_id],
                downloads=int(uses[template_id] * rng.uniform(1.2, 4)),
                is_public=is_public,
                is_approved=used or (is_public and chance(rng, 0.8)),
                author_id=self._someone(rng, created_at).id,
                slug=slug(name),
                keywords=[*tags],
                created_at=created_at,
                updated_at=created_at,
                published_at=created_at if is_public else None,
            )

    def reviews(self) -> Iterator[ReviewRow]:
        """Reviews: at most one per user and template, mostly of popular templates, and mostly positive."""
        rng = stream(self._seed, "template_reviews")
        births = self._template_births
        quality = [rng.triangular(2.6, 5, 4.6) for _ in births]
        popularity = zipf(len(births), 0.7)

        def pair() -> tuple[int, UserRow]:
            return rng.choices(range(len(births)), cum_weights=popularity)[0], self._someone(rng, self.now)

        for place, user in draw_distinct(pair, self.sizes.template_reviews):
            template_id, published_at = births[place]
            rating = min(max(round(rng.gauss(quality[place], 0.9)), 1), 5)
            written_at = draw_between(rng, max(published_at, user.created_at), self.now)
            yield ReviewRow(
                id=draw_uuid(rng),
                template_id=template_id,
                user_id=user.id,
                rating=rating,
                comment=rng.choice(words.COMMENTS[rating]) if chance(rng, 0.55) else None,
                is_approved=chance(rng, 0.85),
                created_at=written_at,
                updated_at=written_at,
            )

    @cached_property
    def projects(self) -> list[ProjectRow]:
        """Projects in the order of creation. A few owners have many of them."""
        rng = stream(self._seed, "projects")
        popularity = zipf(self.sizes.module_templates, 0.9)
        rows = [self._project(rng, popularity) for _ in range(self.sizes.projects)]
        return sorted(rows, key=lambda row: row.created_at)

    def _project(self, rng: Random, popularity: Sequence[float]) -> ProjectRow:
        owner = self._someone(rng, self.now)
        created_at = draw_between(rng, owner.created_at + timedelta(minutes=2), owner.last_login_at)
        finished_at = created_at + timedelta(days=rng.lognormvariate(0.7, 1.2))
        template_id, published_at = rng.choices(self._template_births, cum_weights=popularity)[0]
        client = f"{rng.choice(words.ADJECTIVES)} {rng.choice(words.TRADES)}"
        kind, tags = rng.choice(words.KINDS)
        status = weighted(rng, words.PROJECT_STATUSES) if finished_at < self.now else "DRAFT"
        built, live = status in words.BUILT, status == "PUBLISHED"
        look = {"theme": rng.choice(("light", "dark", "auto")), "font": rng.choice(words.FONTS)}
        return ProjectRow(
            id=draw_uuid(rng),
            name=f"{client} {kind}",
            description=f"{kind.capitalize()} for {client}, {rng.choice(words.WISHES)}.",
            user_id=owner.id,
            template_id=template_id if published_at < created_at and chance(rng, 0.8) else None,
            settings=json.dumps({**look, "breakpoints": [480, 768, rng.choice((1024, 1200, 1440))]}),
            metadata=json.dumps({"source": rng.choice(words.SOURCES), "pages": rng.randint(1, 12)}),
            tags=[*tags, rng.choice(words.TAGS)],
            status=status,
            progress=100 if built else rng.randint(0, 95),
            is_public=live,
            deployment_url=f"https://{slug(client)}-{rng.getrandbits(20):05x}.example.net" if live else None,
            build_time_ms=int(rng.lognormvariate(8.3, 0.6)) if built else None,
            bundle_size_bytes=int(rng.lognormvariate(12.2, 0.7)) if built else None,
            lighthouse_score=min(int(rng.triangular(55, 101, 94)), 100) if built else None,
            created_at=created_at,
            updated_at=finished_at if finished_at < self.now else created_at,
            published_at=finished_at if live else None,
        )

    @cached_property
    def collaborators(self) -> list[CollaboratorRow]:
        """Collaborators: each once per project, and never its owner. A third of the projects have collaborators."""
        rng = stream(self._seed, "project_collaborators")
        shared = rng.sample(self.projects, math.ceil(len(self.projects) / 3))

        def pair() -> tuple[int, UserRow]:
            while True:
                place, user = rng.randrange(len(shared)), self._someone(rng, self.now)
                if user.id != shared[place].user_id:
                    return place, user

        pairs = draw_distinct(pair, self.sizes.project_collaborators)
        return [self._collaborator(rng, shared[place], user) for place, user in pairs]

    def _collaborator(self, rng: Random, project: ProjectRow, user: UserRow) -> CollaboratorRow:
        role = weighted(rng, {"VIEWER": 50, "EDITOR": 40, "ADMIN": 10})
        joined_at = draw_between(rng, max(project.created_at, user.created_at), self.now)
        return CollaboratorRow(
            id=draw_uuid(rng),
            project_id=project.id,
            user_id=user.id,
            role=role,
            can_edit=role != "VIEWER" or chance(rng, 0.1),
            can_delete=role == "ADMIN",
            can_share=role == "ADMIN",
            created_at=joined_at,
            updated_at=joined_at,
        )

    def api_keys(self) -> Iterator[ApiKeyRow]:
        """API keys. A third of them were never used."""
        rng = stream(self._seed, "api_keys")
        for _ in range(self.sizes.api_keys):
            owner = self._someone(rng, self.now)
            created_at = draw_between(rng, owner.created_at, self.now)
            used_at = draw_between(rng, created_at, self.now) if chance(rng, 0.67) else None
            yield ApiKeyRow(
                id=draw_uuid(rng),
                user_id=owner.id,
                name=rng.choice(words.KEY_NAMES),
                key_hash=rng.randbytes(32).hex(),
                permissions=json.dumps(words.PERMISSIONS[: rng.randint(1, len(words.PERMISSIONS))]),
                last_used_at=used_at,
                usage_count=int(rng.lognormvariate(5, 2)) + 1 if used_at else 0,
                rate_limit=weighted(rng, {1000: 80, 5000: 15, 100: 5}),
                is_active=chance(rng, 0.9),
                expires_at=created_at + timedelta(days=365) if chance(rng, 0.5) else None,
                created_at=created_at,
                updated_at=used_at or created_at,
            )

    @cached_property
    def sessions(self) -> list[SessionRow]:
        """AI sessions in the order of creation. About nine in ten succeed."""
        rng = stream(self._seed, "ai_sessions")
        return [self._session(rng, moment) for moment in sorted(self._calendar.moments(rng, self.sizes.ai_sessions))]

    def _session(self, rng: Random, created_at: datetime) -> SessionRow:
        # Recent sessions may still be pending or running.
        is_young = created_at > self.now - timedelta(hours=6)
        status = weighted(rng, words.YOUNG_SESSION_STATUSES if is_young else words.SESSION_STATUSES)
        done, failed = status == "COMPLETED", status == "FAILED"
        error_code, error_message = rng.choice(words.FAILURES)
        tokens = int(rng.lognormvariate(8, 0.9))
        duration_ms = int(tokens * rng.uniform(2, 6)) if done or failed else None
        ended_at = min(created_at + timedelta(milliseconds=duration_ms or 0), self.now)
        return SessionRow(
            id=draw_uuid(rng),
            user_id=self._someone(rng, created_at).id,
            session_type=weighted(rng, {"pipeline": 30, "analysis": 25, "generation": 45}),
            status=status,
            input_data=json.dumps({"prompt": rng.choice(words.PROMPTS), "temperature": rng.choice((0, 0.2, 0.7))}),
            output_data=json.dumps({"modules": rng.randint(1, 9), "warnings": rng.randint(0, 2)}) if done else None,
            tokens_used=tokens if done else None,
            cost_usd=Decimal(tokens * 12) / 1_000_000 if done else None,
            duration_ms=duration_ms,
            quality_score=round(rng.betavariate(9, 2), 3) if done else None,
            error_message=error_message if failed else None,
            error_code=error_code if failed else None,
            retry_count=rng.randint(1, 3) if failed else 0,
            created_at=created_at,
            updated_at=ended_at,
            completed_at=ended_at if done else None,
        )

    def logs(self) -> Iterator[LogRow]:
        """Log lines: at least one for each session. The last line of a failed session is its error."""
        rng = stream(self._seed, "ai_logs")
        spare = self.sizes.ai_logs - self.sizes.ai_sessions
        more = Counter(rng.choices(range(self.sizes.ai_sessions), k=spare))
        for number, session in enumerate(self.sessions):
            count = more[number] + 1
            pause = (session.updated_at - session.created_at) / count
            for place in range(count):
                failed = session.status == "FAILED" and place == count - 1
                level, message = words.LOG_LINES[place % len(words.LOG_LINES)]
                yield LogRow(
                    id=draw_uuid(rng),
                    session_id=session.id,
                    level="ERROR" if failed else level,
                    message=f"session failed: {session.error_message}" if failed else message,
                    context=json.dumps({"step": place + 1, "memory_mb": rng.randint(80, 900)}),
                    logged_at=session.created_at + pause * (place + 1),
                    error_code=session.error_code if failed else None,
                )

    def notifications(self) -> Iterator[NotificationRow]:
        """Notifications: about projects and invitations to the users concerned, about everything else to anyone."""
        rng = stream(self._seed, "notifications")
        for _ in range(self.sizes.notifications):
            kind = weighted(rng, words.NOTIFICATION_TYPES)
            receiver, data, sent_at = self._occasion(rng, kind)
            is_read = chance(rng, 0.72)
            read_at = draw_between(rng, sent_at, self.now) if is_read else None
            title, message = words.MESSAGES[kind]
            yield NotificationRow(
                id=draw_uuid(rng),
                user_id=receiver,
                type=kind,
                title=title,
                message=message,
                data=json.dumps(data),
                is_read=is_read,
                is_archived=is_read and sent_at < self.now - timedelta(days=90),
                channels=rng.choice((["in-app"], ["in-app", "email"], ["in-app", "email", "push"])),
                sent_at=sent_at,
                read_at=read_at,
                created_at=sent_at,
                updated_at=read_at or sent_at,
            )

    def _occasion(self, rng: Random, kind: str) -> tuple[UUID, dict[str, Any], datetime]:
        """Who is notified, with what data, and when."""
        if kind == "PROJECT_COMPLETED":
            project = rng.choice(self.projects)
            return project.user_id, {"project_id": str(project.id)}, project.updated_at
        if kind == "COLLABORATION_INVITE":
            invited = rng.choice(self.collaborators)
            return invited.user_id, {"project_id": str(invited.project_id), "role": invited.role}, invited.created_at
        user = self._someone(rng, self.now)
        return user.id, {"language": user.language}, draw_between(rng, user.created_at, self.now)

    def events(self) -> Iterator[EventRow]:
        """Events in the order of time, without any on the day of the outage.

        They are the first page view and the sign-up of every user, the creation and publication of every project, and
        the page views of visitors who leave again. The rest are visits of users.
        """
        rng = stream(self._seed, "analytics_events")
        days = self._milestones(rng)
        spare = self.sizes.analytics_events - sum(map(len, days.values()))
        for day, share in self._calendar.shares(spare):
            events = days[day]
            full = len(events) + share
            while len(events) < full:
                events += self._visit(rng, day)
            yield from sorted(events[:full], key=lambda event: event.occurred_at)

    def _milestones(self, rng: Random) -> defaultdict[date, list[EventRow]]:
        """The events that follow from other tables, and those of visitors who leave again, by day."""
        trails: list[list[EventRow]] = []
        for user in self.users:
            arrived_at = max(user.created_at - timedelta(seconds=rng.randint(20, 900)), self._calendar.start)
            steps = [words.LANDING, words.SIGN_UP]
            trails.append(_trail(rng, user.id, steps, [arrived_at, user.created_at]))
        for project in self.projects:
            about = {"project_id": str(project.id)}
            created = "project", "project_created", about
            trails.append(_trail(rng, project.user_id, [created], [project.created_at]))
            if project.published_at is not None:
                published = "project", "project_published", about
                trails.append(_trail(rng, project.user_id, [published], [project.published_at]))
        # Their ids are visitors' ids. Only those who sign up have an account.
        arrivals = self._calendar.moments(rng, math.ceil(self.sizes.users * 0.8))
        trails += [_trail(rng, draw_uuid(rng), [words.LANDING], [moment]) for moment in arrivals]
        days: defaultdict[date, list[EventRow]] = defaultdict(list)
        for event in (event for trail in trails for event in trail):
            if event.occurred_at.date() != self._calendar.outage:
                days[event.occurred_at.date()].append(event)
        return days

    def _visit(self, rng: Random, day: date) -> list[EventRow]:
        """A visit of a user who has not left yet, or sometimes of an anonymous visitor."""
        begin, end = self._calendar.moment(rng, day), self._calendar.end(day)
        drawn = (self._someone(rng, begin) for _ in range(20))
        user = next((user for user in drawn if user.created_at <= begin <= user.last_login_at), None)
        if user is None or chance(rng, 0.08):
            user_id, first, possible = None, words.LANDING, words.VISITOR_STEPS
        else:
            user_id, first, possible = user.id, words.SIGN_IN, words.USER_STEPS
        steps = [first, *rng.choices(possible, k=min(int(rng.expovariate(0.25)), 30))]
        times = [min(begin + timedelta(seconds=45 * n + 40 * rng.random()), end) for n in range(len(steps))]
        return _trail(rng, user_id, steps, times)


def _trail(rng: Random, user_id: UUID | None, steps: Sequence[words.Step], times: Sequence[datetime]) -> list[EventRow]:
    """The events of one visit: one browser, one address, and a referer for the first event."""
    visit, agent = draw_uuid(rng), rng.choice(words.AGENTS)
    address = f"{rng.choice(words.NETWORKS)}{rng.randint(1, 254)}"
    referers = [rng.choice(words.REFERERS), *[None] * (len(steps) - 1)]
    return [
        EventRow(draw_uuid(rng), user_id, visit, kind, name, json.dumps(properties), agent, address, referer, moment)
        for (kind, name, properties), moment, referer in zip(steps, times, referers, strict=True)
    ]

"""The rows of the data set: a named tuple for each table, with the columns that COPY writes.

jsonb columns are JSON text here. The other columns get their defaults.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID


class UserRow(NamedTuple):
    """A row of users."""

    id: UUID
    email: str
    name: str | None
    role: str
    password_hash: str
    email_verified: bool
    is_active: bool
    avatar: str | None
    bio: str | None
    timezone: str
    language: str
    last_login_at: datetime
    created_at: datetime
    updated_at: datetime


class TemplateRow(NamedTuple):
    """A row of module_templates. The rating is set by refresh_all_ratings."""

    id: UUID
    name: str
    description: str
    category: str
    complexity: str
    html_content: str
    css_content: str
    tags: list[str]
    version: str
    usage_count: int
    downloads: int
    is_public: bool
    is_approved: bool
    author_id: UUID
    slug: str
    keywords: list[str]
    created_at: datetime
    updated_at: datetime
    published_at: datetime | None


class ReviewRow(NamedTuple):
    """A row of template_reviews."""

    id: UUID
    template_id: UUID
    user_id: UUID
    rating: int
    comment: str | None
    is_approved: bool
    created_at: datetime
    updated_at: datetime


class ProjectRow(NamedTuple):
    """A row of projects."""

    id: UUID
    name: str
    description: str
    user_id: UUID
    template_id: UUID | None
    settings: str
    metadata: str
    tags: list[str]
    status: str
    progress: int
    is_public: bool
    deployment_url: str | None
    build_time_ms: int | None
    bundle_size_bytes: int | None
    lighthouse_score: int | None
    created_at: datetime
    updated_at: datetime
    published_at: datetime | None


class CollaboratorRow(NamedTuple):
    """A row of project_collaborators."""

    id: UUID
    project_id: UUID
    user_id: UUID
    role: str
    can_edit: bool
    can_delete: bool
    can_share: bool
    created_at: datetime
    updated_at: datetime


class ApiKeyRow(NamedTuple):
    """A row of api_keys."""

    id: UUID
    user_id: UUID
    name: str
    key_hash: str
    permissions: str
    last_used_at: datetime | None
    usage_count: int
    rate_limit: int
    is_active: bool
    expires_at: datetime | None
    created_at: datetime
    updated_at: datetime


class SessionRow(NamedTuple):
    """A row of ai_sessions."""

    id: UUID
    user_id: UUID
    session_type: str
    status: str
    input_data: str
    output_data: str | None
    tokens_used: int | None
    cost_usd: Decimal | None
    duration_ms: int | None
    quality_score: float | None
    error_message: str | None
    error_code: str | None
    retry_count: int
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None


class LogRow(NamedTuple):
    """A row of ai_logs."""

    id: UUID
    session_id: UUID
    level: str
    message: str
    context: str
    logged_at: datetime
    error_code: str | None


class NotificationRow(NamedTuple):
    """A row of notifications."""

    id: UUID
    user_id: UUID
    type: str
    title: str
    message: str
    data: str
    is_read: bool
    is_archived: bool
    channels: list[str]
    sent_at: datetime
    read_at: datetime | None
    created_at: datetime
    updated_at: datetime


class EventRow(NamedTuple):
    """A row of analytics_events. When a visitor signs up, the visitor's id becomes the id of the account."""

    id: UUID
    user_id: UUID | None
    session_id: UUID
    event_type: str
    event_name: str
    properties: str
    user_agent: str
    ip_address: str
    referer: str | None
    occurred_at: datetime

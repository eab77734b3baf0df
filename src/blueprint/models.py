"""The rows that queries name as their `record_class`, and PostgreSQL's enumerations in them."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeAlias
from uuid import UUID

from pydantic import BaseModel, ConfigDict

Json: TypeAlias = Any
"""Any JSON value; None also where the column is NULL."""


class UserRole(StrEnum):
    USER = "USER"
    ADMIN = "ADMIN"
    DEVELOPER = "DEVELOPER"
    MODERATOR = "MODERATOR"


class SessionStatus(StrEnum):
    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class LogLevel(StrEnum):
    DEBUG = "DEBUG"
    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"
    FATAL = "FATAL"


class TemplateCategory(StrEnum):
    HEADER = "HEADER"
    HERO = "HERO"
    CONTENT = "CONTENT"
    FOOTER = "FOOTER"
    FORM = "FORM"
    GALLERY = "GALLERY"
    TESTIMONIAL = "TESTIMONIAL"
    PRICING = "PRICING"
    CONTACT = "CONTACT"
    NAVIGATION = "NAVIGATION"


class TemplateComplexity(StrEnum):
    SIMPLE = "SIMPLE"
    MODERATE = "MODERATE"
    COMPLEX = "COMPLEX"
    ADVANCED = "ADVANCED"


class ProjectStatus(StrEnum):
    DRAFT = "DRAFT"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    PUBLISHED = "PUBLISHED"
    ARCHIVED = "ARCHIVED"
    FAILED = "FAILED"


class CollaboratorRole(StrEnum):
    VIEWER = "VIEWER"
    EDITOR = "EDITOR"
    ADMIN = "ADMIN"


class NotificationType(StrEnum):
    PROJECT_COMPLETED = "PROJECT_COMPLETED"
    TEMPLATE_APPROVED = "TEMPLATE_APPROVED"
    COLLABORATION_INVITE = "COLLABORATION_INVITE"
    SYSTEM_UPDATE = "SYSTEM_UPDATE"
    SECURITY_ALERT = "SECURITY_ALERT"
    PAYMENT_SUCCESS = "PAYMENT_SUCCESS"
    PAYMENT_FAILED = "PAYMENT_FAILED"


class Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class User(Row):
    id: UUID
    email: str
    name: str | None
    role: UserRole
    email_verified: bool
    is_active: bool
    avatar: str | None
    bio: str | None
    timezone: str | None
    language: str
    last_login_at: datetime | None
    login_attempts: int
    locked_until: datetime | None
    created_at: datetime
    updated_at: datetime


class Credentials(Row):
    id: UUID
    email: str
    password_hash: str
    is_active: bool
    login_attempts: int
    locked_until: datetime | None


class ApiKey(Row):
    id: UUID
    user_id: UUID
    name: str
    permissions: list[str]
    last_used_at: datetime | None
    usage_count: int
    rate_limit: int
    is_active: bool
    expires_at: datetime | None
    created_at: datetime
    updated_at: datetime


class Template(Row):
    id: UUID
    name: str
    description: str | None
    category: TemplateCategory
    complexity: TemplateComplexity
    html_content: str
    css_content: str | None
    js_content: str | None
    tags: list[str]
    version: str
    usage_count: int
    rating: Decimal | None
    downloads: int
    is_public: bool
    is_approved: bool
    author_id: UUID | None
    slug: str
    keywords: list[str]
    created_at: datetime
    updated_at: datetime
    published_at: datetime | None


class Review(Row):
    id: UUID
    template_id: UUID
    user_id: UUID
    rating: int
    comment: str | None
    is_approved: bool
    created_at: datetime
    updated_at: datetime


class Project(Row):
    id: UUID
    name: str
    description: str | None
    user_id: UUID
    template_id: UUID | None
    settings: dict[str, Any]
    design_url: str | None
    output_html: str | None
    output_css: str | None
    output_js: str | None
    metadata: Json
    tags: list[str]
    status: ProjectStatus
    progress: int
    is_public: bool
    deployment_url: str | None
    preview_url: str | None
    build_time_ms: int | None
    bundle_size_bytes: int | None
    lighthouse_score: int | None
    created_at: datetime
    updated_at: datetime
    published_at: datetime | None


class Collaborator(Row):
    id: UUID
    project_id: UUID
    user_id: UUID
    role: CollaboratorRole
    can_edit: bool
    can_delete: bool
    can_share: bool
    created_at: datetime
    updated_at: datetime


class Session(Row):
    id: UUID
    user_id: UUID | None
    session_type: str
    status: SessionStatus
    input_data: Json
    output_data: Json
    metadata: Json
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


class LogLine(Row):
    id: UUID
    session_id: UUID
    level: LogLevel
    message: str
    context: Json
    logged_at: datetime
    duration_ms: int | None
    memory_usage_bytes: int | None
    error_stack: str | None
    error_code: str | None


class Notification(Row):
    id: UUID
    user_id: UUID
    type: NotificationType
    title: str
    message: str
    data: Json
    is_read: bool
    is_archived: bool
    channels: list[str]
    sent_at: datetime | None
    read_at: datetime | None
    created_at: datetime
    updated_at: datetime

-- The enumerations of the data model. Labels sort in the order in which they are listed. log_level and
-- template_complexity are compared with < and >=, so insert a new label of theirs at its proper position.

CREATE TYPE user_role AS ENUM ('USER', 'ADMIN', 'DEVELOPER', 'MODERATOR');

CREATE TYPE session_status AS ENUM ('PENDING', 'PROCESSING', 'COMPLETED', 'FAILED', 'CANCELLED');

CREATE TYPE log_level AS ENUM ('DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL');

CREATE TYPE template_category AS ENUM (
    'HEADER',
    'HERO',
    'CONTENT',
    'FOOTER',
    'FORM',
    'GALLERY',
    'TESTIMONIAL',
    'PRICING',
    'CONTACT',
    'NAVIGATION'
);

CREATE TYPE template_complexity AS ENUM ('SIMPLE', 'MODERATE', 'COMPLEX', 'ADVANCED');

CREATE TYPE project_status AS ENUM (
    'DRAFT',
    'PROCESSING',
    'COMPLETED',
    'PUBLISHED',
    'ARCHIVED',
    'FAILED'
);

CREATE TYPE collaborator_role AS ENUM ('VIEWER', 'EDITOR', 'ADMIN');

CREATE TYPE notification_type AS ENUM (
    'PROJECT_COMPLETED',
    'TEMPLATE_APPROVED',
    'COLLABORATION_INVITE',
    'SYSTEM_UPDATE',
    'SECURITY_ALERT',
    'PAYMENT_SUCCESS',
    'PAYMENT_FAILED'
);

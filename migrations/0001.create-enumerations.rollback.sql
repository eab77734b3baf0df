DROP TYPE notification_type;
DROP TYPE collaborator_role;
DROP TYPE project_status;
DROP TYPE template_complexity;
DROP TYPE template_category;
DROP TYPE log_level;
DROP TYPE session_status;
DROP TYPE user_role;

DROP TABLE ai_sessions;

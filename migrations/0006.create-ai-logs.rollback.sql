DROP TABLE ai_logs;

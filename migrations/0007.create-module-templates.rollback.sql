DROP TABLE module_templates;
DROP FUNCTION join_words(text[]);

"""PostgreSQL servers of rowsmith's own, and scratch databases."""

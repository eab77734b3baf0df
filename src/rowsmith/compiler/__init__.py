"""From query files to a typed module: PostgreSQL's analysis of each query, checks, generated code."""

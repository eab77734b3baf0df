"""The generated module: Python types for PostgreSQL's, row classes, rendering."""

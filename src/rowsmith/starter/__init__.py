"""The beginning of a project."""

"""Rows into a table by COPY."""

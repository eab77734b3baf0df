"""Which Python value fits which PostgreSQL type, for the parameters of statements and for COPY."""

"""Which Python values fit which PostgreSQL type, for the parameters of statements and for COPY."""

"""What PostgreSQL says of a query: types, what can be NULL, how many rows, what it reads and writes."""

"""What the server knows of a query (types, NULLs, what it reads and writes), and the module made of that."""

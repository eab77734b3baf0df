"""Notes: a service with FastAPI."""

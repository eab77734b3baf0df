"""Notes: a service with Flask."""

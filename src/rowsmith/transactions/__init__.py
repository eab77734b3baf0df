"""Transaction blocks, their COMMIT, retries, and advisory locks."""

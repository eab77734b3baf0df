"""Who takes part: one module for each library, written as one who knows it well would write it."""

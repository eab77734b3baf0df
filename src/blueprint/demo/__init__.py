"""The demo: a data set, and a walk through the application on it. `python -m blueprint.demo`."""

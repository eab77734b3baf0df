"""The demo: it loads a data set and shows the application at work. Run `python -m blueprint.demo`."""

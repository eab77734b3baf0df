"""Named SQL files as query functions."""

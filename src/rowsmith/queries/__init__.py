"""Named SQL files as query functions: lexed, loaded, executed, and their rows read."""

"""Template literals in TypeScript: SafeQL's tests hold their SQL in them."""

from __future__ import annotations

from collections.abc import Iterator

_QUOTES = "'\"`"


def literals(text: str) -> Iterator[tuple[str, str]]:
    """The strings and template literals of a source, each with what is before it, also those within one another.

    `${...}` in a template literal becomes `$1`, `$2`, and so on.
    """
    position = 0
    while position < len(text):
        if text.startswith(("//", "/*"), position):
            end = text.find("\n" if text[position + 1] == "/" else "*/", position)
            position = len(text) if end < 0 else end + 1
        elif text[position] in _QUOTES and (found := _literal(text, position)) is not None:
            content, end = found
            yield text[:position].rstrip(), content
            yield from literals(content)
            position = end
        else:
            position += 1


def _literal(text: str, start: int) -> tuple[str, int] | None:
    """The content of the literal that begins at a quote, and the position after it; None if it does not end."""
    quote, content, position, holes = text[start], "", start + 1, 0
    while position < len(text):
        if text[position] == quote:
            return content, position + 1
        if text[position] == "\n" and quote != "`":
            return None
        if text[position] == "\\":
            content += {"n": "\n", "t": "\t"}.get(text[position + 1], text[position + 1])
            position += 2
        elif quote == "`" and text.startswith("${", position):
            holes += 1
            content += f"${holes}"
            position = _closing(text, position + 2)
        else:
            content += text[position]
            position += 1
    return None


def _closing(text: str, position: int) -> int:
    """The position after the brace that closes `${`."""
    depth = 1
    while depth and position < len(text):
        if text[position] in _QUOTES and (found := _literal(text, position)) is not None:
            position = found[1]
            continue
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        position += 1
    return position

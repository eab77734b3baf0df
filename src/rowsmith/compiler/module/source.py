"""Python source as a formatter would leave it: imports in order, signatures folded at the line length, docstrings."""

from __future__ import annotations

import builtins
import re
import sys
import textwrap
from collections.abc import Collection, Iterable, Sequence

LINE_LENGTH = 120

_WORD = re.compile(r"(?<![.\w\"'])[^\W\d]\w*")
_BUILTINS = frozenset(dir(builtins)) - {"None", "True", "False"}


class Imports:
    """The imports of a module, of what its text uses. A name that the module has in another sense gets an alias.

    `taken` are the names of classes and fields: in the body of a class, a field `date` hides the type `date`.
    """

    def __init__(self, taken: Collection[str], first_party: Collection[str]) -> None:
        self._taken = taken
        self._first_party = first_party
        self._names: set[tuple[str, str]] = set()
        self._modules: set[str] = set()

    def name(self, module: str, name: str) -> str:
        """Import a name; what it is called here."""
        self._names.add((module, name))
        return self._alias(name)

    def expression(self, text: str, imports: Iterable[tuple[str, str]]) -> str:
        """An expression with its names as they are called here; of `imports`, what it has of them is imported."""
        modules = {name: module for module, name in imports}

        def spell(match: re.Match[str]) -> str:
            word = match[0]
            if word in modules:
                return self.name(modules[word], word)
            if word in _BUILTINS and word in self._taken:
                self._modules.add("builtins")
                return f"builtins.{word}"
            return word

        return _WORD.sub(spell, text)

    def lines(self) -> list[str]:
        """The import statements, in isort's order and sections."""
        sections: list[list[str]] = [[f"import {module}" for module in sorted(self._modules)], [], []]
        for module in sorted({module for module, _ in self._names}, key=_natural):
            sections[self._section(module)] += self._statements(module)
        joined = ["\n".join(section) for section in sections if section]
        return "\n\n".join(joined).split("\n") if joined else []

    def _statements(self, module: str) -> list[str]:
        names = sorted((name for each, name in self._names if each == module), key=_member)
        plain = [name for name in names if self._alias(name) == name]
        statements = [f"from {module} import {', '.join(plain)}"] if plain else []
        if statements and len(statements[0]) > LINE_LENGTH:
            statements = [f"from {module} import (", *(f"    {name}," for name in plain), ")"]
        return statements + [
            f"from {module} import {name} as {self._alias(name)}" for name in names if name not in plain
        ]

    def _section(self, module: str) -> int:
        root = module.partition(".")[0]
        if root in sys.stdlib_module_names:
            return 0
        return 2 if root in self._first_party else 1

    def _alias(self, name: str) -> str:
        while name in self._taken:
            name += "_"
        return name


def _natural(text: str) -> list[tuple[bool, int, str]]:
    parts = re.split(r"(\d+)", text.lower())
    return [(not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]


def _member(name: str) -> tuple[int, list[tuple[bool, int, str]]]:
    """Constants, then classes, then the rest."""
    constant = len(name) > 1 and name.isupper()
    return (0 if constant else 1 if name[:1].isupper() else 2), _natural(name)


def quoted(text: str) -> str:
    """A string literal, with double quotes where that needs no escape."""
    literal = repr(text)
    return f'"{literal[1:-1]}"' if literal.startswith("'") and '"' not in text else literal


def docstring(text: str, indent: int) -> list[str]:
    """The lines of a docstring; those that are too long are wrapped."""
    pad = " " * indent
    escaped = text.expandtabs(4).replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    lines: list[str] = []
    for line in escaped.strip().split("\n"):
        # Room for the quotes at the beginning, or at the end.
        lines += textwrap.wrap(line.rstrip(), LINE_LENGTH - indent - 6, break_long_words=False) or [""]
    lines[0] = f'"""{lines[0]}'
    lines[-1:] = [lines[-1], '"""'] if lines[-1].endswith('"') else [f'{lines[-1]}"""']
    return [f"{pad}{line}".rstrip() for line in lines]


def signature(head: str, arguments: Sequence[str], tail: str, indent: int) -> list[str]:
    """`head(arguments)tail`: on one line, or the arguments on a line of their own, or each on one."""
    pad, inner = " " * indent, " " * (indent + 4)
    joined = ", ".join(arguments)
    for lines in ([f"{pad}{head}({joined}){tail}"], [f"{pad}{head}(", f"{inner}{joined}", f"{pad}){tail}"]):
        if all(len(line) <= LINE_LENGTH for line in lines):
            return lines
    return [f"{pad}{head}(", *(f"{inner}{argument}," for argument in arguments), f"{pad}){tail}"]

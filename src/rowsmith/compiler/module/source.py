"""Python source as a formatter would leave it: names, imports, docstrings, signatures folded at the line length."""

from __future__ import annotations

import builtins
import re
import textwrap
import unicodedata
from collections.abc import Collection, Mapping, Sequence

from rowsmith.compiler.module.overrides import WORD

LINE_LENGTH = 120

# Control and format characters, which the bidirectional ones belong to; half of a surrogate pair, which a file name may
# hold; the separators of lines and paragraphs.
_HIDING = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
_BUILTINS = frozenset(dir(builtins)) - {"None", "True", "False"}


class Imports:
    """The imports of a module, of what its text uses. A name that the module has in another sense gets an alias.

    `modules` are those of the names in annotations, `taken` the names of classes, fields and queries: in the body of a
    class, a field `date` hides the type `date`.
    """

    def __init__(self, modules: Mapping[str, str], taken: Collection[str]) -> None:
        self._known = modules
        self._taken = taken
        self._names: dict[str, set[str]] = {}
        self._modules: set[str] = set()

    def name(self, module: str, name: str) -> str:
        """Import a name; what it is called here."""
        alias = free_name(name, self._taken)
        self._names.setdefault(module, set()).add(name if alias == name else f"{name} as {alias}")
        return alias

    def annotation(self, text: str) -> str:
        """An annotation with its names as they are called here."""
        return WORD.sub(lambda match: self._spelled(match[0]), text)

    def _spelled(self, word: str) -> str:
        if word in self._known:
            return self.name(self._known[word], word)
        if word in _BUILTINS and word in self._taken:
            self._modules.add("builtins")
            return f"builtins.{word}"
        return word

    def lines(self) -> list[str]:
        """The import statements, by module."""
        lines = [f"import {module}" for module in sorted(self._modules)]
        for module, names in sorted(self._names.items()):
            line = f"from {module} import {', '.join(sorted(names))}"
            wrapped = [f"from {module} import (", *(f"    {name}," for name in sorted(names)), ")"]
            lines += [line] if len(line) <= LINE_LENGTH else wrapped
        return lines


def free_name(name: str, taken: Collection[str]) -> str:
    """The name, with as many `_` at its end as it needs to differ from those that are taken."""
    return free_name(f"{name}_", taken) if name in taken else name


def camel(*names: str) -> str:
    """`get_user` as the name of a class, `GetUser`."""
    words = re.split(r"[\W_]+", "_".join(names))
    joined = "".join(word[:1].upper() + word[1:] for word in words)
    return joined if joined[:1].isalpha() else f"T{joined}"


def singular(name: str) -> str:
    """The name of one of many, by the endings of English: `tags`, `boxes`, `categories`. Other names stay."""
    for ending, one in _ENDINGS:
        if name.endswith(ending):
            return name.removesuffix(ending) + one
    return name


_ENDINGS = (
    *((ending, ending) for ending in ("ss", "us", "is")),  # address, status, analysis
    *((ending, ending[:-2]) for ending in ("sses", "shes", "ches", "xes", "zzes")),
    ("ies", "y"),
    ("s", ""),
)


def namespace_class(namespace: Sequence[str]) -> str:
    """The class of the queries in a namespace."""
    return f"{camel(*namespace)}Queries" if namespace else "Queries"


def quoted(text: str) -> str:
    """A string literal, with double quotes where that needs no escape."""
    literal = repr(text)
    return f'"{literal[1:-1]}"' if literal.startswith("'") and '"' not in text else literal


def text_block(text: str) -> str:
    """A string literal in triple quotes, in which the text begins on a line of its own."""
    escaped = "\t".join(map(_escaped, text.split("\t")))
    if escaped.endswith('"'):
        escaped = f'{escaped[:-1]}\\"'
    return f'"""\\\n{escaped}"""'


def _escaped(text: str) -> str:
    """The text as it is written between triple quotes."""
    return visible(text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"'))


def docstring(text: str, indent: int) -> list[str]:
    """The lines of a docstring, which does not end with a quote; those that are too long are wrapped."""
    pad = " " * indent
    escaped = _escaped(text.expandtabs(4))
    lines: list[str] = []
    for line in escaped.strip().split("\n"):
        # Room for the quotes at the beginning, or at the end.
        lines += textwrap.wrap(line.rstrip(), LINE_LENGTH - indent - 6, break_long_words=False) or [""]
    lines[0] = f'"""{lines[0]}'
    lines[-1] += '"""'
    return [f"{pad}{line}".rstrip() for line in lines]


def visible(text: str) -> str:
    """The text with Python's escapes for what would hide the text around it: bidirectional and control characters.

    So `"\\u202e"`, not a line that is shown backwards. Line feeds stay.
    """
    return "".join(
        char.encode("unicode_escape").decode() if unicodedata.category(char) in _HIDING and char != "\n" else char
        for char in text
    )


def signature(head: str, arguments: Sequence[str], tail: str, indent: int) -> list[str]:
    """`head(arguments)tail`: on one line, or the arguments on a line of their own, or each on one."""
    pad, inner = " " * indent, " " * (indent + 4)
    joined = ", ".join(arguments)
    for lines in ([f"{pad}{head}({joined}){tail}"], [f"{pad}{head}(", f"{inner}{joined}", f"{pad}){tail}"]):
        if all(len(line) <= LINE_LENGTH for line in lines):
            return lines
    return [f"{pad}{head}(", *(f"{inner}{argument}," for argument in arguments), f"{pad}){tail}"]

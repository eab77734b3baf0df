"""The reader of PostgreSQL's node trees: the text of a `pg_node_tree`, as `Node` values.

The server writes its analysed queries in this form (source: nodes/outfuncs.c, nodes/read.c; not documented, but every
field is labelled, so one reader serves all versions). Nothing outside `compiler/` knows of it.

    {VAR :varno 1 :varattno 2 :varnullingrels (b 3) :location -1}      a node
    (x y z)    ("a" "b")    (i 1 2)    (b 8 9)    <>                    a list, strings, integers, a bit set, nothing
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

# A backslash takes the next character literally, in a token of any kind.
_TOKEN = re.compile(r'[(){}]|"(?:[^"\\]|\\.)*"|(?:[^\s(){}\\]|\\.)+', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)

Value: TypeAlias = "Node | list[Value] | frozenset[int] | str | None"


@dataclass(frozen=True, eq=False)
class Node:
    """A node of the tree: its tag, such as `VAR`, and its fields by name."""

    tag: str
    fields: dict[str, Value]

    def __getitem__(self, name: str) -> Value:
        return self.fields.get(name)

    def node(self, name: str) -> Node | None:
        """A field that holds a node; None where it holds nothing, or is not there in this version."""
        value = self.fields.get(name)
        return value if isinstance(value, Node) else None

    def nodes(self, name: str) -> list[Node]:
        """A field that holds a list of nodes; empty where it holds nothing."""
        value = self.fields.get(name)
        return [item for item in value if isinstance(item, Node)] if isinstance(value, list) else []

    def lists(self, name: str) -> list[list[Node]]:
        """A field that holds a list of lists of nodes, as VALUES does."""
        value = self.fields.get(name)
        outer = [item for item in value if isinstance(item, list)] if isinstance(value, list) else []
        return [[item for item in inner if isinstance(item, Node)] for inner in outer]

    def integer(self, name: str, default: int = 0) -> int:
        """A field that holds a number, an OID or an enumeration."""
        value = self.fields.get(name)
        return int(value) if isinstance(value, str) else default

    def integers(self, name: str) -> list[int]:
        """A field that holds a list of numbers or OIDs."""
        value = self.fields.get(name)
        return [int(item) for item in value if isinstance(item, str)] if isinstance(value, list) else []

    def texts(self, name: str) -> list[str]:
        """A field that holds a list of words."""
        value = self.fields.get(name)
        return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []

    def flag(self, name: str) -> bool:
        """A field that holds true or false."""
        return self.fields.get(name) == "true"

    def text(self, name: str) -> str | None:
        """A field that holds a word."""
        value = self.fields.get(name)
        return value if isinstance(value, str) else None

    def members(self, name: str) -> frozenset[int]:
        """A field that holds a set of numbers."""
        value = self.fields.get(name)
        return value if isinstance(value, frozenset) else frozenset()

    def children(self) -> Iterator[Node]:
        """The nodes right below this one."""
        for value in self.fields.values():
            yield from _nodes_in(value)

    def walk(self) -> Iterator[Node]:
        """This node and all below it."""
        yield self
        for child in self.children():
            yield from child.walk()

    @cached_property
    def shape(self) -> str:
        """The same for two nodes that mean the same: all of it but where it stands in the statement."""
        inner = " ".join(f":{name} {_shape(value)}" for name, value in self.fields.items() if name not in _PLACE)
        return f"{{{self.tag} {inner}}}"


# `varnullingrels` says where in the query a variable stands, not which one it is.
_PLACE = frozenset({"location", "varnullingrels", "varnosyn", "varattnosyn", "list_start", "list_end"})


def read(text: str) -> Value:
    """The tree that a text stands for. Raises ValueError where it is not such a text."""
    reader = _Reader(_TOKEN.findall(text))
    value = reader.value()
    if reader.position != len(reader.tokens):
        raise ValueError(f"a node tree goes on behind its end: {reader.tokens[reader.position]!r}")
    return value


def queries(text: str) -> list[Node]:
    """The QUERY nodes of a function's body, or of a view's rule."""
    return list(_queries_in(read(text)))


def _queries_in(value: Value) -> Iterator[Node]:
    if isinstance(value, Node):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _queries_in(item)


class _Reader:
    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.position = 0

    def value(self) -> Value:
        word = self._next()
        if word == "{":
            return self._node()
        if word == "(":
            return self._list()
        if word == "<>":
            return None
        return _unescaped(word)

    def _node(self) -> Node:
        tag = self._next()
        fields: dict[str, Value] = {}
        while (name := self._next()) != "}":
            if not name.startswith(":"):
                raise ValueError(f"a field of a {tag} node begins with ':', not with {name!r}")
            fields[name[1:]] = self._constant() if name == ":constvalue" else self.value()
        return Node(tag, fields)

    def _constant(self) -> Value:
        """A constant's value is nothing, or a length and its bytes: `4 [ 1 0 0 0 ]`."""
        words = [self._next()]
        if words[0] == "<>":
            return None
        while words[-1] != "]":
            words.append(self._next())
        return " ".join(words)

    def _list(self) -> list[Value] | frozenset[int]:
        kind = self.tokens[self.position]
        if kind in ("i", "o", "x", "b"):
            self.position += 1
            items = list(self._until_closed())
            return frozenset(int(item) for item in items if isinstance(item, str)) if kind == "b" else items
        return list(self._until_closed())

    def _until_closed(self) -> Iterator[Value]:
        while self.tokens[self.position] != ")":
            yield self.value()
        self.position += 1

    def _next(self) -> str:
        if self.position >= len(self.tokens):
            raise ValueError("a node tree ends too early")
        self.position += 1
        return self.tokens[self.position - 1]


def _unescaped(word: str) -> str:
    if word.startswith('"') and word.endswith('"'):
        word = word[1:-1]
    return _ESCAPE.sub(r"\1", word)


def _nodes_in(value: Value) -> Iterator[Node]:
    if isinstance(value, Node):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _nodes_in(item)


def _shape(value: Value) -> str:
    if isinstance(value, Node):
        return value.shape
    if isinstance(value, list):
        return f"({' '.join(map(_shape, value))})"
    if isinstance(value, frozenset):
        return f"(b {' '.join(map(str, sorted(value)))})"
    return repr(value)

"""The reader of PostgreSQL's node trees: the text of a `pg_node_tree`, as `Node` values.

The server writes analyzed queries in this form (source: nodes/outfuncs.c, nodes/read.c). It is not documented, but
every field is labelled, so one reader serves all versions. A tree can be very deep, so nothing here recurses.

    {VAR :varno 1 :varattno 2 :varnullingrels (b 3) :location -1}      a node
    (x y z)    ("a" "b")    (i 1 2)    (b 8 9)    <>                    a list, strings, integers, a bit set, nothing
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import TypeAlias

# The bytes of a constant, `4 [ 1 0 0 0 ]`; a bracket; anything else, in which a backslash escapes the next character.
_WORD = r"\d+ \[[^]]*\]|[(){}]|(?:[^\s(){}\\]|\\.)+"
_WORDS = re.compile(_WORD, re.DOTALL)
# A node without nodes in it is taken as a whole: most are variables, many of them the same.
_TOKENS = re.compile(rf"\{{\w+ [^{{}}\\]*\}}|{_WORD}", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
# Where something is written, not what it is. `varnullingrels` also depends on where in the query a variable is used.
_POSITION = frozenset({"location", "varnullingrels", "varnosyn", "varattnosyn", "list_start", "list_end"})

Value: TypeAlias = "Node | list[Value] | frozenset[int] | str | None"


class Node:
    """A node of the tree: its tag, such as `VAR`, and its fields by name."""

    __slots__ = ("_children", "_digest", "fields", "tag")

    def __init__(self, tag: str, fields: dict[str, Value]) -> None:
        self.tag = tag
        self.fields = fields
        self._digest: bytes | None = None
        self._children: list[Node] | None = None

    def __getitem__(self, name: str) -> Value:
        return self.fields.get(name)

    def node(self, name: str) -> Node | None:
        """A field that holds a node; None if it is empty or does not exist in this version."""
        value = self.fields.get(name)
        return value if isinstance(value, Node) else None

    def nodes(self, name: str) -> list[Node]:
        """A field that holds a list of nodes; [] if it is empty."""
        return _nodes(self.fields.get(name))

    def lists(self, name: str) -> list[list[Node]]:
        """A field that holds a list of lists of nodes, as VALUES does."""
        value = self.fields.get(name)
        return [_nodes(item) for item in value] if isinstance(value, list) else []

    def integer(self, name: str, default: int = 0) -> int:
        """A field that holds a number, an OID or an enumeration."""
        value = self.fields.get(name)
        return int(value) if isinstance(value, str) else default

    def integers(self, name: str) -> list[int]:
        """A field that holds a list of numbers or OIDs."""
        return [int(item) for item in self.texts(name)]

    def texts(self, name: str) -> list[str]:
        """A field that holds a list of strings."""
        value = self.fields.get(name)
        return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []

    def flag(self, name: str) -> bool:
        """A field that holds true or false."""
        return self.fields.get(name) == "true"

    def text(self, name: str) -> str | None:
        """A field that holds a string."""
        value = self.fields.get(name)
        return value if isinstance(value, str) else None

    def members(self, name: str) -> frozenset[int]:
        """A field that holds a set of numbers."""
        value = self.fields.get(name)
        return value if isinstance(value, frozenset) else frozenset()

    @property
    def children(self) -> list[Node]:
        """The nodes directly below this one."""
        if self._children is None:
            values: list[Value] = [value for value in self.fields.values() if isinstance(value, (Node, list))]
            for value in values:  # which grows while it is read
                values += value if isinstance(value, list) else []
            self._children = _nodes(values)
        return self._children

    def walk(self) -> Iterator[Node]:
        """This node and all nodes below it, every node before those below it."""
        waiting: list[Node] = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += node.children

    def become(self, tag: str, fields: dict[str, Value]) -> None:
        """Turn into another node, before anything has been asked about the tree."""
        self.tag, self.fields, self._children = tag, fields, None

    @property
    def shape(self) -> bytes:
        """A digest, equal for two nodes that mean the same: of everything but their position in the statement."""
        unknown: list[Node] = [self] if self._digest is None else []
        for node in unknown:  # which grows while it is read
            unknown += (child for child in node.children if child._digest is None)  # noqa: SLF001 - its own class
        for node in reversed(unknown):
            node._digest = digest(node, _POSITION, lambda child: child.shape)  # noqa: SLF001 - as above
        return self._digest or b""


def read(text: str) -> Value:
    """The tree that a text stands for. Raises ValueError if it is not such a text."""
    return _read(_TOKENS.findall(text), {})


def _read(tokens: list[str], leaves: dict[str, Value]) -> Value:
    levels: list[list[Value]] = [[]]
    for word in tokens:
        if word in "({":
            levels.append([])
        elif word[0] == "{":
            leaf = leaves[word] if word in leaves else leaves.setdefault(word, _read(_WORDS.findall(word), leaves))
            levels[-1].append(Node(leaf.tag, leaf.fields) if isinstance(leaf, Node) else leaf)
        elif word in ")}":
            items = levels.pop()
            if not levels:
                raise ValueError(f"unbalanced {word!r} in a node tree")
            levels[-1].append(_node(items) if word == "}" else _list(items))
        else:
            levels[-1].append(word)
    if len(levels) != 1 or len(levels[0]) != 1:
        raise ValueError("a node tree does not end where it should")
    return _plain(levels[0][0])


def queries(text: str) -> list[Node]:
    """The QUERY nodes of a function's body, or of a view's rule."""
    value = read(text)
    while isinstance(value, list) and value and isinstance(value[0], list):
        value = value[0]
    return _nodes(value if isinstance(value, list) else [value])


def _node(items: list[Value]) -> Node:
    """A node of its tag, and its fields, each a name and a value."""
    tag, names, values = items[0], items[1::2], items[2::2]
    if not isinstance(tag, str) or len(names) != len(values):
        raise ValueError(f"a node of a node tree has a field without a value: {tag}")
    fields = {name[1:]: _plain(value) for name, value in zip(names, values, strict=True) if isinstance(name, str)}
    return Node(tag, fields)


def _list(items: list[Value]) -> list[Value] | frozenset[int]:
    """A list; those of numbers begin with a letter, `b` for a bit set."""
    kind = items[0] if items else None
    if kind == "b":
        return frozenset(int(item) for item in items[1:] if isinstance(item, str))
    return items[1:] if kind in ("i", "o", "x") else [_plain(item) for item in items]


def _plain(value: Value) -> Value:
    """A token as a string without quotes and escapes, None for `<>`; any other value is already plain."""
    if not isinstance(value, str):
        return value
    if value == "<>":
        return None
    word = value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value
    return _ESCAPE.sub(r"\1", word) if "\\" in word else word


def _nodes(value: Value) -> list[Node]:
    return [item for item in value if isinstance(item, Node)] if isinstance(value, list) else []


def constant(expr: Node | None) -> bytes | None:
    """The bytes of a constant, in the order of the server's machine; None for NULL, and for any other expression."""
    value = expr.text("constvalue") if expr and expr.tag == "CONST" else None
    return bytes(int(word) % 256 for word in value.split()[2:-1]) if value else None


def digest(node: Node, without: frozenset[str], inner: Callable[[Node], bytes]) -> bytes:
    """A digest of a node: of its tag, its fields but those `without`, and the digests `inner` of the nodes below it."""

    def part(value: Value) -> object:
        if isinstance(value, list):
            return [part(item) for item in value]
        return sorted(value) if isinstance(value, frozenset) else inner(value) if isinstance(value, Node) else value

    fields = [(name, part(value)) for name, value in node.fields.items() if name not in without]
    return blake2b(repr((node.tag, fields)).encode(), digest_size=16).digest()

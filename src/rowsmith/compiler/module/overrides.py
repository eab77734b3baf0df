"""The user's own choice of Python types: `[tool.rowsmith.types]`, by type or by column."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Mapping
from typing import NamedTuple

import psycopg
from psycopg.rows import TupleRow

from rowsmith.compiler.module.pgtypes import MODULES
from rowsmith.errors import ModuleError

# Types and columns by every name that an override may use for them, with their schema or without.
_KNOWN_NAMES = b"""
SELECT typname::text FROM pg_type UNION SELECT n.nspname || '.' || t.typname
FROM pg_type AS t JOIN pg_namespace AS n ON n.oid = t.typnamespace UNION SELECT format_type(oid, NULL) FROM pg_type
UNION SELECT c.relname || '.' || a.attname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
UNION SELECT n.nspname || '.' || c.relname || '.' || a.attname
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace JOIN pg_attribute AS a ON a.attrelid = c.oid
"""

WORD = re.compile(r"(?<![.\w\"'])[^\W\d]\w*")
"""A name in an annotation; the attributes of a name are not."""


class Overrides(NamedTuple):
    """What the user has chosen."""

    annotations: Mapping[str, str]
    """By type (`citext`) or column (`projects.settings`)."""
    modules: Mapping[str, str]
    """The module of each name that these annotations import."""


def read_overrides(conn: psycopg.Connection[TupleRow], given: Mapping[str, str]) -> Overrides:
    """The overrides, each a Python type: `str`, `list[str]`, `app.types:Name`.

    Raises ModuleError if one is not a type, if it is for a type or column that does not exist, or if two types of
    different modules have the same name.
    """
    known = {name for (name,) in conn.execute(_KNOWN_NAMES)} if given else set[str]()
    annotations: dict[str, str] = {}
    modules: dict[str, str] = {}
    for key, value in given.items():
        if key not in known:
            raise ModuleError(f'types: "{key}" is neither a type nor a table.column of the database')
        place = f'types: "{key}" = "{value}"'
        annotations[key], name, module = _parse(place, value)
        if module and modules.setdefault(name, MODULES.get(name, module)) != module:
            raise ModuleError(f"{place}: another type is called {name}. Give one another name")
    return Overrides(annotations, modules)


def _parse(place: str, value: str) -> tuple[str, str, str]:
    """The annotation of an override, and the name that it imports from a module, if it does."""
    module, colon, name = value.partition(":")
    if colon:
        if all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
            return name, name.partition(".")[0], module
        raise ModuleError(f'{place}: expected a type such as "str" or "app.types:Name"')
    try:
        ast.parse(value, mode="eval")
    except SyntaxError:
        raise ModuleError(f"{place} is not a type") from None
    for word in WORD.findall(value):
        if word not in MODULES and word != "None" and not isinstance(getattr(builtins, word, None), type):
            raise ModuleError(f'{place}: {word} is not a built-in type. Write "app.types:{word}" for one of yours')
    return value, "", ""

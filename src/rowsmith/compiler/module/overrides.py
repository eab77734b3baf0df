"""What a user says of types: `[tool.rowsmith.types]`, a type or a column and the Python type that it is."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Mapping
from typing import TypeAlias

import psycopg
from psycopg.rows import TupleRow

from rowsmith.errors import ModuleError

Overrides: TypeAlias = Mapping[str, str]
"""A type (`citext`) or a column (`projects.settings`), and its Python type: `str`, `list[str]`, `app.types:Name`."""

# Types and columns by every name that an override may call them, with their schema or without.
_KNOWN_NAMES = """
SELECT typname::text FROM pg_type UNION SELECT n.nspname || '.' || t.typname
FROM pg_type AS t JOIN pg_namespace AS n ON n.oid = t.typnamespace UNION SELECT format_type(oid, NULL) FROM pg_type
UNION SELECT c.relname || '.' || a.attname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
UNION SELECT n.nspname || '.' || c.relname || '.' || a.attname
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace JOIN pg_attribute AS a ON a.attrelid = c.oid
"""

CODECS = "rowsmith.values.codecs"
"""The module of the types that the library adds."""
MODULES = {
    "Decimal": "decimal",
    "date": "datetime",
    "time": "datetime",
    "datetime": "datetime",
    "timedelta": "datetime",
    "UUID": "uuid",
    "Inet": CODECS,
    "Cidr": CODECS,
    "JsonValue": "pydantic",
    "Json": "psycopg.types.json",
    "Jsonb": "psycopg.types.json",
    "Range": "psycopg.types.range",
    "Multirange": "psycopg.types.multirange",
}
"""The names that an expression may use, besides the built-in ones, and the module of each."""

_NAME = re.compile(r"[^\W\d]\w*")


def check_overrides(conn: psycopg.Connection[TupleRow], overrides: Overrides) -> None:
    """Raise ModuleError where an override is no type, or names a type or column that there is not."""
    known = {name for (name,) in conn.execute(_KNOWN_NAMES.encode())}
    for key, value in overrides.items():
        if key not in known:
            raise ModuleError(f'types: "{key}" is neither a type nor a table.column of the database')
        parse_override(key, value)


def parse_override(key: str, value: str) -> tuple[str, frozenset[tuple[str, str]]]:
    """The expression of an override, and what it needs to import."""
    module, colon, name = value.partition(":")
    if colon:
        outer = name.partition(".")[0]
        if all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
            return name, frozenset({(module, outer)})
        raise ModuleError(f'types: "{key}" = "{value}": expected a type such as "str" or "app.types:Name"')
    try:
        ast.parse(value, mode="eval")
    except SyntaxError:
        raise ModuleError(f'types: "{key}" = "{value}": that is no type') from None
    imports: set[tuple[str, str]] = set()
    for word in _NAME.findall(value):
        if word in MODULES:
            imports.add((MODULES[word], word))
        elif word != "None" and not isinstance(getattr(builtins, word, None), type):
            raise ModuleError(
                f'types: "{key}" = "{value}": {word} is no built-in type. Write "app.types:{word}" for one of yours'
            )
    return value, frozenset(imports)

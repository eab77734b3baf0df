"""The user's own choice of Python types: `[tool.rowsmith.types]`, by type or by column."""

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

# Types and columns by every name that an override may use for them, with their schema or without.
_KNOWN_NAMES = """
SELECT typname::text FROM pg_type UNION SELECT n.nspname || '.' || t.typname
FROM pg_type AS t JOIN pg_namespace AS n ON n.oid = t.typnamespace UNION SELECT format_type(oid, NULL) FROM pg_type
UNION SELECT c.relname || '.' || a.attname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
UNION SELECT n.nspname || '.' || c.relname || '.' || a.attname
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace JOIN pg_attribute AS a ON a.attrelid = c.oid
"""

CODECS = "rowsmith.values.codecs"
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
"""The names that an annotation may use, besides the built-in ones, and the module of each."""
WORD = re.compile(r"(?<![.\w\"'])[^\W\d]\w*")
"""A name in an annotation; the attributes of a name are not."""


def check_overrides(conn: psycopg.Connection[TupleRow], overrides: Overrides) -> None:
    """Raise ModuleError if an override is not a type, or is for a type or column that does not exist."""
    known = {name for (name,) in conn.execute(_KNOWN_NAMES.encode())}
    for key, value in overrides.items():
        if key not in known:
            raise ModuleError(f'types: "{key}" is neither a type nor a table.column of the database')
        parse_override(key, value)


def parse_override(key: str, value: str) -> tuple[str, dict[str, str]]:
    """The annotation of an override, and the module of each name that it imports."""
    module, colon, name = value.partition(":")
    if colon:
        if all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
            return name, {name.partition(".")[0]: module}
        raise ModuleError(f'types: "{key}" = "{value}": expected a type such as "str" or "app.types:Name"')
    try:
        ast.parse(value, mode="eval")
    except SyntaxError:
        raise ModuleError(f'types: "{key}" = "{value}" is not a type') from None
    for word in WORD.findall(value):
        if word not in MODULES and word != "None" and not isinstance(getattr(builtins, word, None), type):
            raise ModuleError(
                f'types: "{key}" = "{value}": {word} is not a built-in type. Write "app.types:{word}" for one of yours'
            )
    return value, {}


def overriding(overrides: Overrides) -> dict[str, str]:
    """The modules of the names that overrides import. Raises ModuleError if two have the same name."""
    modules: dict[str, str] = {}
    for key, value in overrides.items():
        for name, module in parse_override(key, value)[1].items():
            if modules.setdefault(name, MODULES.get(name, module)) != module:
                raise ModuleError(f'types: "{key}" = "{value}": another type is called {name}. Give one another name')
    return modules

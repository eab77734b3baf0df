"""Running migrations: yoyo's own command, and what is in the database then."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg
from psycopg.rows import TupleRow

Yoyo = Callable[..., subprocess.CompletedProcess[str]]
"""Runs yoyo's own command in a folder, with DATABASE_URL set."""


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).write_bytes(text.encode())
    return folder


def rows(url: str, statement: str) -> list[TupleRow]:
    with psycopg.connect(url, autocommit=True) as conn:
        return conn.execute(statement.encode()).fetchall()


def exists(url: str, relation: str) -> bool:
    return rows(url, f"SELECT to_regclass('{relation}') IS NOT NULL") == [(True,)]

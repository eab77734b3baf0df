"""Linters and type checkers, in their strictest form, find nothing in a typed module: blueprint's, and an odd one."""

from __future__ import annotations

import os
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any

import psycopg

from rowsmith.compiler.module.models import Models
from tests.harness.databases import ROOT, new_database
from tests.harness.modules import module, source

SCHEMA = ROOT / "tests" / "compiler" / "module" / "golden_schema.sql"
CHECKERS = {
    "ruff check": ["ruff", "check", "--isolated", "--line-length", "120", "--select", "F,I,E501,W,UP"],
    "ruff format": ["ruff", "format", "--isolated", "--line-length", "120", "--target-version", "py311", "--diff"],
    "mypy": ["mypy", "--strict", "--cache-dir", os.devnull, "--config-file", os.devnull],
}


def check(command: list[str], folder: Path) -> None:
    """Run a checker over a folder from within it, where neither the project's configuration nor its folders count."""
    done = subprocess.run(
        [sys.executable, "-m", *command, "."], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


ODD = """
-- name: shadows()^
-- record_class: Odd
SELECT 1.5 AS decimal, current_date AS date, current_date AS other, 1 AS int, 2 AS more,
       'x'::text AS str, 'y'::text AS s,
       ARRAY[1] AS list, ARRAY['a'] AS lists, true AS bool, 'good'::mood AS mood, '[1,2)'::int4range AS range,
       ROW(1, ARRAY['a'])::pair AS pair;

-- name: conn(conn, self)!
DELETE FROM users WHERE name = :conn OR name = :self;

-- name: list(list, date)
SELECT id, date, list FROM users WHERE list = :list AND date = :date;

-- name: a_long_name(one, two, three, four, five, six, seven, eight)!
-- {comment}
DELETE FROM users WHERE name IN (:one, :two, :three, :four, :five, :six, :seven, :eight);

-- name: import_users(date, list)*!
INSERT INTO users (name, date, list) VALUES ('x', :date, :list);

-- name: nothing()*!
DELETE FROM users WHERE false;

-- name: query()^
-- A quote "
SELECT 1 AS query;

-- name: rows()
SELECT 'good'::mood AS rows;

-- name: Mood(mood)$
SELECT :mood::mood;

-- name: builtins()$
SELECT 'x'::text;
"""


def test_checkers_find_nothing_in_a_module(server_url: str, conn: psycopg.Connection[Any], tmp_path: Path) -> None:
    odd = ODD.format(comment="a word " * 40)
    with new_database(server_url) as url, psycopg.connect(url, autocommit=True) as small:
        small.execute(SCHEMA.read_bytes())
        small.execute("CREATE TYPE pair AS (int int, list text[])")
        for kind in typing.get_args(Models):
            folder = tmp_path / f"of_{kind}"  # as "pydantic", it would count as that package
            folder.mkdir()
            for embed in (False, True):
                text = source(conn, ROOT / "sql", folder / "x.py", models=kind, embed=embed)
                (folder / f"blueprint_{kind}{'_embedded' if embed else ''}.py").write_text(text)
            module(small, odd, folder, models=kind).__name__  # noqa: B018 - that it can be imported
            (folder / f"queries_{kind}.py").rename(folder / f"odd_{kind}.py")
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict", "pythonVersion": "3.11"}')
    for command in CHECKERS.values():
        check(command, tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--pythonpath", sys.executable], cwd=tmp_path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout

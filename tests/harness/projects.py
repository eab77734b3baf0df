"""Small projects in a temporary folder, the commands run on them, and the snapshots of what is printed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from threading import Thread
from uuid import uuid4

import psycopg
import pytest
from click.testing import CliRunner, Result

from rowsmith.cli import cli
from tests.harness.databases import ROOT
from tests.harness.waiting import PATIENCE

SNAPSHOTS = ROOT / "tests" / "compiler" / "snapshots"
SCHEMA = """\
CREATE TABLE users (
    id int4 PRIMARY KEY,
    email text NOT NULL,
    nick text,
    org_id int4 NOT NULL,
    number int4 NOT NULL,
    deleted_at timestamptz,
    UNIQUE (org_id, number)
);
CREATE UNIQUE INDEX users_email_key ON users (lower(email));
CREATE UNIQUE INDEX users_nick_key ON users (nick) WHERE deleted_at IS NULL;
CREATE TABLE posts (id int8 PRIMARY KEY, author_id int4 NOT NULL REFERENCES users, title text NOT NULL);
CREATE VIEW authors AS SELECT u.id, u.email, count(*) AS posts
    FROM users AS u JOIN posts AS p ON p.author_id = u.id GROUP BY u.id;
"""


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Write files, each with its folders."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def project(folder: Path, sql: str, configuration: str = "", schema: str = SCHEMA) -> None:
    """A project with one migration and one query file."""
    write(folder, {"pyproject.toml": configuration, "migrations/0001.create.sql": schema, "sql/queries.sql": sql})


def rowsmith(*arguments: str) -> Result:
    """Run the command in this process and in the working folder."""
    return CliRunner().invoke(cli, arguments, catch_exceptions=False, prog_name="rowsmith")


def assert_snapshot(name: str, text: str, server_url: str) -> None:
    """Compare with the file of this name, or with the one for the server's major version where that says it otherwise.

    ROWSMITH_SNAPSHOTS=write writes them instead.
    """
    text = re.sub(r"in \d+\.\d s", "in TIME", text)
    with psycopg.connect(server_url) as conn:
        major = conn.info.server_version // 10000
    special = SNAPSHOTS / f"{name}.pg{major}.txt"
    file = special if special.exists() else SNAPSHOTS / f"{name}.txt"
    if os.environ.get("ROWSMITH_SNAPSHOTS") == "write":
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    if not file.exists():
        pytest.fail(f"there is no snapshot {file.name}; write it with ROWSMITH_SNAPSHOTS=write")
    assert text == file.read_text(encoding="utf-8")


def databases(server_url: str) -> set[str]:
    """The names of all databases."""
    with psycopg.connect(server_url) as conn:
        return {name for (name,) in conn.execute("SELECT datname FROM pg_database")}


class Watched:
    """`rowsmith check --watch`, or another command, in a process of its own, its output gathered line by line."""

    def __init__(self, server_url: str, command: str) -> None:
        arguments = [command, "--watch", "--database-url", server_url]
        self.server_url = server_url
        self.name = f"watched {uuid4().hex}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rowsmith", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"PGAPPNAME": self.name},
        )
        self.lines: Queue[str] = Queue()
        Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line.rstrip())

    def round(self) -> list[str]:
        """What the next round prints, up to the line that ends it."""
        lines: list[str] = []
        while not lines or "watching for changes" not in lines[-1]:
            lines.append(self.lines.get(timeout=PATIENCE))
        return lines[:-1]

    def database(self) -> str:
        """The scratch database that it is connected to."""
        with psycopg.connect(self.server_url) as conn:
            ((name,),) = conn.execute("SELECT datname FROM pg_stat_activity WHERE application_name = %s", [self.name])
        return str(name)

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=PATIENCE)


@contextmanager
def watching(server_url: str, command: str = "check") -> Generator[Watched]:
    watched = Watched(server_url, command)
    try:
        yield watched
    finally:
        watched.process.kill()
        watched.process.wait()
        if watched.process.stdout is not None:
            watched.process.stdout.close()

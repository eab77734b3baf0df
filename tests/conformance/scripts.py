"""PostgreSQL's regression scripts: `src/test/regress` of its source."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psycopg
from psycopg import sql

from rowsmith.server.scratch import create_database, drop_database
from tests.conformance.judge import Answer, Connection, Figures, Judge, Statement
from tests.conformance.psql import run_script

_SECONDS = 600.0
# As pg_regress sets them.
_ENVIRONMENT = {
    "PGTZ": "America/Los_Angeles",
    "PGDATESTYLE": "Postgres, MDY",
    "PGOPTIONS": "-c intervalstyle=postgres_verbose",
    "PG_DLSUFFIX": ".so",
}


class Scripts:
    """The scripts of a folder: all of them in the order of pg_regress, or only some."""

    def __init__(self, folder: Path, psql: Path, only: Sequence[str], database: str = "regression") -> None:
        self._folder = folder
        self._psql = psql
        self._only = only
        self._database = database

    def run(self, server_url: str, figures: Figures) -> None:
        """Run the scripts in a new database, one after the other, and judge each statement before it runs."""
        url = create_database(server_url, self._database, "template0")
        try:
            with psycopg.connect(url, autocommit=True) as conn:
                for setting in ("lc_messages", "lc_monetary", "lc_numeric", "lc_time"):
                    names = sql.Identifier(self._database), sql.Identifier(setting)
                    conn.execute(sql.SQL("ALTER DATABASE {} SET {} TO 'C'").format(*names))
            with tempfile.TemporaryDirectory(prefix="rowsmith-regress-") as results:
                folder = str(self._folder)
                places = {"PG_ABS_SRCDIR": folder, "PG_LIBDIR": folder, "PG_ABS_BUILDDIR": results}
                for name in self._only or self._schedule():
                    _wait(server_url)
                    self._run_script(name, url, figures, _ENVIRONMENT | places)
        finally:
            _wait(server_url)
            drop_database(url, server_url)

    def _schedule(self) -> list[str]:
        lines = (self._folder / "parallel_schedule").read_text().splitlines()
        return [name for line in lines if line.startswith("test: ") for name in line.split()[1:]]

    def _run_script(self, name: str, url: str, figures: Figures, environment: Mapping[str, str]) -> None:
        before, start = figures.statements, time.monotonic()
        file, hook = self._folder / "sql" / f"{name}.sql", _Hook(figures, name)
        in_time = run_script(self._psql, file, url, hook, environment=environment, seconds=_SECONDS)
        count, seconds = figures.statements - before, time.monotonic() - start
        end = "" if in_time else ", and not at its end"
        print(f"{name}: {count} statements in {seconds:.0f} s{end}", file=sys.stderr)


class _Hook:
    """Judges the statements of one script."""

    def __init__(self, figures: Figures, script: str) -> None:
        self._figures = figures
        self._script = script
        self._judges: dict[Connection, Judge] = {}

    def __call__(self, conn: Connection, text: str) -> Callable[[Answer], None]:
        """Describe a statement before it runs. Returns what takes its answer."""
        judge = self._judges.setdefault(conn, Judge(conn, self._figures))
        statement = Statement(text, self._script)
        said = judge.describe(statement)
        return lambda answer: judge.record(statement, said, answer)


def _wait(url: str) -> None:
    """Until the server accepts connections: a statement may have crashed it, if the scripts are newer than it is."""
    deadline = time.monotonic() + _SECONDS
    while True:
        try:
            return psycopg.connect(url).close()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)

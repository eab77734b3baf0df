"""The demo from start to end: a database, its migrations, a data set, and the tour."""

from __future__ import annotations

import argparse
import logging
import signal
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Never

import psycopg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from blueprint.dataset import Sizes, load
from blueprint.demo.database import DemoDatabase, DemoError, demo_database
from blueprint.demo.screen import Screen, make_console
from blueprint.demo.tour import take_tour
from blueprint.queries import queries
from rowsmith import Database, Settings, migrations
from rowsmith.database import replace_default
from rowsmith.errors import RowsmithError

MIGRATIONS = Path(__file__).parents[3] / "migrations"
_SMALL = 20
_STOPPED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m blueprint.demo",
        description="Load a data set into PostgreSQL and show the application at work. If DATABASE_URL is set, the demo"
        " creates a new database on that server; otherwise it starts a temporary server. Either is removed afterwards.",
    )
    parser.add_argument("--small", action="store_true", help=f"load a data set of 1/{_SMALL} of the size")
    sizes = Sizes().divided(_SMALL) if parser.parse_args(arguments).small else Sizes()
    signal.signal(signal.SIGTERM, _terminate)
    # Without a handler, Python would print psycopg's warning about a statement that Ctrl-C has interrupted.
    logging.getLogger("psycopg").addHandler(logging.NullHandler())
    console = make_console()
    try:
        return _run(console, sizes)
    except (DemoError, RowsmithError, psycopg.Error) as error:
        lines = [str(error), *getattr(error, "__notes__", ())]
        Console(stderr=True, soft_wrap=True).print("\n".join(lines), style="red", markup=False, highlight=False)
        return 2


def _terminate(signum: int, _frame: object) -> Never:
    """Exit by an exception, so that everything is cleaned up."""
    raise SystemExit(128 + signum)


def _run(console: Console, sizes: Sizes) -> int:
    start = perf_counter()
    console.rule(Text("rowsmith demo", "bold cyan"), align="left", style="cyan")
    target: DemoDatabase | None = None
    try:
        with demo_database() as target:
            _phase(console, f"Running on {target.description}", start)
            _migrate(console, target.settings)
            with _default_database(target.settings) as database:
                loaded = _load(console, database, sizes)
                take_tour(Screen(console), database)
    except KeyboardInterrupt:
        console.print(f"\nStopped. {target.farewell() if target else ''}", style="yellow")
        return _STOPPED
    console.print()
    console.rule(style="cyan")
    console.print(f"Done in {perf_counter() - start:.1f} s, on {sum(loaded.values()):,} rows. {target.farewell()}")
    console.print("Next, look at the queries in sql/users.sql, and at their use in src/blueprint/services.py.")
    return 0


def _phase(console: Console, text: str, start: float) -> None:
    console.print(Text.assemble(text, (f"  {perf_counter() - start:.1f} s", "dim")))


@contextmanager
def _default_database(settings: Settings) -> Generator[Database]:
    """A database that `rowsmith.transaction()` and the services use by default inside the block."""
    with Database(settings) as database:
        previous = replace_default(database)
        try:
            yield database
        finally:
            replace_default(previous)


def _migrate(console: Console, settings: Settings) -> None:
    start = perf_counter()
    with Progress(TextColumn("{task.description}"), BarColumn(24), MofNCompleteColumn(), console=console) as progress:
        task = progress.add_task("Migrations", total=None)

        def show(number: int, count: int, migration: str) -> None:
            progress.update(task, total=count, completed=number - 1, description=f"Migrations: {migration:40}")

        applied = migrations.apply(settings, [MIGRATIONS], show)
        progress.update(task, completed=len(applied), description="Migrations")
    _phase(console, f"Applied {len(applied)} migrations", start)


class _RowsPerSecond(ProgressColumn):
    """The average number of rows written per second."""

    def render(self, task: Task) -> Text:
        """The speed, or nothing before the first rows."""
        elapsed = task.finished_time or task.elapsed
        return Text(f"{task.completed / elapsed:>9,.0f} rows/s" if elapsed and task.completed else "", "dim")


def _load(console: Console, database: Database, sizes: Sizes) -> dict[str, int]:
    start = perf_counter()
    columns = (
        TextColumn("{task.description:22}"),
        BarColumn(24),
        TextColumn("{task.completed:>9,.0f}"),
        _RowsPerSecond(),
    )
    with Progress(*columns, console=console) as progress:
        tasks: dict[str, TaskID] = {}

        def show(table: str, done: int, total: int) -> None:
            if table not in tasks:
                tasks[table] = progress.add_task(table, total=total)
            progress.update(tasks[table], completed=done)

        with database.transaction() as conn:
            loaded = load(conn, sizes, show, now=datetime.now(UTC))
    with database.connection() as conn:
        queries.analyze_tables(conn)
        rated = queries.refresh_all_ratings(conn)
    _phase(console, f"Loaded {sum(loaded.values()):,} rows and updated the ratings of {rated} templates", start)
    return loaded

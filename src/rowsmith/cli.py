"""The command line. Exit codes: 0 well, 1 findings (or an unhealthy database), 2 could not run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from rowsmith.compiler import commands
from rowsmith.database import PROBE_SECONDS, Database
from rowsmith.errors import RowsmithError
from rowsmith.pool.health import HealthCheck
from rowsmith.server.embedded import Server, project_data_folder
from rowsmith.server.programs import find_binaries


class _Group(click.Group):
    """A group of commands for which rowsmith's own errors are a message and exit code 2, and no traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except RowsmithError as error:
            Console(stderr=True, soft_wrap=True).print(str(error), style="red", markup=False, highlight=False)
            ctx.exit(2)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="rowsmith")
def cli() -> None:
    """Plain SQL files as typed functions over pooled PostgreSQL connections."""


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=PROBE_SECONDS,
    show_default=True,
    help="In seconds.",
)
def health(as_json: bool, timeout: float) -> None:
    """Probe the database of DATABASE_URL with a SELECT 1. Exit code 0: healthy, 1: not, 2: could not run."""
    with Database() as database:
        check = database.check_health(timeout=timeout)
        place = str(database)
    if as_json:
        click.echo(json.dumps(check.as_dict()))
    else:
        _print_health(check, place)
    click.get_current_context().exit(0 if check.healthy else 1)


def _print_health(check: HealthCheck, place: str) -> None:
    console = Console(soft_wrap=True, highlight=False)
    if check.healthy:
        console.print(f"[green]healthy[/green]: {place.strip('<>')} answered in {check.latency_ms:.1f} ms")
        return
    console.print(f"[red]not healthy[/red] ({check.category}): {place.strip('<>')}, after {check.latency_ms:.1f} ms")
    for line in (check.error, check.hint):
        if line:
            console.print(f"  {line}", markup=False)


_database_url = click.option(
    "--database-url",
    metavar="URL",
    help="A server to make a scratch database on; its role must have CREATEDB. Default: an embedded server.",
)


@cli.command()
@_database_url
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 if the module is stale.")
@click.option("--watch", is_flag=True, help="Write it again whenever a file changes.")
def generate(database_url: str | None, check: bool, watch: bool) -> None:
    """Write the typed module of all queries. Exit code 1: a query has a fault, 2: could not run."""
    place = commands.Place(Path.cwd(), database_url)
    click.get_current_context().exit(commands.generate(place, checking=check, watching=watch))


@cli.command()
@_database_url
@click.option("--strict", is_flag=True, help="Fail on warnings, too.")
@click.option("--watch", is_flag=True, help="Check again whenever a file changes.")
def check(database_url: str | None, strict: bool, watch: bool) -> None:
    """Check every query against the migrations. Exit code 0: well (or warnings), 1: errors, 2: could not run."""
    place = commands.Place(Path.cwd(), database_url)
    click.get_current_context().exit(commands.check(place, strict=strict, watching=watch))


@cli.command()
@_database_url
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object, for editors and tools.")
def describe(database_url: str | None, as_json: bool) -> None:
    """Print what the server says of every query: parameters, columns, what it reads and writes.

    Exit code 1: some are refused, and described on standard error instead.
    """
    place = commands.Place(Path.cwd(), database_url)
    click.get_current_context().exit(commands.describe(place, json_wanted=as_json))


@cli.group()
def server() -> None:
    """The embedded PostgreSQL of this project, for development."""


_data = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="Data folder. Default: one for this project, in your state folder.",
)
_pg_bin = click.option("--pg-bin", metavar="DIR", help="A PostgreSQL's bin folder. Default: the embedded one.")


@server.command("start")
@_data
@_pg_bin
@click.option("--port", type=click.IntRange(0, 65535), help="Listen on 127.0.0.1 too; 0 takes any free port.")
def start_server(data: Path | None, pg_bin: str | None, port: int | None) -> None:
    """Start it, and print its URL. It runs until `rowsmith server stop`."""
    found = _server(data, pg_bin)
    found.start(port)
    click.echo(found.url() if port is None else found.tcp_url())


@server.command("stop")
@_data
@_pg_bin
def stop_server(data: Path | None, pg_bin: str | None) -> None:
    """Stop it. The data stays."""
    _server(data, pg_bin).stop()


@server.command("url")
@_data
@_pg_bin
@click.option("--tcp", is_flag=True, help="The URL over TCP, with its password; it must have a port.")
def server_url(data: Path | None, pg_bin: str | None, tcp: bool) -> None:
    """Print its URL: export DATABASE_URL="$(rowsmith server url)"."""
    found = _server(data, pg_bin)
    click.echo(found.tcp_url() if tcp else found.url())


def _server(data: Path | None, pg_bin: str | None) -> Server:
    return Server(data or project_data_folder(_project()), find_binaries(pg_bin))


def _project() -> Path:
    """The project that the working folder is in: the nearest folder upwards with a pyproject.toml, else itself."""
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / "pyproject.toml").exists()), here)

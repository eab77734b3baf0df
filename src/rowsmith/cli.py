"""The command line. Exit codes: 0 success, 1 findings (or an unhealthy database), 2 could not run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import chdir
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.shell_completion import get_completion_class
from rich.console import Console

from rowsmith.compiler import commands
from rowsmith.compiler.project import ServerChoice, configuration_file
from rowsmith.database import PROBE_SECONDS, Database
from rowsmith.errors import RowsmithError
from rowsmith.server.embedded import Server, kept_data_folder, project_data_folder
from rowsmith.server.programs import find_binaries
from rowsmith.starter.starter import FRAMEWORKS, Framework, Written, extend, start


class _Command(click.Command):
    """A command that says what to run instead if it does not know an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            known = [option for parameter in self.get_params(ctx) for option in parameter.opts]
            raise _unknown("option", error.option_name, known, ctx) from None


class _Group(_Command, click.Group):
    """Commands that return their exit code. One of rowsmith's own errors is a message and exit code 2, no traceback."""

    command_class = _Command
    group_class = type

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            raise _unknown("command", args[0], self.list_commands(ctx), ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            ctx.exit(super().invoke(ctx) or 0)
        except RowsmithError as error:
            Console(stderr=True, soft_wrap=True).print(
                f"{error}\nSee {error.page}", style="red", markup=False, highlight=False
            )
            ctx.exit(2)


def _unknown(kind: str, given: str, known: Sequence[str], ctx: click.Context) -> click.UsageError:
    """The error about a command or an option that there is not, with the command line to run instead."""
    near = get_close_matches(given, known, 1)
    return click.UsageError(f"No such {kind}: {given}. Run: {ctx.command_path} {near[0] if near else '--help'}", ctx)


def _example(*lines: str) -> str:
    """The end of a help text; the first character keeps click from joining the lines."""
    return "\n".join(["\b", f"Example{'s' if len(lines) > 1 else ''}:", *(f"  {line}" for line in lines)])


@click.group(
    "rowsmith",
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_example("rowsmith new shop", "rowsmith check"),
)
@click.version_option(package_name="rowsmith")
def cli() -> None:
    """Plain SQL files as typed functions over pooled PostgreSQL connections."""


@cli.command(epilog=_example("rowsmith health --timeout 2 --json"))
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=PROBE_SECONDS,
    show_default=True,
    help="Longest time to wait, in seconds.",
)
def health(as_json: bool, timeout: float) -> int:
    """Probe the database at DATABASE_URL with SELECT 1.

    Exits with 0 if it is healthy, 1 if not, and 2 if the probe could not run.
    """
    with Database() as database:
        check = database.check_health(timeout=timeout)
        place = str(database).strip("<>")
    console = Console(soft_wrap=True, highlight=False)
    if as_json:
        click.echo(json.dumps(check.as_dict()))
    elif check.healthy:
        console.print(f"[green]healthy[/green]: {place} answered in {check.latency_ms:.1f} ms")
    else:
        console.print(f"[red]not healthy[/red] ({check.category}): {place}, after {check.latency_ms:.1f} ms")
        for line in filter(None, (check.error, check.hint)):
            console.print(f"  {line}", markup=False)
    return 0 if check.healthy else 1


_database_url = click.option(
    "--database-url",
    metavar="URL",
    help="Server for the scratch database; its role needs CREATEDB. Default: `database-url` of [tool.rowsmith], "
    "or an embedded server.",
)


@cli.command(epilog=_example("rowsmith generate --watch", "rowsmith generate --check"))
@_database_url
@click.option("--check", "checking", is_flag=True, help="Write nothing; exit with 1 if the module is stale.")
@click.option("--watch", is_flag=True, help="Write the module again whenever a file changes.")
def generate(database_url: str | None, checking: bool, watch: bool) -> int:
    """Write the typed module for all queries.

    Exits with 0 on success, 1 if a query has a fault, and 2 if it could not run.
    """
    return commands.run(partial(commands.generate, checking=checking), database_url, watching=watch)


@cli.command(epilog=_example("rowsmith check --strict", "rowsmith check --database-url postgresql://localhost"))
@_database_url
@click.option("--strict", is_flag=True, help="Exit with 1 on warnings, too.")
@click.option("--watch", is_flag=True, help="Check again whenever a file changes.")
def check(database_url: str | None, strict: bool, watch: bool) -> int:
    """Check every query against the migrations.

    Exits with 0 if there are no errors, 1 if there are, and 2 if it could not run.
    """
    return commands.run(partial(commands.check, strict=strict), database_url, watching=watch, module=True)


@cli.command(epilog=_example("rowsmith describe --json > queries.json"))
@_database_url
@click.option("--json", "json_wanted", is_flag=True, help="Print one JSON object, for editors and tools.")
def describe(database_url: str | None, json_wanted: bool) -> int:
    """Print what PostgreSQL says about every query.

    These are its parameters and columns, and what it reads and writes. Queries that PostgreSQL refuses are reported on
    standard error, and the exit code is 1.
    """
    return commands.run(partial(commands.describe, json_wanted=json_wanted), database_url)


@cli.command(epilog=_example("rowsmith new shop --framework fastapi"))
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--framework", type=click.Choice(FRAMEWORKS), default="none", help="What serves it. Default: none.")
def new(folder: Path, framework: Framework) -> int:
    """Begin a new project in FOLDER.

    It has a first table, queries, the typed module, and tests. `cd FOLDER && make test` checks everything.
    """
    return _report(start(folder, framework), f"cd {folder} && make test")


@cli.command(epilog=_example("cd shop && rowsmith init"))
def init() -> int:
    """Write into the project in this folder what it needs for rowsmith.

    This is a section of pyproject.toml, yoyo.ini, and the first files of sql, migrations and tests. Nothing that exists
    is overwritten.
    """
    return _report(extend(Path.cwd()), "python -m pytest")


def _report(written: Written, then: str) -> int:
    """Say what was written, and write the typed module."""
    for path in written.new:
        click.echo(f"wrote  {path}")
    for path in written.kept:
        click.echo(f"kept   {path}, which was there")
    if "tests/conftest.py" in written.kept:
        click.echo('For the fixtures of the tests, add to tests/conftest.py: pytest_plugins = ["rowsmith.testing"]')
    with chdir(written.root):
        code = commands.run(partial(commands.generate, checking=False), None)
    click.echo(f"Next: {then}")
    return code


@cli.group(epilog=_example("rowsmith server start"))
def server() -> None:
    """The embedded PostgreSQL of this project, for development."""


_data = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="Data folder. Default: one for this project, in your state folder.",
)
_pg_bin = click.option(
    "--pg-bin",
    metavar="DIR",
    help="The bin folder of a PostgreSQL. Default: `pg-bin` of [tool.rowsmith], or the embedded one.",
)


@server.command("start", epilog=_example("rowsmith server start --port 5433"))
@_data
@_pg_bin
@click.option("--port", type=click.IntRange(0, 65535), help="Also listen on 127.0.0.1; 0 for any free port.")
def start_server(data: Path | None, pg_bin: str | None, port: int | None) -> None:
    """Start the server and print its URL. It runs until `rowsmith server stop`."""
    found = _server(data, pg_bin)
    found.start(port)
    click.echo(found.url() if port is None else found.tcp_url())


@server.command("stop", epilog=_example("rowsmith server stop"))
@_data
@_pg_bin
@click.option("--tests", is_flag=True, help="Stop the server that pytest --keep-server keeps running.")
def stop_server(data: Path | None, pg_bin: str | None, tests: bool) -> None:
    """Stop the server. The data is kept."""
    found = _server(data, pg_bin)
    (Server(kept_data_folder(found.data, found.binaries), found.binaries) if tests else found).stop()


@server.command("url", epilog=_example('export DATABASE_URL="$(rowsmith server url)"'))
@_data
@_pg_bin
@click.option("--tcp", is_flag=True, help="The URL for TCP, with the password; the server must have a port.")
def server_url(data: Path | None, pg_bin: str | None, tcp: bool) -> None:
    """Print the URL."""
    found = _server(data, pg_bin)
    click.echo(found.tcp_url() if tcp else found.url())


_SHELLS = ("bash", "zsh", "fish")


@cli.command(
    epilog=_example(
        """echo 'eval "$(rowsmith completion bash)"' >> ~/.bashrc""",
        """echo 'eval "$(rowsmith completion zsh)"' >> ~/.zshrc""",
        "rowsmith completion fish > ~/.config/fish/completions/rowsmith.fish",
    )
)
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """Print the script with which SHELL completes commands and options."""
    script = get_completion_class(shell)
    assert script is not None  # noqa: S101 - click has one for each of these shells
    click.echo(script(cli, {}, "rowsmith", "_ROWSMITH_COMPLETE").source())


def _server(data: Path | None, pg_bin: str | None) -> Server:
    """The server of the project that the working folder is in, or of the working folder itself."""
    file = configuration_file(Path.cwd())
    binaries = find_binaries(pg_bin or ServerChoice.load(Path.cwd()).pg_bin)
    return Server(data or project_data_folder(file.parent if file else Path.cwd()), binaries)

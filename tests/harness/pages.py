"""The pages of the documentation, and the projects that their snippets make.

The snippets of a page run from top to bottom, in a folder that begins as the project of docs/guide/index.md, and on a
database of the page's own. What the fence of a block says decides what becomes of it:

- A block whose first line is a comment with a path is that file. `pyproject.toml` is added to the one that is there,
  table by table.
- `python` runs in this process. Before it, migrations are applied and the typed module is generated.
- `sql` runs in the database.
- `sh` runs in bash. Lines with `pip` are left out, and of `make run`, which does not end, only the name is looked up. A
  block that ends with `cd FOLDER` is about the folder of the blocks that follow.
- `dockerfile` copies what is there, and runs programs that are there.
- `text` is what the block before it printed. If that was `python` and ended with an exception, its type, message and
  notes come last, as in a traceback without the frames.
- `console` has commands after `$`, each followed by what it prints, errors included.
- `py` is an excerpt of the generated module.

A comment `<!-- needs the extension NAME -->` skips the page on a server that does not come with it.

`...` in an output stands for anything. ROWSMITH_SNAPSHOTS=write writes the outputs into the pages instead.
"""

from __future__ import annotations

import doctest
import importlib
import logging
import os
import re
import shutil
import subprocess
import sys
import tomllib
import traceback
from collections.abc import Generator, Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import psycopg
import pytest

from rowsmith import migrations
from rowsmith.database import replace_default
from rowsmith.settings import Settings, variable_name
from rowsmith.testing.databases import settings_for
from tests.harness.projects import rowsmith

WRITING = os.environ.get("ROWSMITH_SNAPSHOTS") == "write"
_FENCE = re.compile(r"^```(.*)\n((?:.*\n)*?)^```$", re.MULTILINE)
_FILE = re.compile(r"(?:--|#) ([\w./-]+\.\w+|Makefile|Dockerfile)")
_PLAIN = re.compile(r"rowsmith [\w ./-]+")
"""A command of rowsmith that needs no shell."""
_VARYING = re.compile(r"\b\d+(\.\d+)?(?= m?s\b)")
"""Times, which a page shows as they once were."""


class Snippet(NamedTuple):
    """A fenced block of a page."""

    language: str
    text: str
    line: int
    """The line of the page that the text begins at, from 1."""
    file: str | None


def snippets(page: Path) -> Iterator[Snippet]:
    """The fenced blocks of a page."""
    content = page.read_text()
    for match in _FENCE.finditer(content):
        text = match[2]
        named = _FILE.fullmatch(text.partition("\n")[0])
        yield Snippet(match[1], text, content.count("\n", 0, match.start(2)) + 1, named[1] if named else None)


class Player:
    """Runs the snippets of one page in a project folder."""

    def __init__(self, page: Path, folder: Path, server_url: str, database_url: str) -> None:
        self.page = page
        self.folder = folder
        self._server_url = server_url
        self._database_url = database_url
        self._module = ModuleType("snippets")
        self._before = {*sys.modules}
        self._printed: str | None = None
        """What the block before has printed; None once a `text` block has shown it."""
        self._raised = False
        self._outdated = False
        self._written: dict[Snippet, str] = {}
        """Texts to be written into the page."""

    def play(self) -> None:
        """Run every snippet. Raises AssertionError where a page shows what is not so."""
        self._skip_without_extensions()
        for snippet in snippets(self.page):
            try:
                self._play(snippet)
            except Exception as error:
                error.add_note(f"{self.page}:{snippet.line}")
                raise
        self._expect_no_exception()
        self._rewrite()

    def _skip_without_extensions(self) -> None:
        needed = re.findall(r"<!-- needs the extension (\w+) -->", self.page.read_text())
        with psycopg.connect(self._database_url) as conn:
            query = "SELECT unnest(%s::text[]) EXCEPT SELECT name FROM pg_available_extensions"
            if missing := conn.execute(query, [needed]).fetchall():
                pytest.skip(f"this server comes without the extension {missing[0][0]}")

    def _play(self, snippet: Snippet) -> None:
        if snippet.language == "text":
            assert self._printed is not None, "no block before this one prints anything"
            self._compare(snippet, snippet.text, self._printed)
            self._printed, self._raised = None, False
            return
        self._expect_no_exception()
        if snippet.file:
            self._write(snippet.file, snippet.text)
            return
        play = getattr(self, f"_play_{snippet.language}", None)
        assert play, f"a block of {snippet.language or 'no language'} has to be a file: its first line names it"
        self._printed = play(snippet)

    def _expect_no_exception(self) -> None:
        assert not self._raised, self._printed

    def _write(self, name: str, text: str) -> None:
        if name == "Dockerfile":
            self._check_image(text)
        file = self.folder / name
        if name == "pyproject.toml":
            text = on_server(_merged(file.read_text(), text), self._server_url)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        self._outdated |= file.suffix in {".sql", ".toml"}

    def _check_image(self, text: str) -> None:
        for copied in re.findall(r"^COPY (.*) \S+$", text, re.MULTILINE):
            assert all((self.folder / name).exists() for name in copied.split()), copied
        for program in re.findall(r'^(?:RUN |CMD \[")(\w+)', text, re.MULTILINE):
            assert shutil.which(program), program

    def _play_python(self, snippet: Snippet) -> str:
        self._bring_up_to_date()
        source = "\n" * (snippet.line - 1) + snippet.text
        with redirect_stdout(StringIO()) as out:
            try:
                exec(compile(source, self.page, "exec"), vars(self._module))  # noqa: S102 - the page's own code
            except Exception as error:  # noqa: BLE001 - the page may show it
                self._raised = True
                out.write("".join(traceback.format_exception_only(error)))
        return out.getvalue()

    def _play_py(self, snippet: Snippet) -> None:
        self._bring_up_to_date()
        configuration = tomllib.loads((self.folder / "pyproject.toml").read_text())
        generated = (self.folder / configuration["tool"]["rowsmith"]["output"]).read_text()
        for part in snippet.text.split("\n\n"):
            assert part.strip("\n") in generated, generated

    def _play_sql(self, snippet: Snippet) -> None:
        with psycopg.connect(self._database_url, autocommit=True) as conn:
            conn.execute(snippet.text.encode())

    def _play_sh(self, snippet: Snippet) -> str:
        lines = snippet.text.splitlines()
        script = [line for line in lines if not line.startswith(("pip ", "cd "))]
        printed = ""
        if script:
            self._outdated = False
            status, printed = self._run("\n".join(script).replace("make run", "make -n run"))
            assert status == 0, printed
        if lines[-1].startswith("cd "):
            self._enter(lines[-1].removeprefix("cd "))
        return printed

    def _play_console(self, snippet: Snippet) -> None:
        self._outdated = False
        for command, shown in re.findall(r"^\$ (.*(?:\\\n.*)*)\n((?:(?!\$ ).*\n)*)", snippet.text, re.MULTILINE):
            self._compare(snippet, shown, self._run(command)[1])

    def _compare(self, snippet: Snippet, shown: str, printed: str) -> None:
        """Compare the output that a page shows with what was printed. Times may differ, and `...` is anything."""
        want, got = (_VARYING.sub("TIME", re.sub(r"\s+$", "\n", text, flags=re.MULTILINE)) for text in (shown, printed))
        if doctest.OutputChecker().check_output(want, got, doctest.ELLIPSIS):
            return
        assert WRITING, f"shown:\n{shown}\nprinted:\n{printed}"
        text = self._written.get(snippet, snippet.text)
        self._written[snippet] = text.replace(shown, printed.rstrip("\n") + "\n", 1)

    def _rewrite(self) -> None:
        lines = self.page.read_text().splitlines(keepends=True)
        for snippet, text in sorted(self._written.items(), key=lambda item: -item[0].line):
            lines[snippet.line - 1 : snippet.line - 1 + snippet.text.count("\n")] = [text]
        if self._written:
            self.page.write_text("".join(lines))

    def _run(self, script: str) -> tuple[int, str]:
        """Run a script of bash, but `rowsmith` itself in this process. Returns its exit code and what it prints."""
        commands = script.strip().splitlines()
        if all(_PLAIN.fullmatch(command) for command in commands):
            results = [rowsmith(*command.split()[1:]) for command in commands]
            return max(result.exit_code for result in results), "".join(result.output for result in results)
        done = subprocess.run(
            ["bash", "-euc", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        return done.returncode, done.stdout

    def _enter(self, name: str) -> None:
        """Go on in a folder with a project, which has its package in `src`."""
        self.folder /= name
        os.chdir(self.folder)
        os.environ["PYTHONPATH"] = str(self.folder / "src")
        sys.path.insert(0, str(self.folder / "src"))

    def _bring_up_to_date(self) -> None:
        """Apply what migrations there are, and generate the module, after a change of their files."""
        if self._outdated:
            migrations.apply(settings_for(self._database_url), [self.folder / "migrations"])
            sys.stdout.write(rowsmith("generate").output)  # which pytest shows if the page fails
            importlib.invalidate_caches()
        self._outdated = False

    @contextmanager
    def at_home(self, patch: pytest.MonkeyPatch) -> Generator[None]:
        """Inside, the working folder, the environment and the default database are the page's."""
        patch.chdir(self.folder)
        patch.setattr(sys, "path", [str(self.folder), *sys.path])
        for field in Settings.model_fields:
            patch.delenv(variable_name(field), raising=False)
        patch.setenv("DATABASE_URL", self._database_url)
        patch.setenv("TEST_DATABASE_URL", self._server_url)
        patch.setenv("PYTHONPATH", str(self.folder))
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        patch.setitem(sys.modules, "snippets", self._module)
        logger = logging.getLogger("rowsmith")
        before, level = replace_default(None), logger.level
        try:
            yield
        finally:
            logger.setLevel(level)
            if made := replace_default(before):
                made.close()
            for name in self._imported():
                del sys.modules[name]

    def _imported(self) -> list[str]:
        """The modules of the page's folder. A package without a file of its own has a path.

        `tests`, which is one, would have the path of a page's folder of that name, too. But it was there before.
        """
        places = {
            name: [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
            for name, module in list(sys.modules.items())
            if name not in self._before
        }
        inside = f"{self.folder}{os.sep}"
        return [name for name, those in places.items() if any(str(place).startswith(inside) for place in those)]


def on_server(configuration: str, server_url: str) -> str:
    """The text of pyproject.toml with this server, in the place of any other."""
    configuration = re.sub(r"^(database-url|pg-bin) = .*\n", "", configuration, flags=re.MULTILINE)
    return configuration.replace("[tool.rowsmith]\n", f'[tool.rowsmith]\ndatabase-url = "{server_url}"\n')


def _merged(base: str, added: str) -> str:
    """The text of a TOML file with the tables of another one, which replace those of the same name."""
    tables = re.findall(r"^\[[^\n]*\n(?:(?!\[).*\n)*", f"{base}\n{added}", re.MULTILINE)
    return "\n".join({table.partition("\n")[0]: table.rstrip("\n") + "\n" for table in tables}.values())

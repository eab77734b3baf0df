"""The demo's output: SQL and Python source, rows and errors. It is plain text if the output is not a terminal."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from enum import Enum
from io import TextIOWrapper
from textwrap import wrap
from time import perf_counter
from typing import Any, TypeVar, cast
from uuid import UUID

from pydantic import BaseModel
from pygments.token import Comment, Keyword, Name, Number, String  # type: ignore[import-untyped]  # has no annotations
from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.style import Style
from rich.syntax import ANSISyntaxTheme, Syntax
from rich.table import Table
from rich.text import Text

from rowsmith import connection
from rowsmith.findings import display_path
from rowsmith.queries.query import Query

_T = TypeVar("_T")

WIDTH = 100
_INDENT = 2
# Only the terminal's own colors, and of these only the ones that are readable on light and dark backgrounds.
_THEME = ANSISyntaxTheme({
    Comment: Style(dim=True),
    Keyword: Style(color="magenta"),
    Name.Builtin: Style(color="cyan"),
    Name.Function: Style(bold=True),
    Number: Style(color="cyan"),
    String: Style(color="green"),
})  # fmt: skip
_UNNAMED = ("calls", "database")  # modules whose functions are shown without the name of the module
_LONG = 72


def make_console() -> Console:
    """A console of at most 100 columns, or exactly 100 if the output is not a terminal."""
    stdout = cast("object", sys.stdout)
    if isinstance(stdout, TextIOWrapper):
        cast("Any", stdout).reconfigure(errors="replace")  # the encoding may not have bars, or names like Zoë
    console = Console(highlight=False)
    if not console.is_terminal or console.width > WIDTH:
        console.width = WIDTH
    return console


class Screen:
    """Prints the chapters of the tour, numbered."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._chapters = 0

    def chapter(self, title: str, text: str) -> None:
        """Begin a chapter, with a sentence about what it shows."""
        self._chapters += 1
        self.console.print()
        self.console.rule(Text(f"{self._chapters}. {title}", "bold cyan"), align="left", style="cyan")
        self.say(text)

    def say(self, text: str) -> None:
        """Print a sentence."""
        self.console.print(Text(text))

    def show(self, renderable: RenderableType) -> None:
        """Print anything that rich can render, indented."""
        self.console.print(Padding(renderable, (0, 0, 0, _INDENT), expand=False))

    def sql(self, function: Any, max_lines: int = 30) -> None:
        """Print a query, with its comment wrapped to fit. The end of a long statement is omitted."""
        query = cast("Query", function.query)
        head = query.file.read_text(encoding="utf-8").splitlines()[query.line - 1 :][: 2 if query.record_class else 1]
        comment = [f"-- {line}" for line in wrap(query.doc, WIDTH - 3)]
        statement = query.source.text.splitlines()
        if (more := len(statement) - max_lines) > 1:
            statement = [*statement[:max_lines], f"-- ... and {more} more lines"]
        self.text("\n".join([*head, *comment, *statement]), "postgresql", f"{display_path(query.file)}:{query.line}")

    def text(self, text: str, lexer: str, title: str) -> None:
        """Print the text of a file, with syntax highlighting."""
        self.console.print()
        self.console.rule(Text(title, "bold"), align="left", style="dim", characters="-")
        self.console.print(Syntax(text, lexer, theme=_THEME, background_color="default", word_wrap=True))
        self.console.rule(style="dim", characters="-")

    def python(self, function: Callable[..., object]) -> None:
        """Print the source of a function."""
        code = Syntax(inspect.getsource(function).rstrip(), "python", theme=_THEME, background_color="default")
        self.show(Padding(code, (1, 0, 0, 0)))

    def run(self, function: Callable[..., _T], /, **arguments: object) -> _T:
        """Call the function, print the call, its duration and its result, and return the result."""
        start = perf_counter()
        result = function(**arguments)
        self._called(_call(function, arguments), result, perf_counter() - start)
        return result

    def run_async(self, runner: asyncio.Runner, function: Callable[..., Awaitable[_T]], /, **arguments: object) -> _T:
        """Like `run`, for a coroutine function."""

        async def call() -> _T:
            return await function(**arguments)

        start = perf_counter()
        result = runner.run(call())
        self._called(f"await {_call(function, arguments)}", result, perf_counter() - start)
        return result

    def query(self, function: Callable[..., _T], /, **parameters: object) -> _T:
        """Like `run`, for a query function, on a new connection."""
        with connection() as conn:
            start = perf_counter()
            result = function(conn, **parameters)
            self._called(_call(function, parameters, "conn"), result, perf_counter() - start)
        return result

    def failure(self, call: str, error: Exception) -> None:
        """Print a call that failed, and its error as at the end of a traceback."""
        self._prompt(call)
        message = Text(f"{_type_name(error)}: {error}", "red")
        for note in getattr(error, "__notes__", ()):
            message.append(f"\n{note}", "yellow")
        self.show(message)

    def record(self, row: object, *fields: str) -> None:
        """Print one row, with a line for each field, or only for `fields`."""
        table = Table("field", "type", "value", box=SIMPLE_HEAD, pad_edge=False)
        values = as_dict(row)
        for name in fields or values:
            table.add_row(name, Text(_type_name(values[name]), "dim"), _cell(values[name]))
        self.show(table)

    def rows(self, rows: Sequence[object], *columns: str) -> None:
        """Print rows as a table, with all columns or only `columns`. The header has the types of the values."""
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        dicts = [as_dict(row) for row in rows]
        names = columns or tuple(dicts[0]) if dicts else columns
        for name in names:
            types = sorted({_type_name(row[name]) for row in dicts})
            numeric = {"int", "float", "Decimal"}.issuperset(types)
            header = Text.assemble((name, "bold"), "\n", (" | ".join(types), "dim not bold"))
            table.add_column(header, justify="right" if numeric else "left", overflow="fold")
        for row in dicts:
            table.add_row(*[_cell(row[name]) for name in names])
        self.show(table)

    def _prompt(self, call: str) -> None:
        self.console.print()
        self.show(Text.assemble((">>> ", "dim"), (call, "bold")))

    def _called(self, call: str, result: object, seconds: float) -> None:
        self._prompt(call)
        line = Table.grid(expand=True, padding=(0, 2))
        line.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        line.add_column(no_wrap=True, justify="right")
        line.add_row(Text(_summary(result), "green"), Text(f"{1000 * seconds:.1f} ms", "dim"))
        self.console.print(Padding(line, (0, 0, 0, _INDENT)))


def as_dict(row: object) -> dict[str, Any]:
    """The columns and values of a row of any row class."""
    if isinstance(row, BaseModel):
        return {name: getattr(row, name) for name in type(row).model_fields}
    if dataclasses.is_dataclass(row):
        return {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
    if isinstance(row, dict):
        return cast("dict[str, Any]", row)
    return dict(cast("Any", row)._asdict())  # a named tuple; its methods begin with _ so that no field is hidden


def _type_name(value: object) -> str:
    return "None" if value is None else type(value).__name__


def _call(function: Callable[..., object], arguments: Mapping[str, object], *positional: str) -> str:
    """The call as Python source, with long values shortened."""
    given = ", ".join([*positional, *(f"{name}={_short(value)}" for name, value in arguments.items())])
    module = "queries" if hasattr(function, "query") else function.__module__.rpartition(".")[2]
    return f"{function.__name__}({given})" if module in _UNNAMED else f"{module}.{function.__name__}({given})"


def _short(value: object) -> str:
    """The value as Python source, shortened if it is long."""
    if isinstance(value, Enum):
        return f"{_type_name(value)}.{value.name}"
    if isinstance(value, UUID):
        return f"UUID('{str(value)[:8]}...')"
    if isinstance(value, date) and not isinstance(value, datetime):
        return f"date({value.year}, {value.month}, {value.day})"
    if inspect.isfunction(value):
        return value.__name__
    if isinstance(value, str) and len(value) > _LONG:
        return f"{value[:_LONG]!r}..."
    if isinstance(value, (datetime, BaseModel)) or len(repr(value)) > _LONG:
        return f"{_type_name(value)}(...)"
    return repr(value)


def _summary(result: object) -> str:
    """A result on one line: a row with its columns, a list with its first row."""
    if isinstance(result, list):
        rows = cast("list[object]", result)
        return f"{len(rows)} rows: {_summary(rows[0])}" + (", ..." if rows[1:] else "") if rows else "no rows"
    if _is_row(result):
        columns = [f"{name}={_short(value)}" for name, value in as_dict(result).items()]
        return f"{_type_name(result)}({', '.join(columns)})"
    return repr(result)


def _is_row(value: object) -> bool:
    return isinstance(value, BaseModel) or dataclasses.is_dataclass(value) or hasattr(value, "_asdict")


def _cell(value: object) -> Text:
    if value is None:
        return Text("None", "dim")
    if isinstance(value, datetime):
        return Text(f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3] + "Z")
    if isinstance(value, list):
        return Text(", ".join(map(str, cast("list[object]", value))))
    if isinstance(value, float):
        return Text(f"{value:.3g}")
    if isinstance(value, int) and not isinstance(value, bool):
        return Text(f"{value:,}")
    return Text(str(value))

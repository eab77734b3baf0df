"""The configuration of a project: `[tool.rowsmith]` of its pyproject.toml. Every fault is listed at once."""

from __future__ import annotations

import difflib
import keyword
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rowsmith.errors import RowsmithError
from rowsmith.findings import count_of, display_path
from rowsmith.queries.folders import QueryFolder

Models: TypeAlias = Literal["pydantic", "dataclass"]

FILE = "pyproject.toml"
"""The file that holds the configuration."""
_PARTS = ("sql", "migrations")


class ProjectError(RowsmithError):
    """The configuration is wrong. `faults` lists every fault, as `what is wrong: what was expected`."""

    def __init__(self, file: Path | None, faults: Sequence[str]) -> None:
        place = "" if file is None else f" in {display_path(file)}, [tool.rowsmith]"
        super().__init__("\n  ".join([f"rowsmith's configuration: {count_of(len(faults), 'fault')}{place}", *faults]))
        self.faults = tuple(faults)


class ServerChoice(NamedTuple):
    """Which PostgreSQL development uses. With neither, it is the embedded one."""

    database_url: str | None = None
    """A running server, for the scratch databases of `generate`, `check` and `describe`. May contain a password."""
    pg_bin: Path | None = None
    """The bin folder of the programs that servers are started with."""

    @classmethod
    def load(cls, start: Path) -> ServerChoice:
        """What the nearest pyproject.toml says, from `start` upwards, if it says anything.

        Raises ProjectError for faults in these keys; of others it says nothing, as they are not needed for a server.
        """
        file = configuration_file(start)
        if file is None:
            return cls()
        reader = _Reader(file.parent, read_configuration(file))
        faults = [fault for fault in reader.faults if fault.startswith(("database-url", "pg-bin"))]
        if faults:
            raise ProjectError(file, faults)
        return reader.server()


EMBEDDED = ServerChoice()


@dataclass(frozen=True, slots=True)
class Project:
    """The configuration. Every path is absolute."""

    root: Path
    """The folder of pyproject.toml, to which the paths in it are relative."""
    query_folders: tuple[QueryFolder, ...]
    """The project's own, then those of the components, sorted by name."""
    migrations: tuple[Path, ...]
    """The folders: the project's own, then those of the components, sorted by name."""
    output: Path | None
    """The module to generate; None if the configuration names none."""
    models: Models
    types: Mapping[str, str]
    """User overrides: a type or a `table.column`, and its Python type: `str`, `package.module:Name`."""
    never_null: tuple[str, ...] = ()
    """The signatures of functions of the user's that are never NULL: `app.slugify(text)`."""
    keeps_session: tuple[str, ...] = ()
    """The signatures of functions of the user's that leave nothing in a session: `set_updated_at()`."""
    server: ServerChoice = EMBEDDED
    embed: bool = False
    """Whether the module contains the SQL, and so needs no query files at run time."""

    @classmethod
    def load(cls, start: Path) -> Project:
        """Read the nearest pyproject.toml, from `start` upwards. Raises ProjectError, which lists every fault."""
        file = configuration_file(start)
        if file is None:
            raise ProjectError(None, [f"there is no {FILE} here or in a folder above. Run this inside a project"])
        reader = _Reader(file.parent, read_configuration(file))
        project = reader.project()
        if reader.faults:
            raise ProjectError(file, reader.faults)
        return project


def configuration_file(start: Path) -> Path | None:
    """The nearest pyproject.toml, from `start` upwards."""
    start = start.absolute()
    return next((path for folder in (start, *start.parents) if (path := folder / FILE).is_file()), None)


def read_configuration(file: Path) -> Mapping[str, Any]:
    """What is in a pyproject.toml. Raises ProjectError if it cannot be read as TOML."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ProjectError(file, [f"the file cannot be read as TOML: {error}"]) from None


_TYPE = 'the name of a Python type, such as "str" or "app.types:ProjectSettings"'
_Text = Annotated[str, Field(min_length=1)]


class _Table(BaseModel):
    """The table as it is written. The description of a key is what a message says was expected."""

    model_config = ConfigDict(extra="forbid", strict=True)

    sql: _Text | None = Field(None, description='the folder of the query files, such as sql = "sql"')
    migrations: list[_Text] | None = Field(None, description='a list of folders, such as migrations = ["migrations"]')
    components: list[_Text] = Field(
        [], description='a list of patterns of folders, such as components = ["src/app/components/*"]'
    )
    output: _Text | None = Field(
        None, description='the path of a Python module in an existing folder, such as output = "src/app/queries.py"'
    )
    embed: bool = Field(False, description="true or false: whether the module contains the SQL")
    models: Models = Field("pydantic", description='"pydantic" or "dataclass"')
    types: dict[str, _Text] = Field({}, description="a table, [tool.rowsmith.types]")
    database_url: _Text | None = Field(
        None, alias="database-url", description='the URL of a server, such as database-url = "postgresql://localhost"'
    )
    pg_bin: _Text | None = Field(
        None, alias="pg-bin", description='a folder of programs, such as pg-bin = "/usr/lib/postgresql/18/bin"'
    )
    never_null: list[_Text] = Field(
        [], alias="never-null", description='a list of functions, such as never-null = ["app.slugify(text)"]'
    )
    keeps_session: list[_Text] = Field(
        [], alias="keeps-session", description='a list of functions, such as keeps-session = ["set_updated_at()"]'
    )


class _Reader:
    """Reads the table, and collects its faults."""

    def __init__(self, root: Path, content: Mapping[str, Any]) -> None:
        self.faults: list[str] = []
        self._root = root
        self._wrong: set[str] = set()
        tool = content.get("tool")  # `tool = 1` is somebody else's fault
        self._table = self._read(cast("dict[str, Any]", tool).get("rowsmith", {}) if isinstance(tool, dict) else {})

    def _read(self, given: Any) -> _Table:
        """The table without the keys that are wrong: the others may have faults as well."""
        try:
            return _Table.model_validate(given)
        except ValidationError as error:
            errors = error.errors()
        if errors[0]["loc"] == ():
            self.faults.append(f"rowsmith is {_shown(given)}: expected a table")
            return _Table.model_construct()
        self._wrong = {str(each["loc"][0]) for each in errors}
        self.faults += dict.fromkeys(_fault(each["loc"], each["input"], given) for each in errors)
        return _Table.model_construct(**{key: given[key] for key in given if key not in self._wrong})

    def project(self) -> Project:
        """The configuration, to be used if there are no faults."""
        components = self._components()
        sql = None if self._table.sql is None else [self._table.sql]
        queries = [QueryFolder(each / "sql", (each.name,)) for each in components if (each / "sql").is_dir()]
        migrations = [each / "migrations" for each in components if (each / "migrations").is_dir()]
        own_queries = map(QueryFolder, self._folders("sql", sql, optional=bool(queries)))
        own_migrations = self._folders("migrations", self._table.migrations, optional=bool(migrations))
        return Project(
            root=self._root,
            query_folders=(*own_queries, *queries),
            migrations=tuple(dict.fromkeys([*own_migrations, *migrations])),
            output=self._output(),
            models=self._table.models,
            types=self._table.types,
            server=self.server(),
            never_null=tuple(self._table.never_null),
            keeps_session=tuple(self._table.keeps_session),
            embed=self._table.embed,
        )

    def server(self) -> ServerChoice:
        pg_bin = self._table.pg_bin
        return ServerChoice(
            self._table.database_url, None if pg_bin is None else self._root / Path(pg_bin).expanduser()
        )

    def _components(self) -> list[Path]:
        """The folders that match the patterns of `components`, sorted by name."""
        found: set[Path] = set()
        for pattern in self._table.components:
            try:
                folders = {each for each in self._root.glob(pattern) if any((each / name).is_dir() for name in _PARTS)}
            except (ValueError, NotImplementedError):  # an absolute path, or `**` within a name
                self.faults.append(f"components: {pattern!r} is not a pattern of folders relative to {FILE}")
                continue
            if not folders:
                self.faults.append(f"components: {pattern!r} matches no folder that holds sql or migrations")
            found |= folders
        components = sorted(found, key=lambda each: (each.name, each))
        for folder in components:
            if not folder.name.isidentifier() or keyword.iskeyword(folder.name):
                place = folder.relative_to(self._root)
                self.faults.append(
                    f"components: {place} is a namespace, but {folder.name!r} is not a valid Python name"
                )
        for one, other in pairwise(components):
            if one.name == other.name:
                both = f"{one.relative_to(self._root)} and {other.relative_to(self._root)}"
                self.faults.append(f"components: {both} have the same name")
        return components

    def _folders(self, key: str, names: Sequence[str] | None, *, optional: bool) -> list[Path]:
        """The folders with these names, or the default one, which may be missing if it is `optional`."""
        if key in self._wrong:
            return []
        default, optional = (" (the default)", optional) if names is None else ("", False)
        wanted = {name: self._root / name for name in ([key] if names is None else names)}
        found = {name: path for name, path in wanted.items() if path.is_dir()}
        if not optional:
            missing = [name for name in wanted if name not in found]
            self.faults += [f"{key}: there is no folder {name!r}{default} next to {FILE}" for name in missing]
        return [*found.values()]

    def _output(self) -> Path | None:
        if self._table.output is None:
            return None
        path = self._root / self._table.output
        if path.suffix != ".py" or not path.stem.isidentifier() or not path.parent.is_dir():
            self.faults.append(_fault(["output"], self._table.output, {}))
        return path


def _fault(location: Sequence[int | str], value: Any, given: Mapping[str, Any]) -> str:
    key, *inner = map(str, location)
    fields = {each.alias or name: each for name, each in _Table.model_fields.items()}
    field = fields.get(key)
    if field is None:
        near = difflib.get_close_matches(key, fields, 1)
        hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(fields)}"
        return f"{key} is not a key: {hint}"
    if inner and key == "types":
        return f"types: {inner[0]} is {_shown(value)}: expected {_TYPE}"
    if key == "database-url":  # it may contain a password
        return f"{key} is not a text: expected {field.description}"
    return f"{key} is {_shown(given.get(key, value))}: expected {field.description}"


def _shown(value: object) -> str:
    """A value as TOML writes it, or nearly so."""
    return str(value).lower() if isinstance(value, bool) else repr(value)

"""The configuration of a project: `[tool.rowsmith]` of its pyproject.toml, checked at once, with every fault listed."""

from __future__ import annotations

import difflib
import keyword
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

from rowsmith.errors import RowsmithError
from rowsmith.findings import count_of, display_path
from rowsmith.queries.loader import QueryFolder

Models: TypeAlias = Literal["pydantic", "dataclass"]

_FILE = "pyproject.toml"
_SQL = "sql"
_MIGRATIONS = "migrations"
_KEYS = ("sql", "migrations", "components", "output", "models", "types")
_NO_CONFIGURATION = (
    "there is no pyproject.toml here or in a folder above. Run this in a project, whose pyproject.toml may hold "
    "[tool.rowsmith]"
)


class ProjectError(RowsmithError):
    """The configuration holds faults. `faults` lists every one, as `what is wrong: what was expected`."""

    def __init__(self, file: Path | None, faults: list[str]) -> None:
        place = "" if file is None else f" in {display_path(file)}, [tool.rowsmith]"
        super().__init__("\n  ".join([f"rowsmith's configuration: {count_of(len(faults), 'fault')}{place}", *faults]))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class Project:
    """The configuration. Every path is absolute."""

    root: Path
    """The folder of pyproject.toml, to which the paths in it are relative."""
    query_folders: tuple[QueryFolder, ...]
    """The project's own, then those of the components, by name."""
    migrations: tuple[Path, ...]
    """The folders: the project's own, then those of the components, by name."""
    output: Path | None
    """The module to generate; None where the configuration names none."""
    models: Models
    types: Mapping[str, str]
    """User overrides: a type or a `table.column`, and the Python type it is: `str`, `package.module:Name`."""

    @classmethod
    def load(cls, start: Path) -> Project:
        """Read the nearest pyproject.toml, from `start` upwards. Raises ProjectError, which lists every fault."""
        file = configuration_file(start)
        if file is None:
            raise ProjectError(None, [_NO_CONFIGURATION])
        try:
            content = tomllib.loads(file.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
            raise ProjectError(file, [f"the file cannot be read as TOML: {error}"]) from None
        reader = _Reader(file.parent, content)
        project = reader.project()
        if reader.faults:
            raise ProjectError(file, reader.faults)
        return project


def configuration_file(start: Path) -> Path | None:
    """The nearest pyproject.toml, from `start` upwards."""
    start = start.absolute()
    return next((path for folder in (start, *start.parents) if (path := folder / _FILE).is_file()), None)


@dataclass(frozen=True, slots=True)
class _Component:
    name: str
    folder: Path


class _Reader:
    """Reads the table, and collects its faults."""

    def __init__(self, root: Path, content: Mapping[str, Any]) -> None:
        self.faults: list[str] = []
        self._root = root
        # TOML's own [tool] is always a table where [tool.rowsmith] stands; `tool = 1` is somebody else's fault.
        tool = content.get("tool")
        given: object = cast("dict[str, object]", tool).get("rowsmith", {}) if isinstance(tool, dict) else {}
        if not isinstance(given, dict):
            self.faults.append(f"rowsmith is {_shown(given)}: expected a table")
            given = {}
        self._table = cast("dict[str, object]", given)

    def project(self) -> Project:
        """The configuration, to be used where no fault was found."""
        self._check_keys()
        components = self._components()
        return Project(
            root=self._root,
            query_folders=self._query_folders(components),
            migrations=self._migrations(components),
            output=self._output(),
            models=self._models(),
            types=self._types(),
        )

    def _check_keys(self) -> None:
        for key in self._table:
            if key not in _KEYS:
                near = difflib.get_close_matches(key, _KEYS, 1)
                hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(_KEYS)}"
                self.faults.append(f"{key} is not a key: {hint}")

    def _components(self) -> list[_Component]:
        """The folders that the patterns of `components` stand for, by name."""
        found: dict[Path, _Component] = {}
        for pattern in self._strings("components", "of patterns of folders", 'components = ["src/app/components/*"]'):
            try:
                folders = [folder for folder in self._root.glob(pattern) if _is_component(folder)]
            except (ValueError, NotImplementedError):  # an absolute path, or `**` within a name
                self.faults.append(f"components: {pattern!r} is not a pattern of folders relative to pyproject.toml")
                continue
            if not folders:
                self.faults.append(f"components: {pattern!r} finds no folder that holds sql or migrations")
            found |= {folder: _Component(folder.name, folder) for folder in folders}
        components = sorted(found.values(), key=lambda each: (each.name, each.folder))
        self._check_names(components)
        return components

    def _check_names(self, components: list[_Component]) -> None:
        named: dict[str, Path] = {}
        for component in components:
            name, folder = component.name, self._relative(component.folder)
            if not name.isidentifier() or keyword.iskeyword(name):
                self.faults.append(f"components: {folder} is a namespace, and {name!r} is no Python name")
            if (earlier := named.setdefault(name, component.folder)) != component.folder:
                self.faults.append(f"components: {self._relative(earlier)} and {folder} have the same name, {name!r}")

    def _query_folders(self, components: list[_Component]) -> tuple[QueryFolder, ...]:
        given = self._string("sql", 'the folder of the query files, such as sql = "sql"')
        theirs = [QueryFolder(each.folder / _SQL, (each.name,)) for each in components if (each.folder / _SQL).is_dir()]
        own = self._folders("sql", [given or _SQL], optional="sql" not in self._table and bool(theirs))
        return (*(QueryFolder(path) for path in own), *theirs)

    def _migrations(self, components: list[_Component]) -> tuple[Path, ...]:
        given = self._strings("migrations", "of folders", 'migrations = ["migrations"]')
        theirs = [folder for each in components if (folder := each.folder / _MIGRATIONS).is_dir()]
        wanted = given if "migrations" in self._table else [_MIGRATIONS]
        own = self._folders("migrations", wanted, optional="migrations" not in self._table and bool(theirs))
        return tuple(dict.fromkeys([*own, *theirs]))

    def _folders(self, key: str, names: list[str], *, optional: bool) -> list[Path]:
        """The folders of these names that are there. One that is missing is a fault, unless it is `optional`."""
        paths = [self._root / name for name in names]
        for name, path in zip(names, paths, strict=True):
            if not path.is_dir() and not optional:
                default = "" if key in self._table else " (the default)"
                self.faults.append(f"{key}: there is no folder {name!r}{default}: expected one beside pyproject.toml")
        return [path for path in paths if path.is_dir()]

    def _output(self) -> Path | None:
        expected = 'the path of a Python module in a folder that exists, such as output = "src/app/queries.py"'
        given = self._string("output", expected)
        if given is None:
            return None
        path = self._root / given
        if path.suffix != ".py" or not path.stem.isidentifier() or not path.parent.is_dir():
            self.faults.append(f"output is {given!r}: expected {expected}")
        return path

    def _models(self) -> Models:
        given = self._table.get("models", "pydantic")
        if given not in ("pydantic", "dataclass"):
            self.faults.append(f'models is {_shown(given)}: expected "pydantic" or "dataclass"')
        return "dataclass" if given == "dataclass" else "pydantic"

    def _types(self) -> dict[str, str]:
        expected = 'the name of a Python type, such as "str" or "app.types:ProjectSettings"'
        given = self._table.get("types", cast("dict[str, object]", {}))
        if not isinstance(given, dict):
            self.faults.append(f"types is {_shown(given)}: expected a table, [tool.rowsmith.types]")
            return {}
        types: dict[str, str] = {}
        for name, value in cast("dict[str, object]", given).items():
            if isinstance(value, str) and value:  # whether there is such a type is for the compiler to say
                types[name] = value
            else:
                self.faults.append(f"types: {name} is {_shown(value)}: expected {expected}")
        return types

    def _string(self, key: str, expected: str) -> str | None:
        value = self._table.get(key)
        if value is None:
            return None
        if isinstance(value, str) and value:
            return value
        self.faults.append(f"{key} is {_shown(value)}: expected {expected}")
        return None

    def _strings(self, key: str, what: str, example: str) -> list[str]:
        value = self._table.get(key, [])
        items: list[object] = list(cast("list[object]", value)) if isinstance(value, list) else [None]
        strings = [item for item in items if isinstance(item, str) and item]
        if len(strings) == len(items):
            return strings
        self.faults.append(f"{key} is {_shown(self._table[key])}: expected a list {what}, such as {example}")
        return []

    def _relative(self, path: Path) -> Path:
        return path.relative_to(self._root) if path.is_relative_to(self._root) else path


def _is_component(folder: Path) -> bool:
    return (folder / _SQL).is_dir() or (folder / _MIGRATIONS).is_dir()


def _shown(value: object) -> str:
    """A value as TOML writes it, or nearly so."""
    return str(value).lower() if isinstance(value, bool) else repr(value)

"""Where query files are: in a folder, in a package, which may be in a zip file, or in the generated module itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

from rowsmith.findings import Finding, Rule
from rowsmith.queries.query import is_python_name


class Source(Protocol):
    """A file or a folder that can be read: a `Path`, or another `Traversable` of `importlib.resources`."""

    @property
    def name(self) -> str: ...
    def is_dir(self) -> bool: ...
    def is_file(self) -> bool: ...
    def iterdir(self) -> Iterator[Source]: ...
    def read_bytes(self) -> bytes: ...


class QueryFolder(NamedTuple):
    """A folder of query files, or a single file, and the namespace of its queries."""

    path: Path
    """What messages call it. It is read from here, unless there is another `source`."""
    namespace: tuple[str, ...] = ()
    source: Source | None = None
    hint: str | None = None
    """What to do if it does not exist."""


@dataclass(frozen=True)
class Embedded:
    """A query file whose text is in a generated module. It is a `Source`."""

    name: str
    text: str

    def is_dir(self) -> bool:
        return False

    def is_file(self) -> bool:
        return True

    def iterdir(self) -> Iterator[Source]:
        raise NotADirectoryError(self.name)

    def read_bytes(self) -> bytes:
        return self.text.encode()


class QueryFile(NamedTuple):
    """A query file that was found."""

    path: Path
    namespace: tuple[str, ...]
    source: Source


def given_folder(given: str | Path | Source) -> QueryFolder:
    """The folder or the file that a user has named, by a path or as a `Traversable`."""
    path = Path(given) if isinstance(given, str | Path) else _path_of(given)
    if path.is_absolute():
        hint = (
            "If it belongs to a package, check that the installed package contains it: some build tools leave out "
            "files that are not Python's"
        )
    else:
        hint = (
            f"A relative path starts at the working folder, {Path.cwd()}. Name the folder independently of it: "
            f'Path(__file__).parent / "{given}", or importlib.resources.files("app") / "{given}" if the package app '
            "has it"
        )
    return QueryFolder(path, (), None if isinstance(given, str | Path) else given, hint)


def _path_of(source: Source) -> Path:
    """The path of a source. What is inside always has one; a package without `__init__.py` is written otherwise."""
    inside = next(iter(source.iterdir()), None) if source.is_dir() else None
    return Path(str(source)) if inside is None else Path(str(inside)).parent


def folder_of_module(module: str, file: str, folder: str, namespace: tuple[str, ...]) -> QueryFolder:
    """A folder of the queries of a generated module, relative to the module's own `file`.

    If it is not in the file system, it is looked for as a resource of the module's package.
    """
    path = Path(os.path.normpath(Path(file).parent / folder))
    hint = (
        f"The module {module} reads its SQL from there. To deploy it without the folder, set embed = true in "
        "[tool.rowsmith] and run: rowsmith generate. Or move the folder into the package, as package data"
    )
    return QueryFolder(path, namespace, None if path.exists() else _resource(module, folder), hint)


def files_in(folder: QueryFolder, faults: list[Finding]) -> Iterator[QueryFile]:
    """The query files of a folder: its own, sorted by name, then those of its sub-folders, which are namespaces."""
    source = folder.source or folder.path
    found = QueryFile(folder.path, folder.namespace, source)
    if source.is_dir():
        yield from _walk(found, (), faults)
    elif source.is_file():
        yield found
    else:
        faults.append(Finding(Rule.QUERY_FILE, folder.path, None, "there is no such file or folder", folder.hint))


def _resource(module: str, folder: str) -> Source | None:
    """A folder in the package that a module is in, or in one above it, which may be in a zip file. None if none is."""
    from importlib.resources import files  # noqa: PLC0415 - slow to import, and rarely needed

    packages = (getattr(sys.modules.get(module), "__package__", None) or "").split(".")
    names = PurePosixPath(folder).parts
    up = names.count("..")  # they are at the beginning
    package = ".".join(packages[: max(len(packages) - up, 0)])
    try:
        found = files(package).joinpath(*names[up:]) if package else None
    except (ImportError, OSError, TypeError):  # its loader has no files
        return None
    return found if found is not None and found.is_dir() else None


def _walk(folder: QueryFile, above: Iterable[Path], faults: list[Finding]) -> Iterator[QueryFile]:
    """The query files of a folder. `above` are the real paths of those that it is in."""
    real = folder.path.resolve()
    if real in above:
        return  # a symbolic link that leads back
    entries = sorted(folder.source.iterdir(), key=lambda entry: entry.name)
    inside = [
        QueryFile(folder.path / entry.name, folder.namespace, entry)
        for entry in entries
        if not entry.name.startswith(".")
    ]
    yield from (file for file in inside if file.path.suffix == ".sql" and _is_file(file.source))
    for entry in inside:
        if not entry.source.is_dir():
            continue
        name, found = entry.path.name, False
        for file in _walk(entry._replace(namespace=(*folder.namespace, name)), (*above, real), faults):
            found = True
            yield file
        if found and not is_python_name(name):
            message = f"a folder is a namespace, but {name!r} is not a valid Python name"
            faults.append(Finding(Rule.QUERY_FILE, entry.path, None, message))


def _is_file(entry: Source) -> bool:
    """Whether it is a file, or a symbolic link that leads nowhere, which is a fault when it is read."""
    return entry.is_file() or (isinstance(entry, Path) and entry.is_symlink() and not entry.exists())

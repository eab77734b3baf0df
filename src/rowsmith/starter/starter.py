"""The files that a project begins with: `rowsmith new DIR`, and `rowsmith init` in a project that exists."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from string import Template
from typing import Literal, get_args

from rowsmith.compiler.project import FILE, read_configuration
from rowsmith.errors import RowsmithError
from rowsmith.queries.query import is_python_name

Framework = Literal["fastapi", "flask", "none"]
FRAMEWORKS = get_args(Framework)
_SUFFIX = ".in"
_OF_PROJECT = ("pyproject.toml", "README.md", "src/")
"""Of the files, those that a project that exists is not given: it has its own."""
_OF_SCHEMA = ("migrations/", "sql/", "tests/test_")
"""Those that go with the first table."""
_DEPENDENCIES: Mapping[Framework, list[str]] = {
    "none": ["rowsmith"],
    "fastapi": ["rowsmith[fastapi]", "uvicorn"],
    "flask": ["rowsmith[flask]", "gunicorn"],
}
_DEV = ["rowsmith[all]", "mypy", "pyright[nodejs]", "pytest"]
_DEV_OF: Mapping[Framework, list[str]] = {"none": [], "fastapi": ["httpx2"], "flask": []}
_RUN: Mapping[Framework, tuple[str, str]] = {
    "none": ("list the latest users", "python -m {package}.main"),
    "fastapi": ("serve the application on port 8000", "uvicorn {package}.main:app"),
    "flask": ("serve the application on port 8000", "gunicorn --bind 127.0.0.1:8000 {package}.main:app"),
}


class StarterError(RowsmithError):
    """The files cannot be written: what is in the way, and what to do."""


@dataclass
class Written:
    """What was written, and what was there already and left as it was. The paths are relative to the project."""

    root: Path
    package: str
    new: list[str] = field(default_factory=list[str])
    kept: list[str] = field(default_factory=list[str])


def start(folder: Path, framework: Framework) -> Written:
    """Write a new project into a folder that does not exist yet, or is empty. Raises StarterError."""
    folder = folder.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StarterError(
            f"{folder} exists and is not an empty folder. Choose another name, or run `rowsmith init` in the project"
        )
    name = re.sub(r"[^A-Za-z0-9]+", "-", folder.name).strip("-").lower()
    package = name.replace("-", "_")
    if not is_python_name(package):
        raise StarterError(f"{folder.name!r} cannot name a Python package. Choose a name that begins with a letter")
    written = Written(folder, package)
    folder.mkdir(parents=True, exist_ok=True)
    files = _files("files") | _files(f"frameworks/{framework}")
    _write(written, files, _values(name, package, framework))
    return written


def extend(folder: Path) -> Written:
    """Write into a project what it lacks, and a section into its pyproject.toml. Nothing is overwritten.

    Raises StarterError if it has no pyproject.toml or no package, and ProjectError if pyproject.toml is no TOML.
    """
    folder = folder.absolute()
    file = folder / FILE
    if not file.is_file():
        raise StarterError(f"{folder} has no {FILE}. Run this in a project, or `rowsmith new DIR` for a new one")
    content = read_configuration(file)
    configured = content.get("tool", {}).get("rowsmith")
    if configured is None:
        module = (_package(folder, content.get("project", {})) / "queries.py").relative_to(folder).as_posix()
    else:
        module = str(configured.get("output", "the typed module"))
    written = Written(folder, Path(module).parent.name)
    if configured is None:
        section = f'[tool.rowsmith]\nsql = "sql"\nmigrations = ["migrations"]\noutput = "{module}"\n'
        file.write_text(f"{file.read_text(encoding='utf-8').rstrip()}\n\n{section}".lstrip(), encoding="utf-8")
        written.new.append(f"{FILE} ([tool.rowsmith])")
    else:
        written.kept.append(FILE)
    files = _files("files") | _files("existing")
    has_schema = any(str(each.relative_to(folder)) not in files for each in folder.glob("migrations/*"))
    left_out = _OF_PROJECT + _OF_SCHEMA if has_schema else _OF_PROJECT
    files = {path: text for path, text in files.items() if not path.startswith(left_out)}
    if has_schema and not any(folder.glob("sql/**/*.sql")):
        files |= _files("example")
    _write(written, files, _values(folder.name, written.package, "none") | {"module": module})
    return written


def _package(folder: Path, project: Mapping[str, object]) -> Path:
    """The folder of the project's package: that of its name, or the only one there is."""
    wanted = re.sub(r"[-.]+", "_", str(project.get("name", "")))
    found = [path.parent for root in (folder / "src", folder) for path in sorted(root.glob("*/__init__.py"))]
    found = [path for path in found if path.name != "tests"]
    named = [path for path in found if path.name.lower() == wanted.lower()]
    if named or len(found) == 1:
        return (named or found)[0]
    packages = ", ".join(str(path.relative_to(folder)) for path in found) or "none"
    raise StarterError(
        f"which package is to have the typed module? Found: {packages}. Name it in {FILE}: [tool.rowsmith] "
        'output = "src/app/queries.py", and run this again'
    )


def _values(name: str, package: str, framework: Framework) -> dict[str, str]:
    help_of_run, run = _RUN[framework]
    return {
        "name": name,
        "package": package,
        "module": f"src/{package}/queries.py",
        "dependencies": ", ".join(f'"{each}"' for each in _DEPENDENCIES[framework]),
        "dev": ", ".join(f'"{each}"' for each in _DEV + _DEV_OF[framework]),
        "run": f"$(BIN)/{run.format(package=package)}",
        "run_help": help_of_run,
    }


def _write(written: Written, files: Mapping[str, Template], values: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = name.replace("/package/", f"/{written.package}/")
        target = written.root / path
        if target.exists():
            written.kept.append(path)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text.substitute(values), encoding="utf-8")
        written.new.append(path)


def _files(kind: str) -> dict[str, Template]:
    """The files of a kind, by their path in the project."""
    root = resources.files(__package__ or __name__).joinpath(kind)
    return {str(path): Template(text.read_text(encoding="utf-8")) for path, text in _walk(root, PurePosixPath())}


def _walk(folder: Traversable, path: PurePosixPath) -> Iterator[tuple[PurePosixPath, Traversable]]:
    for each in sorted(folder.iterdir(), key=lambda each: each.name):
        name = re.sub("^dot_", ".", each.name)
        if each.is_dir():
            yield from _walk(each, path / name)
        else:
            yield path / name.removesuffix(_SUFFIX), each

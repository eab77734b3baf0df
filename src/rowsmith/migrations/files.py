"""The files of migrations, read by our own lexer.

yoyo splits files with sqlparse, which knows several databases, and half of PostgreSQL. Here a file is refused before
anything runs if it cannot be what it should be, and every statement knows its line.
"""

# yoyo has no annotations, so pyright knows no type that comes from it:
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUntypedBaseClass=false, reportUnknownParameterType=false

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from glob import glob
from importlib import resources
from itertools import takewhile, zip_longest
from pathlib import Path
from types import ModuleType
from typing import Any

from yoyo import read_migrations as yoyo_read_migrations
from yoyo.exceptions import MigrationConflict
from yoyo.migrations import Migration, StepCollector

from rowsmith.findings import Finding
from rowsmith.migrations.failure import RefusedError, refused
from rowsmith.queries.commands import ending_command
from rowsmith.queries.files import SqlFile, SqlFileError
from rowsmith.queries.lexer import Token, TokenKind, split_statements

NON_TRANSACTIONAL = "-- transactional: false"
_DIGEST = "sha256"
_CRLF, _LF = b"\r\n", b"\n"


class Statement(str):
    """A statement of a file of migrations."""

    __slots__ = ("file", "tokens")
    file: SqlFile
    tokens: Sequence[Token]

    @classmethod
    def of(cls, file: SqlFile, tokens: Sequence[Token]) -> Statement:
        """The statement that consists of these tokens of the file."""
        statement = cls(file.text[tokens[0].start : tokens[-1].end])
        statement.file, statement.tokens = file, tokens
        return statement

    def finding(self, position: int, message: str, hint: str | None = None) -> Finding:
        """A finding at an offset in the statement."""
        return self.file.finding(self.tokens[0].start + position, message, hint)


class SqlMigration(Migration):  # type: ignore[misc]  # yoyo has no annotations
    """A migration in SQL."""

    _found: set[Any] | None = None

    @property
    def depends(self) -> set[Any]:
        """The migrations that have to be applied before. Raises RefusedError if there is no such migration."""
        if self._found is None:
            file = _read(path_of(self))
            self._found, self.source = set(_dependencies(self, file)), file.text
        return self._found

    def load(self) -> None:
        """Read the files, unless they have been read. Raises RefusedError if one cannot be that of a migration."""
        if self.loaded:
            return
        file, rollback = _read(path_of(self)), rollback_file(self)
        statements = _statements(file)
        undoing = _statements(_read(rollback)) if rollback.exists() else []
        transactional = _is_transactional(file)
        if transactional:
            _check_commands([*statements, *undoing])
        collector = StepCollector(self)
        # yoyo undoes steps from the last to the first: in this order, the rollback file runs from its beginning.
        for step in zip_longest(statements, reversed(undoing)):
            collector.add_step(*step)
        self.source, self.module = file.text, ModuleType(self.path)
        self.use_transactions = transactional
        self.steps = collector.create_steps(transactional)


def read_migrations(*sources: str) -> Any:
    """The migrations in some folders, which yoyo finds: the sources may be patterns, and `package:NAME:FOLDER`.

    Raises RefusedError if there is no such folder, or if two files have the same id.
    """
    for source in sources:
        if not _is_folder(source):
            hint = "Correct `sources` in yoyo.ini, or the folder on the command line"
            raise RefusedError(f"there is no migration folder {source}. {hint}")
    try:
        return adopted(yoyo_read_migrations(*sources))
    except MigrationConflict as error:
        raise RefusedError(f"two migrations have the id {error.args[0]}. Rename one of their files") from None
    except OSError as error:
        raise RefusedError(f"the migrations cannot be read: {error.strerror}: {error.filename}") from None


def adopted(migrations: Any) -> Any:
    """The same list. Those in SQL are read by our own lexer from now on."""
    adopt(*migrations, *migrations.post_apply)
    return migrations


def adopt(*migrations: Any) -> None:
    """Let migrations in SQL be read by our own lexer."""
    for migration in migrations:
        if migration.is_raw_sql() and not isinstance(migration, SqlMigration):
            migration.__class__ = SqlMigration
            migration.steps = None  # if yoyo has loaded it


def path_of(migration: Any) -> Path:
    """The file of a migration, as an absolute path."""
    return Path(migration.path).absolute()


def rollback_file(migration: Any) -> Path:
    """Where the rollback of a migration in SQL is, if it has one."""
    return path_of(migration).with_suffix(".rollback.sql")


def digest(migration: Any) -> str | None:
    """What distinguishes the file of a migration from an edited one; None if it cannot be read.

    In a file of SQL, comments, white space and the kind of the line breaks do not count.
    """
    path = path_of(migration)
    try:
        if migration.is_raw_sql():
            content = "\n".join(token.text for token in SqlFile.read(path).tokens if not token.blank).encode()
        else:
            content = path.read_bytes()
    except (SqlFileError, OSError):
        return None
    return f"{_DIGEST} {hashlib.sha256(content.replace(_CRLF, _LF)).hexdigest()}"


def is_digest(text: str | None) -> bool:
    """Whether the comment of a log entry is a digest."""
    return text is not None and text.startswith(f"{_DIGEST} ")


def _is_folder(source: str) -> bool:
    kind, _, rest = source.partition(":")
    package, colon, folder = rest.partition(":")
    if kind == "package" and colon:
        with suppress(ModuleNotFoundError):
            return resources.files(package).joinpath(folder).is_dir()
        return False
    found = glob(source)  # noqa: PTH207 - as yoyo does, the pattern of an absolute path included
    return bool(found) and all(Path(each).is_dir() for each in found)


def _read(path: Path) -> SqlFile:
    try:
        return SqlFile.read(path)
    except SqlFileError as error:
        raise refused(error.finding) from None


def _statements(file: SqlFile) -> list[Statement]:
    return [Statement.of(file, tokens) for tokens in split_statements(file.tokens)]


def _directives(file: SqlFile) -> dict[str, list[tuple[Token, str]]]:
    """The comments `-- depends: ...` and `-- transactional: ...` above the first statement, with their values."""
    found: dict[str, list[tuple[Token, str]]] = {"depends": [], "transactional": []}
    for token in takewhile(lambda token: token.blank, file.tokens):
        name, _, value = token.text[2:].partition(":")
        if token.kind is TokenKind.LINE_COMMENT and (name := name.strip()) in found:
            found[name].append((token, value.strip()))
    return found


def _is_transactional(file: SqlFile) -> bool:
    values = {"true": True, "false": False}
    transactional = True
    for token, value in _directives(file)["transactional"]:
        if value.lower() not in values:
            raise refused(file.finding(token.start, f"transactional is {value!r}: expected true or false"))
        transactional = values[value.lower()]
    return transactional


def _dependencies(migration: SqlMigration, file: SqlFile) -> Iterator[Any]:
    known: Mapping[str, Any] = vars(Migration)["_Migration__all_migrations"]  # where yoyo looks itself
    for token, value in _directives(file)["depends"]:
        for name in value.split():
            if name not in known:
                near = difflib.get_close_matches(name, known.keys() - {migration.id}, 1)
                hint = f"Did you mean {near[0]}?" if near else None
                raise refused(file.finding(token.start, f"there is no migration {name!r}", hint))
            yield known[name]


def _check_commands(statements: Iterable[Statement]) -> None:
    """Raise RefusedError for a command that would end the transaction of a migration."""
    for statement in statements:
        if command := ending_command(statement.tokens):
            hint = f"Remove it (and BEGIN), or write `{NON_TRANSACTIONAL}` above the first statement"
            message = f"{command} would end the transaction in which this migration is applied and recorded"
            raise refused(statement.finding(0, message, hint))

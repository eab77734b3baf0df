"""The loader: from a folder of `.sql` files to queries.

The format is aiosql's, and aiosql reads it: the name line, the marks, the record class and the documentation. The SQL
itself is cut by our own lexer (`lexer`): aiosql sees a stand-in.

Every fault of every file is found before one error is raised.
"""

from __future__ import annotations

import difflib
import inspect
import keyword
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from aiosql.adapters.generic import GenericAdapter
from aiosql.query_loader import QueryLoader
from aiosql.types import QueryDatum, SQLOperationType
from aiosql.utils import SQLParseException

from rowsmith.errors import QueryFileError
from rowsmith.queries.lexer import Token, TokenKind, UnterminatedError, tokenize
from rowsmith.queries.query import Kind, Query, Source, display_path

_KINDS = {
    SQLOperationType.SELECT: Kind.MANY,
    SQLOperationType.SELECT_ONE: Kind.ONE,
    SQLOperationType.SELECT_VALUE: Kind.VALUE,
    SQLOperationType.INSERT_UPDATE_DELETE: Kind.AFFECTED,
    SQLOperationType.INSERT_RETURNING: Kind.RETURNING,
    SQLOperationType.INSERT_UPDATE_DELETE_MANY: Kind.EXECUTEMANY,
    SQLOperationType.SCRIPT: Kind.SCRIPT,
}
_EXAMPLE = "-- name: get_user(id)^"
_MARKS = "no mark for rows, ^ one row, $ one value, ! affected rows, <! the returned row, *! many, # script"


def read_queries(path: Path) -> list[Query]:
    """The queries of a `.sql` file, or of all those in a folder; a sub-folder is a namespace.

    Sorted by namespace, file and place in the file. Raises QueryFileError, which lists all faults.
    """
    reader = _Reader()
    if path.is_dir():
        reader.read_folder(path, ())
    elif path.is_file():
        reader.read_file(path, ())
    else:
        reader.fault(path, None, "there is no such file or folder")
    reader.check_names()
    if reader.faults:
        raise QueryFileError(reader.faults)
    return reader.queries


class _Fault(Exception):  # noqa: N818 - collected and listed, never seen by a user
    """One fault: what is wrong, at a line of the file at hand."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


@dataclass
class _Reader:
    """Walks the files and collects queries and faults."""

    queries: list[Query] = field(default_factory=list[Query])
    faults: list[str] = field(default_factory=list[str])

    def fault(self, file: Path, line: int | None, message: str) -> None:
        place = display_path(file) if line is None else f"{display_path(file)}:{line}"
        self.faults.append(f"{place}: {message}")

    def read_folder(self, folder: Path, namespace: tuple[str, ...]) -> None:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
        for entry in entries:
            if entry.is_file() and entry.suffix == ".sql":
                self.read_file(entry, namespace)
        for entry in entries:
            if entry.is_dir() and any(entry.rglob("*.sql")):
                if not _is_name(entry.name):
                    self.fault(entry, None, f"a folder is a namespace, and {entry.name!r} is no Python name")
                self.read_folder(entry, (*namespace, entry.name))

    def read_file(self, file: Path, namespace: tuple[str, ...]) -> None:
        try:
            text = file.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            self.fault(file, None, f"is not UTF-8 text (byte {error.start})")
            return
        try:
            blocks = list(_blocks(text))
        except _Fault as fault:
            self.fault(file, fault.line, str(fault))
            return
        for block in blocks:
            try:
                self.queries.append(_Parser(file, namespace, block).parse())
            except _Fault as fault:
                self.fault(file, fault.line, str(fault))

    def check_names(self) -> None:
        """A name is defined once, and not by a query and a folder both."""
        folders = {q.namespace[: depth + 1] for q in self.queries for depth in range(len(q.namespace))}
        first: dict[str, Query] = {}
        for query in self.queries:
            name = query.qualified_name
            if (earlier := first.setdefault(name, query)) is not query:
                self.fault(query.file, query.line, f"{name} is defined already, at {earlier.location}")
            if (*query.namespace, query.name) in folders:
                self.fault(query.file, query.line, f"{name} is the name of a folder of queries, too")


@dataclass(frozen=True)
class _Block:
    """What stands between one `-- name:` and the next: its comment lines, then its SQL."""

    line: int
    header: list[Token]
    """The name line and the `--` lines right behind it."""
    sql: list[Token]
    """From the first token of the SQL to the last one; empty where there is none."""
    text: str
    """The whole file: tokens know their place in it."""

    def line_of(self, token: Token) -> int:
        return _line_of(self.text, token.start)


def _blocks(text: str) -> Iterator[_Block]:
    try:
        tokens = list(tokenize(text))
    except UnterminatedError as error:
        raise _Fault(_line_of(text, error.start), str(error)) from None
    starts = [index for index, token in enumerate(tokens) if _is_name_line(text, token)]
    for token in tokens[: starts[0] if starts else len(tokens)]:
        if not token.blank:
            raise _Fault(
                _line_of(text, token.start),
                f"SQL before the first query's name line. Write a line such as {_EXAMPLE} above it",
            )
    for start, end in pairwise([*starts, len(tokens)]):
        yield _block(text, tokens[start:end])


def _block(text: str, tokens: Sequence[Token]) -> _Block:
    begin = next((i for i, token in enumerate(tokens) if _is_sql(token)), len(tokens))
    end = max((i for i, token in enumerate(tokens) if not token.blank), default=-1) + 1
    header = [token for token in tokens[:begin] if token.kind is TokenKind.LINE_COMMENT]
    return _Block(_line_of(text, tokens[0].start), header, list(tokens[begin:end]), text)


def _is_sql(token: Token) -> bool:
    """Whether the statement begins here. A hint, `/*+ ... */`, belongs to it: planner extensions read it."""
    return not token.blank or token.text.startswith("/*+")


def _is_name_line(text: str, token: Token) -> bool:
    if token.kind is not TokenKind.LINE_COMMENT or text[: token.start].rpartition("\n")[2].strip():
        return False
    word, colon, _ = token.text[2:].partition(":")
    return bool(colon) and word.strip() == "name"


def _line_of(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


def _is_name(text: str) -> bool:
    return text.isidentifier() and not keyword.iskeyword(text)


class _RecordNames(dict[str, Any]):
    """aiosql looks a record class up by its name; we want the name itself."""

    def get(self, key: str, default: Any = None) -> Any:
        return key


class _HeaderLoader(QueryLoader):
    """aiosql's loader, but for its check of the parameters: that one is made on the real SQL, with line numbers."""

    def __init__(self) -> None:
        adapter = GenericAdapter()  # type: ignore[no-untyped-call]  # aiosql's adapters have no annotations
        super().__init__(adapter, _RecordNames(), mandatory_parameters=False)

    def _build_signature(self, sql: str, qname: str, sig: list[str] | None) -> inspect.Signature:
        return inspect.Signature()


class _Parser:
    """Makes a query of a block. Every method raises _Fault."""

    def __init__(self, file: Path, namespace: tuple[str, ...], block: _Block) -> None:
        self.file = file
        self.namespace = namespace
        self.block = block
        self.references = [token for token in block.sql if token.kind is TokenKind.PARAMETER]

    def parse(self) -> Query:
        header = self._header()
        kind = _KINDS[header.operation_type]
        parameters = self._parameters(header, kind)
        self._check_statement(header.query_name, kind)
        sql, source = self._native(parameters)
        return Query(
            name=header.query_name,
            namespace=self.namespace,
            kind=kind,
            parameters=parameters,
            sql=sql,
            doc=header.doc_comments,
            record_class=header.record_class,
            file=self.file,
            line=self.block.line,
            source=source,
        )

    def _header(self) -> QueryDatum:
        """What aiosql reads from the comment lines, a stand-in in the place of the SQL."""
        lines = [token.text.rstrip() for token in self.block.header]
        try:
            (header,) = _HeaderLoader().load_query_data_from_sql("\n".join([*lines, "SELECT 1"]), [])
        except (SQLParseException, ValueError, IndexError):
            raise _Fault(
                self.block.line, f"{lines[0]!r} is not a query's name line. Expected {_EXAMPLE} with {_MARKS}"
            ) from None
        if not _is_name(header.query_name) or header.query_name.startswith("__"):
            raise _Fault(self.block.line, f"{header.query_name!r} cannot be the name of a Python function")
        for line, text in enumerate(lines[2:], self.block.line + 2):
            if text[2:].split(":")[0].strip() == "record_class":
                raise _Fault(line, "the record_class line must be the one right behind the name line")
        return header

    def _parameters(self, header: QueryDatum, kind: Kind) -> tuple[str, ...]:
        """The declared parameters, checked against those in the SQL."""
        name, declared = header.query_name, header.parameters
        used = list(dict.fromkeys(token.text[1:] for token in self.references))
        if kind is Kind.SCRIPT:
            if self.references:
                first = self.references[0]
                raise _Fault(self.block.line_of(first), f"{name} is a script (#), which takes no {first.text}")
            return ()
        if declared is None:
            raise _Fault(
                self.block.line,
                f"{name} has no parameter list. Write {name}({', '.join(used)}), also where it is empty",
            )
        self._check_declared(name, declared)
        for token in self.references:
            if token.text[1:] not in declared:
                raise _Fault(self.block.line_of(token), self._undeclared(name, token.text[1:], declared))
        if unused := [parameter for parameter in declared if parameter not in used]:
            raise _Fault(self.block.line, self._unused(name, unused))
        return tuple(declared)

    def _check_declared(self, name: str, declared: list[str]) -> None:
        for index, parameter in enumerate(declared):
            if not _is_name(parameter):
                raise _Fault(self.block.line, f"{name}: {parameter!r} cannot be the name of a Python argument")
            if parameter in declared[:index]:
                raise _Fault(self.block.line, f"{name} lists the parameter {parameter} twice")

    @staticmethod
    def _undeclared(name: str, parameter: str, declared: list[str]) -> str:
        near = difflib.get_close_matches(parameter, declared, 1)
        hint = f"Did you mean :{near[0]}?" if near else "Add it there."
        listed = f"({', '.join(declared)})"
        return f"{name} uses :{parameter}, which is not in its parameter list {listed}. {hint}"

    def _unused(self, name: str, unused: list[str]) -> str:
        message = f"{name} lists {', '.join(unused)} but its SQL does not use :{' or :'.join(unused)}"
        sliced = [parameter for parameter in unused if self._is_slice_end(parameter)]
        if sliced:
            message += (
                f". Behind a value in brackets, :{sliced[0]} is the end of an array slice; for the parameter write "
                f"[... : :{sliced[0]}]"
            )
        return message

    def _is_slice_end(self, parameter: str) -> bool:
        return any(
            first.text == ":" and second.text == parameter
            for first, second in zip(self.block.sql, self.block.sql[1:], strict=False)
        )

    def _check_statement(self, name: str, kind: Kind) -> None:
        """One statement, with no placeholder of another kind."""
        ended = False
        for token in self.block.sql:
            if token.kind is TokenKind.POSITIONAL:
                raise _Fault(self.block.line_of(token), f"{name} uses {token.text}: name the parameter, as in :email")
            if ended and not token.blank and token.kind is not TokenKind.SEMICOLON and kind is not Kind.SCRIPT:
                raise _Fault(
                    self.block.line_of(token),
                    f"{name} holds a second statement. A query is one statement; mark it with # for a script, or "
                    "give the second one a name of its own",
                )
            ended = ended or token.kind is TokenKind.SEMICOLON
        if all(token.blank or token.kind is TokenKind.SEMICOLON for token in self.block.sql):
            raise _Fault(self.block.line, f"{name} has no SQL")

    def _native(self, parameters: tuple[str, ...]) -> tuple[str, Source]:
        """The statement with PostgreSQL's own placeholders, and the way back to the file."""
        tokens = list(self.block.sql)
        while tokens[-1].blank or tokens[-1].kind is TokenKind.SEMICOLON:
            tokens.pop()
        start = tokens[0].start
        pieces: list[str] = []
        shifts: list[tuple[int, int]] = []
        length = 0
        for token in tokens:
            piece = token.text
            if token.kind is TokenKind.PARAMETER:
                piece = f"${parameters.index(token.text[1:]) + 1}"
                shifts += [(length, token.start - start), (length + len(piece), token.end - start)]
            pieces.append(piece)
            length += len(piece)
        text = self.block.text[start : tokens[-1].end]
        column = start - (self.block.text.rfind("\n", 0, start) + 1)
        return "".join(pieces), Source(text, self.block.line_of(tokens[0]), column, tuple(shifts))

"""The loader: from folders of `.sql` files to queries.

The format is aiosql's, and aiosql reads it: the name line, the mark, the record class and the documentation. The SQL
is left to our own lexer (`lexer`); aiosql sees a stand-in for it.

Every fault in every file is collected, and whatever has no fault is read.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from aiosql.adapters.generic import GenericAdapter
from aiosql.query_loader import QueryLoader
from aiosql.types import QueryDatum, SQLOperationType
from aiosql.utils import SQLParseException

from rowsmith.errors import QueryFileError
from rowsmith.findings import Finding, Rule
from rowsmith.queries.files import SqlFile, SqlFileError
from rowsmith.queries.forms import (
    DirectiveError,
    begins_lines,
    compose,
    is_directive,
    mentioned,
    read_forms,
    trimmed,
)
from rowsmith.queries.lexer import Token, TokenKind
from rowsmith.queries.marks import Kind
from rowsmith.queries.query import Query, Source, is_python_name

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
_INSTRUCTION = "rowsmith:"


class QueryFolder(NamedTuple):
    """A folder of query files, or a single file, and the namespace of its queries."""

    path: Path
    namespace: tuple[str, ...] = ()


class Instruction(NamedTuple):
    """A comment `-- rowsmith: ...`."""

    file: Path
    line: int
    source: str
    """The text of the line."""
    column: int
    text: str
    """What follows `rowsmith:`."""
    query: str | None
    """The qualified name of the query that it belongs to; None above the first one."""


class Reading(NamedTuple):
    """What could be read, and what is wrong with the rest."""

    queries: list[Query]
    """Sorted by folder, namespace, file and position in the file. No two have the same name."""
    faults: list[Finding]
    instructions: list[Instruction]


def read_queries(*paths: Path | QueryFolder) -> list[Query]:
    """The queries of some folders, or of single files. Raises QueryFileError, which lists every fault."""
    reading = read(path if isinstance(path, QueryFolder) else QueryFolder(path) for path in paths)
    if reading.faults:
        raise QueryFileError(reading.faults)
    return reading.queries


def read(folders: Iterable[QueryFolder]) -> Reading:
    """Read the query files of some folders; a sub-folder is a namespace."""
    reading = Reading([], [], [])
    for folder in folders:
        if folder.path.is_dir():
            _read_folder(folder, reading)
        elif folder.path.is_file():
            _read_file(folder, reading)
        else:
            reading.faults.append(Finding(Rule.QUERY_FILE, folder.path, None, "there is no such file or folder"))
    _check_names(reading)
    return reading


def _read_folder(folder: QueryFolder, reading: Reading, above: tuple[Path, ...] = ()) -> bool:
    """Read a folder, and say whether there are query files in it. `above` are the real paths of those that it is in."""
    real = folder.path.resolve()
    if real in above:
        return False  # a symbolic link that leads back
    entries = sorted(entry for entry in folder.path.iterdir() if not entry.name.startswith("."))
    files = [entry for entry in entries if entry.suffix == ".sql" and _is_file(entry)]
    for file in files:
        _read_file(QueryFolder(file, folder.namespace), reading)
    found = bool(files)
    for entry in entries:
        if entry.is_dir():
            inner = QueryFolder(entry, (*folder.namespace, entry.name))
            if _read_folder(inner, reading, (*above, real)):
                found = True
                if not is_python_name(entry.name):
                    message = f"a folder is a namespace, but {entry.name!r} is not a valid Python name"
                    reading.faults.append(Finding(Rule.QUERY_FILE, entry, None, message))
    return found


def _is_file(entry: Path) -> bool:
    """Whether it is a file, or a symbolic link that leads nowhere, which is a fault when it is read."""
    return entry.is_file() or (entry.is_symlink() and not entry.exists())


def _read_file(folder: QueryFolder, reading: Reading) -> None:
    try:
        file = SqlFile.read(folder.path)
    except SqlFileError as error:
        reading.faults.append(error.finding)
        return
    tokens = file.tokens
    starts = [index for index, token in enumerate(tokens) if _is_name_line(token, tokens[index - 1] if index else None)]
    first, *blocks = [_Block(folder, file, tokens[i:j]) for i, j in pairwise([0, *starts, len(tokens)])]
    if first.sql:
        hint = f"Write a line such as {_EXAMPLE} above it"
        reading.faults.extend(first.fault(first.sql[0], "SQL before the name line of the first query", hint).faults)
    reading.instructions.extend(first.instructions(None))
    for block in blocks:
        try:
            query = block.query()
        except QueryFileError as error:
            reading.faults.extend(error.faults)
        else:
            reading.queries.append(query)
            reading.instructions.extend(block.instructions(query.qualified_name))


def _check_names(reading: Reading) -> None:
    """A name is defined once, and not by a query and a namespace both."""
    namespaces = {query.namespace[: depth + 1] for query in reading.queries for depth in range(len(query.namespace))}
    named: dict[str, Query] = {}
    for query in reading.queries:
        name = query.qualified_name
        if (earlier := named.setdefault(name, query)) is not query:
            message = f"{name} is already defined at {earlier.location}"
            reading.faults.append(Finding(Rule.QUERY_FILE, query.file, query.line, message))
        if (*query.namespace, query.name) in namespaces:
            message = f"{name} is also the name of a folder or a component of queries"
            reading.faults.append(Finding(Rule.QUERY_FILE, query.file, query.line, message))
    reading.queries[:] = named.values()


def _is_name_line(token: Token, before: Token | None) -> bool:
    """Whether it is the comment `-- name: ...`, on a line of its own."""
    if token.kind is not TokenKind.LINE_COMMENT:
        return False
    word, colon, _ = token.text[2:].partition(":")
    return bool(colon) and word.strip() == "name" and (before is None or _ends_line(before))


def _ends_line(token: Token) -> bool:
    return token.kind is TokenKind.SPACE and (token.start == 0 or "\n" in token.text)


def _instruction(token: Token) -> str | None:
    comment = token.text[2:].strip() if token.kind is TokenKind.LINE_COMMENT else ""
    return comment.removeprefix(_INSTRUCTION) if comment.startswith(_INSTRUCTION) else None


def _is_sql(token: Token) -> bool:
    """Whether the statement begins here. A hint, `/*+ ... */`, belongs to it: planner extensions read it.

    So does the directive of a block: the lines that it governs follow.
    """
    return not token.blank or token.text.startswith("/*+") or begins_lines(token)


def _without_marks(line: str) -> tuple[str, frozenset[str]]:
    """A name line without the marks of parameters that may be None, `search(q?)`, and these parameters.

    aiosql knows no such mark, and a `?` anywhere else is left for it to refuse.
    """
    head, opening, rest = line.partition("(")
    names, closing, mark = rest.rpartition(")")
    parameters = [parameter.strip() for parameter in names.split(",")]
    plain = [parameter.removesuffix("?").rstrip() or parameter for parameter in parameters]
    marked = frozenset(name for name, parameter in zip(plain, parameters, strict=True) if name != parameter)
    return f"{head}{opening}{', '.join(plain)}{closing}{mark}", marked


class _RecordNames(dict[str, Any]):
    """aiosql looks a record class up by its name; we want the name itself."""

    def get(self, key: str, default: Any = None) -> Any:
        return key


class _HeaderLoader(QueryLoader):
    """aiosql's loader without its check of the parameters: ours looks at the real SQL, and knows the lines."""

    def __init__(self) -> None:
        adapter = GenericAdapter()  # type: ignore[no-untyped-call]  # aiosql's adapters have no annotations
        super().__init__(adapter, _RecordNames(), mandatory_parameters=False)

    def _build_signature(self, sql: str, qname: str, sig: list[str] | None) -> inspect.Signature:
        return inspect.Signature()


class _Block:
    """The text from one `-- name:` to the next: the comment lines of a query, then its SQL."""

    def __init__(self, folder: QueryFolder, file: SqlFile, tokens: Sequence[Token]) -> None:
        self._folder = folder
        self._file = file
        self._tokens = tokens
        begin = next((i for i, token in enumerate(tokens) if _is_sql(token)), len(tokens))
        end = max((i for i, token in enumerate(tokens) if not token.blank or is_directive(token)), default=-1) + 1
        comments = [token for token in tokens[:begin] if token.kind is TokenKind.LINE_COMMENT]
        self._header = [token for token in comments if _instruction(token) is None]
        self.sql = tokens[begin:end]
        self._parameters = [token for token in self.sql if token.kind is TokenKind.PARAMETER]

    def fault(self, token: Token, message: str, hint: str | None = None) -> QueryFileError:
        return self._fault_at(token.start, message, hint)

    def _fault_at(self, start: int, message: str, hint: str | None = None) -> QueryFileError:
        return QueryFileError([self._file.finding(start, message, hint)])

    def instructions(self, query: str | None) -> Iterator[Instruction]:
        for token in self._tokens:
            if (text := _instruction(token)) is not None:
                place = self._file.place(token.start)
                yield Instruction(self._file.path, *place, text, query)

    def query(self) -> Query:
        """The query. Raises QueryFileError with one fault."""
        try:
            return self._query()
        except DirectiveError as error:
            raise self._fault_at(error.start, str(error), error.hint) from None

    def _query(self) -> Query:
        header = self._read_header()
        name, kind = header.query_name, _KINDS[header.operation_type]
        parameters = self._declared(name, kind, header.parameters)
        self._check_statement(name, kind)
        line, _, _ = self._file.place(self._header[0].start)
        composed, source = self._composed(parameters)
        query = Query(
            name=name,
            namespace=self._folder.namespace,
            kind=kind,
            parameters=parameters,
            sql=composed,
            doc=header.doc_comments,
            record_class=header.record_class,
            file=self._file.path,
            line=line,
            source=source,
            nullable=self._nullable,
            forms=read_forms(self.sql, parameters) if self._has_forms(name, kind) else None,
        )
        return (
            query if query.forms is None else replace(query.form(query.forms.all_on), title="", nullable=self._nullable)
        )

    def _read_header(self) -> QueryDatum:
        """What aiosql reads from the comment lines, with a stand-in for the SQL."""
        # aiosql splits lines at other characters, too, such as U+2028.
        lines = [" ".join(token.text.splitlines()).rstrip() for token in self._header]
        plain, self._nullable = _without_marks(lines[0])
        try:
            (header,) = _HeaderLoader().load_query_data_from_sql("\n".join([plain, *lines[1:], "SELECT 1"]), [])
        except (SQLParseException, ValueError, IndexError):
            marks = "no mark for rows, ^ one row, $ one value, ! affected rows, <! the returned row, *! many, # script"
            hint = f"Expected a line such as {_EXAMPLE}, with one of the marks: {marks}"
            raise self.fault(self._header[0], f"{lines[0]!r} is not a valid name line", hint) from None
        if not is_python_name(header.query_name) or header.query_name.startswith("__"):
            raise self.fault(self._header[0], f"{header.query_name!r} cannot be the name of a Python function")
        for token in self._header[2:]:
            if token.text[2:].partition(":")[0].strip() == "record_class":
                raise self.fault(token, "the record_class line must follow the name line directly")
        return header

    def _declared(self, name: str, kind: Kind, declared: list[str] | None) -> tuple[str, ...]:
        """The declared parameters, checked against those in the SQL."""
        line = self._header[0]
        uses = [(token.text[1:], token.start, token.text) for token in self._parameters]
        uses += [(each, start, each) for each, start in (mentioned(self.sql) if self._has_forms(name, kind) else ())]
        used = dict.fromkeys(name for name, _, _ in uses)
        if kind is Kind.SCRIPT:
            if not self._parameters:
                return ()
            token = self._parameters[0]
            raise self.fault(token, f"{name} is a script (#) and takes no parameters, but uses {token.text}")
        if declared is None:
            raise self.fault(line, f"{name} has no parameter list", f"Write {name}({', '.join(used)})")
        listed = set[str]()
        for parameter in declared:
            if not is_python_name(parameter):
                raise self.fault(line, f"{name}: {parameter!r} cannot be the name of a Python argument")
            if parameter in listed:
                raise self.fault(line, f"{name} lists the parameter {parameter} twice")
            listed.add(parameter)
        for parameter, start, written in uses:
            if parameter not in listed:
                near = difflib.get_close_matches(parameter, declared, 1)
                hint = f"Did you mean {written.removesuffix(parameter)}{near[0]}?" if near else "Add it to the list"
                message = f"{name} uses {written}, which is not in its parameter list ({', '.join(declared)})"
                raise self._fault_at(start, message, hint)
        if unused := [parameter for parameter in declared if parameter not in used]:
            message = f"{name} lists {', '.join(unused)} but its SQL does not use :{' or :'.join(unused)}"
            raise self.fault(line, message, self._unused_hint(unused))
        return tuple(declared)

    def _unused_hint(self, unused: Sequence[str]) -> str | None:
        ends = {second.text for first, second in pairwise(self.sql) if first.text == ":"}
        for name in unused:
            if name in ends:
                after = f"After a value in brackets, :{name} is the upper bound of an array slice"
                return f"{after}; to use the parameter there, write [... : :{name}]"
            if any(token.kind is TokenKind.STRING and f":{name}" in token.text for token in self.sql):
                return f"Inside a string it is text. Put the strings together: 'before' || :{name} || 'after'"
        return None

    def _check_statement(self, name: str, kind: Kind) -> None:
        """One statement, with no placeholder of another kind."""
        if all(token.blank or token.kind is TokenKind.SEMICOLON for token in self.sql):
            raise self.fault(self._header[0], f"{name} has no SQL")
        if self.sql[0].kind is TokenKind.SEMICOLON and kind is not Kind.SCRIPT:
            message = f"{name} begins with a semicolon, which ends an empty statement"
            raise self.fault(self.sql[0], message, "Remove the semicolon")
        ended = False
        for token in self.sql:
            if token.kind is TokenKind.POSITIONAL:
                raise self.fault(token, f"{name} uses {token.text}", "Name the parameter, as in :email")
            if ended and not token.blank and token.kind is not TokenKind.SEMICOLON and kind is not Kind.SCRIPT:
                hint = "Give the second its own name line, or mark the query with # to make it a script"
                raise self.fault(token, f"{name} contains a second statement", hint)
            ended = ended or token.kind is TokenKind.SEMICOLON

    def _composed(self, parameters: Sequence[str]) -> tuple[str, Source]:
        """The statement with PostgreSQL's own placeholders, and the way back to the file."""
        tokens = trimmed(self.sql)
        begin, end = tokens[0].start, tokens[-1].end
        line, _, column = self._file.place(begin)
        composed = compose(tokens, begin, parameters)
        return composed.sql, Source(self._file.text[begin:end], line, column, composed.shifts)

    def _has_forms(self, name: str, kind: Kind) -> bool:
        """Whether lines of the query are optional or alternatives."""
        directive = next((token for token in self.sql if begins_lines(token)), None)
        if directive is not None and kind in (Kind.SCRIPT, Kind.EXECUTEMANY):
            what = "a script (#)" if kind is Kind.SCRIPT else "a query for many sets of parameters (*!)"
            message = f"{name} is {what}, which has no optional lines and no orderings"
            raise self.fault(directive, message, "Remove the comment, or write a query for each form")
        return kind not in (Kind.SCRIPT, Kind.EXECUTEMANY)

"""The loader: from folders of `.sql` files to queries.

The format is aiosql's, and aiosql reads it: the name line, the mark, the record class and the documentation. The SQL
is left to our own lexer (`lexer`); aiosql sees a stand-in for it.

Every fault in every file is collected, and whatever has no fault is read.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from rowsmith.queries.folders import QueryFile, QueryFolder, files_in
from rowsmith.queries.forms import (
    DirectiveError,
    Forms,
    begins_lines,
    compose,
    is_directive,
    mentioned,
    read_forms,
    trimmed,
)
from rowsmith.queries.lexer import Token, TokenKind
from rowsmith.queries.marks import Kind
from rowsmith.queries.placeholders import foreign_placeholders
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
_LIST_OPTIONAL = (Kind.EXECUTEMANY, Kind.RETURNING)
"""As in aiosql, the parameters of these are those of the SQL if the name line has no list."""
_TYPED_STRINGS = ("date", "interval", "time", "timestamp", "timestamptz")
"""The types that people write before a string: DATE '2026-12-31'."""
_EXAMPLE = "-- name: get_user(id)^"
_INSTRUCTION = "rowsmith:"
_NESTED_CLASS = re.compile(r"--\s*record_class\s*:\s*(\S+)\s*=\s*(\S+)\s*")
"""`-- record_class: tags = Tag`: the class of the rows in a column."""


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
        for file in files_in(folder, reading.faults):
            _read_file(file, reading)
    _check_names(reading)
    return reading


def _read_file(found: QueryFile, reading: Reading) -> None:
    try:
        file = SqlFile.read(found.path, found.source)
    except SqlFileError as error:
        reading.faults.append(error.finding)
        return
    tokens = file.tokens
    starts = [index for index, token in enumerate(tokens) if _is_name_line(token, tokens[index - 1] if index else None)]
    first, *blocks = [_Block(found.namespace, file, tokens[i:j]) for i, j in pairwise([0, *starts, len(tokens)])]
    if first.sql:
        hint = f"Write a line such as {_EXAMPLE} above it, or make it a comment"
        message = "this text is before the name line of the first query, and belongs to none"
        reading.faults.append(file.finding(first.sql[0].start, message, hint))
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


def _near(name: str, names: Sequence[str]) -> list[str]:
    """The name that looks most like this one, if any does."""
    return [each for each in names if each.lower() == name.lower()] or difflib.get_close_matches(name, names, 1)


def _other_name(name: str) -> str:
    """What to do about a name that Python does not read as a name, or as this one."""
    other = f"{name}_"
    form = f"such as {other}" if is_python_name(other) else "of the letters a to z, digits and underscores"
    return f"Choose another name, {form}"


def _nested_class(token: Token) -> tuple[str, str] | None:
    found = _NESTED_CLASS.fullmatch(token.text.rstrip())
    return (found[1], found[2]) if found else None


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

    def __init__(self, namespace: tuple[str, ...], file: SqlFile, tokens: Sequence[Token]) -> None:
        self._namespace = namespace
        self._file = file
        self._tokens = tokens
        begin = next((i for i, token in enumerate(tokens) if _is_sql(token)), len(tokens))
        end = max((i for i, token in enumerate(tokens) if not token.blank or is_directive(token)), default=-1) + 1
        comments = [token for token in tokens[:begin] if token.kind is TokenKind.LINE_COMMENT]
        self._header = [token for token in comments if _instruction(token) is None and not _nested_class(token)]
        self._nested_classes = tuple(sorted(found for token in comments if (found := _nested_class(token))))
        self.sql = tokens[begin:end]
        self._parameters = [token for token in self.sql if token.kind is TokenKind.PARAMETER]
        self._faults: list[Finding] = []

    def _fault(self, token: Token, message: str, hint: str | None = None) -> None:
        self._fault_at(token.start, message, hint)

    def _fault_at(self, start: int, message: str, hint: str | None = None) -> None:
        self._faults.append(self._file.finding(start, message, hint))

    def instructions(self, query: str | None) -> Iterator[Instruction]:
        for token in self._tokens:
            if (text := _instruction(token)) is not None:
                place = self._file.place(token.start)
                yield Instruction(self._file.path, *place, text, query)

    def query(self) -> Query:
        """The query. Raises QueryFileError, which lists every fault."""
        header = self._read_header()
        self._check_placeholders()
        if header is None:
            raise QueryFileError(self._faults)
        name, kind = header.query_name, _KINDS[header.operation_type]
        parameters = self._declared(name, kind, header.parameters)
        self._check_statement(name, kind)
        forms = self._read_forms(parameters) if self._adapts(name, kind) else None
        if self._faults:
            raise QueryFileError(sorted(self._faults, key=lambda fault: (fault.line or 0, fault.column or 0)))
        line, _, _ = self._file.place(self._header[0].start)
        composed, source = self._composed(parameters)
        query = Query(
            name=name,
            namespace=self._namespace,
            kind=kind,
            parameters=parameters,
            sql=composed,
            doc=header.doc_comments,
            record_class=header.record_class,
            file=self._file.path,
            line=line,
            source=source,
            nullable=self._nullable,
            forms=forms,
            nested_classes=self._nested_classes,
        )
        if forms is None:
            return query
        everything = query.form(forms.all_on)
        return replace(query, parameters=everything.parameters, sql=everything.sql, source=everything.source)

    def _read_header(self) -> QueryDatum | None:
        """What aiosql reads from the comment lines, with a stand-in for the SQL; None if it cannot."""
        # aiosql splits lines at other characters, too, such as U+2028.
        lines = [" ".join(token.text.splitlines()).rstrip() for token in self._header]
        plain, self._nullable = _without_marks(lines[0])
        try:
            (header,) = _HeaderLoader().load_query_data_from_sql("\n".join([plain, *lines[1:], "SELECT 1"]), [])
        except (SQLParseException, ValueError, IndexError):
            marks = "no mark for rows, ^ one row, $ one value, ! affected rows, <! the returned row, *! many, # script"
            hint = f"Expected a line such as {_EXAMPLE}, with one of the marks: {marks}"
            self._fault(self._header[0], f"{lines[0]!r} is not a valid name line", hint)
            return None
        if not is_python_name(header.query_name) or header.query_name.startswith("__"):
            message = f"{header.query_name!r} cannot be the name of a Python function"
            self._fault(self._header[0], message, _other_name(header.query_name))
        for token in self._header[2:]:
            if token.text[2:].partition(":")[0].strip() == "record_class":
                hint = "Move it up, above the lines of the documentation"
                self._fault(token, "the record_class line must follow the name line directly", hint)
        return header

    def _check_placeholders(self) -> None:
        said = set[str]()
        for found in foreign_placeholders(self.sql):
            if found.message not in said:  # once: a list of values may have ten of them
                self._fault(*found)
                said.add(found.message)
        for token in self.sql:
            if token.kind is TokenKind.POSITIONAL:
                self._fault(token, f"{token.text} is PostgreSQL's own placeholder", "Name the parameter, as in :email")

    def _declared(self, name: str, kind: Kind, declared: Sequence[str] | None) -> tuple[str, ...]:
        """The declared parameters, checked against those in the SQL."""
        used: dict[str, tuple[int, str]] = {}  # where each occurs first, and how
        for token in self._parameters:
            used.setdefault(token.text[1:], (token.start, token.text))
        if kind is Kind.SCRIPT:
            for token in self._parameters[:1]:
                hint = "Write the value into the script, or give each statement a name line of its own"
                self._fault(token, f"{name} is a script (#) and takes no parameters, but uses {token.text}", hint)
            return ()
        for switch, start in self._switches(name, kind):
            used.setdefault(switch, (start, switch))
        if declared is None:
            declared = [*used]
            if kind not in _LIST_OPTIONAL:
                self._fault(self._header[0], f"{name} has no parameter list", f"Write {name}({', '.join(declared)})")
        self._check_list(name, declared)
        self._check_uses(name, declared, used)
        return tuple(declared)

    def _check_list(self, name: str, declared: Sequence[str]) -> None:
        """The names in the list are arguments of a Python function."""
        for parameter in dict.fromkeys(declared):
            if not is_python_name(parameter):
                message = f"{name}: {parameter!r} cannot be the name of a Python argument"
                self._fault(self._header[0], message, _other_name(parameter))
            if declared.count(parameter) > 1:
                self._fault(self._header[0], f"{name} lists the parameter {parameter} twice", "Remove one of them")

    def _check_uses(self, name: str, declared: Sequence[str], used: Mapping[str, tuple[int, str]]) -> None:
        """What is listed is used, and what is used is listed."""
        unused = [parameter for parameter in dict.fromkeys(declared) if parameter not in used]
        for parameter, (start, written) in used.items():
            if parameter not in declared:
                near = [*_near(parameter, unused), *_near(parameter, declared)][:1]
                unused = [each for each in unused if each not in near]  # one misspelling is one fault
                message = f"{name} uses {written}, which is not in its parameter list ({', '.join(declared)})"
                colon = written.removesuffix(parameter)
                self._fault_at(start, message, f"Did you mean {colon}{near[0]}?" if near else "Add it to the list")
        for parameter in unused:
            hint = self._slice_hint(parameter) or self._string_hint(parameter) or "Use it, or remove it from the list"
            self._fault(self._header[0], f"{name} lists {parameter} but its SQL does not use :{parameter}", hint)

    def _slice_hint(self, parameter: str) -> str | None:
        if any(first.text == ":" and second.text == parameter for first, second in pairwise(self.sql)):
            after = f"After a value in brackets, :{parameter} is the upper bound of an array slice"
            return f"{after}; to use the parameter there, write [... : :{parameter}]"
        return None

    def _string_hint(self, parameter: str) -> str | None:
        """What to write instead of a string that the name of a parameter is in."""
        within = re.compile(rf":{re.escape(parameter)}\b")
        tokens = [token for token in self.sql if not token.blank]
        for previous, token in pairwise([*tokens[:1], *tokens]):
            is_short = token.kind is TokenKind.STRING and token.text.startswith("'") and "\n" not in token.text
            if is_short and within.search(token.text):
                before, after = within.split(token.text[1:-1], 1)
                parts = [*([f"'{before}'"] if before else []), f":{parameter}", *([f"'{after}'"] if after else [])]
                written = " || ".join(parts)
                if previous.text.lower() == "interval" and not before:
                    written = f":{parameter} * {previous.text} '1{after}'"
                elif previous.kind is TokenKind.NAME and previous.text.lower() in _TYPED_STRINGS:
                    written = f"({written})::{previous.text}" if len(parts) > 1 else f"{written}::{previous.text}"
                line, _, _ = self._file.place(token.start)
                return f"In the string on line {line} it is plain text. Write {written}"
        return None

    def _check_statement(self, name: str, kind: Kind) -> None:
        """One statement."""
        if all(token.blank or token.kind is TokenKind.SEMICOLON for token in self.sql):
            self._fault(self._header[0], f"{name} has no SQL", "Write a statement below the name line")
        elif kind is Kind.SCRIPT:
            return
        elif self.sql[0].kind is TokenKind.SEMICOLON:
            message = f"{name} begins with a semicolon, which ends an empty statement"
            self._fault(self.sql[0], message, "Remove the semicolon")
        else:
            end = next((i for i, token in enumerate(self.sql) if token.kind is TokenKind.SEMICOLON), len(self.sql))
            for token in self.sql[end:]:
                if not token.blank and token.kind is not TokenKind.SEMICOLON:
                    hint = "Give the second its own name line, or mark the query with # to make it a script"
                    self._fault(token, f"{name} contains a second statement", hint)
                    break

    def _composed(self, parameters: Sequence[str]) -> tuple[str, Source]:
        """The statement with PostgreSQL's own placeholders, and the way back to the file."""
        tokens = trimmed(self.sql)
        begin, end = tokens[0].start, tokens[-1].end
        line, _, column = self._file.place(begin)
        composed = compose(tokens, begin, parameters)
        return composed.sql, Source(self._file.text[begin:end], line, column, composed.shifts)

    def _adapts(self, name: str, kind: Kind) -> bool:
        """Whether lines of the query may be optional or alternatives: there is one statement for one set of values."""
        if kind not in (Kind.SCRIPT, Kind.EXECUTEMANY):
            return True
        directive = next((token for token in self.sql if begins_lines(token)), None)
        if directive is not None:
            what = "a script (#)" if kind is Kind.SCRIPT else "a query for many sets of parameters (*!)"
            message = f"{name} is {what}, which has no optional lines and no orderings"
            self._fault(directive, message, "Remove the comment, or write a query for each form")
        return False

    def _switches(self, name: str, kind: Kind) -> list[tuple[str, int]]:
        """The names that optional lines depend on."""
        if kind in (Kind.SCRIPT, Kind.EXECUTEMANY):
            return []
        try:
            return mentioned(self.sql)
        except DirectiveError as error:  # nothing is known about the names
            self._fault_at(error.start, str(error), error.hint)
            raise QueryFileError(self._faults) from None

    def _read_forms(self, parameters: Sequence[str]) -> Forms | None:
        if self._faults:
            return None
        try:
            return read_forms(self.sql, parameters)
        except DirectiveError as error:
            self._fault_at(error.start, str(error), error.hint)
            return None

"""Files of SQL: their text, in tokens, and what no file may contain.

A byte order mark is skipped. Line breaks are "\\n", as in a Python file, except inside strings and quoted identifiers,
where every character counts.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rowsmith.findings import Finding, Rule
from rowsmith.queries.folders import Source
from rowsmith.queries.lexer import Token, TokenKind, UnterminatedError, tokenize

# Not those that PostgreSQL skips as white space: tab, line feed, vertical tab, form feed and carriage return.
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")


class SqlFileError(Exception):
    """A file that cannot be read as SQL. `finding` says why and, if it is known, where."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding


@dataclass(frozen=True)
class SqlFile:
    """A file of SQL."""

    path: Path
    text: str
    tokens: list[Token]

    @classmethod
    def read(cls, path: Path, source: Source | None = None) -> SqlFile:
        """Read a file, from `source` if it is not at `path`.

        Raises SqlFileError if it cannot be opened, is not UTF-8, or cannot be SQL. PostgreSQL would take a NUL for the
        end of the statement, and run what is before it.
        """
        try:
            text = (source or path).read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            message = f"the file is not UTF-8 text (byte {error.start})"
            raise SqlFileError(Finding(Rule.QUERY_FILE, path, None, message)) from None
        except OSError as error:
            message = f"the file cannot be read: {error.strerror}"
            raise SqlFileError(Finding(Rule.QUERY_FILE, path, None, message)) from None
        file = cls(path, text, [])
        if "\0" in text:
            raise file.control_character(text.index("\0"))
        try:
            file.tokens.extend(tokenize(text))
            if "\r" in text:
                file = cls(path, "".join(map(_with_line_feeds, file.tokens)), [])
                file.tokens.extend(tokenize(file.text))
        except UnterminatedError as error:
            raise SqlFileError(file.finding(error.start, str(error))) from None
        if _CONTROL.search(text):
            for token in file.tokens:
                if not _is_quoted(token) and (found := _CONTROL.search(token.text)):
                    raise file.control_character(token.start + found.start())
        return file

    def place(self, offset: int) -> tuple[int, str, int]:
        """The line, from 1, the text of the line, and the column, from 0, of an offset in the text."""
        line = bisect_right(self._line_starts, offset)
        begin, end = self._line_starts[line - 1], self.text.find("\n", offset)
        return line, self.text[begin : end if end >= 0 else len(self.text)].rstrip(), offset - begin

    def finding(self, offset: int, message: str, hint: str | None = None) -> Finding:
        """A finding at an offset in the text."""
        line, source, column = self.place(offset)
        return Finding(Rule.QUERY_FILE, self.path, line, message, hint, source=source, column=column)

    def control_character(self, offset: int) -> SqlFileError:
        """The error about a control character at an offset in the text."""
        message = f"SQL cannot contain the control character U+{ord(self.text[offset]):04X}"
        return SqlFileError(self.finding(offset, message, "Remove it"))

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(match.end() for match in re.finditer("\n", self.text))]


def _is_quoted(token: Token) -> bool:
    return token.kind is TokenKind.STRING or (token.kind is TokenKind.NAME and token.text.endswith('"'))


def _with_line_feeds(token: Token) -> str:
    return token.text if _is_quoted(token) else token.text.replace("\r\n", "\n").replace("\r", "\n")

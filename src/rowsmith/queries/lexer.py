"""The lexer: the only code in rowsmith that reads SQL text.

It splits text into tokens by PostgreSQL's own rules (manual, "SQL Syntax", section "Lexical Structure"; the server's
scan.l). It finds `:name` where that is a parameter, and leaves it alone in a string, a comment, a quoted identifier, a
cast, or an array slice. It knows nothing about the meaning of the SQL.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache


class TokenKind(Enum):
    """The kinds of tokens that matter in a query file."""

    SPACE = auto()
    LINE_COMMENT = auto()
    BLOCK_COMMENT = auto()
    STRING = auto()
    NAME = auto()
    NUMBER = auto()
    PARAMETER = auto()
    """`:name`, a named parameter of rowsmith and aiosql."""
    POSITIONAL = auto()
    """`$1`, PostgreSQL's own placeholder."""
    SEMICOLON = auto()
    SYMBOL = auto()
    """An operator, a bracket, a comma, a cast: one or more characters of punctuation."""


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the input: `text`, which begins at the offset `start`, in characters from 0."""

    kind: TokenKind
    text: str
    start: int

    @property
    def end(self) -> int:
        """The offset just after the token."""
        return self.start + len(self.text)

    @property
    def blank(self) -> bool:
        """Whether the server skips it: white space or a comment."""
        return self.kind in (TokenKind.SPACE, TokenKind.LINE_COMMENT, TokenKind.BLOCK_COMMENT)


class UnterminatedError(ValueError):
    """A string, a quoted identifier or a comment that never ends. `start` is the offset where it begins."""

    def __init__(self, what: str, start: int) -> None:
        super().__init__(f"{what} is never closed")
        self.start = start


# scan.l: ident_start is a letter, an underscore, or any byte above 127; ident_cont adds digits and "$".
_NAME = r"[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_$\u0080-\U0010ffff]*"
# A parameter's name is also a Python name, so it has no "$".
_PARAMETER = r":(?=[A-Za-z_\u0080-\U0010ffff])\w+"
# Possessive (*+): a string without an end must not end at an inner quote.
_STRING_BODY = r"[^']*+(?:''[^']*+)*+"
_ESCAPE_BODY = r"[^'\\]*+(?:(?:''|\\.)[^'\\]*+)*+"
# Strings on successive lines are one string, and an E on the first applies to all (scan.l, "quotecontinue").
_CONTINUED = r"(?:[ \t\f\v]|--[^\n\r]*+)*+[\n\r](?:[ \t\n\r\f\v]|--[^\n\r]*+[\n\r])*+"

_TOKEN = rf"""
    (?P<SPACE>         [ \t\n\r\f\v]+ )
  | (?P<LINE_COMMENT>  --[^\n\r]* )
  | (?P<block>         /\* )
  | (?P<STRING>        [eE]'{_ESCAPE_BODY}'(?:{_CONTINUED}'{_ESCAPE_BODY}')*
                     | (?:[uU]&|[bBxXnN])?'{_STRING_BODY}' )
  | (?P<quoted>        (?:[uU]&)?"[^"]*+(?:""[^"]*+)*+" )
  | (?P<dollar>        \$(?:[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_\u0080-\U0010ffff]*)?\$ )
  | (?P<unclosed>      (?:[eE]|[uU]&|[bBxXnN])?' | (?:[uU]&)?" )
  | (?P<NAME>          {_NAME} )
  | (?P<NUMBER>        \d\w*(?:\.(?!\.)\w*)? | \.\d\w* )
  | (?P<POSITIONAL>    \$\d+ )
  | (?P<cast>          :: | := )
  | (?P<PARAMETER>     {_PARAMETER} )
  | (?P<SEMICOLON>     ; )
  | (?P<SYMBOL>        . )
"""
_BLOCK_EDGE = re.compile(r"/\*|\*/")

# Reserved words cannot be columns, so a colon after one of them begins a parameter, not the upper bound of a slice
# (manual, appendix "SQL Key Words"; BETWEEN is not reserved, but nobody gives that name to an array index).
WORDS_BEFORE_A_VALUE = frozenset(
    ("all", "and", "any", "array", "between", "case", "distinct", "else", "from", "ilike", "in", "is", "like", "not",
     "or", "select", "similar", "some", "then", "when", "where")
)  # fmt: skip

# Reserved words that no expression begins with: where one follows a comma, the comma is an error.
_WORDS_AFTER_A_LIST = frozenset(
    ("except", "fetch", "for", "from", "group", "having", "intersect", "into", "limit", "offset", "on", "order",
     "returning", "select", "union", "using", "where", "window")
)  # fmt: skip


def tokenize(text: str) -> Iterator[Token]:
    """Split `text` into tokens, which together are the text again.

    Raises UnterminatedError for a string, quoted identifier, dollar quote or block comment that does not end.
    """
    slices, match_at = _Slices(), _pattern().match
    position = 0
    while match := match_at(text, position):
        token = slices.judge(_token(text, match))
        yield token
        position = token.end


def ends_a_list(token: Token) -> bool:
    """Whether no item of a list can begin with a token, so that PostgreSQL accepts no comma before it."""
    if token.kind is TokenKind.NAME:
        return token.text.lower() in _WORDS_AFTER_A_LIST
    return token.kind is TokenKind.SEMICOLON or token.text in (")", "]")


def split_statements(tokens: Iterable[Token]) -> Iterator[list[Token]]:
    """The statements of a script, each without the semicolon at its end and the blanks around it.

    By psql's rule (psqlscan.l): a semicolon does not end a statement inside parentheses, as in CREATE RULE, and between
    the BEGIN and the END of a CREATE FUNCTION or PROCEDURE.
    """
    statement: list[Token] = []
    words: list[str] = []
    parentheses = blocks = 0
    for token in tokens:
        if token.kind is TokenKind.SEMICOLON and not parentheses and not blocks:
            yield from _trimmed(statement)
            statement, words = [], []
            continue
        statement.append(token)
        if token.text in ("(", ")"):
            parentheses = max(0, parentheses + (1 if token.text == "(" else -1))
        elif token.kind is TokenKind.NAME and not parentheses:
            words.append(token.text.lower())
            if words[-1] in ("begin", "case", "end") and _is_routine(words):
                # CASE ends with END, too.
                opens = words[-1] == "begin" or (words[-1] == "case" and blocks > 0)
                blocks += 1 if opens else -1 if words[-1] == "end" and blocks else 0
    yield from _trimmed(statement)


def _is_routine(words: Sequence[str]) -> bool:
    """Whether a statement begins with CREATE [OR REPLACE] FUNCTION or PROCEDURE."""
    kind = words[3:4] if words[1:3] == ["or", "replace"] else words[1:2]
    return words[0] == "create" and kind[0:1] in (["function"], ["procedure"])


def _trimmed(statement: Sequence[Token]) -> Iterator[list[Token]]:
    solid = [index for index, token in enumerate(statement) if not token.blank or token.text.startswith("/*+")]
    if solid:
        yield list(statement[solid[0] : solid[-1] + 1])


@cache
def _pattern() -> re.Pattern[str]:
    """Compiled when it is first needed: it takes as long as importing ten modules."""
    return re.compile(_TOKEN, re.VERBOSE | re.DOTALL)


def _token(text: str, match: re.Match[str]) -> Token:
    start, group = match.start(), str(match.lastgroup)
    if group == "block":
        return Token(TokenKind.BLOCK_COMMENT, text[start : _end_of_block_comment(text, start)], start)
    if group == "dollar":
        return Token(TokenKind.STRING, text[start : _end_of_dollar_quote(text, match)], start)
    if group == "unclosed":
        raise UnterminatedError("a quoted identifier" if '"' in match[0] else "a string", start)
    kind = {"quoted": TokenKind.NAME, "cast": TokenKind.SYMBOL}.get(group) or TokenKind[group]
    return Token(kind, match[0], start)


def _end_of_block_comment(text: str, start: int) -> int:
    depth = 0
    for edge in _BLOCK_EDGE.finditer(text, start):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    raise UnterminatedError("a /* comment", start)


def _end_of_dollar_quote(text: str, opening: re.Match[str]) -> int:
    end = text.find(opening[0], opening.end())
    if end < 0:
        raise UnterminatedError(f"a {opening[0]} string", opening.start())
    return end + len(opening[0])


class _Slices:
    """Distinguishes the colon of an array slice, `tags[1:n]`, from that of a parameter, `tags[:n]`.

    A value never follows another value directly, so a colon after a value, directly inside the brackets of a subscript,
    is a slice. The brackets of `ARRAY[...]` contain no slice of their own.
    """

    def __init__(self) -> None:
        self._previous: Token | None = None
        self._brackets: list[str] = []

    def judge(self, token: Token) -> Token:
        """The token itself, or a plain ":" for a parameter that is the bound of a slice."""
        if token.blank:
            return token
        if token.kind is TokenKind.PARAMETER and self._in_subscript() and self._after_value():
            token = Token(TokenKind.SYMBOL, ":", token.start)
        self._follow(token.text)
        self._previous = token
        return token

    def _in_subscript(self) -> bool:
        return bool(self._brackets) and self._brackets[-1] == "subscript"

    def _after_value(self) -> bool:
        previous = self._previous
        if previous is None:
            return False
        if previous.kind is TokenKind.NAME:
            return previous.text.lower() not in WORDS_BEFORE_A_VALUE
        if previous.kind is TokenKind.SYMBOL:
            return previous.text in ")]"
        return True

    def _follow(self, text: str) -> None:
        if text == "[":
            self._brackets.append("array" if self._begins_array() else "subscript")
        elif text == "(":
            self._brackets.append("parenthesis")
        elif text in (")", "]") and self._brackets:
            self._brackets.pop()

    def _begins_array(self) -> bool:
        """Whether a bracket here belongs to `ARRAY[...]`, or is an inner one of `ARRAY[[...], [...]]`."""
        word = self._previous is not None and self._previous.text.lower()
        return word == "array" or not self._after_value()

"""The forms of a query: which of its lines are sent depends on what a call passes.

    AND role = :role            -- if: role
    ORDER BY created_at DESC    -- order: newest

A form is numbered: one bit for each switch that is on, and above them the number of the ordering. Nothing here knows
what the SQL means. Whether PostgreSQL accepts every form is for `rowsmith check` to find out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from inspect import Parameter
from itertools import chain
from typing import Any, Final, NamedTuple

from rowsmith.queries.lexer import Token, TokenKind, ends_a_list

ORDER_BY = "order_by"
"""The parameter of a call that chooses the ordering."""


class NotGiven(Enum):
    """The type of `NOT_GIVEN`, the default of a parameter for which None is a value."""

    NOT_GIVEN = "NOT_GIVEN"

    def __repr__(self) -> str:
        return self.value


NOT_GIVEN: Final = NotGiven.NOT_GIVEN
"""Passed for a parameter, the same as not passing it."""


class DirectiveError(ValueError):
    """A directive that cannot be followed. `start` is the offset of what is wrong."""

    def __init__(self, start: int, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.start = start
        self.hint = hint


# --- directives ---


class Word(StrEnum):
    """What a directive begins with."""

    IF = "if"
    IF_GIVEN = "if given"
    UNLESS = "unless"
    ORDER = "order"
    END = "end"


class Directive(NamedTuple):
    """A comment that says when the lines it governs are sent."""

    word: Word
    names: tuple[tuple[str, int], ...]
    """The names after the colon, each with its offset in the file."""
    start: int
    alone: bool
    """Whether it is on a line of its own, and governs the lines down to `-- end`."""


_DIRECTIVE = re.compile(r"--\s*(?:(if|if\s+given|unless|order)\s*:(.*)|(end)\s*)", re.IGNORECASE | re.DOTALL)
_NAME = re.compile(r"[\w-]+")


def is_directive(token: Token) -> bool:
    """Whether a comment is a directive. `-- end` is one on a line of its own only."""
    return token.kind is TokenKind.LINE_COMMENT and _DIRECTIVE.fullmatch(token.text) is not None


def begins_lines(token: Token) -> bool:
    """Whether a comment is a directive that makes lines optional, or an ordering."""
    return is_directive(token) and ":" in token.text


def _directive(line: Sequence[Token]) -> Directive | None:
    comment = line[-1] if line and not _breaks(line[-1]) else line[-2] if len(line) > 1 else None
    if comment is None or comment.kind is not TokenKind.LINE_COMMENT:
        return None
    match = _DIRECTIVE.fullmatch(comment.text)
    alone = all(token.blank for token in line)
    if match is None or (match[3] and not alone):
        return None
    word = Word(" ".join((match[1] or match[3]).lower().split()))
    return Directive(word, tuple(_names(comment, match)) if match[1] else (), comment.start, alone)


def _names(comment: Token, match: re.Match[str]) -> Iterator[tuple[str, int]]:
    begin = match.start(2)
    for piece in match[2].split(","):
        name, offset = piece.strip(), comment.start + begin + len(piece) - len(piece.lstrip())
        begin += len(piece) + 1
        if not _NAME.fullmatch(name):
            example = f"-- {' '.join(match[1].lower().split())}: NAME"
            raise DirectiveError(offset, f"{name!r} is not a name", f"Write {example}")
        yield name, offset


# --- the model ---


class Test(StrEnum):
    """What turns a switch on."""

    VALUE = "if"
    """The parameter is passed, and is not None."""
    GIVEN = "if given"
    """The parameter is passed."""
    FLAG = "flag"
    """The flag is True."""


class Switch(NamedTuple):
    """A name that lines depend on."""

    name: str
    test: Test


class Condition(NamedTuple):
    """Lines are sent if all of these switches are on or, negated, if not all of them are."""

    switches: int
    negated: bool

    def holds(self, form: int) -> bool:
        """Whether the lines are part of the form."""
        return ((form & self.switches) == self.switches) is not self.negated


class Part(NamedTuple):
    """Lines of a query that are sent under the same conditions."""

    tokens: tuple[Token, ...]
    conditions: tuple[Condition, ...]
    ordering: int | None

    @property
    def always(self) -> bool:
        """Whether the lines are part of every form."""
        return not self.conditions and self.ordering is None


class Composed(NamedTuple):
    """A statement as PostgreSQL receives it, with `$1`, `$2`, ... for the parameters."""

    sql: str
    shifts: tuple[tuple[int, int], ...]
    """Where it departs from the text in the file: (offset in the statement, offset in the text), ascending."""


@dataclass(frozen=True)
class Forms:
    """A query with optional lines or orderings."""

    begin: int
    """The offset of its text in the file."""
    parts: tuple[Part, ...]
    switches: tuple[Switch, ...]
    orderings: tuple[str, ...]
    """Their names, the default first."""
    arguments: dict[str, Any]
    """What a call may pass, with the defaults; `Parameter.empty` for what it has to pass."""

    @property
    def parameters(self) -> list[str]:
        """The arguments that are parameters of the SQL: neither flags nor the ordering."""
        flags = {switch.name for switch in self.switches if switch.test is Test.FLAG}
        return [name for name in self.arguments if name not in flags and not (name == ORDER_BY and self.orderings)]

    @property
    def facts(self) -> list[Any]:
        """What tells it from the forms of a changed query."""
        lines = [("".join(token.text for token in each.tokens), each.conditions, each.ordering) for each in self.parts]
        return [lines, self.switches, self.orderings]

    @property
    def all_on(self) -> int:
        """The form with every switch on and the default ordering."""
        return (1 << len(self.switches)) - 1

    @property
    def count(self) -> int:
        """How many forms there are."""
        return max(1, len(self.orderings)) << len(self.switches)

    def ordering(self, form: int) -> int:
        """The number of the ordering of a form."""
        return form >> len(self.switches)

    def with_ordering(self, switches: int, ordering: int) -> int:
        """The form with these switches on and this ordering."""
        return ordering << len(self.switches) | switches

    def on(self, form: int) -> frozenset[str]:
        """The names of the switches that are on in a form."""
        return frozenset(switch.name for number, switch in enumerate(self.switches) if form >> number & 1)

    def not_none(self, form: int) -> frozenset[str]:
        """The parameters that are not None in a form, because lines depend on that."""
        return self.on(form) & {switch.name for switch in self.switches if switch.test is Test.VALUE}

    def title(self, form: int) -> str:
        """What tells the form from the others: `with role, without since, ordered by name`."""
        on = [switch.name for number, switch in enumerate(self.switches) if form >> number & 1]
        off = [switch.name for number, switch in enumerate(self.switches) if not form >> number & 1]
        words = [f"with {', '.join(on)}"] if on else []
        words += [f"without {', '.join(off)}"] if off else []
        words += [f"ordered by {self.orderings[self.ordering(form)]}"] if self.orderings else []
        return ", ".join(words)

    def statement(self, form: int) -> tuple[tuple[str, ...], Composed]:
        """The parameters that a form uses, in the order of declaration, and its statement."""
        tokens = self.tokens(form)
        used = {token.text[1:] for token in tokens if token.kind is TokenKind.PARAMETER}
        parameters = tuple(name for name in self.arguments if name in used)
        return parameters, compose(tokens, self.begin, parameters)

    def tokens(self, form: int) -> list[Token]:
        """The tokens of a form.

        Where lines after a comma are left out and nothing of the list is left, so is the comma: before a closing
        bracket, the end, or a reserved word that no item begins with. PostgreSQL accepts no comma there.
        """
        kept: list[Token] = []
        gap = False
        ordering = self.ordering(form)
        for part in self.parts:
            if part.ordering not in (None, ordering) or not all(each.holds(form) for each in part.conditions):
                gap = True
                continue
            for token in part.tokens:
                if gap and not token.blank:
                    gap = False
                    if ends_a_list(token):
                        _drop_comma(kept)
                kept.append(token)
        kept = trimmed(kept)
        if gap:
            _drop_comma(kept)
        return kept


def trimmed(tokens: Sequence[Token]) -> list[Token]:
    """A statement without the blanks and semicolons at its end."""
    end = len(tokens)
    while end and (tokens[end - 1].blank or tokens[end - 1].kind is TokenKind.SEMICOLON):
        end -= 1
    return list(tokens[:end])


def compose(tokens: Iterable[Token], begin: int, parameters: Sequence[str]) -> Composed:
    """The statement of these tokens, which are of a text that begins at the offset `begin` of the file."""
    numbers = {name: f"${number}" for number, name in enumerate(parameters, 1)}
    pieces: list[str] = []
    shifts: list[tuple[int, int]] = []
    length = shift = 0
    for token in tokens:
        if token.start - begin - length != shift:
            shift = token.start - begin - length
            shifts.append((length, token.start - begin))
        piece = numbers[token.text[1:]] if token.kind is TokenKind.PARAMETER else token.text
        pieces.append(piece)
        length += len(piece)
    return Composed("".join(pieces), tuple(shifts))


def _drop_comma(tokens: list[Token]) -> None:
    """Drop the last token that is not blank if it is a comma."""
    last = next((index for index in reversed(range(len(tokens))) if not tokens[index].blank), None)
    if last is not None and tokens[last].text == ",":
        del tokens[last]


# --- reading ---


class _Governed(NamedTuple):
    tokens: tuple[Token, ...]
    directives: tuple[Directive, ...]


def read_forms(tokens: Sequence[Token], declared: Collection[str]) -> Forms | None:
    """The forms of a query with these tokens and this parameter list; None if it has no directive.

    The names in the directives have been checked. Raises DirectiveError.
    """
    if not any(map(is_directive, tokens)):
        return None
    governed = list(_governed(tokens))
    directives = list(dict.fromkeys(chain.from_iterable(each.directives for each in governed)))
    if not directives:
        return None
    used = {token.text[1:] for token in tokens if token.kind is TokenKind.PARAMETER}
    switches, orderings = _switches(directives, used), _orderings(directives, declared)
    numbers = {switch.name: number for number, switch in enumerate(switches)}
    parts = tuple(_part(each, numbers, orderings) for each in governed)
    required = {token.text[1:] for part in parts if part.always for token in part.tokens
                if token.kind is TokenKind.PARAMETER}  # fmt: skip
    tests = {switch.name: switch.test for switch in switches}
    for directive in directives:
        if directive.word is Word.IF_GIVEN:
            for name, start in directive.names:
                if name in required:
                    message = f":{name} is also in a line that is always sent, so {name} is always given"
                    raise DirectiveError(start, message, f"Write -- if: {name}, or make the other line optional, too")
    arguments = {name: _default(name, required, tests.get(name)) for name in declared}
    if orderings:
        arguments[ORDER_BY] = orderings[0]
    return Forms(tokens[0].start, parts, switches, orderings, arguments)


def mentioned(tokens: Sequence[Token]) -> list[tuple[str, int]]:
    """The names that optional lines depend on, each with its offset. Raises DirectiveError."""
    if not any(map(is_directive, tokens)):
        return []
    directives = chain.from_iterable(each.directives for each in _governed(tokens))
    return [name for each in dict.fromkeys(directives) if each.word is not Word.ORDER for name in each.names]


def _default(name: str, required: Collection[str], test: Test | None) -> Any:
    if test is Test.FLAG:
        return False
    if name in required:
        return Parameter.empty
    return None if test is Test.VALUE else NOT_GIVEN


def _governed(tokens: Sequence[Token]) -> Iterator[_Governed]:
    """The lines, each with the directives that it depends on, those of the blocks around it first."""
    blocks: list[Directive] = []
    for line in _lines(tokens):
        directive = _directive(line)
        if directive is None:
            yield _Governed(tuple(line), tuple(blocks))
        elif directive.word is Word.END:
            if not blocks:
                message = "-- end has no block to end"
                raise DirectiveError(directive.start, message, "Remove it, or write the -- if: NAME that it ends")
            blocks.pop()
        elif directive.alone:
            blocks.append(directive)
        else:
            yield _Governed(tuple(_without_comment(line)), (*blocks, directive))
    if blocks:
        message = f"the block of -- {blocks[-1].word}: {', '.join(name for name, _ in blocks[-1].names)} has no -- end"
        hint = "Write -- end on a line of its own, or put the comment at the end of the one line that it is for"
        raise DirectiveError(blocks[-1].start, message, hint)


def _lines(tokens: Iterable[Token]) -> Iterator[list[Token]]:
    """The tokens by lines. A string or comment over several lines does not end one."""
    line: list[Token] = []
    for token in tokens:
        if not _breaks(token):
            line.append(token)
            continue
        cut = token.text.rindex("\n") + 1
        line.append(Token(TokenKind.SPACE, token.text[:cut], token.start))
        yield line
        line = [Token(TokenKind.SPACE, token.text[cut:], token.start + cut)] if token.text[cut:] else []
    yield line


def _breaks(token: Token) -> bool:
    return token.kind is TokenKind.SPACE and "\n" in token.text


def _without_comment(line: Sequence[Token]) -> Iterator[Token]:
    """A line without the comment at its end, and the space before it."""
    last = max(index for index, token in enumerate(line) if not token.blank)
    yield from line[: last + 1]
    yield from (token for token in line[last + 1 :] if _breaks(token) or token.kind is TokenKind.BLOCK_COMMENT)


def _switches(directives: Iterable[Directive], used: Collection[str]) -> tuple[Switch, ...]:
    found: dict[str, Test] = {}
    for directive in directives:
        if directive.word is Word.ORDER:
            continue
        for name, start in directive.names:
            test = Test.GIVEN if directive.word is Word.IF_GIVEN else Test.VALUE
            if name not in used:
                if test is Test.GIVEN:
                    message = f"{name} is a flag, because :{name} is nowhere in the SQL, and a flag is always given"
                    raise DirectiveError(start, message, f"Write -- if: {name}")
                test = Test.FLAG
            if found.setdefault(name, test) is not test:
                message = f"lines depend on {name} both by `if given` and by `if` or `unless`"
                raise DirectiveError(start, message, "Use one of them throughout the query")
    return tuple(Switch(name, test) for name, test in found.items())


def _orderings(directives: Iterable[Directive], declared: Collection[str]) -> tuple[str, ...]:
    starts: dict[str, int] = {}
    for directive in directives:
        if directive.word is not Word.ORDER:
            continue
        name, start = directive.names[0]
        if len(directive.names) > 1:
            raise DirectiveError(directive.names[1][1], "an ordering has one name", f"Write -- order: {name}")
        if name in starts:
            hint = "Give it another name, or put the lines of one ordering between -- order: NAME and -- end"
            raise DirectiveError(start, f"there are two orderings with the name {name}", hint)
        if ORDER_BY in declared:
            message = f"{ORDER_BY} is the parameter that chooses the ordering, and cannot be in the parameter list"
            raise DirectiveError(directive.start, message, "Remove it from the list, or give it another name")
        starts[name] = start
    return tuple(starts)


def _part(governed: _Governed, numbers: dict[str, int], orderings: Sequence[str]) -> Part:
    conditions: list[Condition] = []
    ordering: int | None = None
    for directive in governed.directives:
        if directive.word is Word.ORDER:
            if conditions or ordering is not None:
                message = "an ordering cannot be inside a block: one of the orderings is always sent"
                raise DirectiveError(directive.start, message, "Move the line out of the block")
            ordering = orderings.index(directive.names[0][0])
        else:
            switches = sum({1 << numbers[name] for name, _ in directive.names})
            conditions.append(Condition(switches, directive.word is Word.UNLESS))
    return Part(governed.tokens, tuple(conditions), ordering)

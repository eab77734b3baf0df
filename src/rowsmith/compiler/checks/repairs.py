"""Repairs: what may have been meant where PostgreSQL refuses a query.

A repair is a guess of another text at the place of the error, and the hint to print if the server accepts it there
(`refusals`). The guesses are made of the tokens around the error and of the names in the catalog.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import NamedTuple

import psycopg
from psycopg.rows import TupleRow

from rowsmith.queries.lexer import Token, TokenKind, tokenize

_NAMES = {
    "columns": "SELECT DISTINCT quote_ident(attname) FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid "
    "WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind <> 'i' AND {ours}",
    "tables": "SELECT quote_ident(relname) FROM pg_class AS c WHERE relkind IN ('r', 'v', 'm', 'p', 'f') AND {ours} "
    "UNION SELECT oid::regclass::text FROM pg_class AS c WHERE relkind IN ('r', 'v', 'm', 'p', 'f') AND {ours}",
    "functions": "SELECT DISTINCT quote_ident(proname) FROM pg_proc WHERE prokind <> 'p'",
    "types": "SELECT oid::regtype::text FROM pg_type WHERE typtype <> 'p' AND typcategory <> 'A' AND typrelid = 0",
    "labels": "SELECT DISTINCT quote_literal(enumlabel) FROM pg_enum",
    "keywords": "SELECT word FROM pg_get_keywords()",
    "reserved": "SELECT word FROM pg_get_keywords() WHERE catcode IN ('R', 'T')",
}
_OURS = "c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)"
_QUOTES = ('"', "\N{LEFT SINGLE QUOTATION MARK}", "\N{LEFT DOUBLE QUOTATION MARK}")
_TYPES = ("text", "integer", "bigint", "numeric", "boolean", "date", "timestamptz", "interval", "uuid", "jsonb")
_OPERATORS = {"==": "=", "===": "=", "!==": "<>", "=!": "<>", "=<": "<=", "=>": ">="}
_FUNCTIONS = {
    "ifnull": "coalesce", "isnull": "coalesce", "nvl": "coalesce", "len": "length", "getdate": "now", "rand": "random",
    "curdate": "now", "group_concat": "string_agg", "listagg": "string_agg", "charindex": "strpos", "instr": "strpos",
    "date_format": "to_char", "newid": "gen_random_uuid", "uuid_generate_v4": "gen_random_uuid", "lcase": "lower",
    "ucase": "upper",
}  # fmt: skip
"""What other databases call a function."""


class Repair(NamedTuple):
    """Another text for a part of a statement, from `start` to `end`. The hint says what it is; none if it is nothing
    to write, but lets the server go on to the next fault."""

    start: int
    end: int
    text: str
    hint: str | None


class Names:
    """The names in a database, as they are written in SQL, by what they are of. Each kind is asked for once."""

    def __init__(self, conn: psycopg.Connection[TupleRow]) -> None:
        self._conn = conn
        self._found: dict[str, list[str]] = {}

    def of(self, kind: str) -> list[str]:
        """All names of a kind: columns, tables, functions, types, labels of enumerations, keywords, reserved words."""
        if kind not in self._found:
            statement = _NAMES[kind].format(ours=_OURS).encode()
            self._found[kind] = [str(name) for (name,) in self._conn.execute(statement)]
        return self._found[kind]

    def like(self, name: str, kind: str) -> list[str]:
        """The names that look like this one, the nearest first: those that differ in capitals alone, then others."""
        names, plain = self.of(kind), name.strip('"').lower()
        same = [each for each in names if each.strip('"').lower() == plain and each != name]
        return list(dict.fromkeys([*same, *get_close_matches(name, names, 3)]))


@dataclass(frozen=True)
class Place:
    """Where the server has found an error: a token of a statement."""

    sql: str
    position: int
    """From 0, in characters."""
    message: str

    @cached_property
    def tokens(self) -> list[Token]:
        """The tokens, without the blank ones."""
        return [token for token in tokenize(self.sql) if not token.blank]

    @cached_property
    def index(self) -> int:
        """The number of the token. It is that of an end of input if the error is there."""
        return next((i for i, token in enumerate(self.tokens) if token.end > self.position), len(self.tokens))

    def text(self, index: int) -> str:
        """The text of a token; empty outside of the statement."""
        return self.tokens[index].text if 0 <= index < len(self.tokens) else ""

    def name(self) -> tuple[int, int]:
        """The tokens of the name that begins here, `u.email`: the first one, and the one after the last."""
        end = self.index + 1
        while self.text(end) == "." and end + 1 < len(self.tokens):
            end += 2
        return self.index, end

    def operand(self, begin: int) -> int:
        """The token after the operand that begins with one: a value, a name, a call or parentheses, without a cast."""
        end = begin
        while self.text(end + 1) == ".":
            end += 2
        if self.text(end) == "(" or self.text(end + 1) == "(":
            end += self.text(end) != "("
            return self._closing(end) + 1
        return end + 1

    def operand_before(self, end: int) -> int:
        """The first token of the operand that ends before one."""
        begin = end - 1
        if self.text(begin) == ")":
            depth = 1
            while depth and begin > 0:
                begin -= 1
                depth += (self.text(begin) == ")") - (self.text(begin) == "(")
            is_call = (
                begin > 0 and self.tokens[begin - 1].kind is TokenKind.NAME and self.text(begin - 1).isidentifier()
            )
            begin -= is_call
        while self.text(begin - 1) in (".", "::"):
            begin -= 2
        return begin

    def arguments(self) -> Iterator[tuple[int, int]]:
        """The arguments of the call that begins here: their first tokens, and those after the last."""
        _, opening = self.name()
        if self.text(opening) != "(":
            return
        begin, depth = opening + 1, 0
        for index in range(begin, self._closing(opening) + 1):
            if depth == 0 and self.text(index) in (",", ")") and index > begin:
                yield begin, index
                begin = index + 1
            depth += (self.text(index) in "([") - (self.text(index) in ")]")

    def replaced(self, begin: int, end: int, text: str, hint: str | None) -> Repair:
        """The repair that puts a text in the place of some tokens."""
        return Repair(self.tokens[begin].start, self.tokens[end - 1].end, text, hint)

    def source(self, begin: int, end: int) -> str:
        """The text of some tokens, as it is written."""
        return self.sql[self.tokens[begin].start : self.tokens[end - 1].end]

    def _closing(self, opening: int) -> int:
        depth = 0
        for index in range(opening, len(self.tokens)):
            depth += (self.text(index) == "(") - (self.text(index) == ")")
            if depth == 0:
                return index
        return len(self.tokens) - 1


def repairs(sqlstate: str | None, place: Place, names: Names) -> Iterator[Repair]:
    """The repairs for an error, the likeliest first."""
    guess = _GUESSES.get(sqlstate or "")
    if guess is not None and (place.index < len(place.tokens) or guess is _syntax):
        yield from guess(place, names)


def _column(place: Place, names: Names) -> Iterator[Repair]:
    begin, end = place.name()
    written, last = place.source(begin, end), place.text(end - 1)
    if end == begin + 1 and last[0] in _QUOTES:
        text = "'" + last[1:-1].replace("'", "''") + "'"
        yield place.replaced(begin, end, text, f"Text is in straight single quotes. Write {text}")
    for index in range(1, len(place.tokens)):
        if place.text(index).lower() == "user" and place.text(index - 1).lower() in ("from", "join"):
            for name in names.like("user", "tables"):
                yield place.replaced(index, index + 1, name, f"The word user is the current role. Write {name}")
    qualifier = written[: -len(last)]
    for name in names.like(last, "columns"):
        why = ": PostgreSQL reads names without quotes in lower case" if name.strip('"') == last else ""
        yield place.replaced(begin, end, qualifier + name, f"Write {qualifier}{name}{why}")
    if end == begin + 1:
        yield from _alias(place, begin)
        if place.text(begin - 1) in "=<>":
            yield place.replaced(begin, end, f"'{last}'", f"Write '{last}' for a text, or :{last} for a parameter")
    for text in ("NULL", "NULL::text", "NULL::integer"):
        yield place.replaced(begin, end, text, None)


def _alias(place: Place, index: int) -> Iterator[Repair]:
    """The expression of the result column with this name, which WHERE cannot use."""
    name, texts = place.text(index), [token.text.lower() for token in place.tokens]
    for at in range(1, index - 1):
        if texts[at] == "as" and texts[at + 1] == name.lower():
            depth, begin = 0, at
            while begin > 0 and (depth or texts[begin - 1] not in ("select", "distinct", ",")):
                begin -= 1
                depth += (texts[begin] in (")", "]")) - (texts[begin] in ("(", "["))
            text = f"({place.source(begin, at)})"
            hint = f"{name} names a column of the result, which only ORDER BY and GROUP BY can use. Write {text}"
            yield place.replaced(index, index + 1, text, hint)


def _table(place: Place, names: Names) -> Iterator[Repair]:
    begin, end = place.name()
    written = place.source(begin, end)
    for name in names.like(written, "tables"):
        yield place.replaced(begin, end, name, f"Write {name}")
    for name in names.of("tables"):
        if name.endswith(f".{written}"):
            yield place.replaced(begin, end, name, f"Write {name}, with its schema")
    if end > begin + 1:
        yield from _qualified(place, end - 1, end)


def _ambiguous_column(place: Place, _names: Names) -> Iterator[Repair]:
    yield from _qualified(place, *place.name())


def _qualified(place: Place, begin: int, end: int) -> Iterator[Repair]:
    """A column with another name of the query before it, which may be that of its table."""
    column = place.text(end - 1)
    for name in dict.fromkeys(token.text for token in place.tokens if token.kind is TokenKind.NAME):
        if name != column:
            start = place.index if place.text(begin - 1) == "." else begin
            yield place.replaced(start, end, f"{name}.{column}", f"Write {name}.{column}")


def _function(place: Place, names: Names) -> Iterator[Repair]:
    if place.tokens[place.index].kind is not TokenKind.NAME:
        yield from _operator(place, names)
        return
    begin, end = place.name()
    other = [_FUNCTIONS[name] for name in [place.text(end - 1).lower()] if name in _FUNCTIONS]
    for name in [*other, *names.like(place.text(end - 1), "functions")]:
        text = place.source(begin, end)[: -len(place.text(end - 1))] + name
        yield place.replaced(begin, end, text, f"Write {text}")
    for first, after in place.arguments():
        for type_ in ("numeric", *_TYPES):  # not an integer, which would round
            yield _cast(place, first, after, type_)


def _operator(place: Place, _names: Names) -> Iterator[Repair]:
    """Another operator, or a cast of an operand to the type of the other one."""
    after = place.index
    while (
        place.tokens[after].kind is TokenKind.SYMBOL
        and place.text(after) not in "()[]"
        and (after == place.index or place.tokens[after].start == place.tokens[after - 1].end)
    ):
        after += 1
    operator = place.source(place.index, after) if after > place.index else place.text(place.index)
    if operator in _OPERATORS:
        yield place.replaced(place.index, after, _OPERATORS[operator], f"Write {_OPERATORS[operator]}")
    left, _, right = place.message.rpartition(": ")[2].partition(f" {operator} ")
    if operator == "+" and {left, right} <= {"text", "character varying", "character"}:
        yield place.replaced(place.index, after, "||", "Write || to join texts")
    first, last = place.operand_before(place.index), place.operand(after)
    if place.text(last) == "::":
        yield place.replaced(last, last + 2, "", f"Remove ::{place.text(last + 1)}")
    for type_ in dict.fromkeys([left, *_TYPES] if left != "unknown" else _TYPES):
        yield _cast(place, after, last, type_)
    for type_ in dict.fromkeys([right, *_TYPES] if right != "unknown" else _TYPES):
        yield _cast(place, first, place.index, type_)


def _cast(place: Place, begin: int, end: int, type_: str) -> Repair:
    written = place.source(begin, end)
    simple = end == begin + 1 or place.text(begin) == "(" or all(place.text(i) == "." for i in range(begin + 1, end, 2))
    text = f"{written}::{type_}" if simple else f"({written})::{type_}"
    return place.replaced(begin, end, text, f"Write {text}")


def _mismatch(place: Place, _names: Names) -> Iterator[Repair]:
    """A value of another type than is needed here: a cast. Of a UNION, nobody knows which part is wrong."""
    if any(token.text.lower() in ("union", "intersect", "except") for token in place.tokens):
        return
    end = place.operand(place.index)
    if place.text(end) == "::":
        yield place.replaced(end, end + 2, "", f"Remove ::{place.text(end + 1)}")
        end += 2
    for type_ in _TYPES:
        yield _cast(place, place.index, end, type_)


def _array(place: Place, _names: Names) -> Iterator[Repair]:
    """A value on the right side of ANY or ALL that is no array."""
    opening = next((i for i in range(place.index, len(place.tokens)) if place.text(i) == "("), None)
    if opening is not None:
        begin, end = opening + 1, place.operand(opening) - 1
        if place.text(end - 2) == "::":
            text = f"{place.source(begin, end)}[]"
            yield place.replaced(begin, end, text, f"Write {text}: ANY and ALL take an array")
        text = f"ARRAY[{place.source(begin, end)}]"
        yield place.replaced(begin, end, text, f"Write {text}: ANY and ALL take an array")


def _parameter(place: Place, _names: Names) -> Iterator[Repair]:
    """A parameter without a type, or with two."""
    here = place.text(place.index)
    uses = [i for i, token in enumerate(place.tokens) if token.text == here and place.text(i + 1) != "::"]
    for use in sorted(uses, key=lambda use: use != place.index):
        for type_ in _TYPES:
            text = f"{here}::{type_}"
            yield place.replaced(use, use + 1, text, f"Give its type with a cast, such as {text}")


def _group(place: Place, _names: Names) -> Iterator[Repair]:
    begin, end = place.name()
    written = place.source(begin, end)
    hint = f"Add {written} to GROUP BY, or write max({written}) or another aggregate"
    yield place.replaced(begin, end, f"max({written})", hint)


def _type(place: Place, names: Names) -> Iterator[Repair]:
    begin, end = place.name()
    for name in names.like(place.source(begin, end), "types"):
        yield place.replaced(begin, end, name, f"Write {name}")


def _label(place: Place, names: Names) -> Iterator[Repair]:
    """A text that is not a value of its type: another label of an enumeration."""
    begin, end = place.index, place.index + 1
    near = get_close_matches(place.text(begin), names.of("labels"), 3, 0.5)
    for label in dict.fromkeys([*near, *names.of("labels")]):
        yield place.replaced(begin, end, label, f"Write {label}, or another label of the type")


def _syntax(place: Place, names: Names) -> Iterator[Repair]:
    here, index, sql = place.text(place.index), place.index, place.sql
    if index == len(place.tokens):
        yield Repair(len(sql), len(sql), ")", "A closing parenthesis is missing")
    yield from _list(place)
    yield from _pattern(place)
    if "`" in sql:
        yield Repair(0, len(sql), sql.replace("`", '"'), "Names are quoted in double quotes, not in `")
    if "&&" in sql:
        yield Repair(0, len(sql), sql.replace("&&", " AND "), "Write AND instead of &&")
    if place.text(index - 1) == ",":
        yield place.replaced(index - 1, index, "", f"Remove the comma before {here or 'the end'}")
    yield from _words(place, names)
    if 0 < index < len(place.tokens):
        start = place.tokens[index].start
        yield Repair(start, start, ", ", f"A comma is missing before {here}")
        if place.tokens[index].kind is TokenKind.SYMBOL:  # without a word, such as WHERE, it would mean something else
            yield place.replaced(index, index + 1, "", f"Remove {here}")


def _list(place: Place) -> Iterator[Repair]:
    """For `IN :ids`, which takes no parameter alone."""
    index = place.index
    if place.text(index - 1).lower() == "in" and place.tokens[index].kind is TokenKind.POSITIONAL:
        negated = place.text(index - 2).lower() == "not"
        text = f"{'<> ALL' if negated else '= ANY'} ({place.text(index)})"
        yield place.replaced(index - 1 - negated, index + 1, text, f"For a list, write {text}")


def _pattern(place: Place) -> Iterator[Repair]:
    """For `LIKE :part%`: the last pattern before the error, with its percent signs in strings."""
    likes = [at for at in range(place.index) if place.text(at).lower() in ("like", "ilike")]
    if not likes:
        return
    begin = likes[-1] + 1
    parameter = begin + (place.text(begin) == "%")
    end = parameter + 1 + (place.text(parameter + 1) == "%")
    if end - begin > 1 and place.text(parameter).startswith("$"):
        before = "'%' || " if parameter > begin else ""
        after = " || '%'" if end > parameter + 1 else ""
        text = f"{before}{place.text(parameter)}{after}"
        yield place.replaced(begin, end, text, f"A pattern is a string: write {place.text(begin - 1)} {text}")


def _words(place: Place, names: Names) -> Iterator[Repair]:
    """Words near a syntax error that are reserved, or misspelt."""
    near = [at for at in (place.index, place.index - 1, place.index - 2) if 0 <= at < len(place.tokens)]
    for at in near[:2]:
        word = place.text(at)
        if word.lower() in names.of("reserved"):
            quoted = f'"{word.lower()}"'
            yield place.replaced(at, at + 1, quoted, f"{word} is a reserved word. To use it as a name, write {quoted}")
    for at in near:
        for word in get_close_matches(place.text(at).lower(), _STRUCTURE, 2, 0.7):
            if word != place.text(at).lower():
                yield place.replaced(at, at + 1, word.upper(), f"Write {word.upper()} instead of {place.text(at)}")


_STRUCTURE = (
    "select", "from", "where", "group", "by", "order", "having", "limit", "offset", "insert", "into", "values",
    "update", "set", "delete", "returning", "join", "left", "inner", "on", "using", "and", "or", "not", "null", "like",
    "ilike", "between", "union", "distinct", "as", "with", "conflict", "nothing",
)  # fmt: skip
"""Words that may have been misspelt, and were then read as something else."""
_GUESSES: Mapping[str, Callable[[Place, Names], Iterator[Repair]]] = {
    "22P02": _label,
    "42601": _syntax,
    "42702": _ambiguous_column,
    "42703": _column,
    "42704": _type,
    "42725": _operator,
    "42803": _group,
    "42804": _mismatch,
    "42809": _array,
    "42883": _function,
    "42P01": _table,
    "42P08": _parameter,
    "42P18": _parameter,
}
"""By SQLSTATE (manual, appendix "PostgreSQL Error Codes")."""

"""The refusal of a query: what PostgreSQL said, where, and a hint of our own if the server has none."""

from __future__ import annotations

import psycopg

from rowsmith.compiler.checks.findings import at_position, at_query
from rowsmith.findings import Finding, Rule
from rowsmith.queries.lexer import Token, TokenKind, tokenize
from rowsmith.queries.query import Query


def refusal(query: Query, error: psycopg.Error) -> Finding:
    """The finding for a query that the server refuses. Its positions count characters from 1."""
    said = error.diag
    message = "\n".join(filter(None, [said.message_primary or str(error).strip(), said.message_detail]))
    position = None if said.statement_position is None else int(said.statement_position) - 1
    hint = said.message_hint or _hint(query, error, position)
    if position is None:
        return at_query(Rule.REFUSED, query, message, hint)
    return at_position(Rule.REFUSED, query, position, message, hint)


def _hint(query: Query, error: psycopg.Error, position: int | None) -> str | None:
    if isinstance(error, (psycopg.errors.IndeterminateDatatype, psycopg.errors.AmbiguousParameter)):
        for number, name in enumerate(query.parameters, 1):
            if (error.diag.message_primary or "").endswith(f" ${number}"):
                return f"${number} is :{name}. Give its type with a cast, such as :{name}::text"
    if isinstance(error, psycopg.errors.SyntaxError):
        tokens = [token for token in tokenize(query.sql) if not token.blank]
        read = [token for token in tokens if token.start <= (position or 0)]
        if (found := _in_list(query, read) or _pattern(query, tokens, len(read))) is not None:
            return found
        if query.title:
            return "Begin with what is always sent, such as WHERE true, or SET updated_at = now()"
    return None


def _in_list(query: Query, tokens: list[Token]) -> str | None:
    """For `IN :ids`, at whose parameter the tokens end."""
    if len(tokens) < 2 or tokens[-1].kind is not TokenKind.POSITIONAL or tokens[-2].text.lower() != "in":  # noqa: PLR2004 - the two
        return None
    negated = len(tokens) > 2 and tokens[-3].text.lower() == "not"  # noqa: PLR2004 - the third from the end
    name = _name(query, tokens[-1])
    return f"For a list, write {'<> ALL' if negated else '= ANY'} (:{name})"


def _pattern(query: Query, tokens: list[Token], read: int) -> str | None:
    """For `LIKE :part%`, near the last of the tokens that the server has read."""
    likes = [index for index, token in enumerate(tokens[:read]) if token.text.lower() in ("like", "ilike")]
    if not likes:
        return None
    operand = [token for token in tokens[likes[-1] + 1 :] if token.text != "("][:3]
    place = next((index for index, token in enumerate(operand) if token.kind is TokenKind.POSITIONAL), None)
    before = "'%' || " if operand and operand[0].text == "%" else ""
    if place is None:
        return None
    after = " || '%'" if [token.text for token in operand[place + 1 : place + 2]] == ["%"] else ""
    pattern = f"{before}:{_name(query, operand[place])}{after}"
    return f"A pattern is a string: write {tokens[likes[-1]].text} {pattern}" if before or after else None


def _name(query: Query, token: Token) -> str:
    """The name of the parameter that a token like `$1` stands for."""
    return query.parameters[int(token.text[1:]) - 1]

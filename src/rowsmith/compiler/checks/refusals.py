"""What PostgreSQL refuses in a query: every fault that it can name, and what to write instead.

The server stops at the first fault. So a repair is tried in its place (`repairs`), and the server is asked again. A
hint is printed only if the server, with its text, has no complaint left, or one about a name elsewhere. A further fault
is printed only if it is about a name, which nothing that was put elsewhere can have caused: a column or table that does
not exist, say, but never a type that does not fit. If the name of a table was guessed, further columns are not looked
at, and after a syntax error nothing is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

import psycopg
from psycopg.rows import TupleRow

from rowsmith.compiler.checks.findings import at_position, at_query
from rowsmith.compiler.checks.repairs import Names, Place, Repair, repairs
from rowsmith.compiler.checks.trial import Trial
from rowsmith.findings import Finding, Rule
from rowsmith.queries.query import Query

_SYNTAX_ERROR = "42601"
_MOST_FAULTS, _MOST_REPAIRS = 10, 60
_COLUMNS = {"42703", "42702"}
_NAMES = {"42P01", "42704", *_COLUMNS}
"""SQLSTATE of a name that does not exist or is ambiguous. 42883 is one, too, if no function has the name."""

_PARSER = ("scanner_yyerror", "base_yyerror")
_ADVICE = {
    "22007": "Write it as in '2026-12-31' or '2026-12-31 23:59:59+00'",
    "22008": "Write a date that exists, year first, as in '2026-12-31'",
    "42601": "Look at what is before the caret: something is missing there, or too much",
    "42702": "Write the name or the alias of its table before it, and a dot",
    "42703": "Check its spelling, and that a table in FROM has it. If it is new, add it in a migration",
    "42704": "Check its spelling. If it is new, create it in a migration",
    "42803": "Conditions on aggregates belong in HAVING, after GROUP BY",
    "42804": "Cast one of them, as in value::text",
    "42P01": "Check its spelling and its schema. If it is new, create it in a migration",
}
"""What to do about an error, by SQLSTATE, if no form that was tried helps."""


class Refusals:
    """Finds what one database refuses."""

    def __init__(self, conn: psycopg.Connection[TupleRow], trial: Trial) -> None:
        self._trial = trial
        self._names = Names(conn)
        self._worked: dict[tuple[str | None, str], str] = {}
        """What helped against an error: other forms of the query are likely to have it as well."""

    def findings(self, query: Query, error: psycopg.Error) -> Iterator[Finding]:
        """What is wrong with a query that the server has refused with this error."""
        sql, edits, repaired, admitted = query.sql, list[Repair](), set[str](), set(_NAMES)
        for number in range(_MOST_FAULTS):
            place = _place(query, sql, error)
            if place is None:
                if number == 0:
                    yield at_query(Rule.REFUSED, query, _said(query, error), _plain_hint(query, error))
                return
            name = place.source(*place.name()).rpartition(".")[2] if place.index < len(place.tokens) else ""
            if error.sqlstate == "42P01":
                admitted -= _COLUMNS  # those of a table whose name is guessed prove nothing
            elif error.sqlstate == _SYNTAX_ERROR:
                admitted.clear()
            repair, next_error = self._repair(query, place, error, admitted)
            if name not in repaired or number == 0:
                hint = _shown(query, repair.hint) if repair and repair.hint else _plain_hint(query, error)
                yield at_position(Rule.REFUSED, query, _original(place.position, edits), _said(query, error), hint)
            if repair is None or next_error is None or error.sqlstate == _SYNTAX_ERROR:
                return
            sql, error = _edited(sql, repair), next_error
            edits.append(repair)
            repaired.add(name)
            if not self._is_about_a_name(error, admitted):
                return

    def _repair(
        self, query: Query, place: Place, error: psycopg.Error, admitted: set[str]
    ) -> tuple[Repair | None, psycopg.Error | None]:
        """The first repair that the server goes on with, and its next complaint, if it has one."""
        fault = (error.sqlstate, place.message)
        guesses = list(islice(repairs(error.sqlstate, place, self._names), _MOST_REPAIRS))
        for repair in sorted(guesses, key=lambda guess: guess.text != self._worked.get(fault)):
            answer = self._trial.objection(query, _edited(place.sql, repair))
            if answer is None or (self._is_about_a_name(answer, admitted) and not _is_inside(answer, repair)):
                self._worked[fault] = repair.text
                return repair, answer
        return None, None

    def _is_about_a_name(self, error: psycopg.Error, admitted: set[str]) -> bool:
        return error.sqlstate in admitted and error.diag.statement_position is not None


def _place(query: Query, sql: str, error: psycopg.Error) -> Place | None:
    position, message = error.diag.statement_position, error.diag.message_primary or ""
    if position is not None:
        return Place(sql, int(position) - 1, message)
    if (number := re.search(r"\$(\d+)$", message)) and (use := re.search(rf"\${number[1]}\b", sql)):
        return Place(sql, use.start(), message)  # of a parameter without a type, the server names the number alone
    return None


def _edited(sql: str, repair: Repair) -> str:
    return f"{sql[: repair.start]}{repair.text}{sql[repair.end :]}"


def _is_inside(error: psycopg.Error, repair: Repair) -> bool:
    position = int(error.diag.statement_position or 0) - 1
    return repair.start <= position <= repair.start + len(repair.text)


def _original(position: int, edits: list[Repair]) -> int:
    """The offset in the query, of one in its text after some edits."""
    for edit in reversed(edits):
        if position >= edit.start + len(edit.text):
            position += edit.end - edit.start - len(edit.text)
        elif position > edit.start:
            position = edit.start
    return position


def _said(query: Query, error: psycopg.Error) -> str:
    said = error.diag
    lines = filter(None, [said.message_primary or str(error).strip(), said.message_detail])
    return _shown(query, "\n".join(lines))


def _shown(query: Query, text: str) -> str:
    """A text with the names of parameters, as the file has them, instead of their numbers."""
    return re.sub(
        r"\$(\d+)", lambda found: f":{query.parameters[int(found[1]) - 1]}" if int(found[1]) <= len(query.parameters)
        and found[1] != "0" else found[0], text,
    )  # fmt: skip


def _plain_hint(query: Query, error: psycopg.Error) -> str | None:
    """What to do without a form that was tried: our own advice, or what the server hints at."""
    own, hint = _ADVICE.get(error.sqlstate or ""), error.diag.message_hint
    if error.sqlstate == _SYNTAX_ERROR and error.diag.source_function not in _PARSER:
        own = None  # a rule of a statement, which the message explains
    elif error.sqlstate == _SYNTAX_ERROR and query.title:
        own = "Begin with what is always sent, such as WHERE true, or SET updated_at = now()"
    return own if own is not None else _shown(query, hint) if hint else None

"""What is said about a migration that cannot be applied or rolled back."""

# yoyo has no annotations:
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false

from __future__ import annotations

from typing import NamedTuple

import psycopg
from yoyo.scripts.main import InvalidArgument

from rowsmith.errors import MigrationError
from rowsmith.findings import Finding, excerpt


class RefusedError(MigrationError, InvalidArgument):  # type: ignore[misc]  # yoyo has no annotations
    """A MigrationError that yoyo's command line prints without a traceback."""

    page = MigrationError.page


def refused(finding: Finding) -> RefusedError:
    """The error about a place in a file: what is wrong there, and the line with a caret."""
    return RefusedError("\n".join([str(finding), *excerpt(finding)]))


class Failure(NamedTuple):
    """Where a migration has failed."""

    migration: str
    """Its id, and whether it was applied or rolled back."""
    place: str
    """The file and, if it is known, the line."""
    more: list[str]
    """The line with a caret, and what to do."""


def add_failure(error: psycopg.Error, failure: Failure) -> None:
    """Let an error say where it comes from: in a note, and for `refusal`."""
    vars(error)["failure"] = failure
    error.add_note("\n".join([f"in migration {failure.migration} ({failure.place})", *failure.more]))


def refusal(error: psycopg.Error, hint: str | None = None) -> str:
    """What PostgreSQL said about a migration, or psycopg if PostgreSQL said nothing, and where.

    `hint` replaces PostgreSQL's own.
    """
    said = error.diag
    failure = vars(error).get("failure", Failure("", "the migrations", []))
    lines = [f"{failure.place}: PostgreSQL refuses the migration: {said.message_primary or str(error).strip()}"]
    hint = hint or said.message_hint
    lines += [said.message_detail] if said.message_detail else []
    lines += failure.more
    return "\n".join([*lines, f"hint: {hint}"] if hint else lines)

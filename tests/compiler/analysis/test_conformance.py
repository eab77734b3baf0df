"""The compiler against the corpus: what can be NULL is not called otherwise, and what cannot mostly is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple
from uuid import uuid4

import psycopg
import pytest

from rowsmith.compiler.analysis.description import Describer, Description
from rowsmith.server.scratch import create_database, drop_database
from tests.compiler.analysis.corpus_table import TARGET, page
from tests.compiler.analysis.truth import Case, create_schema, observe_all, read_corpus

PRECISION = 0.97
"""The share of the columns that are never NULL that is proven to be so, at the least."""


class Verdict(NamedTuple):
    """A case, what the compiler says of it, and which of its columns were seen to be NULL."""

    case: Case
    said: Description
    nulls: set[int]


@pytest.fixture(scope="module")
def verdicts(server_url: str) -> Iterator[list[Verdict]]:
    """Every case of the corpus, described and run over every state of a database."""
    url = create_database(server_url, f"rowsmith_{uuid4().hex[:12]}")
    try:
        with psycopg.connect(url) as conn:
            create_schema(conn)
            cases = read_corpus(conn.info.server_version)
            describer = Describer(conn)
            said = [describer.describe(case.query) for case in cases]
            conn.rollback()
            seen = observe_all(conn, cases)
            yield [Verdict(case, each, seen[case.name].nulls) for case, each in zip(cases, said, strict=True)]
    finally:
        drop_database(url, server_url)


def test_no_column_that_was_null_is_called_not_null(verdicts: list[Verdict]) -> None:
    """Soundness, by what was seen."""
    wrong = [
        f"{case.query.location} {case.name}: {column.name}"
        for case, said, nulls in verdicts
        for place, column in enumerate(said.columns)
        if place in nulls and not column.nullable
    ]
    assert not wrong, "\n".join(wrong)


def test_no_column_that_can_be_null_is_called_not_null(verdicts: list[Verdict]) -> None:
    """Soundness, by the truth that was written down."""
    wrong = [
        f"{case.query.location} {case.name}: {truth}"
        for case, said, _ in verdicts
        for truth, column in zip(case.columns, said.columns, strict=True)
        if truth.nullable and not column.nullable
    ]
    assert not wrong, "\n".join(wrong)


def test_most_columns_that_are_never_null_are_proven(verdicts: list[Verdict], figures: list[str]) -> None:
    pairs = [
        (case, truth, column)
        for case, said, _ in verdicts
        for truth, column in zip(case.columns, said.columns, strict=True)
    ]
    never = [(case, truth, column) for case, truth, column in pairs if not truth.nullable]
    missed = [f"  {case.query.location} {case.name}: {truth}" for case, truth, column in never if column.nullable]
    precision = 1 - len(missed) / len(never)
    figures.append(f"{precision:.1%} of {len(never)} columns that are never NULL are proven ({len(verdicts)} queries)")
    figures.extend(missed)
    assert precision >= PRECISION, "\n".join(missed)


def test_parameters_take_none_where_it_means_something(verdicts: list[Verdict]) -> None:
    wrong = {
        (case.name, truth.name): parameter.nullable
        for case, said, _ in verdicts
        for truth, parameter in zip(case.parameters, said.parameters, strict=True)
        if truth.nullable != parameter.nullable
    }
    assert not wrong


def test_the_page_of_the_corpus_is_that_of_the_corpus() -> None:
    assert TARGET.read_text() == page(), "run: python -m tests.compiler.analysis.corpus_table"

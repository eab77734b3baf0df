"""The compiler against the corpus: what can be NULL is not called otherwise, and what cannot mostly is."""

from __future__ import annotations

from typing import NamedTuple

import psycopg
import pytest

from rowsmith.compiler.analysis.description import Describer, Description, Typed
from rowsmith.compiler.analysis.forms import describe
from tests.compiler.analysis.corpus_table import TARGET, page
from tests.compiler.analysis.truth import Case, create_schema, read_corpus
from tests.harness.databases import new_database

PRECISION = 0.97
"""The share of the columns that are never NULL that is proven to be so, at the least."""


class Verdict(NamedTuple):
    """A case, and what the compiler says of it."""

    case: Case
    said: Description


@pytest.fixture(scope="module")
def verdicts(server_url: str) -> list[Verdict]:
    """Every case of the corpus, described."""
    with new_database(server_url) as url, psycopg.connect(url) as conn:
        create_schema(conn)
        describer = Describer(conn)
        return [Verdict(case, describe(describer, case.query)) for case in read_corpus(conn.info.server_version)]


def test_no_column_that_can_be_null_is_called_not_null(verdicts: list[Verdict]) -> None:
    """Soundness. That the truths of the corpus are true of the server is tested in tests/slow/truth."""
    wrong = [
        f"{case.query.location} {case.name}: {truth}"
        for case, said in verdicts
        for truth, column in zip(case.columns, said.columns, strict=True)
        if truth.nullable and not column.nullable
    ]
    assert not wrong, "\n".join(wrong)


def test_most_columns_that_are_never_null_are_proven(verdicts: list[Verdict], figures: list[str]) -> None:
    pairs = [
        (case, truth, column)
        for case, said in verdicts
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
        for case, said in verdicts
        for truth, parameter in zip(case.parameters, parameters_of(said), strict=True)
        if truth.nullable != parameter.nullable
    }
    assert not wrong


def parameters_of(said: Description) -> list[Typed]:
    """The parameters that are in the SQL: no flags."""
    forms = said.query.forms
    return [each for each in said.parameters if forms is None or each.name in forms.parameters]


def test_the_page_of_the_corpus_is_that_of_the_corpus() -> None:
    assert TARGET.read_text() == page(), "run: python -m tests.compiler.analysis.corpus_table"

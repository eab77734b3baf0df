"""The compiler against the corpus: what can be NULL is not called otherwise, and what cannot mostly is."""

from __future__ import annotations

from typing import NamedTuple

import psycopg
import pytest

from rowsmith.compiler.analysis.description import Describer, Description, Typed
from rowsmith.compiler.analysis.forms import describe
from rowsmith.compiler.analysis.nested import Row, Rows, Shape
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


def paths(path: str, shape: Shape | None) -> dict[str, bool]:
    """What is in a column by its path, and whether it can be NULL."""
    match shape:
        case Row():
            found = {f"{path}.{each.name}": each.nullable for each in shape.fields}
            return found | {
                inner: null for each in shape.fields for inner, null in paths(f"{path}.{each.name}", each.shape).items()
            }
        case Rows():
            return {f"{path}[]": shape.nullable} | paths(f"{path}[]", shape.element)
        case _:
            return {}


def inside(verdict: Verdict) -> dict[str, bool]:
    """What the compiler says is in the columns."""
    return {path: null for column in verdict.said.columns for path, null in paths(column.name, column.shape).items()}


def test_what_is_in_rows_and_lists_is_known(verdicts: list[Verdict], figures: list[str]) -> None:
    """Each field and each element is found, and nothing that can be NULL is called otherwise."""
    nested = [(each.case, inside(each)) for each in verdicts if each.case.inside]
    assert len(nested) >= 60
    wrong = [
        f"{case.query.location} {case.name}: {path}"
        for case, said in nested
        for path, mark in case.inside.items()
        if path not in said or (mark == "?" and not said[path])
    ]
    assert not wrong, "\n".join(wrong)
    invented = [f"{case.name}: {path}" for case, said in nested for path in said.keys() - case.inside.keys()]
    assert not invented, "\n".join(invented)
    never = [(case, path, said[path]) for case, said in nested for path, mark in case.inside.items() if mark != "?"]
    missed = [f"  {case.query.location} {case.name}: {path}" for case, path, nullable in never if nullable]
    precision = 1 - len(missed) / len(never)
    figures.append(
        f"{precision:.1%} of {len(never)} parts of rows that are never NULL are proven ({len(nested)} queries)"
    )
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

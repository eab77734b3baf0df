"""The corpus against PostgreSQL itself: its truths hold on the server before any compiler is measured by them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple
from uuid import uuid4

import psycopg
import pytest

from rowsmith.server.scratch import create_database, drop_database
from tests.compiler.analysis.truth import (
    Case,
    Connection,
    Form,
    Observation,
    create_schema,
    forms,
    observe_all,
    read_corpus,
)

# Columns that are NULL in a state that no data can bring about: why.
UNSHOWN = {
    ("session_schema", "current_schema"): "NULL needs a search_path of schemas that do not exist",
    ("address_of_the_client", "client"): "NULL on a Unix socket only; the suite may run over TCP",
}
# Parameters marked `!` for which None does something, if nothing that anyone asks for: why, and by query.
NONE_HAS_AN_EFFECT: dict[str, dict[str, set[str]]] = {
    "its value only comes back, or something computed of it": {
        "coalesce_with_parameter": {"shown"},
        "extract_by_field": {"field"},
        "interval_values": {"age"},
        "json_parameter_paths": {"key"},
        "only_returned": {"label"},
        "recursion_with_parameter": {"label"},
        "rows_from_two": {"n", "m"},
        "slices": {"n"},
        "to_char_by_pattern": {"pattern"},
        "to_char_of_numbers": {"pattern"},
        "to_number_by_pattern": {"pattern"},
        "two_series_in_the_list": {"n", "m"},
        "union_with_parameter": {"label"},
        "unnest_several": {"ids", "labels"},
        "values_of_parameters": {"id", "label"},
    },
    "what else is compared decides": {
        "compared_in_a_list": {"first", "second"},
        "flag": {"only_printed"},
        "key_set_page": {"id"},
        "parameters_of_types": {"a", "b", "c", "d", "e"},
        "update_if_told": {"told"},
    },
    "a join or a sub-query finds nothing, and the row is there for all that": {
        "parameter_in_join": {"day"},
        "parameter_in_subquery": {"stars"},
    },
    "the branch that would refuse it is not taken": {
        "merge": {"name"},
    },
}


class Corpus(NamedTuple):
    """The cases for this server, and what was seen of each in all states."""

    conn: Connection
    cases: list[Case]
    seen: dict[str, Observation]


@pytest.fixture(scope="module")
def corpus(server_url: str) -> Iterator[Corpus]:
    """The corpus, run once over every state of a database of its own."""
    url = create_database(server_url, f"rowsmith_{uuid4().hex[:12]}")
    try:
        with psycopg.connect(url) as conn:
            create_schema(conn)
            cases = read_corpus(conn.info.server_version)
            yield Corpus(conn, cases, observe_all(conn, cases))
    finally:
        drop_database(url, server_url)


def test_there_are_enough(corpus: Corpus) -> None:
    assert len(corpus.cases) >= 170


def test_names_and_types_are_those_of_the_server(corpus: Corpus) -> None:
    wrong: list[str] = []
    for case in corpus.cases:
        expected = [(column.name, column.type) for column in case.columns]
        for form in forms(case):
            columns, parameters = describe(corpus.conn, form)
            if columns != expected:
                wrong.append(f"{name_of(case)}: columns {columns}, expected {expected}")
            if parameters != [parameter.type for parameter in form.parameters]:
                wrong.append(f"{name_of(case)}: parameters {parameters}")
    assert not wrong, "\n".join(wrong)


def describe(conn: Connection, form: Form) -> tuple[list[tuple[str, str]], list[str]]:
    """What the server says of a statement: names and types of its columns, types of its parameters."""
    names: dict[int, str] = dict(conn.execute("SELECT oid, typname FROM pg_type").fetchall())
    prepared = conn.pgconn.prepare(b"", form.query.statement)
    assert prepared.status == psycopg.pq.ExecStatus.COMMAND_OK, f"{form.query.sql}: {prepared.error_message.decode()}"
    result = conn.pgconn.describe_prepared(b"")
    columns = [((result.fname(i) or b"").decode(), names[result.ftype(i)]) for i in range(result.nfields)]
    return columns, [names[result.param_type(i)] for i in range(result.nparams)]


def test_every_case_has_rows_to_be_judged_by(corpus: Corpus) -> None:
    silent = [name_of(case) for case in corpus.cases if case.columns and not corpus.seen[case.name].rows]
    unrun = [name_of(case) for case in corpus.cases if not corpus.seen[case.name].runs]
    assert silent + unrun == []


def test_what_is_never_null_is_never_null(corpus: Corpus) -> None:
    wrong = [
        f"{name_of(case)}: {column} was NULL"
        for case in corpus.cases
        for place, column in enumerate(case.columns)
        if not column.nullable and place in corpus.seen[case.name].nulls
    ]
    assert not wrong, "\n".join(wrong)


def test_what_is_in_rows_and_lists(corpus: Corpus) -> None:
    """What is never NULL is seen, and never is; what may be NULL is in some state."""
    wrong = [
        f"{name_of(case)}: {path} was {'not seen' if seen is None else 'NULL' if seen else 'never NULL'}"
        for case in corpus.cases
        for path, mark in case.inside.items()
        if (seen := corpus.seen[case.name].inside.get(path)) is None or (mark != "=" and seen != (mark == "?"))
    ]
    assert not wrong, "\n".join(wrong)


def test_what_may_be_null_is_null_in_some_state(corpus: Corpus) -> None:
    wrong = [
        f"{name_of(case)}: {column} was never NULL"
        for case in corpus.cases
        for place, column in enumerate(case.columns)
        if column.nullable and place not in corpus.seen[case.name].nulls and (case.name, column.name) not in UNSHOWN
    ]
    assert not wrong, "\n".join(wrong)


def test_none_is_accepted_where_it_has_a_meaning(corpus: Corpus) -> None:
    wrong = [
        f"{name_of(case)}: None for {parameter} was refused"
        for case in corpus.cases
        for parameter in case.parameters
        if parameter.nullable and parameter.name not in corpus.seen[case.name].none_accepted
    ]
    assert not wrong, "\n".join(wrong)


def test_none_is_refused_or_finds_nothing_elsewhere(corpus: Corpus) -> None:
    effective = {
        (case.name, parameter.name)
        for case in corpus.cases
        for parameter in case.parameters
        if not parameter.nullable and parameter.name in corpus.seen[case.name].none_effective
    }
    assert effective == {
        (query, name) for cases in NONE_HAS_AN_EFFECT.values() for query, names in cases.items() for name in names
    }


def name_of(case: Case) -> str:
    """The place of a case and its name, for a message."""
    return f"{case.query.location} {case.name}"

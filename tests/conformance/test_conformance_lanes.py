"""The lanes themselves: that they see every statement as psql sends it, and find what is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from rowsmith.compiler.analysis.description import Describer, Description
from rowsmith.queries.query import Query
from rowsmith.server.programs import find_binaries
from tests.conformance.cases import safeql_projects, sqlc_projects
from tests.conformance.judge import Figures
from tests.conformance.projects import run_projects
from tests.conformance.scripts import Scripts
from tests.harness.projects import write

SCRIPT = r"""
CREATE TABLE t (id int PRIMARY KEY, a int, b text NOT NULL);
COPY t FROM stdin;
1	\N	a;b
2	5	c
\.
SELECT max(id) AS highest FROM t \gset
SELECT a, b FROM t WHERE id < :highest; SELECT ';' AS x, $$;$$ AS y;
CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$;
BEGIN;
SELECT nonsense;
ROLLBACK;
\if false
SELECT 'never';
\endif
INSERT INTO t VALUES (3, NULL, 'd') RETURNING a, b;
SELECT 1 \; SELECT 2;
"""


def figures_of(server_url: str, folder: Path, psql: Path) -> Figures:
    write(folder, {"parallel_schedule": "# all\ntest: first\n", "sql/first.sql": SCRIPT})
    figures = Figures()
    Scripts(folder, psql, [], f"rowsmith_{uuid4().hex}").run(server_url, figures)
    return figures


@pytest.fixture(scope="module")
def binaries(pytestconfig: pytest.Config) -> Path:
    return find_binaries(pytestconfig.getoption("--pg-bin"))


def test_a_script_runs_as_psql_runs_it(server_url: str, binaries: Path, tmp_path: Path) -> None:
    figures = figures_of(server_url, tmp_path, binaries / "psql")
    assert (figures.statements, figures.refused, figures.described) == (11, 1, 4)
    assert figures.left_out == {
        "several statements, or none": 1,
        "other commands": 4,
        "in an aborted transaction": 1,
    }
    assert (figures.failures, figures.wrong, figures.without_tree) == ([], [], [])
    assert (figures.columns, figures.never_null) == (7, 4)
    assert figures.random == 2  # not the INSERT: the row is there already


def test_what_is_wrong_is_found(
    server_url: str, binaries: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An analysis that calls every column NOT NULL, and that fails for some queries."""
    describe = Describer.describe

    def careless(describer: Describer, query: Query) -> Description:
        if "$$;$$" in query.sql:
            raise KeyError(0)
        said = describe(describer, query)
        return replace(said, columns=tuple(replace(column, nullable=False) for column in said.columns), one_row=True)

    monkeypatch.setattr(Describer, "describe", careless)
    figures = figures_of(server_url, tmp_path, binaries / "psql")
    assert [reason for reason, _ in figures.failures] == ["KeyError: 0"]
    found = {(reason.partition(",")[0], statement.sql) for reason, statement in figures.wrong}
    assert ("column 1 (a) was NULL", "SELECT a, b FROM t WHERE id < 2;") in found
    assert ("column 1 (a) was NULL", "INSERT INTO t VALUES (3, NULL, 'd') RETURNING a, b;") in found


SQLC = {
    "schema.sql": "-- +goose Up\nCREATE TABLE t (id int NOT NULL, a text);\n-- +goose Down\nDROP TABLE t;\n",
    "query.sql": (
        "-- name: One :one\nSELECT * FROM t WHERE id = sqlc.arg('id') AND a = sqlc.narg(a) OR id = @id;\n"
        "-- name: Two :many\nSELECT sqlc.embed(t), 1 FROM t WHERE a @> '{}' OR id = $1;\n"
        "-- name: Three :exec\nINSERT INTO t VALUES ($1, ';');\n"
    ),
    "sqlc.json": '{"version": "2", "sql": [{"schema": "schema.sql", "queries": ["query.sql"]}]}',
}


def test_the_cases_of_sqlc(server_url: str, tmp_path: Path) -> None:
    place = "internal/endtoend/testdata/%s/postgresql"
    write(tmp_path, {f"{place % case}/{name}": text for case in ("one", "same") for name, text in SQLC.items()})
    (project,) = sqlc_projects(tmp_path)
    assert [(query.place, query.parameters, query.sql.strip()) for query in project.queries] == [
        ("One", 2, "SELECT * FROM t WHERE id = $1 AND a = $2 OR id = $1"),
        ("Two", 1, "SELECT t.*, 1 FROM t WHERE a @> '{}' OR id = $1"),
        ("Three", 1, "INSERT INTO t VALUES ($1, ';')"),
    ]
    figures = Figures()
    run_projects([project], server_url, figures)
    assert (figures.statements, figures.refused, figures.described) == (3, 1, 2)  # `text @> unknown`
    assert (figures.wrong, figures.failures, figures.without_module) == ([], [], [])
    assert (figures.columns, figures.never_null) == (2, 1)


def test_the_cases_of_safeql(tmp_path: Path) -> None:
    generator, rule = "packages/generate/src", "packages/eslint-plugin/src/rules/check-sql"
    files = {
        f"{generator}/generate/generate.migrations.ts": "sql.unsafe(`CREATE TABLE a (x int)`); // it's a comment",
        f"{generator}/generate/generate.one.test.ts": (
            "test({ schema: `CREATE TABLE b ()`, query: `SELECT 1` });\ntest({ query: normalizeIndent`SELECT $1` })"
        ),
        f"{rule}/check-sql.migrations.ts": "",
        f"{rule}/check-sql.base.test.ts": r'code: "sql<{ x: 1 }>`SELECT ${a} + ${f({b: `}`})}`", `other`, `sql\`T\``',
    }
    write(tmp_path, files)
    found = [(project.schema, project.queries[0]) for project in safeql_projects(tmp_path)]
    assert [(schema, query.sql, query.parameters) for schema, query in found] == [
        ("CREATE TABLE a (x int);\nCREATE TABLE b ()", "SELECT 1", 0),
        ("CREATE TABLE a (x int);\n", "SELECT $1", 1),
        (";\n", "SELECT $1 + $2", 2),
        (";\n", "T", 0),
    ]

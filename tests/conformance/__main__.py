"""`python -m tests.conformance`: describe the queries of others, run them on random data, and print the figures.

The exit code is 1 if something that was said is not true, or if a query that PostgreSQL accepts was not described.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import psycopg

from rowsmith.server.embedded import temporary_server
from rowsmith.server.programs import find_binaries
from tests.conformance.cases import safeql_projects, sqlc_projects
from tests.conformance.judge import Figures
from tests.conformance.projects import run_projects
from tests.conformance.scripts import Scripts

# What some of the scripts need.
_OPTIONS = {"allow_in_place_tablespaces": "on", "max_prepared_transactions": "2", "wal_level": "logical"}
_HEADINGS = (
    *("corpus", "server", "queries", "refused", "not given", "described", "without proof", "not described"),
    *("columns", "never NULL", "timid", "on random rows", "wrong"),
)


def main() -> int:
    """Run the lanes that have a folder."""
    parser = ArgumentParser("python -m tests.conformance")
    parser.add_argument("--scripts", type=Path, help="src/test/regress of PostgreSQL's source")
    parser.add_argument("--sqlc", type=Path, help="a checkout of sqlc")
    parser.add_argument("--safeql", type=Path, help="a checkout of SafeQL")
    parser.add_argument("--pg-bin", help="the folder of PostgreSQL's programs; by default as for the tests")
    parser.add_argument("--only", nargs="*", default=[], help="the names of some scripts, instead of all of them")
    chosen = parser.parse_args()
    binaries = find_binaries(chosen.pg_bin)
    lanes: dict[str, Callable[[str, Figures], None]] = {}
    if chosen.scripts:
        lanes["PostgreSQL's regression scripts"] = Scripts(chosen.scripts.resolve(), binaries / "psql", chosen.only).run
    if chosen.sqlc:
        lanes["sqlc"] = partial(run_projects, [*sqlc_projects(chosen.sqlc)])
    if chosen.safeql:
        lanes["SafeQL"] = partial(run_projects, [*safeql_projects(chosen.safeql)])
    if not lanes:
        parser.error("name at least one folder: make conformance SCRIPTS=DIR, SQLC=DIR, SAFEQL=DIR")
    rows: list[list[str]] = []
    is_well = True
    with temporary_server(binaries, options=_OPTIONS) as server:
        with psycopg.connect(server.url()) as conn:
            version = conn.info.parameter_status("server_version") or ""
        for name, run in lanes.items():
            figures = Figures()
            with suppress(KeyboardInterrupt):  # then these are the figures so far
                run(server.url(), figures)
            _report(name, figures)
            rows.append([name, version.split()[0], *_row(figures)])
            is_well = is_well and not figures.wrong and not figures.failures
    for row in (_HEADINGS, ["---"] * len(_HEADINGS), *rows):
        print(f"| {' | '.join(row)} |")
    return 0 if is_well else 1


def _row(figures: Figures) -> list[str]:
    numbers = (
        *(figures.statements, figures.refused, figures.left_out.total()),
        *(figures.described, len(figures.without_tree), len(figures.failures)),
        *(figures.columns, figures.never_null, figures.timid, figures.random, len(figures.wrong)),
    )
    return [f"{number:,}" for number in numbers]


def _report(name: str, figures: Figures) -> None:
    print(f"\n# {name}\n")
    for reason, number in figures.left_out.most_common():
        print(f"not given to the analysis: {number} {reason}")
    for reason, number in Counter(reason for reason, _ in figures.without_tree).most_common():
        print(f"described without a proof: {number} {reason}")
    for reason, number in Counter(reason for reason, _ in figures.failures).most_common():
        print(f"not described: {number} {reason}")
    for fault, project in figures.without_module:
        print(f"no module: {project}: {fault}")
    for reason, statement in [*figures.wrong, *figures.failures, *figures.without_tree]:
        print(f"\n{statement.place}: {reason}\n{statement.sql.strip()}")


if __name__ == "__main__":
    sys.exit(main())

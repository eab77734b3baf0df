"""The page docs/conformance.md, generated from the corpus: run `python -m tests.compiler.analysis.corpus_table`."""

from __future__ import annotations

from pathlib import Path

from tests.compiler.analysis.truth import Case, read_corpus
from tests.harness.databases import ROOT

TARGET = ROOT / "docs" / "conformance.md"
_NEWEST = 180000
_HEAD = """\
# Conformance

The analysis is measured against the {count} queries in `tests/compiler/analysis/corpus`. The expected result of
each query is written by hand. For a column, `!` means that it is never NULL, and `?` that it is NULL in some state
of the database that the constraints allow. For a parameter, `?` means that it accepts None. `owner.id` is a field of
the row in a column, `tags[]` an element of a list. `=` marks a document that is never NULL but may be JSON's own null.

The expected results are tested on the server, in seven states of the database. Then the compiler is tested against them
(`tests/compiler/analysis/test_conformance.py`): it must never report `!` for a column that can be NULL, and it must
prove nearly all of the columns that cannot.

This page is generated from the corpus by `python -m tests.compiler.analysis.corpus_table`.
"""


def page() -> str:
    """The text of the page, with a table for each file of the corpus."""
    cases = read_corpus(_NEWEST)
    parts = [_HEAD.format(count=len(cases))]
    for file in dict.fromkeys(case.query.file for case in cases):
        rows = [_row(case) for case in cases if case.query.file == file]
        head = [f"\n## {_title(file)}\n", "| query | columns | parameters | why |", "|---|---|---|---|"]
        parts.append("\n".join([*head, *rows, ""]))
    return "".join(parts)


def _title(file: Path) -> str:
    version = " (18 and later)" if file.parent.name == "corpus_18" else ""
    return file.stem.replace("_", " ") + version


def _row(case: Case) -> str:
    inside = (f"{path}{mark}".replace("[]", r"\[\]") for path, mark in case.inside.items())  # or it is a link
    columns = [*map(str, case.columns), *inside]
    cells = [case.name, ", ".join(columns), ", ".join(map(str, case.parameters)), case.why]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    TARGET.write_text(page())

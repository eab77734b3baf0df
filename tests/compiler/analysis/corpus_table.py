"""The page docs/conformance.md, made of the corpus: `python -m tests.compiler.analysis.corpus_table` writes it."""

from __future__ import annotations

from pathlib import Path

from tests.compiler.analysis.truth import Case, read_corpus
from tests.harness.databases import ROOT

TARGET = ROOT / "docs" / "conformance.md"
_NEWEST = 180000
_HEAD = """\
# Conformance

The queries that the compiler is measured by, from `tests/compiler/analysis/corpus`, {count} of them. Each has its truth
written beside it by hand: `!` is never NULL, `?` is NULL in some state that the constraints allow; of a parameter, `?`
takes None. That the truths are true is tested on the server, in seven states of the database; that nothing is called
`!` that is not, and how much of what is gets proven, is tested against the compiler
(`tests/compiler/analysis/test_conformance.py`).

Made of the corpus by `python -m tests.compiler.analysis.corpus_table`.
"""


def page() -> str:
    """The text: a table for each file of the corpus."""
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
    cells = [case.name, ", ".join(map(str, case.columns)), ", ".join(map(str, case.parameters)), case.why]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    TARGET.write_text(page())

"""`-- rowsmith: ignore RULE (reason)`: a comment inside a query that ignores one rule for it.

The reason is required, so that the next reader knows it. A comment that ignores nothing is a finding itself, so that
none outlives its cause.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches

from rowsmith.findings import Finding, Rule
from rowsmith.queries.loader import Instruction

_IGNORABLE = (
    Rule.CANNOT_SUCCEED,
    Rule.COLUMN_NAME,
    Rule.CONSTANT_ORDER,
    Rule.MANY_ROWS,
    Rule.NULL_COMPARISON,
    Rule.ONE_COLUMN,
    Rule.SELECT_STAR,
    Rule.UNSTABLE_ORDER,
)  # the others are certain
_FORM = "Write: -- rowsmith: ignore RULE (reason)"


def apply_ignores(instructions: Iterable[Instruction], findings: Collection[Finding]) -> list[Finding]:
    """The findings that no comment ignores, and those about the comments themselves."""
    ignored: dict[tuple[str | None, Rule], Instruction] = {}
    found = {(finding.query, finding.rule) for finding in findings}
    left: list[Finding] = []
    for each in instructions:
        rule = _parse(each)
        if isinstance(rule, Finding):
            left.append(rule)
        elif (earlier := ignored.setdefault((each.query, rule), each)) is not each:
            left.append(_finding(each, f"{rule} is already ignored on line {earlier.line}", "Remove this comment"))
        # Nothing else is known about a query that is refused.
        elif found.isdisjoint((each.query, other) for other in (rule, Rule.REFUSED, Rule.FORMS)):
            left.append(_finding(each, f"{rule} has nothing to report here", "Remove this comment"))
    return left + [finding for finding in findings if (finding.query, finding.rule) not in ignored]


def _parse(instruction: Instruction) -> Rule | Finding:
    word, _, rest = instruction.text.strip().partition(" ")
    name, _, reason = rest.strip().partition(" ")
    reason = reason.strip()
    if word != "ignore":
        return _finding(instruction, f"{word!r} is not an instruction")
    if instruction.query is None:
        return _finding(instruction, "this comment belongs to no query", "Move it below the name line of its query")
    if name not in _IGNORABLE:
        near = get_close_matches(name, _IGNORABLE, 1)
        hint = (
            f"Did you mean {near[0]}?"
            if near
            else f"Only {', '.join(_IGNORABLE[:-1])} and {_IGNORABLE[-1]} can be ignored"
        )
        return _finding(instruction, f"{name!r} is not a rule that can be ignored", hint)
    if not (reason.startswith("(") and reason.endswith(")") and reason[1:-1].strip()):
        return _finding(instruction, f"{name} cannot be ignored without a reason in parentheses")
    return Rule(name)


def _finding(instruction: Instruction, message: str, hint: str = _FORM) -> Finding:
    return Finding(
        Rule.IGNORE, instruction.file, instruction.line, message, hint,
        query=instruction.query, source=instruction.source, column=instruction.column,
    )  # fmt: skip

"""The forms of a query as the server describes them, and what the query is in all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import psycopg

from rowsmith.compiler.analysis.description import Describer, Description, Typed
from rowsmith.compiler.analysis.nested import Shape, common_shape
from rowsmith.queries.forms import Forms, Test
from rowsmith.queries.inference import form_of, with_types
from rowsmith.queries.keyset import SortKey
from rowsmith.queries.query import Query

MOST = 4096
"""The most forms that a query may have: PostgreSQL prepares each of them."""
_MOST_ANALYZED = 256
"""Up to here all of them are analyzed as well; beyond, a selection that has every pair of switches."""
_BOOL = psycopg.postgres.types["bool"].oid


@dataclass(frozen=True, slots=True)
class Answers:
    """What the server says of the forms of a query."""

    query: Query
    """With the types that it has to state."""
    described: tuple[Description, ...]
    """Those that were analyzed."""
    prepared: tuple[Description, ...]
    """The others, with their parameters and columns alone."""
    refused: tuple[tuple[Query, psycopg.Error], ...]


def ask(describer: Describer, query: Query, forms: Forms) -> Answers:
    """Ask the server about every form. Raises psycopg.Error if the connection is lost.

    A type that one form has to state for a parameter is stated in all of them.
    """
    answers = _ask(describer, query, forms)
    types: dict[str, str] = {}
    for each in answers.described:
        types.update(each.query.types)
    return _ask(describer, with_types(query, types), forms) if types else answers


def _ask(describer: Describer, query: Query, forms: Forms) -> Answers:
    described: list[Description] = []
    prepared: list[Description] = []
    refused: list[tuple[Query, psycopg.Error]] = []
    chosen = frozenset(analyzed(forms))
    for number in range(forms.count):
        form = form_of(query, number)
        try:
            if number in chosen:
                described.append(describer.describe(form))
            else:
                prepared.append(describer.prepare(form))
        except psycopg.Error as error:
            if describer.lost:
                raise
            refused.append((form, error))
    return Answers(query, tuple(described), tuple(prepared), tuple(refused))


def describe(describer: Describer, query: Query) -> Description:
    """What the server says of a query, in all of its forms.

    Raises psycopg.Error if it refuses one, and ValueError if they differ.
    """
    if query.forms is None:
        return describer.describe(query)
    answers = ask(describer, query, query.forms)
    for _, error in answers.refused:
        raise error
    for message, _ in differences((*answers.described, *answers.prepared)):
        raise ValueError(message)
    return merged(query.forms, answers)


def analyzed(forms: Forms) -> Iterable[int]:
    """The forms that are analyzed: all, or those with no switch, one, two, all but one, and all, in each ordering."""
    if forms.count <= _MOST_ANALYZED:
        return range(forms.count)
    bits = [1 << number for number in range(len(forms.switches))]
    chosen = {0, forms.all_on, *bits, *(forms.all_on - bit for bit in bits), *map(sum, combinations(bits, 2))}
    return (forms.with_ordering(each, ordering) for ordering in range(max(1, len(forms.orderings))) for each in chosen)


def differences(descriptions: Sequence[Description]) -> Iterator[tuple[str, str]]:
    """How the forms differ in their columns or in the type of a parameter, which they may not, and what to do."""
    first = descriptions[0]
    columns = _columns(first)
    types: dict[str, tuple[str, str]] = {}
    for each in descriptions:
        title = each.query.title
        if _columns(each) != columns:
            message = f"the forms of the query return different columns: ({columns}) {first.query.title}; "
            yield f"{message}({_columns(each)}) {title}", "Return the same columns, of the same types, in every form"
        for parameter in each.parameters:
            pg_type, form = types.setdefault(parameter.name, (parameter.pg_type, title))
            if pg_type != parameter.pg_type:
                message = f":{parameter.name} is {pg_type} {form}, but {parameter.pg_type} {title}"
                yield message, f"Give its type with a cast, such as :{parameter.name}::{pg_type}"


def _columns(description: Description) -> str:
    return ", ".join(f"{each.name} {each.pg_type}" for each in description.columns)


def merged(forms: Forms, answers: Answers) -> Description:
    """What holds of the query whatever is passed: what may be NULL, or is read, in one form.

    There is at least one form that was analyzed, and they do not differ.
    """
    described = answers.described
    parameters = _parameters(forms, [*described, *answers.prepared])
    columns = [
        replace(each[0], nullable=any(one.nullable for one in each), origin=_origin(each), shape=_shape(each))
        for each in zip(*(one.columns for one in described), strict=True)
    ]
    return Description(
        answers.query,
        tuple(parameters),
        tuple(columns),
        tuple(sorted({name for each in described for name in each.reads})),
        tuple(sorted({name for each in described for name in each.writes})),
        all(each.only_reads for each in described),
        all(each.clean for each in described),
        all(each.one_row for each in described),
        forms=described,
        orderings=tuple(_orderings(forms, described)),
    )


def _orderings(forms: Forms, described: Sequence[Description]) -> list[tuple[SortKey, ...]]:
    """The sort keys of each ordering, if all forms have them: a key that is NULL in one form may be NULL."""
    found: list[tuple[SortKey, ...]] = []
    for number in range(max(1, len(forms.orderings))):
        keys = [each.ordering.keys if each.ordering else () for each in described if each.query.ordering == number]
        if not keys[0] or len({tuple(_sorted_by(key) for key in those) for those in keys}) > 1:
            return []
        found.append(tuple(max(those, key=lambda each: each.nulls or "") for those in zip(*keys, strict=True)))
    return found


def _sorted_by(key: SortKey) -> tuple[str, bool]:
    """What a key is in all forms. The parameters in an expression have other numbers in each."""
    return "" if key.is_expression else key.term, key.descending


def _parameters(forms: Forms, descriptions: Iterable[Description]) -> Iterator[Typed]:
    found: dict[str, list[Typed]] = {}
    for each in (parameter for description in descriptions for parameter in description.parameters):
        found.setdefault(each.name, []).append(each)
    tests = {switch.name: switch.test for switch in forms.switches}
    for name in forms.arguments:
        test = tests.get(name)
        if test is Test.FLAG:
            yield Typed(name, _BOOL, "boolean", nullable=False)
        elif name in found:
            typed = found[name]
            nullable = test is Test.VALUE or any(each.nullable for each in typed)
            yield replace(typed[0], nullable=nullable, origin=_origin(typed))


def _shape(typed: Sequence[Typed]) -> Shape | None:
    """The shape of a column that is a row or a list of rows in every form."""
    shapes = [each.shape for each in typed if each.shape is not None]
    return common_shape(shapes) if len(shapes) == len(typed) else None


def _origin(typed: Sequence[Typed]) -> str | None:
    """The column that a column or a parameter is in every form."""
    return typed[0].origin if len({each.origin for each in typed}) == 1 else None

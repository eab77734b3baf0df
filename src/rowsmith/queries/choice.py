"""The choice of a form: from the arguments of a call to the statement that it runs, and its values.

As in `constructors`, the function for a query is written as source and compiled once. A form is made when it is first
chosen, and kept: no text is put together in a call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter
from operator import itemgetter
from typing import Any, NoReturn, cast

from rowsmith.queries.forms import NOT_GIVEN, ORDER_BY, Forms, Test
from rowsmith.queries.inference import form_of
from rowsmith.queries.query import Query
from rowsmith.queries.statement import BoundQuery
from rowsmith.values.codecs import Writer

Choice = tuple[BoundQuery, Sequence[Any]]
"""The form of a call, and the values of its parameters, ready for psycopg."""
_Pick = Callable[[Sequence[Any]], Sequence[Any]]


def choice(bound: BoundQuery, forms: Forms, writers: Mapping[str, Writer]) -> Callable[..., Choice]:
    """The function that chooses a form of a query by the arguments of a call.

    It raises TypeError for a missing or an unknown argument and for a flag that is not a bool, and ValueError for an
    unknown ordering.
    """
    number, chosen = _numbering(bound.query, forms), _Chosen(bound, forms, writers)

    def choose(**arguments: Any) -> Choice:
        form, values = number(**arguments)
        found, pick = chosen[form]
        return found, pick(values)

    return choose


class _Chosen(dict[int, tuple[BoundQuery, _Pick]]):
    """The forms of a query that were chosen before, by number, with what picks their values from all of them."""

    def __init__(self, bound: BoundQuery, forms: Forms, writers: Mapping[str, Writer]) -> None:
        super().__init__()
        self._bound, self._forms, self._writers = bound, forms, writers
        self._statements: dict[str, BoundQuery] = {}

    def __missing__(self, form: int) -> tuple[BoundQuery, _Pick]:
        query = form_of(self._bound.query, form)
        bound = self._statements.setdefault(query.sql, self._bound.of(query))  # other switches, the same lines
        return self.setdefault(form, (bound, self._picker(query, form)))

    def _picker(self, query: Query, form: int) -> _Pick:
        forms = self._forms
        tests, on = {switch.name: switch.test for switch in forms.switches}, forms.on(form)
        names = forms.parameters
        unsure = [
            name
            for name in query.parameters
            if (name not in on if name in tests else forms.arguments[name] is NOT_GIVEN)
        ]
        writes = [(index, self._writers[name]) for index, name in enumerate(query.parameters) if name in self._writers]
        pick = _getter([names.index(name) for name in query.parameters])
        if not unsure and not writes:
            return pick
        checks = [(query.parameters.index(name), forms.arguments[name]) for name in unsure]

        def checked(values: Sequence[Any]) -> Sequence[Any]:
            picked = list(pick(values))
            for index, default in checks:
                if picked[index] is NOT_GIVEN:
                    if default is not None:
                        raise _missing(query, query.parameters[index], default)
                    picked[index] = None
            for index, write in writes:
                if picked[index] is not None:
                    picked[index] = write(picked[index])
            return picked

        return checked


def _missing(query: Query, name: str, default: object) -> TypeError:
    when = "always needed" if default is Parameter.empty else f"needed {query.title}"
    return TypeError(f"{query.name}(): missing parameter {name}, which is {when} ({query.location})")


def _getter(indexes: Sequence[int]) -> _Pick:
    if len(indexes) > 1:
        return cast("_Pick", itemgetter(*indexes))
    return itemgetter(slice(indexes[0], indexes[0] + 1)) if indexes else itemgetter(slice(0))


class _Orderings(dict[str, int]):
    """The numbers of the orderings, as they are added to those of the switches, by name."""

    def __init__(self, query: Query, forms: Forms) -> None:
        super().__init__({name: forms.with_ordering(0, number) for number, name in enumerate(forms.orderings)})
        self._query = query

    def __missing__(self, name: object) -> NoReturn:
        query, known = self._query, ", ".join(map(repr, self))
        raise ValueError(f"{query.name}(): {ORDER_BY} is {name!r}: expected one of {known} ({query.location})")


def _numbering(query: Query, forms: Forms) -> Callable[..., tuple[int, Sequence[Any]]]:
    """The function from the arguments of a call to the number of the form, and the values of all parameters."""

    def refuse(name: str, value: object) -> NoReturn:
        raise TypeError(f"{query.name}(): {name} is {value!r}: expected True or False ({query.location})")

    own = "_" * (1 + max(len(name) for name in forms.arguments))  # no parameter has a name that begins so
    tests = {
        Test.VALUE: f"({{name}} is not None and {{name}} is not {own}not_given)",
        Test.GIVEN: f"({{name}} is not {own}not_given)",
        Test.FLAG: f"({{name}} is True or ({{name}} is not False and {own}refuse({{name!r}}, {{name}})))",
    }
    terms = [f"{tests[test].format(name=name)} << {number}" for number, (name, test) in enumerate(forms.switches)]
    terms += [f"{own}orderings[{ORDER_BY}]"] if forms.orderings else []
    defaults = {name: _source(default, own) for name, default in forms.arguments.items()}
    arguments = [f"{name}={default}" if default else name for name, default in defaults.items()]
    values = "".join(f"{name}, " for name in forms.parameters)
    source = f"def choose(*, {', '.join(arguments)}):\n    return {' | '.join(terms)}, ({values})"
    space: dict[str, Any] = {
        f"{own}not_given": NOT_GIVEN,
        f"{own}refuse": refuse,
        f"{own}orderings": _Orderings(query, forms),
    }
    exec(compile(source, "<a choice of rowsmith>", "exec"), space)  # noqa: S102 - of the names of parameters alone
    return cast("Callable[..., tuple[int, Sequence[Any]]]", space["choose"])


def _source(default: object, own: str) -> str:
    if default is Parameter.empty:
        return ""
    return f"{own}not_given" if default is NOT_GIVEN else repr(default)

"""What a typed module holds, before it is text: its classes, and the types of its queries in terms of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from pydantic import BaseModel

from rowsmith.compiler.analysis.description import Description, Typed
from rowsmith.compiler.module.overrides import WORD
from rowsmith.compiler.module.source import camel, free_name
from rowsmith.compiler.module.types import PgType, Types, optional, plain
from rowsmith.errors import ModuleError
from rowsmith.queries.marks import ROWS, Kind
from rowsmith.queries.query import Query, is_python_name

Models: TypeAlias = Literal["pydantic", "dataclass"]


@dataclass(frozen=True, slots=True)
class Model:
    """A class with fields: of rows, of the sets of parameters of a `*!` query, or of a composite type."""

    name: str
    fields: Mapping[str, str]
    """Annotations, by name."""
    query: Query | None
    """The query that it is of, the first of several; None for a composite."""


@dataclass(frozen=True, slots=True)
class Call:
    """A query as the module has it."""

    query: Query
    parameters: Mapping[str, str]
    """Annotations, by name; for a `*!` query that of the sets."""
    orderings: Sequence[str]
    """The values of `order_by`, the default first."""
    result: str
    writes: str
    """The argument of its decorator, `writes=True` or `writes="rows"`; empty if it is proven to do nothing but read."""


@dataclass(frozen=True, slots=True)
class Contents:
    """All that a module holds, in its order."""

    enumerations: Mapping[str, PgType]
    models: tuple[Model, ...]
    """Each after those of its fields."""
    calls: tuple[Call, ...]


def contents(descriptions: Iterable[Description], types: Types, models: Models) -> Contents:
    """The contents of the module for queries that have been checked: each has the columns that its mark needs.

    Raises UnknownTypeError if a type has no Python type, and ModuleError, which lists every fault with the query, its
    file and its line.
    """
    ordered = sorted(descriptions, key=lambda each: (each.query.namespace, each.query.file.as_posix(), each.query.line))
    collector = _Collector(ordered, types)
    calls = tuple(collector.call(each) for each in ordered)
    if not (faults := collector.faults):
        found = Contents(*collector.classes(), calls)
        if not (faults := [*_column_faults(found.models, models)]):
            return found
    raise ModuleError("\n".join(faults))


class _Collector:
    """Goes through the queries, and collects the classes that they need."""

    def __init__(self, descriptions: Sequence[Description], types: Types) -> None:
        self._types = types
        self._models: dict[str, Model] = {}
        self._used: set[str] = set()
        self._table_classes = dict(_table_classes(descriptions, types))
        """The record classes of tables whose whole rows are columns, by the types of these."""
        self._taken = {*types.reserved, *types.own, *(each.query.record_class or "" for each in descriptions)}
        self.faults = [*_record_class_faults([each.query for each in descriptions], types.reserved)]

    def call(self, description: Description) -> Call:
        """A query, with its parameters and its result."""
        query, one_row = description.query, description.one_row
        base = camel(*query.namespace, query.name)
        parameters = {each.name: self._annotation(each, self._types.parameter) for each in description.parameters}
        columns = {each.name: self._annotation(each, self._types.result) for each in description.columns}
        result = "int" if query.kind in (Kind.AFFECTED, Kind.EXECUTEMANY) else "None"
        if query.kind is Kind.EXECUTEMANY:
            sets = Model(self._free(f"{base}Parameters"), parameters, query)
            self._models[sets.name] = sets
            parameters = {"sets": f"Iterable[{sets.name}]"}
        elif query.kind in ROWS:
            row = self._row(Model(query.record_class or self._free(f"{base}Row"), columns, query))
            result = f"list[{row}]" if query.kind is Kind.MANY else row if one_row else optional(row)
        elif query.kind is Kind.VALUE:
            (value,) = columns.values()
            result = value if one_row else optional(value)
        writes = "" if description.only_reads else 'writes="rows"' if description.clean else "writes=True"
        orderings = query.forms.orderings if query.forms else ()
        return Call(query, parameters, orderings, result, writes)

    def classes(self) -> tuple[Mapping[str, PgType], tuple[Model, ...]]:
        """The enumerations and the models."""
        for oid, name in self._table_classes.items():
            model = self._models[name]
            self._models[name] = replace(
                model, fields={column: model.fields[column] for column in self._types.origins(oid)}
            )
        composites: dict[str, Model] = {}
        wanted = sorted(self._used & self._types.own.keys())
        for name in wanted:
            if self._types.own[name].kind == "c" and name not in composites:
                attributes = self._types.attributes(self._types.own[name])
                composites[name] = Model(name, {column: optional(each) for column, each in attributes.items()}, None)
                wanted += _names(attributes.values()) & self._types.own.keys()
        enumerations = {name: self._types.own[name] for name in sorted({*wanted} - composites.keys())}
        return enumerations, _ordered({**dict(sorted(composites.items())), **self._models})

    def _annotation(self, typed: Typed, python_type: Callable[[Typed], str]) -> str:
        whole_row = self._table_classes.get(typed.oid) if typed.row is not None else None
        found = whole_row or python_type(typed)
        self._used |= _names([found])
        return optional(found) if typed.nullable else found

    def _row(self, model: Model) -> str:
        """The name of a row class, which fits all queries that have it."""
        first = self._models.setdefault(model.name, model)
        self.faults += _differences(first, model)
        fields = {
            name: optional(each) if model.fields.get(name) == optional(each) else each
            for name, each in first.fields.items()
        }
        self._models[model.name] = replace(first, fields=fields)
        return model.name

    def _free(self, name: str) -> str:
        name = free_name(name, self._taken)
        self._taken.add(name)
        return name


def _names(annotations: Iterable[str]) -> set[str]:
    return {name for annotation in annotations for name in WORD.findall(annotation)}


def _table_classes(descriptions: Sequence[Description], types: Types) -> Iterator[tuple[int, str]]:
    """The record classes that can stand for whole rows of tables, by the types of these rows.

    One can if a query with it returns exactly the table's columns, and if its fields that are never None are NOT NULL.
    """
    queries: dict[str, list[Description]] = {}
    for each in descriptions:
        queries.setdefault(each.query.record_class or "", []).append(each)
    queries.pop("", None)
    for whole in (column for each in descriptions for column in each.columns if column.row is not None):
        origins = types.origins(whole.oid)
        for record_class, those in queries.items():
            exact = any(origins == {column.name: column.origin for column in each.columns} for each in those)
            nullable = {column.name for each in those for column in each.columns if column.nullable}
            if exact and origins.keys() - nullable <= (whole.row or set()):
                yield whole.oid, record_class


def _ordered(models: Mapping[str, Model]) -> tuple[Model, ...]:
    """The models, each after those of its fields, which then belong to its query."""
    ordered: dict[str, Model] = {}

    def add(model: Model, query: Query | None) -> None:
        for name in sorted(_names(model.fields.values()) & models.keys()):
            add(models[name], models[name].query and query)
        ordered.setdefault(model.name, replace(model, query=query))

    for model in models.values():
        add(model, model.query)
    return tuple(ordered.values())


# --- faults ---


def _record_class_faults(queries: Iterable[Query], reserved: Collection[str]) -> Iterator[str]:
    for query in queries:
        name = query.record_class
        if name is not None and (not is_python_name(name) or name in reserved):
            yield f"{query.location}: {query.qualified_name}: {name} cannot be the name of a record class"


def _column_faults(found: Iterable[Model], models: Models) -> Iterator[str]:
    for model in found:
        query = model.query
        place = f"{query.location}: {query.qualified_name}" if query else f"type {model.name}"
        for name in () if query and query.kind is Kind.EXECUTEMANY else model.fields:
            if not is_python_name(name) or (name.startswith("__") and name.endswith("__")):
                yield f'{place}: column "{name}" cannot be an attribute in Python. Name it with AS'
            elif models == "pydantic" and (name.startswith(("_", "model_")) or hasattr(BaseModel, name)):
                yield f'{place}: column "{name}" cannot be a field of a pydantic model, which uses that name. Use AS'


def _differences(first: Model, second: Model) -> Iterator[str]:
    """Two queries share a record class where the names and types of their columns are the same."""
    left, right = (
        {name: plain(each).removesuffix(" | None") for name, each in model.fields.items()} for model in (first, second)
    )
    differing = [
        f"    {column}: {left.get(column, 'absent')} in the first, {right.get(column, 'absent')} in the second"
        for column in dict.fromkeys([*left, *right])
        if left.get(column) != right.get(column)
    ]
    if differing:
        one, other = (f"{each.query.qualified_name} ({each.query.location})" for each in (first, second) if each.query)
        head = f"record_class {first.name} stands for two shapes, of\n    {one} and\n    {other}:"
        yield "\n".join([head, *differing])

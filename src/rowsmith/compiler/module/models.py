"""What a typed module holds, before it is text: its classes, and the types of its queries in terms of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from pydantic import BaseModel

from rowsmith.compiler.analysis.description import Description, Typed
from rowsmith.compiler.analysis.nested import Row, Rows, Shape, Value
from rowsmith.compiler.analysis.value_types import JSON, JSONB
from rowsmith.compiler.module.overrides import WORD
from rowsmith.compiler.module.source import camel, free_name, quoted, singular
from rowsmith.compiler.module.types import PgType, Types, optional, plain
from rowsmith.errors import ModuleError, UnknownTypeError
from rowsmith.queries.keyset import SortKey
from rowsmith.queries.marks import ROWS, Kind
from rowsmith.queries.query import Query, is_python_name

_ANY_JSON = "JsonValue"
"""`-- record_class: tags = JsonValue` leaves a document as it is."""
Models: TypeAlias = Literal["pydantic", "dataclass"]


@dataclass(frozen=True, slots=True)
class Model:
    """A class with fields: of rows, of the sets of parameters of a `*!` query, or of a composite type."""

    name: str
    fields: Mapping[str, str]
    """Annotations, by name."""
    query: Query | None
    """The query that it is of, the first of several; None for a composite."""
    column: str = ""
    """The column that its rows are in, as `projects.tags`; empty for the rows of the query itself."""

    @property
    def place(self) -> str:
        """The query and the column, for messages."""
        if self.query is None:
            return f"type {self.name}"
        return f"{self.query.location}: {self.query.qualified_name}{f', column {self.column}' if self.column else ''}"


@dataclass(frozen=True, slots=True)
class Call:
    """A query as the module has it."""

    query: Query
    parameters: Mapping[str, str]
    """Annotations, by name; for a `*!` query that of the sets."""
    orderings: Sequence[str]
    """The values of `order_by`, the default first."""
    result: str
    keys: tuple[tuple[SortKey, ...], ...]
    """What it sorts by in each ordering, if it has pages."""
    declaration: tuple[str, ...]
    """The arguments of its decorator, such as `writes=True`; none if it is proven to do nothing but read."""


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
    collector.compare()
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
        self._orders: dict[str, tuple[str, ...]] = {}
        """The fields of rows that PostgreSQL sends without names, by their classes."""
        self._record_classes = _record_classes(descriptions)
        self._nested_models: list[Model] = []
        """The classes of rows in columns, also those that are record classes as well."""
        self._taken = {*types.reserved, *types.own, *(each.query.record_class or "" for each in descriptions)}
        self.faults = [*_record_class_faults([each.query for each in descriptions], types.reserved)]

    def call(self, description: Description) -> Call:
        """A query, with its parameters and its result."""
        query, one_row = description.query, description.one_row
        base = camel(*query.namespace, query.name)
        parameters = {each.name: self._noted(self._types.parameter(each), each) for each in description.parameters}
        columns = {each.name: self._column(each, query) for each in description.columns}
        self.faults += _choice_faults(query, description.columns)
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
        types = ", ".join(f"{quoted(name)}: {quoted(type_)}" for name, type_ in query.types.items())
        declaration = filter(None, [writes, types and f"types={{{types}}}"])
        return Call(query, parameters, orderings, result, description.pages, tuple(declaration))

    def compare(self) -> None:
        """Compare the rows in columns with those of queries that have the same class: these say what is in it."""
        for model in self._nested_models:
            self._row(model)

    def classes(self) -> tuple[Mapping[str, PgType], tuple[Model, ...]]:
        """The enumerations and the models."""
        for name, order in self._orders.items():
            model = self._models[name]
            self._models[name] = replace(model, fields={field: model.fields[field] for field in order})
        composites: dict[str, Model] = {}
        wanted = sorted(self._used & self._types.own.keys())
        for name in wanted:
            if self._types.own[name].kind == "c" and name not in composites:
                attributes = self._types.attributes(self._types.own[name])
                composites[name] = Model(name, {column: optional(each) for column, each in attributes.items()}, None)
                wanted += _names(attributes.values()) & self._types.own.keys()
        enumerations = {name: self._types.own[name] for name in sorted({*wanted} - composites.keys())}
        return enumerations, _ordered({**dict(sorted(composites.items())), **self._models})

    def _noted(self, annotation: str, typed: Typed) -> str:
        self._used |= _names([annotation])
        return optional(annotation) if typed.nullable else annotation

    def _column(self, column: Typed, query: Query) -> str:
        is_json = dict(query.nested_classes).get(column.name) == _ANY_JSON
        if column.shape is None or is_json or self._types.is_chosen(column):
            return self._noted(self._types.result(column), column)
        in_json = column.oid in (JSON, JSONB)
        return self._noted(self._nested(column.shape, _Place(query, (column.name,), in_json=in_json)), column)

    def _nested(self, shape: Shape, place: _Place) -> str:
        """The annotation of a value inside a row, or of a column that is nested."""
        match shape:
            case Value():
                return self._nested_value(shape, place)
            case Rows():
                element = self._nested(shape.element, replace(place, many=True))
                return f"list[{optional(element) if shape.nullable else element}]"
            case Row():
                return self._nested_row(shape, place)

    def _nested_value(self, value: Value, place: _Place) -> str:
        if place.in_json and (found := self._types.cast_to_json(value.oid)):
            self.faults.append(
                f"{place}: {found.formatted} has its own cast to json, from which its values cannot be restored. Cast "
                "it to text inside the document, or return it as a column"
            )
        try:
            annotation = self._types.value(value)
        except UnknownTypeError as error:
            self.faults.append(
                f"{place}: no Python type is known for {error.pg_type}. Name one in [tool.rowsmith.types], or cast it"
            )
            return "None"
        self._used |= _names([annotation])
        return annotation

    def _nested_row(self, row: Row, place: _Place) -> str:
        """The name of the class of a row."""
        own = {*self._types.reserved, *self._types.own}
        name = place.chosen or self._record_class(row) or free_name(place.class_name, own)
        fields = {
            each.name: optional(inner) if each.nullable else inner
            for each in row.fields
            for inner in [self._nested(each.shape, replace(place, path=(*place.path, each.name), many=False))]
        }
        order = tuple(fields)
        if not place.in_json and self._orders.setdefault(name, order) != order:
            self.faults.append(f"{place}: {name} has the order {', '.join(self._orders[name])} elsewhere")
        self._nested_models.append(Model(name, fields, place.query, ".".join(place.path)))
        return name

    def _record_class(self, row: Row) -> str | None:
        """The record class of the table whose row it is: with its columns, none of which it promises more of."""
        origins = {each.name: each.shape.origin for each in row.fields if isinstance(each.shape, Value)}
        if not row.relation or len(origins) < len(row.fields):
            return None
        nullable = {each.name for each in row.fields if each.nullable}
        fitting = (
            name
            for name, description in self._record_classes
            if origins == {each.name: each.origin for each in description.columns}
            and nullable <= {each.name for each in description.columns if each.nullable}
        )
        return next(fitting, None)

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


def _record_classes(descriptions: Iterable[Description]) -> list[tuple[str, Description]]:
    """The record classes, each with the queries that have it."""
    return [(name, each) for each in descriptions if (name := each.query.record_class)]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a row is: a column of a query, a field in it, and so on."""

    query: Query
    path: tuple[str, ...]
    in_json: bool
    """Whether it is in a JSON document, where fields have names."""
    many: bool = False
    """Whether it is one of a list."""

    @property
    def chosen(self) -> str | None:
        """The class that the query chooses."""
        found = dict(self.query.nested_classes).get(".".join(self.path))
        return found or (self.query.record_class if self._is_value else None)

    @property
    def class_name(self) -> str:
        """The name of the class after the column or the field, for the rows of a `$` query after the query."""
        if self._is_value:
            return f"{camel(*self.query.namespace, self.query.name)}Row"
        return camel(singular(self.path[-1]) if self.many else self.path[-1])

    @property
    def _is_value(self) -> bool:
        return self.query.kind is Kind.VALUE and len(self.path) == 1

    def __str__(self) -> str:
        return f"{self.query.location}: {self.query.qualified_name}, column {'.'.join(self.path)}"


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
        for name in filter(None, [query.record_class, *dict(query.nested_classes).values()]):
            if name != _ANY_JSON and (not is_python_name(name) or name in reserved):
                yield f"{query.location}: {query.qualified_name}: {name} cannot be the name of a record class"


def _choice_faults(query: Query, columns: Sequence[Typed]) -> Iterator[str]:
    """A class for the rows in a column that has none."""
    paths = [path for each in columns if each.shape for path in _paths(each.name, each.shape)]
    for path, name in query.nested_classes:
        if path not in paths:
            known = ", ".join(paths) or "none"
            yield (
                f"{query.location}: {query.qualified_name}: record_class: {path} = {name} is for no column whose value "
                f"is a row or a list of rows. Columns with rows: {known}"
            )


def _paths(path: str, shape: Shape) -> Iterator[str]:
    """Where the rows in a column are: `owner`, `owner.teams`."""
    match shape:
        case Rows():
            yield from _paths(path, shape.element)
        case Row():
            yield path
            for each in shape.fields:
                yield from _paths(f"{path}.{each.name}", each.shape)
        case Value():
            pass


def _column_faults(found: Iterable[Model], models: Models) -> Iterator[str]:
    for model in found:
        query = model.query
        place = model.place
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
        one, other = (_origin(each) for each in (first, second))
        head = f"record_class {first.name} stands for two shapes, of\n    {one} and\n    {other}:"
        if column := second.column or first.column:
            differing.append(f"    Choose another name for one of them: -- record_class: {column} = {first.name}Row")
        yield "\n".join([head, *differing])


def _origin(model: Model) -> str:
    query = model.query
    column = f", column {model.column}" if model.column else ""
    return f"{query.qualified_name} ({query.location}){column}" if query else model.name

"""What a typed module holds, before it is text: its classes, and what each query takes and gives."""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from pydantic import BaseModel

from rowsmith.compiler.analysis.description import Description, Typed
from rowsmith.compiler.module.overrides import MODULES
from rowsmith.compiler.module.types import RESERVED, PythonType, Types, UnsupportedError, camel, filled, named
from rowsmith.errors import ModuleError, UnknownTypeError
from rowsmith.queries.marks import ROWS, Kind, misfit
from rowsmith.queries.query import Query

Models: TypeAlias = Literal["pydantic", "dataclass"]


@dataclass(frozen=True, slots=True)
class Field:
    """A column, a parameter, or an attribute of a composite."""

    name: str
    type: PythonType
    nullable: bool

    @property
    def annotated(self) -> PythonType:
        """The type, with None where it can be NULL."""
        return self.type.or_none() if self.nullable else self.type


@dataclass(frozen=True, slots=True)
class Model:
    """A class with fields: of rows, of the sets of parameters of a `*!` query, or of a composite."""

    name: str
    fields: tuple[Field, ...]
    query: Query | None
    """The query that it is of, the first of several; None for a composite."""


@dataclass(frozen=True, slots=True)
class Enumeration:
    """An enumeration: its class, and its labels by the names of the members."""

    name: str
    members: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A query as the module has it."""

    query: Query
    parameters: tuple[Field, ...]
    """For a `*!` query, the sets of parameters."""
    result: PythonType
    writes: bool
    """Unless the query is proven to do nothing but read."""


@dataclass(frozen=True, slots=True)
class Contents:
    """All that a module holds, in its order."""

    enumerations: tuple[Enumeration, ...]
    models: tuple[Model, ...]
    calls: tuple[Call, ...]


def contents(descriptions: Iterable[Description], types: Types, models: Models) -> Contents:
    """The contents of the module for these queries.

    Raises UnknownTypeError or ModuleError, which list every fault with the query, its file and its line.
    """
    return _Collector(sorted(descriptions, key=_place), types, models).collect()


def namespace_class(namespace: Sequence[str]) -> str:
    """The class of the queries in a namespace."""
    return f"{camel('_'.join(namespace))}Queries" if namespace else "Queries"


def _place(description: Description) -> tuple[tuple[str, ...], str, int]:
    query = description.query
    return query.namespace, query.file.as_posix(), query.line


class _Collector:
    """Goes through the queries, and collects what they need and what is wrong."""

    def __init__(self, descriptions: Sequence[Description], types: Types, models: Models) -> None:
        self._descriptions = descriptions
        self._types = types
        self._models: Models = models
        self._faults: list[str] = []
        self._unknown: list[str] = []
        self._own: set[int] = set()
        self._classes: dict[str, Model] = {}
        queries = [each.query for each in descriptions]
        spaces = {query.namespace[:depth] for query in queries for depth in range(len(query.namespace) + 1)}
        # Inside the class of the queries, a query would hide a class of its name.
        parts = {part for query in queries for part in (*query.namespace, query.name)}
        self._reserved = RESERVED | {namespace_class(each) for each in spaces} | parts
        record_classes = {query.record_class for query in queries if query.record_class}
        self._taken = {*record_classes, *types.class_names.values(), *self._reserved, *MODULES}
        self._table_classes = dict(_table_classes(descriptions, types))
        """The record classes of tables whose whole rows are columns, by the types of these."""

    def collect(self) -> Contents:
        """Raises UnknownTypeError or ModuleError."""
        for each in self._descriptions:
            self._check_record_class(each.query)
        calls = tuple(self._call(each) for each in self._descriptions)
        for oid, name in self._table_classes.items():
            model, order = self._classes[name], [attribute for attribute, _ in self._types.definition(oid).attributes]
            fields = sorted(model.fields, key=lambda field: order.index(field.name))
            self._classes[name] = replace(model, fields=tuple(fields))
        enumerations, composites = self._definitions()
        if self._unknown:
            raise UnknownTypeError("\n".join([*self._unknown, *self._faults]))
        if self._faults:
            raise ModuleError("\n".join(self._faults))
        return Contents(enumerations, (*composites, *_ordered(self._classes)), calls)

    # --- queries ---

    def _call(self, description: Description) -> Call:
        query, one_row = description.query, description.one_row
        base = camel("_".join((*query.namespace, query.name)))
        parameters = tuple(self._field(query, each, parameter=True) for each in description.parameters)
        columns = tuple(self._field(query, each, parameter=False) for each in description.columns)
        self._check_shape(query, columns)
        result = named("int" if query.kind in (Kind.AFFECTED, Kind.EXECUTEMANY) else "None")
        if query.kind is Kind.EXECUTEMANY:
            sets = self._free(f"{base}Parameters")
            self._classes[sets] = Model(sets, parameters, query)
            iterable = filled("Iterable[{}]", named(sets), imports={("collections.abc", "Iterable")})
            parameters = (Field("sets", iterable, nullable=False),)
        elif query.kind in ROWS:
            row = named(self._row(query, base, columns))
            result = filled("list[{}]", row) if query.kind is Kind.MANY else row if one_row else row.or_none()
        elif query.kind is Kind.VALUE and columns:
            result = columns[0].annotated if one_row else columns[0].type.or_none()
        return Call(query, parameters, result, not description.only_reads)

    def _field(self, query: Query, typed: Typed, *, parameter: bool) -> Field:
        if typed.row is not None and typed.oid in self._table_classes:
            return Field(typed.name, named(self._table_classes[typed.oid]), typed.nullable)
        try:
            found = self._types.parameter(typed) if parameter else self._types.result(typed)
        except UnsupportedError as error:
            what = "parameter" if parameter else "column"
            key = f'"{error}" or "{typed.origin.partition(".")[2]}"' if typed.origin else f'"{error}"'
            self._unknown.append(
                f"{query.location}: {query.qualified_name}: {what} {typed.name} is of the type {typed.pg_type}, and no "
                f'Python type is known for {error}. Name one for {key} in [tool.rowsmith.types]: "str" is what psycopg '
                'gives for it, "app.types:Name" a type of yours that pydantic makes of that'
            )
            found = named("object")
        self._own |= found.own
        return Field(typed.name, found, typed.nullable)

    # --- rows ---

    def _row(self, query: Query, base: str, columns: tuple[Field, ...]) -> str:
        name = query.record_class or self._free(f"{base}Row")
        self._check_columns(query, columns)
        first = self._classes.setdefault(name, Model(name, columns, query))
        self._check_same(first, query, columns)
        nullable = {each.name for each in (*first.fields, *columns) if each.nullable}
        fields = tuple(replace(each, nullable=each.name in nullable) for each in first.fields)
        self._classes[name] = replace(first, fields=fields)
        return name

    def _check_same(self, first: Model, query: Query, columns: Sequence[Field]) -> None:
        """Two queries share a record class where the names and types of their columns are the same."""
        left, right = ({each.name: each.type.expression for each in fields} for fields in (first.fields, columns))
        differing = [
            f"    {column}: {left.get(column, 'absent')} in the first, {right.get(column, 'absent')} in the second"
            for column in dict.fromkeys([*left, *right])
            if left.get(column) != right.get(column)
        ]
        if differing:
            one, other = (f"{each.qualified_name} ({each.location})" for each in (first.query, query) if each)
            head = f"record_class {first.name} stands for two shapes, of\n    {one} and\n    {other}:\n"
            self._faults.append(head + "\n".join(differing))

    # --- enumerations and composites ---

    def _definitions(self) -> tuple[tuple[Enumeration, ...], tuple[Model, ...]]:
        enumerations: list[Enumeration] = []
        composites: list[Model] = []
        for oid in self._types.order(self._own):
            definition, name = self._types.definition(oid), self._types.class_names[oid]
            if definition.kind == "e":
                enumerations.append(Enumeration(name, tuple(_members(definition.labels))))
                continue
            fields = tuple(Field(column, each, nullable=True) for column, each in self._types.attributes(oid))
            faults = self._column_faults([each.name for each in fields])
            self._faults += [f"type {definition.formatted}: {fault}" for fault in faults]
            composites.append(Model(name, fields, None))
        return tuple(sorted(enumerations, key=lambda each: each.name)), tuple(composites)

    # --- names and faults ---

    def _free(self, name: str) -> str:
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name

    def _check_record_class(self, query: Query) -> None:
        name = query.record_class
        if name is not None and (not name.isidentifier() or keyword.iskeyword(name) or name in self._reserved):
            self._faults.append(
                f"{query.location}: {query.qualified_name}: {name} cannot be the name of a record class"
            )

    def _check_shape(self, query: Query, columns: Sequence[Field]) -> None:
        place = f"{query.location}: {query.qualified_name}"
        if found := misfit(query.kind, len(columns)):
            self._faults.append(f"{place} {found.message}. {found.hint}")

    def _check_columns(self, query: Query, columns: Sequence[Field]) -> None:
        place = f"{query.location}: {query.qualified_name}"
        self._faults += [f"{place}: {fault}" for fault in self._column_faults([each.name for each in columns])]

    def _column_faults(self, names: Sequence[str]) -> Iterable[str]:
        for index, name in enumerate(names):
            if name in names[:index]:
                yield f"there are two columns {name}. Rename one with AS"
            elif not name.isidentifier() or keyword.iskeyword(name) or (name.startswith("__") and name.endswith("__")):
                yield f'column "{name}" cannot be an attribute in Python. Name it with AS'
            elif self._models == "pydantic" and (name.startswith(("_", "model_")) or hasattr(BaseModel, name)):
                yield f'column "{name}" cannot be a field of a pydantic model, which uses that name itself. Use AS'


def _table_classes(descriptions: Sequence[Description], types: Types) -> Iterable[tuple[int, str]]:
    """The record classes that can stand for whole rows of tables, by the types of these rows.

    One can if a query with it gives exactly the table's columns, and what it never has as NULL is NOT NULL there.
    """
    queries: dict[str, list[Description]] = {}
    for each in descriptions:
        if each.query.record_class:
            queries.setdefault(each.query.record_class, []).append(each)
    for whole in (column for each in descriptions for column in each.columns if column.row is not None):
        table = types.definition(whole.oid)
        origins = {name: f"{table.schema}.{table.name}.{name}" for name, _ in table.attributes}
        for record_class, those in queries.items():
            exact = any(origins == {column.name: column.origin for column in each.columns} for each in those)
            nullable = {column.name for each in those for column in each.columns if column.nullable}
            if exact and origins.keys() - nullable <= (whole.row or set()):
                yield whole.oid, record_class


def _ordered(models: Mapping[str, Model]) -> tuple[Model, ...]:
    """The models, each after those of its fields, which then belong to its query."""
    ordered: dict[str, Model] = {}

    def add(model: Model, query: Query | None) -> None:
        for field in model.fields:
            if field.type.expression in models.keys() - {model.name}:
                add(models[field.type.expression], query)
        ordered.setdefault(model.name, replace(model, query=query))

    for model in models.values():
        add(model, model.query)
    return tuple(ordered.values())


def _members(labels: Iterable[str]) -> Iterable[tuple[str, str]]:
    """Labels by the names of their members: in capitals, `_` for what no name can hold, numbered where two agree."""
    taken: set[str] = set()
    for label in labels:
        word = "".join(char if char.isidentifier() or char.isdigit() else "_" for char in label.upper()).strip("_")
        name = word if word.isidentifier() else f"VALUE_{word}".rstrip("_")
        unique, number = name, 2
        while unique in taken:
            unique, number = f"{name}_{number}", number + 1
        taken.add(unique)
        yield unique, label

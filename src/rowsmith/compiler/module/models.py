"""What a typed module holds, before it is text: row models, and what each query takes and gives."""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from pydantic import BaseModel

from rowsmith.compiler.analysis.description import Description, Typed
from rowsmith.compiler.module.overrides import MODULES
from rowsmith.compiler.module.types import RESERVED, PythonType, Types, UnsupportedError, camel
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
    def annotation(self) -> str:
        """The type, with None where it can be NULL."""
        return self.type.or_none() if self.nullable else self.type.expression


@dataclass(frozen=True, slots=True)
class Model:
    """A class with fields: of rows, of a composite, of the parameters of a `*!` query."""

    name: str
    fields: tuple[Field, ...]
    doc: str


@dataclass(frozen=True, slots=True)
class Enumeration:
    """An enumeration: its class, and its labels by the names of the members."""

    name: str
    members: tuple[tuple[str, str], ...]
    doc: str


@dataclass(frozen=True, slots=True)
class Call:
    """A query as the module has it."""

    query: Query
    name: str
    """The class of the function."""
    parameters: tuple[Field, ...]
    sets: str | None
    """The class of the parameters of a `*!` query."""
    row: str | None
    result: str
    """The annotation of what a call gives."""
    result_imports: frozenset[tuple[str, str]]
    codecs: tuple[Field, ...]
    """The columns that are read by their codecs."""

    @property
    def writers(self) -> tuple[Field, ...]:
        """The parameters that are written by their codecs."""
        return tuple(each for each in self.parameters if each.type.writes)


@dataclass(frozen=True, slots=True)
class Contents:
    """All that a module holds, in its order."""

    enumerations: tuple[Enumeration, ...]
    composites: tuple[Model, ...]
    rows: tuple[Model, ...]
    sets: tuple[Model, ...]
    calls: tuple[Call, ...]


def contents(descriptions: Iterable[Description], types: Types, models: Models) -> Contents:
    """The contents of the module for these queries.

    Raises UnknownTypeError or ModuleError, which list every fault with the query, its file and its line.
    """
    return _Collector(types, models).collect(sorted(descriptions, key=_place))


def namespaces(queries: Iterable[Query]) -> set[tuple[str, ...]]:
    """The namespaces of the queries, and those around them."""
    return {(), *(query.namespace[:depth] for query in queries for depth in range(len(query.namespace) + 1))}


def namespace_class(namespace: Sequence[str]) -> str:
    """The class of the queries of a namespace."""
    return f"{camel('_'.join(namespace))}Queries" if namespace else "Queries"


def _place(description: Description) -> tuple[tuple[str, ...], str, int]:
    query = description.query
    return query.namespace, query.file.as_posix(), query.line


class _Collector:
    """Goes through the queries, and collects what they need and what is wrong."""

    def __init__(self, types: Types, models: Models) -> None:
        self._types = types
        self._models: Models = models
        self._faults: list[str] = []
        self._unknown: list[str] = []
        self._own: set[int] = set()
        self._rows: dict[str, tuple[Model, Query]] = {}
        self._taken: set[str] = set()
        self._reserved = RESERVED

    def collect(self, descriptions: Sequence[Description]) -> Contents:
        self._reserved = RESERVED | {namespace_class(each) for each in namespaces(each.query for each in descriptions)}
        named = {each.query.record_class for each in descriptions if each.query.record_class}
        for each in descriptions:
            self._check_record_class(each.query)
        parts = {part for each in descriptions for part in (*each.query.namespace, each.query.name)}
        self._taken = {*named, *self._types.class_names.values(), *self._reserved, *MODULES, *parts}
        calls: list[Call] = []
        sets: list[Model] = []
        for each in descriptions:
            call = self._call(each)
            calls.append(call)
            if call.sets is not None:
                sets.append(Model(call.sets, call.parameters, f"The parameters of `{each.query.qualified_name}`."))
        enumerations, composites = self._definitions()
        if self._unknown:
            raise UnknownTypeError("\n".join([*self._unknown, *self._faults]))
        if self._faults:
            raise ModuleError("\n".join(self._faults))
        return Contents(
            enumerations, composites, tuple(row for row, _ in self._rows.values()), tuple(sets), tuple(calls)
        )

    # --- queries ---

    def _call(self, description: Description) -> Call:
        query = description.query
        base = camel("_".join((*query.namespace, query.name)))
        parameters = tuple(self._field(query, each, parameter=True) for each in description.parameters)
        columns = tuple(self._field(query, each, parameter=False) for each in description.columns)
        self._check_shape(query, columns)
        sets = self._free(f"{base}Parameters") if query.kind is Kind.EXECUTEMANY else None
        row = self._row(query, base, columns) if query.kind in ROWS else None
        codecs = tuple(each for each in columns if each.type.reads)
        imports = columns[0].type.imports if columns and row is None else frozenset[tuple[str, str]]()
        result = self._result(description, columns, row)
        return Call(query, self._free(f"{base}Query"), parameters, sets, row, result, imports, codecs)

    def _result(self, description: Description, columns: Sequence[Field], row: str | None) -> str:
        match description.query.kind:
            case Kind.MANY:
                return f"list[{row}]"
            case Kind.ONE | Kind.RETURNING:
                return f"{row}" if description.one_row else f"{row} | None"
            case Kind.VALUE if columns:
                return replace(columns[0], nullable=columns[0].nullable or not description.one_row).annotation
            case Kind.AFFECTED | Kind.EXECUTEMANY:
                return "int"
            case _:
                return "None"

    def _field(self, query: Query, typed: Typed, *, parameter: bool) -> Field:
        try:
            found = self._types.parameter(typed) if parameter else self._types.result(typed)
        except UnsupportedError as error:
            what = "parameter" if parameter else "column"
            key = f'"{error}" or "{typed.origin.partition(".")[2]}"' if typed.origin else f'"{error}"'
            self._unknown.append(
                f"{query.location}: {query.qualified_name}: {what} {typed.name} is of the type {typed.pg_type}, and of "
                f'{error} no Python type is known. Name one for {key} in [tool.rowsmith.types]: "str" is what psycopg '
                'gives for it, "app.types:Name" a type of yours that pydantic makes of that'
            )
            found = PythonType("object", frozenset(), "")
        self._own |= found.own
        return Field(typed.name, found, typed.nullable)

    # --- rows ---

    def _row(self, query: Query, base: str, columns: tuple[Field, ...]) -> str:
        name = query.record_class or self._free(f"{base}Row")
        self._check_columns(query, columns)
        earlier = self._rows.get(name)
        if earlier is None:
            doc = "A row" if query.record_class else f"A row of `{query.qualified_name}`"
            self._rows[name] = Model(name, columns, f"{doc}."), query
            return name
        model, first = earlier
        self._check_same(name, (first, model.fields), (query, columns))
        nullable = {each.name for each in columns if each.nullable}
        fields = tuple(replace(each, nullable=each.nullable or each.name in nullable) for each in model.fields)
        self._rows[name] = replace(model, fields=fields), first
        return name

    def _check_same(
        self, name: str, first: tuple[Query, tuple[Field, ...]], second: tuple[Query, tuple[Field, ...]]
    ) -> None:
        """Two queries share a record class where the names and types of their columns are the same."""
        (one, one_fields), (other, other_fields) = first, second
        left = {each.name: each.type.expression for each in one_fields}
        right = {each.name: each.type.expression for each in other_fields}
        if left == right:
            return
        differing = [
            f"    {column}: {left.get(column, 'absent')} in the first, {right.get(column, 'absent')} in the second"
            for column in dict.fromkeys([*left, *right])
            if left.get(column) != right.get(column)
        ]
        self._faults.append(
            f"record_class {name} stands for two shapes, of\n    {one.qualified_name} ({one.location}) and\n"
            f"    {other.qualified_name} ({other.location}):\n" + "\n".join(differing)
        )

    # --- enumerations and composites ---

    def _definitions(self) -> tuple[tuple[Enumeration, ...], tuple[Model, ...]]:
        enumerations: list[Enumeration] = []
        composites: list[Model] = []
        for oid in self._types.order(self._with_inner()):
            definition = self._types.definition(oid)
            name, doc = self._types.class_names[oid], f"PostgreSQL's type `{definition.formatted}`."
            if definition.kind == "e":
                enumerations.append(Enumeration(name, tuple(_members(definition.labels)), doc))
            else:
                fields = tuple(Field(column, each, nullable=True) for column, each in self._types.attributes(oid))
                self._faults += [
                    f"type {definition.formatted}: {fault}"
                    for fault in self._column_faults([each.name for each in fields])
                ]
                composites.append(Model(name, fields, doc))
        return tuple(enumerations), tuple(composites)

    def _with_inner(self) -> set[int]:
        found = set[int]()
        wanted = set(self._own)
        while wanted:
            oid = wanted.pop()
            found.add(oid)
            if self._types.definition(oid).kind == "c":
                wanted |= {each for _, attribute in self._types.attributes(oid) for each in attribute.own} - found
        return found

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

"""Queries with more parameters than a function has arguments: they become the columns of composite types.

A function has at most 100 arguments, a composite type 1,600 columns, and a statement 65,535 parameters. So `$2000` is
written as column 400 of the second argument, `(($2).c400)`. In the tree it is made a parameter again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rowsmith.compiler.analysis.enums import Param
from rowsmith.compiler.analysis.nodes import Node
from rowsmith.queries.lexer import TokenKind, tokenize

MOST_ARGUMENTS = 100
"""Of a function: pg_config_manual.h, FUNC_MAX_ARGS."""
_MOST_COLUMNS = 1600  # access/htup_details.h, MaxHeapAttributeNumber


class Packed(NamedTuple):
    """A query whose parameters are columns of its arguments."""

    definitions: list[str]
    """The statements that create the types."""
    types: list[str]
    """The types of the arguments."""
    sql: str


def pack(sql: str, types: Sequence[str]) -> Packed:
    """Pack the parameters of a query, which have these types."""
    names = [f"pg_temp.rowsmith_{start}" for start in range(0, len(types), _MOST_COLUMNS)]
    definitions: list[str] = []
    for number, name in enumerate(names):
        each = types[number * _MOST_COLUMNS : (number + 1) * _MOST_COLUMNS]
        columns = ", ".join(f"c{column} {type_}" for column, type_ in enumerate(each, 1))
        definitions.append(f"CREATE TYPE {name} AS ({columns})")
    text = "".join(
        _column(int(token.text[1:])) if token.kind is TokenKind.POSITIONAL else token.text for token in tokenize(sql)
    )
    return Packed(definitions, names, text)


def unpack(tree: Node) -> None:
    """Make the columns of arguments parameters again."""
    for node in [*tree.walk()]:
        argument = node.node("arg") if node.tag == "FIELDSELECT" else None
        if argument is not None and argument.tag == "PARAM" and argument.integer("paramkind") == Param.EXTERNAL:
            number = (argument.integer("paramid") - 1) * _MOST_COLUMNS + node.integer("fieldnum")
            node.become(
                "PARAM",
                {
                    "paramkind": str(int(Param.EXTERNAL)),
                    "paramid": str(number),
                    "paramtype": node["resulttype"],
                    "paramtypmod": node["resulttypmod"],
                    "paramcollid": node["resultcollid"],
                    "location": "-1",
                },
            )


def _column(number: int) -> str:
    argument, column = divmod(number - 1, _MOST_COLUMNS)
    return f"((${argument + 1}).c{column + 1})"

"""JSON documents that carry rows: their values arrive exactly as those of columns do."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from functools import cache
from json import JSONDecoder
from typing import Any, TypeAlias, cast

from rowsmith.values.types import is_list

_Load: TypeAlias = Callable[[Any], Any]
_JSONB_VERSION = "\x01"
"""What a jsonb in binary begins with."""
_BOUNDS = re.compile(r"\[[-+\d]+:")


def parser(*, exact: bool) -> _Load:
    """What parses the text of a document. If it is to be `exact`, numbers that are not integers become Decimal."""
    decode = JSONDecoder(parse_float=Decimal, parse_int=_integer).decode if exact else _quick_parser()
    return lambda text: decode(text.removeprefix(_JSONB_VERSION))


@cache
def _quick_parser() -> _Load:
    """Parses as `json.loads` does, in two thirds of the time."""
    from pydantic_core import from_json  # noqa: PLC0415 - a query without documents does not need it

    def parse(text: str) -> Any:
        try:
            return from_json(text)
        except ValueError:  # deeper than pydantic goes
            return _decode(text)

    return parse


_decode = JSONDecoder().decode


def _integer(digits: str) -> int | Decimal:
    try:
        return int(digits)
    except ValueError:  # more digits than Python makes an int of: sys.set_int_max_str_digits
        return Decimal(digits)


def by_first(first: str, load: _Load, document: Callable[[], _Load]) -> _Load:
    """Reads a text, or a JSON document, which begins with `first`, or with the version of binary jsonb.

    So does an array whose bounds are written out.
    """
    document = cache(document)

    def read(text: str) -> Any:
        is_document = text.startswith((first, _JSONB_VERSION)) and not _BOUNDS.match(text)
        return document()(text) if is_document else load(text)

    return read


def with_floats(document: Any) -> Any:
    """A document inside another, with the numbers that psycopg gives for a column of json."""
    if isinstance(document, Decimal):
        return float(document)
    if is_list(document):
        return [with_floats(each) for each in document]
    if isinstance(document, dict):
        return {key: with_floats(each) for key, each in cast("dict[str, Any]", document).items()}
    return document


def iso_datetime(zone: tzinfo) -> Callable[[str], datetime]:
    """What reads a `timestamp`, or a `timestamptz` in the session's time zone. Raises ValueError."""
    if zone is UTC:  # then PostgreSQL has written it in UTC
        return datetime.fromisoformat

    def read(text: str) -> datetime:
        found = datetime.fromisoformat(text)
        return found if found.tzinfo is None else found.astimezone(zone)

    return read

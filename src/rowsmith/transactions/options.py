"""The options of a transaction: isolation level, access mode, settings (manual, "BEGIN" and "SET TRANSACTION")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from rowsmith.wire.protocol import Begin

IsolationLevel = Literal["read uncommitted", "read committed", "repeatable read", "serializable"]
_LEVELS = ("read uncommitted", "read committed", "repeatable read", "serializable")


@dataclass(frozen=True)
class TransactionOptions:
    """How a transaction runs. None and False stand for the server's defaults."""

    isolation: IsolationLevel | None = None
    read_only: bool = False
    deferrable: bool = False
    settings: tuple[tuple[str, str], ...] = ()
    """Names and values of configuration parameters, for this transaction only."""

    def __post_init__(self) -> None:
        if self.isolation is not None and self.isolation not in _LEVELS:
            raise ValueError(f"isolation={self.isolation!r}: expected one of {', '.join(_LEVELS)}")
        if self.deferrable and not (self.read_only and self.isolation == "serializable"):
            raise ValueError("deferrable=True requires isolation='serializable' and read_only=True")

    @cached_property
    def begin(self) -> Begin:
        """The command that begins the transaction, and its settings."""
        words = ["BEGIN"]
        if self.isolation is not None:
            words.append(f"ISOLATION LEVEL {self.isolation.upper()}")
        if self.read_only:
            words.append("READ ONLY")
        if self.deferrable:
            words.append("DEFERRABLE")
        return Begin(" ".join(words).encode(), tuple(word.encode() for pair in self.settings for word in pair))


PLAIN = TransactionOptions()


def options_of(
    isolation: IsolationLevel | None, read_only: bool, deferrable: bool, settings: Mapping[str, str] | None
) -> TransactionOptions:
    """The options, checked. Raises ValueError, and TypeError for settings that are not texts."""
    if isolation is None and not read_only and not deferrable and not settings:
        return PLAIN
    return TransactionOptions(isolation, read_only, deferrable, _checked(settings or {}))


def _checked(settings: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    pairs = tuple(settings.items())
    for name, value in pairs:
        if not isinstance(name, str) or not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"settings: {name!r} is {value!r}, but names and values are str: {{'app.tenant': '42'}}")
        if "\0" in name + value:
            raise ValueError(f"settings: {name!r} contains a NUL character, which PostgreSQL's text cannot")
        try:
            (name + value).encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"settings: {name!r} cannot be encoded in UTF-8: {error.reason}") from None
    return pairs

"""A request for an advisory lock: which lock, and how long to wait for it."""

from __future__ import annotations

import hashlib
from typing import Literal, NamedTuple

LockScope = Literal["session", "transaction"]
"""What holds a lock. It is free when that ends."""

_BITS = 2**63


class LockRequest(NamedTuple):
    """A lock, and how it is requested."""

    name: str | int
    wait: float | None
    """In seconds; None: without a limit."""
    shared: bool

    @property
    def key(self) -> int:
        """The number of the lock: a number as it is, or the first eight bytes of a text's SHA-256, signed.

        Raises ValueError for a number that does not fit in 64 bits.
        """
        if not isinstance(self.name, int):
            return int.from_bytes(hashlib.sha256(self.name.encode()).digest()[:8], "big", signed=True)
        if not -_BITS <= self.name < _BITS:
            raise ValueError(f"{self.name} does not fit in 64 bits, as the number of an advisory lock must")
        return self.name

    def statement(self, function: str) -> bytes:
        """The statement that calls a function for the lock."""
        return f"SELECT pg_catalog.{function}{'_shared' if self.shared else ''}($1::int8)".encode()

"""A request for an advisory lock: which one, held by what, and how long to wait for it."""

from __future__ import annotations

import hashlib
from typing import Literal, NamedTuple

LockScope = Literal["session", "transaction"]
"""What holds a lock: it is free when that ends."""

_BITS = 2**63


class LockRequest(NamedTuple):
    """A lock, and how it is asked for."""

    name: str | int
    wait: float | None
    """In seconds; None: until it is got."""
    shared: bool

    @property
    def key(self) -> int:
        """The number of the lock: the first eight bytes of the name's SHA-256, signed; a number is taken as it is.

        Raises ValueError for a number that has not 64 bits.
        """
        if not isinstance(self.name, int):
            return int.from_bytes(hashlib.sha256(self.name.encode()).digest()[:8], "big", signed=True)
        if not -_BITS <= self.name < _BITS:
            raise ValueError(f"{self.name} is no 64-bit number, as PostgreSQL's advisory locks have")
        return self.name

    def function(self, name: str) -> str:
        """The statement that calls the function of the name for such a lock."""
        return f"SELECT {name}{'_shared' if self.shared else ''}(%s)"

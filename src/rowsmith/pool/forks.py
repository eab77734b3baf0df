"""Forks: a child of this process starts with its own pools.

The connections belong to the parent. psycopg does not close a libpq connection that was made in another process.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from weakref import WeakMethod

_KEPT: list[object] = []


def in_child(method: Callable[[], object]) -> None:
    """Have a method called in every child that this process forks, if its object still exists."""
    reference = WeakMethod(method)

    def run() -> None:
        if (call := reference()) is not None:
            call()

    os.register_at_fork(after_in_child=run)


def keep(*things: object) -> None:
    """Keep references to what a child must not destroy, because it belongs to the parent."""
    _KEPT.extend(things)
